//! Dashboards by their schedules: each time once, however the server and the clock behave.

use std::convert::Infallible;
use std::time::Duration;

use catalog::{
    Dashboard, DashboardState, Every, Query, QueryFilter, QueryStatus, Refresh, RefreshSchedule,
    Widget,
};
use jiff::Timestamp;
use server::workers::More;

use super::imports::{delete_store, make_store, store_arn, table};
use super::world::{Crash, Ended, HOME, Plan, TENANT, World};

const NAME: &str = "audit";
/// Worlds begin at 2026-03-01T11:59:30.250Z.
const FIRST_DUE: &str = "2026-03-01T12:15:00Z";

fn arn() -> String {
    format!("arn:aws:cloudtrail:{HOME}:{TENANT}:dashboard/{NAME}")
}

fn widget(alias: &str, statement: &str, parameters: &[&str]) -> Widget {
    Widget {
        alias: alias.to_owned(),
        statement: statement.to_owned(),
        parameters: parameters.iter().map(|text| (*text).to_owned()).collect(),
        view: [("Title".to_owned(), alias.to_owned())].into(),
    }
}

fn usual_widgets() -> Vec<Widget> {
    let named = format!("SELECT eventName FROM {} WHERE eventTime > '?'", table().as_str());
    vec![
        widget("names", &named, &["$StartTime$"]),
        widget("sources", "SELECT eventSource FROM ?", &["$EventDataStoreId$"]),
    ]
}

/// A world with an event data store and a dashboard that is due every hour, a quarter past.
async fn scheduled(widgets: Vec<Widget>) -> World {
    let world = World::new(Plan::default()).await;
    make_store(&world).await;
    let first: Timestamp = FIRST_DUE.parse().unwrap();
    let dashboard = Dashboard {
        arn: arn(),
        account: TENANT.to_owned(),
        region: HOME.to_owned(),
        name: NAME.to_owned(),
        created_ms: 0,
        updated_ms: 0,
        next_refresh_ms: Some(first.as_millisecond()),
        state: DashboardState {
            widgets,
            schedule: Some(RefreshSchedule {
                every: Some(Every::Hours(1)),
                is_enabled: true,
                time_of_day: Some("00:15".to_owned()),
            }),
            ..DashboardState::default()
        },
    };
    let admit = |_: &[Dashboard]| Ok::<_, Infallible>(());
    let Ok(()) = world.node().catalog.create_dashboard(&dashboard, &[], admit).await.unwrap();
    world
}

/// A turn, once the event data stores are up to date.
async fn turn(world: &mut World) {
    while world.turn("index_events").await == Ended::Done(More::Yes) {}
    let ended = world.turn("refresh_dashboards").await;
    assert!(matches!(ended, Ended::Done(_)), "{ended:?}");
}

async fn next_due(world: &World) -> Timestamp {
    let found = world.node().catalog.dashboard(TENANT, HOME, NAME).await.unwrap().unwrap();
    Timestamp::from_millisecond(found.next_refresh_ms.unwrap()).unwrap()
}

async fn newest(world: &World) -> Option<Refresh> {
    world.node().catalog.newest_refresh(TENANT, HOME, &arn()).await.unwrap()
}

/// All queries on the event data store, oldest first.
async fn queries(world: &World) -> Vec<Query> {
    let filter = QueryFilter { store_arn: store_arn(), ..QueryFilter::default() };
    let mut found = world.node().catalog.queries_of(TENANT, HOME, &filter, 1000).await.unwrap();
    found.reverse();
    found
}

/// Turns until every query has ended; answers how.
async fn run_queries(world: &mut World) -> Vec<QueryStatus> {
    for _ in 0..20_000 {
        world.turn("run_queries").await;
        let found = queries(world).await;
        if found.iter().all(|query| query.status.is_final()) {
            return found.into_iter().map(|query| query.status).collect();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the queries find no end");
}

#[tokio::test]
async fn a_dashboard_is_refreshed_when_it_is_due_and_not_before() {
    let mut world = scheduled(usual_widgets()).await;
    world.pass(900);
    turn(&mut world).await;
    assert_eq!(newest(&world).await, None);
    world.pass(60);
    turn(&mut world).await;
    let first = newest(&world).await.unwrap();
    assert!((10..=20).contains(&first.id.len()) && first.id.bytes().all(|b| b.is_ascii_digit()));
    assert_eq!(next_due(&world).await.to_string(), "2026-03-01T13:15:00Z");
    let asked: Vec<_> = queries(&world).await.into_iter().map(|query| query.asked).collect();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|query| query.refresh.as_deref() == Some(&first.id)));
    assert_eq!(asked[0].alias.as_deref(), Some("names"));
    // 24 hours before the refresh, to the millisecond.
    assert_eq!(asked[0].parameters, ["2026-02-28 12:15:30.250"]);
    assert_eq!(asked[1].parameters, [table().as_str()]);
    assert_eq!(run_queries(&mut world).await, [QueryStatus::Finished; 2]);
    turn(&mut world).await;
    assert_eq!(newest(&world).await, Some(first.clone()));
    world.pass(3600);
    turn(&mut world).await;
    assert_ne!(newest(&world).await.unwrap().id, first.id);
    assert_eq!(queries(&world).await.len(), 4);
}

#[tokio::test]
async fn no_restart_refreshes_twice_or_forgets() {
    let mut world = scheduled(usual_widgets()).await;
    world.pass(1200);
    // Due, but the server stops before it is asked.
    world.crash_and_open(Crash::PowerLoss(0)).await;
    turn(&mut world).await;
    assert_eq!(queries(&world).await.len(), 2);
    let first = newest(&world).await.unwrap();
    // Asked, but the server stops before it is answered.
    world.crash_and_open(Crash::PowerLoss(0)).await;
    turn(&mut world).await;
    assert_eq!(newest(&world).await, Some(first));
    assert_eq!(run_queries(&mut world).await, [QueryStatus::Finished; 2]);
    // Off for three days: late, and once.
    world.crash(Crash::Kill).await;
    world.pass(3 * 24 * 3600);
    world.open().await;
    for _ in 0..3 {
        turn(&mut world).await;
        run_queries(&mut world).await;
    }
    assert_eq!(queries(&world).await.len(), 4);
    assert_eq!(next_due(&world).await.to_string(), "2026-03-04T13:15:00Z");
}

#[tokio::test]
async fn a_start_refreshes_nothing_before_the_events_are_back() {
    let mut world = scheduled(usual_widgets()).await;
    assert!(world.post(3, TENANT, HOME).await);
    world.pass(1200);
    world.crash_and_open(Crash::Kill).await;
    assert_eq!(world.turn("refresh_dashboards").await, Ended::Done(More::No));
    assert_eq!(newest(&world).await, None);
    turn(&mut world).await;
    assert!(newest(&world).await.is_some());
}

#[tokio::test]
async fn what_cannot_be_asked_is_the_refreshs_failure_and_holds_up_nothing_else() {
    let gone = "SELECT eventName FROM 4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10";
    let mut widgets = usual_widgets();
    widgets.insert(0, widget("gone", gone, &[]));
    let mut world = scheduled(widgets).await;
    world.pass(1200);
    turn(&mut world).await;
    assert_eq!(run_queries(&mut world).await, [QueryStatus::Finished; 2]);
    let failure = newest(&world).await.unwrap().failure.unwrap();
    assert_eq!(
        failure,
        "gone: Event data store 4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10 was not found."
    );
    // Without any store, the next one asks nothing, and says why.
    delete_store(&world).await;
    world.pass(3600);
    turn(&mut world).await;
    assert_eq!(queries(&world).await.len(), 2);
    assert!(newest(&world).await.unwrap().failure.is_some());
    assert_eq!(next_due(&world).await.to_string(), "2026-03-01T14:15:00Z");
}

#[tokio::test]
async fn a_refresh_is_left_out_while_the_one_before_runs() {
    let hang = format!("SELECT hang FROM {}", table().as_str());
    let mut world = scheduled(vec![widget("hang", &hang, &[])]).await;
    world.pass(1200);
    turn(&mut world).await;
    world.turn("run_queries").await;
    let first = newest(&world).await;
    world.pass(3600);
    turn(&mut world).await;
    assert_eq!(newest(&world).await, first);
    assert_eq!(next_due(&world).await.to_string(), "2026-03-01T14:15:00Z");
    let id = queries(&world).await[0].asked.id.clone();
    let now_ms = world.now().as_millisecond();
    assert!(world.node().catalog.cancel_query(&id, now_ms).await.unwrap());
    world.pass(3600);
    turn(&mut world).await;
    assert_ne!(newest(&world).await, first);
}

#[tokio::test]
async fn a_clock_that_was_wrong_delays_nothing_for_long() {
    let mut world = scheduled(usual_widgets()).await;
    // It jumps ahead by thirty days, and one refresh is asked there.
    world.clock.jump(30 * 24 * 3600);
    turn(&mut world).await;
    run_queries(&mut world).await;
    assert_eq!(queries(&world).await.len(), 2);
    assert!(next_due(&world).await > world.now());
    // Somebody sets it right.
    world.clock.jump(-30 * 24 * 3600);
    turn(&mut world).await;
    assert_eq!(queries(&world).await.len(), 2);
    assert_eq!(next_due(&world).await.to_string(), FIRST_DUE);
    world.pass(1200);
    turn(&mut world).await;
    assert_eq!(queries(&world).await.len(), 4);
}
