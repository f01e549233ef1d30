//! Which events a table has, as far as an import has to know.
//!
//! Copies of an event have its time. So only the row groups that overlap the new rows in time are
//! read, only their IDs and times, and each file only once in an import.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use futures::TryStreamExt as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::statistics::Statistics;
use uuid::Uuid;

use crate::record;
use crate::table::file::{DataFile, Reader};
use crate::table::log::FileEntry;
use crate::table::write::{RowAt, times};
use crate::table::{Table, TableError};

/// IDs kept of what this import wrote itself, 32 bytes each. Beyond that its own files are read
/// like others'.
const OWN_MAX: usize = 6_000_000;

/// Identities, hashed with a key of this process: who writes a file chooses its IDs.
pub type Ids = HashSet<u128, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
pub struct KnownEvents {
    /// Paths of files whose rows are in `own` or `put`.
    own_files: HashSet<String>,
    /// Committed by this import.
    own: Ids,
    /// Put by this import and not committed yet.
    put: Ids,
    /// Files that the table had when the first of `put` was looked up. Later ones are others'.
    seen: Option<HashSet<String>>,
    /// Found in other files and in memory, for the rows that are looked at now.
    found: Ids,
}

impl KnownEvents {
    pub fn has(&self, id: u128) -> bool {
        self.own.contains(&id) || self.put.contains(&id) || self.found.contains(&id)
    }

    /// Finds the events of the table that the rows, which are in order of time, may be copies of.
    pub async fn look_up(&mut self, table: &Table, rows: &[RowAt]) -> Result<(), TableError> {
        self.found.clear();
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let span = first.time_us..=last.time_us;
        let view = table.view();
        if self.seen.is_none() {
            self.seen = Some(view.files.iter().map(|file| file.entry.path.clone()).collect());
        }
        for batch in view.hot.iter() {
            self.found.extend(ids_of(batch, &span)?.0);
        }
        for file in view.files.iter() {
            let entry = &file.entry;
            let overlaps = entry.oldest_us <= *span.end() && entry.newest_us >= *span.start();
            if overlaps
                && !self.own_files.contains(&entry.path)
                && has_rows_in(rows, entry.oldest_us..=entry.newest_us)
            {
                let wanted = |span: &RangeInclusive<i64>| has_rows_in(rows, span.clone());
                self.read(file, wanted).await?;
            }
        }
        Ok(())
    }

    /// Has the table got an event since it was put here, from somebody else? `put` are the files of this
    /// import that are not committed yet. Only exact while nobody else can commit.
    pub async fn is_overtaken(
        &mut self,
        table: &Table,
        put: &[FileEntry],
    ) -> Result<bool, TableError> {
        let Some(seen) = &self.seen else { return Ok(false) };
        let is_mine = |path: &String| self.own_files.contains(path) || seen.contains(path);
        let overlaps = |span: &RangeInclusive<i64>| {
            put.iter().any(|mine| mine.oldest_us <= *span.end() && mine.newest_us >= *span.start())
        };
        let view = table.view();
        let others: Vec<&Arc<DataFile>> = view
            .files
            .iter()
            .filter(|file| !is_mine(&file.entry.path))
            .filter(|file| overlaps(&(file.entry.oldest_us..=file.entry.newest_us)))
            .collect();
        for file in others {
            self.found.clear();
            self.read(file, overlaps).await?;
            if self.found.iter().any(|id| self.put.contains(id)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn read(
        &mut self,
        file: &Arc<DataFile>,
        wanted: impl Fn(&RangeInclusive<i64>) -> bool,
    ) -> Result<(), TableError> {
        let metadata = file.reader_metadata().await?;
        let schema = metadata.parquet_schema();
        let time = (0..schema.num_columns())
            .find(|leaf| schema.column(*leaf).path().string() == "eventtime");
        for (place, row_group) in metadata.metadata().row_groups().iter().enumerate() {
            let bounds = time.and_then(|leaf| match row_group.column(leaf).statistics()? {
                Statistics::Int64(known) => Some(*known.min_opt()?..=*known.max_opt()?),
                _ => None,
            });
            let span = bounds.unwrap_or(i64::MIN..=i64::MAX);
            if !wanted(&span) {
                continue;
            }
            let mask = ProjectionMask::columns(schema, ["eventtime", "eventid"]);
            let (ids, is_whole) = self.row_group(file, place, mask, &span).await?;
            self.found.extend(ids);
            if !is_whole {
                // Some record has no ID that is a UUID: its identity comes from its bytes.
                let (ids, _) = self.row_group(file, place, ProjectionMask::all(), &span).await?;
                self.found.extend(ids);
            }
        }
        Ok(())
    }

    async fn row_group(
        &self,
        file: &Arc<DataFile>,
        place: usize,
        mask: ProjectionMask,
        span: &RangeInclusive<i64>,
    ) -> Result<(Vec<u128>, bool), TableError> {
        let metadata = file.reader_metadata().await?;
        let reader = Reader(file.clone());
        let batches: Vec<RecordBatch> =
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
                .with_row_groups(vec![place])
                .with_projection(mask)
                .with_batch_size(16_384)
                .build()?
                .try_collect()
                .await
                .map_err(|error| file.blamed(error))?;
        let mut all = Vec::new();
        let mut is_whole = true;
        for batch in &batches {
            let (ids, whole) = ids_of(batch, span)?;
            all.extend(ids);
            is_whole &= whole;
        }
        Ok((all, is_whole))
    }

    /// Remembers the events of files that this import has written.
    pub fn add(&mut self, paths: Vec<String>, ids: Ids) {
        match self.put.is_empty() {
            true => self.put = ids,
            false => self.put.extend(ids),
        }
        self.own_files.extend(paths);
    }

    /// What was put is committed. Forgets what this import wrote when that is too much: until now
    /// nothing else could tell that it is there.
    pub fn committed(&mut self) {
        let put = std::mem::take(&mut self.put);
        match self.own.is_empty() {
            true => self.own = put,
            false => self.own.extend(put),
        }
        self.seen = None;
        if self.own.len() > OWN_MAX {
            *self = KnownEvents::default();
        }
    }
}

fn has_rows_in(rows: &[RowAt], span: RangeInclusive<i64>) -> bool {
    let at = rows.partition_point(|row| row.time_us < *span.start());
    rows.get(at).is_some_and(|row| row.time_us <= *span.end())
}

/// The identities of rows, and whether all of them could be told from the columns that are there.
fn ids_of(
    batch: &RecordBatch,
    span: &RangeInclusive<i64>,
) -> Result<(Vec<u128>, bool), TableError> {
    let ids = batch.column_by_name("eventid").and_then(|column| column.as_string_opt::<i32>());
    let records: Option<StringArray> = match batch.column_by_name("cairn_shape") {
        Some(_) if has_odd_ids(ids) => Some(record::records(batch)?),
        _ => None,
    };
    let mut known = Vec::with_capacity(batch.num_rows());
    let mut is_whole = true;
    for (row, time_us) in times(batch).iter().enumerate() {
        if !span.contains(time_us) {
            continue;
        }
        let uuid = ids.filter(|ids| ids.is_valid(row)).and_then(|ids| uuid(ids.value(row)));
        match (uuid, &records) {
            (Some(uuid), _) => known.push(uuid.as_u128()),
            (None, Some(records)) => {
                let raw = records.value(row).as_bytes();
                known.extend(event::read_again(raw).map(|h| h.event_id_or_derived(raw).as_u128()));
            }
            (None, None) => is_whole = false,
        }
    }
    Ok((known, is_whole))
}

fn has_odd_ids(ids: Option<&StringArray>) -> bool {
    ids.is_none_or(|ids| ids.iter().any(|id| id.and_then(uuid).is_none()))
}

fn uuid(id: &str) -> Option<Uuid> {
    (id.len() == uuid::fmt::Hyphenated::LENGTH).then(|| Uuid::try_parse(id).ok()).flatten()
}
