//! Everything at once, by chance: sixty steps of posting, turning, failing, stopping and changing,
//! then rest, then the checker. A failure names its seed; `CAIRN_SIM_SEEDS=17` walks that one
//! alone, `CAIRN_SIM_SEEDS=1000..2000` many others.

use std::ops::Range;

use durable::Fault;
use tokio::task::LocalSet;

use super::checker::{Lenient, check};
use super::store::Failure;
use super::world::{ABROAD, BUCKET, Crash, Ended, HOME, MEMBER, Plan, TENANT, World};

const STEPS: u32 = 60;
const OTHER_BUCKET: &str = "other-logs";
const TRAILS: [&str; 2] = ["main", "second"];
const WORKERS: [&str; 7] = [
    "deliver_logs",
    "index_events",
    "maintain_tables",
    "put_log_files",
    "make_digests",
    "put_digests",
    "trim_journal",
];

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    pub fn one_of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[usize::try_from(self.below(choice.len() as u64)).unwrap()]
    }

    pub fn crash(&mut self) -> Crash {
        match self.below(3) {
            0 => Crash::Kill,
            1 => Crash::PowerLoss(0),
            _ => Crash::PowerLoss(self.below(u64::MAX - 1) + 1),
        }
    }
}

async fn walk(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::logging(Plan { seed, ..Plan::default() }).await;
    world.make_second_trail().await;
    world.store.make_bucket(OTHER_BUCKET);
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        steps.push(step(&mut world, &mut dice, seed.is_multiple_of(2)).await);
        // A disk that failed leaves a node that does not know what is there: it starts again.
        if world.disk.failures() > 0 && (world.node().is_poisoned() || dice.below(4) == 0) {
            let crash = dice.crash();
            world.crash_and_open(crash).await;
            steps.push(format!("{crash:?}"));
        }
    }
    if world.disk.failures() > 0 {
        world.crash_and_open(Crash::PowerLoss(0)).await;
    }
    for name in TRAILS {
        // What an earlier trail of that name left is attested by the chain of the next one.
        if !world.trail(name).state.deleted {
            world.start(name).await;
        }
    }
    world.settle().await;
    let moved = seed.is_multiple_of(2);
    let context = format!("seed {seed}: {}", steps.join(", "));
    check(&world, Lenient { moved, ..Lenient::default() }, &context).await;
}

/// One step; what it was, for the message.
async fn step(world: &mut World, dice: &mut Dice, may_move: bool) -> String {
    match dice.below(100) {
        0..30 => {
            let (count, account) = (dice.below(5) + 1, dice.one_of(&[TENANT, TENANT, MEMBER]));
            let region = dice.one_of(&[HOME, HOME, ABROAD]);
            let taken = world.post(count, account, region).await;
            format!("post {count} {account} {region} {taken}")
        }
        30..58 => {
            let worker = dice.one_of(&WORKERS);
            let ended = world.turn(worker).await;
            if ended == Ended::Stopped {
                let crash = dice.crash();
                world.crash_and_open(crash).await;
                return format!("{worker} stopped, {crash:?}");
            }
            format!("{worker} {ended:?}")
        }
        58..64 => {
            if !world.turn_all().await && world.store.has_stopped() {
                world.crash_and_open(dice.crash()).await;
            }
            "all".to_owned()
        }
        64..74 => pass(world, dice.below(9) + 1),
        74..79 => pass(world, dice.below(4000) + 600),
        79..84 => {
            let failure = dice.one_of(&[
                Failure::Internal,
                Failure::SlowDown,
                Failure::Timeout,
                Failure::Reset,
                Failure::AnswerLost,
                Failure::StopBefore,
                Failure::StopAfter,
            ]);
            let nth = dice.below(4) + 1;
            world.store.fail_nth(nth, failure);
            format!("{failure:?} at call {nth}")
        }
        84..87 => {
            let down = dice.below(2) == 0;
            world.store.set_down(down);
            world.store.deny(BUCKET, dice.below(4) == 0);
            format!("down {down}")
        }
        87..90 => {
            let fault = dice.one_of(&[
                Fault::Once(5),
                Fault::Once(28),
                Fault::DoneButFailed(5),
                Fault::FromThenOn(30),
                Fault::Crash,
            ]);
            let nth = dice.below(20) + 1;
            world.disk.fail_nth(nth, fault);
            format!("{fault:?} at disk call {nth}")
        }
        90..93 => {
            let crash = dice.crash();
            world.crash_and_open(crash).await;
            format!("{crash:?}")
        }
        93..95 => {
            let seconds = dice.one_of(&[3600, -3600, 7200, -60, -1]);
            world.clock.jump(seconds);
            format!("jump {seconds}")
        }
        _ => change(world, dice, may_move).await,
    }
}

fn pass(world: &World, seconds: u64) -> String {
    world.pass(seconds);
    format!("{seconds} s")
}

async fn change(world: &mut World, dice: &mut Dice, may_move: bool) -> String {
    let name = dice.one_of(&TRAILS);
    if world.trail(name).state.deleted {
        world.create(name, BUCKET).await;
        return format!("create {name}");
    }
    match dice.below(10) {
        0..3 => {
            world.stop(name).await;
            format!("stop {name}")
        }
        3..7 => {
            world.start(name).await;
            format!("start {name}")
        }
        7 => {
            world.delete(name).await;
            format!("delete {name}")
        }
        _ => {
            let bucket = if may_move { dice.one_of(&[BUCKET, OTHER_BUCKET]) } else { BUCKET };
            world.set_bucket(name, bucket).await;
            format!("{name} to {bucket}")
        }
    }
}

/// The seeds to walk: these, unless the environment names others.
pub fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(wanted) = std::env::var("CAIRN_SIM_SEEDS") else { return usual };
    let number = |text: &str| text.parse().expect("CAIRN_SIM_SEEDS is N or N..M");
    match wanted.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&wanted)..number(&wanted) + 1,
    }
}

async fn walk_all(usual: Range<u64>) {
    for seed in seeds(usual) {
        // A panic of the walk itself would not say which seed it was.
        let alone = LocalSet::new();
        let walk = alone.spawn_local(walk(seed));
        if let Err(error) = alone.run_until(walk).await {
            panic!("seed {seed}: {error}");
        }
    }
}

#[tokio::test]
async fn seeds_1_to_100_end_well() {
    walk_all(1..101).await;
}

#[tokio::test]
async fn seeds_101_to_200_end_well() {
    walk_all(101..201).await;
}
