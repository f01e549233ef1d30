//! Statements that were generated, by their aliases.

use sqlx::Row;

use crate::{Catalog, CatalogError};

/// A statement that was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryAlias {
    pub alias: String,
    pub account: String,
    pub region: String,
    pub store_arn: String,
    pub prompt: String,
    pub statement: String,
    pub created_ms: i64,
}

impl Catalog {
    pub async fn add_query_alias(&self, alias: &QueryAlias) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO query_aliases (alias, account, region, store_arn, prompt, statement, created_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&alias.alias)
        .bind(&alias.account)
        .bind(&alias.region)
        .bind(&alias.store_arn)
        .bind(&alias.prompt)
        .bind(&alias.statement)
        .bind(alias.created_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    pub async fn query_alias(
        &self,
        account: &str,
        region: &str,
        alias: &str,
    ) -> Result<Option<QueryAlias>, CatalogError> {
        let row = sqlx::query(
            "SELECT * FROM query_aliases WHERE alias = ? AND account = ? AND region = ?",
        )
        .bind(alias)
        .bind(account)
        .bind(region)
        .fetch_optional(&mut *self.database.hold().await?)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(QueryAlias {
            alias: row.try_get("alias")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            store_arn: row.try_get("store_arn")?,
            prompt: row.try_get("prompt")?,
            statement: row.try_get("statement")?,
            created_ms: row.try_get("created_ms")?,
        }))
    }

    pub async fn remove_query_aliases(&self, before_ms: i64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM query_aliases WHERE created_ms < ?")
            .bind(before_ms)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(())
    }
}
