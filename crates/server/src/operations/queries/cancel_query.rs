use api::cloudtrail::{CancelQueryRequest, CancelQueryResponse};
use api::{ApiError, ErrorCode};
use catalog::QueryStatus;

use super::{check_owner, find};
use crate::operations::{Cx, internal};

/// The query is CANCELLED when this answers; what it was doing ends within a second.
pub async fn cancel_query(
    cx: Cx<'_>,
    input: CancelQueryRequest,
) -> Result<CancelQueryResponse, ApiError> {
    check_owner(cx, input.event_data_store_owner_account_id.as_deref())?;
    let id = input.query_id.unwrap_or_default();
    let query = find(cx, &id, input.event_data_store.as_deref()).await?;
    let cancelled = cx.node.catalog.cancel_query(&id, cx.now.as_millisecond()).await;
    if query.status.is_final() || !cancelled.map_err(internal)? {
        return Err(ApiError::new(
            ErrorCode::InactiveQueryException,
            format!("Query {id} has ended and cannot be cancelled."),
        ));
    }
    cx.node.metrics.query_ended(QueryStatus::Cancelled.name());
    cx.node.queries.cancel(&id);
    cx.node.queries.wake();
    Ok(CancelQueryResponse {
        query_id: id,
        query_status: QueryStatus::Cancelled.name().to_owned(),
        event_data_store_owner_account_id: input.event_data_store_owner_account_id,
    })
}
