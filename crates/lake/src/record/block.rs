//! Thirty-two bytes at a time: nearly all strings of a record are shorter, so that the one branch
//! taken for each is taken the same way each time.

pub(crate) const BYTES: usize = 32;

#[inline(always)]
fn word(block: &[u8; BYTES], at: usize) -> u64 {
    u64::from_le_bytes(block.as_chunks().0[at])
}

/// Where in the block the first quote, backslash or control character stands; 32 when nowhere.
#[inline(always)]
pub(crate) fn first_stop(block: &[u8; BYTES]) -> usize {
    // A loop of this form becomes a few vector instructions; one over `zip` a call beside them.
    let mut stops = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        let byte = block[at];
        stops[at] = u8::from((byte == b'"') | (byte == b'\\') | (byte < 0x20));
        at += 1;
    }
    let (low, high) = (half(&stops, 0), half(&stops, 1));
    let (half, start) = if low != 0 { (low, 0) } else { (high, 16) };
    start + half.trailing_zeros() as usize / 8
}

#[inline(always)]
fn half(block: &[u8; BYTES], at: usize) -> u128 {
    u128::from_le_bytes(block.as_chunks().0[at])
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
