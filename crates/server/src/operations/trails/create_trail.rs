use api::cloudtrail::{CreateTrailRequest, CreateTrailResponse};
use api::{ApiError, ErrorCode};
use catalog::{CatalogError, Logging, Trail, TrailState};
use event::AccountId;
use event::arn::{TrailArn, TrailName};
use event::selectors::EventSelectors;

use super::destination_checks::check_destination;
use super::quota::check_places;
use super::settings::{Wanted, resolved};
use crate::operations::tags::checked_for_new_resource;
use crate::operations::{Cx, internal, organizations};

/// Declares a trail. It does not log until StartLogging.
pub async fn create_trail(
    cx: Cx<'_>,
    input: CreateTrailRequest,
) -> Result<CreateTrailResponse, ApiError> {
    let name = TrailName::parse(&input.name.unwrap_or_default())
        .map_err(|e| ApiError::new(ErrorCode::InvalidTrailNameException, e.to_string()))?;
    let wanted = Wanted {
        s3_bucket_name: Some(input.s3_bucket_name.unwrap_or_default()),
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
    let organization = match wanted.is_organization_trail {
        Some(true) => Some(organizations::administered(cx)?),
        _ => None,
    };
    let settings = resolved(None, wanted, organization.as_ref().map(|one| one.id.as_str()))?;
    let tags = checked_for_new_resource(&input.tags_list.unwrap_or_default(), "trail")?;
    // AWS: an organization's trails are the management account's, whoever makes them.
    let account = organization.map_or(*cx.caller.account(), |one| one.management);
    let arn = TrailArn { region: cx.region.clone(), account, name: name.clone() }.to_string();

    let trails = cx.node.catalog.trails_of(account.as_str()).await.map_err(internal)?;
    // The shadow of a multi-Region trail bears its name in every Region.
    let is_taken = |trail: &Trail| {
        trail.arn == arn
            || (trail.name == name.as_str() && trail.state.settings.is_multi_region_trail)
    };
    let is_multi_region = settings.is_multi_region_trail;
    let has_place = |others: &[Trail]| {
        if others.iter().any(is_taken) {
            return Err(exists(&account, name.as_str()));
        }
        check_places(cx, others, cx.region.as_str(), is_multi_region)
    };
    // Once now, so that a full account leaves no markers in a bucket, and once more at the end.
    has_place(&trails)?;
    check_destination(cx, &arn, &settings).await?;

    let trail = Trail {
        arn: arn.clone(),
        account: account.to_string(),
        name: name.as_str().to_owned(),
        home_region: cx.region.to_string(),
        created_ms: cx.now.as_millisecond(),
        state: TrailState {
            settings,
            selectors: EventSelectors::default_for_trail(),
            has_custom_selectors: false,
            logging: Logging::Never,
            deleted: false,
            insight_selectors: Vec::new(),
            aggregation: Vec::new(),
        },
    };
    match cx.node.catalog.create_trail(&trail, &tags, cx.next_seq(), has_place).await {
        Ok(admitted) => admitted?,
        Err(CatalogError::TrailExists(_)) => return Err(exists(&account, name.as_str())),
        Err(other) => return Err(internal(other)),
    }
    cx.node.trails_changed();

    let settings = trail.state.settings;
    Ok(CreateTrailResponse {
        name: Some(trail.name),
        s3_bucket_name: Some(settings.s3_bucket_name),
        s3_key_prefix: settings.s3_key_prefix,
        include_global_service_events: Some(settings.include_global_service_events),
        is_multi_region_trail: Some(settings.is_multi_region_trail),
        trail_arn: Some(trail.arn),
        log_file_validation_enabled: Some(settings.log_file_validation_enabled),
        is_organization_trail: Some(settings.organization.is_some()),
        recursive_logging: Some(settings.recursive_logging),
        ..CreateTrailResponse::default()
    })
}

fn exists(account: &AccountId, name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::TrailAlreadyExistsException,
        format!("Trail {name} already exists for customer: {account}"),
    )
}
