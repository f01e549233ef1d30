//! Where tables lie: each in a folder of its own, in a folder of this machine or in a bucket of any
//! S3 store.

mod bucket;
mod folder;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use durable::Disk;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::sync::OnceCell;
use url::Url;

use bucket::Bucket;
pub use bucket::BucketSettings;
use folder::Folder;

/// The store of all tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    root: Arc<dyn ObjectStore>,
    /// Ends with a slash.
    url: Url,
    /// Before every table's name, without slashes around it.
    prefix: object_store::path::Path,
    /// None for a folder, which is tried by the first file that is written.
    untried: Option<Arc<Untried>>,
}

/// A bucket that has to be looked at before a table of it is opened.
#[derive(Debug)]
struct Untried {
    bucket: Arc<Bucket>,
    node: String,
    done: OnceCell<()>,
}

/// The operator acts on all of them but the last, which passes.
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
    #[error("the bucket of {place} is not there: make it, or correct tables.url")]
    NoBucket { place: String },
    #[error(
        "the store does not let us into {place}: check the access key, the Region to sign for, and \
         that this key may get, put, list and delete there"
    )]
    Denied {
        place: String,
        #[source]
        source: object_store::Error,
    },
    #[error(
        "the store of {place} replaces a file that must not be replaced (it does not know \
         `If-None-Match: *`), so two writers could undo each other's commits: use a store that does, \
         such as AWS S3 or MinIO; or, if this node is the only one that ever writes there, say so \
         with only_writer = true under [tables]"
    )]
    NoConditionalPut { place: String },
    #[error(
        "the store of {place} does not list what it was just given: tables cannot be kept there"
    )]
    Unlisted { place: String },
    #[error(
        "the tables in {place} belong to another node ({owner}), whose journal they continue: give this \
         node another prefix with tables.url, or start it with that node's data folder"
    )]
    Taken { place: String, owner: String },
    #[error("the store of {place} cannot be reached")]
    Away {
        place: String,
        #[source]
        source: object_store::Error,
    },
}

impl StorageError {
    fn of(place: &str, source: object_store::Error) -> StorageError {
        let place = place.to_owned();
        match source {
            object_store::Error::NotFound { .. } => StorageError::NoBucket { place },
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => StorageError::Denied { place, source },
            // Such as a Region to sign for that is not the store's.
            _ if is_refusal(&chain_of(&source)) => StorageError::Denied { place, source },
            _ => StorageError::Away { place, source },
        }
    }

    /// Does waiting help?
    pub fn is_away(&self) -> bool {
        matches!(self, StorageError::Away { .. })
    }
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
        Ok(Storage { root: Arc::new(Folder::new(disk)), url, prefix, untried: None })
    }

    /// Tables in a bucket, of the node that is called `node`. Nothing is sent yet.
    pub fn bucket(settings: &BucketSettings, node: &str) -> Result<Storage, StorageError> {
        let wrong = || StorageError::Url(settings.url.clone());
        let url = Url::parse(settings.url.trim_end_matches('/')).map_err(|_| wrong())?;
        let name = url.host_str().filter(|_| url.scheme() == "s3").ok_or_else(wrong)?;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.port().is_none();
        if !is_plain || !url.username().is_empty() {
            return Err(wrong());
        }
        let prefix = object_store::path::Path::from_url_path(url.path()).map_err(|_| wrong())?;
        let bucket = Arc::new(
            Bucket::new(settings, name)
                .map_err(|source| StorageError::Away { place: settings.url.clone(), source })?,
        );
        let url = Url::parse(&format!("{}/", url.as_str().trim_end_matches('/')));
        let untried =
            Untried { bucket: bucket.clone(), node: node.to_owned(), done: OnceCell::new() };
        Ok(Storage {
            root: bucket,
            url: url.map_err(|_| wrong())?,
            prefix,
            untried: Some(Arc::new(untried)),
        })
    }

    /// Can tables be kept here, and are they this node's? Asks the store until it has said yes once.
    pub async fn check(&self) -> Result<(), StorageError> {
        let Some(untried) = &self.untried else { return Ok(()) };
        let look = || async {
            untried.bucket.probe(&self.prefix, self.url.as_str()).await?;
            untried.bucket.claim(&self.prefix, self.url.as_str(), &untried.node).await
        };
        untried.done.get_or_try_init(look).await.copied()
    }

    /// Can tables be kept here? Leaves nothing behind.
    pub async fn probe(&self) -> Result<(), StorageError> {
        match &self.untried {
            Some(untried) => untried.bucket.probe(&self.prefix, self.url.as_str()).await,
            None => Ok(()),
        }
    }

    /// The folder of a table, as a store of its own.
    pub fn table(&self, name: &str) -> Arc<dyn ObjectStore> {
        Arc::new(PrefixStore::new(self.root.clone(), self.prefix.clone().join(name)))
    }

    /// Where a table lies, for other engines: a URL that ends with a slash.
    pub fn location(&self, name: &str) -> String {
        format!("{}{name}/", self.url)
    }

    /// Puts a small file beside the tables, or removes it. The put is durable when this returns.
    pub async fn put_beside(&self, name: &str, bytes: Option<Bytes>) -> Result<(), StorageError> {
        self.check().await?;
        let path = self.prefix.clone().join(name);
        let done = match bytes {
            Some(bytes) => self.root.put(&path, bytes.into()).await.map(|_| ()),
            None => match self.root.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                other => other,
            },
        };
        done.map_err(|source| StorageError::of(self.url.as_str(), source))
    }

    pub(crate) fn log(&self, name: &str) -> Result<LogStoreRef, StorageError> {
        let url =
            self.url.join(&format!("{name}/")).map_err(|e| StorageError::Url(e.to_string()))?;
        Ok(default_logstore(self.table(name), self.root.clone(), &url, &StorageConfig::default()))
    }
}

/// Has the store refused the request because it does not know what is asked? It then says 501.
fn is_unknown_to_store(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. })
        || error.to_string().contains("NotImplemented")
}

/// Has the store answered, and said that asking again is of no use?
fn is_refusal(chain: &str) -> bool {
    let status = chain.split("non-2xx status code: ").nth(1).unwrap_or_default();
    status.starts_with('4') && !["408", "429"].iter().any(|passes| status.starts_with(passes))
        || chain.contains("incorrectly configured region")
}

/// An error with its causes, on one line. A cause that its effect has told already is left out.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// Does the store of a bucket stand behind an error, and not what lies in it? By the error's text
/// (see [`chain_of`]): Delta's kernel passes on no more than that.
pub fn is_of_store(chain: &str) -> bool {
    const SAID: [&str; 4] = [
        "Generic S3 error",
        "lacked the necessary privileges",
        "lacked valid authentication",
        "NoSuchBucket",
    ];
    // A part of a file that is not there any more.
    let is_cut = chain.contains("InvalidRange") || chain.contains("416 Range Not Satisfiable");
    SAID.iter().any(|said| chain.contains(said)) && !is_cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str) -> Result<String, String> {
        let settings = BucketSettings {
            url: url.to_owned(),
            endpoint: "http://127.0.0.1:1".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "key".to_owned(),
            secret_access_key: "a secret".to_owned(),
            virtual_host_style: false,
            only_writer: false,
        };
        let storage = Storage::bucket(&settings, "node").map_err(|error| error.to_string())?;
        assert!(!format!("{storage:?}{settings:?}").contains("a secret"));
        Ok(format!("{} {}", storage.url, storage.prefix))
    }

    #[test]
    fn a_place_is_a_bucket_with_or_without_a_prefix() {
        assert_eq!(check("s3://events").unwrap(), "s3://events/ ");
        assert_eq!(check("s3://events/").unwrap(), "s3://events/ ");
        assert_eq!(check("s3://events/a/b/").unwrap(), "s3://events/a/b/ a/b");
        for wrong in ["events", "file:///events", "s3://", "s3://events?x=1", "s3://me@events"] {
            assert!(check(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
    }
}
