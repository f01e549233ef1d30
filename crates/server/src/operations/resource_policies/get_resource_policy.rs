use api::ApiError;
use api::cloudtrail::{GetResourcePolicyRequest, GetResourcePolicyResponse};

use super::{delegated_policy, find, no_policy};
use crate::operations::{Cx, internal};

/// The policy as it was put, and the one that CloudTrail made for delegated administrators.
pub async fn get_resource_policy(
    cx: Cx<'_>,
    input: GetResourcePolicyRequest,
) -> Result<GetResourcePolicyResponse, ApiError> {
    let arn = input.resource_arn.unwrap_or_default();
    find(cx, &arn).await?;
    let text = cx.node.catalog.resource_policy(&arn).await.map_err(internal)?;
    let generated = delegated_policy(cx, &arn).await?;
    if text.is_none() && generated.is_none() {
        return Err(no_policy(&arn));
    }
    Ok(GetResourcePolicyResponse {
        resource_policy: text,
        resource_arn: Some(arn),
        delegated_admin_resource_policy: generated,
    })
}
