//! Dashboards: their widgets and schedules, and the newest refresh of each.
//!
//! ```text
//!   dashboards ── next_refresh_ms ─▶ due_dashboards ─┐ scheduled
//!                     ▲ moved in the same transaction │
//!   StartDashboardRefresh ───────────────────────────┴▶ start_refresh ─▶ dashboard_refreshes, and a
//!                                                                       query QUEUED for each widget
//! ```
//! A refresh is running while one of its queries is. There is no second note of that, so it cannot be
//! wrong. A refresh that was due and its next time change together: no restart repeats or loses it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::queries::insert_query;
use crate::tags::insert_tags;
use crate::{Catalog, CatalogError, NewQuery, QueryStatus, Tag};

/// A custom dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    pub arn: String,
    pub account: String,
    pub region: String,
    /// Unique in the account and Region; it never changes.
    pub name: String,
    pub created_ms: i64,
    pub updated_ms: i64,
    /// When it is refreshed by schedule the next time.
    pub next_refresh_ms: Option<i64>,
    pub state: DashboardState,
}

/// What UpdateDashboard can change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DashboardState {
    pub widgets: Vec<Widget>,
    pub schedule: Option<RefreshSchedule>,
    pub termination_protection: bool,
    /// It has been changed since it was made.
    pub is_updated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widget {
    /// Names the widget's query; the same as long as the statement is.
    pub alias: String,
    pub statement: String,
    /// Take the place of `'?'`, in order. Some are names such as `$StartTime$`.
    pub parameters: Vec<String>,
    /// For whoever draws it.
    pub view: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshSchedule {
    /// Without one, it is never due.
    pub every: Option<Every>,
    pub is_enabled: bool,
    /// `HH:MM` in UTC, as it was given.
    pub time_of_day: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Every {
    Hours(u8),
    Day,
}

/// The newest refresh of a dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// 10 to 20 digits.
    pub id: String,
    pub started_ms: i64,
    /// Why some of its queries, or all, could not be queued.
    pub failure: Option<String>,
}

/// A refresh to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefresh {
    pub dashboard_arn: String,
    pub account: String,
    pub region: String,
    pub refresh: Refresh,
    /// One for each widget, each with the refresh's ID.
    pub queries: Vec<NewQuery>,
    /// Of a refresh by schedule.
    pub turn: Option<Turn>,
}

/// A time at which a dashboard was due, and the one that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub due_ms: i64,
    pub next_ms: Option<i64>,
}

/// What became of a [`NewRefresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    Yes,
    /// Another refresh of the dashboard is running. If this one was due, it is left out.
    OtherIsRunning,
    /// The dashboard was removed meanwhile, or its schedule changed.
    NotDue,
}

const TABLE: &str = "dashboards";

impl Catalog {
    /// Enters a dashboard with its tags, if `admit` takes it beside the account's others of the Region,
    /// in one transaction. The outer error is ours, the inner one is `admit`'s, which stores nothing.
    pub async fn create_dashboard<E>(
        &self,
        dashboard: &Dashboard,
        tags: &[Tag],
        admit: impl FnOnce(&[Dashboard]) -> Result<(), E>,
    ) -> Result<Result<(), E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let others = of_tenant(&mut tx, &dashboard.account, &dashboard.region).await?;
        if let Err(refusal) = admit(&others) {
            return Ok(Err(refusal));
        }
        sqlx::query(
            "INSERT INTO dashboards (arn, account, region, name, created_ms, updated_ms, next_refresh_ms, state)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&dashboard.arn)
        .bind(&dashboard.account)
        .bind(&dashboard.region)
        .bind(&dashboard.name)
        .bind(dashboard.created_ms)
        .bind(dashboard.updated_ms)
        .bind(dashboard.next_refresh_ms)
        .bind(json_of(&dashboard.state)?)
        .execute(&mut *tx)
        .await?;
        insert_tags(&mut tx, &dashboard.arn, tags).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Reads the dashboard, lets `change` alter its state and next refresh, and stores them, in one
    /// transaction: two changes at once cannot lose one. `None` if there is no such dashboard; the
    /// inner error is `change`'s refusal, which stores nothing.
    pub async fn change_dashboard<E>(
        &self,
        account: &str,
        region: &str,
        name: &str,
        now_ms: i64,
        change: impl FnOnce(&mut Dashboard) -> Result<(), E>,
    ) -> Result<Option<Result<Dashboard, E>>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let Some(before) = by_name(&mut tx, account, region, name).await? else { return Ok(None) };
        let mut dashboard = before.clone();
        if let Err(refusal) = change(&mut dashboard) {
            return Ok(Some(Err(refusal)));
        }
        if dashboard == before {
            return Ok(Some(Ok(dashboard)));
        }
        dashboard.updated_ms = now_ms;
        sqlx::query(
            "UPDATE dashboards SET updated_ms = ?, next_refresh_ms = ?, state = ?
             WHERE account = ? AND region = ? AND name = ?",
        )
        .bind(dashboard.updated_ms)
        .bind(dashboard.next_refresh_ms)
        .bind(json_of(&dashboard.state)?)
        .bind(account)
        .bind(region)
        .bind(name)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(Ok(dashboard)))
    }

    /// Removes a dashboard with its tags and the note of its newest refresh, unless `admit` refuses.
    /// Queries that it has asked stay. `None` if there is no such dashboard.
    pub async fn remove_dashboard<E>(
        &self,
        account: &str,
        region: &str,
        name: &str,
        admit: impl FnOnce(&Dashboard) -> Result<(), E>,
    ) -> Result<Option<Result<(), E>>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let Some(found) = by_name(&mut tx, account, region, name).await? else { return Ok(None) };
        if let Err(refusal) = admit(&found) {
            return Ok(Some(Err(refusal)));
        }
        for sql in [
            "DELETE FROM dashboards WHERE arn = ?",
            "DELETE FROM dashboard_refreshes WHERE arn = ?",
            "DELETE FROM tags WHERE arn = ?",
            "DELETE FROM resource_policies WHERE arn = ?",
        ] {
            sqlx::query(sql).bind(&found.arn).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(Some(Ok(())))
    }

    pub async fn dashboard(
        &self,
        account: &str,
        region: &str,
        name: &str,
    ) -> Result<Option<Dashboard>, CatalogError> {
        by_name(&mut *self.database.hold().await?, account, region, name).await
    }

    /// All custom dashboards of an account in a Region, by name.
    pub async fn dashboards_of(
        &self,
        account: &str,
        region: &str,
    ) -> Result<Vec<Dashboard>, CatalogError> {
        of_tenant(&mut *self.database.hold().await?, account, region).await
    }

    /// Dashboards of all accounts that are due at `now_ms`, the longest overdue first; and those whose
    /// next time is after `latest_ms`, which nobody can have meant: a clock was wrong.
    pub async fn due_dashboards(
        &self,
        now_ms: i64,
        latest_ms: i64,
        count_max: u32,
    ) -> Result<Vec<Dashboard>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM dashboards WHERE next_refresh_ms <= ?1 OR next_refresh_ms > ?2
             ORDER BY next_refresh_ms LIMIT ?3",
        )
        .bind(now_ms)
        .bind(latest_ms)
        .bind(count_max)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter().map(dashboard_of).collect()
    }

    /// Moves the next refresh without one, unless the schedule has changed meanwhile.
    pub async fn skip_refresh(
        &self,
        dashboard: &Dashboard,
        turn: Turn,
    ) -> Result<(), CatalogError> {
        take_turn(&mut *self.database.hold().await?, &dashboard.arn, turn).await?;
        Ok(())
    }

    /// Notes the refresh as the dashboard's newest and queues its queries, in one transaction. They are
    /// not counted against the account's limit for StartQuery. A dashboard has one refresh at a time.
    pub async fn start_refresh(&self, new: &NewRefresh) -> Result<Started, CatalogError> {
        let mut tx = self.database.begin().await?;
        if let Some(turn) = new.turn
            && !take_turn(&mut tx, &new.dashboard_arn, turn).await?
        {
            return Ok(Started::NotDue);
        }
        let running = sqlx::query(
            "SELECT 1 FROM dashboard_refreshes r JOIN queries q
                 ON q.account = r.account AND q.region = r.region AND q.refresh = r.id
             WHERE r.arn = ? AND q.status IN ('QUEUED', 'RUNNING') LIMIT 1",
        )
        .bind(&new.dashboard_arn)
        .fetch_optional(&mut *tx)
        .await?;
        if running.is_some() {
            tx.commit().await?;
            return Ok(Started::OtherIsRunning);
        }
        sqlx::query(
            "INSERT INTO dashboard_refreshes (arn, account, region, id, started_ms, failure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (arn) DO UPDATE SET id = ?4, started_ms = ?5, failure = ?6",
        )
        .bind(&new.dashboard_arn)
        .bind(&new.account)
        .bind(&new.region)
        .bind(&new.refresh.id)
        .bind(new.refresh.started_ms)
        .bind(&new.refresh.failure)
        .execute(&mut *tx)
        .await?;
        for query in &new.queries {
            insert_query(&mut tx, query, QueryStatus::Queued, None).await?;
        }
        tx.commit().await?;
        Ok(Started::Yes)
    }

    /// The newest refresh of a dashboard. Its failure is that of the first query that failed, if all
    /// could be queued and they are still known.
    pub async fn newest_refresh(
        &self,
        account: &str,
        region: &str,
        dashboard_arn: &str,
    ) -> Result<Option<Refresh>, CatalogError> {
        let row = sqlx::query(
            "SELECT id, started_ms, coalesce(failure, (
                 SELECT coalesce(alias || ': ', '') || coalesce(error, 'The query was cancelled.') FROM queries q
                 WHERE q.account = r.account AND q.region = r.region AND q.refresh = r.id
                   AND q.status IN ('FAILED', 'TIMED_OUT', 'CANCELLED')
                 ORDER BY number LIMIT 1)) AS failure
             FROM dashboard_refreshes r WHERE account = ? AND region = ? AND arn = ?",
        )
        .bind(account)
        .bind(region)
        .bind(dashboard_arn)
        .fetch_optional(&mut *self.database.hold().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Refresh {
            id: row.try_get("id")?,
            started_ms: row.try_get("started_ms")?,
            failure: row.try_get("failure")?,
        }))
    }
}

/// True if the dashboard was due then; it is no more.
async fn take_turn(
    connection: &mut sqlx::SqliteConnection,
    arn: &str,
    turn: Turn,
) -> Result<bool, CatalogError> {
    let taken = sqlx::query(
        "UPDATE dashboards SET next_refresh_ms = ? WHERE arn = ? AND next_refresh_ms = ?",
    )
    .bind(turn.next_ms)
    .bind(arn)
    .bind(turn.due_ms)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

async fn by_name(
    connection: &mut sqlx::SqliteConnection,
    account: &str,
    region: &str,
    name: &str,
) -> Result<Option<Dashboard>, CatalogError> {
    let row = sqlx::query("SELECT * FROM dashboards WHERE account = ? AND region = ? AND name = ?")
        .bind(account)
        .bind(region)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(dashboard_of).transpose()
}

async fn of_tenant(
    connection: &mut sqlx::SqliteConnection,
    account: &str,
    region: &str,
) -> Result<Vec<Dashboard>, CatalogError> {
    let rows =
        sqlx::query("SELECT * FROM dashboards WHERE account = ? AND region = ? ORDER BY name")
            .bind(account)
            .bind(region)
            .fetch_all(connection)
            .await?;
    rows.iter().map(dashboard_of).collect()
}

fn dashboard_of(row: &SqliteRow) -> Result<Dashboard, CatalogError> {
    let state: &str = row.try_get("state")?;
    Ok(Dashboard {
        arn: row.try_get("arn")?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        name: row.try_get("name")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
        next_refresh_ms: row.try_get("next_refresh_ms")?,
        state: serde_json::from_str(state).map_err(damaged)?,
    })
}

fn json_of(state: &DashboardState) -> Result<String, CatalogError> {
    serde_json::to_string(state).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> CatalogError {
    CatalogError::Damaged { table: TABLE, detail: error.to_string() }
}

#[cfg(test)]
mod tests;
