//! A leaf of a row group in the form of a file.
//!
//! ```text
//!   dictionary page   the distinct values as they first came, each [`FRAME_VALUES`] a zstd frame of its own
//!   page              of at most [`PAGE_ROWS`] rows: levels | codes, or values where most are different
//!   page …
//! ```
//! Any Parquet reader takes the frames together for what they are, one zstd stream. Ours knows how many
//! values a frame has, and decompresses only the one that holds a value that it wants.
//!
//! Parquet's own writer would want the rows of all batches copied into order first, and look up a value
//! for each of them; this one copies numbers.

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, LogicalType, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriter as _};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::leaves::Leaf;
use super::numbers::{put_numbers, width_of};
use super::{PAGE_BYTES, PAGE_ROWS, Places};
use crate::distinct::Distinct;

/// Values of a dictionary that are compressed together.
pub const FRAME_VALUES: usize = 1024;
/// The key of a file's metadata that says how many that are.
pub const FRAME_KEY: &str = "cairn.dictionary_frame";
/// Entries of lists or maps that a page holds at most, unless a single row has more.
const PAGE_PLACES: usize = 1 << 16;
/// Bounds in statistics are cut to this.
const BOUND_BYTES: usize = 64;

/// An encoded leaf.
pub struct Chunk {
    pub bytes: Bytes,
    pub close: ColumnCloseResult,
}

/// Encodes a leaf of the given rows. `parts` are the leaf in each batch that the rows are of.
pub fn encode(
    descriptor: &ColumnDescPtr,
    parts: &[Leaf],
    rows: &Places,
    level: ZstdLevel,
    false_positives: Option<f64>,
) -> Result<Chunk> {
    let values = Values::of(parts, rows);
    let mut writer = Writer::new(descriptor, level)?;
    if values.is_coded {
        writer.put_dictionary(&values)?;
    }
    let mut next = 0;
    while next < rows.len() {
        next = writer.put_page(parts, rows, next, &values)?;
    }
    let bloom_filter = match false_positives {
        Some(false_positives) => {
            let count = values.distinct.len().max(1) as u64;
            let mut filter = Sbbf::new_with_ndv_fpp(count, false_positives)?;
            values.distinct.values().for_each(|value| filter.insert(value));
            Some(filter)
        }
        None => None,
    };
    writer.close(&values, rows.len(), bloom_filter)
}

/// The values of the rows, as numbers.
struct Values {
    distinct: Distinct,
    /// Of the values that are there, batch by batch.
    codes: Vec<u32>,
    /// For each row in order, where its values begin in `codes`.
    begins: Vec<u32>,
    is_time: bool,
    /// Does a value come again often enough for codes to pay?
    is_coded: bool,
}

impl Values {
    fn of(parts: &[Leaf], rows: &Places) -> Values {
        let mut values = Values {
            distinct: Distinct::default(),
            codes: Vec::with_capacity(rows.len()),
            begins: vec![0; rows.len()],
            is_time: false,
            is_coded: false,
        };
        for (leaf, places) in parts.iter().zip(rows.by_batch()) {
            match leaf.values.data_type() {
                DataType::Utf8 => {
                    let texts = leaf.values.as_string::<i32>();
                    let (offsets, bytes) = (texts.value_offsets(), texts.value_data());
                    values.add(leaf, rows, places, |at| between(bytes, offsets, at));
                }
                DataType::Binary => {
                    let texts = leaf.values.as_binary::<i32>();
                    let (offsets, bytes) = (texts.value_offsets(), texts.value_data());
                    values.add(leaf, rows, places, |at| between(bytes, offsets, at));
                }
                _ => {
                    values.is_time = true;
                    let times = leaf.values.as_primitive::<TimestampMicrosecondType>().values();
                    let eights = times.inner().as_slice().as_chunks::<8>().0;
                    values.add(leaf, rows, places, |at| &eights[at]);
                }
            }
        }
        let few = values.codes.len() / 4 * 3;
        values.is_coded = values.distinct.len() <= few.max(FRAME_VALUES);
        values
    }

    /// Numbers the values of one batch.
    #[inline(always)]
    fn add<'a>(
        &mut self,
        leaf: &Leaf,
        rows: &Places,
        places: &[u32],
        value: impl Fn(usize) -> &'a [u8],
    ) {
        for place in places {
            self.begins[*place as usize] = self.codes.len() as u32;
            let (_, row) = rows.at(*place as usize);
            for place in leaf.places(row) {
                if leaf.levels.at(place) == leaf.defined {
                    let number = self.distinct.number_of(value(leaf.value_at(place)));
                    self.codes.push(number);
                }
            }
        }
    }

    /// Appends a value as Parquet writes it: bytes behind their length.
    fn put(&self, number: u32, to: &mut Vec<u8>) {
        let value = self.distinct.value(number);
        if !self.is_time {
            to.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        to.extend_from_slice(value);
    }

    /// The bounds of the values, as far as they have an order that everybody knows.
    fn statistics(&self, descriptor: &ColumnDescPtr, places: u64) -> Statistics {
        let nulls = Some(places - self.codes.len() as u64);
        if self.is_time {
            let time = |value: &[u8]| value.try_into().map_or(0, i64::from_le_bytes);
            let (min, max) =
                (self.distinct.values().map(time).min(), self.distinct.values().map(time).max());
            return Statistics::new(min, max, None, nulls, false);
        }
        let is_text = matches!(descriptor.logical_type_ref(), Some(LogicalType::String));
        let texts = || self.distinct.values().filter(|_| is_text);
        let (min, max) = (texts().min().map(lower_bound), texts().max().map(upper_bound));
        let is_exact = |bound: &Option<(Vec<u8>, bool)>| bound.as_ref().is_some_and(|(_, is)| *is);
        let (min_is_exact, max_is_exact) = (is_exact(&min), is_exact(&max));
        let bytes = |bound: Option<(Vec<u8>, bool)>| bound.map(|(bytes, _)| ByteArray::from(bytes));
        let bounds = ValueStatistics::new(bytes(min), bytes(max), None, nulls, false);
        Statistics::ByteArray(
            bounds.with_min_is_exact(min_is_exact).with_max_is_exact(max_is_exact),
        )
    }
}

#[inline(always)]
fn between<'a>(bytes: &'a [u8], offsets: &[i32], at: usize) -> &'a [u8] {
    &bytes[offsets[at] as usize..offsets[at + 1] as usize]
}

/// No text that begins like this one is less; and whether it is the text itself.
fn lower_bound(text: &[u8]) -> (Vec<u8>, bool) {
    let cut = cut(text);
    (cut.as_bytes().to_vec(), cut.len() == text.len())
}

/// No text that begins like this one is more.
fn upper_bound(text: &[u8]) -> (Vec<u8>, bool) {
    let mut bound = cut(text).to_owned();
    if bound.len() == text.len() {
        return (bound.into_bytes(), true);
    }
    while let Some(last) = bound.pop() {
        // Surrogates are no characters.
        let next =
            char::from_u32(u32::from(last) + 1).or((last == '\u{d7ff}').then_some('\u{e000}'));
        if let Some(next) = next {
            bound.push(next);
            return (bound.into_bytes(), false);
        }
    }
    (text.to_vec(), true)
}

/// The beginning of a text, without half a character.
fn cut(text: &[u8]) -> &str {
    let end = text.len().min(BOUND_BYTES);
    let valid = |bytes| std::str::from_utf8(bytes);
    match valid(&text[..end]) {
        Ok(cut) => cut,
        Err(error) => valid(&text[..error.valid_up_to()]).unwrap_or_default(),
    }
}

struct Writer<'a> {
    descriptor: &'a ColumnDescPtr,
    level: ZstdLevel,
    zstd: Compressor<'static>,
    sink: TrackedWrite<Vec<u8>>,
    index: OffsetIndexBuilder,
    pages: i32,
    /// Where the first page begins.
    first_page: u64,
    places: u64,
    /// Of all pages with their headers.
    uncompressed: u64,
    // Used again for every page.
    body: Vec<u8>,
    repetition: Vec<u32>,
    definition: Vec<u32>,
    codes: Vec<u32>,
}

impl<'a> Writer<'a> {
    fn new(descriptor: &'a ColumnDescPtr, level: ZstdLevel) -> Result<Writer<'a>> {
        Ok(Writer {
            descriptor,
            level,
            zstd: Compressor::new(level.compression_level())?,
            sink: TrackedWrite::new(Vec::new()),
            index: OffsetIndexBuilder::new(),
            pages: 0,
            first_page: 0,
            places: 0,
            uncompressed: 0,
            body: Vec::new(),
            repetition: Vec::new(),
            definition: Vec::new(),
            codes: Vec::new(),
        })
    }

    fn put_dictionary(&mut self, values: &Values) -> Result<()> {
        let count = values.distinct.len() as u32;
        let (mut stored, mut bytes) = (Vec::new(), 0);
        // Without values there is a frame of nothing.
        for first in (0..count.max(1)).step_by(FRAME_VALUES) {
            self.body.clear();
            for number in first..count.min(first + FRAME_VALUES as u32) {
                values.put(number, &mut self.body);
            }
            bytes += self.body.len();
            stored.extend(self.zstd.compress(&self.body)?);
        }
        let page = Page::DictionaryPage {
            buf: stored.into(),
            num_values: count,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        self.put(page, bytes)?;
        self.first_page = self.sink.bytes_written() as u64;
        Ok(())
    }

    /// Writes a page of the rows from `begin` on; gives the row after its last.
    fn put_page(
        &mut self,
        parts: &[Leaf],
        rows: &Places,
        begin: usize,
        values: &Values,
    ) -> Result<usize> {
        let (max_definition, max_repetition) =
            (self.descriptor.max_def_level(), self.descriptor.max_rep_level());
        self.repetition.clear();
        self.definition.clear();
        self.codes.clear();
        let (mut end, mut bytes) = (begin, 0);
        while end < rows.len().min(begin + PAGE_ROWS)
            && self.definition.len() < PAGE_PLACES
            && bytes < PAGE_BYTES
        {
            let (batch, row) = rows.at(end);
            let leaf = &parts[batch];
            let mut next = values.begins[end] as usize;
            let places = leaf.places(row);
            for place in places.clone() {
                let level = leaf.levels.at(place);
                self.repetition.push(u32::from(place > places.start));
                self.definition.push(level.into());
                if level == leaf.defined {
                    let code = values.codes[next];
                    next += 1;
                    self.codes.push(code);
                    if !values.is_coded {
                        bytes += values.distinct.value(code).len();
                    }
                }
            }
            end += 1;
        }
        self.body.clear();
        if max_repetition > 0 {
            put_levels(&self.repetition, max_repetition, &mut self.body);
        }
        if max_definition > 0 {
            put_levels(&self.definition, max_definition, &mut self.body);
        }
        let encoding = if values.is_coded {
            let width = width_of(self.codes.iter().copied().max().unwrap_or(0));
            self.body.push(width as u8);
            put_numbers(&self.codes, width, &mut self.body);
            Encoding::RLE_DICTIONARY
        } else {
            self.codes.iter().for_each(|code| values.put(*code, &mut self.body));
            Encoding::PLAIN
        };
        let page = Page::DataPage {
            buf: self.zstd.compress(&self.body)?.into(),
            num_values: self.definition.len() as u32,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let (offset, stored) = self.put(page, self.body.len())?;
        self.index.append_row_count((end - begin) as i64);
        self.index.append_offset_and_size(offset, stored);
        self.pages += 1;
        self.places += self.definition.len() as u64;
        Ok(end)
    }

    /// Writes a page; gives where it lies and how long it is.
    fn put(&mut self, page: Page, bytes: usize) -> Result<(i64, i32)> {
        let page = CompressedPage::new(page, bytes);
        let put = SerializedPageWriter::new(&mut self.sink).write_page(page)?;
        self.uncompressed += put.uncompressed_size as u64;
        Ok((i64::try_from(put.offset)?, i32::try_from(put.compressed_size)?))
    }

    fn close(self, values: &Values, rows: usize, bloom_filter: Option<Sbbf>) -> Result<Chunk> {
        let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
        let (mut encodings, mut pages) = (vec![Encoding::PLAIN, Encoding::RLE], Vec::new());
        if values.is_coded {
            encodings.push(Encoding::RLE_DICTIONARY);
            pages.push(stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1));
            pages.push(stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, self.pages));
        } else {
            pages.push(stats(PageType::DATA_PAGE, Encoding::PLAIN, self.pages));
        }
        let bytes = self.sink.into_inner()?;
        let metadata = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_compression(Compression::ZSTD(self.level))
            .set_encodings(encodings)
            .set_page_encoding_stats(pages)
            .set_total_compressed_size(i64::try_from(bytes.len())?)
            .set_total_uncompressed_size(i64::try_from(self.uncompressed)?)
            .set_num_values(i64::try_from(self.places)?)
            .set_data_page_offset(i64::try_from(self.first_page)?)
            .set_dictionary_page_offset(values.is_coded.then_some(0))
            .set_statistics(values.statistics(self.descriptor, self.places))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: rows as u64,
            metadata,
            bloom_filter,
            column_index: None,
            offset_index: Some(self.index.build()),
        };
        Ok(Chunk { bytes: bytes.into(), close })
    }
}

/// Appends levels behind their length.
fn put_levels(levels: &[u32], max: i16, to: &mut Vec<u8>) {
    let begin = to.len();
    to.extend_from_slice(&[0; 4]);
    put_numbers(levels, width_of(max.cast_unsigned().into()), to);
    let len = (to.len() - begin - 4) as u32;
    to[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
}
