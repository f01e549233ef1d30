//! Event data stores: what stays of each, and a row for every state it has been in.
//!
//! ```text
//!   created ─▶ enabled ◀─▶ stopped           Ingestion
//!                 └────┬──────┘
//!                      ▼ delete   ▲ restore
//!                   Pending ──────┘
//!                      ▼ seven days later
//!                   Removing: gone from the API, its table is being removed ─▶ no row
//! ```

use event::selectors::{EventSelectors, StoreClass};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::channels::is_destination;
use crate::tags::insert_tags;
use crate::{
    Catalog, CatalogError, EventConfiguration, Federation, StoreInsights, Tag, from_sql, to_sql,
};

/// An event data store as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDataStore {
    pub arn: String,
    /// The last part of the ARN.
    pub id: Uuid,
    pub account: String,
    /// Unique among the account's stores of a Region. UpdateEventDataStore can change it.
    pub name: String,
    pub home_region: String,
    pub created_ms: i64,
    pub updated_ms: i64,
    pub state: EventDataStoreState,
}

/// What decides which events a store takes, and how long it keeps them. There are no KMS keys
/// yet, so nothing is said of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDataStoreState {
    /// Always advanced ones.
    pub selectors: EventSelectors,
    /// What the selectors select. It never changes.
    pub class: StoreClass,
    pub multi_region: bool,
    /// Counted from the events' own times.
    pub retention_days: u32,
    pub billing_mode: BillingMode,
    pub termination_protection: bool,
    pub ingestion: Ingestion,
    pub deletion: Deletion,
    #[serde(default)]
    pub configuration: EventConfiguration,
    /// None: Insights are off.
    #[serde(default)]
    pub insights: Option<StoreInsights>,
    #[serde(default)]
    pub federation: Federation,
    /// Of an organization event data store: the organization, whose members' events it takes too.
    #[serde(default)]
    pub organization: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BillingMode {
    ExtendableRetention,
    FixedRetention,
}

/// Whether live events go in. Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ingestion {
    Enabled { since_ms: i64 },
    Stopped { since_ms: i64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deletion {
    None,
    /// Can still be restored.
    Pending {
        since_ms: i64,
    },
    /// Too late to be restored: the API knows the store no more, its table is being removed.
    Removing,
}

impl EventDataStoreState {
    /// Whether live events go in now.
    pub fn is_ingesting(&self) -> bool {
        self.deletion == Deletion::None && matches!(self.ingestion, Ingestion::Enabled { .. })
    }
}

/// A state of a store and the first journal entry it holds for.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDataStoreVersion {
    pub arn: String,
    pub id: Uuid,
    pub account: String,
    pub home_region: String,
    pub from_seq: u64,
    pub state: EventDataStoreState,
}

/// Each store with its newest state.
const NEWEST: &str =
    "SELECT e.arn, e.id, e.account, e.name, e.home_region, e.created_ms, e.updated_ms,
        s.version, s.from_seq, s.state
    FROM event_data_stores e JOIN event_data_store_states s ON s.arn = e.arn
    WHERE s.version = (SELECT max(version) FROM event_data_store_states WHERE arn = e.arn)";

const STATES: &str = "event_data_store_states";

fn store_of(row: &SqliteRow) -> Result<EventDataStore, CatalogError> {
    Ok(EventDataStore {
        arn: row.try_get("arn")?,
        id: id_of(row)?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        home_region: row.try_get("home_region")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        state: state_of(row)?,
    })
}

fn id_of(row: &SqliteRow) -> Result<Uuid, CatalogError> {
    let text: &str = row.try_get("id")?;
    Uuid::try_parse(text).map_err(|e| CatalogError::Damaged {
        table: "event_data_stores",
        detail: format!("{text:?}: {e}"),
    })
}

fn state_of(row: &SqliteRow) -> Result<EventDataStoreState, CatalogError> {
    let json: &str = row.try_get("state")?;
    serde_json::from_str(json)
        .map_err(|e| CatalogError::Damaged { table: STATES, detail: e.to_string() })
}

impl Catalog {
    /// Declares a store with its tags, if `admit` takes it beside the account's other stores, in one
    /// transaction: two that are created at once cannot both take the last place. The outer error
    /// is ours, the inner one is `admit`'s, which stores nothing.
    pub async fn create_event_data_store<E>(
        &self,
        store: &EventDataStore,
        tags: &[Tag],
        from_seq: u64,
        admit: impl FnOnce(&[EventDataStore]) -> Result<(), E>,
    ) -> Result<Result<(), E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        if let Err(refusal) = admit(&stores_of(&mut tx, &store.account).await?) {
            return Ok(Err(refusal));
        }
        sqlx::query(
            "INSERT INTO event_data_stores (arn, id, account, name, home_region, created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&store.arn)
        .bind(store.id.hyphenated().to_string())
        .bind(&store.account)
        .bind(&store.name)
        .bind(&store.home_region)
        .bind(store.created_ms)
        .bind(store.updated_ms)
        .execute(&mut *tx)
        .await?;
        insert_state(&mut tx, &store.arn, 1, from_seq, &store.state).await?;
        insert_tags(&mut tx, &store.arn, tags).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Reads the store, lets `change` alter its name and state, and stores them, all in one
    /// transaction: two changes at once cannot lose one. `change` also sees the account's other
    /// stores. Returns the store as it is now. The outer error is ours (`NoSuchEventDataStore`
    /// where there is none, or it is being removed; `IsDestination` where it would be deleted while a
    /// channel points at it), the inner one is `change`'s refusal, which stores nothing.
    pub async fn change_event_data_store<E>(
        &self,
        arn: &str,
        from_seq: u64,
        now_ms: i64,
        change: impl FnOnce(&mut EventDataStore, &[EventDataStore]) -> Result<(), E>,
    ) -> Result<Result<EventDataStore, E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("{NEWEST} AND e.arn = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(arn).fetch_optional(&mut *tx).await?;
        let none = || CatalogError::NoSuchEventDataStore(arn.to_owned());
        let row = row.ok_or_else(none)?;
        let before = store_of(&row)?;
        if before.state.deletion == Deletion::Removing {
            return Err(none());
        }
        let mut others = stores_of(&mut tx, &before.account).await?;
        others.retain(|other| other.arn != arn);
        let mut store = before.clone();
        if let Err(refusal) = change(&mut store, &others) {
            return Ok(Err(refusal));
        }
        if store == before {
            return Ok(Ok(store));
        }
        let is_deleted = |store: &EventDataStore| store.state.deletion != Deletion::None;
        if is_deleted(&store) && !is_deleted(&before) && is_destination(&mut tx, arn).await? {
            return Err(CatalogError::IsDestination(arn.to_owned()));
        }
        store.updated_ms = now_ms;
        sqlx::query("UPDATE event_data_stores SET name = ?, updated_ms = ? WHERE arn = ?")
            .bind(&store.name)
            .bind(now_ms)
            .bind(arn)
            .execute(&mut *tx)
            .await?;
        if store.state != before.state {
            let version: i64 = row.try_get("version")?;
            // States must not go back in the journal, whatever order two callers arrive in.
            let from_seq = from_seq.max(from_sql(row.try_get("from_seq")?));
            insert_state(&mut tx, arn, version + 1, from_seq, &store.state).await?;
        }
        tx.commit().await?;
        Ok(Ok(store))
    }

    /// The store with this ID, unless it is being removed.
    pub async fn event_data_store(&self, id: Uuid) -> Result<Option<EventDataStore>, CatalogError> {
        if let Some(store) = self.recent.store(id) {
            return Ok(Some(store));
        }
        let mut connection = self.database.hold().await?;
        let sql = format!("{NEWEST} AND e.id = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id.hyphenated().to_string())
            .fetch_optional(&mut *connection)
            .await?;
        let store = row.as_ref().map(store_of).transpose()?;
        let store = store.filter(|store| store.state.deletion != Deletion::Removing);
        if let Some(store) = &store {
            self.recent.note_store(&connection, store);
        }
        Ok(store)
    }

    /// All stores of an account, those that are pending deletion too, by Region and name.
    pub async fn event_data_stores_of(
        &self,
        account: &str,
    ) -> Result<Vec<EventDataStore>, CatalogError> {
        stores_of(&mut *self.database.hold().await?, account).await
    }

    /// Every state of every store, oldest first within a store, those being removed included: what
    /// a reader of the journal needs to judge entries of any age.
    pub async fn event_data_store_versions(
        &self,
    ) -> Result<Vec<EventDataStoreVersion>, CatalogError> {
        let rows = sqlx::query(
            "SELECT e.arn, e.id, e.account, e.home_region, s.from_seq, s.state
             FROM event_data_stores e JOIN event_data_store_states s ON s.arn = e.arn
             ORDER BY e.arn, s.version",
        )
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(EventDataStoreVersion {
                    arn: row.try_get("arn")?,
                    id: id_of(row)?,
                    account: row.try_get("account")?,
                    home_region: row.try_get("home_region")?,
                    from_seq: from_sql(row.try_get("from_seq")?),
                    state: state_of(row)?,
                })
            })
            .collect()
    }

    /// Forgets states that no entry at or above `seq` can need: all but the newest that holds at
    /// `seq`, and later ones.
    pub async fn forget_event_data_store_versions_before(
        &self,
        seq: u64,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM event_data_store_states WHERE version < (
                 SELECT max(version) FROM event_data_store_states newer
                 WHERE newer.arn = event_data_store_states.arn AND newer.from_seq <= ?)",
        )
        .bind(to_sql(seq))
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Removes a store that is being removed, with its states and tags, once its table is gone.
    /// Any other is left as it is.
    pub async fn remove_event_data_store(&self, arn: &str) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        let sql = format!("{NEWEST} AND e.arn = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(arn).fetch_optional(&mut *tx).await?;
        let Some(row) = row else { return Ok(()) };
        if state_of(&row)?.deletion != Deletion::Removing {
            return Ok(());
        }
        for sql in ["DELETE FROM event_data_stores WHERE arn = ?", "DELETE FROM tags WHERE arn = ?"]
        {
            sqlx::query(sql).bind(arn).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) async fn stores_of(
    connection: &mut sqlx::SqliteConnection,
    account: &str,
) -> Result<Vec<EventDataStore>, CatalogError> {
    let sql = format!("{NEWEST} AND e.account = ? ORDER BY e.home_region, e.name, e.arn");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(account).fetch_all(connection).await?;
    let mut stores = Vec::with_capacity(rows.len());
    for row in &rows {
        let store = store_of(row)?;
        if store.state.deletion != Deletion::Removing {
            stores.push(store);
        }
    }
    Ok(stores)
}

async fn insert_state(
    tx: &mut sqlx::SqliteConnection,
    arn: &str,
    version: i64,
    from_seq: u64,
    state: &EventDataStoreState,
) -> Result<(), CatalogError> {
    let json = serde_json::to_string(state)
        .map_err(|e| CatalogError::Damaged { table: STATES, detail: e.to_string() })?;
    sqlx::query(
        "INSERT INTO event_data_store_states (arn, version, from_seq, state) VALUES (?, ?, ?, ?)",
    )
    .bind(arn)
    .bind(version)
    .bind(to_sql(from_seq))
    .bind(json)
    .execute(tx)
    .await?;
    Ok(())
}
