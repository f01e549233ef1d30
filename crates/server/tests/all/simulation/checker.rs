//! What must be true of the buckets, judged from outside by their objects and the public keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::time::Duration;

use catalog::DigestKey;
use delivery::destination::{Addressing, Destination, StoreSettings};
use delivery::digest::{DigestFile, METADATA_SIGNATURE, to_sign};
use delivery::keys::Validity;
use delivery::layout::{Folder, LogFileKey, ObjectKey, which_of, which_window};
use delivery::verify::{KnownKey, Options, Problem, verify};
use jiff::Timestamp;

use super::store::Object;
use super::world::{ABROAD, HOME, MEMBER, TENANT, World};

/// A log file as it lies in its bucket.
struct Found {
    trail_arn: String,
    sha256: String,
    oldest: String,
    newest: String,
    listed: u32,
}

/// What is not asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lenient {
    /// A trail changed its bucket: one bucket alone does not hold a whole chain.
    pub moved: bool,
    /// Objects were given up or removed: what lists or follows them cannot be whole.
    pub lost: bool,
    /// Files that were delivered while no validation was asked for.
    pub unattested: u32,
}

/// Panics with everything that is wrong.
pub async fn check(world: &World, lenient: Lenient, context: &str) {
    let mut checker = Checker { wrong: Vec::new(), files: BTreeMap::new() };
    for object in world.store.rewritten() {
        checker.wrong.push(format!("{object} was put twice with different contents"));
    }
    let keys = world.digest_keys().await;
    let digests = checker.read_all(world, &keys);
    checker.check_events(world, lenient);
    checker.check_chains(digests, lenient);
    checker.check_listed(lenient);
    if !lenient.lost {
        checker.check_with_verify(world, &keys, lenient).await;
    }
    if !checker.wrong.is_empty() {
        let errors = &world.errors;
        panic!("{context}\n{}\nerrors of workers: {errors:?}", checker.wrong.join("\n"));
    }
}

/// Trail name and home Region, account, Region.
type ChainId = (String, String, String, String);

struct DigestFound {
    bucket: String,
    key: String,
    file: DigestFile,
    sha256: String,
    signature: String,
}

struct Checker {
    wrong: Vec<String>,
    /// By bucket and key.
    files: BTreeMap<(String, String), (Found, Vec<String>)>,
}

impl Checker {
    fn read_all(
        &mut self,
        world: &World,
        keys: &[DigestKey],
    ) -> BTreeMap<ChainId, Vec<DigestFound>> {
        let names = names_of_files(world);
        let mut chains: BTreeMap<ChainId, Vec<DigestFound>> = BTreeMap::new();
        for bucket in world.store.buckets() {
            for (key, object) in world.store.objects(&bucket) {
                match ObjectKey::parse(&key) {
                    Some(ObjectKey::LogFile(parsed)) => {
                        self.read_log_file(world, &names, &bucket, &key, &parsed, &object);
                    }
                    Some(ObjectKey::Digest(parsed)) => {
                        if let Some(digest) = self.read_digest(keys, &bucket, &key, &object) {
                            let place = parsed.place;
                            let id = (
                                parsed.trail_name,
                                parsed.home_region,
                                place.account,
                                place.region,
                            );
                            chains.entry(id).or_default().push(digest);
                        }
                    }
                    other => self.wrong.push(format!("{bucket}/{key} is {other:?}")),
                }
            }
        }
        chains
    }

    fn read_log_file(
        &mut self,
        world: &World,
        names: &HashMap<String, (String, u64)>,
        bucket: &str,
        key: &str,
        parsed: &LogFileKey,
        object: &Object,
    ) {
        let Some((trail_arn, first_seq)) = names.get(which_of(&parsed.unique)) else {
            self.wrong.push(format!("{key}: its name does not come from a trail and an entry"));
            return;
        };
        let plain = inflated(&object.bytes);
        let json: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        let records = json["Records"].as_array().unwrap();
        let text = |record: &serde_json::Value, name: &str| {
            record[name].as_str().unwrap_or_default().to_owned()
        };
        let ids: Vec<String> = records.iter().map(|record| text(record, "eventID")).collect();
        if let Some(first) = world.entries.get(first_seq)
            && ids.first() != Some(first)
        {
            self.wrong.push(format!("{key}: named after entry {first_seq}, begins with {ids:?}"));
        }
        for record in records {
            if text(record, "awsRegion") != parsed.place.region
                || text(record, "recipientAccountId") != parsed.place.account
            {
                self.wrong.push(format!("{key} holds a record of another account or Region"));
            }
        }
        let times: BTreeSet<String> = records.iter().map(|r| text(r, "eventTime")).collect();
        let found = Found {
            trail_arn: trail_arn.clone(),
            sha256: sha256(&plain),
            oldest: times.first().cloned().unwrap_or_default(),
            newest: times.last().cloned().unwrap_or_default(),
            listed: 0,
        };
        self.files.insert((bucket.to_owned(), key.to_owned()), (found, ids));
    }

    fn read_digest(
        &mut self,
        keys: &[DigestKey],
        bucket: &str,
        key: &str,
        object: &Object,
    ) -> Option<DigestFound> {
        let plain = inflated(&object.bytes);
        let file: DigestFile = serde_json::from_slice(&plain).unwrap();
        let sha256 = sha256(&plain);
        let signature = object.metadata.get(METADATA_SIGNATURE).cloned().unwrap_or_default();
        if (file.digest_s3_bucket.as_str(), file.digest_s3_object.as_str()) != (bucket, key) {
            self.wrong.push(format!("{key} says it lies elsewhere"));
        }
        let signer = keys.iter().find(|k| k.fingerprint == file.digest_public_key_fingerprint);
        let Some(signer) = signer else {
            self.wrong.push(format!("{key}: nobody knows the key that signed it"));
            return None;
        };
        let signed = to_sign(&file, &sha256);
        if !delivery::keys::verify(&signer.public_pkcs1, signed.as_bytes(), &signature) {
            self.wrong.push(format!("{key}: its signature is wrong"));
        }
        let end_ms = ms(&file.digest_end_time);
        if !(signer.valid_from_ms..signer.valid_until_ms).contains(&end_ms) {
            self.wrong.push(format!("{key}: signed with a key that was not valid"));
        }
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        Some(DigestFound { bucket, key, file, sha256, signature })
    }

    /// Every event that a trail owes is in its files once, and nothing else is.
    fn check_events(&mut self, world: &World, lenient: Lenient) {
        let mut delivered: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for (found, ids) in self.files.values() {
            for id in ids {
                *delivered.entry(&found.trail_arn).or_default().entry(id).or_default() += 1;
            }
        }
        for trail in &world.trails {
            let delivered = delivered.remove(trail.arn.as_str()).unwrap_or_default();
            for id in &trail.must {
                if !delivered.contains_key(id.as_str()) && !lenient.lost {
                    self.wrong.push(format!("{}: event {id} is lost", trail.name));
                }
            }
            for (id, times) in delivered {
                if times > 1 {
                    self.wrong.push(format!("{}: event {id} is there {times} times", trail.name));
                }
                if !trail.must.contains(id) && !trail.may.contains(id) {
                    self.wrong.push(format!("{}: event {id} was not asked for", trail.name));
                }
            }
        }
    }

    /// Each chain is one line: ends grow, links name the neighbour before, windows touch.
    fn check_chains(&mut self, chains: BTreeMap<ChainId, Vec<DigestFound>>, lenient: Lenient) {
        for (id, mut digests) in chains {
            digests.sort_by(|a, b| a.file.digest_end_time.cmp(&b.file.digest_end_time));
            let mut before: Option<&DigestFound> = None;
            for digest in &digests {
                let file = &digest.file;
                if file.digest_start_time >= file.digest_end_time {
                    self.wrong.push(format!("{}: its window is empty", digest.key));
                }
                if before.is_some_and(|b| b.file.digest_end_time >= file.digest_end_time) {
                    self.wrong.push(format!("{}: two digests end at once", digest.key));
                }
                match (before, &file.previous_digest_s3_object) {
                    (_, None) => {
                        let rest = [
                            &file.previous_digest_s3_bucket,
                            &file.previous_digest_hash_value,
                            &file.previous_digest_signature,
                        ];
                        if rest.iter().any(|member| member.is_some()) || !file.log_files.is_empty()
                        {
                            self.wrong.push(format!("{}: not a starting digest", digest.key));
                        }
                    }
                    (_, Some(_)) if lenient.lost => {}
                    (None, Some(named)) => {
                        self.wrong.push(format!("{id:?}: {named} is missing"));
                    }
                    (Some(before), Some(named)) => {
                        let linked = *named == before.key
                            && file.previous_digest_s3_bucket.as_ref() == Some(&before.bucket)
                            && file.previous_digest_hash_value.as_ref() == Some(&before.sha256)
                            && file.previous_digest_signature.as_ref() == Some(&before.signature);
                        if !linked {
                            self.wrong
                                .push(format!("{} does not follow {}", digest.key, before.key));
                        }
                        if file.digest_start_time != before.file.digest_end_time {
                            self.wrong.push(format!("{}: a gap or overlap before it", digest.key));
                        }
                    }
                }
                before = Some(digest);
                self.note_listed(&id, digest, lenient);
            }
        }
    }

    fn note_listed(&mut self, id: &ChainId, digest: &DigestFound, lenient: Lenient) {
        let (trail, home, account, region) = id;
        let arn = format!("arn:aws:cloudtrail:{home}:{TENANT}:trail/{trail}");
        for listed in &digest.file.log_files {
            let place = (listed.s3_bucket.clone(), listed.s3_object.clone());
            let Some((found, _)) = self.files.get_mut(&place) else {
                if !lenient.lost {
                    self.wrong.push(format!("{} lists {place:?}, not there", digest.key));
                }
                continue;
            };
            found.listed += 1;
            let same = found.trail_arn == arn
                && found.sha256 == listed.hash_value
                && Some(&found.oldest) == listed.oldest_event_time.as_ref()
                && Some(&found.newest) == listed.newest_event_time.as_ref()
                && place.1.contains(&format!("_{region}_"))
                && place.1.contains(&format!("{account}_"));
            if !same {
                self.wrong.push(format!("{} says wrong things of {place:?}", digest.key));
            }
        }
    }

    fn check_listed(&mut self, lenient: Lenient) {
        let mut unattested = 0;
        for ((_, key), (found, _)) in &self.files {
            match found.listed {
                0 if unattested < lenient.unattested => unattested += 1,
                0 if lenient.lost => {}
                1 => {}
                times => self.wrong.push(format!("{key} is in {times} digests")),
            }
        }
        if unattested != lenient.unattested {
            self.wrong.push(format!("only {unattested} files are in no digest"));
        }
    }

    /// The verifier that users have, over each bucket.
    async fn check_with_verify(&mut self, world: &World, keys: &[DigestKey], lenient: Lenient) {
        let settings = StoreSettings {
            direct: true,
            endpoint: "http://store.test".to_owned(),
            addressing: Addressing::Path,
            region: HOME.to_owned(),
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
        };
        let known: Vec<KnownKey> = keys
            .iter()
            .map(|key| KnownKey {
                fingerprint: key.fingerprint.clone(),
                der: key.public_pkcs1.clone(),
                validity: Some(Validity {
                    start: Timestamp::from_millisecond(key.valid_from_ms).unwrap(),
                    end: Timestamp::from_millisecond(key.valid_until_ms).unwrap(),
                }),
            })
            .collect();
        for bucket in world.store.buckets() {
            let source =
                Destination::with_client(&settings, &bucket, world.store.client()).unwrap();
            let report = verify(&source, &known, &Options::default(), &mut |_| {}).await.unwrap();
            for finding in report.errors() {
                // Files that the digests of the next bucket list.
                let elsewhere = finding.problem == Problem::LogFileUnlisted;
                // A bucket without any digest has nothing that could be wrong.
                let empty = finding.problem == Problem::NoDigests;
                if !(empty || lenient.moved && elsewhere) {
                    self.wrong.push(format!("verify {bucket}: {finding:?}"));
                }
            }
        }
    }
}

/// What every log file that may be here has at the end of its name, behind the time: its trail and first
/// entry.
fn names_of_files(world: &World) -> HashMap<String, (String, u64)> {
    let last = world.node().journal.next_seq();
    let node = &world.node().credentials.user_id;
    let mut names = HashMap::new();
    for trail in &world.trails {
        for account in [TENANT, MEMBER] {
            for region in [HOME, ABROAD] {
                for seq in 1..last {
                    let which =
                        which_window(node, &trail.arn, account, region, Folder::CloudTrail, seq);
                    names.insert(which, (trail.arn.clone(), seq));
                }
            }
        }
    }
    names
}

pub fn inflated(gz: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gz).read_to_end(&mut plain).unwrap();
    plain
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}
