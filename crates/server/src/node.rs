//! The node: everything that is open while the server runs, and what starting it means.
//!
//! Starting up and recovering are the same: [`Node::open`] opens the journal (which cuts a torn
//! tail), the catalog and the spool; the workers' first turns go on where the last ones stopped.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use catalog::Catalog;
use delivery::destination::{Destination, StoreSettings};
use delivery::spool::Spool;
use durable::Disk;
use journal::{Condition, Journal};
use tokio::sync::watch;

use crate::access::Verifier;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::credentials::{self, Credentials, Keys};
use crate::digest_keys::DigestKeys;
use crate::doors::bucket::BucketDoor;
use crate::handover::Handover;
use crate::metrics::Metrics;
use crate::settings::{self, Settings};

/// Everything that is open. Shared by doors, operations and workers.
#[derive(Debug)]
pub struct Node {
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub disk: Arc<dyn Disk>,
    pub journal: Journal,
    pub catalog: Catalog,
    pub spool: Arc<Spool>,
    pub buckets: BucketDoor,
    pub verifier: Verifier,
    pub keys: Arc<Keys>,
    pub digest_keys: DigestKeys,
    pub handover: Handover,
    pub metrics: Metrics,
    pub credentials: Credentials,
    destinations: Mutex<HashMap<String, Arc<Destination>>>,
    trails_changed: watch::Sender<u64>,
    stopping: AtomicBool,
}

/// The seams, as `cairn` or a test fills them.
#[derive(Debug, Clone)]
pub struct Seams {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub disk: Arc<dyn Disk>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("make data folder {path}; is its parent writable?")]
    Folder { path: PathBuf, #[source] source: io::Error },
    #[error("open the journal")]
    Journal(#[from] journal::OpenError),
    #[error("read the journal")]
    Read(#[from] journal::ReadError),
    #[error("open a cursor of the journal")]
    Cursor(#[from] journal::CursorError),
    #[error("open the catalog")]
    Catalog(#[from] catalog::CatalogError),
    #[error("open the spool")]
    Spool(#[from] delivery::spool::SpoolFault),
    #[error("open the bucket store")]
    Buckets(#[from] bucket::StoreError),
    #[error("credentials")]
    Credentials(#[from] credentials::CredentialsError),
}

impl Node {
    /// Opens everything under the data folder, making what is not there.
    pub async fn open(settings: Settings, seams: Seams) -> Result<Arc<Node>, OpenError> {
        let data = settings.data.clone();
        let disk = seams.disk.clone();
        let options = settings.journal.clone();
        let folder = data.clone();
        let (journal, spool, store) = tokio::task::spawn_blocking(move || {
            make_private(&folder, disk.as_ref())?;
            let (journal, recovered) = Journal::open(&folder.join("journal"), options, disk.clone())?;
            tracing::info!(?recovered, "journal open");
            let spool = Spool::open(&folder.join("spool"), disk.clone())?;
            let store = bucket::Store::open(&folder.join("buckets"), disk)?;
            Ok::<_, OpenError>((journal, spool, store))
        })
        .await
        .expect("opening does not panic")?;
        let catalog = Catalog::open(&data.join("catalog.sqlite")).await?;
        let now = seams.clock.now();
        let (credentials, keys) =
            credentials::open(&settings, &catalog, seams.disk.as_ref(), seams.chance.as_ref(), now).await?;
        let keys = Arc::new(keys);
        let digest_keys = DigestKeys::new(&data.join("keys"));
        let clock = seams.clock.clone();
        let buckets = BucketDoor::new(
            Arc::new(store),
            keys.clone(),
            Arc::new(move || clock.now()),
            settings.region.to_string(),
        );
        let (trails_changed, _) = watch::channel(0);
        Ok(Arc::new(Node {
            clock: seams.clock,
            chance: seams.chance,
            disk: seams.disk,
            journal,
            catalog,
            spool: Arc::new(spool),
            buckets,
            verifier: Verifier::default(),
            keys,
            digest_keys,
            handover: Handover::default(),
            metrics: Metrics::new(),
            credentials,
            destinations: Mutex::default(),
            trails_changed,
            stopping: AtomicBool::new(false),
            settings,
        }))
    }

    /// The store behind a bucket's name. Connections are kept; the error says what is wrong with
    /// the configured store.
    pub fn destination(&self, bucket: &str) -> Result<Arc<Destination>, String> {
        let mut destinations = self.destinations.lock().expect("no holder of this lock can panic");
        if let Some(destination) = destinations.get(bucket) {
            return Ok(destination.clone());
        }
        let store = match &self.settings.destination {
            settings::Destination::Embedded => StoreSettings {
                endpoint: self.endpoint(),
                region: self.settings.region.to_string(),
                access_key_id: self.keys.delivery_key_id().to_owned(),
                secret_access_key: self.keys.delivery_secret().to_owned(),
                virtual_host_style: false,
            },
            settings::Destination::External(store) => StoreSettings {
                endpoint: store.endpoint.clone(),
                region: store.region.clone(),
                access_key_id: store.access_key_id.clone(),
                secret_access_key: store.secret_access_key.to_string(),
                virtual_host_style: store.virtual_host_style,
            },
        };
        let destination = Arc::new(Destination::new(&store, bucket).map_err(|e| e.to_string())?);
        destinations.insert(bucket.to_owned(), destination.clone());
        Ok(destination)
    }

    /// Where this node is reached from this machine.
    pub fn endpoint(&self) -> String {
        credentials::endpoint(self.settings.listen)
    }

    /// Workers that follow the trails' states look again.
    pub fn trails_changed(&self) {
        self.trails_changed.send_modify(|count| *count += 1);
    }

    pub fn trails_watch(&self) -> watch::Receiver<u64> {
        self.trails_changed.subscribe()
    }

    /// How long after a stop what happened before it is still delivered.
    pub fn late_grace_ms(&self) -> i64 {
        i64::try_from(self.settings.flush_interval.as_millis()).unwrap_or(i64::MAX).saturating_mul(2)
    }

    /// Can events be taken now? While they cannot, nothing may happen that would have to be recorded.
    pub fn accepts(&self) -> bool {
        self.journal.state().condition == Condition::Accepting
    }

    /// The journal no longer knows what is on disk: only a restart helps.
    pub fn is_poisoned(&self) -> bool {
        matches!(self.journal.state().condition, Condition::Poisoned { .. })
    }

    /// From now on open files are closed at once, so that a clean stop leaves little to redo.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Makes the data folder readable by its owner only: it holds keys.
fn make_private(folder: &std::path::Path, disk: &dyn Disk) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| OpenError::Folder { path: folder.to_owned(), source };
    let is_new = !folder.exists();
    disk.create_dir_all(folder).map_err(failed)?;
    if is_new {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}
