//! A quick reading and the decoder say the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arrow::array::{Array, ArrayRef, RecordBatch, StructArray, TimestampMicrosecondArray};
use arrow::util::display::array_value_to_string;
use datafusion::catalog::TableProvider;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::DataFrame;
use proptest::prelude::*;

use super::exec::Files;
use super::quick::Reader;
use super::reading::{Reading, decode};
use super::wanted::Wanted;
use super::{LogFile, LogFiles};
use crate::schema::events_schema;
use crate::sql;

/// What every record needs, without its braces.
const HEAD: &str = r#""eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1""#;

const USUAL: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEX:sess","arn":"arn:aws:sts::111111111111:assumed-role/Dev/sess","accountId":"111111111111","sessionContext":{"sessionIssuer":{"type":"Role","userName":"Dev \"x\" {"},"webIdFederationData":{},"attributes":{"creationDate":"2026-01-02T03:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"GetObject","awsRegion":"us-east-1","userAgent":"[aws-cli/2]\n","requestParameters":{"bucketName":"a","policy":"{\"a\":[\"\\\\\"]}"},"responseElements":null,"additionalEventData":{"SignatureVersion":"SigV4","bytesTransferredOut":0.0},"eventID":"6f0c3b1e-3c4f-4f57-9d3a-0d3a1c1f9a10","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::a/b"}],"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111111111111","eventCategory":"Data","tlsDetails":{"tlsVersion":"TLSv1.3"},"sessionCredentialFromConsole":"true","new":[1.5,{"a":"]"}]}"#;

/// Texts, truths and times, in objects too: what is read without the decoder.
const LEAVES: &[&str] = &[
    "eventtime",
    "eventsource",
    "eventname",
    "eventversion",
    "useragent",
    "errorcode",
    "readonly",
    "managementevent",
    "apiversion",
    "eventcategory",
    "useridentity.arn",
    "useridentity.type",
    "useridentity.username",
    "useridentity.sessioncontext.sessionissuer.username",
    "useridentity.sessioncontext.attributes.creationdate",
    "useridentity.sessioncontext.attributes.mfaauthenticated",
    "tlsdetails.tlsversion",
    "eventjson",
    "eventjsonchecksum",
];

/// Wanted as wholes: nothing is stepped over in them.
const WHOLES: &[&str] =
    &["eventname", "readonly", "useridentity", "requestparameters", "resources", "tlsdetails"];

fn wanted(paths: &[&str]) -> Wanted {
    let schema = events_schema();
    let top = |path: &str| path.split('.').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = paths.iter().map(|path| top(path)).collect();
    names.dedup();
    let places: Vec<usize> = names.iter().map(|name| schema.index_of(name).unwrap()).collect();
    let leaves = names.iter().map(|name| {
        let of_name = paths.iter().filter(|path| top(path) == *name);
        let below = of_name.map(|path| path.split('.').skip(1).map(str::to_owned).collect());
        let below: Vec<Vec<String>> = below.collect();
        below.iter().all(|path| !path.is_empty()).then(|| below.into_iter().collect())
    });
    Wanted { leaves: leaves.collect(), columns: Arc::new(schema.project(&places).unwrap()) }
}

fn no_files() -> Files {
    Files {
        files: Vec::new(),
        next: AtomicUsize::new(0),
        troubles: Default::default(),
        read: Default::default(),
    }
}

/// What the checking decoder makes of a body, and what it has left out.
fn decoded(body: &[u8], wanted: &Wanted) -> (Vec<RecordBatch>, Vec<(String, String)>) {
    let files = no_files();
    let batches = decode(&wanted.columns, &files, "file", body).unwrap();
    let troubles = files.troubles.lock().unwrap().clone();
    (batches, troubles)
}

fn quick(body: &[u8], wanted: &Wanted) -> Option<Vec<RecordBatch>> {
    Reader::new(wanted).expect("few enough columns").read(body)
}

/// A whole column of all batches.
fn column(batches: &[RecordBatch], name: &str) -> Option<ArrayRef> {
    let parts: Vec<&dyn Array> =
        batches.iter().map(|batch| batch.column_by_name(name).unwrap().as_ref()).collect();
    (!parts.is_empty()).then(|| arrow::compute::concat(&parts).unwrap())
}

/// The values of the leaf at `path`, row by row.
fn values(batches: &[RecordBatch], path: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for batch in batches {
        let mut names = path.split('.');
        let name = names.next().unwrap();
        let mut column: ArrayRef = batch.column_by_name(name).unwrap().clone();
        let mut around = Vec::new();
        for name in names {
            let object = column.as_any().downcast_ref::<StructArray>().unwrap();
            let inner = object.column_by_name(name).unwrap().clone();
            around.push(std::mem::replace(&mut column, inner));
        }
        for row in 0..batch.num_rows() {
            let is_null = column.is_null(row) || around.iter().any(|object| object.is_null(row));
            let shown = || match column.as_any().downcast_ref::<TimestampMicrosecondArray>() {
                Some(times) => times.value(row).to_string(),
                None => array_value_to_string(&column, row).unwrap(),
            };
            values.push((!is_null).then(shown));
        }
    }
    values
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Both ways over `body`; answers whether the quick one took it, and whether it was right to.
fn agree(body: &[u8], paths: &[&str]) -> Result<(bool, bool), TestCaseError> {
    let wanted = wanted(paths);
    let Some(quick) = quick(body, &wanted) else { return Ok((false, true)) };
    let (decoded, troubles) = decoded(body, &wanted);
    if !troubles.is_empty() {
        return Ok((true, false));
    }
    prop_assert_eq!(rows(&quick), rows(&decoded));
    for path in paths {
        match path.contains('.') {
            true => prop_assert_eq!(values(&quick, path), values(&decoded, path), "{}", path),
            false => prop_assert_eq!(&column(&quick, path), &column(&decoded, path), "{}", path),
        }
    }
    Ok((true, true))
}

#[track_caller]
fn check(body: &str, is_quick: bool) {
    for paths in [LEAVES, WHOLES, &[], &["eventname"], &["eventjson"]] {
        let found = agree(body.as_bytes(), paths).unwrap();
        assert_eq!(found, (is_quick, true), "{paths:?} {body}");
    }
}

fn document(records: &[&str]) -> String {
    format!("{{\"Records\":[{}]}}", records.join(","))
}

#[test]
fn usual_files_are_read_quickly() {
    let least = format!("{{{HEAD}}}");
    let spaced = USUAL.replace("\",\"", "\", \"").replace("\":", "\": ");
    check(&document(&[]), true);
    check(&document(&[USUAL, &least, USUAL, &spaced]), true);
    check(&(document(&[USUAL, &least]) + "\n"), true);
    check(&format!("[{USUAL}, {least}]\n"), true);
    check(&format!("{USUAL}\n{least}\n\n{USUAL}\n"), true);
    check(&format!("{USUAL}\r\n{least}"), true);
}

#[test]
fn more_rows_than_one_batch_has_come_in_order() {
    let records: Vec<String> = (0..20_000)
        .map(|nth| match nth % 3 {
            0 => format!(r#"{{{HEAD},"errorCode":"{nth}"}}"#),
            1 => format!(r#"{{{HEAD},"errorCode":null,"userIdentity":{{"arn":"{nth}"}}}}"#),
            _ => format!("{{{HEAD}}}"),
        })
        .collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let body = document(&records);
    assert_eq!(agree(body.as_bytes(), &["errorcode", "useridentity.arn"]).unwrap(), (true, true));
    assert_eq!(agree(body.as_bytes(), &["errorcode", "useridentity"]).unwrap(), (true, true));
}

#[test]
fn what_is_unusual_goes_to_the_decoder() {
    let unusual = |body: &str| {
        for paths in [LEAVES, &[], &["eventname"]] {
            let quick = quick(body.as_bytes(), &wanted(paths));
            assert!(quick.is_none(), "{body}");
        }
    };
    let least = format!("{{{HEAD}}}");
    // What no record may be.
    for (from, to) in [
        (r#""eventTime":"2026-01-02T03:04:05Z","#, ""),
        ("2026-01-02T03:04:05Z", "2026-13-02T03:04:05Z"),
        (r#""s3.amazonaws.com""#, r#""""#),
        (r#""s3.amazonaws.com""#, "null"),
        (r#""s3.amazonaws.com""#, "7"),
        (r#""GetObject""#, r#"{"a":1}"#),
        ("us-east-1", "us/east"),
        ("us-east-1", ""),
        (r#""awsRegion""#, r#""eventName""#),
        (r#""awsRegion""#, r#""awsregion""#),
        ("GetObject", "Get\\Object"),
        ("GetObject", "Get\tObject"),
        (":", "="),
        (",", ";"),
        ("}", "]"),
        ("}", ",}"),
        ("}", r#","eventCategory":"None"}"#),
        ("}", r#","eventID":7}"#),
        ("}", r#","readOnly":"perhaps"}"#),
        ("}", r#","readOnly":1}"#),
        ("}", r#","userIdentity":"x"}"#),
        ("}", r#","userIdentity":[]}"#),
        ("}", r#","resources":{}}"#),
        ("}", r#","new":1,"new":2}"#),
        ("}", r#","new":nul}"#),
        ("}", r#","new":01}"#),
        ("}", r#","new":[1}"#),
        ("}", r#","new":}"#),
        ("}", r#","new"}"#),
    ] {
        let broken = least.replacen(from, to, 1);
        assert_ne!(broken, least);
        unusual(&document(&[USUAL, &broken]));
        let (_, troubles) = decoded(document(&[USUAL, &broken]).as_bytes(), &wanted(&[]));
        assert!(!troubles.is_empty(), "{broken}");
    }
    // What has its time or its name elsewhere, or is written as few do.
    unusual(&document(&[&least.replace("eventTime", "event\\u0054ime")]));
    unusual(&document(&[
        r#"{"eventTime":"2026-01-02T03:04:05Z","awsRegion":"us-east-1","eventCategory":"Insight","insightDetails":{"eventSource":"a","eventName":"b"}}"#,
    ]));
    unusual(&format!("{{\"Records\":[\n{least}]}}"));
    unusual(&document(&[&least]).replace(":\"", " :\""));
    // What is not one document.
    unusual(&(document(&[&least]) + &document(&[&least])));
    unusual(&document(&[&least]).replace("]}", "],\"more\":1}"));
    unusual(&document(&[&least]).replace("]}", "]"));
    unusual(&format!("{least}{least}"));
    unusual("");
    unusual("[");
    unusual("[]]");
    unusual("\u{feff}[]");
    // Envelopes.
    unusual(&format!(r#"{{"detail-type":"x","detail":{least}}}"#));
    unusual(&format!(r#"{{{HEAD},"Events":[]}}"#));
}

#[test]
fn a_file_in_which_something_is_odd_gives_what_the_decoder_gives() {
    let refused = r#"{"eventVersion":"1.11"}"#;
    let body = document(&[USUAL, refused, USUAL]);
    let files = no_files();
    let wanted = wanted(&["eventname"]);
    let batches = Reading::new(&wanted).rows(&files, "file", body.as_bytes()).unwrap();
    assert_eq!(rows(&batches), 2);
    let troubles = files.troubles.lock().unwrap().clone();
    assert_eq!(troubles.len(), 1);
    assert!(troubles[0].1.starts_with("record 1: "), "{troubles:?}");
}

#[test]
fn gzip_of_one_member_and_of_several_is_read() {
    use std::io::Write as _;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let body = document(&[USUAL, USUAL]);
    let wanted = wanted(&["eventname"]);
    let mut reading = Reading::new(&wanted);
    let mut count = |bytes: &[u8]| {
        let files = no_files();
        let batches = reading.rows(&files, "file", bytes).unwrap();
        let troubles = files.troubles.lock().unwrap().len();
        (rows(&batches), troubles)
    };
    let one = gzip(&body);
    assert_eq!(count(&one), (2, 0));
    assert_eq!(count(&[gzip("{\"Rec"), gzip(&body[5..])].concat()), (2, 0));
    assert_eq!(count(&[one.clone(), gzip(&body)].concat()), (4, 0));
    assert_eq!(count(&one[..one.len() - 9]), (0, 1), "cut short");
    assert_eq!(count(&gzip(&document(&[USUAL]))), (1, 0), "buffers are used again");
    assert_eq!(count(&gzip("")), (0, 0));
}

#[derive(Debug)]
struct InMemory(String);

#[async_trait::async_trait]
impl LogFile for InMemory {
    fn name(&self) -> &str {
        "file.json"
    }

    async fn read(&self) -> Result<bytes::Bytes, String> {
        Ok(self.0.clone().into())
    }
}

/// The plan of a query over one file as text, and its rows.
async fn planned(statement: &str) -> (String, Vec<RecordBatch>) {
    let file: Arc<dyn LogFile> = Arc::new(InMemory(document(&[USUAL])));
    let files: Arc<dyn TableProvider> = Arc::new(LogFiles::new(vec![file], 2));
    let session = sql::session(&sql::Limits::default()).unwrap();
    let parsed = sql::parse(statement, &[]).unwrap();
    let prepared = parsed.plan(&session, |_| Some(files.clone())).await.unwrap();
    let frame = DataFrame::new(session.state(), prepared.plan);
    let context = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await.unwrap();
    let text = displayable(plan.as_ref()).indent(false).to_string();
    (text, collect(plan, context).await.unwrap())
}

#[tokio::test]
async fn only_the_leaves_that_a_query_names_are_read() {
    let check = async |statement: &str, columns: &str| {
        let (plan, batches) = planned(statement).await;
        assert!(plan.contains(&format!("columns=[{columns}]")), "{statement}: {plan}");
        assert_eq!(rows(&batches), 1, "{statement}");
    };
    check("SELECT count(*) FROM logs", "").await;
    check("SELECT userIdentity.arn FROM logs", "useridentity.arn").await;
    check(
        "SELECT userIdentity.sessionContext.sessionIssuer.userName AS u, count(*) FROM logs WHERE userIdentity.type = 'AssumedRole' AND eventName LIKE 'Get%' GROUP BY 1",
        "useridentity.sessioncontext.sessionissuer.username, useridentity.type, eventname",
    )
    .await;
    check("SELECT userIdentity, userIdentity.arn FROM logs", "useridentity").await;
    check("SELECT userIdentity.sessionContext FROM logs", "useridentity").await;
    check("SELECT requestParameters['bucketName'] FROM logs", "requestparameters").await;
    check("SELECT element_at(resources, 1).arn FROM logs", "resources").await;
    let (_, batches) = planned("SELECT userIdentity.sessionContext.attributes.mfaAuthenticated AS m FROM logs WHERE userIdentity.arn LIKE '%/sess'").await;
    assert_eq!(values(&batches, batches[0].schema().field(0).name()), [Some("false".to_owned())]);
}

const KEYS: &[&str] = &[
    "eventVersion",
    "userIdentity",
    "userAgent",
    "errorCode",
    "requestParameters",
    "responseElements",
    "eventID",
    "readOnly",
    "resources",
    "eventType",
    "apiVersion",
    "managementEvent",
    "eventCategory",
    "tlsDetails",
    "sessionCredentialFromConsole",
    "type",
    "arn",
    "userName",
    "sessionContext",
    "attributes",
    "creationDate",
    "mfaAuthenticated",
    "sessionIssuer",
    "tlsVersion",
    "new",
    "user\\u0041gent",
    "",
    "é",
];

const VALUES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "3600",
    "1.5e7",
    "12345678901234567890123",
    "\"true\"",
    "\"True\"",
    "\"\"",
    "\"Data\"",
    "\"a, b: c\"",
    "\"{[\"",
    "\"\\\\\\\"}\"",
    "\"\\u00e9\\n\\/\"",
    "\"\\ud83d\\ude00\"",
    "\"가 and more than thirty-two bytes, and more than sixty-four of them: 🎉\"",
    "\"2026-01-02T03:04:05Z\"",
    "\"2026-01-02T03:04:05.5+02:00\"",
    "\"20131102T010628Z\"",
    "{}",
    "[]",
];

fn value(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop::sample::select(VALUES).prop_map(str::to_owned);
    if depth == 0 {
        return leaf.boxed();
    }
    let members = members(depth - 1);
    let list = prop::collection::vec(value(depth - 1), 0..3);
    prop_oneof![
        3 => leaf,
        3 => members.prop_map(|members| format!("{{{members}}}")),
        1 => list.prop_map(|elements| format!("[{}]", elements.join(","))),
    ]
    .boxed()
}

fn members(depth: u32) -> impl Strategy<Value = String> {
    let member = (prop::sample::select(KEYS), value(depth));
    prop::collection::vec(member, 0..6).prop_map(|members| {
        let members = members.iter().map(|(key, value)| format!("\"{key}\":{value}"));
        members.collect::<Vec<_>>().join(",")
    })
}

fn record() -> impl Strategy<Value = String> {
    (members(3), any::<bool>()).prop_map(|(members, comes_first)| {
        match (members.as_str(), comes_first) {
            ("", _) => format!("{{{HEAD}}}"),
            (members, true) => format!("{{{members},{HEAD}}}"),
            (members, false) => format!("{{{HEAD},{members}}}"),
        }
    })
}

fn body() -> impl Strategy<Value = String> {
    let usual = Just(USUAL.to_owned());
    let records = prop::collection::vec(prop_oneof![2 => record(), 1 => usual], 1..4);
    (records, 0..3).prop_map(|(records, shape)| match shape {
        0 => format!("{{\"Records\":[{}]}}", records.join(",")),
        1 => format!("[{}]", records.join(",\n")),
        _ => records.join("\n"),
    })
}

/// How many containers are open at a place of well-formed JSON.
fn depth_at(text: &[u8], place: usize) -> usize {
    let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
    for byte in &text[..place] {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    depth
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn records_of_every_kind_give_the_same_values(body in body()) {
        for paths in [LEAVES, WHOLES, &["eventname"]] {
            // Keys that are there twice, in what is stepped over, are the one thing not seen.
            let (_, troubles) = decoded(body.as_bytes(), &wanted(&[]));
            let (is_quick, is_right) = agree(body.as_bytes(), paths)?;
            let only_inside = troubles.iter().all(|(_, reason)| reason.contains("occurs twice"));
            prop_assert!(!is_quick || is_right || only_inside, "{:?}", troubles);
        }
    }

    #[test]
    fn no_change_at_the_top_of_a_usual_record_goes_unnoticed(
        place in 0..2 * USUAL.len(),
        byte in prop::sample::select(&b"{}[]\",:\\ \n\t0a\x00\xff"[..]),
        change in 0..3,
    ) {
        let whole = document(&[USUAL, USUAL]);
        let mut body = whole.clone().into_bytes();
        let depth = depth_at(&body, place);
        match change {
            0 => body[place] = byte,
            1 => body.insert(place, byte),
            _ => drop(body.remove(place)),
        }
        for paths in [LEAVES, WHOLES, &[]] {
            let (is_quick, is_right) = agree(&body, paths)?;
            prop_assert!(!is_quick || is_right || depth > 3, "{}", String::from_utf8_lossy(&body));
        }
    }

    #[test]
    fn nothing_makes_it_panic(body in r#"(\{"Records":|\[|)[\\"{}\[\],: a0é]{0,200}"#) {
        agree(body.as_bytes(), LEAVES)?;
    }
}

// ---- the published records, where they lie beside the checkout

fn shared_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let named = std::env::var_os("CAIRN_SHARED_DATA").map(PathBuf::from);
    named.or(Some(beside)).filter(|path| path.is_dir())
}

#[test]
fn published_records_give_the_same_values() {
    let Some(data) = shared_data() else { return };
    let (mut taken, mut quick) = (0, 0);
    for entry in std::fs::read_dir(data.join("records")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|found| found != "ndjson") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            for paths in [LEAVES, WHOLES] {
                let (is_quick, is_right) = agree(line.as_bytes(), paths).unwrap();
                assert!(!is_quick || is_right, "{line}");
                taken += 1;
                quick += usize::from(is_quick);
            }
        }
    }
    println!("{quick} of {taken} are read quickly");
    assert!(quick * 10 > taken * 8, "{quick} of {taken} are read quickly");
}
