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
mod running;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catalog::{Deletion, NewQuery, QueryEnd, QueryStatistics, QueryStatus, QueryStore};
use futures::FutureExt as _;
use tokio::sync::oneshot;
use uuid::Uuid;

pub use running::{Entering, Queries, Running};

use crate::lake::{Ask, LakeFault, Prepared, Progress, QueryFault, QueryLimits, Readable};
use crate::node::Node;
use crate::operations::event_data_stores;
use results::{Results, ResultsWriter, Row};

/// How long the lake may take to notice that nobody wants the answer any more.
const GRACE: Duration = Duration::from_millis(800);
/// API reference: ErrorMessage has at most 1000 characters.
const MESSAGE_CHARS_MAX: usize = 1000;

/// Why a result cannot be read: it goes to our log.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// How a run ended.
#[derive(Debug, Clone)]
pub enum Ending {
    /// To be entered.
    Ended(QueryEnd),
    /// Cancelled: the catalog knows.
    Cancelled,
    /// Whether the catalog has the query is not known. If it has, it is to run again.
    NotEntered,
}

/// What one has of a query that is not known to be in the catalog.
struct Begun {
    prepared: Box<dyn Prepared>,
    entered: oneshot::Receiver<()>,
}

/// Begins a query that is not in the catalog yet, if there is a place and none waits for one; else
/// gives `prepared` back.
pub fn begin_at_once(
    node: &Arc<Node>,
    asked: &NewQuery,
    prepared: Box<dyn Prepared>,
) -> Result<Entering, Box<dyn Prepared>> {
    let at_once_max = node.settings.queries.at_once_max;
    let Some(running) = node.queries.take_place(&asked.id, at_once_max) else {
        return Err(prepared);
    };
    let (sender, entered) = oneshot::channel();
    start(node, asked.clone(), running.clone(), Some(Begun { prepared, entered }));
    Ok(Entering::new(running, sender))
}

/// Runs a query that the catalog has as running.
pub fn begin(node: &Arc<Node>, asked: NewQuery, running: Arc<Running>) {
    start(node, asked, running, None);
}

/// A task of its own runs the query and enters how it ended.
fn start(node: &Arc<Node>, asked: NewQuery, running: Arc<Running>, begun: Option<Begun>) {
    let task = {
        let node = node.clone();
        async move {
            let (prepared, mut entered) =
                begun.map(|begun| (begun.prepared, begun.entered)).unzip();
            let ran = run(&node, &asked, &running, prepared, &mut entered);
            let ending = match AssertUnwindSafe(ran).catch_unwind().await {
                Ok(ending) => ending,
                Err(_) => panicked(&node, &asked, is_entered(&mut entered).await),
            };
            if let Err(error) = enter(&node, &asked.id, &ending).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(query = asked.id, error, "the end of a query is entered later");
                node.queries.enter_later(asked.id, ending);
            }
        }
    };
    node.queries.spawn(task);
}

/// A mistake in the lake costs this query and no other.
fn panicked(node: &Node, asked: &NewQuery, is_entered: bool) -> Ending {
    tracing::error!(query = asked.id, "a query's task failed");
    if !is_entered {
        return Ending::NotEntered;
    }
    Ending::Ended(QueryEnd {
        status: QueryStatus::Failed,
        error: Some("The query failed because of an internal error.".to_owned()),
        statistics: QueryStatistics::default(),
        ended_ms: node.clock.now().as_millisecond(),
        result: None,
    })
}

/// Waits until the catalog has the query, if it has not had it. False: it is not known to have it.
async fn is_entered(entered: &mut Option<oneshot::Receiver<()>>) -> bool {
    match entered.take() {
        Some(entered) => entered.await.is_ok(),
        None => true,
    }
}

/// Enters how a query ended, and gives its place back. To do so twice is harmless.
pub async fn enter(node: &Node, id: &str, ending: &Ending) -> Result<(), catalog::CatalogError> {
    match ending {
        Ending::Ended(end) => {
            if node.catalog.end_query(id, end).await? {
                node.metrics.query_ended(end.status.name());
            }
            node.queries.end(id);
        }
        Ending::Cancelled => node.queries.end(id),
        Ending::NotEntered => {
            // Before it is queued: then it may begin again at any moment.
            node.queries.end(id);
            node.catalog.put_back_query(id).await?;
            node.queries.wake();
        }
    }
    Ok(())
}

/// Runs a query to its end.
async fn run(
    node: &Node,
    asked: &NewQuery,
    running: &Running,
    prepared: Option<Box<dyn Prepared>>,
    entered: &mut Option<oneshot::Receiver<()>>,
) -> Ending {
    let started = node.clock.elapsed();
    let time_max = node.settings.queries.time_max;
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
    let is_entered = is_entered(entered).await;
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
