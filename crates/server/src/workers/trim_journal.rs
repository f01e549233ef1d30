//! Gives back the room of journal segments that every consumer has passed, and forgets the states
//! of trails and event data stores that no remaining entry needs.

use std::sync::Arc;

use async_trait::async_trait;

use crate::node::Node;
use crate::workers::{More, Turn, Worker};

pub struct TrimJournal {
    node: Arc<Node>,
}

impl TrimJournal {
    pub fn new(node: Arc<Node>) -> TrimJournal {
        TrimJournal { node }
    }
}

#[async_trait]
impl Worker for TrimJournal {
    async fn tick(&mut self) -> Turn {
        let journal = self.node.journal.clone();
        tokio::task::spawn_blocking(move || journal.trim()).await??;
        // Not how far the consumers have come, but where they would begin again after a crash.
        let lowest = self.node.journal.state().cursors.iter().map(|(_, position)| *position).min();
        if let Some(position) = lowest {
            self.node.catalog.forget_trail_versions_before(position).await?;
            self.node.catalog.forget_memberships_before(position).await?;
            self.node.catalog.forget_event_data_store_versions_before(position).await?;
        }
        Ok(More::No)
    }
}
