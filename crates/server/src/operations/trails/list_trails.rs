use api::ApiError;
use api::cloudtrail::{ListTrailsRequest, ListTrailsResponse, TrailInfo};

use crate::operations::{Cx, internal};

/// All trails of the account, from every Region, in pages of 100 by ARN. The token is the last ARN
/// of the page before, so that trails made meanwhile do not shift the pages.
pub async fn list_trails(
    cx: Cx<'_>,
    input: ListTrailsRequest,
) -> Result<ListTrailsResponse, ApiError> {
    const PAGE: usize = 100;
    let mut trails = cx.node.catalog.trails_of(cx.account()).await.map_err(internal)?;
    trails.sort_by(|a, b| a.arn.cmp(&b.arn));
    if let Some(after) = &input.next_token {
        trails.retain(|trail| trail.arn > *after);
    }
    let more = trails.len() > PAGE;
    trails.truncate(PAGE);
    let next_token = trails.last().filter(|_| more).map(|trail| trail.arn.clone());
    let trails = trails
        .into_iter()
        .map(|trail| TrailInfo {
            trail_arn: Some(trail.arn),
            name: Some(trail.name),
            home_region: Some(trail.home_region),
        })
        .collect();
    Ok(ListTrailsResponse { trails: Some(trails), next_token })
}
