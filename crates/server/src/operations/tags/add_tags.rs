use api::cloudtrail::{AddTagsRequest, AddTagsResponse};
use api::{ApiError, ErrorCode};

use super::{TAGS_MAX, changeable, checked, too_many};
use crate::operations::{Cx, internal};

/// Adds tags; a key that is there gets the new value. API reference: a trail that applies to all Regions
/// is tagged in its home Region only; of the errors that AddTags has this one fits, AWS's own was not seen.
pub async fn add_tags(cx: Cx<'_>, input: AddTagsRequest) -> Result<AddTagsResponse, ApiError> {
    let tags = checked(&input.tags_list.unwrap_or_default())?;
    let arn = changeable(cx, &input.resource_id.unwrap_or_default()).await?;
    let home = arn.split(':').nth(3).unwrap_or_default();
    if home != cx.region.as_str() {
        return Err(ApiError::new(
            ErrorCode::OperationNotPermittedException,
            format!("{arn} cannot be tagged from Region {}; its home Region is {home}.", cx.region),
        ));
    }
    if !cx.node.catalog.add_tags(&arn, &tags, TAGS_MAX).await.map_err(internal)? {
        return Err(too_many(&arn));
    }
    Ok(AddTagsResponse {})
}
