//! Event history: what happened in the last 90 days, whatever trails and stores there are.

mod lookup_events;

use jiff::{SignedDuration, Timestamp};

pub use lookup_events::lookup_events;

/// AWS: event history goes back 90 days.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The oldest event time that event history shows at `now`, and keeps.
pub fn kept_from(now: Timestamp) -> Timestamp {
    now.checked_sub(KEPT).unwrap_or(Timestamp::MIN)
}
