//! The CloudTrail API: AWS JSON 1.1 over `POST /`.

use std::net::SocketAddr;
use std::sync::Arc;

use api::cloudtrail::Operation;
use api::{ApiError, ErrorCode, json11};
use event::Region;
use event::record::NewResource;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::access::{Caller, Expect, Payload};
use crate::audit;
use crate::authorization::Grants;
use crate::dispatch::{Outcome, dispatch};
use crate::doors::api_call::{Refused, refused, region_of, unauthentic, unread};
use crate::http::{Body, answer, collect, identified, text};
use crate::node::Node;
use crate::operations::Cx;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// A request of the control plane never needs more.
const BODY_BYTES_MAX: usize = 1 << 20;

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
                response.headers_mut().insert("x-amzn-errortype", code);
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
    let (parts, body) = collect(request, BODY_BYTES_MAX).await.map_err(unread)?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(
            &parts,
            Payload::Bytes(&body),
            &Expect::CLOUDTRAIL,
            node.accounts.as_ref(),
            now,
        )
        .map_err(unauthentic)?;
    let region = region_of(node, &verified, &Expect::CLOUDTRAIL)?;

    let target = text(&parts.headers, "x-amz-target").unwrap_or_default();
    let operation = json11::operation_of_target(target).map_err(|e| refused(e.into()))?;
    // Clients that poll, or put one question again and again, ask the same several times a second, with
    // the same signature.
    let asks = is_read_only(operation) || operation == Operation::StartQuery;
    let verified = match asks {
        true => verified,
        false => {
            node.not_replayed(verified, Expect::CLOUDTRAIL.dialect, now).map_err(unauthentic)?
        }
    };
    if !node.accepts() {
        // Nothing may happen that cannot be recorded.
        return Err(refused(ApiError::new(
            ErrorCode::ServiceUnavailable,
            "The journal cannot take events now (see /health), so no call can be recorded; try again later.",
        )));
    }
    node.accounts.note_use(&verified.caller, "cloudtrail", region.as_str(), now);
    let grants = Grants::default();
    let cx = Cx {
        node,
        caller: &verified.caller,
        region: &region,
        now,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        grants: &grants,
    };
    let outcome = dispatch(cx, operation, &body).await;
    record(node, peer, &parts, &verified.caller, &region, request_id, operation, &outcome).await?;
    outcome.answer.map_err(refused)
}

#[expect(clippy::too_many_arguments, reason = "each is one fact of the event")]
async fn record(
    node: &Node,
    peer: SocketAddr,
    parts: &http::request::Parts,
    caller: &Caller,
    region: &Region,
    request_id: &str,
    operation: Operation,
    outcome: &Outcome,
) -> Result<(), Refused> {
    let read_only = is_read_only(operation);
    let error = outcome.answer.as_ref().err().map(|e| (e.code.as_str(), e.message.as_str()));
    let response_elements = match (&outcome.response, read_only) {
        (Some(value), false) => Some(audit::lower_camel(value.clone()))
            .filter(|v| v.as_object().is_some_and(|o| !o.is_empty())),
        _ => None,
    };
    let call = audit::Call {
        caller,
        event_source: "cloudtrail.amazonaws.com",
        event_name: operation.name(),
        region: region.as_str(),
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        request_id,
        read_only,
        data_event: false,
        error,
        request_parameters: outcome.request.clone().map(audit::lower_camel),
        response_elements,
        additional: None,
        resources: named_resource(outcome, caller).into_iter().collect(),
        copy_to: None,
    };
    audit::record(node, call, node.clock.now()).await.map_err(|e| {
        refused(ApiError::new(
            ErrorCode::ServiceUnavailable,
            format!("The call could not be recorded: {e}. Check its effect before repeating it."),
        ))
    })
}

/// The trail, event data store, channel or dashboard that the call was about, where its ARN is in the answer or the
/// request.
fn named_resource(outcome: &Outcome, caller: &Caller) -> Option<NewResource> {
    let kind_of = |text: &str| match text {
        _ if !text.starts_with("arn:") => None,
        _ if text.contains(":trail/") => Some("AWS::CloudTrail::Trail"),
        _ if text.contains(":channel/") => Some("AWS::CloudTrail::Channel"),
        _ if text.contains(":eventdatastore/") => Some("AWS::CloudTrail::EventDataStore"),
        _ if text.contains(":dashboard/") => Some("AWS::CloudTrail::Dashboard"),
        _ => None,
    };
    let named_in = |value: &Option<Value>| {
        let members = value.as_ref()?.as_object()?;
        let mut texts = members.values().filter_map(Value::as_str);
        texts.find_map(|text| Some((text.to_owned(), kind_of(text)?)))
    };
    let (arn, kind) = named_in(&outcome.response).or_else(|| named_in(&outcome.request))?;
    Some(audit::resource(&arn, caller.account(), kind))
}

/// CloudTrail's own calls by name: what only reads is Describe, Get, List, Lookup and Search. The
/// model has no trait for it; the names of this one service are regular.
fn is_read_only(operation: Operation) -> bool {
    let name = operation.name();
    ["Describe", "Get", "List", "Lookup", "Search"].iter().any(|verb| name.starts_with(verb))
}
