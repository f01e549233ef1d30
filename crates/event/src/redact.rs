//! Hiding secrets before anything is stored.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::scan::{Scan, Watch};

/// What stands in place of a secret, as in CloudTrail's own records.
pub const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// Keys whose string values are secrets, in small letters with `-` and `_` left out. Session tokens
/// are not among them: AWS records those of AssumeRole, and they end by themselves.
const SECRET_NAMES: [&str; 31] = [
    "accountpassword",
    "adminpassword",
    "apisecret",
    "appsecret",
    "authorization",
    "authtoken",
    "certificateprivatekey",
    "clientsecret",
    "currentpassword",
    "dbpassword",
    "initialpassword",
    "keymaterial",
    "masterpassword",
    "masteruserpassword",
    "newpassword",
    "oldpassword",
    "passphrase",
    "passwd",
    "password",
    "passwords",
    "presharedkey",
    "previouspassword",
    "privatekey",
    "proposedpassword",
    "proxyauthorization",
    "secretaccesskey",
    "secretbinary",
    "secretkey",
    "secretstring",
    "temporarypassword",
    "userpassword",
];

/// Shortest and longest name above, with room for a few hyphens.
const NAME_BYTES: std::ops::RangeInclusive<usize> = 6..=28;

/// Replaces each secret of a checked record by [`HIDDEN`] and leaves every other byte as it is:
///
/// - string values (or strings in an array) of keys that name secrets, at any depth below
///   `requestParameters` and `responseElements`, unless empty or hidden already;
/// - any string value, anywhere, that holds a PEM private key.
///
/// Walks over the whole record: ask [`crate::Header::may_hold_secrets`] first, the check has
/// already looked. What is no JSON object comes back unchanged.
pub fn redact(raw: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(raw) else { return Cow::Borrowed(raw) };
    let mut scan = Scan::new(text, usize::MAX, usize::MAX);
    scan.look_for_pem = may_show_private_key(raw);
    if walk(&mut scan).is_none() || scan.secrets.is_empty() {
        return Cow::Borrowed(raw);
    }
    let mut out = Vec::with_capacity(raw.len() + HIDDEN.len() * scan.secrets.len());
    let mut copied = 0;
    for (start, end) in &scan.secrets {
        out.extend_from_slice(&raw[copied..*start]);
        out.extend_from_slice(HIDDEN.as_bytes());
        copied = *end;
    }
    out.extend_from_slice(&raw[copied..]);
    Cow::Owned(out)
}

fn walk(scan: &mut Scan<'_>) -> Option<()> {
    let mut at = scan.skip_space(0);
    if scan.byte(at) != Some(b'{') {
        return None;
    }
    at = scan.skip_space(at + 1);
    while scan.byte(at) == Some(b'"') {
        let (start, end, escaped) = scan.key(at).ok()?;
        let key = crate::text::Text::new(&scan.text()[start..end], escaped);
        at = scan.colon(end + 1).ok()?;
        at = scan.value(at, 2, watch_below(&key.to_str())).ok()?;
        at = scan.skip_space(at);
        if scan.byte(at) == Some(b',') {
            at = scan.skip_space(at + 1);
        }
    }
    Some(())
}

/// How values below the top-level key `key` are watched.
fn watch_below(key: &str) -> Watch {
    match key {
        "requestParameters" | "responseElements" => Watch::Keys,
        _ => Watch::Off,
    }
}

/// Whether a key (as it lies in the record) names a secret. The length and the last letters turn away
/// nearly every key before anything is compared.
#[inline]
pub(crate) fn is_secret_name(key: &[u8]) -> bool {
    if !NAME_BYTES.contains(&key.len()) {
        return false;
    }
    let [.., last_but_one, last] = key else { return false };
    match [last_but_one | 0x20, last | 0x20] {
        [b'r' | b'w', b'd'] | [b'd', b's'] | [b'e', b'y' | b't' | b'n'] => is_listed(key),
        [b'o', b'n'] | [b'a', b'l'] | [b's', b'e'] | [b'r', b'y'] | [b'n', b'g'] => is_listed(key),
        _ => false,
    }
}

fn is_listed(key: &[u8]) -> bool {
    let mut folded = [0_u8; 28];
    let mut length = 0;
    for byte in key {
        if !matches!(byte, b'-' | b'_') {
            folded[length] = byte.to_ascii_lowercase();
            length += 1;
        }
    }
    let folded = &folded[..length];
    SECRET_NAMES.iter().any(|name| name.len() == length && name.as_bytes() == folded)
}

/// Whether a value says that its secret was taken out before it came to us.
pub(crate) fn is_hidden(value: &str) -> bool {
    let word = value.trim_matches(['<', '>', '[', ']', '(', ')']);
    word == HIDDEN
        || ["sensitiveDataRemoved", "redacted", "hidden"]
            .iter()
            .any(|w| word.eq_ignore_ascii_case(w))
        || value.bytes().all(|byte| byte == b'*')
}

const PEM_LABEL_END: &str = "PRIVATE KEY-----";

/// One fast search, so that records without a PEM key cost next to nothing.
pub(crate) fn may_show_private_key(raw: &[u8]) -> bool {
    // Made once: making it costs as much as searching a record.
    static LABEL_END: LazyLock<Finder<'static>> =
        LazyLock::new(|| Finder::new(PEM_LABEL_END.as_bytes()));
    LABEL_END.find(raw).is_some()
}

/// Whether a string value holds the head of a PEM private key: `-----BEGIN … PRIVATE KEY-----`.
pub(crate) fn shows_private_key(value: &str) -> bool {
    value.find("-----BEGIN").is_some_and(|begin| value[begin..].contains(PEM_LABEL_END))
}

#[cfg(test)]
mod tests;
