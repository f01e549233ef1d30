//! Channels: the ways by which events from outside AWS come into event data stores.
//!
//! Invariant: the destinations of a channel are active event data stores of its account and Region.
//! A change of the one and a deletion of the other are transactions on the same database, so neither
//! can slip past the other.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::event_data_stores::stores_of;
use crate::tags::insert_tags;
use crate::{Catalog, CatalogError, EventDataStore, Tag};

/// A channel as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Later ones have higher numbers. The catalog gives it.
    pub number: i64,
    pub arn: String,
    /// The last part of the ARN.
    pub id: Uuid,
    pub account: String,
    pub region: String,
    /// Unique among the account's channels of a Region. UpdateChannel can change it.
    pub name: String,
    /// `Custom` or a partner's name. It never changes.
    pub source: String,
    /// ARNs of event data stores, in the order in which they were given.
    pub destinations: Vec<String>,
    pub created_ms: i64,
    pub updated_ms: i64,
}

/// What became of the latest puts into a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingestions {
    pub attempt: Option<Attempt>,
    pub success: Option<Attempt>,
    /// Of the latest attempt, where it failed.
    pub error_code: Option<String>,
}

/// When an event was put, in milliseconds since 1970, and the ID that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub at_ms: i64,
    pub event_id: String,
}

impl Ingestions {
    /// These, brought up to date by later ones.
    pub fn followed_by(self, later: Ingestions) -> Ingestions {
        let Some(attempt) = later.attempt else { return self };
        Ingestions {
            attempt: Some(attempt),
            success: later.success.or(self.success),
            error_code: later.error_code,
        }
    }
}

/// What a change of a channel may look at.
#[derive(Debug)]
pub struct Beside<'a> {
    /// The account's other channels, of every Region.
    pub channels: &'a [Channel],
    /// The account's event data stores, of every Region and in any state.
    pub stores: &'a [EventDataStore],
}

const ALL: &str = "SELECT number, arn, id, account, region, name, source, created_ms, updated_ms,
    (SELECT json_group_array(store_arn) FROM
        (SELECT store_arn FROM channel_destinations WHERE channel_arn = arn ORDER BY place)) AS destinations
    FROM channels";

fn channel_of(row: &SqliteRow) -> Result<Channel, CatalogError> {
    let damaged = |detail| CatalogError::Damaged { table: "channels", detail };
    let (id, destinations): (&str, &str) = (row.try_get("id")?, row.try_get("destinations")?);
    Ok(Channel {
        number: row.try_get("number")?,
        arn: row.try_get("arn")?,
        id: Uuid::try_parse(id).map_err(|e| damaged(format!("{id:?}: {e}")))?,
        account: row.try_get("account")?,
        region: row.try_get("region")?,
        name: row.try_get("name")?,
        source: row.try_get("source")?,
        destinations: serde_json::from_str(destinations).map_err(|e| damaged(e.to_string()))?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

impl Catalog {
    /// Declares a channel with its tags, if `admit` takes it beside what the account has, in one
    /// transaction. Its number is given here. The outer error is ours, the inner one is `admit`'s,
    /// which stores nothing.
    pub async fn create_channel<E>(
        &self,
        channel: &Channel,
        tags: &[Tag],
        admit: impl FnOnce(Beside<'_>) -> Result<(), E>,
    ) -> Result<Result<(), E>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let channels = channels_of(&mut tx, &channel.account).await?;
        let stores = stores_of(&mut tx, &channel.account).await?;
        if let Err(refusal) = admit(Beside { channels: &channels, stores: &stores }) {
            return Ok(Err(refusal));
        }
        sqlx::query(
            "INSERT INTO channels (arn, id, account, region, name, source, created_ms, updated_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&channel.arn)
        .bind(channel.id.hyphenated().to_string())
        .bind(&channel.account)
        .bind(&channel.region)
        .bind(&channel.name)
        .bind(&channel.source)
        .bind(channel.created_ms)
        .bind(channel.updated_ms)
        .execute(&mut *tx)
        .await?;
        insert_destinations(&mut tx, channel).await?;
        insert_tags(&mut tx, &channel.arn, tags).await?;
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Reads the channel, lets `change` alter its name and destinations, and stores them, all in one
    /// transaction: two changes at once cannot lose one. Returns the channel as it is now; `None`
    /// where the account has none of that ARN. The outer error is ours, the inner one is `change`'s
    /// refusal, which stores nothing.
    pub async fn change_channel<E>(
        &self,
        account: &str,
        arn: &str,
        now_ms: i64,
        change: impl FnOnce(&mut Channel, Beside<'_>) -> Result<(), E>,
    ) -> Result<Option<Result<Channel, E>>, CatalogError> {
        let mut tx = self.database.begin().await?;
        let mut others = channels_of(&mut tx, account).await?;
        let Some(at) = others.iter().position(|channel| channel.arn == arn) else {
            return Ok(None);
        };
        let before = others.remove(at);
        let stores = stores_of(&mut tx, account).await?;
        let mut channel = before.clone();
        if let Err(refusal) = change(&mut channel, Beside { channels: &others, stores: &stores }) {
            return Ok(Some(Err(refusal)));
        }
        if channel == before {
            return Ok(Some(Ok(channel)));
        }
        channel.updated_ms = now_ms;
        sqlx::query("UPDATE channels SET name = ?, updated_ms = ? WHERE arn = ?")
            .bind(&channel.name)
            .bind(now_ms)
            .bind(arn)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM channel_destinations WHERE channel_arn = ?")
            .bind(arn)
            .execute(&mut *tx)
            .await?;
        insert_destinations(&mut tx, &channel).await?;
        tx.commit().await?;
        Ok(Some(Ok(channel)))
    }

    /// The channel with this ID, whoever owns it.
    pub async fn channel(&self, id: Uuid) -> Result<Option<Channel>, CatalogError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{ALL} WHERE id = ?")))
            .bind(id.hyphenated().to_string())
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        row.as_ref().map(channel_of).transpose()
    }

    /// All channels of an account, of every Region, oldest first.
    pub async fn channels_of(&self, account: &str) -> Result<Vec<Channel>, CatalogError> {
        channels_of(&mut *self.database.hold().await?, account).await
    }

    /// Forgets a channel of the account, with its tags. False if it has none of that ARN.
    pub async fn delete_channel(&self, account: &str, arn: &str) -> Result<bool, CatalogError> {
        let mut tx = self.database.begin().await?;
        let deleted = sqlx::query("DELETE FROM channels WHERE arn = ? AND account = ?")
            .bind(arn)
            .bind(account)
            .execute(&mut *tx)
            .await?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("DELETE FROM tags WHERE arn = ?").bind(arn).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What became of the latest puts into a channel, as far as it was noted.
    pub async fn channel_ingestions(&self, arn: &str) -> Result<Ingestions, CatalogError> {
        ingestions_of(&mut *self.database.hold().await?, arn).await
    }

    /// Notes what became of later puts. A channel that is gone is passed over.
    pub async fn note_channel_ingestions(
        &self,
        later: &[(String, Ingestions)],
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        for (arn, later) in later {
            let ingestions = ingestions_of(&mut tx, arn).await?.followed_by(later.clone());
            let json = serde_json::to_string(&ingestions).map_err(|e| damaged_ingestions(&e))?;
            sqlx::query(
                "INSERT INTO channel_ingestions (channel_arn, ingestions)
                 SELECT arn, ?2 FROM channels WHERE arn = ?1
                 ON CONFLICT (channel_arn) DO UPDATE SET ingestions = ?2",
            )
            .bind(arn)
            .bind(json)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn damaged_ingestions(error: &serde_json::Error) -> CatalogError {
    CatalogError::Damaged { table: "channel_ingestions", detail: error.to_string() }
}

async fn ingestions_of(
    connection: &mut sqlx::SqliteConnection,
    arn: &str,
) -> Result<Ingestions, CatalogError> {
    let row = sqlx::query("SELECT ingestions FROM channel_ingestions WHERE channel_arn = ?")
        .bind(arn)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(Ingestions::default()) };
    serde_json::from_str(row.try_get("ingestions")?).map_err(|e| damaged_ingestions(&e))
}

async fn channels_of(
    connection: &mut sqlx::SqliteConnection,
    account: &str,
) -> Result<Vec<Channel>, CatalogError> {
    let sql = format!("{ALL} WHERE account = ? ORDER BY number");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(account).fetch_all(connection).await?;
    rows.iter().map(channel_of).collect()
}

async fn insert_destinations(
    tx: &mut sqlx::SqliteConnection,
    channel: &Channel,
) -> Result<(), CatalogError> {
    for (place, store_arn) in (0_i64..).zip(&channel.destinations) {
        sqlx::query(
            "INSERT INTO channel_destinations (channel_arn, place, store_arn) VALUES (?, ?, ?)",
        )
        .bind(&channel.arn)
        .bind(place)
        .bind(store_arn)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Does a channel point at the event data store?
pub(crate) async fn is_destination(
    connection: &mut sqlx::SqliteConnection,
    store_arn: &str,
) -> Result<bool, CatalogError> {
    let row = sqlx::query("SELECT 1 FROM channel_destinations WHERE store_arn = ? LIMIT 1")
        .bind(store_arn)
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

#[cfg(test)]
mod tests;
