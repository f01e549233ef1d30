//! Log files that a command is pointed at: files, folders, buckets.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use delivery::destination::{Addressing, Destination, StoreSettings};
use delivery::verify::Source;
use futures::StreamExt as _;
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
    place: Place,
}

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Object(Arc<Destination>),
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes)
    }
}

#[async_trait]
impl LogFile for SourceFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::File(path) => Some(path),
            Place::Object(_) => None,
        }
    }

    async fn read(&self) -> Result<Bytes, String> {
        match &self.place {
            Place::File(path) => {
                let read = tokio::fs::read(path).await;
                read.map(Bytes::from).map_err(|error| error.to_string())
            }
            Place::Object(bucket) => {
                let key = self.name.splitn(4, '/').nth(3).unwrap_or_default();
                match bucket.get(key, FILE_BYTES_MAX).await {
                    Ok(Some(object)) => Ok(object.bytes),
                    Ok(None) => Err("it is not there any more".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }
}

/// The log files of all sources, within each in the order in which CloudTrail delivered them: events
/// of one time come together whatever their account and Region. A source without any is an error.
pub async fn list(sources: &[String], data: Option<&Path>) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for source in sources {
        let before = files.len();
        match source.strip_prefix("s3://") {
            Some(place) => in_bucket(place, data, &mut files).await?,
            None => on_disk(Path::new(source), true, &mut files)?,
        }
        files[before..].sort_by(|a, b| order_of(&a.name).cmp(&order_of(&b.name)));
        if files.len() == before {
            bail!("{source} holds no log files: names end with {}", ENDINGS.join(", "));
        }
    }
    Ok(files)
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

fn on_disk(path: &Path, is_named: bool, files: &mut Vec<SourceFile>) -> Result<()> {
    let failed = || format!("read {}", path.display());
    let metadata = std::fs::metadata(path).with_context(failed)?;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).with_context(failed)? {
            on_disk(&entry.with_context(failed)?.path(), false, files)?;
        }
    } else if is_named || is_log_file(&path.to_string_lossy()) {
        let name = path.to_string_lossy().into_owned();
        let place = Place::File(path.to_owned());
        files.push(SourceFile { name, bytes: metadata.len(), place });
    }
    Ok(())
}

async fn in_bucket(place: &str, data: Option<&Path>, files: &mut Vec<SourceFile>) -> Result<()> {
    let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
    let bucket = Arc::new(bucket(&Client::new(data)?, name, false)?);
    let mut listing = Source::list(bucket.as_ref(), prefix);
    while let Some(object) = listing.next().await {
        let object = object.with_context(|| format!("list s3://{place}"))?;
        if is_log_file(&object.key) {
            let name = format!("s3://{name}/{}", object.key);
            let place = Place::Object(bucket.clone());
            files.push(SourceFile { name, bytes: object.size, place });
        }
    }
    Ok(())
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
