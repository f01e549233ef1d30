//! What is in a page once it is decompressed.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};

use super::cut_short;
use super::numbers::{Runs, numbers};

/// How values lie in a page that has no codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Each behind its length.
    Text,
    /// Eight bytes.
    Eight,
    /// A bit, the lowest of a byte first.
    Bit,
}

/// A page of values.
pub struct Values {
    /// For each place; empty when every place begins a row.
    pub repetition: Vec<u32>,
    /// For each place that is looked at; empty when every place has a value.
    pub definition: Vec<u32>,
    /// The same as it is stored, where nobody wants it otherwise.
    pub packed: Bytes,
    pub places: usize,
    /// Behind the levels.
    pub body: Bytes,
    pub encoding: Encoding,
    pub width: Width,
}

impl Values {
    /// Has every place a value and begins a row?
    pub fn is_whole(&self) -> bool {
        self.repetition.is_empty() && self.definition.is_empty()
    }

    /// The values one by one, where the page has no codes.
    pub fn plain(&self) -> Plain<'_> {
        Plain::new(&self.body, self.width)
    }

    /// The repetition and definition level of each place.
    pub fn levels(&self, defined: u32) -> impl Iterator<Item = (u32, u32)> {
        let level = |levels: &[u32], place: usize, usual: u32| match levels.is_empty() {
            true => usual,
            false => levels[place],
        };
        (0..self.places).map(move |place| {
            (level(&self.repetition, place, 0), level(&self.definition, place, defined))
        })
    }

    fn has_codes(&self) -> Result<bool> {
        match self.encoding {
            encoding if is_dictionary(encoding) => Ok(true),
            Encoding::PLAIN => Ok(false),
            other => Err(ParquetError::NYI(format!("values encoded as {other}"))),
        }
    }

    /// The codes of the first `present` places that have a value, if the page has codes.
    pub fn codes(&self, present: usize) -> Result<Option<Vec<u32>>> {
        if !self.has_codes()? {
            return Ok(None);
        }
        let mut codes = Vec::with_capacity(present);
        if let Some((width, packed)) = self.body.split_first() {
            numbers(packed, u32::from(*width), present, &mut codes)?;
        }
        match codes.len() == present {
            true => Ok(Some(codes)),
            false => Err(cut_short()),
        }
    }

    /// The codes where they lie, if the page has codes: for a few of its values.
    pub fn runs(&self) -> Result<Option<Runs<'_>>> {
        if !self.has_codes()? {
            return Ok(None);
        }
        match self.body.split_first() {
            Some((width, packed)) => Runs::new(packed, u32::from(*width)).map(Some),
            None => Runs::new(&[], 0).map(Some),
        }
    }

    pub fn present(&self, defined: u32) -> usize {
        match self.definition.is_empty() {
            true => self.places,
            false => self.definition.iter().filter(|level| **level == defined).count(),
        }
    }
}

/// Values one by one, unless they are bits.
pub struct Plain<'a> {
    bytes: &'a [u8],
    width: Width,
    begin: usize,
    end: usize,
}

impl<'a> Plain<'a> {
    pub fn new(bytes: &'a [u8], width: Width) -> Plain<'a> {
        Plain { bytes, width, begin: 0, end: 0 }
    }

    pub fn skip(&mut self) -> Result<()> {
        let (begin, length) = match self.width {
            Width::Text => (self.end + 4, length(self.bytes, self.end).ok_or_else(cut_short)?),
            Width::Eight => (self.end, 8),
            Width::Bit => return Err(ParquetError::NYI("a dictionary of bits".to_owned())),
        };
        self.begin = begin;
        self.end = begin + length;
        match self.end <= self.bytes.len() {
            true => Ok(()),
            false => Err(cut_short()),
        }
    }

    /// Where the value that was passed last begins and ends.
    pub fn place(&self) -> (u32, u32) {
        (self.begin as u32, self.end as u32)
    }

    pub fn next(&mut self) -> Result<&'a [u8]> {
        self.skip()?;
        Ok(&self.bytes[self.begin..self.end])
    }
}

pub fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

pub fn is_dictionary(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}
