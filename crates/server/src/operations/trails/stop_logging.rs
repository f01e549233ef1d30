use api::ApiError;
use api::cloudtrail::{StopLoggingRequest, StopLoggingResponse};
use catalog::TrailState;

use super::delete_trail::stopped;
use super::{change, find_at_home};
use crate::operations::Cx;

/// Idempotent. Events from before the stop that arrive shortly after it are still delivered.
pub async fn stop_logging(
    cx: Cx<'_>,
    input: StopLoggingRequest,
) -> Result<StopLoggingResponse, ApiError> {
    let trail = find_at_home(cx, input.name.as_deref()).await?;
    let now_ms = cx.now.as_millisecond();
    change(cx, &trail.arn, |current| {
        Ok(TrailState { logging: stopped(current.state.logging, now_ms), ..current.state.clone() })
    })
    .await?;
    Ok(StopLoggingResponse {})
}
