use api::ApiError;
use api::cloudtrail::{DeleteResourcePolicyRequest, DeleteResourcePolicyResponse};

use super::{find, no_policy};
use crate::operations::{Cx, internal};

/// From now on only the resource's own account may use it.
pub async fn delete_resource_policy(
    cx: Cx<'_>,
    input: DeleteResourcePolicyRequest,
) -> Result<DeleteResourcePolicyResponse, ApiError> {
    let arn = input.resource_arn.unwrap_or_default();
    find(cx, &arn).await?;
    match cx.node.catalog.remove_resource_policy(&arn).await.map_err(internal)? {
        true => Ok(DeleteResourcePolicyResponse {}),
        false => Err(no_policy(&arn)),
    }
}
