//! From the bytes of records to columns.
//!
//! ```text
//!   record ──read_again──▶ header ─┐
//!      │                           ├─▶ time and identity (Pushed), Username, Resources
//!      └──walk, once──▶ columns ───┘
//!              └──────▶ shape, rest ──rebuilt, unless the walk is sure──▶ the same bytes?
//!                                                          else the whole record is the rest
//! ```
//!
//! Records that nobody has checked are walked over at once, and where the walk is sure that is all that
//! is done: [`unread`].
//!
//! One walk over the text, no tree, no allocation for a value. A column is touched only by the rows
//! that have a value for it; what lies between is filled in later, many rows at once.
//!
//! How values become columns, beyond what the schema says:
//! - Texts take what they are given: a number, boolean, object or array is kept as its JSON text.
//! - `readonly` and `managementevent` also read `"true"` and `"True"`. Times also read all that
//!   [`event::event_time`] reads, and the old `20131102T010628Z` of session attributes.
//! - Maps keep strings unescaped and other values as their JSON text; `null` is a null value. Where a
//!   record has something else than an object, such as a string, the map has it under the key `""`.
//! - `eventtime`, `eventsource` and `eventname` are those of [`Header`]: where the record has them
//!   elsewhere (Insights, aggregated events), they are filled in, so that every row can be found.
//!   All other columns are null where the record has no such member. Events from outside AWS have
//!   only their time filled in, since their sources and names are in `eventdata`.

mod columns;
mod derived;
mod ends;
mod parts;
mod strict;
mod times;
mod unread;
mod walk;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use event::{Header, Limits, Refusal, Unread, read_again};

use crate::record::Comparison;
use crate::record::members::{NAMED_RESOURCE, record_of};
use crate::record::rebuild::rebuild;
use crate::record::shape::WHOLE;
use crate::schema::Content;
use columns::{ListColumn, ObjectColumn, TextColumn};
pub use unread::{Account, Read, Wanted};
use walk::{Notes, Walk};

/// One record on its way into a table.
#[derive(Debug, Clone, Copy)]
pub struct RowIn<'a> {
    /// Whose row it becomes: 12 digits. Never taken from the record.
    pub account: &'a str,
    /// A record that [`event::check`] has taken, whatever the limits were then.
    pub record: &'a [u8],
}

/// What to sort and deduplicate by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pushed {
    pub event_time_us: i64,
    /// [`Header::event_id_or_derived`].
    pub event_id: u128,
}

/// Why a record is not in the batch. The batch is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Record(#[from] Refusal),
    /// Take what is there with [`Decoder::finish`] and push the record again.
    #[error("the batch is full")]
    Full,
}

/// Arrow's offsets end at 2 GiB: so many bytes may come into one batch.
const BATCH_BYTES_MAX: usize = i32::MAX as usize / 2;
/// One of so many rows that need no test is rebuilt all the same.
const SURE_ROWS_PER_TEST: usize = 256;
/// What a row costs beside the bytes of its record, about: offsets and bits of the columns.
const ROW_BYTES: usize = 256;

/// The rows of one batch, being collected.
pub struct Decoder {
    content: Content,
    rows: usize,
    bytes: usize,
    bytes_max: usize,
    keeps_records: bool,
    event: ObjectColumn,
    account: TextColumn,
    user_name: TextColumn,
    resources: ListColumn,
    shape: TextColumn,
    rest: TextColumn,
    notes: Notes,
    /// A row that seemed sure did not come back: each one is rebuilt from now on.
    doubts: bool,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    pub fn new() -> Self {
        Self::of(Content::Events)
    }

    /// For rows of such a table.
    pub fn of(content: Content) -> Self {
        Self {
            content,
            rows: 0,
            bytes: 0,
            bytes_max: BATCH_BYTES_MAX,
            keeps_records: true,
            event: ObjectColumn::new(record_of(content)),
            account: TextColumn::default(),
            user_name: TextColumn::default(),
            resources: ListColumn::new(&NAMED_RESOURCE),
            shape: TextColumn::default(),
            rest: TextColumn::default(),
            notes: Notes::default(),
            doubts: false,
        }
    }

    /// For rows whose records nobody asks for: [`crate::record::records`] cannot rebuild them.
    pub fn without_records() -> Self {
        Self { keeps_records: false, ..Self::new() }
    }

    /// Adds a row. Records that are broken after all are refused.
    pub fn push(&mut self, row: RowIn<'_>) -> Result<Pushed, Refused> {
        if self.content == Content::Events
            && let Some(pushed) = self.push_at_once(row)
        {
            return Ok(pushed);
        }
        let header = read_again(row.record)?;
        self.push_checked(row, &header)
    }

    /// Adds a row when that is possible without a header.
    fn push_at_once(&mut self, row: RowIn<'_>) -> Option<Pushed> {
        let text = std::str::from_utf8(row.record).ok()?;
        let limits = &Limits { record_bytes_max: usize::MAX, ..Limits::default() };
        let wanted = Wanted { limits, account: Account::Given(row.account), from: None };
        self.push_unread(Unread { text, is_whole: true }, &wanted)?.pushed
    }

    /// Adds a row, trusting that `header` is what [`event::check`] or [`event::split`] made of this
    /// very record: a third less work.
    pub fn push_checked(&mut self, row: RowIn<'_>, header: &Header<'_>) -> Result<Pushed, Refused> {
        // Arrays of text must be UTF-8, whoever has mixed up records and headers.
        match std::ptr::eq(row.record, header.record().as_bytes()) {
            true => self.push_utf8(row.account, header.record(), header),
            false => {
                let record = std::str::from_utf8(row.record)
                    .map_err(|e| Refusal::InvalidUtf8 { offset: e.valid_up_to() })?;
                self.push_utf8(row.account, record, header)
            }
        }
    }

    fn push_utf8(
        &mut self,
        account: &str,
        text: &str,
        header: &Header<'_>,
    ) -> Result<Pushed, Refused> {
        let record = text.as_bytes();
        if self.bytes + record.len() > self.bytes_max {
            return Err(Refused::Full);
        }
        // Nothing below can fail, so a row is pushed as a whole or not at all.
        let row = self.rows;
        Walk::record(record, true, &mut self.event, row, &mut self.notes);
        self.push_found_elsewhere(header);
        self.push_beside(text, account, Some(header));
        Ok(Pushed {
            event_time_us: header.event_time.as_microsecond(),
            event_id: header.event_id_or_derived(record).as_u128(),
        })
    }

    /// The last columns of a row whose record the walk has been over: those that are not in the record.
    fn push_beside(&mut self, record: &str, account: &str, header: Option<&Header<'_>>) {
        if self.content == Content::Events {
            self.push_derived(record, header);
        }
        match self.keeps_records {
            true => self.push_record(record.as_bytes()),
            false => self.shape.push(self.rows, b""),
        }
        self.account.push(self.rows, account.as_bytes());
        self.rows += 1;
        self.bytes += record.len() + ROW_BYTES;
    }

    /// The shape and the rest, when they give back the record; else the record.
    fn push_record(&mut self, record: &[u8]) {
        let row = self.rows;
        let is_taken = match self.notes.is_unsure || self.doubts {
            true => self.comes_back(record),
            false if cfg!(debug_assertions) || row.is_multiple_of(SURE_ROWS_PER_TEST) => {
                let comes_back = self.comes_back(record);
                debug_assert!(comes_back, "not rebuilt: {}", String::from_utf8_lossy(record));
                if !comes_back {
                    tracing::error!("a record was not understood after all; all others are tested");
                    self.doubts = true;
                }
                comes_back
            }
            false => true,
        };
        if is_taken {
            self.shape.push(row, &self.notes.shape);
            if !self.notes.rest.is_empty() {
                self.rest.push(row, &self.notes.rest);
            }
        } else {
            self.shape.push(row, &[WHOLE]);
            self.rest.push(row, record);
        }
    }

    /// Whether the columns, the shape and the rest give back the record of the last row.
    fn comes_back(&self, record: &[u8]) -> bool {
        let Notes { shape, rest, is_odd, .. } = &self.notes;
        let mut comparison = Comparison::with(record);
        let event = &self.event.children;
        !is_odd
            && rebuild(record_of(self.content), event, self.rows, shape, rest, &mut comparison)
                .is_ok()
            && comparison.is_same()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// About how much memory the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows as a batch of [`Content::stored`], in the order in which they were pushed. The
    /// decoder is empty afterwards.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let schema = self.content.stored();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            let array: ArrayRef = match field.name().as_str() {
                "cairn_account" => Arc::new(self.account.finish(rows)),
                "cairn_username" => Arc::new(self.user_name.finish(rows)),
                "cairn_resources" => Arc::new(self.resources.finish(rows, field.data_type())),
                "cairn_shape" => Arc::new(self.shape.finish_binary(rows)),
                "cairn_rest" => Arc::new(self.rest.finish_binary(rows)),
                _ => self.event.children[columns.len()].finish(rows, field.data_type()),
            };
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(schema, columns, &options)
            .expect("every column has the type of the schema and the same rows")
    }
}

#[cfg(test)]
mod tests;
