//! A node without a port: its clock, chance, disk and object store are ours, its workers turn when
//! told to. Beside it stands what must be true: which event each trail has to deliver, by the
//! trail's declared state at the moment the event was accepted.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use catalog::DigestKey;
use delivery::keys::{PublicKey, SigningKey};
use durable::{Disk, FaultyDisk};
use event::{AccountId, Region};
use jiff::Timestamp;
use server::chance::SeededChance;
use server::clock::{Clock, FakeClock};
use server::lake::fake::FakeLake;
use server::node::{Node, OpenError, Seams};
use server::settings::{
    Destination, ImportSettings, IntakeAccounts, LakeSettings, QuerySettings, Settings,
};
use server::workers::{self, More, Worker};
use tempfile::TempDir;

use super::store::Store;

mod declared;

pub use declared::Declared;

pub const TENANT: &str = "111122223333";
pub const MEMBER: &str = "444455556666";
pub const HOME: &str = "us-east-1";
pub const ABROAD: &str = "eu-west-1";
pub const BUCKET: &str = "audit-logs";

/// What the other parameters of a world follow from.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub flush_interval: Duration,
    pub digest_interval: Duration,
    /// Digest keys that are valid for ever, made once for all worlds: a key takes a tenth of a
    /// second. False where the test is about keys.
    pub lasting_keys: bool,
    pub queries: QuerySettings,
    /// How much the lake may hold in memory.
    pub hot_bytes_max: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            seed: 1,
            flush_interval: Duration::from_secs(5),
            digest_interval: Duration::from_secs(3600),
            lasting_keys: true,
            queries: QuerySettings::default(),
            hot_bytes_max: 12_000,
        }
    }
}

/// How the node ends when it is not asked.
#[derive(Debug, Clone, Copy)]
pub enum Crash {
    /// kill -9: what was written is in the page cache and stays.
    Kill,
    /// What was not synced is gone, all of it (0) or by the chance of this seed.
    PowerLoss(u64),
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Done(More),
    Failed(String),
    /// The store stopped the node in the middle of a call.
    Stopped,
}

pub struct World {
    base: TempDir,
    data: PathBuf,
    folders: u32,
    pub plan: Plan,
    pub clock: Arc<FakeClock>,
    chance: Arc<SeededChance>,
    pub store: Store,
    pub lake: Arc<FakeLake>,
    pub disk: FaultyDisk,
    /// Set to put something between the node and `disk`.
    pub disk_front: Option<Arc<dyn Disk>>,
    run: Option<Run>,
    pub trails: Vec<Declared>,
    /// Ids of acknowledged events by their number in the journal.
    pub entries: BTreeMap<u64, String>,
    posted: u64,
    /// The last error of each worker, for messages.
    pub errors: BTreeMap<&'static str, String>,
}

struct Run {
    node: Arc<Node>,
    workers: Vec<(&'static str, Box<dyn Worker>)>,
}

impl World {
    pub async fn new(plan: Plan) -> World {
        let base = temporary_folder();
        let data = base.path().join("0");
        fs::create_dir(&data).unwrap();
        let start: Timestamp = "2026-03-01T11:59:30.250Z".parse().unwrap();
        let store = Store::default();
        store.make_bucket(BUCKET);
        let mut world = World {
            disk: FaultyDisk::new(&data).unwrap(),
            disk_front: None,
            data,
            base,
            folders: 1,
            clock: Arc::new(FakeClock::at(start)),
            chance: Arc::new(SeededChance::new(plan.seed)),
            store,
            lake: Arc::default(),
            run: None,
            trails: Vec::new(),
            entries: BTreeMap::new(),
            posted: 0,
            errors: BTreeMap::new(),
            plan,
        };
        if world.plan.lasting_keys {
            world.plant_key_files();
        }
        world.open().await;
        world
    }

    /// A world with the trail `main`, which logs every Region into [`BUCKET`].
    pub async fn logging(plan: Plan) -> World {
        let mut world = World::new(plan).await;
        world.create("main", BUCKET).await;
        world.start("main").await;
        world
    }

    /// A second trail into the same bucket.
    pub async fn make_second_trail(&mut self) {
        self.create("second", BUCKET).await;
        self.start("second").await;
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.run.as_ref().expect("the node runs").node
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.pass(Duration::from_secs(seconds));
    }

    // --- the node's life

    /// Opens the node over its folder. Starting and recovering are the same.
    pub async fn open(&mut self) {
        self.try_open().await.expect("the node opens");
    }

    pub async fn try_open(&mut self) -> Result<(), OpenError> {
        assert!(self.run.is_none(), "it runs already");
        let disk = self.disk_front.clone().unwrap_or_else(|| Arc::new(self.disk.clone()));
        let seams = Seams {
            clock: self.clock.clone(),
            chance: self.chance.clone(),
            disk,
            lake: self.lake.clone(),
            store: Some(self.store.client()),
        };
        let mut tries = 0;
        let node = loop {
            match Node::open(self.settings(), seams.clone()).await {
                // The run before may still have threads that end only now and hold the folder.
                Err(OpenError::Journal(journal::OpenError::InUse { .. })) if tries < 5000 => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                other => break other?,
            }
        };
        if self.plan.lasting_keys {
            for (region, _, public) in lasting_keys() {
                let key = DigestKey {
                    region: (*region).to_owned(),
                    fingerprint: public.fingerprint.clone(),
                    public_pkcs1: public.der.clone(),
                    valid_from_ms: ms("1900-01-01T00:00:00Z"),
                    valid_until_ms: ms("2200-01-01T00:00:00Z"),
                };
                node.catalog.put_digest_key(&key).await.unwrap();
            }
        }
        let table = workers::table(&node)?;
        let workers = table.into_iter().map(|(name, _, worker)| (name, worker)).collect();
        self.run = Some(Run { node, workers });
        Ok(())
    }

    /// Ends the node without any shutdown.
    pub async fn crash(&mut self, crash: Crash) {
        if let Some(run) = self.run.take() {
            drop(run.workers);
            // SQLite syncs every commit, so closing it leaves what a crash would.
            run.node.catalog.close().await;
        }
        self.store.resume();
        self.lake.crash();
        match crash {
            Crash::Kill => self.disk = FaultyDisk::new(&self.data).unwrap(),
            Crash::PowerLoss(seed) => {
                let left = self.base.path().join(self.folders.to_string());
                self.folders += 1;
                self.disk.power_loss(&left, seed).unwrap();
                for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
                    let _ = fs::remove_file(left.join(name));
                    let before = self.data.join(name);
                    if before.exists() {
                        fs::copy(before, left.join(name)).unwrap();
                    }
                }
                self.disk = FaultyDisk::new(&left).unwrap();
                self.data = left;
            }
        }
    }

    pub async fn crash_and_open(&mut self, crash: Crash) {
        self.crash(crash).await;
        self.open().await;
    }

    /// Stops as `cairn serve` does on SIGTERM, after a last turn of everything.
    pub async fn shut_down(&mut self) {
        self.node().stop();
        self.turn_all().await;
        self.crash(Crash::Kill).await;
    }

    // --- workers

    /// One turn of the worker of that name.
    pub async fn turn(&mut self, name: &str) -> Ended {
        let run = self.run.as_mut().expect("the node runs");
        let (name, worker) =
            run.workers.iter_mut().find(|(other, _)| *other == name).expect("a worker's name");
        let ended = tokio::select! {
            biased;
            turn = worker.tick() => match turn {
                Ok(more) => Ended::Done(more),
                Err(error) => Ended::Failed(chain_of(error.as_ref())),
            },
            () = self.store.stops() => Ended::Stopped,
        };
        if let Ended::Failed(error) = &ended {
            self.errors.insert(name, error.clone());
        }
        ended
    }

    /// Every worker in the table's order, again and again until none has more to do or one was
    /// stopped. Says whether all ended well.
    pub async fn turn_all(&mut self) -> bool {
        let names: Vec<&'static str> =
            self.run.as_ref().expect("the node runs").workers.iter().map(|(n, _)| *n).collect();
        let mut well = true;
        for _ in 0..10_000 {
            let mut more = false;
            for name in &names {
                match self.turn(name).await {
                    Ended::Done(More::Yes) => more = true,
                    Ended::Done(More::No) => {}
                    Ended::Failed(_) => well = false,
                    Ended::Stopped => return false,
                }
            }
            if !more || !well {
                return well;
            }
        }
        panic!("the workers find no end; errors so far: {:?}", self.errors);
    }

    /// Lets everything end well: no more failures, time passes until nothing waits, and one more
    /// digest closes over it.
    pub async fn settle(&mut self) {
        self.store.heal();
        self.disk.heal();
        self.lake.heal();
        self.drain().await;
        let now_ms = self.now().as_millisecond();
        let ahead_ms = self.chains().await.iter().map(|c| c.end_ms - now_ms).max().unwrap_or(0);
        let ahead = Duration::from_millis(u64::try_from(ahead_ms).unwrap_or(0));
        self.clock.pass(ahead + self.plan.digest_interval + Duration::from_secs(1));
        self.drain().await;
    }

    /// Time passes until no file and no digest waits.
    pub async fn drain(&mut self) {
        for _ in 0..200 {
            self.pass(31);
            if self.turn_all().await && self.is_quiet().await {
                return;
            }
        }
        let backlog = self.node().handover.backlog();
        panic!("delivery finds no rest: {backlog:?}, errors so far: {:?}", self.errors);
    }

    async fn is_quiet(&self) -> bool {
        let backlog = self.node().handover.backlog();
        let digests = self.node().catalog.digests_to_put(&[], 1).await.unwrap();
        backlog.open_files == 0 && backlog.spooled_files == 0 && digests.is_empty()
    }

    /// Takes a worker out, to turn it beside others.
    pub fn take_worker(&mut self, name: &str) -> Box<dyn Worker> {
        let workers = &mut self.run.as_mut().expect("the node runs").workers;
        let place = workers.iter().position(|(other, _)| *other == name).expect("a worker's name");
        workers.remove(place).1
    }

    pub fn put_back(&mut self, name: &'static str, worker: Box<dyn Worker>) {
        self.run.as_mut().expect("the node runs").workers.insert(0, (name, worker));
    }

    /// Every digest key that ListPublicKeys could give.
    pub async fn digest_keys(&self) -> Vec<DigestKey> {
        let mut keys = Vec::new();
        for region in [HOME, ABROAD] {
            keys.extend(self.node().catalog.digest_keys(region, i64::MIN, i64::MAX).await.unwrap());
        }
        keys
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    fn settings(&self) -> Settings {
        Settings {
            data: self.data.clone(),
            listen: "127.0.0.1:4580".parse().unwrap(),
            account: AccountId::parse(TENANT).unwrap(),
            region: Region::parse(HOME).unwrap(),
            flush_interval: self.plan.flush_interval,
            digest_interval: self.plan.digest_interval,
            // Small enough that a burst fills a file, and several streams the memory.
            log_file_bytes_max: 6_000,
            open_files_bytes_max: 15_000,
            intake_accounts: IntakeAccounts::Any,
            intake_body_bytes_max: 1 << 20,
            intake_inflated_bytes_max: 1 << 20,
            redact: true,
            destination: Destination::Embedded,
            preflight_markers: false,
            trails_per_region_max: 5,
            bucket_host_suffixes: Vec::new(),
            queries: self.plan.queries.clone(),
            imports: ImportSettings::default(),
            model: None,
            journal: journal::Options {
                segment_bytes_max: 16 << 10,
                gather_us_max: 100,
                write_bytes_max: 64 << 10,
                free_bytes_min: 0,
            },
            // Small enough that a world sees many commits and batches.
            lake: LakeSettings {
                commit_bytes: 4_000,
                commit_interval: Duration::from_secs(20),
                hot_bytes_max: self.plan.hot_bytes_max,
                read_bytes_max: 1_500,
                ..LakeSettings::default()
            },
        }
    }

    fn plant_key_files(&mut self) {
        for (region, private, public) in lasting_keys() {
            let folder = self.data.join("keys").join(region);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{}.pk8", public.fingerprint)), private).unwrap();
        }
        self.disk = FaultyDisk::new(&self.data).unwrap();
    }
}

/// In memory where possible: the faulty disk says what is durable.
fn temporary_folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

type LastingKey = (&'static str, Vec<u8>, PublicKey);

fn lasting_keys() -> &'static [LastingKey] {
    static KEYS: OnceLock<Vec<LastingKey>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let make = |region| {
            let key = SigningKey::generate().unwrap();
            (region, key.private().unwrap().expose().to_vec(), key.public().clone())
        };
        vec![make(HOME), make(ABROAD)]
    })
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
