//! Is everything that was handed over still there, unaltered?
//!
//! ```text
//! 1 list      every key under the prefix ─▶ digests, by chain (place, trail, home Region, backfill)
//! 2 digests   each: whole gzip, JSON, own name and bucket, key known, signature    (parallel)
//! 3 links     each to its neighbour in time: name, bucket, hash, signature, end = start
//! 4 files     each listed file: there, one whole gzip member, SHA-256              (parallel)
//! 5 list      log files in no digest although digests cover their minute, or should
//! ```
//!
//! Stronger than `aws cloudtrail validate-logs`, which follows links backwards and, where two
//! neighbouring digests are gone, reports one: here every pair of neighbours must touch, so any hole
//! is reported with its interval and, as far as the signed link and the chain's rhythm tell, the
//! names of what lay in it. A chain may only begin again with a digest whose `previous…` members are
//! all null; that is a note with the interval, as `validate-logs` has it.
//!
//! What no verifier can know without a witness: whether digests are missing after the last one.
//! [`ChainSummary::end`] says how far the proof reaches.
//!
//! A log file is judged by what it says (its uncompressed bytes), as digests do; bytes of a gzip
//! header that change nothing are not its contents.
//!
//! Two trails may share a place, and one of them may not make digests: its log files are reported as
//! unlisted. Set [`Options::unlisted_is_note`] for such buckets.
//!
//! Input is hostile: sizes are bounded before they are believed, names never leave the source's
//! root, and nothing here panics on bytes. Memory: the digests' names, 32 bytes per listed file, and
//! `concurrency` objects.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use crate::digest::ListedFile;
use crate::layout::{DigestKey, Folder, LogFileKey, ObjectKey, Place};

mod chain;
mod digest_check;
mod file_check;
mod report;
mod source;
#[cfg(test)]
mod tests;

pub use report::{ChainSummary, Finding, Problem, Report, Severity, Totals};
pub use source::{FolderSource, Source, SourceFault, SourceListing, SourceObject};

use chain::check_links;
use digest_check::{CheckedDigest, check_digest};
use file_check::check_file;

/// A public key that may have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// As ListPublicKeys says; must be the MD5 of `der`, or the key is not used.
    pub fingerprint: String,
    /// PKCS#1 `RSAPublicKey`, DER.
    pub der: Vec<u8>,
    /// When it was valid, if known. Digests that ended more than a day outside are reported.
    pub validity: Option<crate::keys::Validity>,
}

/// What to verify and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only keys that start so.
    pub prefix: String,
    /// Only digests that end after this. Needed where older digests have expired: without it, the
    /// first digest's predecessor is reported as missing.
    pub from: Option<Timestamp>,
    /// Only digests up to the one that covers this.
    pub to: Option<Timestamp>,
    /// Objects read at the same time, at least 1.
    pub concurrency: usize,
    /// The largest object that is read, in bytes.
    pub object_bytes_max: u64,
    /// The largest uncompressed size that is inflated, in bytes.
    pub plain_bytes_max: u64,
    /// Report log files that no digest lists as notes, not as errors.
    pub unlisted_is_note: bool,
    /// How long a file may take from the minute in its name until it lies in the bucket. One that
    /// is this close before the end of what digests cover may be listed by the next one: a note.
    pub late_delivery: SignedDuration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            prefix: String::new(),
            from: None,
            to: None,
            concurrency: 8,
            // AWS: at most 50 MB before compression; twice that for stores of others.
            object_bytes_max: 100_000_000,
            plain_bytes_max: 100_000_000,
            unlisted_is_note: false,
            late_delivery: SignedDuration::from_mins(5),
        }
    }
}

/// How far a verification is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Digests found.
    pub digests: u64,
    /// Digests checked.
    pub digests_done: u64,
    /// Log files in the digests checked so far.
    pub log_files: u64,
    /// Log files checked.
    pub log_files_done: u64,
    /// Compressed bytes read.
    pub bytes_read: u64,
}

/// Digests that must follow each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChainId {
    place: Place,
    trail_name: String,
    home_region: String,
    backfill: bool,
}

/// Verifies everything under `options.prefix`.
///
/// `progress` is called after every object, from this task. Fails only when the source cannot be
/// listed; an object that cannot be read is a finding.
pub async fn verify(
    source: &dyn Source,
    keys: &[KnownKey],
    options: &Options,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Report, SourceFault> {
    let mut run = Run::new(source, keys, options);
    let chains = run.find_chains().await?;
    let digests = chains.values().map(|keys| keys.len() as u64).sum();
    let told = Told(Mutex::new((Progress { digests, ..Progress::default() }, progress)));
    // Digests one after the other, the files they list beside them: the channel is short, so that a
    // long list waits in its digest and not in memory twice.
    let (sender, receiver) = mpsc::channel(options.concurrency.max(1) * 4);
    let (mut run, files) = tokio::join!(
        run.verify_chains(chains, sender, &told),
        verify_files(source, options, receiver, &told)
    );
    run.report.findings.extend(files.findings);
    run.report.totals.log_files_valid = files.valid;
    run.report.totals.log_files_invalid = files.invalid;
    run.find_unlisted().await?;
    Ok(run.finish(digests))
}

/// Who is told how far it is. Both sides of the channel tell, in the same task.
struct Told<'a>(Mutex<(Progress, &'a mut (dyn FnMut(Progress) + Send))>);

impl Told<'_> {
    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, progress) = &mut *told;
        change(at);
        progress(*at);
    }
}

/// A log file to check.
struct ListedIn {
    digest_name: Arc<str>,
    bucket: Option<Arc<str>>,
    file: ListedFile,
}

#[derive(Default)]
struct FilesChecked {
    findings: Vec<Finding>,
    valid: u64,
    invalid: u64,
}

async fn verify_files(
    source: &dyn Source,
    options: &Options,
    mut receiver: mpsc::Receiver<ListedIn>,
    told: &Told<'_>,
) -> FilesChecked {
    let mut checked = FilesChecked::default();
    let listed = futures::stream::poll_fn(|cx| receiver.poll_recv(cx));
    let mut checks = listed
        .map(|ListedIn { digest_name, bucket, file }| async move {
            check_file(source, options, bucket.as_deref(), &digest_name, file).await
        })
        .buffer_unordered(options.concurrency.max(1));
    while let Some((finding, bytes_read)) = checks.next().await {
        match finding {
            None => checked.valid += 1,
            Some(finding) => {
                checked.invalid += 1;
                checked.findings.push(finding);
            }
        }
        told.tell(|at| {
            at.log_files_done += 1;
            at.bytes_read += bytes_read;
        });
    }
    checked
}

struct Run<'a> {
    source: &'a dyn Source,
    keys: Vec<KnownKey>,
    options: &'a Options,
    /// The bucket's name: the source's, or the one that the first good digest claims.
    bucket: Option<String>,
    report: Report,
    /// SHA-256 of the keys of all listed files: 32 bytes each, whatever the key's length.
    listed: HashSet<[u8; 32]>,
    /// What intact digests cover, per place.
    covered: BTreeMap<Place, Vec<(Timestamp, Timestamp)>>,
    /// What missing and altered digests would have covered, per place.
    broken: BTreeMap<Place, Vec<(Timestamp, Timestamp)>>,
}

impl<'a> Run<'a> {
    fn new(source: &'a dyn Source, keys: &[KnownKey], options: &'a Options) -> Run<'a> {
        let genuine = |key: &&KnownKey| crate::keys::fingerprint(&key.der) == key.fingerprint;
        Run {
            source,
            keys: keys.iter().filter(genuine).cloned().collect(),
            options,
            bucket: source.bucket().map(str::to_owned),
            report: Report::default(),
            listed: HashSet::new(),
            covered: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Every digest in range, by chain, in order of its end.
    async fn find_chains(&mut self) -> Result<BTreeMap<ChainId, Vec<DigestKey>>, SourceFault> {
        let mut chains: BTreeMap<ChainId, Vec<DigestKey>> = BTreeMap::new();
        let mut listing = self.source.list(&self.options.prefix);
        while let Some(object) = listing.try_next().await? {
            match ObjectKey::parse(&object.key) {
                Some(ObjectKey::Digest(key)) => {
                    let id = ChainId {
                        place: key.place.clone(),
                        trail_name: key.trail_name.clone(),
                        home_region: key.home_region.clone(),
                        backfill: key.backfill,
                    };
                    chains.entry(id).or_default().push(key);
                }
                Some(ObjectKey::LogFile(_)) => self.report.totals.log_files_found += 1,
                Some(ObjectKey::Marker(_)) => {}
                None => self.report.totals.other_objects += 1,
            }
        }
        for keys in chains.values_mut() {
            keys.sort_by_key(|key| key.end);
            if let Some(from) = self.options.from {
                keys.retain(|key| key.end > from);
            }
            if let Some(to) = self.options.to {
                // With the one that covers `to`: files of the last moment are listed there.
                let last = keys.iter().position(|key| key.end > to).unwrap_or(keys.len());
                keys.truncate(last + 1);
            }
        }
        chains.retain(|_, keys| !keys.is_empty());
        Ok(chains)
    }

    async fn verify_chains(
        mut self,
        chains: BTreeMap<ChainId, Vec<DigestKey>>,
        sender: mpsc::Sender<ListedIn>,
        told: &Told<'_>,
    ) -> Run<'a> {
        for (id, digest_keys) in chains {
            self.verify_chain(&id, &digest_keys, &sender, told).await;
        }
        self
    }

    async fn verify_chain(
        &mut self,
        id: &ChainId,
        digest_keys: &[DigestKey],
        sender: &mpsc::Sender<ListedIn>,
        told: &Told<'_>,
    ) {
        let concurrency = self.options.concurrency.max(1);
        let (source, options) = (self.source, self.options);
        let known = Arc::new(self.keys.clone());
        let mut checks = futures::stream::iter(digest_keys.iter().cloned())
            .map(|key| check_digest(source, options, known.clone(), key))
            .buffered(concurrency);
        let mut previous: Option<CheckedDigest> = None;
        let mut summary: Option<ChainSummary> = None;
        while let Some((mut digest, findings, bytes_read)) = checks.next().await {
            self.check_bucket(&mut digest, findings);
            check_links(options, id, previous.as_ref(), &digest, &mut self.report);
            if let Some(span) = broken_before(previous.as_ref(), &digest) {
                self.broken.entry(id.place.clone()).or_default().push(span);
            }
            let files = digest.file.as_mut().map(|file| std::mem::take(&mut file.log_files));
            if let Some(file) = &digest.file {
                let span = (digest.start, digest.key.end);
                if digest.intact {
                    self.covered.entry(id.place.clone()).or_default().push(span);
                }
                let summary = summary.get_or_insert_with(|| ChainSummary::new(id, digest.start));
                summary.bucket.clone_from(&file.digest_s3_bucket);
                summary.end = digest.key.end;
                summary.digests += 1;
            }
            let files = files.unwrap_or_default();
            told.tell(|at| {
                at.digests_done += 1;
                at.bytes_read += bytes_read;
                at.log_files += files.len() as u64;
            });
            if digest.intact {
                self.note_listed(&digest.name, &files);
            }
            let digest_name: Arc<str> = digest.name.as_str().into();
            let bucket: Option<Arc<str>> = self.bucket.as_deref().map(Into::into);
            for file in files {
                let (digest_name, bucket) = (digest_name.clone(), bucket.clone());
                let listed = ListedIn { digest_name, bucket, file };
                sender
                    .send(listed)
                    .await
                    .expect("the receiver reads until the last sender is gone");
            }
            previous = Some(digest);
        }
        self.report.chains.extend(summary);
    }

    /// Where the source does not know its bucket's name, the first good digest tells it.
    fn check_bucket(&mut self, digest: &mut CheckedDigest, mut findings: Vec<Finding>) {
        if let Some(file) = &digest.file {
            match &self.bucket {
                None if digest.intact => self.bucket = Some(file.digest_s3_bucket.clone()),
                Some(bucket) if *bucket != file.digest_s3_bucket => {
                    digest.intact = false;
                    let detail =
                        format!("it says it lies in {}, not in {bucket}", file.digest_s3_bucket);
                    findings.push(Finding::error(Problem::DigestMoved, &digest.name, detail));
                }
                _ => {}
            }
        }
        if digest.intact {
            self.report.totals.digests_valid += 1;
        } else {
            self.report.totals.digests_invalid += 1;
        }
        self.report.findings.append(&mut findings);
    }

    /// Remembers what a genuine digest lists. What a forged one lists stays unlisted.
    fn note_listed(&mut self, digest_name: &str, files: &[ListedFile]) {
        for file in files {
            if !self.listed.insert(key_hash(&file.s3_object)) {
                let detail = format!("{digest_name} lists it again");
                let problem = Problem::LogFileListedTwice;
                self.report.findings.push(Finding::error(problem, &file.s3_object, detail));
            }
        }
    }

    /// Log files that lie where digests cover their minute and are in none, and objects among log
    /// files that CloudTrail would not have named so.
    async fn find_unlisted(&mut self) -> Result<(), SourceFault> {
        for spans in self.covered.values_mut() {
            merge(spans);
        }
        for spans in self.broken.values_mut() {
            merge(spans);
        }
        let mut listing = self.source.list(&self.options.prefix);
        while let Some(object) = listing.try_next().await? {
            if self.listed.contains(&key_hash(&object.key)) {
                continue;
            }
            let mut finding = match ObjectKey::parse(&object.key) {
                Some(ObjectKey::LogFile(key)) => match self.covers(&key) {
                    Coverage::None => continue,
                    Coverage::Broken => {
                        let detail = "the digest that should list it is missing or altered";
                        Finding::error(Problem::LogFileUnattested, &object.key, detail.to_owned())
                    }
                    Coverage::Whole => {
                        let detail = "no digest lists it although digests cover its minute";
                        Finding::error(Problem::LogFileUnlisted, &object.key, detail.to_owned())
                    }
                    Coverage::NearEnd => {
                        let detail = "no digest lists it; the next one may";
                        Finding::note(Problem::LogFileUnlisted, &object.key, detail.to_owned())
                    }
                },
                None if among_cloudtrails(&object.key) => {
                    let detail = "it lies among CloudTrail's files and is not named like one";
                    Finding::error(Problem::UnexpectedObject, &object.key, detail.to_owned())
                }
                _ => continue,
            };
            if self.options.unlisted_is_note {
                finding.severity = Severity::Note;
            }
            self.report.totals.unlisted += 1;
            self.report.findings.push(finding);
        }
        Ok(())
    }

    /// Whether digests cover the whole minute of delivery that is in the file's name.
    fn covers(&self, key: &LogFileKey) -> Coverage {
        let from = key.delivered_at;
        let to = from.saturating_add(SignedDuration::from_mins(1)).unwrap_or(Timestamp::MAX);
        let within = |spans: &BTreeMap<Place, Vec<(Timestamp, Timestamp)>>| {
            let spans = spans.get(&key.place)?;
            spans.iter().find(|(start, end)| *start <= from && to <= *end).copied()
        };
        match within(&self.covered) {
            Some((_, end)) if end.duration_since(to) < self.options.late_delivery => {
                Coverage::NearEnd
            }
            Some(_) => Coverage::Whole,
            None if within(&self.broken).is_some() => Coverage::Broken,
            None => Coverage::None,
        }
    }

    fn finish(mut self, digests: u64) -> Report {
        if digests == 0 {
            let detail = "there is no digest file here: nothing could be verified".to_owned();
            let finding = Finding::error(Problem::NoDigests, &self.options.prefix, detail);
            self.report.findings.push(finding);
        }
        self.report.findings.sort_by(|a, b| (&a.key, a.problem).cmp(&(&b.key, b.problem)));
        self.report
    }
}

/// The time that a digest should have covered and nothing genuine does.
fn broken_before(
    previous: Option<&CheckedDigest>,
    digest: &CheckedDigest,
) -> Option<(Timestamp, Timestamp)> {
    let since = previous.map(|previous| previous.key.end);
    let begins_again =
        digest.file.as_ref().is_some_and(|file| file.previous_digest_s3_object.is_none());
    match since {
        Some(since) if digest.intact && !begins_again && since < digest.start => {
            Some((since, digest.start))
        }
        _ if digest.intact || digest.unverifiable => None,
        since => Some((since.unwrap_or(digest.start), digest.key.end)),
    }
}

enum Coverage {
    None,
    Broken,
    NearEnd,
    Whole,
}

/// Whether a key that is not CloudTrail's lies in a folder of CloudTrail's, where readers of log
/// files would find it: `…AWSLogs/[o-org/]ACCOUNT/FOLDER/…`.
fn among_cloudtrails(key: &str) -> bool {
    let mut folders = key.split('/').skip_while(|folder| *folder != "AWSLogs").skip(1);
    key.ends_with(".gz") && folders.by_ref().take(3).any(|folder| Folder::parse(folder).is_some())
}

fn key_hash(key: &str) -> [u8; 32] {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    bytes
}

/// Joins spans that touch.
fn merge(spans: &mut Vec<(Timestamp, Timestamp)>) {
    spans.sort_unstable();
    let mut merged: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(spans.len());
    for (start, end) in spans.drain(..) {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    *spans = merged;
}
