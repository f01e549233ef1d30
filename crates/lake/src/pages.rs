//! The values of a leaf as they lie in a file, without making arrays of them.
//!
//! ```text
//!   leaf of a row group:  [dictionary]  page  page  page …        each compressed by itself
//!   page:                 repetition levels | definition levels | values: codes, or texts one by one
//! ```
//! Most questions need few of a column's texts, or only want to tell them apart. So a page is read
//! into codes, and a text is copied only for a row that is wanted; pages without such a row are not
//! even decompressed. [`texts`] reads leaves with one value for each row, [`entries`] the values of one
//! key of a map, [`picks`] what single rows have in any leaf.

mod deltas;
mod dictionary;
pub mod entries;
mod header;
pub mod micros;
pub(crate) mod numbers;
pub mod picks;
pub mod texts;
mod unpacked;
mod values;
mod varints;

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bytes::{Buf as _, Bytes};
use parquet::arrow::async_reader::AsyncFileReader as _;
use parquet::basic::{Repetition, Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::page_index::offset_index::PageLocation;

use crate::cache::Cache;
use crate::table::file::{DataFile, Reader};
use crate::table::write::chunk::FRAME_KEY;
use dictionary::Dictionary;
use header::{Header, Kind, header};
use numbers::{is_all, numbers};
use values::{Values, Width, is_dictionary, length};

/// The bytes of a leaf in a row group, or those of some of its pages. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Leaf {
    metadata: Arc<ParquetMetaData>,
    row_group: usize,
    place: usize,
    bytes: Arc<Window>,
    dictionary: Known,
}

/// Rows that are wanted.
pub trait Wanted {
    fn any_in(&self, rows: Range<usize>) -> bool;
}

impl Wanted for Range<usize> {
    fn any_in(&self, rows: Range<usize>) -> bool {
        self.start.max(rows.start) < self.end.min(rows.end)
    }
}

/// Ascending.
impl Wanted for Vec<u32> {
    fn any_in(&self, rows: Range<usize>) -> bool {
        self.as_slice().any_in(rows)
    }
}

impl Wanted for &[u32] {
    fn any_in(&self, rows: Range<usize>) -> bool {
        let next = self.partition_point(|row| (*row as usize) < rows.start);
        self.get(next).is_some_and(|row| (*row as usize) < rows.end)
    }
}

/// The file ([`DataFile::number`]), the row group and the leaf.
type DictionaryKey = (u64, usize, usize);

/// Who asks for one row of a row group asks for another soon, and most of the work would be in
/// decompressing dictionaries.
static DICTIONARIES: LazyLock<Cache<DictionaryKey, Arc<Dictionary>>> =
    LazyLock::new(|| Cache::new(128 << 20));

/// Who reads all rows keeps dictionaries up to this size: others would leave no room for the rest.
const SCANNED_BYTES_MAX: usize = 2 << 20;

/// What is kept of a leaf's dictionary.
#[derive(Debug, Clone)]
enum Known {
    /// It will be kept for whoever comes next, unless all rows are read and it is large.
    Wanted {
        key: DictionaryKey,
        is_scan: bool,
    },
    Here(Arc<Dictionary>),
}

impl Known {
    fn of(key: DictionaryKey, is_scan: bool) -> Known {
        DICTIONARIES.get(&key).map_or(Known::Wanted { key, is_scan }, Known::Here)
    }
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
        let ranges = places.iter().flatten().map(|place| byte_range(&columns[*place]));
        let ranges: Vec<_> = ranges.collect();
        let mut reader = Reader(file.clone());
        let mut fetched = reader.get_byte_ranges(ranges.clone()).await?.into_iter().zip(ranges);
        let leaves = places.into_iter().map(|place| {
            let (place, (bytes, range)) = (place?, fetched.next()?);
            let bytes = Arc::new(Window { parts: vec![(range.start, bytes)] });
            let dictionary = Known::of((file.number, row_group, place), true);
            Some(Leaf { metadata: metadata.clone(), row_group, place, bytes, dictionary })
        });
        Ok(leaves.collect())
    }

    /// Gets leaves, by their places in the file, as far as they hold the rows that are wanted of each.
    /// Their dictionaries are kept in memory for the next time.
    pub async fn fetch_rows<R: Wanted>(
        file: &Arc<DataFile>,
        row_group: usize,
        wanted: &[(usize, R)],
    ) -> Result<Vec<Leaf>> {
        let metadata = file.metadata().await?;
        let mut leaves = Vec::with_capacity(wanted.len());
        let mut ranges = Vec::new();
        for (place, rows) in wanted {
            let place = *place;
            let first = ranges.len();
            let dictionary = Known::of((file.number, row_group, place), false);
            let bytes = Arc::new(Window { parts: Vec::new() });
            let leaf = Leaf { metadata: metadata.clone(), row_group, place, bytes, dictionary };
            leaf.ranges(rows, &mut ranges);
            leaves.push((leaf, first..ranges.len()));
        }
        let fetched = Reader(file.clone()).get_byte_ranges(ranges.clone()).await?;
        let leaves = leaves.into_iter().map(|(mut leaf, parts)| {
            let parts = parts.map(|part| (ranges[part].start, fetched[part].clone())).collect();
            leaf.bytes = Arc::new(Window { parts });
            leaf
        });
        Ok(leaves.collect())
    }

    /// Gets the dictionary of a leaf and none of its pages; `None` if the file does not have the leaf.
    pub async fn fetch_dictionary(
        file: &Arc<DataFile>,
        row_group: usize,
        path: &str,
    ) -> Result<Option<Leaf>> {
        let metadata = file.metadata().await?;
        let columns = metadata.row_group(row_group).columns();
        let Some(place) = columns.iter().position(|c| c.column_path().string() == path) else {
            return Ok(None);
        };
        Ok(Leaf::fetch_rows(file, row_group, &[(place, 0..0)]).await?.pop())
    }

    /// Where the bytes lie that reading these rows takes.
    fn ranges(&self, rows: &impl Wanted, ranges: &mut Vec<Range<u64>>) {
        let whole = byte_range(self.chunk());
        let locations = self.locations();
        let Some(first) = locations.first() else {
            ranges.push(whole);
            return;
        };
        let first = first.offset.cast_unsigned();
        if first > whole.start && !matches!(self.dictionary, Known::Here(_)) {
            ranges.push(whole.start..first);
        }
        for (page, location) in locations.iter().enumerate() {
            if rows.any_in(self.rows_of_page(page)) {
                let start = location.offset.cast_unsigned();
                let end = start + u64::from(location.compressed_page_size.cast_unsigned());
                ranges.push(start..end);
            }
        }
    }

    fn chunk(&self) -> &ColumnChunkMetaData {
        self.metadata.row_group(self.row_group).column(self.place)
    }

    /// How many bytes of the file it is.
    pub fn bytes(&self) -> usize {
        self.bytes.parts.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// How many bytes of the file its dictionary is.
    pub fn dictionary_bytes(&self) -> usize {
        let start = byte_range(self.chunk()).start;
        let end = self.locations().first().map_or(start, |first| first.offset.cast_unsigned());
        usize::try_from(end.saturating_sub(start)).unwrap_or(0)
    }

    /// Has a row no value? `None` if the file does not say.
    pub fn has_nulls(&self) -> Option<bool> {
        let nulls = self.chunk().statistics()?.null_count_opt()?;
        Some(nulls > 0)
    }

    /// Can it be told by [`texts::present`] which rows have a value, and do most have none?
    pub fn is_mostly_null(&self) -> bool {
        let nulls = self.chunk().statistics().and_then(|known| known.null_count_opt());
        let is_one_level = self.is_flat() && self.chunk().column_descr().max_def_level() == 1;
        is_one_level && nulls.is_some_and(|nulls| nulls > self.rows() as u64 / 2)
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

    /// Where the pages lie; empty when the file does not say.
    fn locations(&self) -> &[PageLocation] {
        let index = self.metadata.offset_index().and_then(|all| all.get(self.row_group));
        index.and_then(|leaves| leaves.get(self.place)).map_or(&[], |leaf| leaf.page_locations())
    }

    fn rows_of_page(&self, page: usize) -> Range<usize> {
        let locations = self.locations();
        let first =
            |location: &PageLocation| usize::try_from(location.first_row_index).unwrap_or(0);
        first(&locations[page])..locations.get(page + 1).map_or(self.rows(), first)
    }

    fn width(&self) -> Result<Width> {
        match self.chunk().column_type() {
            Type::BYTE_ARRAY => Ok(Width::Text),
            Type::INT64 => Ok(Width::Eight),
            Type::BOOLEAN => Ok(Width::Bit),
            other => Err(ParquetError::NYI(format!("pages of {other}"))),
        }
    }

    /// The definition level from which on a place is an entry of a list or map, for leaves in one.
    fn entry_level(&self) -> u32 {
        let schema = self.metadata.file_metadata().schema_descr();
        let (mut group, mut level) = (schema.root_schema(), 0);
        for part in self.chunk().column_path().parts() {
            let Some(member) = group.get_fields().iter().find(|member| member.name() == part)
            else {
                break;
            };
            match member.get_basic_info().repetition() {
                Repetition::REQUIRED => {}
                Repetition::OPTIONAL => level += 1,
                Repetition::REPEATED => return level + 1,
            }
            if !member.is_group() {
                break;
            }
            group = member;
        }
        level
    }

    /// The page at a position of the file: its header, its bytes as they are stored, and where it ends.
    fn page_at(&self, at: u64) -> Result<(Header, Bytes, u64)> {
        let bytes = self.bytes.from(at)?;
        let (header, begin) = header(&bytes)?;
        // What a damaged header says must not become memory.
        let has = |all: i64, part: usize| usize::try_from(all).is_ok_and(|all| part <= all);
        let chunk = self.chunk();
        let is_sound = has(chunk.uncompressed_size(), header.bytes)
            && (header.kind == Kind::Dictionary || has(chunk.num_values(), header.count));
        if !is_sound {
            return Err(cut_short());
        }
        let end = begin.checked_add(header.stored).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(cut_short)?;
        Ok((header, bytes.slice(begin..end), at + end as u64))
    }

    fn dictionary_of(&self, header: &Header, stored: &[u8]) -> Result<Arc<Dictionary>> {
        let (compression, width) = (self.chunk().compression(), self.width()?);
        let frame = self.frame_values();
        let dictionary = Arc::new(Dictionary::new(header, stored, compression, width, frame)?);
        if let Known::Wanted { key, is_scan } = self.dictionary
            && !(is_scan && header.bytes > SCANNED_BYTES_MAX)
        {
            DICTIONARIES.put(key, dictionary.clone(), dictionary.memory());
        }
        Ok(dictionary)
    }

    /// How many values the frames of a dictionary have, if the file says it.
    fn frame_values(&self) -> Option<usize> {
        let known = self.metadata.file_metadata().key_value_metadata()?;
        let frame = known.iter().find(|known| known.key == FRAME_KEY)?;
        frame.value.as_deref()?.parse().ok().filter(|values| *values > 0)
    }

    /// What lies before the pages, if the file says where these lie.
    fn dictionary(&self) -> Result<Option<Arc<Dictionary>>> {
        if let Known::Here(dictionary) = &self.dictionary {
            return Ok(Some(dictionary.clone()));
        }
        let start = byte_range(self.chunk()).start;
        if self.locations().first().is_none_or(|first| first.offset.cast_unsigned() <= start) {
            return Ok(None);
        }
        let (header, stored, _) = self.page_at(start)?;
        match header.kind {
            Kind::Dictionary => self.dictionary_of(&header, &stored).map(Some),
            Kind::Values => Ok(None),
        }
    }

    fn pages(&self) -> Result<Pages<'_>> {
        let whole = byte_range(self.chunk());
        let descriptor = self.chunk().column_descr();
        Ok(Pages {
            leaf: self,
            locations: self.locations(),
            next: 0,
            at: whole.start,
            end: whole.end,
            width: self.width()?,
            defined: descriptor.max_def_level().cast_unsigned().into(),
            repeated: descriptor.max_rep_level().cast_unsigned().into(),
            picked: None,
            packed: false,
        })
    }
}

fn byte_range(chunk: &ColumnChunkMetaData) -> Range<u64> {
    let (start, len) = chunk.byte_range();
    start..start + len
}

/// Parts of a file, ascending, each under its position in the file.
#[derive(Debug)]
struct Window {
    parts: Vec<(u64, Bytes)>,
}

impl Window {
    /// The bytes of the part that begins at or before `at`, from there on.
    fn from(&self, at: u64) -> Result<Bytes> {
        let part = self.parts.partition_point(|(start, _)| *start <= at);
        let (start, bytes) =
            part.checked_sub(1).map(|part| &self.parts[part]).ok_or_else(cut_short)?;
        let from = usize::try_from(at - start).map_err(|_| cut_short())?;
        match from < bytes.len() {
            true => Ok(bytes.slice(from..)),
            false => Err(cut_short()),
        }
    }
}

/// One page after another.
struct Pages<'a> {
    leaf: &'a Leaf,
    locations: &'a [PageLocation],
    /// The number of the next page.
    next: usize,
    /// Where it lies, and where the last one ends.
    at: u64,
    end: u64,
    width: Width,
    /// The definition level of a value that is there.
    defined: u32,
    /// The highest repetition level.
    repeated: u32,
    /// The rows that will be asked for, ascending, if it is known: of a page of flat values, what comes
    /// after the last of them is not looked at.
    picked: Option<&'a [u32]>,
    /// Are definition levels left as they are, packed?
    packed: bool,
}

enum Read {
    Dictionary(Arc<Dictionary>),
    Values(Values),
    /// No row of the page is wanted.
    Skipped {
        rows: usize,
    },
}

impl<'a> Pages<'a> {
    /// The same for rows that are known beforehand, ascending. The dictionary does not come by itself,
    /// where the file says where the pages lie: not every page needs it.
    fn picking(mut self, rows: &'a [u32]) -> Pages<'a> {
        self.picked = Some(rows);
        if let Some(first) = self.locations.first() {
            self.at = first.offset.cast_unsigned();
        }
        self
    }

    /// The next page, unless it is known that its rows are not wanted.
    fn next(&mut self, is_wanted: impl Fn(Range<usize>) -> bool) -> Result<Option<Read>> {
        if let Some(location) = self.locations.get(self.next) {
            let begin = location.offset.cast_unsigned();
            if self.next == 0 && self.at < begin {
                if let Known::Here(dictionary) = &self.leaf.dictionary {
                    self.at = begin;
                    return Ok(Some(Read::Dictionary(dictionary.clone())));
                }
                // The dictionary lies before the first page.
            } else {
                let rows = self.leaf.rows_of_page(self.next);
                if !is_wanted(rows.clone()) {
                    self.next += 1;
                    return Ok(Some(Read::Skipped { rows: rows.len() }));
                }
                self.at = begin;
            }
        } else if !self.locations.is_empty() || self.at >= self.end {
            return Ok(None);
        }
        let (header, stored, end) = self.leaf.page_at(self.at)?;
        self.at = end;
        if header.kind == Kind::Dictionary {
            return Ok(Some(Read::Dictionary(self.leaf.dictionary_of(&header, &stored)?)));
        }
        let compression = self.leaf.chunk().compression();
        let mut body = unpacked::unpacked(stored, compression, header.bytes)?;
        let (places, encoding, width) = (header.count, header.encoding, self.width);
        let needed = self.needed(places);
        self.next += 1;
        let repetition = self.levels(&mut body, self.repeated, 0, needed)?;
        let (definition, packed) = match self.packed {
            true => (Vec::new(), split_levels(&mut body)?),
            false => (self.levels(&mut body, self.defined, self.defined, needed)?, Bytes::new()),
        };
        let values = Values { repetition, definition, packed, places, body, encoding, width };
        Ok(Some(Read::Values(values)))
    }

    /// How many of the next page's places are looked at.
    fn needed(&self, places: usize) -> usize {
        let Some(rows) = self.picked.filter(|_| self.repeated == 0) else { return places };
        if self.locations.is_empty() {
            return places;
        }
        let page = self.leaf.rows_of_page(self.next);
        let later = rows.partition_point(|row| (*row as usize) < page.end);
        let last = later.checked_sub(1).map(|last| rows[last] as usize);
        last.map_or(0, |last| (last + 1).saturating_sub(page.start)).min(places)
    }

    /// Takes levels, behind their length, off the front of a page; none if all are the `usual` one.
    fn levels(&self, body: &mut Bytes, max: u32, usual: u32, places: usize) -> Result<Vec<u32>> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let packed = split_levels(body)?;
        let mut levels = Vec::new();
        if !is_all(&packed, usual, places) {
            levels.reserve(places);
            numbers(&packed, u32::BITS - max.leading_zeros(), places, &mut levels)?;
        }
        Ok(levels)
    }
}

/// Takes levels off the front of a page, where they stand behind their length.
fn split_levels(body: &mut Bytes) -> Result<Bytes> {
    let len = length(body, 0).ok_or_else(cut_short)?;
    body.advance(4);
    match len <= body.len() {
        true => Ok(body.split_to(len)),
        false => Err(cut_short()),
    }
}

fn cut_short() -> ParquetError {
    ParquetError::EOF("a page ends too early".to_owned())
}
