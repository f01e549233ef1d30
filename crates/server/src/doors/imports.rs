//! The door of `cairn import`: files of any shape, one request each, straight into an event data
//! store. Signed like calls to the CloudTrail API (service name `cloudtrail`).
//!
//! ```text
//!   POST   /v1/imports                       {"store": ARN or ID}  → 200 {"importId", "table"}
//!   POST   /v1/imports/ID/known              {"sha256": [hex, …]}  → 200 {"known": [hex, …]}
//!   PUT    /v1/imports/ID/files?name=&sha256=     the file's bytes → 200 {"known", "events", "expired", "refused": [reason, …],
//!                                                                         "refusedCount", "uncompressedBytes"}
//!   POST   /v1/imports/ID/commit                                   → 200 {"rows", "duplicates", "files"}
//!   DELETE /v1/imports/ID                                          → 200 {}
//! ```
//! A file is in once a commit that began after its answer has answered. What a client has not
//! committed when it goes is forgotten; handing it in again changes nothing. Errors are
//! `{"error": {"code", "message"}}`: 422 for a file that is no log file, 429 and 503 with
//! `Retry-After` when there is no room now, 413 for a file that is too large.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::ApiError;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use event::Region;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use jiff::SignedDuration;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{AuthError, Dialect, Expect, Payload, Presented, Refusal, Verified, key_of};
use crate::authorization::{Denied, Grants, permit};
use crate::http::{Body, BodyError, answer, collect_body, text};
use crate::imports::open::InUse;
use crate::lake::{FileFault, ImportOptions, LakeFault, TableName};
use crate::node::Node;
use crate::operations::{Cx, imports::importable};
use crate::{audit, chance};

pub const PATH: &str = "/v1/imports";
const CONTENT_TYPE: &str = "application/json";
/// Of every request that brings no file.
const BODY_BYTES_MAX: usize = 4 << 20;
/// How long a file waits for room in memory before its client is told to come again.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// Hashes in one question.
const HASHES_MAX: usize = 10_000;
/// A name is only for messages.
const NAME_CHARS_MAX: usize = 2000;

/// Status, code, message.
type Refused = (StatusCode, &'static str, String);

/// What a path under [`PATH`] asks for.
enum Ask<'a> {
    Begin,
    Known(&'a str),
    File(&'a str),
    Commit(&'a str),
    Drop(&'a str),
}

pub async fn call(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    match take(node, peer, request).await {
        Ok(value) => answer(StatusCode::OK, CONTENT_TYPE, value.to_string()),
        Err((status, code, message)) => {
            let body = json!({ "error": { "code": code, "message": message } }).to_string();
            let mut response = answer(status, CONTENT_TYPE, body);
            let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
            if busy.contains(&status) {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            response
        }
    }
}

async fn take(
    node: &Arc<Node>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Value, Refused> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let rest: Vec<&str> = path.strip_prefix(PATH).unwrap_or_default().split('/').collect();
    let ask = match (&parts.method, rest.as_slice()) {
        (&Method::POST, [""]) => Ask::Begin,
        (&Method::POST, ["", id, "known"]) => Ask::Known(id),
        (&Method::PUT, ["", id, "files"]) => Ask::File(id),
        (&Method::POST, ["", id, "commit"]) => Ask::Commit(id),
        (&Method::DELETE, ["", id]) => Ask::Drop(id),
        _ => {
            let message = "POST /v1/imports, POST /v1/imports/ID/known, PUT /v1/imports/ID/files, \
                           POST /v1/imports/ID/commit, DELETE /v1/imports/ID";
            return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.to_owned()));
        }
    };
    // Strangers are turned away by the head alone, before any of their bytes are kept.
    known_key(node, &parts)?;
    let bytes_max = match ask {
        Ask::File(_) => node.settings.imports.file_bytes_max,
        _ => BODY_BYTES_MAX,
    };
    let announced =
        usize::try_from(body.size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let room = node.imports.budget.hold(announced.min(bytes_max));
    let _held = tokio::time::timeout(ROOM_WAIT, room).await.map_err(|_| {
        busy(StatusCode::SERVICE_UNAVAILABLE, "Too many files are being imported at once.")
    })?;
    let body = collect_body(body, bytes_max).await.map_err(|e| match e {
        BodyError::TooLarge { .. } => {
            (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", e.to_string())
        }
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "IncompleteBody", e.to_string()),
    })?;
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let agent = text(&parts.headers, "user-agent").map(str::to_owned);
    let (verified, sha256, body) = verified(node, parts, body).await?;
    match ask {
        Ask::Begin => begin(node, peer, verified, agent.as_deref(), &body).await,
        Ask::Known(id) => known(node, &find(node, &verified, id)?, &body).await,
        Ask::File(id) => add(node, &find(node, &verified, id)?, &query, sha256, body).await,
        Ask::Commit(id) => commit(node, id, &find(node, &verified, id)?).await,
        Ask::Drop(id) => {
            find(node, &verified, id)?;
            node.imports.open.remove(id);
            Ok(json!({}))
        }
    }
}

fn known_key(node: &Node, parts: &Parts) -> Result<(), Refused> {
    let words = |refusal| {
        let error = AuthError::new(refusal, Dialect::RestJson);
        (error.status, error.code, error.message)
    };
    let claimed = Presented::read(parts).map_err(words)?;
    match key_of(node.accounts.as_ref(), &claimed) {
        Some(_) => Ok(()),
        None => Err(words(Refusal::UnknownKey)),
    }
}

/// Who signed, and the body's hash; on another thread, since bodies are large.
async fn verified(
    node: &Arc<Node>,
    parts: Parts,
    body: Bytes,
) -> Result<(Verified, [u8; 32], Bytes), Refused> {
    let node = node.clone();
    let work = tokio::task::spawn_blocking(move || {
        let (now, keys) = (node.clock.now(), node.accounts.as_ref());
        // One pass over the bytes serves the signature and the list of known files.
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, &body).as_ref());
        let payload = Payload::Sha256(sha256);
        let verified =
            node.verifier.authenticate(&parts, payload, &Expect::CLOUDTRAIL, keys, now)?;
        Ok::<_, AuthError>((verified, sha256, body))
    });
    let done = work
        .await
        .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", e.to_string()))?;
    done.map_err(|e| (e.status, e.code, e.message))
}

fn find(node: &Node, verified: &Verified, id: &str) -> Result<InUse, Refused> {
    let account = verified.caller.account();
    node.imports.open.find(id, account, node.clock.elapsed()).ok_or_else(|| {
        let message = format!(
            "Import {id} is not open. It may have been idle for too long: begin a new one."
        );
        (StatusCode::NOT_FOUND, "ImportNotFoundException", message)
    })
}

#[derive(Deserialize)]
struct Begin {
    store: String,
}

async fn begin(
    node: &Arc<Node>,
    peer: SocketAddr,
    verified: Verified,
    agent: Option<&str>,
    body: &[u8],
) -> Result<Value, Refused> {
    let Begin { store } = parsed(body)?;
    if !node.accepts() {
        return Err(busy(
            StatusCode::SERVICE_UNAVAILABLE,
            "The journal cannot take events now (see /health), so no call can be recorded.",
        ));
    }
    let now = node.clock.now();
    let region = Region::parse(&verified.scope.region)
        .map_err(|e| (StatusCode::BAD_REQUEST, "InvalidRegion", e.to_string()))?;
    let caller = &verified.caller;
    node.accounts.note_use(caller, "cloudtrail", region.as_str(), now);
    let cx = Cx {
        node,
        caller,
        region: &region,
        now,
        source_ip: peer.ip(),
        user_agent: agent,
        grants: &Grants::default(),
    };
    let id = chance::uuid(node.chance.as_ref()).to_string();
    let begun = open(cx, &store, &id).await;
    let error = begun.as_ref().err().map(|(_, code, message)| (*code, message.as_str()));
    let call = audit::Call {
        caller,
        event_source: "cloudtrail.amazonaws.com",
        event_name: "StartImport",
        region: region.as_str(),
        source_ip: peer.ip(),
        user_agent: agent,
        request_id: &id,
        read_only: false,
        data_event: false,
        error,
        request_parameters: Some(
            json!({ "destinations": [store], "importSource": { "client": true } }),
        ),
        response_elements: begun.is_ok().then(|| json!({ "importId": id })),
        additional: None,
        resources: Vec::new(),
        copy_to: None,
    };
    if let Err(error) = audit::record(node, call, now).await {
        node.imports.open.remove(&id);
        let message = format!("The call could not be recorded: {error}.");
        return Err(busy(StatusCode::SERVICE_UNAVAILABLE, &message));
    }
    begun
}

async fn open(cx: Cx<'_>, store: &str, id: &str) -> Result<Value, Refused> {
    let store = importable(cx, store).await.map_err(refused)?;
    permit(&cx.node.accounts, &cx.asking(), "cloudtrail:StartImport", &store.arn)
        .map_err(|Denied(message)| (StatusCode::FORBIDDEN, "AccessDeniedException", message))?;
    let account = *cx.caller.account();
    if !cx.node.imports.open.has_room(&account) {
        let message = "Too many imports are open. Close one, or wait until idle ones are dropped.";
        return Err(busy(StatusCode::TOO_MANY_REQUESTS, message));
    }
    let retention = SignedDuration::from_hours(24 * i64::from(store.state.retention_days));
    let options = ImportOptions { account, from: cx.now.saturating_sub(retention).ok() };
    let table = TableName::of_store(&store.id);
    let import = cx.node.lake.import(&table, options).await.map_err(|fault| match fault {
        // The catalog has it: its table has not been opened since the start.
        LakeFault::NoSuchTable(_) => {
            let message = "The event data store is being opened.";
            busy(StatusCode::SERVICE_UNAVAILABLE, message)
        }
        fault => of_lake(fault),
    })?;
    let elapsed = cx.node.clock.elapsed();
    let name = table.as_str().to_owned();
    cx.node.imports.open.add(id, account, table, store.arn, import, elapsed);
    Ok(json!({ "importId": id, "table": name }))
}

#[derive(Deserialize)]
struct Known {
    sha256: Vec<String>,
}

async fn known(node: &Node, open: &InUse, body: &[u8]) -> Result<Value, Refused> {
    let Known { sha256 } = parsed(body)?;
    if sha256.len() > HASHES_MAX {
        let message = format!("At most {HASHES_MAX} hashes can be asked for at once.");
        return Err((StatusCode::BAD_REQUEST, "TooManyHashes", message));
    }
    let hashes: Vec<[u8; 32]> = sha256.iter().map(|text| hash(text)).collect::<Result<_, _>>()?;
    let found = node.catalog.known_imported_files(open.table.as_str(), &hashes).await;
    let found = found.map_err(of_catalog)?;
    let known: Vec<&String> = sha256
        .iter()
        .zip(&hashes)
        .filter(|(_, hash)| found.contains(*hash))
        .map(|(text, _)| text)
        .collect();
    Ok(json!({ "known": known }))
}

async fn add(
    node: &Node,
    open: &InUse,
    query: &str,
    sha256: [u8; 32],
    body: Bytes,
) -> Result<Value, Refused> {
    let value = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        pair.map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
    };
    if let Some(stated) = value("sha256")
        && hash(&stated)? != sha256
    {
        let message = "The file's SHA-256 is not the one that was stated.".to_owned();
        return Err((StatusCode::BAD_REQUEST, "InvalidChecksum", message));
    }
    let name: String = value("name").unwrap_or_default().chars().take(NAME_CHARS_MAX).collect();
    let known = node.catalog.known_imported_files(open.table.as_str(), &[sha256]).await;
    if !known.map_err(of_catalog)?.is_empty() {
        return Ok(json!({ "known": true, "events": 0, "expired": 0, "refused": [],
            "refusedCount": 0, "uncompressedBytes": 0 }));
    }
    let read = open.import.add(&name, body).await.map_err(|fault| match fault {
        FileFault::Unreadable(message) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "UnreadableFile", message)
        }
        FileFault::Lake(fault) => of_lake(fault),
    })?;
    // What is too old today may be wanted after the retention period was made longer.
    if read.expired == 0 {
        open.added(sha256);
    }
    Ok(json!({
        "known": false,
        "events": read.events,
        "expired": read.expired,
        "refused": read.refused,
        "refusedCount": read.refused_count,
        "uncompressedBytes": read.uncompressed_bytes,
    }))
}

async fn commit(node: &Node, id: &str, open: &InUse) -> Result<Value, Refused> {
    // Before the commit begins: what is added from now on may miss it.
    let added = open.take_added();
    let imported = match open.import.commit().await {
        Ok(imported) => imported,
        Err(fault) => {
            match fault {
                LakeFault::BeginAgain { .. } => node.imports.open.remove(id),
                _ => open.put_back(added),
            }
            return Err(of_lake(fault));
        }
    };
    node.metrics.imported(imported.rows);
    // Stopped here, the files are handed in again, and every event of theirs is known.
    let now_ms = node.clock.now().as_millisecond();
    let entered = node.catalog.add_imported_files(open.table.as_str(), &added, now_ms).await;
    entered.map_err(of_catalog)?;
    Ok(json!({ "rows": imported.rows, "duplicates": imported.duplicates, "files": added.len() }))
}

fn parsed<T: for<'a> Deserialize<'a>>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|e| (StatusCode::BAD_REQUEST, "SerializationException", e.to_string()))
}

fn hash(text: &str) -> Result<[u8; 32], Refused> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| {
        let message = format!("{text:?} is no SHA-256 in hexadecimal digits.");
        (StatusCode::BAD_REQUEST, "InvalidChecksum", message)
    })?;
    Ok(bytes)
}

fn busy(status: StatusCode, message: &str) -> Refused {
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        _ => "ServiceUnavailable",
    };
    (status, code, message.to_owned())
}

fn refused(error: ApiError) -> Refused {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, error.code.as_str(), error.message)
}

fn of_lake(fault: LakeFault) -> Refused {
    match &fault {
        LakeFault::NoSuchTable(name) => {
            let message = format!("Event data store {name} is not there.");
            (StatusCode::NOT_FOUND, "EventDataStoreNotFoundException", message)
        }
        LakeFault::Full { .. } => busy(StatusCode::SERVICE_UNAVAILABLE, &fault.told()),
        LakeFault::Store { .. } => {
            tracing::warn!(error = &fault as &dyn std::error::Error, "an import failed for now");
            busy(StatusCode::SERVICE_UNAVAILABLE, &fault.told())
        }
        // Clients begin a new import after this answer.
        LakeFault::BeginAgain { .. } => {
            (StatusCode::NOT_FOUND, "ImportNotFoundException", fault.told())
        }
        LakeFault::Damaged { .. } => {
            tracing::error!(error = &fault as &dyn std::error::Error, "an import failed");
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", fault.told())
        }
    }
}

fn of_catalog(error: catalog::CatalogError) -> Refused {
    tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
    let message = "The request failed because of an internal error.".to_owned();
    (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message)
}
