//! What went wrong with a request, in the store's words where it has any.

use std::error::Error;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use super::xml;

/// Why an object was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct DeliveryFailure {
    /// The store's error code, such as `NoSuchBucket`, `AccessDenied` or `SlowDown`; or ours where
    /// there was no answer: `ConnectionRefused`, `UnknownHost`, `Timeout`, `ConnectionReset`,
    /// `ConnectionError`; or `InvalidAnswer`, `EntityTooLarge`, `InvalidSettings`. This is what
    /// GetTrailStatus shows as LatestDeliveryError.
    pub code: String,
    /// Whether it may pass by itself. If not, someone has to act; keep trying all the same, slowly:
    /// they will not tell us when they have.
    pub retry: bool,
    /// The HTTP status, if the store answered.
    pub status: Option<u16>,
    /// The rest of what is known, for our log. Holds no secrets.
    pub detail: String,
}

impl DeliveryFailure {
    fn ours(code: &str, retry: bool, detail: &str) -> DeliveryFailure {
        DeliveryFailure { code: code.to_owned(), retry, status: None, detail: detail.to_owned() }
    }

    pub(super) fn settings(detail: &str) -> DeliveryFailure {
        DeliveryFailure::ours("InvalidSettings", false, detail)
    }

    pub(super) fn answer(detail: &str) -> DeliveryFailure {
        DeliveryFailure::ours("InvalidAnswer", true, detail)
    }

    pub(super) fn too_large(bytes_max: u64) -> DeliveryFailure {
        DeliveryFailure::ours("EntityTooLarge", false, &format!("more than {bytes_max} bytes"))
    }

    /// The store answered with a status that is no success.
    pub(super) fn refused(status: u16, body: &[u8]) -> DeliveryFailure {
        let text = String::from_utf8_lossy(body);
        // A code is a word; anything else in its place is not one.
        let code = xml::text_of(&text, "Code").filter(|code| {
            (1..=100).contains(&code.len())
                && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_')
        });
        let code = code.unwrap_or_else(|| code_of_status(status).to_owned());
        let message = xml::text_of(&text, "Message").unwrap_or_default();
        let message: String = message.chars().filter(|c| !c.is_control()).take(300).collect();
        let retry = status >= 500
            || status == 408
            || status == 429
            || ["SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "OperationAborted"]
                .contains(&code.as_str());
        DeliveryFailure {
            code,
            retry,
            status: Some(status),
            detail: format!("HTTP {status} {message}"),
        }
    }

    /// There was no complete answer.
    pub(super) fn network(error: &HttpError) -> DeliveryFailure {
        let mut detail = error.to_string();
        let mut io_kind = None;
        let mut source = error.source();
        while let Some(cause) = source {
            detail.push_str(": ");
            detail.push_str(&cause.to_string());
            if let Some(cause) = cause.downcast_ref::<io::Error>() {
                io_kind = Some(cause.kind());
            }
            source = cause.source();
        }
        let code = match (error.kind(), io_kind) {
            (_, Some(io::ErrorKind::ConnectionRefused)) => "ConnectionRefused",
            (HttpErrorKind::Timeout, _) | (_, Some(io::ErrorKind::TimedOut)) => "Timeout",
            (HttpErrorKind::Connect, _) if detail.contains("dns error") => "UnknownHost",
            (HttpErrorKind::Interrupted | HttpErrorKind::Request, _) => "ConnectionReset",
            (
                _,
                Some(
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof,
                ),
            ) => "ConnectionReset",
            _ => "ConnectionError",
        };
        DeliveryFailure::ours(code, true, &detail)
    }
}

/// S3's usual code where the answer has none, as after HEAD or from a proxy.
fn code_of_status(status: u16) -> &'static str {
    match status {
        301 | 307 => "PermanentRedirect",
        400 => "BadRequest",
        401 | 403 => "AccessDenied",
        404 => "NoSuchKey",
        405 => "MethodNotAllowed",
        408 => "RequestTimeout",
        409 => "OperationAborted",
        411 => "MissingContentLength",
        412 => "PreconditionFailed",
        413 => "EntityTooLarge",
        429 => "SlowDown",
        501 => "NotImplemented",
        502 => "BadGateway",
        503 => "ServiceUnavailable",
        504 => "GatewayTimeout",
        500.. => "InternalError",
        _ => "UnexpectedStatus",
    }
}
