//! Records of every kind of oddity, and text that is no record at all.

use event::{json, named_resources, user_name};
use proptest::prelude::*;

use super::*;
use crate::record::records_of;

/// JSON as text: what is written is kept, also what no writer would write.
#[derive(Debug, Clone)]
enum Json {
    Token(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn write(&self, comma: &str, colon: &str, out: &mut String) {
        match self {
            Json::Token(token) => out.push_str(token),
            Json::Array(elements) => {
                out.push('[');
                for (nth, element) in elements.iter().enumerate() {
                    out.push_str(if nth > 0 { comma } else { "" });
                    element.write(comma, colon, out);
                }
                out.push(']');
            }
            Json::Object(members) => {
                out.push('{');
                for (nth, (key, value)) in members.iter().enumerate() {
                    out.push_str(if nth > 0 { comma } else { "" });
                    out.push_str(&format!("\"{key}\"{colon}"));
                    value.write(comma, colon, out);
                }
                out.push('}');
            }
        }
    }
}

const KEYS: &[&str] = &[
    "eventVersion",
    "eventData",
    "metadata",
    "channelARN",
    "ingestionTime",
    "version",
    "UID",
    "details",
    "originalUID",
    "userIdentity",
    "sourceIPAddress",
    "userAgent",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "requestID",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "apiVersion",
    "managementEvent",
    "recipientAccountId",
    "sharedEventID",
    "annotation",
    "serviceEventDetails",
    "addendum",
    "insightDetails",
    "tlsDetails",
    "sessionCredentialFromConsole",
    "eventContext",
    "type",
    "principalId",
    "arn",
    "ARN",
    "ARNPrefix",
    "accountId",
    "accessKeyId",
    "userName",
    "sessionContext",
    "attributes",
    "creationDate",
    "mfaAuthenticated",
    "sessionIssuer",
    "webIdFederationData",
    "onBehalfOf",
    "tagContext",
    "principalTags",
    "resourceTags",
    "requestContext",
    "tags",
    "resources",
    "arnPrefix",
    "bucketName",
    "roleArn",
    "items",
    "tlsVersion",
    "new",
    "user\\u0041gent",
    "\\u0074ype",
    "é",
    "",
    "a b",
    "x-amz-acl",
    "\\\"",
];

const STRING_PARTS: &[&str] = &[
    "a",
    "arn:aws:s3:::x",
    "0",
    "12",
    "-1",
    ".5",
    "e9",
    "true",
    "null",
    "{",
    "[1]",
    "}",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "\\u00e9",
    "\\u0001",
    "\\u001F",
    "\\ud83d\\ude00",
    "é",
    "가",
    "🎉",
    "\u{202f}",
    "\\b\\f\\r\\t",
    " ",
    ":",
    ",",
    "2026-01-02T03:04:05Z",
];

const TOKENS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "0.0",
    "1e400",
    "1E+5",
    "-1.50e-7",
    "3600",
    "12345678901234567890",
    "\"true\"",
    "\"\"",
    "\"2026-01-02T03:04:05Z\"",
    "\"2026-01-02T03:04:05.5+02:00\"",
    "{}",
    "[]",
];

fn json(depth: u32) -> impl Strategy<Value = Json> {
    let string = prop::collection::vec(prop::sample::select(STRING_PARTS), 0..4)
        .prop_map(|parts| Json::Token(format!("\"{}\"", parts.concat())));
    let token = prop::sample::select(TOKENS).prop_map(|token| Json::Token(token.to_owned()));
    prop_oneof![3 => string, 2 => token].prop_recursive(depth, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            3 => object(inner),
        ]
    })
}

fn object(value: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    let key = prop::sample::select(KEYS).prop_map(str::to_owned);
    prop::collection::vec((key, value), 0..8).prop_map(Json::Object)
}

pub(super) fn any_record() -> impl Strategy<Value = String> {
    let style =
        prop::sample::select(&[(",", ":"), (", ", ": "), (" ,\n ", " :\t"), (",", ": ")][..]);
    (object(json(4)), style, any::<prop::sample::Index>()).prop_map(|(object, style, place)| {
        let Json::Object(mut members) = object else { unreachable!() };
        let string = |text: &str| Json::Token(format!("\"{text}\""));
        for (key, text) in [
            ("eventTime", "2026-01-02T03:04:05Z"),
            ("eventSource", "s3.amazonaws.com"),
            ("eventName", "GetObject"),
            ("awsRegion", "us-east-1"),
        ] {
            members.insert(place.index(members.len() + 1), (key.to_owned(), string(text)));
        }
        let mut text = String::new();
        Json::Object(members).write(style.0, style.1, &mut text);
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn whatever_is_taken_comes_back(all in prop::collection::vec(any_record(), 1..6)) {
        let mut decoder = Decoder::new();
        for _ in 0..2 {
            let mut taken = Vec::new();
            // Twice, so that parts come again.
            for record in all.iter().chain(&all) {
                let checked = event::read_again(record.as_bytes());
                let pushed = decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() });
                prop_assert_eq!(pushed.is_ok(), checked.is_ok(), "{}", record);
                if let (Ok(pushed), Ok(header)) = (pushed, checked) {
                    let id = header.event_id_or_derived(record.as_bytes());
                    prop_assert_eq!(pushed.event_id, id.as_u128());
                    prop_assert_eq!(pushed.event_time_us, header.event_time.as_microsecond());
                    taken.push((record, header));
                }
            }
            let batch = decoder.finish();
            let back = records(&batch).unwrap();
            prop_assert_eq!(batch.num_rows(), taken.len());
            for (row, (record, header)) in taken.iter().enumerate() {
                prop_assert_eq!(back.value(row), *record);
                let mut alone = Decoder::new();
                alone.push(RowIn { account: ACCOUNT, record: record.as_bytes() }).unwrap();
                prop_assert_eq!(alone.finish(), batch.slice(row, 1));
                check_derived(&batch, row, header)?;
            }
        }
    }

    #[test]
    fn whatever_came_by_a_channel_comes_back(all in prop::collection::vec(any_record(), 1..6)) {
        let mut decoder = Decoder::of(Content::Activity);
        let mut taken = Vec::new();
        for record in all.iter().chain(&all) {
            let header = event::read_again(record.as_bytes());
            let pushed = decoder.push(RowIn { account: ACCOUNT, record: record.as_bytes() });
            prop_assert_eq!(pushed.is_ok(), header.is_ok(), "{}", record);
            if let (Ok(pushed), Ok(header)) = (pushed, header) {
                prop_assert_eq!(pushed.event_time_us, header.event_time.as_microsecond());
                taken.push(record);
            }
        }
        let back = records_of(Content::Activity, &decoder.finish()).unwrap();
        prop_assert_eq!(back.iter().flatten().collect::<Vec<_>>(), taken);
    }

    #[test]
    fn what_is_no_record_is_kept_as_it_is(
        text in "(?s).{0,40}|[\\[\\]{}\",:\\\\u01entfas 가é]{0,60}",
        start in prop::sample::select(&["", "{\"a\":", "{\"userIdentity\":{\"type\":", "{\"resources\":[", "{\"requestParameters\":{\""][..]),
    ) {
        let (record, text) = (record("\"a\":1"), format!("{start}{text}"));
        let header = event::read_again(record.as_bytes()).unwrap();
        let mut decoder = Decoder::new();
        for text in [&text, &record] {
            decoder.push_checked(RowIn { account: ACCOUNT, record: text.as_bytes() }, &header).unwrap();
        }
        let back = records(&decoder.finish()).unwrap();
        prop_assert_eq!(back.value(0), text);
        prop_assert_eq!(back.value(1), record);
    }
}

/// A record of all that the walk is sure of.
pub(super) const USUAL: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEX:sess","sessionContext":{"sessionIssuer":{"userName":"Dev"},"attributes":{"creationDate":"2026-01-02T03:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","userAgent":"a \"b\" é가🎉","requestParameters":{"bucketName":"a","n":-1.5e+10,"b":true,"not":"12","o":{"c":[1, "x\n"],"d":null}},"responseElements":null,"eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a10","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::a/b"},{"ARN":"arn:aws:s3:::a"},{"ARN":"x","y":[]}],"recipientAccountId":"111111111111","eventCategory":"Data","new":{"a":"b"},"tlsDetails":{"tlsVersion":"TLSv1.3"}}"#;

/// Some bytes of [`USUAL`] changed, put in or taken out.
pub(super) fn changed_record() -> impl Strategy<Value = String> {
    let byte = prop_oneof![
        3 => prop::sample::select(br#""\{}[],:0-.e ntfu1Z"#.to_vec()),
        1 => 0..128_u8,
    ];
    prop::collection::vec((any::<prop::sample::Index>(), byte, 0..3_u8), 1..4).prop_map(|changes| {
        let mut record = USUAL.as_bytes().to_vec();
        for (at, byte, kind) in changes {
            let at = at.index(record.len());
            match kind {
                0 => record[at] = byte,
                1 => record.insert(at, byte),
                _ => drop(record.remove(at)),
            }
        }
        String::from_utf8_lossy(&record).into_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Each is rebuilt here, and one that the walk was wrongly sure of ends the test.
    #[test]
    fn whatever_is_broken_in_a_record_comes_back(record in changed_record()) {
        let header = event::read_again(USUAL.as_bytes()).unwrap();
        let mut decoder = Decoder::new();
        for record in [USUAL, &record, USUAL] {
            decoder.push_checked(RowIn { account: ACCOUNT, record: record.as_bytes() }, &header).unwrap();
        }
        let back = records(&decoder.finish()).unwrap();
        prop_assert_eq!(back.value(1), record);
        prop_assert_eq!(back.value(2), USUAL);
    }
}

#[test]
fn the_walk_is_sure_of_the_usual() {
    let mut decoder = Decoder::new();
    decoder.push(RowIn { account: ACCOUNT, record: USUAL.as_bytes() }).unwrap();
    assert!(!decoder.notes.is_unsure);
}

/// What is beside the record is what the event crate says of it.
pub(super) fn check_derived(
    batch: &RecordBatch,
    row: usize,
    header: &Header<'_>,
) -> Result<(), TestCaseError> {
    let name = user_name(header).map(|name| name.into_owned());
    prop_assert_eq!(cell(batch, row, "cairn_username"), name);
    let object = |key| json::member(header.record(), key).filter(|value| value.starts_with('{'));
    let named = named_resources(header, object("requestParameters"), object("responseElements"));
    let named: Vec<_> = named
        .iter()
        .map(|named| {
            format!("{{type: {}, name: {}}}", named.kind.as_deref().unwrap_or(""), named.name)
        })
        .collect();
    let named = (!named.is_empty()).then(|| format!("[{}]", named.join(", ")));
    prop_assert_eq!(cell(batch, row, "cairn_resources"), named);
    let column = batch.column_by_name("eventtime").unwrap();
    let times = column.as_any().downcast_ref::<arrow::array::TimestampMicrosecondArray>().unwrap();
    prop_assert_eq!(times.value(row), header.event_time.as_microsecond());
    prop_assert_eq!(cell(batch, row, "eventname").unwrap_or_default(), header.event_name.to_str());
    if let Some(read_only) = header.read_only {
        prop_assert_eq!(cell(batch, row, "readonly"), Some(read_only.to_string()));
    }
    if let Some(id) = header.shared_event_id {
        prop_assert_eq!(cell(batch, row, "sharedeventid"), Some(id.to_string()));
    }
    Ok(())
}
