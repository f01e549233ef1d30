use api::cloudtrail::{ListTrailsRequest, ListTrailsResponse, TrailInfo};
use api::{ApiError, ErrorCode};

use crate::operations::{Cx, internal, paging};

/// All trails of the account and its organization, from every Region, in pages of 100 by ARN. The token holds the last ARN
/// of the page before, so that trails made meanwhile do not shift the pages. The model gives this
/// operation no error for a token that is none.
pub async fn list_trails(
    cx: Cx<'_>,
    input: ListTrailsRequest,
) -> Result<ListTrailsResponse, ApiError> {
    const PAGE: usize = 100;
    let listing = paging::listing(cx, "ListTrails", "");
    let token = input.next_token.as_deref();
    let after = paging::place_name(&listing, token, ErrorCode::ValidationException)?;
    let after = after.unwrap_or_default();
    let (catalog, account) = (&cx.node.catalog, cx.caller.account());
    // One more than fits says whether there is another page.
    let read = catalog.trail_names_after(account.as_str(), None, &after, PAGE + 1);
    let mut trails = read.await.map_err(internal)?;
    let organization = cx.node.accounts.organization_of(account);
    if let Some(organization) = organization.filter(|one| one.management != *account) {
        let (owner, id) = (organization.management.as_str(), Some(organization.id.as_str()));
        let shared = catalog.trail_names_after(owner, id, &after, PAGE + 1);
        trails.extend(shared.await.map_err(internal)?);
        trails.sort_by(|a, b| a.arn.cmp(&b.arn));
    }
    let more = trails.len() > PAGE;
    trails.truncate(PAGE);
    let last = trails.last().filter(|_| more);
    let next_token = last.map(|trail| paging::token_after_name(&listing, &trail.arn));
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
