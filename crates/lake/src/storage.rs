//! Where tables lie: each in a folder of its own, in a folder of this machine or in a bucket of any
//! S3 store.

mod folder;

use std::path::Path;
use std::sync::Arc;

use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use durable::Disk;
use object_store::ObjectStore;
use object_store::prefix::PrefixStore;
use url::Url;

use folder::Folder;

/// The store of all tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    root: Arc<dyn ObjectStore>,
    /// Ends with a slash.
    url: Url,
    /// Before every table's name, without slashes around it.
    prefix: object_store::path::Path,
}

#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("open {folder} for tables")]
    Folder {
        folder: String,
        #[source]
        source: object_store::Error,
    },
    #[error("{0} is no place for tables")]
    Url(String),
}

impl Storage {
    /// Tables in a folder of this machine, which is there. What is written through `disk` is
    /// durable when the write returns.
    pub fn folder(folder: &Path, disk: Arc<dyn Disk>) -> Result<Storage, StorageError> {
        let failed = |source| StorageError::Folder { folder: folder.display().to_string(), source };
        let whole = folder.canonicalize().map_err(|error| {
            failed(object_store::Error::Generic { store: "folder", source: error.into() })
        })?;
        let prefix = object_store::path::Path::from_absolute_path(&whole)
            .map_err(|error| failed(error.into()))?;
        // Delta's kernel looks for the place of a `file:` URL itself, so paths begin at the root.
        let url = Url::from_directory_path(&whole)
            .map_err(|()| StorageError::Url(whole.display().to_string()))?;
        Ok(Storage { root: Arc::new(Folder::new(disk)), url, prefix })
    }

    /// Tables in a bucket: `url` such as `s3://bucket/prefix`, `root` begins at the bucket.
    pub fn bucket(root: Arc<dyn ObjectStore>, url: &str) -> Result<Storage, StorageError> {
        let wrong = || StorageError::Url(url.to_owned());
        let url = Url::parse(url.trim_end_matches('/')).map_err(|_| wrong())?;
        let prefix = object_store::path::Path::from_url_path(url.path()).map_err(|_| wrong())?;
        let url = Url::parse(&format!("{url}/")).map_err(|_| wrong())?;
        Ok(Storage { root, url, prefix })
    }

    /// The folder of a table, as a store of its own.
    pub fn table(&self, name: &str) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(self.root.clone(), self.prefix.clone().join(name)))
    }

    pub(crate) fn log(&self, name: &str) -> Result<LogStoreRef, StorageError> {
        let url =
            self.url.join(&format!("{name}/")).map_err(|e| StorageError::Url(e.to_string()))?;
        Ok(default_logstore(self.table(name), self.root.clone(), &url, &StorageConfig::default()))
    }
}
