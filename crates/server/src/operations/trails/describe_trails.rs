use api::ApiError;
use api::cloudtrail::{DescribeTrailsRequest, DescribeTrailsResponse};
use catalog::Trail;

use super::{TrailRef, shown, visible as all_visible};
use crate::operations::Cx;

/// Without names: the Region's trails, the organization's among them, and multi-Region trails from elsewhere as shadows unless
/// includeShadowTrails is false. With names: those of this Region; with ARNs: any. Unknown ones
/// are left out, which is not an error.
pub async fn describe_trails(
    cx: Cx<'_>,
    input: DescribeTrailsRequest,
) -> Result<DescribeTrailsResponse, ApiError> {
    let shadows = input.include_shadow_trails.unwrap_or(true);
    let visible = |trail: &Trail| {
        trail.home_region == cx.region.as_str()
            || (shadows && trail.state.settings.is_multi_region_trail)
    };
    let trails = match input.trail_name_list.filter(|names| !names.is_empty()) {
        None => {
            let mut trails = all_visible(cx).await?;
            trails.retain(visible);
            trails
        }
        Some(names) => {
            let mut found: Vec<Trail> = Vec::with_capacity(names.len());
            for name in &names {
                let trail = TrailRef::parse(name)?.lookup(cx).await?;
                let Some(trail) = trail else { continue };
                let by_arn = name.starts_with("arn:");
                if (by_arn || visible(&trail)) && found.iter().all(|seen| seen.arn != trail.arn) {
                    found.push(trail);
                }
            }
            found
        }
    };
    Ok(DescribeTrailsResponse { trail_list: Some(trails.into_iter().map(shown).collect()) })
}
