use api::cloudtrail::{ImportsListItem, ListImportsRequest, ListImportsResponse};
use api::{ApiError, ErrorCode};
use catalog::{ImportFilter, ImportStatus};
use event::arn::EventDataStoreArn;

use super::{PAGE_MAX, time};
use crate::operations::{Cx, internal, paging};

/// The account's imports, newest first.
pub async fn list_imports(
    cx: Cx<'_>,
    input: ListImportsRequest,
) -> Result<ListImportsResponse, ApiError> {
    if let Some(destination) = &input.destination {
        EventDataStoreArn::parse(destination).map_err(|e| {
            ApiError::new(ErrorCode::EventDataStoreARNInvalidException, e.to_string())
        })?;
    }
    let filters = [input.destination.as_deref(), input.import_status.as_deref()];
    let listing =
        paging::listing(cx, "ListImports", &filters.map(Option::unwrap_or_default).join(" "));
    let token = input.next_token.as_deref();
    let before = paging::place(&listing, token, ErrorCode::InvalidNextTokenException)?;
    let filter = ImportFilter {
        store_arn: input.destination,
        status: input.import_status.as_deref().and_then(ImportStatus::parse),
        before: before.and_then(|before| i64::try_from(before).ok()),
    };
    let count = u32::try_from(input.max_results.unwrap_or(PAGE_MAX)).unwrap_or(1);
    let found = cx.node.catalog.imports_of(cx.account(), &filter, count + 1).await;
    let mut found = found.map_err(internal)?;
    let more = found.len() > count as usize;
    found.truncate(count as usize);
    let last = found.last().filter(|_| more).and_then(|last| u64::try_from(last.number).ok());
    let imports = found
        .into_iter()
        .map(|import| ImportsListItem {
            import_id: Some(import.asked.id),
            import_status: Some(import.status.name().to_owned()),
            destinations: Some(vec![import.asked.store_arn]),
            created_timestamp: time(import.asked.created_ms),
            updated_timestamp: time(import.updated_ms),
        })
        .collect();
    Ok(ListImportsResponse {
        imports: Some(imports),
        next_token: last.map(|last| paging::token(&listing, last)),
    })
}
