//! Keeps the lake's tables in order: joins small files, drops what is past its retention, and
//! removes event data stores whose time to be restored has run out.
//!
//! ```text
//!   Pending for 7 days ─▶ Removing ─▶ the indexing worker lets go ─▶ table removed ─▶ row removed
//! ```
//! Stopped anywhere, the next turn goes on from what the catalog says.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Deletion, EventDataStoreVersion};
use jiff::{SignedDuration, Timestamp};

use crate::lake::TableName;
use crate::node::Node;
use crate::operations::history;
use crate::workers::{More, Turn, Worker};

/// AWS: a deleted store can be restored for seven days.
const RESTORABLE: SignedDuration = SignedDuration::from_hours(7 * 24);

pub struct MaintainTables {
    node: Arc<Node>,
    /// The table of the last step; the one after it comes next.
    last: Option<TableName>,
}

impl MaintainTables {
    pub fn new(node: Arc<Node>) -> MaintainTables {
        MaintainTables { node, last: None }
    }

    /// One step of removing stores, if there is one to take.
    async fn remove_stores(&self, stores: &[EventDataStoreVersion]) -> Turn {
        let now_ms = self.node.clock.now().as_millisecond();
        for store in stores {
            match store.state.deletion {
                Deletion::None => {}
                Deletion::Pending { since_ms } if is_over(since_ms, now_ms) => {
                    self.give_up(&store.arn, now_ms).await?;
                    return Ok(More::Yes);
                }
                Deletion::Pending { .. } => {}
                Deletion::Removing => {
                    // Its rows may still be on their way into the table.
                    let changes = *self.node.stores_watch().borrow();
                    if !self.node.indexing.has_seen(changes) {
                        continue;
                    }
                    let table = TableName::of_store(&store.id);
                    self.node.lake.remove_table(&table).await?;
                    self.node.catalog.forget_imported_files(table.as_str()).await?;
                    self.node.catalog.remove_event_data_store(&store.arn).await?;
                    tracing::info!(store = store.arn, "an event data store was removed");
                    return Ok(More::Yes);
                }
            }
        }
        Ok(More::No)
    }

    /// From here on the store cannot be restored, unless that has just happened.
    async fn give_up(&self, arn: &str, now_ms: i64) -> Result<(), catalog::CatalogError> {
        let from_seq = self.node.journal.next_seq();
        let given_up = self.node.catalog.change_event_data_store(
            arn,
            from_seq,
            now_ms,
            |store, _| match store.state.deletion {
                Deletion::Pending { since_ms } if is_over(since_ms, now_ms) => {
                    store.state.deletion = Deletion::Removing;
                    Ok(())
                }
                _ => Err(()),
            },
        );
        if given_up.await?.is_ok() {
            self.node.stores_changed();
        }
        Ok(())
    }

    /// One step of upkeep of one table; each has its turn.
    async fn maintain(&mut self, stores: &[EventDataStoreVersion]) -> Turn {
        let now = self.node.clock.now();
        let mut tables = BTreeMap::from([(TableName::history(), history::kept_from(now))]);
        for store in stores {
            let keep_from = days_before(now, store.state.retention_days);
            tables.insert(TableName::of_store(&store.id), keep_from);
        }
        tables.retain(|table, _| self.node.indexing.is_open(table));
        let after = |last: &TableName| tables.iter().find(|(table, _)| *table > last);
        let next = self.last.as_ref().and_then(after).or_else(|| tables.iter().next());
        let Some((table, keep_from)) = next else { return Ok(More::No) };
        self.last = Some(table.clone());
        if let Err(fault) = self.node.lake.maintain(table, *keep_from).await {
            self.node.metrics.lake_failed("maintain", table);
            return Err(fault.into());
        }
        Ok(More::No)
    }
}

fn is_over(since_ms: i64, now_ms: i64) -> bool {
    i128::from(now_ms) - i128::from(since_ms) >= RESTORABLE.as_millis()
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    let hours = i64::from(days) * 24;
    now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN)
}

#[async_trait]
impl Worker for MaintainTables {
    async fn tick(&mut self) -> Turn {
        let versions = self.node.catalog.event_data_store_versions().await?;
        let stores = newest(versions);
        // A table that cannot be removed must not keep the others from their upkeep.
        let removed = self.remove_stores(&stores).await;
        if matches!(removed, Ok(More::Yes)) {
            return Ok(More::No);
        }
        self.maintain(&stores).await?;
        removed
    }
}

/// The last state of each store.
pub fn newest(versions: Vec<EventDataStoreVersion>) -> Vec<EventDataStoreVersion> {
    let mut newest: Vec<EventDataStoreVersion> = Vec::new();
    for version in versions {
        match newest.last_mut() {
            Some(last) if last.arn == version.arn => *last = version,
            _ => newest.push(version),
        }
    }
    newest
}
