//! What the operator's configuration means, checked once. Nothing here or deeper reads files,
//! flags or the environment: `cairn` turns those into a `Settings`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use event::{AccountId, Region};

use crate::access::Secret;

#[derive(Debug, Clone)]
pub struct Settings {
    pub data: PathBuf,
    pub listen: SocketAddr,
    /// The account that the node's first key belongs to.
    pub account: AccountId,
    /// The home of what has no Region of its own.
    pub region: Region,
    /// How long a log file stays open after its first event. AWS uses about five minutes.
    pub flush_interval: Duration,
    /// The span of a digest. AWS uses one hour.
    pub digest_interval: Duration,
    /// A log file is closed when its uncompressed bytes reach this. AWS allows 50 MB.
    pub log_file_bytes_max: usize,
    /// All open log files together; the largest is closed when they would exceed it.
    pub open_files_bytes_max: usize,
    /// Accounts, besides the caller's own, that posted records may be about.
    pub intake_accounts: IntakeAccounts,
    /// The largest request body of the intake, as sent and as inflated.
    pub intake_body_bytes_max: usize,
    pub intake_inflated_bytes_max: usize,
    /// Secrets found in posted records are replaced before they are stored.
    pub redact: bool,
    pub destination: Destination,
    /// CreateTrail and UpdateTrail leave the empty marker objects that CloudTrail leaves.
    pub preflight_markers: bool,
    /// Quotas of CloudTrail (spec o), adjustable here.
    pub trails_per_region_max: usize,
    /// Host suffixes under which `bucket.suffix` names a bucket.
    pub bucket_host_suffixes: Vec<String>,
    pub journal: journal::Options,
    pub lake: LakeSettings,
    pub queries: QuerySettings,
    pub imports: ImportSettings,
    /// Writes SQL for GenerateQuery; without it only the built-in matching does.
    pub model: Option<ModelSettings>,
}

/// What queries may use.
#[derive(Debug, Clone)]
pub struct QuerySettings {
    /// Queued and running, for each account and Region. AWS: 10.
    pub unfinished_max: usize,
    /// Running at once on this node, of all accounts.
    pub at_once_max: usize,
    /// A query that runs longer is TIMED_OUT. AWS: one hour.
    pub time_max: Duration,
    /// Of each running query; what needs more goes to `data/spill`, up to `spill_bytes_max`.
    pub memory_bytes_max: usize,
    pub spill_bytes_max: u64,
    /// Of each running query.
    pub threads: usize,
    /// A result that is larger, as JSON, fails.
    pub result_bytes_max: u64,
    /// A delivered result is cut into compressed files of about this size. AWS: 1 TB.
    pub delivered_file_bytes_max: usize,
    /// Queries and their results are forgotten after this. AWS: seven days.
    pub kept: Duration,
}

impl Default for QuerySettings {
    fn default() -> QuerySettings {
        QuerySettings {
            unfinished_max: 10,
            at_once_max: 2,
            time_max: Duration::from_secs(3600),
            memory_bytes_max: 512 << 20,
            spill_bytes_max: 20 << 30,
            threads: 2,
            result_bytes_max: 1 << 30,
            delivered_file_bytes_max: 64 << 20,
            kept: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What imports may use.
#[derive(Debug, Clone)]
pub struct ImportSettings {
    /// A larger file, compressed as it is, is not taken.
    pub file_bytes_max: usize,
    /// Files in memory at once, of all imports.
    pub memory_bytes_max: usize,
    /// Files of one import that are read at once.
    pub files_at_once: usize,
    /// A client's import that is left alone for this long is dropped.
    pub idle_max: Duration,
}

impl Default for ImportSettings {
    fn default() -> ImportSettings {
        ImportSettings {
            file_bytes_max: 256 << 20,
            memory_bytes_max: 512 << 20,
            files_at_once: 3,
            idle_max: Duration::from_secs(600),
        }
    }
}

/// An OpenAI-compatible model.
#[derive(Debug, Clone)]
pub struct ModelSettings {
    /// Up to and without `/chat/completions`, such as `http://127.0.0.1:11434/v1`.
    pub url: String,
    pub model: String,
    pub api_key: Option<Secret>,
    /// How long an answer may take before the built-in matching answers.
    pub time_max: Duration,
}

/// Event history and event data stores.
#[derive(Debug, Clone)]
pub struct LakeSettings {
    /// A table's rows are committed to files when they take this much memory,
    pub commit_bytes: u64,
    /// or when the oldest is this old.
    pub commit_interval: Duration,
    /// Rows of all tables that are only in memory; the largest table is committed when they would
    /// exceed it.
    pub hot_bytes_max: u64,
    /// The journal is read for the lake in batches of about this size.
    pub read_bytes_max: usize,
    /// Quotas of CloudTrail (spec o), adjustable here.
    pub event_data_stores_per_region_max: usize,
    /// Custom dashboards of an account.
    pub dashboards_per_region_max: usize,
    pub channels_per_region_max: usize,
    /// LookupEvents of one account in one Region. AWS: 2. None: as many as can be answered.
    pub lookup_events_per_second: Option<u32>,
}

impl Default for LakeSettings {
    fn default() -> LakeSettings {
        LakeSettings {
            commit_bytes: 64 << 20,
            commit_interval: Duration::from_secs(60),
            hot_bytes_max: 256 << 20,
            read_bytes_max: 4 << 20,
            event_data_stores_per_region_max: 10,
            dashboards_per_region_max: 100,
            channels_per_region_max: 25,
            lookup_events_per_second: None,
        }
    }
}

/// Which `recipientAccountId` values a caller may post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntakeAccounts {
    /// The caller's own account and, for callers of the operator's account, these.
    Listed(BTreeSet<AccountId>),
    Any,
}

impl IntakeAccounts {
    /// May a caller post records of a recipient? Others than the operator speak for themselves only.
    pub fn admits(&self, operator: &AccountId, caller: &AccountId, recipient: &AccountId) -> bool {
        let is_listed = match self {
            IntakeAccounts::Any => true,
            IntakeAccounts::Listed(accounts) => accounts.contains(recipient),
        };
        caller == recipient || (caller == operator && is_listed)
    }
}

/// Where log files and digests are put. Both are reached over S3's protocol, by the same code.
#[derive(Debug, Clone)]
pub enum Destination {
    /// The node's own bucket door.
    Embedded,
    External(ExternalStore),
}

#[derive(Debug, Clone)]
pub struct ExternalStore {
    /// Such as `https://s3.eu-central-1.amazonaws.com` or `http://10.0.0.5:3900`.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
    /// `https://bucket.endpoint/key` instead of `https://endpoint/bucket/key`.
    pub virtual_host_style: bool,
}
