//! Uploads in parts.
//!
//! An upload is a folder. Its parts are files formed as objects, so a part is replaced whole or not at
//! all. Completing writes the object from the parts, shows it, then removes the upload: a crash between
//! leaves both, and completing once more gives the same object.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{At, PART_BYTES_MIN, PARTS_MAX};
use crate::put::check_user_metadata;
use crate::{
    Bucket, Checksum, Condition, Headers, ObjectFacts, ObjectReader, Result, Store, StoreError,
};
use crate::{Writing, entries, names, read_json};

/// What is known of an upload in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadFacts {
    pub id: String,
    pub key: String,
    initiated_ms: i64,
    pub headers: Headers,
}

impl UploadFacts {
    pub fn initiated(&self) -> Timestamp {
        Timestamp::from_millisecond(self.initiated_ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A part that has been uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFacts {
    pub number: u32,
    pub size: u64,
    /// The MD5 of its bytes in hex.
    pub etag: String,
    pub last_modified: Timestamp,
    /// What its writer sent and someone has compared with the bytes.
    pub checksum: Option<Checksum>,
}

impl Store {
    /// Begins an upload; `headers` are those of the object to be.
    pub fn create_upload(
        &self,
        bucket: &str,
        key: &str,
        headers: Headers,
        now: Timestamp,
    ) -> Result<UploadFacts> {
        names::check_key(key)?;
        check_user_metadata(&headers)?;
        let bucket = self.find(bucket)?;
        let id = Uuid::new_v4().simple().to_string();
        let facts = UploadFacts {
            id: id.clone(),
            key: key.to_owned(),
            initiated_ms: now.as_millisecond(),
            headers,
        };
        let shared = &bucket.shared;
        let made = shared.temporary_path();
        shared.disk.create_dir_all(&made).at("make folder", &made)?;
        shared.write_json(&made.join("upload.json"), &facts)?;
        let _presence = bucket.present()?;
        let folder = bucket.uploads().join(&id);
        shared.disk.rename(&made, &folder).at("make upload", &folder)?;
        shared.disk.sync_dir(&bucket.uploads()).at("sync", &bucket.uploads())?;
        Ok(facts)
    }

    /// The upload `id` of this key.
    pub fn upload(&self, bucket: &str, key: &str, id: &str) -> Result<UploadFacts> {
        self.find(bucket)?.upload(key, id)
    }

    /// Begins a part; [`Store::commit_part`] ends it.
    pub fn put_part(&self, bucket: &str, key: &str, id: &str, number: u32) -> Result<Writing> {
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(StoreError::PartNumber(number));
        }
        let bucket = self.find(bucket)?;
        bucket.upload(key, id)?;
        Writing::begin(bucket, key)
    }

    /// Makes the part durable, replacing an earlier one of this number.
    pub fn commit_part(
        &self,
        mut part: Writing,
        (bucket, key, id): (&str, &str, &str),
        number: u32,
        checksum: Option<Checksum>,
        now: Timestamp,
    ) -> Result<PartFacts> {
        let bucket = self.find(bucket)?;
        let etag = hex::encode(part.md5());
        let headers = Headers { checksum, ..Headers::default() };
        let facts = ObjectFacts::new(key, part.size(), etag, now, headers);
        part.finish_file(&facts)?;
        let _upload = bucket.upload_ids.lock(id);
        let _presence = bucket.present()?;
        bucket.upload(key, id)?;
        part.move_to(&bucket.part_path(id, number))?;
        Ok(part_facts(number, &facts))
    }

    /// Copies a range of an object (`None`: all of it) into a part.
    pub fn copy_part(
        &self,
        source: &ObjectReader,
        range: Option<std::ops::Range<u64>>,
        (bucket, key, id): (&str, &str, &str),
        number: u32,
        now: Timestamp,
    ) -> Result<PartFacts> {
        let mut part = self.put_part(bucket, key, id, number)?;
        part.copy_from(source, range.unwrap_or(0..source.facts.size))?;
        self.commit_part(part, (bucket, key, id), number, None, now)
    }

    /// The parts of an upload, by number.
    pub fn parts(&self, bucket: &str, key: &str, id: &str) -> Result<Vec<PartFacts>> {
        let bucket = self.find(bucket)?;
        bucket.upload(key, id)?;
        let mut parts = Vec::new();
        for (name, path) in entries(&bucket.uploads().join(id))? {
            let Some(number) = name.strip_prefix("part-").and_then(|n| n.parse().ok()) else {
                continue;
            };
            if let Some(part) = ObjectReader::open(&path)? {
                parts.push(part_facts(number, &part.facts));
            }
        }
        parts.sort_unstable_by_key(|part| part.number);
        Ok(parts)
    }

    /// All uploads in progress, by key, then by age.
    pub fn uploads(&self, bucket: &str) -> Result<Vec<UploadFacts>> {
        let bucket = self.find(bucket)?;
        let mut uploads: Vec<UploadFacts> = Vec::new();
        for (_, folder) in entries(&bucket.uploads())? {
            match read_json(&folder.join("upload.json")) {
                Ok(facts) => uploads.push(facts),
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(other) => return Err(other),
            }
        }
        uploads.sort_unstable_by(|a, b| {
            (&a.key, a.initiated_ms, &a.id).cmp(&(&b.key, b.initiated_ms, &b.id))
        });
        Ok(uploads)
    }

    /// Makes the object of `parts`: numbers in ascending order, each with the ETag its upload answered.
    pub fn complete_upload(
        &self,
        (bucket, key, id): (&str, &str, &str),
        parts: &[(u32, String)],
        condition: &Condition,
        now: Timestamp,
    ) -> Result<ObjectFacts> {
        let bucket = self.find(bucket)?;
        let upload_lock = bucket.upload_ids.lock(id);
        let upload = bucket.upload(key, id)?;
        if parts.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(StoreError::InvalidPartOrder);
        }
        // All are checked before any is copied; one is open at a time, for there may be 10,000.
        for (at, (number, etag)) in parts.iter().enumerate() {
            let size = bucket.open_part(id, *number, etag)?.facts.size;
            if size < PART_BYTES_MIN && at + 1 < parts.len() {
                return Err(StoreError::PartTooSmall { number: *number, size });
            }
        }
        let mut writing = Writing::begin(bucket.clone(), key)?;
        let mut etags = Md5::new();
        for (number, etag) in parts {
            let part = bucket.open_part(id, *number, etag)?;
            etags.update(hex::decode(etag).map_err(|_| StoreError::InvalidPart(*number))?);
            writing.copy_from(&part, 0..part.facts.size)?;
        }
        let etag = format!("{}-{}", hex::encode(etags.finalize()), parts.len());
        let facts = writing.commit_as(etag, upload.headers, condition, now)?;
        drop(upload_lock);
        // The object is durable. An upload that cannot be removed now can still be aborted.
        let _ = bucket.remove_upload(id);
        Ok(facts)
    }

    /// Forgets an upload and its parts.
    pub fn abort_upload(&self, bucket: &str, key: &str, id: &str) -> Result<()> {
        let bucket = self.find(bucket)?;
        bucket.upload(key, id)?;
        bucket.remove_upload(id)
    }
}

impl Bucket {
    fn upload(&self, key: &str, id: &str) -> Result<UploadFacts> {
        let unknown = || StoreError::NoSuchUpload(id.to_owned());
        // Only names of our own making may become a path.
        let ours = Uuid::try_parse(id).is_ok_and(|uuid| uuid.simple().to_string() == id);
        if !ours {
            return Err(unknown());
        }
        match read_json::<UploadFacts>(&self.uploads().join(id).join("upload.json")) {
            Ok(facts) if facts.key == key => Ok(facts),
            Ok(_) => Err(unknown()),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(unknown())
            }
            Err(other) => Err(other),
        }
    }

    fn part_path(&self, id: &str, number: u32) -> PathBuf {
        self.uploads().join(id).join(format!("part-{number:05}"))
    }

    fn open_part(&self, id: &str, number: u32, etag: &str) -> Result<ObjectReader> {
        ObjectReader::open(&self.part_path(id, number))?
            .filter(|part| part.facts.etag == etag)
            .ok_or(StoreError::InvalidPart(number))
    }

    fn remove_upload(self: &Arc<Self>, id: &str) -> Result<()> {
        let _upload = self.upload_ids.lock(id);
        let _presence = self.present()?;
        let shared = &self.shared;
        let (folder, removed) = (self.uploads().join(id), shared.temporary_path());
        match shared.disk.rename(&folder, &removed) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NoSuchUpload(id.to_owned()));
            }
            other => other.at("remove upload", &folder)?,
        }
        shared.disk.sync_dir(&self.uploads()).at("sync", &self.uploads())?;
        let _ = shared.remove_tree(&removed);
        Ok(())
    }
}

fn part_facts(number: u32, facts: &ObjectFacts) -> PartFacts {
    PartFacts {
        number,
        size: facts.size,
        etag: facts.etag.clone(),
        last_modified: facts.last_modified(),
        checksum: facts.headers.checksum.clone(),
    }
}
