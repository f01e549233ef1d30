//! Reading what is durable, in order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BytesMut};

use crate::frame::{self, Read};
use crate::log::{Inner, View};
use crate::segment::FRAMES_START;
use crate::{Damage, DamageKind, Entry};

const READ_BYTES: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("entry {seq} was trimmed; the oldest is {oldest_seq}")]
    Trimmed { seq: u64, oldest_seq: u64 },
    #[error("entry {seq} is beyond the end of the journal, {next_seq}")]
    Beyond { seq: u64, next_seq: u64 },
    #[error("read {file}")]
    Io {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Reads entries in order, never one that is not durable. Its calls block on file reads.
#[derive(Debug)]
pub struct Reader {
    inner: Arc<Inner>,
    /// The next entry to hand out.
    position: u64,
    stand: Option<Stand>,
    buffer: BytesMut,
}

/// Where in which file.
#[derive(Debug)]
struct Stand {
    first_seq: u64,
    file: File,
    path: PathBuf,
    /// The number of the frame at the start of the buffer.
    next_seq: u64,
    /// The file offset of the end of the buffer.
    filled_to: u64,
}

impl Reader {
    pub(crate) fn new(inner: Arc<Inner>, from_seq: u64) -> Result<Reader, ReadError> {
        let (oldest_seq, next_seq) = {
            let log = inner.log();
            (log.oldest_seq(), log.next_seq)
        };
        if from_seq < oldest_seq {
            return Err(ReadError::Trimmed { seq: from_seq, oldest_seq });
        }
        if from_seq > next_seq {
            return Err(ReadError::Beyond { seq: from_seq, next_seq });
        }
        Ok(Reader { inner, position: from_seq, stand: None, buffer: BytesMut::new() })
    }

    /// The number of the next entry it will hand out.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next entries, with at most `bytes_max` of payload together but at least one entry; none
    /// when it has reached the durable end. Damage is reported (log, `State::damages`) and skipped.
    ///
    /// Blocks. Memory is about `bytes_max` and one entry; entries that were read together share it,
    /// so copy a payload that is to be kept for long.
    pub fn next_batch(&mut self, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let mut entries = Vec::new();
        let mut room = bytes_max;
        while let Some(view) = self.view()? {
            let mut stand = match self.stand.take() {
                Some(stand) if stand.first_seq == view.first_seq => stand,
                _ => self.enter(&view)?,
            };
            let enough = self.read_within(&mut stand, &view, &mut entries, &mut room, bytes_max);
            self.stand = Some(stand);
            if enough? {
                break;
            }
        }
        Ok(entries)
    }

    fn view(&self) -> Result<Option<View>, ReadError> {
        let log = self.inner.log();
        match log.view(self.position) {
            None if self.position < log.next_seq => {
                let oldest_seq = log.oldest_seq();
                Err(ReadError::Trimmed { seq: self.position, oldest_seq })
            }
            view => Ok(view),
        }
    }

    fn enter(&mut self, view: &View) -> Result<Stand, ReadError> {
        let path = self.inner.path_of(view.first_seq);
        self.buffer.clear();
        let file = match File::open(&path) {
            Ok(file) => file,
            // Trimmed between the look at the log and now.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let oldest_seq = self.inner.log().oldest_seq();
                return Err(ReadError::Trimmed { seq: self.position, oldest_seq });
            }
            Err(source) => return Err(ReadError::Io { file: path, source }),
        };
        let (first_seq, next_seq) = (view.first_seq, view.first_seq);
        Ok(Stand { first_seq, file, path, next_seq, filled_to: FRAMES_START })
    }

    /// Reads up to the end of the view. True when the batch is full.
    fn read_within(
        &mut self,
        stand: &mut Stand,
        view: &View,
        entries: &mut Vec<Entry>,
        room: &mut usize,
        bytes_max: usize,
    ) -> Result<bool, ReadError> {
        while stand.next_seq < view.seq_end {
            match frame::read(&self.buffer, view.salt) {
                Read::Frame(frame) if frame.seq == stand.next_seq => {
                    let wanted = frame.seq >= self.position;
                    if wanted && frame.payload_bytes > *room && !entries.is_empty() {
                        return Ok(true);
                    }
                    let mut payload = self.buffer.split_to(frame.bytes());
                    stand.next_seq += 1;
                    if wanted {
                        payload.advance(frame.payload().start);
                        entries.push(Entry { seq: frame.seq, payload: payload.freeze() });
                        self.position = stand.next_seq;
                        *room = room.saturating_sub(frame.payload_bytes);
                    }
                }
                Read::Short(bytes)
                    if self.fill(stand, view, bytes.max(bytes_max.min(READ_BYTES)))? => {}
                _ => self.skip_damage(stand, view)?,
            }
        }
        Ok(*room == 0)
    }

    /// Reads on until the buffer holds `bytes`, or to the end of the view. False when there was
    /// nothing more to read.
    fn fill(&mut self, stand: &mut Stand, view: &View, bytes: usize) -> Result<bool, ReadError> {
        let left = view.frames_end.saturating_sub(stand.filled_to);
        let before = self.buffer.len();
        let more = (bytes.saturating_sub(before) as u64).min(left) as usize;
        self.buffer.resize(before + more, 0);
        let mut read = 0;
        while read < more {
            let into = &mut self.buffer[before + read..];
            match stand.file.read_at(into, stand.filled_to + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    self.buffer.truncate(before);
                    return Err(ReadError::Io { file: stand.path.clone(), source });
                }
            }
        }
        self.buffer.truncate(before + read);
        stand.filled_to += read as u64;
        Ok(read > 0)
    }

    /// The frame at the start of the buffer is bad: reports it and goes to the next good one of
    /// this segment, or to its end.
    fn skip_damage(&mut self, stand: &mut Stand, view: &View) -> Result<(), ReadError> {
        let offset = stand.filled_to - self.buffer.len() as u64;
        let rest_bytes = view.frames_end.saturating_sub(offset) as usize;
        while self.buffer.len() < rest_bytes && self.fill(stand, view, rest_bytes)? {}
        let expected = stand.next_seq;
        let next = frame::find_next(&self.buffer, expected, view.salt)
            .filter(|(_, frame)| frame.seq < view.seq_end);
        let (bytes, found_seq) = match next {
            Some((bytes, frame)) => (bytes, frame.seq),
            None => (self.buffer.len(), view.seq_end),
        };
        self.inner.report(Damage {
            file: stand.path.clone(),
            offset,
            bytes: bytes as u64,
            lost: expected..found_seq,
            kind: DamageKind::Corrupt,
        });
        self.buffer.advance(bytes);
        stand.next_seq = found_seq;
        self.position = self.position.max(found_seq);
        Ok(())
    }
}
