use api::ApiError;
use api::cloudtrail::{RemoveTagsRequest, RemoveTagsResponse};

use super::{changeable, checked_for_removal};
use crate::operations::{Cx, internal};

/// Removes tags by key. Tags that are not there are passed over.
pub async fn remove_tags(
    cx: Cx<'_>,
    input: RemoveTagsRequest,
) -> Result<RemoveTagsResponse, ApiError> {
    let tags = checked_for_removal(input.tags_list.unwrap_or_default())?;
    let arn = changeable(cx, &input.resource_id.unwrap_or_default()).await?;
    cx.node.catalog.remove_tags(&arn, &tags).await.map_err(internal)?;
    Ok(RemoveTagsResponse {})
}
