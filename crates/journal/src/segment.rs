//! A segment file, `{first_seq:020}.journal`.
//!
//! ```text
//!   0     header     magic(8) version(4) zero(4) first_seq(8) salt(8) crc32c(4)
//!   4096  the same header again, so that no single bad block takes the salt with it
//!   4160  frames, numbered densely from first_seq
//!         zeros (preallocated room) to the end of the file
//! ```
//!
//! There is no seal mark: **a segment is sealed when a newer one exists**. Its last number is then
//! the newer one's `first_seq − 1`, so a sealed segment that ends early is noticed. A new segment
//! gets its name only after its header is synced, and the first frame goes into it only after the
//! name is synced and every frame of the old one is: so only the newest can have a torn tail.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use durable::{Disk, DiskFile, temporary_beside};

use crate::frame::{u32_at, u64_at};

/// Where the first frame lies.
pub(crate) const FRAMES_START: u64 = 4160;

const HEADER_COPY_OFFSET: u64 = 4096;
const HEADER_BYTES: usize = 36;
const MAGIC: &[u8; 8] = b"cairnjnl";
const VERSION: u32 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub first_seq: u64,
    pub salt: u64,
}

#[derive(Debug)]
pub(crate) enum HeaderError {
    Damaged,
    /// Whole, but made by a newer Cairn.
    Version(u32),
    Io(io::Error),
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, HeaderError> {
        if &bytes[0..8] != MAGIC || crc32c::crc32c(&bytes[..32]) != u32_at(bytes, 32) {
            return Err(HeaderError::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Header { first_seq: u64_at(bytes, 16), salt: u64_at(bytes, 24) }),
            newer => Err(HeaderError::Version(newer)),
        }
    }

    /// Reads the header, or its copy when the first is damaged.
    pub fn read(file: &File) -> Result<Header, HeaderError> {
        let mut result = Err(HeaderError::Damaged);
        for offset in [0, HEADER_COPY_OFFSET] {
            let mut bytes = [0; HEADER_BYTES];
            result = match file.read_exact_at(&mut bytes, offset) {
                Ok(()) => Header::decode(&bytes),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(HeaderError::Damaged),
                Err(e) => Err(HeaderError::Io(e)),
            };
            if result.is_ok() {
                break;
            }
        }
        result
    }
}

/// Makes the segment that starts at `first_seq`, with room for `file_bytes`, durable with its name.
/// An empty segment of the same number is replaced.
pub(crate) fn create(
    disk: &dyn Disk,
    folder: &Path,
    first_seq: u64,
    file_bytes: u64,
) -> io::Result<(Header, Box<dyn DiskFile>)> {
    let path = folder.join(name(first_seq));
    let temporary = temporary_beside(&path);
    let header = Header { first_seq, salt: RandomState::new().hash_one(first_seq) };
    let made: io::Result<Box<dyn DiskFile>> = (|| {
        let mut file = disk.create_new(&temporary, 0o600)?;
        file.preallocate(file_bytes)?;
        write_header(file.as_mut(), header)?;
        file.sync_data()?;
        disk.rename(&temporary, &path)?;
        Ok(file)
    })();
    if made.is_err() {
        let _ = disk.remove_file(&temporary);
    }
    let file = made?;
    disk.sync_dir(folder)?;
    Ok((header, file))
}

/// Writes both copies; durable after the next sync.
pub(crate) fn write_header(file: &mut dyn DiskFile, header: Header) -> io::Result<()> {
    for offset in [0, HEADER_COPY_OFFSET] {
        file.write_all_at(&header.encode(), offset)?;
    }
    Ok(())
}

pub(crate) fn name(first_seq: u64) -> String {
    format!("{first_seq:020}.journal")
}

/// The number in a segment's file name; `None` for every other file.
pub(crate) fn first_seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let whole = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if whole { digits.parse().ok() } else { None }
}

/// Where a damaged segment is kept for people to look at.
pub(crate) fn quarantine_of(segment: &Path) -> PathBuf {
    segment.with_extension("journal.damaged")
}
