//! What runs now, what is about to, and who waits for it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Ending;
use crate::lake::{Prepared, Progress};

/// A prepared query shows its tables as they were: one that waits in the queue is prepared again.
const KEPT_MAX: Duration = Duration::from_secs(1);

/// What runs now.
#[derive(Debug)]
pub struct Queries {
    folder: PathBuf,
    running: Mutex<HashMap<String, Arc<Running>>>,
    /// Something may have been queued since the last look.
    queued: AtomicBool,
    /// Some are queued for which there was no place.
    crowded: AtomicBool,
    /// What runs them; None when no more may begin.
    tasks: Mutex<Option<JoinSet<()>>>,
    /// They have ended, but the catalog did not take it.
    unentered: Mutex<VecDeque<(String, Ending)>>,
    woken: Notify,
    /// Queries that StartQuery has just prepared, until they run.
    kept: Mutex<HashMap<String, Kept>>,
    /// How many have ended: changes tell those who wait for one.
    ended: watch::Sender<u64>,
}

/// Whoever enters a query that has begun holds this. Dropped before, the query ends without a trace.
#[derive(Debug)]
pub struct Entering {
    running: Arc<Running>,
    entered: Option<oneshot::Sender<()>>,
}

impl Entering {
    pub(super) fn new(running: Arc<Running>, entered: oneshot::Sender<()>) -> Entering {
        Entering { running, entered: Some(entered) }
    }

    /// The catalog has it, running.
    pub fn done(mut self) {
        if let Some(entered) = self.entered.take() {
            // Without a receiver the server stops, and runs the query after its next start.
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
            tasks: Mutex::new(Some(JoinSet::new())),
            unentered: Mutex::default(),
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
    fn freed(&self) {
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
    pub(super) fn take_kept(&self, id: &str, now: Duration) -> Option<Box<dyn Prepared>> {
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

    /// Takes a place for a query, if one is free and nobody waits for one.
    pub(super) fn take_place(&self, id: &str, at_once_max: usize) -> Option<Arc<Running>> {
        let mut all = self.lock();
        let others_wait =
            self.queued.load(Ordering::Acquire) || self.crowded.load(Ordering::Acquire);
        if others_wait || all.len() >= at_once_max {
            return None;
        }
        let running = Arc::new(Running::default());
        all.insert(id.to_owned(), running.clone());
        Some(running)
    }

    /// Runs this beside everything else, until it ends or no query may run any more.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = self.lock_tasks().as_mut() {
            // Those that are done are only kept for whoever asks for their outcome.
            while tasks.try_join_next().is_some() {}
            tasks.spawn(work);
        }
    }

    /// From now on no query runs. Dropped, the tasks end when they wait the next time.
    pub fn stop(&self) -> JoinSet<()> {
        self.lock_tasks().take().unwrap_or_default()
    }

    fn lock_tasks(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.tasks.lock().expect("no holder of this lock can panic")
    }

    /// The catalog did not take how a query ended: it is entered later.
    pub fn enter_later(&self, id: String, ending: Ending) {
        self.lock_unentered().push_back((id, ending));
    }

    /// The oldest that is to be entered; it stays until [`Queries::entered`].
    pub fn unentered(&self) -> Option<(String, Ending)> {
        self.lock_unentered().front().cloned()
    }

    pub fn entered(&self) {
        self.lock_unentered().pop_front();
    }

    fn lock_unentered(&self) -> MutexGuard<'_, VecDeque<(String, Ending)>> {
        self.unentered.lock().expect("no holder of this lock can panic")
    }

    pub fn begin(&self, id: &str) -> Arc<Running> {
        let running = Arc::new(Running::default());
        self.lock().insert(id.to_owned(), running.clone());
        running
    }

    /// The catalog knows how it ended. Its place is free.
    pub fn end(&self, id: &str) {
        self.lock().remove(id);
        self.freed();
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
