//! The counts of several row groups, put together.
//!
//! ```text
//!   row group 1:  (x, 7) 3   (y, 7) 1        columns   x 0  y 1   |   7 0  9 1
//!   row group 2:  (x, 7) 2   (x, 9) 4   ──▶  pairs     (0, 0) 0   (1, 0) 1   (0, 1) 2
//!                                            counts    5          1          4
//! ```
//! The same users and errors come again in every row group. A distinct value is looked up once for each
//! of them; what then identifies a group are small numbers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use foldhash::fast::RandomState;

use super::counted::Counted;
use crate::distinct::Distinct;

/// Groups that are put together at most, and the bytes of their values.
const GROUPS_MAX: usize = 1 << 17;
const BYTES_MAX: usize = 8 << 20;

#[derive(Debug)]
pub struct Merged {
    columns: Vec<Values>,
    /// For each column but the first: the number of what is before it, and that of its value.
    pairs: Vec<Numbers<(u32, u32)>>,
    counts: Vec<i64>,
}

impl Merged {
    pub fn new(types: &[DataType]) -> Result<Merged> {
        Ok(Merged {
            columns: types.iter().map(Values::new).collect::<Result<_>>()?,
            pairs: types.iter().skip(1).map(|_| Numbers::default()).collect(),
            counts: Vec::new(),
        })
    }

    pub fn add(&mut self, counted: &Counted) -> Result<()> {
        let mut groups = vec![0; counted.counts.len()];
        for (column, values) in counted.values.iter().enumerate() {
            let places = &counted.places[column];
            let numbers = self.columns[column].numbers(values, places)?;
            match column.checked_sub(1) {
                None => groups.copy_from_slice(&numbers),
                Some(pair) => {
                    for (group, number) in groups.iter_mut().zip(numbers) {
                        *group = self.pairs[pair].number_of((*group, number));
                    }
                }
            }
        }
        for (group, count) in groups.iter().zip(&counted.counts) {
            let group = *group as usize;
            if group >= self.counts.len() {
                self.counts.resize(group + 1, 0);
            }
            self.counts[group] += count;
        }
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        let bytes: usize = self.columns.iter().map(|column| column.distinct.bytes()).sum();
        self.counts.len() >= GROUPS_MAX || bytes >= BYTES_MAX
    }

    /// What has been added, if anything was; then it is empty again.
    pub fn take(&mut self) -> Result<Option<Counted>> {
        let counts = std::mem::take(&mut self.counts);
        if counts.is_empty() {
            return Ok(None);
        }
        let mut groups: Vec<u32> = (0..counts.len() as u32).collect();
        let mut places = Vec::with_capacity(self.columns.len());
        for pairs in self.pairs.iter_mut().rev() {
            let pairs = std::mem::take(pairs).all;
            places.push(groups.iter().map(|group| pairs[*group as usize].1).collect());
            groups.iter_mut().for_each(|group| *group = pairs[*group as usize].0);
        }
        if !self.columns.is_empty() {
            places.push(groups);
        }
        places.reverse();
        let values = self.columns.iter_mut().map(Values::take).collect::<Result<_>>()?;
        Ok(Some(Counted { values, places, counts }))
    }
}

/// Things, numbered as they come.
#[derive(Debug)]
struct Numbers<T> {
    of: HashMap<T, u32, RandomState>,
    all: Vec<T>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Numbers { of: HashMap::default(), all: Vec::new() }
    }
}

impl<T: Hash + Eq + Clone> Numbers<T> {
    fn number_of(&mut self, thing: T) -> u32 {
        *self.of.entry(thing).or_insert_with_key(|thing| {
            self.all.push(thing.clone());
            self.all.len() as u32 - 1
        })
    }
}

/// The values of a column, as bytes: of texts their own, of others those of Arrow's rows.
#[derive(Debug)]
struct Values {
    distinct: Distinct,
    /// None for texts.
    converter: Option<RowConverter>,
}

/// A text that is not there; no text is like this.
const NULL: &[u8] = &[0xff];
/// A number that is not known yet.
const UNKNOWN: u32 = u32::MAX;

impl Values {
    fn new(data_type: &DataType) -> Result<Values> {
        let converter = match data_type {
            DataType::Utf8 => None,
            other => Some(RowConverter::new(vec![SortField::new(other.clone())])?),
        };
        Ok(Values { distinct: Distinct::default(), converter })
    }

    /// The numbers of the values at these places.
    fn numbers(&mut self, values: &ArrayRef, places: &[u32]) -> Result<Vec<u32>> {
        match &self.converter {
            None => {
                let texts = values.as_string::<i32>();
                let text = |place| match texts.is_valid(place) {
                    true => texts.value(place).as_bytes(),
                    false => NULL,
                };
                Ok(self.numbered(values.len(), places, text))
            }
            Some(converter) => {
                let rows = converter.convert_columns(std::slice::from_ref(values))?;
                let rows: Vec<_> = rows.iter().collect();
                Ok(self.numbered(values.len(), places, |place| rows[place].data()))
            }
        }
    }

    fn numbered<'a>(
        &mut self,
        values: usize,
        places: &[u32],
        value: impl Fn(usize) -> &'a [u8],
    ) -> Vec<u32> {
        let mut known = vec![UNKNOWN; values];
        let number_of = |place: &u32| {
            let place = *place as usize;
            if known[place] == UNKNOWN {
                known[place] = self.distinct.number_of(value(place));
            }
            known[place]
        };
        places.iter().map(number_of).collect()
    }

    fn take(&mut self) -> Result<ArrayRef> {
        let distinct = std::mem::take(&mut self.distinct);
        match &self.converter {
            None => {
                let mut texts = StringBuilder::with_capacity(distinct.len(), distinct.bytes());
                for value in distinct.values() {
                    match value {
                        NULL => texts.append_null(),
                        text => texts.append_value(
                            std::str::from_utf8(text)
                                .map_err(|e| ArrowError::from_external_error(e.into()))?,
                        ),
                    }
                }
                Ok(Arc::new(texts.finish()))
            }
            Some(converter) => {
                let parser = converter.parser();
                let rows = distinct.values().map(|value| parser.parse(value));
                let mut columns = converter.convert_rows(rows)?;
                Ok(columns.remove(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{BooleanArray, StringArray};

    use super::*;

    type Row = (Option<String>, Option<bool>);

    fn rows(counted: Counted) -> Vec<(Row, i64)> {
        let columns = counted.into_columns().unwrap();
        let (texts, truths) = (columns[0].as_string::<i32>(), columns[1].as_boolean());
        let counts = columns[2].as_primitive::<arrow::datatypes::Int64Type>();
        let text = |row| texts.is_valid(row).then(|| texts.value(row).to_owned());
        let truth = |row| truths.is_valid(row).then(|| truths.value(row));
        (0..counts.len()).map(|row| ((text(row), truth(row)), counts.value(row))).collect()
    }

    /// A row group with a dictionary of its own, in an order of its own.
    fn row_group(seed: u32) -> Counted {
        let texts = (0..5).map(|n| match (n + seed) % 5 {
            0 => None,
            1 => Some(String::new()),
            n => Some(format!("user-{n}")),
        });
        let truths = BooleanArray::from(vec![Some(seed.is_multiple_of(2)), None, Some(true)]);
        let places = (0..15).filter(|place| !(place + seed).is_multiple_of(4));
        let (texts_at, truths_at) = places.map(|place: u32| (place / 3, place % 3)).unzip();
        let mut counted = Counted {
            values: vec![Arc::new(texts.collect::<StringArray>()), Arc::new(truths)],
            places: vec![texts_at, truths_at],
            counts: vec![],
        };
        counted.counts = (0..counted.places[0].len() as i64).map(|n| n + 1).collect();
        counted
    }

    #[test]
    fn the_same_groups_of_several_row_groups_become_one() {
        let mut merged = Merged::new(&[DataType::Utf8, DataType::Boolean]).unwrap();
        let mut expected: BTreeMap<Row, i64> = BTreeMap::new();
        for seed in 0..7 {
            let counted = row_group(seed);
            merged.add(&counted).unwrap();
            for (row, count) in rows(counted) {
                *expected.entry(row).or_default() += count;
            }
        }
        let found = rows(merged.take().unwrap().unwrap());
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), expected);
        assert!(merged.take().unwrap().is_none());
        // What comes then begins anew.
        merged.add(&row_group(3)).unwrap();
        let mut again = rows(merged.take().unwrap().unwrap());
        let mut alone = rows(row_group(3));
        again.sort();
        alone.sort();
        assert_eq!(again, alone);
    }

    #[test]
    fn without_columns_there_is_one_group() {
        let mut merged = Merged::new(&[]).unwrap();
        assert!(merged.take().unwrap().is_none());
        for count in [3, 4] {
            merged.add(&Counted { values: vec![], places: vec![], counts: vec![count] }).unwrap();
        }
        let columns = merged.take().unwrap().unwrap().into_columns().unwrap();
        assert_eq!(columns.len(), 1);
        assert_eq!(columns[0].as_primitive::<arrow::datatypes::Int64Type>().values(), &[7]);
    }
}
