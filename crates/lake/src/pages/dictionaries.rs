//! Dictionaries that are kept in memory, because who asks for one row of a row group asks for another
//! soon, and most of the work is in decompressing them. Those that were not used for longest go first.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use super::Dictionary;

/// All together, in bytes.
const MEMORY_MAX: usize = 128 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// [`crate::table::file::DataFile::number`]
    pub file: u64,
    pub row_group: usize,
    pub place: usize,
}

#[derive(Default)]
struct Kept {
    /// Each with the time of its last use.
    dictionaries: HashMap<Key, (Arc<Dictionary>, u64)>,
    memory: usize,
    /// Counts uses.
    time: u64,
}

static KEPT: LazyLock<Mutex<Kept>> = LazyLock::new(Mutex::default);

fn kept() -> MutexGuard<'static, Kept> {
    KEPT.lock().expect("no holder of this lock can panic")
}

pub fn get(key: &Key) -> Option<Arc<Dictionary>> {
    kept().get(key)
}

pub fn put(key: Key, dictionary: &Arc<Dictionary>) {
    kept().put(key, dictionary, MEMORY_MAX);
}

impl Kept {
    fn get(&mut self, key: &Key) -> Option<Arc<Dictionary>> {
        self.time += 1;
        let (found, used) = self.dictionaries.get_mut(key)?;
        *used = self.time;
        Some(found.clone())
    }

    fn put(&mut self, key: Key, dictionary: &Arc<Dictionary>, memory_max: usize) {
        self.time += 1;
        if let Some((old, _)) = self.dictionaries.insert(key, (dictionary.clone(), self.time)) {
            self.memory -= old.memory();
        }
        self.memory += dictionary.memory();
        if self.memory > memory_max {
            self.forget(memory_max / 8 * 7);
        }
    }

    /// Several at once, so that looking for the oldest is seldom.
    fn forget(&mut self, memory: usize) {
        let mut by_use: Vec<(u64, Key)> =
            self.dictionaries.iter().map(|(key, (_, used))| (*used, *key)).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.memory <= memory {
                break;
            }
            if let Some((old, _)) = self.dictionaries.remove(&key) {
                self.memory -= old.memory();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::Width;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut kept = Kept::default();
        let key = |place| Key { file: 1, row_group: 0, place };
        let dictionary = || {
            let bytes = [&900_u32.to_le_bytes()[..], &[b'x'; 900]].concat();
            Arc::new(Dictionary::new(bytes.into(), 1, Width::Text).unwrap())
        };
        let memory = dictionary().memory();
        for place in 0..8 {
            kept.put(key(place), &dictionary(), 8 * memory);
        }
        // The same again takes no more.
        kept.put(key(5), &dictionary(), 8 * memory);
        assert_eq!(kept.memory, 8 * memory);
        assert!(kept.get(&key(0)).is_some());
        kept.put(key(8), &dictionary(), 8 * memory);
        let is_there: Vec<bool> = (0..9).map(|place| kept.get(&key(place)).is_some()).collect();
        assert_eq!(is_there, [true, false, false, true, true, true, true, true, true]);
        assert_eq!(kept.memory, 7 * memory);
    }
}
