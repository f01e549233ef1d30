//! Parts of records that come again to the byte: who called (`userIdentity`), over what
//! (`tlsDetails`). Their values are copied from the row that had them before.
//!
//! A table with one slot for a hash of the first bytes: what comes often is there most of the time, and
//! what collides is only walked again. A slot counts when the text goes on with all of the part in it,
//! which is then where the part ends: no object begins with another one.

const SLOTS: usize = 512;
/// Longer parts are rare and are not kept.
const PART_BYTES_MAX: usize = 4096;
/// What tells one caller from another stands in so many bytes.
const HASHED_BYTES_MAX: usize = 256;

/// The parts of one column's rows.
#[derive(Default)]
pub(super) struct Parts {
    slots: Vec<Slot>,
    /// Rows are those of this batch.
    batch: u64,
    /// The slot that was filled last.
    last: usize,
}

#[derive(Clone, Default)]
struct Slot {
    text: Vec<u8>,
    shape: Vec<u8>,
    row: usize,
    batch: u64,
}

/// A part that came before.
pub(super) struct Known<'a> {
    pub text: &'a [u8],
    pub shape: &'a [u8],
    /// Which row of this batch has its values.
    pub row: usize,
}

impl Parts {
    /// The part that `text` begins with.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<Known<'_>> {
        let slot = self.slots.get(place_of(text))?;
        let is_known =
            slot.batch == self.batch && !slot.text.is_empty() && text.starts_with(&slot.text);
        is_known.then_some(Known { text: &slot.text, shape: &slot.shape, row: slot.row })
    }

    pub fn remember(&mut self, text: &[u8], row: usize, shape: &[u8]) {
        if text.len() > PART_BYTES_MAX {
            return;
        }
        self.slots.resize(SLOTS, Slot::default());
        self.last = place_of(text);
        let slot = &mut self.slots[self.last];
        (slot.row, slot.batch) = (row, self.batch);
        slot.text.clear();
        slot.text.extend_from_slice(text);
        slot.shape.clear();
        slot.shape.extend_from_slice(shape);
    }

    /// The last row is gone, and this is its number.
    pub fn forget_row(&mut self, row: usize) {
        if let Some(slot) = self.slots.get_mut(self.last).filter(|slot| slot.row == row) {
            slot.text.clear();
        }
    }

    /// The rows are gone.
    pub fn forget(&mut self) {
        self.batch += 1;
    }
}

/// The slot for the part at the start of `text`: the same whatever follows the part, which has a
/// bracket at its end. Nobody gains from choosing texts that collide.
#[inline]
fn place_of(text: &[u8]) -> usize {
    let first = &text[..text.len().min(HASHED_BYTES_MAX)];
    let end = memchr::memchr(b'}', first).map_or(first.len(), |last| last + 1);
    let (words, rest) = first[..end].as_chunks();
    let mut hash = rest.iter().fold(end as u64, |sum, byte| sum << 8 | u64::from(*byte));
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    }
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOTS.trailing_zeros())) as usize
}
