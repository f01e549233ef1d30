//! Who there is: accounts, their users and roles, and the keys they sign with.
//!
//! ```text
//!   account 111111111111 ─┬─ user admin ─┬─ policies (JSON)     may do what one of them allows
//!                         │              └─ access keys         AKIA…, sealed in the catalog
//!                         └─ role audit ─┬─ policies
//!                                        └─ trust policy        who may assume it: ASIA… and a token
//! ```
//! Beside them, in `organizations`: which accounts belong together.
//!
//! All of it is in memory, so that a request waits for no disk; a change goes to the catalog first.
//! The first account is the operator's: its administrators may administer the others too.

mod changes;
mod organizations;
mod seal;
pub mod sessions;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

use catalog::{AccessKey, LastUse, Principal, PrincipalKind};
use event::AccountId;
use jiff::Timestamp;

use crate::access::policy::{Policy, PolicyKind};
use crate::access::token::{IssuedToken, TokenRing};
use crate::access::{Caller, Identity, Key, KeyRing, Secret, SessionToken};
use crate::chance::{self, Chance};

pub use changes::{ADMINISTRATOR, AccessError, NewKey, new_secret};
pub use organizations::{DELEGATED_MAX, Member, Organization, OrganizationError, Standing};
use seal::Purpose;
pub use seal::{NodeSecret, SecretError};
use sessions::Session;

/// The principal that delivers, as in AWS.
pub const DELIVERY_PRINCIPAL: &str = "cloudtrail.amazonaws.com";
/// Under which paths roles are the node's own. Nobody can make or change one there.
pub const SERVICE_ROLE_PATH: &str = "/aws-service-role/";
/// What CloudTrail acts as in an account when it does what the account asked for.
const SERVICE_ROLE: &str = "AWSServiceRoleForCloudTrail";

/// Every account, principal and key of this node.
#[derive(Debug)]
pub struct Accounts {
    secret: NodeSecret,
    /// The account of the node's first key.
    operator: AccountId,
    inner: RwLock<Inner>,
    tokens: HashMap<[u8; 32], IssuedToken>,
    uses: Mutex<HashMap<String, LastUse>>,
    /// Held by a change, from its look at what is there until memory has it.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    accounts: BTreeMap<AccountId, Account>,
    keys: HashMap<String, HeldKey>,
    /// By their IDs.
    organizations: BTreeMap<String, Arc<Organization>>,
    /// Keys of the node itself; they live in memory only.
    own_keys: HashMap<String, Key>,
    delivery_key_id: String,
    service_key_ids: HashMap<AccountId, String>,
}

#[derive(Debug, Clone)]
pub struct Account {
    pub name: String,
    pub created_ms: i64,
    principals: BTreeMap<(PrincipalKind, String), Arc<Actor>>,
}

/// A user or a role with what it may do.
#[derive(Debug, Clone)]
pub struct Actor {
    pub principal: Principal,
    /// By name: as written, and as read. One that cannot be read denies everything.
    policies: BTreeMap<String, (String, Option<Arc<Policy>>)>,
    trust: Option<Arc<Policy>>,
}

#[derive(Debug, Clone)]
struct HeldKey {
    row: AccessKey,
    account: AccountId,
    /// None: sealed by another node's secret.
    secret: Option<Secret>,
}

/// The policies that say what a caller may do by itself.
#[derive(Debug, Clone)]
pub enum Powers {
    /// The account's root, the node itself, an administrator: everything in its account.
    All,
    Policies(Vec<Arc<Policy>>),
    /// Gone since the key was looked up, or one of its policies cannot be read.
    None,
}

impl Accounts {
    /// Everything that the catalog knows, and `tokens`.
    pub fn new(
        secret: NodeSecret,
        operator: AccountId,
        known: catalog::Access,
        tokens: HashMap<[u8; 32], IssuedToken>,
        chance: &dyn Chance,
    ) -> Accounts {
        let mut inner = Inner::default();
        for account in known.accounts {
            let Ok(id) = AccountId::parse(&account.id) else { continue };
            let (name, created_ms) = (account.name, account.created_ms);
            inner.accounts.insert(id, Account { name, created_ms, principals: BTreeMap::new() });
        }
        for principal in known.principals {
            inner.put_principal(principal);
        }
        for policy in known.policies {
            let Ok(account) = AccountId::parse(&policy.account) else { continue };
            inner.change(&account, policy.kind, &policy.principal, |actor| {
                actor.put_policy(policy.name, policy.document);
            });
        }
        inner.put_organizations(known.organizations, known.memberships);
        for key in known.keys {
            inner.put_key(&secret, key);
        }
        inner.delivery_key_id = inner.own_key(
            operator,
            Identity::Service { principal: DELIVERY_PRINCIPAL.to_owned() },
            chance,
        );
        Accounts {
            secret,
            operator,
            inner: RwLock::new(inner),
            tokens,
            uses: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("no holder of this lock can panic")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().expect("no holder of this lock can panic")
    }

    fn uses(&self) -> MutexGuard<'_, HashMap<String, LastUse>> {
        self.uses.lock().expect("no holder of this lock can panic")
    }

    /// The account whose administrators may administer the others.
    pub fn operator(&self) -> &AccountId {
        &self.operator
    }

    pub fn has(&self, account: &AccountId) -> bool {
        self.read().accounts.contains_key(account)
    }

    /// What people call an account.
    pub fn name_of(&self, account: &AccountId) -> Option<String> {
        self.read().accounts.get(account).map(|account| account.name.clone())
    }

    /// In order of their IDs.
    pub fn all(&self) -> Vec<(AccountId, Account)> {
        let inner = self.read();
        inner.accounts.iter().map(|(id, account)| (*id, account.clone())).collect()
    }

    /// The users or roles of an account, by name.
    pub fn principals(&self, account: &AccountId, kind: PrincipalKind) -> Vec<Arc<Actor>> {
        let inner = self.read();
        let Some(account) = inner.accounts.get(account) else { return Vec::new() };
        let of_kind = account.principals.iter().filter(|((found, _), _)| *found == kind);
        of_kind.map(|(_, actor)| actor.clone()).collect()
    }

    pub fn principal(
        &self,
        account: &AccountId,
        kind: PrincipalKind,
        name: &str,
    ) -> Option<Arc<Actor>> {
        self.read().principal(account, kind, name)
    }

    /// The keys of an account, or of one of its users, the oldest first. Their secrets are not shown.
    pub fn keys(&self, account: &AccountId, user: Option<&str>) -> Vec<AccessKey> {
        let inner = self.read();
        let uses = self.uses();
        let mut keys: Vec<AccessKey> = inner
            .keys
            .values()
            .filter(|key| key.account == *account)
            .filter(|key| user.is_none_or(|user| key.row.user == user))
            .map(|key| {
                let mut row = key.row.clone();
                row.sealed.clear();
                if let Some(last) = uses.get(&row.id) {
                    row.last_used = Some(last.clone());
                }
                row
            })
            .collect();
        keys.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        keys
    }

    /// What the caller may do by itself.
    pub fn powers(&self, caller: &Caller) -> Powers {
        let actor = match caller.identity() {
            Identity::Root | Identity::Service { .. } => return Powers::All,
            // A token opens the intake's door and no other.
            Identity::IngestToken { .. } => return Powers::None,
            Identity::AssumedRole { path, .. } if path.starts_with(SERVICE_ROLE_PATH) => {
                return Powers::All;
            }
            Identity::User { name, .. } => {
                self.principal(caller.account(), PrincipalKind::User, name)
            }
            Identity::AssumedRole { role, .. } => {
                self.principal(caller.account(), PrincipalKind::Role, role)
            }
        };
        let Some(actor) = actor else { return Powers::None };
        let policies: Option<Vec<Arc<Policy>>> =
            actor.policies.values().map(|(_, policy)| policy.clone()).collect();
        match policies {
            None => Powers::None,
            // What administrators have: nothing to look at for each call.
            Some(policies)
                if policies.iter().any(|policy| policy.allows_all())
                    && !policies.iter().any(|policy| policy.has_denials()) =>
            {
                Powers::All
            }
            Some(policies) => Powers::Policies(policies),
        }
    }

    /// Does a policy of the caller ask about a condition key that begins so? In lower case.
    pub fn asks_about(&self, caller: &Caller, beginning: &str) -> bool {
        match self.powers(caller) {
            Powers::Policies(policies) => {
                policies.iter().any(|policy| policy.asks_about(beginning))
            }
            Powers::All | Powers::None => false,
        }
    }

    /// The key that puts log files and digests into our own buckets.
    pub fn delivery_key(&self) -> (String, Secret) {
        let inner = self.read();
        let id = inner.delivery_key_id.clone();
        let secret = inner.own_keys.get(&id).map(|key| key.secret.clone());
        (id, secret.unwrap_or_else(|| Secret::new(String::new())))
    }

    /// A key with which the node reads what belongs to an account, as the account's own service role.
    pub fn service_key(&self, account: &AccountId, chance: &dyn Chance) -> (String, Secret) {
        let mut inner = self.write();
        let id = match inner.service_key_ids.get(account) {
            Some(id) => id.clone(),
            None => {
                let path = format!("{SERVICE_ROLE_PATH}{DELIVERY_PRINCIPAL}/");
                let role_id = format!("AROA{}", chance::base32(chance, 17));
                let identity = Identity::AssumedRole {
                    role: SERVICE_ROLE.to_owned(),
                    path,
                    principal_id: format!("{role_id}:cairn"),
                    session: "cairn".to_owned(),
                    issued: Timestamp::UNIX_EPOCH,
                    source_identity: None,
                };
                let id = inner.own_key(*account, identity, chance);
                inner.service_key_ids.insert(*account, id.clone());
                id
            }
        };
        let secret = inner.own_keys.get(&id).map(|key| key.secret.clone());
        (id, secret.unwrap_or_else(|| Secret::new(String::new())))
    }

    /// Remembers that a key was used. The catalog hears of it later.
    pub fn note_use(&self, caller: &Caller, service: &str, region: &str, now: Timestamp) {
        let Some(id) = caller.access_key_id() else { return };
        if !matches!(caller.identity(), Identity::User { .. }) {
            return;
        }
        let last = LastUse {
            at_ms: now.as_millisecond(),
            service: service.to_owned(),
            region: region.to_owned(),
        };
        self.uses().insert(id.to_owned(), last);
    }

    /// What [`Accounts::note_use`] has heard and the catalog has not.
    pub fn take_uses(&self) -> Vec<(String, LastUse)> {
        let taken: Vec<(String, LastUse)> = self.uses().drain().collect();
        let mut inner = self.write();
        for (id, last) in &taken {
            if let Some(key) = inner.keys.get_mut(id) {
                key.row.last_used = Some(last.clone());
            }
        }
        taken
    }

    fn session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        let session: Session = sessions::read(&self.secret, access_key_id, token)?;
        let account = AccountId::parse(&session.account).ok()?;
        let role = self.principal(&account, PrincipalKind::Role, &session.role)?;
        if role.principal.principal_id != session.role_id {
            return None;
        }
        let policy = match &session.policy {
            Some(text) => Some(Arc::new(Policy::parse(text, PolicyKind::Identity).ok()?)),
            None => None,
        };
        Some(Key {
            secret: Secret::new(self.secret.secret_of_session(access_key_id)),
            account,
            identity: Identity::AssumedRole {
                principal_id: format!("{}:{}", session.role_id, session.name),
                path: role.principal.path.clone(),
                role: session.role,
                session: session.name,
                issued: Timestamp::from_second(session.issued).ok()?,
                source_identity: session.source_identity,
            },
            active: true,
            session_token: Some(SessionToken {
                text: Secret::new(token.to_owned()),
                expires: Timestamp::from_second(session.expires).ok()?,
                policy,
            }),
        })
    }
}

impl KeyRing for Accounts {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        let inner = self.read();
        if let Some(own) = inner.own_keys.get(access_key_id) {
            return Some(own.clone());
        }
        let held = inner.keys.get(access_key_id)?;
        let user = inner.principal(&held.account, PrincipalKind::User, &held.row.user)?;
        Some(Key {
            secret: held.secret.clone()?,
            account: held.account,
            identity: Identity::User {
                name: user.principal.name.clone(),
                path: user.principal.path.clone(),
                principal_id: user.principal.principal_id.clone(),
            },
            active: held.row.active,
            session_token: None,
        })
    }

    fn find_session(&self, access_key_id: &str, token: &str) -> Option<Key> {
        self.session(access_key_id, token)
    }
}

impl TokenRing for Accounts {
    fn find(&self, sha256: &[u8; 32]) -> Option<IssuedToken> {
        self.tokens.get(sha256).cloned()
    }
}

impl Inner {
    fn principal(
        &self,
        account: &AccountId,
        kind: PrincipalKind,
        name: &str,
    ) -> Option<Arc<Actor>> {
        self.accounts.get(account)?.principals.get(&(kind, name.to_owned())).cloned()
    }

    fn put_principal(&mut self, principal: Principal) {
        let Ok(account) = AccountId::parse(&principal.account) else { return };
        let Some(account) = self.accounts.get_mut(&account) else { return };
        let trust = principal.trust.as_deref().and_then(readable_trust);
        let key = (principal.kind, principal.name.clone());
        let actor = Actor { principal, policies: BTreeMap::new(), trust };
        account.principals.insert(key, Arc::new(actor));
    }

    fn change(
        &mut self,
        account: &AccountId,
        kind: PrincipalKind,
        name: &str,
        next: impl FnOnce(&mut Actor),
    ) {
        let key = (kind, name.to_owned());
        let actor =
            self.accounts.get_mut(account).and_then(|account| account.principals.get_mut(&key));
        if let Some(actor) = actor {
            next(Arc::make_mut(actor));
        }
    }

    fn put_key(&mut self, secret: &NodeSecret, row: AccessKey) {
        let Ok(account) = AccountId::parse(&row.account) else { return };
        let text = secret.unseal(Purpose::AccessKey, &row.id, &row.sealed);
        let text = text.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        if text.is_none() {
            tracing::error!(
                key = row.id,
                "an access key was sealed with another node-secret and cannot be used; restore keys/node-secret, or make a new key"
            );
        }
        let held = HeldKey { account, secret: text.map(Secret::new), row };
        self.keys.insert(held.row.id.clone(), held);
    }

    /// A key of the node itself, which never leaves memory.
    fn own_key(&mut self, account: AccountId, identity: Identity, chance: &dyn Chance) -> String {
        let id = format!("AKIA{}", chance::base32(chance, 16));
        let key = Key {
            secret: Secret::new(chance::base32(chance, 52)),
            account,
            identity,
            active: true,
            session_token: None,
        };
        self.own_keys.insert(id.clone(), key);
        id
    }
}

impl Actor {
    fn put_policy(&mut self, name: String, document: String) {
        let read = match Policy::parse(&document, PolicyKind::Identity) {
            Ok(policy) => Some(Arc::new(policy)),
            Err(error) => {
                let principal = &self.principal.name;
                tracing::error!(%error, principal, name, "a policy cannot be read");
                None
            }
        };
        self.policies.insert(name, (document, read));
    }

    /// Names and documents.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.policies.iter().map(|(name, (document, _))| (name.as_str(), document.as_str()))
    }

    /// Who may assume this role.
    pub fn trust(&self) -> Option<&Policy> {
        self.trust.as_deref()
    }

    /// `arn:aws:iam::<account>:user/<path><name>`, or `role`.
    pub fn arn(&self) -> String {
        let Principal { account, kind, path, name, .. } = &self.principal;
        let kind = match kind {
            PrincipalKind::User => "user",
            PrincipalKind::Role => "role",
        };
        format!("arn:aws:iam::{account}:{kind}{path}{name}")
    }
}

fn readable_trust(text: &str) -> Option<Arc<Policy>> {
    Policy::parse(text, PolicyKind::Trust).ok().map(Arc::new)
}

#[cfg(test)]
mod tests;
