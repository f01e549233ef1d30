//! One pass over JSON text: is it valid, where does each value end, what stands out?
//!
//! ```text
//!   string ─▶ 32 bytes at a time to the next quote, backslash or control character
//!   object ─▶ a mark (fingerprint, place) for each key, to notice the same key again
//! ```
//!
//! The grammar is RFC 8259 to the letter, and stricter in one point where the RFC warns: a lone
//! surrogate (`"\ud800"`) is refused, because no Unicode text can hold it.
//!
//! Two kinds of bad news. What breaks the grammar ends the scan (`Err`): nobody can say where the
//! value ends. What we merely do not take (too deep, the same key twice) is kept as the first
//! `refused` and the scan goes on, so that the next record of a batch is still found.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::redact::{is_hidden, is_secret_name, shows_private_key};
use crate::refusal::Refusal;
use crate::seen::Seen;
use crate::text::unescape;

/// `Err` means that the text is broken and the scan cannot go on. Boxed: it is rare, and the good
/// case should fit in registers.
pub(crate) type Scanned<T> = Result<T, Box<Refusal>>;

/// Recursion stops here whatever the caller's limit is.
pub(crate) const DEPTH_HARD_MAX: usize = 512;
/// Up to so many keys an object's marks are compared one by one, then a set takes over.
const MARKS_COMPARED_MAX: usize = 32;
/// Longest number, in characters. Numbers are kept as text, so only absurd ones are refused.
const NUMBER_CHARS_MAX: usize = 64;

/// Where in a record a value stands, as far as secrets are concerned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Keys mean nothing here.
    Off,
    /// Below requestParameters or responseElements: keys may name secrets.
    Keys,
    /// The value of a key that names a secret.
    Secret,
}

/// A scan over `text`, with room for the marks so that a batch allocates once.
pub(crate) struct Scan<'a> {
    text: &'a str,
    /// The input went on after `text`, but not as UTF-8.
    cut_by_invalid_utf8: bool,
    depth_max: usize,
    keys_max: usize,
    marks: Vec<KeyMark>,
    /// Values that keys below requestParameters and responseElements call secret are noted.
    pub looks_for_secrets: bool,
    /// A PEM private key may be among the values: look at each.
    pub look_for_pem: bool,
    /// The record has been checked before: keys are not compared again.
    pub checked_before: bool,
    /// Objects that come again need no second check. Not for those who look for secrets.
    pub seen: Option<Seen<'a>>,
    /// The first reason not to take this record although its grammar is fine.
    pub refused: Option<Refusal>,
    /// Where the insides of the string values lie that must not be stored.
    pub secrets: Vec<(usize, usize)>,
}

/// A key of an object that is still open.
struct KeyMark {
    fingerprint: u64,
    start: usize,
    end: usize,
}

impl<'a> Scan<'a> {
    pub fn new(text: &'a str, depth_max: usize, keys_max: usize) -> Self {
        Self {
            text,
            cut_by_invalid_utf8: false,
            depth_max,
            keys_max,
            marks: Vec::new(),
            looks_for_secrets: true,
            look_for_pem: false,
            checked_before: false,
            seen: None,
            refused: None,
            secrets: Vec::new(),
        }
    }

    /// Goes on with another text, keeping the room that was allocated.
    pub fn restart(&mut self, text: &'a str, cut_by_invalid_utf8: bool) {
        self.text = text;
        self.cut_by_invalid_utf8 = cut_by_invalid_utf8;
        self.forget_findings();
    }

    pub fn set_limits(&mut self, depth_max: usize, keys_max: usize) {
        if (self.depth_max, self.keys_max) != (depth_max, keys_max)
            && let Some(seen) = &mut self.seen
        {
            seen.forget();
        }
        self.depth_max = depth_max;
        self.keys_max = keys_max;
    }

    /// Forgets what the last record showed.
    pub fn forget_findings(&mut self) {
        self.marks.clear();
        self.refused = None;
        self.secrets.clear();
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    #[inline(always)]
    pub fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    #[inline(always)]
    pub fn skip_space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte(at) {
            at += 1;
        }
        at
    }

    /// The error for broken text at `offset`.
    #[cold]
    pub fn broken<T>(&self, offset: usize, what: &'static str) -> Scanned<T> {
        let refusal = match offset >= self.text.len() {
            true if self.cut_by_invalid_utf8 => Refusal::InvalidUtf8 { offset: self.text.len() },
            true => Refusal::NotJson { offset, what: "unexpected end" },
            false => Refusal::NotJson { offset, what },
        };
        Err(Box::new(refusal))
    }

    #[cold]
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refused.get_or_insert(refusal);
    }

    /// Walks over the value that starts at `at`; gives where it ends.
    #[inline(always)]
    pub fn value(&mut self, at: usize, depth: usize, watch: Watch) -> Scanned<usize> {
        match self.byte(at) {
            Some(b'"') => {
                let (end, _) = self.string(at + 1)?;
                self.look_at_string(at + 1, end, watch);
                Ok(end + 1)
            }
            Some(b'{') => self.object(at, depth, watch),
            Some(b'[') => self.array(at, depth, watch),
            Some(b't') => self.literal(at, "true"),
            Some(b'f') => self.literal(at, "false"),
            Some(b'n') => self.literal(at, "null"),
            Some(b'-' | b'0'..=b'9') => self.number(at),
            _ => self.broken(at, "a value is wanted"),
        }
    }

    /// Walks over a value where nobody watches for secrets, and which may have come before to the byte.
    pub fn part(&mut self, at: usize, depth: usize) -> Scanned<usize> {
        let text: &'a [u8] = self.text.as_bytes();
        let known = self.seen.as_ref().and_then(|seen| seen.find(&text[at..]));
        if let Some(bytes) = known {
            return Ok(at + bytes);
        }
        let end = self.value(at, depth, Watch::Off)?;
        if let Some(seen) = self.seen.as_mut().filter(|_| text[at] == b'{')
            && self.refused.is_none()
        {
            seen.remember(&text[at..end]);
        }
        Ok(end)
    }

    /// Walks over the string whose first character is at `at`; gives the place of the closing quote
    /// and whether there are escapes.
    #[inline(always)]
    pub fn string(&self, at: usize) -> Scanned<(usize, bool)> {
        let end = end_of_plain_run(self.text.as_bytes(), at);
        match self.byte(end) {
            Some(b'"') => Ok((end, false)),
            _ => self.string_with_escapes(end).map(|end| (end, true)),
        }
    }

    /// Goes on with a string where the first plain run has ended at `at`, not with a quote.
    #[inline(never)]
    fn string_with_escapes(&self, mut at: usize) -> Scanned<usize> {
        loop {
            match self.byte(at) {
                Some(b'"') => return Ok(at),
                Some(b'\\') => at = end_of_plain_run(self.text.as_bytes(), self.escape(at)?),
                _ => return self.broken(at, "a control character in a string"),
            }
        }
    }

    fn escape(&self, at: usize) -> Scanned<usize> {
        match self.byte(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.hex4(at + 2)? {
                0xD800..=0xDBFF => self.low_surrogate(at + 6),
                0xDC00..=0xDFFF => self.broken(at, "a lone surrogate in a string"),
                _ => Ok(at + 6),
            },
            _ => self.broken(at + 1, "an unknown escape in a string"),
        }
    }

    fn low_surrogate(&self, at: usize) -> Scanned<usize> {
        if self.byte(at) == Some(b'\\')
            && self.byte(at + 1) == Some(b'u')
            && matches!(self.hex4(at + 2)?, 0xDC00..=0xDFFF)
        {
            return Ok(at + 6);
        }
        self.broken(at, "a lone surrogate in a string")
    }

    fn hex4(&self, at: usize) -> Scanned<u32> {
        let mut value = 0;
        for place in at..at + 4 {
            let Some(digit) = self.byte(place).and_then(|byte| (byte as char).to_digit(16)) else {
                return self.broken(place, "an escape without four hex digits");
            };
            value = value * 16 + digit;
        }
        Ok(value)
    }

    fn literal(&self, at: usize, word: &'static str) -> Scanned<usize> {
        if self.text.as_bytes()[at..].starts_with(word.as_bytes()) {
            return Ok(at + word.len());
        }
        let matching =
            self.text.as_bytes()[at..].iter().zip(word.bytes()).take_while(|(a, b)| **a == *b);
        self.broken(at + matching.count(), "an unknown word")
    }

    fn number(&mut self, start: usize) -> Scanned<usize> {
        let mut at = start;
        if self.byte(at) == Some(b'-') {
            at += 1;
        }
        at = match self.byte(at) {
            Some(b'0') => at + 1,
            _ => self.digits(at)?,
        };
        if self.byte(at) == Some(b'.') {
            at = self.digits(at + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(at) {
            at += 1;
            if let Some(b'+' | b'-') = self.byte(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        if at - start > NUMBER_CHARS_MAX {
            self.refuse(Refusal::NumberTooLong { offset: start, max: NUMBER_CHARS_MAX });
        }
        Ok(at)
    }

    fn digits(&self, start: usize) -> Scanned<usize> {
        let mut at = start;
        while let Some(b'0'..=b'9') = self.byte(at) {
            at += 1;
        }
        if at == start { self.broken(at, "a digit is wanted") } else { Ok(at) }
    }

    /// Notices a container that is too deep; `Err` only where recursion itself must end.
    #[inline(always)]
    pub fn enter(&mut self, at: usize, depth: usize) -> Scanned<()> {
        if depth <= self.depth_max {
            return Ok(());
        }
        let refusal = Refusal::TooDeep { offset: at, max: self.depth_max };
        if depth > DEPTH_HARD_MAX {
            return Err(Box::new(refusal));
        }
        self.refuse(refusal);
        Ok(())
    }

    fn array(&mut self, at: usize, depth: usize, watch: Watch) -> Scanned<usize> {
        self.enter(at, depth)?;
        let mut at = self.skip_space(at + 1);
        if self.byte(at) == Some(b']') {
            return Ok(at + 1);
        }
        loop {
            at = self.value(at, depth + 1, watch)?;
            at = self.skip_space(at);
            match self.byte(at) {
                Some(b',') => at = self.skip_space(at + 1),
                Some(b']') => return Ok(at + 1),
                _ => return self.broken(at, "a comma or ] is wanted"),
            }
        }
    }

    fn object(&mut self, at: usize, depth: usize, watch: Watch) -> Scanned<usize> {
        self.enter(at, depth)?;
        let mut keys = self.open_keys();
        let mut at = self.skip_space(at + 1);
        if self.byte(at) == Some(b'}') {
            return Ok(at + 1);
        }
        loop {
            let (start, end, escaped) = self.key(at)?;
            if !self.checked_before {
                self.note_key(&mut keys, start, end, escaped);
            }
            at = self.colon(end + 1)?;
            let below = match watch {
                Watch::Off => Watch::Off,
                _ if names_secret(&self.text[start..end], escaped) => Watch::Secret,
                _ => Watch::Keys,
            };
            at = self.value(at, depth + 1, below)?;
            at = self.skip_space(at);
            match self.byte(at) {
                Some(b',') => at = self.skip_space(at + 1),
                Some(b'}') => {
                    self.close_keys(keys);
                    return Ok(at + 1);
                }
                _ => return self.broken(at, "a comma or } is wanted"),
            }
        }
    }

    /// Walks over the key at `at`; gives where its inside starts and ends, and if it has escapes.
    #[inline(always)]
    pub fn key(&self, at: usize) -> Scanned<(usize, usize, bool)> {
        if self.byte(at) != Some(b'"') {
            return self.broken(at, "a key in quotes is wanted");
        }
        let (end, escaped) = self.string(at + 1)?;
        Ok((at + 1, end, escaped))
    }

    /// Walks over the colon after a key; gives where the value starts.
    #[inline(always)]
    pub fn colon(&self, at: usize) -> Scanned<usize> {
        let at = self.skip_space(at);
        if self.byte(at) != Some(b':') {
            return self.broken(at, "a colon is wanted");
        }
        Ok(self.skip_space(at + 1))
    }

    #[inline(always)]
    pub fn open_keys(&self) -> OpenKeys<'a> {
        OpenKeys { base: self.marks.len(), count: 0, set: None }
    }

    #[inline(always)]
    pub fn close_keys(&mut self, keys: OpenKeys<'a>) {
        self.marks.truncate(keys.base);
    }

    /// Counts a key of the object whose keys are `keys`, and refuses the record when it was there
    /// before. Keys are equal when their unescaped text is; case counts.
    #[inline]
    pub fn note_key(&mut self, keys: &mut OpenKeys<'a>, start: usize, end: usize, escaped: bool) {
        self.count_key(keys, start);
        if escaped || keys.count > MARKS_COMPARED_MAX || keys.set.is_some() {
            return self.note_key_in_set(keys, start, end);
        }
        let fingerprint = fingerprint(&self.text.as_bytes()[start..end]);
        let seen = self.marks[keys.base..].iter().any(|mark| {
            mark.fingerprint == fingerprint
                && self.text[mark.start..mark.end] == self.text[start..end]
        });
        if seen {
            return self.refuse_duplicate(start, end);
        }
        self.marks.push(KeyMark { fingerprint, start, end });
    }

    #[inline(always)]
    pub fn count_key(&mut self, keys: &mut OpenKeys<'a>, start: usize) {
        keys.count += 1;
        if keys.count > self.keys_max {
            self.refuse(Refusal::TooManyKeys { offset: start, max: self.keys_max });
        }
    }

    /// The slow way for objects with many keys or with escapes in them: a set of unescaped keys,
    /// hashed so that nobody can choose colliding ones.
    #[cold]
    fn note_key_in_set(&mut self, keys: &mut OpenKeys<'a>, start: usize, end: usize) {
        let text = self.text;
        let marks = &self.marks[keys.base..];
        let set = keys.set.get_or_insert_with(|| {
            marks.iter().map(|mark| Cow::Borrowed(&text[mark.start..mark.end])).collect()
        });
        let key = &text[start..end];
        let key = if key.contains('\\') { Cow::Owned(unescape(key)) } else { Cow::Borrowed(key) };
        // Past the limit the record is refused anyway: stop remembering.
        if keys.count <= self.keys_max && !set.insert(key) {
            self.refuse_duplicate(start, end);
        }
    }

    #[cold]
    pub fn refuse_duplicate(&mut self, start: usize, end: usize) {
        let key = Refusal::echo(&unescape(&self.text[start..end]));
        self.refuse(Refusal::DuplicateKey { key, offset: start });
    }

    /// Notices a string value that must not be stored.
    #[inline(always)]
    pub fn look_at_string(&mut self, start: usize, end: usize, watch: Watch) {
        if watch == Watch::Secret || self.look_for_pem {
            self.note_secret(start, end, watch);
        }
    }

    #[cold]
    fn note_secret(&mut self, start: usize, end: usize, watch: Watch) {
        let value = &self.text[start..end];
        let named = watch == Watch::Secret && !value.is_empty() && !is_hidden(value);
        if named || (self.look_for_pem && shows_private_key(value)) {
            self.secrets.push((start, end));
        }
    }
}

/// The keys of one object while it is being walked: its marks start at `base`.
pub(crate) struct OpenKeys<'a> {
    base: usize,
    count: usize,
    set: Option<HashSet<Cow<'a, str>>>,
}

#[inline(always)]
fn names_secret(key: &str, escaped: bool) -> bool {
    match escaped {
        false => is_secret_name(key.as_bytes()),
        true => is_secret_name(unescape(key).as_bytes()),
    }
}

/// Nearly all strings are shorter, so that the one branch for each is taken the same way each time.
const BLOCK_BYTES: usize = 32;

/// The next place from `at` on where a quote, a backslash or a control character stands, or the end.
#[inline(always)]
fn end_of_plain_run(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let stop = first_stop(block);
        at += stop;
        if stop < BLOCK_BYTES {
            return at;
        }
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Where in the block the run ends; its length when nowhere.
#[inline(always)]
fn first_stop(block: &[u8; BLOCK_BYTES]) -> usize {
    // A loop of this form becomes a few vector instructions; one over `zip` a call beside them.
    let mut stops = [0; BLOCK_BYTES];
    let mut at = 0;
    while at < BLOCK_BYTES {
        let byte = block[at];
        stops[at] = u8::from((byte == b'"') | (byte == b'\\') | (byte < 0x20));
        at += 1;
    }
    let [low, high] = *stops.as_chunks().0 else { unreachable!("a block has two halves") };
    let (half, start) = match u128::from_le_bytes(low) {
        0 => (u128::from_le_bytes(high), 16),
        low => (low, 0),
    };
    start + half.trailing_zeros() as usize / 8
}

/// Tells short keys apart in one multiplication. Equal fingerprints are compared letter by letter.
#[inline(always)]
pub fn fingerprint(key: &[u8]) -> u64 {
    let (first, last) = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => (key.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0),
        },
    };
    (first ^ last.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ key.len() as u64
}
