//! Which rows of a row group fit, from their codes.

use std::ops::Range;
use std::sync::Arc;

use event::lookup::{Field, Filter, Lookup, Test};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::leaf;
use crate::pages::picks::{Picks, picks};
use crate::pages::texts::{may_hold, rows_with};
use crate::pages::{Leaf, Wanted};
use crate::table::file::DataFile;

/// Of so few rows each is looked at by itself; of more, their pages are gone through.
const FEW_ROWS: usize = 256;

/// The rows of `range` that fit all that is asked but the times, the place and the whole record.
pub async fn rows(
    file: &Arc<DataFile>,
    row_group: usize,
    ask: &Lookup,
    kept: Kept,
) -> Result<Vec<u32>> {
    let metadata = file.metadata().await?;
    let mut rows = Rows { file, row_group, metadata, kept };
    // What leaves the fewest comes first.
    let mut filters: Vec<&Filter> = ask.filters.iter().collect();
    filters.sort_by_key(|filter| (filter.negated, cost(filter.field)));
    let is_cheap = |filter: &&&Filter| !filter.negated && cost(filter.field) == 0;
    let cheap = filters.iter().take_while(is_cheap).count();
    for filter in &filters[..cheap] {
        rows.filter(filter).await?;
    }
    if let Some(account) = &ask.account {
        rows.texts("cairn_account", false, |value| value == account.as_str().as_bytes()).await?;
    }
    if let Some(region) = &ask.region {
        rows.texts("awsregion", false, |value| value == region.as_bytes()).await?;
    }
    for filter in &filters[cheap..] {
        rows.filter(filter).await?;
    }
    Ok(rows.kept.into_rows())
}

fn cost(field: Field) -> u8 {
    match field {
        Field::EventCategory => 1,
        Field::ReadOnly => 2,
        _ => 0,
    }
}

/// Rows that fit so far, ascending.
#[derive(Debug)]
pub enum Kept {
    All(Range<usize>),
    Some(Vec<u32>),
}

impl Kept {
    fn into_rows(self) -> Vec<u32> {
        match self {
            Kept::All(range) => range.map(|row| row as u32).collect(),
            Kept::Some(rows) => rows,
        }
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Kept::All(range) => range.len(),
            Kept::Some(rows) => rows.len(),
        }
    }

    /// All rows from the first to the last.
    fn range(&self) -> Range<usize> {
        match self {
            Kept::All(range) => range.clone(),
            Kept::Some(rows) => {
                let first = rows.first().map_or(0, |row| *row as usize);
                first..rows.last().map_or(0, |row| *row as usize + 1)
            }
        }
    }
}

struct Rows<'a> {
    file: &'a Arc<DataFile>,
    row_group: usize,
    metadata: Arc<ParquetMetaData>,
    kept: Kept,
}

impl Rows<'_> {
    async fn filter(&mut self, filter: &Filter) -> Result<()> {
        let holds = |value: &[u8]| holds(&filter.test, value);
        match filter.field {
            // It takes the whole row.
            Field::Record => Ok(()),
            Field::ReadOnly => {
                let truths = self.picks("readonly").await?;
                self.retain(|place| {
                    holds_of(&truths, place, |v| holds(truth(v).as_bytes())) != filter.negated
                });
                Ok(())
            }
            Field::EventCategory => self.category(filter).await,
            field => match leaf(field) {
                Some(path) => self.texts(path, filter.negated, holds).await,
                None => Ok(()),
            },
        }
    }

    /// Older records do not say their category.
    async fn category(&mut self, filter: &Filter) -> Result<()> {
        let holds = |value: &[u8]| holds(&filter.test, value);
        let chunk = self.place("eventcategory").map(|place| self.chunk(place));
        if chunk.is_some_and(|chunk| nulls(chunk) == Some(0)) {
            return self.texts("eventcategory", filter.negated, holds).await;
        }
        let (said, management) =
            (self.picks("eventcategory").await?, self.picks("managementevent").await?);
        self.retain(|place| {
            let implied = || match management.value(place).map(truth) {
                Some("false") => b"Data".as_slice(),
                _ => b"Management",
            };
            holds(said.value(place).unwrap_or_else(implied)) != filter.negated
        });
        Ok(())
    }

    /// Keeps the rows of which a text passes; in a list, any.
    async fn texts(
        &mut self,
        path: &str,
        negated: bool,
        holds: impl Fn(&[u8]) -> bool + Copy,
    ) -> Result<()> {
        let place = self.place(path).filter(|place| !is_null(self.chunk(*place)));
        let Some(place) = place.filter(|_| !self.kept.is_empty()) else {
            self.keep_all(negated);
            return Ok(());
        };
        if let Some(value) = only_value(self.chunk(place)) {
            self.keep_all(holds(value) != negated);
            return Ok(());
        }
        let leaf = self.fetch(place, 0..0).await?;
        if !may_hold(&leaf, holds)? {
            self.keep_all(negated);
            return Ok(());
        }
        if self.kept.len() <= FEW_ROWS {
            let picks = self.picks(path).await?;
            self.retain(|place| holds_of(&picks, place, holds) != negated);
            return Ok(());
        }
        let range = self.kept.range();
        let leaf = self.fetch(place, range.clone()).await?;
        let held = rows_with(&leaf, range.clone(), holds);
        let held = held.map_err(|error| self.file.blamed(error))?;
        self.kept = Kept::Some(match &self.kept {
            Kept::All(range) => {
                let held = (0..).zip(held).filter(|(_, held)| *held != negated);
                held.map(|(place, _): (usize, bool)| (range.start + place) as u32).collect()
            }
            Kept::Some(rows) => {
                let is_held = |row: &&u32| held[**row as usize - range.start] != negated;
                rows.iter().filter(is_held).copied().collect()
            }
        });
        Ok(())
    }

    fn keep_all(&mut self, is_kept: bool) {
        if !is_kept {
            self.kept = Kept::Some(Vec::new());
        }
    }

    /// Keeps the rows whose place among those that are kept passes.
    fn retain(&mut self, is_kept: impl Fn(usize) -> bool) {
        let rows = std::mem::replace(&mut self.kept, Kept::Some(Vec::new())).into_rows();
        let kept = rows.into_iter().enumerate().filter(|(place, _)| is_kept(*place));
        self.kept = Kept::Some(kept.map(|(_, row)| row).collect());
    }

    /// The values of the rows that are kept; of a leaf that is not there, none.
    async fn picks(&self, path: &str) -> Result<Picks> {
        let Some(place) = self.place(path).filter(|place| !is_null(self.chunk(*place))) else {
            return Ok(Picks::default());
        };
        match &self.kept {
            Kept::All(range) => {
                let leaf = self.fetch(place, range.clone()).await?;
                let rows: Vec<u32> = range.clone().map(|row| row as u32).collect();
                picks(&leaf, &rows)
            }
            Kept::Some(rows) => {
                let leaf = self.fetch(place, rows.as_slice()).await?;
                picks(&leaf, rows)
            }
        }
        .map_err(|error| self.file.blamed(error))
    }

    async fn fetch(&self, place: usize, rows: impl Wanted) -> Result<Leaf> {
        let mut leaves = Leaf::fetch_rows(self.file, self.row_group, &[(place, rows)]).await?;
        Ok(leaves.remove(0))
    }

    fn place(&self, path: &str) -> Option<usize> {
        place_of(&self.metadata, path)
    }

    fn chunk(&self, place: usize) -> &ColumnChunkMetaData {
        self.metadata.row_group(self.row_group).column(place)
    }
}

/// Equal texts are equal bytes, which is all that most tests want to know.
fn holds(test: &Test, value: &[u8]) -> bool {
    match test {
        Test::Is(values) => values.iter().any(|wanted| wanted.as_bytes() == value),
        _ => std::str::from_utf8(value).is_ok_and(|value| test.holds(value)),
    }
}

/// The number of a leaf in the file.
pub fn place_of(metadata: &ParquetMetaData, path: &str) -> Option<usize> {
    let leaves = metadata.file_metadata().schema_descr().columns();
    let is_it = |parts: &[String]| parts.iter().map(String::as_str).eq(path.split('.'));
    leaves.iter().position(|leaf| is_it(leaf.path().parts()))
}

fn nulls(chunk: &ColumnChunkMetaData) -> Option<u64> {
    chunk.statistics().and_then(Statistics::null_count_opt)
}

fn is_null(chunk: &ColumnChunkMetaData) -> bool {
    nulls(chunk).is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// The text that every row has, where the statistics say so.
fn only_value(chunk: &ColumnChunkMetaData) -> Option<&[u8]> {
    let known = chunk.statistics()?;
    let is_exact = known.min_is_exact() && known.max_is_exact() && nulls(chunk) == Some(0);
    let (min, max) = (known.min_bytes_opt()?, known.max_bytes_opt()?);
    (is_exact && min == max).then_some(min)
}

/// Does a value of the row at this place pass; in a list, any?
fn holds_of(picks: &Picks, place: usize, holds: impl Fn(&[u8]) -> bool) -> bool {
    let entries = match picks.has_lists() {
        true => picks.list(place).unwrap_or(0..0),
        false => place..place + 1,
    };
    entries.into_iter().any(|entry| picks.value(entry).is_some_and(&holds))
}

fn truth(value: &[u8]) -> &'static str {
    if value == [1] { "true" } else { "false" }
}
