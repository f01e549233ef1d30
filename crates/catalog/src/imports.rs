//! Imports from buckets: their files, and how far each has come; and which contents are in a table.
//!
//! ```text
//!   start_import ─▶ INITIALIZING ─ add_import_files … listed ─▶ IN_PROGRESS ─ end_import ─▶ COMPLETED, FAILED
//!                        └──────────── stop_import ──────────────────┴──────────────────▶ STOPPED
//!                                  retry_import: FAILED, STOPPED ─▶ IN_PROGRESS (or INITIALIZING)
//!   a file:  WAITING ─ import_files_ended, after the lake's commit ─▶ DONE or FAILED
//! ```

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Catalog, CatalogError, from_sql, to_sql};

/// As the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportStatus {
    Initializing,
    InProgress,
    Failed,
    Stopped,
    Completed,
}

impl ImportStatus {
    pub const ALL: [ImportStatus; 5] = [
        ImportStatus::Initializing,
        ImportStatus::InProgress,
        ImportStatus::Failed,
        ImportStatus::Stopped,
        ImportStatus::Completed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            ImportStatus::Initializing => "INITIALIZING",
            ImportStatus::InProgress => "IN_PROGRESS",
            ImportStatus::Failed => "FAILED",
            ImportStatus::Stopped => "STOPPED",
            ImportStatus::Completed => "COMPLETED",
        }
    }

    pub fn parse(name: &str) -> Option<ImportStatus> {
        ImportStatus::ALL.into_iter().find(|status| status.name() == name)
    }

    pub fn is_ongoing(self) -> bool {
        matches!(self, ImportStatus::Initializing | ImportStatus::InProgress)
    }
}

/// Where the files come from, as the request said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSource {
    pub s3_location_uri: String,
    pub s3_bucket_region: String,
    pub s3_bucket_access_role_arn: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewImport {
    /// A UUID.
    pub id: String,
    pub account: String,
    pub region: String,
    pub store_arn: String,
    pub source: ImportSource,
    /// Only files whose name or folder says a time from here on.
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    pub created_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The order in which they came.
    pub number: i64,
    pub asked: NewImport,
    pub status: ImportStatus,
    pub updated_ms: i64,
    /// Every file under the source is known.
    pub listed: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportStatistics {
    pub prefixes_found: u64,
    pub prefixes_completed: u64,
    pub files_completed: u64,
    pub events_completed: u64,
    pub failed_entries: u64,
}

/// A file under the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    pub key: String,
    /// Of the key, through the Region's folder: what AWS counts as a prefix.
    pub prefix: String,
    pub bytes: u64,
}

/// A file to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFile {
    pub number: i64,
    pub key: String,
    pub bytes: u64,
    /// Attempts that failed.
    pub attempts: u32,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedFile {
    pub number: i64,
    pub outcome: FileOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileOutcome {
    /// All its events are in, or were before.
    Done { events: u64 },
    /// It waits for another attempt.
    Again { error_type: String, error: String },
    /// `events`: those that are in all the same.
    Failed { error_type: String, error: String, events: u64 },
}

/// A file that failed at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportFailure {
    pub number: i64,
    pub key: String,
    /// FAILED, RETRY or SUCCEEDED.
    pub status: &'static str,
    pub error_type: String,
    pub error: String,
    pub updated_ms: i64,
}

/// What ListImports asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportFilter {
    pub store_arn: Option<String>,
    pub status: Option<ImportStatus>,
    /// Only those that came before this number.
    pub before: Option<i64>,
}

/// The row of a source that failed as a whole; no key has this prefix, since none begins so.
const SOURCE_PREFIX: &str = "s3://";

impl Catalog {
    /// Enters an import. False when the account has one that is under way.
    pub async fn start_import(&self, import: &NewImport) -> Result<bool, CatalogError> {
        let source = serde_json::to_string(&import.source)
            .map_err(|e| CatalogError::Damaged { table: "imports", detail: e.to_string() })?;
        let entered = sqlx::query(
            "INSERT INTO imports (id, account, region, store_arn, source, start_ms, end_ms, status, created_ms, updated_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'INITIALIZING', ?8, ?8) ON CONFLICT DO NOTHING",
        )
        .bind(&import.id)
        .bind(&import.account)
        .bind(&import.region)
        .bind(&import.store_arn)
        .bind(source)
        .bind(import.start_ms)
        .bind(import.end_ms)
        .bind(import.created_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(entered.rows_affected() == 1)
    }

    /// An import of the account, whatever its Region.
    pub async fn import(&self, account: &str, id: &str) -> Result<Option<Import>, CatalogError> {
        let row = sqlx::query("SELECT * FROM imports WHERE id = ? AND account = ?")
            .bind(id)
            .bind(account)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        row.as_ref().map(import_of).transpose()
    }

    /// The account's imports, newest first.
    pub async fn imports_of(
        &self,
        account: &str,
        filter: &ImportFilter,
        count_max: u32,
    ) -> Result<Vec<Import>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM imports WHERE account = ?1 AND (?2 IS NULL OR store_arn = ?2)
               AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR number < ?4)
             ORDER BY number DESC LIMIT ?5",
        )
        .bind(account)
        .bind(&filter.store_arn)
        .bind(filter.status.map(ImportStatus::name))
        .bind(filter.before)
        .bind(count_max)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter().map(import_of).collect()
    }

    /// Every account's imports that are under way.
    pub async fn ongoing_imports(&self) -> Result<Vec<Import>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM imports WHERE status IN ('INITIALIZING', 'IN_PROGRESS') ORDER BY number",
        )
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter().map(import_of).collect()
    }

    /// Is an import into this event data store under way?
    pub async fn has_ongoing_import(&self, store_arn: &str) -> Result<bool, CatalogError> {
        let row = sqlx::query(
            "SELECT 1 FROM imports WHERE store_arn = ? AND status IN ('INITIALIZING', 'IN_PROGRESS')",
        )
        .bind(store_arn)
        .fetch_optional(&mut *self.database.hold().await?)
        .await?;
        Ok(row.is_some())
    }

    pub async fn import_statistics(
        &self,
        import: &Import,
    ) -> Result<ImportStatistics, CatalogError> {
        let row = sqlx::query(
            "SELECT files_done, events_done,
                 (SELECT count(DISTINCT prefix) FROM import_files WHERE import = ?1 AND prefix <> ?2) AS found,
                 (SELECT count(DISTINCT prefix) FROM import_files WHERE import = ?1 AND status <> 'DONE' AND prefix <> ?2) AS open,
                 (SELECT count(*) FROM import_files WHERE import = ?1 AND status = 'FAILED') AS failed
             FROM imports WHERE number = ?1",
        )
        .bind(import.number)
        .bind(SOURCE_PREFIX)
        .fetch_one(&mut *self.database.hold().await?)
        .await?;
        let number = |column: &str| Ok::<_, CatalogError>(from_sql(row.try_get(column)?));
        let found = number("found")?;
        // Before all is listed, more may come under any prefix.
        let completed = if import.listed { found.saturating_sub(number("open")?) } else { 0 };
        Ok(ImportStatistics {
            prefixes_found: found,
            prefixes_completed: completed,
            files_completed: number("files_done")?,
            events_completed: number("events_done")?,
            failed_entries: number("failed")?,
        })
    }

    /// Enters files that were found; those that are known stay as they are. `last`: these were all.
    pub async fn add_import_files(
        &self,
        import: i64,
        files: &[FoundFile],
        last: bool,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        for file in files {
            sqlx::query(
                "INSERT INTO import_files (import, key, prefix, bytes, status, updated_ms)
                 VALUES (?, ?, ?, ?, 'WAITING', ?) ON CONFLICT (import, key) DO NOTHING",
            )
            .bind(import)
            .bind(&file.key)
            .bind(&file.prefix)
            .bind(to_sql(file.bytes))
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query(
            "UPDATE imports SET updated_ms = ?1, listed = max(listed, ?2),
                 status = CASE WHEN ?2 = 1 THEN 'IN_PROGRESS' ELSE status END
             WHERE number = ?3 AND status = 'INITIALIZING'",
        )
        .bind(now_ms)
        .bind(i64::from(last))
        .bind(import)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The next files to import, in the order in which they were found.
    pub async fn import_files_waiting(
        &self,
        import: i64,
        count_max: u32,
    ) -> Result<Vec<WaitingFile>, CatalogError> {
        let rows = sqlx::query(
            "SELECT number, key, bytes, attempts FROM import_files
             WHERE import = ? AND status = 'WAITING' ORDER BY number LIMIT ?",
        )
        .bind(import)
        .bind(count_max)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(WaitingFile {
                    number: row.try_get("number")?,
                    key: row.try_get("key")?,
                    bytes: from_sql(row.try_get("bytes")?),
                    attempts: row.try_get("attempts")?,
                })
            })
            .collect()
    }

    /// Enters what became of files, all or nothing. What is done has been committed by the lake.
    pub async fn import_files_ended(
        &self,
        import: i64,
        files: &[EndedFile],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        let (mut files_done, mut events_done) = (0_u64, 0_u64);
        for file in files {
            let (status, failure) = match &file.outcome {
                FileOutcome::Done { .. } => ("DONE", None),
                FileOutcome::Again { error_type, error } => ("WAITING", Some((error_type, error))),
                FileOutcome::Failed { error_type, error, .. } => {
                    ("FAILED", Some((error_type, error)))
                }
            };
            let changed = sqlx::query(
                "UPDATE import_files SET status = ?1, attempts = attempts + ?2,
                     error_type = coalesce(?3, error_type), error = coalesce(?4, error), updated_ms = ?5
                 WHERE number = ?6 AND import = ?7 AND status = 'WAITING'",
            )
            .bind(status)
            .bind(i64::from(failure.is_some()))
            .bind(failure.map(|(error_type, _)| error_type))
            .bind(failure.map(|(_, error)| error))
            .bind(now_ms)
            .bind(file.number)
            .bind(import)
            .execute(&mut *tx)
            .await?;
            if changed.rows_affected() == 1 {
                match file.outcome {
                    FileOutcome::Done { events } => {
                        files_done += 1;
                        events_done += events;
                    }
                    FileOutcome::Failed { events, .. } => events_done += events,
                    FileOutcome::Again { .. } => {}
                }
            }
        }
        sqlx::query(
            "UPDATE imports SET files_done = files_done + ?, events_done = events_done + ?, updated_ms = ? WHERE number = ?",
        )
        .bind(to_sql(files_done))
        .bind(to_sql(events_done))
        .bind(now_ms)
        .bind(import)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// No file waits any more: COMPLETED, or FAILED if a file failed. Says which.
    pub async fn complete_import(
        &self,
        import: i64,
        now_ms: i64,
    ) -> Result<Option<ImportStatus>, CatalogError> {
        let row = sqlx::query(
            "UPDATE imports SET updated_ms = ?1, status =
                 CASE WHEN EXISTS (SELECT 1 FROM import_files WHERE import = ?2 AND status = 'FAILED')
                 THEN 'FAILED' ELSE 'COMPLETED' END
             WHERE number = ?2 AND status = 'IN_PROGRESS'
               AND NOT EXISTS (SELECT 1 FROM import_files WHERE import = ?2 AND status = 'WAITING')
             RETURNING status",
        )
        .bind(now_ms)
        .bind(import)
        .fetch_optional(&mut *self.database.hold().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(ImportStatus::parse(row.try_get("status")?))
    }

    /// The import as a whole cannot go on: everything that waits has failed, and so has the source
    /// itself, which is listed under `key`.
    pub async fn fail_import(
        &self,
        import: i64,
        key: &str,
        error_type: &str,
        error: &str,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        sqlx::query(
            "UPDATE import_files SET status = 'FAILED', error_type = ?, error = ?, updated_ms = ?
             WHERE import = ? AND status = 'WAITING'",
        )
        .bind(error_type)
        .bind(error)
        .bind(now_ms)
        .bind(import)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "INSERT INTO import_files (import, key, prefix, bytes, status, attempts, error_type, error, updated_ms)
             SELECT ?1, ?2, ?6, 0, 'FAILED', 1, ?3, ?4, ?5
             WHERE NOT EXISTS (SELECT 1 FROM import_files WHERE import = ?1 AND status = 'FAILED')
             ON CONFLICT (import, key) DO UPDATE SET status = 'FAILED', error_type = ?3, error = ?4, updated_ms = ?5",
        )
        .bind(import)
        .bind(key)
        .bind(error_type)
        .bind(error)
        .bind(now_ms)
        .bind(SOURCE_PREFIX)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE imports SET status = 'FAILED', updated_ms = ? WHERE number = ? AND status IN ('INITIALIZING', 'IN_PROGRESS')",
        )
        .bind(now_ms)
        .bind(import)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stops an import that is under way. False when it has ended.
    pub async fn stop_import(&self, import: i64, now_ms: i64) -> Result<bool, CatalogError> {
        let stopped = sqlx::query(
            "UPDATE imports SET status = 'STOPPED', updated_ms = ? WHERE number = ? AND status IN ('INITIALIZING', 'IN_PROGRESS')",
        )
        .bind(now_ms)
        .bind(import)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(stopped.rows_affected() == 1)
    }

    /// Goes on with an import that failed or was stopped: with the files that failed and those that
    /// wait. False when the account has another one under way, or this one has not ended so.
    pub async fn retry_import(&self, import: i64, now_ms: i64) -> Result<bool, CatalogError> {
        let mut tx = self.database.begin().await?;
        let begun = sqlx::query(
            "UPDATE OR IGNORE imports SET updated_ms = ?, status = CASE listed WHEN 1 THEN 'IN_PROGRESS' ELSE 'INITIALIZING' END
             WHERE number = ? AND status IN ('FAILED', 'STOPPED')",
        )
        .bind(now_ms)
        .bind(import)
        .execute(&mut *tx)
        .await?;
        if begun.rows_affected() != 1 {
            return Ok(false);
        }
        // A source that failed as a whole is no file.
        sqlx::query("DELETE FROM import_files WHERE import = ? AND prefix = ?")
            .bind(import)
            .bind(SOURCE_PREFIX)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "UPDATE import_files SET status = 'WAITING', attempts = 0, updated_ms = ? WHERE import = ? AND status = 'FAILED'",
        )
        .bind(now_ms)
        .bind(import)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Files that failed at least once, in the order in which they were found.
    pub async fn import_failures(
        &self,
        import: i64,
        after: i64,
        count_max: u32,
    ) -> Result<Vec<ImportFailure>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM import_files WHERE import = ? AND error_type IS NOT NULL AND number > ?
             ORDER BY number LIMIT ?",
        )
        .bind(import)
        .bind(after)
        .bind(count_max)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let status = match row.try_get("status")? {
                    "DONE" => "SUCCEEDED",
                    "WAITING" => "RETRY",
                    _ => "FAILED",
                };
                Ok(ImportFailure {
                    number: row.try_get("number")?,
                    key: row.try_get("key")?,
                    status,
                    error_type: row.try_get("error_type")?,
                    error: row.try_get("error")?,
                    updated_ms: row.try_get("updated_ms")?,
                })
            })
            .collect()
    }

    /// Remembers that these contents, by their SHA-256, are in a table. The lake has committed them.
    pub async fn add_imported_files(
        &self,
        table: &str,
        hashes: &[[u8; 32]],
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        for hash in hashes {
            sqlx::query(
                "INSERT INTO imported_files (table_name, sha256, imported_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(table)
            .bind(hash.as_slice())
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Which of these contents are in the table.
    pub async fn known_imported_files(
        &self,
        table: &str,
        hashes: &[[u8; 32]],
    ) -> Result<HashSet<[u8; 32]>, CatalogError> {
        let mut known = HashSet::new();
        for hash in hashes {
            let row =
                sqlx::query("SELECT 1 FROM imported_files WHERE table_name = ? AND sha256 = ?")
                    .bind(table)
                    .bind(hash.as_slice())
                    .fetch_optional(&mut *self.database.hold().await?)
                    .await?;
            if row.is_some() {
                known.insert(*hash);
            }
        }
        Ok(known)
    }

    /// The table is gone, and what was in it.
    pub async fn forget_imported_files(&self, table: &str) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM imported_files WHERE table_name = ?")
            .bind(table)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(())
    }
}

fn import_of(row: &SqliteRow) -> Result<Import, CatalogError> {
    let damaged = |detail: String| CatalogError::Damaged { table: "imports", detail };
    let source: &str = row.try_get("source")?;
    let source = serde_json::from_str(source).map_err(|e| damaged(e.to_string()))?;
    let status: &str = row.try_get("status")?;
    let status = ImportStatus::parse(status).ok_or_else(|| damaged(format!("status {status}")))?;
    Ok(Import {
        number: row.try_get("number")?,
        asked: NewImport {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            store_arn: row.try_get("store_arn")?,
            source,
            start_ms: row.try_get("start_ms")?,
            end_ms: row.try_get("end_ms")?,
            created_ms: row.try_get("created_ms")?,
        },
        status,
        updated_ms: row.try_get("updated_ms")?,
        listed: row.try_get::<i64, _>("listed")? == 1,
    })
}

#[cfg(test)]
mod tests;
