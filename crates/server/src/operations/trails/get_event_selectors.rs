use api::ApiError;
use api::cloudtrail::{GetEventSelectorsRequest, GetEventSelectorsResponse};
use event::selectors::EventSelectors;

use super::find;
use crate::operations::Cx;

/// AWS returns the conditions of an advanced selector sorted by field, whatever order they were
/// put in (spec d.2).
pub async fn get_event_selectors(
    cx: Cx<'_>,
    input: GetEventSelectorsRequest,
) -> Result<GetEventSelectorsResponse, ApiError> {
    let trail = find(cx, input.trail_name.as_deref()).await?;
    let trail_arn = Some(trail.arn);
    Ok(match trail.state.selectors {
        EventSelectors::Basic(selectors) => {
            GetEventSelectorsResponse { trail_arn, event_selectors: Some(selectors), advanced_event_selectors: None }
        }
        EventSelectors::Advanced(mut selectors) => {
            for selector in &mut selectors {
                selector.field_selectors.sort_by(|a, b| a.field.cmp(&b.field));
            }
            GetEventSelectorsResponse { trail_arn, event_selectors: None, advanced_event_selectors: Some(selectors) }
        }
    })
}
