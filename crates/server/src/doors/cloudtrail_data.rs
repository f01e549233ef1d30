//! CloudTrail Data: REST-JSON, of which there is one operation, `POST /PutAuditEvents`.

use std::net::SocketAddr;
use std::sync::Arc;

use api::cloudtrail_data::{Operation, PutAuditEventsRequest};
use api::rest_json::{CONTENT_TYPE, ERROR_HEADER, PUT_AUDIT_EVENTS_PATH, parse_put_audit_events};
use api::{ApiError, ErrorCode, Input as _};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use crate::access::{Expect, Payload};
use crate::audit;
use crate::authorization::Grants;
use crate::doors::api_call::{Refused, refused, region_of, unauthentic, unread};
use crate::http::{Body, answer, collect, identified, text};
use crate::node::Node;
use crate::operations::Cx;
use crate::operations::channels::{Put, put_audit_events};

/// One megabyte of events (AWS), which are JSON in strings of JSON: each of their quotes and
/// backslashes is escaped.
const BODY_BYTES_MAX: usize = 4 << 20;

pub async fn call(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let request_id = crate::chance::uuid(node.chance.as_ref()).to_string();
    let response = match carry_out(node, peer, request, &request_id).await {
        Ok(body) => answer(StatusCode::OK, CONTENT_TYPE, body),
        Err((status, code, body)) => {
            let mut response = answer(status, CONTENT_TYPE, body);
            if let Ok(code) = HeaderValue::from_str(&code) {
                response.headers_mut().insert(
                    http::HeaderName::from_bytes(ERROR_HEADER.as_bytes())
                        .expect("the name is a constant that is a header's"),
                    code,
                );
            }
            response
        }
    };
    identified(response, &request_id)
}

async fn carry_out(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<String, Refused> {
    // Large bodies wait for room, as they do at the intake.
    let announced = request.body().size_hint().upper().unwrap_or(u64::MAX);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX).min(BODY_BYTES_MAX);
    let held = node.intake_budget.hold(announced).await;
    let (parts, body) = collect(request, BODY_BYTES_MAX).await.map_err(unread)?;
    let (now, expect) = (node.clock.now(), &Expect::CLOUDTRAIL_DATA);
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), expect, node.accounts.as_ref(), now)
        .map_err(unauthentic)?;
    let region = region_of(node, &verified, expect)?;
    if parts.method != Method::POST || parts.uri.path() != PUT_AUDIT_EVENTS_PATH {
        return Err(refused(ApiError::new(
            ErrorCode::UnknownOperationException,
            format!("CloudTrail Data has one operation: POST {PUT_AUDIT_EVENTS_PATH}."),
        )));
    }
    let verified = node.not_replayed(verified, expect.dialect, now).map_err(unauthentic)?;
    if !node.accepts() {
        return Err(refused(ApiError::new(
            ErrorCode::ServiceUnavailable,
            "The journal cannot take events now (see /health); try again later.",
        )));
    }
    node.accounts.note_use(&verified.caller, "cloudtrail-data", region.as_str(), now);
    let cx = Cx {
        node,
        caller: &verified.caller,
        region: &region,
        now,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        grants: &Grants::default(),
    };
    let query = parts.uri.query().unwrap_or_default();
    let (asked, outcome) = match parse_put_audit_events(query, &body) {
        Ok(input) => (Some(shown(&input)), put(cx, input).await),
        Err(error) => (None, Err(ApiError::from(error))),
    };
    record(cx, peer, &parts, request_id, asked, &outcome).await?;
    drop(held);
    let put = outcome.map_err(refused)?;
    serde_json::to_string(&put.response).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        refused(ApiError::new(ErrorCode::InternalFailure, "The answer could not be written."))
    })
}

async fn put(cx: Cx<'_>, input: PutAuditEventsRequest) -> Result<Put, ApiError> {
    // The model wants an ARN, the API reference takes an ID as well; what is neither has an error of
    // its own.
    let mut violations = input.violations();
    violations.retain(|violation| violation.member != "channelArn" || violation.value.is_none());
    match ApiError::validation(&violations) {
        Some(refusal) => Err(refusal),
        None => put_audit_events(cx, input).await,
    }
}

/// Of the request what says which events it was about, not what they say: that lies in the event data
/// stores, where others may read than here.
fn shown(input: &PutAuditEventsRequest) -> Value {
    let events = input.audit_events.as_deref().unwrap_or_default();
    let events: Vec<Value> = events.iter().map(|event| json!({ "id": event.id })).collect();
    json!({ "channelArn": input.channel_arn, "auditEvents": events })
}

/// AWS: PutAuditEvents is a data event on resources of type AWS::CloudTrail::Channel.
async fn record(
    cx: Cx<'_>,
    peer: SocketAddr,
    parts: &http::request::Parts,
    request_id: &str,
    asked: Option<Value>,
    outcome: &Result<Put, ApiError>,
) -> Result<(), Refused> {
    let put = outcome.as_ref().ok();
    let resource =
        |put: &Put| audit::resource(&put.channel_arn, &put.owner, "AWS::CloudTrail::Channel");
    let call = audit::Call {
        caller: cx.caller,
        // Inferred from the service's endpoint and its prefix in policies.
        event_source: "cloudtrail-data.amazonaws.com",
        event_name: Operation::PutAuditEvents.name(),
        region: cx.region.as_str(),
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        request_id,
        read_only: false,
        data_event: true,
        error: outcome.as_ref().err().map(|e| (e.code.as_str(), e.message.as_str())),
        request_parameters: asked,
        response_elements: put.and_then(|put| serde_json::to_value(&put.response).ok()),
        additional: None,
        resources: put.map(resource).into_iter().collect(),
        copy_to: put.map(|put| put.owner),
    };
    audit::record(cx.node, call, cx.node.clock.now()).await.map_err(|e| {
        refused(ApiError::new(
            ErrorCode::ServiceUnavailable,
            format!("The call could not be recorded: {e}. Its events may have been taken."),
        ))
    })
}
