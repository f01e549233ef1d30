//! The records of an intake body, found and checked in one scan.
//!
//! ```text
//!   {"eventVersion":…}⏎{"eventVersion":…}⏎      lines: NDJSON; a bad line costs only itself
//!   [{…},{…}]   {"Records":[{…},{…}]}   {…}      a document: what is broken ends it, because nobody
//!                                               can say where the next record starts
//! ```
//!
//! A document may be followed by another one. A body is taken as a document when it starts with
//! `[`, with `{"Records":[`, or with a line that a pretty-printer would break (`{`, `…,`).

use std::fmt;

use crate::check::{Limits, check_at, check_whole, refuse_size, utf8};
use crate::header::Header;
use crate::redact::may_show_private_key;
use crate::refusal::Refusal;
use crate::scan::{Scan, Scanned, Watch};
use crate::seen::Seen;

/// Where in its body a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Line number in NDJSON, the first is 1, blank lines count.
    Line(u64),
    /// Number of the record in a JSON document, the first is 0.
    Index(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(line) => write!(f, "line {line}"),
            Place::Index(index) => write!(f, "record {index}"),
        }
    }
}

/// One record of a body: its exact bytes without space around them and its header, or why not.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    pub place: Place,
    pub result: Checked<'a>,
}

/// A record that nobody has looked at, offered to somebody who reads and checks at once.
#[derive(Debug, Clone, Copy)]
pub struct Unread<'a> {
    /// Begins with the record.
    pub text: &'a str,
    /// Nothing may follow the record.
    pub is_whole: bool,
}

/// A record and its header, or why it is not taken.
type Checked<'a> = Result<(&'a [u8], Header<'a>), Refusal>;

/// The records of `body`, each checked, in order. See [`Records`].
pub fn split<'a, 'l>(body: &'a [u8], limits: &'l Limits) -> Split<'a, 'l> {
    Split { records: Records::new(body), limits }
}

/// See [`split`].
pub struct Split<'a, 'l> {
    records: Records<'a>,
    limits: &'l Limits,
}

impl<'a> Iterator for Split<'a, '_> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        self.records.next_checked(self.limits)
    }
}

/// A walk over the records of a body.
pub struct Records<'a> {
    body: &'a [u8],
    scan: Scan<'a>,
    at: usize,
    /// Records (or lines) seen so far.
    count: u64,
    state: State,
}

enum State {
    Lines,
    /// Before a document, or after one.
    Between,
    /// Inside the array of a document; `in_object` when it is the value of `Records`.
    InArray {
        in_object: bool,
        before_first: bool,
    },
    Done,
}

impl<'a> Records<'a> {
    /// A body is NDJSON, a JSON array, `{"Records":[…]}` or a single object. A byte order mark at
    /// its start is skipped.
    pub fn new(body: &'a [u8]) -> Self {
        let mut records = Self::of_log_file(body);
        records.scan.looks_for_secrets = true;
        records.scan.seen = None;
        records.scan.look_for_pem = may_show_private_key(body);
        records
    }

    /// The same for a log file, whose secrets were hidden when it was written: nobody looks for any,
    /// and `may_hold_secrets` is false.
    pub fn of_log_file(body: &'a [u8]) -> Self {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        let mut scan = Scan::new("", 0, 0);
        scan.looks_for_secrets = false;
        scan.seen = Some(Seen::default());
        let state = if is_lines(body) {
            State::Lines
        } else {
            // Records before the first invalid byte are still good ones.
            let valid = match std::str::from_utf8(body) {
                Ok(text) => text,
                Err(e) => std::str::from_utf8(&body[..e.valid_up_to()])
                    .expect("from_utf8 has just found this part valid"),
            };
            scan.restart(valid, valid.len() < body.len());
            State::Between
        };
        Self { body, scan, at: 0, count: 0, state }
    }

    /// The next record. `None` at the end of the body, and after the refusal of a broken document.
    pub fn next_checked(&mut self, limits: &Limits) -> Option<Item<'a>> {
        self.next_untaken(limits, |_| None)
    }

    /// The next record that `take` leaves. It is offered each one first; where it takes one it says how
    /// many bytes the record has, and answers for it that [`crate::check`] would have taken it.
    pub fn next_untaken(
        &mut self,
        limits: &Limits,
        mut take: impl FnMut(Unread<'a>) -> Option<usize>,
    ) -> Option<Item<'a>> {
        self.scan.set_limits(limits.depth_max, limits.keys_per_object_max);
        match self.state {
            State::Lines => self.next_line(limits, &mut take),
            State::Done => None,
            State::Between | State::InArray { .. } => match self.next_in_document(limits, take) {
                Ok(None) => {
                    self.state = State::Done;
                    None
                }
                Ok(Some(result)) => Some(self.item(result)),
                Err(refusal) => {
                    self.state = State::Done;
                    Some(self.item(Err(*refusal)))
                }
            },
        }
    }

    fn item(&mut self, result: Checked<'a>) -> Item<'a> {
        let place = Place::Index(self.count);
        self.count += 1;
        Item { place, result }
    }

    fn next_line(
        &mut self,
        limits: &Limits,
        take: &mut impl FnMut(Unread<'a>) -> Option<usize>,
    ) -> Option<Item<'a>> {
        loop {
            let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
            let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
            self.at += line.len() + 1;
            self.count += 1;
            let line = trim(line);
            if line.is_empty() {
                continue;
            }
            let text = refuse_size(line.len(), limits).and_then(|()| utf8(line));
            if let Ok(text) = &text
                && take(Unread { text, is_whole: true }).is_some()
            {
                continue;
            }
            let result = text.and_then(|text| self.check_line(text, limits));
            let result = result.map(|header| (line, header));
            return Some(Item { place: Place::Line(self.count), result });
        }
    }

    fn check_line(&mut self, line: &'a str, limits: &Limits) -> Result<Header<'a>, Refusal> {
        self.scan.restart(line, false);
        check_whole(&mut self.scan, limits)
    }

    fn next_in_document(
        &mut self,
        limits: &Limits,
        mut take: impl FnMut(Unread<'a>) -> Option<usize>,
    ) -> Scanned<Option<Checked<'a>>> {
        while self.find_in_document()? {
            let text = &self.scan.text()[self.at..];
            let Some(bytes) = take(Unread { text, is_whole: false }) else {
                return self.record(limits).map(Some);
            };
            self.at += bytes;
            self.count += 1;
        }
        Ok(None)
    }

    /// Goes to where the next record begins, or something that should be one; `false` at the end.
    fn find_in_document(&mut self) -> Scanned<bool> {
        loop {
            self.at = self.scan.skip_space(self.at);
            match self.state {
                State::Between => match self.scan.byte(self.at) {
                    None if self.at < self.body.len() => return self.scan.broken(self.at, ""),
                    None => return Ok(false),
                    Some(b'[') => self.open_array(self.at + 1, false),
                    Some(b'{') => match start_of_records(&self.body[self.at..]) {
                        Some(inside) => self.open_array(self.at + inside, true),
                        None => return Ok(true),
                    },
                    Some(_) => {
                        return self.scan.broken(self.at, "an object or an array is wanted");
                    }
                },
                State::InArray { in_object, before_first } => match self.scan.byte(self.at) {
                    Some(b']') => self.close_array(in_object)?,
                    _ if before_first => {
                        self.state = State::InArray { in_object, before_first: false };
                        return Ok(true);
                    }
                    Some(b',') => {
                        self.at = self.scan.skip_space(self.at + 1);
                        return Ok(true);
                    }
                    _ => return self.scan.broken(self.at, "a comma or ] is wanted"),
                },
                State::Lines | State::Done => unreachable!("only documents get here"),
            }
        }
    }

    fn record(&mut self, limits: &Limits) -> Scanned<Checked<'a>> {
        let start = self.at;
        let (end, checked) = check_at(&mut self.scan, start, limits)?;
        self.at = end;
        Ok(checked.map(|header| (&self.body[start..end], header)))
    }

    fn open_array(&mut self, inside: usize, in_object: bool) {
        self.at = inside;
        self.state = State::InArray { in_object, before_first: true };
    }

    /// Goes past the `]`, and in an object past its other members and its `}`.
    fn close_array(&mut self, in_object: bool) -> Scanned<()> {
        self.at += 1;
        if in_object {
            self.close_object()?;
        }
        self.state = State::Between;
        Ok(())
    }

    fn close_object(&mut self) -> Scanned<()> {
        loop {
            self.at = self.scan.skip_space(self.at);
            match self.scan.byte(self.at) {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b',') => self.at = self.skip_member(self.scan.skip_space(self.at + 1))?,
                _ => return self.scan.broken(self.at, "a comma or } is wanted"),
            }
        }
    }

    fn skip_member(&mut self, at: usize) -> Scanned<usize> {
        let (start, end, escaped) = self.scan.key(at)?;
        let key = crate::text::Text::new(&self.scan.text()[start..end], escaped);
        if key == "Records" {
            // A second array of records would otherwise be dropped silently.
            let key = "Records".to_owned();
            return Err(Box::new(Refusal::DuplicateKey { key, offset: start }));
        }
        let value = self.scan.colon(end + 1)?;
        self.scan.value(value, 2, Watch::Off)
    }
}

/// Where the inside of the array starts when `text` begins with `{"Records":[`, spaces allowed.
fn start_of_records(text: &[u8]) -> Option<usize> {
    let rest = trim_start(text).strip_prefix(b"{")?;
    let rest = trim_start(rest).strip_prefix(b"\"Records\"")?;
    let rest = trim_start(rest).strip_prefix(b":")?;
    let rest = trim_start(rest).strip_prefix(b"[")?;
    Some(text.len() - rest.len())
}

/// Whether each line of the body is a record of its own.
fn is_lines(body: &[u8]) -> bool {
    let body = trim_start(body);
    if body.starts_with(b"[") || start_of_records(body).is_some() {
        return false;
    }
    let Some(first_end) = memchr::memchr(b'\n', body) else { return true };
    let next = trim_start(&body[first_end..]);
    match trim(&body[..first_end]).last() {
        // A pretty-printer goes on with a key here. Another object means that the line was cut off.
        Some(b'{' | b',') if body.starts_with(b"{") => next.starts_with(b"{"),
        Some(b'[' | b':') if body.starts_with(b"{") => false,
        _ => true,
    }
}

/// Without the space that JSON allows around values.
fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., b' ' | b'\n' | b'\r' | b'\t'] = text {
        text = rest;
    }
    text
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
