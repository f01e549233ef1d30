use api::cloudtrail::{PutResourcePolicyRequest, PutResourcePolicyResponse};
use api::{ApiError, ErrorCode};

use super::{Kind, delegated_policy, find};
use crate::access::policy::{Bounds, Policy, PolicyKind};
use crate::operations::{Cx, internal};

/// User guide, "CloudTrail resource-based policy examples".
const STORE_ACTIONS: [&str; 8] = [
    "cloudtrail:StartQuery",
    "cloudtrail:CancelQuery",
    "cloudtrail:ListQueries",
    "cloudtrail:DescribeQuery",
    "cloudtrail:GetQueryResults",
    "cloudtrail:GenerateQuery",
    "cloudtrail:GenerateQueryResultsSummary",
    "cloudtrail:GetEventDataStore",
];

/// Replaces the policy of an event data store, channel or dashboard.
pub async fn put_resource_policy(
    cx: Cx<'_>,
    input: PutResourcePolicyRequest,
) -> Result<PutResourcePolicyResponse, ApiError> {
    let arn = input.resource_arn.unwrap_or_default();
    let text = input.resource_policy.unwrap_or_default();
    let kind = find(cx, &arn).await?;
    let (actions, service_actions): (&[&str], &[&str]) = match kind {
        Kind::EventDataStore => (&STORE_ACTIONS, &["cloudtrail:StartQuery"]),
        Kind::Channel => (&["cloudtrail-data:PutAuditEvents"], &[]),
        Kind::Dashboard => (&[], &["cloudtrail:StartDashboardRefresh"]),
    };
    let bounds =
        Bounds { actions, service_actions, resource: &arn, statements_max: 20, principals_max: 50 };
    Policy::parse(&text, PolicyKind::Resource)
        .and_then(|policy| policy.check_within(&bounds))
        .map_err(|why| {
            ApiError::new(
                ErrorCode::ResourcePolicyNotValidException,
                format!("The resource policy of {arn} is not valid. {why}"),
            )
        })?;
    cx.node.catalog.put_resource_policy(&arn, &text).await.map_err(internal)?;
    Ok(PutResourcePolicyResponse {
        delegated_admin_resource_policy: delegated_policy(cx, &arn).await?,
        resource_arn: Some(arn),
        resource_policy: Some(text),
    })
}
