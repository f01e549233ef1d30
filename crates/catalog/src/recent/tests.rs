#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::convert::Infallible;

use event::selectors::{EventSelectors, StoreClass};
use tempfile::TempDir;

use super::*;
use crate::{
    BillingMode, Catalog, Deletion, EventConfiguration, EventDataStoreState, Federation, Ingestion,
    NewQuery, QueryEnd, QueryStatistics, QueryStatus, QueryStore,
};

const STORE: &str = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/s1";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

fn asked(id: &str) -> NewQuery {
    NewQuery {
        id: id.to_owned(),
        account: "a".to_owned(),
        region: "us-east-1".to_owned(),
        statement: "SELECT 1".to_owned(),
        parameters: vec!["p".to_owned()],
        stores: vec![QueryStore { name: "s1".to_owned(), arn: STORE.to_owned() }],
        alias: None,
        prompt: Some("how many".to_owned()),
        delivery_uri: None,
        refresh: None,
        created_ms: 1000,
    }
}

fn finished(result: Option<Vec<u8>>) -> QueryEnd {
    let statistics = QueryStatistics {
        events_matched: 1,
        events_scanned: 2,
        bytes_scanned: 3,
        execution_ms: 4,
        rows: 5,
    };
    QueryEnd { status: QueryStatus::Finished, error: None, statistics, ended_ms: 2000, result }
}

async fn query(catalog: &Catalog, id: &str) -> Option<Query> {
    catalog.query("a", "us-east-1", id).await.unwrap()
}

/// What is remembered is what lies in the database.
async fn check_remembered(folder: &TempDir, catalog: &Catalog, id: &str) {
    assert!(catalog.recent.query(id).is_some(), "{id} is remembered");
    let other = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    assert!(other.recent.query(id).is_none(), "{id} is read");
    assert_eq!(query(catalog, id).await, query(&other, id).await, "{id}");
    let results = (catalog.query_result(id).await.unwrap(), other.query_result(id).await.unwrap());
    assert_eq!(results.0, results.1, "{id}");
}

#[tokio::test]
async fn what_is_remembered_of_a_query_is_what_lies_in_the_database() {
    let (folder, catalog) = open().await;
    catalog.add_query(&asked("queued"), 10).await.unwrap();
    check_remembered(&folder, &catalog, "queued").await;
    catalog.begin_next_query("").await.unwrap().unwrap();
    check_remembered(&folder, &catalog, "queued").await;
    for (id, result) in [("small", Some(b"rows".to_vec())), ("large", None)] {
        catalog.add_running_query(&asked(id), 10).await.unwrap();
        check_remembered(&folder, &catalog, id).await;
        assert!(catalog.end_query(id, &finished(result)).await.unwrap());
        check_remembered(&folder, &catalog, id).await;
    }
    let failed =
        QueryEnd { status: QueryStatus::Failed, error: Some("why".to_owned()), ..finished(None) };
    assert!(catalog.end_query("queued", &failed).await.unwrap());
    check_remembered(&folder, &catalog, "queued").await;
}

#[tokio::test]
async fn a_remembered_query_is_found_by_its_account_and_region_only() {
    let (_folder, catalog) = open().await;
    catalog.add_running_query(&asked("q"), 10).await.unwrap();
    catalog.end_query("q", &finished(None)).await.unwrap();
    assert!(catalog.recent.query("q").is_some());
    assert!(catalog.query("a", "us-east-1", "q").await.unwrap().is_some());
    assert!(catalog.query("b", "us-east-1", "q").await.unwrap().is_none());
    assert!(catalog.query("a", "eu-west-1", "q").await.unwrap().is_none());
}

#[tokio::test]
async fn whatever_changes_a_query_is_seen_at_once() {
    let (_folder, catalog) = open().await;
    let status = async |id: &str| query(&catalog, id).await.map(|query| query.status);

    catalog.add_running_query(&asked("cancelled"), 10).await.unwrap();
    catalog.cancel_query("cancelled", 5).await.unwrap();
    assert_eq!(status("cancelled").await, Some(QueryStatus::Cancelled));

    catalog.add_running_query(&asked("put back"), 10).await.unwrap();
    catalog.put_back_query("put back").await.unwrap();
    assert_eq!(status("put back").await, Some(QueryStatus::Queued));
    catalog.begin_next_query("").await.unwrap().unwrap();
    catalog.put_back_queries().await.unwrap();
    assert_eq!(status("put back").await, Some(QueryStatus::Queued));
    catalog.begin_next_query("").await.unwrap().unwrap();
    catalog.requeue_queries(1, 9).await.unwrap();
    assert_eq!(status("put back").await, Some(QueryStatus::Failed));

    let delivered = NewQuery { delivery_uri: Some("s3://b".to_owned()), ..asked("delivered") };
    catalog.add_running_query(&delivered, 10).await.unwrap();
    catalog.end_query("delivered", &finished(None)).await.unwrap();
    let delivery = async || query(&catalog, "delivered").await.unwrap().delivery_status;
    assert_eq!(delivery().await.as_deref(), Some("PENDING"));
    catalog.query_delivery_ended("delivered", "SUCCESS").await.unwrap();
    assert_eq!(delivery().await.as_deref(), Some("SUCCESS"));

    catalog.add_running_query(&asked("removed"), 10).await.unwrap();
    catalog.end_query("removed", &finished(Some(b"rows".to_vec()))).await.unwrap();
    catalog.remove_query("removed").await.unwrap();
    assert_eq!(status("removed").await, None);
    assert_eq!(catalog.query_result("removed").await.unwrap(), None);
}

#[test]
fn the_oldest_queries_go_when_their_texts_take_too_much() {
    let mut inner = Inner::default();
    let result = vec![0; QUERIES_BYTES_MAX / 4];
    for number in 1..=10 {
        let query = Query {
            number,
            asked: asked(&number.to_string()),
            status: QueryStatus::Finished,
            attempts: 1,
            ended_ms: Some(1),
            error: None,
            statistics: QueryStatistics::default(),
            delivery_status: None,
        };
        inner.note_query(query.clone(), None);
        inner.note_query(query, Some(result.clone()));
        assert!(inner.queries_bytes <= QUERIES_BYTES_MAX);
        assert!(inner.find(&number.to_string()).is_some());
    }
    let left: Vec<i64> = inner.queries.keys().copied().collect();
    assert_eq!(left, [8, 9, 10]);
    assert_eq!(inner.numbers.len(), 3);
    for number in left {
        inner.forget_query(number);
    }
    assert_eq!((inner.queries_bytes, inner.numbers.len()), (0, 0));
}

fn store() -> EventDataStore {
    let id = Uuid::from_u128(1);
    EventDataStore {
        arn: format!("arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/{id}"),
        id,
        account: "111122223333".to_owned(),
        name: "before".to_owned(),
        home_region: "us-east-1".to_owned(),
        created_ms: 1_000,
        updated_ms: 1_000,
        state: EventDataStoreState {
            selectors: EventSelectors::default_for_event_data_store(),
            class: StoreClass::Events,
            multi_region: true,
            retention_days: 366,
            billing_mode: BillingMode::ExtendableRetention,
            termination_protection: false,
            ingestion: Ingestion::Enabled { since_ms: 1_000 },
            deletion: Deletion::None,
            configuration: EventConfiguration::default(),
            insights: None,
            federation: Federation::Disabled,
            organization: None,
        },
    }
}

#[tokio::test]
async fn whatever_changes_a_store_is_seen_at_once() {
    let (_folder, catalog) = open().await;
    let id = store().id;
    let found = async || catalog.event_data_store(id).await.unwrap();
    let change = async |change: fn(&mut EventDataStore)| {
        let arn = store().arn;
        let changed = catalog.change_event_data_store(&arn, 1, 2_000, |store, _| {
            change(store);
            Ok::<_, Infallible>(())
        });
        let Ok(_) = changed.await.unwrap();
    };
    assert_eq!(found().await, None);
    let Ok(()) = catalog
        .create_event_data_store(&store(), &[], 1, |_| Ok::<_, Infallible>(()))
        .await
        .unwrap();
    assert_eq!(found().await, Some(store()));
    assert_eq!(catalog.recent.store(id), Some(store()));
    change(|store| store.name = "after".to_owned()).await;
    assert_eq!(found().await.unwrap().name, "after");
    change(|store| store.state.retention_days = 7).await;
    assert_eq!(found().await.unwrap().state.retention_days, 7);
    change(|store| store.state.deletion = Deletion::Removing).await;
    assert_eq!(found().await, None);
    catalog.remove_event_data_store(&store().arn).await.unwrap();
    assert_eq!(found().await, None);
}

#[tokio::test]
async fn a_refused_change_of_a_store_is_not_seen() {
    let (_folder, catalog) = open().await;
    let Ok(()) = catalog
        .create_event_data_store(&store(), &[], 1, |_| Ok::<_, Infallible>(()))
        .await
        .unwrap();
    let arn = store().arn;
    let changed = catalog.change_event_data_store(&arn, 1, 2_000, |store, _| {
        store.name = "after".to_owned();
        Err("no")
    });
    assert_eq!(changed.await.unwrap(), Err("no"));
    assert_eq!(catalog.event_data_store(store().id).await.unwrap(), Some(store()));
}

#[tokio::test]
async fn whatever_changes_a_policy_is_seen_at_once() {
    let (_folder, catalog) = open().await;
    let found = async || catalog.resource_policy(STORE).await.unwrap();
    assert_eq!(found().await, None);
    assert_eq!(catalog.recent.policy(STORE), Some(None));
    for policy in ["one", "two"] {
        catalog.put_resource_policy(STORE, policy).await.unwrap();
        assert_eq!(found().await.as_deref(), Some(policy));
    }
    assert!(catalog.remove_resource_policy(STORE).await.unwrap());
    assert_eq!(found().await, None);
}
