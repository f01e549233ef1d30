//! Small numbers as Parquet packs them; [`crate::pages`] reads them.
//!
//! ```text
//!   run     header: count * 2       | the number, in whole bytes
//!   packed  header: groups * 2 + 1  | 8 numbers for each group, bit by bit, the lowest first
//! ```

/// A shorter run is packed with what is around it.
const RUN_MIN: usize = 16;

/// How many bits it takes to tell numbers up to this one apart; 1 at least, since not every reader
/// knows numbers without bits.
pub fn width_of(max: u32) -> u32 {
    (u32::BITS - max.leading_zeros()).max(1)
}

/// Appends numbers of `width` bits.
pub fn put_numbers(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    // Those from `begin` to `at` are to be packed.
    let (mut begin, mut at) = (0, 0);
    while at < numbers.len() {
        let number = numbers[at];
        let run = numbers[at..].iter().take_while(|next| **next == number).count();
        // Only whole groups are packed before a run, so that it gives some of its numbers to the last.
        let given = (begin..at).len().next_multiple_of(8) - (at - begin);
        if run < RUN_MIN + given {
            at += run;
            continue;
        }
        put_packed(&numbers[begin..at + given], width, to);
        put_header(((run - given) as u64) << 1, to);
        to.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
        at += run;
        begin = at;
    }
    put_packed(&numbers[begin..], width, to);
}

/// Packs numbers; the last group is filled up.
fn put_packed(numbers: &[u32], width: u32, to: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(8);
    put_header((groups as u64) << 1 | 1, to);
    let end = to.len() + groups * width as usize;
    let (mut word, mut bits) = (0_u64, 0);
    for number in numbers {
        word |= u64::from(*number) << bits;
        bits += width;
        if bits >= u32::BITS {
            to.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= u32::BITS;
            bits -= u32::BITS;
        }
    }
    to.extend_from_slice(&word.to_le_bytes());
    to.resize(end, 0);
}

fn put_header(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pages::numbers::numbers;

    proptest! {
        #[test]
        fn what_was_packed_comes_back(
            runs in prop::collection::vec((any::<u32>(), 1..60_usize), 0..20),
            width in 1..=32_u32,
        ) {
            let mask = u32::MAX >> (32 - width);
            let written: Vec<u32> = runs
                .into_iter()
                .flat_map(|(number, count)| std::iter::repeat_n(number & mask, count))
                .collect();
            let mut bytes = Vec::new();
            put_numbers(&written, width, &mut bytes);
            let mut read = Vec::new();
            numbers(&bytes, width, written.len(), &mut read).unwrap();
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn one_number_is_one_run() {
        let mut bytes = Vec::new();
        put_numbers(&[1; 4096], 1, &mut bytes);
        assert_eq!(bytes, [0x80, 0x40, 1]);
    }
}
