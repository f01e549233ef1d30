//! A table: rows in files, and the newest rows in memory.
//!
//! ```text
//!   append ─▶ hot: batches in memory, visible at once
//!               │ commit: by month, in order of time, one file each ─▶ log with the journal's position
//!               ▼
//!   files ◀─ compaction (small files of a month become one), expiry (rows that are too old)
//! ```
//! Readers take a [`View`], which never changes. The log has one writer at a time: commits,
//! imports, compaction and expiry wait for each other.
//!
//! Rows in memory are not durable: whoever appends keeps them until they are committed, and asks
//! [`Table::position`] after a restart which are.

pub mod file;
pub mod log;
pub mod write;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::TryStreamExt as _;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, civil::Date};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::schema::Content;
use crate::storage::{Storage, StorageError};
use file::DataFile;
use log::{Change, FileEntry, Log, LogError};
use write::{Effort, Encoded, RowAt, encode, in_order, joined};

/// Rows of a file at most, which are rewritten in memory; a month with more has several.
pub const FILE_ROWS_MAX: usize = write::ROW_GROUP_ROWS;
/// Appended batches are joined until they have this many rows: a query pays for each batch.
const HOT_BATCH_ROWS: usize = 8_192;
/// Files of fewer rows are joined with others of their month,
const SMALL_FILE_ROWS: u64 = write::ROW_GROUP_ROWS as u64 / 2;
/// when a month has this many of them,
const SMALL_FILES_MIN: usize = 8;
/// or two, and the month has been over for long.
const MONTH_IS_OVER_AFTER: Duration = Duration::from_secs(2 * 3600);
/// Rows that one compaction may hold in memory.
const COMPACTED_ROWS_MAX: u64 = FILE_ROWS_MAX as u64;
/// How much too old the oldest row of a file may become before the file is written without such
/// rows: retention counts days.
const EXPIRY_STEP: Duration = Duration::from_secs(24 * 3600);
/// A file that left the table is removed this much later, so that queries under way can end.
const REMOVED_FILES_KEPT: Duration = Duration::from_secs(900);
/// A file that no commit names may be about to be named.
const STRANGERS_KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("write rows")]
    Encode(#[from] ParquetError),
    #[error("rebuild a record")]
    Record(#[from] crate::record::DecodeError),
    #[error("join rows")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("put file {path}")]
    Put {
        path: String,
        #[source]
        source: object_store::Error,
    },
    #[error("list the table's files")]
    List(#[from] object_store::Error),
    /// A panic in a thread of ours, or the runtime is going down.
    #[error("a thread ended early")]
    Thread(#[from] tokio::task::JoinError),
}

/// The rows of a table at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub files: Arc<Vec<Arc<DataFile>>>,
    pub hot: Arc<Vec<RecordBatch>>,
}

/// Rows that were only in memory when a commit began.
#[derive(Debug)]
pub struct Taken(Arc<Vec<RecordBatch>>);

/// How much is in memory only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hot {
    pub rows: u64,
    pub bytes: u64,
}

/// A table that is open.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub content: Content,
    storage: Storage,
    store: Arc<dyn ObjectStore>,
    log: tokio::sync::Mutex<Log>,
    state: Mutex<State>,
    /// Held by an import from when it looks at what the table has until it has committed: of two that
    /// bring the same event one would not see the other's.
    pub importing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    view: View,
    position: u64,
    /// Of the log.
    version: u64,
    /// Batches at the front of `view.hot` that a commit is writing: they stay as they are.
    sealed: usize,
    /// Files that left the table, and when.
    removed: Vec<(String, Timestamp)>,
}

impl Table {
    /// Opens the table; `reached` as in [`Log::open`].
    pub async fn open(
        storage: &Storage,
        name: &str,
        content: Content,
        reached: Option<u64>,
        now: Timestamp,
    ) -> Result<Table, TableError> {
        let log = Log::open(storage.log(name)?, &content.in_files(), reached).await?;
        let store = storage.table(name);
        let state = State {
            version: log.version(),
            view: View { files: files_of(&log, name, &store)?, hot: Arc::default() },
            position: log.position().await?,
            sealed: 0,
            removed: Vec::new(),
        };
        let table = Table {
            name: name.to_owned(),
            content,
            storage: storage.clone(),
            store,
            log: tokio::sync::Mutex::new(log),
            state: Mutex::new(state),
            importing: tokio::sync::Mutex::default(),
        };
        table.remove_strangers(now).await?;
        Ok(table)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock can panic")
    }

    pub fn view(&self) -> View {
        self.state().view.clone()
    }

    /// The last journal entry whose rows are in files.
    pub fn position(&self) -> u64 {
        self.state().position
    }

    /// The version that the log has reached.
    pub fn version(&self) -> u64 {
        self.state().version
    }

    pub fn hot(&self) -> Hot {
        let hot = self.state().view.hot.clone();
        Hot {
            rows: hot.iter().map(|batch| batch.num_rows() as u64).sum(),
            bytes: hot.iter().map(|batch| batch.get_array_memory_size() as u64).sum(),
        }
    }

    /// Adds rows in memory, visible when this returns.
    pub fn append(&self, batch: RecordBatch) -> Result<(), TableError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut state = self.state();
        let sealed = state.sealed;
        let mut hot = state.view.hot.to_vec();
        hot.push(batch);
        // Equal neighbours are joined, as carries in an addition: each row is copied a few times only.
        while let [.., before, last] = &hot[sealed..] {
            let (rows, more) = (before.num_rows(), last.num_rows());
            if rows > 2 * more || rows + more > HOT_BATCH_ROWS {
                break;
            }
            let one = joined(&hot[hot.len() - 2..])?;
            hot.truncate(hot.len() - 2);
            hot.push(one);
        }
        state.view.hot = Arc::new(hot);
        Ok(())
    }

    /// Takes the rows that are in memory now; [`Table::commit`] makes them durable. Rows that are
    /// appended from now on stay apart from them.
    pub fn take(&self) -> Taken {
        let mut state = self.state();
        state.sealed = state.view.hot.len();
        Taken(state.view.hot.clone())
    }

    /// Makes rows that were taken durable. They are all that the table wants of the journal up to
    /// the entry `through`, and none beyond it. After an error they are still in memory, unless the
    /// commit was made all the same: then the position says so.
    pub async fn commit(
        &self,
        taken: Taken,
        through: u64,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let done = self.write_hot(taken.0, through, now).await;
        if done.is_err() {
            self.state().sealed = 0;
        }
        done
    }

    async fn write_hot(
        &self,
        batches: Arc<Vec<RecordBatch>>,
        through: u64,
        now: Timestamp,
    ) -> Result<(), TableError> {
        if batches.is_empty() {
            return Ok(());
        }
        let rows = in_order(&batches);
        let added = self.put_rows(batches.clone(), rows, Effort::Quick, 1).await?;
        let mut log = self.log.lock().await;
        let change = Change { added: &added, position: Some(through), ..Change::default() };
        self.commit_change(&mut log, change, now).await?;
        let mut state = self.state();
        let count = batches.len();
        state.view.hot = Arc::new(state.view.hot[count..].to_vec());
        // At once: what is appended next must not look for the sealed rows.
        state.sealed = 0;
        state.position = through;
        self.add_files(&mut state, added);
        Ok(())
    }

    /// Makes files that were put (see [`Table::put_rows`]) part of the table.
    pub async fn add_put(&self, added: Vec<FileEntry>, now: Timestamp) -> Result<(), TableError> {
        if added.is_empty() {
            return Ok(());
        }
        let mut log = self.log.lock().await;
        let change = Change { added: &added, ..Change::default() };
        self.commit_change(&mut log, change, now).await?;
        self.add_files(&mut self.state(), added);
        Ok(())
    }

    /// Writes rows into files, one or more for each month, which are not part of the table yet.
    /// So many threads encode at once.
    pub async fn put_rows(
        &self,
        batches: Arc<Vec<RecordBatch>>,
        rows: Vec<RowAt>,
        effort: Effort,
        threads: usize,
    ) -> Result<Vec<FileEntry>, TableError> {
        let (content, mut put) = (self.content, Vec::new());
        for (month, rows) in by_month(rows) {
            for rows in rows.chunks(FILE_ROWS_MAX) {
                let (batches, rows) = (batches.clone(), rows.to_vec());
                let encoded = tokio::task::spawn_blocking(move || {
                    encode(content, &batches, &rows, effort, threads)
                });
                put.push(self.put(month, encoded.await??).await?);
            }
        }
        Ok(put)
    }

    async fn put(&self, month: Date, encoded: Encoded) -> Result<FileEntry, TableError> {
        let path = format!("{}={month}/{}.parquet", log::MONTH, uuid::Uuid::new_v4());
        let entry = FileEntry {
            bytes: encoded.bytes.len() as u64,
            rows: encoded.rows,
            month,
            oldest_us: encoded.oldest_us,
            newest_us: encoded.newest_us,
            path,
        };
        let payload = PutPayload::from(encoded.bytes);
        let failed = |source| TableError::Put { path: entry.path.clone(), source };
        self.store.put(&Path::from(entry.path.as_str()), payload).await.map_err(failed)?;
        Ok(entry)
    }

    /// Commits a change. After an error the log is read again: the commit may have been made all
    /// the same, by an answer that was lost. An error means that it was not.
    async fn commit_change(
        &self,
        log: &mut Log,
        change: Change<'_>,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let paths: Vec<String> = change.added.iter().map(|file| file.path.clone()).collect();
        let gone: Vec<String> = change.removed.iter().map(|file| file.path.clone()).collect();
        let Err(error) = log.commit(change, now).await else {
            self.state().version = log.version();
            return Ok(());
        };
        tracing::warn!(table = self.name, %error, "a commit failed; its log is read again");
        let reached = Some(log.version());
        *log = Log::open(self.storage.log(&self.name)?, &self.content.in_files(), reached).await?;
        self.state().version = log.version();
        let known: HashSet<String> = log.files()?.into_iter().map(|file| file.path).collect();
        let is_made = paths.iter().all(|path| known.contains(path))
            && !gone.iter().any(|path| known.contains(path));
        if is_made { Ok(()) } else { Err(error.into()) }
    }

    fn add_files(&self, state: &mut State, added: Vec<FileEntry>) {
        let mut files = state.view.files.to_vec();
        let table = Arc::from(self.name.as_str());
        files.extend(
            added
                .into_iter()
                .map(|entry| Arc::new(DataFile::new(entry, &table, self.store.clone()))),
        );
        state.view.files = Arc::new(files);
    }

    /// One step of upkeep: drops rows older than `keep_from`, or joins small files of a month. Is
    /// there more to do?
    pub async fn maintain(&self, keep_from: Timestamp, now: Timestamp) -> Result<bool, TableError> {
        self.remove_leftovers(now).await;
        let keep_from_us = keep_from.as_microsecond();
        let files = self.view().files;
        let expired: Vec<_> =
            files.iter().filter(|file| file.entry.newest_us < keep_from_us).cloned().collect();
        if !expired.is_empty() {
            self.replace(&expired, Vec::new(), false, now).await?;
            return Ok(true);
        }
        let long_ago_us = (keep_from - EXPIRY_STEP).as_microsecond();
        if let Some(file) = files.iter().find(|file| file.entry.oldest_us < long_ago_us) {
            self.rewrite(std::slice::from_ref(file), Some(keep_from_us), now).await?;
            return Ok(true);
        }
        let Some(small) = to_join(&files, now) else { return Ok(false) };
        self.rewrite(&small, None, now).await?;
        Ok(true)
    }

    /// Writes the rows of `old` once more, together, without those that are older than `keep_from_us`.
    async fn rewrite(
        &self,
        old: &[Arc<DataFile>],
        keep_from_us: Option<i64>,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let mut batches = Vec::new();
        for file in old {
            batches.extend(rows_of(file).await?);
        }
        let mut rows = in_order(&batches);
        if let Some(keep_from_us) = keep_from_us {
            rows.retain(|row| row.time_us >= keep_from_us);
        }
        let added = self.put_rows(Arc::new(batches), rows, Effort::Thorough, 1).await?;
        self.replace(old, added, keep_from_us.is_none(), now).await
    }

    async fn replace(
        &self,
        old: &[Arc<DataFile>],
        new: Vec<FileEntry>,
        rewrites: bool,
        now: Timestamp,
    ) -> Result<(), TableError> {
        let mut log = self.log.lock().await;
        let removed: Vec<_> = old.iter().map(|file| file.entry.clone()).collect();
        let change = Change { added: &new, removed: &removed, rewrites, position: None };
        self.commit_change(&mut log, change, now).await?;
        let gone: HashSet<&str> = removed.iter().map(|file| file.path.as_str()).collect();
        let mut state = self.state();
        let left = state.view.files.iter().filter(|file| !gone.contains(file.entry.path.as_str()));
        state.view.files = Arc::new(left.cloned().collect());
        state.removed.extend(removed.iter().map(|file| (file.path.clone(), now)));
        self.add_files(&mut state, new);
        Ok(())
    }

    /// Removes files that left the table a while ago. What cannot be removed is left for the next
    /// start.
    async fn remove_leftovers(&self, now: Timestamp) {
        let due: Vec<String> = {
            let mut state = self.state();
            let (due, kept) =
                state.removed.drain(..).partition(|(_, at)| *at + REMOVED_FILES_KEPT <= now);
            state.removed = kept;
            let due: Vec<(String, Timestamp)> = due;
            due.into_iter().map(|(path, _)| path).collect()
        };
        for path in due {
            if let Err(error) = self.store.delete(&Path::from(path.as_str())).await {
                tracing::warn!(table = self.name, path, %error, "a file that left the table stays on the disk");
            }
        }
    }

    /// Removes data files that the log does not know: a crash leaves them between the put and the
    /// commit. Young ones stay: another node may be about to commit them.
    async fn remove_strangers(&self, now: Timestamp) -> Result<(), TableError> {
        let known: HashSet<String> =
            self.view().files.iter().map(|file| file.entry.path.clone()).collect();
        let listed: Vec<_> = self.store.list(None).try_collect().await?;
        for object in listed {
            let path = object.location.as_ref();
            let age_s = now.as_second() - object.last_modified.timestamp();
            let is_old = age_s > STRANGERS_KEPT.as_secs().cast_signed();
            if path.starts_with(log::MONTH) && !known.contains(path) && is_old {
                self.store.delete(&object.location).await?;
            }
        }
        Ok(())
    }

    /// Removes the table with everything in its folder.
    pub async fn remove(storage: &Storage, name: &str) -> Result<(), TableError> {
        let store = storage.table(name);
        let listed: Vec<_> = store.list(None).try_collect().await?;
        // The log last: what has no log is no table, and is removed again by the next try.
        let (log, data): (Vec<_>, Vec<_>) = listed
            .into_iter()
            .partition(|object| object.location.as_ref().starts_with("_delta_log"));
        for object in data.into_iter().chain(log) {
            store.delete(&object.location).await?;
        }
        Ok(())
    }
}

fn files_of(
    log: &Log,
    table: &str,
    store: &Arc<dyn ObjectStore>,
) -> Result<Arc<Vec<Arc<DataFile>>>, LogError> {
    let (files, table) = (log.files()?.into_iter(), Arc::from(table));
    Ok(Arc::new(files.map(|entry| Arc::new(DataFile::new(entry, &table, store.clone()))).collect()))
}

/// Rows in order of time, cut by UTC month.
fn by_month(rows: Vec<RowAt>) -> BTreeMap<Date, Vec<RowAt>> {
    let mut months: BTreeMap<Date, Vec<RowAt>> = BTreeMap::new();
    let mut known = (i64::MAX, i64::MIN, Date::ZERO);
    for row in rows {
        // Rows in order of time: most have the month of the row before.
        if !(known.0..known.1).contains(&row.time_us) {
            let month = month_of(row.time_us);
            let next = month.saturating_add(1.month());
            known = (start_us(month), start_us(next), month);
        }
        months.entry(known.2).or_default().push(row);
    }
    months
}

/// The first day of the month of a time.
pub fn month_of(time_us: i64) -> Date {
    let time = Timestamp::from_microsecond(time_us).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::UTC).date().first_of_month()
}

fn start_us(day: Date) -> i64 {
    let start = day.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_microsecond());
    start.unwrap_or(i64::MAX)
}

/// Small files of one month that are worth joining.
fn to_join(files: &[Arc<DataFile>], now: Timestamp) -> Option<Vec<Arc<DataFile>>> {
    let mut months: BTreeMap<Date, Vec<&Arc<DataFile>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.entry.rows < SMALL_FILE_ROWS) {
        months.entry(file.entry.month).or_default().push(file);
    }
    let this_month = month_of((now - MONTH_IS_OVER_AFTER).as_microsecond());
    let (_, mut small) = months.into_iter().find(|(month, small)| {
        small.len() >= SMALL_FILES_MIN || (small.len() >= 2 && *month < this_month)
    })?;
    small.sort_by_key(|file| file.entry.rows);
    let mut rows = 0;
    small.retain(|file| {
        rows += file.entry.rows;
        rows <= COMPACTED_ROWS_MAX
    });
    (small.len() >= 2).then(|| small.into_iter().cloned().collect())
}

/// All rows of a file.
pub async fn rows_of(file: &DataFile) -> Result<Vec<RecordBatch>, TableError> {
    let bytes = file.all().await?;
    let read = tokio::task::spawn_blocking(move || {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(16_384).build()?;
        Ok::<_, ParquetError>(reader.collect::<Result<Vec<_>, _>>()?)
    });
    Ok(read.await?.map_err(|error| file.blamed(error))?)
}
