//! STS, as much as every AWS client asks before anything else: GetCallerIdentity.

use std::net::SocketAddr;

use api::query::{self, QueryError};
use event::Region;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::access::{Expect, Payload};
use crate::audit;
use crate::http::{Body, answer, collect, text};
use crate::node::Node;

const CONTENT_TYPE: &str = "text/xml";
const BODY_BYTES_MAX: usize = 64 << 10;

pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = crate::chance::uuid(node.chance.as_ref()).to_string();
    let (status, body) = match carry_out(node, peer, request, &request_id).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, error.body(&request_id))
        }
    };
    let mut response = answer(status, CONTENT_TYPE, body);
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

async fn carry_out(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<String, QueryError> {
    let (parts, body) = collect(request, BODY_BYTES_MAX)
        .await
        .map_err(|e| QueryError { code: "InvalidParameterValue", status: 400, message: e.to_string() })?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), &Expect::STS, node.keys.as_ref(), now)
        .map_err(|e| QueryError { code: e.code, status: e.status.as_u16(), message: e.message })?;
    // A form in the body, or the same in the URI: presigned requests have it there.
    let parameters = match std::str::from_utf8(&body) {
        Ok("") | Err(_) => parts.uri.query().unwrap_or_default(),
        Ok(form) => form,
    };
    let query::Action::GetCallerIdentity = query::parse_action(parameters)?;
    let caller = &verified.caller;
    let region = Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    let call = audit::Call {
        caller,
        event_source: "sts.amazonaws.com",
        event_name: "GetCallerIdentity",
        region: region.as_str(),
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        request_id,
        read_only: true,
        data_event: false,
        error: None,
        request_parameters: None,
        response_elements: None,
        additional: Some(json!({ "RequestDetails": { "endpointType": "regional", "awsServingRegion": region.as_str() } })),
        resources: Vec::new(),
    };
    audit::record(node, call, now).await.map_err(|e| {
        QueryError { code: "ServiceUnavailable", status: 503, message: format!("The call could not be recorded: {e}") }
    })?;
    let arn = caller.arn().unwrap_or_default();
    let identity = query::CallerIdentity { arn: &arn, user_id: caller.principal_id(), account: caller.account().as_str() };
    Ok(query::caller_identity_body(identity, request_id))
}
