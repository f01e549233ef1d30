//! Administration of accounts, users, roles, policies and keys: `POST /v1/access`.
//!
//! ```text
//!   {"action": "CreateUser", "account": "222222222222", "user": "ann"}   signed with service cloudtrail
//!       ◀── {"userId": "AIDA…", "arn": "…"}   or   {"error": {"code", "message"}}
//! ```
//! Actions have IAM's names, and are judged and recorded as IAM's: `iam:CreateUser` on the user's ARN,
//! an event of `iam.amazonaws.com`. An account's own principals administer it; those of the operator's
//! account administer all. Those about accounts and organizations are the operator's, and have the
//! names of AWS Organizations. Without `account` the caller's own is meant.

mod organizations;

use std::net::SocketAddr;

use catalog::PrincipalKind::{self, Role, User};
use event::{AccountId, Region};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Caller, Expect, Payload};
use crate::accounts::{ADMINISTRATOR, AccessError, Actor};
use crate::audit;
use crate::authorization::{Asking, Denied, permit};
use crate::chance;
use crate::http::{Body, answer, collect, identified, text};
use crate::node::Node;

const CONTENT_TYPE: &str = "application/json";
const BODY_BYTES_MAX: usize = 256 << 10;
/// The first user of an account that is made here.
const FIRST_USER: &str = "admin";

type Refused = (StatusCode, &'static str, String);

/// What may stand in a request; each action uses some of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    action: String,
    account: Option<String>,
    name: Option<String>,
    user: Option<String>,
    role: Option<String>,
    path: Option<String>,
    policy_name: Option<String>,
    policy: Option<String>,
    trust_policy: Option<String>,
    access_key_id: Option<String>,
    active: Option<bool>,
    organization: Option<String>,
}

pub async fn post(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = chance::uuid(node.chance.as_ref()).to_string();
    let response = match take(node, peer, request, &request_id).await {
        Ok(value) => answer(StatusCode::OK, CONTENT_TYPE, value.to_string()),
        Err((status, code, message)) => {
            let body = json!({ "error": { "code": code, "message": message } });
            answer(status, CONTENT_TYPE, body.to_string())
        }
    };
    identified(response, &request_id)
}

async fn take(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<Value, Refused> {
    if request.method() != http::Method::POST {
        let message = "POST a JSON object with an action to /v1/access.".to_owned();
        return Err((StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message));
    }
    let (parts, body) = collect(request, BODY_BYTES_MAX)
        .await
        .map_err(|e| (StatusCode::BAD_REQUEST, "IncompleteBody", e.to_string()))?;
    let now = node.clock.now();
    let (keys, expect) = (node.accounts.as_ref(), &Expect::CLOUDTRAIL);
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), expect, keys, now)
        .and_then(|verified| node.not_replayed(verified, expect.dialect, now))
        .map_err(|e| (e.status, e.code, e.message))?;
    let region = Region::parse(&verified.scope.region)
        .map_err(|e| (StatusCode::FORBIDDEN, "InvalidSignatureException", e.to_string()))?;
    if !node.accepts() {
        let message =
            "The journal cannot take events now (see /health), so no call can be recorded.";
        return Err((StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message.to_owned()));
    }
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|e| (StatusCode::BAD_REQUEST, "SerializationException", e.to_string()))?;
    node.accounts.note_use(&verified.caller, "iam", region.as_str(), now);
    let asking = Asking {
        caller: &verified.caller,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        region: &region,
        now,
    };
    let done = carry_out(node, &asking, &asked).await;
    record(node, &asking, &asked, &body, &done, request_id).await?;
    done
}

/// The account that is meant.
fn account_of(caller: &Caller, asked: &Asked) -> Result<AccountId, Refused> {
    match &asked.account {
        None => Ok(*caller.account()),
        Some(text) => AccountId::parse(text).map_err(|_| {
            let message = format!("{text:?} is no account ID: it has twelve digits.");
            (StatusCode::BAD_REQUEST, "ValidationError", message)
        }),
    }
}

async fn carry_out(node: &Node, asking: &Asking<'_>, asked: &Asked) -> Result<Value, Refused> {
    let account = account_of(asking.caller, asked)?;
    let (accounts, operator) = (&node.accounts, *node.accounts.operator());
    let service = service_of(&asked.action);
    let resource = match (&asked.user, &asked.role) {
        (Some(user), _) => format!("arn:aws:iam::{account}:user/{user}"),
        (None, Some(role)) => format!("arn:aws:iam::{account}:role/{role}"),
        (None, None) => "*".to_owned(),
    };
    let action = format!("{service}:{}", asked.action);
    let denied = |message| (StatusCode::FORBIDDEN, "AccessDenied", message);
    let is_elsewhere = account != *asking.caller.account() || service == "organizations";
    if is_elsewhere && *asking.caller.account() != operator {
        return Err(denied(format!(
            "Only principals of account {operator} may administer other accounts."
        )));
    }
    permit(accounts, asking, &action, &resource).map_err(|Denied(message)| denied(message))?;
    act(node, asked, account, asking.now).await
}

/// Under which service's name an action is judged and recorded.
fn service_of(action: &str) -> &'static str {
    let nouns = ["Account", "Accounts", "Organization"];
    if nouns.iter().any(|noun| action.ends_with(noun)) { "organizations" } else { "iam" }
}

async fn act(
    node: &Node,
    asked: &Asked,
    account: AccountId,
    now: Timestamp,
) -> Result<Value, Refused> {
    let (accounts, catalog, chance) = (&node.accounts, &node.catalog, node.chance.as_ref());
    let user = || required("user", &asked.user);
    let role = || required("role", &asked.role);
    let policy_name = || required("policyName", &asked.policy_name);
    let key_id = || required("accessKeyId", &asked.access_key_id);
    let path = asked.path.as_deref().unwrap_or("/");
    let put = async |kind, principal: &str| {
        let policy = required("policy", &asked.policy)?;
        let put = accounts.put_policy(catalog, account, kind, principal, policy_name()?, policy);
        put.await.map_err(refused)?;
        Ok(json!({}))
    };
    let remove_policy = async |kind, principal: &str| {
        let removed = accounts.delete_policy(catalog, account, kind, principal, policy_name()?);
        removed.await.map_err(refused)?;
        Ok(json!({}))
    };
    match asked.action.as_str() {
        "CreateAccount" => {
            let id = match &asked.account {
                Some(_) => account,
                None => free_account(node),
            };
            create_account(node, id, required("name", &asked.name)?, now).await
        }
        "ListAccounts" => {
            let shown = |(id, account): (AccountId, crate::accounts::Account)| json!({ "account": id.to_string(), "name": account.name, "created": time(account.created_ms) });
            Ok(json!({ "accounts": accounts.all().into_iter().map(shown).collect::<Vec<_>>() }))
        }
        "CreateOrganization" => organizations::create(node, account, now).await,
        "InviteAccountToOrganization" => {
            required("account", &asked.account)?;
            organizations::add(node, asked.organization.as_deref(), account, now).await
        }
        "RemoveAccountFromOrganization" => {
            required("account", &asked.account)?;
            organizations::remove(node, account).await
        }
        "DescribeOrganization" => Ok(organizations::describe(node, asked.organization.as_deref())),
        "CreateUser" => {
            let made =
                accounts.create_principal(catalog, chance, account, user()?, path, None, now);
            made.await.map_err(refused)?;
            principal(node, account, User, user()?)
        }
        "CreateRole" => {
            let trust = Some(required("trustPolicy", &asked.trust_policy)?);
            let made =
                accounts.create_principal(catalog, chance, account, role()?, path, trust, now);
            made.await.map_err(refused)?;
            principal(node, account, Role, role()?)
        }
        "UpdateAssumeRolePolicy" => {
            let trust = required("trustPolicy", &asked.trust_policy)?;
            accounts.put_trust(catalog, account, role()?, trust).await.map_err(refused)?;
            Ok(json!({}))
        }
        "GetUser" => principal(node, account, User, user()?),
        "GetRole" => principal(node, account, Role, role()?),
        "ListUsers" => Ok(json!({ "users": principals(node, account, User) })),
        "ListRoles" => Ok(json!({ "roles": principals(node, account, Role) })),
        "DeleteUser" => {
            let removed = accounts.delete_principal(catalog, account, User, user()?);
            removed.await.map_err(refused)?;
            Ok(json!({}))
        }
        "DeleteRole" => {
            let removed = accounts.delete_principal(catalog, account, Role, role()?);
            removed.await.map_err(refused)?;
            Ok(json!({}))
        }
        "PutUserPolicy" => put(User, user()?).await,
        "PutRolePolicy" => put(Role, role()?).await,
        "DeleteUserPolicy" => remove_policy(User, user()?).await,
        "DeleteRolePolicy" => remove_policy(Role, role()?).await,
        "CreateAccessKey" => {
            let made = accounts.create_key(catalog, chance, account, user()?, now);
            let key = made.await.map_err(refused)?;
            Ok(
                json!({ "accessKeyId": key.id, "secretAccessKey": key.secret.reveal(), "user": user()? }),
            )
        }
        "ListAccessKeys" => {
            let keys = accounts.keys(&account, asked.user.as_deref());
            let shown = keys.into_iter().map(|key| {
                json!({
                    "accessKeyId": key.id,
                    "user": key.user,
                    "active": key.active,
                    "created": time(key.created_ms),
                    "lastUsed": key.last_used.map(|last| {
                        json!({ "at": time(last.at_ms), "service": last.service, "region": last.region })
                    }),
                })
            });
            Ok(json!({ "accessKeys": shown.collect::<Vec<_>>() }))
        }
        "UpdateAccessKey" => {
            let active = asked.active.ok_or_else(|| missing("active"))?;
            let changed = accounts.set_key_active(catalog, account, key_id()?, active);
            changed.await.map_err(refused)?;
            Ok(json!({}))
        }
        "DeleteAccessKey" => {
            let first = &node.credentials.access_key_id;
            let removed = accounts.delete_key(catalog, account, key_id()?, first);
            removed.await.map_err(refused)?;
            Ok(json!({}))
        }
        other => Err((
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            format!("There is no action {other:?} at /v1/access."),
        )),
    }
}

/// An account with a user who may do everything in it, and that user's key.
async fn create_account(
    node: &Node,
    id: AccountId,
    name: &str,
    now: Timestamp,
) -> Result<Value, Refused> {
    let (accounts, catalog, chance) = (&node.accounts, &node.catalog, node.chance.as_ref());
    accounts.create_account(catalog, id, name, now).await.map_err(refused)?;
    let made = accounts.create_principal(catalog, chance, id, FIRST_USER, "/", None, now);
    made.await.map_err(refused)?;
    let policy = "AdministratorAccess";
    let put = accounts.put_policy(catalog, id, User, FIRST_USER, policy, ADMINISTRATOR);
    put.await.map_err(refused)?;
    let key = accounts.create_key(catalog, chance, id, FIRST_USER, now).await.map_err(refused)?;
    Ok(json!({
        "account": id.to_string(),
        "user": FIRST_USER,
        "accessKeyId": key.id,
        "secretAccessKey": key.secret.reveal(),
    }))
}

fn free_account(node: &Node) -> AccountId {
    loop {
        let mut bytes = [0; 8];
        node.chance.fill(&mut bytes);
        // Twelve digits, the first of them no zero.
        let number = 100_000_000_000 + u64::from_le_bytes(bytes) % 900_000_000_000;
        match AccountId::parse(&number.to_string()) {
            Ok(id) if !node.accounts.has(&id) => return id,
            _ => {}
        }
    }
}

fn principal(
    node: &Node,
    account: AccountId,
    kind: PrincipalKind,
    name: &str,
) -> Result<Value, Refused> {
    let found = node.accounts.principal(&account, kind, name);
    found.map(|actor| shown(&actor)).ok_or_else(|| {
        let message = format!("There is no {name} in account {account}.");
        (StatusCode::NOT_FOUND, "NoSuchEntity", message)
    })
}

fn principals(node: &Node, account: AccountId, kind: PrincipalKind) -> Vec<Value> {
    node.accounts.principals(&account, kind).iter().map(|actor| shown(actor)).collect()
}

fn shown(actor: &Actor) -> Value {
    let principal = &actor.principal;
    let policies: serde_json::Map<String, Value> =
        actor.policies().map(|(name, text)| (name.to_owned(), json!(text))).collect();
    let mut shown = json!({
        "name": principal.name,
        "arn": actor.arn(),
        "id": principal.principal_id,
        "created": time(principal.created_ms),
        "policies": policies,
    });
    if let Some(trust) = &principal.trust {
        shown["trustPolicy"] = json!(trust);
    }
    shown
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

fn missing(member: &str) -> Refused {
    (StatusCode::BAD_REQUEST, "ValidationError", format!("{member} is missing."))
}

fn required<'a>(member: &str, value: &'a Option<String>) -> Result<&'a str, Refused> {
    value.as_deref().ok_or_else(|| missing(member))
}

fn refused(error: AccessError) -> Refused {
    let message = error.to_string();
    match error {
        AccessError::NoSuchEntity(_) => (StatusCode::NOT_FOUND, "NoSuchEntity", message),
        AccessError::EntityAlreadyExists(_) => {
            (StatusCode::CONFLICT, "EntityAlreadyExists", message)
        }
        AccessError::ValidationError(_) => (StatusCode::BAD_REQUEST, "ValidationError", message),
        AccessError::MalformedPolicyDocument(_) => {
            (StatusCode::BAD_REQUEST, "MalformedPolicyDocument", message)
        }
        AccessError::LimitExceeded(_) => (StatusCode::CONFLICT, "LimitExceeded", message),
        AccessError::UnmodifiableEntity(_) => (StatusCode::CONFLICT, "UnmodifiableEntity", message),
        AccessError::Catalog(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
            let message = "The request failed because of an internal error.".to_owned();
            (StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailure", message)
        }
    }
}

async fn record(
    node: &Node,
    asking: &Asking<'_>,
    asked: &Asked,
    body: &[u8],
    done: &Result<Value, Refused>,
    request_id: &str,
) -> Result<(), Refused> {
    let mut parameters: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(members) = parameters.as_object_mut() {
        members.remove("action");
    }
    let reads = ["Get", "List", "Describe"].iter().any(|verb| asked.action.starts_with(verb));
    let mut response = done.as_ref().ok().filter(|_| !reads).cloned();
    if let Some(members) = response.as_mut().and_then(Value::as_object_mut) {
        members.remove("secretAccessKey");
    }
    let made = done.as_ref().ok().and_then(|value| value["account"].as_str());
    let account = made.and_then(|id| AccountId::parse(id).ok());
    let copy_to = account.or_else(|| account_of(asking.caller, asked).ok());
    let event_source = match service_of(&asked.action) {
        "organizations" => "organizations.amazonaws.com",
        _ => "iam.amazonaws.com",
    };
    let call = audit::Call {
        caller: asking.caller,
        event_source,
        event_name: &asked.action,
        // AWS: IAM and Organizations are global, and recorded in us-east-1.
        region: "us-east-1",
        source_ip: asking.source_ip,
        user_agent: asking.user_agent,
        request_id,
        read_only: reads,
        data_event: false,
        error: done.as_ref().err().map(|(_, code, message)| (*code, message.as_str())),
        request_parameters: Some(parameters)
            .filter(|_| !matches!(done, Err((_, "AccessDenied", _)))),
        response_elements: response
            .filter(|value| value.as_object().is_some_and(|members| !members.is_empty())),
        additional: None,
        resources: Vec::new(),
        copy_to: copy_to.filter(|_| done.is_ok()),
    };
    audit::record(node, call, node.clock.now()).await.map_err(|error| {
        let message = format!(
            "The call could not be recorded: {error}. Check its effect before repeating it."
        );
        (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    })
}
