use api::ApiError;
use api::cloudtrail::{
    GetDashboardRequest, GetDashboardResponse, values::dashboard_status, values::dashboard_type,
};

use super::{Found, all_shown, arn_of, find};
use crate::dashboards::schedule;
use crate::operations::{Cx, internal};

/// API reference: LastRefreshFailureReason has at most 1000 characters.
const REASON_CHARS_MAX: usize = 1000;

/// A dashboard and its newest refresh. Cairn changes dashboards in no time, so the states on the way
/// (CREATING, UPDATING, DELETING) are never seen.
///
/// AWS speaks of the last scheduled refresh's failure; here it is that of the last one of any kind, so
/// that it belongs to LastRefreshId.
pub async fn get_dashboard(
    cx: Cx<'_>,
    input: GetDashboardRequest,
) -> Result<GetDashboardResponse, ApiError> {
    let found = find(cx, &input.dashboard_id.unwrap_or_default()).await?;
    let response = match found {
        Found::Managed(dashboard) => GetDashboardResponse {
            dashboard_arn: Some(arn_of(cx, &dashboard.name)),
            type_: Some(dashboard_type::MANAGED.to_owned()),
            status: Some(dashboard_status::CREATED.to_owned()),
            widgets: all_shown(&dashboard.widgets),
            termination_protection_enabled: Some(true),
            ..GetDashboardResponse::default()
        },
        Found::Custom(dashboard) => GetDashboardResponse {
            type_: Some(dashboard_type::CUSTOM.to_owned()),
            status: Some(match dashboard.state.is_updated {
                true => dashboard_status::UPDATED.to_owned(),
                false => dashboard_status::CREATED.to_owned(),
            }),
            widgets: all_shown(&dashboard.state.widgets),
            refresh_schedule: dashboard.state.schedule.as_ref().map(schedule::shown),
            created_timestamp: api::Timestamp::from_millis(dashboard.created_ms).ok(),
            updated_timestamp: api::Timestamp::from_millis(dashboard.updated_ms).ok(),
            termination_protection_enabled: Some(dashboard.state.termination_protection),
            dashboard_arn: Some(dashboard.arn),
            ..GetDashboardResponse::default()
        },
    };
    let arn = response.dashboard_arn.as_deref().unwrap_or_default();
    let newest = cx.node.catalog.newest_refresh(cx.account(), cx.region.as_str(), arn).await;
    let (id, failure) = newest.map_err(internal)?.map(|r| (r.id, r.failure)).unzip();
    let reason = failure.flatten().map(|text| text.chars().take(REASON_CHARS_MAX).collect());
    Ok(GetDashboardResponse {
        last_refresh_id: id,
        last_refresh_failure_reason: reason,
        ..response
    })
}
