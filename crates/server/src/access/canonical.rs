//! The canonical request: the bytes a SigV4 signature is about.
//!
//! ```text
//!   method \n path \n query \n name:value \n … \n \n name;name;… \n payload-hash
//! ```
//!
//! Every function takes the request as it was sent. A percent triplet stays as it is written and any
//! other byte outside `A-Z a-z 0-9 - . _ ~` is encoded, so `%7e`, `%7E` and `~` are three requests.
//! AWS decodes first and would take them for one; no SDK sends anything but the encoded form, and
//! this way no byte can change without the signature noticing.

use http::{HeaderMap, Method};

use super::keys::sha256;

/// How the request's path enters the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathForm {
    /// Once encoded and otherwise untouched, with its dots and doubled slashes: Amazon S3.
    Single,
    /// Dot segments and doubled slashes removed, then encoded again: every other service.
    Double,
}

/// A target whose `%` is not followed by two hexadecimal digits: no client means that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadEncoding;

/// Everything that is signed, borrowed from the request.
pub(super) struct Covered<'a> {
    pub method: &'a Method,
    /// Already in canonical form.
    pub path: String,
    /// Already in canonical form.
    pub query: String,
    pub headers: &'a HeaderMap,
    /// The `Host` header, or the `:authority` of HTTP/2.
    pub host: &'a [u8],
    /// Lower-case names, sorted.
    pub signed_headers: &'a [String],
    pub payload_hash: &'a str,
}

impl Covered<'_> {
    pub(super) fn canonical_request(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        for line in [self.method.as_str(), &self.path, &self.query] {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        for name in self.signed_headers {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            if name == "host" {
                push_trimmed(&mut out, self.host);
            } else {
                for (nth, value) in self.headers.get_all(name.as_str()).iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    push_trimmed(&mut out, value.as_bytes());
                }
            }
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(self.signed_headers.join(";").as_bytes());
        out.push(b'\n');
        out.extend_from_slice(self.payload_hash.as_bytes());
        out
    }

    /// `AWS4-HMAC-SHA256 \n time \n scope \n hex(sha256(canonical request))`
    pub(super) fn string_to_sign(&self, time: &str, scope: &str) -> String {
        let hash = hex::encode(sha256(&self.canonical_request()));
        format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}")
    }
}

pub(super) fn path(raw: &str, form: PathForm) -> Result<String, BadEncoding> {
    match form {
        PathForm::Single => {
            let mut out = String::with_capacity(raw.len());
            push_encoded_once(&mut out, raw, b"/")?;
            Ok(out)
        }
        PathForm::Double => {
            let mut out = String::with_capacity(raw.len());
            for byte in without_dots(raw).bytes() {
                push_byte(&mut out, byte, b"/");
            }
            Ok(out)
        }
    }
}

/// RFC 3986 section 5.2.4, and doubled slashes become one, as AWS asks.
fn without_dots(raw: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    let mut out = format!("/{}", kept.join("/"));
    if raw.ends_with('/') && !kept.is_empty() {
        out.push('/');
    }
    out
}

/// Sorted by encoded name, then by encoded value; duplicates kept; a name without `=` gets one.
/// `without` names one parameter to leave out (the signature cannot cover itself).
pub(super) fn query(raw: &str, without: Option<&str>) -> Result<String, BadEncoding> {
    if raw.is_empty() {
        return Ok(String::new());
    }
    let mut pairs = Vec::new();
    for piece in raw.split('&') {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        if without == Some(name) {
            continue;
        }
        let mut pair = (String::new(), String::new());
        push_encoded_once(&mut pair.0, name, b"")?;
        push_encoded_once(&mut pair.1, value, b"")?;
        pairs.push(pair);
    }
    pairs.sort();
    let mut out = String::with_capacity(raw.len() + 8);
    for (nth, (name, value)) in pairs.iter().enumerate() {
        if nth > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
    Ok(out)
}

fn push_encoded_once(out: &mut String, raw: &str, literal: &[u8]) -> Result<(), BadEncoding> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            push_byte(out, bytes[at], literal);
            at += 1;
            continue;
        }
        let digits = bytes.get(at + 1..at + 3).ok_or(BadEncoding)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadEncoding);
        }
        out.push('%');
        out.push(char::from(digits[0]));
        out.push(char::from(digits[1]));
        at += 3;
    }
    Ok(())
}

fn push_byte(out: &mut String, byte: u8, literal: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || literal.contains(&byte) {
        out.push(char::from(byte));
        return;
    }
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// White space at both ends goes, as HTTP itself says; inside, runs of spaces become one space. A tab
/// inside stays a tab: to take it for a space would let it be swapped for one.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let mut space_before = false;
    for &byte in trimmed(value) {
        if byte == b' ' && space_before {
            continue;
        }
        space_before = byte == b' ';
        out.push(byte);
    }
}

pub(super) fn trimmed(value: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_normalised_and_encoded_twice_except_for_s3() {
        for (raw, single, double) in [
            ("/", "/", "/"),
            ("//", "//", "/"),
            ("/a/./b/../c", "/a/./b/../c", "/a/c"),
            ("/a/", "/a/", "/a/"),
            ("/../..", "/../..", "/"),
            ("/a%20b", "/a%20b", "/a%2520b"),
            ("/a(b)~", "/a%28b%29~", "/a%28b%29~"),
        ] {
            assert_eq!(path(raw, PathForm::Single).unwrap(), single);
            assert_eq!(path(raw, PathForm::Double).unwrap(), double);
        }
        assert_eq!(path("/a%2", PathForm::Single), Err(BadEncoding));
        assert_eq!(path("/a%zz", PathForm::Single), Err(BadEncoding));
    }

    #[test]
    fn a_query_is_sorted_by_name_then_value_and_keeps_every_parameter() {
        for (raw, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&a", "a=&a=1&a=2"),
            ("a&", "=&a="),
            ("a=b=c", "a=b%3Dc"),
            ("a+b=c+d", "a%2Bb=c%2Bd"),
            ("a=%2f", "a=%2f"),
            ("A=1&a=2&%41=3", "%41=3&A=1&a=2"),
        ] {
            assert_eq!(query(raw, None).unwrap(), canonical);
        }
        assert_eq!(query("b=1&sig=x&a=2", Some("sig")).unwrap(), "a=2&b=1");
        assert_eq!(query("a=%", None), Err(BadEncoding));
    }

    #[test]
    fn a_header_value_loses_outer_blanks_and_runs_of_spaces_only() {
        for (value, canonical) in
            [("  a   b  ", "a b"), ("\"a  b\"", "\"a b\""), ("a\tb", "a\tb"), ("   ", ""), ("", "")]
        {
            let mut out = Vec::new();
            push_trimmed(&mut out, value.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), canonical);
        }
    }
}
