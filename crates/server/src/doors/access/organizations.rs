//! What the operator says of organizations. Actions have AWS Organizations' names; nobody is asked to
//! accept an invitation, the account is in at once.

use event::AccountId;
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Refused, time};
use crate::accounts::{Organization, OrganizationError};
use crate::node::Node;

/// An organization with `management` as its management account.
pub async fn create(node: &Node, management: AccountId, now: Timestamp) -> Result<Value, Refused> {
    let (accounts, chance) = (&node.accounts, node.chance.as_ref());
    let from_seq = node.journal.next_seq();
    let made = accounts.create_organization(&node.catalog, chance, management, from_seq, now).await;
    changed(node);
    let made = made.map_err(refused)?;
    let mut answer = shown(&made);
    // Whom it is about: its own history says so too.
    answer["account"] = json!(management.to_string());
    Ok(answer)
}

/// The account is in the organization from now on, with all that it does.
pub async fn add(
    node: &Node,
    organization: Option<&str>,
    account: AccountId,
    now: Timestamp,
) -> Result<Value, Refused> {
    let all = node.accounts.organizations();
    let organization = match organization {
        Some(id) => all.iter().find(|one| one.id == id).ok_or_else(|| {
            let message = format!("There is no organization {id}.");
            (StatusCode::NOT_FOUND, "AWSOrganizationsNotInUseException", message)
        })?,
        None => match all.as_slice() {
            [one] => one,
            [] => {
                let message = "There is no organization yet; create one first.".to_owned();
                return Err((StatusCode::NOT_FOUND, "AWSOrganizationsNotInUseException", message));
            }
            _ => {
                let message =
                    "There are several organizations; say which with organization.".to_owned();
                return Err((StatusCode::BAD_REQUEST, "ValidationError", message));
            }
        },
    };
    let from_seq = node.journal.next_seq();
    let added =
        node.accounts.join_organization(&node.catalog, organization, account, from_seq, now).await;
    changed(node);
    added.map_err(refused)?;
    Ok(json!({ "organization": organization.id, "account": account.to_string() }))
}

/// What the account does from now on is its own again.
pub async fn remove(node: &Node, account: AccountId) -> Result<Value, Refused> {
    let organization = node.accounts.organization_of(&account);
    let organization = organization.ok_or_else(|| refused(OrganizationError::NotInUse(account)))?;
    let until_seq = node.journal.next_seq();
    let removed =
        node.accounts.leave_organization(&node.catalog, &organization, account, until_seq).await;
    changed(node);
    removed.map_err(refused)?;
    Ok(json!({ "organization": organization.id, "account": account.to_string() }))
}

/// All of them, or the one that is named.
pub fn describe(node: &Node, organization: Option<&str>) -> Value {
    let all = node.accounts.organizations();
    let named = all.iter().filter(|one| organization.is_none_or(|id| one.id == id));
    json!({ "organizations": named.map(|one| shown(one)).collect::<Vec<_>>() })
}

/// Members come and go: who follows the journal looks again.
fn changed(node: &Node) {
    node.trails_changed();
    node.stores_changed();
}

fn shown(organization: &Organization) -> Value {
    let members = organization.members.iter().map(|(id, member)| {
        json!({
            "account": id.to_string(),
            "arn": organization.account_arn(id),
            "joined": time(member.joined_ms),
            "delegatedAdministratorSince": member.delegated_ms.map(time),
        })
    });
    json!({
        "organization": organization.id,
        "arn": organization.arn(),
        "rootArn": organization.root_arn(),
        "managementAccount": organization.management.to_string(),
        "created": time(organization.created_ms),
        "members": members.collect::<Vec<_>>(),
    })
}

fn refused(error: OrganizationError) -> Refused {
    let message = error.to_string();
    match error {
        OrganizationError::NotInUse(_) => {
            (StatusCode::NOT_FOUND, "AWSOrganizationsNotInUseException", message)
        }
        OrganizationError::AccountNotFound(_) | OrganizationError::NotAMember(_) => {
            (StatusCode::NOT_FOUND, "AccountNotFoundException", message)
        }
        OrganizationError::AlreadyInOrganization(_) => {
            (StatusCode::CONFLICT, "AlreadyInOrganizationException", message)
        }
        OrganizationError::IsManagement(_) => {
            (StatusCode::CONFLICT, "MasterCannotLeaveOrganizationException", message)
        }
        OrganizationError::IsDelegated(_)
        | OrganizationError::AlreadyDelegated(_)
        | OrganizationError::NotDelegated(_)
        | OrganizationError::TooManyDelegated => {
            (StatusCode::CONFLICT, "ConstraintViolationException", message)
        }
        OrganizationError::Catalog(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
            let message = "The request failed because of an internal error.".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure", message)
        }
    }
}
