//! Where the objects to verify come from: a bucket, or a folder that mirrors one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::destination::{DeliveryFailure, Destination};

/// Beside `NAME.json.gz` in a folder: its user metadata, as JSON of texts.
const SIDECAR_ENDING: &str = ".metadata.json";
/// A signature and an algorithm; more is not a sidecar.
const SIDECAR_BYTES_MAX: u64 = 64 * 1024;

/// An object's name and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceListing {
    /// The key.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
}

/// An object's bytes and user metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceObject {
    /// The bytes, still compressed.
    pub bytes: Bytes,
    /// User metadata, keys in lower case without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
}

/// Why a source could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceFault {
    /// The object is larger than asked for.
    #[error("the object is larger than the limit")]
    TooLarge,
    /// A file or folder could not be read.
    #[error("read {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The store refused or was not reached.
    #[error("read from the store: {0}")]
    Store(#[from] DeliveryFailure),
}

/// A place with objects.
#[async_trait]
pub trait Source: Send + Sync {
    /// The bucket's name, if the source knows it.
    fn bucket(&self) -> Option<&str>;
    /// Every object whose key starts with `prefix`.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<SourceListing, SourceFault>>;
    /// An object, or `None`; `TooLarge` if it has more than `bytes_max` bytes.
    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<SourceObject>, SourceFault>;
}

#[async_trait]
impl Source for Destination {
    fn bucket(&self) -> Option<&str> {
        Some(Destination::bucket(self))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<SourceListing, SourceFault>> {
        // The token of the page to ask for; None when there is none left.
        let first: Option<Option<String>> = Some(None);
        let pages = futures::stream::unfold(first, move |next| async move {
            let token = next?;
            let (listed, next) = match Destination::list(self, prefix, token.as_deref()).await {
                Ok(page) => {
                    let listed: Vec<Result<SourceListing, SourceFault>> = page
                        .objects
                        .into_iter()
                        .map(|object| Ok(SourceListing { key: object.key, size: object.size }))
                        .collect();
                    (listed, page.next.map(Some))
                }
                Err(failure) => (vec![Err(failure.into())], None),
            };
            Some((futures::stream::iter(listed), next))
        });
        pages.flatten().boxed()
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<SourceObject>, SourceFault> {
        match Destination::get(self, key, bytes_max).await {
            Ok(None) => Ok(None),
            Ok(Some(object)) => Ok(Some(SourceObject {
                bytes: object.bytes,
                metadata: object.metadata.into_iter().collect(),
            })),
            Err(failure) if failure.code == "EntityTooLarge" => Err(SourceFault::TooLarge),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// A folder that mirrors a bucket: the path below it is the key.
///
/// A mirror made by `aws s3 sync` has no user metadata, and without its signature no digest can be
/// checked. Put it beside the file, as `NAME.json.gz.metadata.json` holding
/// `{"signature":"…","signature-algorithm":"SHA256withRSA"}`, for example with
/// `aws s3api head-object --query Metadata`. Sidecars are not objects of the mirror.
///
/// Symbolic links are not followed.
#[derive(Debug, Clone)]
pub struct FolderSource {
    root: PathBuf,
    bucket: Option<String>,
}

impl FolderSource {
    /// The mirror at `root` of `bucket`. Without a name, the first good digest tells it.
    pub fn new(root: &Path, bucket: Option<&str>) -> FolderSource {
        FolderSource { root: root.to_owned(), bucket: bucket.map(str::to_owned) }
    }

    /// The file of a key; `None` for a key that would leave the folder.
    fn path_of(&self, key: &str) -> Option<PathBuf> {
        let relative = Path::new(key);
        let inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        (inside && !key.is_empty() && !key.contains('\0')).then(|| self.root.join(relative))
    }
}

#[async_trait]
impl Source for FolderSource {
    fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<SourceListing, SourceFault>> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1024);
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        tokio::task::spawn_blocking(move || walk(&root, &prefix, &sender));
        futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|listed| (listed, receiver))
        })
        .boxed()
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<SourceObject>, SourceFault> {
        let Some(path) = self.path_of(key) else { return Ok(None) };
        let read = move || {
            let Some(bytes) = read_file(&path, bytes_max)? else { return Ok(None) };
            let mut sidecar = path.into_os_string();
            sidecar.push(SIDECAR_ENDING);
            let metadata = read_file(Path::new(&sidecar), SIDECAR_BYTES_MAX).ok().flatten();
            let metadata: Option<BTreeMap<String, String>> =
                metadata.and_then(|json| serde_json::from_slice(&json).ok());
            let metadata = metadata.unwrap_or_default().into_iter();
            let metadata = metadata.map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
            Ok(Some(SourceObject { bytes: bytes.into(), metadata }))
        };
        let reading = tokio::task::spawn_blocking(read).await;
        reading.unwrap_or_else(|e| {
            let source = io::Error::other(e.to_string());
            Err(SourceFault::File { path: self.root.clone(), source })
        })
    }
}

/// Sends every file below `root` whose key starts with `prefix`, until nobody listens.
fn walk(
    root: &Path,
    prefix: &str,
    sender: &tokio::sync::mpsc::Sender<Result<SourceListing, SourceFault>>,
) {
    // Depth first without recursion: a hostile tree may be deep.
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, key_start)) = folders.pop() {
        let outcome = (|| -> io::Result<bool> {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                // A name that is not text is no key of CloudTrail's.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let kind = entry.file_type()?;
                let key = format!("{key_start}{name}");
                if kind.is_dir() {
                    let key = format!("{key}/");
                    if key.starts_with(prefix) || prefix.starts_with(&key) {
                        folders.push((entry.path(), key));
                    }
                } else if kind.is_file()
                    && key.starts_with(prefix)
                    && !key.ends_with(SIDECAR_ENDING)
                {
                    let size = entry.metadata()?.len();
                    if sender.blocking_send(Ok(SourceListing { key, size })).is_err() {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })();
        match outcome {
            Ok(true) => {}
            Ok(false) => return,
            Err(source) => {
                let _ = sender.blocking_send(Err(SourceFault::File { path: folder, source }));
                return;
            }
        }
    }
}

fn read_file(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, SourceFault> {
    let at = |source| SourceFault::File { path: path.to_owned(), source };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(e) => return Err(at(e)),
    };
    if !file.metadata().map_err(at)?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(at)?;
    if bytes.len() as u64 > bytes_max { Err(SourceFault::TooLarge) } else { Ok(Some(bytes)) }
}
