//! AWS: five trails in a Region; a multi-Region trail takes a place in every Region (spec f.2).

use api::{ApiError, ErrorCode};
use catalog::Trail;

use crate::operations::Cx;

/// Is there room among the account's `others` for one more trail at `home`, or in every Region? The
/// error names the first Region that is full.
pub fn check_places(
    cx: Cx<'_>,
    others: &[Trail],
    home: &str,
    is_multi_region: bool,
) -> Result<(), ApiError> {
    let mut regions = vec![home];
    if is_multi_region {
        // Regions without a trail of their own are never fuller than the home Region.
        regions.extend(others.iter().map(|trail| trail.home_region.as_str()));
    }
    for region in regions {
        let taken = others
            .iter()
            .filter(|t| t.home_region == region || t.state.settings.is_multi_region_trail)
            .count();
        if taken >= cx.node.settings.trails_per_region_max {
            return Err(ApiError::new(
                ErrorCode::MaximumNumberOfTrailsExceededException,
                format!("User: {} already has {taken} trails in {region}.", cx.account()),
            ));
        }
    }
    Ok(())
}
