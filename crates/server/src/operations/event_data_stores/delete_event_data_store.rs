use api::cloudtrail::{DeleteEventDataStoreRequest, DeleteEventDataStoreResponse};
use api::{ApiError, ErrorCode};
use catalog::{Deletion, Federation};

use super::{active, change, refuse_during_import, refuse_inactive};
use crate::operations::Cx;

/// The store takes no more events and cannot be asked; for seven days it can be restored.
pub async fn delete_event_data_store(
    cx: Cx<'_>,
    input: DeleteEventDataStoreRequest,
) -> Result<DeleteEventDataStoreResponse, ApiError> {
    let store = active(cx, &input.event_data_store.unwrap_or_default()).await?;
    refuse_during_import(cx, &store).await?;
    let since_ms = cx.now.as_millisecond();
    change(cx, &store.arn, |store, _| {
        refuse_inactive(store)?;
        if store.state.termination_protection {
            return Err(ApiError::new(
                ErrorCode::EventDataStoreTerminationProtectedException,
                format!(
                    "Event data store {} cannot be deleted: termination protection is enabled.",
                    store.arn
                ),
            ));
        }
        if store.state.federation != Federation::Disabled {
            return Err(ApiError::new(
                ErrorCode::EventDataStoreFederationEnabledException,
                format!(
                    "Event data store {} cannot be deleted while federation is enabled: call DisableFederation first.",
                    store.arn
                ),
            ));
        }
        store.state.deletion = Deletion::Pending { since_ms };
        Ok(())
    })
    .await?;
    Ok(DeleteEventDataStoreResponse {})
}
