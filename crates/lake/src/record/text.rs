//! Strings of JSON: from their characters to their escapes and back.

use super::block;
use super::members::Member;

/// Where a record is written to.
pub(crate) trait Out {
    fn put(&mut self, bytes: &[u8]);
    fn put_byte(&mut self, byte: u8);
    /// The key of a member and its colon.
    fn put_lead(&mut self, member: &Member);
    /// The inside of the string that holds `text`, with no more escapes than RFC 8259 demands.
    fn put_escaped(&mut self, text: &[u8]);
}

impl Out for Vec<u8> {
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.push(byte);
    }

    #[inline]
    fn put_lead(&mut self, member: &Member) {
        self.put(member.lead.as_bytes());
    }

    #[inline]
    fn put_escaped(&mut self, text: &[u8]) {
        put_escapes(self, text);
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Compares what is written with what was expected, without keeping it.
pub(crate) struct Comparison<'a> {
    left: &'a [u8],
    same: bool,
}

impl<'a> Comparison<'a> {
    pub fn with(expected: &'a [u8]) -> Self {
        Self { left: expected, same: true }
    }

    /// Whether exactly what was expected has been written.
    pub fn is_same(&self) -> bool {
        self.same && self.left.is_empty()
    }
}

impl Out for Comparison<'_> {
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        match self.left.split_first() {
            Some((first, left)) if *first == byte => self.left = left,
            _ => self.same = false,
        }
    }

    #[inline(always)]
    fn put_lead(&mut self, member: &Member) {
        match member.leads(self.left) {
            true => self.left = &self.left[member.lead.len()..],
            false => self.same = false,
        }
    }

    /// What is expected is read instead of `text`: where they are the same up to a quote that ends
    /// them both, there is nothing to escape in either.
    #[inline(always)]
    fn put_escaped(&mut self, text: &[u8]) {
        let end = end_of_plain_run(self.left, 0);
        match self.left.split_at_checked(text.len()) {
            Some((start, left)) if end == text.len() && start == text => self.left = left,
            _ => put_escapes(self, text),
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self.left.split_at_checked(bytes.len()) {
            Some((start, left)) if start == bytes => self.left = left,
            _ => self.same = false,
        }
    }
}

fn put_escapes(out: &mut impl Out, mut text: &[u8]) {
    let plain = end_of_plain_run(text, 0);
    out.put(&text[..plain]);
    text = &text[plain..];
    while let Some((byte, _)) = text.split_first() {
        match byte {
            b'"' => out.put(b"\\\""),
            b'\\' => out.put(b"\\\\"),
            b'\n' => out.put(b"\\n"),
            b'\r' => out.put(b"\\r"),
            b'\t' => out.put(b"\\t"),
            0x08 => out.put(b"\\b"),
            0x0C => out.put(b"\\f"),
            _ => {
                let hex = |digit: u8| b"0123456789abcdef"[usize::from(digit)];
                out.put(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        text = &text[1..];
        let plain = end_of_plain_run(text, 0);
        out.put(&text[..plain]);
        text = &text[plain..];
    }
}

/// Appends what the inside of a JSON string means. A broken escape stays as it is.
#[cold]
pub(crate) fn push_unescaped(out: &mut Vec<u8>, mut raw: &[u8]) {
    while let Some(at) = raw.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&raw[..at]);
        let (resolved, bytes) = escape(&raw[at..]).unwrap_or(('\\', 1));
        out.extend_from_slice(resolved.encode_utf8(&mut [0; 4]).as_bytes());
        raw = &raw[at + bytes..];
    }
    out.extend_from_slice(raw);
}

/// The character that the escape at the start of `text` stands for, and how many bytes it takes.
fn escape(text: &[u8]) -> Option<(char, usize)> {
    let resolved = match text.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex4(text.get(2..6)?)?;
            if let Some(one) = char::from_u32(first.into()) {
                return Some((one, 6));
            }
            let second = text.get(6..12).filter(|text| text.starts_with(b"\\u"))?;
            let pair = [first, hex4(&second[2..])?];
            return char::decode_utf16(pair).next()?.ok().map(|pair| (pair, 12));
        }
        _ => return None,
    };
    Some((resolved, 2))
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(sum << 4 | digit as u16)
    })
}

/// The next place from `at` on where a quote, a backslash or a control character stands, or the end.
#[inline(always)]
pub(crate) fn end_of_plain_run(bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let stop = block::first_stop(block);
        at += stop;
        if stop < block::BYTES {
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

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn serde_json_escapes_as_we_do(text in "(?s).{0,20}|[\"\\\\\u{0}-\u{1f}\u{7f}é]{0,20}") {
            let mut ours = Vec::new();
            ours.put_escaped(text.as_bytes());
            let theirs = serde_json::to_string(&text).unwrap();
            assert_eq!(format!("\"{}\"", String::from_utf8(ours.clone()).unwrap()), theirs);
            let mut comparison = Comparison::with(&ours);
            comparison.put_escaped(text.as_bytes());
            assert!(comparison.is_same());
            // Whatever follows, and whatever is missing.
            for (more, same) in [("\"", true), ("x", false), ("\\\\", false)] {
                let longer = [&ours, more.as_bytes()].concat();
                let mut comparison = Comparison::with(&longer);
                comparison.put_escaped(text.as_bytes());
                comparison.put_byte(b'"');
                assert_eq!(comparison.is_same(), same);
            }
            let mut back = Vec::new();
            push_unescaped(&mut back, &ours);
            assert_eq!(back, text.as_bytes());
        }

        #[test]
        fn broken_escapes_are_left_alone(raw in r"[\\u0dD8cC/n a]{0,24}") {
            let mut out = Vec::new();
            push_unescaped(&mut out, raw.as_bytes());
            assert!(std::str::from_utf8(&out).is_ok());
        }
    }
}
