//! The values that a key has in a column of maps.
//!
//! ```text
//!   keys     page │ bucketName key │ Host │ – │ bucketName …      places; a row begins where repetition is 0
//!   values   page │ logs       a/b │ …    │ – │ …                 the same places, in pages of their own
//! ```
//! First the places of the key are found among the keys, then the values at these places alone are
//! read.

use parquet::errors::Result;

use super::texts::{Coded, NONE, Texts};
use super::{Dictionary, Leaf, Read, any_of, cut_short};

/// A place in a leaf of a map: the row, and the entry's number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    row: u32,
    entry: u32,
}

/// Goes from place to place.
struct Walk {
    /// The row that begins next.
    next_row: u32,
    entry: u32,
}

impl Walk {
    fn step(&mut self, repetition: u32) -> Place {
        match repetition {
            0 => (self.next_row, self.entry) = (self.next_row + 1, 0),
            _ => self.entry += 1,
        }
        Place { row: self.next_row.saturating_sub(1), entry: self.entry }
    }

    fn skip(&mut self, rows: usize) {
        self.next_row += rows as u32;
    }
}

/// The value of `key` in each row that is kept; without `kept`, in all. Of a key that is there twice
/// the first counts.
pub fn codes(keys: &Leaf, values: &Leaf, key: &str, kept: &[bool]) -> Result<Coded> {
    let places = places(keys, key, kept)?;
    let rows = keys.rows();
    let mut has_key = vec![false; rows];
    for place in &places {
        *has_key.get_mut(place.row as usize).ok_or_else(cut_short)? = true;
    }
    let mut of_rows = vec![NONE; rows];
    let mut texts = Texts::default();
    if places.is_empty() {
        return texts.finish(of_rows);
    }
    let mut places = places.into_iter().peekable();
    let mut walk = Walk { next_row: 0, entry: 0 };
    let mut pages = values.pages()?;
    while let Some(page) = pages.next(any_of(&has_key))? {
        let page = match page {
            Read::Dictionary(dictionary) => {
                texts.begin(dictionary);
                continue;
            }
            Read::Skipped { rows } => {
                walk.skip(rows);
                continue;
            }
            Read::Values(page) => page,
        };
        let codes = page.codes(page.present(pages.defined))?;
        let mut plain = page.plain();
        // How many values were passed, and how many of them were read, where they are texts.
        let (mut passed, mut read) = (0, 0);
        for (repetition, definition) in page.levels(pages.defined) {
            let place = walk.step(repetition);
            let is_there = definition == pages.defined;
            if places.next_if_eq(&place).is_some() && is_there {
                of_rows[place.row as usize] = match &codes {
                    Some(codes) => texts.number_of(codes[passed])?,
                    None => {
                        for _ in read..passed {
                            plain.skip()?;
                        }
                        read = passed + 1;
                        texts.add(plain.next()?)?
                    }
                };
            }
            passed += usize::from(is_there);
        }
    }
    match places.next() {
        None => texts.finish(of_rows),
        Some(_) => Err(cut_short()),
    }
}

/// Where the key is, in rows that are kept.
fn places(keys: &Leaf, key: &str, kept: &[bool]) -> Result<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    let mut is_key: Vec<bool> = Vec::new();
    let mut walk = Walk { next_row: 0, entry: 0 };
    let mut pages = keys.pages()?;
    while let Some(page) = pages.next(any_of(kept))? {
        let page = match page {
            Read::Dictionary(dictionary) => {
                is_key = codes_of(&dictionary, key);
                if keys.is_all_coded() && !is_key.contains(&true) {
                    return Ok(places);
                }
                continue;
            }
            Read::Skipped { rows } => {
                walk.skip(rows);
                continue;
            }
            Read::Values(page) => page,
        };
        let mut codes = page.codes(page.present(pages.defined))?.map(Vec::into_iter);
        let mut plain = page.plain();
        for (repetition, definition) in page.levels(pages.defined) {
            let place = walk.step(repetition);
            if definition != pages.defined {
                continue;
            }
            let is_it = match &mut codes {
                Some(codes) => codes
                    .next()
                    .and_then(|code| is_key.get(code as usize).copied())
                    .ok_or_else(cut_short)?,
                None => plain.next()? == key.as_bytes(),
            };
            let is_kept = || kept.is_empty() || kept.get(place.row as usize) == Some(&true);
            if is_it && is_kept() && places.last().is_none_or(|last| last.row != place.row) {
                places.push(place);
            }
        }
    }
    Ok(places)
}

/// For each code, whether it is that of the key.
fn codes_of(dictionary: &Dictionary, key: &str) -> Vec<bool> {
    let texts = (0..dictionary.texts.len() as u32).map(|code| dictionary.text(code));
    texts.map(|text| text == Some(key.as_bytes())).collect()
}
