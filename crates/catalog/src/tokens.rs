//! Ingest tokens: who may post events without SigV4. Only hashes are stored.

use sqlx::Row;

use crate::{Catalog, CatalogError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestToken {
    pub sha256: [u8; 32],
    pub name: String,
    pub account: String,
}

impl Catalog {
    /// Stores a token's hash; a token of the same name and account is replaced.
    pub async fn put_ingest_token(
        &self,
        token: &IngestToken,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        sqlx::query("DELETE FROM ingest_tokens WHERE name = ? AND account = ?")
            .bind(&token.name)
            .bind(&token.account)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO ingest_tokens (sha256, name, account, created_ms) VALUES (?, ?, ?, ?)",
        )
        .bind(token.sha256.as_slice())
        .bind(&token.name)
        .bind(&token.account)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    pub async fn ingest_tokens(&self) -> Result<Vec<IngestToken>, CatalogError> {
        let rows =
            sqlx::query("SELECT sha256, name, account FROM ingest_tokens ORDER BY created_ms")
                .fetch_all(&mut *self.database.hold().await?)
                .await?;
        let mut tokens = Vec::with_capacity(rows.len());
        for row in rows {
            let hash: Vec<u8> = row.try_get("sha256")?;
            let sha256 = hash.try_into().map_err(|_| CatalogError::Damaged {
                table: "ingest_tokens",
                detail: "a hash is not 32 bytes long".into(),
            })?;
            tokens.push(IngestToken {
                sha256,
                name: row.try_get("name")?,
                account: row.try_get("account")?,
            });
        }
        Ok(tokens)
    }
}
