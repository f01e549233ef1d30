//! `cairn serve`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use durable::RealDisk;
use server::chance::SystemChance;
use server::clock::SystemClock;
use server::credentials::credentials_path;
use server::node::{Node, Seams, make_private};
use server::serve::{ServeError, listen, serve};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// The process ends with this when the journal could not be trusted any more (EX_IOERR): a
/// supervisor that starts it again gets a recovered server.
const EXIT_IO_ERROR: u8 = 74;
/// EX_SOFTWARE of sysexits.h: a mistake of ours, after which starting again is the remedy as well.
const EXIT_SOFTWARE_ERROR: u8 = 70;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn serve                                  everything embedded, in ./cairn-data
  cairn serve --digest-interval 1m             a signed digest every minute, to try validation
  cairn serve --config cairn.toml              deliver to another S3 store: see [destination]
  cairn serve --config cairn.toml --tables s3://events/node-1
                                               event history and event data stores in a bucket

The first start makes an access key and an ingest token in DIR/credentials and prints the lines to
paste. Settings: flags win over CAIRN_… variables, which win over the file.")]
pub struct Serve {
    /// Folder for everything that is kept; made if it is not there [default: ./cairn-data]
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:4580]
    #[arg(long, env = "CAIRN_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Configuration file (TOML)
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The first account, 12 digits [default: 111111111111]
    #[arg(long, env = "CAIRN_ACCOUNT", value_name = "ID")]
    account: Option<String>,
    /// The node's Region [default: us-east-1]
    #[arg(long, env = "CAIRN_REGION", value_name = "REGION")]
    region: Option<String>,
    /// How long a log file stays open, such as 5s or 5m [default: 5s]
    #[arg(long, env = "CAIRN_FLUSH_INTERVAL", value_name = "TIME")]
    flush_interval: Option<String>,
    /// The span of a digest, such as 1h or 1m [default: 1h]
    #[arg(long, env = "CAIRN_DIGEST_INTERVAL", value_name = "TIME")]
    digest_interval: Option<String>,
    /// Where event history and event data stores lie: s3://BUCKET[/PREFIX], in the store that
    /// [tables.store] or [destination] of the configuration file names [default: DIR/lake]
    #[arg(long, env = "CAIRN_TABLES", value_name = "URL")]
    tables: Option<String>,
    /// How logs are written to standard error
    #[arg(long, env = "CAIRN_LOG_FORMAT", value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// What is logged unless `CAIRN_LOG` says otherwise: the libraries under the lake tell every step.
const LOGGED: &str = "info,buoyant_kernel=error,delta_kernel=error,deltalake_core=warn,\
                      datafusion=warn,object_store=warn";

pub fn run(arguments: Serve) -> Result<ExitCode> {
    start_logging(arguments.log_format)?;
    let mut config = Config::read(arguments.config.as_deref())?;
    config.data = arguments.data.or(config.data);
    config.listen = arguments.listen.or(config.listen);
    config.account = arguments.account.or(config.account);
    config.region = arguments.region.or(config.region);
    config.flush_interval = arguments.flush_interval.or(config.flush_interval);
    config.digest_interval = arguments.digest_interval.or(config.digest_interval);
    config.tables.url = arguments.tables.or(config.tables.url);
    let tables = config.tables()?;
    let mut settings = config.resolved()?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let first_start = !credentials_path(&settings.data).exists();
        // The port is taken before recovery, so that a second server fails at once; it is answered
        // only after, so that /health never speaks for a node that is not ready.
        let listener = listen(settings.listen).await?;
        settings.listen = listener.local_addr().context("ask for the port")?;
        let (clock, disk) = (Arc::new(SystemClock::start()), Arc::new(RealDisk));
        make_private(&settings.data, disk.as_ref())?;
        let lake = crate::lake::open(&tables, &settings.data, disk.clone(), clock.clone())?;
        if let Err(error) = lake.check().await {
            // Events are taken all the same, and wait in the journal for their tables.
            if !error.is_away() {
                return Err(error.into());
            }
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the store of the tables is away; it is tried again");
        }
        let seams = Seams {
            clock,
            chance: Arc::new(SystemChance),
            disk,
            lake: Arc::new(lake),
            store: None,
        };
        let node = Node::open(settings, seams).await?;
        greet(&node, first_start)?;
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        match serve(node, listener, stop).await {
            Ok(()) => {
                tracing::info!("stopped");
                Ok(ExitCode::SUCCESS)
            }
            Err(error @ ServeError::Poisoned) => {
                tracing::error!("{error}");
                Ok(ExitCode::from(EXIT_IO_ERROR))
            }
            Err(error @ ServeError::WorkerDied) => {
                tracing::error!("{error}");
                Ok(ExitCode::from(EXIT_SOFTWARE_ERROR))
            }
            Err(error) => Err(error.into()),
        }
    })
}

fn start_logging(format: LogFormat) -> Result<()> {
    let filter = EnvFilter::try_from_env("CAIRN_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|e| anyhow::anyhow!("start logging: {e}"))
}

fn greet(node: &Node, first_start: bool) -> Result<()> {
    let data = std::path::absolute(&node.settings.data)?;
    println!("Cairn {} is ready at {}", env!("CARGO_PKG_VERSION"), node.endpoint());
    if first_start {
        println!(
            "A new account {} and its access key are in {}",
            node.settings.account,
            credentials_path(&data).display()
        );
    }
    println!("\nPaste this into another shell to point AWS tools here:\n");
    print!(
        "{}",
        super::env::lines(
            &node.endpoint(),
            node.settings.region.as_str(),
            &data,
            node.credentials.ingest_token.reveal()
        )
    );
    println!();
    Ok(())
}

async fn stop_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be watched; only kill -9 will stop the server");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    stop.cancel();
}
