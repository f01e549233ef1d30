//! Stores what became of the latest puts into channels.

use std::sync::Arc;

use async_trait::async_trait;

use crate::node::Node;
use crate::workers::{More, Turn, Worker};

pub struct NoteIngestions {
    node: Arc<Node>,
}

impl NoteIngestions {
    pub fn new(node: Arc<Node>) -> NoteIngestions {
        NoteIngestions { node }
    }
}

#[async_trait]
impl Worker for NoteIngestions {
    async fn tick(&mut self) -> Turn {
        let latest = self.node.latest_puts.all();
        if !latest.is_empty() {
            self.node.catalog.note_channel_ingestions(&latest).await?;
            self.node.latest_puts.stored(&latest);
        }
        Ok(More::No)
    }

    async fn last(&mut self) -> Turn {
        self.tick().await
    }
}
