//! An object's file (and a part's): the data first, because its size and ETag are known only at the end.
//!
//! ```text
//! data(size)  facts(len): JSON   tail(16): len u32 LE, crc32c(facts) u32 LE, "CAIRNOB1"
//! ```
//! One rename makes data and facts visible together, so an overwrite can never mix two objects.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::At;
use crate::{Result, StoreError};

const MAGIC: &[u8; 8] = b"CAIRNOB1";
const TAIL_BYTES: u64 = 16;
/// Key, headers and user metadata are at most a few KB; a longer length is damage, not facts.
const FACTS_BYTES_MAX: u32 = 1 << 20;

/// What the writer of an object says about it and every reader gets back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Headers {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    /// As an HTTP date.
    pub expires: Option<String>,
    /// User metadata (`x-amz-meta-…`), names in lower case and without that beginning.
    pub user: BTreeMap<String, String>,
    /// A checksum of the whole object that its writer sent and someone has compared with the bytes.
    pub checksum: Option<Checksum>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// S3's name of it: `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1` or `SHA256`.
    pub algorithm: String,
    /// As S3 writes it: base64.
    pub value: String,
}

/// What is known of a stored object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    pub key: String,
    /// Bytes of data.
    pub size: u64,
    /// Without quotes: the MD5 of the data in hex, or that of the parts' MD5s, a hyphen and their number.
    pub etag: String,
    last_modified_ms: i64,
    #[serde(default)]
    pub headers: Headers,
}

impl ObjectFacts {
    /// `now` is kept to the millisecond, as S3 does.
    pub(crate) fn new(
        key: &str,
        size: u64,
        etag: String,
        now: Timestamp,
        headers: Headers,
    ) -> Self {
        Self { key: key.to_owned(), size, etag, last_modified_ms: now.as_millisecond(), headers }
    }

    pub fn last_modified(&self) -> Timestamp {
        Timestamp::from_millisecond(self.last_modified_ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// What follows the data in the file.
    pub(crate) fn ending(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("strings and numbers always become JSON");
        let len = u32::try_from(bytes.len()).expect("the metadata limit keeps facts small");
        let crc = crc32c::crc32c(&bytes);
        bytes.extend(len.to_le_bytes());
        bytes.extend(crc.to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }
}

/// An object open for reading. It stays whole and readable when the key is overwritten or deleted.
#[derive(Debug)]
pub struct ObjectReader {
    file: File,
    pub facts: ObjectFacts,
}

impl ObjectReader {
    /// `Ok(None)` if there is no such file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).at("open", path),
        };
        let length = file.metadata().at("stat", path)?.len();
        let damaged = |what: String| StoreError::Damaged { path: path.to_owned(), what };
        let Some(before_tail) = length.checked_sub(TAIL_BYTES) else {
            return Err(damaged(format!("{length} bytes are too few")));
        };
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_exact_at(&mut tail, before_tail).at("read", path)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, magic @ ..] = tail;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let crc = u32::from_le_bytes([c0, c1, c2, c3]);
        let size = before_tail.checked_sub(u64::from(len));
        let (true, true, Some(size)) = (&magic == MAGIC, len <= FACTS_BYTES_MAX, size) else {
            return Err(damaged("the tail is not ours".to_owned()));
        };
        let mut json = vec![0; len as usize];
        file.read_exact_at(&mut json, size).at("read", path)?;
        if crc32c::crc32c(&json) != crc {
            return Err(damaged("the facts do not match their checksum".to_owned()));
        }
        let facts: ObjectFacts =
            serde_json::from_slice(&json).map_err(|e| damaged(e.to_string()))?;
        if facts.size != size {
            return Err(damaged(format!("{size} bytes of data where {} belong", facts.size)));
        }
        Ok(Some(Self { file, facts }))
    }

    /// Reads up to `buffer.len()` bytes of data from `offset` on and says how many; 0 only at the end.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.facts.size.saturating_sub(offset);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        self.file.read_exact_at(&mut buffer[..wanted], offset)?;
        Ok(wanted)
    }
}
