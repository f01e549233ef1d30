use api::cloudtrail::{PutEventSelectorsRequest, PutEventSelectorsResponse};
use api::{ApiError, ErrorCode};
use catalog::TrailState;
use event::selectors::EventSelectors;

use super::{api_selectors, change, converted, find_at_home};
use crate::operations::Cx;

/// Replaces the trail's selectors, of either kind.
pub async fn put_event_selectors(
    cx: Cx<'_>,
    input: PutEventSelectorsRequest,
) -> Result<PutEventSelectorsResponse, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidEventSelectorsException, message);
    let selectors = match (input.event_selectors, input.advanced_event_selectors) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "You can select events by using either EventSelectors or AdvancedEventSelectors, but not both.".into(),
            ));
        }
        (Some(basic), None) => EventSelectors::Basic(converted(&basic)?),
        (None, Some(advanced)) => EventSelectors::Advanced(converted(&advanced)?),
        (None, None) => {
            return Err(invalid("You must specify either EventSelectors or AdvancedEventSelectors.".into()));
        }
    };
    selectors.validate_for_trail().map_err(|e| invalid(e.to_string()))?;
    let trail = find_at_home(cx, input.trail_name.as_deref()).await?;
    let put = selectors.clone();
    let trail = change(cx, &trail.arn, |current| {
        Ok(TrailState { selectors: put, has_custom_selectors: true, ..current.state.clone() })
    })
    .await?;
    let (event_selectors, advanced_event_selectors) = api_selectors(&selectors)?;
    Ok(PutEventSelectorsResponse { trail_arn: Some(trail.arn), event_selectors, advanced_event_selectors })
}
