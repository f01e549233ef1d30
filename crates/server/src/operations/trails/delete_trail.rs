use api::ApiError;
use api::cloudtrail::{DeleteTrailRequest, DeleteTrailResponse};
use catalog::{Logging, TrailState};

use super::{change, find_at_home};
use crate::operations::Cx;

/// The trail is gone from the API at once. What it selected before is still delivered, and a final
/// digest follows; the objects stay.
pub async fn delete_trail(
    cx: Cx<'_>,
    input: DeleteTrailRequest,
) -> Result<DeleteTrailResponse, ApiError> {
    let trail = find_at_home(cx, input.name.as_deref()).await?;
    let now_ms = cx.now.as_millisecond();
    change(cx, &trail.arn, |current| {
        Ok(TrailState {
            logging: stopped(current.state.logging, now_ms),
            deleted: true,
            ..current.state.clone()
        })
    })
    .await?;
    Ok(DeleteTrailResponse {})
}

/// Logging as it is after a stop at `now_ms`.
pub fn stopped(logging: Logging, now_ms: i64) -> Logging {
    match logging {
        Logging::Active { since_ms, .. } => {
            Logging::Stopped { started_ms: since_ms, since_ms: now_ms }
        }
        other => other,
    }
}
