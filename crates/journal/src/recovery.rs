//! Opening a journal, which is also how it recovers: there is no other way in.
//!
//! 1. list the folder, remove leftovers of unfinished creations, load the cursors;
//! 2. read the header of every segment (sealed ones are verified when they are read);
//! 3. scan the newest segment for its end: a torn tail is cut off, a hole is reported;
//! 4. write its last group again and sync it: the previous process may have died between write and
//!    sync, or its sync may have failed, after which the kernel shows pages that the disk never got;
//! 5. go on in that segment, or in a new one when it has a hole.
//!
//! Numbers are never used twice: what a damaged segment may have held, and what a cursor has
//! passed, stays used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use durable::{Disk, FolderLock, LockError};
use tokio::sync::watch;

use crate::cursor;
use crate::frame::{self, FRAME_HEADER_BYTES, Read};
use crate::log::{Inner, Log, Segment, keep_aside};
use crate::segment::{self, FRAMES_START, Header, HeaderError};
use crate::writer::Active;
use crate::{Condition, Options};

/// What `open` found.
#[derive(Debug, Clone)]
pub struct Recovered {
    pub oldest_seq: u64,
    /// The number the next entry will get.
    pub next_seq: u64,
    pub segments: usize,
    /// The torn tail that was cut off: bytes of a write that was never acknowledged.
    pub cut: Option<Cut>,
    pub damaged: Vec<Damage>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
}

/// A place where entries should be and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub file: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// The numbers of the lost entries. When the newest segment lost both headers, an upper bound:
    /// all numbers it can have held.
    pub lost: Range<u64>,
    pub kind: DamageKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// It was durable once: accepted entries are lost.
    Corrupt,
    /// A hole in the last write group: most likely a power loss before its sync, when the disk wrote
    /// later blocks and not earlier ones; then nobody was told that these entries were accepted.
    PerhapsTorn,
}

impl Damage {
    /// Once for each damage: an error, or a warning when it need not mean a loss.
    pub(crate) fn shout(&self) {
        let (file, offset, bytes) = (self.file.display(), self.offset, self.bytes);
        let (first_lost, end_lost) = (self.lost.start, self.lost.end);
        match self.kind {
            DamageKind::Corrupt => tracing::error!(
                %file, offset, bytes, first_lost, end_lost,
                "the journal is damaged: accepted entries are lost"
            ),
            DamageKind::PerhapsTorn => tracing::warn!(
                %file, offset, bytes, first_lost, end_lost,
                "hole in the journal's last write, most likely cut short by a power loss"
            ),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{folder} is in use by another process")]
    InUse { folder: PathBuf },
    #[error("{file} was written by a newer version (format {version})")]
    Version { file: PathBuf, version: u32 },
    #[error("{step} {path}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

pub(crate) fn failed<'a>(
    step: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + 'a {
    move |source| OpenError::Io { step, path: path.to_path_buf(), source }
}

pub(crate) fn open(
    folder: &Path,
    options: Options,
    disk: Arc<dyn Disk>,
) -> Result<(Arc<Inner>, Active, Recovered), OpenError> {
    let cursors_folder = folder.join(cursor::FOLDER);
    disk.create_dir_all(&cursors_folder).map_err(failed("make", &cursors_folder))?;
    let lock = FolderLock::take(folder).map_err(|e| match e {
        LockError::InUse { folder } => OpenError::InUse { folder },
        LockError::Io { file, source } => OpenError::Io { step: "lock", path: file, source },
    })?;

    // The previous process may have died between a rename and its sync: what is listed now stays.
    for folder in [folder, &cursors_folder] {
        disk.sync_dir(folder).map_err(failed("sync", folder))?;
    }
    let cursors = cursor::load(disk.as_ref(), &cursors_folder)?;
    let mut damaged = Vec::new();
    let mut found = Found::in_folder(disk.as_ref(), folder, &mut damaged)?;
    found.seq_min = found.seq_min.max(cursors.furthest());

    let (active, cut) = resume(disk.as_ref(), folder, &options, &mut found, &mut damaged)?;
    for damage in &damaged {
        damage.shout();
    }

    let next_seq = active.next_seq;
    let log = Log { segments: found.segments, next_seq };
    let recovered = Recovered {
        oldest_seq: log.oldest_seq(),
        next_seq,
        segments: log.segments.len(),
        cut,
        damaged: damaged.clone(),
    };
    let inner = Inner {
        folder: folder.to_path_buf(),
        options,
        disk,
        log: Mutex::new(log),
        condition: Mutex::new(Condition::Accepting),
        cursors: Mutex::new(cursors),
        durable: watch::Sender::new(next_seq),
        damages: Mutex::new(damaged),
        _lock: lock,
    };
    Ok((Arc::new(inner), active, recovered))
}

struct Found {
    segments: BTreeMap<u64, Segment>,
    /// No entry may get a number below this.
    seq_min: u64,
}

impl Found {
    fn in_folder(
        disk: &dyn Disk,
        folder: &Path,
        damaged: &mut Vec<Damage>,
    ) -> Result<Found, OpenError> {
        let mut found = Found { segments: BTreeMap::new(), seq_min: 1 };
        let mut headless = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
            let path = entry.map_err(failed("list", folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".tmp") {
                disk.remove_file(&path).map_err(failed("remove leftover", &path))?;
            }
            let Some(first_seq) = segment::first_seq_of(&name) else { continue };
            let file = File::open(&path).map_err(failed("open", &path))?;
            let file_bytes = file.metadata().map_err(failed("open", &path))?.len();
            match Header::read(&file) {
                Ok(header) if header.first_seq == first_seq => {
                    let segment = Segment { salt: header.salt, frames_end: file_bytes, file_bytes };
                    found.segments.insert(first_seq, segment);
                }
                Ok(_) | Err(HeaderError::Damaged) => headless.push((first_seq, path, file_bytes)),
                Err(HeaderError::Version(version)) => {
                    return Err(OpenError::Version { file: path, version });
                }
                Err(HeaderError::Io(source)) => return Err(failed("read", &path)(source)),
            }
        }
        for (first_seq, path, file_bytes) in headless {
            let end = match found.segments.range(first_seq + 1..).next() {
                Some((newer, _)) => *newer,
                // Nothing tells how many entries it held; there cannot have been more than this.
                None => first_seq + file_bytes / FRAME_HEADER_BYTES as u64,
            };
            found.seq_min = found.seq_min.max(end);
            let aside = segment::quarantine_of(&path);
            disk.rename(&path, &aside).map_err(failed("keep aside", &path))?;
            disk.sync_dir(folder).map_err(failed("sync", folder))?;
            damaged.push(Damage {
                file: aside,
                offset: 0,
                bytes: file_bytes,
                lost: first_seq..end,
                kind: DamageKind::Corrupt,
            });
        }
        Ok(found)
    }
}

/// Makes the newest segment ready for more, or a new one.
fn resume(
    disk: &dyn Disk,
    folder: &Path,
    options: &Options,
    found: &mut Found,
    damaged: &mut Vec<Damage>,
) -> Result<(Active, Option<Cut>), OpenError> {
    let Some((first_seq, newest)) = found.segments.last_key_value() else {
        return Ok((start_segment(disk, folder, options, found)?, None));
    };
    let (first_seq, salt) = (*first_seq, newest.salt);
    let path = folder.join(segment::name(first_seq));
    let contents = fs::read(&path).map_err(failed("read", &path))?;
    let scan = scan(&contents, first_seq, salt);
    let cut = (scan.tail_bytes > 0).then(|| Cut {
        file: path.clone(),
        offset: scan.end as u64,
        bytes: scan.tail_bytes as u64,
    });
    let whole = scan.holes.is_empty() && scan.next_seq >= found.seq_min;

    let mut file = disk.open_existing(&path).map_err(failed("open", &path))?;
    let settled = (|| {
        if let Some(cut) = &cut {
            tracing::warn!(
                file = %path.display(), offset = cut.offset, bytes = cut.bytes,
                "cut off a torn write at the end of the journal"
            );
            file.set_len(cut.offset)?;
        }
        // Both copies, in case one was damaged.
        segment::write_header(file.as_mut(), Header { first_seq, salt })?;
        let last_group = contents.get(scan.last_group..scan.end).unwrap_or_default();
        file.write_all_at(last_group, scan.last_group as u64)?;
        file.sync_data()?;
        if !whole {
            file.set_len(scan.end as u64)?;
        }
        Ok(())
    })();
    settled.map_err(failed("settle the end of", &path))?;
    // Room is a favour to later writes; a full disk must not keep the journal from opening.
    let has_room = whole && file.preallocate(options.segment_bytes_max).is_ok();
    let file_bytes = (scan.end as u64).max(if has_room { options.segment_bytes_max } else { 0 });
    found.segments.insert(first_seq, Segment { salt, frames_end: scan.end as u64, file_bytes });
    found.seq_min = found.seq_min.max(scan.next_seq);

    if !scan.holes.is_empty() {
        keep_aside(disk, &path);
        let holes = scan.holes.into_iter();
        damaged.extend(holes.map(|hole| hole.damage(&path)));
    }
    let active = if whole {
        Active { file, salt, end: scan.end as u64, next_seq: scan.next_seq }
    } else {
        start_segment(disk, folder, options, found)?
    };
    Ok((active, cut))
}

fn start_segment(
    disk: &dyn Disk,
    folder: &Path,
    options: &Options,
    found: &mut Found,
) -> Result<Active, OpenError> {
    let (first_seq, file_bytes) = (found.seq_min, options.segment_bytes_max);
    let (header, file) = segment::create(disk, folder, first_seq, file_bytes)
        .map_err(failed("start a segment in", folder))?;
    let segment = Segment { salt: header.salt, frames_end: FRAMES_START, file_bytes };
    found.segments.insert(first_seq, segment);
    Ok(Active { file, salt: header.salt, end: FRAMES_START, next_seq: first_seq })
}

/// What a segment holds, from the first frame to the last good one.
#[derive(Debug)]
struct Scan {
    next_seq: u64,
    /// Behind the last good frame.
    end: usize,
    /// Where the last write group starts, or earlier.
    last_group: usize,
    holes: Vec<Hole>,
    /// From `end` to the last byte that is not zero.
    tail_bytes: usize,
}

#[derive(Debug)]
struct Hole {
    offset: usize,
    bytes: usize,
    lost: Range<u64>,
    /// A later group follows, so this one was durable.
    synced: bool,
}

impl Hole {
    fn damage(self, file: &Path) -> Damage {
        Damage {
            file: file.to_path_buf(),
            offset: self.offset as u64,
            bytes: self.bytes as u64,
            lost: self.lost,
            kind: if self.synced { DamageKind::Corrupt } else { DamageKind::PerhapsTorn },
        }
    }
}

fn scan(contents: &[u8], first_seq: u64, salt: u64) -> Scan {
    let start = FRAMES_START as usize;
    let mut scan = Scan {
        next_seq: first_seq,
        end: start,
        last_group: start,
        holes: Vec::new(),
        tail_bytes: 0,
    };
    let used_end = contents.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    loop {
        let rest = contents.get(scan.end..).unwrap_or_default();
        let frame = match frame::read(rest, salt) {
            Read::Frame(frame) if frame.seq == scan.next_seq => frame,
            _ => {
                scan.tail_bytes = used_end.saturating_sub(scan.end);
                if scan.tail_bytes == 0 {
                    return scan;
                }
                // Zeros at the end are searched as well: a payload may end with them.
                let Some((bytes, frame)) = frame::find_next(rest, scan.next_seq, salt) else {
                    return scan;
                };
                let lost = scan.next_seq..frame.seq;
                scan.holes.push(Hole { offset: scan.end, bytes, lost, synced: false });
                scan.end += bytes;
                frame
            }
        };
        if frame.starts_group {
            scan.last_group = scan.end;
            let earlier = scan.holes.iter_mut().rev();
            earlier.take_while(|hole| !hole.synced).for_each(|hole| hole.synced = true);
        }
        scan.end += frame.bytes();
        scan.next_seq = frame.seq + 1;
    }
}

/// The numbers of the good frames in bare frames: for tests that try every byte.
#[cfg(test)]
pub(crate) fn frames_in(frames: &[u8], first_seq: u64, salt: u64) -> Vec<u64> {
    let mut contents = vec![0; FRAMES_START as usize];
    contents.extend_from_slice(frames);
    let scan = scan(&contents, first_seq, salt);
    let lost = |seq: &u64| scan.holes.iter().any(|hole| hole.lost.contains(seq));
    (first_seq..scan.next_seq).filter(|seq| !lost(seq)).collect()
}
