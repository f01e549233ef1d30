use api::ApiError;
use api::cloudtrail::{GetEventSelectorsRequest, GetEventSelectorsResponse};

use super::{api_selectors, find};
use crate::operations::Cx;

/// AWS returns the conditions of an advanced selector sorted by field, whatever order they were
/// put in (spec d.2).
pub async fn get_event_selectors(
    cx: Cx<'_>,
    input: GetEventSelectorsRequest,
) -> Result<GetEventSelectorsResponse, ApiError> {
    let trail = find(cx, input.trail_name.as_deref()).await?;
    let (event_selectors, advanced_event_selectors) = api_selectors(&trail.state.selectors.sorted_by_field())?;
    Ok(GetEventSelectorsResponse { trail_arn: Some(trail.arn), event_selectors, advanced_event_selectors })
}
