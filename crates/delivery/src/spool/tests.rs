use std::os::unix::fs::PermissionsExt;

use durable::{DiskFile, RealDisk};
use tempfile::TempDir;

use super::*;
use crate::layout::{Folder, Place};
use crate::log_file::{OpenWindow, Stream};

const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit";

fn log_file(first_seq: u64, record: &str) -> LogFile {
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let stream = Stream {
        node: "AIDAEXAMPLE".into(),
        trail_arn: ARN.to_owned(),
        place: Place {
            prefix: None,
            organization: None,
            account: "111122223333".to_owned(),
            region: "us-east-1".to_owned(),
        },
        folder: Folder::CloudTrail,
    };
    OpenWindow::open(now, 1000, record.as_bytes(), now, first_seq).close(&stream, now)
}

fn open(folder: &TempDir) -> Spool {
    Spool::open(folder.path(), Arc::new(RealDisk)).expect("a spool")
}

#[test]
fn what_was_put_is_found_after_a_restart_in_the_order_of_seq() {
    let folder = TempDir::new().expect("a folder");
    let files = [log_file(100, "{}"), log_file(9, "{\"a\":1}"), log_file(20, "{}")];
    for file in &files {
        open(&folder).put_log_file(ARN, "logs", file).expect("spooled");
    }
    let spool = open(&folder);
    let pending = spool.pending().expect("listed");
    assert_eq!(pending.damaged, []);
    let mut seqs = Vec::new();
    for (id, header) in &pending.files {
        let SpooledKind::LogFile { first_seq, .. } = header.kind;
        seqs.push(first_seq);
        let file = files.iter().find(|file| file.first_seq == first_seq).expect("one of ours");
        let read = spool.read(id).expect("whole");
        assert_eq!((&read.gz, &read.header.key), (&file.gz, &file.key.to_string()));
        spool.remove(id).expect("removed");
        spool.remove(id).expect("removing twice is harmless");
    }
    assert_eq!(seqs, [9, 20, 100]);
    assert_eq!(spool.pending().expect("listed"), Pending::default());
}

#[test]
fn files_are_for_their_owner_only() {
    let folder = TempDir::new().expect("a folder");
    let id = open(&folder).put_log_file(ARN, "logs", &log_file(1, "{}")).expect("spooled");
    let mode = fs::metadata(folder.path().join(id.as_str())).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_same_window_twice_is_one_file_and_other_bytes_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let spool = open(&folder);
    let id = spool.put_log_file(ARN, "logs", &log_file(1, "{}")).expect("spooled");
    assert_eq!(spool.put_log_file(ARN, "logs", &log_file(1, "{}")).expect("spooled"), id);
    let fault = spool.put_log_file(ARN, "logs", &log_file(1, "{\"b\":2}")).expect_err("differs");
    assert!(matches!(fault, SpoolFault::Different { .. }), "{fault}");
}

#[test]
fn every_cut_and_every_flipped_byte_is_noticed() {
    let folder = TempDir::new().expect("a folder");
    let spool = open(&folder);
    let id = spool.put_log_file(ARN, "logs", &log_file(1, "{}")).expect("spooled");
    let path = folder.path().join(id.as_str());
    let whole = fs::read(&path).expect("readable");
    for at in 0..whole.len() {
        fs::write(&path, &whole[..at]).expect("written");
        assert!(matches!(spool.read(&id), Err(SpoolFault::Damaged { .. })), "cut at {at}");
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        fs::write(&path, &flipped).expect("written");
        assert!(matches!(spool.read(&id), Err(SpoolFault::Damaged { .. })), "flipped at {at}");
    }
    let pending = spool.pending().expect("listed");
    assert_eq!(pending.files.len(), 1, "the last byte is the object's: only `read` looks there");
    fs::write(&path, &whole[..whole.len() - 1]).expect("written");
    assert_eq!(spool.pending().expect("listed").damaged.len(), 1);
    spool.quarantine(&id).expect("set aside");
    assert_eq!(spool.pending().expect("listed"), Pending::default());
}

/// A disk that fails the nth call that writes, before or after it had its effect.
#[derive(Debug)]
struct FailingDisk {
    left: std::sync::atomic::AtomicI64,
    after: bool,
}

impl FailingDisk {
    fn check<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let fails = self.left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 0;
        if fails && !self.after {
            return Err(io::Error::other("injected"));
        }
        let done = call()?;
        if fails { Err(io::Error::other("injected")) } else { Ok(done) }
    }
}

impl Disk for FailingDisk {
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn DiskFile>> {
        self.check(|| RealDisk.create_new(path, mode))
    }
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check(|| RealDisk.open_existing(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(|| RealDisk.rename(from, to))
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(|| RealDisk.hard_link(from, to))
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.check(|| RealDisk.remove_file(path))
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.check(|| RealDisk.remove_dir(path))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.check(|| RealDisk.sync_dir(path))
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(path)
    }
}

#[test]
fn after_a_failure_at_any_step_the_spool_holds_the_whole_file_or_nothing() {
    for after in [false, true] {
        for nth in 0.. {
            let folder = TempDir::new().expect("a folder");
            let disk = FailingDisk { left: nth.into(), after };
            let file = log_file(5, "{\"eventID\":\"x\"}");
            let put = Spool::open(folder.path(), Arc::new(disk))
                .expect("a spool")
                .put_log_file(ARN, "logs", &file);
            // As the next start sees it.
            let spool = open(&folder);
            let pending = spool.pending().expect("listed");
            assert_eq!(pending.damaged, []);
            for (id, _) in &pending.files {
                assert_eq!(spool.read(id).expect("whole").gz, file.gz);
            }
            let left = fs::read_dir(folder.path()).expect("listed").count();
            assert_eq!(left, pending.files.len(), "no leftovers");
            // And it goes on from there.
            spool.put_log_file(ARN, "logs", &file).expect("spooled");
            if put.is_ok() {
                assert_eq!(pending.files.len(), 1);
                break;
            }
        }
    }
}
