//! The one thread that writes.
//!
//! ```text
//!   recv ─▶ gather what is there ─▶ number ─▶ write ─▶ one fdatasync ─▶ publish ─▶ answer all
//!              └ batches that came while the last sync ran
//! ```
//!
//! Nothing heavy here: payloads were laid out and checksummed on the requests' own tasks.
//!
//! Failures: when the disk is full the group is cut back and refused, and the next one may try
//! again. Any other failed write or sync poisons the journal: what the file holds is unknown, so
//! nothing is acknowledged until somebody opens it again.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use durable::{DiskFile, is_disk_full};
use tokio::sync::oneshot;

use crate::log::{Inner, Segment};
use crate::segment::{self, FRAMES_START};
use crate::{Accepted, AppendError, Batch, Condition};

/// `gather_us_max` is spent in this many naps, with a look at the inbox after each.
const NAPS_MAX: u32 = 3;

pub(crate) type Answer = oneshot::Sender<Result<Accepted, AppendError>>;

#[derive(Debug)]
pub(crate) enum Request {
    Append(Append),
    /// Stop after what was sent before this; answered when all is written and the thread is done.
    Close(Option<oneshot::Sender<()>>),
}

#[derive(Debug)]
pub(crate) struct Append {
    pub batch: Batch,
    pub answer: Answer,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub file: Box<dyn DiskFile>,
    pub salt: u64,
    /// Durable frames end here.
    pub end: u64,
    pub next_seq: u64,
}

pub(crate) struct Writer {
    inner: Arc<Inner>,
    active: Active,
    inbox: Receiver<Request>,
    /// How many batches the last group had: who was answered then will likely come back now.
    gathered_last: usize,
    poisoned: Option<String>,
}

enum Failure {
    Full { free_bytes: u64, needed_bytes: u64 },
    Broken { step: &'static str, source: io::Error },
}

impl Writer {
    pub fn new(inner: Arc<Inner>, active: Active, inbox: Receiver<Request>) -> Writer {
        Writer { inner, active, inbox, gathered_last: 0, poisoned: None }
    }

    /// Runs until it is told to close or nobody can send any more.
    pub fn run(mut self) {
        let mut close = None;
        while close.is_none() {
            let group = match self.inbox.recv() {
                Ok(Request::Append(first)) => self.gather(first, &mut close),
                Ok(Request::Close(answer)) => {
                    close = Some(answer);
                    break;
                }
                Err(_) => break,
            };
            self.gathered_last = group.len();
            self.commit(group);
        }
        drop(self);
        if let Some(Some(answer)) = close {
            let _ = answer.send(());
        }
    }

    /// Takes what has arrived. Waits a moment only while fewer than half of the last group's
    /// batches are here: their senders were all answered at once and are on their way back, and a
    /// sync for the first of them alone would make the others wait for the next.
    fn gather(
        &mut self,
        first: Append,
        close: &mut Option<Option<oneshot::Sender<()>>>,
    ) -> VecDeque<Append> {
        let options = self.inner.options;
        let mut bytes = first.batch.bytes();
        let mut group = VecDeque::from([first]);
        let mut naps = NAPS_MAX;
        while bytes < options.write_bytes_max {
            match self.inbox.try_recv() {
                Ok(Request::Append(append)) => {
                    bytes += append.batch.bytes();
                    group.push_back(append);
                }
                Ok(Request::Close(answer)) => {
                    *close = Some(answer);
                    break;
                }
                Err(TryRecvError::Empty) if naps > 0 && group.len() * 2 < self.gathered_last => {
                    naps -= 1;
                    thread::sleep(Duration::from_micros(options.gather_us_max) / NAPS_MAX);
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        group
    }

    /// Makes the batches durable, as many at once as the segment holds, and answers them.
    fn commit(&mut self, mut waiting: VecDeque<Append>) {
        while let Some(first) = waiting.front() {
            if let Some(reason) = &self.poisoned {
                let reason = reason.clone();
                refuse(waiting, || AppendError::Poisoned { reason: reason.clone() });
                return;
            }
            let first_bytes = first.batch.bytes() as u64;
            if let Err(failure) = self.make_room(first_bytes) {
                self.refuse(waiting, failure);
                return;
            }
            let mut group = VecDeque::new();
            let mut end = self.active.end;
            while let Some(next) = waiting.pop_front() {
                let bytes = next.batch.bytes() as u64;
                // The first one goes in even if it is larger than a whole segment.
                if !group.is_empty() && end + bytes > self.inner.options.segment_bytes_max {
                    waiting.push_front(next);
                    break;
                }
                end += bytes;
                group.push_back(next);
            }
            match self.write(&mut group) {
                Ok(()) => self.publish(group),
                Err(failure) => self.refuse(group, failure),
            }
        }
    }

    /// Sees to it that `bytes` may be written: the disk has space and the segment has room, or is
    /// empty.
    fn make_room(&mut self, bytes: u64) -> Result<(), Failure> {
        let options = self.inner.options;
        let fits =
            self.active.end + bytes <= options.segment_bytes_max || self.active.end == FRAMES_START;
        let needed_bytes =
            if fits { options.free_bytes_min } else { self.inner.free_bytes_for_segment() };
        if let Some(free_bytes) = self.inner.free_bytes().filter(|free| *free < needed_bytes) {
            return Err(Failure::Full { free_bytes, needed_bytes });
        }
        if !fits {
            self.rotate().map_err(|e| self.judge("start a segment", e))?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let first_seq = self.active.next_seq;
        let file_bytes = self.inner.options.segment_bytes_max;
        let (header, file) =
            segment::create(self.inner.disk.as_ref(), &self.inner.folder, first_seq, file_bytes)?;
        let segment = Segment { salt: header.salt, frames_end: FRAMES_START, file_bytes };
        self.inner.log().segments.insert(first_seq, segment);
        self.active.file = file;
        self.active.salt = header.salt;
        self.active.end = FRAMES_START;
        Ok(())
    }

    fn write(&mut self, group: &mut VecDeque<Append>) -> Result<(), Failure> {
        if group.iter().all(|append| append.batch.is_empty()) {
            return Ok(());
        }
        let before = self.active.end;
        let (mut at, mut seq, mut starts_group) = (before, self.active.next_seq, true);
        let written = (|| {
            for Append { batch, .. } in group.iter_mut().filter(|a| !a.batch.is_empty()) {
                batch.number(seq, self.active.salt, starts_group);
                self.active.file.write_all_at(batch.frames(), at)?;
                at += batch.bytes() as u64;
                seq += batch.len() as u64;
                starts_group = false;
            }
            self.active.file.sync_data()
        })();
        match written {
            Ok(()) => {
                self.active.end = at;
                self.active.next_seq = seq;
                Ok(())
            }
            Err(source) if is_disk_full(&source) => {
                self.cut_back(before)
                    .map_err(|source| Failure::Broken { step: "cut back", source })?;
                Err(self.judge("write", source))
            }
            Err(source) => Err(Failure::Broken { step: "write or sync", source }),
        }
    }

    /// Takes a refused group out of the file, durably, so that no later start finds it.
    fn cut_back(&mut self, end: u64) -> io::Result<()> {
        self.active.file.set_len(end)?;
        self.active.file.sync_data()?;
        // Without the room, later writes grow the file: slower, not wrong.
        let _ = self.active.file.preallocate(self.inner.options.segment_bytes_max);
        Ok(())
    }

    fn judge(&self, step: &'static str, source: io::Error) -> Failure {
        if is_disk_full(&source) {
            let free_bytes = self.inner.free_bytes().unwrap_or(0);
            let needed_bytes = self.inner.free_bytes_for_segment();
            Failure::Full { free_bytes, needed_bytes }
        } else {
            Failure::Broken { step, source }
        }
    }

    /// Readers first, then the senders: who has an answer can read the entries.
    fn publish(&mut self, group: VecDeque<Append>) {
        let (end, next_seq) = (self.active.end, self.active.next_seq);
        let mut first_seq = {
            let mut log = self.inner.log();
            let first_seq = log.next_seq;
            log.next_seq = next_seq;
            let mut newest = log.segments.last_entry().expect("the active segment is listed");
            newest.get_mut().frames_end = end;
            newest.get_mut().file_bytes = newest.get().file_bytes.max(end);
            first_seq
        };
        *self.inner.condition() = Condition::Accepting;
        self.inner.durable.send_replace(next_seq);
        for Append { batch, answer } in group {
            let count = batch.len() as u64;
            let _ = answer.send(Ok(Accepted { first_seq, count }));
            first_seq += count;
        }
        assert_eq!(first_seq, next_seq, "every number is answered for exactly once");
    }

    fn refuse(&mut self, waiting: VecDeque<Append>, failure: Failure) {
        match failure {
            Failure::Full { free_bytes, needed_bytes } => {
                tracing::warn!(free_bytes, needed_bytes, "disk full: the journal refuses entries");
                *self.inner.condition() = Condition::Full { free_bytes, needed_bytes };
                refuse(waiting, || AppendError::Full { free_bytes, needed_bytes });
            }
            Failure::Broken { step, source } => {
                let reason = format!("{step}: {source}");
                tracing::error!(%reason, "the journal is poisoned and accepts nothing any more");
                *self.inner.condition() = Condition::Poisoned { reason: reason.clone() };
                self.poisoned = Some(reason.clone());
                refuse(waiting, || AppendError::Poisoned { reason: reason.clone() });
            }
        }
    }
}

impl Drop for Writer {
    /// A writer that dies of a failed assertion must not look as if it accepted anything.
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = "the writer thread panicked".to_string();
            *self.inner.condition() = Condition::Poisoned { reason };
        }
    }
}

fn refuse(waiting: VecDeque<Append>, error: impl Fn() -> AppendError) {
    for append in waiting {
        let _ = append.answer.send(Err(error()));
    }
}
