//! One log file against what its digest says of it.

use std::io::Read;

use aws_lc_rs::digest::{Context, SHA256};
use flate2::bufread::GzDecoder;

use super::{Finding, Options, Problem, Source, SourceFault};
use crate::digest::{HASH_ALGORITHM, ListedFile};

/// Why bytes are not one gzip member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GzipFault {
    /// No gzip, cut short, or its own checksum does not fit.
    Broken,
    /// Bytes after the member.
    TrailingData,
    /// More than the limit comes out.
    TooLarge,
}

/// Inflates exactly one member piece by piece, at most `plain_bytes_max` bytes.
pub(super) fn inflate(
    gz: &[u8],
    plain_bytes_max: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<(), GzipFault> {
    let mut decoder = GzDecoder::new(gz);
    let mut piece = vec![0; 64 * 1024];
    let mut len = 0_u64;
    loop {
        let read = decoder.read(&mut piece).map_err(|_| GzipFault::Broken)?;
        if read == 0 {
            break;
        }
        len += read as u64;
        if len > plain_bytes_max {
            return Err(GzipFault::TooLarge);
        }
        each(&piece[..read]);
    }
    if decoder.into_inner().is_empty() { Ok(()) } else { Err(GzipFault::TrailingData) }
}

/// SHA-256 (hex) of what comes out of `gz`.
fn plain_sha256(gz: &[u8], plain_bytes_max: u64) -> Result<String, GzipFault> {
    let mut context = Context::new(&SHA256);
    inflate(gz, plain_bytes_max, |piece| context.update(piece))?;
    Ok(hex::encode(context.finish()))
}

/// Checks one listed file; `None` if it is as it was. The number is of bytes read.
pub(super) async fn check_file(
    source: &dyn Source,
    options: &Options,
    bucket: Option<&str>,
    digest_name: &str,
    file: ListedFile,
) -> (Option<Finding>, u64) {
    let key = file.s3_object;
    let finding = |problem, detail: String| Some(Finding::error(problem, &key, detail));
    if bucket.is_some_and(|bucket| bucket != file.s3_bucket) {
        // The trail was given another bucket. What is signed says so, so nothing is wrong here.
        let detail = format!(
            "{digest_name} lists it in bucket {}, which was not read: verify that one as well",
            file.s3_bucket
        );
        return (Some(Finding::note(Problem::LogFileElsewhere, &key, detail)), 0);
    }
    if file.hash_algorithm != HASH_ALGORITHM {
        let detail = format!("{digest_name} gives its hash in an unknown algorithm");
        return (finding(Problem::LogFileAltered, detail), 0);
    }
    let object = match source.get(&key, options.object_bytes_max).await {
        Ok(Some(object)) => object,
        Ok(None) => {
            let detail = format!("{digest_name} lists it, and it is not there");
            return (finding(Problem::LogFileMissing, detail), 0);
        }
        Err(SourceFault::TooLarge) => {
            let detail = format!("larger than {} bytes", options.object_bytes_max);
            return (finding(Problem::LogFileTooLarge, detail), 0);
        }
        Err(fault) => return (finding(Problem::SourceFailed, fault.to_string()), 0),
    };
    let bytes_read = object.bytes.len() as u64;
    let plain_bytes_max = options.plain_bytes_max;
    // Inflating takes a core for up to a second: not on the runtime's threads.
    let hashed =
        tokio::task::spawn_blocking(move || plain_sha256(&object.bytes, plain_bytes_max)).await;
    let problem = match hashed {
        Ok(Ok(hash)) if hash == file.hash_value => return (None, bytes_read),
        Ok(Ok(hash)) => {
            finding(Problem::LogFileAltered, format!("its hash is {hash}, not {}", file.hash_value))
        }
        Ok(Err(GzipFault::Broken)) => {
            finding(Problem::LogFileUnreadable, "not a whole gzip member".to_owned())
        }
        Ok(Err(GzipFault::TrailingData)) => finding(
            Problem::LogFileTrailingData,
            "there are bytes after the end of its gzip member".to_owned(),
        ),
        Ok(Err(GzipFault::TooLarge)) => finding(
            Problem::LogFileTooLarge,
            format!("more than {plain_bytes_max} bytes come out of it"),
        ),
        Err(_) => finding(Problem::SourceFailed, "the check was cancelled".to_owned()),
    };
    (problem, bytes_read)
}
