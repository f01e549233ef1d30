//! The doors: each surface of HTTP with its own manners. All stand on one port; [`route`] tells
//! them apart.

mod access;
mod api_call;
pub mod bucket;
mod cloudtrail;
mod cloudtrail_data;
mod events;
mod health;
mod imports;
mod lookup;
mod neighbours;
mod organizations;
mod sts;
mod tagging;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::audit;
use crate::http::{Body, answer, text};
use crate::node::Node;

/// Which door a request is for, judged by what it carries, before anything is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    CloudTrail,
    CloudTrailData,
    Sts,
    Organizations,
    /// Resource Groups Tagging API.
    Tagging,
    /// EC2 and IAM, a call of each.
    Neighbours,
    Events,
    Imports,
    Lookup,
    Access,
    Bucket,
    Health,
    Metrics,
    /// An AWS service that we do not speak for.
    Unknown,
}

/// A signed request names its service in the credential scope; that decides. Without a signature,
/// the path and the shape decide, and the rest is taken for S3, which answers in its own words.
pub fn door_of(
    method: &Method,
    path: &str,
    headers: &http::HeaderMap,
    query: Option<&str>,
) -> Door {
    if path == "/v1/events" {
        return Door::Events;
    }
    let below = path.strip_prefix(imports::PATH);
    if below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
        return Door::Imports;
    }
    if path == "/v1/lookup" {
        return Door::Lookup;
    }
    if path == "/v1/access" {
        return Door::Access;
    }
    // Signed for another service or not: the target says who is meant.
    let target = text(headers, "x-amz-target").unwrap_or_default();
    if method == Method::POST && path == "/" && target.contains("CloudTrail_20131101.") {
        return Door::CloudTrail;
    }
    if let Some(service) = scope_service(headers, query) {
        return match service {
            "cloudtrail" => Door::CloudTrail,
            // Our own doors, which are signed with this name as well, went by their paths.
            "cloudtrail-data" => Door::CloudTrailData,
            "sts" => Door::Sts,
            "organizations" => Door::Organizations,
            "tagging" => Door::Tagging,
            "ec2" | "iam" => Door::Neighbours,
            "s3" => Door::Bucket,
            _ => Door::Unknown,
        };
    }
    match (method, path) {
        (&Method::GET | &Method::HEAD, "/health") => Door::Health,
        (&Method::GET | &Method::HEAD, "/metrics") => Door::Metrics,
        (&Method::POST, "/") if headers.contains_key("x-amz-target") => Door::CloudTrail,
        (&Method::POST, "/") => Door::Sts,
        _ => Door::Bucket,
    }
}

/// The service in `Credential=AKID/date/region/SERVICE/aws4_request`, of the header or the query.
fn scope_service<'a>(headers: &'a http::HeaderMap, query: Option<&'a str>) -> Option<&'a str> {
    let from_header = text(headers, "authorization").and_then(|value| {
        let credential = value.split("Credential=").nth(1)?;
        credential.split([',', ' ']).next()?.split('/').nth(3)
    });
    from_header.or_else(|| {
        let credential =
            query?.split('&').find_map(|pair| pair.strip_prefix("X-Amz-Credential="))?;
        // The slashes of a presigned credential usually come percent-encoded.
        match credential.contains('/') {
            true => credential.split('/').nth(3),
            false => credential.split("%2F").nth(3).or_else(|| credential.split("%2f").nth(3)),
        }
    })
}

/// Answers one request.
pub async fn route(
    node: Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let door =
        door_of(request.method(), request.uri().path(), request.headers(), request.uri().query());
    let started = node.clock.elapsed();
    let response = match door {
        Door::CloudTrail => cloudtrail::call(&node, peer, request).await,
        Door::CloudTrailData => cloudtrail_data::call(&node, peer, request).await,
        Door::Sts => sts::call(&node, peer, request).await,
        Door::Organizations => organizations::call(&node, peer, request).await,
        Door::Tagging => tagging::call(&node, peer, request).await,
        Door::Neighbours => neighbours::call(&node, peer, request).await,
        Door::Events => events::post(&node, peer, request).await,
        Door::Imports => imports::call(&node, peer, request).await,
        Door::Lookup => lookup::post(&node, peer, request).await,
        Door::Access => access::post(&node, peer, request).await,
        Door::Bucket => bucket_call(&node, peer, request).await,
        Door::Health => health::health(&node),
        Door::Metrics => health::metrics(&node),
        Door::Unknown => {
            let service = scope_service(request.headers(), request.uri().query());
            neighbours::not_served(service.unwrap_or_default(), request.headers())
        }
    };
    node.metrics.request(door, response.status(), node.clock.elapsed().saturating_sub(started));
    response
}

/// S3, and the event of the call. Delivery's own puts go on while the journal is full: they are
/// what makes room in it.
async fn bucket_call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let (response, call) = node.buckets.call(peer.ip(), request).await;
    let (Some(caller), Some(operation)) = (&call.caller, &call.operation) else { return response };
    let error = call
        .error_code
        .as_deref()
        .map(|code| (code, call.error_message.as_deref().unwrap_or_default()));
    let denied = call.error_code.as_deref() == Some("AccessDenied");
    let recorded = audit::record(
        node,
        audit::Call {
            caller,
            event_source: "s3.amazonaws.com",
            event_name: operation,
            region: call.region.as_deref().unwrap_or(node.settings.region.as_str()),
            source_ip: peer.ip(),
            // S3 shows the agent in brackets.
            user_agent: call.user_agent.as_ref().map(|agent| format!("[{agent}]")).as_deref(),
            request_id: &call.request_id,
            read_only: call.read_only,
            data_event: call.is_data_event,
            error,
            request_parameters: Some(call.request_parameters.clone().into()).filter(|_| !denied),
            response_elements: None,
            additional: Some(serde_json::json!({
                "SignatureVersion": bucket::BucketCall::SIGNATURE_VERSION,
                "AuthenticationMethod": call.authentication_method,
                "bytesTransferredIn": call.bytes_in,
                "bytesTransferredOut": call.bytes_out,
                "x-amz-id-2": call.extended_request_id,
            })),
            resources: call
                .resources
                .iter()
                .map(|(arn, kind)| audit::resource(arn, caller.account(), kind))
                .collect(),
            copy_to: None,
        },
        node.clock.now(),
    )
    .await;
    match recorded {
        Ok(()) => response,
        Err(error) if audit::is_delivery(caller) => {
            tracing::warn!(%error, operation, "delivery's own call could not be recorded");
            response
        }
        Err(error) => {
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>ServiceUnavailable</Code><Message>The call could not be \
                 recorded ({error}). Check its effect before repeating it.</Message></Error>"
            );
            answer(StatusCode::SERVICE_UNAVAILABLE, "application/xml", body)
        }
    }
}
