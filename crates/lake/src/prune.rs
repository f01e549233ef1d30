//! Which files and row groups cannot hold a row that a query wants.
//!
//! DataFusion prunes by columns at the top; people search by `userIdentity.arn` too, so the
//! conditions are read here from the filters, by the path of the leaf that they speak of. Bloom
//! filters are read once for each file and kept.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator};
use parquet::arrow::arrow_reader::RowSelection;
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use crate::groups::codes;
use crate::table::file::DataFile;
use crate::table::log::FileEntry;

/// Rows are picked one by one when they are at most one of so many: otherwise nearly every page is
/// read anyway.
const FEW_ROWS_OF: usize = 16;

/// What every wanted row fulfils, as far as it helps to leave something out.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Of `eventtime`, in microseconds.
    pub times: RangeInclusive<i64>,
    equal: Vec<Equal>,
}

/// A text leaf has one of these values.
#[derive(Debug, Clone)]
struct Equal {
    /// As Parquet writes it: `useridentity.arn`.
    path: String,
    values: Vec<String>,
}

impl Default for Conditions {
    fn default() -> Conditions {
        Conditions { times: i64::MIN..=i64::MAX, equal: Vec::new() }
    }
}

impl Conditions {
    /// What the filters, which all hold, say.
    pub fn of(filters: &[Expr]) -> Conditions {
        let mut conditions = Conditions::default();
        for filter in filters {
            conditions.and(filter);
        }
        conditions
    }

    pub fn and_equal(&mut self, path: &[&str], value: &str) {
        self.equal.push(Equal { path: path.join("."), values: vec![value.to_owned()] });
    }

    pub fn and_one_of(&mut self, path: &str, values: &[String]) {
        self.equal.push(Equal { path: path.to_owned(), values: values.to_vec() });
    }

    /// The values of which a text leaf has one, if that is known.
    pub fn values_of(&self, path: &str) -> Option<&[String]> {
        self.equal.iter().find(|equal| equal.path == path).map(|equal| equal.values.as_slice())
    }

    pub fn and_times(&mut self, times: RangeInclusive<i64>) {
        let (start, end) = (*self.times.start(), *self.times.end());
        self.times = start.max(*times.start())..=end.min(*times.end());
    }

    fn and(&mut self, filter: &Expr) {
        match filter {
            Expr::BinaryExpr(binary) if binary.op == Operator::And => {
                self.and(&binary.left);
                self.and(&binary.right);
            }
            Expr::BinaryExpr(binary) => {
                if let (Some(path), Some(value)) = (leaf(&binary.left), literal(&binary.right)) {
                    self.and_comparison(path, binary.op, value);
                } else if let (Some(path), Some(value)) =
                    (leaf(&binary.right), literal(&binary.left))
                    && let Some(op) = binary.op.swap()
                {
                    self.and_comparison(path, op, value);
                }
            }
            Expr::Between(between) if !between.negated => {
                let low = literal(&between.low);
                let high = literal(&between.high);
                if let (Some(path), Some(low), Some(high)) = (leaf(&between.expr), low, high) {
                    self.and_comparison(path.clone(), Operator::GtEq, low);
                    self.and_comparison(path, Operator::LtEq, high);
                }
            }
            Expr::InList(list) if !list.negated => {
                let values: Option<Vec<String>> =
                    list.list.iter().map(|value| text(literal(value)?)).collect();
                if let (Some(path), Some(values)) = (leaf(&list.expr), values) {
                    self.equal.push(Equal { path, values });
                }
            }
            _ => {}
        }
    }

    fn and_comparison(&mut self, path: String, op: Operator, value: &ScalarValue) {
        if path == "eventtime" {
            let Some(us) = microseconds(value) else { return };
            match op {
                Operator::Eq => self.and_times(us..=us),
                Operator::Gt | Operator::GtEq => self.and_times(us..=i64::MAX),
                Operator::Lt | Operator::LtEq => self.and_times(i64::MIN..=us),
                _ => {}
            }
        } else if op == Operator::Eq
            && let Some(value) = text(value)
        {
            self.equal.push(Equal { path, values: vec![value] });
        }
    }

    pub fn may_match_file(&self, file: &FileEntry) -> bool {
        file.oldest_us <= *self.times.end() && file.newest_us >= *self.times.start()
    }

    /// Is there anything that a file's row groups can be asked?
    pub fn look_inside(&self) -> bool {
        !self.equal.is_empty()
    }

    /// The row groups that may hold wanted rows.
    pub async fn row_groups(&self, file: &Arc<DataFile>) -> Result<Vec<usize>> {
        let metadata = file.metadata().await?;
        let mut kept = Vec::new();
        for (place, row_group) in metadata.row_groups().iter().enumerate() {
            if self.may_match_row_group(file, place, row_group).await? {
                kept.push(place);
            }
        }
        Ok(kept)
    }

    /// The rows of a row group that have the values they must have, when those are few; `None` when it
    /// is as well to look at all of them.
    pub async fn rows(
        &self,
        file: &Arc<DataFile>,
        row_group: usize,
    ) -> Result<Option<RowSelection>> {
        let metadata = file.metadata().await?;
        let known = metadata.row_group(row_group);
        let mut kept: Option<BooleanBuffer> = None;
        for equal in &self.equal {
            if equal.path == "eventid"
                && let Some(holds) = codes::rows_with_ids(file, row_group, &equal.values).await?
            {
                kept = Some(kept.map_or_else(|| holds.clone(), |kept| &kept & &holds));
                continue;
            }
            let holds = codes::rows_with(file, row_group, &equal.path, &equal.values).await?;
            kept = match (kept, holds) {
                (Some(kept), Some(holds)) => Some(&kept & &holds),
                (one, other) => one.or(other),
            };
        }
        let few = usize::try_from(known.num_rows()).unwrap_or(usize::MAX) / FEW_ROWS_OF;
        Ok(kept
            .filter(|kept| kept.count_set_bits() <= few)
            .map(|kept| RowSelection::from_filters(&[BooleanArray::new(kept, None)])))
    }

    pub async fn may_match_row_group(
        &self,
        file: &Arc<DataFile>,
        place: usize,
        row_group: &RowGroupMetaData,
    ) -> Result<bool> {
        if self.equal.is_empty() {
            return Ok(true);
        }
        let metadata = file.metadata().await?;
        for equal in &self.equal {
            let Some(column) = leaf_of(&metadata, &equal.path) else { continue };
            let chunk = row_group.column(column);
            let mut values = equal.values.iter().filter(|value| {
                !is_null(chunk) && chunk.statistics().is_none_or(|known| within(known, value))
            });
            if chunk.bloom_filter_offset().is_none() {
                if values.next().is_none() {
                    return Ok(false);
                }
                continue;
            }
            let values: Vec<_> = values.collect();
            if values.is_empty() {
                return Ok(false);
            }
            let filter = file.bloom_filter(place, column).await?;
            let may_hold = |filter: &Sbbf| values.iter().any(|value| filter.check(&value.as_str()));
            if filter.is_some_and(|filter| !may_hold(&filter)) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The number of a leaf in a file.
pub fn leaf_of(metadata: &ParquetMetaData, path: &str) -> Option<usize> {
    let leaves = metadata.file_metadata().schema_descr().columns();
    let is_it = |parts: &[String]| parts.iter().map(String::as_str).eq(path.split('.'));
    leaves.iter().position(|leaf| is_it(leaf.path().parts()))
}

/// Do the statistics say that a leaf has no value in a row group?
pub fn is_null(chunk: &ColumnChunkMetaData) -> bool {
    let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
    nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(chunk.num_values()))
}

/// Can values within these bounds be the text? Bounds may be cut short: the lower is never too high,
/// the upper never too low.
fn within(known: &Statistics, value: &str) -> bool {
    let value = value.as_bytes();
    known.min_bytes_opt().is_none_or(|min| min <= value)
        && known.max_bytes_opt().is_none_or(|max| value <= max)
}

/// The path of the leaf that an expression is.
fn leaf(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::ScalarFunction(call) if call.name() == "get_field" => {
            let (inner, names) = call.args.split_first()?;
            let mut path = leaf(inner)?;
            for name in names {
                path.push('.');
                path.push_str(&text(literal(name)?)?);
            }
            Some(path)
        }
        Expr::Alias(alias) => leaf(&alias.expr),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

fn text(value: &ScalarValue) -> Option<String> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => {
            text.clone()
        }
        _ => None,
    }
}

fn microseconds(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampMicrosecond(us, _) => *us,
        ScalarValue::TimestampMillisecond(ms, _) => ms.as_ref()?.checked_mul(1_000),
        ScalarValue::TimestampSecond(s, _) => s.as_ref()?.checked_mul(1_000_000),
        ScalarValue::TimestampNanosecond(ns, _) => ns.as_ref().map(|ns| ns.div_euclid(1_000)),
        _ => None,
    }
}
