//! AWS Organizations, as far as tools around CloudTrail read it: AWS JSON 1.1 over `POST /`, targets
//! `AWSOrganizationsV20161128.…`, signed with service `organizations`.
//!
//! ```text
//!   DescribeOrganization            any member: `aws cloudtrail validate-logs` asks for the ID
//!   ListAccounts                    the management account and delegated administrators
//!   ListDelegatedAdministrators     the same
//! ```
//! Organizations are declared at `/v1/access`. Source: Organizations API reference.

use std::net::SocketAddr;
use std::sync::Arc;

use event::{AccountId, Region};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::access::{AuthError, Expect, Payload};
use crate::accounts::{Organization, Standing};
use crate::audit;
use crate::authorization::{Asking, Denied, permit};
use crate::chance;
use crate::doors::api_call::{NeighbourRefused as Refused, answered};
use crate::http::{Body, collect, identified, text};
use crate::node::Node;

pub const TARGET: &str = "AWSOrganizationsV20161128.";
const BODY_BYTES_MAX: usize = 64 << 10;
/// API reference: MaxResults has a maximum of 20.
const PAGE_MAX: u64 = 20;
/// Whose delegated administrators there are.
const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";

pub async fn call(node: &Node, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
    let request_id = chance::uuid(node.chance.as_ref()).to_string();
    let done = take(node, peer, request, &request_id).await;
    identified(answered(done), &request_id)
}

async fn take(
    node: &Node,
    peer: SocketAddr,
    request: Request<Incoming>,
    request_id: &str,
) -> Result<Value, Refused> {
    let (parts, body) =
        collect(request, BODY_BYTES_MAX).await.map_err(|e| invalid(e.to_string()))?;
    let now = node.clock.now();
    let verified = node
        .verifier
        .authenticate(
            &parts,
            Payload::Bytes(&body),
            &Expect::ORGANIZATIONS,
            node.accounts.as_ref(),
            now,
        )
        .map_err(|AuthError { status, code, message, .. }| (status, code, message))?;
    let target = text(&parts.headers, "x-amz-target").unwrap_or_default();
    let action = match target.strip_prefix(TARGET) {
        Some("DescribeOrganization") => Action::DescribeOrganization,
        Some("ListAccounts") => Action::ListAccounts,
        Some("ListDelegatedAdministrators") => Action::ListDelegatedAdministrators,
        _ => {
            let message = format!(
                "Cairn does not have {target:?}; it has DescribeOrganization, ListAccounts and ListDelegatedAdministrators. Organizations are declared with cairn account organization."
            );
            return Err((StatusCode::BAD_REQUEST, "UnknownOperationException", message));
        }
    };
    let asked: Value = match body.is_empty() {
        true => json!({}),
        false => serde_json::from_slice(&body)
            .map_err(|e| (StatusCode::BAD_REQUEST, "SerializationException", e.to_string()))?,
    };
    if !node.accepts() {
        let message =
            "The journal cannot take events now (see /health), so no call can be recorded.";
        return Err((StatusCode::SERVICE_UNAVAILABLE, "ServiceException", message.to_owned()));
    }
    let region =
        Region::parse(&verified.scope.region).unwrap_or_else(|_| node.settings.region.clone());
    node.accounts.note_use(&verified.caller, "organizations", region.as_str(), now);
    let asking = Asking {
        caller: &verified.caller,
        source_ip: peer.ip(),
        user_agent: text(&parts.headers, "user-agent"),
        region: &region,
        now,
    };
    let done = carry_out(node, &asking, action, &asked);
    record(node, &asking, action, asked, &done, request_id).await?;
    done
}

#[derive(Debug, Clone, Copy)]
enum Action {
    DescribeOrganization,
    ListAccounts,
    ListDelegatedAdministrators,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::DescribeOrganization => "DescribeOrganization",
            Action::ListAccounts => "ListAccounts",
            Action::ListDelegatedAdministrators => "ListDelegatedAdministrators",
        }
    }
}

fn carry_out(
    node: &Node,
    asking: &Asking<'_>,
    action: Action,
    asked: &Value,
) -> Result<Value, Refused> {
    let denied = |message: String| (StatusCode::BAD_REQUEST, "AccessDeniedException", message);
    permit(&node.accounts, asking, &format!("organizations:{}", action.name()), "*")
        .map_err(|Denied(message)| denied(message))?;
    let account = asking.caller.account();
    let organization = node.accounts.organization_of(account).ok_or_else(|| {
        let message = "Your account is not a member of an organization.".to_owned();
        (StatusCode::BAD_REQUEST, "AWSOrganizationsNotInUseException", message)
    })?;
    let lists = !matches!(action, Action::DescribeOrganization);
    if lists && organization.standing(account) == Some(Standing::Member) {
        return Err(denied(
            "You don't have permissions to access this resource: only the management account and delegated administrators have.".to_owned(),
        ));
    }
    match action {
        Action::DescribeOrganization => Ok(described(&organization)),
        Action::ListAccounts => {
            let all: Vec<AccountId> = organization.members.keys().copied().collect();
            let shown = |id: &AccountId| shown(node, &organization, id);
            page(asked, &all, "Accounts", shown)
        }
        Action::ListDelegatedAdministrators => {
            let service = asked["ServicePrincipal"].as_str();
            let all: Vec<AccountId> = match service {
                None | Some(CLOUDTRAIL) => organization.delegated().map(|(id, _)| *id).collect(),
                Some(_) => Vec::new(),
            };
            page(asked, &all, "DelegatedAdministrators", |id| {
                let mut one = shown(node, &organization, id);
                let since = organization.members.get(id).and_then(|member| member.delegated_ms);
                one["DelegationEnabledDate"] = json!(since.map(seconds));
                one
            })
        }
    }
}

/// Cairn has no e-mail addresses of accounts, so none are shown.
fn described(organization: &Arc<Organization>) -> Value {
    json!({ "Organization": {
        "Id": organization.id,
        "Arn": organization.arn(),
        "FeatureSet": "ALL",
        "MasterAccountArn": organization.account_arn(&organization.management),
        "MasterAccountId": organization.management.to_string(),
        "AvailablePolicyTypes": [],
    } })
}

fn shown(node: &Node, organization: &Organization, id: &AccountId) -> Value {
    let joined_ms = organization.members.get(id).map(|member| member.joined_ms);
    json!({
        "Id": id.to_string(),
        "Arn": organization.account_arn(id),
        "Name": node.accounts.name_of(id),
        "Status": "ACTIVE",
        "State": "ACTIVE",
        "JoinedMethod": "INVITED",
        "JoinedTimestamp": joined_ms.map(seconds),
    })
}

/// A page of accounts; the token is the last account of the page before.
fn page(
    asked: &Value,
    all: &[AccountId],
    list: &str,
    shown: impl Fn(&AccountId) -> Value,
) -> Result<Value, Refused> {
    let page_max = match &asked["MaxResults"] {
        Value::Null => PAGE_MAX,
        given => given
            .as_u64()
            .filter(|given| (1..=PAGE_MAX).contains(given))
            .ok_or_else(|| invalid(format!("MaxResults must lie between 1 and {PAGE_MAX}.")))?,
    };
    let after = match &asked["NextToken"] {
        Value::Null => None,
        token => {
            let parsed = token.as_str().and_then(|text| AccountId::parse(text).ok());
            Some(parsed.ok_or_else(|| invalid("NextToken was not given by this call.".into()))?)
        }
    };
    let mut rest = all.iter().filter(|id| after.is_none_or(|after| **id > after));
    let taken: Vec<&AccountId> =
        rest.by_ref().take(usize::try_from(page_max).unwrap_or(1)).collect();
    let last = taken.last().filter(|_| rest.next().is_some()).map(|id| id.to_string());
    let mut answer = json!({ list: taken.into_iter().map(shown).collect::<Vec<Value>>() });
    if let Some(last) = last {
        answer["NextToken"] = json!(last);
    }
    Ok(answer)
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn invalid(message: String) -> Refused {
    (StatusCode::BAD_REQUEST, "InvalidInputException", message)
}

async fn record(
    node: &Node,
    asking: &Asking<'_>,
    action: Action,
    asked: Value,
    done: &Result<Value, Refused>,
    request_id: &str,
) -> Result<(), Refused> {
    let is_denied = matches!(done, Err((_, "AccessDeniedException", _)));
    let call = audit::Call {
        caller: asking.caller,
        event_source: "organizations.amazonaws.com",
        event_name: action.name(),
        // AWS: Organizations is global, and recorded in us-east-1.
        region: "us-east-1",
        source_ip: asking.source_ip,
        user_agent: asking.user_agent,
        request_id,
        read_only: true,
        data_event: false,
        error: done.as_ref().err().map(|(_, code, message)| (*code, message.as_str())),
        request_parameters: Some(audit::lower_camel(asked))
            .filter(|asked| !is_denied && asked.as_object().is_some_and(|all| !all.is_empty())),
        response_elements: None,
        additional: None,
        resources: Vec::new(),
        copy_to: None,
    };
    audit::record(node, call, node.clock.now()).await.map_err(|error| {
        let message = format!("The call could not be recorded: {error}.");
        (StatusCode::SERVICE_UNAVAILABLE, "ServiceException", message)
    })
}
