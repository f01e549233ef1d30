//! The native intake: `POST /v1/events`.
//!
//! Takes CloudTrail records as NDJSON, as a JSON array or as `{"Records":[…]}`; plain, gzip or
//! zstd; signed with SigV4 (service `cloudtrail-data`) or with `Authorization: Bearer <token>`.
//! Answers 200 when at least one record is durable, 400 when none was good, 503 when nothing can
//! be taken now; always with the number accepted and, for each refused record, its place and why.

use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use journal::AppendError;
use serde_json::json;

use crate::access::{Caller, Dialect, Expect, Payload, token};
use crate::http::{Body, BodyError, answer, collect, text};
use crate::intake::{self, Encoding, IntakeError};
use crate::node::Node;

const CONTENT_TYPE: &str = "application/json";
/// Below this, checking a body costs less than moving it to another thread.
const INLINE_BYTES_MAX: usize = 256 << 10;

pub async fn post(node: &Node, request: Request<Incoming>) -> Response<Body> {
    match take(node, request).await {
        Ok(response) => response,
        Err((status, code, message)) => {
            let body = json!({ "accepted": 0, "error": { "code": code, "message": message } }).to_string();
            let mut response = answer(status, CONTENT_TYPE, body);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            response
        }
    }
}

type Refused = (StatusCode, &'static str, String);

async fn take(node: &Node, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    if request.method() != http::Method::POST {
        let message = "POST CloudTrail records to /v1/events as NDJSON, a JSON array or {\"Records\":[…]}";
        return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.to_owned()));
    }
    let (parts, body) = collect(request, node.settings.intake_body_bytes_max).await.map_err(|e| match e {
        BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", e.to_string()),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "IncompleteBody", e.to_string()),
    })?;
    let caller = authenticate(node, &parts, &body)?;
    let encoding = Encoding::of(text(&parts.headers, "content-encoding"), &body).map_err(refused)?;
    let now = node.clock.now();

    let checked = if body.len() <= INLINE_BYTES_MAX && encoding == Encoding::Plain {
        intake::check(&body, caller.account(), now, &node.settings)
    } else {
        let settings = node.settings.clone();
        let account = caller.account().clone();
        tokio::task::spawn_blocking(move || {
            if encoding == Encoding::Plain {
                return Ok(intake::check(&body, &account, now, &settings));
            }
            let inflated = intake::inflate(encoding, &body, settings.intake_inflated_bytes_max)?;
            Ok(intake::check(&inflated, &account, now, &settings))
        })
        .await
        .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", e.to_string()))?
        .map_err(refused)?
    };
    let posted = intake::accept(&node.journal, checked).await.map_err(refused)?;
    let accepted = posted.accepted.as_ref().map_or(0, |a| a.count);
    node.metrics.posted(accepted, posted.refused);

    let mut body = json!({ "accepted": accepted, "refused": posted.refused });
    if let Some(accepted) = &posted.accepted {
        body["firstSeq"] = json!(accepted.first_seq);
    }
    if !posted.refusals.is_empty() {
        body["refusals"] = json!(posted.refusals);
    }
    let status = if accepted > 0 { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(answer(status, CONTENT_TYPE, body.to_string()))
}

fn authenticate(node: &Node, parts: &http::request::Parts, body: &[u8]) -> Result<Caller, Refused> {
    let now = node.clock.now();
    if token::is_presented(parts) {
        return token::authenticate(parts, node.keys.as_ref(), Dialect::RestJson, now)
            .map_err(|e| (e.status, e.code, e.message));
    }
    node.verifier
        .authenticate(parts, Payload::Bytes(body), &Expect::CLOUDTRAIL_DATA, node.keys.as_ref(), now)
        .map(|verified| verified.caller)
        .map_err(|e| (e.status, e.code, e.message))
}

fn refused(error: IntakeError) -> Refused {
    let message = error.to_string();
    match error {
        IntakeError::Encoding { .. } => (StatusCode::BAD_REQUEST, "InvalidEncoding", message),
        IntakeError::UnknownEncoding(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedEncoding", message),
        IntakeError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message),
        IntakeError::Empty => (StatusCode::BAD_REQUEST, "NoRecords", message),
        IntakeError::Journal(AppendError::EntryTooLarge { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
        }
        IntakeError::Journal(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message),
    }
}
