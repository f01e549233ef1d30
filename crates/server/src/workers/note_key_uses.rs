//! Writes down when and where access keys were used last. Only every minute: AWS too says it late, and a
//! write for each call would cost more than the call.

use std::sync::Arc;

use async_trait::async_trait;

use crate::node::Node;
use crate::workers::{More, Turn, Worker};

pub struct NoteKeyUses {
    node: Arc<Node>,
}

impl NoteKeyUses {
    pub fn new(node: Arc<Node>) -> NoteKeyUses {
        NoteKeyUses { node }
    }
}

#[async_trait]
impl Worker for NoteKeyUses {
    async fn tick(&mut self) -> Turn {
        let uses = self.node.accounts.take_uses();
        if !uses.is_empty() {
            self.node.catalog.note_key_uses(&uses).await?;
        }
        Ok(More::No)
    }

    async fn last(&mut self) -> Turn {
        self.tick().await
    }
}
