//! One process a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Holds `{folder}/LOCK` for as long as it lives. The kernel releases it when the process ends, so
/// a crash leaves nothing to clean up, and the file itself stays.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{folder} is in use by another process (its LOCK file is held)")]
    InUse { folder: PathBuf },
    #[error("lock {file}")]
    Io {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the lock at once or says who is in the way; never waits. The folder must exist.
    pub fn take(folder: &Path) -> Result<FolderLock, LockError> {
        let file = folder.join("LOCK");
        let io = |source| LockError::Io { file: file.clone(), source };
        let held =
            OpenOptions::new().create(true).truncate(false).write(true).open(&file).map_err(io)?;
        match held.try_lock() {
            Ok(()) => Ok(FolderLock { _file: held }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse { folder: folder.to_path_buf() }),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}
