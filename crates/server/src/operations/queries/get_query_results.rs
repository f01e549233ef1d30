use std::collections::BTreeMap;
use std::time::Duration;

use api::cloudtrail::{GetQueryResultsRequest, GetQueryResultsResponse, QueryStatistics};
use api::{ApiError, ErrorCode};
use catalog::{Query, QueryStatus};

use super::{check_owner, find};
use crate::operations::{Cx, paging};
use crate::queries::{self, results::Row};

/// AWS: rows of a page, at most and by default.
const ROWS_MAX: i32 = 1000;
/// A page ends before its rows, as text, grow past this; one row always comes.
const PAGE_BYTES_MAX: usize = 4 << 20;
/// How long a caller waits for a query that runs before it is told so.
const WAIT_MAX: Duration = Duration::from_millis(300);

/// A page of a query's rows, or its status alone while it runs.
pub async fn get_query_results(
    cx: Cx<'_>,
    input: GetQueryResultsRequest,
) -> Result<GetQueryResultsResponse, ApiError> {
    check_owner(cx, input.event_data_store_owner_account_id.as_deref())?;
    let rows_max = input.max_query_results.unwrap_or(ROWS_MAX);
    let Some(rows_max) = usize::try_from(rows_max).ok().filter(|n| (1..=1000).contains(n)) else {
        return Err(ApiError::new(
            ErrorCode::InvalidMaxResultsException,
            "MaxQueryResults must lie between 1 and 1000.",
        ));
    };
    let id = input.query_id.unwrap_or_default();
    let listing = paging::listing(cx, "GetQueryResults", &id);
    let from =
        paging::place(&listing, input.next_token.as_deref(), ErrorCode::InvalidNextTokenException)?;
    let from = from.unwrap_or(0);
    let query = ended(cx, &id, input.event_data_store.as_deref()).await?;
    let bytes_scanned = match cx.node.queries.progress(&id) {
        Some(progress) if !query.status.is_final() => queries::scanned(&progress).bytes_scanned,
        _ => query.statistics.bytes_scanned,
    };
    let mut response = GetQueryResultsResponse {
        query_status: Some(query.status.name().to_owned()),
        query_statistics: Some(QueryStatistics {
            results_count: Some(0),
            total_results_count: Some(0),
            bytes_scanned: Some(i64::try_from(bytes_scanned).unwrap_or(i64::MAX)),
        }),
        query_result_rows: Some(Vec::new()),
        next_token: None,
        error_message: query.error,
    };
    if !matches!(query.status, QueryStatus::Finished | QueryStatus::TimedOut) {
        return Ok(response);
    }
    let read = queries::page(cx.node, &id, from, rows_max, PAGE_BYTES_MAX).await;
    let Some(page) = read.map_err(|e| unreadable(&id, e.as_ref()))? else {
        // A query that ran out of time before its first row has none.
        return match query.statistics.rows {
            0 => Ok(response),
            _ => Err(unreadable(&id, &std::io::Error::from(std::io::ErrorKind::NotFound))),
        };
    };
    let after = from + page.rows.len() as u64;
    let count = |n: u64| Some(i32::try_from(n).unwrap_or(i32::MAX));
    if let Some(statistics) = &mut response.query_statistics {
        statistics.results_count = count(page.rows.len() as u64);
        statistics.total_results_count = count(page.row_count);
    }
    let shown = page.rows.into_iter().map(|row| shown(&page.columns, row));
    response.query_result_rows = Some(shown.collect());
    response.next_token = (after < page.row_count).then(|| paging::token(&listing, after));
    Ok(response)
}

/// The query, when it has ended or the caller has waited for a while. Most queries end within that, so
/// that the first question for their rows gets them.
async fn ended(cx: Cx<'_>, id: &str, store: Option<&str>) -> Result<Query, ApiError> {
    let mut watch = cx.node.queries.ended();
    let enough = tokio::time::sleep(WAIT_MAX);
    tokio::pin!(enough);
    loop {
        // What runs here has not ended in the catalog.
        if !cx.node.queries.is_running(id) || cx.node.is_stopping() {
            let query = find(cx, id, store).await?;
            if query.status.is_final() || cx.node.is_stopping() {
                return Ok(query);
            }
        }
        tokio::select! {
            changed = watch.changed() => changed.map_err(|e| unreadable(id, &e))?,
            () = &mut enough => return find(cx, id, store).await,
        }
    }
}

/// AWS: a row is a list of maps with one entry each, in the order of the columns. The map's values
/// are texts; NULL is shown as an empty one.
fn shown(columns: &[String], row: Row) -> Vec<BTreeMap<String, String>> {
    let named = columns.iter().zip(row);
    named.map(|(name, value)| BTreeMap::from([(name.clone(), value.unwrap_or_default())])).collect()
}

fn unreadable(id: &str, error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(query = id, error, "the results of a query cannot be read");
    ApiError::new(ErrorCode::InternalFailure, "The query's results cannot be read.")
}
