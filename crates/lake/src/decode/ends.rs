//! Where strings and values end, in text that has been checked.
//!
//! On text that was never checked these stop early, but they do not panic, and they stop at ASCII
//! characters or at the end.

use crate::record::end_of_plain_run;

/// The end of the string whose first character is at `at`, without its quote, and whether it has
/// escapes.
#[inline(always)]
pub(super) fn string_end(text: &[u8], at: usize) -> (usize, bool) {
    let end = end_of_plain_run(text, at);
    match text.get(end) {
        Some(b'\\') => (string_with_escapes(text, end), true),
        _ => (end, false),
    }
}

fn string_with_escapes(text: &[u8], mut at: usize) -> usize {
    while text.get(at) == Some(&b'\\') {
        at = end_of_plain_run(text, at + 2);
    }
    at.min(text.len())
}

/// The end of the value at `at`.
pub(super) fn value_end(text: &[u8], at: usize) -> usize {
    match text.get(at) {
        Some(b'"') => (string_end(text, at + 1).0 + 1).min(text.len()),
        Some(b'{' | b'[') => container_end(text, at),
        _ => {
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| b",]} \n\r\t".contains(byte));
            at + end.unwrap_or(rest.len())
        }
    }
}

fn container_end(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    loop {
        match text.get(at) {
            Some(b'"') => at = string_end(text, at + 1).0,
            Some(b'{' | b'[') => depth += 1,
            Some(b'}' | b']') => depth -= 1,
            Some(_) => {}
            None => return text.len(),
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        for value in [
            "1",
            "-0.5e+10",
            "true",
            "null",
            "\"\"",
            r#""a\"b\\""#,
            "{}",
            "[]",
            r#"{"a":[1,"]}",{"b":"\\\""}],"c":{}}"#,
            r#"[[[]],"x"]"#,
            "\"é가🎉 0123456789\"",
        ] {
            for after in ["", ",1", "}", "]", " ,"] {
                let text = format!("{value}{after}");
                assert_eq!(value_end(text.as_bytes(), 0), value.len(), "{text}");
            }
        }
        for broken in ["\"abc", "{\"a", "[1", "\"\\", ""] {
            assert_eq!(value_end(broken.as_bytes(), 0), broken.len(), "{broken}");
        }
    }
}
