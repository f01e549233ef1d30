//! The life of a table: appended, committed, imported, asked, joined, expired, opened again.

mod activity;

use std::path::{Path, PathBuf};

use durable::RealDisk;
use event::AccountId;
use event::lookup::{Field, Filter, Test};
use tempfile::TempDir;

use super::*;
use crate::import::{ImportError, Imported};
use crate::query::Progress;

const ACCOUNT: &str = "111122223333";
const NAME: &str = "history";

struct World {
    folder: TempDir,
    lake: Arc<Lake>,
    now: Timestamp,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let lake = open(folder.path());
        let now = "2026-03-02T12:00:00Z".parse().unwrap();
        lake.open_table(NAME, Content::Events, None, now).await.unwrap();
        World { folder, lake, now }
    }

    /// As after a crash: what was only in memory is gone.
    async fn reopened(mut self) -> (World, u64) {
        self.lake = open(self.folder.path());
        let position = self.lake.open_table(NAME, Content::Events, None, self.now).await.unwrap();
        (self, position)
    }

    async fn append(&self, seqs: std::ops::RangeInclusive<u64>) {
        let rows: Vec<Row> = seqs.map(row).collect();
        let places = (0..rows.len() as u32).collect();
        let unreadable = self.lake.append(rows, vec![(NAME.to_owned(), places)]).await.unwrap();
        assert_eq!(unreadable, []);
    }

    async fn prepare(&self, statement: &str) -> PreparedQuery {
        let table = self.lake.readable(NAME, None).unwrap();
        let tables = HashMap::from([("t".to_owned(), table)]);
        let limits = Limits::default();
        let prepared = self.lake.prepare(statement.to_owned(), Vec::new(), tables, limits).await;
        prepared.unwrap_or_else(|error| panic!("{statement}: {error:?}"))
    }

    async fn plan(&self, statement: &str) -> String {
        self.prepare(statement).await.plan_text()
    }

    async fn query(&self, statement: &str) -> Vec<TextRow> {
        self.query_noting(statement, &Arc::default()).await
    }

    async fn query_noting(&self, statement: &str, progress: &Arc<Progress>) -> Vec<TextRow> {
        let prepared = self.prepare(statement).await;
        let mut portions = prepared.start(self.lake.runtime(), progress.clone());
        let mut rows = Vec::new();
        while let Some(portion) = portions.recv().await {
            rows.extend(portion.unwrap());
        }
        rows
    }

    async fn count(&self) -> u64 {
        self.query("SELECT count(*) FROM t").await[0][0].as_deref().unwrap().parse().unwrap()
    }

    async fn lookup(&self, filters: Vec<Filter>, limit: usize) -> Page {
        self.lake.lookup(NAME, self.ask(filters, limit)).await.unwrap()
    }

    fn ask(&self, filters: Vec<Filter>, limit: usize) -> Lookup {
        Lookup {
            account: Some(AccountId::parse(ACCOUNT).unwrap()),
            region: Some("us-east-1".to_owned()),
            from: "2026-01-01T00:00:00Z".parse().unwrap(),
            to: self.now,
            filters,
            after: None,
            limit,
        }
    }

    fn data_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let table = self.folder.path().join(NAME);
        for month in std::fs::read_dir(table).unwrap().map(|entry| entry.unwrap().path()) {
            if month.file_name().unwrap() != "_delta_log" {
                files.extend(std::fs::read_dir(month).unwrap().map(|file| file.unwrap().path()));
            }
        }
        files
    }
}

use crate::query::{QueryFailure, TextRow};

fn open(folder: &Path) -> Arc<Lake> {
    Arc::new(Lake::new(Storage::folder(folder, Arc::new(RealDisk)).unwrap(), 2).unwrap())
}

/// One event a minute, in three days; every tenth is by `mallory`.
fn record(n: u64) -> String {
    let time = "2026-02-28T00:00:00Z".parse::<Timestamp>().unwrap()
        + jiff::SignedDuration::from_mins(n as i64);
    let user = if n.is_multiple_of(10) { "mallory" } else { "alice" };
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"IAMUser","principalId":"AIDA{n}","arn":"arn:aws:iam::{ACCOUNT}:user/{user}","accountId":"{ACCOUNT}","accessKeyId":"AKIA{user}","userName":"{user}"}},"eventTime":"{time}","eventSource":"s3.amazonaws.com","eventName":"PutBucketPolicy","awsRegion":"us-east-1","sourceIPAddress":"203.0.113.9","userAgent":"aws-cli/2","requestParameters":{{"bucketName":"bucket-{}","deep":{{"n":{n}.50}}}},"responseElements":null,"requestID":"r{n}","eventID":"{:08x}-0000-4000-8000-000000000000","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"{ACCOUNT}","eventCategory":"Management"}}"#,
        n % 3,
        n,
    )
}

fn row(seq: u64) -> Row {
    Row { seq, account: ACCOUNT.to_owned(), record: record(seq).into() }
}

fn log_file(numbers: std::ops::Range<u64>) -> Bytes {
    let records: Vec<String> = numbers.map(record).collect();
    format!("{{\"Records\":[{}]}}", records.join(",")).into()
}

fn options() -> ImportOptions {
    ImportOptions { account: AccountId::parse(ACCOUNT).unwrap(), from: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_rows_are_visible_at_once_and_committed_rows_stay() {
    let world = World::new().await;
    world.append(1..=100).await;
    assert_eq!(world.count().await, 100);
    assert_eq!(world.lake.hot(NAME).rows, 100);
    world.lake.commit(NAME, 100, world.now).await.unwrap();
    assert_eq!(world.lake.hot(NAME).rows, 0);
    world.append(101..=150).await;
    assert_eq!(world.count().await, 150);

    let (world, position) = world.reopened().await;
    assert_eq!(
        (position, world.count().await),
        (100, 100),
        "the rest comes from the journal again"
    );
    world.append(90..=150).await;
    assert_eq!(world.count().await, 150, "rows up to the position are there already");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_back_byte_for_byte_from_memory_and_from_files() {
    let world = World::new().await;
    world.append(1..=20).await;
    world.lake.commit(NAME, 20, world.now).await.unwrap();
    world.append(21..=40).await;
    let page = world.lookup(Vec::new(), 50).await;
    let records: Vec<&str> = page.events.iter().map(|event| event.record.as_str()).collect();
    let expected: Vec<String> = (1..=40).rev().map(record).collect();
    assert_eq!(records, expected);
    let rows = world.query("SELECT eventJson FROM t WHERE eventID LIKE '00000007%'").await;
    assert_eq!(rows, [[Some(record(7))]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_through_memory_and_files_of_several_months() {
    let world = World::new().await;
    world.append(1..=2500).await;
    world.lake.commit(NAME, 2500, world.now).await.unwrap();
    world.append(2501..=3000).await;
    assert_eq!(world.data_files().len(), 2, "one file for each month that has committed rows");
    let mut numbers = Vec::new();
    let mut ask = world.ask(vec![Filter::is(Field::Username, "mallory")], 50);
    loop {
        let page = world.lake.lookup(NAME, ask.clone()).await.unwrap();
        numbers.extend(page.events.iter().map(|event| event.event_id[..8].to_owned()));
        if !page.more {
            break;
        }
        ask.after = page.events.last().map(|event| event.place());
        // What arrives between two pages is newer and does not disturb.
        let seq = 3000 + numbers.len() as u64;
        world.append(seq..=seq).await;
    }
    let expected: Vec<String> = (1..=300).rev().map(|n| format!("{:08x}", n * 10)).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attribute_finds_its_events() {
    let world = World::new().await;
    world.append(1..=200).await;
    world.lake.commit(NAME, 200, world.now).await.unwrap();
    world.append(201..=300).await;
    let count = async |filters| world.lookup(filters, 1000).await.events.len();
    assert_eq!(count(vec![Filter::is(Field::Username, "mallory")]).await, 30);
    assert_eq!(count(vec![Filter::is(Field::AccessKeyId, "AKIAmallory")]).await, 30);
    assert_eq!(count(vec![Filter::is(Field::EventName, "PutBucketPolicy")]).await, 300);
    assert_eq!(count(vec![Filter::is(Field::EventName, "putbucketpolicy")]).await, 0);
    assert_eq!(count(vec![Filter::is(Field::ReadOnly, "false")]).await, 300);
    assert_eq!(count(vec![Filter::is(Field::ReadOnly, "true")]).await, 0);
    assert_eq!(count(vec![Filter::is(Field::EventSource, "s3.amazonaws.com")]).await, 300);
    assert_eq!(count(vec![Filter::is(Field::EventCategory, "Management")]).await, 300);
    let one = Filter::is(Field::EventId, "0000002a-0000-4000-8000-000000000000");
    assert_eq!(count(vec![one]).await, 1);
    let not = Filter { negated: true, ..Filter::is(Field::Username, "mallory") };
    let text = Test::Contains("\"N\":41.50".to_owned());
    let text = Filter { field: Field::Record, test: text, negated: false };
    assert_eq!(count(vec![not.clone()]).await, 270);
    assert_eq!(count(vec![not, text]).await, 1);

    let mut other = world.ask(Vec::new(), 10);
    other.account = Some(AccountId::parse("999999999999").unwrap());
    assert_eq!(world.lake.lookup(NAME, other.clone()).await.unwrap(), Page::default());
    other.account = None;
    assert_eq!(world.lake.lookup(NAME, other).await.unwrap().events.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_twice_changes_nothing() {
    let world = World::new().await;
    world.append(1..=10).await;
    world.lake.commit(NAME, 10, world.now).await.unwrap();
    world.append(11..=20).await;
    let import = world.lake.import(NAME, options()).unwrap();
    // Ten are in files, ten in memory, and ten stand in both of these.
    for numbers in [1..41, 31..61] {
        import.add(log_file(numbers)).await.unwrap();
    }
    let imported = import.commit(world.now).await.unwrap();
    assert_eq!(imported, Imported { rows: 40, duplicates: 30 });
    assert_eq!(world.count().await, 60);
    import.add(log_file(1..61)).await.unwrap();
    let again = import.commit(world.now).await.unwrap();
    assert_eq!(again, Imported { rows: 0, duplicates: 60 });
    let another = world.lake.import(NAME, options()).unwrap();
    another.add(log_file(50..71)).await.unwrap();
    let more = another.commit(world.now).await.unwrap();
    assert_eq!(more, Imported { rows: 10, duplicates: 11 });
    assert_eq!(world.count().await, 70);
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_at_the_same_moment_put_an_event_once() {
    let world = World::new().await;
    let mut all = Vec::new();
    for _ in 0..4 {
        let import = world.lake.import(NAME, options()).unwrap();
        import.add(log_file(1..201)).await.unwrap();
        all.push(import);
    }
    let commits = all.iter().map(|import| import.commit(world.now));
    let done = futures::future::join_all(commits).await;
    let rows: u64 = done.into_iter().map(|done| done.unwrap().rows).sum();
    assert_eq!(rows, 200);
    assert_eq!(world.count().await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_overtaken_says_so_and_is_begun_again() {
    let world = World::new().await;
    let slow = world.lake.import(NAME, options()).unwrap();
    slow.add(log_file(1..101)).await.unwrap();
    slow.put_now().await.unwrap();
    let quick = world.lake.import(NAME, options()).unwrap();
    quick.add(log_file(90..120)).await.unwrap();
    assert_eq!(quick.commit(world.now).await.unwrap().rows, 30);
    for _ in 0..2 {
        let refused = slow.commit(world.now).await.unwrap_err();
        assert!(matches!(refused, ImportError::Overtaken | ImportError::Lost), "{refused}");
    }
    assert_eq!(world.count().await, 30);

    let again = world.lake.import(NAME, options()).unwrap();
    again.add(log_file(1..101)).await.unwrap();
    again.put_now().await.unwrap();
    // Other events of the same time do not stand in its way.
    quick.add(log_file(120..130)).await.unwrap();
    assert_eq!(quick.commit(world.now).await.unwrap().rows, 10);
    assert_eq!(again.commit(world.now).await.unwrap().rows, 89);
    assert_eq!(world.count().await, 129);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_leaves_the_others() {
    let world = World::new().await;
    let import = world.lake.import(NAME, options()).unwrap();
    for bad in [&b"no json"[..], b"\x1f\x8b\x08\x00", b"{\"Records\":[{\"a\":1}]}", b""] {
        assert!(import.add(Bytes::copy_from_slice(bad)).await.is_err(), "{bad:?}");
    }
    let mixed = format!("{}\n{{\"a\":1}}\n{}\n", record(1), record(2));
    let read = import.add(mixed.into()).await.unwrap();
    assert_eq!((read.events, read.refused_count), (2, 1));
    assert!(read.refused[0].starts_with("line 2: "), "{:?}", read.refused);
    assert_eq!(import.commit(world.now).await.unwrap().rows, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_become_one_and_old_files_go() {
    let world = World::new().await;
    for n in 1..=9 {
        world.append(n..=n).await;
        world.lake.commit(NAME, n, world.now).await.unwrap();
    }
    world.append(2000..=2000).await;
    world.lake.commit(NAME, 2000, world.now).await.unwrap();
    assert_eq!(world.lake.size(NAME).files, 10);
    let long_ago = "2026-01-01T00:00:00Z".parse().unwrap();
    assert!(world.lake.maintain(NAME, long_ago, world.now).await.unwrap());
    assert_eq!(world.lake.size(NAME).files, 2);
    assert!(!world.lake.maintain(NAME, long_ago, world.now).await.unwrap());
    assert_eq!(world.count().await, 10);
    let march = "2026-03-01T00:00:00Z".parse().unwrap();
    assert!(world.lake.maintain(NAME, march, world.now).await.unwrap());
    assert_eq!(world.count().await, 1);
    // What left the table leaves the disk a while later.
    assert_eq!(world.data_files().len(), 11);
    let later = world.now + jiff::SignedDuration::from_hours(1);
    assert!(!world.lake.maintain(NAME, march, later).await.unwrap());
    assert_eq!(world.data_files().len(), 1);
    let (world, position) = world.reopened().await;
    assert_eq!((position, world.count().await), (2000, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_past_the_retention_leave_a_file_that_has_younger_ones() {
    let world = World::new().await;
    world.append(1..=5000).await;
    world.lake.commit(NAME, 5000, world.now).await.unwrap();
    let keep_from = |time: &str| time.parse().unwrap();
    // Of March, whose first row is less than a day too old, nothing goes yet.
    assert!(world.lake.maintain(NAME, keep_from("2026-03-01T12:00:00Z"), world.now).await.unwrap());
    assert!(
        !world.lake.maintain(NAME, keep_from("2026-03-01T12:00:00Z"), world.now).await.unwrap()
    );
    assert_eq!(world.count().await, 5001 - 1440);
    assert!(world.lake.maintain(NAME, keep_from("2026-03-02T06:00:00Z"), world.now).await.unwrap());
    assert!(
        !world.lake.maintain(NAME, keep_from("2026-03-02T06:00:00Z"), world.now).await.unwrap()
    );
    let oldest = world.query("SELECT min(eventTime) FROM t").await;
    assert_eq!(oldest[0][0].as_deref(), Some("2026-03-02 06:00:00.000"));
    assert_eq!(world.count().await, 5001 - 1440 - 30 * 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_by_codes_gives_what_counting_by_values_gives() {
    let world = World::new().await;
    world.append(1..=3000).await;
    world.lake.commit(NAME, 3000, world.now).await.unwrap();
    world.append(3001..=3500).await;
    let counted = [
        "eventSource, eventName, count(*) AS n FROM t GROUP BY 1, 2",
        "coalesce(userIdentity.arn, '') AS arn, errorCode, count(*) FROM t WHERE errorCode IS NULL GROUP BY 1, 2",
        "date_trunc('hour', eventTime) AS hour, count(*) AS n FROM t GROUP BY 1",
        "date_trunc('day', eventTime) AS day, eventName, count(*) AS n FROM t GROUP BY 1, 2",
        "date_trunc('minute', eventTime), count(*) AS n FROM t WHERE userIdentity.userName = 'mallory' GROUP BY 1",
        "count(DISTINCT userIdentity.principalId) FROM t",
        "DISTINCT userIdentity.userName FROM t",
        "DISTINCT upper(userIdentity.userName) FROM t",
        "DISTINCT errorCode FROM t",
        "DISTINCT userIdentity.userName FROM t WHERE eventTime > '2026-03-01 00:00:00'",
        "DISTINCT userIdentity.userName, awsRegion FROM t",
        "readOnly, upper(awsRegion), day(eventTime), count(*) FROM t GROUP BY 1, 2, 3",
        "count(*) FROM t WHERE userIdentity.userName = 'mallory' AND eventTime > '2026-03-01 00:00:00'",
        "count(*) FROM t WHERE eventName = 'nothing'",
        "eventName, count(*) FROM t WHERE eventName = 'nothing' GROUP BY 1",
        // Most names are no numbers, but those that are asked for are.
        "cast(substr(requestID, 2) AS integer) % 7, count(*) FROM t WHERE requestID LIKE 'r%' GROUP BY 1",
        "t.eventName, count(*) FROM t GROUP BY t.eventName HAVING count(*) > 5",
        "element_at(requestParameters, 'bucketName') AS bucket, count(*) FROM t GROUP BY 1",
        "element_at(requestParameters, 'deep') AS deep, userIdentity.userName, count(*) FROM t WHERE userIdentity.userName = 'mallory' AND element_at(requestParameters, 'deep') IS NOT NULL GROUP BY 1, 2",
        "element_at(responseElements, 'x'), count(*) FROM t GROUP BY 1",
        "element_at(requestParameters, 'nothing'), count(*) FROM t GROUP BY 1",
        "count(*) FROM t WHERE element_at(requestParameters, 'bucketName') = 'bucket-1' AND eventTime > '2026-03-01 00:00:00'",
        "requestID, count(*) FROM t WHERE userIdentity.principalId IN ('AIDA7', 'AIDA2990', 'AIDA3490') GROUP BY 1",
        // More groups than are merged at once.
        "userIdentity.principalId, eventName, count(*) FROM t GROUP BY 1, 2",
        "x.n, count(*) FROM (SELECT eventName, count(*) AS n FROM t GROUP BY 1) AS x GROUP BY 1",
        "a.n, b.n FROM (SELECT eventName, count(*) AS n FROM t GROUP BY 1) AS a JOIN (SELECT eventName, count(*) AS n FROM t GROUP BY 1) AS b ON a.eventName = b.eventName",
    ];
    for query in counted {
        let by_codes = format!("SELECT {query}");
        // A subquery with a limit is out of reach.
        let by_values = by_codes.replace("FROM t", "FROM (SELECT * FROM t LIMIT 1000000) AS t");
        assert!(world.plan(&by_codes).await.contains("CountExec"), "{by_codes}");
        assert!(!world.plan(&by_values).await.contains("CountExec"), "{by_values}");
        let (mut codes, mut values) = (world.query(&by_codes).await, world.query(&by_values).await);
        codes.sort();
        values.sort();
        assert_eq!(codes, values, "{query}");
    }
    // Rows that are picked by codes, or by values where there is no dictionary.
    let picked = [
        "userIdentity.principalId, eventTime, eventJson FROM t WHERE userIdentity.principalId = 'AIDA77'",
        "eventID, requestParameters FROM t WHERE eventID IN ('0000004d-0000-4000-8000-000000000000', '000003e8-0000-4000-8000-000000000000')",
        "eventID FROM t WHERE userIdentity.principalId = 'AIDA78' AND userIdentity.userName = 'mallory'",
        "eventID FROM t WHERE userIdentity.principalId = 'AIDA3400' ORDER BY eventTime DESC LIMIT 5",
        "eventID FROM t WHERE userIdentity.userName = 'mallory' AND awsRegion = 'us-east-1'",
    ];
    for query in picked {
        let by_codes = format!("SELECT {query}");
        let by_values = by_codes.replace("FROM t", "FROM (SELECT * FROM t LIMIT 1000000) AS t");
        let (mut codes, mut values) = (world.query(&by_codes).await, world.query(&by_values).await);
        codes.sort();
        values.sort();
        assert_eq!(codes, values, "{query}");
    }
    let left_alone = [
        "SELECT count(*) FROM t",
        "SELECT eventName, max(eventTime) FROM t GROUP BY 1",
        "SELECT eventName, count(*) FROM t WHERE eventID < requestID GROUP BY 1",
        "SELECT length(eventJson), count(*) FROM t GROUP BY 1",
        "SELECT element_at(requestParameters, eventName), count(*) FROM t GROUP BY 1",
    ];
    for query in left_alone {
        assert!(!world.plan(query).await.contains("CountExec"), "{query}");
    }
    let merged = "SELECT eventName, count(*) AS n FROM t GROUP BY 1 ORDER BY n DESC LIMIT 3";
    assert!(world.plan(merged).await.contains("MergeExec"));
    let progress = Arc::new(Progress::default());
    let rows = world.query_noting("SELECT eventName, count(*) FROM t GROUP BY 1", &progress).await;
    assert_eq!(rows[0][1].as_deref(), Some("3500"));
    assert_eq!(progress.events_scanned.load(std::sync::atomic::Ordering::Relaxed), 3500);
    assert!(progress.bytes_scanned.load(std::sync::atomic::Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_one_group_are_counted_without_being_read() {
    let world = World::new().await;
    // Pages of nearly three days each, in March of nine.
    world.append(1..=40_000).await;
    world.lake.commit(NAME, 40_000, world.now).await.unwrap();
    for unit in ["hour", "day", "week", "month", "year"] {
        let by_page = format!("SELECT date_trunc('{unit}', eventTime), count(*) FROM t GROUP BY 1");
        let one_by_one = by_page.replace("FROM t", "FROM (SELECT * FROM t LIMIT 1000000) AS t");
        let (mut pages, mut rows) = (world.query(&by_page).await, world.query(&one_by_one).await);
        pages.sort();
        rows.sort();
        assert_eq!(pages, rows, "{unit}");
    }
    let scanned = async |unit: &str| {
        let progress = Arc::new(Progress::default());
        let query = format!("SELECT date_trunc('{unit}', eventTime), count(*) FROM t GROUP BY 1");
        world.query_noting(&query, &progress).await;
        let of =
            |count: &std::sync::atomic::AtomicU64| count.load(std::sync::atomic::Ordering::Relaxed);
        (of(&progress.events_scanned), of(&progress.bytes_scanned))
    };
    let (hours, weeks, months) =
        (scanned("hour").await, scanned("week").await, scanned("month").await);
    assert_eq!([hours.0, weeks.0, months.0], [40_000; 3]);
    assert!(hours.1 > weeks.1 && weeks.1 > 0 && months.1 == 0, "{hours:?} {weeks:?} {months:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_pages_are_damaged_is_named_by_whoever_counts_its_rows() {
    let world = World::new().await;
    world.append(1..=3000).await;
    world.lake.commit(NAME, 3000, world.now).await.unwrap();
    // The footers are in memory from then on.
    world.query("SELECT count(*) FROM t WHERE eventTime > '2026-02-28 12:00:00'").await;
    let file = world.data_files().into_iter().max().unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 0x55);
    std::fs::write(&file, bytes).unwrap();
    for query in [
        "SELECT eventName, count(*) FROM t GROUP BY 1",
        "SELECT DISTINCT userIdentity.userName FROM t",
        "SELECT count(*) FROM t WHERE eventName = 'PutBucketPolicy'",
        "SELECT readOnly, count(*) FROM t GROUP BY 1",
    ] {
        let prepared = world.prepare(query).await;
        let mut portions = prepared.start(world.lake.runtime(), Arc::default());
        let mut failure = None;
        while let Some(portion) = portions.recv().await {
            failure = portion.err().or(failure);
        }
        match failure {
            Some(QueryFailure::File(named)) => {
                let name = file.file_name().unwrap().to_str().unwrap();
                assert!(named.path.ends_with(name), "{query}: {named:?}");
            }
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_table_leaves_nothing() {
    let world = World::new().await;
    world.append(1..=10).await;
    world.lake.commit(NAME, 10, world.now).await.unwrap();
    world.lake.remove_table(NAME).await.unwrap();
    assert!(world.data_files().is_empty());
    assert!(matches!(world.lake.table(NAME), Err(LakeError::NoSuchTable(_))));
    world.lake.open_table(NAME, Content::Events, None, world.now).await.unwrap();
    assert_eq!(world.count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_commit_began_is_not_in_it() {
    let world = World::new().await;
    world.append(1..=10).await;
    let commit = world.lake.commit(NAME, 10, world.now);
    world.append(11..=20).await;
    commit.await.unwrap();
    assert_eq!(world.lake.hot(NAME).rows, 10);
    let (world, position) = world.reopened().await;
    assert_eq!((position, world.count().await), (10, 10));
    world.append(11..=20).await;
    assert_eq!(world.count().await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_may_come_at_any_moment_of_a_commit() {
    let world = World::new().await;
    world.append(1..=1).await;
    let table = world.lake.table(NAME).unwrap();
    let one = table.view().hot[0].clone();
    let ended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let appending: [_; 3] = std::array::from_fn(|_| {
        let (table, one, ended) = (table.clone(), one.clone(), ended.clone());
        std::thread::spawn(move || {
            let mut rows = 0;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                table.append(one.clone()).unwrap();
                rows += 1;
            }
            rows
        })
    });
    for through in 1..=20 {
        world.lake.commit(NAME, through, world.now).await.unwrap();
    }
    ended.store(true, std::sync::atomic::Ordering::Relaxed);
    let rows: u64 = appending.map(|thread| thread.join().unwrap()).iter().sum();
    world.lake.commit(NAME, 21, world.now).await.unwrap();
    assert_eq!((world.count().await, world.lake.hot(NAME).rows), (1 + rows, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_many_open_at_once_is_begun_once() {
    let world = World::new().await;
    // Two lakes are two nodes over one store; each is asked by several at once.
    let other = open(world.folder.path());
    let opened = |lake: Arc<Lake>| async move {
        lake.open_table("new", Content::Events, None, "2026-03-02T12:00:00Z".parse().unwrap()).await
    };
    let lakes = [&world.lake, &other, &world.lake, &other, &world.lake, &other];
    let opening: Vec<_> = lakes.map(|lake| tokio::spawn(opened(lake.clone()))).into();
    for one in opening {
        assert_eq!(one.await.unwrap().unwrap(), 0);
    }
    let log = world.folder.path().join("new/_delta_log");
    let commits = std::fs::read_dir(log).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|ending| ending == "json")
    });
    assert_eq!(commits.count(), 1);
}
