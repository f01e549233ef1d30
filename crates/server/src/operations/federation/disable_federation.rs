use api::ApiError;
use api::cloudtrail::{DisableFederationRequest, DisableFederationResponse};
use catalog::Federation;

use super::status;
use crate::operations::Cx;
use crate::operations::event_data_stores::{active, change, refuse_inactive};

/// Asks for the store's table to be taken off the listing. No event is touched. Disabling what is
/// not enabled changes nothing.
pub async fn disable_federation(
    cx: Cx<'_>,
    input: DisableFederationRequest,
) -> Result<DisableFederationResponse, ApiError> {
    let store = active(cx, &input.event_data_store.unwrap_or_default()).await?;
    let store = change(cx, &store.arn, |store, _| {
        refuse_inactive(store)?;
        if store.state.federation.role_arn().is_some() {
            store.state.federation = Federation::Disabling;
        }
        Ok(())
    })
    .await?;
    Ok(DisableFederationResponse {
        federation_status: Some(status(&store.state.federation).to_owned()),
        event_data_store_arn: Some(store.arn),
    })
}
