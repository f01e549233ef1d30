//! How far each consumer has come.
//!
//! ```text
//!   cursors/{name}:  slot at 0, slot at 4096
//!   slot:            magic(8) count(8) position(8) crc32c(4)          little endian
//! ```
//!
//! An advance overwrites the older slot and syncs. Whatever happens to that write, the other slot
//! still holds the last durable position; the whole slot with the higher count wins.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use durable::{Disk, DiskFile, is_disk_full, write_atomic};

use crate::frame::{u32_at, u64_at};
use crate::log::Inner;
use crate::recovery::{OpenError, failed};

pub(crate) const FOLDER: &str = "cursors";

const MAGIC: &[u8; 8] = b"cairncur";
const SLOT_BYTES: usize = 28;
const SLOT_OFFSETS: [u64; 2] = [0, 4096];

#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    #[error(
        "cursor name {name:?}: 1 to 100 letters, digits, '-', '_' or '.', not starting with '.'"
    )]
    Name { name: String },
    #[error("cursor {name} is held already")]
    InUse { name: String },
    #[error("cursor {name} is at {position} and cannot go back to {to}")]
    Backwards { name: String, position: u64, to: u64 },
    /// A write or sync of it failed, so what its file holds is unknown: drop it and take it again.
    #[error("cursor {name} failed before; it must be taken again")]
    Broken { name: String },
    #[error("write cursor {name}")]
    Io {
        name: String,
        #[source]
        source: io::Error,
    },
}

/// A durable named position, held by one consumer at a time. Its calls block.
#[derive(Debug)]
pub struct Cursor {
    inner: Arc<Inner>,
    name: String,
    file: Box<dyn DiskFile>,
    slot: Slot,
    broken: bool,
}

/// All cursors of the folder, held or not: trimming asks them all.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    slot: Slot,
    held: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    count: u64,
    position: u64,
}

impl Cursor {
    pub(crate) fn take(inner: Arc<Inner>, name: &str) -> Result<Cursor, CursorError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let well_formed = (1..=100).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('.')
            && !name.ends_with(".tmp");
        if !well_formed {
            return Err(CursorError::Name { name: name.to_string() });
        }
        let mut cursors = inner.cursors();
        if cursors.known.get(name).is_some_and(|known| known.held) {
            return Err(CursorError::InUse { name: name.to_string() });
        }
        let io = |source| CursorError::Io { name: name.to_string(), source };
        let path = inner.folder.join(FOLDER).join(name);
        let oldest_seq = inner.log().oldest_seq();
        let slot = match cursors.known.get(name) {
            // What lies below the oldest entry is gone: trimmed, or lost with its segment.
            Some(known) => {
                Slot { count: known.slot.count + 1, position: known.slot.position.max(oldest_seq) }
            }
            None => {
                let slot = Slot { count: 1, position: oldest_seq };
                write_atomic(inner.disk.as_ref(), &path, &slot.file(), 0o600).map_err(io)?;
                slot
            }
        };
        let mut file = inner.disk.open_existing(&path).map_err(io)?;
        // Also for a known one: its last sync may have failed, and reading it back proves nothing.
        slot.write(file.as_mut()).map_err(io)?;
        cursors.known.insert(name.to_string(), Known { slot, held: true });
        drop(cursors);
        Ok(Cursor { inner, name: name.to_string(), file, slot, broken: false })
    }

    /// The number of the next entry this consumer has to handle.
    pub fn position(&self) -> u64 {
        self.slot.position
    }

    /// Moves on to `to`, durably when it returns; the effects of all entries below must be durable
    /// already. After an error the position is still the old one; when the disk was full, the call
    /// may be repeated.
    ///
    /// # Panics
    /// When `to` is beyond the journal's `next_seq`: nobody can have handled those entries.
    pub fn advance(&mut self, to: u64) -> Result<(), CursorError> {
        let next_seq = self.inner.log().next_seq;
        assert!(to <= next_seq, "cursor {} to {to}, but next_seq is {next_seq}", self.name);
        let position = self.slot.position;
        if self.broken {
            return Err(CursorError::Broken { name: self.name.clone() });
        }
        if to < position {
            return Err(CursorError::Backwards { name: self.name.clone(), position, to });
        }
        if to == position {
            return Ok(());
        }
        let slot = Slot { count: self.slot.count + 1, position: to };
        if let Err(source) = slot.write(self.file.as_mut()) {
            self.broken = !is_disk_full(&source);
            return Err(CursorError::Io { name: self.name.clone(), source });
        }
        self.slot = slot;
        self.inner.cursors().known.insert(self.name.clone(), Known { slot, held: true });
        Ok(())
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        if let Some(known) = self.inner.cursors().known.get_mut(&self.name) {
            known.held = false;
        }
    }
}

impl Cursors {
    pub fn furthest(&self) -> u64 {
        self.known.values().map(|known| known.slot.position).max().unwrap_or(0)
    }

    /// The lowest position; `None` when there is no cursor.
    pub fn lowest(&self) -> Option<u64> {
        self.known.values().map(|known| known.slot.position).min()
    }

    /// Each cursor and its position.
    pub fn positions(&self) -> Vec<(String, u64)> {
        self.known.iter().map(|(name, known)| (name.clone(), known.slot.position)).collect()
    }

    pub fn forget(
        &mut self,
        disk: &dyn Disk,
        folder: &Path,
        name: &str,
    ) -> Result<(), CursorError> {
        let Some(known) = self.known.get(name) else { return Ok(()) };
        if known.held {
            return Err(CursorError::InUse { name: name.to_string() });
        }
        let folder = folder.join(FOLDER);
        let removed = match disk.remove_file(&folder.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => disk.sync_dir(&folder),
        };
        removed.map_err(|source| CursorError::Io { name: name.to_string(), source })?;
        self.known.remove(name);
        Ok(())
    }
}

/// Reads all cursor files of the folder. One that is damaged in both slots starts over at the
/// oldest entry, since repeating an effect is harmless and skipping one is not.
pub(crate) fn load(disk: &dyn Disk, folder: &Path) -> Result<Cursors, OpenError> {
    let mut cursors = Cursors::default();
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".tmp") {
            disk.remove_file(&path).map_err(failed("remove leftover", &path))?;
            continue;
        }
        let contents = fs::read(&path).map_err(failed("read", &path))?;
        let slots = SLOT_OFFSETS.iter().filter_map(|offset| Slot::decode(&contents, *offset));
        let slot = slots.max_by_key(|slot| slot.count).unwrap_or_else(|| {
            tracing::error!(file = %path.display(), "cursor is damaged and starts over");
            Slot { count: 0, position: 0 }
        });
        cursors.known.insert(name, Known { slot, held: false });
    }
    Ok(cursors)
}

impl Slot {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(contents: &[u8], offset: u64) -> Option<Slot> {
        let bytes = contents.get(offset as usize..offset as usize + SLOT_BYTES)?;
        let whole = &bytes[0..8] == MAGIC && crc32c::crc32c(&bytes[..24]) == u32_at(bytes, 24);
        whole.then(|| Slot { count: u64_at(bytes, 8), position: u64_at(bytes, 16) })
    }

    fn offset(&self) -> u64 {
        SLOT_OFFSETS[(self.count % 2) as usize]
    }

    /// A new file: this slot, and room for the other.
    fn file(&self) -> Vec<u8> {
        let mut bytes = vec![0; SLOT_OFFSETS[1] as usize + SLOT_BYTES];
        let at = self.offset() as usize;
        bytes[at..at + SLOT_BYTES].copy_from_slice(&self.encode());
        bytes
    }

    fn write(&self, file: &mut dyn DiskFile) -> io::Result<()> {
        file.write_all_at(&self.encode(), self.offset())?;
        file.sync_data()
    }
}
