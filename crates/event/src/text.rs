//! A string of a record, left where it lies.

use std::borrow::Cow;
use std::fmt;

/// The inside of a JSON string of a checked record: what stands between the quotes, unescaped only
/// when somebody asks and only when a backslash is there. Two words and a flag; copy freely.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// `raw`: the characters between the quotes of a valid JSON string; `escaped`: whether a
    /// backslash is among them.
    pub(crate) fn new(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// A text that is not escaped, for fields that were never in JSON.
    pub const fn plain(raw: &'a str) -> Self {
        Self { raw, escaped: false }
    }

    /// The characters as they lie in the record, backslashes included.
    pub fn raw(self) -> &'a str {
        self.raw
    }

    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// The text itself: borrowed unless something had to be unescaped.
    pub fn to_str(self) -> Cow<'a, str> {
        match self.escaped {
            false => Cow::Borrowed(self.raw),
            true => Cow::Owned(unescape(self.raw)),
        }
    }

    pub fn starts_with(self, prefix: &str) -> bool {
        self.to_str().starts_with(prefix)
    }

    pub fn ends_with(self, suffix: &str) -> bool {
        self.to_str().ends_with(suffix)
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.escaped { self.to_str() == other } else { self.raw == other }
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_str() == other.to_str()
    }
}

impl Eq for Text<'_> {}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_str())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.to_str(), f)
    }
}

/// Resolves the escapes of a JSON string that has been checked. What is not a valid escape stays
/// as it is, so that no input can make this fail.
pub(crate) fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let (resolved, bytes) = escape(&rest[at..]).unwrap_or(('\\', 1));
        out.push(resolved);
        rest = &rest[at + bytes..];
    }
    out.push_str(rest);
    out
}

/// The character that the escape at the start of `text` stands for, and how many bytes it takes.
fn escape(text: &str) -> Option<(char, usize)> {
    let resolved = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = hex4(text, 2)?;
            if let Some(one) = char::from_u32(first) {
                return Some((one, 6));
            }
            let second = hex4(text, 8).filter(|_| text[6..].starts_with("\\u"))?;
            return char::decode_utf16([first as u16, second as u16]).next()?.ok().map(|c| (c, 12));
        }
        _ => return None,
    };
    Some((resolved, 2))
}

fn hex4(text: &str, at: usize) -> Option<u32> {
    let digits = text.get(at..at + 4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_resolve_as_serde_json_resolves_them() {
        for raw in
            [r"a\nb", r#"\"\\\/\b\f\n\r\t"#, r"\u0041\u00e9\uac00", r"\ud83d\ude00!", r"end\\", ""]
        {
            let expected: String = serde_json::from_str(&format!("\"{raw}\"")).unwrap();
            assert_eq!(Text::new(raw, raw.contains('\\')).to_str(), expected, "{raw}");
        }
    }

    #[test]
    fn broken_escapes_are_left_alone() {
        for raw in [r"\", r"\x", r"\u12", r"\ud800", r"\ud800\u0041", r"\u+123"] {
            assert_eq!(unescape(raw).replace('A', r"\u0041"), raw);
        }
    }
}
