//! Events newest first, by what they say.
//!
//! ```text
//!   memory ─▶ candidates
//!   row groups, the newest first: statistics, Bloom filters ─▶ slices from their end ─▶ candidates
//!        … until the page is full and nothing newer can be left
//!   candidates of the page ─▶ their whole rows ─▶ records
//! ```
//! Nothing but the searched columns is read of rows that are not answered.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use event::lookup::{Field, Filter, Found, Lookup, NamedResource, Page};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::statistics::Statistics;

use crate::groups::codes::rows_with_ids;
use crate::prune::Conditions;
use crate::record::{self, DecodeError};
use crate::table::View;
use crate::table::file::{DataFile, Reader};
use crate::table::write::times;

/// The newest rows of a row group are looked at first, in slices that double.
const FIRST_SLICE_ROWS: usize = 8_192;

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("read a file of the table")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("read rows")]
    Arrow(#[from] arrow::error::ArrowError),
    #[error("choose row groups")]
    Prune(#[from] datafusion::common::DataFusionError),
    #[error("rebuild a record")]
    Record(#[from] DecodeError),
}

/// An event that fits, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    time_us: i64,
    id: String,
    source: usize,
    row: u32,
}

/// Where rows are read from.
enum Source {
    Memory(RecordBatch),
    File { file: Arc<DataFile>, row_group: usize, rows: usize, newest_us: i64 },
}

pub async fn lookup(view: &View, ask: &Lookup) -> Result<Page, LookupError> {
    let mut search = Search::new(ask);
    let mut sources: Vec<Source> = view.hot.iter().cloned().map(Source::Memory).collect();
    sources.extend(search.row_groups(view).await?);
    for (place, source) in sources.iter().enumerate() {
        match source {
            Source::Memory(batch) => search.look_at(place, 0, batch)?,
            Source::File { newest_us, .. } if search.is_full(*newest_us) => break,
            Source::File { .. } => search.look_into(place, source).await?,
        }
    }
    search.page(&sources).await
}

struct Search<'a> {
    ask: &'a Lookup,
    conditions: Conditions,
    /// The best so far, the newest first; one more than the page holds.
    candidates: Vec<Candidate>,
}

impl<'a> Search<'a> {
    fn new(ask: &'a Lookup) -> Search<'a> {
        let newest = ask.after.as_ref().map_or(ask.to, |place| place.event_time.min(ask.to));
        let mut conditions = Conditions::default();
        conditions.and_times(ask.from.as_microsecond()..=newest.as_microsecond());
        if let Some(account) = &ask.account {
            conditions.and_equal(&["cairn_account"], account.as_str());
        }
        if let Some(region) = &ask.region {
            conditions.and_equal(&["awsregion"], region);
        }
        for filter in ask.filters.iter().filter(|filter| !filter.negated) {
            if let (Some(leaf), event::lookup::Test::Is(values)) =
                (leaf(filter.field), &filter.test)
            {
                conditions.and_one_of(leaf, values);
            }
        }
        Search { ask, conditions, candidates: Vec::new() }
    }

    /// Can nothing as new as this come onto the page any more?
    fn is_full(&self, newest_us: i64) -> bool {
        self.candidates.get(self.ask.limit).is_some_and(|last| last.time_us > newest_us)
    }

    /// The row groups that may hold what is asked for, the newest first.
    async fn row_groups(&self, view: &View) -> Result<Vec<Source>, LookupError> {
        let mut sources = Vec::new();
        for file in view.files.iter().filter(|file| self.conditions.may_match_file(&file.entry)) {
            let metadata = file.metadata().await?;
            let schema = metadata.file_metadata().schema_descr();
            let time = (0..schema.num_columns())
                .find(|leaf| schema.column(*leaf).path().string() == "eventtime");
            for (row_group, known) in metadata.row_groups().iter().enumerate() {
                let bounds = time.and_then(|leaf| bounds(known.column(leaf).statistics()?));
                let (oldest_us, newest_us) =
                    bounds.unwrap_or((file.entry.oldest_us, file.entry.newest_us));
                let in_time = oldest_us <= *self.conditions.times.end()
                    && newest_us >= *self.conditions.times.start();
                if in_time {
                    let rows = usize::try_from(known.num_rows()).unwrap_or(0);
                    sources.push(Source::File { file: file.clone(), row_group, rows, newest_us });
                }
            }
        }
        sources.sort_by_key(|source| match source {
            Source::File { newest_us, .. } => Reverse(*newest_us),
            Source::Memory(_) => Reverse(i64::MAX),
        });
        Ok(sources)
    }

    /// Looks at a row group from its end, as long as its rows may come onto the page.
    async fn look_into(&mut self, place: usize, source: &Source) -> Result<(), LookupError> {
        let Source::File { file, row_group, rows, .. } = source else { return Ok(()) };
        let metadata = file.reader_metadata().await?;
        let known = metadata.metadata().row_group(*row_group);
        if !self.conditions.may_match_row_group(file, *row_group, known).await? {
            return Ok(());
        }
        let searched = self.searched();
        let mask = match &searched {
            Some(columns) => {
                let columns = columns.iter().copied();
                ProjectionMask::columns(metadata.parquet_schema(), columns)
            }
            None => ProjectionMask::all(),
        };
        if let Some(ids) = self.conditions.values_of("eventid")
            && let Some(found) = rows_with_ids(file, *row_group, ids).await?
        {
            for row in found.set_indices() {
                let row = u32::try_from(row).unwrap_or(u32::MAX);
                for batch in read(file, *row_group, mask.clone(), only(&[row], *rows)).await? {
                    self.look_at(place, row, &batch)?;
                }
            }
            return Ok(());
        }
        let (mut end, mut slice) = (*rows, FIRST_SLICE_ROWS);
        while end > 0 {
            let start = end.saturating_sub(slice);
            let selection = RowSelection::from(vec![
                RowSelector::skip(start),
                RowSelector::select(end - start),
                RowSelector::skip(rows - end),
            ]);
            let batches = read(file, *row_group, mask.clone(), selection).await?;
            let mut row = start;
            let mut oldest = None;
            for batch in &batches {
                self.look_at(place, u32::try_from(row).unwrap_or(u32::MAX), batch)?;
                oldest = oldest.or(times(batch).first().copied());
                row += batch.num_rows();
            }
            // Rows are in order of time: those before the slice are no newer than its first.
            let oldest = oldest.unwrap_or(i64::MIN);
            if self.is_full(oldest) || oldest < *self.conditions.times.start() {
                break;
            }
            (end, slice) = (start, slice * 2);
        }
        Ok(())
    }

    /// The columns that decide; `None` is all of them.
    fn searched(&self) -> Option<Vec<&'static str>> {
        let mut columns = vec!["eventtime", "eventid", "cairn_account", "awsregion"];
        for filter in &self.ask.filters {
            match filter.field {
                Field::Record => return None,
                Field::ResourceType | Field::ResourceName => columns.push("cairn_resources"),
                Field::ReadOnly => columns.push("readonly"),
                Field::EventCategory => columns.extend(["eventcategory", "managementevent"]),
                field => columns.extend(leaf(field)),
            }
        }
        Some(columns)
    }

    /// Takes the rows of a batch that fit. Its first row is the row `first` of the source.
    fn look_at(
        &mut self,
        source: usize,
        first: u32,
        batch: &RecordBatch,
    ) -> Result<(), LookupError> {
        let ids = text(batch, "eventid");
        let accounts = text(batch, "cairn_account");
        let regions = text(batch, "awsregion");
        let wanted = self.conditions.times.clone();
        let wanted_account = self.ask.account.as_ref().map(|account| account.as_str());
        let mut rows: Vec<usize> = Vec::new();
        for (row, time_us) in times(batch).iter().enumerate() {
            let is_in = wanted.contains(time_us)
                && wanted_account.is_none_or(|a| value(accounts, row) == Some(a))
                && self.ask.region.as_deref().is_none_or(|r| value(regions, row) == Some(r))
                && self.is_after(*time_us, value(ids, row).unwrap_or_default());
            if is_in {
                rows.push(row);
            }
        }
        // Records are rebuilt only for rows that passed everything else.
        let (last, first_filters): (Vec<_>, Vec<_>) =
            self.ask.filters.iter().partition(|filter| filter.field == Field::Record);
        for filter in first_filters {
            keep(filter, batch, &mut rows);
        }
        if !last.is_empty() && !rows.is_empty() {
            let places = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
            let records = record::records(&take_record_batch(batch, &places)?)?;
            let fits = |place: usize| {
                last.iter().all(|filter| filter.test.holds(records.value(place)) != filter.negated)
            };
            rows = rows
                .into_iter()
                .enumerate()
                .filter(|(at, _)| fits(*at))
                .map(|(_, row)| row)
                .collect();
        }
        let times = times(batch);
        let found = rows.into_iter().map(|row| Candidate {
            time_us: times[row],
            id: value(ids, row).unwrap_or_default().to_owned(),
            source,
            row: first + row as u32,
        });
        self.candidates.extend(found);
        self.candidates.sort_by(|a, b| b.cmp(a));
        // An event that is there twice is one event.
        self.candidates.dedup_by(|a, b| a.time_us == b.time_us && a.id == b.id && !a.id.is_empty());
        self.candidates.truncate(self.ask.limit + 1);
        Ok(())
    }

    fn is_after(&self, time_us: i64, id: &str) -> bool {
        self.ask.after.as_ref().is_none_or(|place| {
            (time_us, id) < (place.event_time.as_microsecond(), place.event_id.as_str())
        })
    }

    async fn page(mut self, sources: &[Source]) -> Result<Page, LookupError> {
        let more = self.candidates.len() > self.ask.limit;
        self.candidates.truncate(self.ask.limit);
        let mut by_source: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for candidate in &self.candidates {
            by_source.entry(candidate.source).or_default().push(candidate.row);
        }
        let mut found: BTreeMap<(usize, u32), Found> = BTreeMap::new();
        for (place, mut rows) in by_source {
            rows.sort_unstable();
            let batches = match &sources[place] {
                Source::Memory(batch) => {
                    vec![take_record_batch(batch, &UInt32Array::from(rows.clone()))?]
                }
                Source::File { file, row_group, rows: count, .. } => {
                    let selection = only(&rows, *count);
                    read(file, *row_group, ProjectionMask::all(), selection).await?
                }
            };
            let mut row = rows.iter();
            for batch in &batches {
                found.extend(row.by_ref().map(|row| (place, *row)).zip(all_found(batch)?));
            }
        }
        let events = self.candidates.iter().filter_map(|c| found.remove(&(c.source, c.row)));
        Ok(Page { events: events.collect(), more })
    }
}

async fn read(
    file: &Arc<DataFile>,
    row_group: usize,
    mask: ProjectionMask,
    selection: RowSelection,
) -> Result<Vec<RecordBatch>, LookupError> {
    let metadata = file.reader_metadata().await?;
    let builder =
        ParquetRecordBatchStreamBuilder::new_with_metadata(Reader(file.clone()), metadata)
            .with_row_groups(vec![row_group])
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(FIRST_SLICE_ROWS);
    Ok(builder.build()?.try_collect().await.map_err(|error| file.blamed(error))?)
}

/// Selects the given rows, in ascending order, out of `count`.
fn only(rows: &[u32], count: usize) -> RowSelection {
    let ranges = rows.iter().map(|row| *row as usize..*row as usize + 1);
    RowSelection::from_consecutive_ranges(ranges, count)
}

fn bounds(statistics: &Statistics) -> Option<(i64, i64)> {
    match statistics {
        Statistics::Int64(known) => Some((*known.min_opt()?, *known.max_opt()?)),
        _ => None,
    }
}

/// The leaf with a text that the field is, where there is one.
fn leaf(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::EventId => "eventid",
        Field::EventName => "eventname",
        Field::Username => "cairn_username",
        Field::ResourceName => "cairn_resources.list.element.name",
        Field::ResourceType => "cairn_resources.list.element.type",
        Field::EventSource => "eventsource",
        Field::AccessKeyId => "useridentity.accesskeyid",
        Field::ErrorCode => "errorcode",
        Field::SourceIpAddress => "sourceipaddress",
        Field::UserArn => "useridentity.arn",
        Field::ReadOnly | Field::EventCategory | Field::Record => return None,
    })
}

/// Keeps the rows that pass the filter.
fn keep(filter: &Filter, batch: &RecordBatch, rows: &mut Vec<usize>) {
    let passes = |holds: bool| holds != filter.negated;
    let holds = |value: Option<&str>| value.is_some_and(|value| filter.test.holds(value));
    match filter.field {
        Field::ReadOnly => {
            let values = truth(batch, "readonly");
            rows.retain(|row| passes(holds(said(values, *row))));
        }
        Field::EventCategory => {
            let values = text(batch, "eventcategory");
            let management = truth(batch, "managementevent");
            // Older records do not say it.
            let implied = |row: usize| match said(management, row) {
                Some("false") => "Data",
                _ => "Management",
            };
            rows.retain(|row| {
                passes(holds(Some(value(values, *row).unwrap_or_else(|| implied(*row)))))
            });
        }
        Field::ResourceType | Field::ResourceName => {
            let member = if filter.field == Field::ResourceType { "type" } else { "name" };
            let lists =
                batch.column_by_name("cairn_resources").and_then(|c| c.as_list_opt::<i32>());
            rows.retain(|row| {
                let list = lists.filter(|lists| lists.is_valid(*row)).map(|l| l.value(*row));
                let structs = list.as_ref().and_then(|list| list.as_struct_opt());
                let values = structs.and_then(|s| s.column_by_name(member));
                let values = values.and_then(|column| column.as_string_opt::<i32>());
                let any = values.is_some_and(|values| values.iter().any(&holds));
                passes(any)
            });
        }
        field => {
            let values = leaf(field).and_then(|leaf| nested_text(batch, leaf));
            rows.retain(|row| passes(holds(value(values, *row))));
        }
    }
}

fn text<'a>(batch: &'a RecordBatch, column: &str) -> Option<&'a StringArray> {
    batch.column_by_name(column)?.as_string_opt::<i32>()
}

fn truth<'a>(batch: &'a RecordBatch, column: &str) -> Option<&'a BooleanArray> {
    batch.column_by_name(column)?.as_boolean_opt()
}

/// A text leaf inside structs. A struct that is null has null leaves.
fn nested_text<'a>(batch: &'a RecordBatch, path: &str) -> Option<&'a StringArray> {
    let mut names = path.split('.');
    let mut column = batch.column_by_name(names.next()?)?;
    for name in names {
        column = column.as_struct_opt()?.column_by_name(name)?;
    }
    column.as_string_opt::<i32>()
}

fn value(values: Option<&StringArray>, row: usize) -> Option<&str> {
    values.filter(|values| values.is_valid(row)).map(|values| values.value(row))
}

fn said(values: Option<&BooleanArray>, row: usize) -> Option<&'static str> {
    let values = values.filter(|values| values.is_valid(row))?;
    Some(if values.value(row) { "true" } else { "false" })
}

/// Every row of a batch that has all columns.
fn all_found(batch: &RecordBatch) -> Result<Vec<Found>, LookupError> {
    let records = record::records(batch)?;
    let times = times(batch);
    let ids = text(batch, "eventid");
    let owned = |values, row| value(values, row).map(str::to_owned);
    let found = (0..batch.num_rows()).map(|row| {
        let record = records.value(row);
        Found {
            event_id: owned(ids, row).unwrap_or_else(|| derived_id(record)),
            event_name: owned(text(batch, "eventname"), row).unwrap_or_default(),
            event_source: owned(text(batch, "eventsource"), row).unwrap_or_default(),
            event_time: Timestamp::from_microsecond(times[row]).unwrap_or(Timestamp::UNIX_EPOCH),
            read_only: said(truth(batch, "readonly"), row).map(|said| said == "true"),
            access_key_id: owned(nested_text(batch, "useridentity.accesskeyid"), row),
            user_name: owned(text(batch, "cairn_username"), row),
            resources: resources(batch, row),
            record: record.to_owned(),
        }
    });
    Ok(found.collect())
}

fn derived_id(record: &str) -> String {
    let header = event::read_again(record.as_bytes());
    header.map(|h| h.event_id_or_derived(record.as_bytes()).to_string()).unwrap_or_default()
}

fn resources(batch: &RecordBatch, row: usize) -> Vec<NamedResource> {
    let lists = batch.column_by_name("cairn_resources").and_then(|c| c.as_list_opt::<i32>());
    let Some(list) = lists.filter(|lists| lists.is_valid(row)).map(|lists| lists.value(row)) else {
        return Vec::new();
    };
    let Some(structs) = list.as_struct_opt() else { return Vec::new() };
    let column = |name| structs.column_by_name(name).and_then(|c| c.as_string_opt::<i32>());
    let (kinds, names) = (column("type"), column("name"));
    let named = (0..structs.len()).filter_map(|at| {
        let name = value(names, at)?.to_owned();
        Some(NamedResource { kind: value(kinds, at).map(str::to_owned), name })
    });
    named.collect()
}
