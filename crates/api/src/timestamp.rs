use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
///
/// In JSON it is a number of seconds, with a fraction only where there is one: `1789319538.551`.
/// Also read: exponents as AWS prints them (`1.789319538551E9`), and ISO 8601 texts with an offset
/// or `Z`. What is finer than a millisecond is rounded to the nearest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A number or text that is no moment between the years 1 and 9999.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0} is not a timestamp")]
pub struct NotATimestamp(String);

// 0001-01-01T00:00:00Z and jiff's last millisecond, 9999-12-30T22:00:00.999Z. Within them a millisecond count divided by
// 1000 survives a trip through f64 exactly (15 significant digits).
const MILLIS_MIN: i64 = -62_135_596_800_000;
const MILLIS_MAX: i64 = 253_402_207_200_999;

impl Timestamp {
    pub fn from_millis(millis: i64) -> Result<Self, NotATimestamp> {
        match (MILLIS_MIN..=MILLIS_MAX).contains(&millis) {
            true => Ok(Self(millis)),
            false => Err(NotATimestamp(format!("{millis} ms"))),
        }
    }

    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// ISO 8601 with `Z` or an offset, such as `2026-09-13T17:12:18Z`.
    pub fn parse_iso(text: &str) -> Result<Self, NotATimestamp> {
        let refuse = || NotATimestamp(format!("{text:?}"));
        let moment: jiff::Timestamp = text.parse().map_err(|_| refuse())?;
        Self::from_nanos(moment.as_nanosecond()).ok_or_else(refuse)
    }

    fn from_seconds(seconds: f64) -> Result<Self, NotATimestamp> {
        let millis = (seconds * 1000.0).round();
        // A cast saturates, so infinities fall outside the range; NaN does not occur in JSON.
        Self::from_millis(millis as i64).map_err(|_| NotATimestamp(seconds.to_string()))
    }

    fn from_nanos(nanos: i128) -> Option<Self> {
        let millis = (nanos + 500_000).div_euclid(1_000_000);
        Self::from_millis(i64::try_from(millis).ok()?).ok()
    }
}

/// The ISO form in UTC, with as many digits of the fraction as are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        jiff::Timestamp::from(*self).fmt(f)
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(timestamp: Timestamp) -> Self {
        Self::from_millisecond(timestamp.0).expect("the years 1 to 9999 are within jiff's range")
    }
}

impl TryFrom<jiff::Timestamp> for Timestamp {
    type Error = NotATimestamp;

    fn try_from(moment: jiff::Timestamp) -> Result<Self, NotATimestamp> {
        Self::from_nanos(moment.as_nanosecond()).ok_or_else(|| NotATimestamp(moment.to_string()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 1000 == 0 {
            return serializer.serialize_i64(self.0 / 1000);
        }
        serializer.serialize_f64(self.0 as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl Visitor<'_> for Forms {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("seconds since 1970 or an ISO 8601 text")
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Timestamp, E> {
                Timestamp::from_millis(seconds.saturating_mul(1000)).map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Timestamp, E> {
                self.visit_i64(i64::try_from(seconds).unwrap_or(i64::MAX))
            }
            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Timestamp, E> {
                Timestamp::from_seconds(seconds).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse_iso(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(json: &str, millis: i64, written: &str) {
        let read: Timestamp = serde_json::from_str(json).unwrap();
        assert_eq!(read.as_millis(), millis, "{json}");
        assert_eq!(serde_json::to_string(&read).unwrap(), written, "{json}");
    }

    #[test]
    fn every_form_is_read_and_seconds_are_written() {
        check("1789319538", 1_789_319_538_000, "1789319538");
        check("1789319538.551", 1_789_319_538_551, "1789319538.551");
        check("1.789319538551E9", 1_789_319_538_551, "1789319538.551");
        check("1.789319538E9", 1_789_319_538_000, "1789319538");
        check("0", 0, "0");
        check("-0.5", -500, "-0.5");
        check(r#""2026-09-13T17:12:18Z""#, 1_789_319_538_000, "1789319538");
        check(r#""2026-09-13T19:12:18.5506+02:00""#, 1_789_319_538_551, "1789319538.551");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for json in ["1e300", "-1e300", "1789319538551", r#""yesterday""#, r#""""#, "true", "[]"] {
            assert!(serde_json::from_str::<Timestamp>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn its_text_is_the_iso_form() {
        let moment = Timestamp::from_millis(1_789_319_538_551).unwrap();
        assert_eq!(moment.to_string(), "2026-09-13T17:12:18.551Z");
    }

    proptest! {
        #[test]
        fn each_millisecond_survives_json_and_text(millis in MILLIS_MIN..=MILLIS_MAX) {
            let moment = Timestamp::from_millis(millis).unwrap();
            let json = serde_json::to_string(&moment).unwrap();
            prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
            prop_assert_eq!(Timestamp::parse_iso(&moment.to_string()).unwrap(), moment);
        }
    }
}
