//! Small numbers as Parquet packs them: levels, and codes of dictionaries.
//!
//! ```text
//!   run     header: count * 2       | the number, in whole bytes
//!   packed  header: groups * 2 + 1  | 8 numbers for each group, bit by bit, the lowest first
//! ```

use parquet::errors::Result;

use super::cut_short;

/// Appends `count` numbers of `width` bits.
pub fn numbers(mut bytes: &[u8], width: u32, count: usize, to: &mut Vec<u32>) -> Result<()> {
    if width > u32::BITS {
        return Err(cut_short());
    }
    let end = to.len() + count;
    if width == 0 {
        to.resize(end, 0);
    }
    while to.len() < end {
        let missing = end - to.len();
        let header = header(&mut bytes)?;
        let (is_packed, length) = (header & 1 == 1, usize::try_from(header >> 1).unwrap_or(0));
        if is_packed {
            let packed = length.checked_mul(width as usize).ok_or_else(cut_short)?;
            // A writer may leave out the bytes that only fill the last group.
            let packed = packed.min(bytes.len());
            let here = packed * 8 / width as usize;
            if here == 0 {
                return Err(cut_short());
            }
            unpack(&bytes[..packed], width, here.min(missing), to);
            bytes = &bytes[packed..];
        } else {
            let value_bytes = width.div_ceil(8) as usize;
            let value = bytes.get(..value_bytes).ok_or_else(cut_short)?;
            let mut whole = [0; 4];
            whole[..value_bytes].copy_from_slice(value);
            if length == 0 {
                return Err(cut_short());
            }
            to.resize(to.len() + length.min(missing), u32::from_le_bytes(whole));
            bytes = &bytes[value_bytes..];
        }
    }
    Ok(())
}

fn header(bytes: &mut &[u8]) -> Result<u64> {
    let mut header = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or_else(cut_short)?;
        *bytes = rest;
        header |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(header);
        }
    }
    Err(cut_short())
}

fn unpack(bytes: &[u8], width: u32, count: usize, to: &mut Vec<u32>) {
    let width = width as usize;
    let mask = u64::from(u32::MAX) >> (32 - width);
    // So far eight bytes can be taken wherever a number begins.
    let whole = bytes.len().saturating_sub(7) * 8 / width;
    let quick = whole.min(count);
    to.extend((0..quick).map(|place| {
        let bit = place * width;
        let at = bit / 8;
        let word = u64::from_le_bytes([
            bytes[at],
            bytes[at + 1],
            bytes[at + 2],
            bytes[at + 3],
            bytes[at + 4],
            bytes[at + 5],
            bytes[at + 6],
            bytes[at + 7],
        ]);
        (word >> (bit % 8) & mask) as u32
    }));
    to.extend((quick..count).map(|place| {
        let bit = place * width;
        let rest = &bytes[bit / 8..];
        let mut word = [0; 8];
        let here = rest.len().min(8);
        word[..here].copy_from_slice(&rest[..here]);
        (u64::from_le_bytes(word) >> (bit % 8) & mask) as u32
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], width: u32, expected: &[u32]) {
        let mut found = Vec::new();
        numbers(bytes, width, expected.len(), &mut found).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn runs_and_packed_numbers_come_in_order() {
        // The example of the format: 0 to 7 in 3 bits each.
        check(&[3, 0x88, 0xc6, 0xfa], 3, &[0, 1, 2, 3, 4, 5, 6, 7]);
        check(&[8, 9, 3, 0x88, 0xc6, 0xfa, 4, 5], 3, &[9, 9, 9, 9, 0, 1, 2, 3, 4, 5, 6, 7, 5, 5]);
        check(&[10, 0x34, 0x12], 12, &[0x1234; 5]);
        check(&[], 0, &[0, 0, 0]);
    }

    #[test]
    fn every_width_is_unpacked() {
        for width in 1..=32_u32 {
            let expected: Vec<u32> =
                (0..72_u32).map(|n| n.wrapping_mul(0x9e37_79b9) >> (32 - width)).collect();
            let mut bytes = vec![0; 9 * width as usize];
            for (place, number) in expected.iter().enumerate() {
                for bit in (0..width as usize).filter(|bit| number >> bit & 1 == 1) {
                    let at = place * width as usize + bit;
                    bytes[at / 8] |= 1 << (at % 8);
                }
            }
            bytes.insert(0, 9 * 2 + 1);
            check(&bytes, width, &expected);
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        for bytes in [&[][..], &[3][..], &[4][..], &[0, 0][..], &[0x80][..]] {
            assert!(numbers(bytes, 3, 5, &mut Vec::new()).is_err(), "{bytes:?}");
        }
    }
}
