//! What the workers of the lake tell each other: which tables are open, and how far each has come.
//!
//! Only memory: after a restart everything is opened and read again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use crate::lake::{Hot, TableName};

#[derive(Debug, Default)]
pub struct Indexing {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    progress: Progress,
    open: BTreeSet<TableName>,
    stores_seen: Option<u64>,
}

/// For /metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The next entry to make visible.
    pub next_seq: u64,
    /// The next entry to read after a restart.
    pub position: u64,
    /// Rows of all tables that are only in memory.
    pub hot: Hot,
    /// Tables that are not open, or refuse rows.
    pub behind: u64,
    /// Tables that could not be opened, or refused rows or a commit, the last time it was tried.
    pub failing: u64,
}

impl Indexing {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock can panic")
    }

    pub fn progress(&self) -> Progress {
        self.lock().progress
    }

    /// What the indexing worker holds after a turn. `stores_seen` counts the changes of event data
    /// stores (see `Node::stores_watch`) that it knows of: it touches no table any more that those
    /// took away.
    pub fn set(&self, progress: Progress, open: BTreeSet<TableName>, stores_seen: Option<u64>) {
        *self.lock() = Inner { progress, open, stores_seen };
    }

    pub fn is_open(&self, table: &TableName) -> bool {
        self.lock().open.contains(table)
    }

    /// Does the indexing worker know of the first `changes` changes of event data stores?
    pub fn has_seen(&self, changes: u64) -> bool {
        self.lock().stores_seen.is_some_and(|seen| seen >= changes)
    }
}
