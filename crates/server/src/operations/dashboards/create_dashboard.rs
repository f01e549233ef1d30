use api::cloudtrail::{CreateDashboardRequest, CreateDashboardResponse, values::dashboard_type};
use api::{ApiError, ErrorCode};
use catalog::{Dashboard, DashboardState};

use super::settings::{checked_schedule, checked_widgets, named};
use super::{all_shown, arn_of};
use crate::dashboards::{managed, schedule};
use crate::operations::tags::{self, checked_for_new_resource};
use crate::operations::{Cx, internal};

/// Makes a custom dashboard. Its widgets are checked now and asked by a refresh.
///
/// AWS makes its Highlights dashboard by this operation too. Here it is there already.
pub async fn create_dashboard(
    cx: Cx<'_>,
    input: CreateDashboardRequest,
) -> Result<CreateDashboardResponse, ApiError> {
    let name = input.name.unwrap_or_default();
    if name.starts_with(managed::PREFIX) {
        return Err(ApiError::new(
            ErrorCode::ConflictException,
            format!(
                "Names that begin with {} are those of managed dashboards, which are there without being created. Choose another name than {name}.",
                managed::PREFIX
            ),
        ));
    }
    let tags = checked_for_new_resource(&input.tags_list.unwrap_or_default(), "dashboard")?;
    let schedule = checked_schedule(None, input.refresh_schedule.as_ref())?;
    let widgets = checked_widgets(cx, input.widgets.unwrap_or_default()).await?;
    let now_ms = cx.now.as_millisecond();
    let dashboard = Dashboard {
        arn: arn_of(cx, &name),
        account: cx.account().to_owned(),
        region: cx.region.to_string(),
        name,
        created_ms: now_ms,
        updated_ms: now_ms,
        next_refresh_ms: schedule.as_ref().and_then(|s| schedule::next_after(s, now_ms)),
        state: DashboardState {
            widgets: named(cx, widgets, &[]),
            schedule,
            termination_protection: input.termination_protection_enabled.unwrap_or(false),
            is_updated: false,
        },
    };
    let has_place = |others: &[Dashboard]| check_place(cx, others, &dashboard.name);
    let created = cx.node.catalog.create_dashboard(&dashboard, &tags, has_place).await;
    created.map_err(internal)??;
    let tags_list = tags.into_iter().map(tags::shown);
    Ok(CreateDashboardResponse {
        widgets: all_shown(&dashboard.state.widgets),
        refresh_schedule: dashboard.state.schedule.as_ref().map(schedule::shown),
        termination_protection_enabled: Some(dashboard.state.termination_protection),
        tags_list: Some(tags_list.collect()),
        dashboard_arn: Some(dashboard.arn),
        name: Some(dashboard.name),
        type_: Some(dashboard_type::CUSTOM.to_owned()),
    })
}

fn check_place(cx: Cx<'_>, others: &[Dashboard], name: &str) -> Result<(), ApiError> {
    if others.iter().any(|other| other.name == name) {
        return Err(ApiError::new(
            ErrorCode::ConflictException,
            format!("Dashboard {name} exists already in {}.", cx.region),
        ));
    }
    let places = cx.node.settings.lake.dashboards_per_region_max;
    if others.len() >= places {
        return Err(ApiError::new(
            ErrorCode::ServiceQuotaExceededException,
            format!(
                "Account {} has {} custom dashboards in {}, and {places} are allowed. Delete one first.",
                cx.account(),
                others.len(),
                cx.region
            ),
        ));
    }
    Ok(())
}
