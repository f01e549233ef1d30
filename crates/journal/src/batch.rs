//! What goes in and what comes out.

use bytes::Bytes;

use crate::frame;

/// Entries that are accepted together or not at all: one buffer of frames, laid out and checksummed
/// on the request's own task, handed to the disk as it is.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<u8>,
    count: u64,
    entry_bytes_longest: usize,
}

impl Batch {
    /// An empty batch with room for `bytes` of payload and frame headers (16 bytes an entry).
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch { frames: Vec::with_capacity(bytes), ..Batch::default() }
    }

    /// Adds one entry: the parts one after another are its payload. An entry above
    /// [`ENTRY_BYTES_MAX`](crate::ENTRY_BYTES_MAX) is refused when the batch is appended.
    pub fn push(&mut self, parts: &[&[u8]]) {
        let payload_bytes = frame::push(&mut self.frames, parts);
        self.count += 1;
        self.entry_bytes_longest = self.entry_bytes_longest.max(payload_bytes);
    }

    /// Entries so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes it takes on disk: payloads and frame headers.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn entry_bytes_longest(&self) -> usize {
        self.entry_bytes_longest
    }

    pub(crate) fn frames(&self) -> &[u8] {
        &self.frames
    }

    /// Numbers the entries from `first_seq` for the segment that has this `salt`.
    /// Once only: it turns the payload checksums into the final ones. A refused batch is dropped.
    pub(crate) fn number(&mut self, first_seq: u64, salt: u64, starts_group: bool) {
        frame::number(&mut self.frames, first_seq, salt, starts_group);
    }
}

/// Proof that entries are durable. Only the journal makes one, after the sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The number of the batch's first entry; the others follow it.
    pub first_seq: u64,
    pub count: u64,
}

/// One accepted entry. `payload` shares memory with its neighbours of the same read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub seq: u64,
    pub payload: Bytes,
}
