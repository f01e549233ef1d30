//! Cairn audits itself: every call to an AWS door becomes an event, by the same way in as others'.
//!
//! A call is answered only after its event is durable. When the journal cannot take it, the caller
//! is told so (503) even though the operation may have taken effect: an unrecorded change is worse
//! than an uncertain answer, and every operation may be repeated.

use std::net::IpAddr;

use event::record::{EventType, Identity, NewEvent, NewResource, ResourceName, Session};
use event::{AccountId, Limits, Region};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::{self, Caller};
use crate::entry::Origin;
use crate::intake;
use crate::node::Node;

/// What is known of a call when it has been answered.
#[derive(Debug)]
pub struct Call<'a> {
    pub caller: &'a Caller,
    pub event_source: &'static str,
    pub event_name: &'a str,
    pub region: &'a str,
    pub source_ip: IpAddr,
    pub user_agent: Option<&'a str>,
    pub request_id: &'a str,
    pub read_only: bool,
    pub data_event: bool,
    /// Code and message.
    pub error: Option<(&'a str, &'a str)>,
    pub request_parameters: Option<Value>,
    pub response_elements: Option<Value>,
    pub additional: Option<Value>,
    pub resources: Vec<NewResource>,
    /// AWS: what somebody does to a resource of another account is recorded in both.
    pub copy_to: Option<AccountId>,
}

/// Makes the event and waits until it is durable.
pub async fn record(
    node: &Node,
    call: Call<'_>,
    now: Timestamp,
) -> Result<(), journal::AppendError> {
    let tenant = *call.caller.account();
    let identity = identity(call.caller);
    let (origin, source) = match &identity {
        Identity::AwsService { invoked_by } => (Origin::Delivery, invoked_by.clone()),
        _ => (Origin::Own, call.source_ip.to_canonical().to_string()),
    };
    let mut event = NewEvent {
        identity,
        event_time: now,
        event_source: call.event_source.to_owned(),
        event_name: call.event_name.to_owned(),
        aws_region: Region::parse(call.region).unwrap_or_else(|_| node.settings.region.clone()),
        source_ip_address: source,
        user_agent: call.user_agent.map(str::to_owned),
        error_code: call.error.map(|(code, _)| code.to_owned()),
        error_message: call.error.map(|(_, message)| message.to_owned()),
        request_parameters: call.request_parameters.unwrap_or(Value::Null),
        response_elements: call.response_elements.unwrap_or(Value::Null),
        additional_event_data: call.additional,
        request_id: Some(call.request_id.to_owned()),
        event_id: crate::chance::uuid(node.chance.as_ref()),
        read_only: call.read_only,
        resources: call.resources,
        event_type: EventType::AwsApiCall,
        api_version: None,
        management_event: !call.data_event,
        recipient_account: tenant,
        shared_event_id: None,
        vpc_endpoint_id: None,
        service_event_details: None,
        tls_details: None,
        session_credential_from_console: false,
    };
    let mut record = event.to_json();
    if event::check(&record, &Limits::default()).is_err() {
        // The parameters are the caller's JSON; however strange, the call itself is recorded.
        event.request_parameters =
            json!({ "omitted": true, "reason": "requestParameters cannot be recorded" });
        event.response_elements = Value::Null;
        record = event.to_json();
    }
    let copy = call.copy_to.filter(|owner| *owner != tenant).map(|owner| {
        let shared = crate::chance::uuid(node.chance.as_ref());
        event.shared_event_id = Some(shared);
        record = event.to_json();
        event.event_id = crate::chance::uuid(node.chance.as_ref());
        event.recipient_account = owner;
        event.identity = Identity::AwsAccount {
            account: tenant,
            principal_id: Some(call.caller.principal_id().to_owned()),
        };
        (owner, event.to_json())
    });
    if let Some((owner, copy)) = copy {
        let copy = event::redact(&copy);
        intake::accept_own(&node.journal, origin, &owner, now, &copy).await?;
    }
    let record = event::redact(&record);
    intake::accept_own(&node.journal, origin, &tenant, now, &record).await?;
    Ok(())
}

fn identity(caller: &Caller) -> Identity {
    let account = *caller.account();
    let access_key_id = caller.access_key_id().map(str::to_owned);
    match caller.identity() {
        access::Identity::Root => {
            Identity::Root { account, access_key_id, user_name: None, session: None }
        }
        access::Identity::User { name, principal_id, .. } => Identity::IamUser {
            arn: caller.arn().unwrap_or_default(),
            account,
            principal_id: principal_id.clone(),
            user_name: name.clone(),
            access_key_id,
            session: None,
        },
        access::Identity::AssumedRole {
            role,
            principal_id,
            session,
            issued,
            source_identity,
            ..
        } => Identity::AssumedRole {
            account,
            role_id: principal_id.split(':').next().unwrap_or_default().to_owned(),
            role_arn: caller.role_arn().unwrap_or_default(),
            role_name: role.clone(),
            session_name: session.clone(),
            access_key_id,
            session: Session {
                created: *issued,
                mfa_authenticated: false,
                source_identity: source_identity.clone(),
            },
        },
        access::Identity::Service { principal } => {
            Identity::AwsService { invoked_by: principal.clone() }
        }
        access::Identity::IngestToken { name } => {
            Identity::Unknown { account: Some(account), user_name: Some(name.clone()) }
        }
    }
}

/// Whether this is Cairn delivering to its own bucket door.
pub fn is_delivery(caller: &Caller) -> bool {
    matches!(caller.identity(), access::Identity::Service { .. })
}

/// A resource of an account, by its ARN and its type such as `AWS::S3::Object`.
pub fn resource(arn: &str, account: &AccountId, kind: &str) -> NewResource {
    NewResource {
        account: Some(*account),
        kind: kind.to_owned(),
        name: ResourceName::Arn(arn.to_owned()),
    }
}

/// Member names as CloudTrail records them: the first letter in lower case, at every level.
pub fn lower_camel(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| {
                    let mut letters = key.chars();
                    let lowered = match letters.next() {
                        Some(first) => first.to_lowercase().chain(letters).collect(),
                        None => key.clone(),
                    };
                    (lowered, lower_camel(value))
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(lower_camel).collect()),
        other => other,
    }
}
