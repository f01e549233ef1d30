use api::ApiError;
use api::cloudtrail::{AddTagsRequest, AddTagsResponse};

use super::{TAGS_MAX, checked, taggable, too_many};
use crate::operations::{Cx, internal};

/// Adds tags; a key that is there gets the new value.
pub async fn add_tags(cx: Cx<'_>, input: AddTagsRequest) -> Result<AddTagsResponse, ApiError> {
    let tags = checked(&input.tags_list.unwrap_or_default())?;
    let arn = taggable(cx, &input.resource_id.unwrap_or_default()).await?;
    if !cx.node.catalog.add_tags(&arn, &tags, TAGS_MAX).await.map_err(internal)? {
        return Err(too_many(&arn));
    }
    Ok(AddTagsResponse {})
}
