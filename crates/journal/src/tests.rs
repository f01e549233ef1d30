//! Behaviour of the journal as its users see it. The faults have files of their own.

mod crash;
mod damage;
mod full;
mod usual;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use durable::{Disk, FaultyDisk, RealDisk};

use crate::*;

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;

/// Small segments, no reserve: what tests want.
pub const SMALL: Options = Options {
    segment_bytes_max: 16 << 10,
    gather_us_max: 100,
    write_bytes_max: 64 << 10,
    free_bytes_min: 0,
};

pub fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// A temporary folder in memory where there is one: the faulty disk says what is durable, so these
/// tests need no real disk, and they make thousands of folders.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A disk that never waits for a sync, for tests that open very often.
pub fn quick(folder: &Path) -> Arc<dyn Disk> {
    Arc::new(FaultyDisk::new(folder).unwrap())
}

pub fn open(folder: &Path) -> (Journal, Recovered) {
    Journal::open(folder, SMALL, quick(folder)).unwrap()
}

pub fn batch(payloads: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::with_capacity(0);
    for payload in payloads {
        let (head, tail) = payload.split_at(payload.len() / 3);
        batch.push(&[head, tail]);
    }
    batch
}

/// The payload that tests give to the entry with this number: of varying length, and no two alike.
pub fn payload(seq: u64) -> Vec<u8> {
    let mut bytes = format!("entry {seq} ").into_bytes();
    let more = (seq * 37 % 300) as usize;
    bytes.extend((0..more).map(|i| (seq as usize * 31 + i) as u8));
    bytes
}

pub fn payloads(seqs: Range<u64>) -> Vec<Vec<u8>> {
    seqs.map(payload).collect()
}

/// Appends the entries with these numbers in batches of `batch_len`.
pub fn append(journal: &Journal, seqs: Range<u64>, batch_len: usize) {
    let all: Vec<u64> = seqs.collect();
    for chunk in all.chunks(batch_len) {
        let payloads: Vec<Vec<u8>> = chunk.iter().map(|seq| payload(*seq)).collect();
        let accepted = journal.append_blocking(batch(&payloads)).unwrap();
        assert_eq!((accepted.first_seq, accepted.count), (chunk[0], chunk.len() as u64));
    }
}

/// All entries from the oldest on.
pub fn read_all(journal: &Journal) -> Vec<Entry> {
    read_from(journal, journal.state().oldest_seq)
}

pub fn read_from(journal: &Journal, seq: u64) -> Vec<Entry> {
    let mut reader = journal.reader(seq).unwrap();
    let mut all = Vec::new();
    loop {
        let entries = reader.next_batch(1000).unwrap();
        if entries.is_empty() {
            return all;
        }
        all.extend(entries);
    }
}

/// The journal holds exactly the entries with these numbers, each as it was appended.
pub fn check_holds(journal: &Journal, seqs: Range<u64>) {
    let entries = read_from(journal, seqs.start);
    let found: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(found, seqs.collect::<Vec<u64>>());
    for entry in entries {
        assert_eq!(entry.payload, payload(entry.seq), "entry {}", entry.seq);
    }
}
