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
use std::time::Duration;

use catalog::Catalog;
use delivery::destination::{
    Addressing, DeliveryFailure, Destination, Encryption, HttpClient, PutHeaders, StoreSettings,
};
use delivery::spool::Spool;
use durable::Disk;
use event::{AccountId, Region};
use jiff::{SignedDuration, Timestamp};
use journal::{Condition, Journal};
use tokio::sync::watch;

use crate::access::{AuthError, Dialect, Judgement, Refusal, ReplayGuard, Verified, Verifier};
use crate::accounts::Accounts;
use crate::chance::Chance;
use crate::channels::LatestPuts;
use crate::clock::Clock;
use crate::credentials::{self, Credentials};
use crate::dashboards::managed::ManagedDashboards;
use crate::digest_keys::DigestKeys;
use crate::doors::bucket::BucketDoor;
use crate::handover::Handover;
use crate::imports::Imports;
use crate::indexing::Indexing;
use crate::intake::Budget;
use crate::lake::Lake;
use crate::memberships::Memberships;
use crate::metrics::Metrics;
use crate::queries::Queries;
use crate::sample_queries::SampleQueries;
use crate::settings::{self, Settings};
use crate::store_table::StoreTable;
use crate::throttle::Throttle;
use crate::trail_table::TrailTable;

/// How long connecting to a store and putting one file may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const PUT_MAX: Duration = Duration::from_secs(60);

/// Signatures remembered, about 15 MB when full; a copy of a request may be sent again once this
/// many others have come after it.
const REPLAYS_KEPT_MAX: usize = 100_000;
const RETRY_GRACE: SignedDuration = SignedDuration::from_secs(5);
const RETRIES_MAX: u8 = 3;
/// Posted bodies in memory at once.
const INTAKE_BYTES_MAX: usize = 96 << 20;

/// Everything that is open. Shared by doors, operations and workers.
pub struct Node {
    pub settings: Settings,
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub disk: Arc<dyn Disk>,
    pub journal: Journal,
    pub catalog: Catalog,
    pub spool: Arc<Spool>,
    pub lake: Arc<dyn Lake>,
    pub buckets: BucketDoor,
    pub verifier: Verifier,
    replays: Mutex<ReplayGuard>,
    pub intake_budget: Budget,
    pub accounts: Arc<Accounts>,
    pub digest_keys: DigestKeys,
    pub handover: Handover,
    pub imports: Imports,
    pub queries: Queries,
    pub latest_puts: LatestPuts,
    pub samples: SampleQueries,
    pub dashboards: ManagedDashboards,
    pub metrics: Metrics,
    pub credentials: Credentials,
    store: Option<HttpClient>,
    destinations: Mutex<HashMap<String, Arc<Destination>>>,
    trails_changed: watch::Sender<u64>,
    stores_changed: watch::Sender<u64>,
    pub indexing: Indexing,
    /// The first entry of this run.
    first_seq: u64,
    /// By account and Region.
    pub lookup_throttle: Throttle<(AccountId, Region)>,
    stopping: AtomicBool,
}

/// The seams, as `cairn` or a test fills them.
#[derive(Debug, Clone)]
pub struct Seams {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
    pub disk: Arc<dyn Disk>,
    pub lake: Arc<dyn Lake>,
    /// What carries requests to the destination; `None` is the network.
    pub store: Option<HttpClient>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("make data folder {path}; is its parent writable?")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
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
        let options = settings.journal;
        let folder = data.clone();
        let (journal, spool, store) = tokio::task::spawn_blocking(move || {
            make_private(&folder, disk.as_ref())?;
            // What queries had put aside when the last run was cut off. Nobody needs it.
            match fs::remove_dir_all(folder.join("spill")) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(error = %e, "the spill folder cannot be emptied");
                }
                _ => {}
            }
            let (journal, recovered) =
                Journal::open(&folder.join("journal"), options, disk.clone())?;
            tracing::info!(?recovered, "journal open");
            let spool = Spool::open(&folder.join("spool"), disk.clone())?;
            let store = bucket::Store::open(&folder.join("buckets"), disk)?;
            Ok::<_, OpenError>((journal, spool, store))
        })
        .await
        .expect("opening does not panic")?;
        let catalog = Catalog::open(&data.join("catalog.sqlite")).await?;
        let now = seams.clock.now();
        let (credentials, accounts) =
            credentials::open(&settings, &catalog, seams.disk.as_ref(), seams.chance.as_ref(), now)
                .await?;
        let accounts = Arc::new(accounts);
        let digest_keys = DigestKeys::new(&data.join("keys"));
        let clock = seams.clock.clone();
        let buckets = BucketDoor::new(
            Arc::new(store),
            accounts.clone(),
            Arc::new(move || clock.now()),
            {
                let accounts = accounts.clone();
                Arc::new(move |asked| crate::bucket_policy::permits(&accounts, asked))
            },
            settings.bucket_host_suffixes.clone(),
        );
        let first_seq = journal.next_seq();
        let (trails_changed, _) = watch::channel(0);
        let (stores_changed, _) = watch::channel(0);
        Ok(Arc::new(Node {
            clock: seams.clock,
            chance: seams.chance,
            disk: seams.disk,
            lake: seams.lake,
            journal,
            catalog,
            spool: Arc::new(spool),
            buckets,
            verifier: Verifier::default(),
            replays: Mutex::new(ReplayGuard::new(REPLAYS_KEPT_MAX, RETRY_GRACE, RETRIES_MAX)),
            intake_budget: Budget::new(INTAKE_BYTES_MAX),
            accounts,
            digest_keys,
            handover: Handover::default(),
            imports: Imports::new(settings.imports.memory_bytes_max),
            queries: Queries::new(&data),
            latest_puts: LatestPuts::default(),
            samples: SampleQueries::default(),
            dashboards: ManagedDashboards::default(),
            metrics: Metrics::new(),
            credentials,
            store: seams.store,
            destinations: Mutex::default(),
            trails_changed,
            stores_changed,
            indexing: Indexing::default(),
            first_seq,
            lookup_throttle: Throttle::default(),
            stopping: AtomicBool::new(false),
            settings,
        }))
    }

    /// The store behind a bucket's name. Fails when the configured store makes no sense.
    pub fn destination(&self, bucket: &str) -> Result<Arc<Destination>, DeliveryFailure> {
        let mut destinations = self.destinations.lock().expect("no holder of this lock can panic");
        if let Some(destination) = destinations.get(bucket) {
            return Ok(destination.clone());
        }
        let own = || {
            let (key_id, secret) = self.accounts.delivery_key();
            store_settings(self.endpoint(), self.settings.region.as_str(), &key_id, secret.reveal())
        };
        let destination = match (destinations.values().next(), &self.settings.destination) {
            // All buckets lie in one store and share its connections.
            (Some(other), _) => other.with_bucket(bucket),
            (None, settings::Destination::Embedded) => self.connected(&own(), bucket)?,
            (None, settings::Destination::External(store)) => {
                let mut external = store_settings(
                    store.endpoint.clone(),
                    &store.region,
                    &store.access_key_id,
                    store.secret_access_key.reveal(),
                );
                external.direct = false;
                if store.virtual_host_style {
                    external.addressing = Addressing::VirtualHost;
                }
                self.connected(&external, bucket)?
            }
        };
        let destination = Arc::new(destination);
        destinations.insert(bucket.to_owned(), destination.clone());
        Ok(destination)
    }

    /// The store from which an account's import reads a bucket: the node's own if it has a bucket of
    /// that name, else the one that log files go to. The node's own is read by the account's service
    /// role, so a bucket policy that is about CloudTrail's deliveries need not speak of it.
    pub fn source(
        &self,
        account: &AccountId,
        bucket: &str,
    ) -> Result<Arc<Destination>, DeliveryFailure> {
        let embedded = matches!(self.settings.destination, settings::Destination::Embedded);
        if !embedded && !self.buckets.has_bucket(bucket) {
            // The other store knows the node by one key, which may read what is not the account's.
            return match account == self.accounts.operator() {
                true => self.destination(bucket),
                false => Err(DeliveryFailure {
                    code: "AccessDenied".to_owned(),
                    status: Some(403),
                    detail: format!("account {account} may not read the operator's store"),
                    retry: false,
                }),
            };
        }
        let (key_id, secret) = self.accounts.service_key(account, self.chance.as_ref());
        let region = self.settings.region.as_str();
        let own = store_settings(self.endpoint(), region, &key_id, secret.reveal());
        self.connected(&own, bucket).map(Arc::new)
    }

    fn connected(
        &self,
        store: &StoreSettings,
        bucket: &str,
    ) -> Result<Destination, DeliveryFailure> {
        match &self.store {
            None => Destination::new(store, bucket),
            Some(client) => Destination::with_client(store, bucket, client.clone()),
        }
    }

    /// What every put of a log file or digest carries.
    pub fn put_headers(&self, trail_arn: &str) -> PutHeaders {
        let own = matches!(self.settings.destination, settings::Destination::Embedded);
        PutHeaders {
            source_arn: own.then(|| trail_arn.to_owned()),
            acl: true,
            encryption: Encryption::BucketDefault,
        }
    }

    /// Where this node is reached from this machine.
    pub fn endpoint(&self) -> String {
        credentials::endpoint(self.settings.listen)
    }

    /// A signature that comes again later than any retry would is somebody else's copy. For
    /// what changes something: asking twice is harmless.
    pub fn not_replayed(
        &self,
        verified: Verified,
        dialect: Dialect,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        let mut guard = self.replays.lock().expect("no holder of this lock can panic");
        match guard.judge(&verified.signature, verified.usable_until, now) {
            Judgement::Fresh | Judgement::Retry => Ok(verified),
            Judgement::Replay => Err(AuthError::new(Refusal::Replayed, dialect)),
        }
    }

    /// Workers that follow the trails' states look again.
    pub fn trails_changed(&self) {
        self.trails_changed.send_modify(|count| *count += 1);
    }

    pub fn trails_watch(&self) -> watch::Receiver<u64> {
        self.trails_changed.subscribe()
    }

    /// Which trails want an event, as the catalog has it now.
    pub async fn trail_table(&self) -> Result<TrailTable, catalog::CatalogError> {
        let versions = self.catalog.trail_versions().await?;
        let memberships = Memberships::new(self.catalog.memberships().await?);
        Ok(TrailTable::new(versions, memberships))
    }

    /// Which event data stores want an event, as the catalog has it now.
    pub async fn store_table(&self) -> Result<StoreTable, catalog::CatalogError> {
        let versions = self.catalog.event_data_store_versions().await?;
        let memberships = Memberships::new(self.catalog.memberships().await?);
        Ok(StoreTable::new(versions, memberships))
    }

    /// Workers that follow the event data stores' states look again.
    pub fn stores_changed(&self) {
        self.stores_changed.send_modify(|count| *count += 1);
    }

    /// The value counts the changes of this run.
    pub fn stores_watch(&self) -> watch::Receiver<u64> {
        self.stores_changed.subscribe()
    }

    /// How long after a stop what happened before it is still delivered.
    pub fn late_grace_ms(&self) -> i64 {
        i64::try_from(self.settings.flush_interval.as_millis())
            .unwrap_or(i64::MAX)
            .saturating_mul(2)
    }

    /// Can events be taken now? While they cannot, nothing may happen that would have to be recorded.
    pub fn accepts(&self) -> bool {
        self.journal.state().condition == Condition::Accepting
    }

    /// Is what was accepted before this run visible again? After a start the newest events have to be
    /// read from the journal once more, and until then a query would find too few.
    pub fn shows_what_was_before(&self) -> bool {
        self.indexing.progress().next_seq >= self.first_seq
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

fn store_settings(endpoint: String, region: &str, key_id: &str, secret: &str) -> StoreSettings {
    StoreSettings {
        endpoint,
        addressing: Addressing::Path,
        region: region.to_owned(),
        access_key_id: key_id.to_owned(),
        secret_access_key: secret.to_owned(),
        session_token: None,
        direct: true,
        connect_timeout: CONNECT_MAX,
        request_timeout: PUT_MAX,
    }
}

/// Makes the data folder, if it is not there, readable by its owner only: it holds keys.
pub fn make_private(folder: &std::path::Path, disk: &dyn Disk) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| OpenError::Folder { path: folder.to_owned(), source };
    let is_new = !folder.exists();
    disk.create_dir_all(folder).map_err(failed)?;
    if is_new {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}
