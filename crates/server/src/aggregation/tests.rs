use event::{Limits, check};
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";
const ALL: [AggregationTemplate; 3] = [
    AggregationTemplate::ApiActivity,
    AggregationTemplate::ResourceAccess,
    AggregationTemplate::UserActions,
];

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// Counts one event, accepted a second after it happened.
fn count(
    windows: &mut OpenWindows,
    templates: &[AggregationTemplate],
    seq: u64,
    time: &str,
    name: &str,
    object: &str,
) {
    let record = json!({
        "eventTime": time, "eventSource": "s3.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
        "eventCategory": "Data", "sourceIPAddress": "10.0.0.1", "userAgent": "agent",
        "userIdentity": { "arn": "arn:aws:iam::111122223333:user/ana" },
        "resources": [{ "ARN": object, "type": "AWS::S3::Object" }, { "ARN": object, "type": "AWS::S3::Object" }],
    })
    .to_string();
    let header = check(record.as_bytes(), &Limits::default()).unwrap();
    let accepted_ms = at(time).as_millisecond() + 1_000;
    let counted = Counted { seq, accepted_ms, account: "111122223333", region: "us-east-1" };
    let wish = Wish { trail_arn: ARN, bucket: "logs", prefix: None, organization: None, templates };
    windows.count(wish, counted, &header);
}

fn records(closed: &[NewAggregatedEvent]) -> Vec<Value> {
    closed.iter().map(|event| serde_json::from_str(&event.record).unwrap()).collect()
}

#[test]
fn a_window_becomes_an_event_of_awss_shape() {
    let mut windows = OpenWindows::default();
    let api = [AggregationTemplate::ApiActivity];
    count(&mut windows, &api, 1, "2025-11-17T19:20:00Z", "PutObject", "arn:aws:s3:::b/1");
    count(&mut windows, &api, 2, "2025-11-17T19:24:59Z", "PutObject", "arn:aws:s3:::b/2");
    count(&mut windows, &api, 3, "2025-11-17T19:22:00Z", "GetObject", "arn:aws:s3:::b/2");
    assert!(windows.close(at("2025-11-17T19:25:09.999Z"), 10_000).is_empty());
    let closed = windows.close(at("2025-11-17T19:25:10Z"), 10_000);
    assert!(windows.is_empty());
    assert_eq!(closed[0].stream.folder, "CloudTrail-Aggregated");
    let raw = closed[0].record.as_bytes();
    let header = check(raw, &Limits::default()).unwrap();
    assert_eq!(header.category, event::Category::Aggregated);
    assert_eq!(header.event_time.as_millisecond(), closed[0].event_ms);
    let mut found = records(&closed).remove(0);
    assert!(Uuid::try_parse(found["eventId"].take().as_str().unwrap()).is_ok());
    let one = |dimension: &str, name: &str, value: u64| json!({ "dimension": dimension, "statistics": [{ "name": name, "value": value }], "aggregationType": "Count" });
    assert_eq!(
        found,
        json!({
            "eventVersion": "1.0", "accountId": "111122223333", "eventId": null,
            "eventCategory": "Aggregated", "eventType": "AwsAggregatedEvent",
            "awsRegion": "us-east-1", "eventSource": "s3.amazonaws.com",
            "timeWindow": { "windowStart": "2025-11-17T19:20:00Z", "windowEnd": "2025-11-17T19:25:00Z", "windowSize": "PT5M" },
            "summary": {
                "primaryDimension": { "dimension": "eventName", "aggregationType": "Count",
                    "statistics": [{ "name": "PutObject", "value": 2 }, { "name": "GetObject", "value": 1 }] },
                "details": [
                    { "dimension": "resourceARN", "aggregationType": "Count",
                        "statistics": [{ "name": "arn:aws:s3:::b/2", "value": 2 }, { "name": "arn:aws:s3:::b/1", "value": 1 }] },
                    one("userIdentity", "arn:aws:iam::111122223333:user/ana", 3),
                    one("userAgent", "agent", 3),
                    one("sourceIpAddress", "10.0.0.1", 3),
                ],
            },
        })
    );
}

#[test]
fn windows_are_aligned_and_their_end_is_the_next_ones_start() {
    let mut windows = OpenWindows::default();
    let api = [AggregationTemplate::ApiActivity];
    count(&mut windows, &api, 1, "2025-11-17T19:24:59Z", "PutObject", "a");
    count(&mut windows, &api, 2, "2025-11-17T19:25:00Z", "PutObject", "a");
    let closed = records(&windows.close(at("2025-11-17T19:30:00Z"), 0));
    let starts: Vec<_> = closed.iter().map(|r| r["timeWindow"]["windowStart"].clone()).collect();
    assert_eq!(starts, ["2025-11-17T19:20:00Z", "2025-11-17T19:25:00Z"]);
    assert_ne!(closed[0]["eventId"], closed[1]["eventId"]);
}

#[test]
fn each_template_has_an_event_of_its_own() {
    let mut windows = OpenWindows::default();
    count(&mut windows, &ALL, 1, "2025-11-17T19:20:00Z", "PutObject", "arn:aws:s3:::b/1");
    // Without a resource there is nothing to sum up by resource.
    count(&mut windows, &ALL, 2, "2025-11-17T19:20:00Z", "PutObject", "");
    let closed = records(&windows.close(at("2025-11-17T20:00:00Z"), 0));
    let primary = |record: &Value| {
        let primary = &record["summary"]["primaryDimension"];
        (primary["dimension"].clone(), primary["statistics"][0]["value"].clone())
    };
    let found: Vec<_> = closed.iter().map(primary).collect();
    assert_eq!(
        found,
        [
            (json!("eventName"), json!(2)),
            (json!("resourceARN"), json!(1)),
            (json!("userIdentity"), json!(2)),
        ]
    );
}

#[test]
fn late_events_give_a_second_event_of_their_window() {
    let mut windows = OpenWindows::default();
    let api = [AggregationTemplate::ApiActivity];
    count(&mut windows, &api, 1, "2025-11-17T19:20:00Z", "PutObject", "a");
    let first = records(&windows.close(at("2025-11-17T19:26:00Z"), 0));
    count(&mut windows, &api, 2, "2025-11-17T19:20:00Z", "PutObject", "a");
    let second = records(&windows.close(at("2025-11-17T19:26:00Z"), 0));
    assert_eq!(first[0]["timeWindow"], second[0]["timeWindow"]);
    assert_ne!(first[0]["eventId"], second[0]["eventId"]);
    assert_eq!(second[0]["summary"]["primaryDimension"]["statistics"][0]["value"], 1);
}

#[test]
fn what_is_open_survives_as_text_and_gives_the_same_events() {
    let mut windows = OpenWindows::default();
    for seq in 0..200 {
        count(&mut windows, &ALL, seq, "2025-11-17T19:20:00Z", "PutObject", &format!("arn:{seq}"));
    }
    let mut again = OpenWindows::from_json(&windows.to_json()).unwrap();
    assert_eq!(again, windows);
    let end = at("2025-11-17T20:00:00Z");
    let closed = windows.close(end, 0);
    assert_eq!(again.close(end, 0), closed);
    let listed = &records(&closed)[0]["summary"]["details"][0]["statistics"];
    assert_eq!(listed.as_array().unwrap().len(), LISTED_MAX);
}

#[test]
fn long_values_never_make_an_event_too_large() {
    let mut windows = OpenWindows::default();
    let long = "\"".repeat(5_000);
    for seq in 0..LISTED_MAX as u64 * 2 {
        count(
            &mut windows,
            &ALL,
            seq,
            "2025-11-17T19:20:00Z",
            &format!("{seq}{long}"),
            &format!("{seq}{long}"),
        );
    }
    for event in windows.close(at("2025-11-17T20:00:00Z"), 0) {
        assert!(check(event.record.as_bytes(), &Limits::default()).is_ok());
    }
}
