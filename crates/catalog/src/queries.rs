//! Queries: queued, run, ended, kept for a while.
//!
//! ```text
//!   add_running_query ───────────────────────────▼
//!   add_query ─▶ QUEUED ─ begin_next_query ─▶ RUNNING ─ end_query ─▶ FINISHED, FAILED, TIMED_OUT
//!                  ▲ └───────── cancel_query ───┴───────────────────▶ CANCELLED
//!                  └── requeue_queries ◀── the server stopped meanwhile
//! ```
//! Every arrow is one statement that names the status it comes from, so a query ends only once.

use std::fmt;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Catalog, CatalogError, from_sql, to_sql};

/// As the API shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryStatus {
    Queued,
    Running,
    Finished,
    Failed,
    Cancelled,
    TimedOut,
}

impl QueryStatus {
    pub const ALL: [QueryStatus; 6] = [
        QueryStatus::Queued,
        QueryStatus::Running,
        QueryStatus::Finished,
        QueryStatus::Failed,
        QueryStatus::Cancelled,
        QueryStatus::TimedOut,
    ];

    pub fn name(self) -> &'static str {
        match self {
            QueryStatus::Queued => "QUEUED",
            QueryStatus::Running => "RUNNING",
            QueryStatus::Finished => "FINISHED",
            QueryStatus::Failed => "FAILED",
            QueryStatus::Cancelled => "CANCELLED",
            QueryStatus::TimedOut => "TIMED_OUT",
        }
    }

    pub fn parse(name: &str) -> Option<QueryStatus> {
        QueryStatus::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Nothing changes it any more.
    pub fn is_final(self) -> bool {
        !matches!(self, QueryStatus::Queued | QueryStatus::Running)
    }
}

impl fmt::Display for QueryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event data store by the name that the statement gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryStore {
    pub name: String,
    pub arn: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewQuery {
    /// A UUID.
    pub id: String,
    pub account: String,
    pub region: String,
    pub statement: String,
    pub parameters: Vec<String>,
    pub stores: Vec<QueryStore>,
    pub alias: Option<String>,
    pub prompt: Option<String>,
    /// Where the results go besides, such as `s3://bucket/prefix`.
    pub delivery_uri: Option<String>,
    /// The ID of the dashboard's refresh that it belongs to.
    pub refresh: Option<String>,
    pub created_ms: i64,
}

/// How far a query came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryStatistics {
    pub events_matched: u64,
    pub events_scanned: u64,
    pub bytes_scanned: u64,
    pub execution_ms: u64,
    /// Rows of the result.
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The order in which they came.
    pub number: i64,
    pub asked: NewQuery,
    pub status: QueryStatus,
    /// How often it was begun; more than once only if the server stopped meanwhile.
    pub attempts: u32,
    pub ended_ms: Option<i64>,
    pub error: Option<String>,
    pub statistics: QueryStatistics,
    /// The API's DeliveryStatus, if there is something to deliver.
    pub delivery_status: Option<String>,
}

/// How a running query ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryEnd {
    pub status: QueryStatus,
    pub error: Option<String>,
    pub statistics: QueryStatistics,
    pub ended_ms: i64,
    /// The result, if it is to lie in the catalog.
    pub result: Option<Vec<u8>>,
}

/// What ListQueries asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryFilter {
    pub store_arn: String,
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub status: Option<QueryStatus>,
    /// Only those that came before this number.
    pub before: Option<i64>,
}

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

const DELIVERY_PENDING: &str = "PENDING";

impl Catalog {
    /// Queues a query, unless the account has `unfinished_max` that are queued or running in the
    /// Region: then false. Those of dashboards' refreshes do not count.
    pub async fn add_query(
        &self,
        query: &NewQuery,
        unfinished_max: usize,
    ) -> Result<bool, CatalogError> {
        self.add(query, unfinished_max, QueryStatus::Queued).await
    }

    /// The same for a query that has begun already.
    pub async fn add_running_query(
        &self,
        query: &NewQuery,
        unfinished_max: usize,
    ) -> Result<bool, CatalogError> {
        self.add(query, unfinished_max, QueryStatus::Running).await
    }

    async fn add(
        &self,
        query: &NewQuery,
        unfinished_max: usize,
        status: QueryStatus,
    ) -> Result<bool, CatalogError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let unfinished: i64 = sqlx::query(
            "SELECT count(*) AS n FROM queries
             WHERE status IN ('QUEUED', 'RUNNING') AND account = ? AND region = ? AND refresh IS NULL",
        )
        .bind(&query.account)
        .bind(&query.region)
        .fetch_one(&mut *tx)
        .await?
        .try_get("n")?;
        if from_sql(unfinished) >= unfinished_max as u64 {
            return Ok(false);
        }
        insert_query(&mut tx, query, status).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// A query of the account in the Region.
    pub async fn query(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Result<Option<Query>, CatalogError> {
        let row = sqlx::query("SELECT * FROM queries WHERE id = ? AND account = ? AND region = ?")
            .bind(id)
            .bind(account)
            .bind(region)
            .fetch_optional(&self.pool)
            .await?;
        self.with_stores(row).await
    }

    /// The newest query that ran the alias; in this refresh of a dashboard, if one is named.
    pub async fn query_by_alias(
        &self,
        account: &str,
        region: &str,
        alias: &str,
        refresh: Option<&str>,
    ) -> Result<Option<Query>, CatalogError> {
        let row = sqlx::query(
            "SELECT * FROM queries WHERE alias = ?1 AND account = ?2 AND region = ?3 AND (?4 IS NULL OR refresh = ?4)
             ORDER BY number DESC LIMIT 1",
        )
        .bind(alias)
        .bind(account)
        .bind(region)
        .bind(refresh)
        .fetch_optional(&self.pool)
        .await?;
        self.with_stores(row).await
    }

    /// The account's queries in the Region, newest first, at most `count_max`; without their stores.
    pub async fn queries_of(
        &self,
        account: &str,
        region: &str,
        filter: &QueryFilter,
        count_max: u32,
    ) -> Result<Vec<Query>, CatalogError> {
        let rows = sqlx::query(
            "SELECT queries.* FROM queries JOIN query_stores ON query_stores.query = queries.number
             WHERE queries.account = ?1 AND queries.region = ?2 AND store_arn = ?3
               AND (?4 IS NULL OR created_ms >= ?4) AND (?5 IS NULL OR created_ms <= ?5)
               AND (?6 IS NULL OR status = ?6) AND (?7 IS NULL OR number < ?7)
             GROUP BY number ORDER BY number DESC LIMIT ?8",
        )
        .bind(account)
        .bind(region)
        .bind(&filter.store_arn)
        .bind(filter.from_ms)
        .bind(filter.to_ms)
        .bind(filter.status.map(QueryStatus::name))
        .bind(filter.before)
        .bind(count_max)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(query_of).collect()
    }

    /// Begins the oldest queued query of the next account after `after_account`, in a circle: an
    /// account with many queries does not hold up the others. Within an account, dashboards wait for
    /// those who have asked themselves.
    pub async fn begin_next_query(
        &self,
        after_account: &str,
    ) -> Result<Option<Query>, CatalogError> {
        let row = sqlx::query(
            "UPDATE queries SET status = 'RUNNING', attempts = attempts + 1
             WHERE number = (SELECT number FROM queries WHERE status = 'QUEUED'
                             ORDER BY account <= ?, account, refresh IS NOT NULL, number LIMIT 1)
             RETURNING *",
        )
        .bind(after_account)
        .fetch_optional(&self.pool)
        .await?;
        self.with_stores(row).await
    }

    /// Ends a running query. False when it is not running any more, as after a cancel.
    pub async fn end_query(&self, id: &str, end: &QueryEnd) -> Result<bool, CatalogError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let ended = sqlx::query(
            "UPDATE queries SET status = ?1, error = ?2, ended_ms = ?3, events_matched = ?4, events_scanned = ?5,
                 bytes_scanned = ?6, execution_ms = ?7, rows = ?8,
                 delivery_status = CASE WHEN delivery_uri IS NULL THEN NULL WHEN ?1 = 'FINISHED' THEN ?9 ELSE 'CANCELLED' END
             WHERE id = ?10 AND status = 'RUNNING'",
        )
        .bind(end.status.name())
        .bind(&end.error)
        .bind(end.ended_ms)
        .bind(to_sql(end.statistics.events_matched))
        .bind(to_sql(end.statistics.events_scanned))
        .bind(to_sql(end.statistics.bytes_scanned))
        .bind(to_sql(end.statistics.execution_ms))
        .bind(to_sql(end.statistics.rows))
        .bind(DELIVERY_PENDING)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        let has_ended = ended.rows_affected() == 1;
        if let Some(result) = end.result.as_deref().filter(|_| has_ended) {
            sqlx::query(
                "INSERT INTO query_results (query, bytes) SELECT number, ? FROM queries WHERE id = ?",
            )
            .bind(result)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(has_ended)
    }

    /// The result of a query, if it lies in the catalog.
    pub async fn query_result(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        let row = sqlx::query(
            "SELECT bytes FROM query_results JOIN queries ON queries.number = query_results.query WHERE id = ?",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| row.try_get("bytes")).transpose()?)
    }

    /// Cancels a query that is queued or running. False when it has ended.
    pub async fn cancel_query(&self, id: &str, now_ms: i64) -> Result<bool, CatalogError> {
        let cancelled = sqlx::query(
            "UPDATE queries SET status = 'CANCELLED', ended_ms = ?,
                 delivery_status = CASE WHEN delivery_uri IS NULL THEN NULL ELSE 'CANCELLED' END
             WHERE id = ? AND status IN ('QUEUED', 'RUNNING')",
        )
        .bind(now_ms)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(cancelled.rows_affected() == 1)
    }

    /// After a start: what was running when the server stopped is queued again, in its old place.
    /// What has been begun `attempts_max` times fails: it may be what stops the server.
    pub async fn requeue_queries(
        &self,
        attempts_max: u32,
        now_ms: i64,
    ) -> Result<(), CatalogError> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(
            "UPDATE queries SET status = 'FAILED', error = 'The query was interrupted: the server stopped while it ran.', ended_ms = ?,
                 delivery_status = CASE WHEN delivery_uri IS NULL THEN NULL ELSE 'CANCELLED' END
             WHERE status = 'RUNNING' AND attempts >= ?",
        )
        .bind(now_ms)
        .bind(attempts_max)
        .execute(&mut *tx)
        .await?;
        sqlx::query("UPDATE queries SET status = 'QUEUED' WHERE status = 'RUNNING'")
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Queues a running query again, as if it had not been begun.
    pub async fn put_back_query(&self, id: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE queries SET status = 'QUEUED', attempts = attempts - 1 WHERE id = ? AND status = 'RUNNING'",
        )
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Before a clean stop: what is running is queued again, as if it had not been begun.
    pub async fn put_back_queries(&self) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE queries SET status = 'QUEUED', attempts = attempts - 1 WHERE status = 'RUNNING'",
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Finished queries whose results wait to be delivered, oldest first.
    pub async fn queries_to_deliver(&self, count_max: u32) -> Result<Vec<Query>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM queries WHERE delivery_status = 'PENDING' ORDER BY number LIMIT ?",
        )
        .bind(count_max)
        .fetch_all(&self.pool)
        .await?;
        let mut queries = Vec::with_capacity(rows.len());
        for row in rows {
            queries.extend(self.with_stores(Some(row)).await?);
        }
        Ok(queries)
    }

    /// What became of a delivery: the API's DeliveryStatus.
    pub async fn query_delivery_ended(&self, id: &str, status: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE queries SET delivery_status = ? WHERE id = ? AND delivery_status = 'PENDING'",
        )
        .bind(status)
        .bind(id)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Ids of ended queries that were asked before `before_ms`, oldest first.
    pub async fn old_queries(
        &self,
        before_ms: i64,
        count_max: u32,
    ) -> Result<Vec<String>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM queries WHERE created_ms < ? AND status NOT IN ('QUEUED', 'RUNNING')
             ORDER BY number LIMIT ?",
        )
        .bind(before_ms)
        .bind(count_max)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// Forgets an ended query.
    pub async fn remove_query(&self, id: &str) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM queries WHERE id = ? AND status NOT IN ('QUEUED', 'RUNNING')")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every query that is known, to tell results that belong to none.
    pub async fn is_query(&self, id: &str) -> Result<bool, CatalogError> {
        let row = sqlx::query("SELECT 1 FROM queries WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.is_some())
    }

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
        .execute(&self.pool)
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
        .fetch_optional(&self.pool)
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
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn with_stores(&self, row: Option<SqliteRow>) -> Result<Option<Query>, CatalogError> {
        let Some(row) = row else { return Ok(None) };
        let mut query = query_of(&row)?;
        let stores =
            sqlx::query("SELECT name, store_arn FROM query_stores WHERE query = ? ORDER BY name")
                .bind(query.number)
                .fetch_all(&self.pool)
                .await?;
        for store in stores {
            query.asked.stores.push(QueryStore {
                name: store.try_get("name")?,
                arn: store.try_get("store_arn")?,
            });
        }
        Ok(Some(query))
    }
}

/// Enters a query that is queued, or has begun.
pub(crate) async fn insert_query(
    tx: &mut sqlx::SqliteConnection,
    query: &NewQuery,
    status: QueryStatus,
) -> Result<(), CatalogError> {
    let number = sqlx::query(
        "INSERT INTO queries (id, account, region, statement, parameters, alias, prompt, status, attempts, created_ms, delivery_uri, delivery_status, refresh)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?)",
    )
    .bind(&query.id)
    .bind(&query.account)
    .bind(&query.region)
    .bind(&query.statement)
    .bind(serde_json::to_string(&query.parameters).expect("a list of texts is always JSON"))
    .bind(&query.alias)
    .bind(&query.prompt)
    .bind(status.name())
    .bind(i64::from(status == QueryStatus::Running))
    .bind(query.created_ms)
    .bind(&query.delivery_uri)
    .bind(&query.refresh)
    .execute(&mut *tx)
    .await?
    .last_insert_rowid();
    for store in &query.stores {
        sqlx::query("INSERT INTO query_stores (query, store_arn, name) VALUES (?, ?, ?)")
            .bind(number)
            .bind(&store.arn)
            .bind(&store.name)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

fn query_of(row: &SqliteRow) -> Result<Query, CatalogError> {
    let damaged = |detail: String| CatalogError::Damaged { table: "queries", detail };
    let parameters: &str = row.try_get("parameters")?;
    let parameters = serde_json::from_str(parameters).map_err(|e| damaged(e.to_string()))?;
    let status: &str = row.try_get("status")?;
    let status = QueryStatus::parse(status).ok_or_else(|| damaged(format!("status {status}")))?;
    let number = |column: &str| Ok::<_, CatalogError>(from_sql(row.try_get(column)?));
    Ok(Query {
        number: row.try_get("number")?,
        asked: NewQuery {
            id: row.try_get("id")?,
            account: row.try_get("account")?,
            region: row.try_get("region")?,
            statement: row.try_get("statement")?,
            parameters,
            stores: Vec::new(),
            alias: row.try_get("alias")?,
            prompt: row.try_get("prompt")?,
            delivery_uri: row.try_get("delivery_uri")?,
            refresh: row.try_get("refresh")?,
            created_ms: row.try_get("created_ms")?,
        },
        status,
        attempts: row.try_get("attempts")?,
        ended_ms: row.try_get("ended_ms")?,
        error: row.try_get("error")?,
        statistics: QueryStatistics {
            events_matched: number("events_matched")?,
            events_scanned: number("events_scanned")?,
            bytes_scanned: number("bytes_scanned")?,
            execution_ms: number("execution_ms")?,
            rows: number("rows")?,
        },
        delivery_status: row.try_get("delivery_status")?,
    })
}

#[cfg(test)]
mod tests;
