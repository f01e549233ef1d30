//! The node stops at every step of a delivery and of a digest, by kill -9 and by power loss.

use durable::Fault;

use super::checker::{Lenient, check};
use super::store::Failure;
use super::world::{ABROAD, BUCKET, Crash, HOME, MEMBER, Plan, TENANT, World};

/// A delivery and the digest after it, twice. Ends early when a step was not done to its end, as a
/// node does that no longer is.
async fn deliver_and_attest(world: &mut World) -> bool {
    for _ in 0..2 {
        if !world.post(3, TENANT, HOME).await || !world.post(1, MEMBER, ABROAD).await {
            return false;
        }
        for seconds in [0, 6, 3600] {
            world.pass(seconds);
            if !world.turn_all().await {
                return false;
            }
        }
    }
    true
}

async fn stop_at_every_call_of_the_store(failure: Failure, crash: Crash) {
    for nth in 1.. {
        let mut world = World::logging(Plan::default()).await;
        world.store.fail_nth(nth, failure);
        let whole = deliver_and_attest(&mut world).await;
        world.store.heal();
        world.crash_and_open(crash).await;
        deliver_and_attest(&mut world).await;
        world.settle().await;
        check(&world, Lenient::default(), &format!("{failure:?}, {crash:?} at call {nth}")).await;
        if whole {
            assert!(nth > 8, "too few calls to mean something: {nth}");
            return;
        }
    }
}

#[tokio::test]
async fn killed_before_a_call_of_the_store() {
    stop_at_every_call_of_the_store(Failure::StopBefore, Crash::Kill).await;
}

#[tokio::test]
async fn killed_after_a_call_of_the_store() {
    stop_at_every_call_of_the_store(Failure::StopAfter, Crash::Kill).await;
}

#[tokio::test]
async fn out_of_power_before_a_call_of_the_store() {
    stop_at_every_call_of_the_store(Failure::StopBefore, Crash::PowerLoss(0)).await;
}

#[tokio::test]
async fn out_of_power_after_a_call_of_the_store() {
    stop_at_every_call_of_the_store(Failure::StopAfter, Crash::PowerLoss(0)).await;
}

async fn stop_at_every_call_of_the_disk(crash: impl Fn(u64) -> Crash) {
    for nth in 1.. {
        let mut world = World::logging(Plan::default()).await;
        world.disk.fail_nth(nth, Fault::Crash);
        deliver_and_attest(&mut world).await;
        let stopped = world.disk.failures() > 0;
        let crash = crash(nth);
        world.crash_and_open(crash).await;
        deliver_and_attest(&mut world).await;
        world.settle().await;
        check(&world, Lenient::default(), &format!("{crash:?} at disk call {nth}")).await;
        if !stopped {
            assert!(nth > 40, "too few calls to mean something: {nth}");
            return;
        }
    }
}

#[tokio::test]
async fn killed_at_a_call_of_the_disk() {
    stop_at_every_call_of_the_disk(|_| Crash::Kill).await;
}

#[tokio::test]
async fn out_of_power_at_a_call_of_the_disk() {
    stop_at_every_call_of_the_disk(|_| Crash::PowerLoss(0)).await;
}

#[tokio::test]
async fn out_of_power_at_a_call_of_the_disk_with_some_luck() {
    stop_at_every_call_of_the_disk(|nth| Crash::PowerLoss(nth * 7919)).await;
}

/// Recovery is the normal path: a node that stops while it recovers recovers again.
#[tokio::test]
async fn killed_at_a_call_of_the_disk_while_recovering() {
    for nth in 1.. {
        let mut world = World::logging(Plan::default()).await;
        world.store.set_down(true);
        deliver_and_attest(&mut world).await;
        world.post(2, TENANT, HOME).await;
        world.crash(Crash::PowerLoss(nth)).await;
        world.store.set_down(false);
        world.disk.fail_nth(nth, Fault::Crash);
        if world.try_open().await.is_ok() {
            world.turn_all().await;
        }
        let stopped = world.disk.failures() > 0;
        world.crash_and_open(Crash::PowerLoss(0)).await;
        world.settle().await;
        check(&world, Lenient::default(), &format!("recovering, disk call {nth}")).await;
        if !stopped {
            assert!(nth > 10, "too few calls to mean something: {nth}");
            return;
        }
    }
}

/// The store is down, so that what was spooled lies only on the disk when the power goes.
#[tokio::test]
async fn a_call_of_the_disk_fails_while_files_wait_and_the_power_goes() {
    for fault in [Fault::Once(EIO), Fault::DoneButFailed(EIO), Fault::Once(ENOSPC)] {
        for nth in 1.. {
            let mut world = World::logging(Plan::default()).await;
            world.store.set_down(true);
            world.disk.fail_nth(nth, fault);
            deliver_and_attest(&mut world).await;
            for _ in 0..3 {
                world.pass(6);
                world.turn_all().await;
            }
            let failed = world.disk.failures() > 0;
            world.crash_and_open(Crash::PowerLoss(0)).await;
            world.settle().await;
            check(&world, Lenient::default(), &format!("{fault:?} at disk call {nth}, spooled"))
                .await;
            if !failed {
                break;
            }
        }
    }
}

/// A failing disk call, after which the operator starts the node again.
async fn fail_every_call_of_the_disk(fault: Fault) {
    for nth in 1.. {
        let mut world = World::logging(Plan::default()).await;
        world.disk.fail_nth(nth, fault);
        deliver_and_attest(&mut world).await;
        let failed = world.disk.failures() > 0;
        world.disk.heal();
        world.crash_and_open(Crash::PowerLoss(0)).await;
        world.settle().await;
        check(&world, Lenient::default(), &format!("{fault:?} at disk call {nth}")).await;
        if !failed {
            return;
        }
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// No fault may leave a node that neither works nor says that it needs a restart.
#[tokio::test]
async fn after_a_failed_call_of_the_disk_the_node_recovers_or_asks_for_a_restart() {
    for fault in [Fault::Once(EIO), Fault::DoneButFailed(EIO), Fault::Once(ENOSPC)] {
        for nth in 1.. {
            let mut world = World::logging(Plan::default()).await;
            world.disk.fail_nth(nth, fault);
            deliver_and_attest(&mut world).await;
            let failed = world.disk.failures() > 0;
            world.disk.heal();
            world.post(1, TENANT, HOME).await;
            for _ in 0..3 {
                world.pass(6);
                world.turn_all().await;
            }
            if world.node().is_poisoned() {
                world.crash_and_open(Crash::PowerLoss(0)).await;
            }
            world.settle().await;
            check(&world, Lenient::default(), &format!("{fault:?} at disk call {nth}")).await;
            if !failed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_call_of_the_disk_fails() {
    fail_every_call_of_the_disk(Fault::Once(EIO)).await;
}

#[tokio::test]
async fn a_call_of_the_disk_is_done_and_answers_an_error() {
    fail_every_call_of_the_disk(Fault::DoneButFailed(EIO)).await;
}

#[tokio::test]
async fn the_disk_becomes_read_only() {
    fail_every_call_of_the_disk(Fault::FromThenOn(30)).await;
}

/// A full disk refuses; when there is room again, delivery goes on without a restart.
#[tokio::test]
async fn a_full_disk_delays_and_loses_nothing() {
    for nth in 1.. {
        let mut world = World::logging(Plan::default()).await;
        world.disk.fail_nth(nth, Fault::Once(ENOSPC));
        deliver_and_attest(&mut world).await;
        let failed = world.disk.failures() > 0;
        world.disk.heal();
        deliver_and_attest(&mut world).await;
        // A cursor or journal that no longer knows what is on disk asks for a restart.
        if world.node().is_poisoned() || !world.turn_all().await {
            world.crash_and_open(Crash::Kill).await;
        }
        world.settle().await;
        check(&world, Lenient::default(), &format!("no room at disk call {nth}")).await;
        if !failed {
            return;
        }
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_little_to_do() {
    let mut world = World::logging(Plan::default()).await;
    world.post(5, TENANT, HOME).await;
    world.turn_all().await;
    world.shut_down().await;
    assert!(!world.store.objects(BUCKET).is_empty(), "open files are closed and put at a stop");
    world.open().await;
    world.settle().await;
    check(&world, Lenient::default(), "clean stop").await;
}
