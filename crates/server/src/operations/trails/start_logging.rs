use api::ApiError;
use api::cloudtrail::{StartLoggingRequest, StartLoggingResponse};
use catalog::{Logging, TrailState};

use super::{change, find_at_home};
use crate::operations::Cx;

/// Idempotent: a trail that logs goes on as it is.
pub async fn start_logging(
    cx: Cx<'_>,
    input: StartLoggingRequest,
) -> Result<StartLoggingResponse, ApiError> {
    let trail = find_at_home(cx, input.name.as_deref()).await?;
    let since_ms = cx.now.as_millisecond();
    change(cx, &trail.arn, |current| {
        let logging = match current.state.logging {
            Logging::Never => Logging::Active { since_ms, stopped_before_ms: None },
            Logging::Stopped { since_ms: stopped_ms, .. } => {
                Logging::Active { since_ms, stopped_before_ms: Some(stopped_ms) }
            }
            active @ Logging::Active { .. } => active,
        };
        Ok(TrailState { logging, ..current.state.clone() })
    })
    .await?;
    Ok(StartLoggingResponse {})
}
