use api::ApiError;
use api::ErrorCode;
use api::cloudtrail::{ListTagsRequest, ListTagsResponse, ResourceTag, Tag};

use super::taggable;
use crate::operations::{Cx, internal};

/// Tags of up to 20 resources, in the order asked for. One unknown resource fails the call.
pub async fn list_tags(cx: Cx<'_>, input: ListTagsRequest) -> Result<ListTagsResponse, ApiError> {
    let ids = input.resource_id_list.unwrap_or_default();
    if ids.is_empty() || ids.len() > 20 {
        return Err(ApiError::new(
            ErrorCode::ValidationException,
            format!("ResourceIdList takes 1 to 20 resources; this request names {}.", ids.len()),
        ));
    }
    if input.next_token.is_some() {
        // All tags fit into one page, so no token was ever handed out.
        return Err(ApiError::new(
            ErrorCode::InvalidTokenException,
            "The NextToken is not one that ListTags returned.",
        ));
    }
    let mut resource_tag_list = Vec::with_capacity(ids.len());
    for id in ids {
        let arn = taggable(cx, &id).await?;
        let tags = cx.node.catalog.tags(&arn).await.map_err(internal)?;
        let tags_list = tags
            .into_iter()
            .map(|tag| Tag { key: Some(tag.key), value: Some(tag.value) })
            .collect();
        resource_tag_list.push(ResourceTag { resource_id: Some(id), tags_list: Some(tags_list) });
    }
    Ok(ListTagsResponse { resource_tag_list: Some(resource_tag_list), next_token: None })
}
