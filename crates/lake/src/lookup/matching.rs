//! Which rows of a row group fit, from their codes.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arrow::buffer::BooleanBuffer;
use event::lookup::{Field, Filter, Lookup, Test};
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::statistics::Statistics;

use super::leaf;
use crate::cache::Cache;
use crate::pages::picks::{Picks, picks};
use crate::pages::texts::{WantedCodes, rows_with};
use crate::pages::{Leaf, Wanted};
use crate::prune::{is_null, leaf_of};
use crate::table::file::DataFile;

/// Of so few rows each is looked at by itself; of more, their pages are gone through.
const FEW_ROWS: usize = 256;

/// The rows of those that are kept that fit all that is asked but the times, the place and the whole
/// record.
pub async fn rows(
    file: &Arc<DataFile>,
    row_group: usize,
    ask: &Lookup,
    kept: Kept,
) -> Result<Vec<u32>> {
    let metadata = file.metadata().await?;
    let mut rows = Rows { file, row_group, metadata, kept };
    let (of_tenant, mut others): (Vec<&Filter>, Vec<&Filter>) =
        ask.filters.iter().partition(|filter| is_category(filter));
    // What leaves the fewest comes first.
    others.sort_by_key(|filter| (filter.negated, cost(filter.field)));
    let is_cheap = |filter: &&&Filter| !filter.negated && cost(filter.field) == 0;
    let cheap = others.iter().take_while(is_cheap).count();
    for filter in &others[..cheap] {
        rows.filter(filter).await?;
    }
    if !rows.kept.is_empty() {
        rows.tenant(ask, &of_tenant).await?;
    }
    for filter in &others[cheap..] {
        rows.filter(filter).await?;
    }
    Ok(rows.kept.into_rows())
}

/// Which rows of a row group are of an account, a Region and categories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tenant {
    file: u64,
    row_group: usize,
    account: Option<String>,
    region: Option<String>,
    /// One of each.
    categories: Vec<Vec<String>>,
}

/// Each who asks asks for much, but nearly always for the same account, Region and category. A
/// million rows take 125 kB.
static TENANTS: LazyLock<Cache<Tenant, BooleanBuffer>> = LazyLock::new(|| Cache::new(32 << 20));

/// Is it one of the filters that nearly all questions have?
fn is_category(filter: &Filter) -> bool {
    filter.field == Field::EventCategory && !filter.negated && matches!(filter.test, Test::Is(_))
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
    /// Keeps the rows of the account, the Region and the categories.
    async fn tenant(&mut self, ask: &Lookup, categories: &[&Filter]) -> Result<()> {
        let values = |filter: &&Filter| match &filter.test {
            Test::Is(values) => values.clone(),
            _ => Vec::new(),
        };
        let tenant = Tenant {
            file: self.file.number,
            row_group: self.row_group,
            account: ask.account.as_ref().map(|account| account.as_str().to_owned()),
            region: ask.region.clone(),
            categories: categories.iter().map(values).collect(),
        };
        if tenant.account.is_none() && tenant.region.is_none() && categories.is_empty() {
            return Ok(());
        }
        let known = TENANTS.get(&tenant);
        let mask = match known {
            Some(mask) => mask,
            None => {
                let count = self.metadata.row_group(self.row_group).num_rows();
                let count = usize::try_from(count).unwrap_or(0);
                let (file, metadata) = (self.file, self.metadata.clone());
                let (row_group, kept) = (self.row_group, Kept::All(0..count));
                let mut all = Rows { file, row_group, metadata, kept };
                if let Some(account) = &tenant.account {
                    all.texts("cairn_account", false, |value| value == account.as_bytes()).await?;
                }
                if let Some(region) = &tenant.region {
                    all.texts("awsregion", false, |value| value == region.as_bytes()).await?;
                }
                for filter in categories {
                    all.category(filter).await?;
                }
                let mut marks = vec![false; count];
                for row in all.kept.into_rows() {
                    marks[row as usize] = true;
                }
                let mask = BooleanBuffer::from(marks);
                TENANTS.put(tenant, mask.clone(), count / 8);
                mask
            }
        };
        let kept = std::mem::replace(&mut self.kept, Kept::Some(Vec::new()));
        self.kept = Kept::Some(match kept {
            Kept::All(range) => {
                let here = mask.slice(range.start, range.len());
                here.set_indices().map(|place| (range.start + place) as u32).collect()
            }
            Kept::Some(mut rows) => {
                rows.retain(|row| mask.value(*row as usize));
                rows
            }
        });
        Ok(())
    }

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
        let wanted = WantedCodes::of(&leaf, holds).map_err(|error| self.file.blamed(error))?;
        if wanted.is_none() {
            self.keep_all(negated);
            return Ok(());
        }
        if self.kept.len() <= FEW_ROWS {
            let picks = self.picks(path).await?;
            self.retain(|place| holds_of(&picks, place, holds) != negated);
            return Ok(());
        }
        let range = self.kept.range();
        let held = match &self.kept {
            Kept::All(_) => {
                let leaf = self.fetch(place, range.clone()).await?;
                rows_with(&leaf, range.clone(), &range, Some(wanted), holds)
            }
            Kept::Some(rows) => {
                let leaf = self.fetch(place, rows.as_slice()).await?;
                rows_with(&leaf, range.clone(), &rows.as_slice(), Some(wanted), holds)
            }
        };
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
        leaf_of(&self.metadata, path)
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

fn nulls(chunk: &ColumnChunkMetaData) -> Option<u64> {
    chunk.statistics().and_then(Statistics::null_count_opt)
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
