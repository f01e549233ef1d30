//! Log files into a table, without the journal.
//!
//! ```text
//!   file ─ inflate ─▶ body ─ unwrap ─▶ records ─ decode ─▶ batches of this import
//!                                                                   │ many: sorted, put as files
//!   commit: drop events that are there already ─▶ sorted, put ─▶ one commit of the table's log
//! ```
//! Nothing is visible before the commit, and what is committed twice is there once: an event is
//! known by its ID, among those of the same time.

mod envelope;
mod inflate;
mod known;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};

use arrow::array::RecordBatch;
use bytes::Bytes;
use event::{AccountId, Item, Limits, Records, Unread};
use jiff::Timestamp;

use crate::decode::{Account, Decoder, Pushed, Refused, RowIn, Wanted};
use crate::table::log::FileEntry;
use crate::table::write::{Effort, RowAt, in_order};
use crate::table::{FILE_ROWS_MAX, Table, TableError};
use known::{Ids, KnownEvents};

/// Rows of a batch: enough for its columns to be long, few enough to sort in memory that is near.
const BATCH_ROWS: usize = 16_384;
/// Decoded rows that wait in memory; then they are put as files, which the commit names.
const WAITING_ROWS_MAX: usize = FILE_ROWS_MAX;
const WAITING_BYTES_MAX: usize = 256 << 20;
/// Memory of more than this is not kept for the next file.
const ROOM_BYTES_MAX: usize = 16 << 20;
/// A record of a log file may be larger than what intake takes from a client.
pub const FILE_LIMITS: Limits = Limits {
    record_bytes_max: 4 << 20,
    depth_max: 64,
    keys_per_object_max: 10_000,
    earliest: None,
    latest: None,
};
/// Reasons that are told for one file.
const REASONS_MAX: usize = 100;

/// What an import accepts.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Whose rows those are whose record names no account.
    pub account: AccountId,
    /// Older events stay out.
    pub from: Option<Timestamp>,
}

/// What came of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadFile {
    pub events: u64,
    pub expired: u64,
    /// Records that were not taken, with their place and reason: the first hundred.
    pub refused: Vec<String>,
    pub refused_count: u64,
    pub uncompressed_bytes: u64,
}

/// What became durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub rows: u64,
    pub duplicates: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file's own fault; the import goes on without it.
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("rows of this import were lost when they could not be written; begin it again")]
    Lost,
    #[error("events of this import came in by another one meanwhile; begin it again")]
    Overtaken,
}

/// An import under way. Files may be added from several threads at once.
#[derive(Debug)]
pub struct Import {
    table: Arc<Table>,
    options: ImportOptions,
    waiting: Mutex<Waiting>,
    /// Empty ones, which know how much room a batch takes.
    decoders: Mutex<Vec<Decoder>>,
    /// Memory for the bodies of files.
    rooms: Mutex<Vec<Vec<u8>>>,
    /// One at a time puts files.
    put: tokio::sync::Mutex<Put>,
}

/// What has been put and is not committed.
#[derive(Debug, Default)]
struct Put {
    files: Vec<FileEntry>,
    imported: Imported,
    /// Which events the table has, as far as it has been asked.
    known: KnownEvents,
    /// Rows were lost on the way to the disk: a commit would claim that they are in.
    failed: bool,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: Vec<Batch>,
    rows: usize,
    bytes: usize,
}

/// Rows of one file, or some of them.
#[derive(Debug)]
struct Batch {
    columns: RecordBatch,
    /// The identity of each row's event.
    ids: Vec<u128>,
}

impl Import {
    pub fn new(table: Arc<Table>, options: ImportOptions) -> Import {
        Import {
            table,
            options,
            waiting: Mutex::default(),
            decoders: Mutex::default(),
            rooms: Mutex::default(),
            put: Default::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder of this lock can panic")
    }

    fn decoders(&self) -> MutexGuard<'_, Vec<Decoder>> {
        self.decoders.lock().expect("no holder of this lock can panic")
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.rooms.lock().expect("no holder of this lock can panic")
    }

    /// Reads a file: plain or compressed, of any shape that holds records. Waits while there is no
    /// room for more rows in memory.
    pub async fn add(self: &Arc<Self>, bytes: Bytes) -> Result<ReadFile, ImportError> {
        let import = self.clone();
        let added = tokio::task::spawn_blocking(move || import.read(&bytes));
        let read = added.await.map_err(TableError::from)??;
        if self.waiting().is_much() {
            let mut put = self.put.lock().await;
            // Somebody else may have put it while this waited.
            if self.waiting().is_much() {
                self.put_waiting(&mut put).await?;
            }
        }
        Ok(read)
    }

    fn read(&self, bytes: &Bytes) -> Result<ReadFile, ImportError> {
        let room = self.rooms().pop().unwrap_or_default();
        let body = body_of(bytes, room).map_err(ImportError::Unreadable)?;
        let mut read = ReadFile { uncompressed_bytes: body.len() as u64, ..ReadFile::default() };
        let mut batches = Vec::new();
        self.decode(&body, &mut read, &mut batches);
        if let Cow::Owned(room) = body
            && room.capacity() <= ROOM_BYTES_MAX
        {
            self.rooms().push(room);
        }
        if read.events == 0 && read.refused_count > 0 {
            let reason = read.refused.first().cloned().unwrap_or_default();
            return Err(ImportError::Unreadable(format!("no record can be read; {reason}")));
        }
        let mut waiting = self.waiting();
        for batch in batches {
            waiting.rows += batch.columns.num_rows();
            waiting.bytes += batch.columns.get_array_memory_size();
            waiting.batches.push(batch);
        }
        Ok(read)
    }

    fn decode(&self, body: &[u8], read: &mut ReadFile, batches: &mut Vec<Batch>) {
        let decoder = self.decoders().pop().unwrap_or_default();
        let mut rows = Rows { decoder, ids: Vec::new(), batches, read, options: &self.options };
        let mut records = Records::of_log_file(body);
        while let Some(item) = records.next_untaken(&FILE_LIMITS, |unread| rows.take(unread)) {
            rows.add(item);
        }
        rows.end_batch();
        self.decoders().push(rows.decoder);
    }

    /// Makes all that was added so far durable and visible. After an error the import has to be
    /// begun again with the files that are not in.
    pub async fn commit(&self, now: Timestamp) -> Result<Imported, ImportError> {
        // One import of the table after the other, from the last look at what is there.
        let _turn = self.table.importing.lock().await;
        let mut put = self.put.lock().await;
        if !put.files.is_empty() {
            let Put { known, files, failed, .. } = &mut *put;
            if known.is_overtaken(&self.table, files).await? {
                *failed = true;
                return Err(ImportError::Overtaken);
            }
        }
        self.put_waiting(&mut put).await?;
        self.table.add_put(put.files.clone(), now).await?;
        put.files.clear();
        put.known.committed();
        Ok(std::mem::take(&mut put.imported))
    }

    #[cfg(test)]
    pub async fn put_now(&self) -> Result<(), ImportError> {
        self.put_waiting(&mut *self.put.lock().await).await
    }

    /// Puts the rows that wait as files, without those whose events are there already.
    async fn put_waiting(&self, put: &mut Put) -> Result<(), ImportError> {
        if put.failed {
            return Err(ImportError::Lost);
        }
        let waiting = std::mem::take(&mut *self.waiting());
        if waiting.batches.is_empty() {
            return Ok(());
        }
        // Until they are in files, or for good when this future is dropped.
        put.failed = true;
        let (batches, ids): (Vec<_>, Vec<_>) =
            waiting.batches.into_iter().map(|batch| (batch.columns, batch.ids)).unzip();
        let mut rows = in_order(&batches);
        let all = rows.len();
        put.known.look_up(&self.table, &rows).await?;
        let mut seen = Ids::with_capacity_and_hasher(rows.len(), Default::default());
        let id = |row: &RowAt| ids[row.batch as usize][row.row as usize];
        rows.retain(|row| !put.known.has(id(row)) && seen.insert(id(row)));
        let kept = rows.len();
        drop(ids);
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let files = self.table.put_rows(Arc::new(batches), rows, Effort::Quick, threads).await?;
        let paths = files.iter().map(|file| file.path.clone()).collect();
        put.known.add(paths, seen);
        put.files.extend(files);
        put.imported.rows += kept as u64;
        put.imported.duplicates += (all - kept) as u64;
        put.failed = false;
        Ok(())
    }
}

/// The rows of one file, on their way into batches.
struct Rows<'a> {
    decoder: Decoder,
    /// Of the rows that the decoder has.
    ids: Vec<u128>,
    batches: &'a mut Vec<Batch>,
    read: &'a mut ReadFile,
    options: &'a ImportOptions,
}

impl Rows<'_> {
    /// Takes a record that nobody has checked, if that can be done at once; gives its length.
    fn take(&mut self, unread: Unread<'_>) -> Option<usize> {
        let ImportOptions { account, from } = *self.options;
        if self.decoder.rows() >= BATCH_ROWS {
            self.end_batch();
        }
        let account = Account::RecipientOr(account);
        let wanted = Wanted { limits: &FILE_LIMITS, account, from };
        let taken = self.decoder.push_unread(unread, &wanted)?;
        match taken.pushed {
            Some(pushed) => self.count(pushed),
            None => self.read.expired += 1,
        }
        Some(taken.bytes)
    }

    /// Takes a record as it was checked, or says why not.
    fn add(&mut self, item: Item<'_>) {
        let (record, header) = match item.result {
            Ok(checked) => checked,
            Err(reason) => return self.read.refuse(format!("{}: {reason}", item.place)),
        };
        if self.options.from.is_some_and(|from| header.event_time < from) {
            self.read.expired += 1;
            return;
        }
        let account = header.recipient().unwrap_or(self.options.account);
        let row = RowIn { account: account.as_str(), record };
        if self.decoder.rows() >= BATCH_ROWS {
            self.end_batch();
        }
        let mut pushed = self.decoder.push_checked(row, &header);
        if matches!(pushed, Err(Refused::Full)) {
            self.end_batch();
            pushed = self.decoder.push_checked(row, &header);
        }
        match pushed {
            Ok(pushed) => self.count(pushed),
            Err(reason) => self.read.refuse(format!("{}: {reason}", item.place)),
        }
    }

    fn count(&mut self, pushed: Pushed) {
        self.ids.push(pushed.event_id);
        self.read.events += 1;
    }

    fn end_batch(&mut self) {
        if self.decoder.rows() > 0 {
            let ids = std::mem::take(&mut self.ids);
            self.batches.push(Batch { columns: self.decoder.finish(), ids });
        }
    }
}

/// The records of a file, inflated and out of their envelopes. What is in `room` does not matter.
pub fn body_of(bytes: &[u8], room: Vec<u8>) -> Result<Cow<'_, [u8]>, String> {
    let body = inflate::inflate(bytes, room)?;
    Ok(match envelope::unwrapped(&body)? {
        Some(unwrapped) => Cow::Owned(unwrapped),
        None => body,
    })
}

impl Waiting {
    fn is_much(&self) -> bool {
        self.rows >= WAITING_ROWS_MAX || self.bytes >= WAITING_BYTES_MAX
    }
}

impl ReadFile {
    fn refuse(&mut self, reason: String) {
        self.refused_count += 1;
        if self.refused.len() < REASONS_MAX {
            self.refused.push(reason);
        }
    }
}
