//! Organizations and who was in them, from which journal entry to which.
//!
//! As with accounts, the server keeps what is so now in memory, and changes come here first.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::{Catalog, CatalogError, from_sql, to_sql};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `o-…`
    pub id: String,
    /// `r-…`
    pub root_id: String,
    /// The management account.
    pub management: String,
    pub created_ms: i64,
}

/// A time in which an account was in an organization. The management account has one as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    pub organization: String,
    pub account: String,
    /// The first journal entry that the membership holds for.
    pub from_seq: u64,
    /// The first that it does not hold for; None while it lasts.
    pub until_seq: Option<u64>,
    pub joined_ms: i64,
    /// Since when the account is a delegated administrator of CloudTrail.
    pub delegated_ms: Option<i64>,
}

fn organization(row: &SqliteRow) -> Result<Organization, CatalogError> {
    Ok(Organization {
        id: row.try_get("id")?,
        root_id: row.try_get("root_id")?,
        management: row.try_get("management")?,
        created_ms: row.try_get("created_ms")?,
    })
}

fn membership(row: &SqliteRow) -> Result<Membership, CatalogError> {
    Ok(Membership {
        organization: row.try_get("organization")?,
        account: row.try_get("account")?,
        from_seq: from_sql(row.try_get("from_seq")?),
        until_seq: row.try_get::<Option<i64>, _>("until_seq")?.map(from_sql),
        joined_ms: row.try_get("joined_ms")?,
        delegated_ms: row.try_get("delegated_ms")?,
    })
}

impl Catalog {
    pub async fn organizations(&self) -> Result<Vec<Organization>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM organizations ORDER BY created_ms, id")
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter().map(organization).collect()
    }

    /// Every membership that an entry of the journal may need, those that are over too, oldest first.
    pub async fn memberships(&self) -> Result<Vec<Membership>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM memberships ORDER BY id")
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter().map(membership).collect()
    }

    /// Declares an organization, whose management account is in it from `from_seq` on. False if the
    /// account is in one already, or the ID is taken.
    pub async fn add_organization(
        &self,
        organization: &Organization,
        from_seq: u64,
    ) -> Result<bool, CatalogError> {
        let mut tx = self.database.begin().await?;
        let added = sqlx::query(
            "INSERT INTO organizations (id, root_id, management, created_ms) VALUES (?, ?, ?, ?)
             ON CONFLICT DO NOTHING",
        )
        .bind(&organization.id)
        .bind(&organization.root_id)
        .bind(&organization.management)
        .bind(organization.created_ms)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(false);
        }
        let joined = Membership {
            organization: organization.id.clone(),
            account: organization.management.clone(),
            from_seq,
            until_seq: None,
            joined_ms: organization.created_ms,
            delegated_ms: None,
        };
        if !insert_membership(&mut tx, &joined).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// False if the account is in an organization already.
    pub async fn add_membership(&self, membership: &Membership) -> Result<bool, CatalogError> {
        insert_membership(&mut *self.database.hold().await?, membership).await
    }

    /// The account leaves: entries from `until_seq` on are none of the organization's. False if it is
    /// not in it.
    pub async fn end_membership(
        &self,
        organization: &str,
        account: &str,
        until_seq: u64,
    ) -> Result<bool, CatalogError> {
        let ended = sqlx::query(
            "UPDATE memberships SET until_seq = max(from_seq, ?), delegated_ms = NULL
             WHERE organization = ? AND account = ? AND until_seq IS NULL",
        )
        .bind(to_sql(until_seq))
        .bind(organization)
        .bind(account)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(ended.rows_affected() > 0)
    }

    /// Makes a member a delegated administrator since then, or no longer one. False if the account is
    /// not in the organization.
    pub async fn set_delegated(
        &self,
        organization: &str,
        account: &str,
        since_ms: Option<i64>,
    ) -> Result<bool, CatalogError> {
        let changed = sqlx::query(
            "UPDATE memberships SET delegated_ms = ?
             WHERE organization = ? AND account = ? AND until_seq IS NULL",
        )
        .bind(since_ms)
        .bind(organization)
        .bind(account)
        .execute(&mut *self.database.hold().await?)
        .await?;
        Ok(changed.rows_affected() > 0)
    }

    /// Forgets memberships that no entry at or above `seq` can need.
    pub async fn forget_memberships_before(&self, seq: u64) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM memberships WHERE until_seq <= ?")
            .bind(to_sql(seq))
            .execute(&mut *self.database.hold().await?)
            .await?;
        Ok(())
    }
}

async fn insert_membership(
    connection: &mut sqlx::SqliteConnection,
    membership: &Membership,
) -> Result<bool, CatalogError> {
    let added = sqlx::query(
        "INSERT INTO memberships (organization, account, from_seq, until_seq, joined_ms, delegated_ms)
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(&membership.organization)
    .bind(&membership.account)
    .bind(to_sql(membership.from_seq))
    .bind(membership.until_seq.map(to_sql))
    .bind(membership.joined_ms)
    .bind(membership.delegated_ms)
    .execute(connection)
    .await?;
    Ok(added.rows_affected() > 0)
}
