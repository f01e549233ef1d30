//! What tools around CloudTrail ask of other AWS services before they ask CloudTrail anything, and how a
//! service that is not here says so.
//!
//! ```text
//!   ec2   DescribeRegions       ScoutSuite, prowler: where to look
//!   iam   ListAccountAliases    Cloud Custodian: what to call the account
//!   else  refused in the protocol that the client speaks, so that its SDK can read the refusal
//! ```
//! Sources: EC2 API reference, "DescribeRegions"; IAM API reference, "ListAccountAliases"; Smithy's "AWS
//! query", "EC2 query", "AWS JSON" and "RPC v2 CBOR" protocols for the shapes of errors.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use api::query::{escaped, form};
use event::Region;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::access::policy::wildcards_fit;
use crate::access::{AuthError, Expect, Payload};
use crate::audit;
use crate::authorization::{Asking, Denied, permit};
use crate::chance;
use crate::http::{Body, answer, collect, identified, text};
use crate::node::Node;
use crate::operations::internal;

const XML: &str = "text/xml;charset=UTF-8";
const BODY_BYTES_MAX: usize = 64 << 10;
const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const IAM: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
const OPT_IN: &str = "opt-in-not-required";

/// The Regions that every AWS account has from the start (EC2 user guide, "Regions"). Cairn serves any
/// name of a Region; these are where a tool that looks everywhere would look.
const REGIONS: [&str; 17] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

type Refused = (StatusCode, &'static str, String);
type Parameters = Vec<(String, String)>;

/// Answers one request.
pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = chance::uuid(node.chance.as_ref()).to_string();
    let is_ec2 = super::scope_service(request.headers(), request.uri().query()) == Some("ec2");
    match take(node, peer, request, &request_id).await {
        Ok(body) => identified(answer(StatusCode::OK, XML, body), &request_id),
        Err((status, code, message)) => {
            let body = match is_ec2 {
                true => ec2_error(code, &message, &request_id),
                false => query_error(IAM, status, code, &message, &request_id),
            };
            identified(answer(status, XML, body), &request_id)
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    DescribeRegions,
    ListAccountAliases,
}

impl Action {
    fn parse(service: &str, parameters: &Parameters) -> Result<Self, Refused> {
        let name = value(parameters, "Action").unwrap_or_default();
        match (service, name) {
            ("ec2", "DescribeRegions") => Ok(Action::DescribeRegions),
            ("iam", "ListAccountAliases") => Ok(Action::ListAccountAliases),
            _ => Err((
                StatusCode::BAD_REQUEST,
                "InvalidAction",
                format!(
                    "Cairn does not have {name:?} of {service}; it has DescribeRegions of ec2 and ListAccountAliases of iam. \
                     Set AWS_ENDPOINT_URL_{} where the rest lives elsewhere.",
                    service.to_ascii_uppercase()
                ),
            )),
        }
    }

    /// Service, name.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Action::DescribeRegions => ("ec2", "DescribeRegions"),
            Action::ListAccountAliases => ("iam", "ListAccountAliases"),
        }
    }
}

async fn take(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<String, Refused> {
    let (parts, body) =
        collect(request, BODY_BYTES_MAX).await.map_err(|e| invalid(e.to_string()))?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(
            &parts,
            Payload::Bytes(&body),
            &Expect::NEIGHBOURS,
            node.accounts.as_ref(),
            now,
        )
        .map_err(|AuthError { status, code, message, .. }| (status, code, message))?;
    let body = std::str::from_utf8(&body).unwrap_or_default();
    let parameters =
        form(body).map_err(|message| (StatusCode::BAD_REQUEST, "MalformedQueryString", message))?;
    let action = Action::parse(&verified.scope.service, &parameters)?;
    if !node.accepts() {
        return Err(unavailable("The journal cannot take events now (see /health)".to_owned()));
    }
    let region =
        Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    let (service, name) = action.names();
    node.accounts.note_use(&verified.caller, service, region.as_str(), now);
    let asking = Asking {
        caller: &verified.caller,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        region: &region,
        now,
    };
    let denied = match action {
        Action::DescribeRegions => "UnauthorizedOperation",
        Action::ListAccountAliases => "AccessDenied",
    };
    let done = match permit(&node.accounts, &asking, &format!("{service}:{name}"), "*") {
        Err(Denied(message)) => Err((StatusCode::FORBIDDEN, denied, message)),
        Ok(()) => match action {
            Action::DescribeRegions => {
                describe_regions(node, &asking, &parameters, request_id).await
            }
            Action::ListAccountAliases => Ok(no_aliases(request_id)),
        },
    };
    record(node, &asking, action, &parameters, &done, request_id).await?;
    done
}

/// The Regions of AWS, the node's own, and those with trails of the account. None needs opting in, and
/// endpoints are left out: there is one for all.
async fn describe_regions(
    node: &Node,
    asking: &Asking<'_>,
    parameters: &Parameters,
    request_id: &str,
) -> Result<String, Refused> {
    let trails = node.catalog.trails_of(asking.caller.account().as_str()).await;
    let trails = trails.map_err(|error| unavailable(internal(error).message))?;
    let mut regions: BTreeSet<&str> = REGIONS.into_iter().collect();
    regions.insert(node.settings.region.as_str());
    regions.extend(trails.iter().map(|trail| trail.home_region.as_str()));
    let shown = asked_for(parameters, &regions)?;
    if value(parameters, "DryRun") == Some("true") {
        let message = "Request would have succeeded, but DryRun flag is set.".to_owned();
        return Err((StatusCode::PRECONDITION_FAILED, "DryRunOperation", message));
    }
    let items: String = shown
        .into_iter()
        .map(|region| {
            format!(
                "        <item>\n            <regionName>{}</regionName>\n            <optInStatus>{OPT_IN}</optInStatus>\n        </item>\n",
                escaped(region)
            )
        })
        .collect();
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeRegionsResponse xmlns=\"{EC2}\">\n    <requestId>{request_id}</requestId>\n    \
         <regionInfo>\n{items}    </regionInfo>\n</DescribeRegionsResponse>\n"
    ))
}

/// Those that `RegionName.N` names, of which each must exist, and every `Filter.N` lets through.
fn asked_for<'a>(
    parameters: &Parameters,
    regions: &BTreeSet<&'a str>,
) -> Result<Vec<&'a str>, Refused> {
    let named = values(parameters, "RegionName.");
    if let Some(unknown) = named.iter().find(|name| !regions.contains(**name)) {
        return Err(invalid(format!("Invalid region provided: {unknown}")));
    }
    let mut shown: Vec<&str> = regions.iter().copied().collect();
    shown.retain(|region| named.is_empty() || named.contains(region));
    for (key, name) in parameters {
        let Some(place) = key.strip_prefix("Filter.").and_then(|rest| rest.strip_suffix(".Name"))
        else {
            continue;
        };
        let wanted = values(parameters, &format!("Filter.{place}.Value."));
        // EC2: `*` stands for any letters, `?` for one.
        shown.retain(|region| match name.as_str() {
            "region-name" => wanted.iter().any(|pattern| wildcards_fit(pattern, region)),
            "opt-in-status" => wanted.iter().any(|pattern| wildcards_fit(pattern, OPT_IN)),
            _ => true,
        });
        if !matches!(name.as_str(), "region-name" | "opt-in-status") {
            return Err(invalid(format!(
                "The filter '{name}' is invalid here; there are region-name and opt-in-status."
            )));
        }
    }
    Ok(shown)
}

/// Accounts have no aliases here.
fn no_aliases(request_id: &str) -> String {
    format!(
        "<ListAccountAliasesResponse xmlns=\"{IAM}\">\n  <ListAccountAliasesResult>\n    <IsTruncated>false</IsTruncated>\n    \
         <AccountAliases/>\n  </ListAccountAliasesResult>\n  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  \
         </ResponseMetadata>\n</ListAccountAliasesResponse>\n"
    )
}

fn value<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Of a list, whose members are numbered.
fn values<'a>(parameters: &'a Parameters, prefix: &str) -> Vec<&'a str> {
    let of_list = parameters.iter().filter(|(key, _)| {
        key.strip_prefix(prefix).is_some_and(|place| place.parse::<u32>().is_ok())
    });
    of_list.map(|(_, value)| value.as_str()).collect()
}

fn invalid(message: String) -> Refused {
    (StatusCode::BAD_REQUEST, "InvalidParameterValue", message)
}

fn unavailable(message: String) -> Refused {
    (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
}

async fn record(
    node: &Node,
    asking: &Asking<'_>,
    action: Action,
    parameters: &Parameters,
    done: &Result<String, Refused>,
    request_id: &str,
) -> Result<(), Refused> {
    let (service, name) = action.names();
    let event_source = match action {
        Action::DescribeRegions => "ec2.amazonaws.com",
        Action::ListAccountAliases => "iam.amazonaws.com",
    };
    let shown: Map<String, Value> = parameters
        .iter()
        .filter(|(key, _)| key != "Action" && key != "Version")
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let is_denied = matches!(done, Err((StatusCode::FORBIDDEN, ..)));
    let call = audit::Call {
        caller: asking.caller,
        event_source,
        event_name: name,
        // AWS: IAM is global, and recorded in us-east-1.
        region: if service == "iam" { "us-east-1" } else { asking.region.as_str() },
        source_ip: asking.source_ip,
        user_agent: asking.user_agent,
        request_id,
        read_only: true,
        data_event: false,
        error: done.as_ref().err().map(|(_, code, message)| (*code, message.as_str())),
        request_parameters: Some(audit::lower_camel(Value::Object(shown)))
            .filter(|asked| !is_denied && asked.as_object().is_some_and(|all| !all.is_empty())),
        response_elements: None,
        additional: None,
        resources: Vec::new(),
        copy_to: None,
    };
    audit::record(node, call, node.clock.now())
        .await
        .map_err(|error| unavailable(format!("The call could not be recorded: {error}.")))
}

/// Refuses a request to a service that Cairn does not have.
pub fn not_served(service: &str, headers: &HeaderMap) -> Response<Body> {
    let message = format!(
        "Cairn does not serve {service:?}; it serves cloudtrail, cloudtrail-data, organizations, sts, s3, tagging, a call each of ec2 and iam, \
         and event intake at /v1/events. Set AWS_ENDPOINT_URL_<SERVICE> for services that live elsewhere."
    );
    let status = StatusCode::BAD_REQUEST;
    let kind = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let namespace = format!("https://{service}.amazonaws.com/");
        let id = "00000000-0000-0000-0000-000000000000";
        return answer(status, XML, query_error(&namespace, status, "InvalidAction", &message, id));
    }
    let code = "UnknownOperationException";
    if text(headers, "smithy-protocol") == Some("rpc-v2-cbor") {
        let mut response = answer(status, "application/cbor", cbor_error(code, &message));
        let protocol = HeaderValue::from_static("rpc-v2-cbor");
        response.headers_mut().insert("smithy-protocol", protocol);
        return response;
    }
    let body = json!({ "__type": code, "message": message }).to_string();
    let mut response = answer(status, "application/x-amz-json-1.1", body);
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(code));
    response
}

fn query_error(
    namespace: &str,
    status: StatusCode,
    code: &str,
    message: &str,
    request_id: &str,
) -> String {
    let fault = if status.is_server_error() { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{}\">\n  <Error>\n    <Type>{fault}</Type>\n    <Code>{code}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
         <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
        escaped(namespace),
        escaped(message)
    )
}

fn ec2_error(code: &str, message: &str, request_id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors>\
         <RequestID>{request_id}</RequestID></Response>\n",
        escaped(message)
    )
}

/// A CBOR map of two texts (RFC 8949, 3.1: major type 5, then 3).
fn cbor_error(code: &str, message: &str) -> Vec<u8> {
    let mut bytes = vec![0xa2];
    for text in ["__type", code, "message", message] {
        match u8::try_from(text.len()) {
            Ok(length @ 0..=23) => bytes.push(0x60 | length),
            Ok(length) => bytes.extend([0x78, length]),
            Err(_) => {
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                bytes.push(0x79);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend(text.as_bytes().iter().take(usize::from(u16::MAX)));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Vec<&'static str>, Refused> {
        let regions = REGIONS.into_iter().collect();
        asked_for(&form(query).unwrap(), &regions)
    }

    #[test]
    fn every_region_is_shown_unless_names_or_filters_say_which() {
        assert_eq!(asked("AllRegions=true").unwrap(), REGIONS);
        assert_eq!(asked("RegionName.1=us-east-1&RegionName.2=eu-west-1").unwrap().len(), 2);
        assert_eq!(
            asked("Filter.1.Name=region-name&Filter.1.Value.1=eu-west-*").unwrap(),
            ["eu-west-1", "eu-west-2", "eu-west-3"]
        );
        let none = "Filter.1.Name=opt-in-status&Filter.1.Value.1=not-opted-in";
        assert!(asked(none).unwrap().is_empty());
        let both = "Filter.1.Name=opt-in-status&Filter.1.Value.1=opted-in&Filter.1.Value.2=opt-in-not-required";
        assert_eq!(asked(both).unwrap().len(), 17);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(asked("RegionName.1=moon-1").unwrap_err().1, "InvalidParameterValue");
        let filter = asked("Filter.1.Name=tag:x&Filter.1.Value.1=y").unwrap_err();
        assert!(filter.2.contains("tag:x"), "{}", filter.2);
    }

    #[test]
    fn a_refusal_speaks_the_clients_protocol() {
        let said = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let response = not_served("sns", &headers);
            response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned()
        };
        assert_eq!(said("content-type", "application/x-www-form-urlencoded; charset=utf-8"), XML);
        assert_eq!(said("smithy-protocol", "rpc-v2-cbor"), "application/cbor");
        assert_eq!(said("x-amz-target", "TrentService.ListKeys"), "application/x-amz-json-1.1");
    }

    #[test]
    fn texts_of_any_length_are_written_as_cbor() {
        let bytes = cbor_error("E", &"m".repeat(300));
        assert_eq!(&bytes[..2], b"\xa2\x66");
        let rest = &bytes[bytes.len() - 303..];
        assert_eq!(&rest[..3], &[0x79, 1, 44]);
        let middle = cbor_error("E", &"m".repeat(24));
        assert_eq!(&middle[middle.len() - 26..][..2], &[0x78, 24]);
    }
}
