//! Runs queued queries, a few at a time, the accounts in turn.
//!
//! A turn begins as many as there is room for and gathers those that have ended. The queries run
//! beside it, each as a task of its own, so that one that takes an hour holds up none. When there is
//! room, StartQuery begins its query without the queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{QueryEnd, QueryStatistics, QueryStatus};
use tokio::task::{JoinError, JoinSet};

use crate::node::Node;
use crate::queries::{self, BegunQuery, Ending};
use crate::workers::{More, Turn, Worker};

/// A query that was running when the server stopped, twice, is taken for the reason.
const ATTEMPTS_MAX: u32 = 2;

/// A query's ID and how it ended.
type Answered = (String, Ending);

/// How long queries wait after a start for the newest events to be visible again. A table that stays
/// closed must not hold up those of others.
const VISIBLE_WAIT: Duration = Duration::from_secs(30);

pub struct RunQueries {
    node: Arc<Node>,
    /// When this worker was made, by the clock that does not jump.
    began: Duration,
    /// What an earlier run of the server left is queued again.
    recovered: bool,
    tasks: JoinSet<Answered>,
    /// By the task's id: what to say of a query whose task panicked.
    begun: HashMap<tokio::task::Id, String>,
    /// Ended, but not yet in the catalog.
    ended: Vec<Answered>,
    last_account: String,
}

impl RunQueries {
    pub fn new(node: Arc<Node>) -> RunQueries {
        RunQueries {
            began: node.clock.elapsed(),
            node,
            recovered: false,
            tasks: JoinSet::new(),
            begun: HashMap::new(),
            ended: Vec::new(),
            last_account: String::new(),
        }
    }

    /// Takes in tasks that are done.
    fn gather(&mut self) {
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.take_in(done);
        }
    }

    fn take_in(&mut self, done: Result<(tokio::task::Id, Answered), JoinError>) {
        let (task, id, end) = match done {
            Ok((task, (id, end))) => (task, id, end),
            Err(error) => {
                // A mistake in the lake costs this query and no other.
                let id = self.begun.get(&error.id()).cloned().unwrap_or_default();
                tracing::error!(query = id, %error, "a query's task failed");
                let end = QueryEnd {
                    status: QueryStatus::Failed,
                    error: Some("The query failed because of an internal error.".to_owned()),
                    statistics: QueryStatistics::default(),
                    ended_ms: self.node.clock.now().as_millisecond(),
                    result: None,
                };
                (error.id(), id, Ending::Ended(end))
            }
        };
        self.begun.remove(&task);
        self.ended.push((id, end));
    }

    /// Enters what has ended. What cannot be entered now stays for the next turn.
    async fn enter(&mut self) -> Result<bool, catalog::CatalogError> {
        let any = !self.ended.is_empty();
        while let Some((id, end)) = self.ended.last() {
            match end {
                Ending::Ended(end) => {
                    if self.node.catalog.end_query(id, end).await? {
                        self.node.metrics.query_ended(end.status.name());
                    }
                }
                Ending::Cancelled => {}
                Ending::NotEntered => {
                    self.node.catalog.put_back_query(id).await?;
                    self.node.queries.wake();
                }
            }
            self.node.queries.end(id);
            self.ended.pop();
            self.node.queries.freed();
        }
        Ok(any)
    }

    async fn begin(&mut self) -> Result<bool, catalog::CatalogError> {
        if self.node.queries.running_count() >= self.node.settings.queries.at_once_max {
            self.node.queries.set_crowded(true);
            return Ok(false);
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
        let node = self.node.clone();
        let task = self.tasks.spawn(async move {
            let end = queries::run(&node, &query.asked, &running, None).await;
            (query.asked.id, end)
        });
        self.begun.insert(task.id(), id);
        Ok(true)
    }

    /// Runs a query that StartQuery has begun.
    fn take(&mut self, begun: BegunQuery) {
        let (id, node) = (begun.asked.id.clone(), self.node.clone());
        let BegunQuery { asked, running, prepared, entered } = begun;
        let task = self.tasks.spawn(async move {
            let end = queries::run(&node, &asked, &running, Some((prepared, entered))).await;
            (asked.id, end)
        });
        self.begun.insert(task.id(), id);
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
        for begun in self.node.queries.take_begun() {
            self.take(begun);
        }
        self.gather();
        let mut more = self.enter().await?;
        let waits = !self.node.shows_what_was_before()
            && self.node.clock.elapsed().saturating_sub(self.began) < VISIBLE_WAIT;
        if waits || self.node.is_stopping() || !self.node.queries.take_queued() {
            return Ok(if more { More::Yes } else { More::No });
        }
        loop {
            match self.begin().await {
                Ok(true) => more = true,
                Ok(false) => break,
                Err(error) => {
                    self.node.queries.wake();
                    return Err(error.into());
                }
            }
        }
        Ok(if more { More::Yes } else { More::No })
    }

    async fn rest(&mut self, pause: Duration) {
        let node = self.node.clone();
        let done = tokio::select! {
            Some(done) = self.tasks.join_next_with_id() => done,
            () = node.queries.woken() => return,
            () = tokio::time::sleep(pause) => return,
        };
        self.take_in(done);
    }

    /// What runs now runs again after the next start.
    async fn last(&mut self) -> Turn {
        self.gather();
        self.enter().await?;
        self.tasks.shutdown().await;
        self.node.catalog.put_back_queries().await?;
        Ok(More::No)
    }
}
