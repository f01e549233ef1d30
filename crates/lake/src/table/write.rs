//! Rows into the bytes of a file.
//!
//! ```text
//!   row group   at most ROW_GROUP_ROWS rows, ordered by eventtime
//!     column    zstd pages of about 64 KiB, dictionary where values repeat ([`chunk`]), statistics
//!     Bloom filters on what people search by exactly ([`SEARCHED`])
//!   cairn_id_hash  16 bits for each row, by which an event is found
//!   page index  the eventtime of every page, where every page lies
//! ```

pub mod chunk;
mod leaves;
mod numbers;

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, new_null_array};
use arrow::compute::{concat_batches, interleave};
use arrow::datatypes::{DataType, Field, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::{ColumnPath, SchemaDescriptor};

use chunk::{Chunk, FRAME_KEY, FRAME_VALUES};

use crate::groups::codes::id_hash;
use crate::schema::{Content, ID_HASH};

/// Large enough for dictionaries to pay, small enough that a search reads little.
pub const ROW_GROUP_ROWS: usize = 262_144;
/// What the footer of a file of ours begins its creator with.
pub const CREATOR: &str = "cairn ";
const PAGE_BYTES: usize = 64 << 10;
/// Who wants one row decompresses this many of each column.
const PAGE_ROWS: usize = 4_096;
/// Columns of which every value is another.
const UNIQUE: [&str; 2] = ["eventid", "requestid"];
const UNIQUE_PAGE_BYTES: usize = 16 << 10;
/// Of times, which take two or three bytes each: what the page index says of small pages spares reading
/// them. The writer looks at it every [`WRITTEN_ROWS`].
const TIME_PAGE_BYTES: usize = 1 << 10;
const WRITTEN_ROWS: usize = 512;
/// A column whose distinct values take more is written without a dictionary from there on.
const DICTIONARY_BYTES_MAX: usize = 4 << 20;
/// Rows of a column that are put in order and encoded at a time.
const CHUNK_ROWS: usize = 16_384;

/// Leaf columns with a Bloom filter: what an event, a caller or a resource is looked up by.
pub const SEARCHED: [&str; 5] = [
    "eventid",
    "cairn_username",
    "useridentity.accesskeyid",
    "useridentity.arn",
    "cairn_resources.list.element.name",
];
const FALSE_POSITIVES: f64 = 0.01;

/// How hard a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What somebody waits for.
    Quick,
    /// What is written once more and then kept.
    Thorough,
}

/// A file that is not stored yet.
#[derive(Debug)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub rows: u64,
    pub oldest_us: i64,
    pub newest_us: i64,
}

/// Where a row is: batch, row in it, and its time.
#[derive(Debug, Clone, Copy)]
pub struct RowAt {
    pub time_us: i64,
    pub batch: u32,
    pub row: u32,
}

/// The rows of `batches` that have a time, in order of time. Rows of equal time stay as they came.
pub fn in_order(batches: &[RecordBatch]) -> Vec<RowAt> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (batch, columns) in (0..).zip(batches) {
        let times = times(columns);
        rows.extend((0..).zip(times).map(|(row, &time_us)| RowAt { time_us, batch, row }));
    }
    // Log files are nearly sorted, which this sort is quick about.
    rows.sort_by_key(|row| row.time_us);
    rows
}

/// The event times of a batch, in microseconds. A row without one counts as 1970.
pub fn times(batch: &RecordBatch) -> &[i64] {
    let column = batch.column_by_name("eventtime").expect("every table has eventtime");
    column.as_primitive::<TimestampMicrosecondType>().values()
}

/// Encodes the given rows, at least one, which are in order of time, on so many threads.
pub fn encode(
    content: Content,
    batches: &[RecordBatch],
    rows: &[RowAt],
    effort: Effort,
    threads: usize,
) -> Result<Encoded, ParquetError> {
    let schema = content.in_files();
    let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties(effort)))?;
    let (mut writer, columns_of) = writer.into_serialized_writer()?;
    for (number, rows) in rows.chunks(ROW_GROUP_ROWS).enumerate() {
        let places = Places::of(rows, batches.len());
        let chunks: Vec<Rows> = rows.chunks(CHUNK_ROWS).map(Rows::of).collect();
        let mut leaves = columns_of.create_column_writers(number)?.into_iter();
        let mut leaf_count = vec![0; schema.fields().len()];
        for leaf in 0..writer.schema_descr().num_columns() {
            leaf_count[writer.schema_descr().get_column_root_idx(leaf)] += 1;
        }
        // The largest columns come first, so that no thread begins one when the others are done.
        let mut first_leaf = 0;
        let mut work: Vec<Column> = (0..)
            .zip(leaf_count)
            .map(|(place, count)| {
                let leaves = leaves.by_ref().take(count).collect();
                first_leaf += count;
                Column { place, first_leaf: first_leaf - count, leaves }
            })
            .collect();
        let bytes = |column: &Column| -> usize {
            let parts = batches.iter().map(|batch| batch.columns().get(column.place));
            parts.map(|part| part.map_or(0, |part| part.get_array_memory_size())).sum()
        };
        work.sort_by_cached_key(bytes);
        let (work, descriptor) = (Mutex::new(work), writer.schema_descr());
        let encode_some = || {
            let mut done = Vec::new();
            while let Some(column) = next(&work) {
                let (place, field) = (column.place, schema.field(column.place));
                let encoded = match is_coded(field) {
                    true => column.encode_codes(field, descriptor, batches, &places, effort)?,
                    false => column.encode(field, batches, &chunks)?,
                };
                done.push((place, encoded));
            }
            Ok::<_, ParquetError>(done)
        };
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(encode_some)).collect();
            let mut done = encode_some()?;
            for other in others {
                done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok::<_, ParquetError>(done)
        })?;
        done.sort_by_key(|(place, _)| *place);
        let mut row_group = writer.next_row_group()?;
        for encoded in done.into_iter().flat_map(|(_, leaves)| leaves) {
            match encoded {
                Leaf::Codes(Chunk { bytes, close }) => row_group.append_column(&bytes, close)?,
                Leaf::Other(chunk) => chunk.append_to_row_group(&mut row_group)?,
            }
        }
        row_group.close()?;
    }
    let bytes = writer.into_inner()?;
    Ok(Encoded {
        bytes,
        rows: rows.len() as u64,
        oldest_us: rows.first().map_or(0, |row| row.time_us),
        newest_us: rows.last().map_or(0, |row| row.time_us),
    })
}

fn next(work: &Mutex<Vec<Column>>) -> Option<Column> {
    work.lock().expect("no holder of this lock can panic").pop()
}

/// Whether a column is encoded here. The others have no dictionary, or are seldom there.
fn is_coded(field: &Field) -> bool {
    let is_unique = UNIQUE.contains(&field.name().as_str());
    let is_time = matches!(field.data_type(), DataType::Timestamp(..));
    leaves::is_simple(field) && !is_unique && !is_time
}

/// A column of a row group that is to be encoded.
struct Column {
    place: usize,
    /// The number of its first leaf.
    first_leaf: usize,
    leaves: Vec<ArrowColumnWriter>,
}

/// What came of it, leaf by leaf.
enum Leaf {
    Codes(Chunk),
    Other(ArrowColumnChunk),
}

impl Column {
    fn encode_codes(
        self,
        field: &Field,
        descriptor: &SchemaDescriptor,
        batches: &[RecordBatch],
        places: &Places,
        effort: Effort,
    ) -> Result<Vec<Leaf>, ParquetError> {
        let mut parts: Vec<Vec<leaves::Leaf>> =
            (0..self.leaves.len()).map(|_| Vec::with_capacity(places.batches.len())).collect();
        for (batch, _) in &places.batches {
            let found = leaves::leaves(field, batches[*batch].column(self.place));
            parts.iter_mut().zip(found).for_each(|(parts, leaf)| parts.push(leaf));
        }
        let encode = |(leaf, parts): (usize, Vec<leaves::Leaf>)| {
            let descriptor = descriptor.column(leaf);
            let is_searched = SEARCHED.contains(&descriptor.path().string().as_str());
            let false_positives = is_searched.then_some(FALSE_POSITIVES);
            let chunk =
                chunk::encode(&descriptor, &parts, places, effort.level(), false_positives)?;
            Ok(Leaf::Codes(chunk))
        };
        (self.first_leaf..).zip(parts).map(encode).collect()
    }

    /// Encodes a column as Parquet's own writer does.
    fn encode(
        mut self,
        field: &Field,
        batches: &[RecordBatch],
        chunks: &[Rows],
    ) -> Result<Vec<Leaf>, ParquetError> {
        let hashes: Vec<ArrayRef> = match field.name().as_str() {
            ID_HASH => batches.iter().map(id_hashes).collect(),
            _ => Vec::new(),
        };
        let parts: Vec<&dyn Array> = match hashes.is_empty() {
            true => batches.iter().map(|batch| batch.column(self.place).as_ref()).collect(),
            false => hashes.iter().map(AsRef::as_ref).collect(),
        };
        let is_empty = parts.iter().all(|part| part.null_count() == part.len());
        for chunk in chunks {
            let rows = match chunk {
                _ if is_empty => new_null_array(field.data_type(), chunk.len()),
                Rows::Run { batch, from, rows } => parts[*batch].slice(*from, *rows),
                Rows::Places(places) => interleave(&parts, places)?,
            };
            for (leaf, values) in self.leaves.iter_mut().zip(compute_leaves(field, &rows)?) {
                leaf.write(&values)?;
            }
        }
        let close = |leaf: ArrowColumnWriter| leaf.close().map(Leaf::Other);
        self.leaves.into_iter().map(close).collect()
    }
}

/// The rows of a row group: in order, and batch by batch.
#[derive(Debug)]
pub struct Places {
    /// For each row, which of `batches` it is in, and where.
    rows: Vec<(u32, u32)>,
    /// Those that have rows here, by their numbers among all, and which of `order` are in each.
    batches: Vec<(usize, Range<usize>)>,
    /// The places of all rows, batch by batch.
    order: Vec<u32>,
}

impl Places {
    /// `rows` are of `batches` batches.
    fn of(rows: &[RowAt], batches: usize) -> Places {
        let mut counts = vec![0; batches];
        for row in rows {
            counts[row.batch as usize] += 1;
        }
        let (mut used, mut numbers, mut end) = (Vec::new(), vec![0; batches], 0);
        for (batch, count) in counts.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            numbers[batch] = used.len() as u32;
            used.push((batch, end..end + count));
            end += count;
        }
        let mut nexts: Vec<usize> = used.iter().map(|(_, range)| range.start).collect();
        let mut order = vec![0; rows.len()];
        for (place, row) in (0..).zip(rows) {
            let next = &mut nexts[numbers[row.batch as usize] as usize];
            order[*next] = place;
            *next += 1;
        }
        let rows = rows.iter().map(|row| (numbers[row.batch as usize], row.row)).collect();
        Places { rows, batches: used, order }
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    /// Which of the used batches a row is in, and where.
    #[inline(always)]
    fn at(&self, place: usize) -> (usize, usize) {
        let (batch, row) = self.rows[place];
        (batch as usize, row as usize)
    }

    /// The places of the rows of each batch that is used.
    fn by_batch(&self) -> impl Iterator<Item = &[u32]> {
        self.batches.iter().map(|(_, range)| &self.order[range.clone()])
    }
}

/// The [`ID_HASH`] of each row.
fn id_hashes(batch: &RecordBatch) -> ArrayRef {
    let ids = batch.column_by_name("eventid").expect("every table has eventid");
    let ids = ids.as_string::<i32>();
    Arc::new(ids.iter().map(|id| id.map(id_hash)).collect::<Int32Array>())
}

/// Rows that are gathered at a time.
enum Rows {
    /// Nothing has to be copied.
    Run {
        batch: usize,
        from: usize,
        rows: usize,
    },
    Places(Vec<(usize, usize)>),
}

impl Rows {
    fn of(rows: &[RowAt]) -> Rows {
        let places: Vec<_> =
            rows.iter().map(|row| (row.batch as usize, row.row as usize)).collect();
        match places.first() {
            Some(&(batch, from)) if (from..).zip(&places).all(|(row, at)| *at == (batch, row)) => {
                Rows::Run { batch, from, rows: places.len() }
            }
            _ => Rows::Places(places),
        }
    }

    fn len(&self) -> usize {
        match self {
            Rows::Run { rows, .. } => *rows,
            Rows::Places(places) => places.len(),
        }
    }
}

/// One batch of several, small ones.
pub fn joined(batches: &[RecordBatch]) -> Result<RecordBatch, arrow::error::ArrowError> {
    concat_batches(&batches[0].schema(), batches)
}

impl Effort {
    fn level(self) -> ZstdLevel {
        let level = match self {
            Effort::Quick => 1,
            Effort::Thorough => 6,
        };
        ZstdLevel::try_new(level).expect("zstd has these levels")
    }
}

fn properties(effort: Effort) -> WriterProperties {
    let frame = KeyValue::new(FRAME_KEY.to_owned(), FRAME_VALUES.to_string());
    let mut properties = WriterProperties::builder()
        .set_key_value_metadata(Some(vec![frame]))
        .set_compression(Compression::ZSTD(effort.level()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(WRITTEN_ROWS)
        // Pages of other columns are found by their row numbers; only the time is in order.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_statistics_enabled(ColumnPath::from("eventtime"), EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(64))
        .set_created_by(format!("{CREATOR}{}", env!("CARGO_PKG_VERSION")));
    // Times in order differ by little.
    let time = ColumnPath::from("eventtime");
    properties = properties
        .set_column_dictionary_enabled(time.clone(), false)
        .set_column_encoding(time.clone(), Encoding::DELTA_BINARY_PACKED)
        .set_column_data_page_size_limit(time, TIME_PAGE_BYTES);
    // Every value is another: a dictionary would only be given up after a megabyte of it.
    for unique in UNIQUE {
        let column = ColumnPath::from(unique);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            // One of them alone is often wanted.
            .set_column_data_page_size_limit(column, UNIQUE_PAGE_BYTES);
    }
    // Two bytes of each are like nothing else, and two are none.
    let hash = ColumnPath::from(ID_HASH);
    properties = properties
        .set_column_dictionary_enabled(hash.clone(), false)
        .set_column_encoding(hash, Encoding::BYTE_STREAM_SPLIT);
    for column in SEARCHED {
        // The filter shrinks to what it holds when the row group is written.
        let column = ColumnPath::new(column.split('.').map(str::to_owned).collect());
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column, ROW_GROUP_ROWS as u64);
    }
    properties.build()
}

#[cfg(test)]
mod tests;
