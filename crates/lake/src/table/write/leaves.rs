//! The leaves of a column as Parquet counts them, with a level for each of their places.
//!
//! ```text
//!   rows of a map:   {a: 1, b: –}   –   {}            places of its values
//!   levels                                            3 2 0 1      3: there, 2: null, 1: empty, 0: no map
//!   firsts                                            0 2 3 4      where each row's places begin
//!   at                                                0 1 · ·      which entry of Arrow's arrays it is
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, TimeUnit};

/// Whether every leaf of the column is a text, bytes or a time in microseconds, and in one list or map
/// at most.
pub fn is_simple(field: &Field) -> bool {
    fn is_simple(data_type: &DataType, is_repeated: bool) -> bool {
        match data_type {
            DataType::Utf8 | DataType::Binary => true,
            DataType::Timestamp(TimeUnit::Microsecond, _) => true,
            DataType::Struct(members) => {
                members.iter().all(|member| is_simple(member.data_type(), is_repeated))
            }
            DataType::List(entry) | DataType::Map(entry, _) => {
                !is_repeated && is_simple(entry.data_type(), true)
            }
            _ => false,
        }
    }
    is_simple(field.data_type(), false)
}

/// How far each place is defined.
#[derive(Debug, Clone)]
pub enum Levels {
    /// All alike.
    All(u8),
    Each(Arc<Vec<u8>>),
}

impl Levels {
    #[inline]
    pub fn at(&self, place: usize) -> u8 {
        match self {
            Levels::All(level) => *level,
            Levels::Each(levels) => levels[place],
        }
    }
}

/// The places of the lists or maps that a leaf is in.
#[derive(Debug)]
pub struct Lists {
    /// Where each row's places begin; and their end.
    pub firsts: Vec<u32>,
    /// For each place, which entry of the arrays below it is.
    at: Vec<u32>,
}

/// A leaf in a batch.
#[derive(Debug)]
pub struct Leaf {
    pub levels: Levels,
    /// The level of a place that has a value.
    pub defined: u8,
    /// `None`: each row has one place.
    pub lists: Option<Arc<Lists>>,
    pub values: ArrayRef,
}

impl Leaf {
    /// Where the value of a place is in `values`.
    #[inline]
    pub fn value_at(&self, place: usize) -> usize {
        match &self.lists {
            Some(lists) => lists.at[place] as usize,
            None => place,
        }
    }

    /// The places of a row.
    #[inline]
    pub fn places(&self, row: usize) -> std::ops::Range<usize> {
        match &self.lists {
            Some(lists) => lists.firsts[row] as usize..lists.firsts[row + 1] as usize,
            None => row..row + 1,
        }
    }
}

/// The leaves of a column that [`is_simple`], in Parquet's order.
pub fn leaves(field: &Field, column: &ArrayRef) -> Vec<Leaf> {
    let mut found = Vec::new();
    Node { levels: Levels::All(0), depth: 0, lists: None }.walk(field, column, &mut found);
    found
}

/// On the way down.
struct Node {
    levels: Levels,
    /// The level of a place that is defined so far.
    depth: u8,
    lists: Option<Arc<Lists>>,
}

impl Node {
    fn walk(mut self, field: &Field, array: &ArrayRef, found: &mut Vec<Leaf>) {
        if field.is_nullable() {
            self.levels = self.with(array.len(), array.nulls());
            self.depth += 1;
        }
        match field.data_type() {
            DataType::Struct(members) => {
                for (member, array) in members.iter().zip(array.as_struct().columns()) {
                    let (levels, lists) = (self.levels.clone(), self.lists.clone());
                    Node { levels, depth: self.depth, lists }.walk(member, array, found);
                }
            }
            DataType::List(entry) => {
                let list = array.as_list::<i32>();
                self.below(array.len(), list.value_offsets()).walk(entry, list.values(), found);
            }
            DataType::Map(entry, _) => {
                let map = array.as_map();
                let entries: ArrayRef = Arc::new(map.entries().clone());
                self.below(array.len(), map.value_offsets()).walk(entry, &entries, found);
            }
            _ => found.push(Leaf {
                levels: self.levels,
                defined: self.depth,
                lists: self.lists,
                values: array.clone(),
            }),
        }
    }

    /// The levels once it is known which values are null.
    fn with(&self, len: usize, nulls: Option<&NullBuffer>) -> Levels {
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        match (&self.levels, nulls) {
            (Levels::All(level), _) if *level < self.depth => self.levels.clone(),
            (Levels::All(level), None) => Levels::All(level + 1),
            (Levels::All(level), Some(nulls)) if nulls.null_count() == len => Levels::All(*level),
            (Levels::All(level), Some(nulls)) => {
                let at =
                    |place| self.lists.as_ref().map_or(place, |lists| lists.at[place] as usize);
                let places = self.lists.as_ref().map_or(len, |lists| lists.at.len());
                let level = |place| level + u8::from(nulls.is_valid(at(place)));
                Levels::Each(Arc::new((0..places).map(level).collect()))
            }
            (Levels::Each(levels), nulls) => {
                let is_valid = |place: usize| {
                    let at = self.lists.as_ref().map_or(place, |lists| lists.at[place] as usize);
                    nulls.is_none_or(|nulls| nulls.is_valid(at))
                };
                let level = |(place, level): (usize, &u8)| {
                    level + u8::from(*level == self.depth && is_valid(place))
                };
                Levels::Each(Arc::new(levels.iter().enumerate().map(level).collect()))
            }
        }
    }

    /// What is below a list or map, of which each row has so many entries.
    fn below(&self, rows: usize, offsets: &[i32]) -> Node {
        let mut firsts = Vec::with_capacity(rows + 1);
        let (mut at, mut levels) = (Vec::new(), Vec::new());
        for row in 0..rows {
            firsts.push(at.len() as u32);
            let level = self.levels.at(row);
            let entries = offsets[row] as u32..offsets[row + 1] as u32;
            if level < self.depth || entries.is_empty() {
                levels.push(level);
                at.push(0);
            } else {
                levels.resize(levels.len() + entries.len(), self.depth + 1);
                at.extend(entries);
            }
        }
        firsts.push(at.len() as u32);
        let lists = Some(Arc::new(Lists { firsts, at }));
        Node { levels: Levels::Each(Arc::new(levels)), depth: self.depth + 1, lists }
    }
}
