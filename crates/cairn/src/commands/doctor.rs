//! `cairn doctor`: first checks before (or while) a server runs. Each says what it found and, if
//! that is a problem, what to do.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use durable::{Disk, RealDisk};
use event::{AccountId, Region};
use lake::storage::Storage;
use server::clock::{Clock, SystemClock};
use server::credentials::{credentials_path, read_node_file};

use crate::config::{Config, Tables};

/// The clock of a machine that was never set shows a time before this: 2026-01-01.
const NOT_BEFORE_SECONDS: i64 = 1_767_225_600;
const FREE_BYTES_WANTED: u64 = 1 << 30;
/// Group commit waits for one sync; above this, single events become slow.
const SYNC_MS_WANTED: f64 = 10.0;
const SYNCS: usize = 20;

#[derive(Debug, Args)]
pub struct Doctor {
    /// The server's data folder
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// The address the server listens on
    #[arg(long, env = "CAIRN_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Configuration file (TOML)
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, env = "CAIRN_ACCOUNT", value_name = "ID")]
    account: Option<String>,
    #[arg(long, env = "CAIRN_REGION", value_name = "REGION")]
    region: Option<String>,
    /// Where event history and event data stores lie
    #[arg(long, env = "CAIRN_TABLES", value_name = "URL")]
    tables: Option<String>,
}

enum Finding {
    Good(String),
    Poor { found: String, remedy: String },
    Bad { found: String, remedy: String },
}

/// Exit status 1 when something must be mended.
pub fn run(arguments: &Doctor) -> Result<ExitCode> {
    let mut findings: Vec<(&str, Finding)> = Vec::new();
    let mut config = match Config::read(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(e) => {
            findings.push((
                "configuration",
                bad(format!("{e:#}"), "correct the file; `cairn serve --help` names the settings"),
            ));
            Config::default()
        }
    };
    config.tables.url = arguments.tables.clone().or(config.tables.url);
    let tables = tables(&config);
    let data =
        arguments.data.clone().or(config.data).unwrap_or_else(|| PathBuf::from("./cairn-data"));
    let listen = arguments
        .listen
        .or(config.listen)
        .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4580)));
    let account =
        arguments.account.clone().or(config.account).unwrap_or_else(|| "111111111111".to_owned());
    let region =
        arguments.region.clone().or(config.region).unwrap_or_else(|| "us-east-1".to_owned());

    findings.push(("account", account_shape(&account)));
    findings.push(("region", region_shape(&region)));
    findings.push(("clock", clock()));
    let folder = folder_rights(&data);
    let usable = !matches!(folder, Finding::Bad { .. });
    findings.push(("data folder", folder));
    if usable {
        findings.push(("free space", free_space(&data)));
        findings.push(("fsync latency", sync_latency(&data)));
        findings.push(("secrets", secrets_mode(&data)));
    }
    findings.push(("tables", tables));
    findings.push(("port", port(listen, &data)));

    let mut worst = 0;
    for (name, finding) in findings {
        let (mark, text, remedy, weight) = match finding {
            Finding::Good(found) => ("ok  ", found, None, 0),
            Finding::Poor { found, remedy } => ("poor", found, Some(remedy), 1),
            Finding::Bad { found, remedy } => ("BAD ", found, Some(remedy), 2),
        };
        worst = worst.max(weight);
        println!("{mark}  {name}: {text}");
        if let Some(remedy) = remedy {
            println!("      remedy: {remedy}");
        }
    }
    Ok(if worst == 2 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn bad(found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Bad { found: found.into(), remedy: remedy.into() }
}

fn poor(found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::Poor { found: found.into(), remedy: remedy.into() }
}

fn account_shape(account: &str) -> Finding {
    match AccountId::parse(account) {
        Ok(_) => Finding::Good(account.to_owned()),
        Err(_) => bad(
            format!("{account:?} is not an account"),
            "account ids are 12 digits; log collectors reject others",
        ),
    }
}

fn region_shape(region: &str) -> Finding {
    match Region::parse(region) {
        Ok(_) => Finding::Good(region.to_owned()),
        Err(_) => bad(
            format!("{region:?} is not shaped like a Region"),
            "use a name such as us-east-1: log collectors parse it out of object keys and silently skip others",
        ),
    }
}

fn clock() -> Finding {
    let seconds = SystemClock::start().now().as_second();
    if seconds < NOT_BEFORE_SECONDS {
        return bad(
            format!("the clock stands at {seconds} seconds after 1970, which is in the past"),
            "set the clock (timedatectl set-ntp true): signatures more than 15 minutes off are refused",
        );
    }
    match std::fs::read_to_string("/run/systemd/timesync/synchronized") {
        Ok(_) => Finding::Good("set, and kept by the time service".into()),
        Err(_) => {
            Finding::Good("plausible (whether a time service keeps it is not known here)".into())
        }
    }
}

fn folder_rights(data: &Path) -> Finding {
    let existing = data.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let probe = existing.join(format!(".cairn-doctor-{}", std::process::id()));
    let written = RealDisk.create_new(&probe, 0o600).and_then(|mut file| {
        file.write_all_at(b"probe", 0)?;
        file.sync_data()
    });
    let _ = RealDisk.remove_file(&probe);
    match written {
        Ok(()) if existing == data => Finding::Good(format!("{} is writable", data.display())),
        Ok(()) => Finding::Good(format!("{} does not exist yet and can be made", data.display())),
        Err(e) => bad(
            format!("{} is not writable: {e}", existing.display()),
            format!(
                "give this user write access (chown -R $(id -u) {}), or choose another folder with --data",
                existing.display()
            ),
        ),
    }
}

fn free_space(data: &Path) -> Finding {
    let existing = data
        .ancestors()
        .find(|p| p.exists() && !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match RealDisk.free_bytes(existing) {
        Ok(bytes) if bytes >= FREE_BYTES_WANTED => {
            Finding::Good(format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)))
        }
        Ok(bytes) => poor(
            format!("only {} MiB are free", bytes >> 20),
            "make room: events are refused (503), never dropped, while the disk is full",
        ),
        Err(e) => poor(format!("cannot be read: {e}"), "check the file system"),
    }
}

fn sync_latency(data: &Path) -> Finding {
    let existing = data
        .ancestors()
        .find(|p| p.exists() && !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let probe = existing.join(format!(".cairn-doctor-sync-{}", std::process::id()));
    let measured = (|| {
        let mut file = RealDisk.create_new(&probe, 0o600)?;
        let mut times = Vec::with_capacity(SYNCS);
        for turn in 0..SYNCS {
            let started = Instant::now();
            file.write_all_at(&[1; 4096], turn as u64 * 4096)?;
            file.sync_data()?;
            times.push(started.elapsed());
        }
        times.sort();
        Ok::<_, std::io::Error>(times[SYNCS / 2])
    })();
    let _ = RealDisk.remove_file(&probe);
    match measured {
        Ok(median) => {
            let ms = median.as_secs_f64() * 1000.0;
            match ms <= SYNC_MS_WANTED {
                true => Finding::Good(format!("{ms:.2} ms (median of {SYNCS})")),
                false => poor(
                    format!("{ms:.1} ms (median of {SYNCS})"),
                    "every acknowledgement waits for a sync: use a local SSD or NVMe disk for the data folder",
                ),
            }
        }
        Err(e) => bad(format!("fsync fails: {e}"), "use a file system on a local disk"),
    }
}

fn secrets_mode(data: &Path) -> Finding {
    use std::os::unix::fs::PermissionsExt;
    let path = credentials_path(data);
    match std::fs::metadata(&path) {
        Err(_) => Finding::Good("none yet; the first start makes them".into()),
        Ok(meta) if meta.permissions().mode() & 0o077 == 0 => {
            Finding::Good("readable by this user only".into())
        }
        Ok(meta) => bad(
            format!(
                "{} has mode {:o}: others can read the key",
                path.display(),
                meta.permissions().mode() & 0o777
            ),
            format!("chmod 600 {}", path.display()),
        ),
    }
}

/// Tries the store of the tables as a start does, and leaves nothing there.
fn tables(config: &Config) -> Finding {
    let settings = match config.tables() {
        Ok(Tables::Folder) => return Finding::Good("in the data folder".into()),
        Ok(Tables::Bucket(settings)) => settings,
        Err(e) => {
            return bad(format!("{e:#}"), "correct [tables] of the configuration, or --tables");
        }
    };
    let tried = (|| {
        let storage = Storage::bucket(&settings, "")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(storage.probe())?;
        Ok::<_, anyhow::Error>(())
    })();
    match tried {
        Ok(()) if settings.only_writer => Finding::Good(format!(
            "{} can be written, read, listed and removed; that nobody else writes there is your word",
            settings.url
        )),
        Ok(()) => Finding::Good(format!(
            "{} can be written, read, listed and removed, and refuses a second put",
            settings.url
        )),
        Err(e) => bad(format!("{e:#}"), "mend what it names; until then nothing can be looked up"),
    }
}

fn port(listen: SocketAddr, data: &Path) -> Finding {
    if TcpListener::bind(listen).is_ok() {
        return Finding::Good(format!("{listen} is free"));
    }
    let ours = read_node_file(data)
        .ok()
        .flatten()
        .is_some_and(|node| node.endpoint.ends_with(&format!(":{}", listen.port())));
    if ours && answers(listen) {
        return Finding::Good(format!("{listen}: a Cairn server answers there"));
    }
    bad(
        format!("{listen} is taken by another program, or may not be used"),
        "stop that program, or choose another port with --listen",
    )
}

fn answers(listen: SocketAddr) -> bool {
    use std::io::Read;
    let Ok(mut stream) = TcpStream::connect_timeout(&listen, Duration::from_secs(2)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let asked =
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("nextSeq")
}
