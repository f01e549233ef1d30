//! Changes of accounts, users, roles, policies and keys: the catalog first, then memory.
//!
//! Names and limits are AWS's (IAM user guide, "IAM and AWS STS quotas").

use catalog::{AccessKey, Catalog, CatalogError, Principal, PrincipalKind, PrincipalPolicy};
use event::AccountId;
use jiff::Timestamp;

use super::seal::Purpose;
use super::sessions::{self, Issued, Session};
use super::{Account, Accounts, SERVICE_ROLE_PATH, readable_trust};
use crate::access::Secret;
use crate::access::policy::{Policy, PolicyKind};
use crate::chance::{self, Chance};

const NAME_CHARS_MAX: usize = 64;
const PATH_CHARS_MAX: usize = 512;
const KEYS_PER_USER_MAX: usize = 2;
pub const ADMINISTRATOR: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;

/// Why something was not changed. Codes are IAM's.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("{0}")]
    NoSuchEntity(String),
    #[error("{0}")]
    EntityAlreadyExists(String),
    #[error("{0}")]
    ValidationError(String),
    #[error("{0}")]
    MalformedPolicyDocument(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    UnmodifiableEntity(String),
    #[error("the catalog failed")]
    Catalog(#[from] CatalogError),
}

/// A key that was just made: the only time that its secret is shown.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub id: String,
    pub secret: Secret,
}

impl Accounts {
    pub async fn create_account(
        &self,
        catalog: &Catalog,
        id: AccountId,
        name: &str,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        if name.trim().is_empty() || name.chars().count() > 50 {
            let message = "An account's name has 1 to 50 characters.".to_owned();
            return Err(AccessError::ValidationError(message));
        }
        let created_ms = now.as_millisecond();
        let row = catalog::Account { id: id.to_string(), name: name.to_owned(), created_ms };
        if !catalog.add_account(&row).await? {
            return Err(AccessError::EntityAlreadyExists(format!("Account {id} exists already.")));
        }
        let account = Account { name: row.name, created_ms, principals: Default::default() };
        self.write().accounts.insert(id, account);
        Ok(())
    }

    /// Makes a user, or a role when there is a trust policy.
    #[expect(clippy::too_many_arguments, reason = "each is one fact of the principal")]
    pub async fn create_principal(
        &self,
        catalog: &Catalog,
        chance: &dyn Chance,
        account: AccountId,
        name: &str,
        path: &str,
        trust: Option<&str>,
        now: Timestamp,
    ) -> Result<String, AccessError> {
        let _turn = self.changing.lock().await;
        check_name(name)?;
        check_path(path)?;
        self.check_account(&account)?;
        if let Some(trust) = trust {
            check_policy(trust, PolicyKind::Trust)?;
        }
        let (kind, letters) = match trust {
            None => (PrincipalKind::User, "AIDA"),
            Some(_) => (PrincipalKind::Role, "AROA"),
        };
        let principal = Principal {
            account: account.to_string(),
            kind,
            name: name.to_owned(),
            path: path.to_owned(),
            principal_id: format!("{letters}{}", chance::base32(chance, 17)),
            trust: trust.map(str::to_owned),
            created_ms: now.as_millisecond(),
        };
        if !catalog.add_principal(&principal).await? {
            return Err(AccessError::EntityAlreadyExists(format!(
                "{} with name {name} already exists.",
                noun(kind)
            )));
        }
        let id = principal.principal_id.clone();
        self.write().put_principal(principal);
        Ok(id)
    }

    /// A user whose ID is known already.
    pub(crate) async fn declare_user(
        &self,
        catalog: &Catalog,
        account: AccountId,
        name: &str,
        principal_id: &str,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let principal = Principal {
            account: account.to_string(),
            kind: PrincipalKind::User,
            name: name.to_owned(),
            path: "/".to_owned(),
            principal_id: principal_id.to_owned(),
            trust: None,
            created_ms: now.as_millisecond(),
        };
        catalog.add_principal(&principal).await?;
        self.write().put_principal(principal);
        Ok(())
    }

    /// With its policies and keys.
    pub async fn delete_principal(
        &self,
        catalog: &Catalog,
        account: AccountId,
        kind: PrincipalKind,
        name: &str,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        if !catalog.remove_principal(account.as_str(), kind, name).await? {
            return Err(no_such(kind, name));
        }
        let mut inner = self.write();
        if let Some(found) = inner.accounts.get_mut(&account) {
            found.principals.remove(&(kind, name.to_owned()));
        }
        if kind == PrincipalKind::User {
            inner.keys.retain(|_, key| key.account != account || key.row.user != name);
        }
        Ok(())
    }

    pub async fn put_policy(
        &self,
        catalog: &Catalog,
        account: AccountId,
        kind: PrincipalKind,
        principal: &str,
        name: &str,
        document: &str,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        check_policy_name(name)?;
        check_policy(document, PolicyKind::Identity)?;
        self.principal(&account, kind, principal).ok_or_else(|| no_such(kind, principal))?;
        let policy = PrincipalPolicy {
            account: account.to_string(),
            kind,
            principal: principal.to_owned(),
            name: name.to_owned(),
            document: document.to_owned(),
        };
        catalog.put_principal_policy(&policy).await?;
        self.write().change(&account, kind, principal, |actor| {
            actor.put_policy(policy.name, policy.document);
        });
        Ok(())
    }

    pub async fn delete_policy(
        &self,
        catalog: &Catalog,
        account: AccountId,
        kind: PrincipalKind,
        principal: &str,
        name: &str,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        if !catalog.remove_principal_policy(account.as_str(), kind, principal, name).await? {
            let message = format!("The policy {name} of {principal} cannot be found.");
            return Err(AccessError::NoSuchEntity(message));
        }
        self.write().change(&account, kind, principal, |actor| {
            actor.policies.remove(name);
        });
        Ok(())
    }

    pub async fn put_trust(
        &self,
        catalog: &Catalog,
        account: AccountId,
        role: &str,
        trust: &str,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        check_policy(trust, PolicyKind::Trust)?;
        if !catalog.put_trust(account.as_str(), role, trust).await? {
            return Err(no_such(PrincipalKind::Role, role));
        }
        self.write().change(&account, PrincipalKind::Role, role, |actor| {
            actor.principal.trust = Some(trust.to_owned());
            actor.trust = readable_trust(trust);
        });
        Ok(())
    }

    pub async fn create_key(
        &self,
        catalog: &Catalog,
        chance: &dyn Chance,
        account: AccountId,
        user: &str,
        now: Timestamp,
    ) -> Result<NewKey, AccessError> {
        let _turn = self.changing.lock().await;
        self.principal(&account, PrincipalKind::User, user)
            .ok_or_else(|| no_such(PrincipalKind::User, user))?;
        if self.keys(&account, Some(user)).len() >= KEYS_PER_USER_MAX {
            return Err(AccessError::LimitExceeded(format!(
                "User {user} has {KEYS_PER_USER_MAX} access keys already; delete one first."
            )));
        }
        let key = NewKey {
            id: format!("AKIA{}", chance::base32(chance, 16)),
            secret: new_secret(chance),
        };
        self.keep_key(catalog, chance, account, user, &key, now).await?;
        Ok(key)
    }

    /// Seals and keeps a key.
    pub(crate) async fn keep_key(
        &self,
        catalog: &Catalog,
        chance: &dyn Chance,
        account: AccountId,
        user: &str,
        key: &NewKey,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let text = key.secret.reveal().as_bytes();
        let row = AccessKey {
            id: key.id.clone(),
            account: account.to_string(),
            user: user.to_owned(),
            sealed: self.secret.seal(Purpose::AccessKey, &key.id, text, chance),
            active: true,
            created_ms: now.as_millisecond(),
            last_used: None,
        };
        catalog.put_access_key(&row).await?;
        self.write().put_key(&self.secret, row);
        Ok(())
    }

    pub async fn set_key_active(
        &self,
        catalog: &Catalog,
        account: AccountId,
        id: &str,
        active: bool,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        if !catalog.set_access_key_active(account.as_str(), id, active).await? {
            return Err(no_such_key(id));
        }
        if let Some(key) = self.write().keys.get_mut(id) {
            key.row.active = active;
        }
        Ok(())
    }

    pub async fn delete_key(
        &self,
        catalog: &Catalog,
        account: AccountId,
        id: &str,
        first_key: &str,
    ) -> Result<(), AccessError> {
        let _turn = self.changing.lock().await;
        if id == first_key {
            return Err(AccessError::UnmodifiableEntity(format!(
                "{id} is the key in the node's credentials file, which every start would bring back; deactivate it instead."
            )));
        }
        if !catalog.remove_access_key(account.as_str(), id).await? {
            return Err(no_such_key(id));
        }
        self.write().keys.remove(id);
        Ok(())
    }

    /// Temporary credentials for a session, whoever may have them.
    pub fn issue_session(&self, session: &Session, chance: &dyn Chance) -> Issued {
        sessions::issue(&self.secret, session, chance)
    }

    fn check_account(&self, account: &AccountId) -> Result<(), AccessError> {
        match self.has(account) {
            true => Ok(()),
            false => Err(AccessError::NoSuchEntity(format!("There is no account {account}."))),
        }
    }
}

/// A secret access key as AWS's look.
pub fn new_secret(chance: &dyn Chance) -> Secret {
    use base64::Engine as _;
    let mut bytes = zeroize::Zeroizing::new([0; 30]);
    chance.fill(&mut *bytes);
    Secret::new(base64::engine::general_purpose::STANDARD.encode(*bytes))
}

fn noun(kind: PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "User",
        PrincipalKind::Role => "Role",
    }
}

fn no_such(kind: PrincipalKind, name: &str) -> AccessError {
    AccessError::NoSuchEntity(format!(
        "The {} with name {name} cannot be found.",
        noun(kind).to_lowercase()
    ))
}

fn no_such_key(id: &str) -> AccessError {
    AccessError::NoSuchEntity(format!("The Access Key with id {id} cannot be found."))
}

fn check_name(name: &str) -> Result<(), AccessError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(fits) {
        return Err(AccessError::ValidationError(format!(
            "{name:?} is no name: 1 to {NAME_CHARS_MAX} letters, digits and _+=,.@- make one."
        )));
    }
    Ok(())
}

fn check_policy_name(name: &str) -> Result<(), AccessError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
        return Err(AccessError::ValidationError(format!(
            "{name:?} is no name of a policy: 1 to 128 letters, digits and _+=,.@- make one."
        )));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), AccessError> {
    let fits = |c: char| ('!'..='~').contains(&c);
    let is_path = path.starts_with('/') && path.ends_with('/') && path.chars().all(fits);
    if !is_path || path.len() > PATH_CHARS_MAX {
        return Err(AccessError::ValidationError(format!(
            "{path:?} is no path: it begins and ends with a slash."
        )));
    }
    if path.starts_with(SERVICE_ROLE_PATH) {
        return Err(AccessError::ValidationError(format!("{SERVICE_ROLE_PATH} is reserved.")));
    }
    Ok(())
}

fn check_policy(text: &str, kind: PolicyKind) -> Result<(), AccessError> {
    Policy::parse(text, kind)
        .map(drop)
        .map_err(|error| AccessError::MalformedPolicyDocument(error.to_string()))
}
