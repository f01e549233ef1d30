//! Imports: log files that exist already go straight into an event data store's table.
//!
//! ```text
//!   StartImport ─▶ catalog ─▶ run_imports: list, fetch, lake.add … lake.commit ─▶ catalog: these files are done
//!   POST /v1/imports … PUT files … commit ─▶ doors/imports: lake.add … lake.commit ─▶ catalog: these hashes are in
//! ```
//! Files are marked only after the lake's commit. A crash in between repeats them, which changes
//! nothing: the lake drops events whose IDs it has. [`source`] reads what keys say, [`open`] holds
//! the imports of clients.

pub mod open;
pub mod source;

use std::collections::HashMap;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;

use crate::intake::Budget;

/// What imports share.
#[derive(Debug)]
pub struct Imports {
    /// Files in memory, of all imports.
    pub budget: Budget,
    pub open: open::OpenImports,
    /// Of the imports from buckets that a turn is busy with.
    stops: Mutex<HashMap<i64, CancellationToken>>,
}

impl Imports {
    pub fn new(memory_bytes_max: usize) -> Imports {
        Imports {
            budget: Budget::new(memory_bytes_max),
            open: open::OpenImports::default(),
            stops: Mutex::default(),
        }
    }

    /// Cancelled when somebody stops this import.
    pub fn watch(&self, import: i64) -> CancellationToken {
        let mut stops = self.stops.lock().expect("no holder of this lock can panic");
        stops.entry(import).or_default().clone()
    }

    pub fn unwatch(&self, import: i64) {
        self.stops.lock().expect("no holder of this lock can panic").remove(&import);
    }

    /// The import has been stopped in the catalog.
    pub fn stop(&self, import: i64) {
        let stops = self.stops.lock().expect("no holder of this lock can panic");
        if let Some(stop) = stops.get(&import) {
            stop.cancel();
        }
    }
}
