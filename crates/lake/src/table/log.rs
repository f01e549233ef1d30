//! A table's log: which files hold its rows, and up to which journal entry.
//!
//! It is a Delta log (protocol of delta.io), written by `deltalake-core`. Every commit of rows from
//! the journal carries the application transaction [`JOURNAL`] whose version is the position of the
//! last entry in it: reading it back tells which entries need not be appended again.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, LogicalFileView, Remove, StructType, Transaction};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The column by which a table is cut into folders: the first day of the UTC month of `eventtime`.
pub const MONTH: &str = "cairn_month";

/// The application whose transactions are journal positions.
const JOURNAL: &str = "cairn-journal";

/// A file of a table, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the table's folder.
    pub path: String,
    pub bytes: u64,
    pub rows: u64,
    /// Its first day.
    pub month: Date,
    /// Of `eventtime`, in microseconds.
    pub oldest_us: i64,
    pub newest_us: i64,
}

/// What a commit changes.
#[derive(Debug, Default)]
pub struct Change<'a> {
    pub added: &'a [FileEntry],
    pub removed: &'a [Arc<FileEntry>],
    /// Rows of the journal up to here are in the table now.
    pub position: Option<u64>,
    /// The same rows in other files: readers of changes need not look.
    pub rewrites: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the table's log")]
    Delta(#[from] DeltaTableError),
    #[error("the table's log says of file {path}: {detail}")]
    Damaged { path: String, detail: String },
    #[error("the table's log is gone; it had reached version {reached}")]
    Gone { reached: u64 },
    #[error("the table's log ends with version {found}; it had reached {reached}")]
    Short { found: u64, reached: u64 },
    #[error("entry {path} of the table's log cannot be read: {detail}")]
    Entry { path: String, detail: String },
    #[error("the newest entry of the table's log, {path}, is gone")]
    EntryGone { path: String },
}

pub struct Log {
    store: LogStoreRef,
    state: DeltaTableState,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("version", &self.state.version()).finish()
    }
}

impl Log {
    /// Opens the log in `store`. `columns` are those of the files. One that has been there is known
    /// to have `reached` a version; otherwise it is begun when there is none.
    pub async fn open(
        store: LogStoreRef,
        columns: &SchemaRef,
        reached: Option<u64>,
    ) -> Result<Log, LogError> {
        if !store.is_delta_table_location().await? {
            match reached {
                Some(reached) => return Err(LogError::Gone { reached }),
                None => begin(store.clone(), columns).await?,
            }
        }
        // An empty entry would be read as one that changes nothing.
        if let Some(entry) = entries(&store).await?.iter().find(|entry| entry.size == 0) {
            let path = entry.location.to_string();
            return Err(LogError::Entry { path, detail: "it is empty".to_owned() });
        }
        let state = match DeltaTableState::try_new(store.as_ref(), None).await {
            Ok(state) => state,
            Err(error) => return Err(unreadable_entry(&store).await.unwrap_or(error.into())),
        };
        let found = state.version();
        match reached {
            // Its last entries are gone, and with them rows that the journal has no more.
            Some(reached) if found < reached => Err(LogError::Short { found, reached }),
            _ => Ok(Log { store, state }),
        }
    }

    pub fn version(&self) -> u64 {
        self.state.version()
    }

    /// Is the log that is in memory still the one in the store? A commit on top of what is gone would
    /// be lost with it.
    async fn check_newest(&self) -> Result<(), LogError> {
        let path = Path::from(format!("_delta_log/{:020}.json", self.version()));
        match self.store.object_store(None).head(&path).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => {
                Err(LogError::EntryGone { path: path.to_string() })
            }
            Err(error) => Err(DeltaTableError::from(error).into()),
        }
    }

    pub fn files(&self) -> Result<Vec<FileEntry>, LogError> {
        self.state.log_data().iter().map(|file| entry(&file)).collect()
    }

    /// The last journal entry whose rows are in the table.
    pub async fn position(&self) -> Result<u64, LogError> {
        let version = self.state.transaction_version(self.store.as_ref(), JOURNAL).await?;
        Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
    }

    /// Durable when it returns. After an error the log has to be opened again: the commit may have
    /// been made all the same.
    pub async fn commit(&mut self, change: Change<'_>, now: Timestamp) -> Result<(), LogError> {
        self.check_newest().await?;
        let now_ms = now.as_millisecond();
        let mut actions: Vec<Action> = Vec::new();
        actions.extend(change.added.iter().map(|file| Action::Add(add(file, &change, now_ms))));
        actions.extend(
            change.removed.iter().map(|file| Action::Remove(remove(file, &change, now_ms))),
        );
        let mut properties = CommitProperties::default();
        if let Some(position) = change.position {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            properties = properties.with_application_transaction(
                Transaction::new_with_last_update(JOURNAL, position, Some(now_ms)),
            );
        }
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![MONTH.to_owned()]),
            predicate: None,
        };
        let finalized = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(&self.state as &dyn TableReference), self.store.clone(), operation)
            .await?;
        self.state = finalized.snapshot();
        Ok(())
    }
}

/// The files of the log that commits have written.
async fn entries(store: &LogStoreRef) -> Result<Vec<ObjectMeta>, LogError> {
    let folder = Path::from("_delta_log");
    let listed = store.object_store(None).list(Some(&folder)).try_collect().await;
    let mut listed: Vec<ObjectMeta> = listed.map_err(DeltaTableError::from)?;
    listed.retain(|object| object.location.extension() == Some("json"));
    Ok(listed)
}

/// What is wrong with a log that cannot be read, where an entry is to blame: the reader does not
/// name it.
async fn unreadable_entry(store: &LogStoreRef) -> Option<LogError> {
    for entry in entries(store).await.ok()? {
        let got = store.object_store(None).get(&entry.location).await.ok()?;
        let bytes = got.bytes().await.ok()?;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Err(error) = serde_json::from_slice::<IgnoredAny>(line) {
                let (path, detail) = (entry.location.to_string(), error.to_string());
                return Some(LogError::Entry { path, detail });
            }
        }
    }
    None
}

async fn begin(store: LogStoreRef, columns: &SchemaRef) -> Result<(), LogError> {
    let mut fields = columns.fields().to_vec();
    fields.push(Arc::new(Field::new(MONTH, DataType::Date32, true)));
    let schema: StructType =
        (&Schema::new(fields)).try_into_kernel().map_err(DeltaTableError::from)?;
    let created = CreateBuilder::new()
        .with_log_store(store.clone())
        .with_columns(schema.fields().cloned())
        .with_partition_columns([MONTH])
        // Whoever is second must not write the table's columns once more, as another version.
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .with_configuration_property(
            deltalake_core::TableProperty::DataSkippingStatsColumns,
            Some("eventtime"),
        )
        .await;
    match created {
        Ok(_) => Ok(()),
        // Another node was faster.
        Err(_) if store.is_delta_table_location().await? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Delta's statistics of a file, as far as we write and read them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    num_records: u64,
    min_values: Times,
    max_values: Times,
}

#[derive(Debug, Serialize, Deserialize)]
struct Times {
    eventtime: String,
}

fn add(file: &FileEntry, change: &Change<'_>, now_ms: i64) -> Add {
    let statistics = Statistics {
        num_records: file.rows,
        min_values: Times { eventtime: time_text(file.oldest_us) },
        max_values: Times { eventtime: time_text(file.newest_us) },
    };
    Add {
        path: file.path.clone(),
        partition_values: partition(file),
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: now_ms,
        data_change: !change.rewrites,
        stats: serde_json::to_string(&statistics).ok(),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

fn remove(file: &FileEntry, change: &Change<'_>, now_ms: i64) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: !change.rewrites,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(partition(file)),
        size: i64::try_from(file.bytes).ok(),
        ..Remove::default()
    }
}

fn partition(file: &FileEntry) -> HashMap<String, Option<String>> {
    HashMap::from([(MONTH.to_owned(), Some(file.month.to_string()))])
}

fn entry(file: &LogicalFileView) -> Result<FileEntry, LogError> {
    let path = file.path().into_owned();
    let damaged = |detail: String| LogError::Damaged { path: path.clone(), detail };
    let statistics = file.stats().ok_or_else(|| damaged("no statistics".to_owned()))?;
    let statistics: Statistics =
        serde_json::from_str(&statistics).map_err(|error| damaged(error.to_string()))?;
    let month = file.partition_values_map().get(MONTH).cloned().flatten();
    let month = month.ok_or_else(|| damaged("no month".to_owned()))?;
    let time = |text: &str| -> Result<i64, LogError> {
        let time: Timestamp = text.parse().map_err(|_| damaged(format!("time {text}")))?;
        Ok(time.as_microsecond())
    };
    Ok(FileEntry {
        bytes: u64::try_from(file.size()).unwrap_or(0),
        rows: statistics.num_records,
        month: month.parse().map_err(|_| damaged(format!("month {month}")))?,
        oldest_us: time(&statistics.min_values.eventtime)?,
        newest_us: time(&statistics.max_values.eventtime)?,
        path,
    })
}

/// As Delta writes times: `2026-01-02T03:04:05.678901Z`.
fn time_text(us: i64) -> String {
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}
