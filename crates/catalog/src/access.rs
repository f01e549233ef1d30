//! Accounts, users and roles, their policies and access keys, and policies of resources.
//!
//! The server keeps accounts in memory and reads them here when it starts; each change comes here
//! first. A secret is stored as its owner sealed it: this crate cannot read it.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Catalog, CatalogError, Membership, Organization};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Twelve digits.
    pub id: String,
    pub name: String,
    pub created_ms: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    User,
    Role,
}

/// A user or a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub account: String,
    pub kind: PrincipalKind,
    pub name: String,
    /// Begins and ends with a slash.
    pub path: String,
    /// `AIDA…` or `AROA…`
    pub principal_id: String,
    /// Of a role: who may assume it, a policy as JSON.
    pub trust: Option<String>,
    pub created_ms: i64,
}

/// A policy in a user or role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalPolicy {
    pub account: String,
    pub kind: PrincipalKind,
    pub principal: String,
    pub name: String,
    pub document: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub id: String,
    pub account: String,
    pub user: String,
    pub sealed: Vec<u8>,
    pub active: bool,
    pub created_ms: i64,
    pub last_used: Option<LastUse>,
}

/// AWS: GetAccessKeyLastUsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastUse {
    pub at_ms: i64,
    pub service: String,
    pub region: String,
}

/// Everything about access but the policies of resources.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub accounts: Vec<Account>,
    pub principals: Vec<Principal>,
    pub policies: Vec<PrincipalPolicy>,
    pub keys: Vec<AccessKey>,
    pub organizations: Vec<Organization>,
    /// Those that are over too.
    pub memberships: Vec<Membership>,
}

impl PrincipalKind {
    fn name(self) -> &'static str {
        match self {
            PrincipalKind::User => "user",
            PrincipalKind::Role => "role",
        }
    }

    fn parse(name: &str) -> Result<PrincipalKind, CatalogError> {
        match name {
            "user" => Ok(PrincipalKind::User),
            "role" => Ok(PrincipalKind::Role),
            other => Err(CatalogError::Damaged {
                table: "principals",
                detail: format!("{other:?} is no kind of principal"),
            }),
        }
    }
}

impl Catalog {
    pub async fn access(&self) -> Result<Access, CatalogError> {
        let mut tx = self.database.begin().await?;
        let accounts =
            sqlx::query("SELECT * FROM accounts ORDER BY id").fetch_all(&mut *tx).await?;
        let principals =
            sqlx::query("SELECT * FROM principals ORDER BY name").fetch_all(&mut *tx).await?;
        let policies = sqlx::query("SELECT * FROM principal_policies ORDER BY name")
            .fetch_all(&mut *tx)
            .await?;
        let keys = sqlx::query("SELECT * FROM access_keys ORDER BY created_ms")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Access {
            organizations: self.organizations().await?,
            memberships: self.memberships().await?,
            accounts: accounts.iter().map(account).collect::<Result<_, _>>()?,
            principals: principals.iter().map(principal).collect::<Result<_, _>>()?,
            policies: policies.iter().map(policy).collect::<Result<_, _>>()?,
            keys: keys.iter().map(key).collect::<Result<_, _>>()?,
        })
    }

    /// False if there is an account of that ID.
    pub async fn add_account(&self, account: &Account) -> Result<bool, CatalogError> {
        let added = sqlx::query(
            "INSERT INTO accounts (id, name, created_ms) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&account.id)
        .bind(&account.name)
        .bind(account.created_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(added.rows_affected() > 0)
    }

    /// False if the account has one of that kind and name.
    pub async fn add_principal(&self, principal: &Principal) -> Result<bool, CatalogError> {
        let added = sqlx::query(
            "INSERT INTO principals (account, kind, name, path, principal_id, trust, created_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(&principal.account)
        .bind(principal.kind.name())
        .bind(&principal.name)
        .bind(&principal.path)
        .bind(&principal.principal_id)
        .bind(&principal.trust)
        .bind(principal.created_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(added.rows_affected() > 0)
    }

    /// With its policies and keys. False if there is none.
    pub async fn remove_principal(
        &self,
        account: &str,
        kind: PrincipalKind,
        name: &str,
    ) -> Result<bool, CatalogError> {
        let removed =
            sqlx::query("DELETE FROM principals WHERE account = ? AND kind = ? AND name = ?")
                .bind(account)
                .bind(kind.name())
                .bind(name)
                .execute(&mut *self.database.hold().await?)
                .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// False if there is no such role.
    pub async fn put_trust(
        &self,
        account: &str,
        role: &str,
        trust: &str,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "UPDATE principals SET trust = ? WHERE account = ? AND kind = 'role' AND name = ?",
        )
        .bind(trust)
        .bind(account)
        .bind(role)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Adds a policy or replaces the one of that name. The principal must exist.
    pub async fn put_principal_policy(&self, policy: &PrincipalPolicy) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO principal_policies (account, kind, principal, name, document)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (account, kind, principal, name) DO UPDATE SET document = ?5",
        )
        .bind(&policy.account)
        .bind(policy.kind.name())
        .bind(&policy.principal)
        .bind(&policy.name)
        .bind(&policy.document)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// False if there is none.
    pub async fn remove_principal_policy(
        &self,
        account: &str,
        kind: PrincipalKind,
        principal: &str,
        name: &str,
    ) -> Result<bool, CatalogError> {
        let removed = sqlx::query(
            "DELETE FROM principal_policies WHERE account = ? AND kind = ? AND principal = ? AND name = ?",
        )
        .bind(account)
        .bind(kind.name())
        .bind(principal)
        .bind(name)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// Adds a key; one of that ID keeps its state and gets the new secret.
    pub async fn put_access_key(&self, key: &AccessKey) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO access_keys (id, account, user, sealed, active, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET sealed = ?4",
        )
        .bind(&key.id)
        .bind(&key.account)
        .bind(&key.user)
        .bind(&key.sealed)
        .bind(key.active)
        .bind(key.created_ms)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// False if the account has no such key.
    pub async fn set_access_key_active(
        &self,
        account: &str,
        id: &str,
        active: bool,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query("UPDATE access_keys SET active = ? WHERE account = ? AND id = ?")
            .bind(active)
            .bind(account)
            .bind(id)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// False if the account has no such key.
    pub async fn remove_access_key(&self, account: &str, id: &str) -> Result<bool, CatalogError> {
        let removed = sqlx::query("DELETE FROM access_keys WHERE account = ? AND id = ?")
            .bind(account)
            .bind(id)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(removed.rows_affected() > 0)
    }

    /// When and where keys were used last. A key that is gone meanwhile is passed over.
    pub async fn note_key_uses(&self, uses: &[(String, LastUse)]) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        for (id, last) in uses {
            sqlx::query(
                "UPDATE access_keys SET last_used_ms = ?, last_used_service = ?, last_used_region = ?
                 WHERE id = ?",
            )
            .bind(last.at_ms)
            .bind(&last.service)
            .bind(&last.region)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub async fn resource_policy(&self, arn: &str) -> Result<Option<String>, CatalogError> {
        if let Some(policy) = self.recent.policy(arn) {
            return Ok(policy);
        }
        let mut connection = self.database.hold().await?;
        let row = sqlx::query("SELECT document FROM resource_policies WHERE arn = ?")
            .bind(arn)
            .fetch_optional(&mut *connection)
            .await?;
        let policy: Option<String> = row.map(|row| row.try_get("document")).transpose()?;
        self.recent.note_policy(&connection, arn, policy.as_deref());
        Ok(policy)
    }

    pub async fn put_resource_policy(&self, arn: &str, document: &str) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO resource_policies (arn, document) VALUES (?1, ?2)
             ON CONFLICT (arn) DO UPDATE SET document = ?2",
        )
        .bind(arn)
        .bind(document)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(())
    }

    /// False if it has none.
    pub async fn remove_resource_policy(&self, arn: &str) -> Result<bool, CatalogError> {
        let removed = sqlx::query("DELETE FROM resource_policies WHERE arn = ?")
            .bind(arn)
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(removed.rows_affected() > 0)
    }
}

fn account(row: &SqliteRow) -> Result<Account, CatalogError> {
    Ok(Account {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn principal(row: &SqliteRow) -> Result<Principal, CatalogError> {
    Ok(Principal {
        account: row.try_get("account")?,
        kind: PrincipalKind::parse(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        path: row.try_get("path")?,
        principal_id: row.try_get("principal_id")?,
        trust: row.try_get("trust")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn policy(row: &SqliteRow) -> Result<PrincipalPolicy, CatalogError> {
    Ok(PrincipalPolicy {
        account: row.try_get("account")?,
        kind: PrincipalKind::parse(row.try_get("kind")?)?,
        principal: row.try_get("principal")?,
        name: row.try_get("name")?,
        document: row.try_get("document")?,
    })
}

fn key(row: &SqliteRow) -> Result<AccessKey, CatalogError> {
    let last_used_ms: Option<i64> = row.try_get("last_used_ms")?;
    let last_used = match last_used_ms {
        Some(at_ms) => Some(LastUse {
            at_ms,
            service: row.try_get("last_used_service")?,
            region: row.try_get("last_used_region")?,
        }),
        None => None,
    };
    Ok(AccessKey {
        id: row.try_get("id")?,
        account: row.try_get("account")?,
        user: row.try_get("user")?,
        sealed: row.try_get("sealed")?,
        active: row.try_get("active")?,
        created_ms: row.try_get("created_ms")?,
        last_used,
    })
}
