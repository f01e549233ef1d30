//! Cut and flip every byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::segment::FRAMES_START;

/// One segment of about 64 KiB in many write groups, without its preallocated zeros.
struct Sample {
    file: Vec<u8>,
    /// Where each frame lies.
    frames: BTreeMap<u64, Range<usize>>,
}

const SAMPLE_END: u64 = 380;

fn sample_options() -> Options {
    Options { segment_bytes_max: 80 << 10, ..SMALL }
}

fn first_segment(folder: &Path) -> PathBuf {
    folder.join(segment::name(1))
}

fn sample() -> Sample {
    let folder = scratch();
    let (journal, _) = Journal::open(folder.path(), sample_options(), real()).unwrap();
    append(&journal, 1..SAMPLE_END, 5);
    drop(journal);
    let mut file = fs::read(first_segment(folder.path())).unwrap();
    let mut frames = BTreeMap::new();
    let mut at = FRAMES_START as usize;
    for seq in 1..SAMPLE_END {
        let end = at + 16 + payload(seq).len();
        frames.insert(seq, at..end);
        at = end;
    }
    assert!((60 << 10..80 << 10).contains(&at));
    file.truncate(at);
    Sample { file, frames }
}

impl Sample {
    /// The frame that holds this byte; none for the header.
    fn frame_at(&self, offset: usize) -> Option<u64> {
        self.frames.iter().find(|(_, at)| at.contains(&offset)).map(|(seq, _)| *seq)
    }
}

/// Every entry that is found is as it was appended; the numbers missing below `next` are `lost`.
fn check_loses(journal: &Journal, next: u64, lost: &[u64], case: &str) {
    let entries = read_all(journal);
    for entry in &entries {
        assert_eq!(entry.payload, payload(entry.seq), "{case}: entry {}", entry.seq);
    }
    let found: Vec<u64> = entries.iter().map(|entry| entry.seq).collect();
    let expected: Vec<u64> = (1..next).filter(|seq| !lost.contains(seq)).collect();
    assert_eq!(found, expected, "{case}");
}

/// A worker's share of all offsets, so that two cores are used.
fn in_parallel(offsets: Vec<usize>, check: impl Fn(&Path, usize) + Sync) {
    let workers = 4;
    thread::scope(|scope| {
        for worker in 0..workers {
            let (offsets, check) = (&offsets, &check);
            scope.spawn(move || {
                for offset in offsets.iter().skip(worker).step_by(workers) {
                    let folder = scratch();
                    check(folder.path(), *offset);
                }
            });
        }
    });
}

/// Offsets to try with a real opening: some of the header, and the header and the ends of the
/// payload of some frames, the last groups among them. Every byte is tried on the scan itself.
fn telling_offsets(sample: &Sample) -> Vec<usize> {
    let header = (0..FRAMES_START as usize).filter(|at| *at < 37 || at % 101 == 0 || *at > 4157);
    let some = sample.frames.iter().filter(|(seq, _)| *seq % 13 == 1 || SAMPLE_END - *seq < 8);
    let in_frame = |at: &Range<usize>| [at.start..at.start + 18, at.end - 2..at.end];
    header.chain(some.flat_map(|(_, at)| in_frame(at)).flatten()).collect()
}

#[test]
fn a_cut_segment_holds_a_prefix_and_goes_on() {
    let sample = sample();
    in_parallel(telling_offsets(&sample), |folder, cut_at| {
        fs::write(first_segment(folder), &sample.file[..cut_at]).unwrap();
        let (journal, recovered) = open(folder);
        let whole = sample.frames.values().filter(|at| at.end <= cut_at).count() as u64;
        assert_eq!(recovered.damaged.is_empty(), cut_at >= 36, "cut at {cut_at}");
        if cut_at >= 36 {
            assert_eq!(recovered.next_seq, whole + 1, "cut at {cut_at}");
            append(&journal, whole + 1..whole + 20, 6);
            check_holds(&journal, 1..whole + 20);
            drop(journal);
            let (journal, again) = open(folder);
            assert_eq!((again.cut, again.damaged.len()), (None, 0));
            check_holds(&journal, 1..whole + 20);
        }
    });
}

#[test]
fn a_flipped_byte_in_the_newest_segment_loses_only_its_entry() {
    let sample = sample();
    let last = SAMPLE_END - 1;
    in_parallel(telling_offsets(&sample), |folder, flip_at| {
        let mut file = sample.file.clone();
        file[flip_at] ^= 0xff;
        fs::write(first_segment(folder), file).unwrap();
        let case = format!("flipped {flip_at}");
        let (journal, recovered) = open(folder);
        let hit = sample.frame_at(flip_at);
        match hit {
            None => assert_eq!((recovered.cut, recovered.damaged), (None, vec![]), "{case}"),
            Some(seq) if seq == last => assert!(recovered.cut.is_some(), "{case}"),
            Some(seq) => {
                assert_eq!(recovered.damaged.len(), 1, "{case}");
                let damage = &recovered.damaged[0];
                assert_eq!(damage.lost, seq..seq + 1, "{case}");
                assert_eq!(damage.offset as usize, sample.frames[&seq].start, "{case}");
                let synced = if (seq - 1) / 5 == (last - 1) / 5 {
                    DamageKind::PerhapsTorn
                } else {
                    DamageKind::Corrupt
                };
                assert_eq!(damage.kind, synced, "{case}");
                assert!(segment::quarantine_of(&damage.file).exists(), "{case}");
            }
        }
        let lost: Vec<u64> = hit.into_iter().collect();
        let next = if hit == Some(last) { last } else { SAMPLE_END };
        assert_eq!(recovered.next_seq, next, "{case}");
        check_loses(&journal, next, &lost, &case);
        append(&journal, next..next + 10, 3);
        let damages = journal.state().damages.len();
        check_loses(
            &journal,
            next + 10,
            &lost.iter().copied().filter(|s| *s != last).collect::<Vec<_>>(),
            &case,
        );
        assert_eq!(
            journal.state().damages.len(),
            damages,
            "{case}: readers do not report it again"
        );
    });
}

#[test]
fn a_flipped_byte_in_a_sealed_segment_is_reported_once_by_the_readers() {
    let sample = sample();
    in_parallel(telling_offsets(&sample), |folder, flip_at| {
        let mut file = sample.file.clone();
        file[flip_at] ^= 1;
        fs::write(first_segment(folder), &file).unwrap();
        segment::create(quick(folder).as_ref(), folder, SAMPLE_END, 16 << 10).unwrap();
        let case = format!("flipped {flip_at}");
        let (journal, recovered) = open(folder);
        assert_eq!((recovered.next_seq, recovered.damaged.len()), (SAMPLE_END, 0), "{case}");
        append(&journal, SAMPLE_END..SAMPLE_END + 10, 3);
        let lost: Vec<u64> = sample.frame_at(flip_at).into_iter().collect();
        check_loses(&journal, SAMPLE_END + 10, &lost, &case);
        check_loses(&journal, SAMPLE_END + 10, &lost, &case);
        let damages = journal.state().damages;
        assert_eq!(damages.len(), lost.len(), "{case}");
        assert!(damages.iter().all(|damage| segment::quarantine_of(&damage.file).exists()));
        assert_eq!(fs::read(first_segment(folder)).unwrap(), file, "sealed segments never change");
    });
}

/// Every byte of the sample, through the scan that `open` does and the search that readers do.
#[test]
fn the_scan_withstands_a_flip_and_a_cut_at_every_byte() {
    let sample = sample();
    let folder = scratch();
    let path = first_segment(folder.path());
    fs::write(&path, &sample.file).unwrap();
    let salt = segment::Header::read(&fs::File::open(&path).unwrap()).unwrap().salt;
    let starts: Vec<usize> = sample.frames.values().map(|at| at.start).collect();
    let mut whole = 0;
    for cut_at in FRAMES_START as usize..sample.file.len() {
        while sample.frames.get(&(whole + 1)).is_some_and(|at| at.end <= cut_at) {
            whole += 1;
        }
        // Only the frames around the cut: those before are found as in every scan.
        let from = starts[(whole as usize).saturating_sub(2).min(starts.len() - 1)];
        let first_seq = (whole as usize).saturating_sub(2) as u64 + 1;
        let found = recovery::frames_in(&sample.file[from..cut_at], first_seq, salt);
        assert_eq!(found, (first_seq..whole + 1).collect::<Vec<u64>>(), "cut at {cut_at}");
    }
    for (seq, at) in &sample.frames {
        let last = (*seq + 3).min(SAMPLE_END - 1);
        let mut bytes = sample.file[at.start..sample.frames[&last].end].to_vec();
        for flip_at in 0..at.len() {
            for flip in [1, 0x80, 0xff] {
                bytes[flip_at] ^= flip;
                let found = recovery::frames_in(&bytes, *seq, salt);
                assert_eq!(found, (seq + 1..=last).collect::<Vec<u64>>(), "flip {flip} in {seq}");
                bytes[flip_at] ^= flip;
            }
        }
    }
}

#[test]
fn a_newest_segment_without_headers_is_kept_aside_and_its_numbers_are_not_used_again() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    append(&journal, 1..200, 10);
    let newest = *journal.handle.inner.log().segments.keys().next_back().unwrap();
    drop(journal);
    let path = folder.path().join(segment::name(newest));
    let mut file = fs::read(&path).unwrap();
    file[..FRAMES_START as usize].fill(0);
    fs::write(&path, &file).unwrap();

    let (journal, recovered) = open(folder.path());
    assert!(recovered.next_seq >= 200);
    assert_eq!(recovered.damaged.len(), 1);
    assert_eq!(fs::read(segment::quarantine_of(&path)).unwrap(), file);
    let found: Vec<u64> = read_all(&journal).iter().map(|entry| entry.seq).collect();
    assert_eq!(found, (1..newest).collect::<Vec<u64>>());
}

#[test]
fn an_entry_of_zeros_behind_a_damaged_one_is_found() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    append(&journal, 1..3, 1);
    journal.append_blocking(batch(&[vec![0; 500]])).unwrap();
    drop(journal);
    let path = first_segment(folder.path());
    let mut file = fs::read(&path).unwrap();
    file[FRAMES_START as usize + 20] ^= 1;
    fs::write(&path, &file).unwrap();
    let (journal, recovered) = open(folder.path());
    assert_eq!((recovered.next_seq, recovered.cut, recovered.damaged.len()), (4, None, 1));
    assert_eq!(read_all(&journal)[1], Entry { seq: 3, payload: vec![0; 500].into() });
}

/// Bytes inside a payload that look like the next frame, but lack the segment's salt.
#[test]
fn a_payload_cannot_pose_as_an_entry() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    let mut forged = Batch::default();
    forged.push(&[b"forged"]);
    forged.number(2, 0, true);
    journal.append_blocking(batch(&[[b"x", forged.frames()].concat()])).unwrap();
    append(&journal, 2..4, 1);
    drop(journal);
    let path = first_segment(folder.path());
    let mut file = fs::read(&path).unwrap();
    file[FRAMES_START as usize + 16] ^= 1;
    fs::write(&path, &file).unwrap();
    let (journal, recovered) = open(folder.path());
    assert_eq!(recovered.damaged[0].lost, 1..2);
    check_loses(&journal, 4, &[1], "forged entry");
}

#[test]
fn a_missing_segment_is_noticed() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    append(&journal, 1..500, 10);
    let firsts: Vec<u64> = journal.handle.inner.log().segments.keys().copied().collect();
    drop(journal);
    fs::remove_file(folder.path().join(segment::name(firsts[1]))).unwrap();
    let (journal, _) = open(folder.path());
    let missing: Vec<u64> = (firsts[1]..firsts[2]).collect();
    check_loses(&journal, 500, &missing, "missing segment");
    assert_eq!(journal.state().damages[0].lost, firsts[1]..firsts[2]);
}

#[test]
fn numbers_that_a_cursor_has_passed_are_not_used_again() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    append(&journal, 1..20, 1);
    journal.cursor("c").unwrap().advance(20).unwrap();
    drop(journal);
    let path = first_segment(folder.path());
    let file = fs::read(&path).unwrap();
    fs::write(&path, &file[..FRAMES_START as usize + 100]).unwrap();
    let (journal, recovered) = open(folder.path());
    assert_eq!(recovered.next_seq, 20);
    append(&journal, 20..30, 5);
    check_holds(&journal, 20..30);
}

#[test]
fn a_segment_of_a_newer_version_is_refused_and_left_alone() {
    let folder = scratch();
    drop(open(folder.path()));
    let path = first_segment(folder.path());
    let mut file = fs::read(&path).unwrap();
    for at in [0, 4096] {
        file[at + 8] = 2;
        let crc = crc32c::crc32c(&file[at..at + 32]);
        file[at + 32..at + 36].copy_from_slice(&crc.to_le_bytes());
    }
    fs::write(&path, &file).unwrap();
    let refused = Journal::open(folder.path(), SMALL, real()).unwrap_err();
    assert!(matches!(refused, OpenError::Version { version: 2, .. }));
    assert_eq!(fs::read(&path).unwrap(), file);
}

#[test]
fn a_damaged_cursor_file_falls_back_to_its_older_slot_or_starts_over() {
    let folder = scratch();
    let (journal, _) = open(folder.path());
    append(&journal, 1..50, 10);
    let mut cursor = journal.cursor("c").unwrap();
    cursor.advance(10).unwrap();
    cursor.advance(20).unwrap();
    drop(cursor);
    drop(journal);
    let path = folder.path().join("cursors/c");
    let whole = fs::read(&path).unwrap();
    let mut seen = BTreeMap::<u64, usize>::new();
    for flip_at in 0..whole.len() {
        let mut file = whole.clone();
        file[flip_at] ^= 4;
        fs::write(&path, &file).unwrap();
        let cursors = cursor::load(&RealDisk, &folder.path().join("cursors")).unwrap();
        *seen.entry(cursors.furthest()).or_default() += 1;
    }
    assert_eq!(seen, BTreeMap::from([(10, 28), (20, whole.len() - 28)]));
    fs::write(&path, b"").unwrap();
    assert_eq!(open(folder.path()).0.cursor("c").unwrap().position(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is overwritten, in whichever segment: no panic, no altered entry, and what was not
    /// hit is there, except behind the last good frame of the newest segment.
    #[test]
    fn random_damage_never_alters_an_entry(
        wounds in prop::collection::vec((any::<prop::sample::Index>(), 1..600usize, any::<u8>()), 1..6)
    ) {
        let folder = scratch();
        let (journal, _) = open(folder.path());
        append(&journal, 1..300, 7);
        let firsts: Vec<u64> = journal.handle.inner.log().segments.keys().copied().collect();
        drop(journal);
        let mut hit = Vec::new();
        for (place, len, value) in &wounds {
            let first_seq = firsts[place.index(firsts.len())];
            let path = folder.path().join(segment::name(first_seq));
            let mut file = fs::read(&path).unwrap();
            let at = FRAMES_START as usize + place.index(file.len() - FRAMES_START as usize - len);
            file[at..at + len].fill(*value);
            fs::write(&path, &file).unwrap();
            hit.push((first_seq, at..at + len));
        }
        let untouched = |seq: u64| {
            let first_seq = *firsts.iter().rfind(|first| **first <= seq).unwrap();
            let start = (first_seq..seq).map(|s| 16 + payload(s).len()).sum::<usize>() + FRAMES_START as usize;
            let end = start + 16 + payload(seq).len();
            !hit.iter().any(|(first, at)| *first == first_seq && at.start < end && start < at.end)
        };
        let (journal, recovered) = open(folder.path());
        let entries = read_all(&journal);
        for entry in &entries {
            prop_assert_eq!(&entry.payload[..], &payload(entry.seq)[..]);
        }
        for seq in (1..recovered.next_seq).filter(|seq| untouched(*seq)) {
            prop_assert!(entries.iter().any(|entry| entry.seq == seq), "entry {} is gone", seq);
        }
        let cut_off = (recovered.next_seq..300).find(|seq| untouched(*seq));
        prop_assert_eq!(cut_off, None);
    }
}
