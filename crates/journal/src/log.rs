//! What the writer, the readers and the cursors share: which segments there are and how far they
//! are durable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use durable::{Disk, FolderLock};
use tokio::sync::watch;

use crate::cursor::Cursors;
use crate::segment;
use crate::{Condition, Damage, Options};

const DAMAGES_HELD: &str = "nothing panics while it holds the damages";

#[derive(Debug)]
pub(crate) struct Inner {
    pub folder: PathBuf,
    pub options: Options,
    pub disk: Arc<dyn Disk>,
    pub log: Mutex<Log>,
    pub condition: Mutex<Condition>,
    pub cursors: Mutex<Cursors>,
    /// Carries `Log::next_seq` to whoever waits for more.
    pub durable: watch::Sender<u64>,
    pub damages: Mutex<Vec<Damage>>,
    pub _lock: FolderLock,
}

#[derive(Debug)]
pub(crate) struct Log {
    /// By first number; the last one is being written.
    pub segments: BTreeMap<u64, Segment>,
    /// All entries below are durable and readable.
    pub next_seq: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub salt: u64,
    /// Frames that may be read end here: the durable end of the newest segment, the file's end of a
    /// sealed one.
    pub frames_end: u64,
    pub file_bytes: u64,
}

/// A segment as a reader may see it at one moment.
#[derive(Debug)]
pub(crate) struct View {
    pub first_seq: u64,
    pub salt: u64,
    pub frames_end: u64,
    /// The first number that lies beyond it, or is not durable yet.
    pub seq_end: u64,
}

impl Log {
    pub fn oldest_seq(&self) -> u64 {
        self.segments.keys().next().copied().unwrap_or(self.next_seq)
    }

    /// The segment that holds `seq`; `None` when `seq` is not durable yet or trimmed.
    pub fn view(&self, seq: u64) -> Option<View> {
        if seq >= self.next_seq {
            return None;
        }
        let (first_seq, segment) = self.segments.range(..=seq).next_back()?;
        let newer = self.segments.range(seq + 1..).next();
        Some(View {
            first_seq: *first_seq,
            salt: segment.salt,
            frames_end: segment.frames_end,
            seq_end: newer.map_or(self.next_seq, |(first_seq, _)| *first_seq),
        })
    }
}

impl Inner {
    pub fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("nothing panics while it holds the log")
    }

    pub fn condition(&self) -> MutexGuard<'_, Condition> {
        self.condition.lock().expect("nothing panics while it holds the condition")
    }

    pub fn cursors(&self) -> MutexGuard<'_, Cursors> {
        self.cursors.lock().expect("nothing panics while it holds the cursors")
    }

    /// Free bytes of the filesystem; `None` when it does not say, which refuses nothing.
    pub fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes(&self.folder).ok()
    }

    /// Free bytes it takes to start another segment.
    pub fn free_bytes_for_segment(&self) -> u64 {
        self.options.free_bytes_min.saturating_add(self.options.segment_bytes_max)
    }

    pub fn path_of(&self, first_seq: u64) -> PathBuf {
        self.folder.join(segment::name(first_seq))
    }

    pub fn damages(&self) -> Vec<Damage> {
        self.damages.lock().expect(DAMAGES_HELD).clone()
    }

    /// Keeps the damaged file aside and says so, once for each damaged place.
    pub fn report(&self, damage: Damage) {
        let mut damages = self.damages.lock().expect(DAMAGES_HELD);
        if damages.iter().any(|known| known.offset == damage.offset && known.file == damage.file) {
            return;
        }
        keep_aside(self.disk.as_ref(), &damage.file);
        damage.shout();
        damages.push(damage);
    }
}

/// Gives the damaged segment a second name that trimming does not remove. A sealed segment is never
/// written again, so the link is as good as a copy.
pub(crate) fn keep_aside(disk: &dyn Disk, segment: &Path) {
    let aside = segment::quarantine_of(segment);
    if aside.exists() {
        return;
    }
    let folder = segment.parent().unwrap_or(Path::new("."));
    if let Err(error) = disk.hard_link(segment, &aside).and_then(|()| disk.sync_dir(folder)) {
        tracing::error!(file = %segment.display(), %error, "cannot keep the damaged segment aside");
    }
}
