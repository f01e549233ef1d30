use api::ApiError;
use api::cloudtrail::{GetImportRequest, GetImportResponse};

use super::{find, source_shown, statistics, time};
use crate::operations::Cx;

pub async fn get_import(
    cx: Cx<'_>,
    input: GetImportRequest,
) -> Result<GetImportResponse, ApiError> {
    let import = find(cx, input.import_id).await?;
    Ok(GetImportResponse {
        import_source: Some(source_shown(&import)),
        import_statistics: Some(statistics(cx, &import).await?),
        import_id: Some(import.asked.id),
        destinations: Some(vec![import.asked.store_arn]),
        start_event_time: import.asked.start_ms.and_then(time),
        end_event_time: import.asked.end_ms.and_then(time),
        import_status: Some(import.status.name().to_owned()),
        created_timestamp: time(import.asked.created_ms),
        updated_timestamp: time(import.updated_ms),
    })
}
