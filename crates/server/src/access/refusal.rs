//! Why someone may not come in, and how each door says it.
//!
//! A [`Refusal`] is the fact; [`AuthError`] is the fact in the words of one protocol. Codes and
//! sentences are AWS's where AWS has one. Sources: the common-errors page of each service's API
//! reference, the S3 error-code list, and answers quoted in SDK issue trackers for the sentences.
//! JSON 1.1 services answer 400 on the wire although their reference says 403.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use super::presented::basic_text;

/// Which protocol's words to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// AWS JSON 1.1: CloudTrail.
    Json,
    /// rest-json: CloudTrail Data, `/v1/events`. The codes of `Json` with status 403.
    RestJson,
    /// The query protocol: STS.
    Query,
    /// Amazon S3.
    S3,
}

/// What is wrong with a request's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No credentials at all.
    Missing,
    /// Credentials both in the `Authorization` header and in the query.
    TwoWays,
    /// A header or a query parameter that must be single was sent again.
    Repeated(String),
    /// Not `AWS4-HMAC-SHA256`.
    WrongAlgorithm,
    /// A part is missing or malformed; the sentence says which.
    Incomplete(String),
    HeadersTooLarge,
    TargetTooLong,
    /// `host`, the date or an `x-amz-…` header is not among the signed ones.
    HeadersNotSigned(Vec<String>),
    /// The credential's scope does not fit; the sentence says how.
    WrongScope(String),
    WrongRegion {
        presented: String,
        expected: String,
    },
    /// Signed too long ago.
    Expired {
        signed: Timestamp,
        now: Timestamp,
    },
    /// Signed in the future.
    NotYetCurrent {
        signed: Timestamp,
        now: Timestamp,
    },
    /// A presigned request after its time.
    PresignedExpired,
    /// This door takes no presigned requests.
    PresignedRefused,
    UnknownKey,
    InactiveKey,
    SessionTokenInvalid,
    SessionTokenExpired,
    SignatureMismatch,
    /// The door needs `x-amz-content-sha256` and it is absent.
    BodyHashMissing,
    /// `x-amz-content-sha256` is no hash and no form of payload that this door takes.
    BodyFormRefused,
    /// The body is not the one that was signed.
    BodyMismatch,
    /// The same signed request was already used.
    Replayed,
    /// An ingest token that nobody issued, or that has ended.
    TokenInvalid,
}

/// A refusal in the words of one door. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AuthError {
    pub refusal: Refusal,
    pub code: &'static str,
    pub status: StatusCode,
    pub message: String,
}

const SKEW: SignedDuration = SignedDuration::from_secs(super::verify::SKEW_SECONDS_MAX);
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const MISMATCH_S3: &str = "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
const TOKEN_INVALID: &str = "The security token included in the request is invalid.";
const TOKEN_EXPIRED: &str = "The security token included in the request is expired";
const TWO_WAYS_S3: &str = "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified";

impl AuthError {
    pub fn new(refusal: Refusal, dialect: Dialect) -> Self {
        let (code, status, message) = match dialect {
            Dialect::S3 => in_s3(&refusal),
            Dialect::Json | Dialect::RestJson | Dialect::Query => {
                let (family, message) = in_general(&refusal);
                let (code, status) = family.code_and_status(dialect);
                (code, status, message)
            }
        };
        let status = StatusCode::from_u16(status).expect("the statuses written below are valid");
        Self { refusal, code, status, message }
    }
}

/// What the protocols other than S3's tell apart.
#[derive(Clone, Copy)]
enum Family {
    Missing,
    Incomplete,
    UnknownKey,
    Signature,
    RequestExpired,
    TokenExpired,
    TooLarge,
}

impl Family {
    fn code_and_status(self, dialect: Dialect) -> (&'static str, u16) {
        let json = match dialect {
            Dialect::Json => 400,
            _ => 403,
        };
        match (self, dialect) {
            (Self::Missing, Dialect::Query) => ("MissingAuthenticationToken", 403),
            (Self::Missing, _) => ("MissingAuthenticationTokenException", json),
            (Self::Incomplete, Dialect::Query) => ("IncompleteSignature", 403),
            (Self::Incomplete, _) => ("IncompleteSignatureException", json),
            (Self::UnknownKey, Dialect::Query) => ("InvalidClientTokenId", 403),
            (Self::UnknownKey, _) => ("UnrecognizedClientException", json),
            (Self::Signature, Dialect::Query) => ("SignatureDoesNotMatch", 403),
            (Self::Signature, _) => ("InvalidSignatureException", json),
            (Self::RequestExpired, Dialect::Query) => ("RequestExpired", 400),
            (Self::RequestExpired, _) => ("InvalidSignatureException", json),
            (Self::TokenExpired, Dialect::Query) => ("ExpiredToken", 403),
            (Self::TokenExpired, _) => ("ExpiredTokenException", json),
            (Self::TooLarge, Dialect::Query) => ("RequestEntityTooLarge", 413),
            (Self::TooLarge, _) => ("RequestEntityTooLargeException", 413),
        }
    }
}

fn in_general(refusal: &Refusal) -> (Family, String) {
    let (family, message) = match refusal {
        Refusal::Missing => (Family::Missing, "Missing Authentication Token"),
        Refusal::TwoWays => (
            Family::Incomplete,
            "Credentials must be either in the Authorization header or in the query string, not in both.",
        ),
        Refusal::WrongAlgorithm => {
            (Family::Incomplete, "Only the AWS4-HMAC-SHA256 algorithm is supported.")
        }
        Refusal::Repeated(name) => {
            return (
                Family::Incomplete,
                format!("'{}' must be sent once only.", name.escape_debug()),
            );
        }
        Refusal::Incomplete(message) => (Family::Incomplete, message.as_str()),
        Refusal::HeadersTooLarge => (Family::TooLarge, "The request's headers are too large."),
        Refusal::TargetTooLong => (Family::TooLarge, "The request's URL is too long."),
        Refusal::HeadersNotSigned(names) => {
            let names = names.join("', '");
            return (
                Family::Signature,
                format!("'{names}' must be a 'SignedHeader' in the AWS Authorization."),
            );
        }
        Refusal::WrongScope(message) => (Family::Signature, message.as_str()),
        Refusal::WrongRegion { presented, .. } => {
            let message =
                format!("Credential should be scoped to a valid region, not '{presented}'.");
            return (Family::Signature, message);
        }
        Refusal::Expired { signed, now } => {
            let bound = basic_text(now.saturating_sub(SKEW).unwrap_or(*now));
            let (signed, now) = (basic_text(*signed), basic_text(*now));
            let message = format!(
                "Signature expired: {signed} is now earlier than {bound} ({now} - 15 min.)"
            );
            return (Family::Signature, message);
        }
        Refusal::NotYetCurrent { signed, now } => {
            let bound = basic_text(now.saturating_add(SKEW).unwrap_or(*now));
            let (signed, now) = (basic_text(*signed), basic_text(*now));
            let message = format!(
                "Signature not yet current: {signed} is still later than {bound} ({now} + 15 min.)"
            );
            return (Family::Signature, message);
        }
        Refusal::PresignedExpired => (Family::RequestExpired, "Request has expired."),
        Refusal::PresignedRefused => (
            Family::Incomplete,
            "Presigned requests are not accepted here; sign with the Authorization header.",
        ),
        Refusal::UnknownKey
        | Refusal::InactiveKey
        | Refusal::SessionTokenInvalid
        | Refusal::TokenInvalid => (Family::UnknownKey, TOKEN_INVALID),
        Refusal::SessionTokenExpired => (Family::TokenExpired, TOKEN_EXPIRED),
        Refusal::BodyHashMissing => {
            (Family::Incomplete, "Missing the 'x-amz-content-sha256' header.")
        }
        Refusal::BodyFormRefused => (
            Family::Signature,
            "The value of 'x-amz-content-sha256' must be the SHA-256 of the body, in lower-case hexadecimal.",
        ),
        Refusal::SignatureMismatch | Refusal::BodyMismatch => (Family::Signature, MISMATCH),
        Refusal::Replayed => {
            (Family::Signature, "This signed request was already used. Sign it again to repeat it.")
        }
    };
    (family, message.to_owned())
}

fn in_s3(refusal: &Refusal) -> (&'static str, u16, String) {
    let malformed = "AuthorizationHeaderMalformed";
    let (code, status, message) = match refusal {
        Refusal::Missing => ("AccessDenied", 403, "Access Denied"),
        Refusal::TwoWays => ("InvalidArgument", 400, TWO_WAYS_S3),
        Refusal::Repeated(name) => {
            return (
                "InvalidArgument",
                400,
                format!("'{}' must be sent once only.", name.escape_debug()),
            );
        }
        Refusal::WrongAlgorithm => (
            "InvalidRequest",
            400,
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
        ),
        Refusal::Incomplete(message) | Refusal::WrongScope(message) => {
            return (malformed, 400, format!("The authorization header is malformed; {message}"));
        }
        Refusal::WrongRegion { presented, expected } => {
            let message = format!(
                "The authorization header is malformed; the region '{presented}' is wrong; expecting '{expected}'"
            );
            return (malformed, 400, message);
        }
        Refusal::HeadersTooLarge => (
            "RequestHeaderSectionTooLarge",
            400,
            "Your request header and metadata section was too large.",
        ),
        Refusal::TargetTooLong => ("InvalidURI", 400, "Couldn't parse the specified URI."),
        Refusal::HeadersNotSigned(names) => {
            let names = names.join(", ");
            let message =
                format!("There were headers present in the request which were not signed: {names}");
            return ("AccessDenied", 403, message);
        }
        Refusal::Expired { .. } | Refusal::NotYetCurrent { .. } => (
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        ),
        Refusal::PresignedExpired => ("AccessDenied", 403, "Request has expired"),
        Refusal::PresignedRefused => {
            ("AccessDenied", 403, "Presigned requests are not accepted here.")
        }
        Refusal::UnknownKey | Refusal::InactiveKey => (
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.",
        ),
        Refusal::SessionTokenInvalid | Refusal::TokenInvalid => {
            ("InvalidToken", 400, "The provided token is malformed or otherwise invalid.")
        }
        Refusal::SessionTokenExpired => ("ExpiredToken", 400, "The provided token has expired."),
        Refusal::SignatureMismatch => ("SignatureDoesNotMatch", 403, MISMATCH_S3),
        Refusal::BodyHashMissing => (
            "InvalidRequest",
            400,
            "Missing required header for this request: x-amz-content-sha256",
        ),
        Refusal::BodyFormRefused => (
            "InvalidArgument",
            400,
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        ),
        Refusal::BodyMismatch => (
            "XAmzContentSHA256Mismatch",
            400,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        ),
        Refusal::Replayed => ("AccessDenied", 403, "This signed request was already used."),
    };
    (code, status, message.to_owned())
}
