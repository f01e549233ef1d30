//! Cairn audits itself: every call to an AWS door becomes an event, by the same way in as others'.
//!
//! A call is answered only after its event is durable. When the journal cannot take it, the caller
//! is told so (503) even though the operation may have taken effect: an unrecorded change is worse
//! than an uncertain answer, and every operation may be repeated.

use std::net::IpAddr;

use event::record::{Identity, NewEvent, Resource};
use jiff::Timestamp;
use serde_json::Value;

use crate::access::Caller;
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
    pub host: Option<&'a str>,
    pub request_id: &'a str,
    pub read_only: bool,
    pub data_event: bool,
    pub error: Option<(&'a str, &'a str)>,
    pub request_parameters: Option<Value>,
    pub response_elements: Option<Value>,
    pub additional: Option<Value>,
    pub resources: Vec<Resource>,
    pub api_version: Option<&'static str>,
}

/// Makes the event and waits until it is durable.
pub async fn record(node: &Node, call: Call<'_>, now: Timestamp) -> Result<(), journal::AppendError> {
    let origin = match call.caller.identity() {
        Identity::AwsService { .. } => Origin::Delivery,
        _ => Origin::Own,
    };
    let tenant = call.caller.account().clone();
    let event = NewEvent {
        user_identity: call.caller.identity().clone(),
        event_time: now,
        event_source: call.event_source.to_owned(),
        event_name: call.event_name.to_owned(),
        aws_region: call.region.to_owned(),
        source_ip_address: match call.caller.identity() {
            Identity::AwsService { invoked_by } => invoked_by.clone(),
            _ => call.source_ip.to_string(),
        },
        user_agent: call.user_agent.map(str::to_owned),
        error_code: call.error.map(|(code, _)| code.to_owned()),
        error_message: call.error.map(|(_, message)| message.to_owned()),
        request_parameters: call.request_parameters,
        response_elements: call.response_elements,
        additional_event_data: call.additional,
        request_id: Some(call.request_id.to_owned()),
        event_id: crate::chance::uuid(node.chance.as_ref()),
        read_only: Some(call.read_only),
        resources: call.resources,
        management_event: !call.data_event,
        recipient_account_id: tenant.clone(),
        ..NewEvent::default()
    };
    intake::accept_own(&node.journal, origin, &tenant, now, event.to_json().as_bytes()).await?;
    Ok(())
}

/// A member name as CloudTrail records it: the first letter in lower case, at every level of
/// structures. Keys of free-form maps keep theirs, but none of the recorded shapes has one.
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
