use api::ApiError;
use api::cloudtrail::{RestoreEventDataStoreRequest, RestoreEventDataStoreResponse};
use catalog::{Deletion, Ingestion};

use super::{change, find, refuse_status, shown};
use crate::operations::Cx;

/// Brings back a store that is pending deletion, with all that it held. AWS: it is ENABLED then, so
/// live events go in again, also where ingestion had been stopped.
pub async fn restore_event_data_store(
    cx: Cx<'_>,
    input: RestoreEventDataStoreRequest,
) -> Result<RestoreEventDataStoreResponse, ApiError> {
    let store = find(cx, &input.event_data_store.unwrap_or_default()).await?;
    let since_ms = cx.now.as_millisecond();
    let store = change(cx, &store.arn, |store, _| {
        if !matches!(store.state.deletion, Deletion::Pending { .. }) {
            return Err(refuse_status(store, "PENDING_DELETION"));
        }
        store.state.deletion = Deletion::None;
        store.state.ingestion = Ingestion::Enabled { since_ms };
        Ok(())
    })
    .await?;
    let shown = shown(store)?;
    Ok(RestoreEventDataStoreResponse {
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
        ..RestoreEventDataStoreResponse::default()
    })
}
