use expect_test::{Expect, expect};

use super::*;
use crate::Category;

/// A record with the required fields, `changes` put in front (an empty value takes a field out).
fn record(changes: &str) -> String {
    let required = [
        ("eventTime", r#""2026-01-02T03:04:05Z""#),
        ("eventSource", r#""s3.amazonaws.com""#),
        ("eventName", r#""GetObject""#),
        ("awsRegion", r#""us-east-1""#),
    ];
    let mut members: Vec<String> = Vec::new();
    if !changes.is_empty() {
        members.push(changes.to_owned());
    }
    for (name, value) in required {
        if !changes.contains(&format!("\"{name}\":")) {
            members.push(format!("\"{name}\":{value}"));
        }
    }
    format!("{{{}}}", members.join(",")).replace("\"eventTime\":-,", "")
}

fn outcome(raw: &[u8], limits: &Limits) -> String {
    match check(raw, limits) {
        Ok(header) => format!(
            "{} {} {} {} {}",
            header.category,
            header.event_time,
            header.event_source,
            header.event_name,
            header.aws_region
        ),
        Err(refusal) => format!("refused: {refusal}"),
    }
}

#[track_caller]
fn check_raw(raw: impl AsRef<[u8]>, expected: Expect) {
    expected.assert_eq(&outcome(raw.as_ref(), &Limits::default()));
}

#[track_caller]
fn check_with(changes: &str, expected: Expect) {
    check_raw(record(changes), expected);
}

#[test]
fn a_plain_record_gives_its_header() {
    check_with("", expect!["Management 2026-01-02T03:04:05Z s3.amazonaws.com GetObject us-east-1"]);
    check_raw(
        format!(" \n{}\t", record("")),
        expect!["Management 2026-01-02T03:04:05Z s3.amazonaws.com GetObject us-east-1"],
    );
}

#[test]
fn required_fields_are_named_when_they_are_missing_or_wrong() {
    check_raw("{}", expect!["refused: the field eventSource is missing or empty"]);
    check_with(r#""eventTime":null"#, expect!["refused: the field eventTime is missing or empty"]);
    check_with(r#""eventTime":5"#, expect!["refused: the field eventTime must be a string"]);
    check_with(
        r#""eventTime":"2014-03-06T21: 22: 54Z""#,
        expect![[
            r#"refused: the field eventTime is not a time like 2026-01-02T03:04:05Z: "2014-03-06T21: 22: 54Z""#
        ]],
    );
    check_with(r#""eventName":"""#, expect!["refused: the field eventName is missing or empty"]);
    check_with(
        r#""eventSource":["a"]"#,
        expect!["refused: the field eventSource must be a string"],
    );
    check_with(r#""awsRegion":null"#, expect!["refused: the field awsRegion is missing or empty"]);
    check_with(
        r#""awsRegion":"../us""#,
        expect![[
            r#"refused: the field awsRegion must have 1 to 64 letters, digits and hyphens, because it names a folder of log files: "../us""#
        ]],
    );
    check_with(
        r#""userIdentity":"ana""#,
        expect!["refused: the field userIdentity must be an object"],
    );
    check_with(r#""resources":{}"#, expect!["refused: the field resources must be an array"]);
    check_with(
        r#""readOnly":"maybe""#,
        expect!["refused: the field readOnly must be true or false"],
    );
    check_with(
        r#""eventCategory":"Gossip""#,
        expect![[r#"refused: the eventCategory "Gossip" is not one that CloudTrail has"#]],
    );
}

#[test]
fn what_is_no_json_object_is_refused_with_the_place() {
    check_raw("", expect!["refused: not valid JSON: unexpected end at byte 0"]);
    check_raw("[]", expect!["refused: a record must be a JSON object"]);
    check_raw("5", expect!["refused: a record must be a JSON object"]);
    check_raw(r#"{"a":1"#, expect!["refused: not valid JSON: unexpected end at byte 6"]);
    check_raw(
        r#"{"a":1,}"#,
        expect!["refused: not valid JSON: a key in quotes is wanted at byte 7"],
    );
    check_raw(r#"{"a" 1}"#, expect!["refused: not valid JSON: a colon is wanted at byte 5"]);
    check_raw(
        r#"{"a":[1 2]}"#,
        expect!["refused: not valid JSON: a comma or ] is wanted at byte 8"],
    );
    check_raw(r#"{"a":nul}"#, expect!["refused: not valid JSON: an unknown word at byte 8"]);
    check_raw(r#"{"a":01}"#, expect!["refused: not valid JSON: a comma or } is wanted at byte 6"]);
    check_raw(r#"{"a":1.}"#, expect!["refused: not valid JSON: a digit is wanted at byte 7"]);
    check_raw(
        "{\"a\":\"b\nc\"}",
        expect!["refused: not valid JSON: a control character in a string at byte 7"],
    );
    check_raw(
        r#"{"a":"\q"}"#,
        expect!["refused: not valid JSON: an unknown escape in a string at byte 7"],
    );
    check_raw(
        r#"{"a":"\ud800"}"#,
        expect!["refused: not valid JSON: a lone surrogate in a string at byte 12"],
    );
    check_raw(b"{\"a\":\"\xff\"}", expect!["refused: not valid UTF-8 at byte 6"]);
    check_raw(
        format!("{}x", record("")),
        expect!["refused: not valid JSON: text after the record at byte 117"],
    );
}

#[test]
fn the_same_key_twice_is_refused_at_any_depth() {
    check_with(
        r#""eventID":"a","eventID":"b""#,
        expect![[r#"refused: the key "eventID" occurs twice in one object, again at byte 16"#]],
    );
    check_with(
        r#""x":1,"y":2,"x":3"#,
        expect![[r#"refused: the key "x" occurs twice in one object, again at byte 14"#]],
    );
    check_with(
        r#""eventID":"a","event\u0049D":"b""#,
        expect![[r#"refused: the key "eventID" occurs twice in one object, again at byte 16"#]],
    );
    check_with(
        r#""requestParameters":{"a":{"b":1,"\u0062":2}}"#,
        expect![[r#"refused: the key "b" occurs twice in one object, again at byte 34"#]],
    );
    let ok = expect!["Management 2026-01-02T03:04:05Z s3.amazonaws.com GetObject us-east-1"];
    check_with(r#""a":{"Tagging":1,"tagging":2,"x":{"Tagging":1}},"b":{"Tagging":1}"#, ok);
}

#[test]
fn many_keys_are_told_apart_and_counted() {
    let keys = |count: usize| -> String {
        (0..count).map(|n| format!("\"key{n}\":0")).collect::<Vec<_>>().join(",")
    };
    check_with(
        &format!(r#""a":{{{}}}"#, keys(5_000)),
        expect!["Management 2026-01-02T03:04:05Z s3.amazonaws.com GetObject us-east-1"],
    );
    check_with(
        &format!(r#""a":{{{},"key7":1}}"#, keys(100)),
        expect![[r#"refused: the key "key7" occurs twice in one object, again at byte 997"#]],
    );
    check_with(
        &format!(r#""a":{{{}}}"#, keys(10_001)),
        expect!["refused: an object has more than 10000 keys at byte 118897"],
    );
}

#[test]
fn depth_size_and_number_bombs_are_refused() {
    let nested = |depth: usize| format!("\"a\":{}{}", "[".repeat(depth), "]".repeat(depth));
    check_with(
        &nested(63),
        expect!["Management 2026-01-02T03:04:05Z s3.amazonaws.com GetObject us-east-1"],
    );
    check_with(&nested(64), expect!["refused: nested deeper than 64 levels at byte 68"]);
    check_with(&nested(100_000), expect!["refused: nested deeper than 64 levels at byte 516"]);
    check_with(
        &format!(r#""a":"{}""#, "x".repeat(300_000)),
        expect!["refused: the record has 300124 bytes, and at most 262144 are taken"],
    );
    check_with(
        &format!(r#""a":1{}"#, "0".repeat(64)),
        expect!["refused: the number at byte 5 is longer than 64 characters"],
    );
}

#[test]
fn times_outside_the_bounds_are_refused() {
    let limits = Limits {
        earliest: "2026-01-02T03:04:06Z".parse().ok(),
        latest: "2026-02-01T00:00:00Z".parse().ok(),
        ..Limits::default()
    };
    let early = outcome(record("").as_bytes(), &limits);
    assert_eq!(
        early,
        "refused: the eventTime 2026-01-02T03:04:05Z is outside what is accepted: nothing before 2026-01-02T03:04:06Z"
    );
    let late = outcome(record(r#""eventTime":"9999-01-01T00:00:00Z""#).as_bytes(), &limits);
    assert_eq!(
        late,
        "refused: the eventTime 9999-01-01T00:00:00Z is outside what is accepted: nothing after 2026-02-01T00:00:00Z"
    );
    let within = record(r#""eventTime":"2026-01-02T03:04:06Z""#);
    assert!(check(within.as_bytes(), &limits).is_ok());
}

#[test]
fn the_category_comes_from_the_record_however_little_it_says() {
    #[track_caller]
    fn category(changes: &str, expected: Category) {
        let record = record(changes);
        assert_eq!(check(record.as_bytes(), &Limits::default()).unwrap().category, expected);
    }
    for expected in Category::ALL {
        category(&format!(r#""eventCategory":"{expected}""#), expected);
    }
    category("", Category::Management);
    category(r#""managementEvent":false"#, Category::Data);
    category(r#""managementEvent":"false""#, Category::Data);
    category(r#""managementEvent":true"#, Category::Management);
    category(r#""eventType":"AwsVpceEvents""#, Category::NetworkActivity);
    category(r#""eventType":"AwsCloudTrailInsight""#, Category::Insight);
    category(r#""insightDetails":{"state":"Start"}"#, Category::Insight);
    category(r#""eventType":"ActivityLog""#, Category::ActivityAuditLog);
    category(r#""eventCategory":"","managementEvent":false"#, Category::Data);
}

#[test]
fn categories_keep_their_names_and_times_elsewhere() {
    check_raw(
        r#"{"eventTime":"2024-12-11T16:52:00Z","awsRegion":"us-east-1","eventType":"AwsCloudTrailInsight","insightDetails":{"eventSource":"cloudtrail.amazonaws.com","eventName":"DescribeQuery"},"eventCategory":"Insight"}"#,
        expect!["Insight 2024-12-11T16:52:00Z cloudtrail.amazonaws.com DescribeQuery us-east-1"],
    );
    check_raw(
        r#"{"eventCategory":"Aggregated","awsRegion":"us-west-2","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2025-11-17T19:20:00Z","windowEnd":"2025-11-17T19:25:00Z"}}"#,
        expect!["Aggregated 2025-11-17T19:25:00Z s3.amazonaws.com  us-west-2"],
    );
    check_raw(
        r#"{"eventCategory":"ActivityAuditLog","awsRegion":"us-west-2","eventData":{"eventTime":"2025-11-17T19:20:00","eventSource":"shop","eventName":"Buy"}}"#,
        expect!["ActivityAuditLog 2025-11-17T19:20:00Z shop Buy us-west-2"],
    );
    check_raw(
        r#"{"eventCategory":"Aggregated","awsRegion":"us-west-2","eventSource":"s3.amazonaws.com"}"#,
        expect!["refused: the field timeWindow.windowEnd is missing or empty"],
    );
}

#[test]
fn identity_account_and_resources_are_read_from_their_slices() {
    let record = record(
        r#""userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::111122223333:user\/ana","accountId":"111122223333"},"recipientAccountId":"unknown","resources":[{"arn":"a"},null,{"ARN":"b","accountId":"","type":"AWS::S3::Object"},{"ARNPrefix":"c"}],"readOnly":"true""#,
    );
    let header = check(record.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(header.account().unwrap().as_str(), "111122223333");
    assert_eq!(header.user_identity_arn().unwrap(), "arn:aws:iam::111122223333:user/ana");
    assert_eq!(header.user_identity_type().unwrap(), "IAMUser");
    assert_eq!(header.read_only, Some(true));
    let resources: Vec<_> = header.resources().collect();
    assert_eq!(resources.len(), 3);
    assert_eq!(resources[0].arn.unwrap(), "a");
    assert_eq!(resources[1].arn.unwrap(), "b");
    assert_eq!(resources[1].account_id, None);
    assert_eq!(resources[1].kind.unwrap(), "AWS::S3::Object");
    assert_eq!(resources[2].arn_prefix.unwrap(), "c");
}

#[test]
fn an_event_id_is_kept_or_derived_the_same_way_again() {
    let id = |changes: &str| {
        let record = record(changes);
        check(record.as_bytes(), &Limits::default()).unwrap().event_id_or_derived(record.as_bytes())
    };
    let kept = id(r#""eventID":"5e2d469d-002a-40b1-9922-a2e7dca03332""#);
    assert_eq!(kept.to_string(), "5e2d469d-002a-40b1-9922-a2e7dca03332");
    // From the text of the ID: the rest of the record does not matter.
    assert_eq!(id(r#""eventID":"order-7""#), id(r#""x":1,"eventID":"order-7""#));
    assert_ne!(id(r#""eventID":"order-7""#), id(r#""eventID":"order-8""#));
    assert_ne!(id(r#""eventID":"{5e2d469d-002a-40b1-9922-a2e7dca03332}""#), kept);
    // From all bytes.
    assert_eq!(id(""), id(""));
    assert_ne!(id(r#""x":1"#), id(r#""x":2"#));
    // These must stay what they are for ever, or replays would not collapse.
    assert_eq!(id(r#""eventID":"order-7""#).to_string(), "dfff7135-915b-5bf4-a8cb-6a7ddd0e5d13");
}
