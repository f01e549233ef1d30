//! What can go wrong, by who acts on it.

use std::io;
use std::path::{Path, PathBuf};

/// Named after S3's error codes where S3 has one, so that the door has nothing to decide.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the bucket {0} does not exist")]
    NoSuchBucket(String),
    #[error("the bucket {name} exists already")]
    BucketExists { name: String, owner: String },
    #[error("the bucket {0} still holds objects")]
    BucketNotEmpty(String),
    #[error("{0:?} is not a bucket name: {1}")]
    InvalidBucketName(String, &'static str),
    #[error("the key {0:?} does not exist")]
    NoSuchKey(String),
    #[error("an object key has 1 to 1024 bytes, this one has {0}")]
    KeyLength(usize),
    #[error("the object is not in the state that the request demands ({0})")]
    PreconditionFailed(&'static str),
    #[error("the multipart upload {0} does not exist")]
    NoSuchUpload(String),
    #[error("part {0} is missing or its ETag differs")]
    InvalidPart(u32),
    #[error("the parts are not in ascending order")]
    InvalidPartOrder,
    #[error("part {number} has {size} bytes; every part but the last needs {PART_BYTES_MIN}")]
    PartTooSmall { number: u32, size: u64 },
    #[error("part numbers go from 1 to {PARTS_MAX}, not {0}")]
    PartNumber(u32),
    #[error("user metadata may have {METADATA_BYTES_MAX} bytes, this has {0}")]
    MetadataTooLarge(usize),
    /// Nothing is visible of what was being written. The operator makes room; the client retries.
    #[error("no room on the disk: {step} {path}")]
    DiskFull { step: &'static str, path: PathBuf },
    /// A file that was durable is not what was written. The operator restores it.
    #[error("damaged file {path}: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{step} {path}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// AWS: "5 MB to 5 GB. There is no minimum size limit on the last part" (S3 user guide, quotas).
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// AWS: "Maximum number of parts per upload: 10,000".
pub const PARTS_MAX: u32 = 10_000;
/// AWS: "the user-defined metadata is limited to 2 KB", keys and values counted in UTF-8 bytes.
pub const METADATA_BYTES_MAX: usize = 2048;

/// Adds the step and the path to an IO error; a full disk gets its own name.
pub(crate) trait At<T> {
    fn at(self, step: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, step: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StoreError::DiskFull { step, path: path.to_owned() }
            }
            _ => StoreError::Io { step, path: path.to_owned(), source },
        })
    }
}
