use api::ApiError;
use catalog::EventDataStore;

use crate::operations::Cx;

/// Are events being imported into the store? This version has no imports, so none is running.
pub async fn is_running(_cx: Cx<'_>, _store: &EventDataStore) -> Result<bool, ApiError> {
    Ok(false)
}
