use api::ApiError;
use api::cloudtrail::{RemoveTagsRequest, RemoveTagsResponse};

use super::taggable;
use crate::operations::{Cx, internal};

/// Removes tags by key. Tags that are not there are passed over.
pub async fn remove_tags(
    cx: Cx<'_>,
    input: RemoveTagsRequest,
) -> Result<RemoveTagsResponse, ApiError> {
    let arn = taggable(cx, &input.resource_id.unwrap_or_default()).await?;
    let tags: Vec<(String, Option<String>)> = input
        .tags_list
        .unwrap_or_default()
        .into_iter()
        .map(|tag| (tag.key.unwrap_or_default(), tag.value))
        .collect();
    cx.node.catalog.remove_tags(&arn, &tags).await.map_err(internal)?;
    Ok(RemoveTagsResponse {})
}
