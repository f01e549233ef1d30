use std::fs;
use std::io::ErrorKind;

use crate::*;

const EIO: i32 = 5;

#[test]
fn a_second_lock_on_a_folder_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderLock::take(folder.path()).unwrap();
    assert!(matches!(FolderLock::take(folder.path()), Err(LockError::InUse { .. })));
    drop(first);
    FolderLock::take(folder.path()).unwrap();
}

#[test]
fn temporary_names_differ_and_fit() {
    let long = "x".repeat(255);
    let a = temporary_beside(Path::new(&long));
    let b = temporary_beside(Path::new(&long));
    assert_ne!(a, b);
    assert!(a.file_name().unwrap().len() < 100);
}

/// Whatever call of `write_atomic` fails or crashes, before and after a power loss the file holds
/// the old or the new bytes, and the new ones when the call said yes.
#[test]
fn an_atomic_write_is_all_or_nothing_at_every_call() {
    for fault in [Fault::Once(EIO), Fault::FromThenOn(EIO), Fault::DoneButFailed(EIO), Fault::Crash]
    {
        for seed in 0..20 {
            for nth in 1.. {
                let folder = tempfile::tempdir().unwrap();
                let left = tempfile::tempdir().unwrap();
                let disk = FaultyDisk::new(folder.path()).unwrap();
                let file = folder.path().join("f");
                write_atomic(&disk, &file, b"old", 0o600).unwrap();
                disk.fail_nth(nth, fault);
                let result = write_atomic(&disk, &file, b"newer", 0o600);
                disk.power_loss(left.path(), seed).unwrap();
                let now = fs::read(&file).unwrap();
                let after = fs::read(left.path().join("f")).unwrap();
                for contents in [&now, &after] {
                    assert!(contents == b"old" || contents == b"newer", "{fault:?} {nth} {seed}");
                }
                if result.is_ok() {
                    assert_eq!(after, b"newer");
                }
                if disk.failures() == 0 {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_power_loss_takes_what_was_not_synced() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let mut synced = disk.create_new(&folder.path().join("synced"), 0o600).unwrap();
    synced.write_all_at(b"kept", 0).unwrap();
    synced.sync_data().unwrap();
    disk.sync_dir(folder.path()).unwrap();
    synced.write_all_at(b"lost", 4).unwrap();
    let mut nameless = disk.create_new(&folder.path().join("nameless"), 0o600).unwrap();
    nameless.write_all_at(b"x", 0).unwrap();
    nameless.sync_data().unwrap();

    let left = tempfile::tempdir().unwrap();
    disk.power_loss(left.path(), 0).unwrap();
    assert_eq!(fs::read(left.path().join("synced")).unwrap(), b"kept");
    assert!(!left.path().join("nameless").exists());
    assert_eq!(fs::read(folder.path().join("synced")).unwrap(), b"keptlost");
}

#[test]
fn after_a_failed_sync_only_bytes_written_again_become_durable() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let path = folder.path().join("f");
    let mut file = disk.create_new(&path, 0o600).unwrap();
    disk.sync_dir(folder.path()).unwrap();
    file.write_all_at(b"gone", 0).unwrap();
    disk.fail_nth(1, Fault::Once(EIO));
    file.sync_data().unwrap_err();
    file.write_all_at(b"kept", 4).unwrap();
    file.sync_data().unwrap();
    let left = tempfile::tempdir().unwrap();
    disk.power_loss(left.path(), 0).unwrap();
    assert_eq!(fs::read(left.path().join("f")).unwrap(), b"\0\0\0\0kept");
    assert_eq!(fs::read(&path).unwrap(), b"gonekept");
}

#[test]
fn a_full_disk_writes_what_fits_and_goes_on_when_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    disk.set_bytes_max(Some(6));
    let path = folder.path().join("f");
    let mut file = disk.create_new(&path, 0o600).unwrap();
    file.write_all_at(b"1234", 0).unwrap();
    let full = file.write_all_at(b"5678", 4).unwrap_err();
    assert!(is_disk_full(&full));
    assert_eq!(fs::read(&path).unwrap(), b"123456");
    assert_eq!(disk.free_bytes(&path).unwrap(), 0);
    assert_eq!(file.preallocate(7).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_all_at(b"ab", 0).unwrap();
    disk.set_bytes_max(Some(8));
    file.write_all_at(b"5678", 4).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"ab345678");
}
