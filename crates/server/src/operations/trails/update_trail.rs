use api::ApiError;
use api::cloudtrail::{UpdateTrailRequest, UpdateTrailResponse};
use catalog::{TrailSettings, TrailState};

use super::destination_checks::check_destination;
use super::quota::check_places;
use super::settings::{Wanted, resolved};
use super::{change, find_at_home};
use crate::accounts::Standing;
use crate::operations::{Cx, internal, organizations};

/// Changes what is given and keeps the rest. A failing check changes nothing.
pub async fn update_trail(
    cx: Cx<'_>,
    input: UpdateTrailRequest,
) -> Result<UpdateTrailResponse, ApiError> {
    let trail = find_at_home(cx, input.name.as_deref()).await?;
    let wanted = Wanted {
        s3_bucket_name: input.s3_bucket_name,
        s3_key_prefix: input.s3_key_prefix,
        sns_topic_name: input.sns_topic_name,
        include_global_service_events: input.include_global_service_events,
        is_multi_region_trail: input.is_multi_region_trail,
        enable_log_file_validation: input.enable_log_file_validation,
        cloud_watch_logs_log_group_arn: input.cloud_watch_logs_log_group_arn,
        cloud_watch_logs_role_arn: input.cloud_watch_logs_role_arn,
        kms_key_id: input.kms_key_id,
        is_organization_trail: input.is_organization_trail,
        recursive_logging: input.recursive_logging,
    };
    let before = &trail.state.settings;
    let organization = organization_of(cx, before, wanted.is_organization_trail)?;
    let settings = resolved(Some(before), wanted.clone(), organization.as_deref())?;
    if settings.is_multi_region_trail && !before.is_multi_region_trail {
        let mut others = cx.node.catalog.trails_of(&trail.account).await.map_err(internal)?;
        others.retain(|other| other.arn != trail.arn);
        check_places(cx, &others, &trail.home_region, true)?;
    }
    check_destination(cx, &trail.arn, &settings).await?;

    let trail = change(cx, &trail.arn, |current| {
        // Resolved again over the state of this moment, so that a change made meanwhile stays.
        let settings = resolved(Some(&current.state.settings), wanted, organization.as_deref())?;
        Ok(TrailState { settings, ..current.state.clone() })
    })
    .await?;
    let settings = trail.state.settings;
    Ok(UpdateTrailResponse {
        name: Some(trail.name),
        s3_bucket_name: Some(settings.s3_bucket_name),
        s3_key_prefix: settings.s3_key_prefix,
        include_global_service_events: Some(settings.include_global_service_events),
        is_multi_region_trail: Some(settings.is_multi_region_trail),
        trail_arn: Some(trail.arn),
        log_file_validation_enabled: Some(settings.log_file_validation_enabled),
        is_organization_trail: Some(settings.organization.is_some()),
        recursive_logging: Some(settings.recursive_logging),
        ..UpdateTrailResponse::default()
    })
}

/// The organization of which the trail is or becomes. AWS: only the management account makes an
/// organization trail of an account's, or the other way round.
fn organization_of(
    cx: Cx<'_>,
    before: &TrailSettings,
    wanted: Option<bool>,
) -> Result<Option<String>, ApiError> {
    let is_converted = wanted.is_some_and(|wanted| wanted != before.organization.is_some());
    if !is_converted {
        return Ok(before.organization.clone());
    }
    match organizations::standing(cx) {
        None => Err(organizations::not_in_use(cx)),
        Some((organization, Standing::Management)) => Ok(Some(organization.id.clone())),
        Some((_, Standing::Delegated | Standing::Member)) => Err(organizations::not_management(cx)),
    }
}
