use api::ApiError;
use api::cloudtrail::{StopEventDataStoreIngestionRequest, StopEventDataStoreIngestionResponse};
use catalog::Ingestion;

use super::{change, find, refuse_status, refuse_without_ingestion, status};
use crate::operations::Cx;

/// No more live events go in; what is there stays and can be asked. AWS: the status must be ENABLED.
pub async fn stop_event_data_store_ingestion(
    cx: Cx<'_>,
    input: StopEventDataStoreIngestionRequest,
) -> Result<StopEventDataStoreIngestionResponse, ApiError> {
    let store = find(cx, &input.event_data_store.unwrap_or_default()).await?;
    refuse_without_ingestion(&store)?;
    let since_ms = cx.now.as_millisecond();
    change(cx, &store.arn, |store, _| {
        if status(store) != "ENABLED" {
            return Err(refuse_status(store, "ENABLED"));
        }
        store.state.ingestion = Ingestion::Stopped { since_ms };
        Ok(())
    })
    .await?;
    Ok(StopEventDataStoreIngestionResponse {})
}
