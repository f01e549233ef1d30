//! Objects that were checked before, to the byte: log files repeat who called and over what.
//!
//! A table with one slot for a hash of the first bytes. A slot counts when the text goes on with all of
//! the object in it, which is then where the object ends: no object begins with another one.

const SLOTS: usize = 512;
/// What tells one caller from another stands in so many bytes.
const HASHED_BYTES_MAX: usize = 128;

#[derive(Default)]
pub(crate) struct Seen<'a> {
    slots: Vec<&'a [u8]>,
}

impl<'a> Seen<'a> {
    /// The length of the object at the start of `text`, when it is there.
    #[inline]
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let object = *self.slots.get(place_of(text))?;
        (!object.is_empty() && text.starts_with(object)).then_some(object.len())
    }

    pub fn remember(&mut self, object: &'a [u8]) {
        self.slots.resize(SLOTS, b"");
        self.slots[place_of(object)] = object;
    }

    pub fn forget(&mut self) {
        self.slots.clear();
    }
}

/// The slot for the object at the start of `text`: the same whatever follows the object, which has a
/// bracket at its end. Nobody gains from choosing texts that collide.
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
