//! The native intake: `POST /v1/events`.
//!
//! Takes CloudTrail records as NDJSON, as a JSON array or as `{"Records":[…]}`; plain, gzip or
//! zstd; signed with SigV4 (service `cloudtrail-data`) or with `Authorization: Bearer <token>`.
//! Answers 200 when at least one record is durable, 400 when none was good, 503 when nothing can
//! be taken now; always with the number accepted and, for each refused record, its place and why.

use std::net::SocketAddr;

use bytes::Bytes;
use event::Region;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use journal::AppendError;
use serde_json::json;

use crate::access::{
    AuthError, Caller, Dialect, Expect, Payload, Presented, Refusal, Verified, key_of, token,
};
use crate::authorization::{Asking, Denied, permit};
use crate::http::{Body, BodyError, answer, collect_body, text};
use crate::intake::{self, Checked, Encoding, IntakeError};
use crate::node::Node;

const CONTENT_TYPE: &str = "application/json";
/// Below this, checking a body costs less than moving it to another thread.
const INLINE_BYTES_MAX: usize = 256 << 10;

pub async fn post(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    match take(node, peer, request).await {
        Ok(response) => response,
        Err((status, code, message)) => {
            let body =
                json!({ "accepted": 0, "error": { "code": code, "message": message } }).to_string();
            let mut response = answer(status, CONTENT_TYPE, body);
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            response
        }
    }
}

type Refused = (StatusCode, &'static str, String);

async fn take(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Refused> {
    if request.method() != http::Method::POST {
        let message =
            "POST CloudTrail records to /v1/events as NDJSON, a JSON array or {\"Records\":[…]}";
        return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.to_owned()));
    }
    let (parts, body) = request.into_parts();
    // Strangers are turned away by the head alone, before any of their bytes are kept.
    let holder = presented(node, &parts)?;
    let bytes_max = node.settings.intake_body_bytes_max;
    let announced =
        usize::try_from(body.size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let held = node.intake_budget.hold(announced.min(bytes_max)).await;
    let body = collect_body(body, bytes_max).await.map_err(|e| match e {
        BodyError::TooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", e.to_string())
        }
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "IncompleteBody", e.to_string()),
    })?;
    let caller = match holder {
        Some(caller) => caller,
        None => signer(node, peer, &parts, &body)?,
    };
    let encoding =
        Encoding::of(text(&parts.headers, "content-encoding"), &body).map_err(refused)?;
    let checked = check(node, &caller, encoding, body).await?;
    let posted = intake::accept(&node.journal, checked).await.map_err(refused)?;
    drop(held);
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

/// Unpacks and checks a body, on another thread when that takes long.
async fn check(
    node: &Node,
    caller: &Caller,
    encoding: Encoding,
    body: Bytes,
) -> Result<Checked, Refused> {
    let now = node.clock.now();
    let account = *caller.account();
    if encoding == Encoding::Plain && body.len() <= INLINE_BYTES_MAX {
        return Ok(intake::check(&body, &account, now, &node.settings));
    }
    let settings = node.settings.clone();
    if encoding == Encoding::Plain {
        return blocking(move || Ok(intake::check(&body, &account, now, &settings))).await;
    }
    // Most bodies inflate a few times; one that grows further waits for room for the most it may.
    let usual_max =
        body.len().saturating_mul(16).clamp(64 << 10, settings.intake_inflated_bytes_max);
    let held = node.intake_budget.hold(usual_max).await;
    let attempt = {
        let (body, settings) = (body.clone(), settings.clone());
        blocking(move || {
            let inflated = intake::inflate(encoding, &body, usual_max)?;
            Ok(intake::check(&inflated, &account, now, &settings))
        })
        .await
    };
    drop(held);
    let bytes_max = settings.intake_inflated_bytes_max;
    match attempt {
        Err((StatusCode::PAYLOAD_TOO_LARGE, ..)) if usual_max < bytes_max => {
            let _held = node.intake_budget.hold(bytes_max).await;
            blocking(move || {
                let inflated = intake::inflate(encoding, &body, bytes_max)?;
                Ok(intake::check(&inflated, &account, now, &settings))
            })
            .await
        }
        other => other,
    }
}

async fn blocking(
    work: impl FnOnce() -> Result<Checked, IntakeError> + Send + 'static,
) -> Result<Checked, Refused> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", e.to_string()))?
        .map_err(refused)
}

/// The holder of a good ingest token; None for a signed request whose key exists, which still has
/// to be verified with its body.
fn presented(node: &Node, parts: &http::request::Parts) -> Result<Option<Caller>, Refused> {
    let words = |e: AuthError| (e.status, e.code, e.message);
    if token::is_presented(parts) {
        return token::authenticate(
            parts,
            node.accounts.as_ref(),
            Dialect::RestJson,
            node.clock.now(),
        )
        .map(Some)
        .map_err(words);
    }
    let claimed =
        Presented::read(parts).map_err(|e| words(AuthError::new(e, Dialect::RestJson)))?;
    if key_of(node.accounts.as_ref(), &claimed).is_none() {
        return Err(words(AuthError::new(Refusal::UnknownKey, Dialect::RestJson)));
    }
    Ok(None)
}

fn signer(
    node: &Node,
    peer: SocketAddr,
    parts: &http::request::Parts,
    body: &[u8],
) -> Result<Caller, Refused> {
    let now = node.clock.now();
    let expect = &Expect::CLOUDTRAIL_DATA;
    let verified = node
        .verifier
        .authenticate(parts, Payload::Bytes(body), expect, node.accounts.as_ref(), now)
        .and_then(|verified| node.not_replayed(verified, expect.dialect, now))
        .map_err(|e| (e.status, e.code, e.message))?;
    let Verified { caller, scope, .. } = verified;
    node.accounts.note_use(&caller, "cloudtrail-data", &scope.region, now);
    let region = Region::parse(&scope.region)
        .map_err(|e| (StatusCode::FORBIDDEN, "InvalidSignatureException", e.to_string()))?;
    let asking = Asking {
        caller: &caller,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        region: &region,
        now,
    };
    // An action of our own: whoever may put into a channel may not yet say what others did.
    permit(&node.accounts, &asking, "cairn:PutEvents", "*")
        .map_err(|Denied(message)| (StatusCode::FORBIDDEN, "AccessDeniedException", message))?;
    Ok(caller)
}

fn refused(error: IntakeError) -> Refused {
    let message = error.to_string();
    match error {
        IntakeError::Encoding { .. } => (StatusCode::BAD_REQUEST, "InvalidEncoding", message),
        IntakeError::UnknownEncoding(_) => {
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedEncoding", message)
        }
        IntakeError::TooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
        }
        IntakeError::Empty => (StatusCode::BAD_REQUEST, "NoRecords", message),
        IntakeError::Journal(AppendError::EntryTooLarge { .. }) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
        }
        IntakeError::Journal(_) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message),
    }
}
