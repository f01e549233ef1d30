//! Data events are summed up, and the node stops at every step of it: each acknowledged event is
//! counted once in what lies in the bucket.

use std::collections::BTreeSet;

use catalog::AggregationTemplate;
use durable::Fault;
use event::AccountId;
use event::selectors::{DataResource, EventSelector, EventSelectors};
use serde_json::Value;
use server::intake;

use super::checker::inflated;
use super::store::Failure;
use super::world::{BUCKET, Crash, HOME, Plan, TENANT, World};

async fn aggregating() -> World {
    let mut world = World::logging(Plan::default()).await;
    aggregate(&mut world, vec![AggregationTemplate::ApiActivity]).await;
    world
}

async fn aggregate(world: &mut World, templates: Vec<AggregationTemplate>) {
    let all = DataResource { r#type: "AWS::S3::Object".into(), values: vec!["arn:aws:s3".into()] };
    let selector = EventSelector { data_resources: vec![all], ..EventSelector::default() };
    world
        .change("main", |state| {
            state.selectors = EventSelectors::Basic(vec![selector.clone()]);
            state.aggregation = templates.clone();
        })
        .await;
}

/// What was posted: acknowledged or not.
#[derive(Debug, Default)]
struct Posted {
    acknowledged: u64,
    unknown: u64,
}

impl Posted {
    /// Data events of this moment.
    async fn post(&mut self, world: &World, count: u64) -> bool {
        let event = serde_json::json!({
            "eventTime": world.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "eventSource": "s3.amazonaws.com", "eventName": "PutObject", "awsRegion": HOME,
            "eventCategory": "Data", "managementEvent": false, "recipientAccountId": TENANT,
            "resources": [{ "type": "AWS::S3::Object", "ARN": "arn:aws:s3:::b/k" }],
        });
        let body = format!("{event}\n").repeat(usize::try_from(count).unwrap());
        let tenant = AccountId::parse(TENANT).unwrap();
        let node = world.node();
        let checked = intake::check(body.as_bytes(), &tenant, world.now(), &node.settings);
        assert_eq!(checked.refused, 0, "{:?}", checked.refusals);
        let is_accepted = intake::accept(&node.journal, checked).await.is_ok();
        match is_accepted {
            true => self.acknowledged += count,
            false => self.unknown += count,
        }
        is_accepted
    }

    /// Events of two windows, and late ones of the first. Ends early when a step failed, as a node
    /// does that no longer is.
    async fn pass_two_windows(&mut self, world: &mut World) -> bool {
        for (count, seconds) in [(3, 6), (2, 310), (4, 1), (1, 330)] {
            if !self.post(world, count).await {
                return false;
            }
            world.pass(seconds);
            if !world.turn_all().await {
                return false;
            }
        }
        true
    }

    #[track_caller]
    fn check(&self, world: &World, what: &str) {
        let events = aggregated(world);
        let ids: BTreeSet<String> =
            events.iter().map(|event| event["eventId"].to_string()).collect();
        assert_eq!(ids.len(), events.len(), "an event is there twice: {what}");
        let counted: u64 = events.iter().map(count_of).sum();
        let range = self.acknowledged..=self.acknowledged + self.unknown;
        assert!(range.contains(&counted), "{counted} counted, {range:?} posted: {what}");
    }
}

fn aggregated(world: &World) -> Vec<Value> {
    let mut events = Vec::new();
    for (key, object) in world.store.objects(BUCKET) {
        if key.contains("CloudTrail-Aggregated") {
            let file: Value = serde_json::from_slice(&inflated(&object.bytes)).unwrap();
            events.extend(file["Records"].as_array().unwrap().iter().cloned());
        }
    }
    events
}

fn count_of(event: &Value) -> u64 {
    let statistics = event["summary"]["primaryDimension"]["statistics"].as_array().unwrap();
    statistics.iter().map(|one| one["value"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn windows_are_delivered_when_they_are_over() {
    let mut world = aggregating().await;
    let mut posted = Posted::default();
    assert!(posted.pass_two_windows(&mut world).await);
    world.settle().await;
    posted.check(&world, "no fault");
    assert_eq!(posted.acknowledged, 10);
    let windows: BTreeSet<String> =
        aggregated(&world).iter().map(|event| event["timeWindow"].to_string()).collect();
    assert!(windows.len() >= 2, "{windows:?}");
    assert_eq!(world.store.rewritten(), Vec::<String>::new());
}

#[tokio::test]
async fn killed_or_out_of_power_at_every_call_of_the_disk() {
    for crash in [Crash::Kill, Crash::PowerLoss(0)] {
        for nth in 1.. {
            let mut world = aggregating().await;
            let mut posted = Posted::default();
            world.disk.fail_nth(nth, Fault::Crash);
            posted.pass_two_windows(&mut world).await;
            let was_stopped = world.disk.failures() > 0;
            world.crash_and_open(crash).await;
            posted.pass_two_windows(&mut world).await;
            world.pass(700);
            world.settle().await;
            posted.check(&world, &format!("{crash:?} at disk call {nth}"));
            assert_eq!(world.store.rewritten(), Vec::<String>::new(), "{crash:?}, {nth}");
            if !was_stopped {
                assert!(nth > 20, "too few calls to mean something: {nth}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn killed_after_every_call_of_the_store() {
    for nth in 1.. {
        let mut world = aggregating().await;
        let mut posted = Posted::default();
        world.store.fail_nth(nth, Failure::StopAfter);
        let whole = posted.pass_two_windows(&mut world).await;
        world.store.heal();
        world.crash_and_open(Crash::Kill).await;
        posted.pass_two_windows(&mut world).await;
        world.pass(700);
        world.settle().await;
        posted.check(&world, &format!("killed after call {nth} of the store"));
        if whole {
            assert!(nth > 3, "too few calls to mean something: {nth}");
            break;
        }
    }
}

/// A crash between storing and spooling leaves the events in the catalog, and one between spooling
/// and forgetting leaves them in both.
#[tokio::test]
async fn what_is_in_the_catalog_is_spooled_by_the_next_start() {
    let mut world = aggregating().await;
    let mut posted = Posted::default();
    assert!(posted.post(&world, 5).await);
    while world.turn("aggregate_data_events").await
        == super::world::Ended::Done(server::workers::More::Yes)
    {}
    world.pass(700);
    // The spool refuses: the events are in the catalog, and nowhere else.
    world.disk.fail_nth(2, Fault::Crash);
    for _ in 0..3 {
        world.turn("aggregate_data_events").await;
    }
    assert!(world.disk.failures() > 0);
    world.crash_and_open(Crash::Kill).await;
    world.settle().await;
    posted.check(&world, "crashed while spooling");
    assert_eq!(posted.acknowledged, 5);
}

#[tokio::test]
async fn turned_off_it_holds_the_journal_no_more_and_counts_nothing_twice() {
    let mut world = aggregating().await;
    let mut posted = Posted::default();
    assert!(posted.pass_two_windows(&mut world).await);
    aggregate(&mut world, Vec::new()).await;
    world.settle().await;
    world.pass(700);
    world.settle().await;
    posted.check(&world, "turned off");
    let cursors = |world: &World| {
        let cursors = world.node().journal.state().cursors;
        cursors.iter().any(|(name, _)| name == "aggregation")
    };
    assert!(!cursors(&world));
    world.crash_and_open(Crash::Kill).await;
    world.settle().await;
    posted.check(&world, "started again while off");
    // What happens while it is off is not counted later either.
    assert!(Posted::default().post(&world, 7).await);
    world.settle().await;
    aggregate(&mut world, vec![AggregationTemplate::ApiActivity]).await;
    assert!(posted.pass_two_windows(&mut world).await);
    world.settle().await;
    posted.check(&world, "on again");
    assert!(cursors(&world));
}
