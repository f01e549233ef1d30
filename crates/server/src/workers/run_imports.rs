//! Imports log files from buckets: StartImport's, the accounts in turn.
//!
//! ```text
//!   INITIALIZING   a turn lists one page of keys; the last page makes it
//!   IN_PROGRESS    a turn fetches and adds some files, commits the lake, then marks them in the catalog
//! ```
//! Stopped anywhere, the next start lists again (known keys stay as they are) and goes on with the
//! files that are not marked. Those that were committed and not marked are added again, which
//! changes nothing. A turn also drops what idle clients have left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    Deletion, EndedFile, FileOutcome, FoundFile, Import as ImportRow, ImportStatus, WaitingFile,
};
use delivery::destination::{DeliveryFailure, Destination, backoff};
use event::AccountId;
use event::arn::EventDataStoreArn;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::{SignedDuration, Timestamp};

use crate::chance;
use crate::imports::source::{Source, prefix_of};
use crate::lake::{FileFault, Import, ImportOptions, LakeFault, TableName};
use crate::node::Node;
use crate::workers::{More, Turn, Worker};

/// The lake commits after so many files, bytes or so long, whichever comes first.
const COMMIT_FILES: u32 = 64;
const COMMIT_BYTES: u64 = 200 << 20;
const COMMIT_AFTER: Duration = Duration::from_secs(30);
/// A file that fails for a reason that may pass is tried so often.
const ATTEMPTS_MAX: u32 = 5;
/// A message of ListImportFailures.
const MESSAGE_CHARS_MAX: usize = 1000;

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub struct RunImports {
    node: Arc<Node>,
    runs: HashMap<i64, Run>,
    /// The number of the import that had the last turn.
    last: i64,
}

/// What this run of the server has open of an import.
#[derive(Default)]
struct Run {
    source: Option<(Source, Arc<Destination>)>,
    import: Option<Box<dyn Import>>,
    /// Where the listing goes on.
    next_keys: Option<String>,
    failures: u32,
    /// It rests after a failure that may pass.
    resting_until: Duration,
}

/// Why an import cannot go on now.
enum Halt {
    /// It may pass: try again later.
    Rest(String),
    /// It will not.
    Fail {
        error_type: String,
        error: String,
    },
    Fault(Fault),
}

impl<E: Into<Fault>> From<E> for Halt {
    fn from(error: E) -> Halt {
        Halt::Fault(error.into())
    }
}

impl RunImports {
    pub fn new(node: Arc<Node>) -> RunImports {
        RunImports { node, runs: HashMap::new(), last: 0 }
    }

    /// One step of one import.
    async fn step(&mut self, import: &ImportRow) -> Result<(), Halt> {
        let now = self.node.clock.now();
        let run = self.runs.entry(import.number).or_default();
        if run.source.is_none() {
            let asked = &import.asked;
            let time = |ms: Option<i64>| ms.map(Timestamp::from_millisecond).transpose();
            let (from, to) = (time(asked.start_ms)?, time(asked.end_ms)?);
            let source = Source::parse(&asked.source.s3_location_uri, from, to);
            let source = source.ok_or_else(|| Halt::Fail {
                error_type: "InvalidImportSource".to_owned(),
                error: "The source is no S3 URI.".to_owned(),
            })?;
            let account = AccountId::parse(&asked.account).map_err(|e| Halt::Fail {
                error_type: "InternalFailure".to_owned(),
                error: e.to_string(),
            })?;
            let destination = self.node.source(&account, &source.bucket).map_err(|e| halted(&e))?;
            run.source = Some((source, destination));
        }
        match import.status {
            ImportStatus::Initializing => list(&self.node, import, run, now).await,
            _ => add_files(&self.node, import, run, now).await,
        }
    }

    async fn halt(&mut self, import: &ImportRow, halt: Halt) -> Result<(), Fault> {
        let run = self.runs.entry(import.number).or_default();
        // Whatever the lake had not committed is forgotten; its files still wait.
        run.import = None;
        match halt {
            Halt::Fault(fault) => return Err(fault),
            Halt::Rest(reason) => {
                tracing::warn!(import = import.asked.id, reason, "an import rests");
                run.failures = run.failures.saturating_add(1);
                let jitter = chance::fraction(self.node.chance.as_ref());
                run.resting_until = self.node.clock.elapsed() + backoff(run.failures, jitter);
            }
            Halt::Fail { error_type, error } => {
                tracing::warn!(import = import.asked.id, error_type, error, "an import failed");
                let now_ms = self.node.clock.now().as_millisecond();
                let uri = &import.asked.source.s3_location_uri;
                let catalog = &self.node.catalog;
                let error: String = error.chars().take(MESSAGE_CHARS_MAX).collect();
                catalog.fail_import(import.number, uri, &error_type, &error, now_ms).await?;
            }
        }
        Ok(())
    }
}

/// Enters one page of keys.
async fn list(node: &Node, import: &ImportRow, run: &mut Run, now: Timestamp) -> Result<(), Halt> {
    let Some((source, destination)) = &run.source else { return Ok(()) };
    let page = destination.list(&source.path, run.next_keys.as_deref()).await;
    let page = page.map_err(|failure| halted(&failure))?;
    let mut found = Vec::new();
    for object in page.objects {
        if source.wants(&object.key) {
            let prefix = prefix_of(&object.key).to_owned();
            found.push(FoundFile { prefix, key: object.key, bytes: object.size });
        }
    }
    let last = page.next.is_none();
    node.catalog.add_import_files(import.number, &found, last, now.as_millisecond()).await?;
    run.next_keys = page.next;
    Ok(())
}

/// Adds files until it is time to commit, commits, marks them; ends the import after the last one.
async fn add_files(
    node: &Node,
    import: &ImportRow,
    run: &mut Run,
    now: Timestamp,
) -> Result<(), Halt> {
    let waiting = node.catalog.import_files_waiting(import.number, COMMIT_FILES).await?;
    if waiting.is_empty() {
        let ended = node.catalog.complete_import(import.number, now.as_millisecond()).await?;
        tracing::info!(import = import.asked.id, status = ended.map(ImportStatus::name), "import");
        return Ok(());
    }
    if run.import.is_none() {
        run.import = Some(begin(node, import, now).await?);
    }
    let (Some(lake), Some((_, destination))) = (&run.import, &run.source) else { return Ok(()) };

    let stop = node.imports.watch(import.number);
    let started = node.clock.elapsed();
    let mut files = waiting.into_iter();
    let mut under_way = FuturesUnordered::new();
    let (mut ended, mut bytes) = (Vec::new(), 0);
    let mut halt = None;
    loop {
        let due = bytes >= COMMIT_BYTES
            || node.clock.elapsed().saturating_sub(started) >= COMMIT_AFTER
            || node.is_stopping()
            || halt.is_some();
        while !due && under_way.len() < node.settings.imports.files_at_once.max(1) {
            let Some(file) = files.next() else { break };
            bytes += file.bytes;
            under_way.push(add_file(node, destination, lake.as_ref(), file));
        }
        let next = tokio::select! {
            next = under_way.next() => next,
            // What is under way is given up: it counts for nothing before the commit.
            () = stop.cancelled() => None,
        };
        match next {
            None => break,
            Some(Ok(file)) => ended.push(file),
            Some(Err(fault)) => halt = Some(fault),
        }
    }
    drop(under_way);
    if let Some(halt @ (Halt::Fail { .. } | Halt::Fault(_))) = halt {
        return Err(halt);
    }
    let imported = lake.commit().await.map_err(of_lake)?;
    node.metrics.imported(imported.rows);
    // Stopped here, these files are added again, and every event of theirs is known.
    let now_ms = node.clock.now().as_millisecond();
    node.catalog.import_files_ended(import.number, &ended, now_ms).await?;
    match halt {
        Some(halt) => Err(halt),
        None if ended.iter().any(|file| matches!(file.outcome, FileOutcome::Again { .. })) => {
            Err(Halt::Rest("the store failed; see ListImportFailures".to_owned()))
        }
        None => {
            run.failures = 0;
            Ok(())
        }
    }
}

/// Opens the lake's side of an import into a store that must still be there.
async fn begin(node: &Node, import: &ImportRow, now: Timestamp) -> Result<Box<dyn Import>, Halt> {
    let gone = || Halt::Fail {
        error_type: "InactiveEventDataStore".to_owned(),
        error: format!("Event data store {} is not active.", import.asked.store_arn),
    };
    let arn = EventDataStoreArn::parse(&import.asked.store_arn)?;
    let store = node.catalog.event_data_store(arn.id).await?.ok_or_else(gone)?;
    if store.state.deletion != Deletion::None {
        return Err(gone());
    }
    let retention = SignedDuration::from_hours(24 * i64::from(store.state.retention_days));
    let options = ImportOptions {
        account: AccountId::parse(&import.asked.account)?,
        from: now.saturating_sub(retention).ok(),
    };
    node.lake.import(&TableName::of_store(&store.id), options).await.map_err(of_lake)
}

/// Fetches a file and adds it. An error concerns more than this file.
async fn add_file(
    node: &Node,
    destination: &Destination,
    lake: &dyn Import,
    file: WaitingFile,
) -> Result<EndedFile, Halt> {
    let bytes_max = node.settings.imports.file_bytes_max;
    let size = usize::try_from(file.bytes).unwrap_or(usize::MAX).min(bytes_max);
    let _held = node.imports.budget.hold(size).await;
    let ended = |outcome| Ok(EndedFile { number: file.number, outcome });
    let failed = |error_type: &str, error: String, events| {
        let error = error.chars().take(MESSAGE_CHARS_MAX).collect();
        ended(FileOutcome::Failed { error_type: error_type.to_owned(), error, events })
    };
    let object = match destination.get(&file.key, bytes_max as u64).await {
        Ok(Some(object)) => object,
        Ok(None) => return failed("NoSuchKey", "The object is not there any more.".to_owned(), 0),
        Err(failure) if failure.code == "NoSuchBucket" => return Err(halted(&failure)),
        Err(failure) if failure.retry && file.attempts + 1 < ATTEMPTS_MAX => {
            let (error_type, error) = (failure.code, failure.detail);
            return ended(FileOutcome::Again { error_type, error });
        }
        Err(failure) => return failed(&failure.code, failure.detail, 0),
    };
    match lake.add(&file.key, object.bytes).await {
        Ok(read) if read.refused_count > 0 => {
            let first = read.refused.first().map_or("", String::as_str);
            let error = format!("{} records were refused; the first: {first}", read.refused_count);
            failed("RefusedRecords", error, read.events)
        }
        Ok(read) => ended(FileOutcome::Done { events: read.events }),
        Err(FileFault::Unreadable(error)) => failed("UnreadableFile", error, 0),
        Err(FileFault::Lake(fault)) => Err(of_lake(fault)),
    }
}

/// What a failing store means for the import as a whole.
fn halted(failure: &DeliveryFailure) -> Halt {
    match failure.retry {
        true => Halt::Rest(failure.to_string()),
        false => Halt::Fail { error_type: failure.code.clone(), error: failure.detail.clone() },
    }
}

fn of_lake(fault: LakeFault) -> Halt {
    match fault {
        LakeFault::NoSuchTable(_) => Halt::Fail {
            error_type: "InactiveEventDataStore".to_owned(),
            error: "The event data store was removed.".to_owned(),
        },
        LakeFault::Damaged { .. } => {
            tracing::error!(error = &fault as &dyn std::error::Error, "an import stopped");
            Halt::Fail { error_type: "InternalFailure".to_owned(), error: fault.told() }
        }
        LakeFault::Full { .. } | LakeFault::Store { .. } | LakeFault::BeginAgain { .. } => {
            Halt::Rest(fault.to_string())
        }
    }
}

#[async_trait]
impl Worker for RunImports {
    async fn tick(&mut self) -> Turn {
        let elapsed = self.node.clock.elapsed();
        let dropped =
            self.node.imports.open.drop_idle(elapsed, self.node.settings.imports.idle_max);
        if dropped > 0 {
            tracing::info!(dropped, "imports of clients that have gone");
        }
        let ongoing = self.node.catalog.ongoing_imports().await?;
        self.runs.retain(|number, _| {
            let goes_on = ongoing.iter().any(|import| import.number == *number);
            if !goes_on {
                self.node.imports.unwatch(*number);
            }
            goes_on
        });
        if self.node.is_stopping() {
            return Ok(More::No);
        }
        let ready = |import: &&ImportRow| {
            self.runs.get(&import.number).is_none_or(|run| run.resting_until <= elapsed)
        };
        let after = ongoing.iter().filter(ready).find(|import| import.number > self.last);
        let Some(import) = after.or_else(|| ongoing.iter().find(ready)) else {
            return Ok(More::No);
        };
        self.last = import.number;
        if let Err(halt) = self.step(import).await {
            self.halt(import, halt).await?;
        }
        Ok(More::Yes)
    }
}
