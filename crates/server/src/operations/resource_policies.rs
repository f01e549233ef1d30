//! Policies of event data stores, channels and dashboards: what others may do with them.

mod delete_resource_policy;
mod get_resource_policy;
mod put_resource_policy;

use api::{ApiError, ErrorCode};
use event::arn::EventDataStoreArn;

pub use delete_resource_policy::delete_resource_policy;
pub use get_resource_policy::get_resource_policy;
pub use put_resource_policy::put_resource_policy;

use crate::authorization;
use crate::operations::{Cx, channels, dashboards, event_data_stores};

/// What kinds of resources have policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    EventDataStore,
    Channel,
    Dashboard,
}

/// The caller's resource of this Region with that ARN.
async fn find(cx: Cx<'_>, arn: &str) -> Result<Kind, ApiError> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", "aws", "cloudtrail", region, account, rest] = parts.as_slice() else {
        return Err(not_valid(arn));
    };
    let Some((kind, _)) = rest.split_once('/').filter(|(_, name)| !name.is_empty()) else {
        return Err(not_valid(arn));
    };
    let kind = match kind {
        "eventdatastore" => Kind::EventDataStore,
        "channel" => Kind::Channel,
        "dashboard" => Kind::Dashboard,
        other => {
            return Err(ApiError::new(
                ErrorCode::ResourceTypeNotSupportedException,
                format!(
                    "A {other} has no resource policy. Event data stores, channels and dashboards have one."
                ),
            ));
        }
    };
    // Another account's or Region's is as good as none.
    let is_here = *region == cx.region.as_str() && *account == cx.account();
    let is_there = match kind {
        _ if !is_here => false,
        Kind::EventDataStore => {
            EventDataStoreArn::parse(arn).map_err(|_| not_valid(arn))?;
            event_data_stores::find(cx, arn).await.is_ok()
        }
        Kind::Channel => channels::find(cx, arn).await.is_ok(),
        Kind::Dashboard => dashboards::existing_arn(cx, arn).await.is_ok(),
    };
    match is_there {
        true => Ok(kind),
        false => Err(ApiError::new(
            ErrorCode::ResourceNotFoundException,
            format!("Resource {arn} was not found."),
        )),
    }
}

/// AWS: DelegatedAdminResourcePolicy, of organization event data stores that have someone to name.
async fn delegated_policy(cx: Cx<'_>, arn: &str) -> Result<Option<String>, ApiError> {
    if !arn.contains(":eventdatastore/") {
        return Ok(None);
    }
    let store = event_data_stores::find(cx, arn).await?;
    Ok(authorization::delegated_policy(&cx.node.accounts, &store))
}

fn not_valid(arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceARNNotValidException,
        format!(
            "{arn:?} is not the ARN of a CloudTrail resource. Expected arn:aws:cloudtrail:<region>:<account>:<eventdatastore, channel or dashboard>/<name>."
        ),
    )
}

fn no_policy(arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourcePolicyNotFoundException,
        format!("Resource {arn} has no resource policy."),
    )
}
