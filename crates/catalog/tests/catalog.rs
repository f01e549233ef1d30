//! The catalog's promises, one by one, over a database in a temporary folder.

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::convert::Infallible;
use std::sync::Arc;

use catalog::{
    BillingMode, Catalog, CatalogError, ChainKey, Deletion, DigestKey, EventDataStore,
    EventDataStoreState, IngestToken, Ingestion, Logging, NewDigest, NewLogFile, StreamKey, Tag,
    Trail, TrailSettings, TrailState,
};
use event::selectors::{EventSelectors, StoreClass};
use tempfile::TempDir;
use uuid::Uuid;

const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/main";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

fn trail(name: &str) -> Trail {
    Trail {
        arn: format!("arn:aws:cloudtrail:us-east-1:111122223333:trail/{name}"),
        account: "111122223333".to_owned(),
        name: name.to_owned(),
        home_region: "us-east-1".to_owned(),
        created_ms: 1_000,
        state: TrailState {
            settings: TrailSettings {
                s3_bucket_name: "audit-logs".to_owned(),
                s3_key_prefix: None,
                include_global_service_events: true,
                is_multi_region_trail: false,
                log_file_validation_enabled: true,
                recursive_logging: true,
                organization: None,
            },
            selectors: EventSelectors::default_for_trail(),
            has_custom_selectors: false,
            logging: Logging::Never,
            deleted: false,
            insight_selectors: Vec::new(),
            aggregation: Vec::new(),
        },
    }
}

async fn set_prefix(catalog: &Catalog, from_seq: u64, prefix: &str) {
    let changed = catalog.change_trail(ARN, from_seq, 2_000, |trail| {
        let mut state = trail.state.clone();
        state.settings.s3_key_prefix = Some(prefix.to_owned());
        Ok::<_, Infallible>(state)
    });
    let Ok(_) = changed.await.unwrap();
}

async fn delete(catalog: &Catalog, from_seq: u64) {
    let changed = catalog.change_trail(ARN, from_seq, 3_000, |trail| {
        Ok::<_, Infallible>(TrailState { deleted: true, ..trail.state.clone() })
    });
    let Ok(_) = changed.await.unwrap();
}

async fn create(
    catalog: &Catalog,
    trail: &Trail,
    tags: &[Tag],
    from_seq: u64,
) -> Result<(), CatalogError> {
    let Ok(()) = catalog.create_trail(trail, tags, from_seq, |_| Ok::<_, Infallible>(())).await?;
    Ok(())
}

/// From which entry on each state holds, and its prefix.
async fn versions(catalog: &Catalog) -> Vec<(u64, Option<String>)> {
    let versions = catalog.trail_versions().await.unwrap();
    versions.into_iter().map(|v| (v.from_seq, v.state.settings.s3_key_prefix)).collect()
}

fn prefix(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn every_change_is_a_state_from_an_entry_on_and_never_goes_back() {
    let (_folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 5).await.unwrap();
    set_prefix(&catalog, 9, "a").await;
    // Nothing changes, so nothing is stored.
    set_prefix(&catalog, 11, "a").await;
    // Two callers asked for their entry in one order and arrive in the other.
    set_prefix(&catalog, 7, "b").await;
    let expected = vec![(5, None), (9, prefix("a")), (9, prefix("b"))];
    assert_eq!(versions(&catalog).await, expected);
    let now = catalog.trail(ARN).await.unwrap().unwrap();
    assert_eq!(now.state.settings.s3_key_prefix, prefix("b"));
}

#[tokio::test]
async fn of_two_changes_at_once_both_stay() {
    let (_folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 1).await.unwrap();
    let catalog = Arc::new(catalog);
    let changes = (0..20_i64).map(|n| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let changed = catalog.change_trail(ARN, 1, n, |trail| {
                let mut state = trail.state.clone();
                let so_far = state.settings.s3_key_prefix.unwrap_or_default();
                state.settings.s3_key_prefix = Some(format!("{so_far}/{n}/"));
                Ok::<_, Infallible>(state)
            });
            changed.await.unwrap().unwrap()
        })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap();
    }
    let trail = catalog.trail(ARN).await.unwrap().unwrap();
    let prefix = trail.state.settings.s3_key_prefix.unwrap();
    for n in 0..20 {
        assert!(prefix.contains(&format!("/{n}/")), "change {n} is lost: {prefix}");
    }
}

#[tokio::test]
async fn a_refused_change_stores_nothing() {
    let (_folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 1).await.unwrap();
    let refused = catalog.change_trail(ARN, 2, 2_000, |_| Err("no")).await.unwrap();
    assert_eq!(refused, Err("no"));
    assert_eq!(versions(&catalog).await, vec![(1, None)]);
    let absent = catalog.change_trail("arn:none", 2, 0, |t| Ok::<_, Infallible>(t.state.clone()));
    assert!(matches!(absent.await, Err(CatalogError::NoSuchTrail(_))));
}

#[tokio::test]
async fn a_name_is_taken_until_its_trail_is_deleted() {
    let (_folder, catalog) = open().await;
    let tag = Tag { key: "team".to_owned(), value: "a".to_owned() };
    create(&catalog, &trail("main"), &[tag], 1).await.unwrap();
    let again = create(&catalog, &trail("main"), &[], 2).await;
    assert!(matches!(again, Err(CatalogError::TrailExists(_))));
    delete(&catalog, 3).await;
    assert_eq!(catalog.trail(ARN).await.unwrap(), None);
    assert!(catalog.trails_of("111122223333").await.unwrap().is_empty());
    create(&catalog, &trail("main"), &[], 4).await.unwrap();
    assert!(catalog.tags(ARN).await.unwrap().is_empty(), "tags of the namesake are gone");
    // Its states go on behind the namesake's, which entries below still need.
    let states: Vec<u64> = versions(&catalog).await.into_iter().map(|(from, _)| from).collect();
    assert_eq!(states, [1, 3, 4]);
}

#[tokio::test]
async fn states_are_forgotten_when_no_entry_needs_them() {
    let (_folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 5).await.unwrap();
    for (from_seq, name) in [(10, "a"), (20, "b"), (30, "c")] {
        set_prefix(&catalog, from_seq, name).await;
    }
    for (seq, left) in [(0, 4), (9, 4), (10, 3), (19, 3), (25, 2), (30, 1), (99, 1)] {
        catalog.forget_trail_versions_before(seq).await.unwrap();
        assert_eq!(versions(&catalog).await.len(), left, "before entry {seq}");
    }
    assert_eq!(versions(&catalog).await, vec![(30, prefix("c"))]);
}

#[tokio::test]
async fn only_a_deleted_trail_is_purged_and_its_ledger_and_chains_stay() {
    let (_folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 1).await.unwrap();
    catalog.log_file_delivered(&log_file(1, 1_000)).await.unwrap();
    catalog.start_chain(&chain_key(), 1_000).await.unwrap();
    catalog.purge_trail(ARN).await.unwrap();
    assert!(catalog.trail(ARN).await.unwrap().is_some(), "it lives");
    delete(&catalog, 2).await;
    create(&catalog, &trail("main"), &[], 3).await.unwrap();
    catalog.purge_trail(ARN).await.unwrap();
    assert!(catalog.trail(ARN).await.unwrap().is_some(), "it was made again meanwhile");
    delete(&catalog, 4).await;
    catalog.purge_trail(ARN).await.unwrap();
    assert!(catalog.trail_versions().await.unwrap().is_empty());
    assert_eq!(catalog.ledger_totals().await.unwrap(), (1, 3));
    assert_eq!(catalog.chains().await.unwrap().len(), 1);
    assert_eq!(catalog.streams().await.unwrap(), vec![(stream(), 3)]);
}

fn stream() -> StreamKey {
    StreamKey {
        trail_arn: ARN.to_owned(),
        account: "111122223333".to_owned(),
        region: "us-east-1".to_owned(),
        folder: "CloudTrail".to_owned(),
    }
}

fn chain_key() -> ChainKey {
    let StreamKey { trail_arn, account, region, .. } = stream();
    ChainKey { trail_arn, account, region }
}

/// A file of three events.
fn log_file(first_seq: u64, delivered_ms: i64) -> NewLogFile {
    NewLogFile {
        stream: stream(),
        bucket: "audit-logs".to_owned(),
        key: format!("key-{first_seq}"),
        sha256: "00".repeat(32),
        first_seq,
        last_seq: first_seq + 2,
        events: 3,
        oldest_ms: 500,
        newest_ms: 600,
        delivered_ms,
    }
}

#[tokio::test]
async fn a_file_entered_twice_is_there_once() {
    let (_folder, catalog) = open().await;
    catalog.log_file_delivered(&log_file(1, 1_000)).await.unwrap();
    catalog.delivery_failed(ARN, "us-east-1", 1_500, "SlowDown").await.unwrap();
    catalog.log_file_delivered(&log_file(1, 2_000)).await.unwrap();
    assert_eq!(catalog.ledger_totals().await.unwrap(), (1, 3));
    let files = catalog.files_without_digest(&chain_key(), 5_000, 5_000).await.unwrap();
    assert_eq!(files.iter().map(|row| row.file.delivered_ms).collect::<Vec<_>>(), [1_000]);
    let status = catalog.trail_status(ARN, "us-east-1").await.unwrap();
    assert_eq!((status.latest_delivery_ms, status.latest_delivery_error), (Some(2_000), None));
}

#[tokio::test]
async fn a_stream_only_moves_forward() {
    let (_folder, catalog) = open().await;
    catalog.log_file_delivered(&log_file(7, 1_000)).await.unwrap();
    catalog.log_file_delivered(&log_file(1, 2_000)).await.unwrap();
    catalog.skip_stream(&stream(), 4).await.unwrap();
    assert_eq!(catalog.streams().await.unwrap(), vec![(stream(), 9)]);
    catalog.skip_stream(&stream(), 12).await.unwrap();
    assert_eq!(catalog.streams().await.unwrap(), vec![(stream(), 12)]);
}

#[tokio::test]
async fn a_window_takes_what_was_delivered_by_its_end_or_under_a_clock_that_ran_ahead() {
    let (_folder, catalog) = open().await;
    for (first_seq, delivered_ms) in [(1, 1_000), (4, 2_000), (7, 90_000)] {
        catalog.log_file_delivered(&log_file(first_seq, delivered_ms)).await.unwrap();
    }
    let listed = async |until_ms, now_ms| {
        let files = catalog.files_without_digest(&chain_key(), until_ms, now_ms).await.unwrap();
        files.into_iter().map(|row| row.file.first_seq).collect::<Vec<_>>()
    };
    assert_eq!(listed(1_000, 100_000).await, [1]);
    assert_eq!(listed(2_000, 100_000).await, [1, 4]);
    assert_eq!(listed(2_000, 5_000).await, [1, 4, 7]);
}

#[tokio::test]
async fn files_of_a_trail_without_validation_are_never_listed() {
    let (_folder, catalog) = open().await;
    for (first_seq, delivered_ms) in [(1, 1_000), (4, 2_000)] {
        catalog.log_file_delivered(&log_file(first_seq, delivered_ms)).await.unwrap();
    }
    catalog.leave_unattested(ARN, 2_000).await.unwrap();
    let files = catalog.files_without_digest(&chain_key(), 9_000, 9_000).await.unwrap();
    assert_eq!(files.iter().map(|row| row.file.first_seq).collect::<Vec<_>>(), [4]);
    catalog.leave_unattested(ARN, 2_001).await.unwrap();
    assert!(catalog.chains_wanted(ARN).await.unwrap().is_empty());
}

fn digest(key: &str, end_ms: i64, files: Vec<i64>) -> NewDigest {
    NewDigest {
        chain: chain_key(),
        bucket: "audit-logs".to_owned(),
        key: key.to_owned(),
        body_gz: b"gz".to_vec(),
        sha256: "11".repeat(32),
        signature: "22".repeat(256),
        end_ms,
        files,
        open_after: true,
    }
}

#[tokio::test]
async fn a_digest_enters_its_chain_whole_or_not_at_all() {
    let (_folder, catalog) = open().await;
    catalog.log_file_delivered(&log_file(1, 1_500)).await.unwrap();
    catalog.log_file_delivered(&log_file(4, 1_600)).await.unwrap();
    catalog.start_chain(&chain_key(), 1_000).await.unwrap();
    catalog.append_digest(&digest("start", 1_000, vec![])).await.unwrap();
    let files = catalog.files_without_digest(&chain_key(), 2_000, 2_000).await.unwrap();
    let ids: Vec<i64> = files.iter().map(|row| row.id).collect();
    catalog.append_digest(&digest("first", 2_000, vec![ids[0]])).await.unwrap();

    let before = catalog.chains().await.unwrap();
    for stale in [
        digest("lists a file again", 3_000, vec![ids[1], ids[0]]),
        digest("lists a file that is not there", 3_000, vec![99]),
        digest("ends when the last one did", 2_000, vec![ids[1]]),
        digest("ends earlier", 1_500, vec![ids[1]]),
    ] {
        let refused = catalog.append_digest(&stale).await;
        assert!(matches!(refused, Err(CatalogError::StaleDigest { .. })), "{}", stale.key);
    }
    assert_eq!(catalog.chains().await.unwrap(), before);
    let waiting = catalog.digests_to_put(&[], 10).await.unwrap();
    assert_eq!(waiting.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["start", "first"]);
    let files = catalog.files_without_digest(&chain_key(), 5_000, 5_000).await.unwrap();
    assert_eq!(files.iter().map(|row| row.id).collect::<Vec<_>>(), [ids[1]]);

    let last = NewDigest { open_after: false, ..digest("final", 3_000, vec![ids[1]]) };
    catalog.append_digest(&last).await.unwrap();
    let refused = catalog.append_digest(&digest("after the final one", 4_000, vec![])).await;
    assert!(matches!(refused, Err(CatalogError::StaleDigest { .. })));
}

#[tokio::test]
async fn a_chain_begins_again_after_its_end_and_without_a_predecessor() {
    let (_folder, catalog) = open().await;
    catalog.start_chain(&chain_key(), 10_000).await.unwrap();
    catalog.start_chain(&chain_key(), 99_000).await.unwrap();
    assert_eq!(catalog.chains().await.unwrap()[0].end_ms, 10_000, "an open chain is left alone");
    let only = NewDigest { open_after: false, ..digest("only", 10_000, vec![]) };
    catalog.append_digest(&only).await.unwrap();
    // The clock stands, or has gone back.
    catalog.start_chain(&chain_key(), 4_000).await.unwrap();
    let chain = catalog.chains().await.unwrap().remove(0);
    assert_eq!((chain.open, chain.end_ms, chain.previous), (true, 11_000, None));
}

#[tokio::test]
async fn digests_wait_until_they_are_delivered_or_given_up() {
    let (_folder, catalog) = open().await;
    catalog.start_chain(&chain_key(), 1_000).await.unwrap();
    for (key, end_ms) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        catalog.append_digest(&digest(key, end_ms, vec![])).await.unwrap();
    }
    assert!(catalog.digests_to_put(&["audit-logs".to_owned()], 10).await.unwrap().is_empty());
    let waiting = catalog.digests_to_put(&[], 2).await.unwrap();
    assert_eq!(waiting.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    catalog.digest_delivery_failed(ARN, "us-east-1", "NoSuchBucket").await.unwrap();
    let status = catalog.trail_status(ARN, "us-east-1").await.unwrap();
    assert_eq!(status.latest_digest_delivery_error.as_deref(), Some("NoSuchBucket"));
    catalog.digest_delivered(&waiting[0], 9_000).await.unwrap();
    catalog.digest_abandoned(waiting[1].id).await.unwrap();
    assert_eq!(catalog.digests_waiting(ARN).await.unwrap(), 1);
    assert_eq!(catalog.digests_to_put(&[], 10).await.unwrap()[0].key, "c");
    let status = catalog.trail_status(ARN, "us-east-1").await.unwrap();
    assert_eq!(status.latest_digest_delivery_ms, Some(9_000));
    assert_eq!(status.latest_digest_delivery_error, None);
}

#[tokio::test]
async fn what_was_stored_is_there_after_opening_again() {
    let (folder, catalog) = open().await;
    create(&catalog, &trail("main"), &[], 1).await.unwrap();
    let key = DigestKey {
        region: "us-east-1".to_owned(),
        fingerprint: "ab".repeat(16),
        public_pkcs1: vec![1, 2, 3],
        valid_from_ms: 10,
        valid_until_ms: 20,
    };
    catalog.put_digest_key(&key).await.unwrap();
    catalog.put_digest_key(&key).await.unwrap();
    let token = IngestToken { sha256: [7; 32], name: "first".to_owned(), account: "1".repeat(12) };
    catalog.put_ingest_token(&token, 5).await.unwrap();
    catalog.close().await;
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    assert_eq!(catalog.trail(ARN).await.unwrap(), Some(trail("main")));
    assert_eq!(catalog.ingest_tokens().await.unwrap(), vec![token]);
    for (from_ms, until_ms, there) in [(0, 9, 0), (0, 10, 1), (20, 30, 1), (21, 30, 0)] {
        let keys = catalog.digest_keys("us-east-1", from_ms, until_ms).await.unwrap();
        assert_eq!(keys.len(), there, "{from_ms}..{until_ms}");
    }
}

#[tokio::test]
async fn tags_keep_their_order_and_their_limit() {
    let (_folder, catalog) = open().await;
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    assert!(catalog.add_tags(ARN, &[tag("b", "1"), tag("a", "2")], 3).await.unwrap());
    assert!(catalog.add_tags(ARN, &[tag("b", "3"), tag("c", "4")], 3).await.unwrap());
    assert!(!catalog.add_tags(ARN, &[tag("a", "9"), tag("d", "5")], 3).await.unwrap());
    let expected = vec![tag("b", "3"), tag("a", "2"), tag("c", "4")];
    assert_eq!(catalog.tags(ARN).await.unwrap(), expected, "a refused call changes nothing");
    let other_value = ("b".to_owned(), Some("other".to_owned()));
    catalog.remove_tags(ARN, &[("a".to_owned(), None), other_value]).await.unwrap();
    assert_eq!(catalog.tags(ARN).await.unwrap(), vec![tag("b", "3"), tag("c", "4")]);
}

#[tokio::test]
async fn of_trails_that_are_made_at_once_no_more_than_admitted_come_to_be() {
    let (_folder, catalog) = open().await;
    let trails: Vec<Trail> = (0..8)
        .map(|n| Trail { arn: format!("{ARN}{n}"), name: format!("main{n}"), ..trail("x") })
        .collect();
    let admit = |others: &[Trail]| if others.len() < 3 { Ok(()) } else { Err("full") };
    let made = trails.iter().map(|trail| catalog.create_trail(trail, &[], 1, admit));
    let made = futures::future::join_all(made).await;
    let admitted = made.iter().filter(|made| matches!(made, Ok(Ok(())))).count();
    let refused = made.iter().filter(|made| matches!(made, Ok(Err("full")))).count();
    assert_eq!((admitted, refused), (3, 5), "{made:?}");
    assert_eq!(catalog.trails_of("111122223333").await.unwrap().len(), 3);
}

// ---- event data stores --------------------------------------------------------------------------

fn store(name: &str, id: u128) -> EventDataStore {
    let id = Uuid::from_u128(id);
    EventDataStore {
        arn: format!("arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/{id}"),
        id,
        account: "111122223333".to_owned(),
        name: name.to_owned(),
        home_region: "us-east-1".to_owned(),
        created_ms: 1_000,
        updated_ms: 1_000,
        state: EventDataStoreState {
            selectors: EventSelectors::default_for_event_data_store(),
            class: StoreClass::Events,
            multi_region: true,
            retention_days: 366,
            billing_mode: BillingMode::ExtendableRetention,
            termination_protection: true,
            ingestion: Ingestion::Enabled { since_ms: 1_000 },
            deletion: Deletion::None,
            configuration: catalog::EventConfiguration::default(),
            insights: None,
            federation: catalog::Federation::Disabled,
            organization: None,
        },
    }
}

#[tokio::test]
async fn trails_are_listed_from_an_arn_on_without_deleted_and_others_ones() {
    let (_folder, catalog) = open().await;
    let mut shared = trail("shared");
    shared.state.settings.organization = Some("o-one".to_owned());
    let mut foreign = trail("foreign");
    foreign.account = "222222222222".to_owned();
    for made in [trail("main"), trail("b"), shared, trail("a"), foreign] {
        create(&catalog, &made, &[], 1).await.unwrap();
    }
    delete(&catalog, 2).await;
    let names = async |organization, after: &str, max| {
        let after = trail(after).arn;
        let read = catalog.trail_names_after("111122223333", organization, &after, max).await;
        read.unwrap().into_iter().map(|named| named.name).collect::<Vec<_>>()
    };
    assert_eq!(names(None, "", 10).await, ["a", "b", "shared"]);
    assert_eq!(names(None, "a", 1).await, ["b"]);
    assert_eq!(names(None, "shared", 10).await, [""; 0]);
    assert_eq!(names(Some("o-one"), "", 10).await, ["shared"]);
    assert_eq!(names(Some("o-two"), "", 10).await, [""; 0]);
}

async fn create_store(catalog: &Catalog, store: &EventDataStore, from_seq: u64) {
    let tags = [Tag { key: "team".to_owned(), value: "security".to_owned() }];
    let made = catalog.create_event_data_store(store, &tags, from_seq, |_| Ok::<_, Infallible>(()));
    let Ok(()) = made.await.unwrap();
}

async fn set_deletion(catalog: &Catalog, arn: &str, from_seq: u64, deletion: Deletion) {
    let changed = catalog.change_event_data_store(arn, from_seq, 3_000, |store, _| {
        store.state.deletion = deletion;
        Ok::<_, Infallible>(())
    });
    let Ok(_) = changed.await.unwrap();
}

#[tokio::test]
async fn every_change_of_a_store_is_a_state_from_an_entry_on() {
    let (_folder, catalog) = open().await;
    let made = store("main", 1);
    create_store(&catalog, &made, 5).await;
    assert_eq!(catalog.event_data_store(made.id).await.unwrap(), Some(made.clone()));

    set_deletion(&catalog, &made.arn, 9, Deletion::Pending { since_ms: 3_000 }).await;
    // A name is no state: what is read from the journal does not depend on it.
    let renamed = catalog.change_event_data_store(&made.arn, 12, 4_000, |store, _| {
        store.name = "other".to_owned();
        Ok::<_, Infallible>(())
    });
    let Ok(renamed) = renamed.await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.updated_ms), ("other", 4_000));
    assert_eq!(catalog.event_data_store(made.id).await.unwrap(), Some(renamed));

    let from = |versions: Vec<catalog::EventDataStoreVersion>| -> Vec<u64> {
        versions.iter().map(|version| version.from_seq).collect()
    };
    assert_eq!(from(catalog.event_data_store_versions().await.unwrap()), [5, 9]);
    catalog.forget_event_data_store_versions_before(8).await.unwrap();
    assert_eq!(from(catalog.event_data_store_versions().await.unwrap()), [5, 9]);
    catalog.forget_event_data_store_versions_before(9).await.unwrap();
    assert_eq!(from(catalog.event_data_store_versions().await.unwrap()), [9]);
}

#[tokio::test]
async fn a_refused_store_or_change_leaves_nothing() {
    let (_folder, catalog) = open().await;
    let (one, two) = (store("one", 1), store("two", 2));
    create_store(&catalog, &one, 1).await;
    let refused =
        catalog.create_event_data_store(&two, &[], 1, |others| Err(others.len())).await.unwrap();
    assert_eq!(refused, Err(1));
    let refused = catalog
        .change_event_data_store(&one.arn, 2, 2_000, |store, others| {
            store.name = "lost".to_owned();
            Err(others.len())
        })
        .await
        .unwrap();
    assert_eq!(refused, Err(0));
    assert_eq!(catalog.event_data_stores_of("111122223333").await.unwrap(), [one]);
}

#[tokio::test]
async fn only_a_store_past_restoring_is_removed_and_its_tags_go_too() {
    let (_folder, catalog) = open().await;
    let made = store("main", 1);
    create_store(&catalog, &made, 1).await;
    set_deletion(&catalog, &made.arn, 2, Deletion::Pending { since_ms: 3_000 }).await;
    catalog.remove_event_data_store(&made.arn).await.unwrap();
    assert_eq!(catalog.event_data_stores_of("111122223333").await.unwrap().len(), 1);

    set_deletion(&catalog, &made.arn, 3, Deletion::Removing).await;
    assert_eq!(catalog.event_data_stores_of("111122223333").await.unwrap(), []);
    assert_eq!(catalog.event_data_store(made.id).await.unwrap(), None);
    let restored = catalog.change_event_data_store(&made.arn, 4, 4_000, |store, _| {
        store.state.deletion = Deletion::None;
        Ok::<_, Infallible>(())
    });
    assert!(matches!(restored.await, Err(CatalogError::NoSuchEventDataStore(_))));

    assert_eq!(catalog.event_data_store_versions().await.unwrap().len(), 3);
    catalog.remove_event_data_store(&made.arn).await.unwrap();
    assert_eq!(catalog.event_data_store_versions().await.unwrap(), []);
    assert_eq!(catalog.tags(&made.arn).await.unwrap(), []);
    catalog.remove_event_data_store(&made.arn).await.unwrap();
}
