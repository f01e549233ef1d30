use api::ApiError;
use api::cloudtrail::{StopImportRequest, StopImportResponse};

use super::{find, invalid_parameter, source_shown, statistics, time};
use crate::operations::{Cx, internal};

/// STOPPED when this answers. What has been read may still be committed; no further file is read.
pub async fn stop_import(
    cx: Cx<'_>,
    input: StopImportRequest,
) -> Result<StopImportResponse, ApiError> {
    let import = find(cx, input.import_id).await?;
    let stopped = cx.node.catalog.stop_import(import.number, cx.now.as_millisecond()).await;
    if !stopped.map_err(internal)? {
        return Err(invalid_parameter(format!(
            "Import {} has ended with status {} and cannot be stopped.",
            import.asked.id,
            import.status.name()
        )));
    }
    cx.node.imports.stop(import.number);
    let import = find(cx, Some(import.asked.id)).await?;
    Ok(StopImportResponse {
        import_source: Some(source_shown(&import)),
        import_statistics: Some(statistics(cx, &import).await?),
        import_id: Some(import.asked.id),
        destinations: Some(vec![import.asked.store_arn]),
        import_status: Some(import.status.name().to_owned()),
        created_timestamp: time(import.asked.created_ms),
        updated_timestamp: time(import.updated_ms),
        start_event_time: import.asked.start_ms.and_then(time),
        end_event_time: import.asked.end_ms.and_then(time),
    })
}
