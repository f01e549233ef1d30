//! Sums up the data events of the trails that want it, and cuts what it comes to into log files of
//! the folder CloudTrail-Aggregated.
//!
//! ```text
//!   journal ─▶ count (memory) ─▶ close ─▶ catalog: position + open windows + events, at once ─▶ cursor
//!                                                   events ─▶ spool (synced) ─▶ forget them
//! ```
//! The catalog says from where on the journal is to be counted and what was counted before, in one
//! transaction with the events that closed windows came to: after a crash counting goes on from there,
//! and each entry is counted once. A file is made from the events in the catalog; made again, it has
//! the same name and bytes. While no trail sums up, there is no cursor, and nothing is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{AggregatedEvent, StreamKey};
use delivery::layout::{Folder, Place};
use delivery::log_file::{LogFile, OpenWindow, Stream, WindowFull};
use event::{Category, Region};
use jiff::Timestamp;
use journal::{Cursor, Entry, Reader};

use super::deliver_logs::{account_of, region_of};
use crate::aggregation::{Counted, OpenWindows, Wish};
use crate::entry::{EntryHead, Origin};
use crate::node::Node;
use crate::trail_table::TrailTable;
use crate::workers::{More, Turn, Worker};

const CURSOR: &str = "aggregation";
const READ_BYTES_MAX: usize = 4 << 20;
/// What was counted is stored at least so often: a crash then costs reading that much again.
const STORE_EVERY: Duration = Duration::from_secs(60);

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub struct AggregateDataEvents {
    node: Arc<Node>,
    trails: tokio::sync::watch::Receiver<u64>,
    table: Arc<TrailTable>,
    /// None while no trail sums up, and after a turn that was cut off.
    counting: Option<Counting>,
    /// No trail sums up, as far as is known.
    is_idle: bool,
    /// How far each stream has come, as the ledger of the last run had it.
    delivered: HashMap<StreamKey, u64>,
    recovered: bool,
    /// There may be events that are in no file.
    has_events: bool,
}

struct Counting {
    reader: Reader,
    cursor: Cursor,
    windows: OpenWindows,
    /// Entries that were read, but not counted: the trails' states were not known yet.
    entries: Vec<Entry>,
    stored: u64,
    stored_at: Duration,
}

impl AggregateDataEvents {
    pub fn new(node: Arc<Node>) -> AggregateDataEvents {
        let mut trails = node.trails_watch();
        trails.mark_changed();
        AggregateDataEvents {
            node,
            trails,
            table: Arc::default(),
            counting: None,
            is_idle: false,
            delivered: HashMap::new(),
            recovered: false,
            has_events: true,
        }
    }

    /// Looked at after reading, as `deliver_logs` does: the states of all that was read are there.
    async fn reload_trails(&mut self) -> Result<(), Fault> {
        if !self.trails.has_changed()? {
            return Ok(());
        }
        self.trails.mark_unchanged();
        match self.node.trail_table().await {
            Ok(table) => self.table = Arc::new(table),
            Err(error) => {
                self.trails.mark_changed();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Goes on where the catalog says, or begins where the first trail that sums up does.
    async fn begin(&mut self) -> Result<Option<Counting>, Fault> {
        let stored = self.node.catalog.aggregation().await?;
        let (position, windows) = match (stored, self.table.aggregates_from()) {
            (Some((position, text)), _) => (position, OpenWindows::from_json(&text)?),
            (None, Some(from_seq)) => (from_seq, OpenWindows::default()),
            (None, None) => return Ok(None),
        };
        let journal = self.node.journal.clone();
        let position = position.min(journal.next_seq());
        let (cursor, reader) = tokio::task::spawn_blocking(move || {
            let cursor = journal.cursor(CURSOR)?;
            let reader = journal.reader(position.max(cursor.position()))?;
            Ok::<_, Fault>((cursor, reader))
        })
        .await??;
        let stored_at = self.node.clock.elapsed();
        let entries = Vec::new();
        Ok(Some(Counting { reader, cursor, windows, entries, stored: position, stored_at }))
    }

    async fn count(&mut self) -> Turn {
        let Some(mut counting) = self.counting.take() else {
            if self.is_idle && !self.trails.has_changed()? {
                return Ok(More::No);
            }
            self.reload_trails().await?;
            self.counting = self.begin().await?;
            self.is_idle = self.counting.is_none();
            return Ok(if self.is_idle { More::No } else { More::Yes });
        };
        let (counting_read, read) = tokio::task::spawn_blocking(move || {
            if counting.entries.is_empty() {
                match counting.reader.next_batch(READ_BYTES_MAX) {
                    Ok(entries) => counting.entries = entries,
                    Err(error) => return (counting, Err(error)),
                }
            }
            (counting, Ok(()))
        })
        .await?;
        counting = counting_read;
        let reloaded = match read {
            Ok(()) => self.reload_trails().await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = reloaded {
            self.counting = Some(counting);
            return Err(error);
        }
        let has_more = !counting.entries.is_empty();
        let judge = Judge {
            table: self.table.clone(),
            region: self.node.settings.region.clone(),
            grace_ms: self.node.late_grace_ms(),
        };
        let mut counting = tokio::task::spawn_blocking(move || {
            for entry in std::mem::take(&mut counting.entries) {
                judge.count(&entry, &mut counting.windows);
            }
            counting
        })
        .await?;
        if has_more {
            self.counting = Some(counting);
            return Ok(More::Yes);
        }
        // All that is durable has been counted: now time decides.
        let stored = self.store(&mut counting).await;
        // What could not be stored is counted again from what is: the state in memory may be ahead.
        stored?;
        let is_over = self.table.aggregates_from().is_none()
            && counting.reader.position() >= self.table.newest_from_seq();
        match is_over && counting.windows.is_empty() {
            true => self.end(counting).await,
            false => {
                self.counting = Some(counting);
                Ok(More::No)
            }
        }
    }

    async fn store(&mut self, counting: &mut Counting) -> Result<(), Fault> {
        let (now, elapsed) = (self.node.clock.now(), self.node.clock.elapsed());
        let closed = counting.windows.close(now, self.node.late_grace_ms());
        let position = counting.reader.position();
        let is_due =
            elapsed.saturating_sub(counting.stored_at) >= STORE_EVERY && position > counting.stored;
        if closed.is_empty() && !is_due && !self.node.is_stopping() {
            return Ok(());
        }
        let windows = counting.windows.to_json();
        self.node.catalog.counted(position, &windows, &closed).await?;
        (counting.stored, counting.stored_at) = (position, elapsed);
        self.has_events |= !closed.is_empty();
        if position > counting.cursor.position() {
            // One sync a minute, and only while somebody sums up.
            counting.cursor.advance(position)?;
        }
        Ok(())
    }

    /// No trail sums up any more: nothing has to be kept for it.
    async fn end(&mut self, counting: Counting) -> Turn {
        drop(counting);
        self.node.catalog.forget_aggregation().await?;
        let journal = self.node.journal.clone();
        tokio::task::spawn_blocking(move || journal.forget_cursor(CURSOR)).await??;
        Ok(More::No)
    }

    /// Cuts the events in the catalog into files.
    async fn spool(&mut self) -> Result<(), Fault> {
        if !self.recovered {
            self.delivered = self.node.catalog.streams().await?.into_iter().collect();
            self.recovered = true;
        }
        if !self.has_events {
            return Ok(());
        }
        let folder = Folder::Aggregated;
        let events = self.node.catalog.aggregated_events(folder.name()).await?;
        for events in files_of(events) {
            let (Some(first), Some(last)) = (events.first().cloned(), events.last().cloned())
            else {
                continue;
            };
            let stream = first.event.stream.clone();
            // A file that the last run has delivered, but could not forget.
            let is_delivered = self.delivered.get(&stream).is_some_and(|done| last.number <= *done);
            if !is_delivered {
                let bucket = first.event.bucket.clone();
                let log_stream = self.stream_of(&first);
                let bytes_max = self.node.settings.log_file_bytes_max;
                let spool = self.node.spool.clone();
                let spooled = tokio::task::spawn_blocking(move || {
                    let mut done = Vec::new();
                    for file in cut(&events, &log_stream, bytes_max) {
                        let id = spool.put_log_file(&log_stream.trail_arn, &bucket, &file)?;
                        done.push((spool.header(&id)?, id));
                    }
                    Ok::<_, delivery::spool::SpoolFault>(done)
                })
                .await??;
                for (header, id) in spooled {
                    self.node.handover.spooled(None, id, header, self.node.clock.elapsed());
                }
            }
            self.node.catalog.forget_aggregated_events(&stream, last.number).await?;
        }
        self.has_events = false;
        Ok(())
    }

    fn stream_of(&self, of: &AggregatedEvent) -> Stream {
        let StreamKey { trail_arn, account, region, .. } = of.event.stream.clone();
        Stream {
            node: self.node.credentials.user_id.clone(),
            trail_arn,
            place: Place {
                prefix: of.event.prefix.clone(),
                organization: of.event.organization.clone(),
                account,
                region,
            },
            folder: Folder::Aggregated,
        }
    }
}

/// The events of each file: of one stream, made at once, for one place.
fn files_of(events: Vec<AggregatedEvent>) -> Vec<Vec<AggregatedEvent>> {
    let mut files: Vec<Vec<AggregatedEvent>> = Vec::new();
    for event in events {
        let place = |of: &AggregatedEvent| {
            let of = &of.event;
            (
                of.stream.clone(),
                of.bucket.clone(),
                of.prefix.clone(),
                of.organization.clone(),
                of.made_ms,
            )
        };
        match files.last_mut() {
            Some(file) if file.last().is_some_and(|last| place(last) == place(&event)) => {
                file.push(event);
            }
            _ => files.push(vec![event]),
        }
    }
    files
}

/// One file, or several where one would be too large. The same events give the same files.
fn cut(events: &[AggregatedEvent], stream: &Stream, bytes_max: usize) -> Vec<LogFile> {
    let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MIN);
    let mut files = Vec::new();
    let mut open: Option<OpenWindow> = None;
    for AggregatedEvent { number, event } in events {
        let (record, at, made) =
            (event.record.as_bytes(), time(event.event_ms), time(event.made_ms));
        if let Some(window) = &mut open
            && window.append(record, at, *number) != Err(WindowFull)
        {
            continue;
        }
        files.extend(open.take().map(|full| full.close(stream, made)));
        open = Some(OpenWindow::open(made, bytes_max, record, at, *number));
    }
    let made = events.last().map_or(Timestamp::MIN, |last| time(last.event.made_ms));
    files.extend(open.map(|last| last.close(stream, made)));
    files
}

/// Which trails want an entry summed up: those that log it.
struct Judge {
    table: Arc<TrailTable>,
    region: Region,
    grace_ms: i64,
}

impl Judge {
    fn count(&self, entry: &Entry, windows: &mut OpenWindows) {
        // `deliver_logs` tells of entries that cannot be read.
        let Ok((head, record)) = EntryHead::decode(&entry.payload) else { return };
        if !self.table.has_trails(&head.tenant) {
            return;
        }
        let Ok(header) = event::read_again(record) else { return };
        if header.category != Category::Data {
            return;
        }
        let region = region_of(&header, &self.region);
        let account = account_of(&header, &head);
        let wanting = self.table.wanting(&head, entry.seq, &header, &region, self.grace_ms);
        for (trail, state) in wanting {
            let is_own = head.origin == Origin::Delivery && !state.settings.recursive_logging;
            if is_own || state.aggregation.is_empty() {
                continue;
            }
            let wish = Wish {
                trail_arn: &trail.arn,
                bucket: &state.settings.s3_bucket_name,
                prefix: state.settings.s3_key_prefix.as_deref(),
                organization: state.settings.organization.as_deref(),
                templates: &state.aggregation,
            };
            let at = Counted {
                seq: entry.seq,
                accepted_ms: head.accepted_ms,
                account: &account,
                region: region.as_str(),
            };
            windows.count(wish, at, &header);
        }
    }
}

#[async_trait]
impl Worker for AggregateDataEvents {
    async fn tick(&mut self) -> Turn {
        let more = self.count().await?;
        self.spool().await?;
        Ok(more)
    }

    /// Stores what was counted, so that the next start has less to read again.
    async fn last(&mut self) -> Turn {
        while self.tick().await? == More::Yes {}
        Ok(More::No)
    }
}
