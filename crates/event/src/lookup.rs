//! Asking the event history: which events are wanted, in which order they come, and where the next
//! page begins.
//!
//! Events come newest first; of the same time, those with the greater event ID first. A [`Place`] is
//! an event's time and ID, so what arrives meanwhile shifts no page: newer events lie before the
//! place, and one that comes late lies where it belongs.

use jiff::Timestamp;

use crate::account::AccountId;

/// What is asked. All that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The account whose events are asked for: `recipientAccountId`, else the tenant that sent them.
    /// `None` asks all, which is for the owner of the whole table.
    pub account: Option<AccountId>,
    /// `awsRegion`, exactly; `None` asks every Region.
    pub region: Option<String>,
    /// Both ends belong to the span.
    pub from: Timestamp,
    pub to: Timestamp,
    pub filters: Vec<Filter>,
    /// Only what comes after this place, in the order of the answer.
    pub after: Option<Place>,
    /// How many events one page may hold.
    pub limit: usize,
}

/// One condition on an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub field: Field,
    pub test: Test,
    /// The event is wanted when the test fails. A field that is absent fails every test.
    pub negated: bool,
}

impl Filter {
    /// The field is this value.
    pub fn is(field: Field, value: &str) -> Filter {
        Filter { field, test: Test::Is(vec![value.to_owned()]), negated: false }
    }
}

/// What can be asked of an event. The first eight are LookupEvents' own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    EventId,
    EventName,
    /// `true` or `false`.
    ReadOnly,
    /// See [`crate::user_name`].
    Username,
    /// Any of the event's resources; see [`crate::named_resources`].
    ResourceType,
    ResourceName,
    EventSource,
    AccessKeyId,
    /// As written in the record: `Management`, `Data` …
    EventCategory,
    ErrorCode,
    SourceIpAddress,
    UserArn,
    /// The whole record, as text.
    Record,
}

/// How a field is compared. Letter case counts, except in `Contains`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Equal to one of these.
    Is(Vec<String>),
    StartsWith(String),
    /// Somewhere in the text, letter case aside (ASCII letters only).
    Contains(String),
}

impl Test {
    pub fn holds(&self, value: &str) -> bool {
        match self {
            Test::Is(values) => values.iter().any(|wanted| wanted == value),
            Test::StartsWith(prefix) => value.starts_with(prefix.as_str()),
            Test::Contains(part) => contains_ignoring_case(value, part),
        }
    }
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some((first, rest)) = part.split_first() else { return true };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    memchr::memchr2_iter(lower, upper, text).any(|at| {
        text.get(at + 1..at + 1 + rest.len()).is_some_and(|found| found.eq_ignore_ascii_case(rest))
    })
}

/// Where an event stands in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub event_time: Timestamp,
    pub event_id: String,
}

/// An event that was asked for, with what LookupEvents says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub event_id: String,
    pub event_name: String,
    pub event_source: String,
    pub event_time: Timestamp,
    pub read_only: Option<bool>,
    pub access_key_id: Option<String>,
    pub user_name: Option<String>,
    pub resources: Vec<NamedResource>,
    /// Byte for byte as accepted.
    pub record: String,
}

impl Found {
    pub fn place(&self) -> Place {
        Place { event_time: self.event_time, event_id: self.event_id.clone() }
    }
}

/// A resource as event history names it, such as `AWS::S3::Bucket` `my-bucket`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedResource {
    pub kind: Option<String>,
    pub name: String,
}

/// One page of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    pub events: Vec<Found>,
    /// There may be more after the last event.
    pub more: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_in_any_letter_case() {
        let test = |text: &str, part: &str| Test::Contains(part.to_owned()).holds(text);
        assert!(test("arn:aws:iam::1:user/Alice", "USER/alice"));
        assert!(test("abc", ""));
        assert!(test("aab", "ab"));
        assert!(!test("aa", "ab"));
        assert!(!test("", "a"));
        assert!(test("Grüße", "grüße"));
    }

    #[test]
    fn later_places_are_greater() {
        let place = |second, id: &str| Place {
            event_time: Timestamp::from_second(second).unwrap(),
            event_id: id.to_owned(),
        };
        assert!(place(2, "a") > place(1, "b"));
        assert!(place(1, "b") > place(1, "a"));
    }
}
