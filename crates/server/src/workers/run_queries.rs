//! Runs queued queries, a few at a time, the accounts in turn.
//!
//! A turn begins as many as there is room for. The queries run beside it, each as a task of its own that
//! enters its end, so that one that takes an hour holds up none. When there is room, StartQuery begins
//! its query without this worker.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::QueryStatus;

use crate::node::Node;
use crate::queries;
use crate::workers::{More, Turn, Worker};

/// A query that was running when the server stopped, twice, is taken for the reason.
const ATTEMPTS_MAX: u32 = 2;

/// How long queries wait after a start for the newest events to be visible again. A table that stays
/// closed must not hold up those of others.
const VISIBLE_WAIT: Duration = Duration::from_secs(30);

pub struct RunQueries {
    node: Arc<Node>,
    /// When this worker was made, by the clock that does not jump.
    began: Duration,
    /// What an earlier run of the server left is queued again.
    recovered: bool,
    last_account: String,
}

impl RunQueries {
    pub fn new(node: Arc<Node>) -> RunQueries {
        RunQueries {
            began: node.clock.elapsed(),
            node,
            recovered: false,
            last_account: String::new(),
        }
    }

    /// Enters what could not be entered when it ended. What cannot be entered now stays.
    async fn enter(&mut self) -> Result<(), catalog::CatalogError> {
        while let Some((id, ending)) = self.node.queries.unentered() {
            queries::enter(&self.node, &id, &ending).await?;
            self.node.queries.entered();
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.node.queries.running_count() >= self.node.settings.queries.at_once_max
    }

    async fn begin(&mut self) -> Result<bool, catalog::CatalogError> {
        if self.is_full() {
            self.node.queries.set_crowded(true);
            // A query that ended before that has woken nobody.
            if self.is_full() {
                return Ok(false);
            }
        }
        let Some(query) = self.node.catalog.begin_next_query(&self.last_account).await? else {
            self.node.queries.set_crowded(false);
            return Ok(false);
        };
        self.last_account.clone_from(&query.asked.account);
        let id = query.asked.id.clone();
        let running = self.node.queries.begin(&id);
        // A cancel that came between the catalog and here finds it now.
        let asked = &query.asked;
        let stands = self.node.catalog.query(&asked.account, &asked.region, &id).await;
        if matches!(&stands, Ok(Some(now)) if now.status != QueryStatus::Running) {
            running.cancelled.cancel();
        }
        queries::begin(&self.node, query.asked, running);
        Ok(true)
    }
}

/// What runs without its worker would end in a catalog that the next run may have opened.
impl Drop for RunQueries {
    fn drop(&mut self) {
        drop(self.node.queries.stop());
    }
}

#[async_trait]
impl Worker for RunQueries {
    async fn tick(&mut self) -> Turn {
        if !self.recovered {
            let now_ms = self.node.clock.now().as_millisecond();
            self.node.catalog.requeue_queries(ATTEMPTS_MAX, now_ms).await?;
            self.recovered = true;
        }
        self.enter().await?;
        let waits = !self.node.shows_what_was_before()
            && self.node.clock.elapsed().saturating_sub(self.began) < VISIBLE_WAIT;
        if waits || self.node.is_stopping() || !self.node.queries.take_queued() {
            return Ok(More::No);
        }
        let mut more = More::No;
        loop {
            match self.begin().await {
                Ok(true) => more = More::Yes,
                Ok(false) => break,
                Err(error) => {
                    self.node.queries.wake();
                    return Err(error.into());
                }
            }
        }
        Ok(more)
    }

    async fn rest(&mut self, pause: Duration) {
        tokio::select! {
            () = self.node.queries.woken() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// What runs now runs again after the next start.
    async fn last(&mut self) -> Turn {
        self.node.queries.stop().shutdown().await;
        self.enter().await?;
        self.node.catalog.put_back_queries().await?;
        Ok(More::No)
    }
}
