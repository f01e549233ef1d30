use api::ApiError;
use catalog::EventDataStore;

use crate::operations::{Cx, internal};

/// Are events being imported into the store, from a bucket or by a client?
pub async fn is_running(cx: Cx<'_>, store: &EventDataStore) -> Result<bool, ApiError> {
    let from_bucket = cx.node.catalog.has_ongoing_import(&store.arn).await.map_err(internal)?;
    Ok(from_bucket || cx.node.imports.open.is_into(&store.arn))
}
