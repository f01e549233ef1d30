//! Leaves of text with one value, or none, for each row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array as _, StringArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use parquet::errors::Result;

use super::numbers::ones;
use super::{Dictionary, Leaf, Read, Values, Wanted, cut_short, is_dictionary};

/// Stands for no value until it is known how many values there are.
const NONE: u32 = u32::MAX;

/// The distinct values of rows, and which each row has.
#[derive(Debug)]
pub struct Coded {
    /// The number of values stands for null.
    pub of_rows: Vec<u32>,
    pub values: StringArray,
    /// Are they all different? If not, a text may still be there once only.
    pub is_distinct: bool,
}

/// The texts that occur, if the leaf's dictionary says it.
pub fn distinct(leaf: &Leaf) -> Result<Option<StringArray>> {
    if !leaf.is_all_coded() {
        return Ok(None);
    }
    let Some(dictionary) = leaf.dictionary()? else { return Ok(None) };
    Ok(Some(dictionary.array()?.clone()))
}

/// The values of the rows that are wanted, ascending, or of all.
pub fn codes(leaf: &Leaf, wanted: Option<&[u32]>) -> Result<Coded> {
    match wanted {
        Some(rows) => codes_of(leaf, rows),
        None => all_codes(leaf),
    }
}

fn all_codes(leaf: &Leaf) -> Result<Coded> {
    let mut texts = Texts::default();
    let mut of_rows: Vec<u32> = Vec::with_capacity(leaf.rows());
    let mut pages = leaf.pages()?;
    while let Some(page) = pages.next(|_| true)? {
        let values = match page {
            Read::Dictionary(dictionary) => {
                texts.begin(dictionary);
                continue;
            }
            Read::Skipped { .. } => continue,
            Read::Values(values) => values,
        };
        match values.codes(values.present(pages.defined))? {
            Some(codes) => {
                let numbers = texts.all_numbers(codes)?;
                texts.has_none |= !values.definition.is_empty();
                spread(numbers, &values.definition, pages.defined, &mut of_rows);
            }
            None => {
                let mut plain = values.plain();
                for (_, definition) in values.levels(pages.defined) {
                    of_rows.push(match definition == pages.defined {
                        true => texts.add(plain.next()?)?,
                        false => texts.none(),
                    });
                }
            }
        }
    }
    texts.finish(of_rows)
}

/// The rows that have a value, and what it is, of a leaf that [`Leaf::is_mostly_null`].
pub fn present(leaf: &Leaf) -> Result<(Vec<u32>, Coded)> {
    let mut texts = Texts::default();
    let (mut rows, mut of_rows) = (Vec::new(), Vec::new());
    let mut pages = leaf.pages()?;
    pages.packed = true;
    let mut first = 0;
    while let Some(page) = pages.next(|_| true)? {
        let values = match page {
            Read::Dictionary(dictionary) => {
                texts.begin(dictionary);
                continue;
            }
            Read::Skipped { .. } => continue,
            Read::Values(values) => values,
        };
        let before = rows.len();
        ones(&values.packed, values.places, first as u32, &mut rows)?;
        texts.take(&values, (0..rows.len() - before).map(Some), &mut of_rows)?;
        first += values.places;
    }
    Ok((rows, texts.finish(of_rows)?))
}

fn codes_of(leaf: &Leaf, mut rows: &[u32]) -> Result<Coded> {
    let mut texts = Texts::default();
    let mut of_rows = Vec::with_capacity(rows.len());
    let mut pages = leaf.pages()?.picking(rows);
    // The first row of the next page.
    let mut first = 0;
    while !rows.is_empty() {
        let values = match pages.next(|page| rows.any_in(page))?.ok_or_else(cut_short)? {
            Read::Dictionary(dictionary) => {
                texts.begin(dictionary);
                continue;
            }
            Read::Skipped { rows } => {
                first += rows;
                continue;
            }
            Read::Values(values) => values,
        };
        texts.begin_if_needed(leaf, &values)?;
        let end = first + values.places;
        let (here, later) = rows.split_at(rows.partition_point(|row| (*row as usize) < end));
        let places = here.iter().map(|row| *row as usize - first);
        let places = values.places_of_rows(places, pages.defined);
        texts.take(&values, places, &mut of_rows)?;
        (first, rows) = (end, later);
    }
    texts.finish(of_rows)
}

/// Puts numbers in the places that have a value.
fn spread(mut numbers: Vec<u32>, definition: &[u32], defined: u32, to: &mut Vec<u32>) {
    if definition.is_empty() {
        to.extend_from_slice(&numbers);
        return;
    }
    // Where values are missing follows no rule, so nothing branches on it.
    numbers.push(NONE);
    let (first, last) = (to.len(), numbers.len() - 1);
    to.resize(first + definition.len(), NONE);
    let mut next = 0;
    for (number, level) in to[first..].iter_mut().zip(definition) {
        let is_there = *level == defined;
        let found = numbers[next.min(last)];
        *number = if is_there { found } else { NONE };
        next += usize::from(is_there);
    }
}

/// The codes of the texts that are wanted.
#[derive(Debug, Default)]
pub struct WantedCodes {
    of_codes: Vec<bool>,
    /// The code, if it is only one.
    lone: Option<u32>,
    /// Whether no other value can be in the leaf.
    is_all: bool,
}

impl WantedCodes {
    /// What a leaf's dictionary says; no pages are read.
    pub fn of(leaf: &Leaf, is_wanted: impl Fn(&[u8]) -> bool) -> Result<WantedCodes> {
        match leaf.pages()?.next(|_| false)? {
            Some(Read::Dictionary(dictionary)) => Self::in_dictionary(leaf, &dictionary, is_wanted),
            _ => Ok(WantedCodes::default()),
        }
    }

    fn in_dictionary(
        leaf: &Leaf,
        dictionary: &Dictionary,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<WantedCodes> {
        let of_codes = dictionary.codes_of(is_wanted)?;
        let mut wanted = (0..).zip(&of_codes).filter(|(_, wanted)| **wanted).map(|(code, _)| code);
        let lone = wanted.next().filter(|_| wanted.next().is_none());
        Ok(WantedCodes { of_codes, lone, is_all: leaf.is_all_coded() })
    }

    /// Is it certain that no row has a wanted text?
    pub fn is_none(&self) -> bool {
        self.is_all && !self.of_codes.contains(&true)
    }

    fn is_wanted(&self, code: u32) -> bool {
        self.of_codes[code as usize]
    }

    /// Is any of the codes wanted?
    fn is_any_wanted(&self, codes: &[u32]) -> Result<bool> {
        if codes.iter().max().is_some_and(|last| *last as usize >= self.of_codes.len()) {
            return Err(cut_short());
        }
        Ok(match self.lone {
            Some(lone) => codes.contains(&lone),
            None => codes.iter().any(|code| self.is_wanted(*code)),
        })
    }
}

/// Which of the rows have a value that is wanted; in a list or map, any. Of pages that hold none of
/// the `needed` rows nothing is said. The codes, if they are known, are those of what is wanted.
pub fn rows_with(
    leaf: &Leaf,
    rows: Range<usize>,
    needed: &impl Wanted,
    mut wanted: Option<WantedCodes>,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> Result<Vec<bool>> {
    let mut holds = vec![false; rows.len()];
    let mut pages = leaf.pages()?;
    // The row that begins next.
    let mut next = 0;
    while next < rows.end {
        let values = match pages.next(|page| needed.any_in(page))?.ok_or_else(cut_short)? {
            Read::Dictionary(dictionary) => {
                let wanted = match &mut wanted {
                    Some(wanted) => wanted,
                    None => {
                        wanted.insert(WantedCodes::in_dictionary(leaf, &dictionary, &is_wanted)?)
                    }
                };
                if wanted.is_none() {
                    return Ok(holds);
                }
                continue;
            }
            Read::Skipped { rows } => {
                next += rows;
                continue;
            }
            Read::Values(values) => values,
        };
        let codes = values.codes(values.present(pages.defined))?;
        let wanted = wanted.get_or_insert_default();
        if let Some(codes) = &codes {
            if !wanted.is_any_wanted(codes)? {
                next += values.rows();
                continue;
            }
            if values.is_whole() {
                let here = &codes[rows.start.saturating_sub(next).min(codes.len())..];
                let at = next.max(rows.start) - rows.start;
                for (holds, code) in holds[at.min(rows.len())..].iter_mut().zip(here) {
                    *holds = wanted.is_wanted(*code);
                }
                next += values.places;
                continue;
            }
        }
        let mut codes = codes.map(Vec::into_iter);
        let mut plain = values.plain();
        for (repetition, definition) in values.levels(pages.defined) {
            next += usize::from(repetition == 0);
            if definition != pages.defined {
                continue;
            }
            let is_it = match &mut codes {
                Some(codes) => codes.next().is_some_and(|code| wanted.is_wanted(code)),
                None => is_wanted(plain.next()?),
            };
            if is_it
                && let Some(at) = next.checked_sub(1 + rows.start)
                && let Some(holds) = holds.get_mut(at)
            {
                *holds = true;
            }
        }
    }
    Ok(holds)
}

/// Gathers the texts that are used.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    dictionary: Option<Arc<Dictionary>>,
    /// The numbers that the dictionary's codes have got.
    numbers: Vec<u32>,
    /// The number of the dictionary's first text, once all of it is taken.
    first: Option<u32>,
    /// All of the first dictionary, until another text comes.
    whole: Option<StringArray>,
    /// Are there texts that are not from one dictionary?
    is_mixed: bool,
    /// Is there a row without a text?
    has_none: bool,
}

impl Texts {
    pub fn begin(&mut self, dictionary: Arc<Dictionary>) {
        self.is_mixed |= self.dictionary.is_some();
        self.numbers = vec![NONE; dictionary.len()];
        self.dictionary = Some(dictionary);
        self.first = None;
    }

    /// The same for a page whose leaf has not given its dictionary.
    fn begin_if_needed(&mut self, leaf: &Leaf, values: &Values) -> Result<()> {
        if self.dictionary.is_none()
            && is_dictionary(values.encoding)
            && let Some(dictionary) = leaf.dictionary()?
        {
            self.begin(dictionary);
        }
        Ok(())
    }

    /// Appends the numbers of the values at these places, ascending, among those that are there.
    pub fn take(
        &mut self,
        values: &Values,
        places: impl IntoIterator<Item = Option<usize>>,
        to: &mut Vec<u32>,
    ) -> Result<()> {
        let mut runs = values.runs()?;
        let (mut plain, mut read) = (values.plain(), 0);
        for place in places {
            to.push(match (place, &mut runs) {
                (None, _) => self.none(),
                (Some(place), Some(runs)) => self.number_of(runs.at(place)?)?,
                (Some(place), None) => {
                    for _ in read..place {
                        plain.skip()?;
                    }
                    read = place + 1;
                    self.add(plain.next()?)?
                }
            });
        }
        Ok(())
    }

    /// Stands for a row without a text.
    pub fn none(&mut self) -> u32 {
        self.has_none = true;
        NONE
    }

    /// The numbers of codes, of which most of the dictionary is used.
    fn all_numbers(&mut self, mut codes: Vec<u32>) -> Result<Vec<u32>> {
        let first = match self.first {
            Some(first) => first,
            None => self.take_dictionary()?,
        };
        // A loop in place: an iterator's maximum is called for each code where crates are compiled apart.
        let mut last = 0;
        for code in &codes {
            last = last.max(*code);
        }
        if last as usize >= self.numbers.len() && !codes.is_empty() {
            return Err(cut_short());
        }
        if first > 0 {
            codes.iter_mut().for_each(|code| *code += first);
        }
        Ok(codes)
    }

    /// Takes all texts of the dictionary; gives the number of the first.
    fn take_dictionary(&mut self) -> Result<u32> {
        let all = self.dictionary.as_ref().ok_or_else(cut_short)?.array()?.clone();
        if self.ends.is_empty() && self.whole.is_none() {
            self.whole = Some(all);
            return Ok(*self.first.insert(0));
        }
        self.spell_out();
        let first = *self.first.insert(self.ends.len() as u32);
        for text in all.iter().flatten() {
            self.push(text.as_bytes())?;
        }
        Ok(first)
    }

    /// Makes a dictionary that was taken as it is one of several texts.
    fn spell_out(&mut self) {
        if let Some(all) = self.whole.take() {
            self.bytes.extend_from_slice(all.value_data());
            self.ends.extend_from_slice(&all.value_offsets()[1..]);
        }
    }

    pub fn number_of(&mut self, code: u32) -> Result<u32> {
        match self.numbers.get(code as usize) {
            Some(&NONE) => {}
            Some(number) => return Ok(*number),
            None => return Err(cut_short()),
        }
        let dictionary = self.dictionary.take().ok_or_else(cut_short)?;
        let number = dictionary.value(code).and_then(|text| self.push(text));
        self.dictionary = Some(dictionary);
        let number = number?;
        self.numbers[code as usize] = number;
        Ok(number)
    }

    /// Adds a text that is in no dictionary.
    pub fn add(&mut self, text: &[u8]) -> Result<u32> {
        self.is_mixed = true;
        self.spell_out();
        self.push(text)
    }

    fn push(&mut self, text: &[u8]) -> Result<u32> {
        self.bytes.extend_from_slice(text);
        self.ends.push(i32::try_from(self.bytes.len())?);
        Ok(self.ends.len() as u32 - 1)
    }

    pub fn finish(self, mut of_rows: Vec<u32>) -> Result<Coded> {
        let values = match self.whole {
            Some(whole) => whole,
            None => {
                let mut offsets = Vec::with_capacity(self.ends.len() + 1);
                offsets.push(0);
                offsets.extend(self.ends);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                StringArray::try_new(offsets, self.bytes.into(), None)?
            }
        };
        if self.has_none {
            let null = values.len() as u32;
            of_rows.iter_mut().for_each(|number| *number = (*number).min(null));
        }
        Ok(Coded { of_rows, values, is_distinct: !self.is_mixed })
    }
}
