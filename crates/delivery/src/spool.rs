//! What was made but not yet handed over.
//!
//! ```text
//! log-FIRSTSEQ-UNIQUE.spool            20 digits of first_seq: name order is seq order
//!
//! cairn-spool 1 SHA256-OF-THE-NEXT-LINE\n
//! {"trail_arn":…,"bucket":…,"key":…,"gz_len":…,"gz_sha256":…,…}\n
//! the object's bytes
//! ```
//!
//! A file is written under a temporary name, synced, renamed, and its folder synced: when `put`
//! returns, the bytes survive a crash, and every upload sends exactly them. If we stop anywhere
//! before `remove`, the next start finds the file in [`Spool::pending`] and puts it again under the
//! same name, which is harmless.
//!
//! The first line seals the second, the second seals the rest: damage is found, never delivered.
//!
//! A window that was spooled is not made again: on start, look at [`Spool::pending`] first and go on
//! behind its last `seq`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use durable::{Disk, temporary_beside};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::log_file::LogFile;
use crate::sha256_hex;

#[cfg(test)]
mod tests;

const MAGIC: &str = "cairn-spool 1 ";
const ENDING: &str = ".spool";
const DAMAGED_ENDING: &str = ".damaged";
/// Names, hashes and one signature; more is damage.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// A folder of objects that wait for their delivery.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

/// The name of a spooled file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpoolId(String);

impl SpoolId {
    /// The file's name in the spool folder.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a spooled file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpooledHeader {
    /// The trail that delivers.
    pub trail_arn: String,
    /// The destination bucket.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Whose events.
    pub account: String,
    /// The Region the events come from.
    pub region: String,
    /// User metadata to put with the object.
    pub metadata: BTreeMap<String, String>,
    /// Length of the object in bytes.
    pub gz_len: u64,
    /// SHA-256 of the object's bytes, lower-case hex.
    pub gz_sha256: String,
    /// SHA-256 of the uncompressed bytes, lower-case hex.
    pub sha256: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// What only one kind of object has.
    pub kind: SpooledKind,
}

/// What only one kind of object has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpooledKind {
    /// A log file.
    LogFile {
        /// The folder's name, such as `CloudTrail-Insight`.
        folder: String,
        /// `seq` of the first record.
        first_seq: u64,
        /// `seq` of the last record.
        last_seq: u64,
        /// Records in the file.
        count: u64,
        /// The smallest eventTime.
        oldest_event_time: Timestamp,
        /// The largest eventTime.
        newest_event_time: Timestamp,
    },
}

/// A spooled file that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledFile {
    /// Its name in the spool.
    pub id: SpoolId,
    /// What it says about itself.
    pub header: SpooledHeader,
    /// The object's bytes.
    pub gz: Bytes,
}

/// What [`Spool::pending`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pending {
    /// Files to deliver, in name order: that is by `seq`.
    pub files: Vec<(SpoolId, SpooledHeader)>,
    /// Files whose header or length is wrong, and why. They are never delivered.
    pub damaged: Vec<(SpoolId, String)>,
}

/// Why the spool could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolFault {
    /// The disk refused. After a failed sync nothing is known about the file: stop.
    #[error("{step} {path}")]
    Disk {
        /// What was tried.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// The file's bytes are not those that were written.
    #[error("spooled file {id} is damaged: {reason}")]
    Damaged {
        /// Which file.
        id: String,
        /// What does not fit.
        reason: String,
    },
    /// A window of this name is already spooled with other bytes: [`Spool::pending`] was not
    /// consulted before making it again.
    #[error("spooled file {id} exists with other bytes")]
    Different {
        /// Which file.
        id: String,
    },
}

impl Spool {
    /// Opens the folder, making it if needed, and removes what an unfinished `put` left behind.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<Spool, SpoolFault> {
        let spool = Spool { folder: folder.to_owned(), disk };
        spool.disk.create_dir_all(folder).map_err(at("make folder", folder))?;
        for name in spool.names()? {
            if name.starts_with('.') && name.ends_with(".tmp") {
                let path = folder.join(&name);
                spool.disk.remove_file(&path).map_err(at("remove leftover", &path))?;
            }
        }
        Ok(spool)
    }

    /// Writes a log file and syncs it. The same file again is no error and changes nothing.
    pub fn put_log_file(
        &self,
        trail_arn: &str,
        bucket: &str,
        file: &LogFile,
    ) -> Result<SpoolId, SpoolFault> {
        let header = SpooledHeader {
            trail_arn: trail_arn.to_owned(),
            bucket: bucket.to_owned(),
            key: file.key.to_string(),
            account: file.key.place.account.clone(),
            region: file.key.place.region.clone(),
            metadata: BTreeMap::new(),
            gz_len: file.gz.len() as u64,
            gz_sha256: sha256_hex(&file.gz),
            sha256: file.sha256.clone(),
            made_at: file.key.delivered_at,
            kind: SpooledKind::LogFile {
                folder: file.key.folder.name().to_owned(),
                first_seq: file.first_seq,
                last_seq: file.last_seq,
                count: file.count,
                oldest_event_time: file.oldest_event_time,
                newest_event_time: file.newest_event_time,
            },
        };
        let id = SpoolId(format!("log-{:020}-{}{ENDING}", file.first_seq, file.key.unique));
        self.put(id, &header, &file.gz)
    }

    fn put(&self, id: SpoolId, header: &SpooledHeader, gz: &[u8]) -> Result<SpoolId, SpoolFault> {
        let path = self.folder.join(&id.0);
        if path.exists() {
            return match read_header(&path, &id) {
                // The rename may be all that an earlier attempt got done.
                Ok((there, _)) if there == *header => {
                    self.sync_folder()?;
                    Ok(id)
                }
                Ok(_) => Err(SpoolFault::Different { id: id.0 }),
                Err(fault) => Err(fault),
            };
        }
        let head = encode_header(header);
        let temporary = temporary_beside(&path);
        let written = (|| {
            let mut file = self.disk.create_new(&temporary, 0o600)?;
            file.write_all_at(&head, 0)?;
            file.write_all_at(gz, head.len() as u64)?;
            file.sync_data()?;
            drop(file);
            self.disk.rename(&temporary, &path)
        })();
        if let Err(source) = written {
            // Best effort: `open` removes what stays.
            let _ = self.disk.remove_file(&temporary);
            return Err(SpoolFault::Disk { step: "spool", path, source });
        }
        if let Err(fault) = self.sync_folder() {
            // Nobody knows whether the name is durable. Away with it, so that the next attempt
            // makes a new one instead of trusting this one.
            let _ = self.disk.remove_file(&path);
            return Err(fault);
        }
        Ok(id)
    }

    fn sync_folder(&self) -> Result<(), SpoolFault> {
        self.disk.sync_dir(&self.folder).map_err(at("sync folder", &self.folder))
    }

    /// What a spooled file says about itself.
    pub fn header(&self, id: &SpoolId) -> Result<SpooledHeader, SpoolFault> {
        read_header(&self.folder.join(&id.0), id).map(|(header, _)| header)
    }

    /// What waits for delivery. Reads headers and lengths only; `read` checks the rest.
    pub fn pending(&self) -> Result<Pending, SpoolFault> {
        let mut pending = Pending::default();
        let mut names = self.names()?;
        names.sort_unstable();
        for name in names {
            if !name.ends_with(ENDING) {
                continue;
            }
            let id = SpoolId(name);
            match read_header(&self.folder.join(&id.0), &id) {
                Ok((header, _)) => pending.files.push((id, header)),
                Err(SpoolFault::Damaged { reason, .. }) => pending.damaged.push((id, reason)),
                Err(fault) => return Err(fault),
            }
        }
        Ok(pending)
    }

    /// Reads a spooled file and checks all of it.
    pub fn read(&self, id: &SpoolId) -> Result<SpooledFile, SpoolFault> {
        let (header, mut file) = read_header(&self.folder.join(&id.0), id)?;
        let mut gz = Vec::with_capacity(usize::try_from(header.gz_len).unwrap_or(0));
        file.read_to_end(&mut gz).map_err(at("read", &self.folder.join(&id.0)))?;
        if sha256_hex(&gz) != header.gz_sha256 {
            return Err(damaged(id, "its bytes do not have the hash in its header"));
        }
        Ok(SpooledFile { id: id.clone(), header, gz: gz.into() })
    }

    /// Removes a file that was delivered. One that is already gone is no error.
    pub fn remove(&self, id: &SpoolId) -> Result<(), SpoolFault> {
        let path = self.folder.join(&id.0);
        match self.disk.remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(e)),
            // The folder is not synced: a file that comes back after a crash is put again, and
            // that is harmless.
            _ => Ok(()),
        }
    }

    /// Puts a damaged file out of the way, as `NAME.damaged`, for a person to look at.
    pub fn quarantine(&self, id: &SpoolId) -> Result<(), SpoolFault> {
        let path = self.folder.join(&id.0);
        let aside = self.folder.join(format!("{}{DAMAGED_ENDING}", id.0));
        self.disk.rename(&path, &aside).map_err(at("set aside", &path))?;
        self.sync_folder()
    }

    fn names(&self) -> Result<Vec<String>, SpoolFault> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(at("list", &self.folder))? {
            let entry = entry.map_err(at("list", &self.folder))?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn at<'a>(step: &'static str, path: &'a Path) -> impl Fn(io::Error) -> SpoolFault + 'a {
    move |source| SpoolFault::Disk { step, path: path.to_owned(), source }
}

fn damaged(id: &SpoolId, reason: &str) -> SpoolFault {
    SpoolFault::Damaged { id: id.0.clone(), reason: reason.to_owned() }
}

fn encode_header(header: &SpooledHeader) -> Vec<u8> {
    let json = serde_json::to_string(header).expect("texts and numbers are always JSON");
    format!("{MAGIC}{}\n{json}\n", sha256_hex(json.as_bytes())).into_bytes()
}

/// Reads and checks the header and the file's length; the reader stands at the object's bytes.
fn read_header(
    path: &Path,
    id: &SpoolId,
) -> Result<(SpooledHeader, BufReader<fs::File>), SpoolFault> {
    let file = fs::File::open(path).map_err(at("open", path))?;
    let len = file.metadata().map_err(at("open", path))?.len();
    let mut reader = BufReader::new(file);
    let mut lines = Vec::new();
    for _ in 0..2 {
        (&mut reader)
            .take(HEADER_BYTES_MAX)
            .read_until(b'\n', &mut lines)
            .map_err(at("read", path))?;
    }
    let text = std::str::from_utf8(&lines).map_err(|_| damaged(id, "its header is not text"))?;
    let rest = text.strip_prefix(MAGIC).ok_or_else(|| damaged(id, "it is not a spool file"))?;
    let parts = rest.strip_suffix('\n').and_then(|rest| rest.split_once('\n'));
    let (seal, json) = parts.ok_or_else(|| damaged(id, "its header ends early"))?;
    if sha256_hex(json.as_bytes()) != seal {
        return Err(damaged(id, "its header does not have the hash before it"));
    }
    let header: SpooledHeader = serde_json::from_str(json)
        .map_err(|e| damaged(id, &format!("its header is of another version: {e}")))?;
    if len != lines.len() as u64 + header.gz_len {
        return Err(damaged(id, "it does not have the length in its header"));
    }
    Ok((header, reader))
}
