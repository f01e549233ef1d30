//! What stands before each page: a struct in Thrift's compact protocol (parquet-format,
//! `PageHeader`), of which the fields are read that reading a page needs.

use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};

use super::cut_short;
use super::varints::Varints;

/// Structs in structs; the format has three.
const DEPTH_MAX: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dictionary,
    Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Bytes behind the header.
    pub stored: usize,
    /// The same once they are decompressed.
    pub bytes: usize,
    /// Values of a dictionary; places of a page, nulls counted.
    pub count: usize,
    pub encoding: Encoding,
}

/// The header at the beginning of `bytes`, and where it ends.
pub fn header(bytes: &[u8]) -> Result<(Header, usize)> {
    let mut thrift = Varints { rest: bytes };
    let (mut kind, mut stored, mut len, mut of_page) = (None, None, None, None);
    let mut id = 0;
    while let Some(field) = thrift.field(&mut id)? {
        match (id, field) {
            (1, INT) => kind = Some(thrift.signed()?),
            (2, INT) => len = Some(thrift.size()?),
            (3, INT) => stored = Some(thrift.size()?),
            (5 | 7, STRUCT) => of_page = Some(thrift.count_and_encoding()?),
            _ => thrift.skip(field, 0)?,
        }
    }
    let kind = match kind {
        Some(0) => Kind::Values,
        Some(2) => Kind::Dictionary,
        Some(3) => return Err(ParquetError::NYI("pages of the second version".to_owned())),
        _ => return Err(ParquetError::General("a page of an unknown kind".to_owned())),
    };
    let missing = || ParquetError::General("a page's header is incomplete".to_owned());
    let (count, encoding) = of_page.ok_or_else(missing)?;
    let header = Header {
        kind,
        stored: stored.ok_or_else(missing)?,
        bytes: len.ok_or_else(missing)?,
        count,
        encoding: encoding_of(encoding)?,
    };
    Ok((header, bytes.len() - thrift.rest.len()))
}

fn encoding_of(number: i64) -> Result<Encoding> {
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        other => return Err(ParquetError::General(format!("a page of unknown encoding {other}"))),
    })
}

// Types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const SHORT: u8 = 4;
const INT: u8 = 5;
const LONG: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

impl Varints<'_> {
    fn size(&mut self) -> Result<usize> {
        usize::try_from(self.signed()?).map_err(|_| cut_short())
    }

    /// The type of the next field, whose number becomes `id`; `None` at the end of the struct.
    fn field(&mut self, id: &mut i64) -> Result<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        *id = match byte >> 4 {
            0 => self.signed()?,
            step => *id + i64::from(step),
        };
        Ok(Some(byte & 0xf))
    }

    /// The first two fields of the header of a page of values or of a dictionary.
    fn count_and_encoding(&mut self) -> Result<(usize, i64)> {
        let (mut count, mut encoding, mut id) = (None, None, 0);
        while let Some(field) = self.field(&mut id)? {
            match (id, field) {
                (1, INT) => count = Some(self.size()?),
                (2, INT) => encoding = Some(self.signed()?),
                _ => self.skip(field, 1)?,
            }
        }
        count.zip(encoding).ok_or_else(cut_short)
    }

    fn skip(&mut self, field: u8, depth: usize) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(cut_short());
        }
        match field {
            // The value is in the type.
            TRUE | FALSE => Ok(()),
            BYTE => self.take(1),
            SHORT | INT | LONG => self.unsigned().map(|_| ()),
            DOUBLE => self.take(8),
            BINARY => {
                let len = self.unsigned()?;
                self.take(len)
            }
            LIST | SET => {
                let byte = self.byte()?;
                let count = match byte >> 4 {
                    15 => self.unsigned()?,
                    count => u64::from(count),
                };
                self.skip_elements(byte & 0xf, count, depth)
            }
            MAP => {
                let count = self.unsigned()?;
                if count == 0 {
                    return Ok(());
                }
                let types = self.byte()?;
                for _ in 0..count {
                    self.skip_elements(types >> 4, 1, depth)?;
                    self.skip_elements(types & 0xf, 1, depth)?;
                }
                Ok(())
            }
            STRUCT => {
                let mut id = 0;
                while let Some(field) = self.field(&mut id)? {
                    self.skip(field, depth + 1)?;
                }
                Ok(())
            }
            _ => Err(cut_short()),
        }
    }

    fn skip_elements(&mut self, element: u8, count: u64, depth: usize) -> Result<()> {
        // Each takes a byte at least, so that a false count ends where the bytes do.
        (0..count).try_for_each(|_| match element {
            TRUE | FALSE => self.take(1),
            _ => self.skip(element, depth + 1),
        })
    }

    fn take(&mut self, len: u64) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| cut_short())?;
        self.rest = self.rest.get(len..).ok_or_else(cut_short)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_that_nobody_needs_are_stepped_over() {
        let bytes = [
            0x15, 0x00, // 1: a page of values
            0x15, 0x80, 0x02, // 2: 128 bytes
            0x15, 0x50, // 3: 40 of them stored
            0x15, 0x09, // 4: a checksum
            0x1c, // 5: of the page
            0x15, 0x0a, 0x15, 0x10, 0x15, 0x06, 0x15, 0x06, // 5 places, codes, levels twice
            0x1c, 0x18, 0x02, b'm', b'x', 0x16, 0x00, 0x11, 0x29, 0x15, 0x02,
            0x00, // statistics
            0x00, 0x00, // ends
            0xff, // what comes next
        ];
        let expected = Header {
            kind: Kind::Values,
            stored: 40,
            bytes: 128,
            count: 5,
            encoding: Encoding::RLE_DICTIONARY,
        };
        assert_eq!(header(&bytes).unwrap(), (expected, bytes.len() - 1));
        for end in 0..bytes.len() - 1 {
            assert!(header(&bytes[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok((_, end)) = header(&bytes) {
                prop_assert!(end <= bytes.len());
            }
        }
    }
}
