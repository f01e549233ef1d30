//! Fail every call of the disk, lose the power at every call, and look at what was promised.

use std::collections::{BTreeMap, BTreeSet};

use durable::{Fault, FaultyDisk};

use super::*;

const TINY: Options = Options { segment_bytes_max: 8 << 10, ..SMALL };

/// What the outside world was told in one run.
#[derive(Debug, Default)]
struct Told {
    sent: BTreeSet<Vec<u8>>,
    accepted: BTreeMap<u64, Vec<u8>>,
    refused: BTreeSet<Vec<u8>>,
    /// Advances that were answered with success, and all that were tried.
    cursor_durable: u64,
    cursor_tried: u64,
}

/// A short life with everything in it: a cursor, groups of several batches, new segments, trimming.
fn live(folder: &Path, disk: Arc<dyn Disk>) -> Told {
    let mut told = Told::default();
    let Ok((journal, _)) = Journal::open(folder, TINY, disk) else { return told };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut cursor = journal.cursor("c").ok();
    let mut poisoned = false;
    for round in 0..8 {
        let batches: Vec<Vec<Vec<u8>>> =
            (0..3).map(|nth| (0..=nth).map(|i| text(round, nth, i)).collect()).collect();
        let all = batches.iter().map(|texts| journal.append(batch(texts)));
        let answers = runtime.block_on(join_all(all.collect()));
        let was_poisoned = poisoned;
        for (texts, answer) in batches.into_iter().zip(answers) {
            told.sent.extend(texts.iter().cloned());
            match answer {
                Ok(accepted) => {
                    assert!(!poisoned, "nothing is acknowledged after the poison");
                    assert_eq!(accepted.count, texts.len() as u64);
                    told.accepted.extend((accepted.first_seq..).zip(texts));
                }
                Err(AppendError::Full { .. }) => {
                    assert!(!was_poisoned);
                    told.refused.extend(texts);
                }
                Err(AppendError::Poisoned { .. }) => poisoned = true,
                Err(other) => panic!("{other}"),
            }
        }
        let state = journal.state();
        assert_eq!(matches!(state.condition, Condition::Poisoned { .. }), poisoned);
        let found = read_all(&journal);
        assert!(found.iter().all(|entry| told.accepted[&entry.seq] == entry.payload));
        let unread = told.accepted.range(state.oldest_seq..).count();
        assert_eq!(found.len(), unread, "readers see all that is accepted, and only that");

        if let Some(cursor) = cursor.as_mut().filter(|_| round % 3 == 2) {
            told.cursor_tried = journal.next_seq();
            if cursor.advance(journal.next_seq()).is_ok() {
                told.cursor_durable = cursor.position();
            }
            let _ = journal.trim();
        }
    }
    told
}

fn text(round: u64, nth: u64, i: u64) -> Vec<u8> {
    format!("round {round} batch {nth} entry {i} ").repeat(8 + 3 * round as usize).into_bytes()
}

async fn join_all<T: Future>(futures: Vec<T>) -> Vec<T::Output> {
    let mut waiting: Vec<_> = futures.into_iter().map(Box::pin).collect();
    // All batches are sent by the first poll of each, before any is waited for.
    let mut done: Vec<Option<T::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// Opens what is left and compares it with what was told. Gives back what is there, with
/// one more entry.
fn check_keeps(folder: &Path, disk: Arc<dyn Disk>, told: &Told, case: &str) -> Vec<Entry> {
    let (journal, recovered) = Journal::open(folder, TINY, disk).unwrap();
    let corrupt = recovered.damaged.iter().find(|damage| damage.kind == DamageKind::Corrupt);
    assert_eq!(corrupt, None, "{case}: a crash is no corruption");
    let found = read_all(&journal);
    for entry in &found {
        let text = entry.payload.to_vec();
        assert!(told.sent.contains(&text), "{case}: entry {} was never sent", entry.seq);
        assert!(!told.refused.contains(&text), "{case}: entry {} was refused", entry.seq);
    }
    assert_eq!(found.iter().map(|e| &e.payload).collect::<BTreeSet<_>>().len(), found.len());
    let by_seq: BTreeMap<u64, &Entry> = found.iter().map(|entry| (entry.seq, entry)).collect();
    for (seq, text) in told.accepted.range(recovered.oldest_seq..) {
        let entry = by_seq.get(seq).unwrap_or_else(|| panic!("{case}: entry {seq} is lost"));
        assert_eq!(&entry.payload[..], text, "{case}: entry {seq}");
    }
    if let Some((last, _)) = told.accepted.last_key_value() {
        assert!(recovered.next_seq > *last, "{case}: number {last} would be used again");
    }
    assert!(recovered.oldest_seq <= told.cursor_tried.max(1), "{case}: trimmed too much");
    let cursor = journal.cursor("c").unwrap();
    let place = told.cursor_durable..=told.cursor_tried.max(recovered.oldest_seq);
    assert!(place.contains(&cursor.position()), "{case}: cursor at {}", cursor.position());

    let more = journal.append_blocking(batch(&[b"more".to_vec()])).unwrap();
    assert_eq!(more.first_seq, recovered.next_seq, "{case}");
    read_from(&journal, recovered.oldest_seq)
}

fn sweep(fault: Fault) {
    for nth in 1.. {
        let folder = scratch();
        let disk = FaultyDisk::new(folder.path()).unwrap();
        disk.fail_nth(nth, fault);
        let told = live(folder.path(), Arc::new(disk.clone()));
        let failures = disk.failures();
        for seed in 0..4 {
            let left = scratch();
            disk.power_loss(left.path(), seed * 7919).unwrap();
            let case = format!("{fault:?} at {nth}, power loss {seed}");
            check_keeps(left.path(), quick(left.path()), &told, &case);
        }
        if fault != Fault::Crash {
            // The process starts again on a disk that works, but keeps its cached pages: what it
            // shows then must survive a power loss, although the sync before may have failed.
            disk.heal();
            let case = format!("{fault:?} at {nth}, restart");
            let shown = check_keeps(folder.path(), Arc::new(disk.clone()), &told, &case);
            let left = scratch();
            disk.power_loss(left.path(), 0).unwrap();
            let (journal, _) = Journal::open(left.path(), TINY, quick(left.path())).unwrap();
            // Trimmed segments may come back.
            let kept = read_from(&journal, shown[0].seq);
            assert_eq!(kept, shown, "{case}: shown as durable, then lost");
        }
        if failures == 0 {
            assert!(nth > 60, "the life is long enough to mean something");
            assert_eq!(told.accepted.len(), 48);
            break;
        }
    }
}

#[test]
fn nothing_accepted_is_lost_when_a_call_fails_once() {
    sweep(Fault::Once(EIO));
}

#[test]
fn nothing_accepted_is_lost_when_the_disk_breaks_for_good() {
    sweep(Fault::FromThenOn(EIO));
}

#[test]
fn nothing_accepted_is_lost_when_a_call_works_but_says_no() {
    sweep(Fault::DoneButFailed(EIO));
}

#[test]
fn nothing_accepted_is_lost_when_the_disk_is_full_for_a_moment() {
    sweep(Fault::Once(ENOSPC));
}

#[test]
fn nothing_accepted_is_lost_when_the_disk_stays_full() {
    sweep(Fault::FromThenOn(ENOSPC));
}

#[test]
fn nothing_accepted_is_lost_when_a_call_works_but_says_full() {
    sweep(Fault::DoneButFailed(ENOSPC));
}

#[test]
fn nothing_accepted_is_lost_when_the_power_fails() {
    sweep(Fault::Crash);
}
