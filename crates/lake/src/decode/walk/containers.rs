//! Maps and lists.

use super::{Walk, push_escaped};
use crate::decode::columns::{Entry, ListColumn, MapColumn};
use crate::decode::ends::value_end;
use crate::record::shape::{
    LIST_END, LONE_TEXT, LONE_VALUE, MARKED, MARKS_MAX, OTHERWISE, looks_like_a_value, push_number,
};

impl Walk<'_> {
    /// Walks over an object that becomes a map; gives where it ends and whether the map says it all.
    pub(super) fn map(
        &mut self,
        map: &mut MapColumn,
        row: usize,
        at: usize,
        code_at: usize,
    ) -> (usize, bool) {
        let mut exact = true;
        let mut marks = 0_u64;
        let mut nth = 0;
        map.begin(row);
        let mut at = self.space(at + 1);
        if self.byte(at) != Some(b'"') {
            map.end();
            return (self.close(at, b'}'), true);
        }
        let opened = self.notes.keys.open();
        let end = loop {
            let (key_end, escaped, value) = self.key(at);
            self.note_key(opened, at + 1, key_end);
            let entry = map.next();
            match escaped {
                false => map.keys().push_part(entry, self.text, at + 1, key_end),
                true => {
                    exact &= push_escaped(map.keys(), entry, self.slice(at + 1, key_end));
                }
            }
            let value_end = match self.byte(value) {
                Some(b'"') => {
                    let (value_end, escaped) = self.string(value + 1);
                    match escaped {
                        false => map.values().push_part(entry, self.text, value + 1, value_end),
                        true => {
                            let inside = self.slice(value + 1, value_end);
                            exact &= push_escaped(map.values(), entry, inside);
                        }
                    }
                    if looks_like_a_value(map.values().get(entry).unwrap_or_default()) {
                        exact &= nth < MARKS_MAX;
                        marks |= 1_u64.checked_shl(nth as u32).unwrap_or(0);
                    }
                    value_end + 1
                }
                Some(b'n') => self.null(value),
                _ => {
                    let value_end = self.value_end(value);
                    let text = self.slice(value, value_end);
                    map.values().push(entry, text);
                    if !looks_like_a_value(text) {
                        self.unsure();
                    }
                    value_end
                }
            };
            map.last.push(Entry { key: at + 1..key_end, value: value..value_end });
            nth += 1;
            let (next, end) = self.member_comma(value_end);
            let Some(next) = next else { break end };
            at = next;
        };
        self.notes.keys.close(opened);
        map.end();
        if marks != 0 {
            self.notes.shape[code_at] += OTHERWISE;
            self.notes.shape.push(MARKED);
            push_number(&mut self.notes.shape, marks);
        }
        (end, exact)
    }

    /// Something else than an object where an object becomes a map.
    #[cold]
    pub(super) fn lone(
        &mut self,
        map: &mut MapColumn,
        row: usize,
        at: usize,
        code_at: usize,
    ) -> (usize, bool) {
        self.unsure();
        let end = value_end(self.text, at);
        let entry = map.next();
        let mut exact = true;
        map.begin(row);
        map.keys().push(entry, b"");
        self.notes.shape[code_at] += OTHERWISE;
        if self.byte(at) == Some(b'"') {
            exact = push_escaped(map.values(), entry, self.slice(at + 1, end - 1));
            self.notes.shape.push(LONE_TEXT);
        } else {
            map.values().push(entry, self.slice(at, end));
            self.notes.shape.push(LONE_VALUE);
        }
        map.end();
        (end, exact)
    }

    /// Walks over a list of objects; gives where it ends and whether the list says it all.
    pub(super) fn list(&mut self, list: &mut ListColumn, row: usize, at: usize) -> (usize, bool) {
        let mut exact = true;
        list.begin(row);
        let mut at = self.space(at + 1);
        if self.byte(at) == Some(b']') {
            list.end();
            self.notes.shape.push(LIST_END);
            return (at + 1, true);
        }
        // The shape of the last element, and where the first of the elements like it has ended.
        let mut last = 0..0;
        let mut different_end = self.notes.shape.len();
        let end = loop {
            let start = self.notes.shape.len();
            let element_end = match self.byte(at) {
                Some(b'{') => {
                    let element = list.count;
                    list.count += 1;
                    self.object(&mut list.element, element, at)
                }
                _ => {
                    exact = false;
                    value_end(self.text, at)
                }
            };
            let shape = &self.notes.shape;
            if shape[start..] != shape[last.clone()] {
                different_end = shape.len();
            }
            last = start..shape.len();
            let (next, end) = self.comma(element_end, b']');
            let Some(next) = next else { break end };
            at = next;
        };
        list.end();
        self.notes.shape.truncate(different_end);
        self.notes.shape.push(LIST_END);
        (end, exact)
    }
}
