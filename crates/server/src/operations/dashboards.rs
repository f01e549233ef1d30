//! Dashboards: custom ones, which accounts make, and managed ones, which are built in.

mod create_dashboard;
mod delete_dashboard;
mod get_dashboard;
mod list_dashboards;
mod settings;
mod start_dashboard_refresh;
mod update_dashboard;

use api::cloudtrail::Widget as ApiWidget;
use api::{ApiError, ErrorCode};
use catalog::{Dashboard, Widget};

pub use create_dashboard::create_dashboard;
pub use delete_dashboard::delete_dashboard;
pub use get_dashboard::get_dashboard;
pub use list_dashboards::list_dashboards;
pub use start_dashboard_refresh::start_dashboard_refresh;
pub use update_dashboard::update_dashboard;

use crate::dashboards;
use crate::dashboards::managed::ManagedDashboard;
use crate::dashboards::refresh::Tenant;
use crate::operations::{Cx, internal};

/// What a name or ARN can stand for.
enum Found<'a> {
    Custom(Box<Dashboard>),
    Managed(&'a ManagedDashboard),
}

/// The caller's dashboard in this Region, by its name or ARN. Another account's or Region's is as good
/// as none.
async fn find<'a>(cx: Cx<'a>, name_or_arn: &str) -> Result<Found<'a>, ApiError> {
    let name = own_name(cx, name_or_arn).ok_or_else(|| not_found(name_or_arn))?;
    if let Some(managed) = cx.node.dashboards.find(name) {
        return Ok(Found::Managed(managed));
    }
    let found = cx.node.catalog.dashboard(cx.account(), cx.region.as_str(), name).await;
    let found = found.map_err(internal)?.ok_or_else(|| not_found(name_or_arn))?;
    Ok(Found::Custom(Box::new(found)))
}

/// The ARN of a dashboard of the caller's, for those who deal with resources of any type.
pub async fn existing_arn(cx: Cx<'_>, arn: &str) -> Result<String, ApiError> {
    match find(cx, arn).await? {
        Found::Custom(dashboard) => Ok(dashboard.arn),
        Found::Managed(dashboard) => Ok(arn_of(cx, &dashboard.name)),
    }
}

/// The name of a custom dashboard that is to be changed or deleted. Whether there is one is not known.
fn custom_name<'a>(cx: Cx<'_>, name_or_arn: &'a str) -> Result<&'a str, ApiError> {
    let name = own_name(cx, name_or_arn).ok_or_else(|| not_found(name_or_arn))?;
    if cx.node.dashboards.find(name).is_some() {
        return Err(ApiError::new(
            ErrorCode::ConflictException,
            format!(
                "Dashboard {name} is managed: it can be neither changed nor deleted. Create a custom dashboard with its widgets instead."
            ),
        ));
    }
    Ok(name)
}

/// The name, if it is one of this account and Region.
fn own_name<'a>(cx: Cx<'_>, name_or_arn: &'a str) -> Option<&'a str> {
    match name_or_arn.starts_with("arn:") {
        true => name_or_arn.strip_prefix(arn_of(cx, "").as_str()),
        false => Some(name_or_arn),
    }
}

fn arn_of(cx: Cx<'_>, name: &str) -> String {
    dashboards::arn(cx.account(), cx.region.as_str(), name)
}

fn tenant<'a>(cx: Cx<'a>) -> Tenant<'a> {
    Tenant { account: cx.caller.account().as_str(), region: cx.region.as_str() }
}

fn not_found(name_or_arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFoundException,
        format!("Dashboard {name_or_arn} was not found."),
    )
}

fn shown(widget: &Widget) -> ApiWidget {
    let parameters = &widget.parameters;
    ApiWidget {
        query_alias: Some(widget.alias.clone()),
        query_statement: Some(widget.statement.clone()),
        query_parameters: (!parameters.is_empty()).then(|| parameters.clone()),
        view_properties: Some(widget.view.clone()),
    }
}

fn all_shown(widgets: &[Widget]) -> Option<Vec<ApiWidget>> {
    Some(widgets.iter().map(shown).collect())
}
