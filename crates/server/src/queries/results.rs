//! The file in which a query's result is kept: `DATA/queries/ID.rows`.
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
//! part of the result is read without the rest. See docs/formats/query-results.md.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
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

/// Takes rows as they come. Only [`ResultsWriter::finish`] makes a result of them.
#[derive(Debug)]
pub struct ResultsWriter {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// None while a write is under way, and after one was cut off.
    file: Option<Box<dyn DiskFile>>,
    offset: u64,
    page: Vec<u8>,
    page_rows: u32,
    index: Vec<Entry>,
    rows: u64,
    plain_bytes: u64,
    plain_bytes_max: u64,
}

impl ResultsWriter {
    /// Begins the file of a result. `plain_bytes_max` bounds the rows as JSON.
    pub async fn create(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        columns: &[String],
        plain_bytes_max: u64,
    ) -> Result<ResultsWriter, ResultsFault> {
        let names = serde_json::to_vec(columns).expect("a list of texts is always JSON");
        let mut header = Vec::with_capacity(HEADER_BYTES + names.len());
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&length(names.len()).to_le_bytes());
        header.extend_from_slice(&crc32c::crc32c(&names).to_le_bytes());
        header.extend_from_slice(&names);
        let offset = header.len() as u64;
        let (on, temporary) = (disk.clone(), temporary(&path));
        let file = blocking("begin results", &path, move || {
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
        .await?;
        Ok(ResultsWriter {
            disk,
            path,
            file: Some(file),
            offset,
            page: Vec::new(),
            page_rows: 0,
            index: Vec::new(),
            rows: 0,
            plain_bytes: 0,
            plain_bytes_max,
        })
    }

    /// Rows taken so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    async fn close_page(&mut self) -> Result<(), ResultsFault> {
        if self.page_rows == 0 {
            return Ok(());
        }
        let Some(mut file) = self.file.take() else {
            return Err(ResultsFault::Damaged {
                path: self.path.clone(),
                detail: "an earlier write was cut off",
            });
        };
        let page = std::mem::take(&mut self.page);
        let (plain_len, rows) = (length(page.len()), std::mem::take(&mut self.page_rows));
        let offset = self.offset;
        let (file, len, crc) = blocking("write results", &self.path, move || {
            let frame = zstd::bulk::compress(&page, 1)?;
            file.write_all_at(&frame, offset)?;
            Ok((file, length(frame.len()), crc32c::crc32c(&frame)))
        })
        .await?;
        self.file = Some(file);
        self.offset += u64::from(len);
        self.index.push(Entry { offset, len, plain_len, rows, crc });
        Ok(())
    }

    /// Makes the result durable and gives it its name.
    pub async fn finish(mut self) -> Result<(), ResultsFault> {
        self.close_page().await?;
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
        let Some(mut file) = self.file.take() else {
            return Err(ResultsFault::Damaged {
                path: self.path.clone(),
                detail: "an earlier write was cut off",
            });
        };
        let (disk, path, offset) = (self.disk.clone(), self.path.clone(), self.offset);
        blocking("finish results", &self.path, move || {
            file.write_all_at(&tail, offset)?;
            file.sync_data()?;
            drop(file);
            disk.rename(&temporary(&path), &path)?;
            disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
        })
        .await
    }

    /// Gives up what was written.
    pub async fn discard(self) {
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

/// A result that is whole. Reading blocks.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    columns: Vec<String>,
    index: Vec<Entry>,
}

impl Results {
    /// `Ok(None)` if there is none.
    pub fn open(path: &Path) -> Result<Option<Results>, ResultsFault> {
        let failed =
            |source| ResultsFault::File { step: "read results", path: path.to_owned(), source };
        let damaged = |detail| ResultsFault::Damaged { path: path.to_owned(), detail };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let len = file.metadata().map_err(failed)?.len();
        if len < (HEADER_BYTES + TRAILER_BYTES) as u64 {
            return Err(damaged("it is too short"));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact(&mut header).map_err(failed)?;
        if &header[..8] != MAGIC || u32_at(&header, 8) != VERSION {
            return Err(damaged("its first bytes are not those of results"));
        }
        let columns_len = u32_at(&header, 12);
        if columns_len > COLUMNS_BYTES_MAX || u64::from(columns_len) > len {
            return Err(damaged("its columns are longer than itself"));
        }
        let mut names = vec![0; columns_len as usize];
        file.read_exact(&mut names).map_err(failed)?;
        if crc32c::crc32c(&names) != u32_at(&header, 16) {
            return Err(damaged("the checksum of its columns is wrong"));
        }
        let columns = serde_json::from_slice(&names)
            .map_err(|_| damaged("its columns are no list of texts"))?;

        let mut trailer = [0; TRAILER_BYTES];
        file.seek(SeekFrom::End(-(TRAILER_BYTES as i64))).map_err(failed)?;
        file.read_exact(&mut trailer).map_err(failed)?;
        let (index_offset, pages) = (u64_at(&trailer, 0), u32_at(&trailer, 8) as usize);
        let index_len = pages.checked_mul(ENTRY_BYTES).filter(|index_len| {
            index_offset.checked_add((index_len + TRAILER_BYTES) as u64) == Some(len)
        });
        let Some(index_len) = index_len.filter(|_| &trailer[16..] == END_MAGIC) else {
            return Err(damaged("its last bytes are not those of results"));
        };
        let mut bytes = vec![0; index_len];
        file.seek(SeekFrom::Start(index_offset)).map_err(failed)?;
        file.read_exact(&mut bytes).map_err(failed)?;
        if crc32c::crc32c(&bytes) != u32_at(&trailer, 12) {
            return Err(damaged("the checksum of its index is wrong"));
        }
        let index = bytes
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| Entry {
                offset: u64_at(entry, 0),
                len: u32_at(entry, 8),
                plain_len: u32_at(entry, 12),
                rows: u32_at(entry, 16),
                crc: u32_at(entry, 20),
            })
            .collect();
        Ok(Some(Results { path: path.to_owned(), file, columns, index }))
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
        self.file.seek(SeekFrom::Start(entry.offset)).map_err(failed)?;
        self.file.read_exact(&mut frame).map_err(failed)?;
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
