//! All background work, in one table. A worker does one turn when told to and says whether there
//! is more; tests call turns, never loops.

mod aggregate_data_events;
mod deliver_logs;
mod deliver_query_results;
mod forget_queries;
mod index_events;
mod list_federated;
mod maintain_tables;
mod make_digests;
mod note_ingestions;
mod note_key_uses;
mod put_digests;
mod put_log_files;
mod refresh_dashboards;
mod run_imports;
mod run_queries;
mod trim_journal;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use delivery::destination::within_horizon;
use futures::FutureExt as _;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use aggregate_data_events::AggregateDataEvents;
pub use deliver_logs::DeliverLogs;
pub use deliver_query_results::DeliverQueryResults;
pub use forget_queries::ForgetQueries;
pub use index_events::IndexEvents;
pub use list_federated::ListFederated;
pub use maintain_tables::MaintainTables;
pub use make_digests::MakeDigests;
pub use note_ingestions::NoteIngestions;
pub use note_key_uses::NoteKeyUses;
pub use put_digests::PutDigests;
pub use put_log_files::PutLogFiles;
pub use refresh_dashboards::RefreshDashboards;
pub use run_imports::RunImports;
pub use run_queries::RunQueries;
pub use trim_journal::TrimJournal;

use crate::node::Node;

/// Is there more to do at once?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    Yes,
    No,
}

/// What a turn comes to. Errors are only ever logged.
pub type Turn = Result<More, Box<dyn std::error::Error + Send + Sync>>;

#[async_trait]
pub trait Worker: Send {
    /// One turn. An error is logged and the turn is tried again later, so a turn must leave its
    /// state such that doing it again is harmless.
    async fn tick(&mut self) -> Turn;

    /// Waits until the next turn is due: for `pause`, or until there is something to do.
    async fn rest(&mut self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }

    /// What is worth doing once more when the server stops.
    async fn last(&mut self) -> Turn {
        Ok(More::No)
    }
}

/// A row of the table: name, rest between turns, worker.
pub type Row = (&'static str, Duration, Box<dyn Worker>);

/// The table.
pub fn table(node: &Arc<Node>) -> Result<Vec<Row>, crate::node::OpenError> {
    let ms = Duration::from_millis;
    Ok(vec![
        ("deliver_logs", ms(50), Box::new(DeliverLogs::new(node.clone())?)),
        ("aggregate_data_events", ms(1_000), Box::new(AggregateDataEvents::new(node.clone()))),
        // Often: what is accepted is to be found within a second.
        ("index_events", ms(50), Box::new(IndexEvents::new(node.clone())?)),
        ("list_federated", ms(250), Box::new(ListFederated::new(node.clone()))),
        ("maintain_tables", ms(3_000), Box::new(MaintainTables::new(node.clone()))),
        ("put_log_files", ms(50), Box::new(PutLogFiles::new(node.clone()))),
        ("make_digests", ms(250), Box::new(MakeDigests::new(node.clone()))),
        ("put_digests", ms(250), Box::new(PutDigests::new(node.clone()))),
        ("run_queries", ms(250), Box::new(RunQueries::new(node.clone()))),
        ("deliver_query_results", ms(250), Box::new(DeliverQueryResults::new(node.clone()))),
        ("run_imports", ms(250), Box::new(RunImports::new(node.clone()))),
        ("note_key_uses", ms(60_000), Box::new(NoteKeyUses::new(node.clone()))),
        ("refresh_dashboards", ms(1_000), Box::new(RefreshDashboards::new(node.clone()))),
        ("note_ingestions", ms(1_000), Box::new(NoteIngestions::new(node.clone()))),
        ("forget_queries", ms(60_000), Box::new(ForgetQueries::new(node.clone()))),
        // Often: a file system gives freshly freed blocks back faster than it finds new ones.
        ("trim_journal", ms(1_000), Box::new(TrimJournal::new(node.clone()))),
    ])
}

/// Before anything is given up, its bucket must have failed this long without a break in this run.
const FAILING_MIN: Duration = Duration::from_secs(3600);

/// Is it time to give up what was made at `made_at` and whose bucket has been failing for `failing`?
///
/// AWS: after 30 days. Those are days of a clock that may have been wrong when the object was made,
/// and a node that was off for a month has not tried once: so only a bucket that fails here and now,
/// by the clock that does not jump, costs anything.
fn is_hopeless(made_at: Timestamp, now: Timestamp, failing: Duration) -> bool {
    failing >= FAILING_MIN && !within_horizon(made_at, now)
}

/// Starts every worker; each stops at the end of a turn when `stop` is cancelled. `died` is
/// cancelled when one panics: what it was doing is unknown, so the process must end and recover.
pub fn start(
    node: &Arc<Node>,
    stop: &CancellationToken,
    died: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), crate::node::OpenError> {
    for (name, rest, worker) in table(node)? {
        spawn(name, rest, worker, stop, died, tasks);
    }
    Ok(())
}

fn spawn(
    name: &'static str,
    rest: Duration,
    worker: Box<dyn Worker>,
    stop: &CancellationToken,
    died: &CancellationToken,
    tasks: &TaskTracker,
) {
    let turning = AssertUnwindSafe(turn_after_turn(name, rest, worker, stop.clone()));
    let died = died.clone();
    tasks.spawn(async move {
        if turning.catch_unwind().await.is_err() {
            tracing::error!(worker = name, "a worker panicked");
            died.cancel();
        }
    });
}

async fn turn_after_turn(
    name: &'static str,
    rest: Duration,
    mut worker: Box<dyn Worker>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let pause = match worker.tick().await {
            Ok(More::Yes) => continue,
            Ok(More::No) => rest,
            Err(error) => {
                tracing::error!(
                    worker = name,
                    error = error.as_ref() as &dyn std::error::Error,
                    "turn failed"
                );
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = worker.rest(pause) => {}
        }
    }
    if let Err(error) = worker.last().await {
        tracing::error!(
            worker = name,
            error = error.as_ref() as &dyn std::error::Error,
            "last turn failed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics;

    #[async_trait]
    impl Worker for Panics {
        async fn tick(&mut self) -> Turn {
            panic!("a mistake of ours")
        }
    }

    #[tokio::test]
    async fn a_worker_that_panics_is_reported() {
        let (stop, died) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        spawn("panics", Duration::ZERO, Box::new(Panics), &stop, &died, &tasks);
        tasks.close();
        tasks.wait().await;
        assert!(died.is_cancelled());
    }
}
