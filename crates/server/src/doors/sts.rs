//! STS, as much as every AWS client asks before anything else: GetCallerIdentity.

use std::net::SocketAddr;

use api::query;
use event::Region;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::access::{Dialect, Expect, Payload, RegionRule};
use crate::audit;
use crate::http::{Body, answer, collect, text};
use crate::node::Node;

const CONTENT_TYPE: &str = "text/xml";
const BODY_BYTES_MAX: usize = 64 << 10;

pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = crate::chance::uuid(node.chance.as_ref()).to_string();
    let (status, body) = match carry_out(node, peer, request, &request_id).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, code, message)) => (status, query::error_xml(&code, &message, &request_id)),
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
) -> Result<String, (StatusCode, String, String)> {
    let (parts, body) = collect(request, BODY_BYTES_MAX)
        .await
        .map_err(|e| (StatusCode::BAD_REQUEST, "InvalidParameterValue".to_owned(), e.to_string()))?;
    let now = node.clock.now();
    let expect =
        Expect { services: &["sts"], region: RegionRule::Any, dialect: Dialect::Query, ..Expect::strict() };
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), &expect, node.keys.as_ref(), now)
        .map_err(|e| (e.status, e.code.to_owned(), e.message))?;
    let form = query::Form::parse(parts.uri.query().unwrap_or_default(), &body)
        .map_err(|e| (StatusCode::BAD_REQUEST, "MalformedQueryString".to_owned(), e.to_string()))?;
    let action = form.action().unwrap_or_default();
    if action != "GetCallerIdentity" {
        let message = format!("Could not find operation {action} for version {}", form.version().unwrap_or("2011-06-15"));
        return Err((StatusCode::BAD_REQUEST, "InvalidAction".to_owned(), message));
    }
    let caller = &verified.caller;
    let region = Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    let call = audit::Call {
        caller,
        event_source: "sts.amazonaws.com",
        event_name: "GetCallerIdentity",
        region: region.as_str(),
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        host: text(&parts.headers, "host"),
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
        (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable".to_owned(), format!("The call could not be recorded: {e}"))
    })?;
    Ok(query::get_caller_identity_xml(
        caller.arn().as_deref().unwrap_or_default(),
        caller.principal_id(),
        caller.account().as_str(),
        request_id,
    ))
}
