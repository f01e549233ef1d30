//! The files of this machine as an object store whose puts are durable.
//!
//! Listing and removing are `object_store`'s own. Its puts do not sync, so a commit of a
//! table could be torn by a power failure: here a file gets its name only after its bytes are on
//! the disk, and the put returns only after the name is.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use durable::{Disk, temporary_beside};
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutPayloadMut, PutResult,
    Result, UploadPart,
};

const FILE_MODE: u32 = 0o600;
const STORE: &str = "folder";

#[derive(Debug, Clone)]
pub struct Folder {
    files: Arc<LocalFileSystem>,
    disk: Arc<dyn Disk>,
}

impl Folder {
    /// Paths in it begin at the root of the file system.
    pub fn new(disk: Arc<dyn Disk>) -> Folder {
        Folder { files: Arc::new(LocalFileSystem::new()), disk }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.files)
    }
}

/// Writes a file under its final name, replacing what is there or not.
fn write(
    disk: &dyn Disk,
    path: &FilePath,
    payload: &PutPayload,
    is_new: bool,
) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(FilePath::new("."));
    if !parent.exists() {
        disk.create_dir_all(parent)?;
    }
    let temporary = temporary_beside(path);
    let written = (|| {
        let mut file = disk.create_new(&temporary, FILE_MODE)?;
        let mut offset = 0;
        for part in payload {
            file.write_all_at(part, offset)?;
            offset += part.len() as u64;
        }
        file.sync_data()?;
        drop(file);
        if is_new {
            // A second writer's file of that name makes this fail, which a rename would not.
            disk.hard_link(&temporary, path)?;
            disk.remove_file(&temporary)
        } else {
            disk.rename(&temporary, path)
        }
    })();
    if written.is_err() {
        let _ = disk.remove_file(&temporary);
    }
    written?;
    disk.sync_dir(parent)
}

fn read(path: &FilePath, ranges: &[Range<u64>]) -> std::io::Result<Vec<Bytes>> {
    let mut file = File::open(path)?;
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        let length = range.end.saturating_sub(range.start);
        let mut part = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.seek(SeekFrom::Start(range.start))?;
        if file.by_ref().take(length).read_to_end(&mut part)? as u64 != length {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        parts.push(part.into());
    }
    Ok(parts)
}

fn failed(path: PathBuf, error: std::io::Error) -> Error {
    let path = path.display().to_string();
    match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
        _ => Error::Generic { store: STORE, source: error.into() },
    }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_new = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "put of a given version".to_owned(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.files.path_to_filesystem(location)?;
        let disk = self.disk.clone();
        tokio::task::spawn_blocking(move || {
            write(disk.as_ref(), &path, &payload, is_new).map_err(|error| failed(path, error))
        })
        .await
        .map_err(|source| Error::JoinError { source })??;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (store, location) = (self.clone(), location.clone());
        Ok(Box::new(Parts { store, location, parts: PutPayloadMut::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    /// Reads on the thread that asks: tables have threads of their own, and handing a read to another
    /// takes longer than most reads.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        match read(&self.files.path_to_filesystem(location)?, ranges) {
            Ok(parts) => Ok(parts),
            // What is wrong is said by the one who knows.
            Err(_) => self.files.get_ranges(location, ranges).await,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

/// Parts are kept in memory until the last: checkpoints are the largest thing that comes in parts.
#[derive(Debug)]
struct Parts {
    store: Folder,
    location: Path,
    parts: PutPayloadMut,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        for part in data {
            self.parts.push(part);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = std::mem::take(&mut self.parts).freeze();
        self.store.put_opts(&self.location, payload, PutOptions::default()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts = PutPayloadMut::new();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use durable::{FaultyDisk, RealDisk};
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn a_second_commit_of_one_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::new(Arc::new(RealDisk));
        let path = Path::from_absolute_path(folder.path().join("t/_delta_log/0.json")).unwrap();
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "first".into(), create()).await.unwrap();
        let second = store.put_opts(&path, "second".into(), create()).await;
        assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "first");
        store.put(&path, "third".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "third");
        let names: Vec<_> =
            std::fs::read_dir(folder.path().join("t/_delta_log")).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing temporary is left");
    }

    #[tokio::test]
    async fn what_was_put_survives_a_power_failure() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let disk = FaultyDisk::new(&data).unwrap();
        let store = Folder::new(Arc::new(disk.clone()));
        let path = Path::from_absolute_path(data.join("a/b/c")).unwrap();
        store.put(&path, "kept".into()).await.unwrap();
        let left = folder.path().join("left");
        disk.power_loss(&left, 0).unwrap();
        assert_eq!(std::fs::read(left.join("a/b/c")).unwrap(), b"kept");
    }
}
