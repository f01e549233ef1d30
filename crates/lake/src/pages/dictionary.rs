//! The distinct values of a leaf, by their codes.
//!
//! ```text
//!   page     frame     frame     frame …      each with as many values, but the last
//!   wanted               ▲ code 1500
//! ```
//! Files of ours have dictionaries in frames ([`crate::table::write::chunk`]), which are decompressed when
//! a value of theirs is wanted. Others are one frame.

use std::sync::OnceLock;

use arrow::array::StringArray;
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::Result;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::cut_short;
use super::header::Header;
use super::unpacked::unpacked;
use super::values::{Plain, Width};

#[derive(Debug)]
pub struct Dictionary {
    frames: Vec<Frame>,
    /// Of each frame, but the last.
    frame_values: usize,
    values: usize,
    compression: Compression,
    width: Width,
    memory: usize,
    array: OnceLock<StringArray>,
}

#[derive(Debug)]
struct Frame {
    stored: Bytes,
    bytes: usize,
    read: OnceLock<Read>,
}

#[derive(Debug)]
struct Read {
    bytes: Bytes,
    /// Where each value begins and ends.
    values: Vec<(u32, u32)>,
}

impl Dictionary {
    /// A dictionary whose page, as it is stored, has this header. `frame_values`: how many values a frame
    /// has, if it is in frames.
    pub fn new(
        header: &Header,
        stored: &[u8],
        compression: Compression,
        width: Width,
        frame_values: Option<usize>,
    ) -> Result<Dictionary> {
        // What a damaged header says must not become memory.
        let least = if width == Width::Eight { 8 } else { 4 };
        if header.count > header.bytes / least {
            return Err(cut_short());
        }
        // What is read is often a part of something larger, which would be kept with it.
        let stored = Bytes::copy_from_slice(stored);
        let memory = stored.len() + header.bytes + header.count * size_of::<(u32, u32)>();
        let framed = match (frame_values, compression) {
            (Some(frame_values), Compression::ZSTD(_)) => frames(&stored, header)?
                .filter(|frames| frames.len() == header.count.div_ceil(frame_values).max(1)),
            _ => None,
        };
        let (frames, frame_values) = match (framed, frame_values) {
            (Some(frames), Some(frame_values)) => (frames, frame_values),
            _ => {
                let frame = Frame { stored, bytes: header.bytes, read: OnceLock::new() };
                (vec![frame], header.count.max(1))
            }
        };
        let (values, array) = (header.count, OnceLock::new());
        Ok(Dictionary { frames, frame_values, values, compression, width, memory, array })
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.values
    }

    /// How much memory it takes once all of it has been read, about.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The value of a code.
    #[inline]
    pub fn value(&self, code: u32) -> Result<&[u8]> {
        let code = code as usize;
        let number = code / self.frame_values;
        let read = match self.frames.get(number).and_then(|frame| frame.read.get()) {
            Some(read) => read,
            None => self.frame(number)?,
        };
        let (begin, end) = read.values.get(code % self.frame_values).ok_or_else(cut_short)?;
        Ok(&read.bytes[*begin as usize..*end as usize])
    }

    /// A frame whose values nobody has wanted yet.
    #[cold]
    fn frame(&self, number: usize) -> Result<&Read> {
        let frame = self.frames.get(number).ok_or_else(cut_short)?;
        let bytes = unpacked(frame.stored.clone(), self.compression, frame.bytes)?;
        let count = (self.values - number * self.frame_values).min(self.frame_values);
        let mut values = Vec::with_capacity(count.min(bytes.len()));
        let mut plain = Plain::new(&bytes, self.width);
        for _ in 0..count {
            plain.skip()?;
            values.push(plain.place());
        }
        Ok(frame.read.get_or_init(|| Read { bytes, values }))
    }

    /// The codes whose values pass.
    pub fn codes_of(&self, is_wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<bool>> {
        (0..self.values as u32).map(|code| Ok(is_wanted(self.value(code)?))).collect()
    }

    /// All values, which are texts; made when it is first asked for.
    pub fn array(&self) -> Result<&StringArray> {
        if let Some(array) = self.array.get() {
            return Ok(array);
        }
        let mut bytes = Vec::with_capacity(self.frames.iter().map(|frame| frame.bytes).sum());
        let mut offsets = Vec::with_capacity(self.values + 1);
        offsets.push(0);
        for code in 0..self.values as u32 {
            bytes.extend_from_slice(self.value(code)?);
            offsets.push(i32::try_from(bytes.len())?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = StringArray::try_new(offsets, bytes.into(), None)?;
        Ok(self.array.get_or_init(|| array))
    }
}

/// The zstd frames of a page; `None` if they do not say how long they are.
fn frames(stored: &Bytes, header: &Header) -> Result<Option<Vec<Frame>>> {
    let (mut frames, mut begin, mut all) = (Vec::new(), 0, 0_u64);
    while begin < stored.len() {
        let rest = &stored[begin..];
        let len = find_frame_compressed_size(rest).map_err(|_| cut_short())?;
        let Ok(Some(bytes)) = get_frame_content_size(rest) else { return Ok(None) };
        all = all.saturating_add(bytes);
        // What a damaged frame says must not become memory.
        if len == 0 || all > header.bytes as u64 {
            return Err(cut_short());
        }
        let stored = stored.slice(begin..begin + len);
        frames.push(Frame { stored, bytes: bytes as usize, read: OnceLock::new() });
        begin += len;
    }
    match all == header.bytes as u64 {
        true => Ok(Some(frames)),
        false => Err(cut_short()),
    }
}
