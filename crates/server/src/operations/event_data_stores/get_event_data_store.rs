use api::ApiError;
use api::cloudtrail::{GetEventDataStoreRequest, GetEventDataStoreResponse};

use super::{find, shown};
use crate::operations::Cx;

pub async fn get_event_data_store(
    cx: Cx<'_>,
    input: GetEventDataStoreRequest,
) -> Result<GetEventDataStoreResponse, ApiError> {
    let shown = shown(find(cx, &input.event_data_store.unwrap_or_default()).await?)?;
    Ok(GetEventDataStoreResponse {
        event_data_store_arn: Some(shown.arn),
        name: Some(shown.name),
        status: Some(shown.status),
        advanced_event_selectors: Some(shown.selectors),
        multi_region_enabled: Some(shown.multi_region),
        organization_enabled: Some(shown.organization),
        retention_period: Some(shown.retention_days),
        termination_protection_enabled: Some(shown.termination_protection),
        created_timestamp: shown.created,
        updated_timestamp: shown.updated,
        billing_mode: Some(shown.billing_mode),
        federation_status: shown.federation_status,
        federation_role_arn: shown.federation_role,
        ..GetEventDataStoreResponse::default()
    })
}
