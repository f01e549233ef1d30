//! Trails: what is recorded, and where it is handed over.

mod create_trail;
mod delete_trail;
mod describe_trails;
mod destination_checks;
mod get_event_selectors;
mod get_trail;
mod get_trail_status;
mod list_trails;
mod put_event_selectors;
mod quota;
pub(super) mod settings;
mod start_logging;
mod stop_logging;
mod update_trail;

use api::cloudtrail::{
    AdvancedEventSelector as ApiAdvancedSelector, EventSelector as ApiSelector, Trail as ApiTrail,
};
use api::{ApiError, ErrorCode};
use catalog::{CatalogError, Trail, TrailState};
use event::arn::{TrailArn, TrailName};
use event::selectors::EventSelectors;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use create_trail::create_trail;
pub use delete_trail::delete_trail;
pub use describe_trails::describe_trails;
pub(super) use destination_checks::check_folder;
pub use get_event_selectors::get_event_selectors;
pub use get_trail::get_trail;
pub use get_trail_status::get_trail_status;
pub use list_trails::list_trails;
pub use put_event_selectors::put_event_selectors;
pub use start_logging::start_logging;
pub use stop_logging::stop_logging;
pub use update_trail::update_trail;

use crate::accounts::Organization;
use crate::operations::{Cx, internal, organizations};

/// How a caller named a trail.
#[derive(Debug, Clone, PartialEq)]
pub enum TrailRef {
    Name(TrailName),
    Arn(TrailArn),
}

impl TrailRef {
    /// Names and ARNs are told apart by `arn:`; each has its own errors.
    pub fn parse(text: &str) -> Result<TrailRef, ApiError> {
        if text.starts_with("arn:") {
            return TrailArn::parse(text).map(TrailRef::Arn).map_err(|_| {
                ApiError::new(
                    ErrorCode::CloudTrailARNInvalidException,
                    format!("Invalid Arn: {text}. Expected arn:aws:cloudtrail:<region>:<account>:trail/<name>."),
                )
            });
        }
        TrailName::parse(text)
            .map(TrailRef::Name)
            .map_err(|e| ApiError::new(ErrorCode::InvalidTrailNameException, e.to_string()))
    }

    /// The caller's trail by that name in the Region (or a multi-Region trail's shadow there), or
    /// by that ARN anywhere, which may be a trail of the caller's organization. Another account's
    /// trail is as good as none.
    pub async fn lookup(&self, cx: Cx<'_>) -> Result<Option<Trail>, ApiError> {
        match self {
            TrailRef::Arn(arn) => arn.lookup(cx).await,
            TrailRef::Name(name) => {
                let trails = cx.node.catalog.trails_of(cx.account()).await.map_err(internal)?;
                let mut named =
                    trails.into_iter().filter(|t| t.name == name.as_str()).collect::<Vec<_>>();
                let here = named.iter().position(|t| t.home_region == cx.region.as_str());
                let found = here
                    .or_else(|| named.iter().position(|t| t.state.settings.is_multi_region_trail));
                Ok(found.map(|place| named.swap_remove(place)))
            }
        }
    }
}

pub trait Lookup {
    fn lookup(&self, cx: Cx<'_>) -> impl Future<Output = Result<Option<Trail>, ApiError>> + Send;
}

impl Lookup for TrailArn {
    async fn lookup(&self, cx: Cx<'_>) -> Result<Option<Trail>, ApiError> {
        let is_own = self.account == *cx.caller.account();
        let organization = cx.node.accounts.organization_of(cx.caller.account());
        let organization = organization.filter(|one| one.management == self.account);
        if !is_own && organization.is_none() {
            return Ok(None);
        }
        let found = cx.node.catalog.trail(&self.to_string()).await.map_err(internal)?;
        Ok(found.filter(|trail| is_own || is_of(trail, organization.as_deref())))
    }
}

/// Is this an organization trail of that organization?
fn is_of(trail: &Trail, organization: Option<&Organization>) -> bool {
    let of = trail.state.settings.organization.as_deref();
    of.is_some() && of == organization.map(|one| one.id.as_str())
}

/// The account's trails, and those of its organization, by name.
pub(super) async fn visible(cx: Cx<'_>) -> Result<Vec<Trail>, ApiError> {
    let catalog = &cx.node.catalog;
    let mut trails = catalog.trails_of(cx.account()).await.map_err(internal)?;
    let account = cx.caller.account();
    let organization = cx.node.accounts.organization_of(account);
    if let Some(organization) = organization.filter(|one| one.management != *account) {
        let others = catalog.trails_of(organization.management.as_str()).await;
        let others = others.map_err(internal)?.into_iter();
        trails.extend(others.filter(|trail| is_of(trail, Some(&organization))));
        trails.sort_by(|a, b| (&a.name, &a.arn).cmp(&(&b.name, &b.arn)));
    }
    Ok(trails)
}

/// AWS: members see an organization trail and cannot change it; delegated administrators can.
pub(super) fn refuse_members(cx: Cx<'_>, trail_arn: &str) -> Result<(), ApiError> {
    if trail_arn.split(':').nth(4) == Some(cx.account()) {
        return Ok(());
    }
    organizations::administered(cx).map(drop)
}

pub fn not_found(cx: Cx<'_>, name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::TrailNotFoundException,
        format!("Unknown trail: {name} for the user: {}", cx.account()),
    )
}

/// The trail a request names, or the error AWS gives.
pub(super) async fn find(cx: Cx<'_>, name: Option<&str>) -> Result<Trail, ApiError> {
    let name = name.unwrap_or_default();
    TrailRef::parse(name)?.lookup(cx).await?.ok_or_else(|| not_found(cx, name))
}

/// As `find`, for operations that change the trail, which only its home Region takes.
pub(super) async fn find_at_home(cx: Cx<'_>, name: Option<&str>) -> Result<Trail, ApiError> {
    let trail = find(cx, name).await?;
    refuse_members(cx, &trail.arn)?;
    if trail.home_region != cx.region.as_str() {
        return Err(ApiError::new(
            ErrorCode::InvalidHomeRegionException,
            format!(
                "Trail {} cannot be changed from Region {}; its home Region is {}.",
                trail.arn, cx.region, trail.home_region
            ),
        ));
    }
    Ok(trail)
}

/// Changes a trail from a journal position on, and wakes the workers that care.
pub(super) async fn change(
    cx: Cx<'_>,
    arn: &str,
    next: impl FnOnce(&Trail) -> Result<TrailState, ApiError>,
) -> Result<Trail, ApiError> {
    let changed =
        cx.node.catalog.change_trail(arn, cx.next_seq(), cx.now.as_millisecond(), next).await;
    cx.node.trails_changed();
    match changed {
        Ok(outcome) => outcome,
        Err(CatalogError::NoSuchTrail(arn)) => Err(not_found(cx, &arn)),
        Err(other) => Err(internal(other)),
    }
}

/// Selectors as the API's shapes, of one kind or the other.
type ApiSelectors = (Option<Vec<ApiSelector>>, Option<Vec<ApiAdvancedSelector>>);

fn api_selectors(selectors: &EventSelectors) -> Result<ApiSelectors, ApiError> {
    Ok(match selectors {
        EventSelectors::Basic(basic) => (Some(converted(basic)?), None),
        EventSelectors::Advanced(advanced) => (None, Some(converted(advanced)?)),
    })
}

/// The API's shapes and the event crate's have one JSON form.
pub fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Result<T, ApiError> {
    serde_json::to_value(value)
        .and_then(serde_json::from_value)
        .map_err(|e| ApiError::new(ErrorCode::InvalidEventSelectorsException, e.to_string()))
}

/// A trail as GetTrail and DescribeTrails show it.
fn shown(trail: Trail) -> ApiTrail {
    let settings = trail.state.settings;
    ApiTrail {
        name: Some(trail.name),
        s3_bucket_name: Some(settings.s3_bucket_name),
        s3_key_prefix: settings.s3_key_prefix,
        include_global_service_events: Some(settings.include_global_service_events),
        is_multi_region_trail: Some(settings.is_multi_region_trail),
        home_region: Some(trail.home_region),
        trail_arn: Some(trail.arn),
        log_file_validation_enabled: Some(settings.log_file_validation_enabled),
        has_custom_event_selectors: Some(trail.state.has_custom_selectors),
        has_insight_selectors: Some(!trail.state.insight_selectors.is_empty()),
        is_organization_trail: Some(settings.organization.is_some()),
        recursive_logging: Some(settings.recursive_logging),
        ..ApiTrail::default()
    }
}
