//! The values of a leaf as they lie in a file, without making arrays of them.
//!
//! ```text
//!   leaf of a row group:  [dictionary]  page  page  page …        each compressed by itself
//!   page:                 repetition levels | definition levels | values: codes, or texts one by one
//! ```
//! Most questions need few of a column's texts, or only want to tell them apart. So a page is read
//! into codes, and a text is copied only for a row that is wanted; pages without such a row are not
//! even decompressed. [`texts`] reads leaves with one value for each row, [`entries`] the values of one
//! key of a map.

pub mod entries;
mod numbers;
pub mod texts;

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parquet::arrow::async_reader::AsyncFileReader as _;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::table::file::{DataFile, Reader};
use numbers::{is_all, numbers};

/// The bytes of a leaf in a row group. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leaf {
    metadata: Arc<ParquetMetaData>,
    row_group: usize,
    place: usize,
    bytes: Bytes,
}

impl Leaf {
    /// Gets leaves, by their paths as Parquet writes them, at one go. `None` for one that the file does
    /// not have.
    pub async fn fetch(
        file: &Arc<DataFile>,
        row_group: usize,
        paths: &[&str],
    ) -> Result<Vec<Option<Leaf>>> {
        let metadata = file.metadata().await?;
        let columns = metadata.row_group(row_group).columns();
        let place_of =
            |path: &&str| columns.iter().position(|c| c.column_path().string() == **path);
        let places: Vec<Option<usize>> = paths.iter().map(place_of).collect();
        let ranges = places.iter().flatten().map(|place| {
            let (start, len) = columns[*place].byte_range();
            start..start + len
        });
        let ranges: Vec<_> = ranges.collect();
        let mut reader = Reader(file.clone());
        let mut fetched = reader.get_byte_ranges(ranges).await?.into_iter();
        let leaves = places.into_iter().map(|place| {
            let (place, bytes) = (place?, fetched.next()?);
            Some(Leaf { metadata: metadata.clone(), row_group, place, bytes })
        });
        Ok(leaves.collect())
    }

    fn chunk(&self) -> &ColumnChunkMetaData {
        self.metadata.row_group(self.row_group).column(self.place)
    }

    /// How many bytes of the file it is.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Has every row one value at most?
    pub fn is_flat(&self) -> bool {
        self.chunk().column_descr().max_rep_level() == 0
    }

    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.row_group).num_rows()).unwrap_or(0)
    }

    /// Is every value one of the dictionary?
    fn is_all_coded(&self) -> bool {
        let known = self.chunk().page_encoding_stats_mask();
        known.is_some_and(|encodings| encodings.encodings().all(is_dictionary))
    }

    fn pages(&self) -> Result<Pages> {
        let (start, _) = self.chunk().byte_range();
        let index = self.metadata.offset_index().and_then(|all| all.get(self.row_group));
        let locations: Option<Vec<PageLocation>> = index
            .and_then(|leaves| leaves.get(self.place))
            .map(|leaf| leaf.page_locations().clone());
        let first_rows = locations.iter().flatten();
        let first_rows = first_rows.map(|page| usize::try_from(page.first_row_index).unwrap_or(0));
        let first_rows: Vec<usize> = first_rows.collect();
        let window = Arc::new(Window { start, bytes: self.bytes.clone() });
        let reader = SerializedPageReader::new(window, self.chunk(), self.rows(), locations)?;
        let descriptor = self.chunk().column_descr();
        Ok(Pages {
            reader,
            first_rows,
            rows: self.rows(),
            next: 0,
            defined: descriptor.max_def_level().cast_unsigned().into(),
            repeated: descriptor.max_rep_level().cast_unsigned().into(),
        })
    }
}

/// Part of a file, under the file's own positions.
struct Window {
    start: u64,
    bytes: Bytes,
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = from.filter(|from| *from <= self.bytes.len()).ok_or_else(cut_short)?;
        Ok(self.bytes.slice(from..).reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.get_read(start)?.into_inner();
        match length <= rest.len() {
            true => Ok(rest.slice(..length)),
            false => Err(cut_short()),
        }
    }
}

/// One page after another.
struct Pages {
    reader: SerializedPageReader<Window>,
    /// Of each page, where the file says so.
    first_rows: Vec<usize>,
    rows: usize,
    /// The number of the next page.
    next: usize,
    /// The definition level of a value that is there.
    defined: u32,
    /// The highest repetition level.
    repeated: u32,
}

enum Read {
    Dictionary(Dictionary),
    Values(Values),
    /// No row of the page is wanted.
    Skipped {
        rows: usize,
    },
}

/// A page of values.
struct Values {
    /// For each place; empty when every place begins a row.
    repetition: Vec<u32>,
    /// For each place; empty when every place has a value.
    definition: Vec<u32>,
    places: usize,
    /// Behind the levels.
    body: Bytes,
    encoding: Encoding,
}

impl Pages {
    /// The next page, unless none of its rows is wanted. `kept` tells of every row of the row group;
    /// empty, all are.
    fn next(&mut self, kept: &[bool]) -> Result<Option<Read>> {
        if !kept.is_empty() && !self.first_rows.is_empty() {
            let peeked = self.reader.peek_next_page()?;
            let is_data = peeked.is_some_and(|page| !page.is_dict);
            if let Some(&first) = self.first_rows.get(self.next).filter(|_| is_data) {
                let end = self.first_rows.get(self.next + 1).copied().unwrap_or(self.rows);
                let rows = kept.get(first..end).ok_or_else(cut_short)?;
                if !rows.contains(&true) {
                    self.reader.skip_next_page()?;
                    self.next += 1;
                    return Ok(Some(Read::Skipped { rows: rows.len() }));
                }
            }
        }
        let Some(page) = self.reader.get_next_page()? else { return Ok(None) };
        match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                Dictionary::new(buf, num_values as usize).map(|found| Some(Read::Dictionary(found)))
            }
            Page::DataPage { buf, num_values, encoding, .. } => {
                let places = num_values as usize;
                let mut body = buf;
                let repetition = self.levels(&mut body, self.repeated, 0, places)?;
                let definition = self.levels(&mut body, self.defined, self.defined, places)?;
                self.next += 1;
                Ok(Some(Read::Values(Values { repetition, definition, places, body, encoding })))
            }
            Page::DataPageV2 { .. } => Err(ParquetError::NYI("pages of the second version".into())),
        }
    }

    /// Takes levels, behind their length, off the front of a page; none if all are the `usual` one.
    fn levels(&self, body: &mut Bytes, max: u32, usual: u32, places: usize) -> Result<Vec<u32>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let len = length(body, 0).ok_or_else(cut_short)?;
        body.advance(4);
        if len > body.len() {
            return Err(cut_short());
        }
        let packed = body.split_to(len);
        let mut levels = Vec::new();
        if !is_all(&packed, usual, places) {
            levels.reserve(places);
            numbers(&packed, u32::BITS - max.leading_zeros(), places, &mut levels)?;
        }
        Ok(levels)
    }
}

impl Values {
    /// The repetition and definition level of each place.
    fn levels(&self, defined: u32) -> impl Iterator<Item = (u32, u32)> {
        let level = |levels: &[u32], place: usize, usual: u32| match levels.is_empty() {
            true => usual,
            false => levels[place],
        };
        (0..self.places).map(move |place| {
            (level(&self.repetition, place, 0), level(&self.definition, place, defined))
        })
    }

    /// The codes of those places that have a value, if the page has codes.
    fn codes(&self, present: usize) -> Result<Option<Vec<u32>>> {
        if !is_dictionary(self.encoding) {
            return match self.encoding {
                Encoding::PLAIN => Ok(None),
                other => Err(ParquetError::NYI(format!("texts encoded as {other}"))),
            };
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

    fn present(&self, defined: u32) -> usize {
        match self.definition.is_empty() {
            true => self.places,
            false => self.definition.iter().filter(|level| **level == defined).count(),
        }
    }
}

/// Texts by their codes.
struct Dictionary {
    bytes: Bytes,
    /// Where each begins and ends.
    texts: Vec<(u32, u32)>,
}

impl Dictionary {
    fn new(bytes: Bytes, count: usize) -> Result<Dictionary> {
        let mut texts = Vec::with_capacity(count.min(bytes.len() / 4));
        let mut plain = Plain::new(&bytes);
        for _ in 0..count {
            plain.skip()?;
            texts.push((plain.begin as u32, plain.end as u32));
        }
        Ok(Dictionary { bytes, texts })
    }

    fn text(&self, code: u32) -> Option<&[u8]> {
        let (begin, end) = self.texts.get(code as usize)?;
        self.bytes.get(*begin as usize..*end as usize)
    }
}

/// Texts one by one, each behind its length.
struct Plain<'a> {
    bytes: &'a [u8],
    begin: usize,
    end: usize,
}

impl<'a> Plain<'a> {
    fn new(bytes: &'a [u8]) -> Plain<'a> {
        Plain { bytes, begin: 0, end: 0 }
    }

    fn skip(&mut self) -> Result<()> {
        let length = length(self.bytes, self.end).ok_or_else(cut_short)?;
        self.begin = self.end + 4;
        self.end = self.begin + length;
        match self.end <= self.bytes.len() {
            true => Ok(()),
            false => Err(cut_short()),
        }
    }

    fn next(&mut self) -> Result<&'a [u8]> {
        self.skip()?;
        Ok(&self.bytes[self.begin..self.end])
    }
}

fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
}

fn is_dictionary(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}

fn cut_short() -> ParquetError {
    ParquetError::EOF("a page ends too early".to_owned())
}
