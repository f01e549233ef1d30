//! Queries: from a statement in the catalog to rows in a file.
//!
//! ```text
//!   StartQuery ─▶ catalog: QUEUED ─▶ run_queries ─▶ RUNNING ─ lake ─▶ data/queries/ID.rows.tmp
//!        CancelQuery ─▶ CANCELLED        │                                │ whole and synced
//!                                        ▼                                ▼
//!                               FINISHED … in the catalog ◀────────── ID.rows ─▶ deliver_query_results ─▶ S3
//! ```
//! A query only reads, so one that was running when the server stopped runs again from its start;
//! one that has stopped the server twice fails. [`results`] is the file, [`delivered`] what goes to
//! a bucket.

pub mod delivered;
pub mod results;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use catalog::{Deletion, Query, QueryEnd, QueryStatistics, QueryStatus, QueryStore};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lake::{
    Ask, LakeFault, Prepared, Progress, QueryFault, QueryLimits, Readable, TableName,
};
use crate::node::Node;
use results::ResultsWriter;

/// How long the lake may take to notice that nobody wants the answer any more.
const GRACE: Duration = Duration::from_millis(800);
/// A prepared query shows its tables as they were: one that waits in the queue is prepared again.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// API reference: ErrorMessage has at most 1000 characters.
const MESSAGE_CHARS_MAX: usize = 1000;

/// What runs now.
#[derive(Debug)]
pub struct Queries {
    folder: PathBuf,
    running: Mutex<HashMap<String, Arc<Running>>>,
    /// Something may have been queued since the last look.
    queued: AtomicBool,
    woken: Notify,
    /// Queries that StartQuery has just prepared, until they run.
    kept: Mutex<HashMap<String, Kept>>,
    /// How many have ended: changes tell those who wait for one.
    ended: watch::Sender<u64>,
}

struct Kept {
    prepared: Box<dyn Prepared>,
    at: Duration,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("at", &self.at).finish_non_exhaustive()
    }
}

/// A running query, for those who ask for it or end it.
#[derive(Debug, Default)]
pub struct Running {
    pub cancelled: CancellationToken,
    pub progress: Arc<Progress>,
}

impl Queries {
    pub fn new(data: &Path) -> Queries {
        Queries {
            folder: data.join("queries"),
            running: Mutex::default(),
            // A run before this one may have left some.
            queued: AtomicBool::new(true),
            woken: Notify::new(),
            kept: Mutex::default(),
            ended: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Running>>> {
        self.running.lock().expect("no holder of this lock can panic")
    }

    /// Where the result of a query is kept.
    pub fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.rows"))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A query has been queued.
    pub fn wake(&self) {
        self.queued.store(true, Ordering::Release);
        self.woken.notify_one();
    }

    /// Keeps what StartQuery has prepared at `now` of the monotonic clock.
    pub fn keep(&self, id: &str, prepared: Box<dyn Prepared>, now: Duration) {
        let mut kept = self.lock_kept();
        kept.retain(|_, one| one.at + KEPT_MAX >= now);
        kept.insert(id.to_owned(), Kept { prepared, at: now });
    }

    /// What was kept for a query, if it is still fresh.
    fn take_kept(&self, id: &str, now: Duration) -> Option<Box<dyn Prepared>> {
        let kept = self.lock_kept().remove(id)?;
        (kept.at + KEPT_MAX >= now).then_some(kept.prepared)
    }

    fn lock_kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.kept.lock().expect("no holder of this lock can panic")
    }

    /// Waits for the next [`Queries::wake`], or returns at once after one that nobody has waited for.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Tells whenever a query has ended.
    pub fn ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// May there be queued queries? Asks once for each [`Queries::wake`].
    pub fn take_queued(&self) -> bool {
        self.queued.swap(false, Ordering::AcqRel)
    }

    pub fn begin(&self, id: &str) -> Arc<Running> {
        let running = Arc::new(Running::default());
        self.lock().insert(id.to_owned(), running.clone());
        running
    }

    pub fn end(&self, id: &str) {
        self.lock().remove(id);
        self.ended.send_modify(|count| *count += 1);
    }

    /// Ends the run of a query that the catalog says is cancelled.
    pub fn cancel(&self, id: &str) {
        if let Some(running) = self.lock().get(id) {
            running.cancelled.cancel();
        }
    }

    /// How far a running query is.
    pub fn progress(&self, id: &str) -> Option<Arc<Progress>> {
        self.lock().get(id).map(|running| running.progress.clone())
    }
}

/// Runs a query to its end; `None` if the server is stopping or the query was cancelled, so that
/// there is nothing to enter.
pub async fn run(node: &Node, query: &Query, running: &Running) -> Option<QueryEnd> {
    let started = node.clock.elapsed();
    let time_max = node.settings.queries.time_max;
    let path = node.queries.path(&query.asked.id);
    let mut writer = None;
    let outcome = {
        let work = answer(node, query, running, &mut writer, &path);
        tokio::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => Outcome::Ended(done),
            () = running.cancelled.cancelled() => {
                let _ = tokio::time::timeout(GRACE, work).await;
                Outcome::Cancelled
            }
            () = tokio::time::sleep(time_max) => {
                running.cancelled.cancel();
                let _ = tokio::time::timeout(GRACE, work).await;
                Outcome::TimedOut
            }
        }
    };
    let rows = writer.as_ref().map_or(0, ResultsWriter::rows);
    let (status, error) = match outcome {
        Outcome::Cancelled => {
            if let Some(writer) = writer {
                writer.discard().await;
            }
            return None;
        }
        Outcome::Ended(Ok(())) => (QueryStatus::Finished, None),
        // AWS: what was found until then can be read, but is not delivered.
        Outcome::TimedOut => (
            QueryStatus::TimedOut,
            Some(format!("The query ran longer than {} seconds.", time_max.as_secs_f64())),
        ),
        Outcome::Ended(Err(fault)) => (QueryStatus::Failed, Some(message(query, fault))),
    };
    let (status, error, rows) = match (status, writer) {
        (QueryStatus::Failed, writer) => {
            if let Some(writer) = writer {
                writer.discard().await;
            }
            (status, error, 0)
        }
        (_, None) => (status, error, 0),
        (_, Some(writer)) => match writer.finish().await {
            Ok(()) => (status, error, rows),
            Err(fault) => {
                tracing::warn!(error = &fault as &dyn std::error::Error, "results not kept");
                let error = "The query's results could not be kept.".to_owned();
                (QueryStatus::Failed, Some(error), 0)
            }
        },
    };
    let took = node.clock.elapsed().saturating_sub(started);
    Some(QueryEnd {
        status,
        error: error.map(|text| text.chars().take(MESSAGE_CHARS_MAX).collect()),
        statistics: QueryStatistics {
            execution_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows,
            ..scanned(&running.progress)
        },
        ended_ms: node.clock.now().as_millisecond(),
    })
}

enum Outcome {
    Ended(Result<(), QueryFault>),
    TimedOut,
    Cancelled,
}

async fn answer(
    node: &Node,
    query: &Query,
    running: &Running,
    writer: &mut Option<ResultsWriter>,
    path: &Path,
) -> Result<(), QueryFault> {
    let asked = &query.asked;
    let mut tables = HashMap::new();
    for store in &asked.stores {
        tables.insert(store.name.clone(), readable(node, store).await?);
    }
    let prepared = match node.queries.take_kept(&asked.id, node.clock.elapsed()) {
        Some(prepared) => prepared,
        None => {
            let ask = ask(node, asked.statement.clone(), asked.parameters.clone(), tables);
            node.lake.prepare(ask).await?
        }
    };
    let created = ResultsWriter::create(
        node.disk.clone(),
        path.to_owned(),
        prepared.columns(),
        node.settings.queries.result_bytes_max,
    );
    let created = created.await.map_err(|fault| {
        tracing::warn!(error = &fault as &dyn std::error::Error, "results cannot be kept");
        QueryFault::Sink("The query's results could not be kept.".to_owned())
    })?;
    let writer = writer.insert(created);
    prepared.run(writer, running.progress.clone(), running.cancelled.clone()).await
}

/// A query within this node's limits.
pub fn ask(
    node: &Node,
    statement: String,
    parameters: Vec<String>,
    tables: HashMap<String, Readable>,
) -> Ask {
    let settings = &node.settings.queries;
    Ask {
        statement,
        parameters,
        tables,
        limits: QueryLimits {
            memory_bytes_max: settings.memory_bytes_max,
            spill_folder: node.settings.data.join("spill"),
            spill_bytes_max: settings.spill_bytes_max,
            threads: settings.threads,
        },
    }
}

/// The store's table, if the store is still there.
async fn readable(node: &Node, store: &QueryStore) -> Result<Readable, QueryFault> {
    let gone = || QueryFault::Lake(LakeFault::NoSuchTable(store.name.clone()));
    let id = Uuid::try_parse(&store.name).map_err(|_| gone())?;
    let found = node.catalog.event_data_store(id).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
        QueryFault::Lake(LakeFault::Store {
            table: store.name.clone(),
            detail: "the catalog does not answer".to_owned(),
        })
    })?;
    let found = found.filter(|found| found.arn == store.arn).ok_or_else(gone)?;
    match found.state.deletion {
        Deletion::None => Ok(Readable { table: TableName::of_store(&found.id), account: None }),
        Deletion::Pending { .. } | Deletion::Removing => Err(gone()),
    }
}

/// What a query has read so far.
pub fn scanned(progress: &Progress) -> QueryStatistics {
    QueryStatistics {
        events_matched: progress.events_matched.load(Ordering::Relaxed),
        events_scanned: progress.events_scanned.load(Ordering::Relaxed),
        bytes_scanned: progress.bytes_scanned.load(Ordering::Relaxed),
        ..QueryStatistics::default()
    }
}

/// What the one who asked is told; causes inside go to our log.
fn message(query: &Query, fault: QueryFault) -> String {
    match fault {
        QueryFault::Lake(LakeFault::NoSuchTable(name)) => {
            format!("Event data store {name} was deleted after the query was started.")
        }
        QueryFault::Lake(fault) => {
            let id = &query.asked.id;
            tracing::error!(query = id, error = &fault as &dyn std::error::Error, "a query failed");
            fault.told()
        }
        QueryFault::Statement { message, position } => worded(&message, position),
        QueryFault::Sink(message) => message,
        other => other.to_string(),
    }
}

/// A fault of a statement with its place, as Trino writes it.
pub fn worded(message: &str, position: Option<crate::lake::Position>) -> String {
    match position {
        Some(at) => format!("line {}:{}: {message}", at.line, at.column),
        None => message.to_owned(),
    }
}
