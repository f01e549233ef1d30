//! Sixty-four bytes of JSON at a time, as sets of places: bit `n` speaks of byte `n`.

use wide::u8x16;

pub(super) const BYTES: usize = 64;

/// What stands where in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    pub quotes: u64,
    /// `{`, `}`, `[` and `]`, and `y`, `Y`, `_` and DEL, which stand in strings only.
    pub brackets: u64,
    pub has_backslash: bool,
    pub has_control: bool,
}

/// All brackets have the same bits but for these.
const BRACKET: u8 = 0x26;

#[inline(always)]
pub(super) fn masks(block: &[u8; BYTES]) -> Masks {
    let [a, b, c, d] = lanes(block);
    let backslashes = a.is(b'\\') | b.is(b'\\') | c.is(b'\\') | d.is(b'\\');
    let controls =
        a.is_below_space() | b.is_below_space() | c.is_below_space() | d.is_below_space();
    let [e, f, g, h] = [a.or(BRACKET), b.or(BRACKET), c.or(BRACKET), d.or(BRACKET)];
    Masks {
        quotes: together(a.is(b'"'), b.is(b'"'), c.is(b'"'), d.is(b'"')),
        brackets: together(e.is(0x7F), f.is(0x7F), g.is(0x7F), h.is(0x7F)),
        has_backslash: backslashes.to_bitmask() != 0,
        has_control: controls.to_bitmask() != 0,
    }
}

/// Where backslashes and control characters stand.
#[cold]
pub(super) fn rare(block: &[u8; BYTES]) -> (u64, u64) {
    let [a, b, c, d] = lanes(block);
    let backslashes = together(a.is(b'\\'), b.is(b'\\'), c.is(b'\\'), d.is(b'\\'));
    let controls =
        together(a.is_below_space(), b.is_below_space(), c.is_below_space(), d.is_below_space());
    (backslashes, controls)
}

#[inline(always)]
fn lanes(block: &[u8; BYTES]) -> [Lane; 4] {
    let lanes = block.as_chunks::<16>().0;
    [Lane::of(&lanes[0]), Lane::of(&lanes[1]), Lane::of(&lanes[2]), Lane::of(&lanes[3])]
}

#[inline(always)]
fn together(a: u8x16, b: u8x16, c: u8x16, d: u8x16) -> u64 {
    let low = a.to_bitmask() | b.to_bitmask() << 16;
    let high = c.to_bitmask() | d.to_bitmask() << 16;
    u64::from(low) | u64::from(high) << 32
}

/// Where quotes, backslashes and control characters stand in 32 bytes.
#[inline(always)]
pub(super) fn stops(block: &[u8; 32]) -> u64 {
    let sixteens = block.as_chunks::<16>().0;
    let (low, high) = (Lane::of(&sixteens[0]), Lane::of(&sixteens[1]));
    low.stops() | high.stops() << 16
}

/// Which of 64 places have an odd number of quotes up to and with themselves.
#[inline(always)]
pub(super) fn parity(mut quotes: u64) -> u64 {
    quotes ^= quotes << 1;
    quotes ^= quotes << 2;
    quotes ^= quotes << 4;
    quotes ^= quotes << 8;
    quotes ^= quotes << 16;
    quotes ^ quotes << 32
}

/// Sixteen bytes, compared at once: one instruction on every processor that has such.
#[derive(Clone, Copy)]
struct Lane(u8x16);

impl Lane {
    #[inline(always)]
    fn of(bytes: &[u8; 16]) -> Lane {
        Lane(u8x16::new(*bytes))
    }

    #[inline(always)]
    fn or(self, bits: u8) -> Lane {
        Lane(self.0 | u8x16::splat(bits))
    }

    #[inline(always)]
    fn is(self, byte: u8) -> u8x16 {
        self.0.simd_eq(u8x16::splat(byte))
    }

    #[inline(always)]
    fn is_below_space(self) -> u8x16 {
        self.0.min(u8x16::splat(0x1F)).simd_eq(self.0)
    }

    #[inline(always)]
    fn stops(self) -> u64 {
        (self.is(b'"') | self.is(b'\\') | self.is_below_space()).to_bitmask().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_told_right_at_every_place() {
        for at in 0..16 {
            for byte in 0..=255_u8 {
                let mut bytes = [b'x'; 16];
                bytes[at] = byte;
                let lane = Lane::of(&bytes);
                let wanted = |is: bool| u64::from(is) << at;
                let bits = |set: u8x16| u64::from(set.to_bitmask());
                assert_eq!(bits(lane.is(b'"')), wanted(byte == b'"'), "{byte}");
                assert_eq!(bits(lane.is_below_space()), wanted(byte < 0x20), "{byte}");
                let is_stop = byte < 0x20 || b"\"\\".contains(&byte);
                assert_eq!(lane.stops(), wanted(is_stop), "{byte}");
                let is_bracket = b"{}[]yY_\x7f".contains(&byte);
                assert_eq!(bits(lane.or(BRACKET).is(0x7F)), wanted(is_bracket), "{byte}");
            }
        }
    }

    #[test]
    fn the_parts_of_a_block_come_together() {
        let mut block = [b'x'; BYTES];
        let text = br#"{"a":[1,"\"]}",{"b":"c"}],"dddddddddddddddddddddddddddd":"e"}"#;
        block[..text.len()].copy_from_slice(text);
        let masks = masks(&block);
        let places = |wanted: &[u8]| {
            let is = |place: usize| u64::from(wanted.contains(&block[place])) << place;
            (0..BYTES).map(is).fold(0, |all, one| all | one)
        };
        assert_eq!(masks.quotes, places(b"\""));
        assert_eq!(masks.brackets, places(b"{}[]"));
        assert!(masks.has_backslash && !masks.has_control);
        assert_eq!(rare(&block), (places(b"\\"), 0));
        assert_eq!(stops(block.first_chunk().unwrap()), places(b"\"\\") & 0xFFFF_FFFF);
        assert_eq!(parity(0b1001_0010), !0xFF | 0b1000_1110);
    }
}
