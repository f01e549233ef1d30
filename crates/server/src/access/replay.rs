//! Noticing a signed request that comes a second time.
//!
//! A signature verifies for 15 minutes, so whoever copies a request off the wire can send it again.
//! Retries do the same in good faith: SDKs sign each attempt anew, but times have whole seconds, so
//! an attempt in the same second has the same signature; and HTTP libraries resend on a dropped
//! connection without asking the signer. So a repeat soon after the first sight is a retry, and a
//! later one is a replay. See `docs/decisions/0002-own-sigv4-verifier.md`.

use std::collections::{HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use super::keys::sha256;

/// What a signature is, to the guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Not seen before.
    Fresh,
    /// Seen a moment ago: let it pass, the operation must bear being repeated.
    Retry,
    /// Refuse with [`super::Refusal::Replayed`].
    Replay,
}

/// Remembers signatures while they verify. Bounded: when full, the longest-remembered one goes.
///
/// It forgets on restart, and nodes do not share it.
#[derive(Debug)]
pub struct ReplayGuard {
    entries_max: usize,
    retry_grace: SignedDuration,
    retries_max: u8,
    seen: HashMap<[u8; 32], Sight>,
    oldest_first: VecDeque<[u8; 32]>,
}

#[derive(Debug)]
struct Sight {
    first: Timestamp,
    usable_until: Timestamp,
    repeats: u8,
}

impl Default for ReplayGuard {
    /// A million signatures (about 150 MB when full); five seconds and three repeats of grace.
    fn default() -> Self {
        Self::new(1_000_000, SignedDuration::from_secs(5), 3)
    }
}

impl ReplayGuard {
    /// `entries_max` of zero remembers nothing.
    pub fn new(entries_max: usize, retry_grace: SignedDuration, retries_max: u8) -> Self {
        Self {
            entries_max,
            retry_grace,
            retries_max,
            seen: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    /// Judges a verified signature and remembers it. `usable_until` is the last instant at which it
    /// verifies: past that the verifier refuses it and the guard may forget.
    pub fn judge(
        &mut self,
        signature: &[u8; 32],
        usable_until: Timestamp,
        now: Timestamp,
    ) -> Judgement {
        self.forget_unusable(now);
        // Hashed: a copy of this memory must not be a list of requests to replay.
        let hash = sha256(signature);
        if let Some(sight) = self.seen.get_mut(&hash) {
            let age = now.duration_since(sight.first);
            // A clock that went back makes the age negative: still a repeat, never fresh.
            if age > self.retry_grace || sight.repeats >= self.retries_max {
                return Judgement::Replay;
            }
            sight.repeats += 1;
            return Judgement::Retry;
        }
        if self.entries_max == 0 {
            return Judgement::Fresh;
        }
        if self.seen.len() >= self.entries_max
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(hash, Sight { first: now, usable_until, repeats: 0 });
        self.oldest_first.push_back(hash);
        Judgement::Fresh
    }

    /// From the front only: an entry behind one that lasts longer waits for it.
    fn forget_unusable(&mut self, now: Timestamp) {
        // The verifier counts whole seconds: usable until the end of that second.
        while let Some(oldest) = self.oldest_first.front()
            && self
                .seen
                .get(oldest)
                .is_none_or(|sight| sight.usable_until.as_second() < now.as_second())
        {
            self.seen.remove(oldest);
            self.oldest_first.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Judgement::{Fresh, Replay, Retry};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_440_938_160 + second).unwrap()
    }

    /// Each step: signature, the second it comes, the judgement. All are signed at second 0.
    #[track_caller]
    fn check(entries_max: usize, steps: &[(u8, i64, Judgement)]) {
        let mut guard = ReplayGuard::new(entries_max, SignedDuration::from_secs(5), 3);
        for (nth, (signature, second, expected)) in steps.iter().enumerate() {
            let judged = guard.judge(&[*signature; 32], at(900), at(*second));
            assert_eq!(judged, *expected, "step {nth}");
            assert!(guard.seen.len() <= entries_max);
            assert_eq!(guard.seen.len(), guard.oldest_first.len());
        }
    }

    #[test]
    fn a_repeat_within_the_grace_is_a_retry_and_later_a_replay() {
        check(
            9,
            &[(1, 0, Fresh), (1, 5, Retry), (1, 6, Replay), (1, 900, Replay), (2, 900, Fresh)],
        );
    }

    #[test]
    fn retries_are_counted() {
        check(9, &[(1, 0, Fresh), (1, 0, Retry), (1, 0, Retry), (1, 0, Retry), (1, 0, Replay)]);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_make_a_signature_fresh() {
        check(9, &[(1, 100, Fresh), (1, -500, Retry), (1, 700, Replay)]);
    }

    #[test]
    fn the_longest_remembered_goes_when_the_guard_is_full() {
        check(2, &[(1, 0, Fresh), (2, 0, Fresh), (3, 0, Fresh), (3, 9, Replay), (1, 9, Fresh)]);
        check(0, &[(1, 0, Fresh), (1, 9, Fresh)]);
    }

    #[test]
    fn a_signature_is_forgotten_only_when_it_no_longer_verifies() {
        let mut guard = ReplayGuard::default();
        guard.judge(&[1; 32], at(900), at(0));
        guard.judge(&[2; 32], at(900), at(900));
        assert_eq!(guard.seen.len(), 2);
        guard.judge(&[3; 32], at(2000), at(901));
        assert_eq!(guard.seen.len(), 1);
    }
}
