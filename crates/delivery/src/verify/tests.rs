use std::sync::LazyLock;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::digest::{Chain, ChainOf, Digest, ListedFile};
use crate::keys::{SigningKey, Validity};
use crate::layout::Folder;
use crate::log_file::{OpenWindow, Stream, gzip};

/// A bucket in memory.
#[derive(Debug, Clone, Default)]
struct World {
    objects: BTreeMap<String, SourceObject>,
    log_files: Vec<String>,
    digests: Vec<Digest>,
}

#[async_trait]
impl Source for World {
    fn bucket(&self) -> Option<&str> {
        Some("logs")
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<SourceListing, SourceFault>> {
        let matching = self.objects.iter().filter(move |(key, _)| key.starts_with(prefix));
        let listed = matching.map(|(key, object)| {
            Ok(SourceListing { key: key.clone(), size: object.bytes.len() as u64 })
        });
        futures::stream::iter(listed).boxed()
    }

    async fn get(&self, key: &str, bytes_max: u64) -> Result<Option<SourceObject>, SourceFault> {
        match self.objects.get(key) {
            Some(object) if object.bytes.len() as u64 > bytes_max => Err(SourceFault::TooLarge),
            other => Ok(other.cloned()),
        }
    }
}

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().expect("a key"));

fn hour(n: i64) -> Timestamp {
    // 2026-09-13T00:00:00Z
    Timestamp::from_second(1_789_257_600 + n * 3600).expect("in range")
}

fn known(key: &SigningKey) -> KnownKey {
    KnownKey {
        fingerprint: key.public().fingerprint.clone(),
        der: key.public().der.clone(),
        validity: None,
    }
}

fn chain_of() -> ChainOf {
    ChainOf {
        bucket: "logs".to_owned(),
        place: Place {
            prefix: None,
            organization: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
        },
        trail_name: "audit".to_owned(),
        home_region: "us-east-1".to_owned(),
    }
}

impl World {
    /// A chain of eight digests with two log files each, that stopped and began again after four.
    fn new() -> World {
        let mut world = World::default();
        let mut chain = Chain::Start { interval: SignedDuration::from_hours(1) };
        for n in 0..8 {
            if n == 4 {
                chain = Chain::Start { interval: SignedDuration::from_hours(1) };
            }
            // Off for ten hours.
            let end = if n < 4 { hour(n) } else { hour(n + 10) };
            let mut files = Vec::new();
            if n % 4 != 0 {
                for minute in [10, 40] {
                    let now = end.saturating_sub(SignedDuration::from_mins(minute));
                    files.push(
                        world.add_log_file(now.expect("in range"), n as u64 * 100 + minute as u64),
                    );
                }
            }
            let digest = Digest::build(&chain_of(), &chain, end, files, &KEY).expect("a digest");
            chain = Chain::After(digest.signed.clone());
            world.add_digest(digest);
        }
        world
    }

    fn add_log_file(&mut self, now: Timestamp, seq: u64) -> ListedFile {
        let stream = Stream {
            node: "AIDAEXAMPLE".into(),
            trail_arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit".to_owned(),
            place: chain_of().place,
            folder: Folder::CloudTrail,
        };
        let record = format!("{{\"eventID\":\"{seq}\",\"eventName\":\"PutObject\"}}");
        let file = OpenWindow::open(now, 1000, record.as_bytes(), now, seq).close(&stream, now);
        let key = file.key.to_string();
        let object = SourceObject { bytes: file.gz, metadata: BTreeMap::new() };
        self.objects.insert(key.clone(), object);
        self.log_files.push(key.clone());
        ListedFile::new("logs", &key, &file.sha256, now, now)
    }

    fn add_digest(&mut self, digest: Digest) {
        let metadata = digest.metadata.iter().cloned().collect();
        let object = SourceObject { bytes: digest.gz.clone(), metadata };
        self.objects.insert(digest.key.clone(), object);
        self.digests.push(digest);
    }

    async fn verify_with(&self, keys: &[KnownKey], options: &Options) -> Report {
        let mut last = Progress::default();
        let report = verify(self, keys, options, &mut |progress| last = progress).await;
        assert_eq!(last.digests, last.digests_done);
        assert_eq!(last.log_files, last.log_files_done);
        report.expect("memory does not fail")
    }

    async fn verify(&self) -> Report {
        self.verify_with(&[known(&KEY)], &Options::default()).await
    }

    /// `Problem name`, one per line, of everything found; `is_valid` must agree.
    async fn check(&self, expected: &[(Problem, &str)]) {
        let report = self.verify().await;
        let found: Vec<(Problem, &str)> =
            report.findings.iter().map(|finding| (finding.problem, finding.key.as_str())).collect();
        let mut expected = expected.to_vec();
        expected.push((Problem::ChainRestarted, &self.digests[4].key));
        expected.sort_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
        assert_eq!(found, expected, "{:#?}", report.findings);
        assert_eq!(report.is_valid(), expected.len() == 1);
    }
}

#[tokio::test]
async fn an_untouched_tree_is_valid_and_its_gap_is_told() {
    let world = World::new();
    world.check(&[]).await;
    let report = world.verify().await;
    assert_eq!((report.totals.digests_valid, report.totals.log_files_valid), (8, 12));
    assert_eq!(report.findings[0].from, Some(hour(3)));
    assert_eq!(report.findings[0].to, Some(hour(13)));
    assert_eq!((report.chains[0].start, report.chains[0].end), (hour(-1), hour(17)));
    let json = serde_json::to_string(&report).expect("JSON");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("our own JSON"), report);
}

#[tokio::test]
async fn a_removed_log_file_is_named() {
    let whole = World::new();
    for key in &whole.log_files {
        let mut world = whole.clone();
        world.objects.remove(key);
        world.check(&[(Problem::LogFileMissing, key)]).await;
    }
}

#[tokio::test]
async fn a_removed_digest_is_named_unless_it_was_the_last_of_its_chain() {
    let whole = World::new();
    for (n, digest) in whole.digests.iter().enumerate() {
        let mut world = whole.clone();
        world.objects.remove(&digest.key);
        match n {
            // Nobody names the last one, and after a removed start the chain seems to begin again
            // with a digest that names it.
            3 | 7 => assert!(world.verify().await.is_valid(), "{n}"),
            _ => {
                let report = world.verify().await;
                let named = report.errors().any(|finding| {
                    finding.problem == Problem::DigestMissing && finding.key == digest.key
                });
                assert!(named, "{n}: {:#?}", report.findings);
            }
        }
    }
}

#[tokio::test]
async fn neighbouring_removed_digests_are_all_named() {
    let mut world = World::new();
    let keys: Vec<String> = world.digests.iter().map(|digest| digest.key.clone()).collect();
    world.objects.remove(&keys[5]);
    world.objects.remove(&keys[6]);
    let mut expected = vec![
        (Problem::DigestMissing, keys[5].as_str()),
        (Problem::DigestMissing, keys[6].as_str()),
        (Problem::DigestsMissingBetween, keys[7].as_str()),
    ];
    // Nothing attests what they listed.
    let log_files = world.log_files[6..10].to_vec();
    expected.extend(log_files.iter().map(|key| (Problem::LogFileUnattested, key.as_str())));
    world.check(&expected).await;
    let report = world.verify().await;
    let gap = report.errors().find(|f| f.problem == Problem::DigestsMissingBetween);
    let gap = gap.expect("reported");
    assert_eq!((gap.from, gap.to), (Some(hour(14)), Some(hour(16))));
}

#[tokio::test]
async fn swapped_log_files_and_swapped_digests_are_named() {
    let mut world = World::new();
    let (a, b) = (world.log_files[2].clone(), world.log_files[7].clone());
    let (from_a, from_b) = (world.objects[&a].clone(), world.objects[&b].clone());
    world.objects.insert(a.clone(), from_b);
    world.objects.insert(b.clone(), from_a);
    world.check(&[(Problem::LogFileAltered, &a), (Problem::LogFileAltered, &b)]).await;

    let mut world = World::new();
    let (a, b) = (world.digests[1].key.clone(), world.digests[6].key.clone());
    let (from_a, from_b) = (world.objects[&a].clone(), world.objects[&b].clone());
    world.objects.insert(a.clone(), from_b);
    world.objects.insert(b.clone(), from_a);
    let report = world.verify().await;
    for key in [&a, &b] {
        let moved = |f: &&Finding| f.problem == Problem::DigestMoved && f.key == *key;
        assert!(report.errors().find(moved).is_some(), "{:#?}", report.findings);
    }
}

#[tokio::test]
async fn a_log_file_that_no_digest_lists_is_named() {
    let mut world = World::new();
    // Ten minutes before the end of digest 5, beside the two that it lists.
    let inside = hour(15).saturating_sub(SignedDuration::from_mins(20)).expect("in range");
    world.add_log_file(inside, 1000);
    let inserted = world.log_files.pop().expect("just added");
    // While logging was off, and after the last digest: nothing is said about such.
    world.add_log_file(hour(8), 1001);
    world.add_log_file(hour(18), 1002);
    world.check(&[(Problem::LogFileUnlisted, &inserted)]).await;

    let options = Options { unlisted_is_note: true, ..Options::default() };
    assert!(world.verify_with(&[known(&KEY)], &options).await.is_valid());
}

#[tokio::test]
async fn a_file_that_is_signed_to_lie_in_another_bucket_is_noted_as_not_read() {
    let mut world = World::new();
    let mut file = world.add_log_file(hour(18), 900);
    world.objects.remove(&file.s3_object);
    file.s3_bucket = "logs-before".to_owned();
    let last = world.digests.last().expect("there are some").signed.clone();
    let digest = Digest::build(&chain_of(), &Chain::After(last), hour(18), vec![file], &KEY);
    world.add_digest(digest.expect("a digest"));
    let report = world.verify().await;
    assert!(report.is_valid(), "{:#?}", report.findings);
    let noted: Vec<Problem> = report.findings.iter().map(|finding| finding.problem).collect();
    assert!(noted.contains(&Problem::LogFileElsewhere), "{noted:?}");
}

#[tokio::test]
async fn a_log_file_at_the_very_end_may_be_listed_by_the_next_digest() {
    let mut world = World::new();
    let late = hour(17).saturating_sub(SignedDuration::from_mins(3)).expect("in range");
    world.add_log_file(late, 1000);
    let report = world.verify().await;
    assert!(report.is_valid(), "{:#?}", report.findings);
    assert_eq!(report.totals.unlisted, 1);
}

#[tokio::test]
async fn an_object_among_log_files_with_a_foreign_name_is_named() {
    let mut world = World::new();
    let key = world.log_files[0].replace("_20", "_x20");
    world.objects.insert(key.clone(), SourceObject::default());
    world.objects.insert("AWSLogs/111122223333/Config/x.gz".to_owned(), SourceObject::default());
    world.check(&[(Problem::UnexpectedObject, &key)]).await;
    assert_eq!(world.verify().await.totals.other_objects, 2);
}

#[tokio::test]
async fn bytes_after_the_end_and_cut_files_are_named() {
    let whole = World::new();
    let log_file = &whole.log_files[3];
    let digest = &whole.digests[2].key;
    for (key, trailing, cut) in [
        (log_file, Problem::LogFileTrailingData, Problem::LogFileUnreadable),
        (digest, Problem::DigestUnreadable, Problem::DigestUnreadable),
    ] {
        let bytes = whole.objects[key].bytes.to_vec();
        let mut longer = bytes.clone();
        longer.extend_from_slice(&bytes);
        let mut cases = vec![(longer, trailing)];
        for len in [0, 1, 9, bytes.len() / 2, bytes.len() - 9, bytes.len() - 8, bytes.len() - 1] {
            cases.push((bytes[..len].to_vec(), cut));
        }
        for (bytes, problem) in cases {
            let mut world = whole.clone();
            world.objects.get_mut(key).expect("there").bytes = bytes.into();
            let report = world.verify().await;
            let named = report.errors().any(|f| f.problem == problem && f.key == *key);
            assert!(named, "{:#?}", report.findings);
        }
    }
}

#[tokio::test]
async fn a_bomb_is_not_inflated_beyond_the_limit() {
    let mut world = World::new();
    let bomb = Bytes::from(gzip(&vec![b'a'; 20_000_000]));
    let (log_file, digest) = (world.log_files[0].clone(), world.digests[5].key.clone());
    for key in [&log_file, &digest] {
        world.objects.get_mut(key).expect("there").bytes = bomb.clone();
    }
    let options = Options { plain_bytes_max: 1_000_000, ..Options::default() };
    let report = world.verify_with(&[known(&KEY)], &options).await;
    assert!(report.errors().any(|f| f.problem == Problem::LogFileTooLarge && f.key == log_file));
    assert!(report.errors().any(|f| f.problem == Problem::DigestUnreadable && f.key == digest));
    let options = Options { object_bytes_max: 1000, ..Options::default() };
    let report = world.verify_with(&[known(&KEY)], &options).await;
    assert!(report.errors().any(|f| f.problem == Problem::LogFileTooLarge && f.key == log_file));
}

#[tokio::test]
async fn a_digest_forged_with_another_key_is_named_and_its_files_stay_unlisted() {
    let mut world = World::new();
    let forger = SigningKey::generate().expect("a key");
    let inside = hour(15).saturating_sub(SignedDuration::from_mins(30)).expect("in range");
    let listed = world.add_log_file(inside, 1000);
    let inserted = listed.s3_object.clone();
    let chain = Chain::Start { interval: SignedDuration::from_mins(5) };
    let end = inside.saturating_add(SignedDuration::from_mins(2)).expect("in range");
    let forged = Digest::build(&chain_of(), &chain, end, vec![listed], &forger).expect("a digest");
    let name = forged.key.clone();
    world.add_digest(forged);
    let report = world.verify().await;
    let found = |problem, key: &str| report.errors().any(|f| f.problem == problem && f.key == key);
    assert!(found(Problem::DigestKeyUnknown, &name), "{:#?}", report.findings);
    assert!(found(Problem::LogFileUnlisted, &inserted), "{:#?}", report.findings);
    // With the forger's key relabelled as ours.
    let mut relabelled = known(&forger);
    relabelled.fingerprint = KEY.public().fingerprint.clone();
    let report = world.verify_with(&[relabelled], &Options::default()).await;
    assert_eq!(report.totals.digests_valid, 0);
}

#[tokio::test]
async fn a_digest_from_outside_its_keys_validity_is_named() {
    let world = World::new();
    let mut key = known(&KEY);
    key.validity = Some(Validity { start: hour(-1000), end: hour(17 - 25) });
    let report = world.verify_with(&[key.clone()], &Options::default()).await;
    let last = &world.digests[7].key;
    assert!(
        report.errors().any(|f| f.problem == Problem::DigestKeyNotValidThen && f.key == *last),
        "{:#?}",
        report.findings
    );
    key.validity = Some(Validity { start: hour(-1), end: hour(17) });
    assert!(world.verify_with(&[key], &Options::default()).await.is_valid());
}

#[tokio::test]
async fn without_digests_or_keys_nothing_is_valid() {
    let empty = World::default().verify().await;
    assert_eq!(empty.findings[0].problem, Problem::NoDigests);
    assert!(!empty.is_valid());
    let report = World::new().verify_with(&[], &Options::default()).await;
    assert!(!report.is_valid());
    assert_eq!((report.totals.digests_invalid, report.totals.log_files_valid), (8, 12));
}

#[tokio::test]
async fn a_time_range_needs_no_digest_outside_it() {
    let whole = World::new();
    let mut world = whole.clone();
    // Outside: everything before 13:00 is gone.
    for digest in &whole.digests[..5] {
        world.objects.remove(&digest.key);
    }
    let options = Options { from: Some(hour(14)), to: Some(hour(15)), ..Options::default() };
    let report = world.verify_with(&[known(&KEY)], &options).await;
    assert!(report.is_valid(), "{:#?}", report.findings);
    assert_eq!(report.totals.digests_valid, 2);
    assert!(!world.verify().await.is_valid());
}

#[tokio::test]
async fn a_folder_is_verified_with_sidecars_and_never_left() {
    let world = World::new();
    let root = tempfile::TempDir::new().expect("a folder");
    let write = |key: &str, bytes: &[u8]| {
        let path = root.path().join(key);
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    };
    for (key, object) in &world.objects {
        write(key, &object.bytes);
    }
    let source = FolderSource::new(root.path(), None);
    let keys = [known(&KEY)];
    let options = Options::default();
    let report = verify(&source, &keys, &options, &mut |_| {}).await.expect("readable");
    let absent = report.errors().filter(|f| f.problem == Problem::DigestSignatureAbsent);
    assert_eq!(absent.count(), 8, "{:#?}", report.findings);

    for digest in &world.digests {
        let metadata: BTreeMap<_, _> = digest.metadata.iter().cloned().collect();
        let json = serde_json::to_vec(&metadata).expect("JSON");
        write(&format!("{}.metadata.json", digest.key), &json);
    }
    let report = verify(&source, &keys, &options, &mut |_| {}).await.expect("readable");
    assert!(report.is_valid(), "{:#?}", report.findings);
    assert_eq!((report.totals.log_files_valid, report.totals.other_objects), (12, 0));

    let inner = FolderSource::new(&root.path().join("AWSLogs"), None);
    let first = &world.log_files[0];
    for key in [
        format!("../{first}"),
        root.path().join(first).display().to_string(),
        format!("./../{first}"),
        String::new(),
        "\0".to_owned(),
    ] {
        assert!(inner.get(&key, 1000).await.expect("no failure").is_none(), "{key}");
    }
    let elsewhere = FolderSource::new(root.path(), Some("other-bucket"));
    let report = verify(&elsewhere, &keys, &options, &mut |_| {}).await.expect("readable");
    assert!(report.errors().any(|f| f.problem == Problem::DigestMoved));
}

fn plain_of(gz: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    file_check::inflate(gz, 10_000_000, |piece| plain.extend_from_slice(piece)).ok()?;
    Some(plain)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A byte of a gzip header that changes nothing of what comes out is not part of the contents.
    #[test]
    fn any_altered_byte_of_any_object_is_found_and_its_object_named(
        object in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        static WHOLE: LazyLock<World> = LazyLock::new(World::new);
        let mut world = WHOLE.clone();
        let keys: Vec<String> = world.objects.keys().cloned().collect();
        let key = object.get(&keys);
        let object = world.objects.get_mut(key).expect("there");
        let before = plain_of(&object.bytes);
        let mut bytes = object.bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let unchanged = plain_of(&bytes) == before;
        object.bytes = bytes.into();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let report = runtime.block_on(world.verify());
        let named = report.errors().any(|finding| finding.key == *key);
        prop_assert_eq!(named, !unchanged, "{} byte {}: {:#?}", key, at, report.findings);
    }

    #[test]
    fn any_altered_signature_is_found(
        n in 0_usize..8, at in any::<proptest::sample::Index>(), digit in 1_u8..16
    ) {
        static WHOLE: LazyLock<World> = LazyLock::new(World::new);
        let mut world = WHOLE.clone();
        let key = world.digests[n].key.clone();
        let metadata = &mut world.objects.get_mut(&key).expect("there").metadata;
        let signature = metadata.get_mut("signature").expect("signed");
        let at = at.index(signature.len());
        let old = u8::from_str_radix(&signature[at..=at], 16).expect("hex");
        signature.replace_range(at..=at, &format!("{:x}", old ^ digit));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let report = runtime.block_on(world.verify());
        prop_assert!(report.errors().any(|finding| finding.key == key));
    }

    #[test]
    fn swapping_any_two_objects_is_found(
        a in any::<proptest::sample::Index>(), b in any::<proptest::sample::Index>()
    ) {
        static WHOLE: LazyLock<World> = LazyLock::new(World::new);
        let mut world = WHOLE.clone();
        let keys: Vec<String> = world.objects.keys().cloned().collect();
        let (a, b) = (a.get(&keys), b.get(&keys));
        prop_assume!(a != b);
        let (from_a, from_b) = (world.objects[a].clone(), world.objects[b].clone());
        world.objects.insert(a.clone(), from_b);
        world.objects.insert(b.clone(), from_a);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let report = runtime.block_on(world.verify());
        for key in [a, b] {
            prop_assert!(report.errors().any(|finding| finding.key == *key), "{:#?}", report.findings);
        }
    }

    #[test]
    fn no_digest_however_odd_makes_the_verifier_panic(
        json in "(\\PC{0,60}|\\{\"[a-zA-Z]{0,12}\":(null|\"\\PC{0,9}\"|\\[\\])\\})",
        start in "(2026-09-13T[0-2][0-9]:00:00Z|-?[0-9]{0,12}|\\PC{0,12})",
        object in "(\\PC{0,20}|AWSLogs/[0-9]{12}/CloudTrail-Digest/\\PC{0,20})",
    ) {
        let mut world = World::new();
        let key = world.digests[5].key.clone();
        world.objects.get_mut(&key).expect("there").bytes = gzip(json.as_bytes()).into();
        let mut odd: serde_json::Value = serde_json::from_slice(&world.digests[2].json).expect("JSON");
        odd["digestStartTime"] = start.into();
        odd["previousDigestS3Object"] = object.into();
        let bytes = gzip(&serde_json::to_vec(&odd).expect("JSON"));
        let key = world.digests[2].key.clone();
        world.objects.get_mut(&key).expect("there").bytes = bytes.into();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        prop_assert!(!runtime.block_on(world.verify()).is_valid());
    }
}

#[test]
fn a_verification_can_run_in_a_task_of_its_own() {
    fn sendable<T: Send>(_: &T) {}
    let (world, options) = (World::default(), Options::default());
    let mut progress = |_| {};
    sendable(&verify(&world, &[], &options, &mut progress));
}
