use api::cloudtrail::{EnableFederationRequest, EnableFederationResponse};
use api::{ApiError, ErrorCode};
use catalog::Federation;
use event::AccountId;

use super::status;
use crate::operations::Cx;
use crate::operations::event_data_stores::{active, change, refuse_inactive};

/// Asks for the store's table to be listed for other engines. The role is kept and shown, as AWS
/// does: who may read the table is decided where it lies (see docs/federation.md).
pub async fn enable_federation(
    cx: Cx<'_>,
    input: EnableFederationRequest,
) -> Result<EnableFederationResponse, ApiError> {
    let role_arn = input.federation_role_arn.unwrap_or_default();
    check_role(&role_arn, cx.account())?;
    let store = active(cx, &input.event_data_store.unwrap_or_default()).await?;
    let store = change(cx, &store.arn, |store, _| {
        refuse_inactive(store)?;
        store.state.federation = match store.state.federation {
            Federation::Disabled => Federation::Enabling { role_arn },
            Federation::Enabling { .. } | Federation::Enabled { .. } => {
                return Err(ApiError::new(
                    ErrorCode::EventDataStoreFederationEnabledException,
                    format!(
                        "Federation is already enabled on event data store {}; disable it first to change the role.",
                        store.arn
                    ),
                ));
            }
            Federation::Disabling => {
                return Err(ApiError::new(
                    ErrorCode::ConcurrentModificationException,
                    format!("Federation of event data store {} is being disabled; try again soon.", store.arn),
                ));
            }
        };
        Ok(())
    })
    .await?;
    Ok(EnableFederationResponse {
        federation_status: Some(status(&store.state.federation).to_owned()),
        federation_role_arn: store.state.federation.role_arn().map(str::to_owned),
        event_data_store_arn: Some(store.arn),
    })
}

/// `arn:aws:iam::111122223333:role/path/name`. API reference: the role exists in the caller's account.
fn check_role(arn: &str, account: &str) -> Result<(), ApiError> {
    let invalid = |why: &str| {
        Err(ApiError::new(
            ErrorCode::InvalidParameterException,
            format!(
                "FederationRoleArn {arn} is not valid: {why}. Expected arn:aws:iam::{account}:role/<name>."
            ),
        ))
    };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", owner, role] = parts[..] else {
        return invalid("it is not the ARN of an IAM role");
    };
    let Some(path) = role.strip_prefix("role/") else {
        return invalid("it is not the ARN of an IAM role");
    };
    let is_partition = partition == "aws" || partition.starts_with("aws-");
    if !is_partition || AccountId::parse(owner).is_err() {
        return invalid("its partition or account is not one");
    }
    // IAM: names have up to 64 letters, digits and +=,.@_-, with a path of names before.
    let name = path.rsplit('/').next().unwrap_or_default();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b);
    if name.is_empty()
        || name.len() > 64
        || !path.bytes().all(fits)
        || path.starts_with('/')
        || path.contains("//")
    {
        return invalid("its role name is not one");
    }
    if owner != account {
        return invalid("the role must be of your own account");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_role;

    #[test]
    fn roles_are_roles_of_the_account() {
        let account = "111122223333";
        for good in ["role/lake", "role/team/audit/lake+=,.@_-1"] {
            assert!(
                check_role(&format!("arn:aws:iam::{account}:{good}"), account).is_ok(),
                "{good}"
            );
        }
        for wrong in [
            "lake",
            "arn:aws:iam::111122223333:user/lake",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role//lake",
            "arn:aws:iam::111122223333:role/la ke",
            "arn:aws:iam:us-east-1:111122223333:role/lake",
            "arn:aws:sts::111122223333:role/lake",
            "arn:aws:iam::11112222333:role/lake",
            "arn:aws:iam::444455556666:role/lake",
            "arn:gcp:iam::111122223333:role/lake",
        ] {
            assert!(check_role(wrong, account).is_err(), "{wrong}");
        }
    }
}
