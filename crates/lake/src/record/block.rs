//! Thirty-two bytes at a time: nearly all strings of a record are shorter, so that the one branch
//! taken for each is taken the same way each time.

pub(crate) const BYTES: usize = 32;

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline(always)]
fn word(block: &[u8; BYTES], at: usize) -> u64 {
    u64::from_le_bytes(block.as_chunks().0[at])
}

/// Where in the block the first quote, backslash or control character stands; 32 when nowhere.
#[inline(always)]
pub(crate) fn first_stop(block: &[u8; BYTES]) -> usize {
    // Written out: closures over arrays are not always inlined in a release build.
    let low = u128::from(stops(word(block, 0))) | u128::from(stops(word(block, 1))) << 64;
    let high = u128::from(stops(word(block, 2))) | u128::from(stops(word(block, 3))) << 64;
    let (half, start) = if low != 0 { (low, 0) } else { (high, 16) };
    start + half.trailing_zeros() as usize / 8
}

/// Sets the high bit of each of the eight bytes that ends a plain run. Borrows between bytes may set
/// bits above a true one, never below it, so the lowest bit is exact.
#[inline(always)]
fn stops(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(EACH) & !word;
    let quote = zero_bytes(word ^ (EACH * b'"' as u64));
    let backslash = zero_bytes(word ^ (EACH * b'\\' as u64));
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    (quote | backslash | control) & HIGH
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
