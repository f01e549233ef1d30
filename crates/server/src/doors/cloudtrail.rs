//! The CloudTrail API: AWS JSON 1.1 over `POST /`.

use std::net::SocketAddr;

use api::cloudtrail::Operation;
use api::{ApiError, ErrorCode, json11};
use event::Region;
use event::record::NewResource;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::Value;

use crate::access::{AuthError, Caller, Expect, Payload, Refusal};
use crate::audit;
use crate::dispatch::{Outcome, dispatch};
use crate::http::{Body, BodyError, answer, collect, text};
use crate::node::Node;
use crate::operations::Cx;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// A request of the control plane never needs more.
const BODY_BYTES_MAX: usize = 1 << 20;

pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = crate::chance::uuid(node.chance.as_ref()).to_string();
    let mut response = match carry_out(node, peer, request, &request_id).await {
        Ok(body) => answer(StatusCode::OK, CONTENT_TYPE, body),
        Err((status, code, body)) => {
            let mut response = answer(status, CONTENT_TYPE, body);
            if let Ok(code) = HeaderValue::from_str(&code) {
                response.headers_mut().insert("x-amzn-errortype", code);
            }
            response
        }
    };
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

type Refused = (StatusCode, String, String);

async fn carry_out(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<String, Refused> {
    let (parts, body) = collect(request, BODY_BYTES_MAX).await.map_err(|e| match e {
        BodyError::TooLarge { .. } => {
            refused(ApiError::new(ErrorCode::RequestEntityTooLarge, e.to_string()))
        }
        BodyError::Broken(_) => {
            refused(ApiError::new(ErrorCode::SerializationException, e.to_string()))
        }
    })?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), &Expect::CLOUDTRAIL, node.keys.as_ref(), now)
        .map_err(unauthentic)?;
    let region = Region::parse(&verified.scope.region).map_err(|_| {
        let (presented, expected) = (&verified.scope.region, &node.settings.region);
        unauthentic(AuthError::new(
            Refusal::WrongRegion { presented: presented.clone(), expected: expected.to_string() },
            Expect::CLOUDTRAIL.dialect,
        ))
    })?;

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
    let cx = Cx { node, caller: &verified.caller, region: &region, now };
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
    };
    audit::record(node, call, node.clock.now()).await.map_err(|e| {
        refused(ApiError::new(
            ErrorCode::ServiceUnavailable,
            format!("The call could not be recorded: {e}. Check its effect before repeating it."),
        ))
    })
}

/// The trail or event data store that the call was about, where its ARN is in the answer or the
/// request.
fn named_resource(outcome: &Outcome, caller: &Caller) -> Option<NewResource> {
    let kind_of = |text: &str| match text {
        _ if !text.starts_with("arn:") => None,
        _ if text.contains(":trail/") => Some("AWS::CloudTrail::Trail"),
        _ if text.contains(":eventdatastore/") => Some("AWS::CloudTrail::EventDataStore"),
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

fn refused(error: ApiError) -> Refused {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, error.code.as_str().to_owned(), error.body())
}

fn unauthentic(error: AuthError) -> Refused {
    let body = serde_json::json!({ "__type": error.code, "message": error.message }).to_string();
    (error.status, error.code.to_owned(), body)
}
