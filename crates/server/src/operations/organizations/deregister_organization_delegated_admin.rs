use api::ApiError;
use api::cloudtrail::{
    DeregisterOrganizationDelegatedAdminRequest, DeregisterOrganizationDelegatedAdminResponse,
};

use super::{account_id, managed, refused};
use crate::operations::Cx;

/// The account is a member like others again. What it made for the organization stays, and is the
/// management account's.
pub async fn deregister_organization_delegated_admin(
    cx: Cx<'_>,
    input: DeregisterOrganizationDelegatedAdminRequest,
) -> Result<DeregisterOrganizationDelegatedAdminResponse, ApiError> {
    let organization = managed(cx)?;
    let account = account_id("DelegatedAdminAccountId", input.delegated_admin_account_id)?;
    let (accounts, catalog) = (&cx.node.accounts, &cx.node.catalog);
    accounts.undelegate(catalog, &organization, account).await.map_err(refused)?;
    Ok(DeregisterOrganizationDelegatedAdminResponse {})
}
