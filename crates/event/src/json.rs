//! Walking over JSON that has been checked, without building anything.
//!
//! These iterators trust the text: they skip values by brackets and quotes alone. On text that was
//! never checked they may give nonsense or stop early, but they never panic.

use crate::text::Text;

/// The members of an object: each key, and the text of its value without space around it.
pub fn members(object: &str) -> Members<'_> {
    Members { rest: inside(object, '{', '}') }
}

/// The elements of an array, each as its text without space around it.
pub fn elements(array: &str) -> Elements<'_> {
    Elements { rest: inside(array, '[', ']') }
}

/// The value of the first member called `key`.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    members(object).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The string that `value` is; `None` for every other kind of value.
pub fn string(value: &str) -> Option<Text<'_>> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    Some(Text::new(inside, memchr::memchr(b'\\', inside.as_bytes()).is_some()))
}

/// The string member called `key`.
pub fn string_member<'a>(object: &'a str, key: &str) -> Option<Text<'a>> {
    string(member(object, key)?)
}

/// See [`members`].
#[derive(Debug, Clone)]
pub struct Members<'a> {
    rest: &'a str,
}

/// See [`elements`].
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = (Text<'a>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = take_value(self.rest)?;
        let key = string(key)?;
        let rest = rest.trim_start_matches(SPACE).strip_prefix(':')?;
        let (value, rest) = take_value(rest)?;
        self.rest = after_comma(rest);
        Some((key, value))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let (value, rest) = take_value(self.rest)?;
        self.rest = after_comma(rest);
        Some(value)
    }
}

const SPACE: [char; 4] = [' ', '\n', '\r', '\t'];

fn inside(text: &str, open: char, close: char) -> &str {
    let text = text.trim_matches(SPACE);
    text.strip_prefix(open).and_then(|text| text.strip_suffix(close)).unwrap_or("")
}

fn after_comma(rest: &str) -> &str {
    let rest = rest.trim_start_matches(SPACE);
    rest.strip_prefix(',').unwrap_or("")
}

/// Splits off the value at the start of `text`; `None` at the end.
fn take_value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(SPACE);
    let bytes = text.as_bytes();
    let end = match bytes.first()? {
        b'"' => string_end(bytes, 1)?,
        b'{' | b'[' => container_end(bytes)?,
        _ => bytes.iter().position(|b| b",]} \n\r\t".contains(b)).unwrap_or(bytes.len()),
    };
    (end > 0).then(|| text.split_at(end))
}

/// Where the string ends whose first character is at `at`, past its closing quote.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

fn container_end(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at + 1)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_elements_are_found_with_their_exact_text() {
        let object = r#" { "a" : 1.50 , "b\n":{"x":[1,"]}"]},"c":"q\"}" } "#;
        let found: Vec<_> = members(object).map(|(k, v)| (k.to_string(), v)).collect();
        let expected = [("a", "1.50"), ("b\n", r#"{"x":[1,"]}"]}"#), ("c", r#""q\"}""#)];
        assert_eq!(found, expected.map(|(k, v)| (k.to_owned(), v)));
        assert_eq!(
            elements(r#"[1, {"a":[]} ,"x"]"#).collect::<Vec<_>>(),
            ["1", r#"{"a":[]}"#, r#""x""#]
        );
        assert_eq!(string_member(r#"{"a":null,"b":"x"}"#, "b").unwrap(), "x");
        assert!(string_member(r#"{"a":null,"b":"x"}"#, "a").is_none());
        assert_eq!(members("{}").count() + elements("[]").count() + elements("[ ]").count(), 0);
    }

    proptest::proptest! {
        #[test]
        fn unchecked_text_never_panics(text in r#"[\[\]{}",:\\a1 é]{0,40}"#) {
            let _ = members(&text).count();
            let _ = elements(&text).count();
        }
    }
}
