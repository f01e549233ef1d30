//! What has been declared?
//!
//! Accounts and who acts in them, trails and event data stores with their states, channels, tags,
//! policies, digest keys, the ledger of delivered log files, chains of digests, ingest tokens, queries,
//! imports, dashboards. SQL lives in this crate only.
//!
//! ```text
//!   trails ──< trail_states      every change is a row, valid from a journal position on
//!      └────< streams            how far each (account, Region, folder) has been cut into files
//!      └────< log_files >── digests      the ledger; a file belongs to at most one digest
//!      └────< chains             the newest digest of each (account, Region)
//!      └────< aggregated_events  summed up, and in no file yet; `aggregation` says how far
//!   event_data_stores ──< event_data_store_states      as of trails
//!      └────< channel_destinations >── channels
//!   organizations ──< memberships      as of trails: valid for entries of the journal
//! ```
//!
//! The database is SQLite in WAL mode with `synchronous = FULL`: a change is durable when the call
//! returns. Invariant: this crate knows neither doors nor workers, and never reads the clock.

mod access;
mod aggregation;
mod chains;
mod channels;
mod connection;
mod dashboards;
mod event_data_stores;
mod event_settings;
mod imports;
mod ledger;
mod organizations;
mod queries;
mod query_aliases;
mod recent;
mod tags;
mod tokens;
mod trails;

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use connection::Database;
use recent::Recent;

pub use access::{Access, AccessKey, Account, LastUse, Principal, PrincipalKind, PrincipalPolicy};
pub use aggregation::{AggregatedEvent, NewAggregatedEvent};
pub use chains::{Chain, ChainKey, DigestKey, NewDigest, PreviousDigest, SignedDigest};
pub use channels::{Attempt, Beside, Channel, Ingestions};
pub use dashboards::{
    Dashboard, DashboardState, Every, NewRefresh, Refresh, RefreshSchedule, Started, Turn, Widget,
};
pub use event_data_stores::{
    BillingMode, Deletion, EventDataStore, EventDataStoreState, EventDataStoreVersion, Ingestion,
};
pub use event_settings::{
    AggregationTemplate, EventConfiguration, Federation, InsightSelector, InsightType,
    MaxEventSize, SourceCategory, StoreInsights,
};
pub use imports::{
    EndedFile, FileOutcome, FoundFile, Import, ImportFailure, ImportFilter, ImportSource,
    ImportStatistics, ImportStatus, NewImport, WaitingFile,
};
pub use ledger::{LogFileRow, NewLogFile, StreamKey};
pub use organizations::{Membership, Organization};
pub use queries::{
    NewQuery, Query, QueryEnd, QueryFilter, QueryStatistics, QueryStatus, QueryStore,
};
pub use query_aliases::QueryAlias;
pub use tags::Tag;
pub use tokens::IngestToken;
pub use trails::{
    Logging, Trail, TrailNamed, TrailSettings, TrailState, TrailStatus, TrailVersion,
};

/// A handle on the catalog; cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    database: Arc<Database>,
    recent: Arc<Recent>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("open catalog {path}")]
    Open {
        path: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("bring catalog to the newest layout")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    #[error("catalog query")]
    Query(#[from] sqlx::Error),
    #[error("catalog row of {table} cannot be read: {detail}")]
    Damaged { table: &'static str, detail: String },
    #[error("trail {0} exists already")]
    TrailExists(String),
    #[error("there is no trail {0}")]
    NoSuchTrail(String),
    #[error("there is no event data store {0}")]
    NoSuchEventDataStore(String),
    #[error("a channel points at event data store {0}")]
    IsDestination(String),
    #[error("digest {key} was made from what is no longer so")]
    StaleDigest { key: String },
}

impl Catalog {
    /// Opens (and on first use makes) the database file, and brings its layout up to date.
    pub async fn open(path: &Path) -> Result<Catalog, CatalogError> {
        let failed = |source| CatalogError::Open { path: path.display().to_string(), source };
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(failed)?
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(std::time::Duration::from_secs(10));
        let recent = Arc::new(Recent::default());
        let database = Database::open(options, recent.clone()).await.map_err(failed)?;
        // `run` takes no connection where the future has to be `Send`.
        let newest = None;
        sqlx::migrate!("./migrations")
            .run_direct(newest, &mut *database.hold().await?, false)
            .await?;
        Ok(Catalog { database: Arc::new(database), recent })
    }

    /// Closes the database and folds its write-ahead file back in.
    pub async fn close(&self) {
        // If it fails, what was committed is in the write-ahead file.
        let _ = self.database.close().await;
    }

    /// One trivial query: is the database there and answering?
    pub async fn ping(&self) -> Result<(), CatalogError> {
        sqlx::query("SELECT 1").execute(&mut *self.database.hold().await?).await?;
        Ok(())
    }
}

/// Sequence numbers and times fit SQLite's signed integers for 290 million years of milliseconds.
fn to_sql(number: u64) -> i64 {
    i64::try_from(number).expect("sequence numbers stay below 2^63")
}

fn from_sql(number: i64) -> u64 {
    u64::try_from(number).expect("the catalog only stores numbers that were unsigned")
}
