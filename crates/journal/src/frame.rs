//! One entry on disk.
//!
//! ```text
//!   len(4) crc32c(4) seq(8) payload(len)          little endian
//!
//!   len      payload bytes; its top bit is set on the first frame of a write group
//!   crc32c   over payload, len, seq and the segment's salt, in this order
//! ```
//!
//! The payload comes first in the checksum so that the request's own task can do it; the writer
//! only folds in the 20 bytes it alone knows. A *write group* is what went to disk with one sync.
//! Group *n* is durable before a byte of group *n + 1* is written, so damage before the start of a
//! later group cannot be a torn write.
//!
//! The salt is random for each segment. It keeps bytes that merely look like a frame (inside a
//! payload, or from a file that used these blocks before) from being taken for one.

use std::ops::Range;

pub(crate) const FRAME_HEADER_BYTES: usize = 16;

/// The longest payload of one entry.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;

const STARTS_GROUP: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub seq: u64,
    pub payload_bytes: usize,
    pub starts_group: bool,
}

impl Frame {
    pub fn bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload_bytes
    }

    /// Where the payload lies, counted from the start of the frame.
    pub fn payload(&self) -> Range<usize> {
        FRAME_HEADER_BYTES..self.bytes()
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Frame(Frame),
    /// It may be a frame, but it takes this many bytes to tell.
    Short(usize),
    Bad,
}

/// Adds a frame without its number and returns its payload bytes.
pub(crate) fn push(frames: &mut Vec<u8>, parts: &[&[u8]]) -> usize {
    let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
    frames.reserve(FRAME_HEADER_BYTES + payload_bytes);
    let start = frames.len();
    frames.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    for part in parts {
        frames.extend_from_slice(part);
    }
    let crc = crc32c::crc32c(&frames[start + FRAME_HEADER_BYTES..]);
    // A length that does not fit is far above ENTRY_BYTES_MAX; such a batch is never written.
    let len = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
    frames[start..start + 4].copy_from_slice(&len.to_le_bytes());
    frames[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    payload_bytes
}

/// Gives the frames of a batch their numbers and final checksums; once only, because the final
/// checksum takes the place of the payload's.
pub(crate) fn number(frames: &mut [u8], first_seq: u64, salt: u64, starts_group: bool) {
    let (mut at, mut seq, mut starts_group) = (0, first_seq, starts_group);
    while at < frames.len() {
        let header = &mut frames[at..at + FRAME_HEADER_BYTES];
        let payload_bytes = u32_at(header, 0);
        let len = if starts_group { payload_bytes | STARTS_GROUP } else { payload_bytes };
        let crc = fold(u32_at(header, 4), len, seq, salt);
        header[0..4].copy_from_slice(&len.to_le_bytes());
        header[4..8].copy_from_slice(&crc.to_le_bytes());
        header[8..16].copy_from_slice(&seq.to_le_bytes());
        at += FRAME_HEADER_BYTES + payload_bytes as usize;
        seq += 1;
        starts_group = false;
    }
}

/// Looks at the start of `bytes`.
pub(crate) fn read(bytes: &[u8], salt: u64) -> Read {
    if bytes.len() < FRAME_HEADER_BYTES {
        return Read::Short(FRAME_HEADER_BYTES);
    }
    let len = u32_at(bytes, 0);
    let payload_bytes = (len & !STARTS_GROUP) as usize;
    let seq = u64_at(bytes, 8);
    // Numbers start at 1: zeros are not a frame.
    if payload_bytes > ENTRY_BYTES_MAX || seq == 0 {
        return Read::Bad;
    }
    let frame = Frame { seq, payload_bytes, starts_group: len & STARTS_GROUP != 0 };
    if bytes.len() < frame.bytes() {
        return Read::Short(frame.bytes());
    }
    let crc = fold(crc32c::crc32c(&bytes[frame.payload()]), len, seq, salt);
    if crc == u32_at(bytes, 4) { Read::Frame(frame) } else { Read::Bad }
}

/// The first good frame after the start of `bytes`, where a bad one lies that should have had the
/// number `expected`. The frames lost between take at least a header each, which bounds the number
/// the next one can have and makes the search cheap.
pub(crate) fn find_next(bytes: &[u8], expected: u64, salt: u64) -> Option<(usize, Frame)> {
    for at in 1..=bytes.len().checked_sub(FRAME_HEADER_BYTES)? {
        let lost_max = (at / FRAME_HEADER_BYTES) as u64;
        let lost = u64_at(bytes, at + 8).wrapping_sub(expected);
        if lost == 0 || lost > lost_max {
            continue;
        }
        if let Read::Frame(frame) = read(&bytes[at..], salt) {
            return Some((at, frame));
        }
    }
    None
}

fn fold(payload_crc: u32, len: u32, seq: u64, salt: u64) -> u32 {
    let mut rest = [0; 20];
    rest[0..4].copy_from_slice(&len.to_le_bytes());
    rest[4..12].copy_from_slice(&seq.to_le_bytes());
    rest[12..20].copy_from_slice(&salt.to_le_bytes());
    crc32c::crc32c_append(payload_crc, &rest)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were cut out"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were cut out"))
}
