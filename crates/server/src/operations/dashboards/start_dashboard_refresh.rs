use api::cloudtrail::{StartDashboardRefreshRequest, StartDashboardRefreshResponse};
use api::{ApiError, ErrorCode};
use catalog::Started;

use super::{Found, arn_of, find, tenant};
use crate::authorization::{Denied, permit};
use crate::dashboards::refresh::{Refreshed, start};
use crate::dashboards::values::Values;
use crate::operations::Cx;

/// Asks a query for every widget. They wait behind the caller's own queries and take none of their
/// places; DescribeQuery finds them by the widget's alias and the refresh's ID. AWS: the caller needs
/// StartQuery on each event data store, too.
///
/// API reference: for managed dashboards `$EventDataStoreId$` is required. Here it is only where there is
/// more than one event data store to choose from.
pub async fn start_dashboard_refresh(
    cx: Cx<'_>,
    input: StartDashboardRefreshRequest,
) -> Result<StartDashboardRefreshResponse, ApiError> {
    let found = find(cx, &input.dashboard_id.unwrap_or_default()).await?;
    let given = input.query_parameter_values.unwrap_or_default();
    let values = Values::of(&given, cx.now)
        .map_err(|invalid| ApiError::new(ErrorCode::ValidationException, invalid.to_string()))?;
    let (arn, widgets) = match &found {
        Found::Custom(dashboard) => (dashboard.arn.clone(), &dashboard.state.widgets),
        Found::Managed(dashboard) => (arn_of(cx, &dashboard.name), &dashboard.widgets),
    };
    let dashboard = Refreshed { arn: &arn, widgets };
    let may_ask = |store: &str| {
        permit(&cx.node.accounts, &cx.asking(), "cloudtrail:StartQuery", store)
            .map_err(|Denied(message)| ApiError::new(ErrorCode::AccessDeniedException, message))
    };
    let (started, id) = start(cx.node, tenant(cx), dashboard, &values, cx.now, may_ask).await?;
    match started {
        Started::Yes => Ok(StartDashboardRefreshResponse { refresh_id: Some(id) }),
        // AWS's quota: one running refresh for each dashboard.
        Started::OtherIsRunning | Started::NotDue => Err(ApiError::new(
            ErrorCode::ServiceQuotaExceededException,
            format!(
                "A refresh of dashboard {arn} is running. Wait until its queries have ended, or cancel them."
            ),
        )),
    }
}
