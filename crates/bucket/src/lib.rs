//! What has been stored?
//!
//! Buckets of objects in a folder: what the S3 door serves. Pure blocking code; no clock, no protocol.
//!
//! ```text
//! FOLDER/buckets/NAME/bucket.json            owner, Region, creation time, policy      (replaced whole)
//!                    /objects/…              one file per object, named after its key  (see `path`)
//!                    /uploads/ID/upload.json key and headers of a multipart upload
//!                               /part-00001  one file per part, formed as an object    (see `file`)
//!       /temporary/…                         what is being written or removed; emptied by `open`
//! ```
//!
//! The promises, and what keeps them:
//! - **A put is durable when it returns**: data and facts are written to one temporary file, synced,
//!   renamed into place, and the folder is synced; so is every folder above it that this process has
//!   not yet synced (a folder found in place may have been made by someone who crashed before the sync).
//! - **A crash shows the old object or the new one, whole**: the rename is the only step that shows.
//!   Buckets appear and disappear by one rename too.
//! - **A delete is durable when it returns**, also when there was nothing to delete: an earlier try may
//!   have removed the file without reaching the sync.
//! - Starting after a crash and starting otherwise are the same: empty `temporary`.
//!
//! Never here: a clock (times are given), a network, a path made from a name that somebody else chose.
//! The folder must be on a filesystem that tells upper from lower case.

mod error;
mod file;
mod list;
mod multipart;
mod names;
mod path;
mod put;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use durable::{Disk, write_atomic};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use error::At;
pub use error::{METADATA_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, Result, StoreError};
pub use file::{Checksum, Headers, ObjectFacts, ObjectReader};
pub use list::{Listing, ListingItem, ListingQuery};
pub use multipart::{PartFacts, UploadFacts};
pub use names::check_bucket_name;
pub use put::{Condition, Writing};

/// What is known of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketFacts {
    pub name: String,
    /// The account that made it: 12 digits.
    pub owner: String,
    /// The Region it was made in, such as `eu-central-1`.
    pub region: String,
    created_ms: i64,
    /// The bucket policy as its owner wrote it.
    #[serde(default)]
    pub policy: Option<String>,
}

impl BucketFacts {
    pub fn created(&self) -> Timestamp {
        Timestamp::from_millisecond(self.created_ms).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// All buckets of a folder. One process at a time may have a folder open.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    buckets: RwLock<BTreeMap<String, Arc<Bucket>>>,
}

/// What every bucket and every writing needs of the store.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    buckets: PathBuf,
    temporary: PathBuf,
}

#[derive(Debug)]
struct Bucket {
    shared: Arc<Shared>,
    folder: PathBuf,
    facts: RwLock<BucketFacts>,
    /// Read: a file is put into or taken out of the tree. Write: folders are removed, or the bucket is.
    tree: RwLock<Presence>,
    /// One change of a key at a time, so that a condition still holds when the change is made.
    keys: Locks,
    /// One change of a multipart upload at a time; taken before a key's.
    upload_ids: Locks,
    /// Folders whose entry in the folder above has been synced by this process.
    synced: Mutex<HashSet<PathBuf>>,
}

#[derive(Debug, PartialEq)]
enum Presence {
    Here,
    Gone,
}

/// Locks shared by all names; two names that share one only wait for each other.
#[derive(Debug)]
struct Locks {
    locks: [Mutex<()>; 64],
    hash: RandomState,
}

impl Default for Locks {
    fn default() -> Self {
        Self { locks: std::array::from_fn(|_| Mutex::new(())), hash: RandomState::new() }
    }
}

impl Locks {
    fn lock(&self, name: &str) -> MutexGuard<'_, ()> {
        let at = self.hash.hash_one(name) as usize % self.locks.len();
        self.locks[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beyond this the memory of synced folders starts anew; forgetting costs a sync, nothing else.
const SYNCED_FOLDERS_MAX: usize = 20_000;

impl Store {
    /// Opens the folder, makes it if it is missing, and removes what a crash left behind.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let shared = Arc::new(Shared {
            disk,
            buckets: folder.join("buckets"),
            temporary: folder.join("temporary"),
        });
        for made in [&shared.buckets, &shared.temporary] {
            shared.disk.create_dir_all(made).at("make folder", made)?;
        }
        for (_, leftover) in entries(&shared.temporary)? {
            shared.remove_tree(&leftover)?;
        }
        let mut buckets = BTreeMap::new();
        for (name, folder) in entries(&shared.buckets)? {
            let bucket = Bucket::load(shared.clone(), folder)?;
            buckets.insert(name, Arc::new(bucket));
        }
        Ok(Self { shared, buckets: RwLock::new(buckets) })
    }

    /// Makes a bucket. `owner` is an account of 12 digits.
    pub fn create_bucket(
        &self,
        name: &str,
        owner: &str,
        region: &str,
        now: Timestamp,
    ) -> Result<BucketFacts> {
        check_bucket_name(name)?;
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get(name) {
            let owner = bucket.facts().owner;
            return Err(StoreError::BucketExists { name: name.to_owned(), owner });
        }
        let facts = BucketFacts {
            name: name.to_owned(),
            owner: owner.to_owned(),
            region: region.to_owned(),
            created_ms: now.as_millisecond(),
            policy: None,
        };
        let shared = &self.shared;
        let made = shared.temporary_path();
        for folder in [&made, &made.join("objects"), &made.join("uploads")] {
            shared.disk.create_dir_all(folder).at("make folder", folder)?;
        }
        shared.write_json(&made.join("bucket.json"), &facts)?;
        let folder = shared.buckets.join(name);
        shared.disk.rename(&made, &folder).at("make bucket", &folder)?;
        // From here on the bucket is there, whether or not the sync succeeds.
        let bucket = Bucket::load(shared.clone(), folder)?;
        buckets.insert(name.to_owned(), Arc::new(bucket));
        shared.disk.sync_dir(&shared.buckets).at("sync", &shared.buckets)?;
        Ok(facts)
    }

    pub fn bucket(&self, name: &str) -> Result<BucketFacts> {
        Ok(self.find(name)?.facts())
    }

    /// All buckets of all accounts, in the order of their names.
    pub fn buckets(&self) -> Vec<BucketFacts> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.values().map(|b| b.facts()).collect()
    }

    /// Removes an empty bucket. Unfinished multipart uploads go with it.
    pub fn delete_bucket(&self, name: &str) -> Result<()> {
        let mut buckets = self.buckets.write().unwrap_or_else(PoisonError::into_inner);
        let bucket =
            buckets.get(name).ok_or_else(|| StoreError::NoSuchBucket(name.to_owned()))?.clone();
        let mut presence = bucket.tree.write().unwrap_or_else(PoisonError::into_inner);
        if list::holds_a_file(&bucket.objects())? {
            return Err(StoreError::BucketNotEmpty(name.to_owned()));
        }
        let shared = &self.shared;
        let removed = shared.temporary_path();
        shared.disk.rename(&bucket.folder, &removed).at("remove bucket", &bucket.folder)?;
        *presence = Presence::Gone;
        buckets.remove(name);
        shared.disk.sync_dir(&shared.buckets).at("sync", &shared.buckets)?;
        // The bucket is gone for good; what is left of it is swept now or by the next start.
        let _ = shared.remove_tree(&removed);
        Ok(())
    }

    /// Sets (or with `None` removes) the bucket policy. The text is kept as it comes.
    pub fn set_policy(&self, name: &str, policy: Option<String>) -> Result<()> {
        let bucket = self.find(name)?;
        let presence = bucket.present()?;
        let mut facts = bucket.facts.write().unwrap_or_else(PoisonError::into_inner);
        let changed = BucketFacts { policy, ..facts.clone() };
        self.shared.write_json(&bucket.folder.join("bucket.json"), &changed)?;
        *facts = changed;
        drop(presence);
        Ok(())
    }

    /// Opens an object for reading.
    pub fn get(&self, bucket: &str, key: &str) -> Result<ObjectReader> {
        names::check_key(key)?;
        let bucket = self.find(bucket)?;
        bucket.read(key)?.ok_or_else(|| StoreError::NoSuchKey(key.to_owned()))
    }

    /// Removes an object. That there was none is no error.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        names::check_key(key)?;
        self.find(bucket)?.delete(key)
    }

    fn find(&self, name: &str) -> Result<Arc<Bucket>> {
        let buckets = self.buckets.read().unwrap_or_else(PoisonError::into_inner);
        buckets.get(name).cloned().ok_or_else(|| StoreError::NoSuchBucket(name.to_owned()))
    }
}

impl Bucket {
    fn load(shared: Arc<Shared>, folder: PathBuf) -> Result<Self> {
        let facts = read_json(&folder.join("bucket.json"))?;
        Ok(Self {
            shared,
            folder,
            facts: RwLock::new(facts),
            tree: RwLock::new(Presence::Here),
            keys: Locks::default(),
            upload_ids: Locks::default(),
            synced: Mutex::new(HashSet::new()),
        })
    }

    fn facts(&self) -> BucketFacts {
        self.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn name(&self) -> String {
        self.facts().name
    }

    fn objects(&self) -> PathBuf {
        self.folder.join("objects")
    }

    fn uploads(&self) -> PathBuf {
        self.folder.join("uploads")
    }

    /// Holds the bucket in place for a change of its files.
    fn present(&self) -> Result<std::sync::RwLockReadGuard<'_, Presence>> {
        let presence = self.tree.read().unwrap_or_else(PoisonError::into_inner);
        match *presence {
            Presence::Here => Ok(presence),
            Presence::Gone => Err(StoreError::NoSuchBucket(self.name())),
        }
    }

    fn read(&self, key: &str) -> Result<Option<ObjectReader>> {
        let path = path::file_of(&self.objects(), key);
        let Some(reader) = ObjectReader::open(&path)? else { return Ok(None) };
        if reader.facts.key != key {
            let what = format!("it holds the key {:?}", reader.facts.key);
            return Err(StoreError::Damaged { path, what });
        }
        Ok(Some(reader))
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = path::file_of(&self.objects(), key);
        let folder = parent(&path).to_owned();
        {
            let _key = self.keys.lock(key);
            let _presence = self.present()?;
            match self.shared.disk.remove_file(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                other => other.at("remove", &path)?,
            }
            match self.shared.disk.sync_dir(&folder) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.at("sync", &folder)?,
            }
        }
        self.remove_empty_folders(folder);
        Ok(())
    }

    /// Takes empty folders away, from `folder` upwards. One that stays is never listed, so errors wait.
    fn remove_empty_folders(&self, mut folder: PathBuf) {
        let _presence = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let objects = self.objects();
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        while folder != objects && folder.starts_with(&objects) {
            if self.shared.disk.remove_dir(&folder).is_err() {
                return;
            }
            synced.remove(&folder);
            folder.pop();
        }
    }

    /// Makes `folder` (within this bucket) and knows that it and all above it survive a crash.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        if folder == self.folder || self.synced().contains(folder) {
            return Ok(());
        }
        let above = parent(folder);
        self.make_folder(above)?;
        let disk = &self.shared.disk;
        match folder.is_dir() {
            true => disk.sync_dir(above).at("sync", above)?,
            false => disk.create_dir_all(folder).at("make folder", folder)?,
        }
        let mut synced = self.synced();
        if synced.len() >= SYNCED_FOLDERS_MAX {
            synced.clear();
        }
        synced.insert(folder.to_owned());
        Ok(())
    }

    fn synced(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn temporary_path(&self) -> PathBuf {
        self.temporary.join(Uuid::new_v4().simple().to_string())
    }

    fn write_json(&self, path: &Path, facts: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec(facts).expect("strings and numbers always become JSON");
        write_atomic(&*self.disk, path, &json, FILE_MODE).at("write", path)
    }

    /// Removes a file, or a folder with all in it. Symbolic links are removed, never followed.
    fn remove_tree(&self, path: &Path) -> Result<()> {
        if !path.symlink_metadata().at("stat", path)?.is_dir() {
            return self.disk.remove_file(path).at("remove", path);
        }
        for (_, inner) in entries(path)? {
            self.remove_tree(&inner)?;
        }
        self.disk.remove_dir(path).at("remove", path)
    }
}

/// Objects may be secrets: the owner of the process reads them, nobody else.
const FILE_MODE: u32 = 0o600;

fn parent(path: &Path) -> &Path {
    path.parent().expect("every path here is below the store's folder")
}

/// Names and paths in a folder; names that we never write (not UTF-8) are left out.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry.path()));
        }
    }
    Ok(found)
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).at("read", path)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| StoreError::Damaged { path: path.to_owned(), what: e.to_string() })
}
