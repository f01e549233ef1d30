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
//!   All other columns are null where the record has no such member.

mod columns;
mod ends;
mod parts;
mod times;
mod walk;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use event::{Header, Named, NamedResources, Refusal, read_again, user_name};

use crate::record::Comparison;
use crate::record::members::{EVENT, NAMED_RESOURCE, place};
use crate::record::rebuild::rebuild;
use crate::record::shape::WHOLE;
use crate::schema::stored_events_schema;
use columns::{Column, Entry, ListColumn, ObjectColumn, TextColumn};
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
        Self {
            rows: 0,
            bytes: 0,
            bytes_max: BATCH_BYTES_MAX,
            keeps_records: true,
            event: ObjectColumn::new(&EVENT),
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
        let header = read_again(row.record)?;
        self.push_checked(row, &header)
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
        Walk::record(record, &mut self.event, row, &mut self.notes);
        self.push_derived(header, text);
        if self.keeps_records {
            self.push_record(record);
        } else {
            self.shape.push(row, b"");
        }
        self.account.push(row, account.as_bytes());
        self.rows += 1;
        self.bytes += record.len() + ROW_BYTES;
        Ok(Pushed {
            event_time_us: header.event_time.as_microsecond(),
            event_id: header.event_id_or_derived(record).as_u128(),
        })
    }

    /// What is not in the record, or not where its column looks for it.
    fn push_derived(&mut self, header: &Header<'_>, record: &str) {
        let row = self.rows;
        let event = &mut self.event.children;
        if let Column::Time(times) = &mut event[place::EVENT_TIME]
            && !times.has(row)
        {
            times.push(row, header.event_time.as_microsecond());
        }
        for (place, text) in
            [(place::EVENT_SOURCE, header.event_source), (place::EVENT_NAME, header.event_name)]
        {
            if let Column::Text(texts) = &mut event[place]
                && texts.len() <= row
                && !text.is_empty()
            {
                texts.push(row, text.to_str().as_bytes());
            }
        }
        match &event[place::USER_IDENTITY] {
            // A text may be something else than a string: then the columns do not tell.
            Column::Object(identity) if !self.notes.is_loose => {
                if let Some(name) = user_name_of(identity, row) {
                    self.user_name.push(row, name);
                }
            }
            _ => {
                if let Some(name) = user_name(header) {
                    self.user_name.push(row, name.as_bytes());
                }
            }
        }
        let named = named_resources_of(event, row, self.notes.is_loose, header, record);
        if !named.is_empty() {
            self.resources.begin(row);
            for Named { kind, name } in named {
                self.resources.push_texts([kind.as_deref(), Some(&name)]);
            }
            self.resources.end();
        }
    }

    /// The shape and the rest, when they give back the record; else the record.
    fn push_record(&mut self, record: &[u8]) {
        let row = self.rows;
        let is_taken = match self.notes.is_unsure || self.doubts {
            true => self.comes_back(record),
            false if cfg!(debug_assertions) || row.is_multiple_of(SURE_ROWS_PER_TEST) => {
                let comes_back = self.comes_back(record);
                debug_assert!(comes_back, "not rebuilt: {}", String::from_utf8_lossy(record));
                self.doubts |= !comes_back;
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
            && rebuild(event, self.rows, shape, rest, &mut comparison).is_ok()
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

    /// The rows as a batch of [`stored_events_schema`], in the order in which they were pushed. The
    /// decoder is empty afterwards.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let schema = stored_events_schema();
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

/// What [`user_name`] says, from the columns, where they have it already. A test compares the two.
fn user_name_of(identity: &ObjectColumn, row: usize) -> Option<&[u8]> {
    let text = |place: usize| match &identity.children[place] {
        Column::Text(texts) if texts.len() > row => texts.get(row).filter(|text| !text.is_empty()),
        _ => None,
    };
    let after = |separator: u8, text: &'_ [u8]| -> Option<usize> {
        Some(text.iter().rposition(|byte| *byte == separator)? + 1)
    };
    let named = match text(place::TYPE) {
        Some(b"Root") => Some(b"root".as_slice()),
        Some(b"AWSService") => None,
        Some(b"AssumedRole" | b"FederatedUser") => text(place::PRINCIPAL_ID)
            .and_then(|id| Some(&id[after(b':', id)?..]))
            .or_else(|| text(place::ARN).and_then(|arn| Some(&arn[after(b'/', arn)?..])))
            .or_else(|| text(place::USER_NAME)),
        _ => text(place::USER_NAME),
    };
    named.filter(|name| !name.is_empty())
}

/// What [`event::named_resources`] says, from the columns, where they have it already. A test compares
/// the two.
fn named_resources_of<'a>(
    event: &'a [Column],
    row: usize,
    is_loose: bool,
    header: &Header<'a>,
    record: &'a str,
) -> Vec<Named<'a>> {
    let mut named = NamedResources::new(header);
    match &event[place::RESOURCES] {
        Column::List(list) if !is_loose => {
            for element in list.elements(row) {
                let text = |place: usize| {
                    let text = element_text(list, element, place)?;
                    std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
                };
                let name = text(place::RESOURCE_ARN).or_else(|| text(place::RESOURCE_ARN_PREFIX));
                if let Some(name) = name {
                    named.add_listed(text(place::RESOURCE_TYPE).map(Cow::Borrowed), name.into());
                }
            }
        }
        _ => {
            for resource in header.resources() {
                if let Some(name) = resource.arn.or(resource.arn_prefix) {
                    named.add_listed(resource.kind.map(|kind| kind.to_str()), name.to_str());
                }
            }
        }
    }
    for place in [place::REQUEST_PARAMETERS, place::RESPONSE_ELEMENTS] {
        let Column::Map(map) = &event[place] else { continue };
        for Entry { key, value } in map.last.iter().filter(|_| map.has(row)) {
            let text = |range: &Range<usize>| record.get(range.clone()).unwrap_or_default();
            named.add_member(text(key), text(value));
        }
    }
    named.list
}

fn element_text(list: &ListColumn, element: usize, place: usize) -> Option<&[u8]> {
    match &list.element.children[place] {
        Column::Text(texts) => texts.get(element),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
