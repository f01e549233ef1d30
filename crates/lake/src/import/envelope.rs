//! Records inside what other services wrap around them.
//!
//! | From | Record |
//! |---|---|
//! | EventBridge | `detail` |
//! | CloudWatch Logs subscriptions and exports | `logEvents[].message`, a string |
//! | LookupEvents' answers | `Events[].CloudTrailEvent`, a string |

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One of these keys is in every envelope, near its beginning.
const KEYS: [&str; 3] = ["\"detail-type\"", "\"logEvents\"", "\"CloudTrailEvent\""];
const LOOKED_AT_BYTES: usize = 64 << 10;

/// The records of `body` as lines, when it is wrapped in something; `None` when it is not.
pub fn unwrapped(body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let beginning = &body[..body.len().min(LOOKED_AT_BYTES)];
    if !KEYS.iter().any(|key| memmem::find(beginning, key.as_bytes()).is_some()) {
        return Ok(None);
    }
    let mut lines = Vec::new();
    let mut is_wrapped = false;
    for document in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        let document = document.map_err(|error| format!("not JSON: {error}"))?;
        for element in elements(document) {
            is_wrapped |= unwrap(element, &mut lines);
        }
    }
    // A record may speak of such a key in its own parameters.
    Ok(is_wrapped.then_some(lines))
}

/// The elements of an array, or the document itself.
fn elements(document: &RawValue) -> Vec<&RawValue> {
    serde_json::from_str(document.get()).unwrap_or_else(|_| vec![document])
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
    #[serde(rename = "detail-type")]
    detail_type: Option<&'a RawValue>,
    #[serde(rename = "logEvents")]
    log_events: Option<Vec<LogEvent>>,
    #[serde(rename = "Events")]
    events: Option<Vec<LookedUp>>,
}

#[derive(Deserialize)]
struct LogEvent {
    message: String,
}

#[derive(Deserialize)]
struct LookedUp {
    #[serde(rename = "CloudTrailEvent")]
    record: String,
}

/// Writes the records of one document; was it an envelope?
fn unwrap(document: &RawValue, lines: &mut Vec<u8>) -> bool {
    let mut line = |record: &str| {
        // A record in a string may be pretty-printed.
        let compact = event::compact(record.as_bytes());
        lines.extend_from_slice(&compact);
        lines.push(b'\n');
    };
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(document.get()) else {
        line(document.get());
        return false;
    };
    match envelope {
        Envelope { detail: Some(record), detail_type: Some(_), .. } => line(record.get()),
        Envelope { log_events: Some(events), .. } => {
            events.iter().for_each(|event| line(&event.message));
        }
        Envelope { events: Some(events), .. } => {
            events.iter().for_each(|event| line(&event.record));
        }
        _ => {
            line(document.get());
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let lines = unwrapped(body.as_bytes()).unwrap();
        assert_eq!(lines.map(|lines| String::from_utf8(lines).unwrap()).as_deref(), expected);
    }

    #[test]
    fn records_come_out_of_their_envelopes() {
        check(r#"{"Records":[{"eventID":"1"}]}"#, None);
        check(
            r#"{"version":"0","detail-type":"AWS API Call via CloudTrail","detail":{"eventID":"1"}}"#,
            Some("{\"eventID\":\"1\"}\n"),
        );
        check(
            r#"{"logEvents":[{"id":"3","message":"{\"eventID\":\"1\"}"},{"message":"{\"eventID\":\"2\"}"}]}"#,
            Some("{\"eventID\":\"1\"}\n{\"eventID\":\"2\"}\n"),
        );
        check(
            r#"{"Events":[{"EventId":"1","CloudTrailEvent":"{\"eventID\":\"1\"}"}]}"#,
            Some("{\"eventID\":\"1\"}\n"),
        );
        check(
            "{\"detail-type\":\"x\",\"detail\":{\"a\":1}}\n{\"detail-type\":\"x\",\"detail\":{\"a\":2}}\n",
            Some("{\"a\":1}\n{\"a\":2}\n"),
        );
        check(r#"[{"detail-type":"x","detail":{"a":1}}]"#, Some("{\"a\":1}\n"));
    }

    #[test]
    fn a_record_that_speaks_of_an_envelope_is_none() {
        check(r#"{"eventID":"1","requestParameters":{"logEvents":[]}}"#, None);
        assert!(unwrapped(b"{\"logEvents\":[").is_err());
    }
}
