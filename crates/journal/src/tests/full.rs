//! Full disks and broken ones.

use durable::{Fault, FaultyDisk};

use super::*;

/// Appends entries one by one until the disk is full; the number of the refused one.
fn fill(journal: &Journal, from: u64) -> u64 {
    for seq in from.. {
        match journal.append_blocking(batch(&[payload(seq)])) {
            Ok(accepted) => assert_eq!(accepted.first_seq, seq),
            Err(AppendError::Full { .. }) => return seq,
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("disks are finite")
}

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    disk.set_bytes_max(Some(50_000));
    let (journal, _) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    let first_refused = fill(&journal, 1);
    assert!(first_refused > 50);
    assert!(matches!(journal.state().condition, Condition::Full { .. }));
    check_holds(&journal, 1..first_refused);

    disk.set_bytes_max(Some(100_000));
    assert_eq!(journal.state().condition, Condition::Accepting, "nobody has to try first");
    let second_refused = fill(&journal, first_refused);
    assert!(second_refused > first_refused + 50);
    disk.set_bytes_max(None);
    append(&journal, second_refused..second_refused + 100, 5);
    assert_eq!(journal.state().condition, Condition::Accepting);
    check_holds(&journal, 1..second_refused + 100);
    drop(journal);
    check_holds(&open(folder.path()).0, 1..second_refused + 100);
}

#[test]
fn trimming_makes_room_on_a_full_disk() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    disk.set_bytes_max(Some(80_000));
    let (journal, _) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    let mut cursor = journal.cursor("c").unwrap();
    let refused = fill(&journal, 1);
    cursor.advance(refused).unwrap();
    assert!(journal.trim().unwrap().bytes > 0);
    append(&journal, refused..refused + 20, 5);
}

#[test]
fn the_reserve_is_left_to_others() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let options = Options { free_bytes_min: 30_000, ..SMALL };
    disk.set_bytes_max(Some(100_000));
    let (journal, _) = Journal::open(folder.path(), options, Arc::new(disk.clone())).unwrap();
    let refused = fill(&journal, 1);
    assert!(refused > 50);
    assert!(disk.free_bytes(folder.path()).unwrap() >= 30_000);
}

/// The batch outgrows its preallocated room, so the disk fills up in the middle of the write.
#[test]
fn half_a_batch_on_a_full_disk_is_taken_back() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let (journal, _) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    append(&journal, 1..100, 100);
    disk.set_bytes_max(Some(disk.bytes_used() + 30_000));
    let refused = journal.append_blocking(batch(&payloads(100..400))).unwrap_err();
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    append(&journal, 100..120, 7);
    check_holds(&journal, 1..120);
    disk.set_bytes_max(None);
    append(&journal, 120..420, 300);
    check_holds(&journal, 1..420);

    let left = scratch();
    disk.power_loss(left.path(), 0).unwrap();
    let (journal, recovered) = open(left.path());
    assert_eq!((recovered.cut, recovered.damaged.len()), (None, 0));
    check_holds(&journal, 1..420);
}

#[test]
fn a_failed_sync_poisons_and_reopening_cures() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let (journal, _) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    append(&journal, 1..10, 5);
    // free_bytes, write, sync
    disk.fail_nth(3, Fault::Once(EIO));
    for _ in 0..3 {
        let refused = journal.append_blocking(batch(&payloads(10..15))).unwrap_err();
        assert!(matches!(refused, AppendError::Poisoned { .. }), "{refused}");
    }
    assert!(matches!(journal.state().condition, Condition::Poisoned { .. }));
    check_holds(&journal, 1..10);
    let calls = disk.calls();
    let _ = journal.append_blocking(batch(&payloads(10..15)));
    assert_eq!(disk.calls(), calls, "the file is not touched any more");
    drop(journal);

    let (journal, recovered) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    assert_eq!(recovered.next_seq, 15, "the entries were written and are durable now");
    append(&journal, 15..20, 5);
    let left = scratch();
    disk.power_loss(left.path(), 0).unwrap();
    check_holds(&open(left.path()).0, 1..20);
}

#[test]
fn a_cursor_that_failed_must_be_taken_again() {
    let folder = scratch();
    let disk = FaultyDisk::new(folder.path()).unwrap();
    let (journal, _) = Journal::open(folder.path(), SMALL, Arc::new(disk.clone())).unwrap();
    append(&journal, 1..10, 5);
    let mut cursor = journal.cursor("c").unwrap();
    disk.fail_nth(2, Fault::Once(EIO));
    assert!(matches!(cursor.advance(5), Err(CursorError::Io { .. })));
    assert_eq!(cursor.position(), 1);
    assert!(matches!(cursor.advance(5), Err(CursorError::Broken { .. })));
    drop(cursor);
    let mut cursor = journal.cursor("c").unwrap();
    assert_eq!(cursor.position(), 1);
    cursor.advance(5).unwrap();

    disk.fail_nth(1, Fault::Once(ENOSPC));
    cursor.advance(7).unwrap_err();
    cursor.advance(7).unwrap();
    let left = scratch();
    disk.power_loss(left.path(), 0).unwrap();
    assert_eq!(open(left.path()).0.cursor("c").unwrap().position(), 7);
}
