//! The bytes of a file as text, whatever they are packed in.

use std::borrow::Cow;
use std::io::Read;

use libdeflater::{DecompressionError, Decompressor};
use memchr::memmem;

/// A log file that CloudTrail writes has 50 MB at most; this is a guard against bombs.
const INFLATED_BYTES_MAX: usize = 1 << 30;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What a member of a gzip file begins with; deflate is the only method.
const GZIP_MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// The text inside gzip (any number of members) or zstd, or the bytes as they are. What is in `room`
/// does not matter; memory that was used before need not be fetched from the system.
pub fn inflate(bytes: &[u8], room: Vec<u8>) -> Result<Cow<'_, [u8]>, String> {
    if bytes.starts_with(&GZIP) {
        gunzip(bytes, room).map(Cow::Owned)
    } else if bytes.starts_with(&ZSTD) {
        let decoder = zstd::stream::read::Decoder::new(bytes).map_err(|e| broken("zstd", &e))?;
        read("zstd", decoder).map(Cow::Owned)
    } else if bytes.is_empty() {
        Err("the file is empty".to_owned())
    } else {
        Ok(Cow::Borrowed(bytes))
    }
}

/// One member, as CloudTrail writes, goes the fast way, which cannot tell where a member ends.
fn gunzip(bytes: &[u8], room: Vec<u8>) -> Result<Vec<u8>, String> {
    let has_one_member = memmem::find(&bytes[1..], &GZIP_MEMBER).is_none();
    let size = bytes.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    // Deflate cannot do better than 1032 to 1.
    let is_likely = size <= INFLATED_BYTES_MAX && size / 1032 <= bytes.len();
    if has_one_member && is_likely {
        let mut inflated = match room.capacity() < size {
            true => vec![0; size],
            false => room,
        };
        inflated.resize(size, 0);
        match Decompressor::new().gzip_decompress(bytes, &mut inflated) {
            Ok(written) if written == size => return Ok(inflated),
            Ok(_) | Err(DecompressionError::InsufficientSpace) => {}
            // Truncated or altered: the slow way tells which.
            Err(DecompressionError::BadData) => {}
        }
    }
    read("gzip", flate2::read::MultiGzDecoder::new(bytes))
}

fn read(name: &str, reader: impl Read) -> Result<Vec<u8>, String> {
    let mut inflated = Vec::new();
    let limit = INFLATED_BYTES_MAX as u64;
    reader.take(limit + 1).read_to_end(&mut inflated).map_err(|e| broken(name, &e))?;
    if inflated.len() > INFLATED_BYTES_MAX {
        return Err(format!("inflates to more than {limit} bytes"));
    }
    Ok(inflated)
}

fn broken(name: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("{name} data is cut short"),
        _ => format!("{name} data is broken: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_member_is_read_even_those_of_equal_length() {
        let both = [gzip(b"{\"a\":1}\n"), gzip(b"{\"b\":2}\n")].concat();
        assert_eq!(inflate(&both, Vec::new()).unwrap(), &b"{\"a\":1}\n{\"b\":2}\n"[..]);
        assert_eq!(inflate(&gzip(b"{}"), b"what was here before".to_vec()).unwrap(), &b"{}"[..]);
        assert_eq!(inflate(&gzip(b""), Vec::new()).unwrap(), &b""[..]);
    }

    #[test]
    fn what_is_cut_short_or_altered_is_said_to_be() {
        let whole = gzip(&b"{\"eventVersion\":\"1.08\"}".repeat(50));
        let cut = inflate(&whole[..whole.len() - 9], Vec::new()).unwrap_err();
        assert!(cut.contains("cut short"), "{cut}");
        let mut altered = whole.clone();
        let end = altered.len() - 6;
        altered[end] ^= 1;
        assert!(inflate(&altered, Vec::new()).unwrap_err().contains("broken"));
        assert!(inflate(b"", Vec::new()).is_err());
    }

    #[test]
    fn zstd_and_plain_text_are_read() {
        let packed = zstd::stream::encode_all(&b"[1]"[..], 3).unwrap();
        assert_eq!(inflate(&packed, Vec::new()).unwrap(), &b"[1]"[..]);
        assert_eq!(inflate(b"[1]", Vec::new()).unwrap(), &b"[1]"[..]);
    }
}
