//! How a query's result is kept: in the catalog while it is small, else in the file `DATA/queries/ID.rows`.
//!
//! ```text
//!   header    magic "CAIRNROW" | version u32 | columns_len u32 | columns_crc32c u32 | columns: JSON, a list of texts
//!   page      one zstd frame; within it rows, each a JSON list of text or null, and "\n"
//!   …
//!   index     for each page: offset u64 | len u32 | plain_len u32 | rows u32 | crc32c u32 of the frame
//!   trailer   index_offset u64 | pages u32 | index_crc32c u32 | magic "CAIRNEND"
//! ```
//! Numbers are little endian. The file is written as `ID.rows.tmp` and gets its name once it is
//! whole and synced: a file with its name has a trailer. A page holds about [`PAGE_BYTES`], so any
//! part of the result is read without the rest. What lies in the catalog are the bytes of such a file.
//! See docs/formats/query-results.md.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use durable::{Disk, DiskFile};

use crate::lake::{QueryFault, Rows};

const MAGIC: &[u8; 8] = b"CAIRNROW";
const END_MAGIC: &[u8; 8] = b"CAIRNEND";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 20;
const ENTRY_BYTES: usize = 24;
const TRAILER_BYTES: usize = 24;
/// A page is closed when its rows, as JSON, reach this, or this many rows.
const PAGE_BYTES: usize = 256 << 10;
const PAGE_ROWS_MAX: u32 = 1000;
/// A result whose only page, as JSON, has no more than this is small.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Column names of one query; more is damage.
const COLUMNS_BYTES_MAX: u32 = 16 << 20;
/// AWS's words (API reference, StartQuery's failures).
pub const TOO_LARGE: &str = "Query response is too large";

/// A value is text, NULL is `None`.
pub type Row = Vec<Option<String>>;

/// Why a result cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsFault {
    #[error("{step} {path}")]
    File {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is not what was written: {detail}")]
    Damaged { path: PathBuf, detail: &'static str },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: u64,
    len: u32,
    plain_len: u32,
    rows: u32,
    crc: u32,
}

/// Where a result is written to.
#[derive(Debug)]
enum Place {
    /// No page is closed yet.
    Memory,
    File(Box<dyn DiskFile>),
    /// A write is under way, or was cut off.
    Away,
}

/// Takes rows as they come. Only [`ResultsWriter::finish`] makes a result of them.
#[derive(Debug)]
pub struct ResultsWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    header: Vec<u8>,
    file: Place,
    offset: u64,
    page: Vec<u8>,
    page_rows: u32,
    index: Vec<Entry>,
    rows: u64,
    plain_bytes: u64,
    plain_bytes_max: u64,
}

impl ResultsWriter {
    /// Begins a result. `path` is that of its file; `plain_bytes_max` bounds the rows as JSON.
    pub fn new(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        columns: &[String],
        plain_bytes_max: u64,
    ) -> ResultsWriter {
        let names = serde_json::to_vec(columns).expect("a list of texts is always JSON");
        let mut header = Vec::with_capacity(HEADER_BYTES + names.len());
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&length(names.len()).to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&names).to_le_bytes());
        header.extend_from_slice(&names);
        ResultsWriter {
            disk,
            path,
            offset: header.len() as u64,
            header,
            file: Place::Memory,
            page: Vec::new(),
            page_rows: 0,
            index: Vec::new(),
            rows: 0,
            plain_bytes: 0,
            plain_bytes_max,
        }
    }

    /// The file, which is begun if it has not been. Until it is given back, this writer is of no use.
    async fn take_file(&mut self) -> Result<Box<dyn DiskFile>, ResultsFault> {
        match std::mem::replace(&mut self.file, Place::Away) {
            Place::File(file) => Ok(file),
            Place::Memory => {
                let (on, header) = (self.disk.clone(), self.header.clone());
                let temporary = temporary(&self.path);
                blocking("begin results", &self.path, move || {
                    if let Some(folder) = temporary.parent() {
                        on.create_dir_all(folder)?;
                    }
                    // An earlier run of this query may have left one.
                    match on.remove_file(&temporary) {
                        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                        _ => {}
                    }
                    let mut file = on.create_new(&temporary, 0o600)?;
                    file.write_all_at(&header, 0)?;
                    Ok(file)
                })
                .await
            }
            Place::Away => Err(ResultsFault::Damaged {
                path: self.path.clone(),
                detail: "an earlier write was cut off",
            }),
        }
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    async fn close_page(&mut self) -> Result<(), ResultsFault> {
        if self.page_rows == 0 {
            return Ok(());
        }
        let mut file = self.take_file().await?;
        let page = std::mem::take(&mut self.page);
        let (plain_len, rows) = (length(page.len()), std::mem::take(&mut self.page_rows));
        let offset = self.offset;
        let (file, len, crc) = blocking("write results", &self.path, move || {
            let frame = zstd::bulk::compress(&page, 1)?;
            file.write_all_at(&frame, offset)?;
            Ok((file, length(frame.len()), crc32c::crc32c(&frame)))
        })
        .await?;
        self.file = Place::File(file);
        self.enter(len, plain_len, rows, crc);
        Ok(())
    }

    fn enter(&mut self, len: u32, plain_len: u32, rows: u32, crc: u32) {
        self.index.push(Entry { offset: self.offset, len, plain_len, rows, crc });
        self.offset += u64::from(len);
    }

    /// What comes behind the pages.
    fn tail(&self) -> Vec<u8> {
        let mut tail = Vec::with_capacity(self.index.len() * ENTRY_BYTES + TRAILER_BYTES);
        for entry in &self.index {
            tail.extend_from_slice(&entry.offset.to_le_bytes());
            for number in [entry.len, entry.plain_len, entry.rows, entry.crc] {
                tail.extend_from_slice(&number.to_le_bytes());
            }
        }
        let crc = crc32c::crc32c(&tail);
        tail.extend_from_slice(&self.offset.to_le_bytes());
        tail.extend_from_slice(&length(self.index.len()).to_le_bytes());
        tail.extend_from_slice(&crc.to_le_bytes());
        tail.extend_from_slice(END_MAGIC);
        tail
    }

    /// A small result is answered: whoever has it makes it durable. Any other is durable when this
    /// returns, and has its name.
    pub async fn finish(mut self) -> Result<Option<Vec<u8>>, ResultsFault> {
        if matches!(self.file, Place::Memory) && self.page.len() <= SMALL_BYTES_MAX {
            return self.small().map(Some);
        }
        self.close_page().await?;
        let mut file = self.take_file().await?;
        let tail = self.tail();
        let (disk, path, offset) = (self.disk.clone(), self.path.clone(), self.offset);
        let finished = blocking("finish results", &self.path, move || {
            file.write_all_at(&tail, offset)?;
            file.sync_data()?;
            drop(file);
            disk.rename(&temporary(&path), &path)?;
            disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
        });
        finished.await.map(|()| None)
    }

    fn small(&mut self) -> Result<Vec<u8>, ResultsFault> {
        let mut bytes = std::mem::take(&mut self.header);
        if self.page_rows > 0 {
            let compressed = zstd::bulk::compress(&self.page, 1);
            let frame = compressed.map_err(|source| ResultsFault::File {
                step: "pack results",
                path: self.path.clone(),
                source,
            })?;
            bytes.extend_from_slice(&frame);
            let crc = crc32c::crc32c(&frame);
            self.enter(length(frame.len()), length(self.page.len()), self.page_rows, crc);
        }
        bytes.extend(self.tail());
        Ok(bytes)
    }

    /// Gives up what was written.
    pub async fn discard(self) {
        if matches!(self.file, Place::Memory) {
            return;
        }
        let (disk, path) = (self.disk.clone(), temporary(&self.path));
        let removed = tokio::task::spawn_blocking(move || disk.remove_file(&path)).await;
        if let Ok(Err(error)) = removed {
            // The next start removes it.
            tracing::debug!(%error, "the rows of a failed query are left behind");
        }
    }
}

#[async_trait]
impl Rows for ResultsWriter {
    async fn take(&mut self, rows: Vec<Row>) -> Result<(), QueryFault> {
        for row in rows {
            let before = self.page.len();
            serde_json::to_writer(&mut self.page, &row)
                .map_err(|e| QueryFault::Sink(e.to_string()))?;
            self.page.push(b'\n');
            self.plain_bytes += (self.page.len() - before) as u64;
            if self.plain_bytes > self.plain_bytes_max {
                // What came before stays readable for a query that is not failed by this.
                return Err(QueryFault::Sink(TOO_LARGE.to_owned()));
            }
            self.page_rows += 1;
            self.rows += 1;
            if self.page.len() >= PAGE_BYTES || self.page_rows >= PAGE_ROWS_MAX {
                self.close_page().await.map_err(|fault| {
                    tracing::warn!(error = &fault as &dyn std::error::Error, "results not kept");
                    let full = matches!(&fault, ResultsFault::File { source, .. } if durable::is_disk_full(source));
                    QueryFault::Sink(match full {
                        true => "No space is left to keep the query's results.".to_owned(),
                        false => "The query's results could not be kept.".to_owned(),
                    })
                })?;
            }
        }
        Ok(())
    }
}

/// Where a result lies.
#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Cursor<Vec<u8>>),
}

impl Bytes {
    /// Fills `to` with what lies at `at`.
    fn read(&mut self, at: SeekFrom, to: &mut [u8]) -> io::Result<()> {
        match self {
            Bytes::File(file) => {
                file.seek(at)?;
                file.read_exact(to)
            }
            Bytes::Memory(bytes) => {
                bytes.seek(at)?;
                bytes.read_exact(to)
            }
        }
    }
}

/// A result that is whole. Reading a file blocks.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    bytes: Bytes,
    columns: Vec<String>,
    index: Vec<Entry>,
}

impl Results {
    /// The result in a file; `Ok(None)` if there is none.
    pub fn open(path: &Path) -> Result<Option<Results>, ResultsFault> {
        let failed =
            |source| ResultsFault::File { step: "read results", path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let len = file.metadata().map_err(failed)?.len();
        Results::read(path, Bytes::File(file), len).map(Some)
    }

    /// A small result. `path` is where its file would be, and names it.
    pub fn of(path: &Path, bytes: Vec<u8>) -> Result<Results, ResultsFault> {
        let len = bytes.len() as u64;
        Results::read(path, Bytes::Memory(Cursor::new(bytes)), len)
    }

    fn read(path: &Path, mut bytes: Bytes, len: u64) -> Result<Results, ResultsFault> {
        let failed =
            |source| ResultsFault::File { step: "read results", path: path.to_owned(), source };
        let damaged = |detail| ResultsFault::Damaged { path: path.to_owned(), detail };
        if len < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(damaged("it is too short"));
        }
        let mut header = [0; HEADER_BYTES];
        bytes.read(SeekFrom::Start(0), &mut header).map_err(failed)?;
        if &header[..8] != MAGIC || u32_at(&header, 8) != VERSION {
            return Err(damaged("its first bytes are not those of results"));
        }
        let columns_len = u32_at(&header, 12);
        if columns_len > COLUMNS_BYTES_MAX || u64::from(columns_len) > len {
            return Err(damaged("its columns are longer than itself"));
        }
        let mut names = vec![0; columns_len as usize];
        bytes.read(SeekFrom::Start(HEADER_BYTES as u64), &mut names).map_err(failed)?;
        if crc32c::crc32c(&names) != u32_at(&header, 16) {
            return Err(damaged("the checksum of its columns is wrong"));
        }
        let columns = serde_json::from_slice(&names)
            .map_err(|_| damaged("its columns are no list of texts"))?;

        let mut trailer = [0; TRAILER_BYTES];
        bytes.read(SeekFrom::End(-(TRAILER_BYTES as i64)), &mut trailer).map_err(failed)?;
        let (index_offset, pages) = (u64_at(&trailer, 0), u32_at(&trailer, 8) as usize);
        let index_len = pages.checked_mul(ENTRY_BYTES).filter(|index_len| {
            index_offset.checked_add((index_len + TRAILER_BYTES) as u64) == Some(len)
        });
        let Some(index_len) = index_len.filter(|_| &trailer[16..] == END_MAGIC) else {
            return Err(damaged("its last bytes are not those of results"));
        };
        let mut index = vec![0; index_len];
        bytes.read(SeekFrom::Start(index_offset), &mut index).map_err(failed)?;
        if crc32c::crc32c(&index) != u32_at(&trailer, 12) {
            return Err(damaged("the checksum of its index is wrong"));
        }
        let index = index
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| Entry {
                offset: u64_at(entry, 0),
                len: u32_at(entry, 8),
                plain_len: u32_at(entry, 12),
                rows: u32_at(entry, 16),
                crc: u32_at(entry, 20),
            })
            .collect();
        Ok(Results { path: path.to_owned(), bytes, columns, index })
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    pub fn row_count(&self) -> u64 {
        self.index.iter().map(|entry| u64::from(entry.rows)).sum()
    }

    /// Rows from number `from` on, counted from 0: at most `rows_max`, and no more than fit
    /// `bytes_max` but always one if there is one.
    pub fn rows(
        &mut self,
        from: u64,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Row>, ResultsFault> {
        let mut rows = Vec::new();
        let (mut first, mut bytes) = (0, 0);
        for place in 0..self.index.len() {
            let count = u64::from(self.index[place].rows);
            let skipped = from.saturating_sub(first);
            first += count;
            if skipped >= count {
                continue;
            }
            let page = self.page(place)?;
            let lines = page.split(|byte| *byte == b'\n').skip(skipped as usize);
            for line in lines.filter(|line| !line.is_empty()) {
                bytes += line.len();
                if rows.len() == rows_max || (bytes > bytes_max && !rows.is_empty()) {
                    return Ok(rows);
                }
                let row = serde_json::from_slice(line).map_err(|_| ResultsFault::Damaged {
                    path: self.path.clone(),
                    detail: "a row is no list of values",
                })?;
                rows.push(row);
            }
        }
        Ok(rows)
    }

    /// How many pages there are.
    pub fn page_count(&self) -> usize {
        self.index.len()
    }

    /// All rows of one page, counted from 0.
    pub fn page_rows(&mut self, place: usize) -> Result<Vec<Row>, ResultsFault> {
        let page = self.page(place)?;
        let lines = page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                serde_json::from_slice(line).map_err(|_| ResultsFault::Damaged {
                    path: self.path.clone(),
                    detail: "a row is no list of values",
                })
            })
            .collect()
    }

    /// The text of a page.
    fn page(&mut self, place: usize) -> Result<Vec<u8>, ResultsFault> {
        let entry = self.index[place];
        let failed =
            |source| ResultsFault::File { step: "read results", path: self.path.clone(), source };
        let mut frame = vec![0; entry.len as usize];
        self.bytes.read(SeekFrom::Start(entry.offset), &mut frame).map_err(failed)?;
        if crc32c::crc32c(&frame) != entry.crc {
            return Err(ResultsFault::Damaged {
                path: self.path.clone(),
                detail: "the checksum of a page is wrong",
            });
        }
        zstd::bulk::decompress(&frame, entry.plain_len as usize).map_err(failed)
    }
}

/// Where a result is written before it is whole.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

async fn blocking<T: Send + 'static>(
    step: &'static str,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ResultsFault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(|source| ResultsFault::File {
        step,
        path: path.to_owned(),
        source,
    })
}

/// Pages and their parts stay far below 4 GB.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a page is closed long before it has 4 GB")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests;
