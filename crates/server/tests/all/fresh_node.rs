//! A node of its own for each test: in this process, in a temporary folder, on a free port.

use std::sync::Arc;
use std::time::Duration;

use event::{AccountId, Region};
use server::chance::SystemChance;
use server::clock::SystemClock;
use server::node::{Node, Seams};
use server::serve::{listen, serve};
use server::settings::{Destination, IntakeAccounts, LakeSettings, Settings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const ACCOUNT: &str = "111111111111";
pub const REGION: &str = "us-east-1";

pub struct FreshNode {
    pub node: Arc<Node>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _folder: TempDir,
}

impl FreshNode {
    /// Open and serving. Log files close after 100 ms, so that nobody waits for them.
    pub async fn start() -> FreshNode {
        FreshNode::start_with(|_| {}).await
    }

    /// The same, with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> FreshNode {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = listen(address).await.expect("a free port");
        let mut settings = Settings {
            data: folder.path().join("data"),
            listen: listener.local_addr().expect("the port just taken"),
            account: AccountId::parse(ACCOUNT).expect("twelve digits"),
            region: Region::parse(REGION).expect("a Region"),
            flush_interval: Duration::from_millis(100),
            digest_interval: Duration::from_secs(3_600),
            log_file_bytes_max: 1 << 20,
            open_files_bytes_max: 4 << 20,
            intake_accounts: IntakeAccounts::Any,
            intake_body_bytes_max: 1 << 20,
            intake_inflated_bytes_max: 4 << 20,
            redact: true,
            destination: Destination::Embedded,
            preflight_markers: true,
            trails_per_region_max: 5,
            bucket_host_suffixes: vec!["localhost".to_owned()],
            queries: server::settings::QuerySettings::default(),
            imports: server::settings::ImportSettings::default(),
            model: None,
            journal: journal::Options {
                segment_bytes_max: 1 << 20,
                gather_us_max: 0,
                ..journal::Options::default()
            },
            lake: LakeSettings::default(),
        };
        change(&mut settings);
        let seams = Seams {
            store: None,
            lake: Arc::new(server::lake::fake::FakeLake::default()),
            clock: Arc::new(SystemClock::start()),
            chance: Arc::new(SystemChance),
            disk: Arc::new(durable::RealDisk),
        };
        let node = Node::open(settings, seams).await.expect("a fresh folder opens");
        let stop = CancellationToken::new();
        let (served, stopped) = (node.clone(), stop.clone());
        let serving = tokio::spawn(async move {
            serve(served, listener, stopped).await.expect("the node serves until it is stopped");
        });
        FreshNode { node, stop, serving, _folder: folder }
    }

    /// Stops cleanly, so that the folder can go.
    pub async fn stop(self) {
        self.stop.cancel();
        self.serving.await.expect("the node stops cleanly");
    }
}
