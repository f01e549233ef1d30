//! What the path of a file tells about the events in it.

use std::ops::RangeInclusive;

use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::prune::Conditions;

/// Services that record their events once write them here, whatever the file's path says.
const GLOBAL_REGION: &str = "us-east-1";

/// Can a file of that name hold wanted rows? What its name does not tell is taken to match.
pub(super) fn may_match(name: &str, conditions: &Conditions) -> bool {
    let Some((region, day)) = region_and_day(name) else { return true };
    let wanted = conditions.values_of("awsregion");
    let in_region = wanted.is_none_or(|wanted| {
        wanted.iter().any(|wanted| wanted == region || wanted == GLOBAL_REGION)
    });
    in_region && overlaps(day, &conditions.times)
}

/// Events may lie in a file of the day before or after their own.
fn overlaps(day: Date, times: &RangeInclusive<i64>) -> bool {
    let us =
        |day: Date| day.to_zoned(TimeZone::UTC).map(|time| time.timestamp().as_microsecond()).ok();
    let first = day.checked_sub(1.day()).ok().and_then(us).unwrap_or(i64::MIN);
    let last = day.checked_add(2.days()).ok().and_then(us).unwrap_or(i64::MAX);
    first <= *times.end() && last >= *times.start()
}

/// From CloudTrail's layout: `…/CloudTrail/REGION/YYYY/MM/DD/NAME`.
fn region_and_day(name: &str) -> Option<(&str, Date)> {
    let mut parts = name.rsplit('/').skip(1);
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let region = parts.next()?;
    let day = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    (year.len() == 4).then_some((region, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(region: Option<&str>, from: &str, to: &str) -> Conditions {
        let us = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let mut conditions = Conditions::default();
        conditions.and_times(us(from)..=us(to));
        if let Some(region) = region {
            conditions.and_equal(&["awsregion"], region);
        }
        conditions
    }

    #[test]
    fn files_are_chosen_by_their_path() {
        let name = "x/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/05/a.json.gz";
        let check = |region, from, to| may_match(name, &conditions(region, from, to));
        assert!(check(None, "2026-03-05T10:00:00Z", "2026-03-05T11:00:00Z"));
        assert!(check(None, "2026-03-04T23:59:00Z", "2026-03-04T23:59:59Z"), "delivered later");
        assert!(check(None, "2026-03-06T00:00:01Z", "2026-03-06T00:00:02Z"), "a clock ahead");
        assert!(!check(None, "2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"));
        assert!(!check(None, "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"));
        let day = ("2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z");
        assert!(check(Some("eu-west-1"), day.0, day.1));
        assert!(!check(Some("eu-west-2"), day.0, day.1));
        assert!(check(Some("us-east-1"), day.0, day.1), "global services' records lie anywhere");
        let unknown = conditions(Some("eu-west-2"), day.0, day.1);
        assert!(may_match("some/where/else.json", &unknown));
    }
}
