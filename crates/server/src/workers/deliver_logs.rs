//! Reads the journal and cuts it into log files: one stream of files for each trail, account,
//! Region and folder.
//!
//! ```text
//!   journal ─▶ which trails want it? ─▶ open files ─ old or large ─▶ close ─▶ spool (synced) ─▶ cursor
//! ```
//! A restart reads again from the cursor, which never passes the first entry of an open file. What
//! a stream has already spooled or delivered is skipped by its last sequence number; so the files
//! of a stream follow each other without gap or overlap, wherever the crash was.

use std::collections::{HashMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{StreamKey, TrailSettings};
use delivery::layout::{Folder, Place};
use delivery::log_file::{LogFile, OpenWindow, Stream, WindowFull};
use delivery::spool::SpooledKind;
use event::copy::{CopyRules, copied};
use event::{Category, Header, Region};
use jiff::Timestamp;
use journal::{Cursor, Entry, ReadError, Reader};

use crate::entry::{EntryHead, Origin};
use crate::node::{Node, OpenError};
use crate::trail_table::TrailTable;
use crate::workers::{More, Turn, Worker};

const CURSOR: &str = "delivery";
const READ_BYTES_MAX: usize = 4 << 20;
/// Files that are compressed while the next ones are being filled. Compressing costs more than all
/// the rest together, and each file may hold `log_file_bytes_max` in memory.
const MAKING_MAX: usize = 2;
/// A closed file is waited for after this long: traffic that never pauses must not hold it back.
const MAKING_TIME_MAX: Duration = Duration::from_millis(250);
/// On Linux the priority is a thread's own, here that of the threads that compress.
const COMPRESS_NICENESS: i32 = 5;

pub struct DeliverLogs {
    node: Arc<Node>,
    trails: tokio::sync::watch::Receiver<u64>,
    /// None only while a turn has it on another thread.
    cutter: Option<Cutter>,
    /// Streams' ends have been read from the ledger and the spool.
    recovered: bool,
}

impl DeliverLogs {
    pub fn new(node: Arc<Node>) -> Result<DeliverLogs, OpenError> {
        let cursor = node.journal.cursor(CURSOR)?;
        let reader = node.journal.reader(cursor.position())?;
        let mut trails = node.trails_watch();
        trails.mark_changed();
        let cutter = Cutter {
            node: node.clone(),
            table: TrailTable::default(),
            reader,
            entries: Vec::new(),
            cursor: Some(cursor),
            streams: HashMap::new(),
            closed: VecDeque::new(),
            moved_at: Duration::ZERO,
        };
        Ok(DeliverLogs { node, trails, cutter: Some(cutter), recovered: false })
    }

    /// How far each stream has come: what is in the ledger, and what waits in the spool.
    async fn recover(&mut self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let cutter = self.cutter.as_mut().ok_or("an earlier turn was cut off")?;
        for (stream, last_seq) in self.node.catalog.streams().await? {
            cutter.streams.entry(stream).or_default().done = last_seq;
        }
        let pending = self.node.spool.pending()?;
        for (id, reason) in &pending.damaged {
            // Set aside, so that the same window can be cut again: the cursor passes a window only
            // after its file was synced, so this one is either still in the journal or bit rot.
            tracing::error!(
                file = id.as_str(),
                reason,
                "a spooled log file is damaged and set aside"
            );
            self.node.spool.quarantine(id)?;
        }
        for (id, header) in pending.files {
            let SpooledKind::LogFile { folder, last_seq, .. } = &header.kind;
            let stream = StreamKey {
                trail_arn: header.trail_arn.clone(),
                account: header.account.clone(),
                region: header.region.clone(),
                folder: folder.clone(),
            };
            let state = cutter.streams.entry(stream).or_default();
            state.done = state.done.max(*last_seq);
            self.node.handover.spooled(None, id, header, self.node.clock.elapsed());
        }
        self.node.handover.recovered();
        self.recovered = true;
        Ok(())
    }

    async fn on_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Cutter) -> T + Send + 'static,
    ) -> Result<T, Box<dyn std::error::Error + Send + Sync>> {
        let mut cutter = self.cutter.take().ok_or("an earlier turn was cut off")?;
        let turned = tokio::task::spawn_blocking(move || {
            let done = work(&mut cutter);
            (cutter, done)
        })
        .await;
        let (cutter, done) = match turned {
            Ok(turned) => turned,
            // What it held is gone: this worker must not go on, which ends the process.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(cancelled) => return Err(cancelled.into()),
            },
        };
        self.cutter = Some(cutter);
        Ok(done)
    }
}

#[async_trait]
impl Worker for DeliverLogs {
    async fn tick(&mut self) -> Turn {
        if !self.recovered {
            self.recover().await?;
        }
        self.on_thread(Cutter::read).await??;
        // Looked at after reading: a trail's state is stored before an entry that it is the first
        // to want is acknowledged, so the states of all that was read are there now.
        if self.trails.has_changed()? {
            self.trails.mark_unchanged();
            let table = match self.node.trail_table().await {
                Ok(table) => table,
                Err(error) => {
                    self.trails.mark_changed();
                    return Err(error.into());
                }
            };
            let cutter = self.cutter.as_mut().ok_or("an earlier turn was cut off")?;
            cutter.table = table;
        }
        self.on_thread(Cutter::turn).await?
    }

    /// Spools what is open, so that the next start has less to read again.
    async fn last(&mut self) -> Turn {
        self.tick().await
    }
}

/// The thinking half, on a thread of its own since it reads files and waits for the disk.
struct Cutter {
    node: Arc<Node>,
    table: TrailTable,
    reader: Reader,
    /// Read and not yet dealt with.
    entries: Vec<Entry>,
    /// None after a move that failed: what its file holds is unknown, so it is taken again.
    cursor: Option<Cursor>,
    streams: HashMap<StreamKey, StreamState>,
    /// Closed but not yet spooled: being compressed, or kept here while the disk refuses.
    closed: VecDeque<Closed>,
    moved_at: Duration,
}

#[derive(Default)]
struct StreamState {
    /// Entries up to this one are in files already.
    done: u64,
    open: Option<OpenFile>,
}

struct OpenFile {
    window: OpenWindow,
    stream: Stream,
    bucket: String,
    since: Duration,
}

/// A file that waits for the spool.
struct Closed {
    key: StreamKey,
    bucket: String,
    first_seq: u64,
    /// None only while it changes hands.
    file: Option<Making>,
    /// When its first event was read.
    since: Duration,
    closed_at: Duration,
}

/// How far the making of a file is.
enum Making {
    /// Waits for a thread.
    No(Box<(OpenWindow, Stream, Timestamp)>),
    /// Is being compressed on a thread of its own.
    Yes(JoinHandle<LogFile>),
    Done(Box<LogFile>),
}

impl Making {
    /// Gives the file its thread, once.
    fn start(self) -> Making {
        match self {
            Making::No(parts) => Making::Yes(std::thread::spawn(move || {
                // Who waits for an answer goes first; a log file has time. A system that does not
                // allow it makes answers slower, nothing else.
                let _ = rustix::process::setpriority_process(None, COMPRESS_NICENESS);
                let (window, stream, now) = *parts;
                window.close(&stream, now)
            })),
            started => started,
        }
    }

    /// Waits for the file.
    fn done(self) -> Box<LogFile> {
        match self.start() {
            Making::Yes(thread) => {
                Box::new(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            }
            Making::Done(file) => file,
            Making::No(_) => unreachable!("it has been started"),
        }
    }
}

/// An entry that a trail wants.
struct Wanted<'a> {
    key: StreamKey,
    settings: &'a TrailSettings,
    folder: Folder,
    record: &'a [u8],
    event_time: Timestamp,
    seq: u64,
}

impl Cutter {
    fn read(&mut self) -> Result<(), ReadError> {
        // What an earlier turn left lying, because the disk refused, comes first.
        if self.entries.is_empty() {
            self.entries = self.reader.next_batch(READ_BYTES_MAX)?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Turn {
        self.spool_closed(MAKING_MAX)?;
        let entries = std::mem::take(&mut self.entries);
        let more = if entries.is_empty() { More::No } else { More::Yes };
        for entry in &entries {
            self.deal_with(entry);
        }
        self.close_old();
        self.close_largest();
        // By number and by the clock, not by what happens to be done, so that a turn's calls of the
        // disk do not depend on how fast a thread was.
        self.spool_closed(if entries.is_empty() { 0 } else { MAKING_MAX })?;
        self.move_cursor()?;
        Ok(more)
    }

    fn deal_with(&mut self, entry: &Entry) {
        let (head, record) = match EntryHead::decode(&entry.payload) {
            Ok(decoded) => decoded,
            Err(reason) => return self.leave_out(entry.seq, &reason),
        };
        // Reading the record costs more than all else here; nobody may want it. What came by a channel
        // is for event data stores only.
        if head.origin == Origin::Channel || !self.table.has_trails(&head.tenant) {
            return;
        }
        let header = match event::read_again(record) {
            Ok(header) => header,
            Err(reason) => return self.leave_out(entry.seq, &reason),
        };
        let Some(folder) = folder_of(header.category) else { return };
        let copy = copied(record, &header, &CopyRules::STANDARD);
        let region = region_of(&header, &self.node.settings.region);
        let account = account_of(&header, &head);
        // Taken out so that the table can be read while files are written.
        let table = std::mem::take(&mut self.table);
        let grace_ms = self.node.late_grace_ms();
        for (trail, state) in table.wanting(&head, entry.seq, &header, &region, grace_ms) {
            if head.origin == Origin::Delivery && !state.settings.recursive_logging {
                continue;
            }
            let key = StreamKey {
                trail_arn: trail.arn.clone(),
                account: account.clone(),
                region: region.to_string(),
                folder: folder.name().to_owned(),
            };
            self.write(Wanted {
                key,
                settings: &state.settings,
                folder,
                record: &copy,
                event_time: header.event_time,
                seq: entry.seq,
            });
        }
        self.table = table;
    }

    fn leave_out(&self, seq: u64, reason: &(dyn std::error::Error + 'static)) {
        tracing::error!(seq, reason, "a journal entry cannot be read and is left out of log files");
        self.node.metrics.entry_unreadable();
    }

    fn write(&mut self, wanted: Wanted<'_>) {
        let now = self.node.clock.now();
        let since = self.node.clock.elapsed();
        let bytes_max = self.node.settings.log_file_bytes_max;
        let state = self.streams.entry(wanted.key.clone()).or_default();
        if wanted.seq <= state.done {
            return;
        }
        if let Some(open) = &mut state.open {
            // A trail that was given another bucket, prefix or organization starts a new file there.
            let moved = open.bucket != wanted.settings.s3_bucket_name
                || open.stream.place.prefix != wanted.settings.s3_key_prefix
                || open.stream.place.organization != wanted.settings.organization;
            if !moved
                && open.window.append(wanted.record, wanted.event_time, wanted.seq)
                    != Err(WindowFull)
            {
                return;
            }
            close(&wanted.key, state, &mut self.closed, now, since);
        }
        state.open = Some(OpenFile {
            window: OpenWindow::open(now, bytes_max, wanted.record, wanted.event_time, wanted.seq),
            stream: Stream {
                node: self.node.credentials.user_id.clone(),
                trail_arn: wanted.key.trail_arn.clone(),
                place: Place {
                    prefix: wanted.settings.s3_key_prefix.clone(),
                    organization: wanted.settings.organization.clone(),
                    account: wanted.key.account.clone(),
                    region: wanted.key.region.clone(),
                },
                folder: wanted.folder,
            },
            bucket: wanted.settings.s3_bucket_name.clone(),
            since,
        });
        self.node.handover.opened(&wanted.key);
    }

    fn close_old(&mut self) {
        let now = self.node.clock.now();
        let elapsed = self.node.clock.elapsed();
        let flush = if self.node.is_stopping() {
            Duration::ZERO
        } else {
            self.node.settings.flush_interval
        };
        for (key, state) in &mut self.streams {
            if state.open.as_ref().is_some_and(|open| elapsed.saturating_sub(open.since) >= flush) {
                close(key, state, &mut self.closed, now, elapsed);
            }
        }
    }

    /// Many streams at once must not fill the memory.
    fn close_largest(&mut self) {
        let (now, elapsed) = (self.node.clock.now(), self.node.clock.elapsed());
        loop {
            let size =
                |state: &StreamState| state.open.as_ref().map_or(0, |open| open.window.plain_len());
            let total: usize = self.streams.values().map(size).sum();
            if total <= self.node.settings.open_files_bytes_max {
                return;
            }
            let Some((key, state)) = self.streams.iter_mut().max_by_key(|(_, state)| size(state))
            else {
                return;
            };
            close(key, state, &mut self.closed, now, elapsed);
        }
    }

    /// Spools the oldest closed files until only `stay_max` are left, all of them young.
    fn spool_closed(&mut self, stay_max: usize) -> Result<(), delivery::spool::SpoolFault> {
        let elapsed = self.node.clock.elapsed();
        while self.closed.len() > stay_max
            || self
                .closed
                .front()
                .is_some_and(|oldest| elapsed.saturating_sub(oldest.closed_at) >= MAKING_TIME_MAX)
        {
            start_making(&mut self.closed);
            let Some(Closed { key, bucket, first_seq, file: Some(file), since, closed_at }) =
                self.closed.pop_front()
            else {
                unreachable!("there is an oldest one, and every file is in hand");
            };
            let file = file.done();
            let spooled = self
                .node
                .spool
                .put_log_file(&key.trail_arn, &bucket, &file)
                .and_then(|id| Ok((self.node.spool.header(&id)?, id)));
            let (header, id) = match spooled {
                Ok(spooled) => spooled,
                Err(fault) => {
                    let file = Some(Making::Done(file));
                    let back = Closed { key, bucket, first_seq, file, since, closed_at };
                    self.closed.push_front(back);
                    return Err(fault);
                }
            };
            // Another file of this stream may be open already, or wait behind this one.
            let last = self.streams.get(&key).is_none_or(|state| state.open.is_none())
                && self.closed.iter().all(|other| other.key != key);
            self.node.handover.spooled(last.then_some(&key), id, header, since);
        }
        Ok(())
    }

    fn move_cursor(&mut self) -> Result<(), journal::CursorError> {
        let read = self.reader.position();
        let open = self.streams.values().filter_map(|state| state.open.as_ref());
        let not_spooled = open
            .map(|open| open.window.seqs().0)
            .chain(self.closed.iter().map(|closed| closed.first_seq));
        let position = not_spooled.min().unwrap_or(read);
        self.node.handover.moved(read, position);
        // Losing a move costs reading again, so one sync a second is plenty.
        let elapsed = self.node.clock.elapsed();
        let due = elapsed.saturating_sub(self.moved_at) >= Duration::from_secs(1)
            || self.node.is_stopping();
        if !due {
            return Ok(());
        }
        let mut cursor = match self.cursor.take() {
            Some(cursor) => cursor,
            None => self.node.journal.cursor(CURSOR)?,
        };
        if position > cursor.position() {
            cursor.advance(position)?;
            self.moved_at = elapsed;
        }
        self.cursor = Some(cursor);
        Ok(())
    }
}

/// Closes the stream's open file, if there is one; `now` goes into its name, `elapsed` is the same
/// moment by the clock that does not jump.
fn close(
    key: &StreamKey,
    state: &mut StreamState,
    closed: &mut VecDeque<Closed>,
    now: Timestamp,
    elapsed: Duration,
) {
    let Some(OpenFile { window, stream, bucket, since }) = state.open.take() else { return };
    state.done = window.seqs().1;
    let first_seq = window.seqs().0;
    let file = Some(Making::No(Box::new((window, stream, now))));
    let key = key.clone();
    closed.push_back(Closed { key, bucket, first_seq, file, since, closed_at: elapsed });
    start_making(closed);
}

/// Lets the oldest files be compressed.
fn start_making(closed: &mut VecDeque<Closed>) {
    for closed in closed.iter_mut().take(MAKING_MAX) {
        closed.file = closed.file.take().map(Making::start);
    }
}

/// Where CloudTrail puts events of a category; None for those that no trail delivers.
fn folder_of(category: Category) -> Option<Folder> {
    match category {
        Category::Management | Category::Data => Some(Folder::CloudTrail),
        Category::NetworkActivity => Some(Folder::NetworkActivity),
        Category::Insight => Some(Folder::Insight),
        Category::Aggregated => Some(Folder::Aggregated),
        Category::ActivityAuditLog | Category::ConfigurationItem | Category::Evidence => None,
    }
}

/// The account whose file the event goes into: the recipient that the record names (intake has
/// checked that the tenant may name it), else the tenant.
pub fn account_of(header: &Header<'_>, head: &EntryHead) -> String {
    header.recipient().map_or_else(|| head.tenant.to_string(), |account| account.to_string())
}

/// Consumers parse the Region out of keys, so one that is not shaped like a Region's name (as
/// anonymisers make them) goes with the node's own.
pub fn region_of(header: &Header<'_>, own: &Region) -> Region {
    Region::parse(&header.aws_region.to_str()).unwrap_or_else(|_| own.clone())
}
