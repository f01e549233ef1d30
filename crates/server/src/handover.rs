//! What the delivery workers tell each other: which files are open, spooled, or being put.
//!
//! ```text
//!   deliver_logs ──opened──▶ open ──spooled──▶ waiting ──put──▶ (ledger)
//!                                                 └─ failed: waits, longer each time
//! ```
//! Only memory: after a restart `waiting` is read back from the spool, and `open` from the journal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use catalog::StreamKey;
use delivery::spool::{SpoolId, SpooledHeader};

#[derive(Debug, Default)]
pub struct Handover {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The spool has been read: before that, nothing is known to be drained.
    recovered: bool,
    /// The next entry after a restart.
    position: u64,
    /// The next entry to read.
    read: u64,
    open: HashSet<StreamKey>,
    waiting: BTreeMap<SpoolId, Waiting>,
    pauses: HashMap<String, Pause>,
}

#[derive(Debug, Clone)]
struct Waiting {
    header: SpooledHeader,
    in_hand: bool,
    /// When its first event was read; for a file that an earlier run left, when it was found.
    since: Duration,
}

/// A bucket that failed is left alone for a while: one failing bucket must not slow the others.
#[derive(Debug, Clone, Copy)]
struct Pause {
    attempts: u32,
    since: Duration,
    until: Duration,
}

/// For /health and /metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub position: u64,
    pub open_files: u64,
    pub spooled_files: u64,
}

impl Handover {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock can panic")
    }

    pub fn backlog(&self) -> Backlog {
        let inner = self.lock();
        Backlog {
            position: inner.position,
            open_files: inner.open.len() as u64,
            spooled_files: inner.waiting.len() as u64,
        }
    }

    /// All that an earlier run left is known.
    pub fn recovered(&self) {
        self.lock().recovered = true;
    }

    pub fn moved(&self, read: u64, position: u64) {
        let mut inner = self.lock();
        inner.read = read;
        inner.position = position;
    }

    pub fn opened(&self, stream: &StreamKey) {
        self.lock().open.insert(stream.clone());
    }

    /// A file is in the spool: one of this run, whose stream has no open file now, or one that an
    /// earlier run left.
    pub fn spooled(
        &self,
        stream: Option<&StreamKey>,
        id: SpoolId,
        header: SpooledHeader,
        since: Duration,
    ) {
        let mut inner = self.lock();
        inner.waiting.insert(id, Waiting { header, in_hand: false, since });
        if let Some(stream) = stream {
            inner.open.remove(stream);
        }
    }

    /// Takes the oldest file whose bucket is not paused. A bucket that has been failing gets one
    /// file at a time, as a probe.
    pub fn take(&self, now: Duration) -> Option<(SpoolId, SpooledHeader)> {
        let mut inner = self.lock();
        let Inner { waiting, pauses, .. } = &mut *inner;
        let probing: HashSet<String> = waiting
            .values()
            .filter(|w| w.in_hand && pauses.contains_key(&w.header.bucket))
            .map(|w| w.header.bucket.clone())
            .collect();
        let ready = |bucket: &str| {
            pauses.get(bucket).is_none_or(|p| p.until <= now && !probing.contains(bucket))
        };
        let (id, next) = waiting.iter_mut().find(|(_, w)| !w.in_hand && ready(&w.header.bucket))?;
        next.in_hand = true;
        Some((id.clone(), next.header.clone()))
    }

    /// How long the file has been under way, from its first event.
    pub fn under_way(&self, id: &SpoolId, now: Duration) -> Duration {
        self.lock().waiting.get(id).map_or(Duration::ZERO, |w| now.saturating_sub(w.since))
    }

    /// The file lies in its bucket, or has been given up.
    pub fn done(&self, id: &SpoolId, reached: bool) {
        let mut inner = self.lock();
        if let Some(done) = inner.waiting.remove(id)
            && reached
        {
            inner.pauses.remove(&done.header.bucket);
        }
    }

    /// The file goes back; its bucket rests for what `pause` makes of the number of attempts.
    pub fn failed(&self, id: &SpoolId, now: Duration, pause: impl FnOnce(u32) -> Duration) {
        let mut inner = self.lock();
        let Some(back) = inner.waiting.get_mut(id) else { return };
        back.in_hand = false;
        let bucket = back.header.bucket.clone();
        let before = inner.pauses.get(&bucket);
        let attempts = before.map_or(1, |p| p.attempts.saturating_add(1));
        let since = before.map_or(now, |p| p.since);
        inner.pauses.insert(bucket, Pause { attempts, since, until: now + pause(attempts) });
    }

    /// For how long every put into this bucket has failed in this run.
    pub fn failing_for(&self, bucket: &str, now: Duration) -> Duration {
        self.lock().pauses.get(bucket).map_or(Duration::ZERO, |p| now.saturating_sub(p.since))
    }

    /// Has everything below `seq` that this trail selected been handed over?
    pub fn is_drained(&self, trail_arn: &str, seq: u64) -> bool {
        self.is_handed_over(seq, |arn, _| arn == trail_arn)
    }

    /// As [`Handover::is_drained`], of one account's events.
    pub fn is_drained_of(&self, trail_arn: &str, account: &str, seq: u64) -> bool {
        self.is_handed_over(seq, |arn, of| arn == trail_arn && of == account)
    }

    /// `is_meant` is asked with the ARN of a trail and an account.
    fn is_handed_over(&self, seq: u64, is_meant: impl Fn(&str, &str) -> bool) -> bool {
        let inner = self.lock();
        inner.recovered
            && inner.read >= seq
            && !inner.open.iter().any(|stream| is_meant(&stream.trail_arn, &stream.account))
            && !inner.waiting.values().any(|w| is_meant(&w.header.trail_arn, &w.header.account))
    }
}
