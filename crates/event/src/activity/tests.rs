#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::agreement_tests::any_json;
use crate::{Category, check};

const OWNER: &str = "111122223333";

fn owner() -> AccountId {
    AccountId::parse(OWNER).unwrap()
}

fn latest() -> Timestamp {
    "2026-12-31T00:00:00Z".parse().unwrap()
}

/// The smallest event that is taken.
fn least() -> Value {
    json!({
        "version": "1", "userIdentity": {"type": "User", "principalId": "ana"},
        "eventSource": "shop", "eventName": "Buy", "eventTime": "2026-11-23T10:00:00",
        "UID": "u1", "recipientAccountId": OWNER,
    })
}

/// The smallest event with one change; `None` takes the member out.
fn with(path: &str, value: Option<Value>) -> String {
    let mut event = least();
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let object = match parent {
        "" => event.as_object_mut(),
        parent => event[parent].as_object_mut(),
    };
    match value {
        Some(value) => object.unwrap().insert(name.to_owned(), value),
        None => object.unwrap().remove(name),
    };
    event.to_string()
}

#[track_caller]
fn check_that(text: &str, expected: Expect) {
    let found = match EventData::check(text, &owner(), latest()) {
        Ok(data) => format!("taken {}", data.event_time),
        Err(error) => format!("{} {error}", error.fault.name()),
    };
    expected.assert_eq(&found);
}

fn fault_of(text: &str) -> Option<Fault> {
    EventData::check(text, &owner(), latest()).err().map(|error| error.fault)
}

#[test]
fn the_smallest_event_is_taken() {
    check_that(&least().to_string(), expect!["taken 2026-11-23T10:00:00Z"]);
    let with_z = with("eventTime", Some(json!("2026-11-23T10:00:00Z")));
    check_that(&with_z, expect!["taken 2026-11-23T10:00:00Z"]);
    check_that(&with("somethingNew", Some(json!([1]))), expect!["taken 2026-11-23T10:00:00Z"]);
}

#[test]
fn what_is_required_is_missed_by_name() {
    for name in ["version", "userIdentity", "eventSource", "eventName", "eventTime", "UID"]
        .into_iter()
        .chain(["recipientAccountId", "userIdentity.type", "userIdentity.principalId"])
    {
        for value in [None, Some(Value::Null)] {
            let error = EventData::check(&with(name, value), &owner(), latest()).unwrap_err();
            assert_eq!(error.fault, Fault::FieldNotFound, "{name}");
            assert_eq!(error.message, format!("{name} in eventData is missing or empty."));
        }
    }
    check_that(
        &with("UID", Some(json!(" "))),
        expect!["FieldNotFound UID in eventData is missing or empty."],
    );
}

#[test]
fn a_text_that_is_one_character_too_long_is_refused() {
    for (name, chars_max) in [
        ("version", 256),
        ("userIdentity.type", 128),
        ("userIdentity.principalId", 1024),
        ("userAgent", 1024),
        ("eventSource", 1024),
        ("eventName", 1024),
        ("UID", 1024),
        ("errorCode", 256),
        ("errorMessage", 256),
    ] {
        let long = |chars| with(name, Some(json!("é".repeat(chars))));
        assert_eq!(fault_of(&long(chars_max)), None, "{name}");
        assert_eq!(fault_of(&long(chars_max + 1)), Some(Fault::FieldTooLong), "{name}");
    }
}

#[test]
fn values_are_measured_as_they_are_written() {
    for (name, bytes_max) in VALUES {
        // Quotes, a key and braces are bytes too.
        let large = |bytes: usize| with(name, Some(json!({ "a": "x".repeat(bytes - 8) })));
        assert_eq!(fault_of(&large(bytes_max)), None, "{name}");
        assert_eq!(fault_of(&large(bytes_max + 1)), Some(Fault::FieldTooLong), "{name}");
        for other in [json!("text"), json!(1), json!([1]), Value::Null] {
            assert_eq!(fault_of(&with(name, Some(other))), None, "{name}");
        }
    }
}

#[test]
fn what_has_the_wrong_form_is_named() {
    check_that(
        &with("sourceIPAddress", Some(json!("203.0.113.256"))),
        expect![[
            r#"InvalidData sourceIPAddress in eventData is no IPv4 or IPv6 address: "203.0.113.256"."#
        ]],
    );
    for address in ["203.0.113.7", "2001:db8::7"] {
        assert_eq!(fault_of(&with("sourceIPAddress", Some(json!(address)))), None);
    }
    check_that(
        &with("eventTime", Some(json!("2026-11-23 10:00:00"))),
        expect![[
            r#"InvalidData eventTime in eventData is no time like 2026-01-02T03:04:05: "2026-11-23 10:00:00"."#
        ]],
    );
    for time in ["2026-11-23T10:00:00.5Z", "2026-11-23T10:00:00+01:00", "2026-02-30T10:00:00"] {
        assert_eq!(fault_of(&with("eventTime", Some(json!(time)))), Some(Fault::InvalidData));
    }
    check_that(
        &with("eventTime", Some(json!("2027-01-01T00:00:00"))),
        expect!["InvalidData eventTime in eventData lies in the future: 2027-01-01T00:00:00."],
    );
    check_that(
        &with("recipientAccountId", Some(json!("999988887777"))),
        expect![[
            r#"InvalidRecipient recipientAccountId in eventData is "999988887777"; it must be 111122223333, the owner of the channel."#
        ]],
    );
    check_that(
        &with("eventName", Some(json!(1))),
        expect!["InvalidData eventName in eventData must be a string."],
    );
    check_that(
        &with("userIdentity", Some(json!("ana"))),
        expect!["InvalidData userIdentity in eventData must be an object."],
    );
    check_that(
        &with("userIdentity.details", Some(json!([]))),
        expect!["InvalidData userIdentity.details in eventData must be an object."],
    );
}

#[test]
fn what_is_no_object_of_json_is_refused() {
    check_that(
        "",
        expect!["InvalidData eventData is refused: not valid JSON: unexpected end at byte 0."],
    );
    check_that("[]", expect!["InvalidData eventData is refused: a record must be a JSON object."]);
    check_that(
        r#"{"a":1,"a":2}"#,
        expect![[
            r#"InvalidData eventData is refused: the key "a" occurs twice in one object, again at byte 8."#
        ]],
    );
    // What would end the envelope and go on behind it.
    let sly = format!(r#"{},"recipientAccountId":"999988887777""#, least());
    check_that(
        &sly,
        expect![
            "InvalidData eventData is refused: not valid JSON: text after the object at byte 186."
        ],
    );
}

fn envelope<'a>(region: &'a Region, recipient: &'a AccountId) -> Envelope<'a> {
    Envelope {
        event_id: Uuid::from_u128(7),
        region,
        recipient,
        ingestion_time: "2026-11-23T10:00:01.9Z".parse().unwrap(),
        channel_arn: "arn:aws:cloudtrail:us-east-1:111122223333:channel/c",
    }
}

#[test]
fn the_record_is_the_envelope_and_what_was_sent() {
    let (region, owner) = (Region::parse("us-east-1").unwrap(), owner());
    let text = least().to_string();
    let data = EventData::check(&text, &owner, latest()).unwrap();
    let record = String::from_utf8(data.record(&envelope(&region, &owner))).unwrap();
    expect![[r#"{"eventVersion":"1.0","eventCategory":"ActivityAuditLog","eventType":"ActivityLog","eventID":"00000000-0000-0000-0000-000000000007","eventTime":"2026-11-23T10:00:00Z","awsRegion":"us-east-1","recipientAccountId":"111122223333","metadata":{"ingestionTime":"2026-11-23T10:00:01Z","channelARN":"arn:aws:cloudtrail:us-east-1:111122223333:channel/c"},"eventData":"#]]
        .assert_eq(record.strip_suffix('}').unwrap().strip_suffix(&text).unwrap());
}

proptest! {
    /// Whatever is put where a value may stand: what is taken makes a record that everything after
    /// the journal can read, and that holds it to the byte.
    #[test]
    fn what_is_taken_makes_a_record(values in prop::collection::vec((0..20_usize, any_json()), 0..6), pretty: bool) {
        const NAMES: [&str; 16] = [
            "version", "userIdentity", "eventSource", "eventName", "eventTime", "UID", "recipientAccountId",
            "userAgent", "requestParameters", "responseElements", "errorCode", "errorMessage",
            "sourceIPAddress", "additionalEventData", "eventID", "metadata",
        ];
        let mut event = least();
        for (at, value) in values {
            match NAMES.get(at) {
                Some(name) => event[*name] = value,
                None => event["userIdentity"] = json!({"type": "t", "principalId": "p", "details": value}),
            }
        }
        let text = if pretty { serde_json::to_string_pretty(&event).unwrap() } else { event.to_string() };
        let (region, owner) = (Region::parse("us-east-1").unwrap(), owner());
        if let Ok(data) = EventData::check(&text, &owner, latest()) {
            let record = data.record(&envelope(&region, &owner));
            let header = check(&record, &Limits::default()).unwrap();
            prop_assert_eq!(header.category, Category::ActivityAuditLog);
            prop_assert_eq!(header.event_time, data.event_time);
            prop_assert_eq!(header.recipient(), Some(owner));
            let sent = compact(text.as_bytes());
            let data = record.strip_suffix(b"}").unwrap().strip_suffix(sent.as_ref());
            prop_assert!(data.is_some_and(|envelope| envelope.ends_with(b",\"eventData\":")));
            prop_assert!(!record.contains(&b'\n'));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,60}|[\\[\\]{}\",:\\\\u01versionUID é]{0,80}") {
        let _ = EventData::check(&text, &owner(), latest());
    }
}
