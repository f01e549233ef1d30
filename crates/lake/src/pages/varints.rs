//! Numbers of as many bytes as they need: seven bits in each, the lowest first.

use parquet::errors::Result;

use super::cut_short;

/// Reads from front to back.
#[derive(Debug)]
pub struct Varints<'a> {
    pub rest: &'a [u8],
}

impl Varints<'_> {
    pub fn byte(&mut self) -> Result<u8> {
        let (byte, rest) = self.rest.split_first().ok_or_else(cut_short)?;
        self.rest = rest;
        Ok(*byte)
    }

    pub fn unsigned(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(cut_short())
    }

    /// Zigzag: 0, -1, 1, -2 …
    pub fn signed(&mut self) -> Result<i64> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}
