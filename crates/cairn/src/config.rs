//! `Config`: the configuration file as the operator writes it. `resolved` turns it, with the flags
//! and environment variables laid over it, into the server's `Settings`.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use event::{AccountId, Region};
use lake::storage::BucketSettings;
use serde::Deserialize;
use server::access::Secret;
use server::settings::{
    Destination, ExternalStore, ImportSettings, IntakeAccounts, LakeSettings, ModelSettings,
    QuerySettings, Settings,
};

/// One TOML file. Every key may be left out; unknown keys are refused. Flags of `cairn serve` and
/// `CAIRN_…` variables win over it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder for everything that is kept. Default `./cairn-data`.
    pub data: Option<PathBuf>,
    /// Address and port. Default `127.0.0.1:4580`.
    pub listen: Option<SocketAddr>,
    /// The first account, 12 digits. Default 111111111111.
    pub account: Option<String>,
    /// The node's Region. Default us-east-1.
    pub region: Option<String>,
    /// How long a log file stays open, such as "5s" or "5m". AWS: about 5 minutes. Default 5s.
    pub flush_interval: Option<String>,
    /// The span of a digest. AWS and default: 1h. Shorter ones are for trying things out.
    pub digest_interval: Option<String>,
    /// Accounts besides the caller's own that posted records may name as recipientAccountId;
    /// `["*"]` admits any. Default: none.
    pub intake_accounts: Option<Vec<String>>,
    /// Hide secrets in posted records before they are stored. Default true.
    pub redact: Option<bool>,
    /// Leave CloudTrail's empty marker objects in buckets. They are how a trail's right to write is
    /// tested when it is made. Default true.
    pub preflight_markers: Option<bool>,
    /// Trails per Region. AWS and default: 5.
    pub trails_per_region_max: Option<usize>,
    /// Close a log file at this many uncompressed bytes. AWS: 50 MB at most. Default 8 MB.
    pub log_file_bytes_max: Option<usize>,
    /// Event data stores per Region, in any state. AWS and default: 10.
    pub event_data_stores_per_region_max: Option<usize>,
    /// Custom dashboards of an account per Region. AWS and default: 100.
    pub dashboards_per_region_max: Option<usize>,
    /// Channels per Region. AWS and default: 25.
    pub channels_per_region_max: Option<usize>,
    /// LookupEvents calls a second, for each account and Region. AWS: 2. 0, and default: no limit.
    pub lookup_events_per_second: Option<u32>,
    /// Rows of event history or an event data store go into files when they take this much memory.
    /// Default 64 MB.
    pub lake_commit_bytes: Option<u64>,
    /// Or when the oldest has waited so long, such as "60s". They can be found all the same, and lie
    /// in the journal until then. Default 60s.
    pub lake_commit_interval: Option<String>,
    /// All such rows together. When they take more, they go into files. Default 256 MB.
    pub lake_hot_bytes_max: Option<u64>,
    /// Host names under which `bucket.name` means a bucket. Default: localhost.
    pub bucket_host_suffixes: Option<Vec<String>>,
    /// An S3 store to deliver to, instead of the embedded one.
    pub destination: Option<StoreConfig>,
    /// Where event history and event data stores lie. Default: the folder `lake` of the data folder.
    #[serde(default)]
    pub tables: TablesConfig,
    /// What queries may use.
    #[serde(default)]
    pub queries: QueriesConfig,
    /// What imports may use.
    #[serde(default)]
    pub imports: ImportsConfig,
    /// A model that writes SQL for GenerateQuery. Default: none, and the built-in matching answers.
    pub model: Option<ModelConfig>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueriesConfig {
    /// Queued and running, for each account and Region. AWS and default: 10.
    pub unfinished_max: Option<usize>,
    /// Running at once, of all accounts. Default 2.
    pub at_once_max: Option<usize>,
    /// A query that takes longer is TIMED_OUT. AWS and default: 1h.
    pub time_max: Option<String>,
    /// Memory of each running query. Default 512 MB.
    pub memory_bytes_max: Option<usize>,
    /// Room on disk for what needs more memory, of each running query. Default 20 GB.
    pub spill_bytes_max: Option<u64>,
    /// Threads of each running query. Default 2.
    pub threads: Option<usize>,
    /// A result that is larger, as JSON, fails. Default 1 GB.
    pub result_bytes_max: Option<u64>,
    /// Results that go to a bucket are cut into compressed files of about this size. AWS: 1 TB.
    /// Default 64 MB.
    pub delivered_file_bytes_max: Option<usize>,
    /// Queries and their results are forgotten after this. AWS and default: 7d.
    pub kept: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportsConfig {
    /// A larger file, compressed as it is, is not taken. Default 256 MB.
    pub file_bytes_max: Option<usize>,
    /// Files in memory at once, of all imports. Default 512 MB.
    pub memory_bytes_max: Option<usize>,
    /// Files of an import from a bucket that are read at once. Default 3.
    pub files_at_once: Option<usize>,
    /// An import of a client that says nothing for so long is dropped. Default 10m.
    pub idle_max: Option<String>,
}

// No Debug: it holds a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Of an OpenAI-compatible API, up to and without `/chat/completions`, such as
    /// `http://127.0.0.1:11434/v1`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// The key itself; or `api_key_file`; or neither, where none is asked for.
    pub api_key: Option<String>,
    pub api_key_file: Option<PathBuf>,
    /// How long an answer may take before the built-in matching answers. Default 30s.
    pub time_max: Option<String>,
}

// No Debug: it holds a secret.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesConfig {
    /// `s3://bucket` or `s3://bucket/prefix`, which is this node's alone.
    pub url: Option<String>,
    /// The store of that bucket. Default: the one under `[destination]`.
    pub store: Option<StoreConfig>,
    /// Nobody but this node ever writes there. Needed where the store does not know conditional
    /// puts, as Garage. Default false.
    pub only_writer: Option<bool>,
}

/// Where tables lie.
pub enum Tables {
    /// In the data folder.
    Folder,
    Bucket(BucketSettings),
}

// No Debug: it holds a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Such as `https://s3.eu-central-1.amazonaws.com`.
    pub endpoint: String,
    /// The Region to sign for. Default us-east-1.
    pub region: Option<String>,
    pub access_key_id: String,
    /// The secret itself; or leave it out and give `secret_access_key_file`.
    pub secret_access_key: Option<String>,
    pub secret_access_key_file: Option<PathBuf>,
    /// https://bucket.endpoint/key instead of https://endpoint/bucket/key. Default false.
    pub virtual_host_style: Option<bool>,
}

impl Config {
    pub fn read(path: Option<&Path>) -> Result<Config> {
        let Some(path) = path else { return Ok(Config::default()) };
        let text = fs::read_to_string(path)
            .with_context(|| format!("read configuration {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("configuration {}", path.display()))
    }

    /// Where tables lie. Fails with the key that is wrong.
    pub fn tables(&self) -> Result<Tables> {
        let TablesConfig { url, store, only_writer } = &self.tables;
        let Some(url) = url else {
            if store.is_some() || only_writer.is_some() {
                bail!("tables.url is missing: s3://bucket or s3://bucket/prefix");
            }
            return Ok(Tables::Folder);
        };
        let (name, store) = match (store, &self.destination) {
            (Some(store), _) => ("tables.store", store),
            (None, Some(destination)) => ("destination", destination),
            (None, None) => {
                bail!("tables.url {url:?} needs a store: give [tables.store], or [destination]")
            }
        };
        let store = store.resolved(name)?;
        let settings = BucketSettings {
            url: url.clone(),
            endpoint: store.endpoint,
            region: store.region,
            access_key_id: store.access_key_id,
            secret_access_key: store.secret_access_key.reveal().to_owned(),
            virtual_host_style: store.virtual_host_style,
            only_writer: only_writer.unwrap_or(false),
        };
        lake::storage::Storage::bucket(&settings, "").context("tables.url")?;
        Ok(Tables::Bucket(settings))
    }

    /// What it means. Fails with the key that is wrong.
    pub fn resolved(self) -> Result<Settings> {
        let account = self.account.unwrap_or_else(|| "111111111111".to_owned());
        let region = self.region.unwrap_or_else(|| "us-east-1".to_owned());
        let flush_interval =
            duration("flush_interval", self.flush_interval.as_deref().unwrap_or("5s"))?;
        let digest_interval =
            duration("digest_interval", self.digest_interval.as_deref().unwrap_or("1h"))?;
        if digest_interval < Duration::from_secs(1) {
            bail!("digest_interval must be at least 1s: digests are named by the second");
        }
        let log_file_bytes_max = self.log_file_bytes_max.unwrap_or(8 << 20);
        if !(64 << 10..=delivery::log_file::PLAIN_BYTES_MAX).contains(&log_file_bytes_max) {
            bail!(
                "log_file_bytes_max must lie between 65536 and {}",
                delivery::log_file::PLAIN_BYTES_MAX
            );
        }
        let usual = LakeSettings::default();
        let lake = LakeSettings {
            commit_bytes: self.lake_commit_bytes.unwrap_or(usual.commit_bytes),
            commit_interval: match self.lake_commit_interval.as_deref() {
                Some(text) => duration("lake_commit_interval", text)?,
                None => usual.commit_interval,
            },
            hot_bytes_max: self.lake_hot_bytes_max.unwrap_or(usual.hot_bytes_max),
            read_bytes_max: usual.read_bytes_max,
            event_data_stores_per_region_max: self
                .event_data_stores_per_region_max
                .unwrap_or(usual.event_data_stores_per_region_max),
            dashboards_per_region_max: self
                .dashboards_per_region_max
                .unwrap_or(usual.dashboards_per_region_max),
            channels_per_region_max: self
                .channels_per_region_max
                .unwrap_or(usual.channels_per_region_max),
            lookup_events_per_second: self.lookup_events_per_second.filter(|limit| *limit > 0),
        };
        if lake.commit_bytes < 1 << 20 || lake.hot_bytes_max < lake.commit_bytes {
            bail!(
                "lake_commit_bytes must be at least 1048576, and lake_hot_bytes_max at least as much"
            );
        }
        Ok(Settings {
            data: self.data.unwrap_or_else(|| PathBuf::from("./cairn-data")),
            listen: self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 4580))),
            account: AccountId::parse(&account).with_context(|| format!("account {account:?}"))?,
            region: Region::parse(&region).with_context(|| format!("region {region:?}"))?,
            flush_interval,
            digest_interval,
            log_file_bytes_max,
            open_files_bytes_max: log_file_bytes_max.saturating_mul(3).max(24 << 20),
            intake_accounts: intake_accounts(self.intake_accounts.unwrap_or_default())?,
            intake_body_bytes_max: 32 << 20,
            intake_inflated_bytes_max: 64 << 20,
            redact: self.redact.unwrap_or(true),
            destination: match self.destination {
                None => Destination::Embedded,
                Some(destination) => Destination::External(destination.resolved("destination")?),
            },
            preflight_markers: self.preflight_markers.unwrap_or(true),
            trails_per_region_max: self.trails_per_region_max.unwrap_or(5),
            bucket_host_suffixes: self
                .bucket_host_suffixes
                .unwrap_or_else(|| vec!["localhost".to_owned()]),
            journal: journal::Options::default(),
            lake,
            queries: self.queries.resolved()?,
            imports: self.imports.resolved()?,
            model: self.model.map(ModelConfig::resolved).transpose()?,
        })
    }
}

impl QueriesConfig {
    fn resolved(self) -> Result<QuerySettings> {
        let usual = QuerySettings::default();
        let settings = QuerySettings {
            unfinished_max: self.unfinished_max.unwrap_or(usual.unfinished_max),
            at_once_max: self.at_once_max.unwrap_or(usual.at_once_max),
            time_max: match self.time_max.as_deref() {
                Some(text) => duration("queries.time_max", text)?,
                None => usual.time_max,
            },
            memory_bytes_max: self.memory_bytes_max.unwrap_or(usual.memory_bytes_max),
            spill_bytes_max: self.spill_bytes_max.unwrap_or(usual.spill_bytes_max),
            threads: self.threads.unwrap_or(usual.threads),
            result_bytes_max: self.result_bytes_max.unwrap_or(usual.result_bytes_max),
            delivered_file_bytes_max: self
                .delivered_file_bytes_max
                .unwrap_or(usual.delivered_file_bytes_max),
            kept: match self.kept.as_deref() {
                Some(text) => duration("queries.kept", text)?,
                None => usual.kept,
            },
        };
        for (name, number) in [
            ("unfinished_max", settings.unfinished_max),
            ("at_once_max", settings.at_once_max),
            ("threads", settings.threads),
        ] {
            if number == 0 {
                bail!("queries.{name} must be at least 1");
            }
        }
        if settings.memory_bytes_max < 16 << 20 {
            bail!("queries.memory_bytes_max must be at least 16777216");
        }
        Ok(settings)
    }
}

impl ImportsConfig {
    fn resolved(self) -> Result<ImportSettings> {
        let usual = ImportSettings::default();
        let settings = ImportSettings {
            file_bytes_max: self.file_bytes_max.unwrap_or(usual.file_bytes_max),
            memory_bytes_max: self.memory_bytes_max.unwrap_or(usual.memory_bytes_max),
            files_at_once: self.files_at_once.unwrap_or(usual.files_at_once),
            idle_max: match self.idle_max.as_deref() {
                Some(text) => duration("imports.idle_max", text)?,
                None => usual.idle_max,
            },
        };
        if settings.files_at_once == 0 {
            bail!("imports.files_at_once must be at least 1");
        }
        if settings.memory_bytes_max < settings.file_bytes_max {
            bail!("imports.memory_bytes_max must be at least imports.file_bytes_max");
        }
        Ok(settings)
    }
}

impl ModelConfig {
    fn resolved(self) -> Result<ModelSettings> {
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            bail!("model.url {:?} must start with http:// or https://", self.url);
        }
        let api_key = match (self.api_key, self.api_key_file) {
            (Some(_), Some(_)) => bail!("give either model.api_key or model.api_key_file"),
            (Some(key), None) => Some(key),
            (None, Some(path)) => {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("read model.api_key_file {}", path.display()))?;
                Some(text.trim().to_owned())
            }
            (None, None) => None,
        };
        Ok(ModelSettings {
            url: self.url,
            model: self.model,
            api_key: api_key.map(Secret::new),
            time_max: duration("model.time_max", self.time_max.as_deref().unwrap_or("30s"))?,
        })
    }
}

impl StoreConfig {
    /// `name` is the table of the configuration that it stands in.
    fn resolved(&self, name: &str) -> Result<ExternalStore> {
        if !self.endpoint.starts_with("http://") && !self.endpoint.starts_with("https://") {
            bail!("{name}.endpoint {:?} must start with http:// or https://", self.endpoint);
        }
        let secret = match (&self.secret_access_key, &self.secret_access_key_file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => fs::read_to_string(path)
                .with_context(|| format!("read {name}.secret_access_key_file {}", path.display()))?
                .trim()
                .to_owned(),
            _ => bail!("give either {name}.secret_access_key or {name}.secret_access_key_file"),
        };
        Ok(ExternalStore {
            endpoint: self.endpoint.trim_end_matches('/').to_owned(),
            region: self.region.clone().unwrap_or_else(|| "us-east-1".to_owned()),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: Secret::new(secret),
            virtual_host_style: self.virtual_host_style.unwrap_or(false),
        })
    }
}

fn intake_accounts(listed: Vec<String>) -> Result<IntakeAccounts> {
    if listed.iter().any(|account| account == "*") {
        return Ok(IntakeAccounts::Any);
    }
    let mut accounts = BTreeSet::new();
    for account in listed {
        accounts.insert(
            AccountId::parse(&account).with_context(|| format!("intake_accounts: {account:?}"))?,
        );
    }
    Ok(IntakeAccounts::Listed(accounts))
}

/// A number and a unit: `250ms`, `5s`, `15m`, `1h`, `2d`.
pub fn duration(name: &str, text: &str) -> Result<Duration> {
    let wrong = || {
        format!(
            "{name}: {text:?} is not a duration; write a number and a unit, such as 250ms, 5s, 15m or 1h"
        )
    };
    let split = text.find(|c: char| !c.is_ascii_digit()).with_context(wrong)?;
    let number: u64 = text[..split].parse().with_context(wrong)?;
    let unit_ms: u64 = match &text[split..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => bail!(wrong()),
    };
    let ms = number
        .checked_mul(unit_ms)
        .filter(|ms| *ms > 0 && *ms <= 366 * 86_400_000)
        .with_context(wrong)?;
    Ok(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml_text: &str) -> Result<Settings, String> {
        toml::from_str::<Config>(toml_text)
            .map_err(|e| e.to_string())
            .and_then(|config| config.resolved().map_err(|e| format!("{e:#}")))
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let settings = check("").unwrap();
        assert_eq!(settings.listen.to_string(), "127.0.0.1:4580");
        assert_eq!(settings.flush_interval, Duration::from_secs(5));
        assert_eq!(settings.digest_interval, Duration::from_secs(3600));
        assert!(matches!(settings.destination, Destination::Embedded));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        assert!(check("flush_intervall = \"5s\"").unwrap_err().contains("flush_intervall"));
    }

    #[test]
    fn wrong_values_name_their_key() {
        for (text, name) in [
            ("account = \"12\"", "account"),
            ("region = \"mars\"", "region"),
            ("flush_interval = \"soon\"", "flush_interval"),
            ("digest_interval = \"1ms\"", "digest_interval"),
            ("intake_accounts = [\"x\"]", "intake_accounts"),
            ("log_file_bytes_max = 1", "log_file_bytes_max"),
            ("[queries]\ntime_max = \"1\"", "queries.time_max"),
            ("[queries]\nthreads = 0", "queries.threads"),
            ("[queries]\nthread = 1", "thread"),
            ("[imports]\nmemory_bytes_max = 1", "imports.memory_bytes_max"),
            ("[model]\nurl = \"x\"\nmodel = \"y\"", "model.url"),
            ("lake_commit_interval = \"60\"", "lake_commit_interval"),
            ("lake_commit_bytes = 1", "lake_commit_bytes"),
            ("lake_hot_bytes_max = 2000000", "lake_hot_bytes_max"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(name), "{text}: {error}");
        }
    }

    #[test]
    fn tables_lie_in_a_bucket_when_that_is_whole() {
        let check = |text: &str| {
            let config = toml::from_str::<Config>(text).map_err(|e| e.to_string())?;
            config.tables().map_err(|e| format!("{e:#}"))
        };
        let store = |name: &str| {
            format!(
                "[{name}]\nendpoint = \"http://x\"\naccess_key_id = \"a\"\nsecret_access_key = \"b\"\n"
            )
        };
        let url = "[tables]\nurl = \"s3://events/node-1\"\n";
        assert!(matches!(check(""), Ok(Tables::Folder)));
        for name in ["tables.store", "destination"] {
            let found = check(&format!("{url}{}", store(name)));
            let Ok(Tables::Bucket(found)) = found else { panic!("{name}") };
            assert_eq!((found.endpoint.as_str(), found.only_writer), ("http://x", false));
        }
        for (text, name) in [
            (url.to_owned(), "tables.store"),
            ("[tables]\nonly_writer = true\n".to_owned(), "tables.url"),
            (format!("{}{}", url.replace("s3", "file"), store("destination")), "tables.url"),
            (format!("{url}[tables.store]\nendpoint = \"x\"\n"), "access_key_id"),
            (
                format!("{url}{}", store("tables.store").replace("http", "ftp")),
                "tables.store.endpoint",
            ),
        ] {
            let Err(error) = check(&text) else { panic!("{text}") };
            assert!(error.contains(name), "{text}: {error}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("x", "250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("x", "2d").unwrap(), Duration::from_secs(172_800));
        for wrong in ["", "5", "s", "0s", "-1s", "1.5h", "999999d"] {
            assert!(duration("x", wrong).is_err(), "{wrong}");
        }
    }
}
