//! Imports of log files from buckets into event data stores.

mod get_import;
mod list_import_failures;
mod list_imports;
mod start_import;
mod stop_import;

use api::cloudtrail::{ImportSource, ImportStatistics, S3ImportSource};
use api::{ApiError, ErrorCode};
use catalog::{EventDataStore, Import};
use event::selectors::StoreClass;

pub use get_import::get_import;
pub use list_import_failures::list_import_failures;
pub use list_imports::list_imports;
pub use start_import::start_import;
pub use stop_import::stop_import;

use crate::operations::{Cx, event_data_stores, internal};

/// AWS: items on a page, at most and by default.
const PAGE_MAX: i32 = 100;

fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameterException, message)
}

/// The caller's event data store, if log files can be imported into it. One that takes no live
/// events can.
pub async fn importable(cx: Cx<'_>, store: &str) -> Result<EventDataStore, ApiError> {
    let store = event_data_stores::active(cx, store).await?;
    match store.state.class {
        StoreClass::Events => Ok(store),
        _ => Err(ApiError::new(
            ErrorCode::InvalidEventDataStoreCategoryException,
            format!(
                "Log files cannot be imported into event data store {}: its eventCategory must be Management, Data or NetworkActivity.",
                store.arn
            ),
        )),
    }
}

/// The caller's import of that ID.
async fn find(cx: Cx<'_>, id: Option<String>) -> Result<Import, ApiError> {
    let id = id.unwrap_or_default();
    let found = cx.node.catalog.import(cx.account(), &id).await.map_err(internal)?;
    found.ok_or_else(|| {
        ApiError::new(ErrorCode::ImportNotFoundException, format!("Import {id} was not found."))
    })
}

fn source_shown(import: &Import) -> ImportSource {
    let source = &import.asked.source;
    ImportSource {
        s3: Some(S3ImportSource {
            s3_location_uri: Some(source.s3_location_uri.clone()),
            s3_bucket_region: Some(source.s3_bucket_region.clone()),
            s3_bucket_access_role_arn: Some(source.s3_bucket_access_role_arn.clone()),
        }),
    }
}

async fn statistics(cx: Cx<'_>, import: &Import) -> Result<ImportStatistics, ApiError> {
    let found = cx.node.catalog.import_statistics(import).await.map_err(internal)?;
    let number = |count: u64| Some(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(ImportStatistics {
        prefixes_found: number(found.prefixes_found),
        prefixes_completed: number(found.prefixes_completed),
        files_completed: number(found.files_completed),
        events_completed: number(found.events_completed),
        failed_entries: number(found.failed_entries),
    })
}

fn time(ms: i64) -> Option<api::Timestamp> {
    api::Timestamp::from_millis(ms).ok()
}
