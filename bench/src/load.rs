//! When to send, and what to remember of the answers. The same for both servers.
//!
//! ```text
//!   start ── warm-up (not counted) ── from ───────── measured ───────── until ── late answers ──▶
//! ```
//! Without a rate each sender sends again as soon as it has its answer (closed loop). With a rate,
//! batches are due at even intervals whether or not the server keeps up, and a latency counts from
//! the moment the batch was *due*: a server that stalls cannot hide its stall by being asked less
//! (coordinated omission).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// How long a sender that fell behind may still send what was due. The rest counts as errors.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    from: Instant,
    until: Instant,
    interval: Option<Duration>,
    taken: AtomicU64,
}

/// A batch that may be sent now.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    pub nth: u64,
    pub at: Instant,
}

impl Schedule {
    /// `batches_per_s` None means a closed loop.
    pub fn start(warm_up: Duration, measured: Duration, batches_per_s: Option<f64>) -> Schedule {
        let start = Instant::now();
        let from = start + warm_up;
        let interval = batches_per_s.map(|rate| Duration::from_secs_f64(1.0 / rate));
        Schedule { start, from, until: from + measured, interval, taken: AtomicU64::new(0) }
    }

    /// Waits until the next batch is due. None when the time is over.
    pub async fn next(&self) -> Option<Due> {
        let nth = self.taken.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let at = match self.interval {
            None => now,
            Some(interval) => self.start + interval.mul_f64(nth as f64),
        };
        if at >= self.until || now >= self.until + CATCH_UP_MAX {
            return None;
        }
        if at > now {
            tokio::time::sleep_until(at).await;
        }
        Some(Due { nth, at })
    }

    /// Batches that were due and never sent, since all senders were waiting for answers. Ask when
    /// the senders are done; each has then taken one turn too many.
    fn unsent(&self, senders: u64) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let due = (self.until - self.start).as_secs_f64() / interval.as_secs_f64();
        let sent = self.taken.load(Ordering::Relaxed).saturating_sub(senders);
        (due as u64).saturating_sub(sent)
    }
}

/// What one sender saw.
#[derive(Debug, Default)]
pub struct Tally {
    events: u64,
    bytes: u64,
    latencies_us: Vec<u32>,
    errors: u64,
    first_error: Option<String>,
}

impl Tally {
    /// A batch that was due at `due` has just been answered with success.
    pub fn answered(&mut self, schedule: &Schedule, due: Instant, events: usize, bytes: usize) {
        let now = Instant::now();
        if (schedule.from..schedule.until).contains(&now) {
            self.events += events as u64;
            self.bytes += bytes as u64;
        }
        if due >= schedule.from {
            self.latencies_us.push(u32::try_from((now - due).as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// A batch was answered, but not with success.
    pub fn refused(&mut self, reason: String) {
        self.errors += 1;
        self.first_error.get_or_insert(reason);
    }

    pub fn add(&mut self, other: Tally) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.latencies_us.extend(other.latencies_us);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

/// The line that is printed. Bytes are those of the bodies, without protocol; MB is 10^6 bytes.
#[derive(Debug, Serialize)]
pub struct Report {
    pub events_per_s: f64,
    pub mb_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    /// Batches whose latency was measured.
    pub answers: usize,
    /// Batches refused, or due and never sent.
    pub errors: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_error: Option<String>,
}

impl Report {
    pub fn new(schedule: &Schedule, senders: u64, mut tally: Tally) -> Report {
        let unsent = schedule.unsent(senders);
        if unsent > 0 {
            tally.errors += unsent;
            tally
                .first_error
                .get_or_insert(format!("{unsent} batches were due and could not be sent in time"));
        }
        let seconds = (schedule.until - schedule.from).as_secs_f64();
        tally.latencies_us.sort_unstable();
        let at = |quantile: f64| percentile_ms(&tally.latencies_us, quantile);
        Report {
            events_per_s: (tally.events as f64 / seconds).round(),
            mb_per_s: (tally.bytes as f64 / seconds / 1e4).round() / 100.0,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
            answers: tally.latencies_us.len(),
            errors: tally.errors,
            first_error: tally.first_error,
        }
    }
}

/// The smallest value that at least `quantile` of all values do not exceed (nearest rank).
fn percentile_ms(sorted_us: &[u32], quantile: f64) -> f64 {
    let rank = (quantile * sorted_us.len() as f64).ceil() as usize;
    let us = sorted_us.get(rank.saturating_sub(1)).copied().unwrap_or(0);
    f64::from(us) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u32> = (1..=1000).map(|n| n * 1000).collect();
        assert_eq!(percentile_ms(&values, 0.5), 500.0);
        assert_eq!(percentile_ms(&values, 0.99), 990.0);
        assert_eq!(percentile_ms(&values, 0.999), 999.0);
        assert_eq!(percentile_ms(&values, 1.0), 1000.0);
        assert_eq!(percentile_ms(&values[..1], 0.99), 1.0);
        assert_eq!(percentile_ms(&[], 0.5), 0.0);
    }

    /// Ten batches a second for two seconds; the only sender is held up by the server for the
    /// whole of the second one.
    #[tokio::test(start_paused = true)]
    async fn a_stall_counts_for_every_batch_that_was_due_meanwhile() {
        let schedule = Schedule::start(Duration::ZERO, Duration::from_secs(2), Some(10.0));
        let mut tally = Tally::default();
        while let Some(due) = schedule.next().await {
            if due.nth == 10 {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tally.answered(&schedule, due.at, 1, 100);
        }
        let waited_ms: Vec<u32> = tally.latencies_us.iter().map(|us| us / 1000).collect();
        assert_eq!(waited_ms[..10], [0; 10]);
        assert_eq!(waited_ms[10..], [1000, 900, 800, 700, 600, 500, 400, 300, 200, 100]);
        assert_eq!(Report::new(&schedule, 1, tally).errors, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_due_and_never_sent_is_an_error() {
        let schedule = Schedule::start(Duration::ZERO, Duration::from_secs(1), Some(100.0));
        let mut tally = Tally::default();
        while let Some(due) = schedule.next().await {
            tokio::time::sleep(Duration::from_secs(1)).await;
            tally.answered(&schedule, due.at, 1, 100);
        }
        let report = Report::new(&schedule, 1, tally);
        assert_eq!(report.answers as u64 + report.errors, 100);
        assert!(report.errors > 80 && report.first_error.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_warm_up_is_not_counted() {
        let schedule = Schedule::start(Duration::from_secs(1), Duration::from_secs(1), None);
        let mut tally = Tally::default();
        while let Some(due) = schedule.next().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tally.answered(&schedule, due.at, 5, 1000);
        }
        let report = Report::new(&schedule, 1, tally);
        assert!((45.0..=50.0).contains(&report.events_per_s), "{report:?}");
        assert!((9..=11).contains(&report.answers), "{report:?}");
    }
}
