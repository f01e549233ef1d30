//! Which bucket and key a request is for.
//!
//! Path style `/bucket/key` and virtual hosts `bucket.SUFFIX/key` become one: what s3s sees is always
//! path style, without the parameters of a presigned URL.

use http::Method;
use http::request::Parts;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use s3s::{S3Error, s3_error};

/// The bucket and key a request names; not checked beyond their form.
pub(super) struct Address {
    pub bucket: Option<String>,
    pub key: Option<String>,
    /// The `Host` header, or the authority of HTTP/2.
    pub host: String,
    /// The path in path style, still encoded.
    path: String,
}

/// Sub-resources of an object that are documents, not the object's data.
const DOCUMENTS: [&str; 7] =
    ["acl", "legal-hold", "retention", "tagging", "torrent", "restore", "select"];

impl Address {
    pub fn read(parts: &Parts, host_suffixes: &[String]) -> Result<Self, S3Error> {
        let host = host(parts);
        let path = match virtual_bucket(&host, host_suffixes) {
            Some(bucket) => format!("/{bucket}{}", parts.uri.path()),
            None => parts.uri.path().to_owned(),
        };
        let rest = path.strip_prefix('/').ok_or_else(|| s3_error!(InvalidURI))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text.into_owned())),
            Err(_) => Err(s3_error!(InvalidURI, "Couldn't parse the specified URI.")),
        };
        let (bucket, key) = (decode(bucket)?, decode(key)?);
        Ok(Self { bucket, key, host, path })
    }

    /// Whether the body is an object's data, to be stored as it comes.
    pub fn streams(&self, parts: &Parts) -> bool {
        parts.method == Method::PUT
            && self.key.is_some()
            && !parts.headers.contains_key("x-amz-copy-source")
            && !query(parts).any(|(name, _)| DOCUMENTS.contains(&name))
    }

    /// Gives the request the form that s3s sees: path style, and no trace of its signature.
    pub fn rewrite(&self, parts: &mut Parts) -> Result<(), S3Error> {
        let kept: Vec<&str> = parts
            .uri
            .query()
            .unwrap_or("")
            .split('&')
            .filter(|piece| {
                let name =
                    percent_decode_str(piece.split('=').next().unwrap_or("")).collect::<Vec<_>>();
                !name.to_ascii_lowercase().starts_with(b"x-amz-")
            })
            .collect();
        let target = match kept.join("&") {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        let target = PathAndQuery::try_from(target).map_err(|_| s3_error!(InvalidURI))?;
        parts.uri = target.into();
        parts.headers.remove(http::header::AUTHORIZATION);
        Ok(())
    }
}

/// The query's names and values, still encoded.
pub(super) fn query(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let pieces = parts.uri.query().unwrap_or("").split('&').filter(|piece| !piece.is_empty());
    pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

fn host(parts: &Parts) -> String {
    let header = parts.headers.get(http::header::HOST).and_then(|value| value.to_str().ok());
    let host = header.or_else(|| parts.uri.authority().map(|authority| authority.as_str()));
    host.unwrap_or("").to_ascii_lowercase()
}

/// The bucket in front of one of the suffixes. A dot before the suffix makes the difference between
/// the service itself and a bucket of it.
fn virtual_bucket<'a>(host: &'a str, host_suffixes: &[String]) -> Option<&'a str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_service = |suffix: &String| name == suffix;
    if host_suffixes.iter().any(is_service) {
        return None;
    }
    // The longest suffix leaves the shortest name: `b.s3.localhost` is the bucket b, not b.s3.
    let before = |suffix: &String| name.strip_suffix(suffix.as_str())?.strip_suffix('.');
    let buckets = host_suffixes.iter().filter_map(before);
    buckets.filter(|bucket| !bucket.is_empty()).min_by_key(|bucket| bucket.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(host: &str, target: &str) -> Parts {
        let request = http::Request::builder().uri(target).header("host", host);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn path_style_and_virtual_hosts_name_the_same_things() {
        let suffixes = ["localhost".to_owned(), "s3.localhost".to_owned()];
        for (host, target, bucket, key, rewritten) in [
            ("localhost:4580", "/", None, None, "/"),
            ("s3.localhost", "/b", Some("b"), None, "/b"),
            ("127.0.0.1:1", "/b/a//..%2Fc", Some("b"), Some("a//../c"), "/b/a//..%2Fc"),
            ("b.localhost:4580", "/a%20b", Some("b"), Some("a b"), "/b/a%20b"),
            ("b.c.s3.localhost", "//k", Some("b.c"), Some("/k"), "/b.c//k"),
            ("elsewhere", "/b/", Some("b"), None, "/b/"),
            (
                "x",
                "/b?list-type=2&X-Amz-Signature=1&%58-amz-date=2&prefix=a",
                Some("b"),
                None,
                "/b?list-type=2&prefix=a",
            ),
        ] {
            let mut parts = parts(host, target);
            let address = Address::read(&parts, &suffixes).unwrap();
            assert_eq!(address.bucket.as_deref(), bucket, "{host} {target}");
            assert_eq!(address.key.as_deref(), key, "{host} {target}");
            address.rewrite(&mut parts).unwrap();
            assert_eq!(parts.uri, rewritten, "{host} {target}");
        }
    }
}
