mod corpus;
mod random;
mod unread;

use arrow::array::{Array, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;

use super::*;
use crate::record::records;
use crate::record::shape::COMPACT;

const ACCOUNT: &str = "111111111111";
/// What every record needs, without its braces.
const HEAD: &str = r#""eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1""#;

/// A record with `members` after those that every record needs.
fn record(members: &str) -> String {
    format!("{{{HEAD},{members}}}")
}

#[track_caller]
fn decoded(record: &str) -> RecordBatch {
    let mut decoder = Decoder::new();
    decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() }).unwrap();
    let batch = decoder.finish();
    assert_eq!(records(&batch).unwrap().value(0), record);
    batch
}

/// What the column at `path` (members of structs after dots) has in `row`, as Arrow shows it.
fn cell(batch: &RecordBatch, row: usize, path: &str) -> Option<String> {
    let mut names = path.split('.');
    let mut column = batch.column_by_name(names.next().unwrap()).expect(path).clone();
    for name in names {
        let object = column.as_any().downcast_ref::<arrow::array::StructArray>().expect(path);
        if object.is_null(row) {
            return None;
        }
        column = object.column_by_name(name).expect(path).clone();
    }
    if column.is_null(row) {
        return None;
    }
    if let Some(times) = column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        return Some(jiff::Timestamp::from_microsecond(times.value(row)).unwrap().to_string());
    }
    Some(array_value_to_string(&column, row).unwrap())
}

/// Decodes a record with `members`, looks at `path`, and demands that no more than the `rest` was
/// kept beside the columns.
#[track_caller]
fn check(members: &str, path: &str, expected: Option<&str>, rest: &[&str]) {
    let batch = decoded(&record(members));
    assert_eq!(cell(&batch, 0, path).as_deref(), expected, "{members}");
    let mut wanted = Vec::new();
    for value in rest {
        crate::record::shape::push_text(&mut wanted, value.as_bytes());
    }
    let kept = batch.column_by_name("cairn_rest").unwrap();
    let kept = kept.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap();
    assert_eq!(String::from_utf8_lossy(kept.value(0)), String::from_utf8_lossy(&wanted));
    assert_eq!(kept.is_null(0), rest.is_empty(), "an empty rest is null");
}

#[test]
fn the_usual_record_needs_no_rest() {
    let record = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEX:sess","arn":"arn:aws:sts::111111111111:assumed-role/Dev/sess","accountId":"111111111111","accessKeyId":"ASIAEX","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEX","arn":"arn:aws:iam::111111111111:role/Dev","accountId":"111111111111","userName":"Dev"},"webIdFederationData":{},"attributes":{"creationDate":"2026-01-02T03:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"[aws-cli/2]","requestParameters":{"bucketName":"a","key":"b"},"responseElements":null,"additionalEventData":{"SignatureVersion":"SigV4","bytesTransferredOut":0.0},"requestID":"r","eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a10","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::a/b"},{"accountId":"111111111111","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::a"}],"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111111111111","eventCategory":"Data","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"a.s3.amazonaws.com"}}"#;
    let batch = decoded(record);
    let is = |path: &str, expected: &str| {
        assert_eq!(cell(&batch, 0, path).as_deref(), Some(expected), "{path}");
    };
    is("eventversion", "1.11");
    is("eventtime", "2026-01-02T03:04:05Z");
    is("useridentity.type", "AssumedRole");
    is("useridentity.sessioncontext.sessionissuer.username", "Dev");
    is("useridentity.sessioncontext.attributes.creationdate", "2026-01-02T03:00:00Z");
    is("useridentity.sessioncontext.attributes.mfaauthenticated", "false");
    is("useridentity.sessioncontext.webidfederationdata", "{federatedprovider: , attributes: }");
    is("sourceipaddress", "192.0.2.1");
    is("requestparameters", "{bucketName: a, key: b}");
    is("additionaleventdata", "{SignatureVersion: SigV4, bytesTransferredOut: 0.0}");
    is("requestid", "r");
    is("readonly", "true");
    is("managementevent", "false");
    is("tlsdetails.clientprovidedhostheader", "a.s3.amazonaws.com");
    is("cairn_account", ACCOUNT);
    is("cairn_username", "sess");
    is(
        "resources",
        "[{accountid: , type: AWS::S3::Object, arn: arn:aws:s3:::a/b, arnprefix: }, {accountid: 111111111111, type: AWS::S3::Bucket, arn: arn:aws:s3:::a, arnprefix: }]",
    );
    for path in ["responseelements", "useridentity.username", "annotation", "cairn_rest"] {
        assert_eq!(cell(&batch, 0, path), None, "{path}");
    }
    let shape = batch.column_by_name("cairn_shape").unwrap();
    let shape = shape.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap().value(0);
    assert_eq!(shape[0], COMPACT);
    assert!(shape.len() < 64, "{shape:?}");
}

#[test]
fn maps_keep_their_keys_and_nested_values_as_json() {
    let map = |value: &str, expected: Option<&str>, rest: &[&str]| {
        check(&format!(r#""requestParameters":{value}"#), "requestparameters", expected, rest);
    };
    map("null", None, &[]);
    map("{}", Some("{}"), &[]);
    map(
        r#"{"a":"x","b":{"c":[1, 2]},"":-0,"é":1e400}"#,
        Some(r#"{a: x, b: {"c":[1, 2]}, : -0, é: 1e400}"#),
        &[],
    );
    map(
        r#"{"x-amz-acl":"a","*":"b",":uid":"c","Tagging":"d","tagging":"e"}"#,
        Some("{x-amz-acl: a, *: b, :uid: c, Tagging: d, tagging: e}"),
        &[],
    );
    // Strings that look like other values, and other values.
    map(
        r#"{"a":"1","b":1,"c":"null","d":null,"e":"true","f":true}"#,
        Some("{a: 1, b: 1, c: null, d: , e: true, f: true}"),
        &[],
    );
    map(
        r#"{"policy":"{\"Version\":\"2012-10-17\"}"}"#,
        Some(r#"{policy: {"Version":"2012-10-17"}}"#),
        &[],
    );
    // Escapes that nothing demands.
    map(r#"{"a":"\u0041\/"}"#, Some("{a: A/}"), &[r#"{"a":"\u0041\/"}"#]);
    map(r#"{"\u0041":"x"}"#, Some("{A: x}"), &[r#"{"\u0041":"x"}"#]);
    map(
        r#"{"a":"line\nand \"quote\" and \u0001"}"#,
        Some("{a: line\nand \"quote\" and \u{1}}"),
        &[],
    );
}

#[test]
fn what_is_no_object_is_kept_under_an_empty_key() {
    for (value, expected, rest) in [
        (r#""text""#, "{: text}", ""),
        (r#""5""#, "{: 5}", ""),
        ("5", "{: 5}", ""),
        ("[1,2]", "{: [1,2]}", ""),
        (r#""\u0041""#, "{: A}", r#""\u0041""#),
    ] {
        for member in ["requestParameters", "serviceEventDetails"] {
            let rest: &[&str] = if rest.is_empty() { &[] } else { &[rest] };
            let members = format!(r#""{member}":{value}"#);
            check(&members, &member.to_lowercase(), Some(expected), rest);
        }
    }
}

#[test]
fn more_than_64_entries_can_be_strings_that_look_like_numbers() {
    for (count, wants_rest) in [(64, false), (65, true), (300, true)] {
        let entries: Vec<_> = (0..count).map(|n| format!(r#""k{n}":"{n}""#)).collect();
        let batch = decoded(&record(&format!(r#""requestParameters":{{{}}}"#, entries.join(","))));
        assert_eq!(cell(&batch, 0, "cairn_rest").is_some(), wants_rest, "{count}");
    }
}

#[test]
fn types_that_drift_are_read_and_kept() {
    check(r#""readOnly":"true""#, "readonly", Some("true"), &[r#""true""#]);
    check(r#""readOnly":"False""#, "readonly", Some("false"), &[r#""False""#]);
    check(r#""readOnly":"""#, "readonly", None, &[r#""""#]);
    check(r#""readOnly":null"#, "readonly", None, &[]);
    check(
        r#""sessionCredentialFromConsole":"true""#,
        "sessioncredentialfromconsole",
        Some("true"),
        &[],
    );
    check(
        r#""sessionCredentialFromConsole":true"#,
        "sessioncredentialfromconsole",
        Some("true"),
        &[],
    );
    check(r#""apiVersion":1.50"#, "apiversion", Some("1.50"), &[]);
    check(r#""errorMessage":{"a":"b"}"#, "errormessage", Some(r#"{"a":"b"}"#), &[]);
    check(r#""errorCode":"""#, "errorcode", Some(""), &[]);
    check(r#""errorCode":"200""#, "errorcode", Some("200"), &[]);
    check(r#""userAgent":"a\"b\\c\td""#, "useragent", Some("a\"b\\c\td"), &[]);
    check(r#""userAgent":"a\u002fb""#, "useragent", Some("a/b"), &[r#""a\u002fb""#]);
    check(
        r#""userAgent":"🎉 한글\u202f""#,
        "useragent",
        Some("🎉 한글\u{202f}"),
        &[r#""🎉 한글\u202f""#],
    );
    check(r#""tlsDetails":"none""#, "tlsdetails", None, &[r#""none""#]);
    check(r#""eventContext":{"tagContext":[]}"#, "eventcontext.tagcontext", None, &["[]"]);
}

#[test]
fn unknown_members_are_kept() {
    check(r#""brandNew":{"a":[1, 2]}"#, "requestid", None, &[r#"{"a":[1, 2]}"#]);
    check(r#""brandNew":true,"other":null,"third":{}"#, "requestid", None, &[]);
    // Of these there are few, so they are part of the shape.
    let tls = |exchange: &str| {
        format!(r#""tlsDetails":{{"tlsVersion":"TLSv1.3","keyExchange":"{exchange}"}}"#)
    };
    check(&tls("X25519MLKEM768"), "tlsdetails.tlsversion", Some("TLSv1.3"), &[]);
    let long = "x".repeat(40);
    check(&tls(&long), "tlsdetails.tlsversion", Some("TLSv1.3"), &[&format!("\"{long}\"")]);
    // A known key, spelled with an escape.
    check(r#""request\u0049D":"r""#, "requestid", Some("r"), &[r#""r""#]);
    // Case counts.
    check(r#""requestId":"r""#, "requestid", None, &[r#""r""#]);
}

#[test]
fn session_times_are_read_in_both_forms() {
    let identity = |time: &str| {
        format!(r#""userIdentity":{{"sessionContext":{{"attributes":{{"creationDate":{time}}}}}}}"#)
    };
    let path = "useridentity.sessioncontext.attributes.creationdate";
    check(&identity(r#""2021-02-21T23:46:28Z""#), path, Some("2021-02-21T23:46:28Z"), &[]);
    for (time, expected) in [
        (r#""20131102T010628Z""#, Some("2013-11-02T01:06:28Z")),
        (r#""2021-02-21T23:46:28.5Z""#, Some("2021-02-21T23:46:28.5Z")),
        (r#""2021-02-21 23:46:28Z""#, Some("2021-02-21T23:46:28Z")),
        (r#""2021-02-21T23:46:60Z""#, Some("2021-02-21T23:46:59Z")),
        (r#""long ago""#, None),
        ("1700000000", None),
        (r#""2021-13-45T99:99:99Z""#, None),
        (r#""20131345T010628Z""#, None),
    ] {
        check(&identity(time), path, expected, &[time]);
    }
}

#[test]
fn resources_are_read_with_either_spelling() {
    let resources = |list: &str, expected: &str, rest: &[&str]| {
        check(&format!(r#""resources":{list}"#), "resources", Some(expected), rest);
    };
    resources("[]", "[]", &[]);
    resources("[{}]", "[{accountid: , type: , arn: , arnprefix: }]", &[]);
    let expected =
        "[{accountid: , type: , arn: x, arnprefix: }, {accountid: , type: , arn: , arnprefix: y}]";
    resources(r#"[{"ARN":"x"},{"ARNPrefix":"y"}]"#, expected, &[]);
    resources(r#"[{"arn":"x"},{"arnPrefix":"y"}]"#, expected, &[]);
    let both = "[{accountid: , type: , arn: x, arnprefix: }]";
    resources(r#"[{"arn":"x","ARN":"z"}]"#, both, &[r#""z""#]);
    resources(r#"[{"arn":"x"},"odd"]"#, both, &[r#"[{"arn":"x"},"odd"]"#]);
    check(r#""resources":null"#, "resources", None, &[]);
    let tags = r#""eventContext":{"requestContext":{"a":"b"},"tagContext":{"resourceTags":[{"arn":"x","tags":{"k":"v"}}],"principalTags":{"p":"q"}}}"#;
    check(
        tags,
        "eventcontext.tagcontext",
        Some("{principaltags: {p: q}, resourcetags: [{arn: x, tags: {k: v}}]}"),
        &[],
    );
}

#[test]
fn many_elements_of_one_kind_have_the_shape_of_one() {
    let list = |count: usize| {
        let element = r#"{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::a/b"}"#;
        let batch =
            decoded(&record(&format!(r#""resources":[{}]"#, vec![element; count].join(","))));
        cell(&batch, 0, "cairn_shape").unwrap()
    };
    assert_eq!(list(1), list(2));
    assert_eq!(list(1), list(300));
    assert_ne!(list(0), list(1));
    let mixed = r#"[{"ARN":"a"},{"type":"t"},{"ARN":"a"},{"ARN":"b"},{"ARN":"c"}]"#;
    check(&format!(r#""resources":{mixed}"#), "annotation", None, &[]);
}

#[test]
fn space_as_python_writes_it_costs_nothing_and_other_space_the_whole_record() {
    let spaced = record(
        r#""requestParameters":{"a":"x","b":1},"resources":[{"ARN":"a"},{"ARN":"b"}],"new":{}"#,
    )
    .replace("\":", "\": ")
    .replace(",\"", ", \"")
    .replace("},{", "}, {");
    assert_eq!(cell(&decoded(&spaced), 0, "cairn_rest"), None, "{spaced}");
    for odd in [
        record(r#""a":1"#).replace("{", "{ "),
        record(r#""a":1"#).replace("}", "\n}"),
        record(r#""requestParameters":{"a":1 ,"b":2}"#),
        record(r#""requestParameters":{ }"#),
        record(r#""resources":[ ]"#),
        record(r#""a": 1"#),
        format!(" {}", record(r#""a":1"#)),
        format!("{}\n", record(r#""a":1"#)),
    ] {
        let batch = decoded(&odd);
        assert_eq!(cell(&batch, 0, "eventname").as_deref(), Some("GetObject"));
        let rest = batch.column_by_name("cairn_rest").unwrap();
        let rest = rest.as_any().downcast_ref::<arrow::array::BinaryArray>().unwrap();
        assert_eq!(rest.value(0), odd.as_bytes());
    }
}

#[test]
fn rows_are_found_by_what_stands_elsewhere_in_the_record() {
    let insight = r#"{"eventTime":"2024-12-11T16:52:00Z","awsRegion":"us-east-1","eventType":"AwsCloudTrailInsight","insightDetails":{"state":"Start","eventSource":"cloudtrail.amazonaws.com","eventName":"DescribeQuery"},"eventCategory":"Insight"}"#;
    let batch = decoded(insight);
    assert_eq!(cell(&batch, 0, "eventname").as_deref(), Some("DescribeQuery"));
    assert_eq!(cell(&batch, 0, "eventsource").as_deref(), Some("cloudtrail.amazonaws.com"));
    let aggregate = r#"{"eventVersion":"1.0","accountId":"111122223333","eventId":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a10","eventCategory":"Aggregated","awsRegion":"us-west-2","eventSource":"s3.amazonaws.com","timeWindow":{"windowStart":"2025-11-17T19:20:00Z","windowEnd":"2025-11-17T19:25:00Z"}}"#;
    let batch = decoded(aggregate);
    assert_eq!(cell(&batch, 0, "eventtime").as_deref(), Some("2025-11-17T19:25:00Z"));
    for path in ["eventname", "eventid"] {
        assert_eq!(cell(&batch, 0, path), None, "the record has no {path}");
    }
}

#[test]
fn what_was_pushed_can_be_sorted_and_deduplicated() {
    let mut decoder = Decoder::new();
    let mut push = |members: &str| {
        let record = record(members);
        let header = event::check(record.as_bytes(), &Limits::default()).unwrap();
        let pushed = decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() }).unwrap();
        assert_eq!(pushed.event_time_us, 1_767_323_045_000_000);
        assert_eq!(pushed.event_id, header.event_id_or_derived(record.as_bytes()).as_u128());
        pushed.event_id
    };
    let id = push(r#""eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a10""#);
    assert_eq!(id, 0x6f0c_3b1e_3c4f_4f57_9d3a_0d3a_1c1f_9a10);
    assert_eq!(push(r#""eventID":"6F0C3B1E-3C4F-4F57-9D3A-0D3A1C1F9A10""#), id);
    assert_eq!(push(r#""eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a1\u0030""#), id);
    for other in [
        r#""eventID":"6f0c3b1e3c4f4f579d3a0d3a1c1f9a10""#,
        r#""eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a1g""#,
        r#""eventID":"""#,
        r#""eventID":null"#,
        r#""annotation":"no eventID""#,
        r#""eventId":"of an aggregate""#,
    ] {
        assert_ne!(push(other), id, "{other}");
    }
}

#[test]
fn a_refused_record_leaves_the_batch_as_it_was() {
    let mut decoder = Decoder::new();
    let good = record(r#""requestParameters":{"a":"x"},"userIdentity":{"type":"Root"}"#);
    let mut expected = Vec::new();
    for bad in ["", "{}", "[]", "{", &good[..good.len() - 1], "\u{feff}{}"] {
        decoder.push(RowIn { account: ACCOUNT, record: good.as_bytes() }).unwrap();
        expected.push(good.clone());
        let bytes = decoder.bytes();
        let refused = decoder.push(RowIn { account: ACCOUNT, record: bad.as_bytes() });
        assert!(matches!(refused, Err(Refused::Record(_))), "{bad}");
        assert_eq!((decoder.rows(), decoder.bytes()), (expected.len(), bytes));
    }
    assert!(decoder.push(RowIn { account: ACCOUNT, record: b"{\"a\":\"\xff\"}" }).is_err());
    let header = event::read_again(good.as_bytes()).unwrap();
    let not_utf8 = RowIn { account: ACCOUNT, record: b"{\"a\":\"\xff\"}" };
    assert!(matches!(decoder.push_checked(not_utf8, &header), Err(Refused::Record(_))));
    let batch = decoder.finish();
    assert_eq!(records(&batch).unwrap().iter().flatten().collect::<Vec<_>>(), expected);
    assert_eq!((decoder.rows(), decoder.bytes()), (0, 0));
    assert_eq!(decoder.finish().num_rows(), 0);
    assert_eq!(records(&decoder.finish()).unwrap().len(), 0);
}

#[test]
fn a_batch_that_is_full_takes_more_once_it_is_finished() {
    let mut decoder = Decoder::new();
    decoder.bytes_max = 2_000;
    let record = record(&format!(r#""annotation":"{}""#, "x".repeat(1_000)));
    let row = RowIn { account: ACCOUNT, record: record.as_bytes() };
    decoder.push(row).unwrap();
    assert!(matches!(decoder.push(row), Err(Refused::Full)));
    assert_eq!(records(&decoder.finish()).unwrap().len(), 1);
    decoder.push(row).unwrap();
    assert_eq!(records(&decoder.finish()).unwrap().value(0), record);
}

#[test]
fn parts_of_a_batch_come_back_too() {
    let mut decoder = Decoder::new();
    let all: Vec<String> = (0..40)
        .map(|n| {
            record(&format!(
                r#""requestParameters":{{"n":{n}}},"resources":[{{"ARN":"{n}"}}],"x{n}":"{n}""#
            ))
        })
        .collect();
    for record in &all {
        decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() }).unwrap();
    }
    let batch = decoder.finish();
    for (offset, length) in [(0, 40), (7, 20), (39, 1), (5, 0)] {
        let part = records(&batch.slice(offset, length)).unwrap();
        assert_eq!(part.iter().flatten().collect::<Vec<_>>(), all[offset..offset + length]);
    }
}

#[test]
fn a_part_that_comes_again_is_copied_and_still_comes_back() {
    let identity = |session: &str| {
        format!(
            r#""userIdentity":{{"type":"AssumedRole","principalId":"AROA:{session}","sessionContext":{{"sessionIssuer":{{"userName":"Dev"}},"attributes":{{"creationDate":"2026-01-02T03:00:00Z","mfaAuthenticated":"false"}}}},"new":true}},"tlsDetails":{{"tlsVersion":"TLSv1.3"}}"#
        )
    };
    let spaced = |record: String| record.replace("\":", "\": ").replace(",\"", ", \"");
    let all = [
        record(&identity("a")),
        record(&identity("b")),
        record(&identity("a")),
        // The same parts where no shape fits, twice by other keys, and in the other style.
        format!("{}\n", record(&identity("a"))),
        record(&identity("a")),
        record(&identity("a")).replace("userIdentity", "user\\u0049dentity"),
        spaced(record(&identity("a"))),
        spaced(record(r#""annotation":"x""#)).replace('}', &format!(", {}}}", identity("a"))),
        record(&identity("a")),
        record(r#""tlsDetails":{"tlsVersion":"TLSv1.3"},"userIdentity":{}"#),
    ];
    let mut decoder = Decoder::new();
    for _ in 0..2 {
        for record in &all {
            decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() }).unwrap();
        }
        let batch = decoder.finish();
        assert_eq!(records(&batch).unwrap().iter().flatten().collect::<Vec<_>>(), all);
        for (row, record) in all.iter().enumerate() {
            assert_eq!(decoded(record), batch.slice(row, 1), "{record}");
        }
    }
}
