//! What a page's bytes are once they are decompressed.

use std::cell::RefCell;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use zstd::bulk::Decompressor;

use super::cut_short;

thread_local! {
    /// Making one takes longer than most pages.
    static ZSTD: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Decompresses what was `len` bytes. Snappy is what other engines rewrite files with.
pub fn unpacked(stored: Bytes, compression: Compression, len: usize) -> Result<Bytes> {
    let found = match compression {
        Compression::UNCOMPRESSED => return Ok(stored),
        Compression::ZSTD(_) => ZSTD.with_borrow_mut(|known| {
            let zstd = match known {
                Some(zstd) => zstd,
                None => known.insert(Decompressor::new()?),
            };
            zstd.decompress(&stored, len)
        }),
        Compression::SNAPPY => {
            let found = snap::raw::Decoder::new().decompress_vec(&stored);
            found.map_err(std::io::Error::from)
        }
        other => return Err(ParquetError::NYI(format!("pages compressed by {other}"))),
    };
    let found = found.map_err(|error| ParquetError::External(Box::new(error)))?;
    match found.len() == len {
        true => Ok(found.into()),
        false => Err(cut_short()),
    }
}
