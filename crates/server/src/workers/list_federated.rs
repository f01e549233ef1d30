//! Writes the listing of federated tables beside the tables, `federation.json`, and then says in
//! each store's state that it is there.
//!
//! ```text
//!   Enabling ─▶ listed ─▶ Enabled        Disabling ─▶ no longer listed ─▶ Disabled
//! ```
//! The listing is made from the catalog as a whole, so writing it again is harmless; the first turn
//! after a start does.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Deletion, EventDataStoreVersion, Federation};
use serde::Serialize;
use tokio::sync::watch;

use super::maintain_tables::newest;
use crate::lake::TableName;
use crate::node::Node;
use crate::workers::{More, Turn, Worker};

/// AWS: the Glue database of every federated event data store.
const DATABASE: &str = "aws:cloudtrail";

pub struct ListFederated {
    node: Arc<Node>,
    stores_watch: watch::Receiver<u64>,
    /// The listing has been written by this run.
    is_known: bool,
}

/// `federation.json`, as docs/federation.md describes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listing<'a> {
    database: &'static str,
    tables: Vec<Listed<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    /// AWS: the table is named by the event data store's ID.
    name: String,
    format: &'static str,
    location: String,
    event_data_store_arn: &'a str,
    account: &'a str,
    region: &'a str,
    federation_role_arn: &'a str,
}

impl ListFederated {
    pub fn new(node: Arc<Node>) -> ListFederated {
        let mut stores_watch = node.stores_watch();
        stores_watch.mark_changed();
        ListFederated { node, stores_watch, is_known: false }
    }

    async fn list(&mut self) -> Turn {
        let stores = newest(self.node.catalog.event_data_store_versions().await?);
        let is_under_way = |store: &EventDataStoreVersion| {
            matches!(store.state.federation, Federation::Enabling { .. } | Federation::Disabling)
        };
        let is_listed = |store: &EventDataStoreVersion| {
            store.state.federation.role_arn().is_some()
                && store.state.deletion != Deletion::Removing
        };
        let is_due =
            stores.iter().any(is_under_way) || (!self.is_known && stores.iter().any(is_listed));
        if is_due {
            let listed: Vec<&EventDataStoreVersion> =
                stores.iter().filter(|store| is_listed(store)).collect();
            self.node.lake.put_listing(self.text(&listed)).await?;
            for store in stores.iter().filter(|store| is_under_way(store)) {
                self.settle(store).await?;
            }
        }
        self.is_known = true;
        Ok(More::No)
    }

    /// None when nothing is federated.
    fn text(&self, listed: &[&EventDataStoreVersion]) -> Option<String> {
        if listed.is_empty() {
            return None;
        }
        let tables = listed.iter().map(|store| {
            let table = TableName::of_store(&store.id);
            Listed {
                location: self.node.lake.location(&table),
                name: table.as_str().to_owned(),
                format: "delta",
                event_data_store_arn: &store.arn,
                account: &store.account,
                region: &store.home_region,
                federation_role_arn: store.state.federation.role_arn().unwrap_or_default(),
            }
        });
        let listing = Listing { database: DATABASE, tables: tables.collect() };
        let text = serde_json::to_string_pretty(&listing).expect("texts are always JSON");
        Some(text + "\n")
    }

    /// Says that the listing has caught up, unless something else was asked for meanwhile.
    async fn settle(&self, store: &EventDataStoreVersion) -> Result<(), catalog::CatalogError> {
        let from_seq = self.node.journal.next_seq();
        let now_ms = self.node.clock.now().as_millisecond();
        let before = &store.state.federation;
        let settled =
            self.node.catalog.change_event_data_store(&store.arn, from_seq, now_ms, |store, _| {
                match &store.state.federation {
                    now if now != before => Err(()),
                    Federation::Enabling { role_arn } => {
                        let role_arn = role_arn.clone();
                        store.state.federation = Federation::Enabled { role_arn };
                        Ok(())
                    }
                    Federation::Disabling => {
                        store.state.federation = Federation::Disabled;
                        Ok(())
                    }
                    Federation::Enabled { .. } | Federation::Disabled => Err(()),
                }
            });
        let _ = settled.await?;
        self.node.stores_changed();
        Ok(())
    }
}

#[async_trait]
impl Worker for ListFederated {
    async fn tick(&mut self) -> Turn {
        if !self.stores_watch.has_changed()? {
            return Ok(More::No);
        }
        self.stores_watch.mark_unchanged();
        let listed = self.list().await;
        if listed.is_err() {
            self.stores_watch.mark_changed();
        }
        listed
    }
}
