use api::cloudtrail::{
    ImportFailureListItem, ListImportFailuresRequest, ListImportFailuresResponse,
};
use api::{ApiError, ErrorCode};

use super::{PAGE_MAX, invalid_parameter, time};
use crate::imports::source::Source;
use crate::operations::{Cx, internal, paging};

/// Files of an import that failed at least once, and what has become of them since.
pub async fn list_import_failures(
    cx: Cx<'_>,
    input: ListImportFailuresRequest,
) -> Result<ListImportFailuresResponse, ApiError> {
    // The model gives this operation no ImportNotFoundException.
    let id = input.import_id.unwrap_or_default();
    let import = cx.node.catalog.import(cx.account(), &id).await.map_err(internal)?;
    let import = import.ok_or_else(|| invalid_parameter(format!("Import {id} was not found.")))?;
    let listing = paging::listing(cx, "ListImportFailures", &id);
    let token = input.next_token.as_deref();
    let after = paging::place(&listing, token, ErrorCode::InvalidNextTokenException)?;
    let after = after.and_then(|after| i64::try_from(after).ok()).unwrap_or(0);
    let count = u32::try_from(input.max_results.unwrap_or(PAGE_MAX)).unwrap_or(1);
    let found = cx.node.catalog.import_failures(import.number, after, count + 1).await;
    let mut found = found.map_err(internal)?;
    let more = found.len() > count as usize;
    found.truncate(count as usize);
    let last = found.last().filter(|_| more).and_then(|last| u64::try_from(last.number).ok());
    let source = Source::parse(&import.asked.source.s3_location_uri, None, None);
    let bucket = source.map(|source| source.bucket).unwrap_or_default();
    let failures = found
        .into_iter()
        .map(|failure| ImportFailureListItem {
            // The source itself is listed by its URI.
            location: Some(match failure.key.starts_with("s3://") {
                true => failure.key,
                false => format!("s3://{bucket}/{}", failure.key),
            }),
            status: Some(failure.status.to_owned()),
            error_type: Some(failure.error_type),
            error_message: Some(failure.error),
            last_updated_time: time(failure.updated_ms),
        })
        .collect();
    Ok(ListImportFailuresResponse {
        failures: Some(failures),
        next_token: last.map(|last| paging::token(&listing, last)),
    })
}
