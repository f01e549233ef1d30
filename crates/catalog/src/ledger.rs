//! The ledger: which log files lie in their buckets, and how far each stream has come.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Catalog, CatalogError, from_sql, to_sql};

/// A stream of log files: one file never mixes trails, accounts, Regions or folders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub trail_arn: String,
    pub account: String,
    pub region: String,
    /// The folder in the bucket, such as `CloudTrail`; it stands for the event category.
    pub folder: String,
}

/// A log file that has just been put.
#[derive(Debug, Clone, PartialEq)]
pub struct NewLogFile {
    pub stream: StreamKey,
    pub bucket: String,
    pub key: String,
    /// Lower-case hex SHA-256 of the uncompressed bytes.
    pub sha256: String,
    pub first_seq: u64,
    pub last_seq: u64,
    pub events: u64,
    pub oldest_ms: i64,
    pub newest_ms: i64,
    pub delivered_ms: i64,
}

/// A row of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFileRow {
    pub id: i64,
    pub file: NewLogFile,
}

pub(crate) fn log_file_of(row: &SqliteRow) -> Result<LogFileRow, CatalogError> {
    Ok(LogFileRow {
        id: row.try_get("id")?,
        file: NewLogFile {
            stream: StreamKey {
                trail_arn: row.try_get("trail_arn")?,
                account: row.try_get("account")?,
                region: row.try_get("region")?,
                folder: row.try_get("folder")?,
            },
            bucket: row.try_get("bucket")?,
            key: row.try_get("key")?,
            sha256: row.try_get("sha256")?,
            first_seq: from_sql(row.try_get("first_seq")?),
            last_seq: from_sql(row.try_get("last_seq")?),
            events: from_sql(row.try_get("events")?),
            oldest_ms: row.try_get("oldest_ms")?,
            newest_ms: row.try_get("newest_ms")?,
            delivered_ms: row.try_get("delivered_ms")?,
        },
    })
}

impl Catalog {
    /// Enters a delivered file, moves its stream, and sets the trail's status, in one transaction.
    /// Entering the same file again changes nothing but the status.
    pub async fn log_file_delivered(&self, file: &NewLogFile) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "INSERT INTO log_files (trail_arn, account, region, folder, bucket, key, sha256, first_seq, last_seq,
                                    events, oldest_ms, newest_ms, delivered_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (trail_arn, account, region, folder, first_seq) DO NOTHING",
        )
        .bind(&file.stream.trail_arn)
        .bind(&file.stream.account)
        .bind(&file.stream.region)
        .bind(&file.stream.folder)
        .bind(&file.bucket)
        .bind(&file.key)
        .bind(&file.sha256)
        .bind(to_sql(file.first_seq))
        .bind(to_sql(file.last_seq))
        .bind(to_sql(file.events))
        .bind(file.oldest_ms)
        .bind(file.newest_ms)
        .bind(file.delivered_ms)
        .execute(&mut *tx)
        .await?;
        move_stream(&mut tx, &file.stream, file.last_seq).await?;
        sqlx::query(
            "INSERT INTO trail_statuses (arn, region, latest_delivery_ms, latest_delivery_attempt_ms) VALUES (?1, ?2, ?3, ?3)
             ON CONFLICT (arn, region) DO UPDATE
             SET latest_delivery_ms = ?3, latest_delivery_attempt_ms = ?3, latest_delivery_error = NULL",
        )
        .bind(&file.stream.trail_arn)
        .bind(&file.stream.region)
        .bind(file.delivered_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Moves a stream past a file that will never be delivered (its 30 days are over).
    pub async fn skip_stream(&self, stream: &StreamKey, last_seq: u64) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        move_stream(&mut tx, stream, last_seq).await?;
        tx.commit().await?;
        Ok(())
    }

    /// How far every stream has been delivered: the last journal entry in its newest file.
    pub async fn streams(&self) -> Result<Vec<(StreamKey, u64)>, CatalogError> {
        let rows = sqlx::query("SELECT trail_arn, account, region, folder, last_seq FROM streams")
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let stream = StreamKey {
                    trail_arn: row.try_get("trail_arn")?,
                    account: row.try_get("account")?,
                    region: row.try_get("region")?,
                    folder: row.try_get("folder")?,
                };
                Ok((stream, from_sql(row.try_get("last_seq")?)))
            })
            .collect()
    }

    /// A trail without validation has no digests: its files that were delivered before `now_ms` and
    /// that no digest lists will not be listed later either, should validation begin again.
    pub async fn leave_unattested(&self, trail_arn: &str, now_ms: i64) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE log_files SET digest_id = 0
             WHERE trail_arn = ? AND digest_id IS NULL AND delivered_ms < ?",
        )
        .bind(trail_arn)
        .bind(now_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Files and events in the ledger, for metrics and tests.
    pub async fn ledger_totals(&self) -> Result<(u64, u64), CatalogError> {
        let row = sqlx::query(
            "SELECT count(*) AS files, coalesce(sum(events), 0) AS events FROM log_files",
        )
        .fetch_one(&mut *self.database.hold().await?)
        .await?;
        Ok((from_sql(row.try_get("files")?), from_sql(row.try_get("events")?)))
    }
}

async fn move_stream(
    tx: &mut sqlx::SqliteConnection,
    stream: &StreamKey,
    last_seq: u64,
) -> Result<(), CatalogError> {
    sqlx::query(
        "INSERT INTO streams (trail_arn, account, region, folder, last_seq) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (trail_arn, account, region, folder) DO UPDATE SET last_seq = max(last_seq, ?5)",
    )
    .bind(&stream.trail_arn)
    .bind(&stream.account)
    .bind(&stream.region)
    .bind(&stream.folder)
    .bind(to_sql(last_seq))
    .execute(tx)
    .await?;
    Ok(())
}
