//! Chains of digests, the digests still to be put, and the public digest keys.
//!
//! A digest is signed and stored, its files are marked and its chain moves on in one transaction
//! ([`Catalog::append_digest`]); putting it into the bucket comes after, from what was stored, as
//! often as it takes. So a crash can neither skip a file nor fork a chain.

use serde::{Deserialize, Serialize};
use sqlx::Row;

use crate::ledger::log_file_of;
use crate::{Catalog, CatalogError, LogFileRow};

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainKey {
    pub trail_arn: String,
    pub account: String,
    pub region: String,
}

/// What the next digest says about the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousDigest {
    pub bucket: String,
    pub object: String,
    /// Lower-case hex SHA-256 of the uncompressed digest.
    pub sha256: String,
    pub signature: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub key: ChainKey,
    /// A digest is due at every interval; false once the final one has been made.
    pub open: bool,
    /// digestEndTime of the newest digest, or where the starting digest will end.
    pub end_ms: i64,
    pub previous: Option<PreviousDigest>,
}

/// A signed digest about to enter its chain.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDigest {
    pub chain: ChainKey,
    pub bucket: String,
    pub key: String,
    pub body_gz: Vec<u8>,
    pub sha256: String,
    pub signature: String,
    pub end_ms: i64,
    /// Ledger rows that it lists.
    pub files: Vec<i64>,
    /// The chain stays open after it.
    pub open_after: bool,
}

/// A digest that waits to be put into its bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedDigest {
    pub id: i64,
    pub chain: ChainKey,
    pub bucket: String,
    pub key: String,
    pub body_gz: Vec<u8>,
    pub signature: String,
    pub end_ms: i64,
}

/// The public half of a digest key. Times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestKey {
    pub region: String,
    pub fingerprint: String,
    pub public_pkcs1: Vec<u8>,
    pub valid_from_ms: i64,
    pub valid_until_ms: i64,
}

impl Catalog {
    /// Every chain, open or not.
    pub async fn chains(&self) -> Result<Vec<Chain>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM chains ORDER BY trail_arn, account, region")
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let previous: Option<&str> = row.try_get("previous")?;
                let previous = previous.map(serde_json::from_str).transpose().map_err(|e| {
                    CatalogError::Damaged { table: "chains", detail: e.to_string() }
                })?;
                Ok(Chain {
                    key: ChainKey {
                        trail_arn: row.try_get("trail_arn")?,
                        account: row.try_get("account")?,
                        region: row.try_get("region")?,
                    },
                    open: row.try_get::<i64, _>("open")? == 1,
                    end_ms: row.try_get("end_ms")?,
                    previous,
                })
            })
            .collect()
    }

    /// Starts a chain that ends at `end_ms` with its (still unsigned) starting digest, unless one
    /// is open. A chain that had ended starts anew, without a predecessor.
    pub async fn start_chain(&self, key: &ChainKey, end_ms: i64) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO chains (trail_arn, account, region, open, end_ms, previous) VALUES (?1, ?2, ?3, 1, ?4, NULL)
             ON CONFLICT (trail_arn, account, region) DO UPDATE
             SET open = 1, previous = NULL, end_ms = max(end_ms + 1000, ?4) WHERE open = 0",
        )
        .bind(&key.trail_arn)
        .bind(&key.account)
        .bind(&key.region)
        .bind(end_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Delivered files that no digest lists yet and that were delivered by `until_ms`, in ledger
    /// order; also those that the clock, which was ahead then, says will be delivered after `now_ms`.
    pub async fn files_without_digest(
        &self,
        key: &ChainKey,
        until_ms: i64,
        now_ms: i64,
    ) -> Result<Vec<LogFileRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM log_files
             WHERE trail_arn = ? AND account = ? AND region = ? AND digest_id IS NULL
               AND (delivered_ms <= ? OR delivered_ms > ?) ORDER BY id",
        )
        .bind(&key.trail_arn)
        .bind(&key.account)
        .bind(&key.region)
        .bind(until_ms)
        .bind(now_ms)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter().map(log_file_of).collect()
    }

    /// Streams of a trail that have files without a digest, so that their chains can be started.
    pub async fn chains_wanted(&self, trail_arn: &str) -> Result<Vec<ChainKey>, CatalogError> {
        let rows = sqlx::query(
            "SELECT DISTINCT trail_arn, account, region FROM log_files WHERE trail_arn = ? AND digest_id IS NULL",
        )
        .bind(trail_arn)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ChainKey {
                    trail_arn: row.try_get("trail_arn")?,
                    account: row.try_get("account")?,
                    region: row.try_get("region")?,
                })
            })
            .collect()
    }

    /// Stores the signed digest, marks its files, and moves the chain, or does nothing at all:
    /// `StaleDigest` when the chain has not stood still since the digest was made, or when another
    /// digest lists one of its files.
    pub async fn append_digest(&self, digest: &NewDigest) -> Result<(), CatalogError> {
        let previous = PreviousDigest {
            bucket: digest.bucket.clone(),
            object: digest.key.clone(),
            sha256: digest.sha256.clone(),
            signature: digest.signature.clone(),
        };
        let previous = serde_json::to_string(&previous)
            .map_err(|e| CatalogError::Damaged { table: "chains", detail: e.to_string() })?;
        let mut tx = self.database.begin().await?;
        let id = sqlx::query(
            "INSERT INTO digests (trail_arn, account, region, bucket, key, body_gz, signature, end_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&digest.chain.trail_arn)
        .bind(&digest.chain.account)
        .bind(&digest.chain.region)
        .bind(&digest.bucket)
        .bind(&digest.key)
        .bind(digest.body_gz.as_slice())
        .bind(&digest.signature)
        .bind(digest.end_ms)
        .execute(&mut *tx)
        .await?
        .last_insert_rowid();
        for file in &digest.files {
            let marked = sqlx::query(
                "UPDATE log_files SET digest_id = ? WHERE id = ? AND digest_id IS NULL",
            )
            .bind(id)
            .bind(file)
            .execute(&mut *tx)
            .await?;
            if marked.rows_affected() != 1 {
                return Err(CatalogError::StaleDigest { key: digest.key.clone() });
            }
        }
        // The starting digest ends where its chain was said to; every other one ends later.
        let moved = sqlx::query(
            "UPDATE chains SET end_ms = ?1, previous = ?2, open = ?3
             WHERE trail_arn = ?4 AND account = ?5 AND region = ?6
               AND open = 1 AND (end_ms < ?1 OR (end_ms = ?1 AND previous IS NULL))",
        )
        .bind(digest.end_ms)
        .bind(previous)
        .bind(i64::from(digest.open_after))
        .bind(&digest.chain.trail_arn)
        .bind(&digest.chain.account)
        .bind(&digest.chain.region)
        .execute(&mut *tx)
        .await?;
        if moved.rows_affected() != 1 {
            return Err(CatalogError::StaleDigest { key: digest.key.clone() });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Digests not yet in their bucket, oldest first, at most `count_max`, none for the buckets
    /// `resting`.
    pub async fn digests_to_put(
        &self,
        resting: &[String],
        count_max: u32,
    ) -> Result<Vec<SignedDigest>, CatalogError> {
        let resting = serde_json::to_string(resting).expect("a list of texts is always JSON");
        let rows = sqlx::query(
            "SELECT * FROM digests WHERE delivered_ms IS NULL
             AND bucket NOT IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT ?",
        )
        .bind(resting)
        .bind(count_max)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SignedDigest {
                    id: row.try_get("id")?,
                    chain: ChainKey {
                        trail_arn: row.try_get("trail_arn")?,
                        account: row.try_get("account")?,
                        region: row.try_get("region")?,
                    },
                    bucket: row.try_get("bucket")?,
                    key: row.try_get("key")?,
                    body_gz: row.try_get("body_gz")?,
                    signature: row.try_get("signature")?,
                    end_ms: row.try_get("end_ms")?,
                })
            })
            .collect()
    }

    /// How many digests of a trail are not in their bucket yet.
    pub async fn digests_waiting(&self, trail_arn: &str) -> Result<u64, CatalogError> {
        let row = sqlx::query(
            "SELECT count(*) AS n FROM digests WHERE delivered_ms IS NULL AND trail_arn = ?",
        )
        .bind(trail_arn)
        .fetch_one(&mut *self.database.hold().await?)
        .await?;
        Ok(crate::from_sql(row.try_get("n")?))
    }

    /// The digest lies in its bucket: sets the trail's status too.
    pub async fn digest_delivered(
        &self,
        digest: &SignedDigest,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        // The bytes now lie in the bucket; the row stays as the ledger's memory of it.
        sqlx::query("UPDATE digests SET delivered_ms = ?, body_gz = x'' WHERE id = ?")
            .bind(now_ms)
            .bind(digest.id)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO trail_statuses (arn, region, latest_digest_delivery_ms) VALUES (?1, ?2, ?3)
             ON CONFLICT (arn, region) DO UPDATE SET latest_digest_delivery_ms = ?3, latest_digest_delivery_error = NULL",
        )
        .bind(&digest.chain.trail_arn)
        .bind(&digest.chain.region)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives a digest up after its 30 days; later digests still link to it.
    pub async fn digest_abandoned(&self, id: i64) -> Result<(), CatalogError> {
        sqlx::query("UPDATE digests SET delivered_ms = -1 WHERE id = ?")
            .bind(id)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(())
    }

    pub async fn put_digest_key(&self, key: &DigestKey) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO digest_keys (region, fingerprint, public_pkcs1, valid_from_ms, valid_until_ms) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (region, fingerprint) DO NOTHING",
        )
        .bind(&key.region)
        .bind(&key.fingerprint)
        .bind(key.public_pkcs1.as_slice())
        .bind(key.valid_from_ms)
        .bind(key.valid_until_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Keys of a Region whose validity touches the span, oldest first.
    pub async fn digest_keys(
        &self,
        region: &str,
        from_ms: i64,
        until_ms: i64,
    ) -> Result<Vec<DigestKey>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM digest_keys WHERE region = ? AND valid_from_ms <= ? AND valid_until_ms >= ? ORDER BY valid_from_ms",
        )
        .bind(region)
        .bind(until_ms)
        .bind(from_ms)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(DigestKey {
                    region: row.try_get("region")?,
                    fingerprint: row.try_get("fingerprint")?,
                    public_pkcs1: row.try_get("public_pkcs1")?,
                    valid_from_ms: row.try_get("valid_from_ms")?,
                    valid_until_ms: row.try_get("valid_until_ms")?,
                })
            })
            .collect()
    }
}
