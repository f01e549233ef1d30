//! The lake under the same faults: whatever happened, each table holds every event that it wants
//! exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use catalog::{BillingMode, Deletion, EventDataStore, EventDataStoreState, Ingestion};
use durable::Fault;
use event::selectors::{EventSelectors, StoreClass};
use server::lake::fake::Call;
use server::lake::{Lake, TableName};
use uuid::Uuid;

use super::walk::Dice;
use super::world::{ABROAD, Crash, Ended, HOME, MEMBER, Plan, TENANT, World};

const WORKERS: [&str; 3] = ["index_events", "maintain_tables", "trim_journal"];
const EVERYWHERE: u128 = 1;
const AT_HOME: u128 = 2;

/// What a table has to hold, and what it may hold beside that: events nobody was told of.
#[derive(Debug, Default)]
struct Owed {
    must: BTreeSet<String>,
    may: BTreeSet<String>,
}

/// A world and what its tables owe: history, one store for every Region, one for the home Region.
struct Lakeside {
    world: World,
    stores: BTreeMap<u128, Owed>,
    history: Owed,
}

impl Lakeside {
    async fn new(seed: u64) -> Lakeside {
        Lakeside::planned(Plan { seed, ..Plan::default() }).await
    }

    async fn planned(plan: Plan) -> Lakeside {
        let world = World::new(plan).await;
        let mut side = Lakeside { world, stores: BTreeMap::new(), history: Owed::default() };
        side.make_store(EVERYWHERE, true).await;
        side.make_store(AT_HOME, false).await;
        side
    }

    async fn make_store(&mut self, id: u128, multi_region: bool) {
        let (uuid, now_ms) = (Uuid::from_u128(id), self.world.now().as_millisecond());
        let store = EventDataStore {
            arn: arn(id),
            id: uuid,
            account: TENANT.to_owned(),
            name: format!("store-{id}"),
            home_region: HOME.to_owned(),
            created_ms: now_ms,
            updated_ms: now_ms,
            state: EventDataStoreState {
                selectors: EventSelectors::default_for_event_data_store(),
                class: StoreClass::Events,
                multi_region,
                retention_days: 366,
                billing_mode: BillingMode::ExtendableRetention,
                termination_protection: false,
                ingestion: Ingestion::Enabled { since_ms: now_ms },
                deletion: Deletion::None,
                configuration: catalog::EventConfiguration::default(),
                insights: None,
                federation: catalog::Federation::Disabled,
                organization: None,
            },
        };
        let node = self.world.node();
        let from_seq = node.journal.next_seq();
        let made = node
            .catalog
            .create_event_data_store(&store, &[], from_seq, |_| Ok::<_, Infallible>(()));
        let Ok(()) = made.await.unwrap();
        node.stores_changed();
        self.stores.insert(id, Owed::default());
    }

    async fn change(&mut self, id: u128, change: impl FnOnce(&mut EventDataStoreState)) {
        let node = self.world.node();
        let (from_seq, now_ms) = (node.journal.next_seq(), self.world.now().as_millisecond());
        let arn = arn(id);
        let changed = node.catalog.change_event_data_store(&arn, from_seq, now_ms, |store, _| {
            change(&mut store.state);
            Ok::<_, Infallible>(())
        });
        let Ok(_) = changed.await.unwrap();
        node.stores_changed();
    }

    async fn store(&self, id: u128) -> Option<EventDataStore> {
        self.world.node().catalog.event_data_store(Uuid::from_u128(id)).await.unwrap()
    }

    async fn post(&mut self, count: u64, account: &str, region: &str) -> bool {
        let accepted = self.world.post(count, account, region).await;
        let ids = self.world.newest_ids(count);
        let mut owing = vec![&mut self.history];
        for (id, owed) in &mut self.stores {
            let store =
                self.world.node().catalog.event_data_store(Uuid::from_u128(*id)).await.unwrap();
            let state = store.map(|store| store.state);
            let wants = |state: EventDataStoreState| {
                state.is_ingesting() && (state.multi_region || region == HOME)
            };
            if state.is_some_and(wants) {
                owing.push(owed);
            }
        }
        for owed in owing {
            let told = if accepted { &mut owed.must } else { &mut owed.may };
            told.extend(ids.iter().cloned());
        }
        accepted
    }

    /// The lake's workers in turn, until none has more to do.
    async fn turn(&mut self) {
        for _ in 0..1000 {
            let mut more = false;
            for name in WORKERS {
                more |= self.world.turn(name).await == Ended::Done(server::workers::More::Yes);
            }
            if !more {
                return;
            }
        }
        panic!("the lake finds no end: {:?}", self.world.errors);
    }

    /// Nothing fails any more and time passes, until everything is durable and the cursor at the end.
    async fn settle(&mut self) {
        self.world.lake.heal();
        self.world.disk.heal();
        for _ in 0..100 {
            self.world.pass(31);
            self.turn().await;
            tokio::task::yield_now().await;
            let next_seq = self.world.node().journal.next_seq();
            if self.cursor() == next_seq {
                return;
            }
        }
        panic!("the lake finds no rest at {}: {:?}", self.cursor(), self.world.errors);
    }

    /// Where indexing begins after a crash.
    fn cursor(&self) -> u64 {
        let cursors = self.world.node().journal.state().cursors;
        cursors.iter().find(|(name, _)| name == "lake").expect("the lake's cursor").1
    }

    fn ids(&self, table: &TableName) -> Vec<String> {
        let records = self.world.lake.records(table);
        let id = |record: &bytes::Bytes| {
            let json: serde_json::Value = serde_json::from_slice(record).unwrap();
            json["eventID"].as_str().unwrap().to_owned()
        };
        records.iter().map(id).collect()
    }

    async fn check(&self, context: &str) {
        let mut tables = vec![(TableName::history(), &self.history)];
        for (id, owed) in &self.stores {
            if self.store(*id).await.is_some() {
                tables.push((table(*id), owed));
            }
        }
        for (table, owed) in tables {
            let ids = self.ids(&table);
            let once: BTreeSet<String> = ids.iter().cloned().collect();
            assert_eq!(once.len(), ids.len(), "{context}: {table:?} holds an event twice: {ids:?}");
            let lost: Vec<_> = owed.must.difference(&once).collect();
            assert!(lost.is_empty(), "{context}: {table:?} lost {lost:?}");
            let strange: Vec<_> = once
                .iter()
                .filter(|id| !owed.must.contains(*id) && !owed.may.contains(*id))
                .collect();
            assert!(strange.is_empty(), "{context}: {table:?} holds {strange:?}");
            assert_eq!(self.world.lake.hot(&table).rows, 0, "{context}: {table:?} is not durable");
        }
    }

    /// Some events and turns, with time passing in between.
    async fn live(&mut self) {
        for (seconds, region) in [(0, HOME), (7, ABROAD), (30, HOME), (1, ABROAD)] {
            self.world.pass(seconds);
            self.post(3, TENANT, region).await;
            self.post(2, MEMBER, region).await;
            self.turn().await;
        }
    }

    async fn settle_and_check(&mut self, context: &str) {
        self.settle().await;
        self.check(context).await;
    }
}

fn arn(id: u128) -> String {
    format!("arn:aws:cloudtrail:{HOME}:{TENANT}:eventdatastore/{}", Uuid::from_u128(id))
}

fn table(id: u128) -> TableName {
    TableName::of_store(&Uuid::from_u128(id))
}

#[tokio::test]
async fn every_event_is_in_each_table_that_wants_it_and_the_journal_can_go() {
    let mut side = Lakeside::new(1).await;
    side.live().await;
    side.settle_and_check("quiet").await;
    assert_eq!(side.ids(&TableName::history()).len(), 20);
    assert_eq!(side.ids(&table(EVERYWHERE)).len(), 20);
    assert_eq!(side.ids(&table(AT_HOME)).len(), 10);
}

#[tokio::test]
async fn an_event_can_be_found_after_one_turn() {
    let mut side = Lakeside::new(1).await;
    side.turn().await;
    side.post(1, TENANT, HOME).await;
    side.world.turn("index_events").await;
    assert_eq!(side.ids(&table(AT_HOME)).len(), 1);
    assert_eq!(side.world.lake.hot(&table(AT_HOME)).rows, 1, "it is not durable yet");
    assert!(side.cursor() <= 1, "so the journal keeps it");
}

async fn stop_at_every_call_of_the_disk(crash: impl Fn(u64) -> Crash) {
    for nth in 1.. {
        let mut side = Lakeside::new(1).await;
        side.world.disk.fail_nth(nth, Fault::Crash);
        side.live().await;
        let stopped = side.world.disk.failures() > 0;
        side.world.crash_and_open(crash(nth)).await;
        side.live().await;
        side.settle_and_check(&format!("{:?} at disk call {nth}", crash(nth))).await;
        if !stopped {
            assert!(nth > 10, "too few calls to mean something: {nth}");
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
    stop_at_every_call_of_the_disk(Crash::PowerLoss).await;
}

/// A call of the lake fails some times, and the node goes on, or crashes after it.
#[tokio::test]
async fn a_call_of_the_lake_fails() {
    for call in [Call::Open, Call::Append, Call::Commit, Call::CommitAnswer] {
        for times in [1, 5] {
            for crashes in [false, true] {
                for nth in 0..16 {
                    let mut side = Lakeside::new(1).await;
                    side.world.lake.fail(call, None, nth, times);
                    side.live().await;
                    if crashes {
                        side.world.crash_and_open(Crash::Kill).await;
                    }
                    side.live().await;
                    let context = format!("{call:?} {nth} fails {times} times, crashes: {crashes}");
                    side.settle_and_check(&context).await;
                }
            }
        }
    }
}

/// A table that fails for long holds the journal and nothing else.
#[tokio::test]
async fn a_failing_table_does_not_stop_the_others() {
    for call in [Call::Open, Call::Append, Call::Commit] {
        let mut side = Lakeside::new(1).await;
        side.world.lake.fail(call, Some(&table(AT_HOME)), 0, u32::MAX);
        side.live().await;
        let first_wanted = side.cursor();
        for _ in 0..10 {
            side.live().await;
        }
        assert_eq!(side.ids(&TableName::history()).len(), 220, "{call:?}");
        assert_eq!(side.ids(&table(EVERYWHERE)).len(), 220, "{call:?}");
        assert_eq!(side.cursor(), first_wanted, "{call:?}: its rows are only in the journal");
        let hot = side.world.lake.hot(&table(AT_HOME));
        assert!(hot.bytes < 8_000, "{call:?}: it must not fill the memory: {hot:?}");
        side.settle_and_check(&format!("{call:?} heals")).await;
    }
}

#[tokio::test]
async fn commits_that_take_long_do_not_hold_up_what_comes_after() {
    for pauses in [1, 7, 100] {
        for crashes in [false, true] {
            // With little memory, indexing rightly waits for the commits.
            let plan = Plan { hot_bytes_max: 1 << 20, ..Plan::default() };
            let mut side = Lakeside::planned(plan).await;
            side.world.lake.pause_in_commits(pauses);
            for round in 0..5 {
                side.live().await;
                let rows = (round + 1) * 20;
                assert_eq!(side.ids(&TableName::history()).len(), rows, "visible, {pauses} pauses");
                if crashes {
                    side.world.crash_and_open(Crash::Kill).await;
                    side.turn().await;
                }
            }
            side.settle_and_check(&format!("{pauses} pauses, crashes: {crashes}")).await;
        }
    }
}

#[tokio::test]
async fn states_count_from_their_entry_also_when_the_journal_is_read_again() {
    let mut side = Lakeside::new(1).await;
    side.live().await;
    side.change(EVERYWHERE, |state| state.ingestion = Ingestion::Stopped { since_ms: 0 }).await;
    side.live().await;
    side.change(EVERYWHERE, |state| state.ingestion = Ingestion::Enabled { since_ms: 0 }).await;
    side.make_store(3, false).await;
    side.live().await;
    side.change(AT_HOME, |state| state.multi_region = true).await;
    side.live().await;
    side.world.crash_and_open(Crash::Kill).await;
    side.turn().await;
    side.settle_and_check("read again").await;
    assert_eq!(side.ids(&table(EVERYWHERE)).len(), 60);
    assert_eq!(side.ids(&table(AT_HOME)).len(), 50);
    assert_eq!(side.ids(&table(3)).len(), 20);
}

#[tokio::test]
async fn a_deleted_store_is_removed_after_seven_days_and_not_before() {
    let day = 24 * 3600;
    let mut side = Lakeside::new(1).await;
    side.live().await;
    let since_ms = side.world.now().as_millisecond();
    side.change(AT_HOME, |state| state.deletion = Deletion::Pending { since_ms }).await;
    side.live().await;
    side.world.pass(7 * day - 100);
    side.turn().await;
    side.settle().await;
    assert_eq!(side.ids(&table(AT_HOME)).len(), 10, "what it held can still be restored");

    // In the middle of the removal the node stops.
    side.world.pass(100);
    side.world.turn("maintain_tables").await;
    assert_eq!(side.store(AT_HOME).await, None, "too late to restore it");
    side.world.crash_and_open(Crash::Kill).await;
    side.world.turn("maintain_tables").await;
    assert!(side.world.lake.has_table(&table(AT_HOME)), "the indexing worker may still write it");
    side.turn().await;
    side.settle_and_check("removed").await;
    assert!(!side.world.lake.has_table(&table(AT_HOME)));
    let versions = side.world.node().catalog.event_data_store_versions().await.unwrap();
    assert!(versions.iter().all(|version| version.arn != arn(AT_HOME)));
}

#[tokio::test]
async fn what_is_past_its_retention_goes() {
    let mut side = Lakeside::new(1).await;
    side.live().await;
    side.settle_and_check("fresh").await;
    side.world.pass(91 * 24 * 3600);
    for _ in 0..3 {
        side.turn().await;
    }
    assert_eq!(side.ids(&TableName::history()).len(), 0, "history goes back 90 days");
    assert_eq!(side.ids(&table(EVERYWHERE)).len(), 20, "the store 366");
    side.change(EVERYWHERE, |state| state.retention_days = 7).await;
    for _ in 0..3 {
        side.turn().await;
    }
    assert_eq!(side.ids(&table(EVERYWHERE)).len(), 0);
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_in_memory() {
    let mut side = Lakeside::new(1).await;
    side.world.lake.pause_in_commits(3);
    side.live().await;
    side.world.node().stop();
    let mut worker = side.world.take_worker("index_events");
    worker.last().await.unwrap();
    side.world.put_back("index_events", worker);
    assert_eq!(side.cursor(), side.world.node().journal.next_seq());
    side.check("stopped").await;
}

/// Everything at once, by chance. `CAIRN_SIM_SEEDS` as in `walk`.
#[tokio::test]
async fn by_chance() {
    for seed in super::walk::seeds(0..80) {
        let mut dice = Dice(seed);
        let mut side = Lakeside::new(seed).await;
        let mut steps = Vec::new();
        for _ in 0..60 {
            steps.push(step(&mut side, &mut dice).await);
            if side.world.disk.failures() > 0 && side.world.node().is_poisoned() {
                side.world.crash_and_open(dice.crash()).await;
                steps.push("crash".to_owned());
            }
        }
        if side.world.disk.failures() > 0 {
            side.world.crash_and_open(Crash::PowerLoss(0)).await;
        }
        side.settle_and_check(&format!("seed {seed}: {}", steps.join(", "))).await;
    }
}

async fn step(side: &mut Lakeside, dice: &mut Dice) -> String {
    match dice.below(100) {
        0..30 => {
            let (count, account) = (dice.below(8) + 1, dice.one_of(&[TENANT, MEMBER]));
            let region = dice.one_of(&[HOME, ABROAD]);
            let taken = side.post(count, account, region).await;
            format!("post {count} {taken}")
        }
        30..60 => {
            let worker =
                dice.one_of(&["index_events", "index_events", "maintain_tables", "trim_journal"]);
            format!("{worker} {:?}", side.world.turn(worker).await)
        }
        60..70 => {
            let seconds = dice.below(30) + 1;
            side.world.pass(seconds);
            format!("pass {seconds}")
        }
        70..80 => {
            let call = dice.one_of(&[Call::Open, Call::Append, Call::Commit, Call::CommitAnswer]);
            let which = dice.one_of(&[None, Some(EVERYWHERE), Some(AT_HOME)]).map(table);
            let (after, times) = (dice.below(3) as u32, dice.below(4) as u32 + 1);
            side.world.lake.fail(call, which.as_ref(), after, times);
            format!("{call:?} fails for {which:?}")
        }
        80..86 => {
            let pauses = dice.below(4) as u32;
            side.world.lake.pause_in_commits(pauses);
            format!("{pauses} pauses")
        }
        86..91 => {
            let id = dice.one_of(&[EVERYWHERE, AT_HOME]);
            let enabled = dice.below(2) == 0;
            side.change(id, |state| {
                state.ingestion = match enabled {
                    true => Ingestion::Enabled { since_ms: 0 },
                    false => Ingestion::Stopped { since_ms: 0 },
                };
            })
            .await;
            format!("store {id} enabled: {enabled}")
        }
        91..94 => {
            let fault = dice.one_of(&[Fault::Once(5), Fault::DoneButFailed(5), Fault::Once(28)]);
            side.world.disk.fail_nth(dice.below(6) + 1, fault);
            format!("{fault:?}")
        }
        _ => {
            let crash = dice.crash();
            side.world.crash_and_open(crash).await;
            format!("{crash:?}")
        }
    }
}
