//! What has been accepted?
//!
//! Ordered, durable, opaque entries. Everything before the journal decides what is an event;
//! everything after it is a consumer with a named cursor.
//!
//! ```text
//!   append(Batch) ─┐                                             ┌─▶ Reader, Cursor "deliver"
//!   append(Batch) ─┼─▶ writer thread ─▶ write, one fdatasync ────┼─▶ Reader, Cursor "lake"
//!   append(Batch) ─┘        └─ answers Accepted to all           └─▶ …
//!
//!   folder:  LOCK                             held by the one process that has it open
//!            00000000000000000001.journal     sealed segment
//!            00000000000000031337.journal     newest segment, being written
//!            00000000000000000001.journal.damaged   kept aside for people to look at
//!            cursors/{name}
//! ```
//!
//! - Numbers (`seq`) start at 1 and are dense; none is used twice. A hole can only come from damage,
//!   and is reported.
//! - [`Accepted`] exists only after the sync. A failed write or sync poisons the journal: nothing is
//!   acknowledged any more until it is opened again, which is the same [`Journal::open`] as always.
//! - A full disk refuses the batch as a whole and resumes by itself.
//!
//! Invariants: this crate does not know what an event is. It holds no clock and no network.
//!
//! Formats: a segment in `segment.rs`, a frame in `frame.rs`, a cursor in `cursor.rs`.

mod batch;
mod cursor;
mod frame;
mod log;
mod reader;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use durable::{Disk, temporary_beside};
use tokio::sync::{oneshot, watch};

pub use batch::{Accepted, Batch, Entry};
pub use cursor::{Cursor, CursorError};
pub use frame::ENTRY_BYTES_MAX;
pub use reader::{ReadError, Reader};
pub use recovery::{Cut, Damage, DamageKind, OpenError, Recovered};

use log::Inner;
use writer::{Append, Request, Writer};

#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A segment that would grow beyond this is sealed. A larger batch gets a segment of its own.
    pub segment_bytes_max: u64,
    /// How long the writer waits for batches that are likely on their way (see `writer.rs`).
    pub gather_us_max: u64,
    /// The writer stops gathering when it has this much.
    pub write_bytes_max: usize,
    /// Appends are refused while the filesystem has less than this free, so that others can still
    /// finish what they must.
    pub free_bytes_min: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            segment_bytes_max: 64 << 20,
            gather_us_max: 300,
            write_bytes_max: 4 << 20,
            free_bytes_min: 64 << 20,
        }
    }
}

/// A handle to an open journal; clones share it. When the last one is dropped, what was appended is
/// written and the writer thread ends. The folder is free for others when the readers and cursors
/// are gone, too.
#[derive(Debug, Clone)]
pub struct Journal {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
    inbox: Sender<Request>,
    writer: Option<JoinHandle<()>>,
}

/// Whether appends are taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    Accepting,
    /// Refused for lack of space; resumes by itself.
    Full {
        free_bytes: u64,
        needed_bytes: u64,
    },
    /// Refused until the journal is opened again.
    Poisoned {
        reason: String,
    },
}

#[derive(Debug, Clone)]
pub struct State {
    pub condition: Condition,
    pub segments: usize,
    /// Of all segments, preallocated room included.
    pub bytes: u64,
    pub oldest_seq: u64,
    pub next_seq: u64,
    /// Each cursor and its position, by name.
    pub cursors: Vec<(String, u64)>,
    /// Damage found since the journal was opened, by recovery or by a reader.
    pub damages: Vec<Damage>,
}

/// What `trim` removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trimmed {
    pub segments: usize,
    pub bytes: u64,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the batch was kept; it may be tried again later.
    #[error("disk full: {free_bytes} bytes free, {needed_bytes} needed")]
    Full { free_bytes: u64, needed_bytes: u64 },
    /// Unknown whether the batch is there. The process should end and start again.
    #[error("the journal accepts nothing any more: {reason}")]
    Poisoned { reason: String },
    #[error("entry of {bytes} bytes; the limit is {bytes_max}")]
    EntryTooLarge { bytes: usize, bytes_max: usize },
    #[error("the journal is closed")]
    Closed,
}

#[derive(Debug, thiserror::Error)]
#[error("remove segment {file}")]
pub struct TrimError {
    pub file: PathBuf,
    #[source]
    pub source: io::Error,
}

impl Journal {
    /// Opens the journal in `folder` (made if missing) and recovers what is there. Blocks; reads
    /// the newest segment and the headers of the others.
    pub fn open(
        folder: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
    ) -> Result<(Journal, Recovered), OpenError> {
        let (inner, active, recovered) = recovery::open(folder, options, disk)?;
        let (inbox, requests) = mpsc::channel();
        let writer = Writer::new(inner.clone(), active, requests);
        let thread = thread::Builder::new().name("journal".to_string());
        let writer = thread.spawn(|| writer.run()).map_err(recovery::failed("write to", folder))?;
        let handle = Handle { inner, inbox, writer: Some(writer) };
        Ok((Journal { handle: Arc::new(handle) }, recovered))
    }

    /// Makes the batch durable, as a whole or not at all. A caller that stops waiting does not take
    /// the batch back. Batches wait in memory; callers bound how many they have in flight.
    pub async fn append(&self, batch: Batch) -> Result<Accepted, AppendError> {
        self.send(batch)?.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// The same for threads outside the runtime.
    pub fn append_blocking(&self, batch: Batch) -> Result<Accepted, AppendError> {
        self.send(batch)?.blocking_recv().unwrap_or_else(|_| Err(self.gone()))
    }

    fn send(
        &self,
        batch: Batch,
    ) -> Result<oneshot::Receiver<Result<Accepted, AppendError>>, AppendError> {
        let bytes = batch.entry_bytes_longest();
        if bytes > ENTRY_BYTES_MAX {
            return Err(AppendError::EntryTooLarge { bytes, bytes_max: ENTRY_BYTES_MAX });
        }
        let (answer, answered) = oneshot::channel();
        let request = Request::Append(Append { batch, answer });
        self.handle.inbox.send(request).map_err(|_| self.gone())?;
        Ok(answered)
    }

    /// Why the writer thread is not there any more.
    fn gone(&self) -> AppendError {
        match self.handle.inner.condition().clone() {
            Condition::Poisoned { reason } => AppendError::Poisoned { reason },
            _ => AppendError::Closed,
        }
    }

    /// The number the next durable entry will have: all below are durable and readable.
    pub fn next_seq(&self) -> u64 {
        self.handle.inner.log().next_seq
    }

    /// The value is `next_seq`; it changes after every sync.
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.handle.inner.durable.subscribe()
    }

    /// A reader of the durable entries, starting with `from_seq`.
    pub fn reader(&self, from_seq: u64) -> Result<Reader, ReadError> {
        Reader::new(self.handle.inner.clone(), from_seq)
    }

    /// Takes the cursor `name`; a new one is made, durably, at the oldest entry. Blocks.
    pub fn cursor(&self, name: &str) -> Result<Cursor, CursorError> {
        Cursor::take(self.handle.inner.clone(), name)
    }

    /// Removes a cursor that nobody holds, so that it no longer keeps entries from being trimmed.
    /// An unknown name is fine. Blocks.
    pub fn forget_cursor(&self, name: &str) -> Result<(), CursorError> {
        let inner = &self.handle.inner;
        inner.cursors().forget(inner.disk.as_ref(), &inner.folder, name)
    }

    /// Removes the sealed segments that lie entirely below every cursor. Without any cursor nothing
    /// is removed. Blocks.
    pub fn trim(&self) -> Result<Trimmed, TrimError> {
        let inner = &self.handle.inner;
        let mut trimmed = Trimmed { segments: 0, bytes: 0 };
        // A new cursor would start at the oldest entry, so none may be made meanwhile.
        let cursors = inner.cursors();
        let lowest = cursors.lowest().unwrap_or(0);
        let read: Vec<u64> = {
            let log = inner.log();
            let ends = log.segments.keys().skip(1);
            let sealed = log.segments.keys().zip(ends);
            sealed.take_while(|(_, end)| **end <= lowest).map(|(first_seq, _)| *first_seq).collect()
        };
        let mut unnamed = Vec::new();
        for first_seq in read {
            let file = inner.path_of(first_seq);
            let away = temporary_beside(&file);
            // A rename that failed may have worked all the same.
            match inner.disk.rename(&file, &away) {
                Err(source) if file.exists() => return Err(TrimError { file, source }),
                _ => unnamed.push(away),
            }
            if let Some(segment) = inner.log().segments.remove(&first_seq) {
                trimmed.segments += 1;
                trimmed.bytes += segment.file_bytes;
            }
        }
        if trimmed.segments > 0 {
            let file = inner.folder.clone();
            inner.disk.sync_dir(&file).map_err(|source| TrimError { file, source })?;
        }
        drop(cursors);
        // Only now, when no start can find them under their old names. What fails here is left to
        // the next start, which removes such names.
        for file in unnamed {
            if let Err(source) = remove_gradually(inner.disk.as_ref(), &file) {
                return Err(TrimError { file, source });
            }
        }
        Ok(trimmed)
    }

    /// For health checks and metrics.
    pub fn state(&self) -> State {
        let inner = &self.handle.inner;
        let mut condition = inner.condition().clone();
        // Nobody may be appending because this says Full, so look again.
        if let Condition::Full { needed_bytes, .. } = condition
            && inner.free_bytes().is_none_or(|free| free >= needed_bytes)
        {
            condition = Condition::Accepting;
        }
        let cursors = inner.cursors().positions();
        let damages = inner.damages();
        let log = inner.log();
        State {
            condition,
            segments: log.segments.len(),
            bytes: log.segments.values().map(|segment| segment.file_bytes).sum(),
            oldest_seq: log.oldest_seq(),
            next_seq: log.next_seq,
            cursors,
            damages,
        }
    }

    /// Writes what was appended so far, answers it and ends the writer thread; later appends get
    /// [`AppendError::Closed`].
    pub async fn close(self) {
        let (answer, done) = oneshot::channel();
        if self.handle.inbox.send(Request::Close(Some(answer))).is_ok() {
            // An error means that the thread has ended already.
            let _ = done.await;
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.inbox.send(Request::Close(None));
        if let Some(writer) = self.writer.take() {
            // A panic was reported by the thread itself and has poisoned the journal.
            let _ = writer.join();
        }
    }
}

/// Gives a file's blocks back a few at a time. A file system that discards freed blocks (ext4 with
/// `discard`) does so before the next sync returns: 25 ms of standstill for 64 MiB at once.
fn remove_gradually(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    const STEP_BYTES: u64 = 2 << 20;
    const PAUSE: Duration = Duration::from_millis(4);
    let mut bytes = std::fs::metadata(path)?.len();
    let mut file = disk.open_existing(path)?;
    while bytes > STEP_BYTES {
        bytes -= STEP_BYTES;
        file.set_len(bytes)?;
        thread::sleep(PAUSE);
    }
    drop(file);
    disk.remove_file(path)
}
