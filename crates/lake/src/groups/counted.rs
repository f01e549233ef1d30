//! How often combinations of groups occur.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::compute::take;
use datafusion::common::Result;
use foldhash::fast::RandomState;

/// Combinations of groups that are counted in an array, if there are not many more of them than rows.
const DENSE_MAX: usize = 1 << 20;
/// Rows whose combinations are sorted then; of more, a hash table is made.
const SORTED_MAX: usize = 1 << 16;

/// How often combinations of values occur.
#[derive(Debug)]
pub struct Counted {
    /// The values of each column.
    pub values: Vec<ArrayRef>,
    /// For each column, which of its values each combination has.
    pub places: Vec<Vec<u32>>,
    pub counts: Vec<i64>,
}

impl Counted {
    /// Counts rows, each of which has a group in each column, by its place among the column's values.
    pub fn of(groups: &[Cow<'_, [u32]>], values: Vec<ArrayRef>, rows: usize) -> Counted {
        let sizes: Vec<usize> = values.iter().map(|values| values.len()).collect();
        let found = combinations(groups, &sizes, rows);
        let counts = found.iter().map(|(_, count)| *count).collect();
        let mut places = vec![Vec::with_capacity(found.len()); groups.len()];
        for (mut number, _) in found {
            for (places, size) in places.iter_mut().zip(&sizes).rev() {
                places.push((number % *size as u128) as u32);
                number /= *size as u128;
            }
        }
        Counted { values, places, counts }
    }

    /// The columns, then the counts.
    pub fn into_columns(self) -> Result<Vec<ArrayRef>> {
        let Counted { values, places, counts } = self;
        let columns = values.iter().zip(places);
        let mut columns = columns
            .map(|(values, places)| Ok(take(values, &UInt32Array::from(places), None)?))
            .collect::<Result<Vec<_>>>()?;
        columns.push(Arc::new(Int64Array::from(counts)));
        Ok(columns)
    }
}

/// The numbers of the combinations that occur, ascending, and how often. The number of a combination is
/// made of that of the first group, then of the second …
fn combinations(groups: &[Cow<'_, [u32]>], sizes: &[usize], rows: usize) -> Vec<(u128, i64)> {
    let possible = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let number = |row: usize| {
        let parts = groups.iter().zip(sizes);
        parts.fold(0, |number, (group, size)| number * *size as u128 + u128::from(group[row]))
    };
    match possible {
        Some(possible) if possible <= DENSE_MAX.min(rows.saturating_mul(4)) => {
            let mut counts = vec![0_i64; possible];
            match groups {
                [] => counts[0] = rows as i64,
                [only] => only.iter().for_each(|group| counts[*group as usize] += 1),
                [first, second] => {
                    for (first, second) in first.iter().zip(second.iter()) {
                        counts[*first as usize * sizes[1] + *second as usize] += 1;
                    }
                }
                _ => (0..rows).for_each(|row| counts[number(row) as usize] += 1),
            }
            (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
        }
        // Few rows of many combinations: what is alike lies side by side.
        Some(_) if rows <= SORTED_MAX => {
            let mut numbers: Vec<u64> = (0..rows).map(|row| number(row) as u64).collect();
            numbers.sort_unstable();
            let alike = numbers.chunk_by(|a, b| a == b);
            alike.map(|alike| (alike[0].into(), alike.len() as i64)).collect()
        }
        _ => {
            let mut counts = HashMap::<u128, i64, RandomState>::default();
            (0..rows).for_each(|row| *counts.entry(number(row)).or_default() += 1);
            let mut found: Vec<(u128, i64)> = counts.into_iter().collect();
            found.sort_unstable();
            found
        }
    }
}
