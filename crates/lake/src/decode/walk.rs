//! The walk over a record's text that fills the columns and notes the shape.
//!
//! Nearly every record is made of what the walk understands completely: each byte it goes past is one
//! that rebuilding writes again, and none is one that [`event::check`] refuses. Where it meets anything
//! else it is [`Notes::is_unsure`].
//! - In a record that has been checked it goes on by quotes and brackets alone; rebuilding has to show
//!   whether the record comes back. When the text was never checked after all it gives nonsense or stops
//!   early, but it never panics and never cuts a character: all cuts are at ASCII characters or at the end.
//! - In one that nobody has read it stops there, and what it has put into the columns is to be thrown
//!   away.

mod containers;

use super::columns::{Column, ObjectColumn, TextColumn};
use super::ends::{string_end, value_end};
use super::strict::Keys;
use super::times::push_time;
use crate::record::members::{Kind, Object};
use crate::record::shape::{
    COLUMN, COMPACT, END, NULL, OTHER, OTHERWISE, REST, SAME, SPACED, code, push_text,
};
use crate::record::{Comparison, Out, end_of_plain_run, push_unescaped};

/// What the walk over one record notes beside its columns.
#[derive(Default)]
pub(super) struct Notes {
    pub shape: Vec<u8>,
    pub rest: Vec<u8>,
    /// No shape can describe this record: there is space where none was expected.
    pub is_odd: bool,
    /// The columns do not say all there is to say: one for texts has got something that was no string,
    /// or a member came twice, or by another name.
    pub is_loose: bool,
    /// Whether the record can be rebuilt is not certain, nor whether the check takes it. True of all
    /// that is odd.
    pub is_unsure: bool,
    keys: Keys,
}

pub(super) struct Walk<'a> {
    /// Empty once the walk is over.
    text: &'a [u8],
    is_checked: bool,
    spaced: bool,
    notes: &'a mut Notes,
}

impl<'a> Walk<'a> {
    /// Fills `row` of `event` from the record that `text` begins with; gives where that ends. A checked
    /// one is all of the text.
    pub fn record(
        text: &'a [u8],
        is_checked: bool,
        event: &mut ObjectColumn,
        row: usize,
        notes: &'a mut Notes,
    ) -> usize {
        notes.shape.clear();
        notes.rest.clear();
        notes.is_odd = false;
        notes.is_loose = false;
        notes.is_unsure = false;
        notes.keys.close(0);
        let mut walk = Walk { text, is_checked, spaced: false, notes };
        let start = walk.space(0);
        if walk.byte(start + 1) == Some(b'"') {
            let (key_end, _) = string_end(text, start + 2);
            walk.spaced = walk.byte(key_end + 2) == Some(b' ');
        }
        walk.notes.shape.push(if walk.spaced { SPACED } else { COMPACT });
        if walk.byte(start) != Some(b'{') {
            walk.broken();
        }
        let end = walk.object(event, row, start);
        if walk.is_checked && end != text.len() {
            walk.broken();
        }
        end
    }

    /// Says that somebody else must look at this record.
    #[cold]
    fn unsure(&mut self) {
        self.notes.is_unsure = true;
        if !self.is_checked {
            self.text = &[];
        }
    }

    /// The end of the value at `at`, which is kept as it stands.
    fn value_end(&mut self, at: usize) -> usize {
        if self.is_checked {
            return value_end(self.text, at);
        }
        self.notes.keys.value_end(self.text, at).unwrap_or_else(|| self.broken())
    }

    /// Notes a key of the object that was opened at `opened`, in which no other may be the same.
    #[inline(always)]
    fn note_key(&mut self, opened: usize, start: usize, end: usize) {
        if !self.is_checked && !self.notes.keys.is_new(self.text, opened, start, end) {
            self.unsure();
        }
    }

    #[inline(always)]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    #[inline(always)]
    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// Skips space where none belongs.
    #[inline(always)]
    fn space(&mut self, at: usize) -> usize {
        match self.byte(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => self.odd_space(at),
            _ => at,
        }
    }

    #[cold]
    fn odd_space(&mut self, mut at: usize) -> usize {
        self.notes.is_odd = true;
        self.unsure();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// Skips the space that the style wants after a colon or comma.
    #[inline(always)]
    fn gap(&mut self, at: usize) -> usize {
        if !self.spaced {
            return self.space(at);
        }
        match self.byte(at) {
            Some(b' ') => self.space(at + 1),
            _ => self.odd_space(at),
        }
    }

    /// Skips what should stand between a value and the next: gives where the next begins, or `None`
    /// and where the container, which `bracket` closes, ends.
    #[inline(always)]
    fn comma(&mut self, at: usize, bracket: u8) -> (Option<usize>, usize) {
        let at = self.space(at);
        match self.byte(at) {
            Some(b',') => (Some(self.gap(at + 1)), at),
            _ => (None, self.close(at, bracket)),
        }
    }

    /// Skips what should stand between a member and the next, as [`Walk::comma`] does.
    #[inline(always)]
    fn member_comma(&mut self, at: usize) -> (Option<usize>, usize) {
        match self.comma(at, b'}') {
            (Some(next), _) if self.byte(next) != Some(b'"') => (None, self.broken()),
            found => found,
        }
    }

    /// Skips the bracket that closes a container.
    #[inline(always)]
    fn close(&mut self, at: usize, bracket: u8) -> usize {
        match self.byte(at) {
            Some(found) if found == bracket => at + 1,
            _ => self.broken(),
        }
    }

    /// Gives up on a text that nobody has checked, at its end.
    #[cold]
    fn broken(&mut self) -> usize {
        self.notes.is_odd = true;
        self.unsure();
        self.text.len()
    }

    /// The end of the string whose first character is at `at`, without its quote, and whether it has
    /// escapes.
    #[inline(always)]
    fn string(&mut self, at: usize) -> (usize, bool) {
        let end = end_of_plain_run(self.text, at);
        match self.byte(end) {
            Some(b'"') => (end, false),
            _ => self.other_string(end),
        }
    }

    #[inline(never)]
    fn other_string(&mut self, at: usize) -> (usize, bool) {
        let (end, escaped) = string_end(self.text, at);
        if self.byte(end) != Some(b'"') {
            self.unsure();
        }
        (end, escaped)
    }

    /// Walks over the `null` that probably stands at `at`.
    #[inline(always)]
    fn null(&mut self, at: usize) -> usize {
        if self.slice(at, at + 4) == b"null" {
            return at + 4;
        }
        self.unsure();
        value_end(self.text, at)
    }

    /// Walks over a key and its colon: where its inside ends, whether it has escapes, where the value
    /// begins.
    #[inline(always)]
    fn key(&mut self, at: usize) -> (usize, bool, usize) {
        let (end, escaped) = self.string(at + 1);
        let colon = self.space(end + 1);
        let value = match self.byte(colon) {
            Some(b':') => self.gap(colon + 1),
            _ => self.broken(),
        };
        (end, escaped, value)
    }

    /// Walks over the object at `at`; gives where it ends.
    fn object(&mut self, column: &mut ObjectColumn, row: usize, at: usize) -> usize {
        column.valid.set(row);
        let at = self.space(at + 1);
        let end = match self.byte(at) {
            Some(b'"') => self.members(column, row, at),
            _ => self.close(at, b'}'),
        };
        self.notes.shape.push(END);
        end
    }

    /// Walks over the members of an object, the first of which is at `at`; gives where the object ends.
    #[inline(always)]
    fn members(&mut self, column: &mut ObjectColumn, row: usize, mut at: usize) -> usize {
        let mut previous = 0;
        let mut seen = 0_u64;
        let opened = self.notes.keys.open();
        let end = loop {
            let (number, value) = match self.expected(column, previous, at) {
                Some((number, value)) => (Some(number), value),
                None => self.member(column, previous, at),
            };
            let end = match number {
                Some(number) => {
                    previous = number + 1;
                    if seen >> number & 1 == 1 {
                        self.unsure();
                    }
                    seen |= 1 << number;
                    let place = place_of(column.object, number);
                    let child = &mut column.children[place];
                    let is_first = !child.has(row);
                    self.notes.is_loose |= place != number || !is_first;
                    match is_first {
                        true => self.value(number, child, row, value),
                        false => self.other(opened, at, value),
                    }
                }
                None => self.unexpected(column, row, opened, at, value),
            };
            let (next, end) = self.member_comma(end);
            let Some(next) = next else { break end };
            at = next;
        };
        self.notes.keys.close(opened);
        end
    }

    /// Walks over an object that probably came before to the byte: then copies what it was.
    fn part(&mut self, column: &mut ObjectColumn, row: usize, at: usize) -> usize {
        // In the other style a part would have another shape.
        if !self.spaced
            && let Some(known) = column.parts.find(self.text.get(at..).unwrap_or_default())
        {
            self.notes.shape.extend_from_slice(known.shape);
            let (bytes, from) = (known.text.len(), known.row);
            column.copy(from, row);
            return at + bytes;
        }
        let (shape, rest) = (self.notes.shape.len(), self.notes.rest.len());
        let was_loose = std::mem::take(&mut self.notes.is_loose);
        let was_unsure = std::mem::take(&mut self.notes.is_unsure);
        let end = self.object(column, row, at);
        let is_plain = self.notes.rest.len() == rest
            && !(self.spaced || self.notes.is_unsure || self.notes.is_loose)
            && column.children.iter().all(|child| child.can_copy(row));
        self.notes.is_loose |= was_loose;
        self.notes.is_unsure |= was_unsure;
        if is_plain {
            let text = self.slice(at, end);
            column.parts.remember(text, row, &self.notes.shape[shape..]);
        }
        end
    }

    /// The member that came last time after the member before `previous`, when its key stands at
    /// `at`; and where its value begins.
    #[inline(always)]
    fn expected(
        &mut self,
        column: &ObjectColumn,
        previous: usize,
        at: usize,
    ) -> Option<(usize, usize)> {
        let number = usize::from(column.next[previous]);
        let member = column.object.members.get(number)?;
        member.leads(self.text.get(at..)?).then(|| (number, self.gap(at + member.lead.len())))
    }

    /// The member whose key stands at `at`, if it is known and has no escapes; and where its value
    /// begins.
    fn member(
        &mut self,
        column: &mut ObjectColumn,
        previous: usize,
        at: usize,
    ) -> (Option<usize>, usize) {
        let (key_end, escaped, value) = self.key(at);
        let number = column.object.number(self.slice(at + 1, key_end)).filter(|_| !escaped);
        if let Some(number) = number {
            column.next[previous] = number as u8;
        }
        (number, value)
    }

    /// A member that is not known by its key as it stands. Written with escapes it may still be one
    /// that we know: then its column gets the value, and the record is rebuilt from the rest.
    #[cold]
    fn unexpected(
        &mut self,
        column: &mut ObjectColumn,
        row: usize,
        opened: usize,
        key_at: usize,
        value: usize,
    ) -> usize {
        let (shape_end, rest_end) = (self.notes.shape.len(), self.notes.rest.len());
        let (key_end, escaped) = string_end(self.text, key_at + 1);
        if escaped {
            self.notes.is_loose = true;
            self.unsure();
            let mut key = Vec::new();
            push_unescaped(&mut key, self.slice(key_at + 1, key_end));
            if let Some(number) = column.object.number(&key) {
                let child = &mut column.children[place_of(column.object, number)];
                if !child.has(row) {
                    self.value(number, child, row, value);
                }
            }
        }
        self.notes.shape.truncate(shape_end);
        self.notes.rest.truncate(rest_end);
        self.other(opened, key_at, value)
    }

    /// A member without a column, or one that came before.
    fn other(&mut self, opened: usize, key_at: usize, value: usize) -> usize {
        let key_end = string_end(self.text, key_at + 1).0;
        self.note_key(opened, key_at + 1, key_end);
        let end = self.value_end(value);
        let text = self.slice(value, end);
        let key = self.slice(key_at + 1, key_end);
        let is_common = match key {
            // Members without columns that many records have, of which there are few values.
            b"keyExchange" | b"assumedRoot" => text.len() <= COMMON_BYTES_MAX,
            _ => matches!(text, b"null" | b"true" | b"false" | b"{}" | b"[]" | b"\"\""),
        };
        if is_common {
            let member = self.slice(key_at, end);
            self.notes.shape.push(SAME);
            push_text(&mut self.notes.shape, member);
        } else {
            self.notes.shape.push(OTHER);
            push_text(&mut self.notes.shape, key);
            push_text(&mut self.notes.rest, text);
        }
        end
    }

    /// Puts the value at `at` into its column and its code into the shape.
    #[inline]
    fn value(&mut self, number: usize, column: &mut Column, row: usize, at: usize) -> usize {
        let mut place = Place {
            shape: self.notes.shape.len(),
            rest: self.notes.rest.len(),
            code: code(number, COLUMN),
        };
        self.notes.shape.push(place.code);
        let first = self.byte(at);
        if first == Some(b'n') {
            self.notes.shape[place.shape] += NULL;
            return self.null(at);
        }
        match (column, first) {
            (Column::Text(texts), Some(b'"')) => {
                let (end, escaped) = self.string(at + 1);
                match escaped {
                    false => texts.push_part(row, self.text, at + 1, end),
                    true if push_escaped(texts, row, self.slice(at + 1, end)) => {}
                    true => self.keep(&mut place, at, end + 1),
                }
                end + 1
            }
            (Column::Text(texts), _) => {
                let end = value_end(self.text, at);
                texts.push(row, self.slice(at, end));
                self.notes.shape[place.shape] += OTHERWISE;
                self.notes.is_loose = true;
                self.unsure();
                end
            }
            (Column::Bool(truths), _) => {
                let end = value_end(self.text, at);
                let text = self.slice(at, end);
                match text {
                    b"true" | b"\"true\"" | b"\"True\"" => truths.push(row, true),
                    b"false" | b"\"false\"" | b"\"False\"" => truths.push(row, false),
                    _ => {}
                }
                if !matches!(text, b"true" | b"false") {
                    self.keep(&mut place, at, end);
                }
                end
            }
            (Column::Time(times), _) => {
                let end = value_end(self.text, at);
                if !push_time(times, row, self.slice(at, end)) {
                    self.keep(&mut place, at, end);
                }
                end
            }
            (Column::Map(map), Some(b'{')) => {
                let (end, exact) = self.map(map, row, at, place.shape);
                if !exact {
                    self.keep(&mut place, at, end);
                }
                end
            }
            (Column::Map(map), _) => {
                let (end, exact) = self.lone(map, row, at, place.shape);
                if !exact {
                    self.keep(&mut place, at, end);
                }
                end
            }
            (Column::Object(object), Some(b'{')) if object.object.repeats => {
                self.part(object, row, at)
            }
            (Column::Object(object), Some(b'{')) => self.object(object, row, at),
            (Column::List(list), Some(b'[')) => {
                let (end, exact) = self.list(list, row, at);
                if !exact {
                    self.keep(&mut place, at, end);
                }
                end
            }
            (Column::Object(_) | Column::List(_), _) => {
                let end = value_end(self.text, at);
                self.keep(&mut place, at, end);
                end
            }
        }
    }

    /// Keeps a value in the rest, instead of what has been noted about it.
    #[cold]
    fn keep(&mut self, place: &mut Place, start: usize, end: usize) {
        self.unsure();
        self.notes.shape.truncate(place.shape);
        self.notes.shape.push(place.code + REST);
        self.notes.rest.truncate(place.rest);
        let text = self.slice(start, end);
        push_text(&mut self.notes.rest, text);
    }
}

/// What is longer is not taken for one of few values.
const COMMON_BYTES_MAX: usize = 32;

/// Where a value's code stands in the shape, and where its values begin in the rest.
struct Place {
    shape: usize,
    rest: usize,
    code: u8,
}

/// Which column the member with this number has.
#[inline(always)]
fn place_of(object: &Object, number: usize) -> usize {
    match object.members[number].kind {
        Kind::Alias(of) => of,
        _ => number,
    }
}

/// Puts the string that `inside` is at `row`; gives whether it would be escaped the same way again.
#[cold]
fn push_escaped(texts: &mut TextColumn, row: usize, inside: &[u8]) -> bool {
    texts.push_with(row, |values| push_unescaped(values, inside));
    let mut comparison = Comparison::with(inside);
    comparison.put_escaped(texts.get(row).unwrap_or_default());
    comparison.is_same()
}
