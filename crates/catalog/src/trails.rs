//! Trails: a name that stays, and a row for every state it has been in.

use event::selectors::EventSelectors;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::tags::insert_tags;
use crate::{AggregationTemplate, Catalog, CatalogError, InsightSelector, Tag, from_sql, to_sql};

/// A trail as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct Trail {
    pub arn: String,
    pub account: String,
    pub name: String,
    pub home_region: String,
    pub created_ms: i64,
    pub state: TrailState,
}

/// What a list of trails says of one.
#[derive(Debug, Clone, PartialEq)]
pub struct TrailNamed {
    pub arn: String,
    pub name: String,
    pub home_region: String,
}

/// Everything about a trail that an operation can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrailState {
    pub settings: TrailSettings,
    pub selectors: EventSelectors,
    /// True once PutEventSelectors has been called: Terraform reads it (spec f.4).
    pub has_custom_selectors: bool,
    pub logging: Logging,
    /// The trail was deleted; what it selected before is still being delivered.
    pub deleted: bool,
    /// Empty: Insights are off.
    #[serde(default)]
    pub insight_selectors: Vec<InsightSelector>,
    /// How its data events are summed up. Empty: not at all.
    #[serde(default)]
    pub aggregation: Vec<AggregationTemplate>,
}

/// CreateTrail's and UpdateTrail's members, with the API's meaning and defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrailSettings {
    pub s3_bucket_name: String,
    pub s3_key_prefix: Option<String>,
    pub include_global_service_events: bool,
    pub is_multi_region_trail: bool,
    pub log_file_validation_enabled: bool,
    pub recursive_logging: bool,
    /// Of an organization trail: the organization, whose members' events it takes too.
    #[serde(default)]
    pub organization: Option<String>,
}

/// Since when a trail logs, or when it stopped. Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Logging {
    Never,
    Active { since_ms: i64, stopped_before_ms: Option<i64> },
    Stopped { started_ms: i64, since_ms: i64 },
}

impl Logging {
    pub fn is_active(&self) -> bool {
        matches!(self, Logging::Active { .. })
    }
}

/// A state of a trail and the first journal entry it holds for.
#[derive(Debug, Clone, PartialEq)]
pub struct TrailVersion {
    pub arn: String,
    pub account: String,
    pub name: String,
    pub home_region: String,
    pub from_seq: u64,
    pub changed_ms: i64,
    pub state: TrailState,
}

/// What delivery has to say about a trail in one Region. Times in milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrailStatus {
    pub latest_delivery_ms: Option<i64>,
    pub latest_delivery_attempt_ms: Option<i64>,
    pub latest_delivery_error: Option<String>,
    pub latest_digest_delivery_ms: Option<i64>,
    pub latest_digest_delivery_error: Option<String>,
}

const NEWEST: &str = "SELECT t.arn, t.account, t.name, t.home_region, t.created_ms, s.from_seq, s.changed_ms, s.state
    FROM trails t JOIN trail_states s ON s.arn = t.arn
    WHERE s.version = (SELECT max(version) FROM trail_states WHERE arn = t.arn)";

fn trail_of(row: &SqliteRow) -> Result<Trail, CatalogError> {
    Ok(Trail {
        arn: row.try_get("arn")?,
        account: row.try_get("account")?,
        name: row.try_get("name")?,
        home_region: row.try_get("home_region")?,
        created_ms: row.try_get("created_ms")?,
        state: state_of(row)?,
    })
}

fn state_of(row: &SqliteRow) -> Result<TrailState, CatalogError> {
    let json: &str = row.try_get("state")?;
    serde_json::from_str(json)
        .map_err(|e| CatalogError::Damaged { table: "trail_states", detail: e.to_string() })
}

impl Catalog {
    /// Declares a trail with its tags, if `admit` takes it beside the account's other trails, in one
    /// transaction: two that are created at once cannot both take the last place. The outer error
    /// is ours (`TrailExists` when one that is not deleted has the same ARN), the inner one is
    /// `admit`'s, which stores nothing.
    pub async fn create_trail<E>(
        &self,
        trail: &Trail,
        tags: &[Tag],
        from_seq: u64,
        admit: impl FnOnce(&[Trail]) -> Result<(), E>,
    ) -> Result<Result<(), E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        if let Err(refusal) = admit(&trails_of(&mut tx, &trail.account).await?) {
            return Ok(Err(refusal));
        }
        let taken = sqlx::query("SELECT 1 FROM trails WHERE arn = ?")
            .bind(&trail.arn)
            .fetch_optional(&mut *tx)
            .await?;
        let mut version = 1;
        if taken.is_some() {
            let row = sqlx::query("SELECT version, state FROM trail_states WHERE arn = ? ORDER BY version DESC LIMIT 1")
                .bind(&trail.arn)
                .fetch_one(&mut *tx)
                .await?;
            if !state_of(&row)?.deleted {
                return Err(CatalogError::TrailExists(trail.arn.clone()));
            }
            // A deleted namesake is still being drained: carry on its row of states.
            version = row.try_get::<i64, _>("version")? + 1;
            sqlx::query("UPDATE trails SET created_ms = ? WHERE arn = ?")
                .bind(trail.created_ms)
                .bind(&trail.arn)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM trail_statuses WHERE arn = ?")
                .bind(&trail.arn)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM tags WHERE arn = ?")
                .bind(&trail.arn)
                .execute(&mut *tx)
                .await?;
        } else {
            sqlx::query("INSERT INTO trails (arn, account, name, home_region, created_ms) VALUES (?, ?, ?, ?, ?)")
                .bind(&trail.arn)
                .bind(&trail.account)
                .bind(&trail.name)
                .bind(&trail.home_region)
                .bind(trail.created_ms)
                .execute(&mut *tx)
                .await?;
        }
        insert_state(&mut tx, &trail.arn, version, from_seq, trail.created_ms, &trail.state)
            .await?;
        insert_tags(&mut tx, &trail.arn, tags).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Reads the trail's state, lets `change` make the next one, and stores it, all in one
    /// transaction: two changes at once cannot lose one. Returns the trail as it is now.
    /// The outer error is ours, the inner one is `change`'s refusal, which stores nothing.
    pub async fn change_trail<E>(
        &self,
        arn: &str,
        from_seq: u64,
        now_ms: i64,
        change: impl FnOnce(&Trail) -> Result<TrailState, E>,
    ) -> Result<Result<Trail, E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let row = sqlx::query(
            "SELECT t.arn, t.account, t.name, t.home_region, t.created_ms, s.version, s.from_seq, s.changed_ms, s.state
             FROM trails t JOIN trail_states s ON s.arn = t.arn WHERE t.arn = ? ORDER BY s.version DESC LIMIT 1",
        )
        .bind(arn)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Err(CatalogError::NoSuchTrail(arn.to_owned())) };
        let mut trail = trail_of(&row)?;
        if trail.state.deleted {
            return Err(CatalogError::NoSuchTrail(arn.to_owned()));
        }
        let next = match change(&trail) {
            Ok(next) => next,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if next != trail.state {
            let version: i64 = row.try_get("version")?;
            // States must not go back in the journal, whatever order two callers arrive in.
            let from_seq = from_seq.max(from_sql(row.try_get("from_seq")?));
            insert_state(&mut tx, arn, version + 1, from_seq, now_ms, &next).await?;
            tx.commit().await?;
        }
        trail.state = next;
        Ok(Ok(trail))
    }

    /// The trail with this ARN, unless deleted.
    pub async fn trail(&self, arn: &str) -> Result<Option<Trail>, CatalogError> {
        let sql = const_format(NEWEST, " AND t.arn = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(arn)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        let trail = row.as_ref().map(trail_of).transpose()?;
        Ok(trail.filter(|t| !t.state.deleted))
    }

    /// All trails of an account that are not deleted, by name.
    pub async fn trails_of(&self, account: &str) -> Result<Vec<Trail>, CatalogError> {
        trails_of(&mut *self.database.hold().await?, account).await
    }

    /// The account's first `max` trails after that ARN, by ARN, deleted ones left out; only those of
    /// the organization if one is given.
    pub async fn trail_names_after(
        &self,
        account: &str,
        organization: Option<&str>,
        after: &str,
        max: usize,
    ) -> Result<Vec<TrailNamed>, CatalogError> {
        let sql = const_format(
            NEWEST,
            " AND t.account = ?1 AND t.arn > ?2 AND NOT json_extract(s.state, '$.deleted')
              AND (?3 IS NULL OR json_extract(s.state, '$.settings.organization') = ?3)
              ORDER BY t.arn LIMIT ?4",
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(account).bind(after);
        let query = query.bind(organization).bind(to_sql(max as u64));
        let rows = query.fetch_all(&mut *self.database.hold().await?).await?;
        let named = |row: &SqliteRow| {
            Ok(TrailNamed {
                arn: row.try_get("arn")?,
                name: row.try_get("name")?,
                home_region: row.try_get("home_region")?,
            })
        };
        rows.iter().map(named).collect()
    }

    /// Every state of every trail, oldest first within a trail, deleted ones included: what a
    /// reader of the journal needs to judge entries of any age.
    pub async fn trail_versions(&self) -> Result<Vec<TrailVersion>, CatalogError> {
        let rows = sqlx::query(
            "SELECT t.arn, t.account, t.name, t.home_region, s.from_seq, s.changed_ms, s.state
             FROM trails t JOIN trail_states s ON s.arn = t.arn ORDER BY t.arn, s.version",
        )
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(TrailVersion {
                    arn: row.try_get("arn")?,
                    account: row.try_get("account")?,
                    name: row.try_get("name")?,
                    home_region: row.try_get("home_region")?,
                    from_seq: from_sql(row.try_get("from_seq")?),
                    changed_ms: row.try_get("changed_ms")?,
                    state: state_of(row)?,
                })
            })
            .collect()
    }

    /// Forgets states that no entry at or above `seq` can need: all but the newest that holds
    /// at `seq`, and later ones.
    pub async fn forget_trail_versions_before(&self, seq: u64) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM trail_states WHERE version < (
                 SELECT max(version) FROM trail_states newer
                 WHERE newer.arn = trail_states.arn AND newer.from_seq <= ?)",
        )
        .bind(to_sql(seq))
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Removes what is left of a deleted trail once everything it selected has been handed over,
    /// unless it was made again meanwhile. Its ledger stays, and so do its chains: one that begins
    /// again must end later than the one before, or two digests would have the same name.
    pub async fn purge_trail(&self, arn: &str) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        let newest = sqlx::query(
            "SELECT state FROM trail_states WHERE arn = ? ORDER BY version DESC LIMIT 1",
        )
        .bind(arn)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(newest) = newest else { return Ok(()) };
        if !state_of(&newest)?.deleted {
            return Ok(());
        }
        for sql in [
            "DELETE FROM trails WHERE arn = ?",
            "DELETE FROM trail_statuses WHERE arn = ?",
            "DELETE FROM tags WHERE arn = ?",
        ] {
            sqlx::query(sql).bind(arn).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// What delivery last said about the trail in a Region.
    pub async fn trail_status(&self, arn: &str, region: &str) -> Result<TrailStatus, CatalogError> {
        let row = sqlx::query("SELECT * FROM trail_statuses WHERE arn = ? AND region = ?")
            .bind(arn)
            .bind(region)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        let Some(row) = row else { return Ok(TrailStatus::default()) };
        Ok(TrailStatus {
            latest_delivery_ms: row.try_get("latest_delivery_ms")?,
            latest_delivery_attempt_ms: row.try_get("latest_delivery_attempt_ms")?,
            latest_delivery_error: row.try_get("latest_delivery_error")?,
            latest_digest_delivery_ms: row.try_get("latest_digest_delivery_ms")?,
            latest_digest_delivery_error: row.try_get("latest_digest_delivery_error")?,
        })
    }

    /// A log file could not be put: remembers when and why (an S3 error code such as NoSuchBucket).
    pub async fn delivery_failed(
        &self,
        arn: &str,
        region: &str,
        now_ms: i64,
        code: &str,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO trail_statuses (arn, region, latest_delivery_attempt_ms, latest_delivery_error) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (arn, region) DO UPDATE SET latest_delivery_attempt_ms = ?3, latest_delivery_error = ?4",
        )
        .bind(arn)
        .bind(region)
        .bind(now_ms)
        .bind(code)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// A digest could not be put.
    pub async fn digest_delivery_failed(
        &self,
        arn: &str,
        region: &str,
        code: &str,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO trail_statuses (arn, region, latest_digest_delivery_error) VALUES (?1, ?2, ?3)
             ON CONFLICT (arn, region) DO UPDATE SET latest_digest_delivery_error = ?3",
        )
        .bind(arn)
        .bind(region)
        .bind(code)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }
}

/// Both halves are constants of this file; nothing from outside enters the text.
fn const_format(head: &'static str, tail: &'static str) -> String {
    format!("{head}{tail}")
}

async fn trails_of(
    connection: &mut sqlx::SqliteConnection,
    account: &str,
) -> Result<Vec<Trail>, CatalogError> {
    let sql = const_format(NEWEST, " AND t.account = ? ORDER BY t.name, t.arn");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(account).fetch_all(connection).await?;
    let mut trails = Vec::with_capacity(rows.len());
    for row in &rows {
        let trail = trail_of(row)?;
        if !trail.state.deleted {
            trails.push(trail);
        }
    }
    Ok(trails)
}

async fn insert_state(
    tx: &mut sqlx::SqliteConnection,
    arn: &str,
    version: i64,
    from_seq: u64,
    changed_ms: i64,
    state: &TrailState,
) -> Result<(), CatalogError> {
    let json = serde_json::to_string(state)
        .map_err(|e| CatalogError::Damaged { table: "trail_states", detail: e.to_string() })?;
    sqlx::query("INSERT INTO trail_states (arn, version, from_seq, changed_ms, state) VALUES (?, ?, ?, ?, ?)")
        .bind(arn)
        .bind(version)
        .bind(to_sql(from_seq))
        .bind(changed_ms)
        .bind(json)
        .execute(tx)
        .await?;
    Ok(())
}
