use api::cloudtrail::{ListQueriesRequest, ListQueriesResponse, Query};
use api::{ApiError, ErrorCode};
use catalog::{QueryFilter, QueryStatus};
use jiff::SignedDuration;

use crate::operations::{Cx, event_data_stores, internal, paging};

/// API reference: queries on a page, at most and by default.
const PAGE_MAX: i32 = 1000;

/// The queries of the past seven days on an event data store, newest first.
pub async fn list_queries(
    cx: Cx<'_>,
    input: ListQueriesRequest,
) -> Result<ListQueriesResponse, ApiError> {
    let store = event_data_stores::active(cx, &input.event_data_store.unwrap_or_default()).await?;
    let count = input.max_results.unwrap_or(PAGE_MAX);
    let Some(count) = u32::try_from(count).ok().filter(|n| (1..=1000).contains(n)) else {
        return Err(ApiError::new(
            ErrorCode::InvalidMaxResultsException,
            "MaxResults must lie between 1 and 1000.",
        ));
    };
    let status = match input.query_status.as_deref() {
        None => None,
        Some(name) => Some(QueryStatus::parse(name).ok_or_else(|| {
            let names = QueryStatus::ALL.map(QueryStatus::name).join(", ");
            let message = format!("{name:?} is no status of a query; there are {names}.");
            ApiError::new(ErrorCode::InvalidQueryStatusException, message)
        })?),
    };
    let (from, to) = (input.start_time, input.end_time);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Err(ApiError::new(
            ErrorCode::InvalidDateRangeException,
            "The start time occurs after the end time. Specify a start time that is not later than the end time.",
        ));
    }
    let listing = paging::listing(cx, "ListQueries", &store.arn);
    let before =
        paging::place(&listing, input.next_token.as_deref(), ErrorCode::InvalidNextTokenException)?;
    // The worker that forgets old queries may be late.
    let kept = SignedDuration::try_from(cx.node.settings.queries.kept).unwrap_or_default();
    let oldest_ms = cx.now.as_millisecond().saturating_sub(kept.as_millis() as i64);
    let filter = QueryFilter {
        store_arn: store.arn,
        from_ms: Some(from.map_or(oldest_ms, |from| from.as_millis().max(oldest_ms))),
        to_ms: to.map(api::Timestamp::as_millis),
        status,
        before: before.and_then(|before| i64::try_from(before).ok()),
    };
    let catalog = &cx.node.catalog;
    let found = catalog.queries_of(cx.account(), cx.region.as_str(), &filter, count + 1).await;
    let mut found = found.map_err(internal)?;
    let more = found.len() > count as usize;
    found.truncate(count as usize);
    let last = found.last().filter(|_| more).and_then(|last| u64::try_from(last.number).ok());
    let queries = found
        .into_iter()
        .map(|query| Query {
            query_id: Some(query.asked.id),
            query_status: Some(query.status.name().to_owned()),
            creation_time: api::Timestamp::from_millis(query.asked.created_ms).ok(),
        })
        .collect();
    Ok(ListQueriesResponse {
        queries: Some(queries),
        next_token: last.map(|last| paging::token(&listing, last)),
    })
}
