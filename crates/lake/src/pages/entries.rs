//! The values that a key has in a column of maps.
//!
//! ```text
//!   keys     page │ bucketName key │ Host │ – │ bucketName …      places; a row begins where repetition is 0
//!   values   page │ logs       a/b │ …    │ – │ …                 the same places, in pages of their own
//! ```
//! First the places of the key are found among the keys, then the values at these places alone are
//! read.

use parquet::errors::Result;

use super::texts::{Coded, Texts};
use super::{Leaf, Read, Values, Wanted, cut_short};

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
    /// Goes through a page: calls `each` with every place and whether it has a value.
    #[inline(always)]
    fn page(
        &mut self,
        page: &Values,
        defined: u32,
        mut each: impl FnMut(Place, bool) -> Result<()>,
    ) -> Result<()> {
        for (repetition, definition) in page.levels(defined) {
            match repetition {
                0 => (self.next_row, self.entry) = (self.next_row + 1, 0),
                _ => self.entry += 1,
            }
            let place = Place { row: self.next_row.saturating_sub(1), entry: self.entry };
            each(place, definition == defined)?;
        }
        Ok(())
    }

    fn skip(&mut self, rows: usize) {
        self.next_row += rows as u32;
    }
}

/// The value of `key` in each row that is wanted, ascending, or in all. Of a key that is there twice
/// the first counts.
pub fn codes(keys: &Leaf, values: &Leaf, key: &str, wanted: Option<&[u32]>) -> Result<Coded> {
    let places = places(keys, key, wanted)?;
    let mut texts = Texts::default();
    let numbers = numbers_at(values, &places, &mut texts)?;
    let mut numbers = places.iter().map(|place| place.row).zip(numbers).peekable();
    let mut number_of = |row| match numbers.next_if(|(found, _)| *found == row) {
        Some((_, number)) => number,
        None => texts.none(),
    };
    let of_rows = match wanted {
        Some(rows) => rows.iter().map(|row| number_of(*row)).collect(),
        None => (0..keys.rows() as u32).map(number_of).collect(),
    };
    texts.finish(of_rows)
}

/// The numbers of the values at these places.
fn numbers_at(values: &Leaf, mut places: &[Place], texts: &mut Texts) -> Result<Vec<u32>> {
    let rows: Vec<u32> = places.iter().map(|place| place.row).collect();
    let mut numbers = Vec::with_capacity(places.len());
    let mut walk = Walk { next_row: 0, entry: 0 };
    let mut pages = values.pages()?;
    let mut here: Vec<Option<usize>> = Vec::new();
    while !places.is_empty() {
        let page = match pages.next(|page| rows.any_in(page))?.ok_or_else(cut_short)? {
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
        here.clear();
        // How many values have been passed.
        let mut passed = 0;
        walk.page(&page, pages.defined, |place, is_there| {
            if let Some((first, rest)) = places.split_first()
                && *first == place
            {
                places = rest;
                here.push(is_there.then_some(passed));
            }
            passed += usize::from(is_there);
            Ok(())
        })?;
        texts.take(&page, here.iter().copied(), &mut numbers)?;
    }
    Ok(numbers)
}

/// Where the key is, in rows that are wanted.
fn places(keys: &Leaf, key: &str, wanted: Option<&[u32]>) -> Result<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    let mut is_key: Vec<bool> = Vec::new();
    let mut walk = Walk { next_row: 0, entry: 0 };
    let mut pages = keys.pages()?;
    // Those that may still come.
    let mut rows = wanted.unwrap_or_default();
    while let Some(page) = pages.next(|page| wanted.is_none_or(|wanted| wanted.any_in(page)))? {
        let page = match page {
            Read::Dictionary(dictionary) => {
                is_key = dictionary.codes_of(|text| text == key.as_bytes())?;
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
        let codes = page.codes(page.present(pages.defined))?;
        let (mut plain, mut passed) = (page.plain(), 0);
        walk.page(&page, pages.defined, |place, is_there| {
            if !is_there {
                return Ok(());
            }
            let is_it = match &codes {
                Some(codes) => *is_key.get(codes[passed] as usize).ok_or_else(cut_short)?,
                None => plain.next()? == key.as_bytes(),
            };
            passed += 1;
            if is_it && places.last().is_none_or(|last| last.row != place.row) {
                while let [first, rest @ ..] = rows
                    && *first < place.row
                {
                    rows = rest;
                }
                if wanted.is_none() || rows.first() == Some(&place.row) {
                    places.push(place);
                }
            }
            Ok(())
        })?;
    }
    Ok(places)
}
