//! Organizations: who of its accounts may act for the management account, and who may act at all.

mod deregister_organization_delegated_admin;
mod register_organization_delegated_admin;

use std::sync::Arc;

use api::{ApiError, ErrorCode};
use event::AccountId;

pub use deregister_organization_delegated_admin::deregister_organization_delegated_admin;
pub use register_organization_delegated_admin::register_organization_delegated_admin;

use crate::accounts::{Organization, OrganizationError, Standing};
use crate::operations::{Cx, internal};

/// The caller's organization, and what the caller's account is to it.
pub fn standing(cx: Cx<'_>) -> Option<(Arc<Organization>, Standing)> {
    let account = cx.caller.account();
    let organization = cx.node.accounts.organization_of(account)?;
    let standing = organization.standing(account)?;
    Some((organization, standing))
}

pub fn not_in_use(cx: Cx<'_>) -> ApiError {
    ApiError::new(
        ErrorCode::OrganizationsNotInUseException,
        format!("Your account {} is not a member of an organization.", cx.account()),
    )
}

/// For what only the management account and delegated administrators may do.
pub fn not_master(cx: Cx<'_>) -> ApiError {
    ApiError::new(
        ErrorCode::NotOrganizationMasterAccountException,
        format!(
            "Account {} is neither the management account of its organization nor a delegated administrator of CloudTrail.",
            cx.account()
        ),
    )
}

/// For what only the management account may do.
pub fn not_management(cx: Cx<'_>) -> ApiError {
    ApiError::new(
        ErrorCode::NotOrganizationMasterAccountException,
        format!(
            "Account {} is not the management account of its organization; only that one may do this.",
            cx.account()
        ),
    )
}

/// The organization for which the caller may make organization trails and event data stores, and
/// change them. AWS: the management account's, or one whose delegated administrator it is.
pub fn administered(cx: Cx<'_>) -> Result<Arc<Organization>, ApiError> {
    match standing(cx) {
        None => Err(not_in_use(cx)),
        Some((_, Standing::Member)) => Err(not_master(cx)),
        Some((organization, Standing::Management | Standing::Delegated)) => Ok(organization),
    }
}

/// The organization whose management account calls.
fn managed(cx: Cx<'_>) -> Result<Arc<Organization>, ApiError> {
    match standing(cx) {
        None => Err(not_in_use(cx)),
        Some((organization, Standing::Management)) => Ok(organization),
        Some(_) => Err(ApiError::new(
            ErrorCode::NotOrganizationManagementAccountException,
            format!("Account {} is not the management account of its organization.", cx.account()),
        )),
    }
}

/// The model admits sixteen digits; accounts have twelve.
fn account_id(member: &str, text: Option<String>) -> Result<AccountId, ApiError> {
    let text = text.unwrap_or_default();
    AccountId::parse(&text).map_err(|_| {
        ApiError::new(
            ErrorCode::InvalidParameterException,
            format!("{member} {text:?} is no account ID: it has twelve digits."),
        )
    })
}

/// What a refused change is to the caller. An account that is not there and one that is another
/// organization's are the same.
fn refused(error: OrganizationError) -> ApiError {
    let message = error.to_string();
    let code = match error {
        OrganizationError::NotInUse(_) => ErrorCode::OrganizationsNotInUseException,
        OrganizationError::AccountNotFound(_)
        | OrganizationError::NotAMember(_)
        | OrganizationError::AlreadyInOrganization(_) => ErrorCode::AccountNotFoundException,
        OrganizationError::IsManagement(_) => ErrorCode::CannotDelegateManagementAccountException,
        OrganizationError::IsDelegated(_) | OrganizationError::AlreadyDelegated(_) => {
            ErrorCode::AccountRegisteredException
        }
        OrganizationError::NotDelegated(_) => ErrorCode::AccountNotRegisteredException,
        OrganizationError::TooManyDelegated => {
            ErrorCode::DelegatedAdminAccountLimitExceededException
        }
        OrganizationError::Catalog(error) => return internal(error),
    };
    ApiError::new(code, message)
}
