//! Aggregated events: how far data events were summed up, and what is not yet in a log file.

use sqlx::Row;

use crate::{Catalog, CatalogError, StreamKey, from_sql, to_sql};

/// An event that a closed window came to, on its way into a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAggregatedEvent {
    pub stream: StreamKey,
    pub bucket: String,
    pub prefix: Option<String>,
    /// Of an organization trail.
    pub organization: Option<String>,
    pub made_ms: i64,
    pub event_ms: i64,
    pub record: String,
}

/// One that is in no log file yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregatedEvent {
    /// Grows; never used twice.
    pub number: u64,
    pub event: NewAggregatedEvent,
}

impl Catalog {
    /// The first journal entry that is not counted, and the windows that are open there, as
    /// [`Catalog::counted`] stored them.
    pub async fn aggregation(&self) -> Result<Option<(u64, String)>, CatalogError> {
        let row = sqlx::query("SELECT position, windows FROM aggregation")
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        row.map(|row| Ok((from_sql(row.try_get("position")?), row.try_get("windows")?))).transpose()
    }

    /// Stores how far the journal has been counted, the windows that are open there, and the events
    /// of those that were closed, in one transaction: each entry is counted once, whatever happens.
    pub async fn counted(
        &self,
        position: u64,
        windows: &str,
        closed: &[NewAggregatedEvent],
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO aggregation (one, position, windows) VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET position = ?1, windows = ?2",
        )
        .bind(to_sql(position))
        .bind(windows)
        .execute(&mut *tx)
        .await?;
        for event in closed {
            sqlx::query(
                "INSERT INTO aggregated_events
                     (trail_arn, account, region, bucket, prefix, organization, made_ms, event_ms,
                      record)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(&event.stream.trail_arn)
            .bind(&event.stream.account)
            .bind(&event.stream.region)
            .bind(&event.bucket)
            .bind(&event.prefix)
            .bind(&event.organization)
            .bind(event.made_ms)
            .bind(event.event_ms)
            .bind(&event.record)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Nothing is summed up any more, so no position holds the journal.
    pub async fn forget_aggregation(&self) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM aggregation").execute(&mut *self.database.hold().await?).await?;
        Ok(())
    }

    /// The events that are in no log file, those that go into one file side by side, by number.
    /// `folder` is the name of their folder, which is the same for all.
    pub async fn aggregated_events(
        &self,
        folder: &str,
    ) -> Result<Vec<AggregatedEvent>, CatalogError> {
        let rows = sqlx::query(
            "SELECT number, trail_arn, account, region, bucket, prefix, organization, made_ms,
                 event_ms, record
             FROM aggregated_events
             ORDER BY trail_arn, account, region, number",
        )
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let stream = StreamKey {
                    trail_arn: row.try_get("trail_arn")?,
                    account: row.try_get("account")?,
                    region: row.try_get("region")?,
                    folder: folder.to_owned(),
                };
                let event = NewAggregatedEvent {
                    stream,
                    bucket: row.try_get("bucket")?,
                    prefix: row.try_get("prefix")?,
                    organization: row.try_get("organization")?,
                    made_ms: row.try_get("made_ms")?,
                    event_ms: row.try_get("event_ms")?,
                    record: row.try_get("record")?,
                };
                Ok(AggregatedEvent { number: from_sql(row.try_get("number")?), event })
            })
            .collect()
    }

    /// The stream's events up to this number are in log files that are spooled.
    pub async fn forget_aggregated_events(
        &self,
        stream: &StreamKey,
        through: u64,
    ) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM aggregated_events
             WHERE trail_arn = ? AND account = ? AND region = ? AND number <= ?",
        )
        .bind(&stream.trail_arn)
        .bind(&stream.account)
        .bind(&stream.region)
        .bind(to_sql(through))
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }
}
