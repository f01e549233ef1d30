//! What takes the place of `'?'` in a widget's statement.
//!
//! ```text
//!   QueryParameters: ["$StartTime$", "$EndTime$", "us-east-1"]      names, or texts that stand for themselves
//!   QueryParameterValues: {"$StartTime$": "2026-11-22T10:00:00Z"}   what is not given has a default
//! ```
//! API reference, RequestWidget and StartDashboardRefresh: the four names. The defaults are ours: the
//! 24 hours up to now, as AWS's Highlights dashboard shows; a period that cuts them into some dozens of
//! points; the account's event data store, if it has only one.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub const START: &str = "$StartTime$";
pub const END: &str = "$EndTime$";
pub const PERIOD: &str = "$Period$";
pub const STORE: &str = "$EventDataStoreId$";
pub const NAMES: [&str; 4] = [START, END, PERIOD, STORE];

/// How long before its end a span begins of which only the end is known.
const SPAN: SignedDuration = SignedDuration::from_hours(24);
/// What `date_trunc` takes.
const PERIODS: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// The values of one refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    pub start: Timestamp,
    pub end: Timestamp,
    pub period: String,
    /// An ID or ARN, as it was given.
    pub store: Option<String>,
}

/// A value that makes no sense, for the one who gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

impl Values {
    /// The given values, and defaults for the others.
    pub fn of(given: &BTreeMap<String, String>, now: Timestamp) -> Result<Values, InvalidValue> {
        if let Some(unknown) = given.keys().find(|name| !NAMES.contains(&name.as_str())) {
            let known = NAMES.join(", ");
            return Err(InvalidValue(format!(
                "{unknown} is no query parameter of dashboards; there are {known}."
            )));
        }
        let time = |name: &str| given.get(name).map(|text| time_of(name, text)).transpose();
        let end = time(END)?.unwrap_or(now);
        let start = match time(START)? {
            Some(start) => start,
            None => end.saturating_sub(SPAN).unwrap_or(Timestamp::MIN),
        };
        if start >= end {
            return Err(InvalidValue(format!(
                "{START} must be before {END}; {start} and {end} were found."
            )));
        }
        let period = match given.get(PERIOD) {
            None => usual_period(end.duration_since(start)),
            Some(given) => {
                let found = PERIODS.into_iter().find(|unit| given.eq_ignore_ascii_case(unit));
                found.ok_or_else(|| {
                    let known = PERIODS.join(", ");
                    InvalidValue(format!("{PERIOD} is {given:?}; it must be one of {known}."))
                })?
            }
        };
        Ok(Values { start, end, period: period.to_owned(), store: given.get(STORE).cloned() })
    }

    /// What a refresh at `now` takes that was given nothing.
    pub fn usual(now: Timestamp) -> Values {
        let start = now.saturating_sub(SPAN).unwrap_or(Timestamp::MIN);
        let period = usual_period(now.duration_since(start)).to_owned();
        Values { start, end: now, period, store: None }
    }

    /// Parameters with their names replaced; `store` is the ID that [`STORE`] stands for.
    pub fn filled(&self, parameters: &[String], store: &str) -> Vec<String> {
        let value = |parameter: &String| match parameter.as_str() {
            START => sql_time(self.start),
            END => sql_time(self.end),
            PERIOD => self.period.clone(),
            STORE => store.to_owned(),
            _ => parameter.clone(),
        };
        parameters.iter().map(value).collect()
    }
}

/// The first parameter that looks like a name and is none.
pub fn unknown_name(parameters: &[String]) -> Option<&String> {
    parameters.iter().find(|parameter| {
        let looks_like_a_name =
            parameter.len() > 2 && parameter.starts_with('$') && parameter.ends_with('$');
        looks_like_a_name && !NAMES.contains(&parameter.as_str())
    })
}

/// Times come as `2026-11-22T10:00:00Z`, with another offset, without one (UTC), or as a date.
fn time_of(name: &str, text: &str) -> Result<Timestamp, InvalidValue> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let civil = text.parse::<DateTime>().ok();
    let time = civil.and_then(|civil| civil.to_zoned(TimeZone::UTC).ok());
    match time {
        Some(time) => Ok(time.timestamp()),
        None => Err(InvalidValue(format!(
            "{name} is {text:?}, which is no time. Expected one such as 2026-11-22T10:00:00Z."
        ))),
    }
}

fn sql_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

/// At most a few hundred points.
fn usual_period(span: SignedDuration) -> &'static str {
    match span.as_hours() {
        ..6 => "minute",
        6..=168 => "hour",
        _ => "day",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-23T10:30:00.250Z".parse().expect("a time")
    }

    #[track_caller]
    fn check(given: &[(&str, &str)], expected: Result<[&str; 4], &str>) {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let parameters = NAMES.map(str::to_owned);
        let found = Values::of(&given.collect(), now()).map(|values| {
            let store = values.store.clone().unwrap_or_else(|| "only".to_owned());
            values.filled(&parameters, &store)
        });
        let expected = expected.map(|texts| texts.map(str::to_owned).to_vec());
        assert_eq!(found.map_err(|e| e.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn what_is_not_given_has_a_default() {
        let (start, end) = ("2026-11-22 10:30:00.250", "2026-11-23 10:30:00.250");
        check(&[], Ok([start, end, "hour", "only"]));
        check(&[(STORE, "s1")], Ok([start, end, "hour", "s1"]));
        check(
            &[(END, "2026-11-10T00:00:00Z")],
            Ok(["2026-11-09 00:00:00.000", "2026-11-10 00:00:00.000", "hour", "only"]),
        );
        check(
            &[(START, "2026-11-23T10:00:00Z")],
            Ok(["2026-11-23 10:00:00.000", end, "minute", "only"]),
        );
        check(&[(START, "2026-10-01")], Ok(["2026-10-01 00:00:00.000", end, "day", "only"]));
        assert_eq!(Values::of(&BTreeMap::new(), now()), Ok(Values::usual(now())));
    }

    #[test]
    fn times_may_be_written_in_several_ways() {
        let end = "2026-11-23 10:30:00.250";
        for text in ["2026-11-20T08:00:00Z", "2026-11-20T08:00:00", "2026-11-20T03:00:00-05:00"] {
            check(
                &[(START, text), (PERIOD, "Day")],
                Ok(["2026-11-20 08:00:00.000", end, "day", "only"]),
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        check(
            &[(START, "yesterday")],
            Err(
                "$StartTime$ is \"yesterday\", which is no time. Expected one such as 2026-11-22T10:00:00Z.",
            ),
        );
        check(
            &[(START, "2026-11-24T00:00:00Z")],
            Err(
                "$StartTime$ must be before $EndTime$; 2026-11-24T00:00:00Z and 2026-11-23T10:30:00.25Z were found.",
            ),
        );
        check(
            &[(PERIOD, "fortnight")],
            Err(
                "$Period$ is \"fortnight\"; it must be one of second, minute, hour, day, week, month, quarter, year.",
            ),
        );
        check(
            &[("$Region$", "x")],
            Err(
                "$Region$ is no query parameter of dashboards; there are $StartTime$, $EndTime$, $Period$, $EventDataStoreId$.",
            ),
        );
    }

    #[test]
    fn other_texts_stand_for_themselves() {
        let parameters = ["us-east-1", "$5", "$", "$$", "$StartTime"].map(str::to_owned);
        assert_eq!(Values::usual(now()).filled(&parameters, "s1"), parameters);
        assert_eq!(unknown_name(&parameters), None);
        let parameters = ["$EndTime$", "$Endtime$"].map(str::to_owned);
        assert_eq!(unknown_name(&parameters), Some(&parameters[1]));
    }
}
