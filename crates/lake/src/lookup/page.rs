//! From the best candidates to the events of a page.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use event::lookup::{Found, NamedResource, Page};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use tokio::task::JoinSet;

use super::{Best, Candidate, LookupError, RowGroup, Source};
use crate::lake::joined;
use crate::record::members::{EVENT, Kind, NAMED_RESOURCE, place};
use crate::record::picked::Rows;
use crate::record::rebuild::{Column, rebuild};
use crate::record::stored::Stored;
use crate::record::{self, DecodeError};
use crate::schema::Content;
use crate::table::file::Reader;

/// Rows that one thread puts together.
const SHARE_ROWS: usize = 16;

/// The events of the best candidates.
pub async fn page(mut best: Best, sources: &[Source]) -> Result<Page, LookupError> {
    let more = best.candidates.len() > best.limit;
    best.candidates.truncate(best.limit);
    let mut by_group: BTreeMap<(usize, usize), Vec<u32>> = BTreeMap::new();
    for candidate in &best.candidates {
        by_group.entry((candidate.source, candidate.row_group)).or_default().push(candidate.row);
    }
    let mut found: BTreeMap<(usize, usize, u32), Found> = BTreeMap::new();
    let mut running = JoinSet::new();
    for ((source, place), mut rows) in by_group {
        rows.sort_unstable();
        match &sources[source] {
            Source::Memory(batch) => {
                let batch = take_record_batch(batch, &UInt32Array::from(rows.clone()))?;
                let places = rows.into_iter().map(|row| (source, place, row));
                found.extend(places.zip(all_found(&batch)?));
            }
            Source::File(file) => {
                let group = RowGroup { file: file.clone(), place };
                for rows in rows.chunks(SHARE_ROWS) {
                    let (group, rows) = (group.clone(), rows.to_vec());
                    running.spawn(async move {
                        let events = whole_rows(&group, &rows).await?;
                        let places = rows.into_iter().map(move |row| (source, place, row));
                        Ok::<_, LookupError>(places.zip(events))
                    });
                }
            }
        }
    }
    while let Some(done) = running.join_next().await {
        found.extend(joined(done).await?);
    }
    let place = |c: &Candidate| (c.source, c.row_group, c.row);
    let events = best.candidates.iter().filter_map(|candidate| found.remove(&place(candidate)));
    Ok(Page { events: events.collect(), more })
}

/// The events of rows of a row group, which are ascending.
pub async fn whole_rows(group: &RowGroup, rows: &[u32]) -> Result<Vec<Found>, LookupError> {
    let Some(whole) = Rows::fetch(&group.file, group.place, rows).await? else {
        return all_found(&read(group, rows).await?);
    };
    let mut record = Vec::new();
    let found = (0..rows.len()).map(|row| {
        let damaged = |what| DecodeError::Damaged { row: rows[row] as usize, what };
        let shape = whole.shape.text(row).ok_or(damaged("it has no shape"))?;
        let rest = whole.rest.text(row).unwrap_or_default();
        record.clear();
        rebuild(&EVENT, &whole.event, row, shape, rest, &mut record).map_err(damaged)?;
        let record = std::str::from_utf8(&record).map_err(|_| damaged("it is not UTF-8"))?;
        Ok(found(record, row, &whole.event, &whole.username, &whole.resources))
    });
    found.collect()
}

async fn read(group: &RowGroup, rows: &[u32]) -> Result<RecordBatch, LookupError> {
    let metadata = group.file.reader_metadata().await?;
    let schema = metadata.schema().clone();
    let count = metadata.metadata().row_group(group.place).num_rows();
    let count = usize::try_from(count).unwrap_or(0);
    let reader = Reader(group.file.clone());
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_row_groups(vec![group.place])
        .with_row_selection(only(rows, count))
        .with_batch_size(rows.len().max(1));
    let batches: Vec<RecordBatch> =
        builder.build()?.try_collect().await.map_err(|error| group.file.blamed(error))?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Selects the given rows, in ascending order, out of `count`.
fn only(rows: &[u32], count: usize) -> RowSelection {
    let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
    RowSelection::from_consecutive_ranges(ranges, count)
}

/// Every row of a batch that has all columns.
fn all_found(batch: &RecordBatch) -> Result<Vec<Found>, LookupError> {
    let records = record::records(batch)?;
    let event = Stored::of_batch(Content::Events, batch)?;
    let column = |name: &str, kind| {
        let column = batch.column_by_name(name).ok_or(DecodeError::NoColumn(name.to_owned()))?;
        Ok::<_, DecodeError>(Stored::new(kind, column))
    };
    let username = column("cairn_username", Kind::Text)?;
    let resources = column("cairn_resources", Kind::List(&NAMED_RESOURCE))?;
    let rows = 0..batch.num_rows();
    Ok(rows.map(|row| found(records.value(row), row, &event, &username, &resources)).collect())
}

/// What is said of a row; `event` are the columns of its members.
fn found<C: Column>(record: &str, row: usize, event: &[C], username: &C, resources: &C) -> Found {
    let text = |column: &C, row| column.text(row).map(|text| String::from_utf8_lossy(text).into());
    let identity = event[place::USER_IDENTITY].children();
    let time =
        event[place::EVENT_TIME].time(row).and_then(|us| Timestamp::from_microsecond(us).ok());
    let named = resources.span(row).unwrap_or(0..0).filter_map(|entry| {
        let [kind, name] = resources.children() else { return None };
        Some(NamedResource { kind: text(kind, entry), name: text(name, entry)? })
    });
    Found {
        event_id: text(&event[place::EVENT_ID], row).unwrap_or_else(|| derived_id(record)),
        event_name: text(&event[place::EVENT_NAME], row).unwrap_or_default(),
        event_source: text(&event[place::EVENT_SOURCE], row).unwrap_or_default(),
        event_time: time.unwrap_or(Timestamp::UNIX_EPOCH),
        read_only: event[place::READ_ONLY].truth(row),
        access_key_id: text(&identity[place::ACCESS_KEY_ID], row),
        user_name: text(username, row),
        resources: named.collect(),
        record: record.to_owned(),
    }
}

fn derived_id(record: &str) -> String {
    let header = event::read_again(record.as_bytes());
    header.map(|h| h.event_id_or_derived(record.as_bytes()).to_string()).unwrap_or_default()
}
