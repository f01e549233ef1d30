use api::ApiError;
use api::cloudtrail::{
    DescribeQueryRequest, DescribeQueryResponse, QueryStatisticsForDescribeQuery,
};

use super::{check_owner, find, invalid_parameter, not_found};
use crate::operations::{Cx, event_data_stores, internal};
use crate::queries::scanned;

/// A query by its ID, or the newest one that ran an alias: of a refresh of a dashboard, the one of the
/// widget with that alias.
pub async fn describe_query(
    cx: Cx<'_>,
    input: DescribeQueryRequest,
) -> Result<DescribeQueryResponse, ApiError> {
    check_owner(cx, input.event_data_store_owner_account_id.as_deref())?;
    let query = match (&input.query_id, &input.query_alias) {
        (Some(id), None) => find(cx, id, input.event_data_store.as_deref()).await?,
        (None, Some(alias)) => {
            if let Some(store) = &input.event_data_store {
                event_data_stores::active(cx, store).await?;
            }
            let catalog = &cx.node.catalog;
            let (account, region) = (cx.account(), cx.region.as_str());
            let refresh = input.refresh_id.as_deref();
            let found = catalog.query_by_alias(account, region, alias, refresh).await;
            found.map_err(internal)?.ok_or_else(|| not_found(alias))?
        }
        _ => {
            return Err(invalid_parameter(
                "You must specify either QueryId or QueryAlias, and not both.",
            ));
        }
    };
    let statistics = match cx.node.queries.progress(&query.asked.id) {
        Some(progress) if !query.status.is_final() => scanned(&progress),
        _ => query.statistics,
    };
    let number = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(DescribeQueryResponse {
        query_id: Some(query.asked.id),
        query_string: Some(query.asked.statement),
        query_status: Some(query.status.name().to_owned()),
        query_statistics: Some(QueryStatisticsForDescribeQuery {
            events_matched: number(statistics.events_matched),
            events_scanned: number(statistics.events_scanned),
            bytes_scanned: number(statistics.bytes_scanned),
            execution_time_in_millis: Some(
                i32::try_from(statistics.execution_ms).unwrap_or(i32::MAX),
            ),
            creation_time: api::Timestamp::from_millis(query.asked.created_ms).ok(),
        }),
        error_message: query.error,
        delivery_s3_uri: query.asked.delivery_uri,
        delivery_status: query.delivery_status,
        prompt: query.asked.prompt,
        event_data_store_owner_account_id: input.event_data_store_owner_account_id,
    })
}
