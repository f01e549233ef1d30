#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use tempfile::TempDir;

use super::*;
use crate::{QueryEnd, QueryStatistics};

async fn open() -> (TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.sqlite")).await.unwrap();
    (folder, catalog)
}

fn arn(account: &str, name: &str) -> String {
    format!("arn:aws:cloudtrail:us-east-1:{account}:dashboard/{name}")
}

fn dashboard(account: &str, name: &str) -> Dashboard {
    Dashboard {
        arn: arn(account, name),
        account: account.to_owned(),
        region: "us-east-1".to_owned(),
        name: name.to_owned(),
        created_ms: 10,
        updated_ms: 10,
        next_refresh_ms: Some(1000),
        state: DashboardState {
            widgets: vec![Widget {
                alias: "Widget-1".to_owned(),
                statement: "SELECT 1".to_owned(),
                parameters: vec!["$StartTime$".to_owned()],
                view: BTreeMap::from([("Title".to_owned(), "One".to_owned())]),
            }],
            schedule: Some(RefreshSchedule {
                every: Some(Every::Hours(6)),
                is_enabled: true,
                time_of_day: Some("02:30".to_owned()),
            }),
            ..DashboardState::default()
        },
    }
}

async fn made(catalog: &Catalog, account: &str, name: &str) -> Dashboard {
    let dashboard = dashboard(account, name);
    let admit = |_: &[Dashboard]| Ok::<_, ()>(());
    catalog.create_dashboard(&dashboard, &[], admit).await.unwrap().unwrap();
    dashboard
}

fn query(refresh: Option<&str>, id: &str) -> NewQuery {
    NewQuery {
        id: id.to_owned(),
        account: "a".to_owned(),
        region: "us-east-1".to_owned(),
        statement: "SELECT 1".to_owned(),
        parameters: Vec::new(),
        stores: Vec::new(),
        alias: Some("Widget-1".to_owned()),
        prompt: None,
        delivery_uri: None,
        refresh: refresh.map(str::to_owned),
        created_ms: 1000,
    }
}

fn refresh(id: &str, queries: &[&str], turn: Option<Turn>) -> NewRefresh {
    NewRefresh {
        dashboard_arn: arn("a", "one"),
        account: "a".to_owned(),
        region: "us-east-1".to_owned(),
        refresh: Refresh { id: id.to_owned(), started_ms: 1000, failure: None },
        queries: queries.iter().map(|query_id| query(Some(id), query_id)).collect(),
        turn,
    }
}

async fn end_all(catalog: &Catalog, status: QueryStatus, error: Option<&str>) {
    while let Some(begun) = catalog.begin_next_query("").await.unwrap() {
        let end = QueryEnd {
            status,
            error: error.map(str::to_owned),
            statistics: QueryStatistics::default(),
            ended_ms: 2000,
            result: None,
        };
        assert!(catalog.end_query(&begun.asked.id, &end).await.unwrap());
    }
}

#[tokio::test]
async fn a_dashboard_comes_back_as_it_was_made_and_only_to_its_tenant() {
    let (_folder, catalog) = open().await;
    let one = made(&catalog, "a", "one").await;
    let find = async |account: &str, region: &str| {
        catalog.dashboard(account, region, "one").await.unwrap()
    };
    assert_eq!(find("a", "us-east-1").await, Some(one.clone()));
    assert_eq!(find("b", "us-east-1").await, None);
    assert_eq!(find("a", "eu-west-1").await, None);
    made(&catalog, "b", "one").await;
    assert_eq!(catalog.dashboards_of("a", "us-east-1").await.unwrap(), [one]);
    let none = catalog.remove_dashboard("c", "us-east-1", "one", |_| Ok::<_, ()>(())).await;
    assert_eq!(none.unwrap(), None);
    let none = catalog.change_dashboard("c", "us-east-1", "one", 5, |_| Ok::<_, ()>(())).await;
    assert_eq!(none.unwrap(), None);
}

#[tokio::test]
async fn a_refused_change_and_a_refused_removal_change_nothing() {
    let (_folder, catalog) = open().await;
    let one = made(&catalog, "a", "one").await;
    let refused = catalog.change_dashboard("a", "us-east-1", "one", 20, |dashboard| {
        dashboard.state.widgets.clear();
        Err("no")
    });
    assert_eq!(refused.await.unwrap(), Some(Err("no")));
    let refused = catalog.remove_dashboard("a", "us-east-1", "one", |_| Err("no")).await;
    assert_eq!(refused.unwrap(), Some(Err("no")));
    assert_eq!(catalog.dashboard("a", "us-east-1", "one").await.unwrap(), Some(one.clone()));

    let changed = catalog.change_dashboard("a", "us-east-1", "one", 20, |dashboard| {
        dashboard.state.termination_protection = true;
        Ok::<_, ()>(())
    });
    let changed = changed.await.unwrap().unwrap().unwrap();
    assert_eq!((changed.created_ms, changed.updated_ms), (10, 20));
    assert_eq!(catalog.dashboard("a", "us-east-1", "one").await.unwrap(), Some(changed));
}

#[tokio::test]
async fn a_dashboard_has_one_refresh_at_a_time_beside_the_callers_own_queries() {
    let (_folder, catalog) = open().await;
    made(&catalog, "a", "one").await;
    let start = async |new: NewRefresh| catalog.start_refresh(&new).await.unwrap();
    assert_eq!(start(refresh("1111111111", &["q1", "q2"], None)).await, Started::Yes);
    assert_eq!(start(refresh("2222222222", &["q3"], None)).await, Started::OtherIsRunning);
    assert_eq!(catalog.query("a", "us-east-1", "q3").await.unwrap(), None);
    // Their own come first, and the refresh took none of their places.
    assert!(catalog.add_query(&query(None, "own"), 1).await.unwrap());
    assert!(!catalog.add_query(&query(None, "second"), 1).await.unwrap());
    let first = catalog.begin_next_query("").await.unwrap().unwrap();
    assert_eq!(first.asked.id, "own");
    end_all(&catalog, QueryStatus::Finished, None).await;
    assert_eq!(start(refresh("2222222222", &["q3"], None)).await, Started::Yes);
    let of = async |refresh: Option<&str>| {
        let found = catalog.query_by_alias("a", "us-east-1", "Widget-1", refresh).await.unwrap();
        found.map(|query| query.asked.id)
    };
    assert_eq!(of(Some("1111111111")).await.as_deref(), Some("q2"));
    assert_eq!(of(Some("2222222222")).await.as_deref(), Some("q3"));
    assert_eq!(of(Some("3333333333")).await, None);
}

#[tokio::test]
async fn the_newest_refresh_says_what_failed() {
    let (_folder, catalog) = open().await;
    made(&catalog, "a", "one").await;
    let newest = async |account: &str| {
        let found = catalog.newest_refresh(account, "us-east-1", &arn("a", "one")).await.unwrap();
        found.map(|refresh| (refresh.id, refresh.failure))
    };
    assert_eq!(newest("a").await, None);
    catalog.start_refresh(&refresh("1111111111", &["q1"], None)).await.unwrap();
    assert_eq!(newest("a").await, Some(("1111111111".to_owned(), None)));
    assert_eq!(newest("b").await, None);
    end_all(&catalog, QueryStatus::Failed, Some("Division by zero")).await;
    let failure = Some("Widget-1: Division by zero".to_owned());
    assert_eq!(newest("a").await, Some(("1111111111".to_owned(), failure)));
    let mut other = refresh("2222222222", &["q2"], None);
    other.refresh.failure = Some("a store is gone".to_owned());
    catalog.start_refresh(&other).await.unwrap();
    let failure = Some("a store is gone".to_owned());
    assert_eq!(newest("a").await, Some(("2222222222".to_owned(), failure)));
    let removed = catalog.remove_dashboard("a", "us-east-1", "one", |_| Ok::<_, ()>(())).await;
    assert_eq!(removed.unwrap(), Some(Ok(())));
    assert_eq!(newest("a").await, None);
}

#[tokio::test]
async fn a_turn_is_taken_once_with_the_refresh_or_without() {
    let (_folder, catalog) = open().await;
    made(&catalog, "a", "one").await;
    let due = async |now_ms: i64| {
        let due = catalog.due_dashboards(now_ms, now_ms + 5000, 10).await.unwrap();
        due.into_iter().map(|dashboard| dashboard.next_refresh_ms).collect::<Vec<_>>()
    };
    assert_eq!(due(999).await, []);
    assert_eq!(due(1000).await, [Some(1000)]);
    let turn = Turn { due_ms: 1000, next_ms: Some(2000) };
    let start = async |new: NewRefresh| catalog.start_refresh(&new).await.unwrap();
    assert_eq!(start(refresh("1111111111", &["q1"], Some(turn))).await, Started::Yes);
    assert_eq!(start(refresh("2222222222", &["q2"], Some(turn))).await, Started::NotDue);
    assert_eq!(due(1999).await, []);
    // Left out, because the first one still runs; its turn is over all the same.
    let turn = Turn { due_ms: 2000, next_ms: Some(3000) };
    assert_eq!(start(refresh("2222222222", &["q2"], Some(turn))).await, Started::OtherIsRunning);
    assert_eq!(due(2999).await, []);
    assert_eq!(due(3000).await, [Some(3000)]);
    // A clock that went back by a day finds it too.
    assert_eq!(due(-100_000).await, [Some(3000)]);
    let found = catalog.dashboard("a", "us-east-1", "one").await.unwrap().unwrap();
    let turn = Turn { due_ms: 3000, next_ms: None };
    catalog.skip_refresh(&found, turn).await.unwrap();
    assert_eq!(due(1_000_000).await, []);
}
