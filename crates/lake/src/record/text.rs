//! Strings of JSON: from their characters to their escapes and back.

/// Where a record is written to.
pub(crate) trait Out {
    fn put(&mut self, bytes: &[u8]);
    fn put_byte(&mut self, byte: u8);
}

impl Out for Vec<u8> {
    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.push(byte);
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

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        match self.left.split_at_checked(bytes.len()) {
            Some((start, left)) if start == bytes => self.left = left,
            _ => self.same = false,
        }
    }
}

/// Writes the inside of the string that holds `text`, with no more escapes than RFC 8259 demands.
#[inline]
pub(crate) fn put_escaped(out: &mut impl Out, text: &[u8]) {
    let plain = end_of_plain_run(text, 0);
    out.put(&text[..plain]);
    if plain < text.len() {
        put_escapes(out, &text[plain..]);
    }
}

#[cold]
fn put_escapes(out: &mut impl Out, mut text: &[u8]) {
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

const EACH: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The next place from `at` on where a quote, a backslash or a control character stands, or the end.
#[inline(always)]
pub(crate) fn end_of_plain_run(bytes: &[u8], mut at: usize) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let found = stops(u64::from_le_bytes(*eight));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Sets the high bit of each of the eight bytes that ends a plain run. Borrows between bytes may set
/// bits above a true one, never below it, so the lowest bit is exact.
#[inline(always)]
fn stops(word: u64) -> u64 {
    let zero_bytes = |word: u64| word.wrapping_sub(EACH) & !word;
    let quote = zero_bytes(word ^ (EACH * b'"' as u64));
    let backslash = zero_bytes(word ^ (EACH * b'\\' as u64));
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn serde_json_escapes_as_we_do(text in "(?s).{0,20}|[\"\\\\\u{0}-\u{1f}\u{7f}é]{0,20}") {
            let mut ours = Vec::new();
            put_escaped(&mut ours, text.as_bytes());
            let theirs = serde_json::to_string(&text).unwrap();
            assert_eq!(format!("\"{}\"", String::from_utf8(ours.clone()).unwrap()), theirs);
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
