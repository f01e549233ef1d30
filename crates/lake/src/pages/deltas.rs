//! Numbers that are stored as differences: Parquet's DELTA_BINARY_PACKED.
//!
//! ```text
//!   block size | miniblocks of a block | count | first number
//!   block: least difference | a width for each miniblock | miniblocks: differences above the least,
//!          bit by bit
//! ```

use parquet::errors::Result;

use super::cut_short;
use super::varints::Varints;

/// What a page may say of its blocks; more is damage.
const BLOCK_MAX: u64 = 1 << 16;

/// The first `count` numbers.
pub fn deltas(bytes: &[u8], count: usize) -> Result<Vec<i64>> {
    let mut numbers = Vec::new();
    push_deltas(bytes, count, &mut numbers)?;
    Ok(numbers)
}

/// Appends the first `count` numbers.
pub fn push_deltas(bytes: &[u8], count: usize, numbers: &mut Vec<i64>) -> Result<()> {
    let mut reader = Varints { rest: bytes };
    let (block, miniblocks) = (reader.unsigned()?, reader.unsigned()?);
    let (total, mut number) = (reader.unsigned()?, reader.signed()?);
    let is_sound = (1..=BLOCK_MAX).contains(&block) && (1..=block).contains(&miniblocks);
    if !is_sound || total < count as u64 {
        return Err(cut_short());
    }
    let of_miniblock = (block / miniblocks) as usize;
    numbers.reserve(count);
    let end = numbers.len() + count;
    if count > 0 {
        numbers.push(number);
    }
    while numbers.len() < end {
        let least = reader.signed()?;
        let widths = take(&mut reader.rest, miniblocks as usize);
        for &width in widths {
            let here = of_miniblock.min(end - numbers.len());
            if here == 0 {
                break;
            }
            let packed = reader.rest;
            take(&mut reader.rest, (of_miniblock * usize::from(width)).div_ceil(8));
            let mut at = 0;
            for _ in 0..here {
                let above = bits(packed, at, width).ok_or_else(cut_short)?;
                at += usize::from(width);
                number = number.wrapping_add(least).wrapping_add(above.cast_signed());
                numbers.push(number);
            }
        }
    }
    Ok(())
}

/// The next bytes, as many as there are: the last miniblocks may be left out.
fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(len.min(rest.len()));
    *rest = left;
    taken
}

/// `width` bits from the bit `at`, the lowest first.
#[inline(always)]
fn bits(bytes: &[u8], at: usize, width: u8) -> Option<u64> {
    // With the bits before it in its first byte it fits in a word.
    match bytes.get(at / 8..).and_then(<[u8]>::first_chunk) {
        Some(word) if width <= 56 => {
            Some(u64::from_le_bytes(*word) >> (at % 8) & ((1 << width) - 1))
        }
        _ => rare_bits(bytes, at, width),
    }
}

#[cold]
fn rare_bits(bytes: &[u8], at: usize, width: u8) -> Option<u64> {
    if width == 0 {
        return Some(0);
    }
    let rest = bytes.get(at / 8..)?;
    let mut word = [0; 16];
    let here = rest.len().min(9);
    word[..here].copy_from_slice(&rest[..here]);
    let mask = u64::MAX.checked_shr(64_u32.checked_sub(u32::from(width))?)?;
    Some((u128::from_le_bytes(word) >> (at % 8)) as u64 & mask)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_format() {
        // 7, 5, 3, 1, 2, 3, 4, 5 in one block of 128 numbers with 4 miniblocks.
        let packed = [0xc0, 0x3f];
        let bytes = [&[0x80, 1, 4, 8, 14, 3, 2, 0, 0, 0][..], &packed, &[0; 6]].concat();
        assert_eq!(deltas(&bytes, 8).unwrap(), [7, 5, 3, 1, 2, 3, 4, 5]);
        assert_eq!(deltas(&bytes, 3).unwrap(), [7, 5, 3]);
        assert!(deltas(&bytes, 9).is_err());
        assert!(deltas(&bytes[..5], 8).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_numbers_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(numbers) = deltas(&bytes, 20) {
                prop_assert_eq!(numbers.len(), 20);
            }
        }
    }
}
