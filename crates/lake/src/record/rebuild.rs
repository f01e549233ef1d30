//! From a row's columns, shape and rest to the bytes of its record.

use std::ops::Range;

use super::members::{Kind, Object};
use super::shape::{
    COLUMN, COMPACT, Cursor, END, LIST_END, LONE_TEXT, LONE_VALUE, MARKED, MARKS_MAX, NULL, OTHER,
    OTHERWISE, REST, SAME, SPACED, WHOLE, looks_like_a_value,
};
use super::text::Out;
use super::time;

/// A column as rebuilding sees it. Each method is asked only of columns of that kind; `None` stands
/// for null.
pub(crate) trait Column: Sized {
    /// The columns of an object's members, or of those of a list's elements.
    fn children(&self) -> &[Self];
    fn text(&self, row: usize) -> Option<&[u8]>;
    fn truth(&self, row: usize) -> Option<bool>;
    /// Microseconds.
    fn time(&self, row: usize) -> Option<i64>;
    /// Where the entries of a map or the elements of a list lie.
    fn span(&self, row: usize) -> Option<Range<usize>>;
    /// The key of a map's entry, and its value.
    fn entry(&self, place: usize) -> (&[u8], Option<&[u8]>);
}

type Rebuilt = Result<(), &'static str>;

/// Writes the record of a `row`, which is such an `object`; `columns` are those of its members. Errors say what is damaged.
pub(crate) fn rebuild<C: Column, O: Out>(
    object: &Object,
    columns: &[C],
    row: usize,
    shape: &[u8],
    rest: &[u8],
    out: &mut O,
) -> Rebuilt {
    let mut shape = Cursor::new(shape);
    let spaced = match shape.byte()? {
        COMPACT => false,
        SPACED => true,
        WHOLE => {
            out.put(rest);
            return Ok(());
        }
        _ => return Err("the style of its shape is unknown"),
    };
    let mut writer = Writer { shape, rest: Cursor::new(rest), spaced, out };
    writer.object(object, columns, row)?;
    match writer.shape.is_at_end() && writer.rest.is_at_end() {
        true => Ok(()),
        false => Err("its shape or its rest goes on after the record"),
    }
}

struct Writer<'a, O> {
    shape: Cursor<'a>,
    rest: Cursor<'a>,
    spaced: bool,
    out: &'a mut O,
}

impl<O: Out> Writer<'_, O> {
    fn object<C: Column>(&mut self, object: &Object, columns: &[C], row: usize) -> Rebuilt {
        self.out.put_byte(b'{');
        let mut first = true;
        loop {
            let code = self.shape.byte()?;
            if code == END {
                break;
            }
            if !std::mem::take(&mut first) {
                self.comma();
            }
            match code {
                SAME => self.out.put(self.shape.text()?),
                OTHER => {
                    let key = self.shape.text()?;
                    self.out.put_byte(b'"');
                    self.out.put(key);
                    self.colon();
                    self.out.put(self.rest.text()?);
                }
                _ => {
                    let (number, how) = (usize::from((code - 1) / 4), (code - 1) % 4);
                    let member = object.members.get(number);
                    let member = member.ok_or("its shape names an unknown member")?;
                    self.out.put_lead(member);
                    if self.spaced {
                        self.out.put_byte(b' ');
                    }
                    let (number, kind) = match member.kind {
                        Kind::Alias(of) => (of, object.members[of].kind),
                        kind => (number, kind),
                    };
                    self.value(kind, how, &columns[number], row)?;
                }
            }
        }
        self.out.put_byte(b'}');
        Ok(())
    }

    #[inline]
    fn comma(&mut self) {
        self.out.put_byte(b',');
        if self.spaced {
            self.out.put_byte(b' ');
        }
    }

    /// The end of a key and the colon.
    #[inline]
    fn colon(&mut self) {
        self.out.put_byte(b'"');
        self.out.put_byte(b':');
        if self.spaced {
            self.out.put_byte(b' ');
        }
    }

    #[inline]
    fn string(&mut self, text: &[u8]) {
        self.out.put_byte(b'"');
        self.out.put_escaped(text);
        self.out.put_byte(b'"');
    }

    fn value<C: Column>(&mut self, kind: Kind, how: u8, column: &C, row: usize) -> Rebuilt {
        const IS_NULL: &str = "a column is null where its shape wants a value";
        match (kind, how) {
            (_, NULL) => self.out.put(b"null"),
            (_, REST) => self.out.put(self.rest.text()?),
            (Kind::Text, COLUMN) => self.string(column.text(row).ok_or(IS_NULL)?),
            (Kind::Text, OTHERWISE) => self.out.put(column.text(row).ok_or(IS_NULL)?),
            (Kind::Bool, COLUMN) => match column.truth(row).ok_or(IS_NULL)? {
                true => self.out.put(b"true"),
                false => self.out.put(b"false"),
            },
            (Kind::Time, COLUMN) => {
                let text = time::text(column.time(row).ok_or(IS_NULL)?);
                self.string(&text.ok_or("a time is out of range")?);
            }
            (Kind::Map, COLUMN) => self.map(column, column.span(row).ok_or(IS_NULL)?, 0),
            (Kind::Map, OTHERWISE) => self.odd_map(column, column.span(row).ok_or(IS_NULL)?)?,
            (Kind::Object(object), COLUMN) => self.object(object, column.children(), row)?,
            (Kind::List(object), COLUMN) => {
                self.list(object, column, column.span(row).ok_or(IS_NULL)?)?;
            }
            _ => return Err("its shape asks for what there is not"),
        }
        Ok(())
    }

    fn map<C: Column>(&mut self, column: &C, span: Range<usize>, marks: u64) {
        self.out.put_byte(b'{');
        for (nth, place) in span.enumerate() {
            if nth > 0 {
                self.comma();
            }
            let (key, value) = column.entry(place);
            self.out.put_byte(b'"');
            self.out.put_escaped(key);
            self.colon();
            let is_marked = nth < MARKS_MAX && marks >> nth & 1 == 1;
            match value {
                None => self.out.put(b"null"),
                Some(text) if !is_marked && looks_like_a_value(text) => self.out.put(text),
                Some(text) => self.string(text),
            }
        }
        self.out.put_byte(b'}');
    }

    fn odd_map<C: Column>(&mut self, column: &C, span: Range<usize>) -> Rebuilt {
        let how = self.shape.byte()?;
        if how == MARKED {
            let marks = self.shape.number()?;
            self.map(column, span, marks);
            return Ok(());
        }
        let value = (span.len() == 1).then(|| column.entry(span.start).1).flatten();
        let value = value.ok_or("a map has not the one value that its shape wants")?;
        match how {
            LONE_TEXT => self.string(value),
            LONE_VALUE => self.out.put(value),
            _ => return Err("its shape has an unknown kind of map"),
        }
        Ok(())
    }

    fn list<C: Column>(&mut self, object: &Object, column: &C, span: Range<usize>) -> Rebuilt {
        self.out.put_byte(b'[');
        let mut last = None;
        for (nth, place) in span.enumerate() {
            if nth > 0 {
                self.comma();
            }
            let next = self.shape.at;
            if self.shape.peek() != Some(LIST_END) {
                last = Some(next);
                self.object(object, column.children(), place)?;
                continue;
            }
            self.shape.at = last.ok_or("a list has elements but no shape of them")?;
            self.object(object, column.children(), place)?;
            self.shape.at = next;
        }
        self.out.put_byte(b']');
        match self.shape.byte()? {
            LIST_END => Ok(()),
            _ => Err("a list has fewer elements than its shape"),
        }
    }
}
