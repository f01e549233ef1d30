//! Forgets queries and what was generated after the days that they are kept, with their results.
//!
//! The file goes first: a result without a query would lie there for ever, a query without a result
//! is found again at the next turn. At the first turn, files that belong to no query go too.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;

use crate::node::Node;
use crate::workers::{More, Turn, Worker};

const QUERIES_PER_TURN_MAX: u32 = 100;

pub struct ForgetQueries {
    node: Arc<Node>,
    swept: bool,
}

impl ForgetQueries {
    pub fn new(node: Arc<Node>) -> ForgetQueries {
        ForgetQueries { node, swept: false }
    }

    async fn remove(&self, path: PathBuf) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let disk = self.node.disk.clone();
        let removed = tokio::task::spawn_blocking(move || disk.remove_file(&path)).await?;
        match removed {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Removes results whose query is not known, such as those of an older copy of the catalog.
    async fn sweep(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let entries = match fs::read_dir(self.node.queries.folder()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            // `.rows.tmp` belongs to the query that may be running now: it is begun anew each time.
            if let Some(id) = name.strip_suffix(".rows").or(name.strip_suffix(".rows.tmp"))
                && !self.node.catalog.is_query(id).await?
            {
                self.remove(path).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Worker for ForgetQueries {
    async fn tick(&mut self) -> Turn {
        if !self.swept {
            self.sweep().await?;
            self.swept = true;
        }
        let kept = SignedDuration::try_from(self.node.settings.queries.kept)?;
        let before_ms = self.node.clock.now().saturating_sub(kept)?.as_millisecond();
        self.node.catalog.remove_query_aliases(before_ms).await?;
        let old = self.node.catalog.old_queries(before_ms, QUERIES_PER_TURN_MAX).await?;
        for id in &old {
            self.remove(self.node.queries.path(id)).await?;
            self.node.catalog.remove_query(id).await?;
        }
        Ok(if old.is_empty() { More::No } else { More::Yes })
    }
}
