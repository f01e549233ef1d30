//! Log files that a command is pointed at: files, folders, buckets.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use delivery::destination::{Addressing, Destination, StoreSettings};
use delivery::verify::Source;
use futures::{Stream, StreamExt as _};
use lake::LogFile;

use crate::client::Client;

/// What log files are called. Digests and the rest of a bucket stay out.
const ENDINGS: [&str; 7] = [".json", ".json.gz", ".gz", ".ndjson", ".jsonl", ".zst", ".log"];
/// A file larger than this is none of CloudTrail's, and would not fit into memory beside others.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// One log file, not read yet.
#[derive(Clone)]
pub struct SourceFile {
    pub name: String,
    pub bytes: u64,
    /// Another number when the file has changed since; of an object no more is known than its size.
    pub version: u64,
    place: Place,
}

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Object(Arc<Destination>),
}

/// Why a file cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadFault {
    /// It is not there any more.
    Gone,
    Unreadable(String),
    /// The store is not there now, whatever the file.
    Away(String),
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes)
    }
}

impl SourceFile {
    fn on_disk(path: &Path, metadata: &Metadata) -> SourceFile {
        // Times may be as coarse as two seconds; whoever writes a file changes its length too, or its
        // inode where it is replaced.
        let facts = [
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
            metadata.ino().cast_signed(),
        ];
        let mut text = metadata.len().to_le_bytes().to_vec();
        text.extend(facts.iter().flat_map(|fact| fact.to_le_bytes()));
        let hash = digest(&SHA256, &text);
        let version = hash.as_ref().first_chunk().expect("a SHA-256 has more than 8 bytes");
        SourceFile {
            name: path.to_string_lossy().into_owned(),
            bytes: metadata.len(),
            version: u64::from_le_bytes(*version),
            place: Place::File(path.to_owned()),
        }
    }

    /// Its path, when it is no object.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Object(_) => None,
        }
    }

    pub async fn contents(&self) -> Result<Bytes, ReadFault> {
        if self.bytes > FILE_BYTES_MAX {
            let reason = format!("it has {} bytes; the most is {FILE_BYTES_MAX}", self.bytes);
            return Err(ReadFault::Unreadable(reason));
        }
        match &self.place {
            Place::File(path) => match tokio::fs::read(path).await {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ReadFault::Gone),
                Err(error) => Err(ReadFault::Unreadable(error.to_string())),
            },
            Place::Object(bucket) => {
                let key = self.name.splitn(4, '/').nth(3).unwrap_or_default();
                match bucket.get(key, FILE_BYTES_MAX).await {
                    Ok(Some(object)) => Ok(object.bytes),
                    Ok(None) => Err(ReadFault::Gone),
                    Err(failure) if failure.retry => Err(ReadFault::Away(failure.to_string())),
                    Err(failure) => Err(ReadFault::Unreadable(failure.to_string())),
                }
            }
        }
    }
}

#[async_trait]
impl LogFile for SourceFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> Option<&Path> {
        SourceFile::path(self)
    }

    async fn read(&self) -> Result<Bytes, String> {
        self.contents().await.map_err(|fault| match fault {
            ReadFault::Gone => "it is not there any more".to_owned(),
            ReadFault::Unreadable(reason) | ReadFault::Away(reason) => reason,
        })
    }
}

/// The log files of all sources, within each in the order in which CloudTrail delivered them: events
/// of one time come together whatever their account and Region. A source without any is an error.
pub async fn list(sources: &[String], data: Option<&Path>) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for source in sources {
        let before = files.len();
        match bucket_and_prefix(source) {
            Some((name, prefix)) => {
                let bucket = Arc::new(bucket(&Client::new(data)?, name, false)?);
                let mut found = pin!(in_bucket(&bucket, prefix));
                while let Some(file) = found.next().await {
                    files.push(file?);
                }
            }
            None => walk(Path::new(source), true, &mut Vec::new(), &mut |path, found| {
                let metadata = found.with_context(|| format!("read {}", path.display()))?;
                files.push(SourceFile::on_disk(path, &metadata));
                Ok(())
            })?,
        }
        in_order_of_delivery(&mut files[before..]);
        if files.len() == before {
            bail!("{source} holds no log files: names end with {}", ENDINGS.join(", "));
        }
    }
    Ok(files)
}

pub fn in_order_of_delivery(files: &mut [SourceFile]) {
    files.sort_by(|a, b| order_of(&a.name).cmp(&order_of(&b.name)));
}

/// `…/ACCOUNT_CloudTrail_REGION_20260305T1015Z_RANDOM.json.gz` was delivered at the time in its name;
/// other names follow in their own order.
fn order_of(name: &str) -> (bool, &str, &str) {
    let file = name.rsplit('/').next().unwrap_or(name);
    let is_time = |part: &&str| {
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        matches!(part.as_bytes(), [.., b'Z'])
            && part.split_once('T').is_some_and(|(day, time)| {
                day.len() == 8 && digits(day) && time.len() == 5 && digits(&time[..4])
            })
    };
    let time = file.split('_').find(is_time);
    (time.is_none(), time.unwrap_or_default(), name)
}

/// Sees each log file of a folder, to its bottom, or the file that is named, in no order. Answers
/// what cannot be looked into, with the reason; fails when `root` itself cannot.
pub fn on_disk(root: &Path, see: &mut dyn FnMut(SourceFile)) -> Result<Vec<(String, String)>> {
    let mut faults = Vec::new();
    walk(root, true, &mut Vec::new(), &mut |path, found| {
        match found {
            Ok(metadata) if metadata.is_file() => see(SourceFile::on_disk(path, &metadata)),
            // To open a pipe may take forever.
            Ok(_) => bail!("{} is neither a file nor a folder", path.display()),
            Err(error) if path == root => {
                return Err(error).with_context(|| format!("read {}", root.display()));
            }
            // Files come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => faults.push((path.to_string_lossy().into_owned(), error.to_string())),
        }
        Ok(())
    })?;
    Ok(faults)
}

/// Visits each log file at or below `path`, and each place that cannot be read. `above`: device and
/// inode of the folders on the way, which a symbolic link may lead back to.
fn walk(
    path: &Path,
    is_named: bool,
    above: &mut Vec<(u64, u64)>,
    visit: &mut dyn FnMut(&Path, io::Result<Metadata>) -> Result<()>,
) -> Result<()> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return visit(path, Err(error)),
    };
    if !metadata.is_dir() {
        let is_log_file = metadata.is_file() && is_log_file(&path.to_string_lossy());
        let is_wanted = is_named || is_log_file;
        return if is_wanted { visit(path, Ok(metadata)) } else { Ok(()) };
    }
    let own = (metadata.dev(), metadata.ino());
    if above.contains(&own) {
        return Ok(());
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return visit(path, Err(error)),
    };
    above.push(own);
    for entry in entries {
        match entry {
            Ok(entry) => walk(&entry.path(), false, above, visit)?,
            Err(error) => visit(path, Err(error))?,
        }
    }
    above.pop();
    Ok(())
}

/// Bucket and prefix of `s3://BUCKET[/PREFIX]`.
pub fn bucket_and_prefix(source: &str) -> Option<(&str, &str)> {
    let place = source.strip_prefix("s3://")?;
    Some(place.split_once('/').unwrap_or((place, "")))
}

/// The log files whose keys begin with `prefix`, in the order of their keys.
pub fn in_bucket<'a>(
    bucket: &'a Arc<Destination>,
    prefix: &'a str,
) -> impl Stream<Item = Result<SourceFile>> + 'a {
    let listing = Source::list(bucket.as_ref(), prefix);
    listing.filter_map(move |object| async move {
        let name = bucket.bucket();
        match object.with_context(|| format!("list s3://{name}/{prefix}")) {
            Ok(object) if !is_log_file(&object.key) => None,
            Ok(object) => Some(Ok(SourceFile {
                name: format!("s3://{name}/{}", object.key),
                bytes: object.size,
                version: object.size,
                place: Place::Object(bucket.clone()),
            })),
            Err(error) => Some(Err(error)),
        }
    })
}

/// A bucket, reached as the AWS CLI would with this client's settings.
pub fn bucket(client: &Client, name: &str, virtual_host_style: bool) -> Result<Destination> {
    let addressing = if virtual_host_style { Addressing::VirtualHost } else { Addressing::Path };
    let settings = StoreSettings {
        endpoint: client.endpoint("s3", &client.region),
        addressing,
        region: client.region.clone(),
        access_key_id: client.access_key_id.clone(),
        secret_access_key: client.secret.reveal().to_owned(),
        session_token: client.session_token.clone(),
        direct: false,
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(120),
    };
    Ok(Destination::new(&settings, name)?)
}

fn is_log_file(name: &str) -> bool {
    let is_digest = name.contains("/CloudTrail-Digest/") || name.ends_with(".metadata.json");
    !is_digest && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_in_the_order_of_their_delivery() {
        let mut names = [
            "x/other.json",
            "x/2/2_CloudTrail_us-east-1_20260305T1015Z_a.json.gz",
            "x/1/1_CloudTrail_us-east-1_20260306T0000Z_b.json.gz",
            "x/1/1_CloudTrail_eu-west-1_20260305T1015Z_c.json.gz",
        ];
        names.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
        let last: Vec<char> = names.iter().filter_map(|name| name.chars().nth(2)).collect();
        assert_eq!(last, ['1', '2', '1', 'o']);
    }

    #[tokio::test]
    async fn folders_are_read_to_the_bottom_and_digests_stay_out() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        };
        place("AWSLogs/1/CloudTrail/us-east-1/2026/01/02/b.json.gz");
        place("AWSLogs/1/CloudTrail/us-east-1/2026/01/02/a.json.gz");
        place("AWSLogs/1/CloudTrail-Digest/us-east-1/2026/01/02/a.json.gz");
        place("notes.txt");
        let root = folder.path().to_string_lossy().into_owned();
        let files = list(std::slice::from_ref(&root), None).await.unwrap();
        let names: Vec<&str> = files.iter().map(|file| &file.name[file.name.len() - 9..]).collect();
        assert_eq!(names, ["a.json.gz", "b.json.gz"]);
        let named = list(&[format!("{root}/notes.txt")], None).await.unwrap();
        assert_eq!(named.len(), 1, "a file that is named is read whatever it is called");
        let missing = list(&[format!("{root}/nothing")], None).await.unwrap_err();
        assert!(format!("{missing:#}").contains("nothing"), "{missing:#}");
    }
}
