//! Reads the journal and makes its events visible in the lake: in event history, and in each event
//! data store that wants them.
//!
//! ```text
//!   journal ─▶ which tables want it? ─▶ append: visible ─ many or old ─▶ commit: durable ─▶ cursor
//! ```
//! The cursor never passes an entry that a table has only in memory. After a restart a table is
//! given again what lies behind the position of its last commit, and nothing before; so whatever
//! happens, each of its rows is there once.
//!
//! A table that fails stands aside and the others go on. It holds the cursor, and is tried again
//! after longer and longer rests; what it missed is then read again for it alone.
//!
//! ```text
//!   Closed ── opened ──▶ Following ── refuses a batch ──▶ Behind ── has caught up ──▶ Following
//! ```

mod judge;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use journal::{Cursor, Entry, Reader};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::indexing::Progress;
use crate::lake::{Columns, Hot, LakeFault, TableName};
use crate::node::{Node, OpenError};
use crate::store_table::StoreTable;
use crate::workers::{More, Turn, Worker};
use judge::{Judged, Lane, judge};
use table::{HotSince, Stand, Table, Trouble, is_resting, report};

const CURSOR: &str = "lake";
type Fault = Box<dyn std::error::Error + Send + Sync>;

pub struct IndexEvents {
    node: Arc<Node>,
    stores_watch: watch::Receiver<u64>,
    /// None before they were read for the first time.
    stores_seen: Option<u64>,
    stores: Arc<StoreTable>,
    /// None only while a turn has it on another thread.
    scout: Option<Scout>,
    /// All entries below have been appended to every table that follows.
    next_seq: u64,
    tables: BTreeMap<TableName, Table>,
    commits: JoinSet<(TableName, Result<(), LakeFault>)>,
}

/// The half that waits for files, on a thread of its own.
struct Scout {
    reader: Reader,
    /// Read and not yet appended.
    entries: Vec<Entry>,
    /// None after a move that failed: what its file holds is unknown, so it is taken again.
    cursor: Option<Cursor>,
    position: u64,
    moved_at: Duration,
}

impl IndexEvents {
    pub fn new(node: Arc<Node>) -> Result<IndexEvents, OpenError> {
        let cursor = node.journal.cursor(CURSOR)?;
        let position = cursor.position();
        let reader = node.journal.reader(position)?;
        let scout = Scout {
            reader,
            entries: Vec::new(),
            cursor: Some(cursor),
            position,
            moved_at: Duration::ZERO,
        };
        let history = Table::closed(Columns::Events, position);
        Ok(IndexEvents {
            stores_watch: node.stores_watch(),
            stores_seen: None,
            stores: Arc::default(),
            scout: Some(scout),
            next_seq: position,
            tables: BTreeMap::from([(TableName::history(), history)]),
            commits: JoinSet::new(),
            node,
        })
    }

    async fn on_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Scout) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let mut scout = self.scout.take().ok_or("an earlier turn was cut off")?;
        let (scout, done) = blocking(move || {
            let done = work(&mut scout);
            (scout, done)
        })
        .await?;
        self.scout = Some(scout);
        Ok(done)
    }

    // --- tables

    /// Follows what event data stores there are.
    async fn reload_stores(&mut self) -> Result<(), Fault> {
        if self.stores_seen.is_some() && !self.stores_watch.has_changed()? {
            return Ok(());
        }
        let seen = *self.stores_watch.borrow_and_update();
        let stores = match self.node.store_table().await {
            Ok(stores) => stores,
            Err(error) => {
                self.stores_watch.mark_changed();
                return Err(error.into());
            }
        };
        let position = self.scout.as_ref().map_or(self.next_seq, |scout| scout.position);
        for (name, store) in stores.iter().filter(|(_, store)| store.columns.are_kept()) {
            // What was appended before this store was known is read again for it.
            let from = store.oldest_seq().clamp(position, self.next_seq);
            let new = || Table::closed(store.columns, from);
            self.tables.entry(name.clone()).or_insert_with(new);
        }
        for (name, table) in &mut self.tables {
            table.leaving = *name != TableName::history() && stores.get(name).is_none();
        }
        self.tables.retain(|_, table| !table.leaving || table.committing.is_some());
        self.stores = Arc::new(stores);
        self.stores_seen = Some(seen);
        Ok(())
    }

    async fn open_tables(&mut self) {
        let elapsed = self.node.clock.elapsed();
        for (name, table) in &mut self.tables {
            let Stand::Closed { from } = table.stand else { continue };
            if table.leaving || is_resting(table.refusal, elapsed) {
                continue;
            }
            match self.node.lake.open_table(name, table.columns).await {
                Ok(committed) => {
                    table.committed = committed;
                    table.refusal = None;
                    table.stand = match from < self.next_seq {
                        true => Stand::Behind { from, reader: None },
                        false => Stand::Following,
                    };
                }
                Err(fault) => {
                    self.node.metrics.lake_failed("open", name);
                    report(name, "open", &fault, table.refusal);
                    table.refusal = Some(Trouble::after(table.refusal, elapsed));
                }
            }
        }
    }

    /// The table refused rows from entry `from` on: they are read again for it later.
    fn set_aside(&mut self, name: &TableName, from: u64, fault: &LakeFault) {
        let elapsed = self.node.clock.elapsed();
        self.node.metrics.lake_failed("append", name);
        let Some(table) = self.tables.get_mut(name) else { return };
        report(name, "append", fault, table.refusal);
        table.refusal = Some(Trouble::after(table.refusal, elapsed));
        table.stand = match fault {
            // What was in its memory is gone with it.
            LakeFault::NoSuchTable(_) => {
                let from = table.needs(from).min(from);
                (table.hot, table.committing, table.commit_failure) = (None, None, None);
                Stand::Closed { from }
            }
            _ => Stand::Behind { from, reader: None },
        };
    }

    // --- appending

    /// Appends what was read to the tables that follow. Says whether there was anything.
    async fn index(&mut self) -> Turn {
        let following = self
            .tables
            .iter()
            .filter(|(_, table)| matches!(table.stand, Stand::Following) && !table.leaving);
        let lanes: Vec<Lane> =
            following.map(|(name, table)| Lane::new(name, table.committed)).collect();
        let (stores, own) = (self.stores.clone(), self.node.settings.region.clone());
        let (judged, to, count) = self
            .on_thread(move |scout| {
                (
                    judge(&scout.entries, &lanes, &stores, &own),
                    scout.reader.position(),
                    scout.entries.len(),
                )
            })
            .await?;
        if count == 0 {
            return Ok(More::No);
        }
        self.append(judged, self.next_seq).await?;
        self.next_seq = to;
        self.on_thread(|scout| scout.entries.clear()).await?;
        Ok(More::Yes)
    }

    /// Appends rows to the tables that want them; `from` is the first entry they were read from. A
    /// table that refuses is set aside. Fails only where no table is named, and nothing was added.
    async fn append(&mut self, mut judged: Judged, from: u64) -> Result<(), Fault> {
        for (seq, reason) in &judged.unreadable {
            self.unreadable(*seq, reason);
        }
        judged.wanted.retain(|(_, places)| !places.is_empty());
        let unreadable = loop {
            if judged.wanted.is_empty() {
                return Ok(());
            }
            match self.node.lake.append(judged.rows.clone(), judged.wanted.clone()).await {
                Ok(unreadable) => break unreadable,
                Err(fault) => {
                    let is_named =
                        |(name, _): &(TableName, Vec<u32>)| name.as_str() == fault.table();
                    let Some(at) = judged.wanted.iter().position(is_named) else {
                        return Err(fault.into());
                    };
                    let (name, _) = judged.wanted.swap_remove(at);
                    self.set_aside(&name, from, &fault);
                }
            }
        };
        for (seq, reason) in &unreadable {
            self.unreadable(*seq, reason);
        }
        let elapsed = self.node.clock.elapsed();
        let mut rows = 0;
        for (name, places) in &judged.wanted {
            rows += places.len() as u64;
            let first = places.first().and_then(|place| judged.rows.get(*place as usize));
            if let (Some(table), Some(first)) = (self.tables.get_mut(name), first) {
                table.hot.get_or_insert(HotSince { seq: first.seq, elapsed });
                if table.refusal.take().is_some() {
                    tracing::info!(table = name.as_str(), "the table takes rows again");
                }
            }
        }
        let now_ms = self.node.clock.now().as_millisecond();
        let waited_ms = judged.oldest_accepted_ms.map_or(0, |oldest_ms| now_ms - oldest_ms);
        self.node
            .metrics
            .indexed(rows, Duration::from_millis(u64::try_from(waited_ms).unwrap_or(0)));
        Ok(())
    }

    fn unreadable(&self, seq: u64, reason: &str) {
        tracing::error!(seq, reason, "an event cannot be read and is left out of the lake");
        self.node.metrics.event_unindexable();
    }

    /// One batch for each table that missed something and has rested.
    async fn catch_up(&mut self) -> Turn {
        let elapsed = self.node.clock.elapsed();
        let is_due = |table: &Table| {
            matches!(table.stand, Stand::Behind { .. })
                && !table.leaving
                && !is_resting(table.refusal, elapsed)
                && table.commit_failure.is_none()
        };
        let due: Vec<TableName> = self
            .tables
            .iter()
            .filter(|(_, table)| is_due(table))
            .map(|(name, _)| name.clone())
            .collect();
        let mut more = More::No;
        for name in due {
            if self.is_full() {
                break;
            }
            self.catch_up_one(&name).await?;
            more = More::Yes;
        }
        Ok(more)
    }

    async fn catch_up_one(&mut self, name: &TableName) -> Result<(), Fault> {
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        let Stand::Behind { from, reader } = &mut table.stand else { return Ok(()) };
        let (from, reader) = (*from, reader.take());
        let lanes = [Lane::new(name, table.committed)];
        let (stores, own) = (self.stores.clone(), self.node.settings.region.clone());
        let (journal, to) = (self.node.journal.clone(), self.next_seq);
        let bytes_max = self.node.settings.lake.read_bytes_max;
        let (reader, judged) = blocking(move || {
            let mut reader = match reader {
                Some(reader) => reader,
                None => journal.reader(from)?,
            };
            let mut entries = reader.next_batch(bytes_max)?;
            // From there on the table follows the others.
            entries.retain(|entry| entry.seq < to);
            Ok::<_, journal::ReadError>((reader, judge(&entries, &lanes, &stores, &own)))
        })
        .await??;
        let read = reader.position().min(to);
        self.append(judged, from).await?;
        let Some(table) = self.tables.get_mut(name) else { return Ok(()) };
        // Unless it refused again.
        if let Stand::Behind { from: still, .. } = &table.stand
            && !is_resting(table.refusal, self.node.clock.elapsed())
            && *still == from
        {
            table.stand = match read < to {
                true => Stand::Behind { from: read, reader: Some(reader) },
                false => Stand::Following,
            };
        }
        Ok(())
    }

    // --- committing

    fn hot(&self, name: &TableName, table: &Table) -> Hot {
        match (table.hot, table.committing) {
            (None, None) => Hot::default(),
            _ => self.node.lake.hot(name),
        }
    }

    fn hot_bytes(&self, which: impl Fn(&Table) -> bool) -> u64 {
        let tables = self.tables.iter().filter(|(_, table)| which(table));
        tables.map(|(name, table)| self.hot(name, table).bytes).sum()
    }

    /// Must appending wait for commits? Tables whose commits fail do not count: they stand aside.
    fn is_full(&self) -> bool {
        self.hot_bytes(|table| table.commit_failure.is_none())
            > self.node.settings.lake.hot_bytes_max
            && !self.commits.is_empty()
    }

    /// Begins the commits that are due. They go on beside the turns that follow.
    fn commit_due(&mut self) {
        let elapsed = self.node.clock.elapsed();
        let settings = &self.node.settings.lake;
        let total_bytes = self.hot_bytes(|_| true);
        let is_pressed = self.node.is_stopping() || total_bytes > settings.hot_bytes_max;
        let mut due = Vec::new();
        for (name, table) in &self.tables {
            let Some(hot) = table.hot else { continue };
            let is_due = is_pressed
                || elapsed.saturating_sub(hot.elapsed) >= settings.commit_interval
                || self.hot(name, table).bytes >= settings.commit_bytes;
            if is_due
                && table.committing.is_none()
                && !table.leaving
                && !is_resting(table.commit_failure, elapsed)
            {
                due.push(name.clone());
            }
        }
        for name in due {
            self.commit(name);
        }
        self.bound_failing(total_bytes);
    }

    fn commit(&mut self, name: TableName) {
        let Some(table) = self.tables.get_mut(&name) else { return };
        let Some(hot) = table.hot.take() else { return };
        let through = table.appended_to(self.next_seq) - 1;
        table.committing = Some((hot, through));
        let commit = self.node.lake.commit(&name, through);
        self.commits.spawn(async move {
            let done = commit.await;
            (name, done)
        });
    }

    fn take_ended_commits(&mut self) {
        while let Some(ended) = self.commits.try_join_next() {
            self.take_ended(ended);
        }
    }

    fn take_ended(
        &mut self,
        ended: Result<(TableName, Result<(), LakeFault>), tokio::task::JoinError>,
    ) {
        match ended {
            Ok((name, done)) => self.committed(&name, done),
            // What it did is unknown: this worker must not go on, which ends the process.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(cancelled) => tracing::error!(error = %cancelled, "a commit was cut off"),
            },
        }
    }

    fn committed(&mut self, name: &TableName, done: Result<(), LakeFault>) {
        let elapsed = self.node.clock.elapsed();
        let Some(table) = self.tables.get_mut(name) else { return };
        let Some((hot, through)) = table.committing.take() else { return };
        match done {
            Ok(()) => {
                table.committed = table.committed.max(through);
                if table.commit_failure.take().is_some() {
                    tracing::info!(table = name.as_str(), "the table can be committed again");
                }
                self.node.metrics.table_committed();
            }
            Err(fault) => {
                // The rows are in memory still, and older than those that came meanwhile.
                table.hot = Some(hot);
                self.node.metrics.lake_failed("commit", name);
                report(name, "commit", &fault, table.commit_failure);
                table.commit_failure = Some(Trouble::after(table.commit_failure, elapsed));
            }
        }
        if table.leaving {
            self.tables.remove(name);
        }
    }

    /// A table whose commits fail keeps its rows in memory, so it must not get ever more of them.
    fn bound_failing(&mut self, total_bytes: u64) {
        let settings = &self.node.settings.lake;
        let (is_pressed, bytes_max) = (total_bytes > settings.hot_bytes_max, settings.commit_bytes);
        for (name, table) in &mut self.tables {
            let fails = table.commit_failure.is_some() && matches!(table.stand, Stand::Following);
            if fails && (is_pressed || self.node.lake.hot(name).bytes >= bytes_max) {
                table.stand = Stand::Behind { from: self.next_seq, reader: None };
            }
        }
    }

    // --- the cursor

    async fn move_cursor(&mut self) -> Result<(), Fault> {
        let needs = self.tables.values().map(|table| table.needs(self.next_seq));
        let position = needs.fold(self.next_seq, u64::min);
        // Losing a move costs reading again, so one sync a second is plenty.
        let elapsed = self.node.clock.elapsed();
        let stopping = self.node.is_stopping();
        let journal = self.node.journal.clone();
        self.on_thread(move |scout| {
            let due = elapsed.saturating_sub(scout.moved_at) >= Duration::from_secs(1) || stopping;
            if !due {
                return Ok(());
            }
            let mut cursor = match scout.cursor.take() {
                Some(cursor) => cursor,
                None => journal.cursor(CURSOR)?,
            };
            if position > cursor.position() {
                cursor.advance(position)?;
                scout.moved_at = elapsed;
                scout.position = position;
            }
            scout.cursor = Some(cursor);
            Ok::<_, journal::CursorError>(())
        })
        .await??;
        Ok(())
    }

    fn publish(&self) {
        let mut progress = Progress { next_seq: self.next_seq, ..Progress::default() };
        progress.position = self.scout.as_ref().map_or(0, |scout| scout.position);
        let mut open = BTreeSet::new();
        for (name, table) in &self.tables {
            let hot = self.hot(name, table);
            progress.hot.rows += hot.rows;
            progress.hot.bytes += hot.bytes;
            progress.behind += u64::from(!matches!(table.stand, Stand::Following));
            progress.failing +=
                u64::from(table.refusal.is_some() || table.commit_failure.is_some());
            if !matches!(table.stand, Stand::Closed { .. }) && !table.leaving {
                open.insert(name.clone());
            }
        }
        let is_clear = self.tables.values().all(|table| !table.leaving);
        self.node.indexing.set(progress, open, self.stores_seen.filter(|_| is_clear));
    }
}

#[async_trait]
impl Worker for IndexEvents {
    async fn tick(&mut self) -> Turn {
        self.take_ended_commits();
        if !self.is_full() {
            let bytes_max = self.node.settings.lake.read_bytes_max;
            self.on_thread(move |scout| scout.read(bytes_max)).await??;
        }
        // Looked at after reading: a store's state is stored before an entry that it is the first
        // to want is acknowledged, so the states of all that was read are there now.
        self.reload_stores().await?;
        self.open_tables().await;
        let appended = self.index().await?;
        let caught_up = self.catch_up().await?;
        self.commit_due();
        self.move_cursor().await?;
        self.publish();
        let more = appended == More::Yes || caught_up == More::Yes;
        Ok(if more { More::Yes } else { More::No })
    }

    /// Commits what is in memory, so that the next start has less to read again.
    async fn last(&mut self) -> Turn {
        self.tick().await?;
        while let Some(ended) = self.commits.join_next().await {
            self.take_ended(ended);
            // Rows that came while the same table was being committed.
            self.commit_due();
        }
        self.move_cursor().await?;
        self.publish();
        Ok(More::No)
    }
}

impl Scout {
    fn read(&mut self, bytes_max: usize) -> Result<(), journal::ReadError> {
        // What an earlier turn could not append comes first.
        if self.entries.is_empty() {
            self.entries = self.reader.next_batch(bytes_max)?;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done),
        // What it held is gone: this worker must not go on, which ends the process.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(cancelled) => Err(cancelled.into()),
        },
    }
}
