//! All tables of a node, and the threads that read them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use event::lookup::{Lookup, Page};
use jiff::Timestamp;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::decode::{Decoder, Refused, RowIn};
use crate::import::{Import, ImportOptions};
use crate::lookup::{LookupError, lookup};
use crate::query::{PreparedQuery, QueryFailure, prepare};
use crate::scan::Events;
use crate::schema::Content;
use crate::sql::Limits;
use crate::storage::{Storage, StorageError};
use crate::table::{Hot, Table, TableError};

/// An accepted event on its way into tables.
#[derive(Debug, Clone)]
pub struct Row {
    pub seq: u64,
    /// Whose it is: 12 digits.
    pub account: String,
    pub record: Bytes,
}

/// What a table holds in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u64,
    pub bytes: u64,
    pub files: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    #[error("there is no table {0}")]
    NoSuchTable(String),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// The tables that are open. Reading and decoding happens on threads of its own, so that it does not
/// hold up who answers requests; and queries run on others again: one that compares millions of rows
/// does not give its thread back for seconds, and lookups and commits must not wait for it.
pub struct Lake {
    storage: Storage,
    tables: RwLock<HashMap<String, Arc<Table>>>,
    /// One table is opened at a time: two callers must not begin the same log twice.
    opening: tokio::sync::Mutex<()>,
    /// One decoder of each content is kept for appending: its buffers fit already.
    decoders: Arc<[(Content, Mutex<Decoder>); Content::ALL.len()]>,
    /// Both are None only while the lake is dropped.
    runtime: Option<Runtime>,
    query_runtime: Option<Runtime>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("storage", &self.storage).finish_non_exhaustive()
    }
}

/// What a task of the lake's threads gave; its panic goes on in whoever waits for it.
pub async fn joined<T>(done: Result<T, tokio::task::JoinError>) -> T {
    match done {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and with it whoever waits.
            Err(_) => std::future::pending().await,
        },
    }
}

impl Lake {
    /// Tables in `storage`, read by `threads` threads and queried by as many.
    pub fn new(storage: Storage, threads: usize) -> std::io::Result<Lake> {
        let started = |name| {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads.max(1)).thread_name(name).enable_all().build()
        };
        Ok(Lake {
            storage,
            tables: RwLock::default(),
            opening: Default::default(),
            decoders: Arc::new(Content::ALL.map(|content| (content, Decoder::of(content).into()))),
            runtime: Some(started("lake")?),
            query_runtime: Some(started("query")?),
        })
    }

    pub fn runtime(&self) -> &Handle {
        self.runtime.as_ref().expect("it is taken only when the lake is dropped").handle()
    }

    /// For running queries.
    pub fn query_runtime(&self) -> &Handle {
        self.query_runtime.as_ref().expect("it is taken only when the lake is dropped").handle()
    }

    /// Runs something on the lake's threads. A panic in there is a panic here.
    pub async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        joined(self.runtime().spawn(work).await).await
    }

    /// Can tables be kept in the storage? See [`Storage::check`].
    pub async fn check_storage(&self) -> Result<(), StorageError> {
        let storage = self.storage.clone();
        self.on_runtime(async move { storage.check().await }).await
    }

    /// See [`Storage::location`].
    pub fn location(&self, name: &str) -> String {
        self.storage.location(name)
    }

    /// Puts a small file beside the tables, or removes it.
    pub async fn put_beside(&self, name: &str, bytes: Option<Bytes>) -> Result<(), StorageError> {
        let (storage, name) = (self.storage.clone(), name.to_owned());
        self.on_runtime(async move { storage.put_beside(&name, bytes).await }).await
    }

    /// Opens a table. One that has been there is known to have `reached` a
    /// version of its log, and is an error when it is gone or has fallen back; otherwise it is begun
    /// when it is not there. Answers the journal position up to which its rows are durable.
    pub async fn open_table(
        &self,
        name: &str,
        content: Content,
        reached: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, LakeError> {
        let _one = self.opening.lock().await;
        if let Ok(table) = self.table(name) {
            return Ok(table.position());
        }
        let (storage, owned) = (self.storage.clone(), name.to_owned());
        let opened = self.on_runtime(async move {
            storage.check().await?;
            Table::open(&storage, &owned, content, reached, now).await
        });
        let table = Arc::new(opened.await?);
        let mut tables = self.tables.write().expect("no holder of this lock can panic");
        Ok(tables.entry(name.to_owned()).or_insert(table).position())
    }

    pub fn table(&self, name: &str) -> Result<Arc<Table>, LakeError> {
        let tables = self.tables.read().expect("no holder of this lock can panic");
        tables.get(name).cloned().ok_or_else(|| LakeError::NoSuchTable(name.to_owned()))
    }

    /// The version that the log of an open table has reached.
    pub fn version(&self, name: &str) -> Option<u64> {
        self.table(name).map(|table| table.version()).ok()
    }

    pub fn table_is_open(&self, name: &str) -> bool {
        self.table(name).is_ok()
    }

    pub async fn remove_table(&self, name: &str) -> Result<(), LakeError> {
        self.tables.write().expect("no holder of this lock can panic").remove(name);
        let (storage, name) = (self.storage.clone(), name.to_owned());
        Ok(self.on_runtime(async move { Table::remove(&storage, &name).await }).await?)
    }

    /// Adds rows in memory, visible when this returns. `wanted` names tables with the places of
    /// their rows; a record is decoded once for all tables of one content. Answers which records cannot be read.
    pub async fn append(
        &self,
        rows: Vec<Row>,
        wanted: Vec<(String, Vec<u32>)>,
    ) -> Result<Vec<(u64, String)>, LakeError> {
        let wanted = wanted
            .into_iter()
            .map(|(name, places)| Ok((self.table(&name)?, places)))
            .collect::<Result<Vec<_>, LakeError>>()?;
        let decoders = self.decoders.clone();
        let appended = tokio::task::spawn_blocking(move || {
            let mut unreadable = Vec::new();
            for (content, decoder) in decoders.iter() {
                let of_content = |(table, _): &&(Arc<Table>, _)| table.content == *content;
                let wanted: Wanted = wanted.iter().filter(of_content).cloned().collect();
                if !wanted.is_empty() {
                    unreadable.extend(append(decoder, &rows, &wanted)?);
                }
            }
            Ok::<_, TableError>(unreadable)
        });
        Ok(appended.await.map_err(TableError::from)??)
    }

    /// Takes the table's rows in memory now; the future makes them durable.
    pub fn commit(
        self: &Arc<Self>,
        name: &str,
        through: u64,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), LakeError>> + Send + 'static {
        let taken = self.table(name).map(|table| (table.take(), table));
        let lake = self.clone();
        async move {
            let (taken, table) = taken?;
            Ok(lake.on_runtime(async move { table.commit(taken, through, now).await }).await?)
        }
    }

    pub fn hot(&self, name: &str) -> Hot {
        self.table(name).map(|table| table.hot()).unwrap_or_default()
    }

    pub fn size(&self, name: &str) -> Size {
        let Ok(table) = self.table(name) else { return Size::default() };
        let files = table.view().files;
        Size {
            rows: files.iter().map(|file| file.entry.rows).sum(),
            bytes: files.iter().map(|file| file.entry.bytes).sum(),
            files: files.len() as u64,
        }
    }

    pub async fn maintain(
        &self,
        name: &str,
        keep_from: Timestamp,
        now: Timestamp,
    ) -> Result<bool, LakeError> {
        let table = self.table(name)?;
        Ok(self.on_runtime(async move { table.maintain(keep_from, now).await }).await?)
    }

    pub async fn lookup(&self, name: &str, ask: Lookup) -> Result<Page, LakeError> {
        let view = self.table(name)?.view();
        Ok(self.on_runtime(async move { lookup(&view, &ask).await }).await?)
    }

    /// A table as queries see it now; `account` leaves only that account's rows.
    pub fn readable(
        &self,
        name: &str,
        account: Option<String>,
    ) -> Result<Arc<dyn TableProvider>, LakeError> {
        let table = self.table(name)?;
        Ok(Arc::new(Events::new(table.view(), table.content, account)))
    }

    /// Finds out what a statement means over the given tables, by name in lower case.
    pub async fn prepare(
        &self,
        statement: String,
        parameters: Vec<String>,
        tables: HashMap<String, Arc<dyn TableProvider>>,
        limits: Limits,
    ) -> Result<PreparedQuery, QueryFailure> {
        self.on_runtime(async move { prepare(&statement, &parameters, &tables, &limits).await })
            .await
    }

    pub fn import(&self, name: &str, options: ImportOptions) -> Result<Arc<Import>, LakeError> {
        Ok(Arc::new(Import::new(self.table(name)?, options)))
    }
}

impl Drop for Lake {
    fn drop(&mut self) {
        // A runtime may not be waited for inside another one.
        for runtime in [self.runtime.take(), self.query_runtime.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

type Wanted = Vec<(Arc<Table>, Vec<u32>)>;

fn append(
    decoder: &Mutex<Decoder>,
    rows: &[Row],
    wanted: &Wanted,
) -> Result<Vec<(u64, String)>, TableError> {
    let mut decoder: MutexGuard<'_, Decoder> =
        decoder.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut unreadable = Vec::new();
    // By place in `rows`: the row of the batch that is being filled.
    let mut placed: Vec<Option<u32>> = vec![None; rows.len()];
    let mut is_wanted = vec![false; rows.len()];
    for place in wanted.iter().flat_map(|(_, places)| places) {
        is_wanted[*place as usize] = true;
    }
    for (place, row) in rows.iter().enumerate().filter(|(place, _)| is_wanted[*place]) {
        let input = RowIn { account: &row.account, record: &row.record };
        let at = decoder.rows() as u32;
        match decoder.push(input) {
            Ok(_) => placed[place] = Some(at),
            Err(Refused::Full) => {
                // A batch of intake never comes near this; what came before is handed over.
                hand_over(&mut decoder, rows, wanted, &placed)?;
                placed.fill(None);
                match decoder.push(input) {
                    Ok(_) => placed[place] = Some(0),
                    Err(reason) => unreadable.push((row.seq, reason.to_string())),
                }
            }
            Err(reason) => unreadable.push((row.seq, reason.to_string())),
        }
    }
    hand_over(&mut decoder, rows, wanted, &placed)?;
    Ok(unreadable)
}

fn hand_over(
    decoder: &mut Decoder,
    rows: &[Row],
    wanted: &Wanted,
    placed: &[Option<u32>],
) -> Result<(), TableError> {
    let batch = decoder.finish();
    for (table, places) in wanted {
        let position = table.position();
        let own: Vec<u32> = places
            .iter()
            .filter(|place| rows[**place as usize].seq > position)
            .filter_map(|place| placed[*place as usize])
            .collect();
        let is_all = own.len() == batch.num_rows();
        let own = if is_all {
            batch.clone()
        } else {
            take_record_batch(&batch, &UInt32Array::from(own))?
        };
        table.append(own)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
