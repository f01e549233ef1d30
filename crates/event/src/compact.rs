//! Putting a pretty-printed record on one line.

use std::borrow::Cow;

/// A record as it may stand in a log file, which is one line. Bytes without a line break come back
/// as they are, spaces included. Otherwise the space between the tokens is taken out (inside strings
/// JSON allows no bare line break). `raw` must be valid JSON.
pub fn compact(raw: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(quote) = memchr::memchr(b'"', rest) {
        push_tokens(&mut out, &rest[..quote]);
        let string = &rest[quote..];
        let end = string_end(string);
        out.extend_from_slice(&string[..end]);
        rest = &string[end..];
    }
    push_tokens(&mut out, rest);
    Cow::Owned(out)
}

fn push_tokens(out: &mut Vec<u8>, between_strings: &[u8]) {
    out.extend(between_strings.iter().filter(|byte| !b" \n\r\t".contains(byte)));
}

/// The length of the string at the start of `text`, quotes included; all of it when it never ends.
fn string_end(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, expected: &str) {
        let found = compact(raw.as_bytes());
        assert_eq!(String::from_utf8_lossy(&found), expected);
    }

    #[test]
    fn one_line_is_left_byte_for_byte() {
        let raw = r#"{ "a": 1.0, "b": "x  y" }"#;
        assert!(matches!(compact(raw.as_bytes()), Cow::Borrowed(_)));
        check(raw, raw);
    }

    #[test]
    fn line_breaks_take_all_space_between_tokens_with_them() {
        check(
            "{\r\n  \"a\" : [ 1.50,\t-0 ],\n \"b\\\"\": \"x  \\\" y\"\n}\n",
            r#"{"a":[1.50,-0],"b\"":"x  \" y"}"#,
        );
        check("\n", "");
        check("\"open\\", "\"open\\");
    }

    proptest::proptest! {
        #[test]
        fn pretty_printing_and_compacting_meet_again(value in crate::agreement_tests::any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let expected = serde_json::to_string(&value).unwrap();
            if pretty.contains('\n') {
                let found = compact(pretty.as_bytes());
                proptest::prop_assert_eq!(std::str::from_utf8(&found).unwrap(), expected);
            }
        }
    }
}
