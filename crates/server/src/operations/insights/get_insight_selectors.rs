use api::cloudtrail::{GetInsightSelectorsRequest, GetInsightSelectorsResponse};
use api::{ApiError, ErrorCode};

use super::{active_store, combination};
use crate::operations::{Cx, trails};

/// What is watched; without any it is an error, as on AWS.
pub async fn get_insight_selectors(
    cx: Cx<'_>,
    input: GetInsightSelectorsRequest,
) -> Result<GetInsightSelectorsResponse, ApiError> {
    match (input.trail_name, input.event_data_store) {
        (Some(name), None) => {
            let trail = trails::find(cx, Some(&name)).await?;
            let selectors = trail.state.insight_selectors;
            if selectors.is_empty() {
                // AWS's own words.
                return Err(not_enabled(format!(
                    "Trail {} does not have Insights enabled. Edit the trail settings to enable Insights, and then try the operation again.",
                    trail.arn
                )));
            }
            Ok(GetInsightSelectorsResponse {
                trail_arn: Some(trail.arn),
                insight_selectors: Some(trails::converted(&selectors)?),
                ..GetInsightSelectorsResponse::default()
            })
        }
        (None, Some(store)) => {
            let store = active_store(cx, &store).await?;
            let Some(insights) = store.state.insights else {
                return Err(not_enabled(format!(
                    "Event data store {} does not have Insights enabled. Enable Insights with PutInsightSelectors, and then try the operation again.",
                    store.arn
                )));
            };
            Ok(GetInsightSelectorsResponse {
                event_data_store_arn: Some(store.arn),
                insight_selectors: Some(trails::converted(&insights.selectors)?),
                insights_destination: Some(insights.destination),
                ..GetInsightSelectorsResponse::default()
            })
        }
        (Some(_), Some(_)) => {
            Err(combination("Specify either TrailName or EventDataStore, not both."))
        }
        (None, None) => Err(combination("Specify TrailName or EventDataStore.")),
    }
}

fn not_enabled(message: String) -> ApiError {
    ApiError::new(ErrorCode::InsightNotEnabledException, message)
}
