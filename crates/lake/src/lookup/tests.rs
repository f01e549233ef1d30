//! What is found in files is what is found in memory.

use event::AccountId;
use event::lookup::Place;
use jiff::Timestamp;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use proptest::prelude::*;

use super::*;
use crate::decode::{Decoder, RowIn};
use crate::schema::Content;
use crate::table::log::FileEntry;
use crate::table::write::{Effort, encode, in_order};

const ROWS: usize = 9_000;
const ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// Records of many shapes; several have the same time. Those of `mallory` are few, so that only some
/// row groups and pages have them.
fn record(row: usize) -> String {
    let pick = |n: usize| row / n;
    let mut members = vec![
        format!(r#""eventVersion":"1.{}""#, 8 + pick(3_000)),
        format!(r#""eventTime":"2026-03-02T{:02}:{:02}:00Z""#, row / 900, row / 15 % 60),
        format!(r#""eventSource":"{}.amazonaws.com""#, ["s3", "ec2", "iam"][row % 3]),
        format!(r#""eventName":"Call{}""#, row % 40),
        format!(r#""awsRegion":"{}""#, REGIONS[usize::from(row.is_multiple_of(7))]),
    ];
    let user = match row {
        _ if row % 1_999 == 5 => "mallory".to_owned(),
        _ => format!("user-{}", row % 23),
    };
    members.push(match row % 4 {
        0 => format!(r#""userIdentity":{{"type":"IAMUser","userName":"{user}","accessKeyId":"AKIA{}"}}"#, row % 300),
        1 => format!(r#""userIdentity":{{"type":"AssumedRole","arn":"arn:aws:sts::1:assumed-role/R/{user}","principalId":"AROA:{user}","sessionContext":{{"attributes":{{"creationDate":"2026-03-0{}T00:00:00Z","mfaAuthenticated":"false"}}}}}}"#, 1 + row % 9),
        2 => r#""userIdentity":null"#.to_owned(),
        _ => r#""userIdentity":{}"#.to_owned(),
    });
    match row % 5 {
        0 => members.push(r#""requestParameters":{}"#.to_owned()),
        1 => members.push(r#""requestParameters":null"#.to_owned()),
        2 => members.push(format!(r#""requestParameters":{{"bucketName":"b{}","n":{row},"o":{{"x":[{row}]}},"s":"{row}","none":null}}"#, row % 50)),
        3 => members.push(r#""requestParameters":"as a text""#.to_owned()),
        _ => {}
    }
    match row % 6 {
        0 => members.push(r#""resources":[]"#.to_owned()),
        1 => members.push(format!(r#""resources":[{{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::b{}/k{row}"}},{{"accountId":"1","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b{}"}}]"#, row % 50, row % 50)),
        2 => members.push(r#""resources":null"#.to_owned()),
        _ => {}
    }
    if row.is_multiple_of(11) {
        members.push(r#""errorCode":"AccessDenied","errorMessage":"no \u00e9 \"way\"""#.to_owned());
    }
    // Lists in lists are read another way.
    if row % 2_500 == 9 {
        members.push(r#""eventContext":{"tagContext":{"resourceTags":[{"arn":"a","tags":{"k":"v","l":"w"}},{"arn":"b","tags":{}}]}}"#.to_owned());
    }
    if !row.is_multiple_of(3) {
        members.push(format!(r#""readOnly":{}"#, row.is_multiple_of(2)));
    }
    match row % 8 {
        0 | 1 => members.push(r#""managementEvent":true,"eventCategory":"Management""#.to_owned()),
        2 => members.push(r#""managementEvent":false,"eventCategory":"Data""#.to_owned()),
        3 => members.push(r#""managementEvent":false"#.to_owned()),
        _ => {}
    }
    // Without an ID nobody knows that two are the same.
    if !row.is_multiple_of(13) || row >= ROWS / 2 {
        members.push(format!(r#""eventID":"{}""#, id(row)));
    }
    members.push(r#""brandNew":[1, 2]"#.to_owned());
    format!("{{{}}}", members.join(","))
}

fn id(row: usize) -> String {
    format!("{:08x}-0000-4000-8000-{row:012}", row.wrapping_mul(2_654_435_761) as u32)
}

fn batch(rows: impl Iterator<Item = usize>) -> RecordBatch {
    let mut decoder = Decoder::new();
    for row in rows {
        let (account, record) = (ACCOUNTS[usize::from(row % 9 == 4)], record(row));
        decoder.push(RowIn { account, record: record.as_bytes() }).unwrap();
    }
    decoder.finish()
}

async fn file(store: &Arc<dyn ObjectStore>, name: &str, batch: &RecordBatch) -> Arc<DataFile> {
    let batches = std::slice::from_ref(batch);
    let encoded = encode(Content::Events, batches, &in_order(batches), Effort::Quick, 1).unwrap();
    let entry = FileEntry {
        path: name.to_owned(),
        bytes: encoded.bytes.len() as u64,
        rows: encoded.rows,
        month: jiff::civil::date(2026, 3, 1),
        oldest_us: encoded.oldest_us,
        newest_us: encoded.newest_us,
    };
    store.put(&Path::from(name), encoded.bytes.into()).await.unwrap();
    Arc::new(DataFile::new(entry, &Arc::from("t"), store.clone()))
}

/// The same events in memory and in files; some of them are twice in the files.
async fn views() -> (View, View) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (early, late) = (batch(0..ROWS / 3 * 2), batch(ROWS / 2..ROWS));
    let files = vec![file(&store, "early", &early).await, file(&store, "late", &late).await];
    let memory = View { files: Arc::default(), hot: Arc::new(vec![batch(0..ROWS)]) };
    (memory, View { files: Arc::new(files), hot: Arc::default() })
}

/// A field, and a value that some event has in it.
fn asked() -> impl Strategy<Value = (Field, String)> {
    (0..ROWS).prop_flat_map(|row| {
        let one = |field: Field, value: String| (field, value);
        prop::sample::select(vec![
            one(Field::EventId, id(row)),
            one(Field::EventName, format!("Call{}", row % 41)),
            one(Field::ReadOnly, row.is_multiple_of(2).to_string()),
            one(Field::Username, format!("user-{}", row % 24)),
            one(Field::Username, "mallory".to_owned()),
            one(Field::ResourceType, "AWS::S3::Bucket".to_owned()),
            one(Field::ResourceName, format!("b{}", row % 51)),
            one(Field::ResourceName, format!("arn:aws:s3:::b{}/k{row}", row % 50)),
            one(Field::EventSource, "iam.amazonaws.com".to_owned()),
            one(Field::AccessKeyId, format!("AKIA{}", row % 301)),
            one(Field::EventCategory, ["Management", "Data", "Insight"][row % 3].to_owned()),
            one(Field::ErrorCode, "AccessDenied".to_owned()),
            one(Field::UserArn, "arn:aws:sts::1:assumed-role/R/user-1".to_owned()),
            one(Field::Record, format!("\"x\":[{row}]")),
            one(Field::Record, "resourceTags".to_owned()),
        ])
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    (asked(), asked(), 0..4, prop::bool::weighted(0.2)).prop_map(
        |((field, value), (_, other), how, negated)| {
            let test = match how {
                0 | 1 => Test::Is(vec![value, other]),
                2 => Test::StartsWith(value.chars().take(8).collect()),
                _ => Test::Contains(value.chars().skip(2).collect()),
            };
            Filter { field, test, negated }
        },
    )
}

fn ask() -> impl Strategy<Value = Lookup> {
    let account = prop::option::of(prop::sample::select(ACCOUNTS.to_vec()));
    let region = prop::option::of(prop::sample::select(REGIONS.to_vec()));
    let minute = || prop::option::weighted(0.3, 0..600_i64);
    let after = prop::option::weighted(0.3, 0..ROWS);
    let filters = prop::collection::vec(filter(), 0..3);
    (account, region, filters, minute(), minute(), after, prop::sample::select(vec![1, 3, 50]))
        .prop_map(|(account, region, filters, from, to, after, limit)| {
            let start: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
            let time = |minute: i64| start + jiff::SignedDuration::from_mins(minute);
            Lookup {
                account: account.map(|account| AccountId::parse(account).unwrap()),
                region: region.map(str::to_owned),
                from: from.map_or(start, time),
                to: to.map_or(time(6_000), time),
                filters,
                after: after
                    .map(|row| Place { event_time: time(row as i64 / 15), event_id: id(row) }),
                limit,
            }
        })
}

#[test]
fn files_and_memory_answer_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (memory, files) = runtime.block_on(views());
    let found = std::cell::Cell::new(0);
    let check = |ask: Lookup| {
        let expected = runtime.block_on(lookup(&memory, &ask)).unwrap();
        let page = runtime.block_on(lookup(&files, &ask)).unwrap();
        found.set(found.get() + page.events.len());
        prop_assert_eq!(page, expected);
        Ok(())
    };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner.run(&ask(), check).unwrap();
    assert!(found.get() > 1_000, "{} events are too few to tell", found.get());
}

#[test]
fn every_record_comes_back_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (_, files) = runtime.block_on(views());
    let file = &files.files[1];
    let group = RowGroup { file: file.clone(), place: 0 };
    let count = file.entry.rows as u32;
    for step in [1, 7, 1_000] {
        let rows: Vec<u32> = (0..count).step_by(step).collect();
        for rows in rows.chunks(300) {
            let events = runtime.block_on(whole_rows(&group, rows)).unwrap();
            for (row, event) in rows.iter().zip(events) {
                assert_eq!(event.record, record(ROWS / 2 + *row as usize), "{row}");
            }
        }
    }
}
