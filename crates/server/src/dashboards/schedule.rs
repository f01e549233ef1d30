//! When a dashboard is refreshed by itself.
//!
//! ```text
//!   every 6 hours, TimeOfDay 02:30:   02:30   08:30   14:30   20:30      UTC, every day the same
//! ```
//! Every frequency divides the day, so the times are those with the same remainder as TimeOfDay: with a
//! frequency of one hour only its minutes count. API reference, RefreshSchedule: "the time of day in UTC
//! to run the schedule; for hourly only refer to minutes; default is 00:00".

use api::cloudtrail::{
    RefreshSchedule as ApiSchedule, RefreshScheduleFrequency as ApiFrequency, values,
};
use catalog::{Every, RefreshSchedule};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// The longest time between two refreshes.
pub const DAY_MS: i64 = 24 * HOUR_MS;
const MIDNIGHT: &str = "00:00";

/// A schedule that cannot be kept, for the one who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSchedule(String);

/// The schedule that was there, with what is given put in its place. A new one is enabled unless it says
/// otherwise.
pub fn resolved(
    before: Option<&RefreshSchedule>,
    given: &ApiSchedule,
) -> Result<RefreshSchedule, InvalidSchedule> {
    let every = match &given.frequency {
        Some(frequency) => Some(every_of(frequency)?),
        None => before.and_then(|before| before.every),
    };
    let is_enabled = match given.status.as_deref() {
        Some(status) => status == values::refresh_schedule_status::ENABLED,
        None => before.is_none_or(|before| before.is_enabled),
    };
    let time_of_day = match &given.time_of_day {
        Some(text) => {
            minutes_of(text).ok_or_else(|| {
                let message = "it must be a time in UTC from 00:00 to 23:59";
                InvalidSchedule(format!("TimeOfDay is {text:?}; {message}."))
            })?;
            Some(text.clone())
        }
        None => before.and_then(|before| before.time_of_day.clone()),
    };
    if is_enabled && every.is_none() {
        return Err(InvalidSchedule(
            "A RefreshSchedule that is ENABLED needs a Frequency.".to_owned(),
        ));
    }
    Ok(RefreshSchedule { every, is_enabled, time_of_day })
}

/// API reference, RefreshScheduleFrequency: 1, 6, 12 or 24 HOURS, or 1 DAYS.
fn every_of(frequency: &ApiFrequency) -> Result<Every, InvalidSchedule> {
    let unit = frequency.unit.as_deref().unwrap_or_default();
    match (unit, frequency.value) {
        (values::refresh_schedule_frequency_unit::HOURS, Some(1)) => Ok(Every::Hours(1)),
        (values::refresh_schedule_frequency_unit::HOURS, Some(6)) => Ok(Every::Hours(6)),
        (values::refresh_schedule_frequency_unit::HOURS, Some(12)) => Ok(Every::Hours(12)),
        (values::refresh_schedule_frequency_unit::HOURS, Some(24)) => Ok(Every::Hours(24)),
        (values::refresh_schedule_frequency_unit::DAYS, Some(1)) => Ok(Every::Day),
        _ => Err(InvalidSchedule(
            "The Frequency of a RefreshSchedule must be 1, 6, 12 or 24 HOURS, or 1 DAYS."
                .to_owned(),
        )),
    }
}

/// As the API shows it.
pub fn shown(schedule: &RefreshSchedule) -> ApiSchedule {
    let frequency = schedule.every.map(|every| match every {
        Every::Hours(hours) => (values::refresh_schedule_frequency_unit::HOURS, i32::from(hours)),
        Every::Day => (values::refresh_schedule_frequency_unit::DAYS, 1),
    });
    let status = match schedule.is_enabled {
        true => values::refresh_schedule_status::ENABLED,
        false => values::refresh_schedule_status::DISABLED,
    };
    ApiSchedule {
        frequency: frequency
            .map(|(unit, value)| ApiFrequency { unit: Some(unit.to_owned()), value: Some(value) }),
        status: Some(status.to_owned()),
        time_of_day: Some(schedule.time_of_day.clone().unwrap_or_else(|| MIDNIGHT.to_owned())),
    }
}

/// The first time after `now_ms` at which a refresh is due; none if the schedule is disabled. Both are
/// milliseconds since 1970, where days of UTC begin at multiples of a day.
pub fn next_after(schedule: &RefreshSchedule, now_ms: i64) -> Option<i64> {
    let step_ms = match schedule.every? {
        Every::Hours(hours) => i64::from(hours) * HOUR_MS,
        Every::Day => DAY_MS,
    };
    if !schedule.is_enabled {
        return None;
    }
    let minutes = schedule.time_of_day.as_deref().and_then(minutes_of).unwrap_or(0);
    let since_ms = (now_ms - minutes * MINUTE_MS).rem_euclid(step_ms);
    Some(now_ms - since_ms + step_ms)
}

/// Minutes after midnight. The model's pattern lets more through.
fn minutes_of(text: &str) -> Option<i64> {
    let [h1, h2, b':', m1, m2] = *text.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| {
        let is_number = tens.is_ascii_digit() && ones.is_ascii_digit();
        is_number.then(|| i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn schedule(every: Every, time_of_day: &str) -> RefreshSchedule {
        RefreshSchedule {
            every: Some(every),
            is_enabled: true,
            time_of_day: Some(time_of_day.to_owned()),
        }
    }

    #[track_caller]
    fn check(every: Every, time_of_day: &str, now: &str, expected: &str) {
        let now: Timestamp = now.parse().expect("a time");
        let next = next_after(&schedule(every, time_of_day), now.as_millisecond());
        let next = next.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        assert_eq!(next.map(|next| next.to_string()).as_deref(), Some(expected));
    }

    #[test]
    fn the_next_time_has_the_remainder_of_the_time_of_day() {
        check(Every::Hours(6), "02:30", "2026-11-23T10:00:00Z", "2026-11-23T14:30:00Z");
        check(Every::Hours(6), "02:30", "2026-11-23T21:00:00Z", "2026-11-24T02:30:00Z");
        check(Every::Hours(6), "20:30", "2026-11-23T01:00:00Z", "2026-11-23T02:30:00Z");
        check(Every::Hours(12), "00:00", "2026-12-31T12:00:00.001Z", "2027-01-01T00:00:00Z");
        check(Every::Hours(24), "09:15", "2026-11-23T10:00:00Z", "2026-11-24T09:15:00Z");
        check(Every::Day, "09:15", "2026-11-23T09:00:00Z", "2026-11-23T09:15:00Z");
    }

    #[test]
    fn every_hour_only_the_minutes_count() {
        for hours in ["00", "07", "23"] {
            let time = format!("{hours}:45");
            check(Every::Hours(1), &time, "2026-11-23T10:44:59.999Z", "2026-11-23T10:45:00Z");
            check(Every::Hours(1), &time, "2026-11-23T10:45:00Z", "2026-11-23T11:45:00Z");
        }
    }

    #[test]
    fn the_next_time_is_always_ahead_and_within_the_step() {
        for every in [Every::Hours(1), Every::Hours(6), Every::Hours(12), Every::Day] {
            let step_ms = match every {
                Every::Hours(hours) => i64::from(hours) * HOUR_MS,
                Every::Day => DAY_MS,
            };
            for now_ms in (-DAY_MS..2 * DAY_MS).step_by(1_234_567) {
                let schedule = schedule(every, "17:05");
                let next = next_after(&schedule, now_ms).expect("it is enabled");
                assert!(next > now_ms && next <= now_ms + step_ms, "{every:?} at {now_ms}");
                // A restart at any moment until then finds the same.
                assert_eq!(next_after(&schedule, next - 1), Some(next));
            }
        }
    }

    #[test]
    fn what_is_not_given_stays() {
        let hourly = |value| ApiFrequency { unit: Some("HOURS".to_owned()), value: Some(value) };
        let given = ApiSchedule { frequency: Some(hourly(12)), ..ApiSchedule::default() };
        let first = resolved(None, &given).expect("a schedule");
        assert_eq!(first.every, Some(Every::Hours(12)));
        assert!(first.is_enabled);
        assert_eq!(shown(&first).time_of_day.as_deref(), Some("00:00"));
        let off = ApiSchedule { status: Some("DISABLED".to_owned()), ..ApiSchedule::default() };
        let second = resolved(Some(&first), &off).expect("a schedule");
        assert_eq!(second, RefreshSchedule { is_enabled: false, ..first });
        assert_eq!(next_after(&second, 0), None);
        assert!(resolved(None, &ApiSchedule::default()).is_err());
        assert!(resolved(None, &off).is_ok());
    }

    #[test]
    fn other_frequencies_and_times_are_refused() {
        for (unit, value) in [("HOURS", 2), ("HOURS", 0), ("DAYS", 2), ("DAYS", 24), ("HOURS", -1)]
        {
            let frequency = ApiFrequency { unit: Some(unit.to_owned()), value: Some(value) };
            let given = ApiSchedule { frequency: Some(frequency), ..ApiSchedule::default() };
            assert!(resolved(None, &given).is_err(), "{value} {unit}");
        }
        for text in ["24:00", "12:60", "9:00", "12:00:00", "ab:cd", "", "1२:00"] {
            let time_of_day = Some(text.to_owned());
            let off = Some("DISABLED".to_owned());
            let given = ApiSchedule { time_of_day, status: off, ..ApiSchedule::default() };
            assert!(resolved(None, &given).is_err(), "{text}");
        }
    }
}
