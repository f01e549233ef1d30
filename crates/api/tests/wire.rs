//! What goes over the wire, through the crate's public face.

// clippy.toml allows unwrap in `#[test]` functions; the `check` functions here stand outside them.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use api::cloudtrail::{self, *};
use api::cloudtrail_data::{self, PutAuditEventsRequest};
use api::json11::{TARGET_PREFIXES, body_of, operation_of_target, parse_input};
use api::rest_json::parse_put_audit_events;
use api::{ApiError, Blob, ErrorCode, Input, Timestamp, sentence};
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// The error body for a request body that does not fit `T`.
fn check_refused<T: Input + std::fmt::Debug>(body: &str, expected: Expect) {
    let error: ApiError = parse_input::<T>(body.as_bytes()).unwrap_err().into();
    assert_eq!(error.status(), 400);
    expected.assert_eq(&error.body());
}

/// The model's complaint about a request body that fits `T`; empty for none.
fn check_judged<T: Input>(body: &str, expected: Expect) {
    let input: T = parse_input(body.as_bytes()).unwrap();
    expected.assert_eq(&sentence(&input.violations()));
}

fn moment(millis: i64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis).unwrap())
}

#[test]
fn all_sixty_operations_are_found_under_both_prefixes() {
    assert_eq!(cloudtrail::Operation::ALL.len(), 60);
    for operation in cloudtrail::Operation::ALL {
        for prefix in TARGET_PREFIXES {
            let header = format!("{prefix}{}", operation.name());
            assert_eq!(operation_of_target(&header), Ok(operation), "{header}");
        }
    }
}

#[test]
fn every_other_target_is_an_unknown_operation() {
    for header in [
        "",
        "CreateTrail",
        "CloudTrail_20131101",
        "CloudTrail_20131101.",
        "CloudTrail_20131101.CreateTrail ",
        "CloudTrail_20131101.CreateTrail.x",
        "CloudTrail_20131101.createTrail",
        "cloudtrail_20131101.CreateTrail",
        "x.CloudTrail_20131101.CreateTrail",
        "com.amazonaws.cloudtrail.v20131101.CreateTrail",
        "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.NoSuchThing",
        "DynamoDB_20120810.ListTables",
    ] {
        let error = ApiError::from(operation_of_target(header).unwrap_err());
        assert_eq!(error.code, ErrorCode::UnknownOperationException, "{header}");
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn each_operation_lists_its_errors_once() {
    for operation in cloudtrail::Operation::ALL {
        let errors = operation.errors();
        let unique: HashSet<_> = errors.iter().collect();
        assert_eq!(unique.len(), errors.len(), "{operation:?}");
    }
    assert!(Operation::GetTrail.errors().contains(&ErrorCode::TrailNotFoundException));
    assert!(!Operation::GetTrail.errors().contains(&ErrorCode::ChannelNotFoundException));
    let data = cloudtrail_data::Operation::parse("PutAuditEvents").unwrap();
    assert!(data.errors().contains(&ErrorCode::DuplicatedAuditEventId));
}

#[test]
fn forty_seven_operations_are_idempotent_in_the_model() {
    let count = Operation::ALL.iter().filter(|operation| operation.is_idempotent()).count();
    assert_eq!(count, 47);
    assert!(Operation::StartLogging.is_idempotent());
    assert!(!Operation::StartImport.is_idempotent());
}

#[test]
fn a_request_is_read_and_written_under_awss_names() {
    let body = r#"{"Name":"audit","S3BucketName":"logs","IsMultiRegionTrail":true,
                   "KmsKeyId":null,"TagsList":[{"Key":"a","Value":"b"}],"SomethingNew":[{}]}"#;
    let request: CreateTrailRequest = parse_input(body.as_bytes()).unwrap();
    let expected = CreateTrailRequest {
        name: Some("audit".into()),
        s3_bucket_name: Some("logs".into()),
        is_multi_region_trail: Some(true),
        tags_list: Some(vec![Tag { key: Some("a".into()), value: Some("b".into()) }]),
        ..Default::default()
    };
    assert_eq!(request, expected);
    expect![[r#"{"Name":"audit","S3BucketName":"logs","IsMultiRegionTrail":true,"TagsList":[{"Key":"a","Value":"b"}]}"#]]
        .assert_eq(&body_of(&request));
}

#[test]
fn an_empty_body_is_an_empty_object() {
    let request: DescribeTrailsRequest = parse_input(b"").unwrap();
    assert_eq!(request, DescribeTrailsRequest::default());
    assert_eq!(body_of(&StartLoggingResponse {}), "{}");
}

#[test]
fn times_are_seconds_and_blobs_are_base64() {
    let status = GetTrailStatusResponse {
        is_logging: Some(true),
        start_logging_time: moment(1_789_319_538_551),
        stop_logging_time: moment(1_789_319_538_000),
        time_logging_stopped: Some(String::new()),
        ..Default::default()
    };
    expect![[r#"{"IsLogging":true,"StartLoggingTime":1789319538.551,"StopLoggingTime":1789319538,"TimeLoggingStopped":""}"#]]
        .assert_eq(&body_of(&status));
    let keys = ListPublicKeysResponse {
        public_key_list: Some(vec![PublicKey {
            value: Some(Blob(vec![1, 2, 3])),
            ..Default::default()
        }]),
        next_token: None,
    };
    expect![[r#"{"PublicKeyList":[{"Value":"AQID"}]}"#]].assert_eq(&body_of(&keys));
}

#[test]
fn each_form_of_a_time_is_read() {
    let expected = moment(1_789_319_538_551);
    for time in ["1789319538.551", "1.789319538551E9", r#""2026-09-13T17:12:18.551Z""#] {
        let body = format!(r#"{{"StartTime":{time}}}"#);
        let request: LookupEventsRequest = parse_input(body.as_bytes()).unwrap();
        assert_eq!(request.start_time, expected, "{time}");
    }
}

#[test]
fn an_integer_may_be_written_with_an_exponent() {
    for number in ["20", "20.0", "2e1"] {
        let body = format!(r#"{{"MaxResults":{number}}}"#);
        let request: LookupEventsRequest = parse_input(body.as_bytes()).unwrap();
        assert_eq!(request.max_results, Some(20));
    }
}

#[test]
fn a_required_output_member_cannot_be_left_out() {
    let reply = CancelQueryResponse {
        query_id: "q".into(),
        query_status: cloudtrail::values::query_status::CANCELLED.into(),
        event_data_store_owner_account_id: None,
    };
    expect![[r#"{"QueryId":"q","QueryStatus":"CANCELLED"}"#]].assert_eq(&body_of(&reply));
}

#[test]
fn values_of_the_wrong_kind_are_refused_by_their_name() {
    check_refused::<CreateTrailRequest>(
        r#"{"Name":1}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"NUMBER_VALUE can not be converted to a String at 'name'"}"#
        ]],
    );
    check_refused::<CreateTrailRequest>(
        r#"{"TagsList":[{"Key":"a"},{"Key":{}}]}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"Start of structure or map found where not expected. at 'tagsList.2.member.key'"}"#
        ]],
    );
    check_refused::<CreateTrailRequest>(
        r#"{"TagsList":[null]}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"NULL_VALUE can not be converted to a Structure at 'tagsList.1.member'"}"#
        ]],
    );
    check_refused::<CreateTrailRequest>(
        r#"{"IsMultiRegionTrail":"true"}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"STRING_VALUE can not be converted to a Boolean at 'isMultiRegionTrail'"}"#
        ]],
    );
    check_refused::<LookupEventsRequest>(
        r#"{"MaxResults":2.5}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"2.5 can not be converted to an Integer at 'maxResults'"}"#
        ]],
    );
    check_refused::<LookupEventsRequest>(
        r#"{"MaxResults":4294967296}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"4294967296 can not be converted to an Integer at 'maxResults'"}"#
        ]],
    );
    check_refused::<LookupEventsRequest>(
        r#"{"StartTime":"soon"}"#,
        expect![[
            r#"{"__type":"SerializationException","message":"\"soon\" can not be converted to a Timestamp at 'startTime'"}"#
        ]],
    );
    check_refused::<CreateTrailRequest>(
        "[]",
        expect![[r#"{"__type":"SerializationException","message":"Unexpected list"}"#]],
    );
}

#[test]
fn what_is_not_one_unambiguous_json_value_is_refused() {
    let deep = format!(r#"{{"Unknown":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "{",
        "{} {}",
        "{}x",
        r#"{"Name":"a","Name":"b"}"#,
        r#"{"Name":"a","\u004eame":"b"}"#,
        r#"{"Unknown":{"a":1,"a":1}}"#,
        r#"{"Name":NaN}"#,
        "{\"Name\":\"\u{1}\"}",
        r#"{"Unknown":1e999}"#,
        &deep,
    ] {
        let error: ApiError = parse_input::<GetTrailRequest>(body.as_bytes()).unwrap_err().into();
        assert_eq!(error.code, ErrorCode::SerializationException);
        assert!(error.message.starts_with("The request body is not acceptable JSON"), "{error}");
    }
    assert!(parse_input::<GetTrailRequest>(b"{\"Name\":\"\xff\"}").is_err());
}

#[test]
fn what_the_model_allows_is_not_complained_of() {
    check_judged::<CreateTrailRequest>(r#"{"Name":"a","S3BucketName":"b"}"#, expect![[""]]);
    check_judged::<StartQueryRequest>(
        r#"{"QueryStatement":"SELECT\n1","DeliveryS3Uri":"s3://my.bucket/a b/é"}"#,
        expect![[""]],
    );
    check_judged::<StartQueryRequest>(r#"{"DeliveryS3Uri":"s3://abc"}"#, expect![[""]]);
    check_judged::<PutEventSelectorsRequest>(
        r#"{"TrailName":"t","AdvancedEventSelectors":[{"Name":"","FieldSelectors":
            [{"Field":"eventCategory","Equals":["Data"]}]}]}"#,
        expect![[""]],
    );
}

#[test]
fn a_missing_member_is_null() {
    check_judged::<CreateTrailRequest>(
        r#"{"Name":"a"}"#,
        expect![
            "1 validation error detected: Value null at 's3BucketName' failed to satisfy constraint: Member must not be null"
        ],
    );
    check_judged::<CreateTrailRequest>(
        "{}",
        expect![
            "2 validation errors detected: Value null at 'name' failed to satisfy constraint: Member must not be null; Value null at 's3BucketName' failed to satisfy constraint: Member must not be null"
        ],
    );
    check_judged::<AddTagsRequest>(
        r#"{"ResourceId":"r","TagsList":[{"Key":"a"},{}]}"#,
        expect![
            "1 validation error detected: Value null at 'tagsList.2.member.key' failed to satisfy constraint: Member must not be null"
        ],
    );
}

#[test]
fn lengths_ranges_patterns_and_values_have_awss_words() {
    check_judged::<LookupEventsRequest>(
        r#"{"MaxResults":51}"#,
        expect![
            "1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 50"
        ],
    );
    check_judged::<LookupEventsRequest>(
        r#"{"MaxResults":0,"EventCategory":"Insight"}"#,
        expect![
            "2 validation errors detected: Value 'Insight' at 'eventCategory' failed to satisfy constraint: Member must satisfy enum value set: [insight]; Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"
        ],
    );
    check_judged::<CreateChannelRequest>(
        r#"{"Name":"a!","Source":"Custom","Destinations":[]}"#,
        expect![[
            r#"3 validation errors detected: Value 'a!' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9._\-]+$; Value 'a!' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 3; Value '[]' at 'destinations' failed to satisfy constraint: Member must have length greater than or equal to 1"#
        ]],
    );
    check_judged::<StartQueryRequest>(
        r#"{"DeliveryS3Uri":"s3://Bucket/x"}"#,
        expect![[
            r#"1 validation error detected: Value 's3://Bucket/x' at 'deliveryS3Uri' failed to satisfy constraint: Member must satisfy regular expression pattern: s3://[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9](/.*)?"#
        ]],
    );
}

#[test]
fn a_broken_element_is_told_of_the_whole_collection() {
    check_judged::<PutEventSelectorsRequest>(
        r#"{"TrailName":"t","AdvancedEventSelectors":[{"FieldSelectors":
            [{"Field":"eventCategory","Equals":["Data",""]}]}]}"#,
        expect![
            "1 validation error detected: Value '[Data, ]' at 'advancedEventSelectors.1.member.fieldSelectors.1.member.equals' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: .+]"
        ],
    );
    check_judged::<StartDashboardRefreshRequest>(
        r#"{"DashboardId":"d-1","QueryParameterValues":{"$K":"v"}}"#,
        expect![[
            r#"1 validation error detected: Value '{$K=v}' at 'queryParameterValues' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: ^[a-zA-Z0-9._/\-:$]+$]"#
        ]],
    );
}

#[test]
fn lengths_count_characters_and_not_bytes() {
    let body = format!(r#"{{"ResourceId":"r","TagsList":[{{"Key":"{}"}}]}}"#, "é".repeat(128));
    check_judged::<AddTagsRequest>(&body, expect![[""]]);
}

#[test]
fn an_operation_can_take_out_the_members_it_has_errors_for() {
    let request: CreateTrailRequest = parse_input(br#"{"TagsList":[{}]}"#).unwrap();
    let mut violations = request.violations();
    violations.retain(|violation| violation.member != "Name" && violation.member != "TagsList");
    let error = ApiError::validation(&violations).unwrap();
    assert_eq!(error.code, ErrorCode::ValidationException);
    assert_eq!(
        error.message,
        "1 validation error detected: Value null at 's3BucketName' failed to satisfy constraint: \
         Member must not be null"
    );
    assert_eq!(ApiError::validation(&[]), None);
}

#[test]
fn put_audit_events_takes_its_channel_from_the_query_alone() {
    let body = br#"{"auditEvents":[{"id":"1","eventData":"{}"}],"channelArn":"arn:forged","externalId":"xx"}"#;
    let request = parse_put_audit_events("channelArn=arn%3Aaws%3Ax%2Fy&other=1", body).unwrap();
    assert_eq!(request.channel_arn.as_deref(), Some("arn:aws:x/y"));
    assert_eq!(request.external_id, None);
    assert_eq!(request.violations(), []);

    let without: PutAuditEventsRequest = parse_put_audit_events("", body).unwrap();
    expect!["1 validation error detected: Value null at 'channelArn' failed to satisfy constraint: Member must not be null"]
        .assert_eq(&sentence(&without.violations()));

    assert!(parse_put_audit_events("channelArn=a&channelArn=b", body).is_err());
    assert!(parse_put_audit_events("channelArn=%ff", body).is_err());
}

#[test]
fn a_plus_in_the_uri_is_a_plus() {
    let request = parse_put_audit_events("externalId=a+b%20c", b"{}").unwrap();
    assert_eq!(request.external_id.as_deref(), Some("a+b c"));
}

/// Any JSON, to feed parsers that must not panic.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        let key = prop_oneof![Just("Name"), Just("TagsList"), Just("Key"), Just("Destinations")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.prop_map(String::from), inner, 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused_and_what_is_read_survives(json in any_json()) {
        if let Ok(request) = parse_input::<CreateChannelRequest>(json.to_string().as_bytes()) {
            sentence(&request.violations());
            let again: CreateChannelRequest = parse_input(body_of(&request).as_bytes()).unwrap();
            prop_assert_eq!(again, request);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse_input::<CreateTrailRequest>(&bytes);
        let text = String::from_utf8_lossy(&bytes);
        let _ = operation_of_target(&text);
        let _ = api::query::parse_action(&text);
    }
}
