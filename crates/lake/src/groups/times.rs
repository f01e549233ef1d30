//! Counting by a time that is cut short, such as the hour, without reading most times.
//!
//! ```text
//!   pages of a row group:   09:02 … 09:41    09:41 … 10:13    10:13 … 10:58
//!   by the hour:            all of 9         has to be read   all of 10
//! ```
//! The page index says where the times of a page begin and end. An expression that keeps their order
//! is the same between two times for which it is.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Result;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use super::codes::{Codes, Source};
use super::counted::Counted;
use super::merged::Merged;
use super::term::{Term, numbered};
use crate::pages::Leaf;
use crate::pages::micros::{micros, micros_in};
use crate::prune::leaf_of;
use crate::table::file::DataFile;

/// The rows of a page, and its first and last time.
struct TimePage {
    rows: Range<usize>,
    min: i64,
    max: i64,
}

/// The groups of a row group's times, with how many rows it has and how many bytes were read; `None` if
/// they are not in order, or the expression does not keep that.
pub async fn count_times(
    file: &Arc<DataFile>,
    row_group: usize,
    term: &Term,
) -> Result<Option<(Counted, usize, usize)>> {
    let Source::Plain { column, data_type } = &term.source else { return Ok(None) };
    if !term.is_monotone || !matches!(data_type, DataType::Timestamp(TimeUnit::Microsecond, _)) {
        return Ok(None);
    }
    let metadata = file.metadata().await?;
    let Some(place) = leaf_of(&metadata, column) else { return Ok(None) };
    let array = |times: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(times).with_data_type(data_type.clone()))
    };
    if let Some(pages) = pages(&metadata, row_group, place)
        && let Some((counted, bytes)) =
            count_pages(file, (row_group, place), &pages, term, array).await?
    {
        let rows = pages.iter().map(|page| page.rows.len()).sum();
        return Ok(Some((counted, rows, bytes)));
    }
    let Some(leaf) = Leaf::fetch(file, row_group, &[column]).await?.pop().flatten() else {
        return Ok(None);
    };
    let Some(times) = micros(&leaf)?.map(array) else { return Ok(None) };
    let counted = counted(&times, term);
    Ok(counted.map(|counted| (counted, times.len(), leaf.bytes())))
}

/// How often each group occurs, if the times are in order.
fn counted(times: &ArrayRef, term: &Term) -> Option<Counted> {
    let (runs, values) = term.runs(times)?;
    let mut counts = vec![0; values.len()];
    let nexts = runs.iter().skip(1).map(|(row, _)| *row).chain([times.len() as u32]);
    for (next, (row, group)) in nexts.zip(&runs) {
        counts[*group as usize] += i64::from(next - row);
    }
    let found = (0..).zip(counts).filter(|(_, count)| *count > 0);
    let (places, counts) = found.unzip();
    Some(Counted { values: vec![values], places: vec![places], counts })
}

/// The same, and how many bytes were read, if reading half of the pages or less is enough for that.
async fn count_pages(
    file: &Arc<DataFile>,
    (row_group, place): (usize, usize),
    pages: &[TimePage],
    term: &Term,
    array: impl Fn(Vec<i64>) -> ArrayRef,
) -> Result<Option<(Counted, usize)>> {
    let ends = array(pages.iter().flat_map(|page| [page.min, page.max]).collect());
    // An error is for the usual way.
    let Ok(of_ends) = term.evaluate(&ends) else { return Ok(None) };
    let (of_ends, values) = numbered(&of_ends)?;
    let (mut places, mut counts, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (page, ends) in pages.iter().zip(of_ends.chunks(2)) {
        if ends[0] == ends[1] {
            places.push(ends[0]);
            counts.push(page.rows.len() as i64);
        } else {
            // One row of a page is enough for all of it.
            rows.push(page.rows.start as u32);
        }
    }
    if places.len() * 2 < pages.len() {
        return Ok(None);
    }
    let mut merged = Merged::new(std::slice::from_ref(&term.data_type))?;
    merged.add(&Counted { values: vec![values], places: vec![places], counts })?;
    let mut bytes = 0;
    if !rows.is_empty() {
        let leaves = Leaf::fetch_rows(file, row_group, &[(place, rows.as_slice())]).await?;
        bytes += leaves[0].bytes();
        let Some(times) = micros_in(&leaves[0], &rows)? else { return Ok(None) };
        let times = array(times);
        match counted(&times, term) {
            Some(counted) => merged.add(&counted)?,
            // They may be too few to be tried one by one.
            None => {
                let rows = times.len();
                let codes = Codes { of_rows: None, values: times, is_distinct: false };
                let (groups, values) = term.groups(&codes)?;
                merged.add(&Counted::of(&[groups], vec![values], rows))?;
            }
        }
    }
    Ok(merged.take()?.map(|counted| (counted, bytes)))
}

/// What the page index says of a leaf of times; `None` if it does not say it of every page, or some row
/// may have no time.
fn pages(metadata: &ParquetMetaData, row_group: usize, place: usize) -> Option<Vec<TimePage>> {
    let group = metadata.row_group(row_group);
    let nulls = group.column(place).statistics()?.null_count_opt()?;
    let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(row_group)?.get(place)?
    else {
        return None;
    };
    let locations = metadata.offset_index()?.get(row_group)?.get(place)?.page_locations();
    let row = |page: usize| match locations.get(page) {
        Some(location) => usize::try_from(location.first_row_index).ok(),
        None => usize::try_from(group.num_rows()).ok(),
    };
    let page = |page: usize| {
        let (rows, min) = (row(page)?..row(page + 1)?, *index.min_value(page)?);
        Some(TimePage { rows, min, max: *index.max_value(page)? })
    };
    let pages: Option<Vec<TimePage>> = (0..locations.len()).map(page).collect();
    pages.filter(|pages| nulls == 0 && !pages.is_empty())
}
