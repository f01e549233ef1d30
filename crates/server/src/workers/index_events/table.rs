//! Where each table stands: how much it has been given, what of that is durable, and what fails.

use std::time::Duration;

use journal::Reader;

use crate::lake::{Columns, LakeFault, TableName};

/// A table that failed rests for the first of these, then twice as long each time up to the second.
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(30);

/// A table of the lake, as the indexing worker sees it.
pub struct Table {
    pub columns: Columns,
    pub stand: Stand,
    /// The journal position of its last commit.
    pub committed: u64,
    /// Rows that are only in memory.
    pub hot: Option<HotSince>,
    /// Those of them that a commit is writing, up to `through`.
    pub committing: Option<(HotSince, u64)>,
    /// It could not be opened, or refused rows.
    pub refusal: Option<Trouble>,
    pub commit_failure: Option<Trouble>,
    /// Its store is gone; it stays only until its commit has ended.
    pub leaving: bool,
}

/// Whether the table is given what the others are given.
pub enum Stand {
    /// Entries from here on have not been appended; nor have they in `Behind`.
    Closed {
        from: u64,
    },
    Behind {
        from: u64,
        reader: Option<Reader>,
    },
    Following,
}

#[derive(Debug, Clone, Copy)]
pub struct HotSince {
    /// The first entry that is only in memory.
    pub seq: u64,
    pub elapsed: Duration,
}

/// What failed rests until then.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub attempts: u32,
    pub until: Duration,
}

impl Table {
    pub fn closed(columns: Columns, from: u64) -> Table {
        Table {
            columns,
            stand: Stand::Closed { from },
            committed: 0,
            hot: None,
            committing: None,
            refusal: None,
            commit_failure: None,
            leaving: false,
        }
    }

    /// Entries below have been appended.
    pub fn appended_to(&self, next_seq: u64) -> u64 {
        match self.stand {
            Stand::Closed { from } | Stand::Behind { from, .. } => from,
            Stand::Following => next_seq,
        }
    }

    /// The first entry that has to be read again after a crash.
    pub fn needs(&self, next_seq: u64) -> u64 {
        let hot = self.hot.iter().chain(self.committing.iter().map(|(hot, _)| hot));
        hot.map(|hot| hot.seq).fold(self.appended_to(next_seq), u64::min)
    }
}

impl Trouble {
    /// The next one after `before`.
    pub fn after(before: Option<Trouble>, elapsed: Duration) -> Trouble {
        let attempts = before.map_or(0, |before| before.attempts + 1);
        let rest = REST_MIN.saturating_mul(1 << attempts.min(16)).min(REST_MAX);
        Trouble { attempts, until: elapsed + rest }
    }
}

pub fn is_resting(trouble: Option<Trouble>, elapsed: Duration) -> bool {
    trouble.is_some_and(|trouble| elapsed < trouble.until)
}

/// Once as an error; while it lasts, the metrics tell.
pub fn report(name: &TableName, step: &str, fault: &LakeFault, before: Option<Trouble>) {
    let table = name.as_str();
    let error = fault as &dyn std::error::Error;
    match before {
        None => tracing::error!(table, step, error, "a table of the lake fails; it is tried again"),
        Some(_) => tracing::debug!(table, step, error, "a table of the lake fails still"),
    }
}
