//! Calls of the store that fail while the node lives on.

use super::checker::{Lenient, check};
use super::store::Failure;
use super::world::{ABROAD, BUCKET, HOME, MEMBER, Plan, TENANT, World};

/// Two trails, two accounts, two Regions, files closed by size and by age, three digests.
async fn a_busy_day(world: &mut World) {
    world.make_second_trail().await;
    for round in 0..3 {
        world.post(4, TENANT, HOME).await;
        world.post(2, MEMBER, ABROAD).await;
        world.turn_all().await;
        world.pass(6);
        world.turn_all().await;
        if round == 1 {
            // More than one file takes.
            world.post(30, TENANT, HOME).await;
        }
        world.pass(3600);
        world.turn_all().await;
    }
}

#[tokio::test]
async fn without_faults_everything_arrives_once() {
    let mut world = World::logging(Plan::default()).await;
    a_busy_day(&mut world).await;
    world.settle().await;
    check(&world, Lenient::default(), "no faults").await;
    assert!(world.store.objects(BUCKET).len() > 20, "{}", world.store.objects(BUCKET).len());
}

async fn fail_every_call(failure: Failure) {
    for nth in 1.. {
        let mut world = World::new(Plan::default()).await;
        world.store.fail_nth(nth, failure);
        world.create("main", BUCKET).await;
        world.start("main").await;
        a_busy_day(&mut world).await;
        let failed = world.store.failures();
        world.settle().await;
        check(&world, Lenient::default(), &format!("{failure:?} at call {nth}")).await;
        if failed == 0 {
            assert!(nth > 20, "the day has too few calls to mean something: {nth}");
            return;
        }
    }
}

#[tokio::test]
async fn a_call_may_answer_500() {
    fail_every_call(Failure::Internal).await;
}

#[tokio::test]
async fn a_call_may_answer_503() {
    fail_every_call(Failure::SlowDown).await;
}

#[tokio::test]
async fn a_call_may_time_out() {
    fail_every_call(Failure::Timeout).await;
}

#[tokio::test]
async fn a_call_may_be_reset() {
    fail_every_call(Failure::Reset).await;
}

#[tokio::test]
async fn a_call_may_be_done_and_its_answer_lost() {
    fail_every_call(Failure::AnswerLost).await;
}
