//! Who is there and what they own, all from one seed: accounts, people, roles, addresses, programs.
//!
//! ```text
//!   world ── accounts ── principals ── sessions (an hour each)      who acts
//!                     └─ entities: (kind, account, Region, index) → the same name every time
//! ```
//! Real logs compress well because the same few principals do most of the work, from the same
//! addresses with the same programs. So nothing here is thrown anew for each event: an index is drawn
//! with [`Weights`], few of them often, and everything about it follows from the seed.

use crate::dice::Dice;

/// Name and share of the events.
const ACCOUNTS: [(&str, u64); 4] =
    [("111111111111", 45), ("204173852967", 30), ("358910246731", 17), ("471625093884", 8)];
const REGIONS: [(&str, u64); 5] = [
    ("us-east-1", 46),
    ("eu-central-1", 22),
    ("us-west-2", 16),
    ("eu-west-1", 9),
    ("ap-southeast-2", 7),
];
const FIRST_NAMES: [&str; 20] = [
    "ana", "bjorn", "chidi", "dana", "emre", "fatima", "goran", "hana", "ivan", "jun", "karin",
    "luis", "mei", "noah", "olga", "pavel", "rosa", "sami", "tomas", "wanda",
];
const LAST_NAMES: [&str; 20] = [
    "souza", "lind", "okafor", "levy", "kaya", "zahra", "petrov", "suzuki", "horvat", "park",
    "maier", "ortega", "nguyen", "rossi", "novak", "silva", "haas", "dubois", "kim", "moreau",
];
pub const TEAMS: [&str; 14] = [
    "billing",
    "checkout",
    "catalogue",
    "data-platform",
    "identity",
    "payments",
    "search",
    "shipping",
    "ledger",
    "fraud",
    "mobile",
    "media",
    "support",
    "core-network",
];
pub const STAGES: [&str; 3] = ["prod", "staging", "dev"];
const JOBS: [&str; 9] =
    ["api", "worker", "batch-etl", "scheduler", "gateway", "ingest", "exporter", "indexer", "web"];
/// The user of whom there are so few events that finding them is a search.
pub const RARE_USER: &str = "yuki.tanabe-auditor";

/// Chooses an index, some more often than others.
#[derive(Debug)]
pub struct Weights {
    /// Running sums.
    ends: Vec<u64>,
}

impl Weights {
    /// `weights` must have a sum above 0.
    pub fn of(weights: impl Iterator<Item = u64>) -> Weights {
        let ends: Vec<u64> = weights
            .scan(0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        assert!(ends.last().is_some_and(|sum| *sum > 0), "nothing to choose from");
        Weights { ends }
    }

    /// Zipf's law with exponent 1, a little flatter at its head: index `n` weighs 1 / (n + 3).
    pub fn zipf(count: u64) -> Weights {
        Weights::of((0..count).map(|n| 10_000_000 / (n + 3)))
    }

    pub fn pick(&self, dice: &mut Dice) -> usize {
        let sum = self.ends.last().expect("`of` has checked that there is one");
        let at = dice.below(*sum);
        self.ends.partition_point(|end| *end <= at)
    }
}

/// What a principal is there for decides what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Workload,
    Deployment,
    Person,
    Scanner,
}

/// How a principal comes to its credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    /// Roles, by what their sessions are named after.
    Instance,
    Task,
    Function,
    Pipeline,
    SignedOn,
}

#[derive(Debug)]
pub struct Principal {
    pub purpose: Purpose,
    pub kind: Kind,
    /// User or role name.
    pub name: String,
    /// AIDA… or AROA…
    pub id: String,
    /// Whole user agents, of which a session has one.
    pub agents: Vec<String>,
    /// How many sessions it has at a time.
    pub sessions: u64,
    /// Sees its Region through an interface endpoint, if any.
    pub endpoint: Option<String>,
}

#[derive(Debug)]
pub struct Account {
    pub id: &'static str,
    pub principals: Vec<Principal>,
}

#[derive(Debug)]
pub struct World {
    pub seed: u64,
    pub accounts: Vec<Account>,
    pub streams: Weights,
    pub by_use: Weights,
    pub entities: Weights,
}

/// One account in one Region: what a log file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    pub account: usize,
    pub region: usize,
}

impl Stream {
    pub fn region_name(self) -> &'static str {
        REGIONS[self.region].0
    }

    /// Global services record in us-east-1 only.
    pub fn has_global_services(self) -> bool {
        self.region == 0
    }
}

/// Principals of an account, and entities of a kind in it.
const PRINCIPALS: u64 = 160;
const ENTITIES: u64 = 400;

impl World {
    pub fn new(seed: u64) -> World {
        let accounts = (0..ACCOUNTS.len())
            .map(|account| Account {
                id: ACCOUNTS[account].0,
                principals: (0..PRINCIPALS).map(|nth| principal(seed, account, nth)).collect(),
            })
            .collect();
        let pairs = ACCOUNTS.iter().flat_map(|(_, a)| REGIONS.iter().map(move |(_, r)| a * r));
        World {
            seed,
            accounts,
            streams: Weights::of(pairs),
            by_use: Weights::zipf(PRINCIPALS),
            entities: Weights::zipf(ENTITIES),
        }
    }

    pub fn stream(&self, dice: &mut Dice) -> Stream {
        let at = self.streams.pick(dice);
        Stream { account: at / REGIONS.len(), region: at % REGIONS.len() }
    }

    /// Chance that belongs to one thing: asked again, it says the same.
    pub fn entity(&self, kind: &str, stream: Stream, index: u64) -> Dice {
        let place = ((stream.account as u64) << 8) | stream.region as u64;
        seeded(&[self.seed, text_number(kind), place, index])
    }

    /// The index of a thing that is used, a few of them most of the time.
    pub fn index(&self, dice: &mut Dice) -> u64 {
        self.entities.pick(dice) as u64
    }
}

/// A dice for these numbers in this order.
pub fn seeded(numbers: &[u64]) -> Dice {
    let state = numbers.iter().fold(0, |state, number| Dice::new(state ^ number).bits());
    Dice::new(state)
}

fn text_number(text: &str) -> u64 {
    text.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
}

fn principal(seed: u64, account: usize, nth: u64) -> Principal {
    let mut dice = seeded(&[seed, text_number("principal"), account as u64, nth]);
    // The busiest are programs; people and scanners come after them.
    let (purpose, kind) = match (nth, nth % 10) {
        (0 | 2, _) => (Purpose::Workload, Kind::Task),
        (1 | 3, _) => (Purpose::Workload, Kind::User),
        (_, 0 | 1) => (Purpose::Workload, Kind::Task),
        (_, 2) => (Purpose::Workload, Kind::Function),
        (_, 3) => (Purpose::Workload, Kind::Instance),
        (_, 4) => (Purpose::Deployment, Kind::Pipeline),
        (_, 5) => (Purpose::Person, Kind::SignedOn),
        (_, 6) => (Purpose::Workload, Kind::User),
        (_, 7) => (Purpose::Person, Kind::User),
        (_, 8) => (Purpose::Scanner, Kind::Function),
        _ => (Purpose::Deployment, Kind::User),
    };
    let job = dice.pick(&JOBS);
    let name = match (kind, purpose) {
        (Kind::User, Purpose::Person) => person(&mut dice),
        (Kind::User, Purpose::Deployment) => format!("ci-{}-{nth}", dice.pick(&TEAMS)),
        (Kind::User, _) => format!("svc-{}-{job}-{nth}", dice.pick(&TEAMS)),
        (Kind::SignedOn, _) => format!(
            "AWSReservedSSO_{}_{}",
            dice.pick(&["AdministratorAccess", "PowerUserAccess", "ReadOnlyAccess", "Developer"]),
            dice.hex(16)
        ),
        (Kind::Pipeline, _) => format!("{}-{}-deploy", dice.pick(&TEAMS), dice.pick(&STAGES)),
        (_, Purpose::Scanner) => format!("security-{}-{nth}", dice.pick(&["posture", "inventory"])),
        _ => format!("{}-{}-{job}-{nth}", dice.pick(&TEAMS), dice.pick(&STAGES)),
    };
    let prefix = if kind == Kind::User { "AIDA" } else { "AROA" };
    let id = format!("{prefix}{}", dice.base32(17));
    let programs = if purpose == Purpose::Person { 3 } else { 1 };
    let agents = (0..programs).map(|_| agent(&mut dice, purpose)).collect();
    let sessions = match kind {
        Kind::User => 1,
        Kind::SignedOn => 8,
        Kind::Pipeline => 4,
        _ => 3 + dice.below(12),
    };
    let endpoint = (purpose == Purpose::Workload && dice.happens(35))
        .then(|| format!("vpce-0{}", dice.hex(16)));
    Principal { purpose, kind, name, id, agents, sessions, endpoint }
}

pub fn person(dice: &mut Dice) -> String {
    format!("{}.{}", dice.pick(&FIRST_NAMES), dice.pick(&LAST_NAMES))
}

/// A whole user agent, such as this purpose's programs send; versions differ from one to the next.
fn agent(dice: &mut Dice, purpose: Purpose) -> String {
    let minor = dice.below(60);
    let patch = dice.below(9);
    let linux =
        dice.pick(&["5.10.223-212.873.amzn2", "6.1.102-108.177.amzn2023", "6.8.0-1015-aws"]);
    match (purpose, dice.below(3)) {
        (Purpose::Person, 0) => format!(
            "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/1{minor:02}.0.0.0 Safari/537.36",
            dice.pick(&[
                "Macintosh; Intel Mac OS X 10_15_7",
                "Windows NT 10.0; Win64; x64",
                "X11; Linux x86_64"
            ])
        ),
        (Purpose::Person, _) | (Purpose::Deployment, 0) => format!(
            "aws-cli/2.{minor}.{patch} md/awscrt#0.2{patch}.11 ua/2.0 os/{} md/arch#{} lang/python#3.11.{patch} md/pyimpl#CPython cfg/retry-mode#standard md/command#{}",
            dice.pick(&["macos#24.6.0", "linux#6.1.102", "windows#10"]),
            dice.pick(&["arm64", "x86_64"]),
            dice.pick(&[
                "s3.cp",
                "sts.get-caller-identity",
                "ec2.describe-instances",
                "ecs.update-service"
            ]),
        ),
        (Purpose::Deployment, _) => format!(
            "APN/1.0 HashiCorp/1.0 Terraform/1.{patch}.{patch} (+https://www.terraform.io) terraform-provider-aws/5.{minor}.0 aws-sdk-go-v2/1.3{patch}.4 ua/2.1 os/linux lang/go#1.23.{patch} md/GOOS#linux md/GOARCH#amd64"
        ),
        (Purpose::Scanner, _) => format!(
            "Boto3/1.{minor}.{patch} md/Botocore#1.{minor}.{patch} ua/2.0 os/linux#{linux} md/arch#aarch64 lang/python#3.12.{patch} md/pyimpl#CPython exec-env/AWS_Lambda_python3.12 cfg/retry-mode#adaptive"
        ),
        (Purpose::Workload, 0) => format!(
            "aws-sdk-java/2.2{patch}.{minor} md/io#async md/http#NettyNio ua/2.1 os/Linux#{linux} lang/java#21.0.{patch} md/OpenJDK_64-Bit_Server_VM#21.0.{patch}+9-LTS md/vendor#Amazon.com_Inc. exec-env/AWS_ECS_FARGATE"
        ),
        (Purpose::Workload, 1) => format!(
            "aws-sdk-go-v2/1.3{patch}.{patch} ua/2.1 os/linux lang/go#1.23.{patch} md/GOOS#linux md/GOARCH#arm64 exec-env/AWS_ECS_EC2 m/E,{patch}"
        ),
        (Purpose::Workload, _) => format!(
            "Boto3/1.{minor}.{patch} md/Botocore#1.{minor}.{patch} ua/2.0 os/linux#{linux} md/arch#x86_64 lang/python#3.12.{patch} md/pyimpl#CPython cfg/retry-mode#standard"
        ),
    }
}
