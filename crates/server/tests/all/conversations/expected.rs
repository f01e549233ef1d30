//! Compares an answer with what a conversation says it is.
//!
//! ```text
//!   <any>       anything                      <uuid>      a UUID
//!   <time>      epoch seconds, about now      <base64>    base64 of at least 100 bytes
//!   <iso-time>  2026-09-13T17:12:18Z          <hex32>     32 lower-case hexadecimal digits
//! ```
//! `<time=started>` also gives the value a name: where the name comes again, the value must too.
//! Inside a text, `<any>` stands for any part of it.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;
use server::clock::{Clock, SystemClock};

use super::client::Answer;
use super::script::Wanted;

/// Values that placeholders have named.
pub type Known = HashMap<String, Value>;

/// In what the answer differs; empty when it fits.
pub fn differences(wanted: &Wanted, answer: &Answer, known: &mut Known) -> Vec<String> {
    let body = match serde_json::from_str::<Value>(&quoted(&wanted.body)) {
        Ok(body) => body,
        Err(error) => return vec![format!("the expected answer is no JSON: {error}")],
    };
    let mut found = Vec::new();
    if wanted.status != answer.status {
        found.push(format!("status {}, expected {}", answer.status, wanted.status));
    }
    if wanted.code.as_deref() != answer.code() {
        let code = wanted.code.as_deref().unwrap_or("success");
        found.push(format!("{}, expected {code}", answer.code().unwrap_or("success")));
        return found;
    }
    match wanted.code {
        None => compare(&body, &answer.body, "", known, &mut found),
        Some(_) => compare(&body, answer.message(), "message", known, &mut found),
    }
    found
}

/// Puts quotes around placeholders that stand outside of texts, which makes the whole JSON.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars();
    let mut in_text = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if in_text => {
                out.push(letter);
                out.extend(letters.next());
                continue;
            }
            '"' => in_text = !in_text,
            '<' if !in_text => out.push('"'),
            _ => {}
        }
        out.push(letter);
        if letter == '>' && !in_text {
            out.push('"');
        }
    }
    out
}

fn compare(wanted: &Value, found: &Value, path: &str, known: &mut Known, out: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (name, value) in wanted {
                let path = format!("{path}.{name}");
                match found.get(name) {
                    Some(member) => compare(value, member, &path, known, out),
                    None => out.push(format!("{path} is missing, expected {value}")),
                }
            }
            for (name, value) in found.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
                out.push(format!("{path}.{name} is not expected: {value}"));
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (i, (wanted, found)) in wanted.iter().zip(found).enumerate() {
                compare(wanted, found, &format!("{path}[{i}]"), known, out);
            }
        }
        (Value::String(text), _) if fits(text, found, known) => {}
        _ if wanted == found => {}
        _ => out.push(format!("{path} is {found}, expected {wanted}")),
    }
}

fn fits(wanted: &str, found: &Value, known: &mut Known) -> bool {
    let placeholder = wanted.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    if let Some(placeholder) = placeholder {
        let (kind, name) = match placeholder.split_once('=') {
            Some((kind, name)) => (kind, Some(name)),
            None => (placeholder, None),
        };
        if let Some(is) = is_of_kind(kind, found) {
            let value = name.map(|name| known.entry(name.to_owned()).or_insert(found.clone()));
            return is && value.is_none_or(|value| value == found);
        }
    }
    found.as_str().is_some_and(|found| text_fits(wanted, found))
}

/// None for a kind that does not exist.
fn is_of_kind(kind: &str, found: &Value) -> Option<bool> {
    let text = found.as_str();
    Some(match kind {
        "any" => true,
        "time" => found.as_f64().is_some_and(|seconds| {
            // A day to either side: milliseconds or local time instead would be far off.
            let now = SystemClock::start().now().as_second() as f64;
            (seconds - now).abs() < 86_400.0
        }),
        "iso-time" => text.is_some_and(|t| t.len() == 20 && t.parse::<Timestamp>().is_ok()),
        "uuid" => text.is_some_and(|t| uuid::Uuid::parse_str(t).is_ok()),
        "base64" => text.is_some_and(|t| STANDARD.decode(t).is_ok_and(|bytes| bytes.len() >= 100)),
        "hex32" => text.is_some_and(|t| {
            t.len() == 32 && t.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }),
        _ => return None,
    })
}

fn text_fits(wanted: &str, found: &str) -> bool {
    let parts: Vec<&str> = wanted.split("<any>").collect();
    let [first, between @ .., last] = parts.as_slice() else { return wanted == found };
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    for part in between {
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &str, found: &str, differs: &[&str]) {
        let wanted: Value = serde_json::from_str(&quoted(wanted)).unwrap();
        let found: Value = serde_json::from_str(found).unwrap();
        let mut out = Vec::new();
        compare(&wanted, &found, "", &mut Known::new(), &mut out);
        assert_eq!(out, differs);
    }

    #[test]
    fn every_member_must_be_there_and_no_other() {
        check(r#"{"a": 1}"#, r#"{"a": 1}"#, &[]);
        check(r#"{"a": 1}"#, r#"{"a": 2}"#, &[".a is 2, expected 1"]);
        check(r#"{"a": 1}"#, "{}", &[".a is missing, expected 1"]);
        check("{}", r#"{"a": 1}"#, &[".a is not expected: 1"]);
        check("[1]", "[1,2]", &[" is [1,2], expected [1]"]);
    }

    #[test]
    fn placeholders_stand_for_their_kind_only() {
        check("[<any>, <uuid>]", r#"[{}, "6c0d5b7e-0ea5-4c8c-9e0b-5a3a1f6e0d11"]"#, &[]);
        check("<uuid>", "\"x\"", &["\u{20}is \"x\", expected \"<uuid>\""]);
        check("<time>", "0", &["\u{20}is 0, expected \"<time>\""]);
        check("<iso-time>", "\"2026-09-13T17:12:18Z\"", &[]);
        check("<iso-time>", "\"\"", &["\u{20}is \"\", expected \"<iso-time>\""]);
        check("\"a<any>c\"", "\"abbc\"", &[]);
        check("\"a<any>c\"", "\"abb\"", &["\u{20}is \"abb\", expected \"a<any>c\""]);
        check("\"<wrong>\"", "\"x\"", &["\u{20}is \"x\", expected \"<wrong>\""]);
    }

    #[test]
    fn a_named_value_must_come_again() {
        check("[<any=a>, <any=a>]", "[1, 1]", &[]);
        check("[<any=a>, <any=a>]", "[1, 2]", &["[1] is 2, expected \"<any=a>\""]);
    }
}
