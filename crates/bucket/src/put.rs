//! Writing an object (or a part), chunk by chunk, out of sight until it is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::DiskFile;
use jiff::Timestamp;
use md5::{Digest, Md5};

use crate::error::{At, METADATA_BYTES_MAX};
use crate::{Bucket, FILE_MODE, Headers, ObjectFacts, Result, Store, StoreError};
use crate::{names, parent, path};

/// What must be true of the key at the moment the new object becomes visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    #[default]
    None,
    /// `If-None-Match: *`: there is no object.
    Absent,
    /// `If-Match`: there is one with this ETag (without quotes).
    ETag(String),
}

/// An object being written. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Writing {
    bucket: Arc<Bucket>,
    key: String,
    temporary: PathBuf,
    /// `None` once the file has been renamed away.
    file: Option<Box<dyn DiskFile>>,
    size: u64,
    md5: Md5,
}

impl Store {
    /// Begins an object. Nothing shows until [`Writing::commit`].
    pub fn put(&self, bucket: &str, key: &str) -> Result<Writing> {
        names::check_key(key)?;
        Writing::begin(self.find(bucket)?, key)
    }

    /// Copies an object within the store. `headers: None` keeps those of the source.
    pub fn copy(
        &self,
        (from_bucket, from_key): (&str, &str),
        (to_bucket, to_key): (&str, &str),
        headers: Option<Headers>,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<ObjectFacts> {
        let source = self.get(from_bucket, from_key)?;
        let mut writing = self.put(to_bucket, to_key)?;
        writing.copy_from(&source, 0..source.facts.size)?;
        // The copy is one whole object, so its ETag is its MD5 even if the source came in parts.
        let headers = headers.unwrap_or_else(|| source.facts.headers.clone());
        writing.commit(headers, condition, now)
    }
}

impl Writing {
    pub(crate) fn begin(bucket: Arc<Bucket>, key: &str) -> Result<Self> {
        let temporary = bucket.shared.temporary_path();
        let file = bucket.shared.disk.create_new(&temporary, FILE_MODE).at("create", &temporary)?;
        Ok(Self {
            bucket,
            key: key.to_owned(),
            temporary,
            file: Some(file),
            size: 0,
            md5: Md5::new(),
        })
    }

    /// Adds bytes at the end.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.md5.update(bytes);
        self.append(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The MD5 of the bytes written so far.
    pub fn md5(&self) -> [u8; 16] {
        self.md5.clone().finalize().into()
    }

    /// Makes the object durable and visible, replacing the one before it.
    /// After an error the key holds the old object or the new one, whole; after
    /// [`StoreError::PreconditionFailed`] and [`StoreError::DiskFull`] the old one.
    pub fn commit(
        self,
        headers: Headers,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<ObjectFacts> {
        let etag = hex::encode(self.md5());
        self.commit_as(etag, headers, condition, now)
    }

    pub(crate) fn commit_as(
        mut self,
        etag: String,
        headers: Headers,
        condition: &Condition,
        now: Timestamp,
    ) -> Result<ObjectFacts> {
        check_user_metadata(&headers)?;
        let facts = ObjectFacts::new(&self.key, self.size, etag, now, headers);
        self.finish_file(&facts)?;
        let bucket = self.bucket.clone();
        let target = path::file_of(&bucket.objects(), &self.key);
        let _key = bucket.keys.lock(&self.key);
        let _presence = bucket.present()?;
        bucket.check(&self.key, condition)?;
        bucket.make_folder(parent(&target))?;
        self.move_to(&target)?;
        Ok(facts)
    }

    /// Writes the facts behind the data and syncs the file. Nothing shows yet.
    pub(crate) fn finish_file(&mut self, facts: &ObjectFacts) -> Result<()> {
        self.append(&facts.ending())?;
        let file = self.file.as_mut().expect("open until it is moved");
        file.sync_data().at("sync", &self.temporary)
    }

    /// Shows the finished file under its name. The caller holds what keeps `target`'s folder in place.
    pub(crate) fn move_to(&mut self, target: &Path) -> Result<()> {
        let disk = &self.bucket.shared.disk;
        disk.rename(&self.temporary, target).at("rename to", target)?;
        self.file = None;
        let folder = parent(target);
        disk.sync_dir(folder).at("sync", folder)
    }

    pub(crate) fn copy_from(
        &mut self,
        source: &crate::ObjectReader,
        range: std::ops::Range<u64>,
    ) -> Result<()> {
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = range.start;
        while offset < range.end {
            let wanted = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
            let wanted = wanted.min(buffer.len());
            let read = source.read_at(&mut buffer[..wanted], offset).at("read", &self.temporary)?;
            if read == 0 {
                break;
            }
            self.write(&buffer[..read])?;
            offset += read as u64;
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().expect("open until it is moved");
        file.write_all_at(bytes, self.size).at("write", &self.temporary)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // If this fails, the next start removes it.
            let _ = self.bucket.shared.disk.remove_file(&self.temporary);
        }
    }
}

impl Bucket {
    fn check(&self, key: &str, condition: &Condition) -> Result<()> {
        if *condition == Condition::None {
            return Ok(());
        }
        match (condition, self.read(key)?) {
            (Condition::ETag(_), None) => Err(StoreError::NoSuchKey(key.to_owned())),
            (Condition::ETag(etag), Some(there)) if there.facts.etag != *etag => {
                Err(StoreError::PreconditionFailed("If-Match"))
            }
            (Condition::Absent, Some(_)) => Err(StoreError::PreconditionFailed("If-None-Match")),
            _ => Ok(()),
        }
    }
}

/// The limit that S3 sets on user metadata.
pub(crate) fn check_user_metadata(headers: &Headers) -> Result<()> {
    let bytes = headers.user.iter().map(|(name, value)| name.len() + value.len()).sum();
    match bytes <= METADATA_BYTES_MAX {
        true => Ok(()),
        false => Err(StoreError::MetadataTooLarge(bytes)),
    }
}
