use api::ApiError;
use api::cloudtrail::{UpdateDashboardRequest, UpdateDashboardResponse, values::dashboard_type};

use super::settings::{checked_schedule, checked_widgets, named};
use super::{all_shown, custom_name, find, not_found};
use crate::dashboards::schedule;
use crate::operations::{Cx, internal};

/// Changes what is given and keeps the rest; a list of widgets takes the place of the one before. A failing
/// check changes nothing.
pub async fn update_dashboard(
    cx: Cx<'_>,
    input: UpdateDashboardRequest,
) -> Result<UpdateDashboardResponse, ApiError> {
    let id = input.dashboard_id.unwrap_or_default();
    let name = custom_name(cx, &id)?;
    find(cx, name).await?;
    let widgets = match input.widgets {
        Some(widgets) => Some(checked_widgets(cx, widgets).await?),
        None => None,
    };
    let now_ms = cx.now.as_millisecond();
    let (account, region) = (cx.account(), cx.region.as_str());
    let changed = cx.node.catalog.change_dashboard(account, region, name, now_ms, |dashboard| {
        let before = dashboard.state.clone();
        // Over the state of this moment, so that a change made meanwhile stays.
        dashboard.state.schedule =
            checked_schedule(before.schedule.as_ref(), input.refresh_schedule.as_ref())?;
        if dashboard.state.schedule != before.schedule {
            let schedule = dashboard.state.schedule.as_ref();
            dashboard.next_refresh_ms = schedule.and_then(|s| schedule::next_after(s, now_ms));
        }
        if let Some(widgets) = widgets {
            dashboard.state.widgets = named(cx, widgets, &before.widgets);
        }
        if let Some(protected) = input.termination_protection_enabled {
            dashboard.state.termination_protection = protected;
        }
        if dashboard.state != before {
            dashboard.state.is_updated = true;
        }
        Ok::<_, ApiError>(())
    });
    let changed = changed.await.map_err(internal)?.ok_or_else(|| not_found(&id))??;
    Ok(UpdateDashboardResponse {
        widgets: all_shown(&changed.state.widgets),
        refresh_schedule: changed.state.schedule.as_ref().map(schedule::shown),
        termination_protection_enabled: Some(changed.state.termination_protection),
        created_timestamp: api::Timestamp::from_millis(changed.created_ms).ok(),
        updated_timestamp: api::Timestamp::from_millis(changed.updated_ms).ok(),
        dashboard_arn: Some(changed.arn),
        name: Some(changed.name),
        type_: Some(dashboard_type::CUSTOM.to_owned()),
    })
}
