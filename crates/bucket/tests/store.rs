//! The store against a map in memory, and against a disk that fails at every step.

#![allow(clippy::unwrap_used)] // every function here belongs to a test

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bucket::{
    Condition, Headers, Listing, ListingItem, ListingQuery, ObjectFacts, PART_BYTES_MIN, Store,
    StoreError, Writing,
};
use durable::{Disk, DiskFile, RealDisk};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const OWNER: &str = "111111111111";

fn open(folder: &Path) -> Store {
    Store::open(folder, Arc::new(RealDisk)).unwrap()
}

fn open_with_bucket(folder: &Path) -> Store {
    let store = open(folder);
    store.create_bucket("logs", OWNER, "us-east-1", NOW).unwrap();
    store
}

fn begin(store: &Store, key: &str, data: &[u8]) -> bucket::Result<Writing> {
    let mut writing = store.put("logs", key)?;
    for chunk in data.chunks(7) {
        writing.write(chunk)?;
    }
    Ok(writing)
}

fn put(store: &Store, key: &str, data: &[u8]) -> bucket::Result<ObjectFacts> {
    begin(store, key, data)?.commit(Headers::default(), &Condition::None, NOW)
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    match store.get("logs", key) {
        Ok(reader) => {
            let mut data = vec![0; reader.facts.size as usize];
            assert_eq!(reader.read_at(&mut data, 0).unwrap(), data.len());
            Some(data)
        }
        Err(StoreError::NoSuchKey(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

fn list(store: &Store, query: ListingQuery) -> Listing {
    let listing = store.list("logs", &query).unwrap();
    assert!(listing.damaged.is_empty());
    listing
}

fn positions(listing: &Listing) -> Vec<&str> {
    listing.items.iter().map(ListingItem::position).collect()
}

fn everything() -> ListingQuery {
    ListingQuery { limit: usize::MAX, ..ListingQuery::default() }
}

/// What S3 would list, computed the plain way.
fn listed_by_model<'a>(
    keys: impl Iterator<Item = &'a String>,
    query: &ListingQuery,
) -> (Vec<String>, bool) {
    let mut found: Vec<String> = Vec::new();
    for key in keys {
        let Some(rest) = key.strip_prefix(&query.prefix) else { continue };
        let rolled = match rest.find(&query.delimiter) {
            Some(at) if !query.delimiter.is_empty() => {
                key[..query.prefix.len() + at + query.delimiter.len()].to_owned()
            }
            _ => key.clone(),
        };
        if rolled > query.after && found.last() != Some(&rolled) {
            found.push(rolled);
        }
    }
    let truncated = found.len() > query.limit && query.limit > 0;
    found.truncate(query.limit);
    (found, truncated)
}

fn some_key() -> impl Strategy<Value = String> {
    let piece = select(vec![
        "a", "b", "/", "/", "//", "..", ".", "-", "0", "é", "%2F", " ", "\u{0}", "A", "x!", "LONG",
    ]);
    prop::collection::vec(piece, 1..6)
        .prop_map(|pieces| pieces.concat().replace("LONG", &"long segment ".repeat(25)))
        .prop_filter("keys have 1 to 1024 bytes", |key| key.len() <= 1024)
}

#[derive(Debug, Clone)]
enum Step {
    Put(String, Vec<u8>),
    Delete(String),
    Reopen,
    List(ListingQuery),
}

fn some_step() -> impl Strategy<Value = Step> {
    let data = || prop::collection::vec(any::<u8>(), 0..40);
    let delimiter = select(vec!["", "/", "/", "a", "//"]);
    prop_oneof![
        6 => (some_key(), data()).prop_map(|(k, d)| Step::Put(k, d)),
        3 => some_key().prop_map(Step::Delete),
        1 => Just(Step::Reopen),
        3 => (some_key(), any::<bool>(), some_key(), any::<bool>(), delimiter, 0usize..5).prop_map(
            |(prefix, cut, after, from_start, delimiter, limit)| Step::List(ListingQuery {
                prefix: if cut { prefix.chars().take(2).collect() } else { String::new() },
                delimiter: delimiter.to_owned(),
                after: if from_start { String::new() } else { after },
                limit,
            })
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_is_a_sorted_map(steps in prop::collection::vec(some_step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open_with_bucket(folder.path());
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(key, data) => {
                    put(&store, &key, &data).unwrap();
                    model.insert(key, data);
                }
                Step::Delete(key) => {
                    // Most random keys do not exist, so take one that does.
                    let key = model.range(key.clone()..).next().map_or(key, |(k, _)| k.clone());
                    store.delete("logs", &key).unwrap();
                    model.remove(&key);
                }
                Step::Reopen => store = open(folder.path()),
                Step::List(query) => {
                    let listing = list(&store, query.clone());
                    let (expected, truncated) = listed_by_model(model.keys(), &query);
                    prop_assert_eq!(positions(&listing), expected);
                    prop_assert_eq!(listing.truncated, truncated);
                }
            }
        }
        let all = list(&store, everything());
        prop_assert_eq!(positions(&all), model.keys().collect::<Vec<_>>());
        for (key, data) in &model {
            prop_assert_eq!(&get(&store, key), &Some(data.clone()));
            store.delete("logs", key).unwrap();
        }
        // No folder of a deleted key stays to keep the bucket.
        prop_assert_eq!(std::fs::read_dir(folder.path().join("buckets/logs/objects")).unwrap().count(), 0);
        store.delete_bucket("logs").unwrap();
    }
}

#[test]
fn paging_visits_every_key_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let mut keys: Vec<String> = (0..300).map(|n| format!("day/{}/{n}", n % 7)).collect();
    for key in &keys {
        put(&store, key, b"").unwrap();
    }
    keys.sort_unstable();
    let (mut seen, mut query) = (Vec::new(), ListingQuery { limit: 7, ..ListingQuery::default() });
    loop {
        let page = list(&store, query.clone());
        seen.extend(positions(&page).into_iter().map(str::to_owned));
        if !page.truncated {
            break;
        }
        query.after = seen.last().unwrap().clone();
    }
    assert_eq!(seen, keys);
}

#[test]
fn headers_and_etag_come_back_after_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let headers = Headers {
        content_type: Some("text/plain".into()),
        expires: Some("Thu, 01 Jan 2026 00:00:00 GMT".into()),
        user: BTreeMap::from([("signature".into(), "ab\"é".into())]),
        ..Headers::default()
    };
    let writing = begin(&store, "k", b"hello").unwrap();
    let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
    let put = writing.commit(headers.clone(), &Condition::None, now).unwrap();
    let reader = open(folder.path()).get("logs", "k").unwrap();
    assert_eq!(reader.facts, put);
    assert_eq!(reader.facts.headers, headers);
    assert_eq!(reader.facts.etag, "5d41402abc4b2a76b9719d911017c592");
    assert_eq!(reader.facts.last_modified(), now);
    let mut middle = [0; 3];
    assert_eq!(reader.read_at(&mut middle, 1).unwrap(), 3);
    assert_eq!(&middle, b"ell");
    assert_eq!(reader.read_at(&mut middle, 5).unwrap(), 0);
}

#[test]
fn conditions_are_judged_when_the_object_would_show() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let (first, second) = (begin(&store, "k", b"1").unwrap(), begin(&store, "k", b"2").unwrap());
    let first = first.commit(Headers::default(), &Condition::Absent, NOW).unwrap();
    let refused = second.commit(Headers::default(), &Condition::Absent, NOW);
    assert!(matches!(refused, Err(StoreError::PreconditionFailed("If-None-Match"))));
    let stale = Condition::ETag("0".repeat(32));
    let refused = begin(&store, "k", b"3").unwrap().commit(Headers::default(), &stale, NOW);
    assert!(matches!(refused, Err(StoreError::PreconditionFailed("If-Match"))));
    assert_eq!(get(&store, "k").unwrap(), b"1");
    let fresh = Condition::ETag(first.etag);
    begin(&store, "k", b"4").unwrap().commit(Headers::default(), &fresh, NOW).unwrap();
    assert_eq!(get(&store, "k").unwrap(), b"4");
    let refused = begin(&store, "none", b"5").unwrap().commit(Headers::default(), &fresh, NOW);
    assert!(matches!(refused, Err(StoreError::NoSuchKey(_))));
}

#[test]
fn an_abandoned_put_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    drop(begin(&store, "k", b"half").unwrap());
    assert_eq!(get(&store, "k"), None);
    assert_eq!(std::fs::read_dir(folder.path().join("temporary")).unwrap().count(), 0);
}

#[test]
fn what_a_crash_leaves_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    std::mem::forget(begin(&store, "k", b"half").unwrap());
    let deep = folder.path().join("temporary/removed/objects/da");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("fb"), "x").unwrap();
    let outside = folder.path().join("outside");
    std::fs::write(&outside, "keep").unwrap();
    std::os::unix::fs::symlink(&outside, folder.path().join("temporary/link")).unwrap();
    let store = open(folder.path());
    assert_eq!(std::fs::read_dir(folder.path().join("temporary")).unwrap().count(), 0);
    assert_eq!(std::fs::read(&outside).unwrap(), b"keep");
    assert_eq!(get(&store, "k"), None);
}

#[test]
fn a_flipped_byte_of_the_facts_is_damage_and_hides_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    for key in ["a", "b", "c"] {
        put(&store, key, b"data").unwrap();
    }
    let file = folder.path().join("buckets/logs/objects/fb");
    let whole = std::fs::read(&file).unwrap();
    for at in 4..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&file, bytes).unwrap();
        assert!(matches!(store.get("logs", "b"), Err(StoreError::Damaged { .. })), "byte {at}");
        let listing = store.list("logs", &everything()).unwrap();
        assert_eq!((positions(&listing), listing.damaged.len()), (vec!["a", "c"], 1), "byte {at}");
    }
}

#[test]
fn buckets_are_made_once_kept_and_removed_when_empty() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let again = store.create_bucket("logs", "222222222222", "eu-west-1", NOW);
    assert!(matches!(again, Err(StoreError::BucketExists { owner, .. }) if owner == OWNER));
    store.set_policy("logs", Some("{}".into())).unwrap();
    put(&store, "a/b", b"").unwrap();
    let store = open(folder.path());
    let facts = store.bucket("logs").unwrap();
    assert_eq!((facts.owner.as_str(), facts.region.as_str()), (OWNER, "us-east-1"));
    assert_eq!(facts.policy.as_deref(), Some("{}"));
    assert!(matches!(store.delete_bucket("logs"), Err(StoreError::BucketNotEmpty(_))));
    let writing = begin(&store, "late", b"").unwrap();
    store.delete("logs", "a/b").unwrap();
    store.create_upload("logs", "k", Headers::default(), NOW).unwrap();
    store.delete_bucket("logs").unwrap();
    let late = writing.commit(Headers::default(), &Condition::None, NOW);
    assert!(matches!(late, Err(StoreError::NoSuchBucket(_))));
    assert!(matches!(store.bucket("logs"), Err(StoreError::NoSuchBucket(_))));
    assert!(open(folder.path()).buckets().is_empty());
    assert_eq!(std::fs::read_dir(folder.path().join("buckets")).unwrap().count(), 0);
}

fn upload_parts(store: &Store, parts: &[(u32, &[u8])]) -> (String, Vec<(u32, String)>) {
    let id = store.create_upload("logs", "big", Headers::default(), NOW).unwrap().id;
    let mut sent = Vec::new();
    for (number, data) in parts {
        let mut part = store.put_part("logs", "big", &id, *number).unwrap();
        part.write(data).unwrap();
        let part = store.commit_part(part, ("logs", "big", &id), *number, None, NOW).unwrap();
        sent.push((*number, part.etag));
    }
    (id, sent)
}

#[test]
fn an_upload_in_parts_becomes_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let large = vec![7; PART_BYTES_MIN as usize];
    let (id, parts) = upload_parts(&store, &[(3, b"end"), (1, &large)]);
    assert_eq!(store.uploads("logs").unwrap()[0].id, id);
    let listed = store.parts("logs", "big", &id).unwrap();
    assert_eq!(
        listed.iter().map(|p| (p.number, p.size)).collect::<Vec<_>>(),
        [(1, PART_BYTES_MIN), (3, 3)]
    );
    let at = ("logs", "big", id.as_str());
    let complete =
        |parts: &[(u32, String)]| store.complete_upload(at, parts, &Condition::None, NOW);
    assert!(matches!(complete(&parts), Err(StoreError::InvalidPartOrder)));
    let wrong = [(1, "0".repeat(32))];
    assert!(matches!(complete(&wrong), Err(StoreError::InvalidPart(1))));
    assert!(matches!(complete(&[(2, parts[0].1.clone())]), Err(StoreError::InvalidPart(2))));
    assert_eq!(get(&store, "big"), None);
    let ordered = [parts[1].clone(), parts[0].clone()];
    let facts = complete(&ordered).unwrap();
    assert!(facts.etag.ends_with("-2"));
    assert_eq!(get(&store, "big").unwrap(), [&large[..], b"end"].concat());
    assert!(matches!(complete(&ordered), Err(StoreError::NoSuchUpload(_))));
    assert!(store.uploads("logs").unwrap().is_empty());
}

#[test]
fn small_parts_foreign_ids_and_wrong_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_with_bucket(folder.path());
    let (id, parts) = upload_parts(&store, &[(1, b"a"), (2, b"b")]);
    let small = store.complete_upload(("logs", "big", &id), &parts, &Condition::None, NOW);
    assert!(matches!(small, Err(StoreError::PartTooSmall { number: 1, size: 1 })));
    for (key, id) in [("other", id.as_str()), ("big", "../../x"), ("big", ""), ("big", "..")] {
        assert!(matches!(store.parts("logs", key, id), Err(StoreError::NoSuchUpload(_))));
        assert!(matches!(store.abort_upload("logs", key, id), Err(StoreError::NoSuchUpload(_))));
    }
    for number in [0, 10_001] {
        let refused = store.put_part("logs", "big", &id, number);
        assert!(matches!(refused, Err(StoreError::PartNumber(_))));
    }
    store.abort_upload("logs", "big", &id).unwrap();
    assert!(store.uploads("logs").unwrap().is_empty());
}

/// Fails the `fail_at`-th call that changes something, before or after doing it; afterwards goes on
/// (`dies: false`) or fails everything, as for a process that has ended.
#[derive(Debug)]
struct FailingDisk {
    calls: Arc<AtomicU64>,
    fail_at: u64,
    after: bool,
    dies: bool,
    error: i32,
}

#[derive(Debug)]
struct FailingFile(Box<dyn DiskFile>, FailingDisk);

impl FailingDisk {
    fn again(&self) -> Self {
        Self { calls: self.calls.clone(), ..*self }
    }

    fn call<T>(&self, real: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let nth = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let failure = || io::Error::from_raw_os_error(self.error);
        if nth > self.fail_at && self.dies {
            return Err(failure());
        }
        if nth != self.fail_at {
            return real();
        }
        if self.after {
            real()?;
        }
        Err(failure())
    }
}

impl Disk for FailingDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        let file = self.call(|| RealDisk.create_new(path, mode))?;
        Ok(Box::new(FailingFile(file, self.again())))
    }
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call(|| RealDisk.open_existing(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealDisk.rename(from, to))
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealDisk.hard_link(from, to))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealDisk.remove_file(path))
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealDisk.remove_dir(path))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealDisk.create_dir_all(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealDisk.sync_dir(path))
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

impl DiskFile for FailingFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.1.call(|| self.0.write_all_at(bytes, offset))
    }
    fn preallocate(&mut self, len: u64) -> io::Result<()> {
        self.1.call(|| self.0.preallocate(len))
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.1.call(|| self.0.set_len(len))
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.1.call(|| self.0.sync_data())
    }
}

/// Runs `change` on a prepared store with a failure at every step in turn, in every manner; then opens
/// the folder anew and shows the store, and whether the change said it was done, to `look`.
fn sweep(
    prepare: impl Fn(&Store),
    change: impl Fn(&Store) -> bucket::Result<()>,
    look: impl Fn(&Store, bool),
) {
    for (after, dies) in [(false, false), (true, false), (false, true), (true, true)] {
        for fail_at in 1.. {
            let folder = tempfile::tempdir().unwrap();
            prepare(&open_with_bucket(folder.path()));
            let calls = Arc::new(AtomicU64::new(0));
            let disk = FailingDisk { calls: calls.clone(), fail_at, after, dies, error: 5 };
            let done = Store::open(folder.path(), Arc::new(disk)).and_then(|s| change(&s)).is_ok();
            let store = open(folder.path());
            look(&store, done);
            let left = std::fs::read_dir(folder.path().join("temporary")).unwrap().count();
            assert_eq!(left, 0);
            if calls.load(Ordering::Relaxed) < fail_at {
                assert!(done, "without a failure the change succeeds");
                break;
            }
        }
    }
}

#[test]
fn a_put_that_fails_anywhere_shows_nothing_or_all_of_it() {
    let put_new = |store: &Store| put(store, "a/b/new", b"new data").map(drop);
    sweep(
        |_| (),
        put_new,
        |store, done| {
            let there = get(store, "a/b/new");
            assert!(there.is_none() && !done || there.as_deref() == Some(b"new data"));
            let listed = list(store, everything()).items.len();
            assert_eq!(listed, usize::from(there.is_some()));
            put(store, "a/b/new", b"again").unwrap();
        },
    );
}

#[test]
fn an_overwrite_that_fails_anywhere_shows_the_old_or_the_new() {
    sweep(
        |store| drop(put(store, "a/k", b"old").unwrap()),
        |store| put(store, "a/k", b"new data").map(drop),
        |store, done| {
            let there = get(store, "a/k").unwrap();
            assert!(there == b"new data" || there == b"old" && !done);
        },
    );
}

#[test]
fn a_delete_that_fails_anywhere_shows_the_old_or_nothing() {
    sweep(
        |store| {
            put(store, "a/b/k", b"old").unwrap();
            put(store, "a/other", b"other").unwrap();
        },
        |store| store.delete("logs", "a/b/k"),
        |store, done| {
            let there = get(store, "a/b/k");
            assert!(there.is_none() || there.as_deref() == Some(b"old") && !done);
            assert_eq!(get(store, "a/other").unwrap(), b"other");
        },
    );
}

#[test]
fn completing_an_upload_that_fails_anywhere_can_be_done_again() {
    let complete = |store: &Store| {
        let upload = store.uploads("logs")?.pop().unwrap();
        let at = ("logs", "big", upload.id.as_str());
        let parts = store.parts("logs", "big", &upload.id)?;
        let parts: Vec<_> = parts.into_iter().map(|p| (p.number, p.etag)).collect();
        store.complete_upload(at, &parts, &Condition::None, NOW).map(drop)
    };
    sweep(
        |store| drop(upload_parts(store, &[(1, b"all of it")])),
        complete,
        |store, done| {
            let there = get(store, "big");
            assert!(there.is_none() && !done || there.as_deref() == Some(b"all of it"));
            match there {
                None => complete(store).unwrap(),
                Some(_) => store.uploads("logs").unwrap().iter().for_each(|upload| {
                    store.abort_upload("logs", "big", &upload.id).unwrap();
                }),
            }
            assert_eq!(get(store, "big").unwrap(), b"all of it");
        },
    );
}

#[test]
fn making_and_removing_a_bucket_that_fails_anywhere_is_all_or_nothing() {
    sweep(
        |_| (),
        |store| store.create_bucket("new", OWNER, "us-east-1", NOW).map(drop),
        |store, done| match store.bucket("new") {
            Ok(_) => store.delete_bucket("new").unwrap(),
            Err(_) => assert!(!done),
        },
    );
    sweep(
        |_| (),
        |store| store.delete_bucket("logs"),
        |store, done| match store.bucket("logs") {
            Ok(_) => assert!(!done && put(store, "k", b"").is_ok()),
            Err(_) => drop(store.create_bucket("logs", OWNER, "us-east-1", NOW).unwrap()),
        },
    );
}

#[test]
fn a_full_disk_is_named_and_keeps_the_old_object() {
    const ENOSPC: i32 = 28;
    for fail_at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        put(&open_with_bucket(folder.path()), "k", b"old").unwrap();
        let calls = Arc::new(AtomicU64::new(0));
        let disk =
            FailingDisk { calls: calls.clone(), fail_at, after: false, dies: false, error: ENOSPC };
        let Ok(store) = Store::open(folder.path(), Arc::new(disk)) else { continue };
        let done = put(&store, "k", b"new");
        if calls.load(Ordering::Relaxed) < fail_at {
            done.unwrap();
            break;
        }
        let Err(StoreError::DiskFull { step, .. }) = done else { panic!("{done:?}") };
        // The sync of the folder comes after the rename; it needs no room, but a test can ask for it.
        assert!(get(&store, "k").unwrap() == b"old" || step == "sync");
        put(&store, "k", b"there is room again").unwrap();
    }
}
