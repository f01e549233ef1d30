//! Thirty-two bytes at a time: nearly all strings of a record are shorter, so that the one branch
//! taken for each is taken the same way each time.

pub(crate) const BYTES: usize = 32;

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

#[inline(always)]
fn words(block: &[u8; BYTES]) -> [u64; 4] {
    let (eights, _) = block.as_chunks::<8>();
    [0, 1, 2, 3].map(|at| u64::from_le_bytes(eights[at]))
}

/// Where in the block the first quote, backslash or control character stands; 32 when nowhere.
#[inline(always)]
pub(crate) fn first_stop(block: &[u8; BYTES]) -> usize {
    let [a, b, c, d] = words(block).map(stops);
    let low = u128::from(a) | u128::from(b) << 64;
    let high = u128::from(c) | u128::from(d) << 64;
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
    let (a, b, mask) = (words(a), words(b), words(mask));
    let differs = |at: usize| (a[at] ^ b[at]) & mask[at];
    differs(0) | differs(1) | differs(2) | differs(3) == 0
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
