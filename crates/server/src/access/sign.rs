//! Signing a request of our own: the client commands, the load generator, the tests.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use jiff::Timestamp;

use super::canonical::{self, Covered, PathForm};
use super::keys::SigningKey;
use super::presented::basic_text;
use super::{Scope, Secret};

/// Headers that a client or proxy on the way may add or change: never signed. The same list as
/// botocore's, so that both give the same signature.
const NEVER_SIGNED: [&str; 15] = [
    "authorization",
    "baggage",
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-amzn-trace-id",
];

/// Whose key, for where, and when.
#[derive(Debug, Clone)]
pub struct Signing<'a> {
    pub access_key_id: &'a str,
    pub secret: &'a Secret,
    pub session_token: Option<&'a str>,
    pub region: &'a str,
    /// `s3` signs the path as it is and adds `x-amz-content-sha256`.
    pub service: &'a str,
    pub time: Timestamp,
}

/// Why a request cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsignable {
    #[error("the URI names no host and there is no Host header")]
    NoHost,
    #[error("the URI has an invalid percent-encoding")]
    BadEncoding,
    #[error("the access key id or session token cannot stand in a header")]
    NotAHeader,
}

/// The headers to add to a request so that it is signed: `host` when absent, `x-amz-date`,
/// `x-amz-security-token`, `x-amz-content-sha256` and `authorization`. `payload_hash` is the
/// lower-case hexadecimal SHA-256 of the body, or a literal such as `UNSIGNED-PAYLOAD`. All headers
/// given are signed except those that change on the way.
pub fn sign(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    payload_hash: &str,
    with: &Signing<'_>,
) -> Result<Vec<(HeaderName, HeaderValue)>, Unsignable> {
    let time_text = basic_text(with.time);
    let scope = Scope {
        date: time_text[..8].to_owned(),
        region: with.region.to_owned(),
        service: with.service.to_owned(),
    };
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Unsignable::NotAHeader);
    let mut added = vec![(HeaderName::from_static("x-amz-date"), value(&time_text)?)];
    if !headers.contains_key(header::HOST) {
        let authority = uri.authority().ok_or(Unsignable::NoHost)?;
        added.push((header::HOST, value(authority.as_str())?));
    }
    if let Some(token) = with.session_token {
        let mut token = value(token)?;
        token.set_sensitive(true);
        added.push((HeaderName::from_static("x-amz-security-token"), token));
    }
    if with.service == "s3" {
        added.push((HeaderName::from_static("x-amz-content-sha256"), value(payload_hash)?));
    }

    let mut all = headers.clone();
    for (name, value) in &added {
        all.insert(name, value.clone());
    }
    let mut signed_headers: Vec<String> = Vec::new();
    for name in all.keys().map(HeaderName::as_str) {
        if !NEVER_SIGNED.contains(&name) {
            signed_headers.push(name.to_owned());
        }
    }
    signed_headers.sort();
    let form = if with.service == "s3" { PathForm::Single } else { PathForm::Double };
    let covered = Covered {
        method,
        path: canonical::path(uri.path(), form).map_err(|_| Unsignable::BadEncoding)?,
        query: canonical::query(uri.query().unwrap_or(""), None)
            .map_err(|_| Unsignable::BadEncoding)?,
        headers: &all,
        host: all.get(header::HOST).map(HeaderValue::as_bytes).ok_or(Unsignable::NoHost)?,
        signed_headers: &signed_headers,
        payload_hash,
    };
    let string_to_sign = covered.string_to_sign(&time_text, &scope.text());
    let signature = hex::encode(SigningKey::derive(with.secret, &scope).sign(&string_to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
        with.access_key_id,
        scope.text(),
        signed_headers.join(";"),
    );
    added.push((header::AUTHORIZATION, value(&authorization)?));
    Ok(added)
}
