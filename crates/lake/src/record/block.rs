//! Thirty-two bytes at a time: nearly all strings of a record are shorter, so that the one branch
//! taken for each is taken the same way each time.

use wide::u8x16;

pub(crate) const BYTES: usize = 32;

#[inline(always)]
fn word(block: &[u8; BYTES], at: usize) -> u64 {
    u64::from_le_bytes(block.as_chunks().0[at])
}

/// Where in the block the first quote, backslash or control character stands; 32 when nowhere.
#[inline(always)]
pub(crate) fn first_stop(block: &[u8; BYTES]) -> usize {
    let halves = block.as_chunks().0;
    let stops = stops(&halves[0]) | stops(&halves[1]) << 16 | 1 << BYTES;
    stops.trailing_zeros() as usize
}

#[inline(always)]
fn stops(half: &[u8; 16]) -> u64 {
    let half = u8x16::new(*half);
    let is = |byte: u8| half.simd_eq(u8x16::splat(byte));
    let is_control = half.min(u8x16::splat(0x1F)).simd_eq(half);
    (is(b'"') | is(b'\\') | is_control).to_bitmask().into()
}

/// Whether both are the same where the bits of `mask` are set.
#[inline(always)]
pub(crate) fn are_alike(a: &[u8; BYTES], b: &[u8; BYTES], mask: &[u8; BYTES]) -> bool {
    differs(a, b, mask, 0)
        | differs(a, b, mask, 1)
        | differs(a, b, mask, 2)
        | differs(a, b, mask, 3)
        == 0
}

#[inline(always)]
fn differs(a: &[u8; BYTES], b: &[u8; BYTES], mask: &[u8; BYTES], at: usize) -> u64 {
    (word(a, at) ^ word(b, at)) & word(mask, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_told_right() {
        for at in 0..BYTES {
            for byte in 0..=255 {
                let mut block = [b'x'; BYTES];
                block[at] = byte;
                let stops = byte < 0x20 || byte == b'"' || byte == b'\\';
                assert_eq!(first_stop(&block), if stops { at } else { BYTES }, "{byte}");
                for count in 0..=BYTES {
                    let mut mask = [0; BYTES];
                    mask[..count].fill(0xFF);
                    let alike = byte == b'x' || count <= at;
                    assert_eq!(are_alike(&block, &[b'x'; BYTES], &mask), alike, "{count}");
                }
            }
        }
        let mut block = [b'"'; BYTES];
        block[..3].copy_from_slice(b"abc");
        assert_eq!(first_stop(&block), 3);
    }
}
