//! So many calls a second for each caller, and no more.
//!
//! A bucket of one second's calls, filled steadily: who was quiet may make them all at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

#[derive(Debug)]
pub struct Throttle<K> {
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    calls: f64,
    at: Duration,
}

/// Full buckets are forgotten when there are this many.
const BUCKETS_MAX: usize = 10_000;

impl<K> Default for Throttle<K> {
    fn default() -> Throttle<K> {
        Throttle { buckets: Mutex::default() }
    }
}

impl<K: Eq + Hash> Throttle<K> {
    /// May this caller make one more call now? `elapsed` never goes back.
    pub fn admits(&self, who: K, per_second: u32, elapsed: Duration) -> bool {
        let calls_max = f64::from(per_second);
        let filled = |bucket: &Bucket| {
            let passed = elapsed.saturating_sub(bucket.at).as_secs_f64();
            (bucket.calls + passed * calls_max).min(calls_max)
        };
        let mut buckets = self.buckets.lock().expect("no holder of this lock can panic");
        if buckets.len() >= BUCKETS_MAX {
            buckets.retain(|_, bucket| filled(bucket) < calls_max);
        }
        let bucket = buckets.entry(who).or_insert(Bucket { calls: calls_max, at: elapsed });
        let calls = filled(bucket);
        let admitted = calls >= 1.0;
        *bucket = Bucket { calls: if admitted { calls - 1.0 } else { calls }, at: elapsed };
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_a_second_are_two_a_second_for_each() {
        let throttle = Throttle::default();
        let at = Duration::from_millis;
        let admitted = |who, ms| throttle.admits(who, 2, at(ms));
        assert_eq!([0, 0, 0, 499].map(|ms| admitted("a", ms)), [true, true, false, false]);
        assert!(admitted("b", 499));
        assert_eq!([500, 500, 1_000].map(|ms| admitted("a", ms)), [true, false, true]);
        assert_eq!([9_000, 9_000, 9_000].map(|ms| admitted("a", ms)), [true, true, false]);
    }
}
