//! Trails that stop, start, move and go away while things are under way.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, atomic::AtomicBool, atomic::Ordering};
use std::{io, path::Path};

use delivery::digest::DigestFile;
use delivery::layout::ObjectKey;
use durable::{Disk, DiskFile, Fault, FaultyDisk};

use super::checker::{Lenient, check, inflated};
use super::world::{ABROAD, BUCKET, Crash, HOME, MEMBER, Plan, TENANT, World};

/// The digests of a trail's home chain, oldest first.
fn digests(world: &World, trail: &str) -> Vec<DigestFile> {
    let mut found = Vec::new();
    for bucket in world.store.buckets() {
        for (key, object) in world.store.objects(&bucket) {
            if let Some(ObjectKey::Digest(key)) = ObjectKey::parse(&key)
                && (key.trail_name.as_str(), key.place.region.as_str()) == (trail, HOME)
            {
                found.push(serde_json::from_slice(&inflated(&object.bytes)).unwrap());
            }
        }
    }
    found.sort_by(|a: &DigestFile, b| a.digest_end_time.cmp(&b.digest_end_time));
    found
}

fn starting_digests(world: &World, trail: &str) -> usize {
    digests(world, trail).iter().filter(|d| d.previous_digest_s3_object.is_none()).count()
}

#[tokio::test]
async fn a_stop_ends_the_chain_and_a_start_begins_another() {
    let mut world = World::logging(Plan::default()).await;
    world.post(3, TENANT, HOME).await;
    world.turn_all().await;
    world.pass(600);
    world.turn_all().await;
    world.stop("main").await;
    world.post(3, TENANT, HOME).await;
    world.pass(60);
    world.drain().await;
    let ended = digests(&world, "main").len();
    assert_eq!(ended, 2, "the starting digest and the final one");
    world.pass(3 * 3600);
    world.drain().await;
    assert_eq!(digests(&world, "main").len(), ended, "nothing after the final digest");
    world.start("main").await;
    world.post(3, TENANT, HOME).await;
    world.settle().await;
    check(&world, Lenient::default(), "stop and start").await;
    assert_eq!(starting_digests(&world, "main"), 2);
}

#[tokio::test]
async fn a_start_right_after_a_stop_loses_nothing() {
    let mut world = World::logging(Plan::default()).await;
    for _ in 0..3 {
        world.post(1, TENANT, HOME).await;
        world.stop("main").await;
        world.post(1, TENANT, HOME).await;
        world.start("main").await;
        world.post(1, TENANT, HOME).await;
        world.turn_all().await;
        world.pass(3);
    }
    world.settle().await;
    check(&world, Lenient::default(), "stop, start").await;
}

#[tokio::test]
async fn late_events_from_before_a_stop_are_delivered_and_attested() {
    for turns_before in 0..2 {
        let mut world = World::logging(Plan::default()).await;
        world.post(1, TENANT, HOME).await;
        world.pass(7);
        world.stop("main").await;
        if turns_before == 1 {
            world.turn_all().await;
        }
        let happened = world.now() - jiff::SignedDuration::from_secs(3);
        world.pass(4);
        world.post_late("main", 2, ABROAD, happened).await;
        world.settle().await;
        check(&world, Lenient::default(), "late after a stop").await;
    }
}

#[tokio::test]
async fn a_deleted_trail_delivers_what_is_pending_signs_a_last_digest_and_is_gone() {
    let mut world = World::logging(Plan::default()).await;
    world.turn_all().await;
    world.store.set_down(true);
    world.post(20, TENANT, HOME).await;
    world.post(2, MEMBER, ABROAD).await;
    world.pass(6);
    world.turn_all().await;
    world.delete("main").await;
    world.post(2, TENANT, HOME).await;
    world.pass(60);
    world.turn_all().await;
    world.crash_and_open(Crash::Kill).await;
    world.turn_all().await;
    assert!(
        !world.node().catalog.trail_versions().await.unwrap().is_empty(),
        "still to be drained"
    );
    world.settle().await;
    check(&world, Lenient::default(), "delete").await;
    assert!(world.node().catalog.trail_versions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_deleted_trail_waits_for_late_events_that_nobody_has_read_yet() {
    let mut world = World::logging(Plan::default()).await;
    world.post(1, TENANT, HOME).await;
    world.turn_all().await;
    world.pass(7);
    world.turn_all().await;
    world.delete("main").await;
    world.turn_all().await;
    let happened = world.now() - jiff::SignedDuration::from_secs(3);
    world.pass(4);
    world.post_late("main", 2, HOME, happened).await;
    world.pass(60);
    for _ in 0..3 {
        for worker in ["make_digests", "put_digests"] {
            world.turn(worker).await;
            world.pass(1);
        }
    }
    world.settle().await;
    check(&world, Lenient::default(), "late after a deletion").await;
}

#[tokio::test]
async fn a_trail_of_the_same_name_does_not_overwrite_digests() {
    for clock_behind in [0, -3600] {
        let mut world = World::logging(Plan::default()).await;
        world.post(1, TENANT, HOME).await;
        world.pass(7);
        world.turn_all().await;
        world.delete("main").await;
        world.pass(60);
        world.turn_all().await;
        world.turn_all().await;
        assert!(world.node().catalog.trail_versions().await.unwrap().is_empty());
        world.clock.jump(clock_behind);
        world.create("main", BUCKET).await;
        world.start("main").await;
        world.post(1, TENANT, HOME).await;
        world.settle().await;
        check(&world, Lenient::default(), "made again").await;
        assert_eq!(starting_digests(&world, "main"), 2);
    }
}

#[tokio::test]
async fn a_trail_made_again_while_its_namesake_is_drained_loses_nothing() {
    let mut world = World::logging(Plan::default()).await;
    world.store.set_down(true);
    world.post(9, TENANT, HOME).await;
    world.pass(6);
    world.turn_all().await;
    world.delete("main").await;
    world.create("main", BUCKET).await;
    world.post(1, TENANT, HOME).await;
    world.turn_all().await;
    world.start("main").await;
    world.post(2, TENANT, HOME).await;
    world.settle().await;
    check(&world, Lenient::default(), "made again at once").await;
}

#[tokio::test]
async fn files_of_a_deleted_trail_are_attested_though_its_namesake_never_logs() {
    let mut world = World::logging(Plan::default()).await;
    world.store.set_down(true);
    world.post(1, TENANT, HOME).await;
    world.post(1, MEMBER, ABROAD).await;
    world.turn_all().await;
    world.delete("main").await;
    world.create("main", BUCKET).await;
    world.settle().await;
    check(&world, Lenient::default(), "a namesake that never logs").await;
    world.delete("main").await;
    world.settle().await;
    assert!(world.node().catalog.trail_versions().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bucket_that_is_gone_for_31_days_costs_what_is_older_than_30() {
    let mut world = World::logging(Plan::default()).await;
    world.store.make_bucket("other");
    world.create("other", "other").await;
    world.start("other").await;
    world.turn_all().await;
    world.post(2, TENANT, HOME).await;
    world.store.remove_bucket(BUCKET);
    for _ in 0..31 * 24 {
        world.turn_all().await;
        world.pass(3600);
    }
    let status = world.status("main").await;
    assert_eq!(status.latest_delivery_error.as_deref(), Some("NoSuchBucket"));
    assert_eq!(status.latest_digest_delivery_error.as_deref(), Some("NoSuchBucket"));
    assert_eq!(world.status("other").await.latest_delivery_error, None);
    world.turn_all().await;
    assert_eq!(world.node().handover.backlog().spooled_files, 0, "given up");
    world.trail_mut("main").forgive();
    world.post(3, TENANT, HOME).await;
    world.pass(60);
    world.turn_all().await;
    world.store.make_bucket(BUCKET);
    world.settle().await;
    // Digests of the first day were given up, too: the chain begins later.
    check(&world, Lenient { lost: true, ..Lenient::default() }, "31 days").await;
    let status = world.status("main").await;
    assert_eq!((status.latest_delivery_error, status.latest_digest_delivery_error), (None, None));
    let delivered = world.delivered_events(BUCKET);
    assert_eq!(delivered, 3, "what came after the bucket's return");
    assert_eq!(world.delivered_events("other"), 5, "the other bucket never noticed");
}

#[tokio::test]
async fn a_bucket_that_denies_says_so_and_recovers_by_itself() {
    let mut world = World::logging(Plan::default()).await;
    world.store.deny(BUCKET, true);
    world.post(2, TENANT, HOME).await;
    for _ in 0..5 {
        world.pass(6);
        world.turn_all().await;
    }
    let status = world.status("main").await;
    assert_eq!(status.latest_delivery_error.as_deref(), Some("AccessDenied"));
    world.store.deny(BUCKET, false);
    world.settle().await;
    check(&world, Lenient::default(), "denied for a while").await;
    assert_eq!(world.status("main").await.latest_delivery_error, None);
}

#[tokio::test]
async fn a_trail_that_moves_to_another_bucket_mid_window_goes_on_there() {
    let mut world = World::logging(Plan::default()).await;
    world.store.make_bucket("moved-logs");
    world.post(3, TENANT, HOME).await;
    world.turn_all().await;
    world.pass(1);
    world.set_bucket("main", "moved-logs").await;
    world.post(4, TENANT, HOME).await;
    world.turn_all().await;
    world.settle().await;
    check(&world, Lenient { moved: true, ..Lenient::default() }, "moved").await;
    assert_eq!((world.delivered_events(BUCKET), world.delivered_events("moved-logs")), (3, 4));
}

#[tokio::test]
async fn two_trails_of_one_bucket_deliver_every_event_each() {
    let mut world = World::logging(Plan::default()).await;
    world.make_second_trail().await;
    for (account, region) in [(TENANT, HOME), (TENANT, ABROAD), (MEMBER, HOME), (MEMBER, ABROAD)] {
        world.post(3, account, region).await;
    }
    world.settle().await;
    check(&world, Lenient::default(), "two trails").await;
    assert_eq!(world.delivered_events(BUCKET), 2 * 12);
}

#[tokio::test]
async fn validation_switched_off_ends_the_chain_and_on_again_begins_another() {
    let mut world = World::logging(Plan::default()).await;
    world.post(1, TENANT, HOME).await;
    world.turn_all().await;
    world.change("main", |state| state.settings.log_file_validation_enabled = false).await;
    world.pass(6);
    world.turn_all().await;
    world.pass(3600);
    world.turn_all().await;
    // Delivered while nothing is attested.
    world.post(3, TENANT, HOME).await;
    world.drain().await;
    world.pass(1800);
    world.turn_all().await;
    let ended = digests(&world, "main").len();
    assert_eq!(ended, 2, "the starting digest and that of the running hour");
    world.change("main", |state| state.settings.log_file_validation_enabled = true).await;
    world.post(1, TENANT, HOME).await;
    world.settle().await;
    let unattested = Lenient { unattested: 1, ..Lenient::default() };
    check(&world, unattested, "validation off and on").await;
    assert_eq!(starting_digests(&world, "main"), 2);
}

#[tokio::test]
async fn a_damaged_spool_file_does_not_hold_up_the_others() {
    let mut world = World::logging(Plan::default()).await;
    world.turn_all().await;
    world.post(1, TENANT, HOME).await;
    world.turn("deliver_logs").await;
    world.pass(6);
    world.turn("deliver_logs").await;
    let spool = world.data().join("spool");
    let file = std::fs::read_dir(&spool).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, bytes).unwrap();
    world.trail_mut("main").forgive();
    world.post(4, TENANT, HOME).await;
    world.settle().await;
    check(&world, Lenient::default(), "damaged").await;
    assert_eq!(world.delivered_events(BUCKET), 4);
    let aside = std::fs::read_dir(&spool).unwrap().next().unwrap().unwrap().file_name();
    assert!(aside.to_string_lossy().ends_with(".damaged"), "{aside:?}");
}

/// A disk on which making a spool file waits until it is told to go on.
#[derive(Debug)]
struct Gate {
    disk: FaultyDisk,
    closed: AtomicBool,
    reached: Mutex<Sender<()>>,
    open: Mutex<Receiver<()>>,
}

impl Disk for Gate {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        if path.components().any(|part| part.as_os_str() == "spool")
            && self.closed.load(Ordering::SeqCst)
        {
            self.reached.lock().unwrap().send(()).unwrap();
            self.open.lock().unwrap().recv().unwrap();
        }
        self.disk.create_new(path, mode)
    }
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open_existing(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

/// A turn of deliver_logs stands between looking at the trails and reading the journal, while a
/// trail starts to log and an event is acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_right_after_start_logging_is_not_judged_by_the_state_before() {
    let mut world = World::logging(Plan::default()).await;
    world.crash(Crash::Kill).await;
    let (reached, at_gate) = channel();
    let (go, open) = channel();
    let gate = Arc::new(Gate {
        disk: world.disk.clone(),
        closed: AtomicBool::new(false),
        reached: Mutex::new(reached),
        open: Mutex::new(open),
    });
    world.disk_front = Some(gate.clone());
    world.open().await;
    world.create("second", BUCKET).await;
    world.turn_all().await;
    // A file that is closed and not spooled: the next turn begins with it.
    world.post(1, TENANT, HOME).await;
    world.turn("deliver_logs").await;
    world.pass(6);
    world.disk.fail_nth(1, Fault::Once(28));
    world.turn("deliver_logs").await;
    world.disk.heal();

    gate.closed.store(true, Ordering::SeqCst);
    let mut deliver_logs = world.take_worker("deliver_logs");
    let turn = tokio::spawn(async move {
        deliver_logs.tick().await.unwrap();
        deliver_logs
    });
    tokio::task::spawn_blocking(move || at_gate.recv().unwrap()).await.unwrap();
    world.start("second").await;
    assert!(world.post(1, TENANT, HOME).await);
    gate.closed.store(false, Ordering::SeqCst);
    go.send(()).unwrap();
    world.put_back("deliver_logs", turn.await.unwrap());
    world.settle().await;
    check(&world, Lenient::default(), "a start during a turn").await;
}

#[tokio::test]
async fn traffic_that_never_pauses_does_not_hold_a_closed_file_back() {
    let mut world = World::logging(Plan::default()).await;
    assert!(world.post(1, TENANT, HOME).await);
    world.turn("deliver_logs").await;
    world.pass(6);
    // Every turn from now on finds something to read.
    for _ in 0..2 {
        assert!(world.post(1, TENANT, HOME).await);
        world.turn("deliver_logs").await;
        world.pass(1);
    }
    assert_eq!(world.node().handover.backlog().spooled_files, 1);
    world.settle().await;
    check(&world, Lenient::default(), "traffic that never pauses").await;
}
