//! STS: GetCallerIdentity, which every AWS client asks before anything else, and AssumeRole.

use std::net::SocketAddr;

use api::query::{self, Action, AssumeRole, AssumedRole, QueryError};
use catalog::PrincipalKind;
use event::record::NewResource;
use event::{AccountId, Region};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::policy::{Policy, PolicyKind};
use crate::access::{Caller, Expect, Identity, Payload};
use crate::accounts::sessions::Session;
use crate::audit;
use crate::authorization::{Asking, Attached, Denied, Wish, judge};
use crate::http::{Body, answer, collect, identified, text};
use crate::node::Node;

const CONTENT_TYPE: &str = "text/xml";
const BODY_BYTES_MAX: usize = 64 << 10;
/// STS API reference, AssumeRole: what is meant when nothing is said, and the most for a session that a
/// session begins.
const DURATION_SECONDS: i64 = 3600;

pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = crate::chance::uuid(node.chance.as_ref()).to_string();
    let (status, body) = match carry_out(node, peer, request, &request_id).await {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            let status =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, error.body(&request_id))
        }
    };
    identified(answer(status, CONTENT_TYPE, body), &request_id)
}

async fn carry_out(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<String, QueryError> {
    let (parts, body) = collect(request, BODY_BYTES_MAX).await.map_err(|e| QueryError {
        code: "InvalidParameterValue",
        status: 400,
        message: e.to_string(),
    })?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(&parts, Payload::Bytes(&body), &Expect::STS, node.accounts.as_ref(), now)
        .map_err(|e| QueryError { code: e.code, status: e.status.as_u16(), message: e.message })?;
    // A form in the body, or the same in the URI: presigned requests have it there.
    let parameters = match std::str::from_utf8(&body) {
        Ok("") | Err(_) => parts.uri.query().unwrap_or_default(),
        Ok(form) => form,
    };
    let action = query::parse_action(parameters)?;
    let caller = &verified.caller;
    let region =
        Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    node.accounts.note_use(caller, "sts", region.as_str(), now);
    let asking = Asking {
        caller,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        region: &region,
        now,
    };
    let done = match &action {
        Action::GetCallerIdentity => who(caller, request_id),
        Action::AssumeRole(asked) => {
            if !node.accepts() {
                return Err(unavailable("The journal cannot take events now (see /health)".into()));
            }
            assume(node, &asking, asked, request_id)
        }
    };
    record(node, &asking, &done, request_id).await?;
    done.answer
}

/// What an action answered, and what its event says of it.
struct Done {
    event_name: &'static str,
    answer: Result<String, QueryError>,
    request_parameters: Option<Value>,
    response_elements: Option<Value>,
    resources: Vec<NewResource>,
    copy_to: Option<AccountId>,
}

fn who(caller: &Caller, request_id: &str) -> Done {
    let arn = caller.arn().unwrap_or_default();
    let identity = query::CallerIdentity {
        arn: &arn,
        user_id: caller.principal_id(),
        account: caller.account().as_str(),
    };
    Done {
        event_name: "GetCallerIdentity",
        answer: Ok(query::caller_identity_body(identity, request_id)),
        request_parameters: None,
        response_elements: None,
        resources: Vec::new(),
        copy_to: None,
    }
}

fn assume(node: &Node, asking: &Asking<'_>, asked: &AssumeRole, request_id: &str) -> Done {
    let begun = begin(node, asking, asked);
    let parameters = json!({
        "roleArn": asked.role_arn,
        "roleSessionName": asked.session_name,
        "durationSeconds": asked.duration_seconds.unwrap_or(DURATION_SECONDS),
        "externalId": asked.external_id,
        "policy": asked.policy,
        "sourceIdentity": asked.source_identity,
    });
    let given = parameters.as_object().map(|members| {
        members.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone()))
    });
    let mut done = Done {
        event_name: "AssumeRole",
        answer: Err(unavailable(String::new())),
        request_parameters: given.map(|members| Value::Object(members.collect())),
        response_elements: None,
        resources: Vec::new(),
        copy_to: None,
    };
    let (owner, role_id, issued) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            if error.code == "AccessDenied" {
                // AWS: what was asked for in vain is not recorded, nor is the owner told.
                done.request_parameters = None;
            }
            done.answer = Err(error);
            return done;
        }
    };
    let id = format!("{role_id}:{}", asked.session_name);
    let role = asked.role_arn.rsplit('/').next().unwrap_or_default();
    let arn = format!("arn:aws:sts::{owner}:assumed-role/{role}/{}", asked.session_name);
    let expiration = issued.expires.to_string();
    let session = AssumedRole {
        id: &id,
        arn: &arn,
        access_key_id: &issued.access_key_id,
        secret_access_key: &issued.secret_access_key,
        session_token: &issued.session_token,
        expiration: &expiration,
        source_identity: asked.source_identity.as_deref(),
        packed_policy_size: asked.policy.as_ref().map(|text| (text.len() * 100 / 2048) as u8),
    };
    done.answer = Ok(query::assumed_role_body(session, request_id));
    done.response_elements = Some(json!({
        "credentials": { "accessKeyId": issued.access_key_id, "expiration": expiration },
        "assumedRoleUser": { "assumedRoleId": id, "arn": arn },
    }));
    done.resources = vec![audit::resource(&asked.role_arn, &owner, "AWS::IAM::Role")];
    done.copy_to = Some(owner);
    done
}

type Begun = (AccountId, String, crate::accounts::sessions::Issued);

/// A session of the role, if its trust policy and the caller's own policies let the caller have one.
fn begin(node: &Node, asking: &Asking<'_>, asked: &AssumeRole) -> Result<Begun, QueryError> {
    let invalid = |message: String| QueryError { code: "ValidationError", status: 400, message };
    let caller = asking.caller;
    let parts: Vec<&str> = asked.role_arn.splitn(6, ':').collect();
    let (account, role) = match parts.as_slice() {
        ["arn", "aws", "iam", "", account, role] => (*account, role.strip_prefix("role/")),
        _ => ("", None),
    };
    let owner = AccountId::parse(account).ok();
    let (Some(owner), Some(role)) = (owner, role) else {
        return Err(invalid(format!("{} is invalid", asked.role_arn)));
    };
    let seconds = asked.duration_seconds.unwrap_or(DURATION_SECONDS);
    if matches!(caller.identity(), Identity::AssumedRole { .. }) && seconds > DURATION_SECONDS {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining".to_owned(),
        ));
    }
    if let Some(policy) = &asked.policy {
        Policy::parse(policy, PolicyKind::Identity).map_err(|error| QueryError {
            code: "MalformedPolicyDocument",
            status: 400,
            message: error.to_string(),
        })?;
    }
    let denied = || QueryError {
        code: "AccessDenied",
        status: 403,
        message: format!(
            "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
            caller.arn().unwrap_or_default(),
            asked.role_arn
        ),
    };
    let name = role.rsplit('/').next().unwrap_or_default();
    // One that does not exist is denied in the same words.
    let role = node.accounts.principal(&owner, PrincipalKind::Role, name);
    let role = role.filter(|role| role.arn() == asked.role_arn).ok_or_else(denied)?;
    let mut context = vec![("sts:RoleSessionName".to_owned(), asked.session_name.clone())];
    if let Some(id) = &asked.external_id {
        context.push(("sts:ExternalId".to_owned(), id.clone()));
    }
    if let Some(identity) = &asked.source_identity {
        context.push(("sts:SourceIdentity".to_owned(), identity.clone()));
    }
    let wish = Wish {
        action: "sts:AssumeRole",
        resource: &asked.role_arn,
        owner: owner.as_str(),
        policy: Some(Attached::Trust(role.trust().ok_or_else(denied)?)),
        context: &context,
    };
    judge(&node.accounts, asking, &wish).map_err(|Denied(_)| denied())?;
    let issued = asking.now.as_second();
    let session = Session {
        account: owner.to_string(),
        role: role.principal.name.clone(),
        role_id: role.principal.principal_id.clone(),
        name: asked.session_name.clone(),
        issued,
        expires: issued + seconds,
        source_identity: asked.source_identity.clone(),
        policy: asked.policy.clone(),
    };
    let issued = node.accounts.issue_session(&session, node.chance.as_ref());
    Ok((owner, session.role_id, issued))
}

async fn record(
    node: &Node,
    asking: &Asking<'_>,
    done: &Done,
    request_id: &str,
) -> Result<(), QueryError> {
    let region = asking.region.as_str();
    let call = audit::Call {
        caller: asking.caller,
        event_source: "sts.amazonaws.com",
        event_name: done.event_name,
        region,
        source_ip: asking.source_ip,
        user_agent: asking.user_agent,
        request_id,
        read_only: true,
        data_event: false,
        error: done.answer.as_ref().err().map(|error| (error.code, error.message.as_str())),
        request_parameters: done.request_parameters.clone(),
        response_elements: done.response_elements.clone(),
        additional: Some(
            json!({ "RequestDetails": { "endpointType": "regional", "awsServingRegion": region } }),
        ),
        resources: done.resources.clone(),
        copy_to: done.copy_to,
    };
    let now: Timestamp = node.clock.now();
    audit::record(node, call, now)
        .await
        .map_err(|e| unavailable(format!("The call could not be recorded: {e}")))
}

fn unavailable(message: String) -> QueryError {
    QueryError { code: "ServiceUnavailable", status: 503, message }
}
