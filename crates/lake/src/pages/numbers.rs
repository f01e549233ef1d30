//! Small numbers as Parquet packs them: levels, and codes of dictionaries.
//!
//! ```text
//!   run     header: count * 2       | the number, in whole bytes
//!   packed  header: groups * 2 + 1  | 8 numbers for each group, bit by bit, the lowest first
//! ```

use parquet::errors::Result;

use super::cut_short;
use super::varints::Varints;

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
        match header(&mut bytes)? {
            Header::Packed { groups } => {
                let packed = groups.checked_mul(width as usize).ok_or_else(cut_short)?;
                // A writer may leave out the bytes that only fill the last group.
                let packed = packed.min(bytes.len());
                let here = (packed * 8 / width as usize).min(missing);
                if here == 0 {
                    return Err(cut_short());
                }
                let from = to.len();
                to.resize(from + here, 0);
                unpack(&bytes[..packed], width as usize, &mut to[from..])?;
                bytes = &bytes[packed..];
            }
            Header::Run { count } => {
                let (number, rest) = value(bytes, width as usize)?;
                if count == 0 {
                    return Err(cut_short());
                }
                to.resize(to.len() + count.min(missing), number);
                bytes = rest;
            }
        }
    }
    Ok(())
}

/// Numbers of which some are wanted, in ascending order.
pub struct Runs<'a> {
    rest: &'a [u8],
    width: usize,
    run: Run<'a>,
    /// The places of the run.
    begin: usize,
    end: usize,
}

enum Run<'a> {
    Packed(&'a [u8]),
    Same(u32),
}

impl<'a> Runs<'a> {
    pub fn new(bytes: &'a [u8], width: u32) -> Result<Runs<'a>> {
        if width > u32::BITS {
            return Err(cut_short());
        }
        // Numbers without bits are all 0, and nothing has to say how many there are.
        let end = if width == 0 { usize::MAX } else { 0 };
        Ok(Runs { rest: bytes, width: width as usize, run: Run::Same(0), begin: 0, end })
    }

    /// The number at a place, which is none before the last one.
    #[inline]
    pub fn at(&mut self, place: usize) -> Result<u32> {
        while place >= self.end {
            self.next()?;
        }
        match self.run {
            Run::Same(number) => Ok(number),
            Run::Packed(bytes) => packed(bytes, (place - self.begin) * self.width, self.width),
        }
    }

    #[cold]
    fn next(&mut self) -> Result<()> {
        self.begin = self.end;
        let count = match header(&mut self.rest)? {
            Header::Packed { groups } => {
                let bytes = groups.checked_mul(self.width).ok_or_else(cut_short)?;
                // A writer may leave out the bytes that only fill the last group.
                let (packed, rest) = self.rest.split_at(bytes.min(self.rest.len()));
                (self.run, self.rest) = (Run::Packed(packed), rest);
                groups.checked_mul(8)
            }
            Header::Run { count } => {
                let (number, rest) = value(self.rest, self.width)?;
                (self.run, self.rest) = (Run::Same(number), rest);
                Some(count)
            }
        };
        self.end = count.and_then(|count| self.begin.checked_add(count)).ok_or_else(cut_short)?;
        Ok(())
    }
}

/// The number of a run, and what comes after it.
fn value(bytes: &[u8], width: usize) -> Result<(u32, &[u8])> {
    let (number, rest) = bytes.split_at_checked(width.div_ceil(8)).ok_or_else(cut_short)?;
    let mut whole = [0; 4];
    whole[..number.len()].copy_from_slice(number);
    Ok((u32::from_le_bytes(whole), rest))
}

/// `width` bits from the bit `at`, the lowest first.
#[inline]
fn packed(bytes: &[u8], at: usize, width: usize) -> Result<u32> {
    let rest = bytes.get(at / 8..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None if rest.len() * 8 < at % 8 + width => return Err(cut_short()),
        None => {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            u64::from_le_bytes(word)
        }
    };
    Ok((word >> (at % 8) & (u64::from(u32::MAX) >> (32 - width))) as u32)
}

/// Appends the places of the ones among `count` numbers of one bit, and `first` to each.
pub fn ones(mut bytes: &[u8], count: usize, first: u32, to: &mut Vec<u32>) -> Result<()> {
    let mut at = 0;
    while at < count {
        let missing = count - at;
        match header(&mut bytes)? {
            Header::Packed { groups } => {
                let (packed, rest) = bytes.split_at(groups.min(bytes.len()));
                bytes = rest;
                if packed.is_empty() {
                    return Err(cut_short());
                }
                for (place, eight) in
                    packed[..packed.len().min(missing.div_ceil(8))].iter().enumerate()
                {
                    let mut eight = *eight;
                    // The bits that fill the last group say nothing.
                    if missing - place * 8 < 8 {
                        eight &= (1 << (missing - place * 8)) - 1;
                    }
                    while eight != 0 {
                        to.push(first + (at + place * 8) as u32 + eight.trailing_zeros());
                        eight &= eight - 1;
                    }
                }
                at += packed.len() * 8;
            }
            Header::Run { count: run } => {
                let (number, rest) = value(bytes, 1)?;
                bytes = rest;
                let run = run.min(missing);
                if run == 0 {
                    return Err(cut_short());
                }
                if number & 1 == 1 {
                    to.extend(first + at as u32..first + (at + run) as u32);
                }
                at += run;
            }
        }
    }
    Ok(())
}

/// Are they `count` times the same number, of less than 8 bits, in one run?
pub fn is_all(mut bytes: &[u8], number: u32, count: usize) -> bool {
    match header(&mut bytes) {
        Ok(Header::Run { count: run }) => {
            run >= count && bytes.first().is_some_and(|found| u32::from(*found) == number)
        }
        _ => false,
    }
}

enum Header {
    Packed { groups: usize },
    Run { count: usize },
}

fn header(bytes: &mut &[u8]) -> Result<Header> {
    let mut reader = Varints { rest: bytes };
    let header = reader.unsigned()?;
    *bytes = reader.rest;
    let length = usize::try_from(header >> 1).map_err(|_| cut_short())?;
    Ok(match header & 1 {
        1 => Header::Packed { groups: length },
        _ => Header::Run { count: length },
    })
}

fn unpack(bytes: &[u8], width: usize, to: &mut [u32]) -> Result<()> {
    let done = match width {
        1 => groups::<1>(bytes, to),
        2 => groups::<2>(bytes, to),
        3 => groups::<3>(bytes, to),
        4 => groups::<4>(bytes, to),
        5 => groups::<5>(bytes, to),
        6 => groups::<6>(bytes, to),
        7 => groups::<7>(bytes, to),
        8 => groups::<8>(bytes, to),
        9 => groups::<9>(bytes, to),
        10 => groups::<10>(bytes, to),
        11 => groups::<11>(bytes, to),
        12 => groups::<12>(bytes, to),
        13 => groups::<13>(bytes, to),
        14 => groups::<14>(bytes, to),
        15 => groups::<15>(bytes, to),
        16 => groups::<16>(bytes, to),
        17 => groups::<17>(bytes, to),
        18 => groups::<18>(bytes, to),
        // No row group has as many values.
        _ => 0,
    };
    for (place, number) in to.iter_mut().enumerate().skip(done) {
        *number = packed(bytes, place * width, width)?;
    }
    Ok(())
}

/// Unpacks whole groups, and answers how many numbers that were. The compiler knows the width.
fn groups<const WIDTH: usize>(bytes: &[u8], to: &mut [u32]) -> usize {
    let mask = u32::MAX >> (32 - WIDTH);
    let mut done = 0;
    for (group, eight) in bytes.chunks_exact(WIDTH).zip(to.chunks_exact_mut(8)) {
        let mut padded = [0; 24];
        padded[..WIDTH].copy_from_slice(group);
        for (place, number) in eight.iter_mut().enumerate() {
            let at = place * WIDTH / 8;
            let four = [padded[at], padded[at + 1], padded[at + 2], padded[at + 3]];
            *number = u32::from_le_bytes(four) >> (place * WIDTH % 8) & mask;
        }
        done += 8;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], width: u32, expected: &[u32]) {
        let mut found = Vec::new();
        numbers(bytes, width, expected.len(), &mut found).unwrap();
        assert_eq!(found, expected);
        for step in [1, 3, 10] {
            let mut runs = Runs::new(bytes, width).unwrap();
            for (place, number) in expected.iter().enumerate().step_by(step) {
                assert_eq!(runs.at(place).unwrap(), *number, "{place} by {step}");
            }
        }
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
    fn ones_are_found_in_runs_and_between() {
        let found = |bytes: &[u8], count| {
            let mut found = Vec::new();
            ones(bytes, count, 100, &mut found).map(|()| found)
        };
        // 8 packed, 3 times 1, 9 times 0, 8 packed of which 2 are left.
        let bytes = [3, 0b1000_0001, 6, 1, 18, 0, 3, 0xff];
        assert_eq!(found(&bytes, 22).unwrap(), [100, 107, 108, 109, 110, 120, 121]);
        assert_eq!(found(&bytes, 9).unwrap(), [100, 107, 108]);
        assert!(found(&bytes, 29).is_err());
        assert!(found(&[0, 1], 1).is_err());
        assert!(found(&[1], 1).is_err());
    }

    #[test]
    fn one_run_is_told_from_several() {
        assert!(is_all(&[10, 1], 1, 5));
        for (bytes, number, count) in [(&[10, 1][..], 1, 6), (&[10, 1], 0, 5), (&[3, 0xff], 1, 5)] {
            assert!(!is_all(bytes, number, count), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        for bytes in [&[][..], &[3][..], &[4][..], &[0, 0][..], &[0x80][..]] {
            assert!(numbers(bytes, 3, 5, &mut Vec::new()).is_err(), "{bytes:?}");
            assert!(Runs::new(bytes, 3).unwrap().at(4).is_err(), "{bytes:?}");
        }
    }
}
