//! The time of an event.

use jiff::Timestamp;

/// Reads an event's time. `YYYY-MM-DDTHH:MM:SSZ` takes the short way; a fraction of a second, an
/// offset such as `+02:00`, a small `z` and a missing zone (then UTC, as `PutAuditEvents` writes
/// it) are read too. `None` when the text is no instant.
pub fn event_time(text: &str) -> Option<Timestamp> {
    whole_seconds_utc(text.as_bytes()).or_else(|| any_instant(text))
}

fn whole_seconds_utc(text: &[u8]) -> Option<Timestamp> {
    let text: &[u8; 20] = text.try_into().ok()?;
    if [text[4], text[7], text[10], text[13], text[16], text[19]] != *b"--T::Z" {
        return None;
    }
    let two = |at: usize| -> Option<i64> {
        let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
    };
    let year = two(0)? * 100 + two(2)?;
    let (month, day) = (two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let last_day = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return None,
    };
    // A 60th second is a leap second: rare enough for the long way.
    if day < 1 || day > last_day || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    Timestamp::from_second(days * 86_400 + hour * 3_600 + minute * 60 + second).ok()
}

/// Days between 1970-01-01 and a day of the Gregorian calendar. Years are counted from March, so
/// that the leap day comes last, and in eras of 400 years, which have 146,097 days each.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_EPOCH: i64 = 719_468; // from 0000-03-01 to 1970-01-01
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - DAYS_TO_EPOCH
}

fn any_instant(text: &str) -> Option<Timestamp> {
    // jiff would also read a time zone in brackets and dates without hyphens; we do not.
    let shaped = text.len() >= 19 && text.as_bytes()[4] == b'-' && !text.contains('[');
    if !shaped {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    Some(local.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(event_time(text).map(|t| t.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn the_forms_of_the_wild_are_read() {
        check("2026-01-02T03:04:05Z", Some("2026-01-02T03:04:05Z"));
        check("2023-01-03T02:22:28z", Some("2023-01-03T02:22:28Z"));
        check("2026-01-02T03:04:05.250Z", Some("2026-01-02T03:04:05.25Z"));
        check("2026-01-02T03:04:05+02:00", Some("2026-01-02T01:04:05Z"));
        check("2026-01-02T03:04:05", Some("2026-01-02T03:04:05Z"));
        check("2024-02-29T23:59:59Z", Some("2024-02-29T23:59:59Z"));
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_instant_is_not() {
        for text in [
            "",
            "...",
            "eventTime",
            "2014-03-06T21: 22: 54Z",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-00T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01",
            "1700000000",
            "２０２３-01-01T00:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_short_way_agrees_with_jiff_on_every_day() {
        let mut day = jiff::civil::date(1896, 12, 25);
        while day < jiff::civil::date(2405, 1, 5) {
            let text = format!("{day}T12:34:56Z");
            assert_eq!(whole_seconds_utc(text.as_bytes()), text.parse().ok(), "{text}");
            day = day.tomorrow().unwrap();
        }
    }
}
