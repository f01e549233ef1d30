//! What is kept in memory because making it again takes longer than looking it up. What was not used
//! for longest goes first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

#[derive(Debug)]
pub struct Cache<K, V> {
    kept: Mutex<Kept<K, V>>,
    /// All values together, in bytes.
    memory_max: usize,
}

#[derive(Debug)]
struct Kept<K, V> {
    values: HashMap<K, Value<V>>,
    memory: usize,
    /// Counts uses.
    time: u64,
}

#[derive(Debug)]
struct Value<V> {
    value: V,
    memory: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub fn new(memory_max: usize) -> Self {
        let kept = Kept { values: HashMap::new(), memory: 0, time: 0 };
        Cache { kept: Mutex::new(kept), memory_max }
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K, V>> {
        self.kept.lock().expect("no holder of this lock can panic")
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let mut kept = self.kept();
        kept.time += 1;
        let time = kept.time;
        let found = kept.values.get_mut(key)?;
        found.used = time;
        Some(found.value.clone())
    }

    /// Keeps a value that takes so many bytes.
    pub fn put(&self, key: K, value: V, memory: usize) {
        let mut kept = self.kept();
        kept.time += 1;
        let value = Value { value, memory, used: kept.time };
        kept.memory += memory;
        if let Some(old) = kept.values.insert(key, value) {
            kept.memory -= old.memory;
        }
        if kept.memory > self.memory_max {
            kept.forget(self.memory_max / 8 * 7);
        }
    }
}

impl<K: Hash + Eq + Clone, V> Kept<K, V> {
    /// Several at once, so that looking for the oldest is seldom.
    fn forget(&mut self, memory: usize) {
        let mut by_use: Vec<(u64, K)> =
            self.values.iter().map(|(key, value)| (value.used, key.clone())).collect();
        by_use.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in by_use {
            if self.memory <= memory {
                break;
            }
            if let Some(old) = self.values.remove(&key) {
                self.memory -= old.memory;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = Cache::new(800);
        for key in 0..8 {
            cache.put(key, key * 10, 100);
        }
        // The same again takes no more.
        cache.put(5, 55, 100);
        assert_eq!(cache.kept().memory, 800);
        assert_eq!(cache.get(&0), Some(0));
        cache.put(8, 80, 100);
        let found: Vec<Option<i32>> = (0..9).map(|key| cache.get(&key)).collect();
        let expected =
            [Some(0), None, None, Some(30), Some(40), Some(55), Some(60), Some(70), Some(80)];
        assert_eq!(found, expected);
        assert_eq!(cache.kept().memory, 700);
    }
}
