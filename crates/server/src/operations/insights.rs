//! Insights: what is watched for unusual activity, and what was found.

mod get_insight_selectors;
mod list_insights_data;
mod list_insights_metric_data;
mod put_insight_selectors;

use api::{ApiError, ErrorCode};
use catalog::EventDataStore;

pub use get_insight_selectors::get_insight_selectors;
pub use list_insights_data::list_insights_data;
pub use list_insights_metric_data::list_insights_metric_data;
pub use put_insight_selectors::put_insight_selectors;

use crate::operations::{Cx, event_data_stores};

fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameterException, message)
}

fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameterCombinationException, message)
}

/// The store a request names. AWS declares none of the stores' own errors for these operations.
async fn active_store(cx: Cx<'_>, arn_or_id: &str) -> Result<EventDataStore, ApiError> {
    event_data_stores::active(cx, arn_or_id).await.map_err(|error| match error.code {
        ErrorCode::EventDataStoreARNInvalidException
        | ErrorCode::EventDataStoreNotFoundException
        | ErrorCode::InactiveEventDataStoreException => invalid_parameter(error.message),
        _ => error,
    })
}
