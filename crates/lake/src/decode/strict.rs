//! Values of text that nobody has checked: where they end, when they are certainly good ones.
//!
//! Good is what [`event::check`] takes: JSON by RFC 8259, no lone surrogates, no key twice, within the
//! limits. `None` means that somebody else must look, not that the value is a bad one: keys with escapes
//! and absurd sizes are left to the check.

use event::fingerprint;

use crate::record::end_of_plain_run;

/// Objects with more keys are left to the check.
pub(super) const KEYS_MAX: usize = 64;
/// So deep may a value be in itself. What the walk knows by name is less than eight deep.
const DEPTH_MAX: usize = 24;
/// So deep can a record be of which the walk is sure.
pub(super) const RECORD_DEPTH_MAX: usize = DEPTH_MAX + 8;
/// [`event::check`] refuses numbers that are longer than 64.
const NUMBER_BYTES_MAX: usize = 64;

/// The keys of the objects that are open, those of the innermost last.
#[derive(Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone, Copy)]
struct Key {
    mark: u64,
    start: usize,
    end: usize,
}

impl Keys {
    /// Where the keys of an object begin that is opened now.
    #[inline(always)]
    pub fn open(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub fn close(&mut self, opened: usize) {
        self.0.truncate(opened);
    }

    /// Notes a key without escapes of the object that was opened at `opened`; gives whether it is
    /// certainly the first of its name there.
    #[inline]
    pub fn is_new(&mut self, text: &[u8], opened: usize, start: usize, end: usize) -> bool {
        let inside = text.get(start..end).unwrap_or_default();
        let key = Key { mark: fingerprint(inside), start, end };
        let others = &self.0[opened..];
        let is_same = |other: &Key| {
            other.mark == key.mark && text.get(other.start..other.end) == Some(inside)
        };
        if others.len() >= KEYS_MAX || others.iter().any(is_same) {
            return false;
        }
        self.0.push(key);
        true
    }

    /// The end of the value at `at`.
    pub fn value_end(&mut self, text: &[u8], at: usize) -> Option<usize> {
        self.value(text, at, DEPTH_MAX)
    }

    fn value(&mut self, text: &[u8], at: usize, depth: usize) -> Option<usize> {
        match text.get(at)? {
            b'"' => string(text, at),
            b'{' => self.object(text, at, depth.checked_sub(1)?),
            b'[' => self.array(text, at, depth.checked_sub(1)?),
            b't' => word(text, at, b"true"),
            b'f' => word(text, at, b"false"),
            b'n' => word(text, at, b"null"),
            _ => number(text, at),
        }
    }

    fn array(&mut self, text: &[u8], at: usize, depth: usize) -> Option<usize> {
        let mut at = space(text, at + 1);
        if text.get(at) == Some(&b']') {
            return Some(at + 1);
        }
        loop {
            let end = self.value(text, at, depth)?;
            at = space(text, end);
            match text.get(at)? {
                b',' => at = space(text, at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn object(&mut self, text: &[u8], at: usize, depth: usize) -> Option<usize> {
        let mut at = space(text, at + 1);
        if text.get(at) == Some(&b'}') {
            return Some(at + 1);
        }
        let opened = self.open();
        loop {
            if text.get(at) != Some(&b'"') {
                return None;
            }
            let end = end_of_plain_run(text, at + 1);
            if text.get(end) != Some(&b'"') || !self.is_new(text, opened, at + 1, end) {
                return None;
            }
            at = space(text, end + 1);
            if text.get(at) != Some(&b':') {
                return None;
            }
            let end = self.value(text, space(text, at + 1), depth)?;
            at = space(text, end);
            match text.get(at)? {
                b',' => at = space(text, at + 1),
                b'}' => {
                    self.close(opened);
                    return Some(at + 1);
                }
                _ => return None,
            }
        }
    }
}

#[inline(always)]
fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

#[inline(always)]
fn string(text: &[u8], at: usize) -> Option<usize> {
    let end = end_of_plain_run(text, at + 1);
    match text.get(end)? {
        b'"' => Some(end + 1),
        b'\\' => string_with_escapes(text, end),
        _ => None,
    }
}

/// Goes on with a string from its first escape on.
fn string_with_escapes(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = end_of_plain_run(text, escape(text, at)?),
            _ => return None,
        }
    }
}

/// The end of the escape at `at`. Halves of surrogate pairs are left to the check.
fn escape(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => {
            let digits = text.get(at + 2..at + 6)?;
            let is_half = digits[0].eq_ignore_ascii_case(&b'd') && digits[1] > b'7';
            (digits.iter().all(u8::is_ascii_hexdigit) && !is_half).then_some(at + 6)
        }
        _ => None,
    }
}

fn word(text: &[u8], at: usize, word: &[u8]) -> Option<usize> {
    text[at..].starts_with(word).then_some(at + word.len())
}

fn number(text: &[u8], start: usize) -> Option<usize> {
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    let digits = |start: usize| {
        let mut at = start;
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        (at > start).then_some(at)
    };
    let mut at = start + usize::from(is(start, b"-"));
    at = if is(at, b"0") { at + 1 } else { digits(at)? };
    if is(at, b".") {
        at = digits(at + 1)?;
    }
    if is(at, b"eE") {
        at += 1;
        at = digits(at + usize::from(is(at, b"+-")))?;
    }
    (at - start <= NUMBER_BYTES_MAX).then_some(at)
}
