//! Organizations: accounts whose events a management account may take in.
//!
//! ```text
//!   organization o-… ─┬─ management account     owns organization trails and event data stores
//!                     ├─ members                are taken in from a journal entry on, until they leave
//!                     └─ up to three of them    delegated administrators, who may act for the first
//! ```
//! The operator declares them. An account is in one organization at most. All features are on and
//! CloudTrail is trusted, which AWS lets one turn off. As with accounts: the catalog first, then memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Catalog, CatalogError};
use event::AccountId;
use jiff::Timestamp;

use super::{Accounts, Inner};
use crate::chance::{self, Chance};

/// AWS: delegated administrators of CloudTrail in an organization (user guide, "Quotas").
pub const DELEGATED_MAX: usize = 3;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `o-…`
    pub id: String,
    /// `r-…`
    pub root_id: String,
    pub management: AccountId,
    pub created_ms: i64,
    /// The management account among them.
    pub members: BTreeMap<AccountId, Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    pub joined_ms: i64,
    /// Since when it is a delegated administrator.
    pub delegated_ms: Option<i64>,
}

/// What an account is to its organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Management,
    Delegated,
    Member,
}

/// Why an organization was not changed. Names are AWS's, of Organizations and CloudTrail.
#[derive(Debug, thiserror::Error)]
pub enum OrganizationError {
    #[error("Account {0} is not a member of an organization.")]
    NotInUse(AccountId),
    #[error("There is no account {0}.")]
    AccountNotFound(AccountId),
    #[error("Account {0} is in an organization already; remove it from there first.")]
    AlreadyInOrganization(AccountId),
    #[error("Account {0} is not a member of the organization.")]
    NotAMember(AccountId),
    #[error("Account {0} is the management account, which stays in its organization.")]
    IsManagement(AccountId),
    #[error("Account {0} is a delegated administrator of CloudTrail; deregister it first.")]
    IsDelegated(AccountId),
    #[error("Account {0} is a delegated administrator of CloudTrail already.")]
    AlreadyDelegated(AccountId),
    #[error("Account {0} is not a delegated administrator of CloudTrail.")]
    NotDelegated(AccountId),
    #[error(
        "The organization has {DELEGATED_MAX} delegated administrators of CloudTrail already; deregister one first."
    )]
    TooManyDelegated,
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
}

impl Organization {
    /// `arn:aws:organizations::<management>:organization/<id>`
    pub fn arn(&self) -> String {
        format!("arn:aws:organizations::{}:organization/{}", self.management, self.id)
    }

    /// `arn:aws:organizations::<management>:root/<id>/<root>`
    pub fn root_arn(&self) -> String {
        format!("arn:aws:organizations::{}:root/{}/{}", self.management, self.id, self.root_id)
    }

    /// `arn:aws:organizations::<management>:account/<id>/<account>`
    pub fn account_arn(&self, account: &AccountId) -> String {
        format!("arn:aws:organizations::{}:account/{}/{account}", self.management, self.id)
    }

    /// None for an account that is not in it.
    pub fn standing(&self, account: &AccountId) -> Option<Standing> {
        let member = self.members.get(account)?;
        Some(match member.delegated_ms {
            _ if *account == self.management => Standing::Management,
            Some(_) => Standing::Delegated,
            None => Standing::Member,
        })
    }

    /// The delegated administrators, by account.
    pub fn delegated(&self) -> impl Iterator<Item = (&AccountId, i64)> {
        self.members.iter().filter_map(|(id, member)| Some((id, member.delegated_ms?)))
    }
}

impl Inner {
    /// What the catalog knows; memberships that are over are for readers of the journal.
    pub(super) fn put_organizations(
        &mut self,
        organizations: Vec<catalog::Organization>,
        memberships: Vec<catalog::Membership>,
    ) {
        for row in organizations {
            let Ok(management) = AccountId::parse(&row.management) else { continue };
            let (id, root_id, created_ms) = (row.id, row.root_id, row.created_ms);
            let members = BTreeMap::new();
            let made = Organization { id, root_id, management, created_ms, members };
            self.organizations.insert(made.id.clone(), Arc::new(made));
        }
        for row in memberships.into_iter().filter(|row| row.until_seq.is_none()) {
            let Ok(account) = AccountId::parse(&row.account) else { continue };
            let member = Member { joined_ms: row.joined_ms, delegated_ms: row.delegated_ms };
            self.change_organization(&row.organization, |one| {
                one.members.insert(account, member);
            });
        }
    }

    fn change_organization(&mut self, id: &str, change: impl FnOnce(&mut Organization)) {
        if let Some(organization) = self.organizations.get_mut(id) {
            change(Arc::make_mut(organization));
        }
    }
}

impl Accounts {
    /// By their IDs.
    pub fn organizations(&self) -> Vec<Arc<Organization>> {
        self.read().organizations.values().cloned().collect()
    }

    /// The organization that the account is in.
    pub fn organization_of(&self, account: &AccountId) -> Option<Arc<Organization>> {
        let inner = self.read();
        inner.organizations.values().find(|one| one.members.contains_key(account)).cloned()
    }

    /// Makes an organization with its management account, whose entries are its own from `from_seq` on.
    pub async fn create_organization(
        &self,
        catalog: &Catalog,
        chance: &dyn Chance,
        management: AccountId,
        from_seq: u64,
        now: Timestamp,
    ) -> Result<Arc<Organization>, OrganizationError> {
        let _turn = self.changing.lock().await;
        if !self.has(&management) {
            return Err(OrganizationError::AccountNotFound(management));
        }
        // The API reference's patterns: o-[a-z0-9]{10,32} and r-[0-9a-z]{4,32}.
        let id = format!("o-{}", chance::base32(chance, 10).to_lowercase());
        let root_id = format!("r-{}", chance::base32(chance, 4).to_lowercase());
        let created_ms = now.as_millisecond();
        let row = catalog::Organization {
            id: id.clone(),
            root_id: root_id.clone(),
            management: management.to_string(),
            created_ms,
        };
        if !catalog.add_organization(&row, from_seq).await? {
            return Err(OrganizationError::AlreadyInOrganization(management));
        }
        let member = Member { joined_ms: created_ms, delegated_ms: None };
        let members = BTreeMap::from([(management, member)]);
        let made = Arc::new(Organization { id, root_id, management, created_ms, members });
        self.write().organizations.insert(made.id.clone(), made.clone());
        Ok(made)
    }

    /// The account is in the organization from journal entry `from_seq` on.
    pub async fn join_organization(
        &self,
        catalog: &Catalog,
        organization: &Organization,
        account: AccountId,
        from_seq: u64,
        now: Timestamp,
    ) -> Result<(), OrganizationError> {
        let _turn = self.changing.lock().await;
        if !self.has(&account) {
            return Err(OrganizationError::AccountNotFound(account));
        }
        let joined_ms = now.as_millisecond();
        let row = catalog::Membership {
            organization: organization.id.clone(),
            account: account.to_string(),
            from_seq,
            until_seq: None,
            joined_ms,
            delegated_ms: None,
        };
        if !catalog.add_membership(&row).await? {
            return Err(OrganizationError::AlreadyInOrganization(account));
        }
        self.write().change_organization(&organization.id, |one| {
            one.members.insert(account, Member { joined_ms, delegated_ms: None });
        });
        Ok(())
    }

    /// Entries of the account from `until_seq` on are none of the organization's.
    pub async fn leave_organization(
        &self,
        catalog: &Catalog,
        organization: &Organization,
        account: AccountId,
        until_seq: u64,
    ) -> Result<(), OrganizationError> {
        let _turn = self.changing.lock().await;
        let current = self.current(organization)?;
        match current.standing(&account) {
            None => return Err(OrganizationError::NotAMember(account)),
            Some(Standing::Management) => return Err(OrganizationError::IsManagement(account)),
            Some(Standing::Delegated) => return Err(OrganizationError::IsDelegated(account)),
            Some(Standing::Member) => {}
        }
        if !catalog.end_membership(&current.id, account.as_str(), until_seq).await? {
            return Err(OrganizationError::NotAMember(account));
        }
        self.write().change_organization(&current.id, |one| {
            one.members.remove(&account);
        });
        Ok(())
    }

    /// Makes a member a delegated administrator of CloudTrail.
    pub async fn delegate(
        &self,
        catalog: &Catalog,
        organization: &Organization,
        account: AccountId,
        now: Timestamp,
    ) -> Result<(), OrganizationError> {
        let _turn = self.changing.lock().await;
        let current = self.current(organization)?;
        match current.standing(&account) {
            None => return Err(OrganizationError::NotAMember(account)),
            Some(Standing::Management) => return Err(OrganizationError::IsManagement(account)),
            Some(Standing::Delegated) => return Err(OrganizationError::AlreadyDelegated(account)),
            Some(Standing::Member) => {}
        }
        if current.delegated().count() >= DELEGATED_MAX {
            return Err(OrganizationError::TooManyDelegated);
        }
        self.put_delegated(catalog, &current, account, Some(now.as_millisecond())).await
    }

    /// Makes a delegated administrator a member like others.
    pub async fn undelegate(
        &self,
        catalog: &Catalog,
        organization: &Organization,
        account: AccountId,
    ) -> Result<(), OrganizationError> {
        let _turn = self.changing.lock().await;
        let current = self.current(organization)?;
        match current.standing(&account) {
            None => return Err(OrganizationError::NotAMember(account)),
            Some(Standing::Delegated) => {}
            Some(Standing::Management | Standing::Member) => {
                return Err(OrganizationError::NotDelegated(account));
            }
        }
        self.put_delegated(catalog, &current, account, None).await
    }

    async fn put_delegated(
        &self,
        catalog: &Catalog,
        organization: &Organization,
        account: AccountId,
        since_ms: Option<i64>,
    ) -> Result<(), OrganizationError> {
        if !catalog.set_delegated(&organization.id, account.as_str(), since_ms).await? {
            return Err(OrganizationError::NotAMember(account));
        }
        self.write().change_organization(&organization.id, |one| {
            if let Some(member) = one.members.get_mut(&account) {
                member.delegated_ms = since_ms;
            }
        });
        Ok(())
    }

    /// The organization as it is now: the caller's may be older.
    fn current(&self, organization: &Organization) -> Result<Arc<Organization>, OrganizationError> {
        let found = self.read().organizations.get(&organization.id).cloned();
        found.ok_or(OrganizationError::NotInUse(organization.management))
    }
}
