//! How does a file survive?
//!
//! The filesystem seam: every write in Cairn goes through [`Disk`], so that tests can replace the
//! disk with one that fails, fills up or loses what was not synced ([`FaultyDisk`]).
//!
//! The rules, in one place:
//! - a file is durable after `sync_data` on it **and**, when it is new or renamed, `sync_dir` on its folder;
//! - a whole file is replaced by [`write_atomic`]: temporary name, sync, rename, sync the folder;
//! - a failed sync is never retried on the same file (the kernel may have dropped the pages): the
//!   caller stops trusting the file.
//!
//! Invariant: this is the only crate that opens files for writing. Reading is plain `std::fs`.

mod faulty;
mod lock;
mod real;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

pub use faulty::{Fault, FaultyDisk};
pub use lock::{FolderLock, LockError};
pub use real::RealDisk;

/// Where files are made, renamed and removed. All calls block; async callers use `spawn_blocking`.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Makes a new file for writing with permission bits `mode` (such as `0o600`);
    /// `AlreadyExists` if there is one.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for writing, without truncating it.
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames, replacing what is there. Durable only after `sync_dir` on the folder(s).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives the file a second name, which must not exist yet. Durable only after `sync_dir`.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the folder and its missing parents, and syncs each parent that got a new entry.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder (new, renamed, removed names) durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Bytes free for an unprivileged writer on the filesystem that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// One file open for writing.
pub trait DiskFile: Send + fmt::Debug {
    /// Writes all of `bytes` at `offset`, extending the file if needed.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves room so that later writes below `len` do not grow the file (fallocate).
    fn preallocate(&mut self, len: u64) -> io::Result<()>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// fdatasync: contents, and the length if it changed.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// Replaces (or makes) the file `path` with `bytes`, so that a crash shows the old or the new
/// contents and nothing between. Durable when it returns.
///
/// The temporary file lies in the same folder as `.{name}.{random}.tmp`; leftovers of a crash carry
/// the ending `.tmp` and may be removed by whoever owns the folder.
pub fn write_atomic(disk: &dyn Disk, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = disk.create_new(&temporary, mode)?;
        file.write_all_at(bytes, 0)?;
        file.sync_data()?;
        drop(file);
        disk.rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = disk.remove_file(&temporary);
    }
    written?;
    disk.sync_dir(folder)
}

/// A name in the same folder that no other writer uses: `.{name}.{random}.tmp`. Whoever makes the
/// file does so with `create_new`, so even equal random numbers could not mix two files.
pub fn temporary_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    // File names end at 255 bytes; keys may be that long already.
    let name: String = name.chars().take(40).collect();
    // Every `RandomState` has its own keys, seeded by the operating system.
    let random = RandomState::new().hash_one(path);
    path.with_file_name(format!(".{name}.{random:016x}.tmp"))
}

/// True for an errno that means "no room now, ask again later" (`ENOSPC`, `EDQUOT`).
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
