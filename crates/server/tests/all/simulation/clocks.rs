//! Clocks that jump, and nodes that were off.

use std::time::Duration;

use super::checker::{Lenient, check};
use super::world::{ABROAD, BUCKET, Crash, HOME, Plan, TENANT, World};

const HOUR: i64 = 3600;
const YEARS_10: i64 = 10 * 365 * 24 * HOUR;

/// The jumps come after these steps of a delivery and a digest.
const STEPS: usize = 8;

async fn step(world: &mut World, number: usize) {
    match number % 4 {
        0 => assert!(world.post(2, TENANT, HOME).await && world.post(1, TENANT, ABROAD).await),
        1 => {
            world.turn("deliver_logs").await;
            world.pass(6);
            world.turn("deliver_logs").await;
        }
        2 => {
            world.turn("put_log_files").await;
        }
        _ => {
            world.clock.pass(world.plan.digest_interval);
            world.turn_all().await;
        }
    }
}

/// The clock jumps after step `there`, and back after step `back`.
async fn check_jump(seconds: i64, there: usize, back: Option<usize>) {
    // Missing windows are made one by one: ten years of hours would take their time here.
    let interval = if seconds.abs() > HOUR { 365 * 24 * HOUR } else { HOUR };
    let digest_interval = Duration::from_secs(interval.unsigned_abs());
    let mut world = World::logging(Plan { digest_interval, ..Plan::default() }).await;
    for number in 0..STEPS {
        step(&mut world, number).await;
        if number == there {
            world.clock.jump(seconds);
        }
        if back == Some(number) {
            world.clock.jump(-seconds);
        }
    }
    world.settle().await;
    let context = format!("the clock jumps {seconds} s after step {there}, back after {back:?}");
    check(&world, Lenient::default(), &context).await;
}

#[tokio::test]
async fn digests_that_end_in_the_future_are_shown_by_a_metric() {
    let mut world = World::logging(Plan::default()).await;
    world.settle().await;
    let shown = |world: &World| {
        let metrics = world.node().metrics.encoded();
        let line = metrics.lines().find(|line| line.starts_with("cairn_digests_ahead_seconds "));
        line.and_then(|line| line.split(' ').nth(1)?.parse::<i64>().ok())
    };
    assert_eq!(shown(&world), Some(0));
    world.clock.jump(5 * HOUR);
    world.settle().await;
    world.clock.jump(-5 * HOUR);
    world.turn("make_digests").await;
    assert!(shown(&world).is_some_and(|seconds| seconds > 3 * HOUR), "{:?}", shown(&world));
}

async fn check_jumps(seconds: i64) {
    for there in 0..STEPS {
        check_jump(seconds, there, None).await;
        for back in there + 1..STEPS {
            check_jump(seconds, there, Some(back)).await;
        }
    }
}

#[tokio::test]
async fn the_clock_may_jump_an_hour_forward() {
    check_jumps(HOUR).await;
}

#[tokio::test]
async fn the_clock_may_jump_an_hour_back() {
    check_jumps(-HOUR).await;
}

#[tokio::test]
async fn the_clock_may_jump_ten_years_forward() {
    check_jumps(YEARS_10).await;
}

#[tokio::test]
async fn the_clock_may_jump_ten_years_back() {
    check_jumps(-YEARS_10).await;
}

#[tokio::test]
async fn a_file_delivered_while_the_clock_ran_ahead_is_attested_after_a_stop() {
    let mut world = World::logging(Plan::default()).await;
    world.turn_all().await;
    world.post(1, TENANT, HOME).await;
    world.turn("deliver_logs").await;
    world.pass(6);
    world.turn("deliver_logs").await;
    world.clock.jump(YEARS_10);
    world.turn("put_log_files").await;
    world.clock.jump(-YEARS_10);
    world.stop("main").await;
    world.pass(60);
    world.drain().await;
    let digests = world.store.objects(BUCKET).len();
    world.drain().await;
    assert_eq!(world.store.objects(BUCKET).len(), digests, "the chain has ended");
    check(&world, Lenient::default(), "stopped").await;
}

#[tokio::test]
async fn what_was_made_under_a_wrong_clock_is_not_given_up_at_the_first_failure() {
    let mut world = World::logging(Plan::default()).await;
    world.turn_all().await;
    world.clock.jump(-YEARS_10);
    world.store.set_down(true);
    world.post(1, TENANT, HOME).await;
    world.turn("deliver_logs").await;
    world.pass(6);
    world.turn("deliver_logs").await;
    world.clock.jump(YEARS_10);
    for _ in 0..20 {
        world.pass(31);
        world.turn("put_log_files").await;
    }
    world.settle().await;
    check(&world, Lenient::default(), "a clock that was ten years behind").await;
}

#[tokio::test]
async fn digests_of_a_long_absence_are_not_given_up_at_the_first_failure() {
    let mut world =
        World::logging(Plan { digest_interval: Duration::from_secs(24 * 3600), ..Plan::default() })
            .await;
    world.post(1, TENANT, HOME).await;
    world.turn_all().await;
    world.crash(Crash::Kill).await;
    world.pass(40 * 24 * 3600);
    world.open().await;
    world.store.set_down(true);
    world.turn_all().await;
    world.settle().await;
    check(&world, Lenient::default(), "forty days off").await;
}

#[tokio::test]
async fn three_days_off_are_caught_up_hour_by_hour() {
    let mut world = World::logging(Plan::default()).await;
    world.post(3, TENANT, HOME).await;
    world.turn_all().await;
    world.crash(Crash::PowerLoss(0)).await;
    world.pass(3 * 24 * 3600);
    world.open().await;
    world.settle().await;
    check(&world, Lenient::default(), "three days off").await;
    let digests = world.store.objects(BUCKET).into_keys();
    let digests = digests.filter(|key| key.contains("CloudTrail-Digest")).count();
    assert_eq!(digests, 1 + 3 * 24 + 1, "the starting digest, the hours off, and one more");
}

#[tokio::test]
async fn keys_rotate_and_every_signature_stays_verifiable() {
    let day = Duration::from_secs(24 * 3600);
    let plan = Plan { lasting_keys: false, digest_interval: day, ..Plan::default() };
    let mut world = World::logging(plan).await;
    for number in 0..70 {
        if number % 10 == 0 {
            world.post(1, TENANT, HOME).await;
        }
        world.turn_all().await;
        world.clock.pass(day);
        if number == 40 {
            world.crash_and_open(Crash::Kill).await;
        }
    }
    world.settle().await;
    check(&world, Lenient::default(), "seventy days").await;
    let keys = world.node().catalog.digest_keys(HOME, i64::MIN, i64::MAX).await.unwrap();
    assert_eq!(keys.len(), 3, "one key for each 25 days");
    for pair in keys.windows(2) {
        let overlap_ms = pair[0].valid_until_ms - pair[1].valid_from_ms;
        assert!(overlap_ms > 0, "the next key is there before the last one ends: {pair:?}");
        assert_eq!(pair[0].valid_until_ms - pair[0].valid_from_ms, 30 * 24 * 3_600_000);
    }
}
