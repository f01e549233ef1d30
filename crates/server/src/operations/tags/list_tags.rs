use api::cloudtrail::{ListTagsRequest, ListTagsResponse, ResourceTag};
use api::{ApiError, ErrorCode, Violation, sentence};

use super::{shown, taggable};
use crate::operations::{Cx, internal};

/// Tags of up to 20 resources, in the order asked for. One unknown resource fails the call.
pub async fn list_tags(cx: Cx<'_>, input: ListTagsRequest) -> Result<ListTagsResponse, ApiError> {
    let ids = input.resource_id_list.unwrap_or_default();
    if let Some(constraint) = outside(ids.len()) {
        let violation = Violation {
            member: "ResourceIdList",
            path: "resourceIdList".to_owned(),
            value: Some(format!("[{}]", ids.join(", "))),
            constraint: format!("Member must have length {constraint}"),
        };
        return Err(ApiError::new(ErrorCode::ValidationException, sentence(&[violation])));
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
        let tags_list = tags.into_iter().map(shown).collect();
        resource_tag_list.push(ResourceTag { resource_id: Some(id), tags_list: Some(tags_list) });
    }
    Ok(ListTagsResponse { resource_tag_list: Some(resource_tag_list), next_token: None })
}

/// AWS: 1 to 20 resources (API reference, ListTags). The model has no such bound, so the sentence of
/// those that it has is made here.
fn outside(count: usize) -> Option<&'static str> {
    match count {
        0 => Some("greater than or equal to 1"),
        1..=20 => None,
        _ => Some("less than or equal to 20"),
    }
}
