use api::cloudtrail::{
    RegisterOrganizationDelegatedAdminRequest, RegisterOrganizationDelegatedAdminResponse,
};
use api::{ApiError, ErrorCode};

use super::{account_id, managed, refused};
use crate::operations::Cx;

/// Lets a member account act for the management account in CloudTrail. AWS: three at most.
pub async fn register_organization_delegated_admin(
    cx: Cx<'_>,
    input: RegisterOrganizationDelegatedAdminRequest,
) -> Result<RegisterOrganizationDelegatedAdminResponse, ApiError> {
    let organization = managed(cx)?;
    let account = account_id("MemberAccountId", input.member_account_id)?;
    if account == organization.management {
        return Err(ApiError::new(
            ErrorCode::CannotDelegateManagementAccountException,
            format!(
                "Account {account} is the management account, which cannot be a delegated administrator."
            ),
        ));
    }
    let (accounts, catalog) = (&cx.node.accounts, &cx.node.catalog);
    accounts.delegate(catalog, &organization, account, cx.now).await.map_err(refused)?;
    Ok(RegisterOrganizationDelegatedAdminResponse {})
}
