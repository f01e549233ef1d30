//! The cases that botocore signed (`tests/e2e/make_sigv4_cases.py`): each verifies as it stands, our
//! signer makes the same signature, and no change of any byte verifies.

use event::AccountId;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use jiff::Timestamp;
use serde::Deserialize;

use super::keys::sha256;
use super::*;

pub(super) const KEY_ID: &str = "AKIDEXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[derive(Debug, Clone, Deserialize)]
struct Case {
    name: String,
    style: String,
    service: String,
    region: String,
    path_form: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    session_token: Option<String>,
}

/// One key, with a session token when `session_token` is set.
pub(super) struct OneKey {
    pub session_token: Option<String>,
    pub active: bool,
}

impl KeyRing for OneKey {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        let session_token = self.session_token.as_ref().map(|text| SessionToken {
            text: Secret::new(text.clone()),
            expires: now() + jiff::SignedDuration::from_secs(60),
            policy: None,
        });
        (access_key_id == KEY_ID).then(|| Key {
            secret: Secret::new(SECRET.to_owned()),
            account: AccountId::parse("111111111111").unwrap(),
            identity: Identity::User {
                name: "ann".into(),
                path: "/".into(),
                principal_id: "AIDAEXAMPLE".into(),
            },
            active: self.active,
            session_token,
        })
    }
}

pub(super) fn now() -> Timestamp {
    "2015-08-30T12:36:00Z".parse().unwrap()
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../tests/fixtures/sigv4_cases.json")).unwrap();
    assert!(cases.len() >= 50, "the fixture has lost cases");
    cases
}

impl Case {
    /// `None` when the case, as changed, is no HTTP request at all.
    fn parts(&self) -> Option<Parts> {
        let mut request = Request::builder()
            .method(Method::from_bytes(self.method.as_bytes()).ok()?)
            .uri(self.target.parse::<Uri>().ok()?);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        Some(request.body(()).ok()?.into_parts().0)
    }

    fn is_s3(&self) -> bool {
        self.path_form == "single"
    }

    fn verify(&self, verifier: &Verifier) -> Option<Result<Verified, AuthError>> {
        let base = if self.is_s3() { Expect::S3 } else { Expect::CLOUDTRAIL };
        let expect = Expect { services: &[&self.service], allow_presigned: true, ..base };
        let keys = OneKey { session_token: self.session_token.clone(), active: true };
        let payload = Payload::Bytes(self.body.as_bytes());
        Some(verifier.authenticate(&self.parts()?, payload, &expect, &keys, now()))
    }
}

#[test]
fn every_request_that_botocore_signs_verifies() {
    for case in cases() {
        // The second time with the kept signing key.
        let verifier = Verifier::default();
        for _ in 0..2 {
            let verified = case.verify(&verifier).unwrap();
            let verified = verified.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert_eq!(verified.caller().account().as_str(), "111111111111");
            assert_eq!(verified.caller().access_key_id(), Some(KEY_ID));
            assert_eq!(verified.caller().session_expires().is_some(), case.session_token.is_some());
            assert_eq!(
                verified.scope().text(),
                format!("20150830/us-east-1/{}/aws4_request", case.service)
            );
            let body_is_signed = case.style == "header" || !case.is_s3();
            assert_eq!(verified.body == BodyDuty::Checked, body_is_signed, "{}", case.name);
        }
    }
}

#[test]
fn our_signer_and_botocore_give_the_same_authorization() {
    let mut compared = 0;
    for case in cases() {
        if case.style != "header"
            || ["post-date-header", "recorded-from-curl"].contains(&case.name.as_str())
        {
            continue;
        }
        let parts = case.parts().unwrap();
        let mut headers = parts.headers.clone();
        let theirs = headers.remove("authorization").unwrap();
        for added in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
            headers.remove(added);
        }
        let secret = Secret::new(SECRET.to_owned());
        let with = Signing {
            access_key_id: KEY_ID,
            secret: &secret,
            session_token: case.session_token.as_deref(),
            region: &case.region,
            service: &case.service,
            time: now(),
        };
        let payload_hash = hex::encode(sha256(case.body.as_bytes()));
        let added = sign(&parts.method, &parts.uri, &headers, &payload_hash, &with).unwrap();
        let ours: HeaderMap = added.into_iter().collect();
        assert_eq!(ours["authorization"], theirs, "{}", case.name);
        compared += 1;
    }
    assert!(compared >= 40);
}

/// All the ways to change one character: every flip of one bit, and a few characters that mean
/// something in a URL or a header.
fn changes(text: &str) -> Vec<String> {
    let mut changed = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        let mut others: Vec<u8> = (0..7).map(|bit| byte ^ (1 << bit)).collect();
        others.extend(*b" \t/.%&=;,+?#*0aA");
        others.sort_unstable();
        others.dedup();
        for other in others.into_iter().filter(|other| *other != byte) {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = other;
            changed.extend(String::from_utf8(bytes));
        }
        let mut shorter = text.as_bytes().to_vec();
        shorter.remove(at);
        changed.extend(String::from_utf8(shorter));
    }
    changed
}

/// Whether HTTP or RFC 3986 says that two targets are one. S3 takes paths as they are.
fn same_target(one: &str, other: &str, is_s3: bool) -> bool {
    let split = |target: &str| -> (Vec<String>, bool, String) {
        // http::Uri drops a fragment before anyone can see it.
        let target = target.split('#').next().unwrap_or("").to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: Vec<&str> = query.split('&').collect();
        let query: Vec<String> = query
            .iter()
            .map(|piece| {
                if piece.contains('=') || query == [""] {
                    (*piece).to_owned()
                } else {
                    format!("{piece}=")
                }
            })
            .collect();
        if is_s3 {
            return (vec![path.to_owned()], false, query.join("&"));
        }
        let mut kept: Vec<String> = Vec::new();
        for segment in path.split('/') {
            match segment {
                ".." => drop(kept.pop()),
                "" | "." => {}
                _ => kept.push(segment.to_owned()),
            }
        }
        let ends = path.ends_with('/') && !kept.is_empty();
        (kept, ends, query.join("&"))
    };
    split(one) == split(other)
}

/// White space that canonicalisation ignores, as HTTP and the specification say.
fn same_value(one: &str, other: &str) -> bool {
    let runs_joined = |text: &str| {
        let trimmed = text.trim_matches([' ', '\t']);
        trimmed.split(' ').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    runs_joined(one) == runs_joined(other)
}

#[test]
fn no_changed_byte_of_a_signed_request_verifies() {
    let verifier = Verifier::default();
    let mut tried = 0;
    let mut refuse = |changed: &Case, what: &str| {
        if let Some(result) = changed.verify(&verifier) {
            tried += 1;
            assert!(result.is_err(), "{}: changed {what}: {changed:?}", changed.name);
        }
    };
    for case in cases() {
        for method in changes(&case.method) {
            refuse(&Case { method, ..case.clone() }, "method");
        }
        for target in changes(&case.target) {
            if !same_target(&case.target, &target, case.is_s3()) {
                refuse(&Case { target, ..case.clone() }, "target");
            }
        }
        if case.style == "header" || !case.is_s3() {
            for body in changes(&case.body).into_iter().chain([format!("{}x", case.body)]) {
                refuse(&Case { body, ..case.clone() }, "body");
            }
        }
        for (at, (name, value)) in case.headers.iter().enumerate() {
            // Not signed by botocore, nor these three by curl.
            if ["user-agent", "accept", "content-length"]
                .contains(&name.to_ascii_lowercase().as_str())
            {
                continue;
            }
            for changed in changes(value) {
                if same_value(value, &changed) {
                    continue;
                }
                // Blanks after the commas of the header are free; SDKs differ there.
                let free = |text: &str| text.replace(", ", ",");
                if name == "Authorization" && free(value) == free(&changed) {
                    continue;
                }
                let mut other = case.clone();
                other.headers[at].1 = changed;
                refuse(&other, name);
            }
            for changed in changes(name) {
                if changed.eq_ignore_ascii_case(name) {
                    continue;
                }
                let mut other = case.clone();
                other.headers[at].0 = changed;
                refuse(&other, name);
            }
            let mut without = case.clone();
            without.headers.remove(at);
            refuse(&without, name);
        }
    }
    assert!(tried > 100_000, "only {tried} changed requests were tried");
}

#[test]
fn an_added_amz_header_or_parameter_does_not_verify() {
    let verifier = Verifier::default();
    for case in cases() {
        for added in ["X-Amz-Target", "x-amz-acl", "x-amz-meta-a", "X-Amz-Security-Token"] {
            let mut other = case.clone();
            other.headers.push((added.to_owned(), "x".to_owned()));
            assert!(other.verify(&verifier).unwrap().is_err(), "{}: {added}", case.name);
        }
        let mark = if case.target.contains('?') { '&' } else { '?' };
        for added in ["a", "a=1", "", "X-Amz-Signature=00", "X-Amz-Expires=1"] {
            let other = Case { target: format!("{}{mark}{added}", case.target), ..case.clone() };
            if !same_target(&case.target, &other.target, false) {
                assert!(other.verify(&verifier).unwrap().is_err(), "{}: {added:?}", case.name);
            }
        }
    }
}
