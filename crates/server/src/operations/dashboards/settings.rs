//! What CreateDashboard and UpdateDashboard have in common: the checks of widgets and schedules.

use api::cloudtrail::{RefreshSchedule as ApiSchedule, RequestWidget};
use api::{ApiError, ErrorCode};
use catalog::{RefreshSchedule, Widget};

use super::tenant;
use crate::chance;
use crate::dashboards::{refresh, schedule};
use crate::operations::Cx;

/// API reference, CreateDashboard: "a custom dashboard can have a maximum of ten widgets".
const WIDGETS_MAX: usize = 10;

/// Widgets that can be refreshed. Their aliases come later, from [`named`].
pub async fn checked_widgets(
    cx: Cx<'_>,
    widgets: Vec<RequestWidget>,
) -> Result<Vec<Widget>, ApiError> {
    if widgets.len() > WIDGETS_MAX {
        return Err(ApiError::new(
            ErrorCode::ServiceQuotaExceededException,
            format!("A dashboard has at most {WIDGETS_MAX} widgets; {} were given.", widgets.len()),
        ));
    }
    let mut checked = Vec::with_capacity(widgets.len());
    for (i, widget) in widgets.into_iter().enumerate() {
        let statement = widget.query_statement.unwrap_or_default();
        let parameters = widget.query_parameters.unwrap_or_default();
        let holds = refresh::check(cx.node, tenant(cx), &statement, &parameters, cx.now).await;
        holds.map_err(|error| ApiError {
            message: format!("Widget {}: {}", i + 1, error.message),
            ..error
        })?;
        checked.push(Widget {
            alias: String::new(),
            statement,
            parameters,
            view: widget.view_properties.unwrap_or_default(),
        });
    }
    Ok(checked)
}

/// The widgets with their aliases: an old widget's where the statement is the same, so that who reads by
/// alias need not learn of a new title or place; else new ones.
pub fn named(cx: Cx<'_>, mut widgets: Vec<Widget>, old: &[Widget]) -> Vec<Widget> {
    let mut old: Vec<&Widget> = old.iter().collect();
    // Of several with one statement, the parameters say which is which.
    for same_parameters in [true, false] {
        for widget in widgets.iter_mut().filter(|widget| widget.alias.is_empty()) {
            let found = old.iter().position(|old| {
                old.statement == widget.statement
                    && (!same_parameters || old.parameters == widget.parameters)
            });
            if let Some(found) = found {
                widget.alias.clone_from(&old.swap_remove(found).alias);
            }
        }
    }
    for widget in widgets.iter_mut().filter(|widget| widget.alias.is_empty()) {
        widget.alias = format!("Widget-{}", chance::uuid(cx.node.chance.as_ref()));
    }
    widgets
}

pub fn checked_schedule(
    before: Option<&RefreshSchedule>,
    given: Option<&ApiSchedule>,
) -> Result<Option<RefreshSchedule>, ApiError> {
    let Some(given) = given else { return Ok(before.cloned()) };
    match schedule::resolved(before, given) {
        Ok(schedule) => Ok(Some(schedule)),
        Err(invalid) => Err(ApiError::new(ErrorCode::ValidationException, invalid.to_string())),
    }
}
