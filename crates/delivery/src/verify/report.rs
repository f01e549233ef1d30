//! What a verification found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ChainId;

/// The outcome of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The chains found, and how far each proof reaches.
    pub chains: Vec<ChainSummary>,
    /// What is wrong or worth knowing, by key.
    pub findings: Vec<Finding>,
    /// Counts.
    pub totals: Totals,
}

impl Report {
    /// Whether something was verified and nothing is wrong. Notes are not wrong.
    pub fn is_valid(&self) -> bool {
        self.totals.digests_valid > 0 && self.errors().next().is_none()
    }

    /// The findings that make it invalid.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }
}

/// One chain of digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainSummary {
    /// The bucket its last digest names.
    pub bucket: String,
    /// The prefix, if any.
    pub prefix: Option<String>,
    /// The organization, if any.
    pub organization: Option<String>,
    /// The account.
    pub account: String,
    /// The Region the events come from.
    pub region: String,
    /// The trail's name.
    pub trail_name: String,
    /// The trail's home Region.
    pub home_region: String,
    /// Whether these are backfill digests.
    pub backfill: bool,
    /// Start of the first readable digest.
    pub start: Timestamp,
    /// End of the last readable digest: nothing is proven beyond.
    pub end: Timestamp,
    /// Readable digests.
    pub digests: u64,
}

impl ChainSummary {
    pub(super) fn new(id: &ChainId, start: Timestamp) -> ChainSummary {
        ChainSummary {
            bucket: String::new(),
            prefix: id.place.prefix.clone(),
            organization: id.place.organization.clone(),
            account: id.place.account.clone(),
            region: id.place.region.clone(),
            trail_name: id.trail_name.clone(),
            home_region: id.home_region.clone(),
            backfill: id.backfill,
            start,
            end: start,
            digests: 0,
        }
    }
}

/// Counts of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Digests that are genuine and unaltered.
    pub digests_valid: u64,
    /// Digests that are there but are not.
    pub digests_invalid: u64,
    /// Digests that must have been there.
    pub digests_missing: u64,
    /// Listed log files that are there, unaltered.
    pub log_files_valid: u64,
    /// Listed log files that are missing or altered.
    pub log_files_invalid: u64,
    /// Log files that no digest lists although it should, and objects that do not belong.
    pub unlisted: u64,
    /// Log files in the listing.
    pub log_files_found: u64,
    /// Objects that are not CloudTrail's.
    pub other_objects: u64,
}

/// Whether a finding makes the whole invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Evidence was altered, removed or added, or could not be read.
    Error,
    /// Worth knowing.
    Note,
}

/// What is the matter with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// There is no digest file at all.
    NoDigests,
    /// A digest that a later one names, or that the chain's rhythm demands, is gone.
    DigestMissing,
    /// Time between two digests that no digest covers.
    DigestsMissingBetween,
    /// The digest is no whole gzip member, has bytes after it, or is no digest's JSON.
    DigestUnreadable,
    /// Its members contradict its name.
    DigestMoved,
    /// Its members contradict each other or are not in AWS's form.
    DigestMalformed,
    /// Nothing to check the signature with.
    DigestSignatureAbsent,
    /// Its public key is not among those given.
    DigestKeyUnknown,
    /// Its public key was not valid then.
    DigestKeyNotValidThen,
    /// The signature is not that of its key over these bytes.
    DigestSignatureInvalid,
    /// It names another predecessor than the digest before it, or another hash, signature or time.
    DigestLinkBroken,
    /// Its predecessor lies in another bucket, which was not looked at.
    ChainContinuesElsewhere,
    /// The chain began again: nothing was attested in the interval.
    ChainRestarted,
    /// A listed log file is not there.
    LogFileMissing,
    /// Its uncompressed bytes do not have the hash in the digest.
    LogFileAltered,
    /// It is no whole gzip member.
    LogFileUnreadable,
    /// It has bytes after its gzip member.
    LogFileTrailingData,
    /// It is larger, packed or unpacked, than the limit.
    LogFileTooLarge,
    /// A digest lists it in another bucket, which was not looked at.
    LogFileElsewhere,
    /// Two digests list it.
    LogFileListedTwice,
    /// No digest lists it although digests cover its minute.
    LogFileUnlisted,
    /// The digest that should list it is missing or altered.
    LogFileUnattested,
    /// It lies in a folder of CloudTrail's and is not named like one of its files.
    UnexpectedObject,
    /// The source failed to read the object.
    SourceFailed,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Error or note.
    pub severity: Severity,
    /// What is the matter.
    pub problem: Problem,
    /// The key of the object it is about; for an interval, of the digest after it.
    pub key: String,
    /// A sentence for a person.
    pub detail: String,
    /// Start of the interval, for gaps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Timestamp>,
    /// End of the interval, for gaps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<Timestamp>,
}

impl Finding {
    pub(super) fn error(problem: Problem, key: &str, detail: String) -> Finding {
        let key = key.to_owned();
        Finding { severity: Severity::Error, problem, key, detail, from: None, to: None }
    }

    pub(super) fn note(problem: Problem, key: &str, detail: String) -> Finding {
        Finding { severity: Severity::Note, ..Finding::error(problem, key, detail) }
    }

    pub(super) fn over(mut self, from: Timestamp, to: Timestamp) -> Finding {
        (self.from, self.to) = (Some(from), Some(to));
        self
    }
}
