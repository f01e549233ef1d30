//! Queries: queued, run, ended, kept for a while.
//!
//! ```text
//!   add_running_query ───────────────────────────▼
//!   add_query ─▶ QUEUED ─ begin_next_query ─▶ RUNNING ─ end_query ─▶ FINISHED, FAILED, TIMED_OUT
//!                  ▲ └───────── cancel_query ───┴───────────────────▶ CANCELLED
//!                  └── requeue_queries ◀── the server stopped meanwhile
//! ```
//! Every arrow is one statement that names the status it comes from, so a query ends only once.

mod rows;

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::Row;

pub(crate) use rows::insert_query;

use crate::{Catalog, CatalogError, to_sql};
use rows::{COLUMNS, attempts_at_first, query_of};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
        let mut connection = self.database.hold().await?;
        let number = insert_query(&mut connection, query, status, Some(unfinished_max)).await?;
        let Some(number) = number else { return Ok(false) };
        let added = Query {
            number,
            asked: query.clone(),
            status,
            attempts: attempts_at_first(status),
            ended_ms: None,
            error: None,
            statistics: QueryStatistics::default(),
            delivery_status: None,
        };
        self.recent.note_query(&connection, added, None);
        Ok(true)
    }

    /// A query of the account in the Region.
    pub async fn query(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Result<Option<Query>, CatalogError> {
        let theirs = |query: Query| {
            let is_theirs = query.asked.account == account && query.asked.region == region;
            is_theirs.then_some(query)
        };
        if let Some(query) = self.recent.query(id) {
            return Ok(theirs(query));
        }
        let mut connection = self.database.hold().await?;
        // Who had the connection may have been ending this one.
        if let Some(query) = self.recent.query(id) {
            return Ok(theirs(query));
        }
        let sql =
            format!("SELECT {COLUMNS} FROM queries WHERE id = ? AND account = ? AND region = ?");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(id)
            .bind(account)
            .bind(region)
            .fetch_optional(&mut *connection)
            .await?;
        row.as_ref().map(query_of).transpose()
    }

    /// The newest query that ran the alias; in this refresh of a dashboard, if one is named.
    pub async fn query_by_alias(
        &self,
        account: &str,
        region: &str,
        alias: &str,
        refresh: Option<&str>,
    ) -> Result<Option<Query>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM queries WHERE alias = ?1 AND account = ?2 AND region = ?3 AND (?4 IS NULL OR refresh = ?4)
             ORDER BY number DESC LIMIT 1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(alias)
            .bind(account)
            .bind(region)
            .bind(refresh)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        row.as_ref().map(query_of).transpose()
    }

    /// The account's queries in the Region, newest first, at most `count_max`.
    pub async fn queries_of(
        &self,
        account: &str,
        region: &str,
        filter: &QueryFilter,
        count_max: u32,
    ) -> Result<Vec<Query>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM queries JOIN query_stores ON query_stores.query = queries.number
             WHERE account = ?1 AND region = ?2 AND store_arn = ?3
               AND (?4 IS NULL OR created_ms >= ?4) AND (?5 IS NULL OR created_ms <= ?5)
               AND (?6 IS NULL OR status = ?6) AND (?7 IS NULL OR number < ?7)
             GROUP BY number ORDER BY number DESC LIMIT ?8"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(account)
            .bind(region)
            .bind(&filter.store_arn)
            .bind(filter.from_ms)
            .bind(filter.to_ms)
            .bind(filter.status.map(QueryStatus::name))
            .bind(filter.before)
            .bind(count_max)
            .fetch_all(&mut *self.database.hold().await?)
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
        let sql = format!(
            "UPDATE queries SET status = 'RUNNING', attempts = attempts + 1
             WHERE number = (SELECT number FROM queries WHERE status = 'QUEUED'
                             ORDER BY account <= ?, account, refresh IS NOT NULL, number LIMIT 1)
             RETURNING {COLUMNS}"
        );
        let mut connection = self.database.hold().await?;
        // All rows, though there is one: the statement is committed after the last.
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(after_account)
            .fetch_all(&mut *connection)
            .await?;
        let begun = rows.first().map(query_of).transpose()?;
        if let Some(begun) = &begun {
            self.recent.note_query(&connection, begun.clone(), None);
        }
        Ok(begun)
    }

    /// Ends a running query. False when it is not running any more, as after a cancel.
    pub async fn end_query(&self, id: &str, end: &QueryEnd) -> Result<bool, CatalogError> {
        let mut connection = self.database.hold().await?;
        let before = self.recent.query(id);
        let ended = sqlx::query(
            "UPDATE queries SET status = ?1, error = ?2, ended_ms = ?3, events_matched = ?4, events_scanned = ?5,
                 bytes_scanned = ?6, execution_ms = ?7, rows = ?8, result = ?11,
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
        .bind(&end.result)
        .execute(&mut *connection)
        .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        // One that is delivered will change once more.
        if let Some(before) = before.filter(|before| before.asked.delivery_uri.is_none()) {
            let ended = Query {
                status: end.status,
                error: end.error.clone(),
                ended_ms: Some(end.ended_ms),
                statistics: end.statistics,
                ..before
            };
            self.recent.note_query(&connection, ended, end.result.clone());
        }
        Ok(true)
    }

    /// The result of a query, if it lies in the catalog.
    pub async fn query_result(&self, id: &str) -> Result<Option<Vec<u8>>, CatalogError> {
        if let Some(result) = self.recent.result(id) {
            return Ok(result);
        }
        let row = sqlx::query("SELECT result FROM queries WHERE id = ? AND result IS NOT NULL")
            .bind(id)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        Ok(row.map(|row| row.try_get("result")).transpose()?)
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
        .execute(&mut *self.database.hold().await?)
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
        let mut tx = self.database.begin().await?;
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
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Before a clean stop: what is running is queued again, as if it had not been begun.
    pub async fn put_back_queries(&self) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE queries SET status = 'QUEUED', attempts = attempts - 1 WHERE status = 'RUNNING'",
        )
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// Finished queries whose results wait to be delivered, oldest first.
    pub async fn queries_to_deliver(&self, count_max: u32) -> Result<Vec<Query>, CatalogError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM queries WHERE delivery_status = 'PENDING' ORDER BY number LIMIT ?"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(count_max)
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter().map(query_of).collect()
    }

    /// What became of a delivery: the API's DeliveryStatus.
    pub async fn query_delivery_ended(&self, id: &str, status: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE queries SET delivery_status = ? WHERE id = ? AND delivery_status = 'PENDING'",
        )
        .bind(status)
        .bind(id)
        .execute(&mut *self.database.hold().await?)
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
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
    }

    /// Forgets an ended query.
    pub async fn remove_query(&self, id: &str) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM queries WHERE id = ? AND status NOT IN ('QUEUED', 'RUNNING')")
            .bind(id)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(())
    }

    /// Every query that is known, to tell results that belong to none.
    pub async fn is_query(&self, id: &str) -> Result<bool, CatalogError> {
        let row = sqlx::query("SELECT 1 FROM queries WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.database.hold().await?)
            .await?;
        Ok(row.is_some())
    }
}

#[cfg(test)]
mod tests;
