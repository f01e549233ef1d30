//! Parts of records that come again to the byte: who called (`userIdentity`), over what
//! (`tlsDetails`). Their values are copied from the row that had them before, and need no second
//! proof that they can be rebuilt.
//!
//! A table with one slot for a hash: what comes often is there most of the time, and what collides is
//! only walked again. A slot counts when its whole text is the same.

const SLOTS: usize = 512;
/// Longer parts are rare and are not kept.
const PART_BYTES_MAX: usize = 4096;

/// The parts of one column's rows.
#[derive(Default)]
pub(super) struct Parts {
    slots: Vec<Slot>,
    /// Rows are those of this batch.
    batch: u64,
}

#[derive(Clone, Default)]
struct Slot {
    text: Vec<u8>,
    shape: Vec<u8>,
    row: usize,
    batch: u64,
}

impl Parts {
    /// The row of this batch that had the part `text`, and its shape.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let slot = self.slots.get(place_of(text))?;
        (slot.batch == self.batch && slot.text == text).then_some((slot.row, &slot.shape))
    }

    pub fn remember(&mut self, text: &[u8], row: usize, shape: &[u8]) {
        if text.len() > PART_BYTES_MAX {
            return;
        }
        self.slots.resize(SLOTS, Slot::default());
        let slot = &mut self.slots[place_of(text)];
        (slot.row, slot.batch) = (row, self.batch);
        slot.text.clear();
        slot.text.extend_from_slice(text);
        slot.shape.clear();
        slot.shape.extend_from_slice(shape);
    }

    /// The rows are gone.
    pub fn forget(&mut self) {
        self.batch += 1;
    }
}

/// The slot for `text`. Nobody gains from choosing texts that collide.
#[inline]
fn place_of(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks();
    let mut hash = rest.iter().fold(text.len() as u64, |sum, byte| sum << 8 | u64::from(*byte));
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    }
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - SLOTS.trailing_zeros())) as usize
}
