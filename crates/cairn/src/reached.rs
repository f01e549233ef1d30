//! How far each table has come, beside the tables and not among them.
//!
//! ```text
//!   DATA/tables/NAME    the version of the table's log, after each change of it
//! ```
//! A table whose folder was removed looks like one that was never begun, and one whose last log
//! entries were removed looks like an older one. Rows would be missing from every answer without a
//! word: the journal no longer has them. So what was reached is known here, and less is damage. The
//! file is written after the log, so it never claims too much.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use durable::Disk;

const FILE_MODE: u32 = 0o600;

#[derive(Debug)]
pub struct Reached {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    /// What the files say, as far as this run has written them. Held while one is written.
    written: Mutex<HashMap<String, u64>>,
}

impl Reached {
    /// In `folder`, which is made if it is not there.
    pub fn open(folder: PathBuf, disk: Arc<dyn Disk>) -> io::Result<Reached> {
        disk.create_dir_all(&folder)?;
        Ok(Reached { folder, disk, written: Mutex::default() })
    }

    /// None for a table that has never been there.
    pub fn version(&self, table: &str) -> io::Result<Option<u64>> {
        match std::fs::read_to_string(self.folder.join(table)) {
            // A file that says nothing, after a power failure: it was there, at any version.
            Ok(text) => Ok(Some(text.trim().parse().unwrap_or(0))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn note(&self, table: &str, version: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if written.get(table).is_some_and(|known| *known >= version) {
            return Ok(());
        }
        let path = self.folder.join(table);
        durable::write_atomic(
            self.disk.as_ref(),
            &path,
            version.to_string().as_bytes(),
            FILE_MODE,
        )?;
        written.insert(table.to_owned(), version);
        Ok(())
    }

    /// The table was removed on purpose.
    pub fn forget(&self, table: &str) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        written.remove(table);
        match self.disk.remove_file(&self.folder.join(table)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.disk.sync_dir(&self.folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use durable::RealDisk;

    use super::*;

    #[test]
    fn what_was_reached_is_known_after_a_restart_and_never_falls_back() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Reached::open(folder.path().join("tables"), Arc::new(RealDisk)).unwrap();
        let reached = open();
        assert_eq!(reached.version("history").unwrap(), None);
        reached.note("history", 7).unwrap();
        reached.note("history", 6).unwrap();
        assert_eq!(open().version("history").unwrap(), Some(7));
        reached.forget("history").unwrap();
        reached.forget("history").unwrap();
        assert_eq!(open().version("history").unwrap(), None);
    }
}
