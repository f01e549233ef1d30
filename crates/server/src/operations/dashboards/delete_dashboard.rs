use api::cloudtrail::{DeleteDashboardRequest, DeleteDashboardResponse};
use api::{ApiError, ErrorCode};
use catalog::Dashboard;

use super::{custom_name, not_found};
use crate::operations::{Cx, internal};

/// Removes a custom dashboard. Queries that it has asked run on, and their results stay as long as
/// others'.
pub async fn delete_dashboard(
    cx: Cx<'_>,
    input: DeleteDashboardRequest,
) -> Result<DeleteDashboardResponse, ApiError> {
    let id = input.dashboard_id.unwrap_or_default();
    let name = custom_name(cx, &id)?;
    let refuse_protected = |dashboard: &Dashboard| match dashboard.state.termination_protection {
        false => Ok(()),
        true => Err(ApiError::new(
            ErrorCode::ConflictException,
            format!(
                "Dashboard {} cannot be deleted: termination protection is enabled. Disable it by UpdateDashboard first.",
                dashboard.arn
            ),
        )),
    };
    let (account, region) = (cx.account(), cx.region.as_str());
    let removed = cx.node.catalog.remove_dashboard(account, region, name, refuse_protected).await;
    removed.map_err(internal)?.ok_or_else(|| not_found(&id))??;
    Ok(DeleteDashboardResponse {})
}
