//! Events newest first, by what they say.
//!
//! ```text
//!   memory ─▶ candidates
//!   files, the newest first ─▶ row groups: statistics, Bloom filters ─▶ rows that fit ([`matching`])
//!        ─▶ times and IDs of the newest of them ─▶ candidates
//!        … until the page is full and nothing newer can be left
//!   candidates of the page ─▶ their whole rows ─▶ records
//! ```
//! Nothing but the searched columns is read of rows that are not answered.

use std::cmp::Reverse;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::take_record_batch;
use event::lookup::{Field, Filter, Lookup, Page, Test};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use tokio::task::JoinSet;

use crate::groups::codes::rows_with_ids;
use crate::lake::joined;
use crate::pages::Leaf;
use crate::pages::picks::picks;
use crate::prune::{Conditions, leaf_of};
use crate::record::{self, DecodeError};
use crate::table::View;
use crate::table::file::DataFile;
use crate::table::write::{SEARCHED, times};
use matching::Kept;
use page::{page, whole_rows};

mod matching;
mod page;

/// The newest rows of a row group are looked at first: often they fill the page. Then twice as many.
const FIRST_ROWS: usize = 16_384;
/// Row groups that are looked into at a time, once the newest did not fill the page.
const AT_A_TIME: usize = 4;
/// Rows whose records are searched at a time: those of a page.
const SEARCHED_ROWS: usize = 4_096;

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
    /// 0 in memory.
    row_group: usize,
    row: u32,
}

/// Where rows are read from.
enum Source {
    Memory(RecordBatch),
    File(Arc<DataFile>),
}

#[derive(Debug, Clone)]
struct RowGroup {
    file: Arc<DataFile>,
    place: usize,
}

pub async fn lookup(view: &View, ask: &Lookup) -> Result<Page, LookupError> {
    let search = Arc::new(Search::new(ask));
    let mut files: Vec<Arc<DataFile>> = view.files.iter().cloned().collect();
    files.retain(|file| search.conditions.may_match_file(&file.entry));
    files.sort_by_key(|file| Reverse(file.entry.newest_us));
    let sources = view.hot.iter().cloned().map(Source::Memory);
    let sources: Vec<Source> = sources.chain(files.into_iter().map(Source::File)).collect();
    let mut best = Best { limit: ask.limit, candidates: Vec::new() };
    let mut files = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        match source {
            Source::Memory(batch) => best.add(search.look_at(number, batch)?),
            Source::File(file) => files.push((number, file.clone())),
        }
    }
    let mut files = files.into_iter().peekable();
    let mut running = JoinSet::new();
    // The newest alone is often enough.
    let mut at_a_time = 1;
    loop {
        while running.len() < at_a_time
            && let Some((number, file)) =
                files.next_if(|(_, file)| !best.is_full(file.entry.newest_us))
        {
            let search = search.clone();
            running.spawn(async move { search.look_into(number, &file).await });
        }
        let Some(done) = running.join_next().await else { break };
        at_a_time = AT_A_TIME;
        best.add(joined(done).await?);
    }
    page(best, &sources).await
}

/// The best candidates so far, the newest first; one more than the page holds.
struct Best {
    limit: usize,
    candidates: Vec<Candidate>,
}

impl Best {
    fn add(&mut self, found: Vec<Candidate>) {
        self.candidates.extend(found);
        self.candidates.sort_by(|a, b| b.cmp(a));
        // An event that is there twice is one event.
        self.candidates.dedup_by(|a, b| a.time_us == b.time_us && a.id == b.id && !a.id.is_empty());
        self.candidates.truncate(self.limit + 1);
    }

    /// Can nothing as new as this come onto the page any more?
    fn is_full(&self, newest_us: i64) -> bool {
        self.candidates.get(self.limit).is_some_and(|last| last.time_us > newest_us)
    }
}

struct Search {
    ask: Lookup,
    conditions: Conditions,
}

impl Search {
    fn new(ask: &Lookup) -> Search {
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
            if let (Some(leaf), Test::Is(values)) = (leaf(filter.field), &filter.test) {
                conditions.and_one_of(leaf, values);
            }
        }
        Search { ask: ask.clone(), conditions }
    }

    /// The best candidates of a file.
    async fn look_into(
        &self,
        source: usize,
        file: &Arc<DataFile>,
    ) -> Result<Vec<Candidate>, LookupError> {
        let metadata = file.metadata().await?;
        let time = leaf_of(&metadata, "eventtime");
        let mut groups = Vec::new();
        for (place, known) in metadata.row_groups().iter().enumerate() {
            let bounds = time.and_then(|leaf| bounds(known.column(leaf).statistics()?));
            let (oldest_us, newest_us) =
                bounds.unwrap_or((file.entry.oldest_us, file.entry.newest_us));
            let in_time = oldest_us <= *self.conditions.times.end()
                && newest_us >= *self.conditions.times.start();
            if in_time {
                groups.push((newest_us, RowGroup { file: file.clone(), place }));
            }
        }
        groups.sort_by_key(|(newest_us, _)| Reverse(*newest_us));
        let mut best = Best { limit: self.ask.limit, candidates: Vec::new() };
        for (newest_us, group) in groups {
            if best.is_full(newest_us) {
                break;
            }
            best.add(self.look_into_group(source, &group).await?);
        }
        Ok(best.candidates)
    }

    /// The best candidates of a row group.
    async fn look_into_group(
        &self,
        source: usize,
        group: &RowGroup,
    ) -> Result<Vec<Candidate>, LookupError> {
        let mut best = Best { limit: self.ask.limit, candidates: Vec::new() };
        let metadata = group.file.metadata().await?;
        let known = metadata.row_group(group.place);
        if !self.conditions.may_match_row_group(&group.file, group.place, known).await? {
            return Ok(best.candidates);
        }
        let by_id = match self.conditions.values_of("eventid") {
            Some(ids) => rows_with_ids(&group.file, group.place, ids).await?,
            None => None,
        };
        let in_time = rows_in_time(&metadata, group.place, &self.conditions.times);
        let parts = match by_id {
            Some(rows) => vec![Kept::Some(rows.set_indices().map(|row| row as u32).collect())],
            None if self.is_selective() => vec![Kept::All(in_time)],
            None => {
                let (mut end, mut rows, mut parts) = (in_time.end, FIRST_ROWS, Vec::new());
                while end > in_time.start {
                    let start = end.saturating_sub(rows).max(in_time.start);
                    parts.push(Kept::All(start..end));
                    (end, rows) = (start, rows * 2);
                }
                parts
            }
        };
        let chunk = match self.of_records().next() {
            Some(_) => SEARCHED_ROWS,
            None => self.ask.limit + 1,
        };
        for kept in parts {
            let rows = matching::rows(&group.file, group.place, &self.ask, kept).await?;
            for rows in rows.rchunks(chunk) {
                let (oldest_us, found) = self.candidates(source, group, rows).await?;
                best.add(found);
                // Rows are in order of time: those before are no newer than the first of these.
                if best.is_full(oldest_us) {
                    return Ok(best.candidates);
                }
            }
        }
        Ok(best.candidates)
    }

    /// Is it asked for what few events have, so that the newest rows alone will not do?
    fn is_selective(&self) -> bool {
        let is_one =
            |filter: &Filter| leaf(filter.field).is_some_and(|leaf| SEARCHED.contains(&leaf));
        self.ask.filters.iter().any(|filter| !filter.negated && is_one(filter))
    }

    /// Those of the rows, ascending ones, whose times and records fit; and the time of the first row.
    async fn candidates(
        &self,
        source: usize,
        group: &RowGroup,
        rows: &[u32],
    ) -> Result<(i64, Vec<Candidate>), LookupError> {
        let metadata = group.file.metadata().await?;
        let time = leaf_of(&metadata, "eventtime");
        let id = leaf_of(&metadata, "eventid");
        let (Some(time), Some(id)) = (time, id) else { return Ok((i64::MIN, Vec::new())) };
        let leaves =
            Leaf::fetch_rows(&group.file, group.place, &[(time, rows), (id, rows)]).await?;
        let pick = |leaf| picks(leaf, rows).map_err(|error| group.file.blamed(error));
        let (times, ids) = (pick(&leaves[0])?, pick(&leaves[1])?);
        let time = |place| Some(i64::from_le_bytes(times.value(place)?.try_into().ok()?));
        let found = rows.iter().enumerate().filter_map(|(place, row)| {
            let id = ids.value(place).and_then(|id| std::str::from_utf8(id).ok());
            let (time_us, id) = (time(place)?, id.unwrap_or_default().to_owned());
            let is_in = self.conditions.times.contains(&time_us) && self.is_after(time_us, &id);
            is_in.then_some(Candidate { time_us, id, source, row_group: group.place, row: *row })
        });
        let mut found: Vec<Candidate> = found.collect();
        let of_records: Vec<&Filter> = self.of_records().collect();
        if !of_records.is_empty() && !found.is_empty() {
            let rows: Vec<u32> = found.iter().map(|candidate| candidate.row).collect();
            let whole = whole_rows(group, &rows).await?;
            let fits = |record: &str| {
                of_records.iter().all(|filter| filter.test.holds(record) != filter.negated)
            };
            let mut fits = whole.iter().map(|found| fits(&found.record));
            found.retain(|_| fits.next().unwrap_or(false));
        }
        let oldest_us = if rows.is_empty() { None } else { time(0) };
        Ok((oldest_us.unwrap_or(i64::MIN), found))
    }

    fn of_records(&self) -> impl Iterator<Item = &Filter> {
        self.ask.filters.iter().filter(|filter| filter.field == Field::Record)
    }

    /// The rows of a batch that fit.
    fn look_at(&self, source: usize, batch: &RecordBatch) -> Result<Vec<Candidate>, LookupError> {
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
        for filter in self.ask.filters.iter().filter(|filter| filter.field != Field::Record) {
            keep(filter, batch, &mut rows);
        }
        // Records are rebuilt only for rows that passed everything else.
        let of_records: Vec<&Filter> = self.of_records().collect();
        if !of_records.is_empty() && !rows.is_empty() {
            let places = UInt32Array::from_iter_values(rows.iter().map(|row| *row as u32));
            let records = record::records(&take_record_batch(batch, &places)?)?;
            let fits = |place: usize| {
                let record = records.value(place);
                of_records.iter().all(|filter| filter.test.holds(record) != filter.negated)
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
            row_group: 0,
            row: row as u32,
        });
        Ok(found.collect())
    }

    fn is_after(&self, time_us: i64, id: &str) -> bool {
        self.ask.after.as_ref().is_none_or(|place| {
            (time_us, id) < (place.event_time.as_microsecond(), place.event_id.as_str())
        })
    }
}

/// The rows of a row group, in order of time, that may be in a span of time.
fn rows_in_time(
    metadata: &ParquetMetaData,
    row_group: usize,
    times: &RangeInclusive<i64>,
) -> Range<usize> {
    let count = usize::try_from(metadata.row_group(row_group).num_rows()).unwrap_or(0);
    let all = 0..count;
    let Some(leaf) = leaf_of(metadata, "eventtime") else { return all };
    let (Some(pages), Some(locations)) = (metadata.column_index(), metadata.offset_index()) else {
        return all;
    };
    let Some(ColumnIndexMetaData::INT64(pages)) = pages.get(row_group).and_then(|of| of.get(leaf))
    else {
        return all;
    };
    let Some(locations) = locations.get(row_group).and_then(|of| of.get(leaf)) else {
        return all;
    };
    let locations = locations.page_locations();
    let first = |page: usize| {
        let location = locations.get(page);
        location.and_then(|of| usize::try_from(of.first_row_index).ok()).unwrap_or(count)
    };
    let is_in = |page: &usize| {
        pages.min_value(*page).is_none_or(|min| min <= times.end())
            && pages.max_value(*page).is_none_or(|max| max >= times.start())
    };
    let mut wanted = (0..locations.len()).filter(is_in);
    match wanted.next() {
        Some(oldest) => first(oldest)..first(wanted.next_back().unwrap_or(oldest) + 1),
        None => 0..0,
    }
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

#[cfg(test)]
mod tests;
