//! How records become the bytes of a log file.
//!
//! ```text
//! {"Records":[RECORD,RECORD,…]}      one line, the records' bytes as accepted
//!     └─ gzip: exactly one member, nothing after it, no name and no time in its header
//! ```
//!
//! A window is written while it is open: header, records and commas go straight into one buffer,
//! which is then compressed once. A file never mixes accounts, Regions or folders: the caller keeps
//! one window per stream. There are no empty log files, so a window opens with its first record.

use bytes::Bytes;
use jiff::Timestamp;
use libdeflater::{CompressionLvl, Compressor};

use crate::layout::{Folder, LogFileKey, Place, unique_part, which_window};
use crate::sha256_hex;

#[cfg(test)]
mod tests;

/// AWS: a log file holds at most 50 MB before compression.
pub const PLAIN_BYTES_MAX: usize = 50_000_000;

const HEAD: &[u8] = b"{\"Records\":[";
const TAIL: &[u8] = b"]}";

/// What all files of one stream have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stream {
    /// The node that delivers; part of what names derive from.
    pub node: String,
    /// The trail that delivers.
    pub trail_arn: String,
    /// Where it delivers, whose events, and from which Region.
    pub place: Place,
    /// What kind of events; never [`Folder::Digest`].
    pub folder: Folder,
}

/// A log file that is still taking records.
#[derive(Debug)]
pub struct OpenWindow {
    plain: Vec<u8>,
    plain_bytes_max: usize,
    opened_at: Timestamp,
    count: u64,
    oldest: Timestamp,
    newest: Timestamp,
    first_seq: u64,
    last_seq: u64,
}

/// The window cannot take this record: close it and open the next one with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log file has reached its size limit")]
pub struct WindowFull;

impl OpenWindow {
    /// Opens a window with its first record, which fits whatever its size.
    ///
    /// `record` is one JSON object without line breaks; its bytes are not looked at.
    /// `plain_bytes_max` bounds the uncompressed file, normally [`PLAIN_BYTES_MAX`].
    pub fn open(
        now: Timestamp,
        plain_bytes_max: usize,
        record: &[u8],
        event_time: Timestamp,
        seq: u64,
    ) -> OpenWindow {
        let mut plain = Vec::with_capacity(HEAD.len() + record.len() + TAIL.len());
        plain.extend_from_slice(HEAD);
        plain.extend_from_slice(record);
        OpenWindow {
            plain,
            plain_bytes_max,
            opened_at: now,
            count: 1,
            oldest: event_time,
            newest: event_time,
            first_seq: seq,
            last_seq: seq,
        }
    }

    /// Adds a record.
    ///
    /// # Panics
    /// If `seq` does not grow: names derive from the first `seq`, so a repeated one would make two
    /// files of the same name.
    pub fn append(
        &mut self,
        record: &[u8],
        event_time: Timestamp,
        seq: u64,
    ) -> Result<(), WindowFull> {
        assert!(seq > self.last_seq, "records arrive in the journal's order, each once");
        if self.plain.len() + 1 + record.len() + TAIL.len() > self.plain_bytes_max {
            return Err(WindowFull);
        }
        self.plain.push(b',');
        self.plain.extend_from_slice(record);
        self.count += 1;
        self.oldest = self.oldest.min(event_time);
        self.newest = self.newest.max(event_time);
        self.last_seq = seq;
        Ok(())
    }

    /// When the window was opened: its age decides when it is closed.
    pub fn opened_at(&self) -> Timestamp {
        self.opened_at
    }

    /// Uncompressed bytes so far, as the file would have them if it were closed now.
    pub fn plain_len(&self) -> usize {
        self.plain.len() + TAIL.len()
    }

    /// Records so far, at least one.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// `seq` of the first and of the last record.
    pub fn seqs(&self) -> (u64, u64) {
        (self.first_seq, self.last_seq)
    }

    /// Makes the file. `now` becomes the delivery time in its name.
    pub fn close(mut self, stream: &Stream, now: Timestamp) -> LogFile {
        assert!(stream.folder != Folder::Digest, "digests are not log files");
        self.plain.extend_from_slice(TAIL);
        let Place { account, region, .. } = &stream.place;
        let (node, trail, folder) = (&stream.node, &stream.trail_arn, stream.folder);
        let which = which_window(node, trail, account, region, folder, self.first_seq);
        let key = LogFileKey {
            unique: unique_part(now, &which),
            place: stream.place.clone(),
            folder: stream.folder,
            delivered_at: now,
        };
        LogFile {
            key,
            sha256: sha256_hex(&self.plain),
            gz: gzip(&self.plain).into(),
            plain_len: self.plain.len() as u64,
            count: self.count,
            oldest_event_time: self.oldest,
            newest_event_time: self.newest,
            first_seq: self.first_seq,
            last_seq: self.last_seq,
        }
    }
}

/// A finished log file. Its bytes never change again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Where it goes.
    pub key: LogFileKey,
    /// The object's bytes: one gzip member.
    pub gz: Bytes,
    /// SHA-256 of the uncompressed bytes, lower-case hex, as digests list it.
    pub sha256: String,
    /// Uncompressed size in bytes.
    pub plain_len: u64,
    /// Records in the file.
    pub count: u64,
    /// The smallest eventTime.
    pub oldest_event_time: Timestamp,
    /// The largest eventTime.
    pub newest_event_time: Timestamp,
    /// `seq` of the first record; the name derives from it.
    pub first_seq: u64,
    /// `seq` of the last record.
    pub last_seq: u64,
}

/// Compresses into exactly one gzip member, no larger than `gzip -6` makes of records.
///
/// The level is the cheapest that kept that promise when it was measured, on the records of others
/// and on made ones (see the tests): few records leave little to win, so small files get the
/// thorough search, which takes 1 ms there; large files are 5 to 8 % smaller at 200 MB/s.
pub fn gzip(plain: &[u8]) -> Vec<u8> {
    let level = match plain.len() {
        0..32_768 => 10,
        32_768..1_048_576 => 7,
        _ => 6,
    };
    let level = CompressionLvl::new(level).expect("libdeflate has levels 0 to 12");
    let mut compressor = Compressor::new(level);
    let mut gz = vec![0; compressor.gzip_compress_bound(plain.len())];
    let len = compressor
        .gzip_compress(plain, &mut gz)
        .expect("the buffer has the size the compressor asked for");
    gz.truncate(len);
    gz.shrink_to_fit();
    gz
}
