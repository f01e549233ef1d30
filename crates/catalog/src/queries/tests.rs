#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::path::Path;

use futures::future::join_all;
use sqlx::SqlitePool;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use super::*;
use crate::QueryAlias;

const STORE: &str = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/s1";
const OTHER_STORE: &str = "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/s2";

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

fn query(id: &str, account: &str) -> NewQuery {
    let store = |name: &str, arn: &str| QueryStore { name: name.to_owned(), arn: arn.to_owned() };
    NewQuery {
        id: id.to_owned(),
        account: account.to_owned(),
        region: "us-east-1".to_owned(),
        statement: "SELECT 1".to_owned(),
        parameters: vec!["a".to_owned()],
        stores: vec![store("s1", STORE), store("s2", OTHER_STORE)],
        alias: None,
        prompt: None,
        delivery_uri: Some("s3://b".to_owned()),
        refresh: None,
        created_ms: 1000,
    }
}

fn end(status: QueryStatus) -> QueryEnd {
    let statistics = QueryStatistics {
        events_matched: 1,
        events_scanned: 2,
        bytes_scanned: 3,
        execution_ms: 4,
        rows: 5,
    };
    QueryEnd { status, error: None, statistics, ended_ms: 2000, result: None }
}

async fn begun(catalog: &Catalog, after: &str) -> Option<(String, String)> {
    let query = catalog.begin_next_query(after).await.unwrap()?;
    Some((query.asked.account, query.asked.id))
}

async fn status(catalog: &Catalog, id: &str) -> (QueryStatus, Option<String>) {
    let query = catalog.query("a", "us-east-1", id).await.unwrap().unwrap();
    (query.status, query.delivery_status)
}

#[tokio::test]
async fn a_query_comes_back_as_it_was_asked_and_only_to_its_account_and_region() {
    let (_folder, catalog) = open().await;
    let asked = query("q", "a");
    assert!(catalog.add_query(&asked, 10).await.unwrap());
    let found = catalog.query("a", "us-east-1", "q").await.unwrap().unwrap();
    assert_eq!((found.asked, found.status, found.attempts), (asked, QueryStatus::Queued, 0));
    assert!(catalog.query("b", "us-east-1", "q").await.unwrap().is_none());
    assert!(catalog.query("a", "eu-west-1", "q").await.unwrap().is_none());
}

#[tokio::test]
async fn only_so_many_are_unfinished_in_an_account_and_region() {
    let (_folder, catalog) = open().await;
    assert!(catalog.add_query(&query("1", "a"), 2).await.unwrap());
    assert!(catalog.add_query(&query("2", "a"), 2).await.unwrap());
    assert!(!catalog.add_query(&query("3", "a"), 2).await.unwrap());
    assert!(catalog.add_query(&query("4", "b"), 2).await.unwrap());
    let abroad = NewQuery { region: "eu-west-1".to_owned(), ..query("5", "a") };
    assert!(catalog.add_query(&abroad, 2).await.unwrap());
    catalog.cancel_query("1", 1).await.unwrap();
    assert!(catalog.add_query(&query("3", "a"), 2).await.unwrap());
}

#[tokio::test]
async fn accounts_take_turns() {
    let (_folder, catalog) = open().await;
    for (id, account) in [("1", "b"), ("2", "b"), ("3", "b"), ("4", "a"), ("5", "c")] {
        catalog.add_query(&query(id, account), 10).await.unwrap();
    }
    let mut after = String::new();
    let mut order = Vec::new();
    while let Some((account, id)) = begun(&catalog, &after).await {
        order.push(id);
        after = account;
    }
    assert_eq!(order, ["4", "1", "5", "2", "3"]);
}

#[tokio::test]
async fn a_query_ends_once() {
    let (_folder, catalog) = open().await;
    catalog.add_query(&query("q", "a"), 10).await.unwrap();
    assert!(!catalog.end_query("q", &end(QueryStatus::Finished)).await.unwrap(), "not begun");
    begun(&catalog, "").await.unwrap();
    assert!(catalog.cancel_query("q", 5).await.unwrap());
    assert!(!catalog.end_query("q", &end(QueryStatus::Finished)).await.unwrap());
    assert!(!catalog.cancel_query("q", 6).await.unwrap());
    let found = (QueryStatus::Cancelled, Some("CANCELLED".to_owned()));
    assert_eq!(status(&catalog, "q").await, found);
}

#[tokio::test]
async fn what_finished_waits_for_its_delivery() {
    let (_folder, catalog) = open().await;
    let undelivered = NewQuery { delivery_uri: None, ..query("plain", "a") };
    catalog.add_query(&undelivered, 10).await.unwrap();
    for id in ["good", "late"] {
        catalog.add_query(&query(id, "a"), 10).await.unwrap();
    }
    while begun(&catalog, "").await.is_some() {}
    for (id, ended) in [
        ("plain", QueryStatus::Finished),
        ("good", QueryStatus::Finished),
        ("late", QueryStatus::TimedOut),
    ] {
        assert!(catalog.end_query(id, &end(ended)).await.unwrap());
    }
    let waiting = catalog.queries_to_deliver(10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0].asked, query("good", "a"));
    assert_eq!(waiting[0].statistics, end(QueryStatus::Finished).statistics);
    catalog.query_delivery_ended("good", "SUCCESS").await.unwrap();
    assert_eq!(catalog.queries_to_deliver(10).await.unwrap(), Vec::new());
    assert_eq!(status(&catalog, "good").await.1.as_deref(), Some("SUCCESS"));
    assert_eq!(status(&catalog, "late").await.1.as_deref(), Some("CANCELLED"));
    assert_eq!(status(&catalog, "plain").await.1, None);
}

#[tokio::test]
async fn what_stops_the_server_twice_fails() {
    let (_folder, catalog) = open().await;
    catalog.add_query(&query("q", "a"), 10).await.unwrap();
    begun(&catalog, "").await.unwrap();
    // A clean stop does not count.
    catalog.put_back_queries().await.unwrap();
    begun(&catalog, "").await.unwrap();
    catalog.requeue_queries(2, 9).await.unwrap();
    assert_eq!(status(&catalog, "q").await.0, QueryStatus::Queued);
    begun(&catalog, "").await.unwrap();
    catalog.requeue_queries(2, 9).await.unwrap();
    assert_eq!(status(&catalog, "q").await.0, QueryStatus::Failed);
    assert_eq!(begun(&catalog, "").await, None);
}

#[tokio::test]
async fn lists_go_by_store_time_and_status_newest_first() {
    let (_folder, catalog) = open().await;
    for (n, id) in (1..).zip(["1", "2", "3"]) {
        let asked = NewQuery { created_ms: n * 1000, ..query(id, "a") };
        catalog.add_query(&asked, 10).await.unwrap();
    }
    catalog.cancel_query("2", 1).await.unwrap();
    let ids = async |filter: QueryFilter, count| -> Vec<String> {
        let filter = QueryFilter { store_arn: STORE.to_owned(), ..filter };
        let found = catalog.queries_of("a", "us-east-1", &filter, count).await.unwrap();
        found.into_iter().map(|query| query.asked.id).collect()
    };
    assert_eq!(ids(QueryFilter::default(), 10).await, ["3", "2", "1"]);
    let all = QueryFilter { store_arn: STORE.to_owned(), ..QueryFilter::default() };
    let newest = catalog.queries_of("a", "us-east-1", &all, 1).await.unwrap();
    let before = Some(newest[0].number);
    assert_eq!(ids(QueryFilter { before, ..QueryFilter::default() }, 1).await, ["2"]);
    let span = QueryFilter { from_ms: Some(2000), to_ms: Some(2500), ..QueryFilter::default() };
    assert_eq!(ids(span, 10).await, ["2"]);
    let queued = QueryFilter { status: Some(QueryStatus::Queued), ..QueryFilter::default() };
    assert_eq!(ids(queued, 10).await, ["3", "1"]);
    let elsewhere = QueryFilter { store_arn: "x".to_owned(), ..QueryFilter::default() };
    assert_eq!(catalog.queries_of("a", "us-east-1", &elsewhere, 9).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn old_queries_are_forgotten_once_they_have_ended() {
    let (_folder, catalog) = open().await;
    for id in ["ended", "queued"] {
        catalog.add_query(&query(id, "a"), 10).await.unwrap();
    }
    catalog.cancel_query("ended", 1).await.unwrap();
    assert_eq!(catalog.old_queries(1000, 9).await.unwrap(), Vec::<String>::new());
    assert_eq!(catalog.old_queries(1001, 9).await.unwrap(), ["ended"]);
    for id in ["ended", "queued"] {
        catalog.remove_query(id).await.unwrap();
    }
    assert!(!catalog.is_query("ended").await.unwrap());
    assert!(catalog.is_query("queued").await.unwrap());
}

#[tokio::test]
async fn an_alias_is_its_account_s_and_is_forgotten() {
    let (_folder, catalog) = open().await;
    let alias = QueryAlias {
        alias: "AWSCloudTrail-1".to_owned(),
        account: "a".to_owned(),
        region: "us-east-1".to_owned(),
        store_arn: STORE.to_owned(),
        prompt: "top users".to_owned(),
        statement: "SELECT 1".to_owned(),
        created_ms: 10,
    };
    catalog.add_query_alias(&alias).await.unwrap();
    let find = async |account: &str| {
        catalog.query_alias(account, "us-east-1", "AWSCloudTrail-1").await.unwrap()
    };
    assert_eq!(find("a").await, Some(alias));
    assert_eq!(find("b").await, None);
    for (id, created_ms) in [("old", 1), ("new", 2)] {
        let alias = Some("AWSCloudTrail-1".to_owned());
        let asked = NewQuery { alias, created_ms, ..query(id, "a") };
        catalog.add_query(&asked, 10).await.unwrap();
    }
    let newest = catalog.query_by_alias("a", "us-east-1", "AWSCloudTrail-1", None).await.unwrap();
    assert_eq!(newest.unwrap().asked.id, "new");
    catalog.remove_query_aliases(11).await.unwrap();
    assert_eq!(find("a").await, None);
}

#[tokio::test]
async fn a_query_that_began_at_once_is_running() {
    let (_folder, catalog) = open().await;
    assert!(catalog.add_running_query(&query("q", "a"), 1).await.unwrap());
    assert!(!catalog.add_running_query(&query("r", "a"), 1).await.unwrap());
    assert_eq!(begun(&catalog, "").await, None);
    let found = catalog.query("a", "us-east-1", "q").await.unwrap().unwrap();
    assert_eq!((found.status, found.attempts), (QueryStatus::Running, 1));
    catalog.put_back_query("q").await.unwrap();
    let found = catalog.query("a", "us-east-1", "q").await.unwrap().unwrap();
    assert_eq!((found.status, found.attempts), (QueryStatus::Queued, 0));
}

#[tokio::test]
async fn a_small_result_comes_and_goes_with_its_query() {
    let (_folder, catalog) = open().await;
    for id in ["q", "cancelled"] {
        catalog.add_running_query(&query(id, "a"), 10).await.unwrap();
    }
    catalog.cancel_query("cancelled", 5).await.unwrap();
    let end = QueryEnd { result: Some(b"rows".to_vec()), ..end(QueryStatus::Finished) };
    assert!(catalog.end_query("q", &end).await.unwrap());
    assert!(!catalog.end_query("cancelled", &end).await.unwrap());
    assert_eq!(catalog.query_result("q").await.unwrap().as_deref(), Some(b"rows".as_slice()));
    assert_eq!(catalog.query_result("cancelled").await.unwrap(), None);
    catalog.remove_query("q").await.unwrap();
    assert_eq!(catalog.query_result("q").await.unwrap(), None);
}

#[tokio::test]
async fn of_queries_that_are_added_at_once_no_more_than_allowed_come_to_be() {
    let (_folder, catalog) = open().await;
    let asked: Vec<NewQuery> = (0..20).map(|n| query(&n.to_string(), "a")).collect();
    let added = join_all(asked.iter().map(|asked| catalog.add_running_query(asked, 5))).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 5);
}

#[tokio::test]
async fn of_several_that_end_a_query_one_does() {
    let (_folder, catalog) = open().await;
    catalog.add_running_query(&query("q", "a"), 10).await.unwrap();
    let results = ["one", "two", "three"].map(|text| Some(text.as_bytes().to_vec()));
    let ends = results.map(|result| QueryEnd { result, ..end(QueryStatus::Finished) });
    let ended = join_all(ends.iter().map(|end| catalog.end_query("q", end))).await;
    let ended: Vec<bool> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(ended, [true, false, false]);
    assert_eq!(catalog.query_result("q").await.unwrap().as_deref(), Some(b"one".as_slice()));
}

/// A catalog as version `newest` of its layout left it.
async fn of_version(path: &Path, newest: i64) -> SqlitePool {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let all = sqlx::migrate!("./migrations");
    let until = all.iter().filter(|one| one.version <= newest).cloned().collect();
    Migrator::with_migrations(until).run(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn queries_of_an_older_layout_keep_their_stores_and_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let pool = of_version(&path, 10).await;
    for statement in [
        "INSERT INTO queries (id, account, region, statement, parameters, status, attempts, created_ms, ended_ms, delivery_uri)
         VALUES ('q', 'a', 'us-east-1', 'SELECT 1', '[\"a\"]', 'FINISHED', 1, 1000, 2000, 's3://b'),
                ('r', 'a', 'us-east-1', 'SELECT 1', '[\"a\"]', 'QUEUED', 0, 1000, NULL, 's3://b')",
        "INSERT INTO query_stores (query, store_arn, name)
         SELECT number, 'arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/' || name, name
         FROM queries, (SELECT 's2' AS name UNION SELECT 's1')",
        "INSERT INTO query_results (query, bytes) SELECT number, x'00ff' FROM queries WHERE id = 'q'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let catalog = Catalog::open(&path).await.unwrap();
    for (id, result, expected) in
        [("q", Some(vec![0, 255]), QueryStatus::Finished), ("r", None, QueryStatus::Queued)]
    {
        let found = catalog.query("a", "us-east-1", id).await.unwrap().unwrap();
        assert_eq!((found.asked, found.status), (query(id, "a"), expected));
        assert_eq!(catalog.query_result(id).await.unwrap(), result);
    }
    let filter = QueryFilter { store_arn: OTHER_STORE.to_owned(), ..QueryFilter::default() };
    let listed = catalog.queries_of("a", "us-east-1", &filter, 10).await.unwrap();
    assert_eq!(listed.len(), 2);
    catalog.remove_query("q").await.unwrap();
    assert_eq!(catalog.queries_of("a", "us-east-1", &filter, 10).await.unwrap().len(), 1);
}
