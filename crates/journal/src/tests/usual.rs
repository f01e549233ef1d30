use std::collections::BTreeSet;
use std::fs;

use super::*;

/// The usual behaviour is shown on the real disk.
fn open(folder: &Path) -> (Journal, Recovered) {
    Journal::open(folder, SMALL, real()).unwrap()
}

#[test]
fn entries_come_back_in_order_and_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, recovered) = open(folder.path());
    assert_eq!(recovered.next_seq, 1);
    append(&journal, 1..500, 7);
    check_holds(&journal, 1..500);
    assert!(journal.state().segments > 3, "the segments are small enough to be many");
    drop(journal);

    let (journal, recovered) = open(folder.path());
    assert_eq!((recovered.next_seq, recovered.cut, recovered.damaged.len()), (500, None, 0));
    append(&journal, 500..600, 3);
    check_holds(&journal, 1..600);
    check_holds(&journal, 333..600);
}

#[test]
fn a_batch_larger_than_a_segment_goes_in_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    append(&journal, 1..400, 399);
    append(&journal, 400..1000, 300);
    check_holds(&journal, 1..1000);
    drop(journal);
    check_holds(&open(folder.path()).0, 1..1000);
}

#[test]
fn empty_entries_and_empty_batches_are_fine() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let nothing = journal.append_blocking(Batch::default()).unwrap();
    assert_eq!((nothing.first_seq, nothing.count), (1, 0));
    let mut batch = Batch::default();
    batch.push(&[]);
    batch.push(&[b"", b""]);
    assert_eq!((batch.len(), batch.bytes()), (2, 32));
    assert_eq!(journal.append_blocking(batch).unwrap().first_seq, 1);
    drop(journal);
    let entries = read_all(&open(folder.path()).0);
    assert_eq!(
        entries.iter().map(|e| (e.seq, e.payload.len())).collect::<Vec<_>>(),
        [(1, 0), (2, 0)]
    );
}

#[test]
fn an_entry_above_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let largest = vec![7; ENTRY_BYTES_MAX];
    let mut batch = Batch::default();
    batch.push(&[&largest, b"x"]);
    let refused = journal.append_blocking(batch).unwrap_err();
    assert!(matches!(refused, AppendError::EntryTooLarge { .. }));
    let mut batch = Batch::default();
    batch.push(&[&largest]);
    assert_eq!(journal.append_blocking(batch).unwrap().first_seq, 1);
    assert_eq!(read_all(&journal)[0].payload, largest);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_get_dense_unique_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let tasks = (0..20).map(|task: u64| {
        let journal = journal.clone();
        tokio::spawn(async move {
            let mut mine = Vec::new();
            for turn in 0..20 {
                let texts: Vec<Vec<u8>> =
                    (0..task % 5 + 1).map(|i| format!("{task} {turn} {i}").into_bytes()).collect();
                let accepted = journal.append(batch(&texts)).await.unwrap();
                assert!(journal.next_seq() >= accepted.first_seq + accepted.count);
                mine.extend((accepted.first_seq..).zip(texts));
            }
            mine
        })
    });
    let mut expected = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        expected.extend(task.await.unwrap());
    }
    expected.sort();
    let found = read_all(&journal).into_iter().map(|entry| (entry.seq, entry.payload.to_vec()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let numbers: BTreeSet<u64> = expected.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(numbers, (1..=expected.len() as u64).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_follows_while_entries_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let mut durable = journal.durable();
    let mut reader = journal.reader(1).unwrap();
    let writing = {
        let journal = journal.clone();
        tokio::task::spawn_blocking(move || append(&journal, 1..2000, 11))
    };
    let mut next = 1;
    while next < 2000 {
        durable.wait_for(|next_seq| *next_seq > next).await.unwrap();
        loop {
            let entries = reader.next_batch(2000).unwrap();
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                assert_eq!((entry.seq, &entry.payload[..]), (next, &payload(next)[..]));
                assert!(entry.seq < journal.next_seq());
                next += 1;
            }
        }
    }
    writing.await.unwrap();
    assert_eq!(reader.position(), 2000);
}

#[test]
fn a_read_is_bounded_but_always_makes_progress() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    append(&journal, 1..100, 100);
    let mut reader = journal.reader(1).unwrap();
    assert_eq!(reader.next_batch(0).unwrap().len(), 1);
    while reader.position() < 100 {
        let entries = reader.next_batch(700).unwrap();
        let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
        assert!(bytes <= 700 && entries.len() > 1 || reader.position() == 100, "{bytes}");
    }
    assert!(reader.next_batch(700).unwrap().is_empty());
}

#[test]
fn two_openings_of_one_folder_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let second = Journal::open(folder.path(), SMALL, real()).unwrap_err();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    drop(journal);
    open(folder.path());
}

#[tokio::test]
async fn closing_answers_what_came_before_and_refuses_what_comes_after() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let other = journal.clone();
    let (accepted, ()) =
        tokio::join!(journal.append(batch(&payloads(1..5))), async { other.clone().close().await });
    assert_eq!(accepted.unwrap().count, 4);
    let late = journal.append(batch(&payloads(5..6))).await.unwrap_err();
    assert!(matches!(late, AppendError::Closed));
    check_holds(&journal, 1..5);
}

#[test]
fn a_cursor_keeps_its_place_and_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    append(&journal, 1..100, 10);
    let mut cursor = journal.cursor("deliver").unwrap();
    assert_eq!(cursor.position(), 1);
    assert!(matches!(journal.cursor("deliver"), Err(CursorError::InUse { .. })));
    for to in [5, 5, 20, 100] {
        cursor.advance(to).unwrap();
    }
    assert!(matches!(cursor.advance(99), Err(CursorError::Backwards { .. })));
    drop(cursor);
    drop(journal);

    let (journal, _) = open(folder.path());
    assert_eq!(journal.cursor("deliver").unwrap().position(), 100);
    for name in ["", ".x", "a/b", "x.tmp", &"x".repeat(101)] {
        assert!(matches!(journal.cursor(name), Err(CursorError::Name { .. })), "{name}");
    }
}

#[test]
#[should_panic(expected = "next_seq is 1")]
fn a_cursor_cannot_pass_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let _ = journal.cursor("c").unwrap().advance(2);
}

#[test]
fn trimming_removes_only_what_every_cursor_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    append(&journal, 1..1000, 10);
    assert_eq!(journal.trim().unwrap().segments, 0, "without a cursor, nothing was read");

    let mut fast = journal.cursor("fast").unwrap();
    let slow = journal.cursor("slow").unwrap();
    fast.advance(1000).unwrap();
    assert_eq!(journal.trim().unwrap().segments, 0);
    drop(slow);
    drop(fast);
    drop(journal);

    // Cursors that nobody holds count as well.
    let (journal, _) = open(folder.path());
    assert_eq!(journal.trim().unwrap().segments, 0);
    let mut slow = journal.cursor("slow").unwrap();
    slow.advance(500).unwrap();
    let trimmed = journal.trim().unwrap();
    assert!(trimmed.segments > 0);
    let oldest_seq = journal.state().oldest_seq;
    assert!((2..=500).contains(&oldest_seq));
    check_holds(&journal, oldest_seq..1000);
    assert!(matches!(journal.reader(1), Err(ReadError::Trimmed { .. })));
    assert!(matches!(journal.reader(1001), Err(ReadError::Beyond { .. })));

    drop(slow);
    journal.forget_cursor("slow").unwrap();
    journal.trim().unwrap();
    assert_eq!(journal.state().segments, 1, "the newest segment always stays");
    assert_eq!(journal.cursor("new").unwrap().position(), journal.state().oldest_seq);
    drop(journal);
    assert_eq!(open(folder.path()).0.next_seq(), 1000);
}

#[test]
fn leftovers_of_unfinished_creations_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("cursors")).unwrap();
    let leftovers = [".00000000000000000001.journal.0.tmp", "cursors/.c.0.tmp"];
    for leftover in leftovers {
        fs::write(folder.path().join(leftover), b"half").unwrap();
    }
    fs::write(folder.path().join("note.txt"), b"not ours").unwrap();
    let (journal, _) = open(folder.path());
    append(&journal, 1..10, 3);
    assert!(leftovers.iter().all(|leftover| !folder.path().join(leftover).exists()));
    assert!(folder.path().join("note.txt").exists());
}

#[test]
fn a_segment_that_is_given_back_in_steps_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    // Larger than two steps of trimming.
    let options = Options { segment_bytes_max: 5 << 20, ..SMALL };
    let (journal, _) = Journal::open(folder.path(), options, real()).unwrap();
    for _ in 0..2 {
        let mut batch = Batch::default();
        (0..4000).for_each(|_| batch.push(&[&[7; 1000]]));
        journal.append_blocking(batch).unwrap();
    }
    let mut cursor = journal.cursor("consumer").unwrap();
    cursor.advance(8001).unwrap();
    assert_eq!(journal.trim().unwrap().segments, 1);
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".journal"))
        .collect();
    assert_eq!(names, ["00000000000000004001.journal"]);
}
