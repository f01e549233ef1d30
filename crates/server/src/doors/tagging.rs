//! The Resource Groups Tagging API, as far as it is about CloudTrail's resources: AWS JSON 1.1 over
//! `POST /`, targets `ResourceGroupsTaggingAPI_20170126.…`, signed with service `tagging`. Cloud Custodian
//! reads and changes tags of trails by it only.
//!
//! ```text
//!   GetResources       tagged trails, event data stores, channels and dashboards of the Region
//!   TagResources       AddTags on each; what failed is in the answer
//!   UntagResources     RemoveTags on each
//! ```
//! A change needs the right to `tag:…` and, resource by resource, the one to CloudTrail's own operation.
//! It is recorded as one event. Source: Resource Groups Tagging API reference.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use api::cloudtrail::Operation;
use catalog::Tag;
use event::Region;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::access::{AuthError, Expect, Payload};
use crate::audit;
use crate::authorization::{Denied, Grants, permit};
use crate::chance;
use crate::dispatch::dispatch;
use crate::doors::api_call::{NeighbourRefused as Refused, answered};
use crate::http::{Body, collect, identified, text};
use crate::node::Node;
use crate::operations::{self, Cx, tags};

const TARGET: &str = "ResourceGroupsTaggingAPI_20170126.";
const BODY_BYTES_MAX: usize = 256 << 10;
/// API reference: ResourcesPerPage, and how many ARNs GetResources takes.
const PAGE_MAX: usize = 100;
const PAGE: usize = 50;
/// API reference: ResourceARNList of TagResources and UntagResources.
const CHANGED_MAX: usize = 20;
/// API reference: Tags and TagKeys.
const TAGS_MAX: usize = 50;

/// Answers one request.
pub async fn call(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let request_id = chance::uuid(node.chance.as_ref()).to_string();
    let done = take(node, peer, request, &request_id).await;
    identified(answered(done), &request_id)
}

#[expect(clippy::enum_variant_names, reason = "the names are the API's")]
enum Action {
    GetResources(GetResources),
    TagResources(TagResources),
    UntagResources(UntagResources),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct GetResources {
    pagination_token: String,
    tag_filters: Vec<TagFilter>,
    resources_per_page: Option<usize>,
    tags_per_page: Option<usize>,
    resource_type_filters: Vec<String>,
    include_compliance_details: bool,
    exclude_compliant_resources: bool,
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagFilter {
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TagResources {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UntagResources {
    #[serde(rename = "ResourceARNList")]
    arns: Vec<String>,
    tag_keys: Vec<String>,
}

impl Action {
    fn parse(target: &str, body: &[u8]) -> Result<Self, Refused> {
        fn input<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refused> {
            let body = if body.is_empty() { b"{}" } else { body };
            serde_json::from_slice(body)
                .map_err(|e| (StatusCode::BAD_REQUEST, "SerializationException", e.to_string()))
        }
        match target.strip_prefix(TARGET) {
            Some("GetResources") => input(body).map(Self::GetResources),
            Some("TagResources") => input(body).map(Self::TagResources),
            Some("UntagResources") => input(body).map(Self::UntagResources),
            _ => {
                let message = format!(
                    "Cairn does not have {target:?}; it has GetResources, TagResources and UntagResources."
                );
                Err((StatusCode::BAD_REQUEST, "UnknownOperationException", message))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Action::GetResources(_) => "GetResources",
            Action::TagResources(_) => "TagResources",
            Action::UntagResources(_) => "UntagResources",
        }
    }

    fn arns(&self) -> &[String] {
        match self {
            Action::GetResources(asked) => &asked.arns,
            Action::TagResources(asked) => &asked.arns,
            Action::UntagResources(asked) => &asked.arns,
        }
    }

    /// As the event shows it. Keys of tags are the caller's own words and stay as they are.
    fn parameters(&self) -> Value {
        match self {
            Action::GetResources(asked) => match asked.arns.is_empty() {
                true => json!({ "resourceTypeFilters": asked.resource_type_filters }),
                false => json!({ "resourceARNList": asked.arns }),
            },
            Action::TagResources(asked) => {
                json!({ "resourceARNList": asked.arns, "tags": asked.tags })
            }
            Action::UntagResources(asked) => {
                json!({ "resourceARNList": asked.arns, "tagKeys": asked.tag_keys })
            }
        }
    }
}

async fn take(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<Value, Refused> {
    let (parts, body) =
        collect(request, BODY_BYTES_MAX).await.map_err(|e| invalid(e.to_string()))?;
    let now = node.clock.now();
    let unauthentic = |AuthError { status, code, message, .. }| (status, code, message);
    let expect = Expect::TAGGING;
    let mut verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), &expect, node.accounts.as_ref(), now)
        .map_err(unauthentic)?;
    let action = Action::parse(text(&parts.headers, "x-amz-target").unwrap_or_default(), &body)?;
    let reads = matches!(action, Action::GetResources(_));
    if !reads {
        verified = node.not_replayed(verified, expect.dialect, now).map_err(unauthentic)?;
    }
    if !node.accepts() {
        let message =
            "The journal cannot take events now (see /health), so no call can be recorded.";
        return Err(internal(message.to_owned()));
    }
    let region =
        Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    node.accounts.note_use(&verified.caller, "tagging", region.as_str(), now);
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
    let done = match permit(&node.accounts, &cx.asking(), &format!("tag:{}", action.name()), "*") {
        Err(Denied(message)) => Err((StatusCode::BAD_REQUEST, "AccessDeniedException", message)),
        Ok(()) => carry_out(cx, &action).await,
    };
    record(cx, &action, &done, request_id).await?;
    done
}

async fn carry_out(cx: Cx<'_>, action: &Action) -> Result<Value, Refused> {
    match action {
        Action::GetResources(asked) => get_resources(cx, asked).await,
        Action::TagResources(TagResources { arns, tags }) => {
            bounded("Tags", tags.len(), TAGS_MAX)?;
            let list: Vec<Value> = tags
                .iter()
                .map(|(key, value)| match value.is_empty() {
                    // CloudTrail's tags without a value have none.
                    true => json!({ "Key": key }),
                    false => json!({ "Key": key, "Value": value }),
                })
                .collect();
            change(cx, Operation::AddTags, arns, list).await
        }
        Action::UntagResources(UntagResources { arns, tag_keys }) => {
            bounded("TagKeys", tag_keys.len(), TAGS_MAX)?;
            let list = tag_keys.iter().map(|key| json!({ "Key": key })).collect();
            change(cx, Operation::RemoveTags, arns, list).await
        }
    }
}

/// CloudTrail's operation on each resource by itself; one that fails does not stop the others.
async fn change(
    cx: Cx<'_>,
    operation: Operation,
    arns: &[String],
    tags: Vec<Value>,
) -> Result<Value, Refused> {
    bounded("ResourceARNList", arns.len(), CHANGED_MAX)?;
    let mut failed = Map::new();
    for arn in arns {
        let body = json!({ "ResourceId": arn, "TagsList": tags }).to_string();
        let Err(error) = dispatch(cx, operation, body.as_bytes()).await.answer else { continue };
        // API reference, FailureInfo: one of these two codes.
        let code = match error.status() < 500 {
            true => "InvalidParameterException",
            false => "InternalServiceException",
        };
        let message = format!("{}: {}", error.code.as_str(), error.message);
        let why =
            json!({ "StatusCode": error.status(), "ErrorCode": code, "ErrorMessage": message });
        failed.insert(arn.clone(), why);
    }
    Ok(json!({ "FailedResourcesMap": failed }))
}

/// What has tags in the caller's account and Region, by ARN.
async fn get_resources(cx: Cx<'_>, asked: &GetResources) -> Result<Value, Refused> {
    if asked.include_compliance_details || asked.exclude_compliant_resources {
        return Err(invalid("There are no tag policies here to comply with; leave IncludeComplianceDetails and ExcludeCompliantResources out.".to_owned()));
    }
    if asked.arns.len() > PAGE_MAX {
        return Err(invalid(format!("ResourceARNList takes at most {PAGE_MAX} ARNs.")));
    }
    let pages = !asked.pagination_token.is_empty()
        || asked.resources_per_page.is_some()
        || asked.tags_per_page.is_some();
    if !asked.arns.is_empty() && pages {
        return Err(invalid("ResourceARNList cannot be combined with ResourcesPerPage, TagsPerPage and PaginationToken.".to_owned()));
    }
    let per_page = asked.resources_per_page.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&per_page) {
        return Err(invalid(format!("ResourcesPerPage must lie between 1 and {PAGE_MAX}.")));
    }
    let catalog = &cx.node.catalog;
    let tagged = catalog
        .tagged(cx.account(), cx.region.as_str())
        .await
        .map_err(|error| internal(operations::internal(error).message))?;
    let limit = if asked.arns.is_empty() { per_page } else { PAGE_MAX };
    let mut page: Vec<(String, Vec<Tag>)> = Vec::new();
    let mut last = None;
    for (arn, tags) in tagged {
        let wanted = arn > asked.pagination_token
            && (asked.arns.is_empty() || asked.arns.contains(&arn))
            && (asked.resource_type_filters.is_empty()
                || asked.resource_type_filters.iter().any(|one| is_of_type(&arn, one)))
            && asked.tag_filters.iter().all(|filter| has(&tags, filter));
        // Tags outlive a trail in the catalog, until one of its name is made anew.
        if !wanted || !tags::can_have_tags(cx, &arn).await {
            continue;
        }
        if page.len() == limit {
            last = page.last().map(|(arn, _)| arn.clone());
            break;
        }
        page.push((arn, tags));
    }
    let list: Vec<Value> = page
        .into_iter()
        .map(|(arn, tags)| {
            let tags: Vec<Value> =
                tags.iter().map(|tag| json!({ "Key": tag.key, "Value": tag.value })).collect();
            json!({ "ResourceARN": arn, "Tags": tags })
        })
        .collect();
    Ok(json!({ "PaginationToken": last.unwrap_or_default(), "ResourceTagMappingList": list }))
}

/// API reference: `service` or `service:type`, such as `cloudtrail:trail`.
fn is_of_type(arn: &str, wanted: &str) -> bool {
    let mut parts = arn.splitn(6, ':');
    let service = parts.nth(2).unwrap_or_default();
    let kind = parts.nth(2).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    match wanted.split_once(':') {
        None => wanted == service,
        Some((of, ty)) => of == service && ty == kind,
    }
}

/// API reference: a key with one of the values; without values the key suffices.
fn has(tags: &[Tag], filter: &TagFilter) -> bool {
    tags.iter().any(|tag| {
        tag.key == filter.key && (filter.values.is_empty() || filter.values.contains(&tag.value))
    })
}

fn bounded(member: &str, count: usize, max: usize) -> Result<(), Refused> {
    match (1..=max).contains(&count) {
        true => Ok(()),
        false => Err(invalid(format!("{member} must have 1 to {max} members; it has {count}."))),
    }
}

fn invalid(message: String) -> Refused {
    (StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

fn internal(message: String) -> Refused {
    (StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceException", message)
}

async fn record(
    cx: Cx<'_>,
    action: &Action,
    done: &Result<Value, Refused>,
    request_id: &str,
) -> Result<(), Refused> {
    let read_only = matches!(action, Action::GetResources(_));
    let is_denied = matches!(done, Err((_, "AccessDeniedException", _)));
    let failed = done.as_ref().ok().map(|answer| &answer["FailedResourcesMap"]);
    let own = format!("arn:aws:cloudtrail:{}:{}:", cx.region, cx.account());
    let call = audit::Call {
        caller: cx.caller,
        event_source: "tagging.amazonaws.com",
        event_name: action.name(),
        region: cx.region.as_str(),
        source_ip: cx.source_ip,
        user_agent: cx.user_agent,
        request_id,
        read_only,
        data_event: false,
        error: done.as_ref().err().map(|(_, code, message)| (*code, message.as_str())),
        request_parameters: Some(action.parameters()).filter(|_| !is_denied),
        response_elements: failed
            .filter(|_| !read_only)
            .map(|failed| json!({ "failedResourcesMap": failed })),
        additional: None,
        resources: action
            .arns()
            .iter()
            .filter(|arn| !read_only && arn.starts_with(&own))
            .map(|arn| audit::resource(arn, cx.caller.account(), kind_of(arn)))
            .collect(),
        copy_to: None,
    };
    audit::record(cx.node, call, cx.node.clock.now())
        .await
        .map_err(|error| internal(format!("The call could not be recorded: {error}.")))
}

fn kind_of(arn: &str) -> &'static str {
    match arn.splitn(6, ':').nth(5).and_then(|rest| rest.split('/').next()) {
        Some("eventdatastore") => "AWS::CloudTrail::EventDataStore",
        Some("channel") => "AWS::CloudTrail::Channel",
        Some("dashboard") => "AWS::CloudTrail::Dashboard",
        _ => "AWS::CloudTrail::Trail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_of_its_service_and_of_its_type() {
        let arn = "arn:aws:cloudtrail:us-east-1:111111111111:trail/a:b";
        for (wanted, is) in [
            ("cloudtrail", true),
            ("cloudtrail:trail", true),
            ("cloudtrail:channel", false),
            ("ec2:trail", false),
            ("ec2", false),
        ] {
            assert_eq!(is_of_type(arn, wanted), is, "{wanted}");
        }
    }

    #[test]
    fn a_tag_fits_by_key_and_by_any_of_the_values() {
        let tags = [Tag { key: "team".into(), value: "sec".into() }];
        let filter = |key: &str, values: &[&str]| TagFilter {
            key: key.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        assert!(has(&tags, &filter("team", &[])));
        assert!(has(&tags, &filter("team", &["ops", "sec"])));
        assert!(!has(&tags, &filter("team", &["ops"])));
        assert!(!has(&tags, &filter("Team", &[])));
    }
}
