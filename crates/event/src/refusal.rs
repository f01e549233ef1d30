//! Why a record was not taken.

/// Why a record is refused, as one sentence for the person who sent it. Offsets are in bytes and
/// count from the start of what was read: the record for [`crate::check`], the line for NDJSON, the
/// whole body for a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("not valid JSON: {what} at byte {offset}")]
    NotJson { offset: usize, what: &'static str },
    #[error("a record must be a JSON object")]
    NotAnObject,
    #[error("nested deeper than {max} levels at byte {offset}")]
    TooDeep { offset: usize, max: usize },
    #[error("the record has {bytes} bytes, and at most {max} are taken")]
    TooLarge { bytes: usize, max: usize },
    #[error("an object has more than {max} keys at byte {offset}")]
    TooManyKeys { offset: usize, max: usize },
    #[error("the number at byte {offset} is longer than {max} characters")]
    NumberTooLong { offset: usize, max: usize },
    #[error("the key {key:?} occurs twice in one object, again at byte {offset}")]
    DuplicateKey { key: String, offset: usize },
    #[error("not valid UTF-8 at byte {offset}")]
    InvalidUtf8 { offset: usize },
    #[error("the field {name} is missing or empty")]
    MissingField { name: &'static str },
    #[error("the field {field} must be {wanted}")]
    WrongType { field: &'static str, wanted: &'static str },
    #[error("the field {field} is not a time like 2026-01-02T03:04:05Z: {value:?}")]
    BadTime { field: &'static str, value: String },
    #[error("the eventTime {value} is outside what is accepted: {bound}")]
    TimeOutOfRange { value: jiff::Timestamp, bound: TimeBound },
    #[error(
        "the field awsRegion must have 1 to 64 letters, digits and hyphens, because it names a folder of log files: {value:?}"
    )]
    BadRegion { value: String },
    #[error("the eventCategory {value:?} is not one that CloudTrail has")]
    UnknownCategory { value: String },
}

/// Which bound of [`crate::Limits`] a time has crossed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeBound {
    #[error("nothing before {0}")]
    Earliest(jiff::Timestamp),
    #[error("nothing after {0}")]
    Latest(jiff::Timestamp),
}

impl Refusal {
    /// Values that senders wrote are echoed only this far.
    pub(crate) const ECHO_CHARS_MAX: usize = 64;

    pub(crate) fn echo(value: &str) -> String {
        value.chars().take(Self::ECHO_CHARS_MAX).collect()
    }
}
