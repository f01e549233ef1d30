use api::cloudtrail::{UpdateEventDataStoreRequest, UpdateEventDataStoreResponse};
use api::{ApiError, ErrorCode};
use catalog::EventDataStoreState;

use super::settings::{Wanted, resolved};
use super::{active, change, refuse_during_import, refuse_inactive, shown};
use crate::operations::Cx;

/// Changes what is given and keeps the rest. A failing check changes nothing.
pub async fn update_event_data_store(
    cx: Cx<'_>,
    input: UpdateEventDataStoreRequest,
) -> Result<UpdateEventDataStoreResponse, ApiError> {
    let store = active(cx, &input.event_data_store.unwrap_or_default()).await?;
    let wanted = Wanted {
        selectors: input.advanced_event_selectors,
        multi_region: input.multi_region_enabled,
        organization: input.organization_enabled,
        retention_days: input.retention_period,
        termination_protection: input.termination_protection_enabled,
        kms_key_id: input.kms_key_id,
        billing_mode: input.billing_mode,
    };
    resolved(Some(&store.state), wanted.clone())?;
    refuse_during_import(cx, &store).await?;

    let name = input.name;
    let store = change(cx, &store.arn, |store, others| {
        refuse_inactive(store)?;
        if let Some(name) = name {
            let is_taken = |name: &str| {
                others.iter().any(|o| o.home_region == store.home_region && o.name == name)
            };
            if is_taken(&name) {
                return Err(exists(cx, &name));
            }
            store.name = name;
        }
        // Resolved again over the state of this moment, so that a change made meanwhile stays.
        let resolved = resolved(Some(&store.state), wanted)?;
        store.state = EventDataStoreState {
            selectors: resolved.selectors,
            multi_region: resolved.multi_region,
            retention_days: resolved.retention_days,
            termination_protection: resolved.termination_protection,
            billing_mode: resolved.billing_mode,
            ..store.state.clone()
        };
        Ok(())
    })
    .await?;
    let shown = shown(store)?;
    Ok(UpdateEventDataStoreResponse {
        event_data_store_arn: Some(shown.arn),
        name: Some(shown.name),
        status: Some(shown.status),
        advanced_event_selectors: Some(shown.selectors),
        multi_region_enabled: Some(shown.multi_region),
        organization_enabled: Some(false),
        retention_period: Some(shown.retention_days),
        termination_protection_enabled: Some(shown.termination_protection),
        created_timestamp: shown.created,
        updated_timestamp: shown.updated,
        billing_mode: Some(shown.billing_mode),
        ..UpdateEventDataStoreResponse::default()
    })
}

pub fn exists(cx: Cx<'_>, name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreAlreadyExistsException,
        format!("Event data store {name} already exists for customer: {}", cx.account()),
    )
}
