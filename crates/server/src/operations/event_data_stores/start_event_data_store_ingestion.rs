use api::ApiError;
use api::cloudtrail::{StartEventDataStoreIngestionRequest, StartEventDataStoreIngestionResponse};
use catalog::Ingestion;

use super::{change, find, refuse_status, refuse_without_ingestion, status};
use crate::operations::Cx;

/// Live events go in again. AWS: the status must be STOPPED_INGESTION.
pub async fn start_event_data_store_ingestion(
    cx: Cx<'_>,
    input: StartEventDataStoreIngestionRequest,
) -> Result<StartEventDataStoreIngestionResponse, ApiError> {
    let store = find(cx, &input.event_data_store.unwrap_or_default()).await?;
    refuse_without_ingestion(&store)?;
    let since_ms = cx.now.as_millisecond();
    change(cx, &store.arn, |store, _| {
        if status(store) != "STOPPED_INGESTION" {
            return Err(refuse_status(store, "STOPPED_INGESTION"));
        }
        store.state.ingestion = Ingestion::Enabled { since_ms };
        Ok(())
    })
    .await?;
    Ok(StartEventDataStoreIngestionResponse {})
}
