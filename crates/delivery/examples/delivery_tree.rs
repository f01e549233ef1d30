//! Writes what a trail delivers, as a folder, for judges that are not ours.
//!
//! `delivery_tree FOLDER [DIGESTS [FILES_PER_DIGEST]]` writes the bucket `audit-logs` of trail `audit`
//! to FOLDER/bucket, the metadata of digests beside them (see `FolderSource`), and the public keys to
//! FOLDER/keys.json as ListPublicKeys would return them. The chain runs from
//! 2026-09-13T00:00:00Z with one digest an hour, is stopped and started once in the middle, and its
//! key changes once.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use delivery::digest::{Chain, ChainOf, Digest, ListedFile};
use delivery::keys::SigningKey;
use delivery::layout::{Folder, Place};
use delivery::log_file::{OpenWindow, Stream};
use jiff::{SignedDuration, Timestamp};

const BUCKET: &str = "audit-logs";

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().ok_or("usage: delivery_tree FOLDER [DIGESTS [FILES]]")?);
    let digests: i64 = args.next().map_or(Ok(30), |text| text.parse())?;
    let files_per_digest: i64 = args.next().map_or(Ok(10), |text| text.parse())?;

    let start: Timestamp = "2026-09-13T00:00:00Z".parse()?;
    let hour = SignedDuration::from_hours(1);
    let of = chain_of();
    let signing = [SigningKey::generate()?, SigningKey::generate()?];
    let mut chain = Chain::Start { interval: hour };
    let mut seq = 0_u64;
    for n in 0..digests {
        let mut end = start.checked_add(hour * i32::try_from(n)?)?;
        let mut listed = Vec::new();
        if n == digests / 2 {
            // Logging was off: the chain begins again, in the middle of an hour.
            chain = Chain::Start { interval: hour };
        }
        // A starting digest lists nothing; every seventh hour was quiet.
        if matches!(chain, Chain::After(_)) && n % 7 != 3 {
            for file in 0..files_per_digest {
                let offset = SignedDuration::from_secs(3600 * file / files_per_digest + 1);
                let now = end.checked_sub(hour)?.checked_add(offset)?;
                listed.push(write_log_file(&folder, &of, now, &mut seq)?);
            }
        } else {
            end = end.checked_sub(SignedDuration::from_secs(1))?;
        }
        let key = &signing[usize::from(n > digests / 3)];
        let digest = Digest::build(&of, &chain, end, listed, key)?;
        let metadata: serde_json::Map<String, serde_json::Value> =
            digest.metadata.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        let metadata = serde_json::to_vec(&metadata)?;
        write(&folder, &digest.key, &digest.gz)?;
        write(&folder, &format!("{}.metadata.json", digest.key), &metadata)?;
        chain = Chain::After(digest.signed);
    }
    let mut public = Vec::new();
    for key in &signing {
        public.push(serde_json::json!({
            "Value": BASE64_STANDARD.encode(&key.public().der),
            "Fingerprint": key.public().fingerprint,
        }));
    }
    fs::write(folder.join("keys.json"), serde_json::to_vec_pretty(&public)?)?;
    Ok(())
}

fn chain_of() -> ChainOf {
    ChainOf {
        bucket: BUCKET.to_owned(),
        place: Place {
            prefix: Some("prod".to_owned()),
            organization: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
        },
        trail_name: "audit".to_owned(),
        home_region: "us-east-1".to_owned(),
    }
}

fn write_log_file(
    folder: &Path,
    of: &ChainOf,
    now: Timestamp,
    seq: &mut u64,
) -> Result<ListedFile, Box<dyn Error>> {
    let stream = Stream {
        node: "AIDAEXAMPLE".into(),
        trail_arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit".to_owned(),
        place: of.place.clone(),
        folder: Folder::CloudTrail,
    };
    let record = |seq: u64| format!(r#"{{"eventID":"{seq}","eventName":"PutObject"}}"#);
    let mut window = OpenWindow::open(now, 1_000_000, record(*seq).as_bytes(), now, *seq);
    for _ in 0..4 {
        *seq += 1;
        window.append(record(*seq).as_bytes(), now, *seq)?;
    }
    *seq += 1;
    let file = window.close(&stream, now);
    let key = file.key.to_string();
    write(folder, &key, &file.gz)?;
    let (oldest, newest) = (file.oldest_event_time, file.newest_event_time);
    Ok(ListedFile::new(BUCKET, &key, &file.sha256, oldest, newest))
}

fn write(folder: &Path, key: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = folder.join("bucket").join(key);
    fs::create_dir_all(path.parent().ok_or("a key has folders")?)?;
    fs::write(path, bytes)?;
    Ok(())
}
