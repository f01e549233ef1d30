//! Checking a signature. The order of the checks is the order of the answers AWS gives: what is
//! malformed first, then what is out of scope or time, then the key, then the signature.

use std::sync::Arc;

use event::AccountId;
use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq as _;

use super::canonical::{self, Covered, PathForm, trimmed};
use super::keys::{SigningKey, SigningKeys, key_of, sha256};
use super::{
    AuthError, Caller, ChunkChain, Dialect, Identity, Key, KeyRing, Presented, Refusal, Scope,
    Secret,
};

/// AWS: 15 minutes either way (IAM user guide, "Signature Version 4 elements").
pub(super) const SKEW_SECONDS_MAX: i64 = 900;
const SIGNING_KEYS_MAX: usize = 1024;
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// What one door accepts.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// Service names that may stand in the scope.
    pub services: &'a [&'a str],
    pub region: RegionRule<'a>,
    pub dialect: Dialect,
    pub allow_presigned: bool,
    /// `UNSIGNED-PAYLOAD`, and presigned requests that say nothing of their body.
    pub allow_unsigned_payload: bool,
    /// `STREAMING-…`: the door must then check the chunks.
    pub allow_streaming: bool,
    /// Normalise and encode the path again, as all services but S3 do.
    pub double_encode_path: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum RegionRule<'a> {
    Exactly(&'a str),
    /// Any Region that looks like one: the scope's Region is the request's Region.
    Any,
}

impl Expect<'static> {
    /// The CloudTrail API.
    pub const CLOUDTRAIL: Self = Self::service(&["cloudtrail"], Dialect::Json);
    /// The CloudTrail Data API and the native intake.
    pub const CLOUDTRAIL_DATA: Self = Self::service(&["cloudtrail-data"], Dialect::RestJson);
    /// STS. Presigned requests are how other systems prove their identity to a third.
    pub const STS: Self = Self { allow_presigned: true, ..Self::service(&["sts"], Dialect::Query) };
    /// AWS Organizations.
    pub const ORGANIZATIONS: Self = Self::service(&["organizations"], Dialect::Json);
    /// The Resource Groups Tagging API.
    pub const TAGGING: Self = Self::service(&["tagging"], Dialect::Json);
    /// What is answered of EC2 and IAM.
    pub const NEIGHBOURS: Self = Self::service(&["ec2", "iam"], Dialect::Query);
    /// The embedded S3 endpoint.
    pub const S3: Self = Self {
        allow_presigned: true,
        allow_unsigned_payload: true,
        allow_streaming: true,
        double_encode_path: false,
        ..Self::service(&["s3"], Dialect::S3)
    };

    /// Nothing optional allowed, and no service: to be filled in with `..Expect::strict()`.
    pub const fn strict() -> Self {
        Self::service(&[], Dialect::Json)
    }

    const fn service(services: &'static [&'static str], dialect: Dialect) -> Self {
        Self {
            services,
            region: RegionRule::Any,
            dialect,
            allow_presigned: false,
            allow_unsigned_payload: false,
            allow_streaming: false,
            double_encode_path: true,
        }
    }
}

/// The request's body, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    Bytes(&'a [u8]),
    Sha256([u8; 32]),
    /// Not read yet. The declared hash is believed and comes back as [`BodyDuty::Sha256`].
    Deferred,
}

/// What the door must still do about the body before it acts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDuty {
    /// Nothing: the body is the one that was signed.
    Checked,
    /// Refuse with [`Refusal::BodyMismatch`] unless the body has this SHA-256.
    Sha256([u8; 32]),
    /// The signature says nothing about the body.
    Unsigned,
    /// `aws-chunked`: with `signed`, check each chunk with `Verified::chunk_chain`.
    Chunks { signed: bool, trailer: bool },
}

/// A request whose signature is right.
#[derive(Debug)]
pub struct Verified {
    pub caller: Caller,
    pub scope: Scope,
    pub body: BodyDuty,
    /// The signature itself, for [`super::ReplayGuard`].
    pub signature: [u8; 32],
    /// The last second in which this signature verifies.
    pub usable_until: Timestamp,
    /// `Some` for `BodyDuty::Chunks { signed: true, .. }`.
    pub chunk_chain: Option<ChunkChain>,
}

impl Verified {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn into_caller(self) -> Caller {
        self.caller
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// Verifies requests, and remembers the signing keys of the day.
pub struct Verifier {
    signing_keys: SigningKeys,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { signing_keys: SigningKeys::new(SIGNING_KEYS_MAX) }
    }
}

impl Verifier {
    /// Who signed this request. `now` is the server's time; whole seconds count.
    pub fn authenticate(
        &self,
        request: &Parts,
        payload: Payload<'_>,
        expect: &Expect<'_>,
        keys: &dyn KeyRing,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        self.verify(request, payload, expect, keys, now)
            .map_err(|refusal| AuthError::new(refusal, expect.dialect))
    }

    fn verify(
        &self,
        request: &Parts,
        payload: Payload<'_>,
        expect: &Expect<'_>,
        keys: &dyn KeyRing,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let presented = Presented::read(request)?;
        if presented.is_presigned() && !expect.allow_presigned {
            return Err(Refusal::PresignedRefused);
        }
        check_scope(&presented, expect)?;
        let usable_until = check_time(&presented, now)?;
        let (payload_hash, body) = body_claim(&presented, payload, expect)?;

        let string_to_sign = string_to_sign(request, &presented, expect, &payload_hash)?;
        let Some(key) = key_of(keys, &presented).filter(|key| key.active) else {
            // The same work as for a known key. The answer still tells, as it does on AWS.
            let nobody = Secret::new("nobody".to_owned());
            let right = SigningKey::derive(&nobody, &presented.scope).sign(&string_to_sign);
            std::hint::black_box(bool::from(right.ct_eq(&presented.signature)));
            return Err(Refusal::UnknownKey);
        };
        check_session_token(&presented, &key, now)?;
        let signing_key = match self.signing_keys.find(&key.secret, &presented.scope) {
            Some(kept) => kept,
            None => Arc::new(SigningKey::derive(&key.secret, &presented.scope)),
        };
        let right = signing_key.sign(&string_to_sign);
        if !bool::from(right.ct_eq(&presented.signature)) {
            return Err(Refusal::SignatureMismatch);
        }
        self.signing_keys.keep(&key.secret, &presented.scope, signing_key.clone());
        // After the signature: only the key's owner may learn that the body was another.
        check_body(&payload_hash, payload, body)?;

        let chunk_chain =
            matches!(body, BodyDuty::Chunks { signed: true, .. }).then(|| ChunkChain {
                signing_key,
                time: presented.time_text,
                scope: presented.scope.text(),
                previous: presented.signature,
            });
        Ok(Verified {
            caller: Caller {
                account: key.account,
                access_key_id: Some(presented.access_key_id),
                identity: key.identity,
                session_expires: key.session_token.as_ref().map(|token| token.expires),
                session_policy: key.session_token.and_then(|token| token.policy),
            },
            scope: presented.scope,
            body,
            signature: presented.signature,
            usable_until,
            chunk_chain,
        })
    }
}

fn check_scope(presented: &Presented, expect: &Expect<'_>) -> Result<(), Refusal> {
    let Scope { date, region, service } = &presented.scope;
    if presented.terminator != "aws4_request" {
        return Err(Refusal::WrongScope(format!(
            "Credential should be scoped with a valid terminator: 'aws4_request', not '{}'.",
            presented.terminator
        )));
    }
    match expect.region {
        RegionRule::Exactly(expected) if region != expected => {
            return Err(Refusal::WrongRegion {
                presented: region.clone(),
                expected: expected.into(),
            });
        }
        RegionRule::Any if !is_region_shaped(region) => {
            return Err(Refusal::WrongScope(format!(
                "Credential should be scoped to a valid region, not '{region}'."
            )));
        }
        RegionRule::Exactly(_) | RegionRule::Any => {}
    }
    if !expect.services.contains(&service.as_str()) {
        return Err(Refusal::WrongScope(format!(
            "Credential should be scoped to correct service: '{}'.",
            expect.services.join("', '")
        )));
    }
    let day = &presented.time_text[..8];
    if date != day {
        return Err(Refusal::WrongScope(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{date}' != '{day}', from '{}'.",
            presented.time_text
        )));
    }
    Ok(())
}

/// `us-east-1`, `us-gov-west-1`, `ap-southeast-5`: words, then a number.
fn is_region_shaped(region: &str) -> bool {
    let mut parts: Vec<&str> = region.split('-').collect();
    let number = parts.pop().unwrap_or("");
    let is_word =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    region.len() <= 32
        && parts.len() >= 2
        && parts.iter().all(is_word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The last instant at which the signature verifies, if that is not past.
fn check_time(presented: &Presented, now: Timestamp) -> Result<Timestamp, Refusal> {
    let (signed, now_second) = (presented.time.as_second(), now.as_second());
    if signed - now_second > SKEW_SECONDS_MAX {
        return Err(Refusal::NotYetCurrent { signed: presented.time, now });
    }
    let (lasts_seconds, refusal) = match presented.expires_seconds {
        Some(seconds) => (seconds, Refusal::PresignedExpired),
        None => (SKEW_SECONDS_MAX, Refusal::Expired { signed: presented.time, now }),
    };
    if now_second - signed > lasts_seconds {
        return Err(refusal);
    }
    let lasts = SignedDuration::from_secs(lasts_seconds);
    Ok(presented.time.saturating_add(lasts).unwrap_or(Timestamp::MAX))
}

/// The payload hash as it was signed, and what follows from it.
fn body_claim(
    presented: &Presented,
    payload: Payload<'_>,
    expect: &Expect<'_>,
) -> Result<(String, BodyDuty), Refusal> {
    let Some(declared) = &presented.content_sha256 else {
        if presented.is_presigned() && expect.allow_unsigned_payload {
            return Ok((UNSIGNED.to_owned(), BodyDuty::Unsigned));
        }
        return match payload {
            // AWS: S3 requires the header on every request signed in a header.
            _ if expect.dialect == Dialect::S3 => Err(Refusal::BodyHashMissing),
            Payload::Bytes(bytes) => Ok((hex::encode(sha256(bytes)), BodyDuty::Checked)),
            Payload::Sha256(hash) => Ok((hex::encode(hash), BodyDuty::Checked)),
            Payload::Deferred => Err(Refusal::BodyHashMissing),
        };
    };
    let body = match declared.as_str() {
        UNSIGNED if expect.allow_unsigned_payload => BodyDuty::Unsigned,
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" if expect.allow_streaming => {
            BodyDuty::Chunks { signed: true, trailer: false }
        }
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" if expect.allow_streaming => {
            BodyDuty::Chunks { signed: true, trailer: true }
        }
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
            if expect.allow_streaming && expect.allow_unsigned_payload =>
        {
            BodyDuty::Chunks { signed: false, trailer: true }
        }
        text => {
            let mut hash = [0; 32];
            let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            if !lower || hex::decode_to_slice(text, &mut hash).is_err() {
                return Err(Refusal::BodyFormRefused);
            }
            match payload {
                Payload::Bytes(_) | Payload::Sha256(_) => BodyDuty::Checked,
                Payload::Deferred => BodyDuty::Sha256(hash),
            }
        }
    };
    Ok((declared.clone(), body))
}

fn check_body(payload_hash: &str, payload: Payload<'_>, body: BodyDuty) -> Result<(), Refusal> {
    if body != BodyDuty::Checked {
        return Ok(());
    }
    let actual = match payload {
        Payload::Bytes(bytes) => sha256(bytes),
        Payload::Sha256(hash) => hash,
        Payload::Deferred => return Err(Refusal::BodyHashMissing),
    };
    if hex::encode(actual) == payload_hash { Ok(()) } else { Err(Refusal::BodyMismatch) }
}

fn string_to_sign(
    request: &Parts,
    presented: &Presented,
    expect: &Expect<'_>,
    payload_hash: &str,
) -> Result<String, Refusal> {
    for name in &presented.signed_headers {
        if name != "host" && !request.headers.contains_key(name.as_str()) {
            // AWS: a signed header that did not arrive is a signature that does not match.
            return Err(Refusal::SignatureMismatch);
        }
    }
    let form = if expect.double_encode_path { PathForm::Double } else { PathForm::Single };
    let bad = |_| Refusal::Incomplete("The URL has an invalid percent-encoding.".to_owned());
    let without = presented.is_presigned().then_some("X-Amz-Signature");
    let covered = Covered {
        method: &request.method,
        path: canonical::path(request.uri.path(), form).map_err(bad)?,
        query: canonical::query(request.uri.query().unwrap_or(""), without).map_err(bad)?,
        headers: &request.headers,
        host: host(request)?,
        signed_headers: &presented.signed_headers,
        payload_hash,
    };
    Ok(covered.string_to_sign(&presented.time_text, &presented.scope.text()))
}

/// The `Host` header; HTTP/2 has `:authority` in its place. Both together must agree, or a proxy and
/// we could route one request two ways.
fn host(request: &Parts) -> Result<&[u8], Refusal> {
    let header = request.headers.get("host").map(|value| trimmed(value.as_bytes()));
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    match (header, authority) {
        (Some(header), Some(authority)) if !header.eq_ignore_ascii_case(authority) => Err(
            Refusal::Incomplete("The Host header and the request's authority differ.".to_owned()),
        ),
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) => Err(Refusal::HeadersNotSigned(vec!["host".to_owned()])),
    }
}

fn check_session_token(presented: &Presented, key: &Key, now: Timestamp) -> Result<(), Refusal> {
    match (&presented.session_token, &key.session_token) {
        (None, None) => Ok(()),
        (Some(_), None) | (None, Some(_)) => Err(Refusal::SessionTokenInvalid),
        (Some(given), Some(bound)) => {
            if !bool::from(given.as_bytes().ct_eq(bound.text.reveal().as_bytes())) {
                return Err(Refusal::SessionTokenInvalid);
            }
            if now >= bound.expires {
                return Err(Refusal::SessionTokenExpired);
            }
            Ok(())
        }
    }
}

/// A caller for an ingest token: made here, beside the only other maker.
pub(super) fn caller_of_token(account: AccountId, name: String) -> Caller {
    Caller {
        account,
        access_key_id: None,
        identity: Identity::IngestToken { name },
        session_expires: None,
        session_policy: None,
    }
}
