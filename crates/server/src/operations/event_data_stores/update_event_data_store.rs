use api::cloudtrail::{UpdateEventDataStoreRequest, UpdateEventDataStoreResponse};
use api::{ApiError, ErrorCode};
use catalog::{EventDataStore, EventDataStoreState};

use super::settings::{Wanted, resolved};
use super::{active, change, refuse_during_import, refuse_inactive, shown};
use crate::accounts::Standing;
use crate::operations::{Cx, organizations};

/// Changes what is given and keeps the rest. A failing check changes nothing.
pub async fn update_event_data_store(
    cx: Cx<'_>,
    input: UpdateEventDataStoreRequest,
) -> Result<UpdateEventDataStoreResponse, ApiError> {
    let store = active(cx, &input.event_data_store.unwrap_or_default()).await?;
    let wanted = Wanted {
        selectors: input.advanced_event_selectors,
        multi_region: input.multi_region_enabled,
        retention_days: input.retention_period,
        termination_protection: input.termination_protection_enabled,
        kms_key_id: input.kms_key_id,
        billing_mode: input.billing_mode,
    };
    let organization = organization_of(cx, &store, input.organization_enabled)?;
    resolved(Some(&store.state), wanted.clone(), organization.as_deref())?;
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
        let resolved = resolved(Some(&store.state), wanted, organization.as_deref())?;
        store.state = EventDataStoreState {
            selectors: resolved.selectors,
            multi_region: resolved.multi_region,
            retention_days: resolved.retention_days,
            termination_protection: resolved.termination_protection,
            billing_mode: resolved.billing_mode,
            organization: resolved.organization,
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
        organization_enabled: Some(shown.organization),
        retention_period: Some(shown.retention_days),
        termination_protection_enabled: Some(shown.termination_protection),
        created_timestamp: shown.created,
        updated_timestamp: shown.updated,
        billing_mode: Some(shown.billing_mode),
        federation_status: shown.federation_status,
        federation_role_arn: shown.federation_role,
        ..UpdateEventDataStoreResponse::default()
    })
}

/// The organization of which the store is or becomes. AWS: only the management account makes an
/// organization event data store of an account's, or the other way round.
fn organization_of(
    cx: Cx<'_>,
    store: &EventDataStore,
    wanted: Option<bool>,
) -> Result<Option<String>, ApiError> {
    let before = &store.state.organization;
    match wanted {
        None => return Ok(before.clone()),
        Some(wanted) if wanted == before.is_some() => return Ok(before.clone()),
        Some(_) => {}
    }
    match organizations::standing(cx) {
        None => Err(organizations::not_in_use(cx)),
        Some((organization, Standing::Management)) => {
            Ok(before.is_none().then(|| organization.id.clone()))
        }
        Some((_, Standing::Delegated | Standing::Member)) => Err(organizations::not_management(cx)),
    }
}

pub fn exists(cx: Cx<'_>, name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreAlreadyExistsException,
        format!("Event data store {name} already exists for customer: {}", cx.account()),
    )
}
