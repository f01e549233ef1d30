//! Tags on resources, at most one value a key.

use sqlx::Row;

use crate::{Catalog, CatalogError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl Catalog {
    /// A resource's tags, in the order in which they were first added.
    pub async fn tags(&self, arn: &str) -> Result<Vec<Tag>, CatalogError> {
        let rows = sqlx::query("SELECT key, value FROM tags WHERE arn = ? ORDER BY place")
            .bind(arn)
            .fetch_all(&mut *self.database.hold().await?)
            .await?;
        rows.iter()
            .map(|row| Ok(Tag { key: row.try_get("key")?, value: row.try_get("value")? }))
            .collect()
    }

    /// Everything of the account in the Region that has tags, by ARN, with its tags in their order.
    pub async fn tagged(
        &self,
        account: &str,
        region: &str,
    ) -> Result<Vec<(String, Vec<Tag>)>, CatalogError> {
        let prefix = format!("arn:aws:cloudtrail:{region}:{account}:");
        let rows = sqlx::query(
            "SELECT arn, key, value FROM tags WHERE substr(arn, 1, length(?1)) = ?1 ORDER BY arn, place",
        )
        .bind(prefix)
        .fetch_all(&mut *self.database.hold().await?)
        .await?;
        let mut tagged: Vec<(String, Vec<Tag>)> = Vec::new();
        for row in rows {
            let arn: String = row.try_get("arn")?;
            let tag = Tag { key: row.try_get("key")?, value: row.try_get("value")? };
            match tagged.last_mut().filter(|(last, _)| *last == arn) {
                Some((_, tags)) => tags.push(tag),
                None => tagged.push((arn, vec![tag])),
            }
        }
        Ok(tagged)
    }

    /// Adds tags or overwrites their values. False, and nothing changed, if more than `tags_max`
    /// would be on the resource.
    pub async fn add_tags(
        &self,
        arn: &str,
        tags: &[Tag],
        tags_max: usize,
    ) -> Result<bool, CatalogError> {
        let mut tx = self.database.begin().await?;
        insert_tags(&mut tx, arn, tags).await?;
        let count: i64 = sqlx::query("SELECT count(*) AS n FROM tags WHERE arn = ?")
            .bind(arn)
            .fetch_one(&mut *tx)
            .await?
            .try_get("n")?;
        if count as usize > tags_max {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Removes tags by key, and only those whose value matches where a value is given.
    pub async fn remove_tags(
        &self,
        arn: &str,
        tags: &[(String, Option<String>)],
    ) -> Result<(), CatalogError> {
        let mut tx = self.database.begin().await?;
        for (key, value) in tags {
            sqlx::query(
                "DELETE FROM tags WHERE arn = ?1 AND key = ?2 AND (?3 IS NULL OR value = ?3)",
            )
            .bind(arn)
            .bind(key)
            .bind(value)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) async fn insert_tags(
    tx: &mut sqlx::SqliteConnection,
    arn: &str,
    tags: &[Tag],
) -> Result<(), CatalogError> {
    for tag in tags {
        sqlx::query(
            "INSERT INTO tags (arn, key, value, place)
             VALUES (?1, ?2, ?3, (SELECT coalesce(max(place), 0) + 1 FROM tags WHERE arn = ?1))
             ON CONFLICT (arn, key) DO UPDATE SET value = ?3",
        )
        .bind(arn)
        .bind(&tag.key)
        .bind(&tag.value)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
