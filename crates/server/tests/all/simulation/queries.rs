//! Queries under faults: each ends once, its rows are whole or not there, and what is delivered is
//! always the same bytes.

use std::path::PathBuf;
use std::time::Duration;

use catalog::{NewQuery, Query, QueryEnd, QueryStatistics, QueryStatus, QueryStore};
use durable::Fault;
use server::lake::{Ask, Columns, Prepared, QueryLimits, Readable};
use server::queries::Ending;
use server::settings::QuerySettings;

use super::imports::{delete_store, make_store, store_arn, table};
use super::store::Failure;
use super::world::{BUCKET, Crash, Ended, HOME, Plan, TENANT, World};

const ID: &str = "4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10";

async fn asked(plan: Plan, columns: &str, delivery_uri: Option<&str>) -> World {
    let world = World::new(plan).await;
    make_store(&world).await;
    let query = new_query(&world, columns, delivery_uri);
    assert!(world.node().catalog.add_query(&query, 10).await.unwrap());
    world
}

fn new_query(world: &World, columns: &str, delivery_uri: Option<&str>) -> NewQuery {
    let name = table().as_str().to_owned();
    NewQuery {
        id: ID.to_owned(),
        account: TENANT.to_owned(),
        region: HOME.to_owned(),
        statement: format!("SELECT {columns} FROM {name}"),
        parameters: Vec::new(),
        stores: vec![QueryStore { name, arn: store_arn() }],
        alias: None,
        prompt: None,
        delivery_uri: delivery_uri.map(str::to_owned),
        refresh: None,
        created_ms: world.now().as_millisecond(),
    }
}

async fn the_query(world: &World) -> Query {
    world.node().catalog.query(TENANT, HOME, ID).await.unwrap().unwrap()
}

/// Queries wait after a start until what was accepted before is visible again.
async fn turn_queries(world: &mut World) -> Ended {
    world.turn("index_events").await;
    world.turn("run_queries").await
}

/// Turns until the query has ended. Its task runs beside them.
async fn run(world: &mut World) -> Query {
    for _ in 0..20_000 {
        match turn_queries(world).await {
            Ended::Done(_) | Ended::Failed(_) => {}
            Ended::Stopped => panic!("queries do not call the store"),
        }
        let query = the_query(world).await;
        if query.status.is_final() {
            return query;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the query finds no end");
}

fn rows_file(world: &World) -> PathBuf {
    world.data().join("queries").join(format!("{ID}.rows"))
}

/// Is the result there, in the catalog or as a file?
async fn is_whole(world: &World) -> bool {
    let kept = world.node().catalog.query_result(ID).await.unwrap();
    let bytes = kept.or_else(|| std::fs::read(rows_file(world)).ok());
    bytes.is_some_and(|bytes| bytes.ends_with(b"CAIRNEND"))
}

#[tokio::test]
async fn a_query_that_was_running_runs_again_after_a_crash() {
    let mut world = asked(Plan::default(), "eventName", None).await;
    turn_queries(&mut world).await;
    assert_eq!(the_query(&world).await.status, QueryStatus::Running);
    world.crash_and_open(Crash::PowerLoss(0)).await;
    let query = run(&mut world).await;
    assert_eq!((query.status, query.attempts), (QueryStatus::Finished, 2));
    assert!(is_whole(&world).await);
}

async fn prepared(world: &World, query: &NewQuery) -> Box<dyn Prepared> {
    let readable = Readable { table: table(), columns: Columns::Events, account: None };
    let limits = QueryLimits {
        memory_bytes_max: 1 << 20,
        spill_folder: world.data().join("spill"),
        spill_bytes_max: 1 << 20,
        threads: 1,
    };
    let ask = Ask {
        statement: query.statement.clone(),
        parameters: Vec::new(),
        tables: [(table().as_str().to_owned(), readable)].into(),
        limits,
    };
    world.node().lake.prepare(ask).await.unwrap()
}

#[tokio::test]
async fn a_query_that_began_at_once_ends_without_its_worker_and_gives_its_place_back() {
    for (columns, expected) in
        [("eventName", QueryStatus::Finished), ("panics", QueryStatus::Failed)]
    {
        let mut world = World::new(Plan::default()).await;
        make_store(&world).await;
        turn_queries(&mut world).await;
        let query = new_query(&world, columns, None);
        let prepared = prepared(&world, &query).await;
        let node = world.node();
        let mut ended = node.queries.ended();
        let entering = server::queries::begin_at_once(node, &query, prepared).ok().unwrap();
        // It may have come to its end already, and waits.
        tokio::task::yield_now().await;
        assert!(node.catalog.add_running_query(&query, 1).await.unwrap());
        assert!(!ended.has_changed().unwrap());
        entering.done();
        ended.changed().await.unwrap();
        assert_eq!(the_query(&world).await.status, expected);
        assert_eq!(node.queries.running_count(), 0);
    }
}

#[tokio::test]
async fn an_end_that_the_catalog_did_not_take_is_entered_later() {
    let mut world = World::new(Plan::default()).await;
    make_store(&world).await;
    turn_queries(&mut world).await;
    let node = world.node().clone();
    assert!(
        node.catalog.add_running_query(&new_query(&world, "eventName", None), 1).await.unwrap()
    );
    node.queries.begin(ID);
    let end = QueryEnd {
        status: QueryStatus::Finished,
        error: None,
        statistics: QueryStatistics::default(),
        ended_ms: 5,
        result: None,
    };
    node.queries.enter_later(ID.to_owned(), Ending::Ended(end));
    turn_queries(&mut world).await;
    assert_eq!(the_query(&world).await.status, QueryStatus::Finished);
    assert_eq!(node.queries.running_count(), 0);
    assert!(node.queries.unentered().is_none());
}

#[tokio::test]
async fn a_query_whose_call_is_cut_off_is_queued_or_not_there() {
    for is_in_catalog in [true, false] {
        let mut world = World::new(Plan::default()).await;
        make_store(&world).await;
        turn_queries(&mut world).await;
        let query = new_query(&world, "eventName", None);
        let prepared = prepared(&world, &query).await;
        let node = world.node();
        let entering = server::queries::begin_at_once(node, &query, prepared).ok().unwrap();
        if is_in_catalog {
            assert!(node.catalog.add_running_query(&query, 1).await.unwrap());
        }
        drop(entering);
        if is_in_catalog {
            let query = run(&mut world).await;
            assert_eq!((query.status, query.attempts), (QueryStatus::Finished, 1));
            assert!(is_whole(&world).await);
            continue;
        }
        while world.node().queries.is_running(ID) {
            turn_queries(&mut world).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(world.node().catalog.query(TENANT, HOME, ID).await.unwrap().is_none());
        assert!(!is_whole(&world).await);
    }
}

#[tokio::test]
async fn a_query_that_is_running_at_two_crashes_fails() {
    let mut world = asked(Plan::default(), "hang", None).await;
    for _ in 0..2 {
        turn_queries(&mut world).await;
        assert_eq!(the_query(&world).await.status, QueryStatus::Running);
        world.crash_and_open(Crash::Kill).await;
    }
    let query = run(&mut world).await;
    assert_eq!(query.status, QueryStatus::Failed);
    assert!(query.error.unwrap().contains("interrupted"));
}

#[tokio::test]
async fn the_rows_of_a_finished_query_survive_whatever_the_disk_does() {
    let faults = [Fault::Once(5), Fault::Once(28), Fault::DoneButFailed(5)];
    for (fault, columns) in
        faults.into_iter().flat_map(|fault| [(fault, "eventName"), (fault, "many")])
    {
        for nth in 1.. {
            let mut world = asked(Plan::default(), columns, None).await;
            let failures = world.disk.failures();
            world.disk.fail_nth(nth, fault);
            let query = run(&mut world).await;
            let failed = world.disk.failures() > failures;
            world.disk.heal();
            let context = format!("{fault:?} at call {nth}: {:?}", query.error);
            match query.status {
                QueryStatus::Failed => assert!(failed, "{context}"),
                QueryStatus::Finished => {}
                other => panic!("{other}: {context}"),
            }
            for seed in 0..3 {
                world.crash_and_open(Crash::PowerLoss(seed)).await;
                let finished = the_query(&world).await.status == QueryStatus::Finished;
                assert!(!finished || is_whole(&world).await, "{context}, seed {seed}");
            }
            if !failed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_query_that_runs_too_long_times_out_with_the_rows_until_then() {
    let queries =
        QuerySettings { time_max: Duration::from_millis(200), ..QuerySettings::default() };
    let plan = Plan { queries, ..Plan::default() };
    let uri = format!("s3://{BUCKET}/results");
    let mut world = asked(plan.clone(), "endless", Some(&uri)).await;
    let query = run(&mut world).await;
    assert_eq!(query.status, QueryStatus::TimedOut);
    assert!(query.statistics.rows > 0);
    assert!(is_whole(&world).await);
    assert_eq!(query.delivery_status.as_deref(), Some("CANCELLED"), "partial rows stay here");

    // One that does not listen is left behind.
    let mut world = asked(plan, "stuck", None).await;
    assert_eq!(run(&mut world).await.status, QueryStatus::TimedOut);
}

#[tokio::test]
async fn a_result_that_grows_too_large_fails_and_leaves_nothing() {
    let queries = QuerySettings { result_bytes_max: 10_000, ..QuerySettings::default() };
    let mut world = asked(Plan { queries, ..Plan::default() }, "endless", None).await;
    let query = run(&mut world).await;
    let found = (query.status, query.error.as_deref());
    assert_eq!(found, (QueryStatus::Failed, Some("Query response is too large")));
    let left = std::fs::read_dir(world.data().join("queries")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_query_whose_store_is_deleted_before_it_runs_fails() {
    let mut world = asked(Plan::default(), "eventName", None).await;
    delete_store(&world).await;
    let query = run(&mut world).await;
    assert_eq!(query.status, QueryStatus::Failed);
    assert!(query.error.unwrap().ends_with("was deleted after the query was started."));
}

#[tokio::test]
async fn a_cancelled_query_gives_its_place_back_whether_it_listens_or_not() {
    for columns in ["hang", "stuck", "endless"] {
        let queries = QuerySettings { at_once_max: 1, ..QuerySettings::default() };
        let mut world = asked(Plan { queries, ..Plan::default() }, columns, None).await;
        turn_queries(&mut world).await;
        assert!(world.node().catalog.cancel_query(ID, 5).await.unwrap());
        world.node().queries.cancel(ID);
        let mut other = the_query(&world).await.asked;
        other.id = "other".to_owned();
        other.statement = format!("SELECT eventName FROM {}", table().as_str());
        other.stores = vec![QueryStore { name: table().as_str().to_owned(), arn: store_arn() }];
        assert!(world.node().catalog.add_query(&other, 10).await.unwrap());
        let status = async |world: &World| {
            world.node().catalog.query(TENANT, HOME, "other").await.unwrap().unwrap().status
        };
        while status(&world).await != QueryStatus::Finished {
            turn_queries(&mut world).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(the_query(&world).await.status, QueryStatus::Cancelled, "{columns}");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_at_any_call_is_repeated_with_the_same_bytes() {
    let failures = [
        Failure::Internal,
        Failure::Reset,
        Failure::AnswerLost,
        Failure::StopBefore,
        Failure::StopAfter,
    ];
    for failure in failures {
        for nth in 1.. {
            let uri = format!("s3://{BUCKET}/results");
            let mut world = asked(Plan::default(), "eventName", Some(&uri)).await;
            run(&mut world).await;
            world.store.fail_nth(nth, failure);
            let context = format!("{failure:?} at call {nth}");
            for _ in 0..20 {
                if world.turn("deliver_query_results").await == Ended::Stopped {
                    world.crash_and_open(Crash::PowerLoss(0)).await;
                }
                world.pass(61);
            }
            let delivered = the_query(&world).await.delivery_status;
            assert_eq!(delivered.as_deref(), Some("SUCCESS"), "{context}");
            let names: Vec<String> = world
                .store
                .objects(BUCKET)
                .into_keys()
                .map(|key| key.rsplit('/').next().unwrap().to_owned())
                .collect();
            assert_eq!(names, ["result_1.csv.gz", "result_sign.json"], "{context}");
            assert_eq!(world.store.rewritten(), Vec::<String>::new(), "{context}");
            if world.store.failures() == 0 {
                assert!(nth > 2, "{context}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_a_bucket_says_of_a_delivery_is_in_its_status() {
    let uri = format!("s3://{BUCKET}/results");
    let mut world = asked(Plan::default(), "eventName", Some(&uri)).await;
    run(&mut world).await;
    world.store.deny(BUCKET, true);
    world.turn("deliver_query_results").await;
    assert_eq!(the_query(&world).await.delivery_status.as_deref(), Some("ACCESS_DENIED"));

    let mut world = asked(Plan::default(), "eventName", Some("s3://nowhere")).await;
    run(&mut world).await;
    world.turn("deliver_query_results").await;
    assert_eq!(the_query(&world).await.delivery_status.as_deref(), Some("RESOURCE_NOT_FOUND"));

    let mut world = asked(Plan::default(), "eventName", Some(&uri)).await;
    run(&mut world).await;
    world.store.set_down(true);
    for _ in 0..50 {
        world.turn("deliver_query_results").await;
        world.pass(61);
    }
    assert_eq!(the_query(&world).await.delivery_status.as_deref(), Some("FAILED"));
}

#[tokio::test]
async fn queries_and_their_rows_are_forgotten_after_seven_days() {
    forgotten_after_seven_days("eventName").await;
    forgotten_after_seven_days("many").await;
}

async fn forgotten_after_seven_days(columns: &str) {
    let mut world = asked(Plan::default(), columns, None).await;
    run(&mut world).await;
    assert_eq!(rows_file(&world).exists(), columns == "many");
    std::fs::create_dir_all(world.data().join("queries")).unwrap();
    std::fs::write(world.data().join("queries/nobody-s.rows"), "x").unwrap();
    world.pass(6 * 24 * 3600);
    world.turn("forget_queries").await;
    assert!(is_whole(&world).await);
    assert!(!world.data().join("queries/nobody-s.rows").exists(), "of no query that is known");
    world.pass(24 * 3600 + 1);
    world.turn("forget_queries").await;
    assert!(!is_whole(&world).await);
    assert!(world.node().catalog.query(TENANT, HOME, ID).await.unwrap().is_none());
}
