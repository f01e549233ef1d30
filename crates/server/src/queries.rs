//! Queries: from a statement in the catalog to its rows.
//!
//! ```text
//!   StartQuery ─ no place ─▶ catalog: QUEUED ─▶ run_queries ─▶ RUNNING ─ lake ─▶ data/queries/ID.rows.tmp
//!       │ a place is free                           ▲  │                            │ whole and synced
//!       └─ begun at once, beside its entry: RUNNING ┘  ▼                            ▼
//!                       FINISHED … in the catalog, with small results ◀────────── ID.rows
//!                                                                  ─▶ deliver_query_results ─▶ S3
//! ```
//! Most queries take less time than it takes to make one durable that waits, so a query runs while it
//! is entered; nobody learns of its result before both are done.
//!
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

use catalog::{Deletion, NewQuery, QueryEnd, QueryStatistics, QueryStatus, QueryStore};
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lake::{Ask, LakeFault, Prepared, Progress, QueryFault, QueryLimits, Readable};
use crate::node::Node;
use crate::operations::event_data_stores;
use results::{Results, ResultsWriter, Row};

/// How long the lake may take to notice that nobody wants the answer any more.
const GRACE: Duration = Duration::from_millis(800);
/// A prepared query shows its tables as they were: one that waits in the queue is prepared again.
const KEPT_MAX: Duration = Duration::from_secs(1);
/// API reference: ErrorMessage has at most 1000 characters.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Why a result cannot be read: it goes to our log.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What runs now.
#[derive(Debug)]
pub struct Queries {
    folder: PathBuf,
    running: Mutex<HashMap<String, Arc<Running>>>,
    /// Something may have been queued since the last look.
    queued: AtomicBool,
    /// Some are queued for which there was no place.
    crowded: AtomicBool,
    /// Begun by StartQuery, until the worker takes them.
    begun: Mutex<Vec<BegunQuery>>,
    woken: Notify,
    /// Queries that StartQuery has just prepared, until they run.
    kept: Mutex<HashMap<String, Kept>>,
    /// How many have ended: changes tell those who wait for one.
    ended: watch::Sender<u64>,
}

/// A query that runs while it is entered in the catalog.
pub struct BegunQuery {
    pub asked: NewQuery,
    pub running: Arc<Running>,
    pub prepared: Box<dyn Prepared>,
    pub entered: oneshot::Receiver<()>,
}

impl std::fmt::Debug for BegunQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BegunQuery").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// Whoever enters a query that has begun holds this. Dropped before, the query ends without a trace.
#[derive(Debug)]
pub struct Entering {
    running: Arc<Running>,
    entered: Option<oneshot::Sender<()>>,
}

impl Entering {
    /// The catalog has it, running.
    pub fn done(mut self) {
        if let Some(entered) = self.entered.take() {
            // Without a receiver the worker is gone, and the server with it.
            let _ = entered.send(());
        }
    }
}

impl Drop for Entering {
    fn drop(&mut self) {
        if self.entered.is_some() {
            self.running.cancelled.cancel();
        }
    }
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
            crowded: AtomicBool::new(false),
            begun: Mutex::default(),
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

    /// A place is free: whoever was queued for want of one may have it.
    pub fn freed(&self) {
        if self.crowded.load(Ordering::Acquire) {
            self.wake();
        }
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

    /// There is room for no more: those that are queued come first.
    pub fn set_crowded(&self, crowded: bool) {
        self.crowded.store(crowded, Ordering::Release);
    }

    pub fn running_count(&self) -> usize {
        self.lock().len()
    }

    pub fn is_running(&self, id: &str) -> bool {
        self.lock().contains_key(id)
    }

    /// Begins a query that is not in the catalog yet, if there is a place and none waits for one; else
    /// gives `prepared` back.
    pub fn begin_at_once(
        &self,
        asked: &NewQuery,
        prepared: Box<dyn Prepared>,
        at_once_max: usize,
    ) -> Result<Entering, Box<dyn Prepared>> {
        let mut all = self.lock();
        let others_wait =
            self.queued.load(Ordering::Acquire) || self.crowded.load(Ordering::Acquire);
        if others_wait || all.len() >= at_once_max {
            return Err(prepared);
        }
        let running = Arc::new(Running::default());
        all.insert(asked.id.clone(), running.clone());
        drop(all);
        let (sender, entered) = oneshot::channel();
        let begun =
            BegunQuery { asked: asked.clone(), running: running.clone(), prepared, entered };
        self.lock_begun().push(begun);
        self.woken.notify_one();
        Ok(Entering { running, entered: Some(sender) })
    }

    /// What has been begun since the last time.
    pub fn take_begun(&self) -> Vec<BegunQuery> {
        std::mem::take(&mut self.lock_begun())
    }

    fn lock_begun(&self) -> MutexGuard<'_, Vec<BegunQuery>> {
        self.begun.lock().expect("no holder of this lock can panic")
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

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// To be entered.
    Ended(QueryEnd),
    /// Cancelled: the catalog knows.
    Cancelled,
    /// Whether the catalog has the query is not known. If it has, it is to run again.
    NotEntered,
}

/// Runs a query to its end. `begun` is what one has that is not known to be in the catalog.
pub async fn run(
    node: &Node,
    asked: &NewQuery,
    running: &Running,
    begun: Option<(Box<dyn Prepared>, oneshot::Receiver<()>)>,
) -> Ending {
    let started = node.clock.elapsed();
    let time_max = node.settings.queries.time_max;
    let (prepared, entered) = begun.unzip();
    let mut writer = None;
    let outcome = {
        let work = answer(node, asked, prepared, running, &mut writer);
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
    let is_entered = match entered {
        Some(entered) => entered.await.is_ok(),
        None => true,
    };
    let rows = writer.as_ref().map_or(0, ResultsWriter::rows);
    let (status, error) = match outcome {
        Outcome::Cancelled => (QueryStatus::Cancelled, None),
        Outcome::Ended(Ok(())) => (QueryStatus::Finished, None),
        // AWS: what was found until then can be read, but is not delivered.
        Outcome::TimedOut => (
            QueryStatus::TimedOut,
            Some(format!("The query ran longer than {} seconds.", time_max.as_secs_f64())),
        ),
        Outcome::Ended(Err(fault)) => (QueryStatus::Failed, Some(message(asked, fault))),
    };
    let has_result = matches!(status, QueryStatus::Finished | QueryStatus::TimedOut) && is_entered;
    let kept = match writer {
        None => Ok(None),
        Some(writer) if has_result => writer.finish().await,
        Some(writer) => {
            writer.discard().await;
            Ok(None)
        }
    };
    if !is_entered {
        return Ending::NotEntered;
    }
    let (status, error, rows, result) = match (status, kept) {
        (QueryStatus::Cancelled, _) => return Ending::Cancelled,
        (QueryStatus::Failed, _) => (status, error, 0, None),
        (_, Ok(result)) => (status, error, rows, result),
        (_, Err(fault)) => {
            tracing::warn!(error = &fault as &dyn std::error::Error, "results not kept");
            let error = "The query's results could not be kept.".to_owned();
            (QueryStatus::Failed, Some(error), 0, None)
        }
    };
    let took = node.clock.elapsed().saturating_sub(started);
    Ending::Ended(QueryEnd {
        status,
        error: error.map(|text| text.chars().take(MESSAGE_CHARS_MAX).collect()),
        statistics: QueryStatistics {
            execution_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            rows,
            ..scanned(&running.progress)
        },
        ended_ms: node.clock.now().as_millisecond(),
        result,
    })
}

enum Outcome {
    Ended(Result<(), QueryFault>),
    TimedOut,
    Cancelled,
}

async fn answer(
    node: &Node,
    asked: &NewQuery,
    prepared: Option<Box<dyn Prepared>>,
    running: &Running,
    writer: &mut Option<ResultsWriter>,
) -> Result<(), QueryFault> {
    let prepared = match prepared {
        Some(prepared) => prepared,
        None => prepared_again(node, asked).await?,
    };
    let writer = writer.insert(ResultsWriter::new(
        node.disk.clone(),
        node.queries.path(&asked.id),
        prepared.columns(),
        node.settings.queries.result_bytes_max,
    ));
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

/// A query that waited. Its stores may be gone meanwhile.
async fn prepared_again(node: &Node, asked: &NewQuery) -> Result<Box<dyn Prepared>, QueryFault> {
    let mut tables = HashMap::new();
    for store in &asked.stores {
        tables.insert(store.name.clone(), readable(node, store).await?);
    }
    if let Some(prepared) = node.queries.take_kept(&asked.id, node.clock.elapsed()) {
        return Ok(prepared);
    }
    let ask = ask(node, asked.statement.clone(), asked.parameters.clone(), tables);
    node.lake.prepare(ask).await
}

/// Some rows of a result.
#[derive(Debug)]
pub struct Page {
    pub columns: Vec<String>,
    /// Of the whole result.
    pub row_count: u64,
    pub rows: Vec<Row>,
}

/// The rows of an ended query, from number `from` on; `None` if it has no result.
pub async fn page(
    node: &Node,
    id: &str,
    from: u64,
    rows_max: usize,
    bytes_max: usize,
) -> Result<Option<Page>, Fault> {
    let page = move |mut results: Results| {
        let rows = results.rows(from, rows_max, bytes_max)?;
        let (columns, row_count) = (results.columns().to_vec(), results.row_count());
        Ok::<_, Fault>(Page { columns, row_count, rows })
    };
    let path = node.queries.path(id);
    if let Some(bytes) = node.catalog.query_result(id).await? {
        return page(Results::of(&path, bytes)?).map(Some);
    }
    let read = move || Results::open(&path)?.map(page).transpose();
    tokio::task::spawn_blocking(read).await?
}

/// The result of an ended query, if it has one.
pub async fn results(node: &Node, id: &str) -> Result<Option<Results>, Fault> {
    let path = node.queries.path(id);
    Ok(match node.catalog.query_result(id).await? {
        Some(bytes) => Some(Results::of(&path, bytes)?),
        None => tokio::task::spawn_blocking(move || Results::open(&path)).await??,
    })
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
        Deletion::None => Ok(event_data_stores::readable(&found)),
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
fn message(asked: &NewQuery, fault: QueryFault) -> String {
    match fault {
        QueryFault::Lake(LakeFault::NoSuchTable(name)) => {
            format!("Event data store {name} was deleted after the query was started.")
        }
        QueryFault::Lake(fault) => {
            let id = &asked.id;
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
