//! Asking events in our own words: `POST /v1/lookup`.
//!
//! ```text
//!   {"filters": [{"field": "eventName", "startsWith": "Delete"},
//!                {"field": "userName", "is": ["alice", "bob"], "not": true},
//!                {"field": "record", "contains": "203.0.113.7"}],
//!    "from": "2026-03-01T00:00:00Z", "to": "2026-03-02T00:00:00Z",
//!    "region": "eu-west-1", "eventDataStore": "ARN or ID", "limit": 200, "cursor": "…"}
//!
//!   {"events": [{"eventId": …, "record": {…}}], "cursor": "…"}
//! ```
//! Everything may be left out. All filters must hold. Events come newest first; a cursor goes on
//! after the last event, whatever has arrived since. Without an event data store the account's event
//! history is asked, which holds management events of 90 days; for data events name a store.
//!
//! Signed with SigV4, service `cloudtrail-data`. The call itself is recorded.

use std::net::SocketAddr;
use std::sync::Arc;

use event::Region;
use event::lookup::{Field, Filter, Found, Lookup, Page, Test};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Caller, Expect, Payload};
use crate::audit;
use crate::authorization::{Denied, Grants, permit};
use crate::http::{Body, BodyError, answer, collect, text};
use crate::lake::{Columns, LakeFault, TableName};
use crate::node::Node;
use crate::operations::{Cx, event_data_stores, history};
use crate::page_token;

const CONTENT_TYPE: &str = "application/json";
const BODY_BYTES_MAX: usize = 256 << 10;
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1000;
const FILTERS_MAX: usize = 100;

type Refused = (StatusCode, String, String);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    filters: Vec<AskedFilter>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    region: Option<String>,
    event_data_store: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AskedFilter {
    field: AskedField,
    is: Option<OneOrMany>,
    starts_with: Option<String>,
    contains: Option<String>,
    #[serde(default)]
    not: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum AskedField {
    EventId,
    EventName,
    ReadOnly,
    UserName,
    ResourceType,
    ResourceName,
    EventSource,
    AccessKeyId,
    EventCategory,
    ErrorCode,
    SourceIpAddress,
    UserArn,
    Record,
}

pub async fn post(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    match take(node, peer, request).await {
        Ok(body) => answer(StatusCode::OK, CONTENT_TYPE, body),
        Err((status, code, message)) => {
            let body = json!({ "error": { "code": code, "message": message } });
            answer(status, CONTENT_TYPE, body.to_string())
        }
    }
}

async fn take(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<String, Refused> {
    if request.method() != http::Method::POST {
        let message = "POST a JSON object to /v1/lookup; {} asks for the newest events.";
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message));
    }
    let (parts, body) = collect(request, BODY_BYTES_MAX).await.map_err(|e| match e {
        BodyError::TooLarge { .. } => {
            refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", e.to_string())
        }
        BodyError::Broken(_) => refused(StatusCode::BAD_REQUEST, "IncompleteBody", e.to_string()),
    })?;
    let now = node.clock.now();
    let expect = &Expect::CLOUDTRAIL_DATA;
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), expect, node.accounts.as_ref(), now)
        .map_err(|e| refused(e.status, e.code, e.message))?;
    let caller = &verified.caller;
    let region = Region::parse(&verified.scope.region)
        .map_err(|e| refused(StatusCode::FORBIDDEN, "InvalidSignatureException", e.to_string()))?;
    node.accounts.note_use(caller, "cloudtrail", region.as_str(), now);
    let cx = Cx {
        node,
        caller,
        region: &region,
        now,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        grants: &Grants::default(),
    };
    let found = match permit(&node.accounts, &cx.asking(), "cloudtrail:LookupEvents", "*") {
        Ok(()) => ask(cx, &body).await,
        Err(Denied(message)) => {
            Err(refused(StatusCode::FORBIDDEN, "AccessDeniedException", message))
        }
    };
    record(cx, peer, &parts, &body, found.as_ref().err()).await?;
    found
}

async fn ask(cx: Cx<'_>, body: &[u8]) -> Result<String, Refused> {
    let asked: Asked = serde_json::from_slice(body)
        .map_err(|e| refused(StatusCode::BAD_REQUEST, "InvalidRequest", e.to_string()))?;
    let invalid = |message: String| refused(StatusCode::BAD_REQUEST, "InvalidRequest", message);
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid(format!("limit must lie between 1 and {LIMIT_MAX}; it is {limit}")));
    }
    if asked.filters.len() > FILTERS_MAX {
        return Err(invalid(format!("there may be {FILTERS_MAX} filters at most")));
    }
    let filters: Vec<Filter> =
        asked.filters.into_iter().map(filter).collect::<Result<_, _>>().map_err(invalid)?;
    let table = match &asked.event_data_store {
        None => TableName::history(),
        Some(named) => {
            let store = event_data_stores::active(cx, named).await.map_err(|e| {
                let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::BAD_REQUEST);
                refused(status, e.code.as_str(), e.message)
            })?;
            // Reading a store is a query, whatever it is asked by.
            permit(&cx.node.accounts, &cx.asking(), "cloudtrail:StartQuery", &store.arn).map_err(
                |Denied(message)| refused(StatusCode::FORBIDDEN, "AccessDeniedException", message),
            )?;
            if event_data_stores::table_of(&store).1 != Columns::Events {
                return Err(invalid(format!(
                    "{named} does not hold management, data or network activity events; ask it with SQL"
                )));
            }
            event_data_stores::table_of(&store).0
        }
    };
    let mut from = asked.from.unwrap_or(Timestamp::MIN);
    if asked.event_data_store.is_none() {
        from = from.max(history::kept_from(cx.now));
    }
    let to = asked.to.unwrap_or(Timestamp::MAX);

    // A cursor goes with what it was made for, except that time passes.
    let (filters_text, from_text, to_text) =
        (format!("{filters:?}"), format!("{:?}", asked.from), format!("{:?}", asked.to));
    let query = [
        "lookup",
        cx.account(),
        table.as_str(),
        asked.region.as_deref().unwrap_or_default(),
        &filters_text,
        &from_text,
        &to_text,
    ];
    let after = match &asked.cursor {
        None => None,
        Some(cursor) => Some(page_token::open(&query, cursor).ok_or_else(|| {
            let message = "the cursor is not one that was answered to this request";
            refused(StatusCode::BAD_REQUEST, "InvalidCursor", message)
        })?),
    };
    // A store is all its owner's, also what is about other accounts; history is everybody's.
    let account = asked.event_data_store.is_none().then_some(*cx.caller.account());
    let lookup = Lookup { account, region: asked.region.clone(), from, to, filters, after, limit };
    let lake = cx.node.lake.as_ref();
    let page = match asked.event_data_store {
        None => history::asked(lake, lookup).await,
        Some(_) => lake.lookup(&table, lookup).await,
    };
    let page = page.map_err(unavailable)?;
    Ok(shown(page, &query))
}

fn filter(asked: AskedFilter) -> Result<Filter, String> {
    let test = match (asked.is, asked.starts_with, asked.contains) {
        (Some(OneOrMany::One(value)), None, None) => Test::Is(vec![value]),
        (Some(OneOrMany::Many(values)), None, None) => Test::Is(values),
        (None, Some(prefix), None) => Test::StartsWith(prefix),
        (None, None, Some(part)) => Test::Contains(part),
        _ => return Err("a filter has one of is, startsWith and contains".to_owned()),
    };
    let field = match asked.field {
        AskedField::EventId => Field::EventId,
        AskedField::EventName => Field::EventName,
        AskedField::ReadOnly => Field::ReadOnly,
        AskedField::UserName => Field::Username,
        AskedField::ResourceType => Field::ResourceType,
        AskedField::ResourceName => Field::ResourceName,
        AskedField::EventSource => Field::EventSource,
        AskedField::AccessKeyId => Field::AccessKeyId,
        AskedField::EventCategory => Field::EventCategory,
        AskedField::ErrorCode => Field::ErrorCode,
        AskedField::SourceIpAddress => Field::SourceIpAddress,
        AskedField::UserArn => Field::UserArn,
        AskedField::Record => Field::Record,
    };
    Ok(Filter { field, test, negated: asked.not })
}

/// The answer's text. Records stand in it as they were accepted, byte for byte.
fn shown(page: Page, query: &[&str]) -> String {
    let cursor = page.events.last().filter(|_| page.more).map(Found::place);
    let mut body = String::from("{\"events\":[");
    for (number, event) in page.events.iter().enumerate() {
        if number > 0 {
            body.push(',');
        }
        let resources: Vec<Value> = event
            .resources
            .iter()
            .map(|named| json!({ "type": named.kind, "name": named.name }))
            .collect();
        let mut head = json!({
            "eventId": event.event_id,
            "eventTime": event.event_time,
            "eventName": event.event_name,
            "eventSource": event.event_source,
            "readOnly": event.read_only,
            "userName": event.user_name,
            "accessKeyId": event.access_key_id,
            "resources": resources,
        })
        .to_string();
        // The record goes into the same object, as its last member.
        head.pop();
        body.push_str(&head);
        body.push_str(",\"record\":");
        body.push_str(&event.record);
        body.push('}');
    }
    body.push(']');
    if let Some(place) = cursor {
        let cursor = json!(page_token::seal(query, &place)).to_string();
        body.push_str(",\"cursor\":");
        body.push_str(&cursor);
    }
    body.push('}');
    body
}

/// Who asked for what is worth knowing, too.
async fn record(
    cx: Cx<'_>,
    peer: SocketAddr,
    parts: &http::request::Parts,
    body: &[u8],
    error: Option<&Refused>,
) -> Result<(), Refused> {
    let caller: &Caller = cx.caller;
    let request_id = crate::chance::uuid(cx.node.chance.as_ref()).to_string();
    let call = audit::Call {
        caller,
        event_source: "cloudtrail.amazonaws.com",
        event_name: "LookupEvents",
        region: cx.region.as_str(),
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        request_id: &request_id,
        read_only: true,
        data_event: false,
        error: error.map(|(_, code, message)| (code.as_str(), message.as_str())),
        request_parameters: serde_json::from_slice(body).ok(),
        response_elements: None,
        additional: None,
        resources: Vec::new(),
        copy_to: None,
    };
    audit::record(cx.node, call, cx.node.clock.now()).await.map_err(|e| {
        let message = format!("The call could not be recorded: {e}.");
        refused(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    })
}

fn refused(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Refused {
    (status, code.into(), message.into())
}

fn unavailable(fault: LakeFault) -> Refused {
    tracing::error!(error = &fault as &dyn std::error::Error, "a lookup failed");
    match fault {
        LakeFault::Damaged { .. } => {
            refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", fault.told())
        }
        _ => refused(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", fault.told()),
    }
}
