//! Reads of a body's records what a query wants, and steps over the rest.
//!
//! ```text
//!   {"Records":[{"eventVersion":"1.11","userIdentity":{…},"eventTime":"…","eventSource":"…",…},{…}]}
//!               every member at the top is looked at ┘└─ stepped over by quotes and brackets,
//!                                                        or walked when a leaf in it is wanted
//! ```
//!
//! The members at the top decide whether a record is taken at all ([`event::Header`]): they are
//! checked here as strictly as there, but only in the usual way to write them. Whatever is unusual
//! is `None`: the file is then read again by the decoder that checks everything, which also knows
//! what to say about it. What this does not see are faults inside of values that nobody asks for.
//!
//! Maps and lists are for the decoder: it gets a small record of what the header needs and of the
//! members that are wanted as a whole.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use event::{Category, event_time};

use super::leaves::{Lead, ObjectLeaves, TextLeaf, Want};
use super::skip::{object_end, string_end, value_end, word_end};
use super::wanted::Wanted;
use crate::decode::{Decoder, RowIn};
use crate::import::FILE_LIMITS;
use crate::record::members::{EVENT, Kind};

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// What a batch's texts may come to, of which Arrow takes 2 GiB.
const BATCH_BYTES_MAX: usize = 256 << 20;
/// Wanted maps, lists and whole objects: with more, all goes to the decoder at once.
const CUTS_MAX: usize = 6;
/// Members at the top that have no column.
const OTHERS_MAX: usize = 16;

/// What a member at the top must be for the record to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Any,
    Time,
    /// A string that is not empty.
    Required,
    Region,
    Category,
    /// A string or null.
    Text,
    Bool,
    Object,
    Array,
}

fn rule_of(key: &str) -> Rule {
    match key {
        "eventTime" => Rule::Time,
        "eventSource" | "eventName" => Rule::Required,
        "awsRegion" => Rule::Region,
        "eventCategory" => Rule::Category,
        "eventID" | "eventType" | "recipientAccountId" | "errorCode" | "vpcEndpointId"
        | "sharedEventID" => Rule::Text,
        "readOnly" | "managementEvent" | "sessionCredentialFromConsole" => Rule::Bool,
        "userIdentity" => Rule::Object,
        "resources" => Rule::Array,
        _ => Rule::Any,
    }
}

/// Known to the header, but without a column: aggregated and activity events have them; and what
/// an envelope of another service has ([`crate::import`]).
const UNUSUAL: [&[u8]; 7] = [
    b"eventId",
    b"accountId",
    b"timeWindow",
    b"eventData",
    b"detail-type",
    b"logEvents",
    b"Events",
];

/// How a body holds its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// `{"Records":[…]}`
    Object,
    Array,
    /// A record on each line.
    Lines,
}

/// The shape of a body and where its first record stands.
fn shape_of(body: &[u8]) -> Option<(Shape, usize)> {
    if let Some(rest) = body.strip_prefix(b"{\"Records\":") {
        let rest = rest.strip_prefix(b" ").unwrap_or(rest).strip_prefix(b"[")?;
        return Some((Shape::Object, body.len() - rest.len()));
    }
    match body.first()? {
        b'[' => Some((Shape::Array, 1)),
        b'{' => Some((Shape::Lines, 0)),
        _ => None,
    }
}

pub(super) struct Reader {
    columns: SchemaRef,
    /// For each column, which member it shows.
    shown: Vec<Shown>,
    event: ObjectLeaves,
    rules: Vec<Rule>,
    /// The bits of the members that every record needs.
    required: u64,
    /// The bits of the members of which nothing is asked when they are strings.
    plain: u64,
    records: Option<TextLeaf>,
    /// Where the wanted members lie that the decoder reads, with their keys.
    cuts: Vec<Range<usize>>,
    small: Vec<u8>,
    decoder: Option<Decoder>,
    /// Keys at the top that have no column.
    others: Vec<Range<usize>>,
    rows: usize,
    bytes: usize,
    /// For the members whose values take some work to check, the one that was taken last: records
    /// that follow each other often agree.
    taken: Vec<Option<Lead>>,
}

#[derive(Debug, Clone, Copy)]
enum Shown {
    Member(usize),
    Record,
    /// It has no value in files.
    Null,
}

impl Reader {
    /// `None` when nearly everything is wanted: then the decoder alone is quicker.
    pub fn new(wanted: &Wanted) -> Option<Reader> {
        let mut event = ObjectLeaves::new(&EVENT);
        let mut shown = Vec::new();
        let mut records = None;
        let mut cuts = 0;
        for (field, leaves) in wanted.columns.fields().iter().zip(&wanted.leaves) {
            let name = field.name();
            let number =
                EVENT.members.iter().position(|member| member.key.eq_ignore_ascii_case(name));
            shown.push(match number {
                Some(number) => Shown::Member(number),
                None if name == super::RECORD => {
                    records = Some(TextLeaf::default());
                    Shown::Record
                }
                None => Shown::Null,
            });
            let Some(number) = number else { continue };
            let is_quick = match (EVENT.members[number].kind, leaves) {
                (Kind::Object(_), Some(leaves)) => leaves.iter().all(|path| {
                    let path = [std::slice::from_ref(name), path].concat();
                    event.want(&path)
                }),
                _ => event.want(std::slice::from_ref(name)),
            };
            if !is_quick {
                event.wants[number] = Want::Cut;
                cuts += 1;
            }
        }
        let rules: Vec<Rule> = EVENT.members.iter().map(|member| rule_of(member.key)).collect();
        let is_required = |rule: &Rule| matches!(rule, Rule::Time | Rule::Required | Rule::Region);
        let required = rules.iter().map(|rule| u64::from(is_required(rule)));
        let is_plain = |number: &usize| {
            matches!(rules[*number], Rule::Any | Rule::Text)
                && matches!(event.wants[*number], Want::Nothing)
        };
        let plain = (0..rules.len()).filter(is_plain).map(|number| 1 << number).sum();
        Some(Reader {
            plain,
            columns: wanted.columns.clone(),
            shown,
            event,
            required: required.enumerate().map(|(number, bit)| bit << number).sum(),
            rules,
            records,
            cuts: Vec::new(),
            small: Vec::new(),
            decoder: (cuts > 0).then(Decoder::without_records),
            others: Vec::new(),
            rows: 0,
            bytes: 0,
            taken: EVENT.members.iter().map(|_| None).collect(),
        })
        .filter(|_| cuts <= CUTS_MAX)
    }

    /// The rows of a body; `None` when something in it is unusual.
    pub fn read(&mut self, body: &[u8]) -> Option<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let read = self.records(body, &mut batches);
        if read.is_none() {
            self.clear();
        }
        read.map(|()| batches)
    }

    fn records(&mut self, body: &[u8], batches: &mut Vec<RecordBatch>) -> Option<()> {
        let (shape, mut at) = shape_of(body)?;
        let is_empty = shape != Shape::Lines && body.get(at) == Some(&b']');
        let mut is_more = !is_empty;
        while is_more {
            let end = self.record(body, at)?;
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES_MAX {
                batches.push(self.batch());
            }
            at = space_end(body, end);
            match (shape, body.get(at)) {
                (Shape::Lines, None) => is_more = false,
                (Shape::Lines, _) => body[end..at].contains(&b'\n').then_some(())?,
                (_, Some(b',')) => at = space_end(body, at + 1),
                (_, Some(b']')) => is_more = false,
                _ => return None,
            }
        }
        if shape != Shape::Lines {
            at = space_end(body, at + 1);
        }
        if shape == Shape::Object {
            (body.get(at) == Some(&b'}')).then_some(())?;
            at = space_end(body, at + 1);
        }
        // Other documents may follow.
        (at == body.len()).then_some(())?;
        if self.rows > 0 {
            batches.push(self.batch());
        }
        Some(())
    }

    /// Reads the record at `start`; gives where it ends.
    fn record(&mut self, text: &[u8], start: usize) -> Option<usize> {
        if text.get(start) != Some(&b'{') {
            return None;
        }
        self.cuts.clear();
        self.others.clear();
        let (mut at, mut previous, mut seen) = (start + 1, 0, 0_u64);
        loop {
            let (number, value) = match self.event.expected(text, at, previous) {
                Some((number, value)) => (Some(number), value),
                None => self.unexpected(text, at, previous)?,
            };
            let value = gap_end(text, value);
            let end = match number {
                Some(number) => {
                    let bit = 1 << number;
                    if seen & bit != 0 {
                        return None;
                    }
                    seen |= bit;
                    previous = number + 1;
                    if self.plain >> number & 1 == 1 && text.get(value) == Some(&b'"') {
                        string_end(text, value + 1)?.0 + 1
                    } else if let Some(taken) = &self.taken[number]
                        && taken.begins(text, value)
                    {
                        value + taken.length
                    } else {
                        self.member(text, number, at, value)?
                    }
                }
                None => value_end(text, value, 1)?,
            };
            match text.get(end)? {
                b',' => at = gap_end(text, end + 1),
                b'}' => {
                    at = end + 1;
                    break;
                }
                _ => return None,
            }
        }
        let record = text.get(start..at)?;
        // Now that it is near.
        if !record.is_ascii() {
            std::str::from_utf8(record).ok()?;
        }
        if seen & self.required != self.required || record.len() > FILE_LIMITS.record_bytes_max {
            return None;
        }
        if let Some(records) = &mut self.records {
            records.push(self.rows, record, false);
        }
        self.bytes += record.len();
        if self.decoder.is_some() {
            self.decode(text)?;
        }
        self.rows += 1;
        Some(at)
    }

    /// The member whose key stands at `at`, when it is not the one that was expected after
    /// `previous`; and where its value begins, about.
    fn unexpected(
        &mut self,
        text: &[u8],
        at: usize,
        previous: usize,
    ) -> Option<(Option<usize>, usize)> {
        let (key, value) = key_at(text, at)?;
        let name = &text[key.clone()];
        let number = self.event.found(name, previous);
        if number.is_none() {
            let is_there = self.others.iter().any(|other| &text[other.clone()] == name);
            if is_there || self.others.len() == OTHERS_MAX || UNUSUAL.contains(&name) {
                return None;
            }
            self.others.push(key);
        }
        Some((number, value))
    }

    /// Reads the value at `at` of the member with this number, whose key stands at `key_at`.
    #[inline]
    fn member(&mut self, text: &[u8], number: usize, key_at: usize, at: usize) -> Option<usize> {
        let rule = self.rules[number];
        let row = self.rows;
        let end = match text.get(at)? {
            b'"' => {
                let (end, is_escaped) = string_end(text, at + 1)?;
                let inside = &text[at + 1..end];
                match rule {
                    Rule::Any | Rule::Text => {}
                    Rule::Required => (end > at + 1).then_some(())?,
                    Rule::Time => {
                        event_time(std::str::from_utf8(inside).ok()?).filter(|_| !is_escaped)?;
                        self.take(number, &text[at..=end]);
                    }
                    Rule::Region => {
                        let is_region = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
                        inside.iter().all(is_region).then_some(())?;
                        (1..=64).contains(&inside.len()).then_some(())?;
                        self.take(number, &text[at..=end]);
                    }
                    Rule::Category => {
                        let name = std::str::from_utf8(inside).ok().filter(|_| !is_escaped)?;
                        // An empty one counts as none.
                        if !name.is_empty() {
                            Category::from_name(name)?;
                        }
                        self.take(number, &text[at..=end]);
                    }
                    Rule::Bool => {
                        let known: [&[u8]; 5] = [b"", b"true", b"True", b"false", b"False"];
                        known.contains(&inside).then_some(())?;
                    }
                    Rule::Object | Rule::Array => return None,
                }
                match &mut self.event.wants[number] {
                    Want::Nothing | Want::Object(_) | Want::Cut => {}
                    Want::Text(texts) => texts.push(row, inside, is_escaped),
                    Want::Bool(truths) => {
                        if !inside.is_empty() {
                            truths.push(row, matches!(inside, b"true" | b"True"));
                        }
                    }
                    Want::Time(times) => {
                        let time = event_time(std::str::from_utf8(inside).ok()?)?;
                        times.push(row, time.as_microsecond());
                    }
                }
                end + 1
            }
            b'{' => {
                matches!(rule, Rule::Any | Rule::Object).then_some(())?;
                match &mut self.event.wants[number] {
                    Want::Object(object) => walk(object, text, at, row, 1)?,
                    Want::Nothing | Want::Cut => value_end(text, at, 1)?,
                    Want::Text(_) | Want::Bool(_) | Want::Time(_) => return None,
                }
            }
            b'[' => {
                matches!(rule, Rule::Any | Rule::Array).then_some(())?;
                let is_text = matches!(self.event.wants[number], Want::Text(_));
                value_end(text, at, 1).filter(|_| !is_text)?
            }
            first => {
                let end = word_end(text, at)?;
                let allowed = match rule {
                    Rule::Any => true,
                    Rule::Text | Rule::Object | Rule::Array | Rule::Category => *first == b'n',
                    Rule::Bool => matches!(first, b'n' | b't' | b'f'),
                    Rule::Time | Rule::Required | Rule::Region => false,
                };
                allowed.then_some(())?;
                match &mut self.event.wants[number] {
                    _ if *first == b'n' => {}
                    Want::Text(texts) => texts.push(row, &text[at..end], false),
                    Want::Bool(truths) => truths.push(row, *first == b't'),
                    _ => {}
                }
                end
            }
        };
        // The decoder's small record has what the header needs too.
        if self.decoder.is_some()
            && (matches!(self.event.wants[number], Want::Cut) || self.required >> number & 1 == 1)
        {
            self.cuts.push(key_at..end);
        }
        Some(end)
    }

    /// Remembers a value that was checked, if nothing else is done with such values.
    fn take(&mut self, number: usize, value: &[u8]) {
        if self.decoder.is_none() && matches!(self.event.wants[number], Want::Nothing) {
            self.taken[number] = Lead::of(value);
        }
    }

    /// Gives the decoder the members that it is wanted for.
    fn decode(&mut self, text: &[u8]) -> Option<()> {
        self.small.clear();
        for cut in &self.cuts {
            self.small.push(if self.small.is_empty() { b'{' } else { b',' });
            self.small.extend_from_slice(text.get(cut.clone())?);
        }
        self.small.push(b'}');
        let header = event::check(&self.small, &FILE_LIMITS).ok()?;
        let row = RowIn { account: "", record: &self.small };
        self.decoder.as_mut()?.push_checked(row, &header).ok()?;
        Some(())
    }

    fn batch(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let decoded = self.decoder.as_mut().map(Decoder::finish);
        let fields = self.columns.fields().iter();
        let columns = fields.zip(&self.shown).map(|(field, shown)| -> ArrayRef {
            match (shown, &mut self.records) {
                (Shown::Member(number), _) => match (&mut self.event.wants[*number], &decoded) {
                    (Want::Cut, Some(decoded)) => decoded.column(*number).clone(),
                    (want, _) => want.finish(rows, field.data_type()),
                },
                (Shown::Record, Some(records)) => std::sync::Arc::new(records.finish(rows)),
                (Shown::Record, None) | (Shown::Null, _) => {
                    arrow::array::new_null_array(field.data_type(), rows)
                }
            }
        });
        let columns = columns.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.columns.clone(), columns, &options)
            .expect("every column has the type of the schema and the same rows")
    }

    fn clear(&mut self) {
        self.rows = 0;
        self.bytes = 0;
        self.event.wants.iter_mut().for_each(Want::clear);
        if let Some(records) = &mut self.records {
            *records = TextLeaf::default();
        }
        if let Some(decoder) = &mut self.decoder {
            *decoder = Decoder::without_records();
        }
    }
}

/// Walks over the object at `at`, which lies in one that is `depth` deep, as far as something in it
/// is wanted, and steps over the rest of it; gives where it ends.
fn walk(
    object: &mut ObjectLeaves,
    text: &[u8],
    at: usize,
    row: usize,
    depth: usize,
) -> Option<usize> {
    object.begin(row);
    let (mut at, mut previous, mut left) = (at + 1, 0, object.wanted);
    if text.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    while left > 0 {
        let (number, value) = match object.expected(text, at, previous) {
            Some((number, value)) => (Some(number), value),
            None => {
                let (key, value) = key_at(text, at)?;
                (object.found(&text[key], previous), value)
            }
        };
        let value = gap_end(text, value);
        let end = match number.map(|number| (number, &mut object.wants[number])) {
            None | Some((_, Want::Nothing)) => value_end(text, value, depth + 1)?,
            Some((_, want)) => {
                left -= 1;
                leaf(want, text, value, row, depth + 1)?
            }
        };
        previous = number.map_or(previous, |number| number + 1);
        match text.get(end)? {
            b',' => at = gap_end(text, end + 1),
            b'}' => return Some(end + 1),
            _ => return None,
        }
    }
    object_end(text, at, depth)
}

/// Reads a wanted value that lies in an object, `depth` deep.
fn leaf(want: &mut Want, text: &[u8], at: usize, row: usize, depth: usize) -> Option<usize> {
    let has = match want {
        Want::Text(texts) => texts.has(row),
        Want::Bool(truths) => truths.has(row),
        Want::Time(times) => times.has(row),
        Want::Object(object) => object.has(row),
        Want::Nothing | Want::Cut => return None,
    };
    if has {
        return None;
    }
    match (want, text.get(at)?) {
        (_, b'n') => word_end(text, at),
        (Want::Object(object), b'{') => walk(object, text, at, row, depth),
        (Want::Object(_), _) => value_end(text, at, depth),
        (Want::Text(texts), b'"') => {
            let (end, is_escaped) = string_end(text, at + 1)?;
            texts.push(row, &text[at + 1..end], is_escaped);
            Some(end + 1)
        }
        (Want::Time(times), b'"') => {
            let (end, _) = string_end(text, at + 1)?;
            let time = event_time(std::str::from_utf8(&text[at + 1..end]).ok()?)?;
            times.push(row, time.as_microsecond());
            Some(end + 1)
        }
        (Want::Text(_), b'{' | b'[') => None,
        (Want::Text(texts), _) => {
            let end = word_end(text, at)?;
            texts.push(row, &text[at..end], false);
            Some(end)
        }
        (Want::Bool(truths), b't' | b'f') => {
            truths.push(row, text[at] == b't');
            word_end(text, at)
        }
        _ => None,
    }
}

/// The key in quotes at `at`, which has no escapes, and where its value begins, about.
fn key_at(text: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let (end, is_escaped) = string_end(text, at + 1)?;
    let is_plain = !is_escaped && text.get(end + 1) == Some(&b':');
    is_plain.then_some((at + 1..end, end + 2))
}

/// Past the one space that some writers put after a colon or comma.
#[inline(always)]
fn gap_end(text: &[u8], at: usize) -> usize {
    at + usize::from(text.get(at) == Some(&b' '))
}

fn space_end(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}
