//! Distinct values, numbered as they come.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The values lie one behind the other.
#[derive(Debug, Default)]
pub struct Distinct {
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// Of each value; and where it ends.
    hashes: Vec<u64>,
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Distinct {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many bytes all values together have.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn value(&self, number: u32) -> &[u8] {
        value(&self.bytes, &self.ends, number)
    }

    pub fn values(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|number| self.value(number))
    }

    #[inline]
    pub fn number_of(&mut self, wanted: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(wanted);
        let is_it = |number: &u32| value(&self.bytes, &self.ends, *number) == wanted;
        if let Some(number) = self.numbers.find(hash, is_it) {
            return *number;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(wanted);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        self.numbers.insert_unique(hash, number, |number| self.hashes[*number as usize]);
        number
    }
}

#[inline]
fn value<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let begin = number.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[begin..ends[number]]
}
