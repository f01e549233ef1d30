//! The clock seam. Invariant: this file is the only place that reads the machine's clocks.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;

pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The time of day. It may jump, in either direction.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment. It never goes back; use it for ages and intervals.
    fn elapsed(&self) -> Duration;
}

#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    pub fn start() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that only moves when told to, for tests and simulations.
#[derive(Debug)]
pub struct FakeClock {
    at: Mutex<(Timestamp, Duration)>,
}

impl FakeClock {
    pub fn at(now: Timestamp) -> FakeClock {
        FakeClock { at: Mutex::new((now, Duration::ZERO)) }
    }

    /// Time passes: both readings move.
    pub fn pass(&self, time: Duration) {
        let mut at = self.lock();
        at.0 += time;
        at.1 += time;
    }

    /// Somebody sets the clock: the time of day jumps by `seconds`, no time passes.
    pub fn jump(&self, seconds: i64) {
        let mut at = self.lock();
        at.0 += jiff::SignedDuration::from_secs(seconds);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, (Timestamp, Duration)> {
        self.at.lock().expect("no holder of this lock can panic")
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.lock().0
    }

    fn elapsed(&self) -> Duration {
        self.lock().1
    }
}
