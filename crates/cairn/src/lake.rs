//! The real lake behind the server's seam: the same words in the types of both.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use durable::Disk;
use event::lookup::{Lookup, Page};
use futures::FutureExt as _;
use jiff::Timestamp;
use lake::schema::Content;
use lake::sql::{Limits, QueryError};
use lake::storage::{Storage, StorageError, chain_of, is_of_store};
use lake::{ImportError, LakeError, PreparedQuery, QueryFailure, TableError};
use server::clock::Clock;
use server::lake::{
    Ask, Columns, Commit, FileFault, Hot, Import, ImportOptions, Imported, Lake, LakeFault,
    NamedTable, Position, Prepared, Progress, QueryFault, ReadFile, Row, Rows, Size, TableName,
};
use tokio_util::sync::CancellationToken;

use crate::config::Tables;
use crate::reached::Reached;

/// The listing of federated tables: no table has such a name.
const LISTING: &str = "federation.json";
/// How often a running query's figures are passed on.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// The tables of a node, with threads of their own.
#[derive(Debug)]
pub struct RealLake {
    lake: Arc<lake::Lake>,
    reached: Arc<Reached>,
    clock: Arc<dyn Clock>,
}

/// Opens the lake of the node whose data folder, which is there, is `data`. Nothing is sent to a
/// store yet: see [`RealLake::check`].
pub fn open(
    tables: &Tables,
    data: &Path,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<RealLake> {
    let storage = match tables {
        Tables::Folder => {
            let folder = data.join("lake");
            disk.create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
            Storage::folder(&folder, disk.clone())?
        }
        Tables::Bucket(settings) => Storage::bucket(settings, &name_of_node(data, disk.as_ref())?)?,
    };
    let folder = data.join("tables");
    let made = || format!("make {}", folder.display());
    let reached = Reached::open(folder.clone(), disk).with_context(made)?;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let lake = lake::Lake::new(storage, threads).context("start the lake's threads")?;
    Ok(RealLake { lake: Arc::new(lake), reached: Arc::new(reached), clock })
}

/// By what name a bucket knows this node: it goes with the data folder, as the journal does, whose
/// positions are in the tables.
fn name_of_node(data: &Path, disk: &dyn Disk) -> Result<String> {
    let path = data.join("tables-owner");
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {
            bail!("{} is empty; it held the name by which a bucket knows this node", path.display())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    }
    let name = server::chance::uuid(&server::chance::SystemChance).to_string();
    durable::write_atomic(disk, &path, name.as_bytes(), 0o600)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(name)
}

impl RealLake {
    /// A table that is asked before the worker that fills it has opened it, or because it cannot: so
    /// that who asks is told why.
    async fn opened(&self, table: &TableName, columns: Columns) -> Result<(), LakeFault> {
        match self.lake.table_is_open(table.as_str()) {
            true => Ok(()),
            false => self.open_table(table, columns).await.map(|_| ()),
        }
    }

    /// Asks the store of the tables whether they can be kept there.
    pub async fn check(&self) -> Result<(), StorageError> {
        self.lake.check_storage().await
    }
}

/// What the lake calls the rows of such a table.
fn content_of(table: &TableName, columns: Columns) -> Result<Content, LakeFault> {
    match columns {
        Columns::Events => Ok(Content::Events),
        Columns::Activity => Ok(Content::Activity),
        other => Err(LakeFault::Store {
            table: table.as_str().to_owned(),
            detail: format!("tables of {other:?} are not made by this version"),
        }),
    }
}

/// Writes down how far the table's log has come. Without it less would be noticed, so no more than a
/// warning.
async fn note(lake: Arc<lake::Lake>, reached: Arc<Reached>, table: TableName) {
    let Some(version) = lake.version(table.as_str()) else { return };
    let name = table.clone();
    let noted = tokio::task::spawn_blocking(move || reached.note(name.as_str(), version)).await;
    if let Ok(Err(error)) = noted {
        let table = table.as_str();
        tracing::warn!(table, %error, "what a table has reached cannot be written down");
    }
}

#[async_trait]
impl Lake for RealLake {
    async fn open_table(&self, table: &TableName, columns: Columns) -> Result<u64, LakeFault> {
        let content = content_of(table, columns)?;
        let reached = self.reached.version(table.as_str()).map_err(|error| {
            let detail = format!("read what the table has reached: {error}");
            LakeFault::Store { table: table.as_str().to_owned(), detail }
        })?;
        let name = table.as_str();
        let opened = self.lake.open_table(name, content, reached, self.clock.now()).await;
        let position = opened.map_err(|error| fault(table, error))?;
        note(self.lake.clone(), self.reached.clone(), table.clone()).await;
        Ok(position)
    }

    fn location(&self, table: &TableName) -> String {
        self.lake.location(table.as_str())
    }

    async fn put_listing(&self, text: Option<String>) -> Result<(), LakeFault> {
        let put = self.lake.put_beside(LISTING, text.map(Bytes::from)).await;
        put.map_err(|error| LakeFault::Store {
            table: LISTING.to_owned(),
            detail: chain_of(&error),
        })
    }

    async fn remove_table(&self, table: &TableName) -> Result<(), LakeFault> {
        self.lake.remove_table(table.as_str()).await.map_err(|error| fault(table, error))?;
        if let Err(error) = self.reached.forget(table.as_str()) {
            tracing::warn!(table = table.as_str(), %error, "a file of DATA/tables stays");
        }
        Ok(())
    }

    async fn append(
        &self,
        rows: Vec<Row>,
        wanted: Vec<(TableName, Vec<u32>)>,
    ) -> Result<Vec<(u64, String)>, LakeFault> {
        let rows = rows.into_iter().map(|row| lake::Row {
            seq: row.seq,
            account: row.account.to_string(),
            record: row.record,
        });
        let first = wanted.first().map_or_else(TableName::history, |(table, _)| table.clone());
        let wanted =
            wanted.into_iter().map(|(table, places)| (table.as_str().to_owned(), places)).collect();
        self.lake.append(rows.collect(), wanted).await.map_err(|error| fault(&first, error))
    }

    fn commit(&self, table: &TableName, through: u64) -> Commit {
        let commit = self.lake.commit(table.as_str(), through, self.clock.now());
        let (lake, reached, table) = (self.lake.clone(), self.reached.clone(), table.clone());
        async move {
            commit.await.map_err(|error| fault(&table, error))?;
            note(lake, reached, table).await;
            Ok(())
        }
        .boxed()
    }

    fn hot(&self, table: &TableName) -> Hot {
        let hot = self.lake.hot(table.as_str());
        Hot { rows: hot.rows, bytes: hot.bytes }
    }

    fn size(&self, table: &TableName) -> Size {
        let size = self.lake.size(table.as_str());
        Size { rows: size.rows, bytes: size.bytes, files: size.files }
    }

    async fn maintain(&self, table: &TableName, keep_from: Timestamp) -> Result<bool, LakeFault> {
        let done = self.lake.maintain(table.as_str(), keep_from, self.clock.now()).await;
        let more = done.map_err(|error| fault(table, error))?;
        note(self.lake.clone(), self.reached.clone(), table.clone()).await;
        Ok(more)
    }

    async fn lookup(&self, table: &TableName, ask: Lookup) -> Result<Page, LakeFault> {
        // Nothing else is looked up.
        self.opened(table, Columns::Events).await?;
        self.lake.lookup(table.as_str(), ask).await.map_err(|error| fault(table, error))
    }

    fn tables_of(
        &self,
        statement: &str,
        parameters: &[String],
    ) -> Result<Vec<NamedTable>, QueryFault> {
        let parsed = lake::sql::parse(statement, parameters).map_err(statement_fault)?;
        let named = parsed
            .stores()
            .iter()
            .map(|store| NamedTable { name: store.name.clone(), position: position(store.at) });
        Ok(named.collect())
    }

    async fn prepare(&self, ask: Ask) -> Result<Box<dyn Prepared>, QueryFault> {
        let mut tables = HashMap::new();
        for (name, readable) in ask.tables {
            self.opened(&readable.table, readable.columns).await?;
            let account = readable.account.map(|account| account.to_string());
            let provider = self.lake.readable(readable.table.as_str(), account);
            tables.insert(name, provider.map_err(|error| fault(&readable.table, error))?);
        }
        let limits = Limits {
            memory_bytes_max: ask.limits.memory_bytes_max,
            spill_folder: Some(ask.limits.spill_folder),
            spill_bytes_max: ask.limits.spill_bytes_max,
            threads: ask.limits.threads,
        };
        let prepared = self.lake.prepare(ask.statement, ask.parameters, tables, limits).await;
        let query = prepared.map_err(query_fault)?;
        Ok(Box::new(RealQuery { lake: self.lake.clone(), query }))
    }

    async fn import(
        &self,
        table: &TableName,
        options: ImportOptions,
    ) -> Result<Box<dyn Import>, LakeFault> {
        // Nothing else is imported.
        self.opened(table, Columns::Events).await?;
        let options = lake::ImportOptions { account: options.account, from: options.from };
        let import = self.lake.import(table.as_str(), options).map_err(|e| fault(table, e))?;
        Ok(Box::new(RealImport {
            lake: self.lake.clone(),
            reached: self.reached.clone(),
            import,
            table: table.clone(),
            clock: self.clock.clone(),
        }))
    }
}

struct RealQuery {
    lake: Arc<lake::Lake>,
    query: PreparedQuery,
}

#[async_trait]
impl Prepared for RealQuery {
    fn columns(&self) -> &[String] {
        &self.query.columns
    }

    async fn run(
        self: Box<Self>,
        rows: &mut dyn Rows,
        progress: Arc<Progress>,
        cancelled: CancellationToken,
    ) -> Result<(), QueryFault> {
        let inner = Arc::new(lake::Progress::default());
        let mut portions = self.query.start(self.lake.query_runtime(), inner.clone());
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        loop {
            let portion = tokio::select! {
                () = cancelled.cancelled() => return Err(QueryFault::Cancelled),
                portion = portions.recv() => portion,
                _ = ticks.tick() => {
                    pass_on(&inner, &progress);
                    continue;
                }
            };
            pass_on(&inner, &progress);
            match portion {
                None => return Ok(()),
                Some(Ok(portion)) => rows.take(portion).await?,
                Some(Err(error)) => return Err(query_fault(error)),
            }
        }
    }
}

fn pass_on(from: &lake::Progress, to: &Progress) {
    let pairs = [
        (&from.events_scanned, &to.events_scanned),
        (&from.events_matched, &to.events_matched),
        (&from.bytes_scanned, &to.bytes_scanned),
    ];
    for (from, to) in pairs {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

struct RealImport {
    lake: Arc<lake::Lake>,
    reached: Arc<Reached>,
    import: Arc<lake::Import>,
    table: TableName,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Import for RealImport {
    async fn add(&self, _name: &str, bytes: Bytes) -> Result<ReadFile, FileFault> {
        let import = self.import.clone();
        match self.lake.on_runtime(async move { import.add(bytes).await }).await {
            Ok(read) => Ok(ReadFile {
                events: read.events,
                expired: read.expired,
                refused: read.refused,
                refused_count: read.refused_count,
                uncompressed_bytes: read.uncompressed_bytes,
            }),
            Err(ImportError::Unreadable(reason)) => Err(FileFault::Unreadable(reason)),
            Err(error) => Err(FileFault::Lake(import_fault(&self.table, error))),
        }
    }

    async fn commit(&self) -> Result<Imported, LakeFault> {
        let (import, now) = (self.import.clone(), self.clock.now());
        let done = self.lake.on_runtime(async move { import.commit(now).await }).await;
        let done = done.map_err(|error| import_fault(&self.table, error))?;
        note(self.lake.clone(), self.reached.clone(), self.table.clone()).await;
        Ok(Imported { rows: done.rows, duplicates: done.duplicates })
    }
}

fn import_fault(table: &TableName, error: ImportError) -> LakeFault {
    match error {
        ImportError::Table(error) => fault(table, LakeError::Table(error)),
        ImportError::Overtaken => {
            LakeFault::BeginAgain { table: table.as_str().to_owned(), detail: error.to_string() }
        }
        other => LakeFault::Store { table: table.as_str().to_owned(), detail: other.to_string() },
    }
}

/// A log or a file that cannot be read is damage, unless the way to it is what fails. What cannot be
/// written is tried again.
fn fault(table: &TableName, error: LakeError) -> LakeFault {
    let table = table.as_str().to_owned();
    let detail = chain_of(&error);
    match error {
        LakeError::NoSuchTable(name) => LakeFault::NoSuchTable(name),
        _ if is_full(&error) => LakeFault::Full { table },
        _ if is_of_store(&detail) => LakeFault::Store { table, detail },
        LakeError::Lookup(_)
        | LakeError::Table(
            TableError::Encode(_)
            | TableError::Arrow(_)
            | TableError::Record(_)
            | TableError::Log(_),
        ) => LakeFault::Damaged { table, detail },
        LakeError::Table(_) => LakeFault::Store { table, detail },
    }
}

/// Does a full disk stand behind this?
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(durable::is_disk_full) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn position(at: lake::sql::Position) -> Position {
    Position { line: at.line, column: at.column }
}

fn statement_fault(error: QueryError) -> QueryFault {
    let (text, at) = (error.to_string(), error.position());
    // The seam has the position beside the message.
    let before = at.map_or_else(String::new, |at| format!("{at}: "));
    let message = text.strip_prefix(&before).unwrap_or(&text).to_owned();
    QueryFault::Statement { message, position: at.map(position) }
}

fn query_fault(failure: QueryFailure) -> QueryFault {
    match failure {
        QueryFailure::Query(error) => statement_fault(error),
        QueryFailure::Value(text) => QueryFault::Value(text),
        QueryFailure::Exhausted(text) => QueryFault::Exhausted(text),
        QueryFailure::File(error) => {
            let (detail, table) = (chain_of(&error), error.table);
            QueryFault::Lake(match is_of_store(&detail) {
                true => LakeFault::Store { table, detail },
                false => LakeFault::Damaged { table, detail },
            })
        }
        QueryFailure::Failed(detail) => {
            QueryFault::Lake(LakeFault::Store { table: "of a query".to_owned(), detail })
        }
    }
}
