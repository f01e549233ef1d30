use super::*;
use crate::context::ContextKind;
use crate::{Limits, check, read_again};

const HEAD: &str = r#""eventTime":"2026-01-02T03:04:05Z", "eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1""#;

fn record(more: &str) -> String {
    format!("{{{HEAD}{more}}}")
}

fn copy_of(record: &str, rules: &CopyRules<'_>) -> String {
    let limits = Limits { record_bytes_max: LARGE_EVENT_BYTES_MAX, ..Limits::default() };
    let header = check(record.as_bytes(), &limits).unwrap();
    let copy = copied(record.as_bytes(), &header, rules);
    assert_eq!(
        may_differ(record.as_bytes(), &header),
        matches!(copy, Cow::Owned(_))
            || rules.bytes_max > record.len() && record.len() > EVENT_BYTES_MAX
    );
    let copy = String::from_utf8(copy.into_owned()).unwrap();
    let again = read_again(copy.as_bytes()).unwrap();
    assert_eq!(again.event_time, header.event_time);
    copy
}

fn keys(kind: ContextKind, keys: &[&str]) -> Vec<ContextKeySelector> {
    let equals = keys.iter().map(|key| (*key).to_owned()).collect();
    vec![ContextKeySelector { r#type: kind, equals }]
}

#[test]
fn a_usual_record_is_its_own_copy() {
    let usual = record(r#", "requestParameters" : null"#);
    assert_eq!(copy_of(&usual, &CopyRules::STANDARD), usual);
    assert_eq!(copy_of(&usual, &CopyRules::large(&[])), usual);
}

#[test]
fn event_context_goes_to_those_who_selected_it() {
    let rich = record(
        r#","eventContext":{"requestContext":{"aws:username":"u","aws:userid":"i"}},"x":1.50"#,
    );
    let plain = r#"{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1""#;
    assert_eq!(copy_of(&rich, &CopyRules::STANDARD), format!("{plain},\"x\":1.50}}"));
    let selectors = keys(ContextKind::RequestContext, &["aws:userid"]);
    assert_eq!(
        copy_of(&rich, &CopyRules::large(&selectors)),
        format!(r#"{plain},"eventContext":{{"requestContext":{{"aws:userid":"i"}}}},"x":1.50}}"#)
    );
    let other = keys(ContextKind::TagContext, &["team"]);
    assert!(!copy_of(&rich, &CopyRules::large(&other)).contains("eventContext"));
}

#[test]
fn a_large_record_is_whole_in_a_large_store_and_cut_elsewhere() {
    let big = "x".repeat(300 << 10);
    let large = record(&format!(
        r#","userAgent":"{}","requestParameters":{{"policy":"{big}"}},"responseElements":{{"a":1}}"#,
        "é".repeat(600)
    ));
    assert_eq!(copy_of(&large, &CopyRules::large(&[])), large);
    let cut = copy_of(&large, &CopyRules::STANDARD);
    let value: serde_json::Value = serde_json::from_str(&cut).unwrap();
    let size = big.len() + r#"{"policy":""}"#.len();
    let note = serde_json::json!({ "reason": "requestParameters too large", "omitted": true, "originalSize": size });
    assert_eq!(value["requestParameters"], note);
    assert_eq!(value["responseElements"], serde_json::json!({ "a": 1 }));
    assert_eq!(value["userAgent"].as_str().unwrap().len(), 1024);
}

#[test]
fn many_fields_within_their_limits_go_in_order_until_the_rest_fits() {
    let part = |kib: usize| format!(r#"{{"p":"{}"}}"#, "x".repeat(kib << 10));
    let (ninety, twenty) = (part(90), part(20));
    let large = record(&format!(
        r#","errorCode":"Denied","requestParameters":{ninety},"responseElements":{ninety},"additionalEventData":{twenty},"serviceEventDetails":{ninety},"annotation":"a""#
    ));
    let value: serde_json::Value =
        serde_json::from_str(&copy_of(&large, &CopyRules::STANDARD)).unwrap();
    for gone in ["additionalEventData", "serviceEventDetails"] {
        assert_eq!(value[gone]["omitted"], true, "{gone}");
    }
    for whole in ["requestParameters", "responseElements"] {
        assert!(value[whole]["p"].is_string(), "{whole}");
    }
    assert_eq!(value["errorCode"], "Denied");
    assert_eq!(value["annotation"], "a", "a note would be longer");
}

#[test]
fn what_cannot_be_cut_is_left() {
    let large = record(&format!(r#","resources":[{{"ARN":"{}"}}]"#, "x".repeat(300 << 10)));
    assert!(copy_of(&large, &CopyRules::STANDARD).len() > EVENT_BYTES_MAX);
}
