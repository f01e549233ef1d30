//! Imports from a bucket under faults: whatever happens, each event is in exactly once, and every
//! file that could not be read is listed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use catalog::{
    BillingMode, Deletion, EventDataStore, EventDataStoreState, Import, ImportSource, ImportStatus,
    Ingestion, NewImport,
};
use event::selectors::{EventSelectors, StoreClass};
use server::lake::{Columns, Lake, TableName};
use uuid::Uuid;

use super::store::Failure;
use super::world::{BUCKET, Crash, Ended, HOME, Plan, TENANT, World};

const ID: &str = "import";
/// More than a page of the store's listing, and more than one commit.
const MANY: usize = 150;
/// Few enough to fail at each of their calls.
const FEW: usize = 6;

pub fn store_arn() -> String {
    format!("arn:aws:cloudtrail:{HOME}:{TENANT}:eventdatastore/{}", Uuid::from_u128(7))
}

pub fn table() -> TableName {
    TableName::of_store(&Uuid::from_u128(7))
}

/// Declares the event data store and opens its table.
pub async fn make_store(world: &World) {
    let now_ms = world.now().as_millisecond();
    let store = EventDataStore {
        arn: store_arn(),
        id: Uuid::from_u128(7),
        account: TENANT.to_owned(),
        name: "store".to_owned(),
        home_region: HOME.to_owned(),
        created_ms: now_ms,
        updated_ms: now_ms,
        state: EventDataStoreState {
            selectors: EventSelectors::default_for_event_data_store(),
            class: StoreClass::Events,
            multi_region: true,
            retention_days: 366,
            billing_mode: BillingMode::ExtendableRetention,
            termination_protection: false,
            ingestion: Ingestion::Stopped { since_ms: now_ms },
            deletion: Deletion::None,
            configuration: catalog::EventConfiguration::default(),
            insights: None,
            federation: catalog::Federation::Disabled,
            organization: None,
        },
    };
    let seq = world.node().journal.next_seq();
    let catalog = &world.node().catalog;
    let made = catalog.create_event_data_store(&store, &[], seq, |_| Ok::<_, Infallible>(())).await;
    let Ok(()) = made.unwrap();
    world.lake.open_table(&table(), Columns::Events).await.unwrap();
}

fn key(number: usize) -> String {
    format!(
        "AWSLogs/{TENANT}/CloudTrail/{HOME}/2026/02/01/{TENANT}_CloudTrail_{HOME}_20260201T1205Z_{number:04}.json.gz"
    )
}

/// Two events of its own, and one that every file has.
fn file(number: usize) -> String {
    let event = |id: &str| {
        format!(
            r#"{{"eventTime":"2026-02-01T12:00:00Z","eventSource":"a.example.com","eventName":"E","awsRegion":"{HOME}","eventID":"{id}"}}"#
        )
    };
    let events = [format!("{number}-a"), "everywhere".to_owned(), format!("{number}-b")];
    events.map(|id| event(&id)).join("\n")
}

/// A world with so many files and an import of them that has not begun.
async fn importing(files: usize) -> World {
    let world = World::new(Plan::default()).await;
    make_store(&world).await;
    for number in 0..files {
        world.store.put(BUCKET, &key(number), file(number).into());
    }
    let import = NewImport {
        id: ID.to_owned(),
        account: TENANT.to_owned(),
        region: HOME.to_owned(),
        store_arn: store_arn(),
        source: ImportSource {
            s3_location_uri: format!("s3://{BUCKET}/AWSLogs/"),
            s3_bucket_region: HOME.to_owned(),
            s3_bucket_access_role_arn: "arn:aws:iam::1:role/r".to_owned(),
        },
        start_ms: None,
        end_ms: None,
        created_ms: world.now().as_millisecond(),
    };
    assert!(world.node().catalog.start_import(&import).await.unwrap());
    world
}

async fn the_import(world: &World) -> Import {
    world.node().catalog.import(TENANT, ID).await.unwrap().unwrap()
}

/// Turns and time until the import has ended; a stop by the store is a crash.
async fn run(world: &mut World, crash: Crash) -> ImportStatus {
    for _ in 0..1000 {
        match world.turn("run_imports").await {
            Ended::Done(_) => {}
            Ended::Stopped => world.crash_and_open(crash).await,
            Ended::Failed(error) => panic!("the turn failed: {error}"),
        }
        let import = the_import(world).await;
        if !import.status.is_ongoing() {
            return import.status;
        }
        world.pass(61);
    }
    panic!("the import finds no end");
}

/// How often each event is in the table.
fn tally(world: &World) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for record in world.lake.records(&table()) {
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        *tally.entry(record["eventID"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    tally
}

/// Each event of so many files is in once, and the counts say so.
async fn check(world: &World, files: usize, context: &str) {
    let tally = tally(world);
    assert_eq!(tally.len(), 2 * files + 1, "{context}");
    assert!(tally.values().all(|count| *count == 1), "{context}: {tally:?}");
    let import = the_import(world).await;
    let statistics = world.node().catalog.import_statistics(&import).await.unwrap();
    assert_eq!(statistics.files_completed, files as u64, "{context}");
    assert_eq!(statistics.events_completed, 3 * files as u64, "{context}");
    assert_eq!((statistics.prefixes_found, statistics.prefixes_completed), (1, 1), "{context}");
    assert_eq!(statistics.failed_entries, 0, "{context}");
}

#[tokio::test]
async fn many_files_come_in_over_several_pages_and_commits() {
    let mut world = importing(MANY).await;
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    check(&world, MANY, "no failure").await;
}

#[tokio::test]
async fn every_call_of_the_store_may_fail_or_be_the_last() {
    let stops = [
        (Failure::StopBefore, Crash::Kill),
        (Failure::StopAfter, Crash::Kill),
        (Failure::StopAfter, Crash::PowerLoss(0)),
    ];
    let failures = [Failure::Internal, Failure::SlowDown, Failure::Timeout, Failure::Reset];
    let plain = failures.map(|failure| (failure, Crash::Kill));
    for (failure, crash) in stops.into_iter().chain(plain) {
        for nth in 1.. {
            let mut world = importing(FEW).await;
            world.store.fail_nth(nth, failure);
            let context = format!("{failure:?} at call {nth}, {crash:?}");
            assert_eq!(run(&mut world, crash).await, ImportStatus::Completed, "{context}");
            check(&world, FEW, &context).await;
            if world.store.failures() == 0 {
                assert!(nth > FEW as u64, "{context}");
                break;
            }
        }
    }
}

/// The same as a crash between the lake's commit and the catalog's.
#[tokio::test]
async fn what_was_committed_and_not_marked_is_added_again_and_changes_nothing() {
    let mut world = importing(FEW).await;
    world.lake.lose_import_answers(2);
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    check(&world, FEW, "two answers lost").await;
}

#[tokio::test]
async fn a_store_that_is_down_for_an_hour_is_waited_for() {
    let mut world = importing(FEW).await;
    world.store.set_down(true);
    for _ in 0..60 {
        world.turn("run_imports").await;
        world.pass(61);
    }
    assert!(the_import(&world).await.status.is_ongoing());
    world.store.heal();
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    check(&world, FEW, "down for an hour").await;
}

#[tokio::test]
async fn bad_files_are_listed_while_the_rest_goes_in() {
    let mut world = importing(FEW).await;
    world.store.put(BUCKET, &key(100), "no log file".into());
    let half = file(101).replacen("\"eventTime\":\"2026-02-01T12:00:00Z\",", "", 1);
    world.store.put(BUCKET, &key(101), half.into());
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Failed);
    let import = the_import(&world).await;
    let failures = world.node().catalog.import_failures(import.number, 0, 10).await.unwrap();
    let shown: Vec<_> = failures.iter().map(|f| (f.key.clone(), f.error_type.as_str())).collect();
    assert_eq!(shown, [(key(100), "UnreadableFile"), (key(101), "RefusedRecords")]);
    let tally = tally(&world);
    assert!(tally.contains_key("101-b") && !tally.contains_key("101-a"), "{tally:?}");

    // Mended, and tried again: only these are read.
    world.store.put(BUCKET, &key(100), file(100).into());
    world.store.put(BUCKET, &key(101), file(101).into());
    world.store.put(BUCKET, &key(0), "altered since".into());
    let now_ms = world.now().as_millisecond();
    assert!(world.node().catalog.retry_import(import.number, now_ms).await.unwrap());
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
}

#[tokio::test]
async fn a_stopped_import_reads_no_further_file_and_can_go_on() {
    let mut world = importing(MANY).await;
    for _ in 0..3 {
        world.turn("run_imports").await;
    }
    let import = the_import(&world).await;
    assert_eq!(import.status, ImportStatus::InProgress);
    let now_ms = world.now().as_millisecond();
    assert!(world.node().catalog.stop_import(import.number, now_ms).await.unwrap());
    let before = tally(&world).len();
    assert!((2..2 * MANY).contains(&before), "{before}");
    for _ in 0..5 {
        world.turn("run_imports").await;
    }
    assert_eq!(tally(&world).len(), before);
    assert_eq!(the_import(&world).await.status, ImportStatus::Stopped);
    assert!(world.node().catalog.retry_import(import.number, now_ms).await.unwrap());
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    check(&world, MANY, "stopped and gone on").await;
}

#[tokio::test]
async fn an_import_into_a_store_that_is_deleted_fails_and_says_why() {
    let mut world = importing(MANY).await;
    for _ in 0..3 {
        world.turn("run_imports").await;
    }
    delete_store(&world).await;
    // Whatever the run has open may go on until it is opened anew.
    world.crash_and_open(Crash::Kill).await;
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Failed);
    let import = the_import(&world).await;
    let failures = world.node().catalog.import_failures(import.number, 0, 1).await.unwrap();
    assert_eq!(failures[0].error_type, "InactiveEventDataStore");
}

#[tokio::test]
async fn a_bucket_that_lets_nobody_in_fails_the_import_and_a_retry_lists_it_anew() {
    let mut world = importing(FEW).await;
    world.store.deny(BUCKET, true);
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Failed);
    let import = the_import(&world).await;
    let failures = world.node().catalog.import_failures(import.number, 0, 10).await.unwrap();
    let shown: Vec<_> = failures.iter().map(|f| (&*f.key, &*f.error_type)).collect();
    assert_eq!(shown, [(format!("s3://{BUCKET}/AWSLogs/").as_str(), "AccessDenied")]);
    world.store.deny(BUCKET, false);
    let now_ms = world.now().as_millisecond();
    assert!(world.node().catalog.retry_import(import.number, now_ms).await.unwrap());
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    check(&world, FEW, "let in").await;
}

#[tokio::test]
async fn events_past_the_retention_stay_out() {
    let mut world = importing(FEW).await;
    world.pass(400 * 24 * 3600);
    assert_eq!(run(&mut world, Crash::Kill).await, ImportStatus::Completed);
    assert_eq!(tally(&world), BTreeMap::new());
}

/// The event data store waits for its deletion.
pub async fn delete_store(world: &World) {
    let (arn, now_ms) = (store_arn(), world.now().as_millisecond());
    let seq = world.node().journal.next_seq();
    let changed = world.node().catalog.change_event_data_store(&arn, seq, now_ms, |store, _| {
        store.state.deletion = Deletion::Pending { since_ms: now_ms };
        Ok::<_, Infallible>(())
    });
    let Ok(_) = changed.await.unwrap();
}
