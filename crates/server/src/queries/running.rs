//! What runs now, what is about to, and who waits for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use catalog::NewQuery;
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

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
