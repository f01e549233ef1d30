//! The seam to the lake: what the server asks of the tables, and nothing of how they are kept.
//!
//! ```text
//!   index_events ─ append ─▶ rows in memory ─ commit ─▶ files        (the journal keeps them until then)
//!   imports ── add, commit ──────────────────────────▶ files
//!                    lookup, prepare ◀─ both together
//! ```
//! A table is a set of events: event history is one, each event data store is one. `cairn` plugs in
//! the real lake; [`fake`] keeps rows in memory and answers lookups, for tests.

pub mod fake;

use std::collections::HashMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use bytes::Bytes;
use event::AccountId;
use event::lookup::{Lookup, Page};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// A table's name, which is also its folder's: `history`, or the UUID of an event data store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName(String);

impl TableName {
    pub fn history() -> TableName {
        TableName("history".to_owned())
    }

    /// `id` is the last part of an event data store's ARN.
    pub fn of_store(id: &uuid::Uuid) -> TableName {
        TableName(id.hyphenated().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the rows of a table are. A table never changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Management, data and network activity events.
    Events,
    Insights,
    ConfigurationItems,
    Evidence,
    Activity,
}

impl Columns {
    /// Are rows of this kind kept yet? Stores of the others stay empty.
    pub fn are_kept(self) -> bool {
        matches!(self, Columns::Events | Columns::Activity)
    }
}

/// An accepted event on its way into tables.
#[derive(Debug, Clone)]
pub struct Row {
    pub seq: u64,
    /// `recipientAccountId`, else the tenant.
    pub account: AccountId,
    pub record: Bytes,
}

/// Rows of a table that are only in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hot {
    pub rows: u64,
    /// About how much memory they take.
    pub bytes: u64,
}

/// What a table holds in files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u64,
    pub bytes: u64,
    pub files: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum LakeFault {
    #[error("there is no table {0}")]
    NoSuchTable(String),
    /// The operator has to look: something that was committed is missing or altered.
    #[error("table {table} is damaged: {detail}")]
    Damaged { table: String, detail: String },
    #[error("no space is left for table {table}")]
    Full { table: String },
    /// Worth trying again.
    #[error("table {table}: {detail}")]
    Store { table: String, detail: String },
    /// An import is lost and has to be begun anew with all files that are not in.
    #[error("table {table}: {detail}")]
    BeginAgain { table: String, detail: String },
}

impl LakeFault {
    /// The table that failed.
    pub fn table(&self) -> &str {
        match self {
            LakeFault::NoSuchTable(table)
            | LakeFault::Damaged { table, .. }
            | LakeFault::Full { table }
            | LakeFault::Store { table, .. }
            | LakeFault::BeginAgain { table, .. } => table,
        }
    }

    /// What whoever asked is told. Where tables are kept is the operator's, so what their store says
    /// is only in our log; a damaged file is named, for its rows are missing from every answer.
    pub fn told(&self) -> String {
        let table = match self.table() {
            table if table == TableName::history().as_str() => "Event history".to_owned(),
            table => format!("Event data store {table}"),
        };
        match self {
            LakeFault::NoSuchTable(_) => format!("{table} is not there."),
            LakeFault::Damaged { detail, .. } => {
                let detail: String = detail.chars().take(TOLD_CHARS_MAX).collect();
                format!(
                    "{table} is damaged: {detail}. Its operator has to restore what is missing."
                )
            }
            LakeFault::Full { .. } => format!("No space is left for {table}. Try again later."),
            LakeFault::Store { .. } => {
                format!("{table} cannot be reached now: its storage fails. Try again later.")
            }
            LakeFault::BeginAgain { detail, .. } => format!("{table}: {detail}."),
        }
    }
}

/// AWS: the message of a failed query has 1,000 characters at most.
const TOLD_CHARS_MAX: usize = 800;

/// A name of a table in a query, in lower case, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTable {
    pub name: String,
    pub position: Position,
}

/// Both from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

/// A table that a query may read, and whose rows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    pub table: TableName,
    pub columns: Columns,
    /// Only the rows of this account; `None` is all.
    pub account: Option<AccountId>,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Ask {
    pub statement: String,
    /// Take the place of `'?'`, in order.
    pub parameters: Vec<String>,
    /// By the names that [`Lake::tables_of`] gave.
    pub tables: HashMap<String, Readable>,
    pub limits: QueryLimits,
}

/// What one query may use.
#[derive(Debug, Clone)]
pub struct QueryLimits {
    pub memory_bytes_max: usize,
    /// Where sorts and joins go that need more memory.
    pub spill_folder: PathBuf,
    pub spill_bytes_max: u64,
    pub threads: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryFault {
    /// The statement is wrong: its author acts.
    #[error("{message}")]
    Statement { message: String, position: Option<Position> },
    /// A value that the statement met while it ran cannot be dealt with, such as a division by zero.
    #[error("{0}")]
    Value(String),
    #[error("Query exhausted resources at this scale factor: {0}")]
    Exhausted(String),
    #[error("the query was cancelled")]
    Cancelled,
    #[error(transparent)]
    Lake(#[from] LakeFault),
    /// The one who takes the rows wants no more.
    #[error("the rows cannot be kept: {0}")]
    Sink(String),
}

/// How far a query has come, for whoever asks meanwhile.
#[derive(Debug, Default)]
pub struct Progress {
    pub events_scanned: AtomicU64,
    pub events_matched: AtomicU64,
    pub bytes_scanned: AtomicU64,
}

/// Takes the rows of a result as they come. A value is text, NULL is `None`.
#[async_trait]
pub trait Rows: Send {
    async fn take(&mut self, rows: Vec<Vec<Option<String>>>) -> Result<(), QueryFault>;
}

/// A query whose meaning is known.
#[async_trait]
pub trait Prepared: Send {
    /// The names of the result's columns, as written. They need not be distinct.
    fn columns(&self) -> &[String];

    /// Runs to the end, or until soon after `cancelled`.
    async fn run(
        self: Box<Self>,
        rows: &mut dyn Rows,
        progress: Arc<Progress>,
        cancelled: CancellationToken,
    ) -> Result<(), QueryFault>;
}

/// What an import accepts.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The account of rows whose record names none.
    pub account: AccountId,
    /// Older events are past the table's retention and stay out.
    pub from: Option<Timestamp>,
}

/// What a file came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadFile {
    pub events: u64,
    /// Events that stay out because of their age.
    pub expired: u64,
    /// Records that cannot be taken, each with its place and reason; the first hundred.
    pub refused: Vec<String>,
    pub refused_count: u64,
    pub uncompressed_bytes: u64,
}

/// A file that is no log file. Nothing of it went in.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Lake(#[from] LakeFault),
}

/// What became durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    pub rows: u64,
    /// Rows left out because an event of that ID was there.
    pub duplicates: u64,
}

/// An import under way. Dropping it forgets what was not committed.
#[async_trait]
pub trait Import: Send + Sync {
    /// Reads a file of any shape that holds records, plain or compressed. May be called by several
    /// at once. The rows are neither visible nor durable before [`Import::commit`].
    async fn add(&self, name: &str, bytes: Bytes) -> Result<ReadFile, FileFault>;

    /// Makes all that was added before durable and visible. The same again changes nothing:
    /// events whose IDs are in the table stay out.
    async fn commit(&self) -> Result<Imported, LakeFault>;
}

/// See [`Lake::commit`].
pub type Commit = BoxFuture<'static, Result<(), LakeFault>>;

#[async_trait]
pub trait Lake: Send + Sync + Debug + 'static {
    /// Opens the table, making it if it is not there. Answers the journal position of its last
    /// commit: rows up to there need not be appended again. 0 for a new table. May be called for a
    /// table that is open, also by two at once.
    async fn open_table(&self, table: &TableName, columns: Columns) -> Result<u64, LakeFault>;

    /// Where the table lies, for other engines: a URL that ends with a slash.
    fn location(&self, table: &TableName) -> String;

    /// Puts `federation.json` beside the tables, or removes it.
    async fn put_listing(&self, text: Option<String>) -> Result<(), LakeFault>;

    /// Removes the table with all its files. Removing what is not there is no fault.
    async fn remove_table(&self, table: &TableName) -> Result<(), LakeFault>;

    /// Adds rows in memory, visible when this returns. `wanted` names tables, each with the places
    /// of its rows in `rows`. Rows at or before a table's committed position are left out. The
    /// records that cannot be read are answered with their reasons; the others are in. After a
    /// fault, which names one of the tables, nothing has been added to any.
    async fn append(
        &self,
        rows: Vec<Row>,
        wanted: Vec<(TableName, Vec<u32>)>,
    ) -> Result<Vec<(u64, String)>, LakeFault>;

    /// Takes the rows that the table has in memory when this is called; the future makes them
    /// durable, with the journal position `through`. They are all that the table wants up to that
    /// position, and none beyond it. Rows that are appended while the future runs stay in memory.
    /// A table has one commit at a time. After a fault all rows are in memory still, unless they
    /// have become durable all the same: then they are no longer in memory, and the position of the
    /// table says so.
    fn commit(&self, table: &TableName, through: u64) -> Commit;

    fn hot(&self, table: &TableName) -> Hot;

    fn size(&self, table: &TableName) -> Size;

    /// One step of upkeep: drops what is all older than `keep_from`, joins small files. Is there
    /// more to do?
    async fn maintain(&self, table: &TableName, keep_from: Timestamp) -> Result<bool, LakeFault>;

    /// Events newest first.
    async fn lookup(&self, table: &TableName, ask: Lookup) -> Result<Page, LakeFault>;

    /// The tables that a statement names, each once. Fails where its text is wrong.
    fn tables_of(
        &self,
        statement: &str,
        parameters: &[String],
    ) -> Result<Vec<NamedTable>, QueryFault>;

    /// Finds out what a statement means. Fails where a column or function is not there.
    async fn prepare(&self, ask: Ask) -> Result<Box<dyn Prepared>, QueryFault>;

    async fn import(
        &self,
        table: &TableName,
        options: ImportOptions,
    ) -> Result<Box<dyn Import>, LakeFault>;
}
