use api::cloudtrail::{
    DashboardDetail, ListDashboardsRequest, ListDashboardsResponse, values::dashboard_type,
};
use api::{ApiError, ErrorCode};

use super::arn_of;
use crate::operations::{Cx, internal, paging};

/// The model's bound.
const PAGE_MAX: usize = 1000;

/// The account's custom dashboards in this Region and the managed ones, in pages by name. The token holds the
/// last name of the page before, so that dashboards made meanwhile do not shift the pages.
pub async fn list_dashboards(
    cx: Cx<'_>,
    input: ListDashboardsRequest,
) -> Result<ListDashboardsResponse, ApiError> {
    let page_max = input.max_results.and_then(|given| usize::try_from(given).ok());
    let page_max = page_max.unwrap_or(PAGE_MAX);
    let managed = cx.node.dashboards.all().iter();
    let mut all: Vec<(String, &str)> =
        managed.map(|dashboard| (dashboard.name.clone(), dashboard_type::MANAGED)).collect();
    let custom = cx.node.catalog.dashboards_of(cx.account(), cx.region.as_str()).await;
    let custom = custom.map_err(internal)?.into_iter();
    all.extend(custom.map(|dashboard| (dashboard.name, dashboard_type::CUSTOM)));
    all.sort();
    if let Some(prefix) = &input.name_prefix {
        all.retain(|(name, _)| name.starts_with(prefix));
    }
    if let Some(wanted) = &input.type_ {
        all.retain(|(_, kind)| kind == wanted);
    }
    let asked = format!("{:?} {:?}", input.name_prefix, input.type_);
    let listing = paging::listing(cx, "ListDashboards", &asked);
    let token = input.next_token.as_deref();
    if let Some(after) = paging::place_name(&listing, token, ErrorCode::ValidationException)? {
        all.retain(|(name, _)| *name > after);
    }
    let more = all.len() > page_max;
    all.truncate(page_max);
    let last = all.last().filter(|_| more);
    let next_token = last.map(|(name, _)| paging::token_after_name(&listing, name));
    let dashboards = all.into_iter().map(|(name, kind)| DashboardDetail {
        dashboard_arn: Some(arn_of(cx, &name)),
        type_: Some(kind.to_owned()),
    });
    Ok(ListDashboardsResponse { dashboards: Some(dashboards.collect()), next_token })
}
