//! How large an event and its fields may be.
//!
//! The records that we make ourselves keep to it. Those that others send are kept as they came; who
//! may not have them so large gets a cut copy (see [`crate::copy`]). CloudTrail's rules (user guide,
//! "record contents"): texts are cut at 1 KB, and parameters that are too large are replaced as a
//! whole by a note with their size.

use serde::Serialize;
use serde_json::Value;

/// AWS: userAgent, errorCode, errorMessage and requestID have at most 1 KB and are cut there.
pub const TEXT_BYTES_MAX: usize = 1024;
/// AWS: requestParameters, responseElements and serviceEventDetails have at most 100 KB.
pub const PARAMETERS_BYTES_MAX: usize = 100 * 1024;
/// AWS: a whole event has at most 256 KB.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;
/// AWS: 1 MB in event data stores with MaxEventSize Large.
pub const LARGE_EVENT_BYTES_MAX: usize = 1024 * 1024;
/// AWS: additionalEventData has at most 28 KB.
pub const ADDITIONAL_BYTES_MAX: usize = 28 * 1024;

/// The start of `text` in at most `bytes_max` bytes, cut between characters.
pub fn truncated(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A value as it goes into a record: itself, or the note that stands in its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Bounded<'a> {
    Whole(&'a Value),
    /// `{"reason":"requestParameters too large","omitted":true,"originalSize":149893}`, in this order.
    #[serde(rename_all = "camelCase")]
    Omitted {
        reason: String,
        omitted: bool,
        /// Bytes of the value's compact JSON.
        original_size: usize,
    },
}

/// `value`, unless its compact JSON has more than `bytes_max` bytes: then a note that names `field`.
pub fn omit_oversized<'a>(field: &str, value: &'a Value, bytes_max: usize) -> Bounded<'a> {
    let original_size = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => return Bounded::Whole(value),
        _ => value.to_string().len(),
    };
    if original_size <= bytes_max {
        return Bounded::Whole(value);
    }
    Bounded::Omitted { reason: format!("{field} too large"), omitted: true, original_size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(truncated("abc", 5), "abc");
        assert_eq!(truncated("abc", 2), "ab");
        assert_eq!(truncated("aé가", 2), "a");
        assert_eq!(truncated("aé가", 5), "aé");
        assert_eq!(truncated(&"é".repeat(600), TEXT_BYTES_MAX).len(), 1024);
        assert_eq!(truncated(&format!("a{}", "é".repeat(600)), TEXT_BYTES_MAX).len(), 1023);
    }

    #[test]
    fn values_that_are_too_large_leave_their_size() {
        let exactly = Value::from("x".repeat(98)); // 100 bytes with its quotes
        assert_eq!(omit_oversized("f", &exactly, 100), Bounded::Whole(&exactly));
        let larger = Value::from("x".repeat(99));
        let note = omit_oversized("requestParameters", &larger, 100);
        assert_eq!(
            serde_json::to_string(&note).unwrap(),
            r#"{"reason":"requestParameters too large","omitted":true,"originalSize":101}"#
        );
        assert_eq!(omit_oversized("f", &Value::Null, 0), Bounded::Whole(&Value::Null));
    }
}
