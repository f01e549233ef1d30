//! The format of a shape. It is stored: what is written here can be added to, never changed.
//!
//! ```text
//!   shape    style members END
//!   style    COMPACT       no space between tokens
//!            SPACED        one space after each colon and comma, as Python writes JSON
//!            WHOLE         (then nothing follows) the rest is the record itself
//!   members  0 or more of
//!            1 + 4 · number + how …       a member that has a column (see `members`); … as below
//!            OTHER len key                any other member; its value is the next of the rest
//!            SAME len text                any other member, key and value as they stand
//!   how      COLUMN        the column says it all:
//!                            text       a string
//!                            object     then members END
//!                            list       then the members END of each element, then LIST_END; the
//!                                       last ones hold for all elements that are left
//!                            map        entries as they come; see below
//!            NULL          null
//!            REST          the next value of the rest, as it stands
//!            OTHERWISE     text: the column holds the value as it stands (a number, an object …)
//!                          map: LONE_TEXT, the column has one entry, whose value is the string
//!                               LONE_VALUE, the same, but as it stands
//!                               MARKED bits, entries as they come; see below
//!   rest     len value …
//! ```
//!
//! `len` and `bits` are LEB128. A string is written with the escapes that RFC 8259 demands, in their
//! short form where there is one, and no others; a time as `YYYY-MM-DDTHH:MM:SSZ`. What was written
//! differently is in the rest.
//!
//! A map's entry is written as it stands where it looks like a number, a boolean, an object or an
//! array ([`looks_like_a_value`]), as `null` where the column is null, else as a string. The bit of
//! its place in `bits` marks an entry that is a string in spite of its looks.

pub(crate) const COMPACT: u8 = 0;
pub(crate) const SPACED: u8 = 1;
pub(crate) const WHOLE: u8 = 2;

pub(crate) const END: u8 = 0;
pub(crate) const OTHER: u8 = 0xFF;
pub(crate) const SAME: u8 = 0xFE;
pub(crate) const LIST_END: u8 = 0xFD;

pub(crate) const COLUMN: u8 = 0;
pub(crate) const NULL: u8 = 1;
pub(crate) const REST: u8 = 2;
pub(crate) const OTHERWISE: u8 = 3;

pub(crate) const LONE_TEXT: u8 = 0;
pub(crate) const LONE_VALUE: u8 = 1;
pub(crate) const MARKED: u8 = 2;

/// So many members an object can have columns for, so that their codes end before LIST_END.
#[cfg(test)]
pub(crate) const MEMBERS_MAX: usize = (LIST_END as usize - 1) / 4;

/// So many places of a map can be marked.
pub(crate) const MARKS_MAX: usize = 64;

pub(crate) fn code(number: usize, how: u8) -> u8 {
    u8::try_from(1 + 4 * number).expect("an object has few members") + how
}

/// Whether a map's text is written as it stands when nothing marks it.
pub(crate) fn looks_like_a_value(text: &[u8]) -> bool {
    match text.first() {
        Some(b'{' | b'[') => true,
        Some(b't') => text == b"true",
        Some(b'f') => text == b"false",
        Some(b'-' | b'0'..=b'9') => is_number(text),
        _ => false,
    }
}

fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut text = &text[whole..];
    if let Some(fraction) = text.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        text = &fraction[count..];
    }
    if let [b'e' | b'E', exponent @ ..] = text {
        let exponent = match exponent {
            [b'+' | b'-', digits @ ..] => digits,
            digits => digits,
        };
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    text.is_empty()
}

/// Appends a number as LEB128.
pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends `text` with its length before it.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_number(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Reads a shape or a rest from front to back.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = self.peek().ok_or("its shape ends early")?;
        self.at += 1;
        Ok(byte)
    }

    pub fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number in its shape is too large")
    }

    pub fn text(&mut self) -> Result<&'a [u8], &'static str> {
        let bytes = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let end = self.at.checked_add(bytes).filter(|end| *end <= self.bytes.len());
        let text = &self.bytes[self.at..end.ok_or("a value of its rest is cut off")?];
        self.at += text.len();
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_like_values_when_json_says_so() {
        for text in ["0", "-0", "10", "0.0", "1e400", "-1.5E+10", "2E-7", "12345678901234567890"] {
            assert!(looks_like_a_value(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1 ", "0x1", "10.0.0.1", "NaN"] {
            assert!(!looks_like_a_value(text.as_bytes()), "{text}");
        }
        for text in ["true", "false", "{", "[x"] {
            assert!(looks_like_a_value(text.as_bytes()), "{text}");
        }
        for text in ["null", "True", "trueish", " {"] {
            assert!(!looks_like_a_value(text.as_bytes()), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn numbers_and_texts_are_read_as_written(number: u64, text: Vec<u8>) {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            push_text(&mut bytes, &text);
            let mut cursor = Cursor::new(&bytes);
            assert_eq!(cursor.number(), Ok(number));
            assert_eq!(cursor.text(), Ok(&*text));
            assert!(cursor.is_at_end());
        }

        #[test]
        fn serde_json_and_we_agree_on_numbers(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,1})?") {
            let theirs = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            assert_eq!(looks_like_a_value(text.as_bytes()), theirs, "{text}");
        }
    }
}
