//! A query as a row.

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{NewQuery, Query, QueryStatistics, QueryStatus};
use crate::{CatalogError, from_sql, to_sql};

/// All but the result, which may be long.
pub(super) const COLUMNS: &str =
    "number, id, account, region, statement, parameters, stores, alias, prompt, status, attempts,
    created_ms, ended_ms, error, events_matched, events_scanned, bytes_scanned, execution_ms, rows,
    delivery_uri, delivery_status, refresh";

/// Enters a query that is queued, or has begun, and gives its number; `None` if the account has so many
/// unfinished ones in the Region.
pub(crate) async fn insert_query(
    connection: &mut sqlx::SqliteConnection,
    query: &NewQuery,
    status: QueryStatus,
    unfinished_max: Option<usize>,
) -> Result<Option<i64>, CatalogError> {
    let added = sqlx::query(
        "INSERT INTO queries (id, account, region, statement, parameters, stores, alias, prompt, status, attempts, created_ms, delivery_uri, refresh)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13
         WHERE ?14 IS NULL OR ?14 > (
             SELECT count(*) FROM queries
             WHERE status IN ('QUEUED', 'RUNNING') AND account = ?2 AND region = ?3 AND refresh IS NULL)",
    )
    .bind(&query.id)
    .bind(&query.account)
    .bind(&query.region)
    .bind(&query.statement)
    .bind(json_of(&query.parameters))
    .bind(json_of(&query.stores))
    .bind(&query.alias)
    .bind(&query.prompt)
    .bind(status.name())
    .bind(attempts_at_first(status))
    .bind(query.created_ms)
    .bind(&query.delivery_uri)
    .bind(&query.refresh)
    .bind(unfinished_max.map(|max| to_sql(max as u64)))
    .execute(connection)
    .await?;
    Ok((added.rows_affected() == 1).then(|| added.last_insert_rowid()))
}

/// How often a query that is entered so has been begun.
pub(super) fn attempts_at_first(status: QueryStatus) -> u32 {
    u32::from(status == QueryStatus::Running)
}

fn json_of<T: Serialize>(list: &[T]) -> String {
    serde_json::to_string(list).expect("a list of texts is always JSON")
}

pub(super) fn query_of(row: &SqliteRow) -> Result<Query, CatalogError> {
    let damaged = |detail: String| CatalogError::Damaged { table: "queries", detail };
    let parameters: &str = row.try_get("parameters")?;
    let parameters = serde_json::from_str(parameters).map_err(|e| damaged(e.to_string()))?;
    let stores: &str = row.try_get("stores")?;
    let stores = serde_json::from_str(stores).map_err(|e| damaged(e.to_string()))?;
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
            stores,
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
