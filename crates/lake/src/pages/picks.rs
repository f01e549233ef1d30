//! The values of single rows, copied out of the pages in which they lie.

use std::ops::Range;

use parquet::basic::Encoding;
use parquet::errors::Result;

use super::deltas::deltas;
use super::{Dictionary, Leaf, Read, Values, Width, cut_short, is_dictionary};

/// The values of a leaf in the rows that were picked.
#[derive(Debug, Default)]
pub struct Picks {
    bytes: Vec<u8>,
    /// Of each picked row, or of each entry of the lists in them; `None` is null.
    values: Vec<Option<Range<usize>>>,
    /// Where each row's entries are among the values, if it has a list; empty for a leaf that is not in
    /// a list or map.
    lists: Vec<Option<Range<usize>>>,
}

impl Picks {
    pub fn value(&self, place: usize) -> Option<&[u8]> {
        self.values.get(place)?.clone().map(|range| &self.bytes[range])
    }

    /// The places of the entries of a row's list or map; `None` if it has none.
    pub fn list(&self, row: usize) -> Option<Range<usize>> {
        self.lists.get(row)?.clone()
    }

    pub fn has_lists(&self) -> bool {
        !self.lists.is_empty()
    }

    /// The same without the values.
    pub fn lists_only(&self) -> Picks {
        Picks { lists: self.lists.clone(), ..Picks::default() }
    }

    /// The same among others that have no value: `marks` says of each whether it is one of these.
    pub fn spread(self, marks: &[bool]) -> Picks {
        if !marks.contains(&false) {
            return self;
        }
        fn spread<T>(from: Vec<Option<T>>, marks: &[bool]) -> Vec<Option<T>> {
            let mut from = from.into_iter();
            marks.iter().map(|mark| if *mark { from.next().flatten() } else { None }).collect()
        }
        match self.has_lists() {
            true => Picks { lists: spread(self.lists, marks), ..self },
            false => Picks { values: spread(self.values, marks), ..self },
        }
    }

    fn push(&mut self, value: Option<&[u8]>) {
        let value = value.map(|value| {
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(value);
            begin..self.bytes.len()
        });
        self.values.push(value);
    }
}

/// The values in the rows, which are ascending. The leaf may be in one list or map, not in several in
/// each other.
pub fn picks(leaf: &Leaf, mut rows: &[u32]) -> Result<Picks> {
    let mut picks = Picks::default();
    let mut dictionary = None;
    let entry_level = leaf.entry_level();
    let mut pages = leaf.pages()?.picking(rows);
    // The first row of the next page.
    let mut first = 0;
    while let Some(&next) = rows.first() {
        let page = pages.next(|rows| rows.contains(&(next as usize)))?.ok_or_else(cut_short)?;
        let page = match page {
            Read::Dictionary(found) => {
                dictionary = Some(found);
                continue;
            }
            Read::Skipped { rows } => {
                first += rows;
                continue;
            }
            Read::Values(page) => page,
        };
        if dictionary.is_none() && is_dictionary(page.encoding) {
            dictionary = leaf.dictionary()?;
        }
        let end = first + page.rows();
        let (here, later) = rows.split_at(rows.partition_point(|row| (*row as usize) < end));
        let here = here.iter().map(|row| *row as usize - first);
        let places = match leaf.is_flat() {
            true => page.places_of_rows(here, pages.defined),
            false => page.places_of_lists(here, entry_level, pages.defined, &mut picks)?,
        };
        page.take(&places, dictionary.as_deref(), &mut picks)?;
        (first, rows) = (end, later);
    }
    Ok(picks)
}

impl Values {
    /// How many rows begin in the page.
    pub(super) fn rows(&self) -> usize {
        match self.repetition.is_empty() {
            true => self.places,
            false => self.repetition.iter().filter(|level| **level == 0).count(),
        }
    }

    /// For each of the rows, the number of its value among those that are there.
    pub(super) fn places_of_rows(
        &self,
        rows: impl Iterator<Item = usize>,
        defined: u32,
    ) -> Vec<Option<usize>> {
        if self.definition.is_empty() {
            return rows.map(Some).collect();
        }
        let (mut from, mut passed) = (0, 0);
        let places = rows.map(|row| {
            passed += self.definition[from..row].iter().filter(|level| **level == defined).count();
            from = row;
            (self.definition[row] == defined).then_some(passed)
        });
        places.collect()
    }

    /// The same for each entry of the lists of the rows, which are added to `picks`.
    fn places_of_lists(
        &self,
        rows: impl Iterator<Item = usize>,
        entry_level: u32,
        defined: u32,
        picks: &mut Picks,
    ) -> Result<Vec<Option<usize>>> {
        let mut places = Vec::new();
        let mut levels = self.levels(defined).peekable();
        let (mut begun, mut passed) = (0, 0);
        for row in rows {
            while begun <= row {
                let (repetition, definition) = levels.next().ok_or_else(cut_short)?;
                begun += usize::from(repetition == 0);
                if begun <= row {
                    passed += usize::from(definition == defined);
                    continue;
                }
                // The row's first place.
                let first = picks.values.len() + places.len();
                let mut next = Some(definition);
                while let Some(definition) = next {
                    let is_there = definition == defined;
                    if definition >= entry_level {
                        places.push(is_there.then_some(passed));
                    }
                    passed += usize::from(is_there);
                    next =
                        levels.next_if(|(repetition, _)| *repetition > 0).map(|(_, level)| level);
                }
                let has_list = definition + 1 >= entry_level;
                picks.lists.push(has_list.then(|| first..picks.values.len() + places.len()));
            }
        }
        Ok(places)
    }

    /// Copies the values with these numbers, ascending.
    fn take(
        &self,
        places: &[Option<usize>],
        dictionary: Option<&Dictionary>,
        picks: &mut Picks,
    ) -> Result<()> {
        if self.width == Width::Bit {
            for place in places {
                let bit = |place: usize| Some(self.body.get(place / 8)? >> (place % 8) & 1);
                let bit = place.map(|place| bit(place).ok_or_else(cut_short)).transpose()?;
                picks.push(bit.as_ref().map(std::slice::from_ref));
            }
            return Ok(());
        }
        let present = places.iter().flatten().next_back().map_or(0, |last| last + 1);
        if self.encoding == Encoding::DELTA_BINARY_PACKED && self.width == Width::Eight {
            let numbers = deltas(&self.body, present)?;
            for place in places {
                let number = place.map(|place| numbers[place].to_le_bytes());
                picks.push(number.as_ref().map(<[u8; 8]>::as_slice));
            }
            return Ok(());
        }
        let codes = self.codes(present)?;
        let mut plain = self.plain();
        let mut read = 0;
        for place in places {
            let value = match (place, &codes) {
                (None, _) => None,
                (Some(place), Some(codes)) => {
                    Some(dictionary.ok_or_else(cut_short)?.value(codes[*place])?)
                }
                (Some(place), None) => {
                    for _ in read..*place {
                        plain.skip()?;
                    }
                    read = place + 1;
                    Some(plain.next()?)
                }
            };
            picks.push(value);
        }
        Ok(())
    }
}
