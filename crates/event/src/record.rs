//! Writing the events that Cairn itself produces.
//!
//! ```text
//!   NewEvent { identity, event_name, request_parameters, … } ──to_json──▶ {"eventVersion":"1.11",
//!   "userIdentity":{…},"eventTime":…,"eventSource":…,"eventName":…,…,"eventCategory":"Management",…}
//! ```
//!
//! Compact JSON with the fields in the order of AWS's own records, within CloudTrail's size limits.

mod identity;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::limits::{
    ADDITIONAL_BYTES_MAX, Bounded, EVENT_BYTES_MAX, PARAMETERS_BYTES_MAX, TEXT_BYTES_MAX,
    omit_oversized, truncated,
};
use crate::{AccountId, Category, Region};

pub use identity::{Identity, Session, SessionIssuer};

/// The version of the record format that we write.
pub const EVENT_VERSION: &str = "1.11";

/// A management or data event about to be written.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub identity: Identity,
    /// When the request was completed; written in whole seconds.
    pub event_time: Timestamp,
    pub event_source: String,
    pub event_name: String,
    pub aws_region: Region,
    /// An address, or the DNS name of the service that called.
    pub source_ip_address: String,
    pub user_agent: Option<String>,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// An object or null.
    pub request_parameters: Value,
    /// An object or null; null for reads and for failures.
    pub response_elements: Value,
    pub additional_event_data: Option<Value>,
    pub request_id: Option<String>,
    pub event_id: Uuid,
    pub read_only: bool,
    pub resources: Vec<NewResource>,
    pub event_type: EventType,
    pub api_version: Option<String>,
    /// Whether this is a management event; otherwise it is a data event.
    pub management_event: bool,
    pub recipient_account: AccountId,
    pub shared_event_id: Option<Uuid>,
    pub vpc_endpoint_id: Option<String>,
    pub service_event_details: Option<Value>,
    pub tls_details: Option<TlsDetails>,
    /// Written only when true, as the text "true".
    pub session_credential_from_console: bool,
}

/// The kinds of management and data events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum EventType {
    AwsApiCall,
    AwsServiceEvent,
    AwsConsoleAction,
    AwsConsoleSignIn,
}

/// A resource that the event touched. AWS writes an ARN, or the prefix of one for listing calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewResource {
    #[serde(rename = "accountId", skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Such as `AWS::S3::Object`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(flatten)]
    pub name: ResourceName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum ResourceName {
    #[serde(rename = "ARN")]
    Arn(String),
    #[serde(rename = "ARNPrefix")]
    ArnPrefix(String),
}

/// How the connection was encrypted. Absent members are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher_suite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_provided_host_header: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
}

impl NewEvent {
    /// The record as compact JSON. Long texts are cut and large parameters replaced by a note; if
    /// the event is still larger than CloudTrail allows, responseElements go first, then
    /// requestParameters.
    pub fn to_json(&self) -> Vec<u8> {
        let mut parameters_max = [PARAMETERS_BYTES_MAX; 2];
        loop {
            let json = self.to_json_within(parameters_max);
            let [request, response] = &mut parameters_max;
            let next = if *response > 0 { response } else { request };
            if json.len() <= EVENT_BYTES_MAX || *next == 0 {
                return json;
            }
            *next = 0;
        }
    }

    fn to_json_within(&self, [request_max, response_max]: [usize; 2]) -> Vec<u8> {
        let cut = |text: &'_ Option<String>| -> Option<String> {
            text.as_ref().map(|text| truncated(text, TEXT_BYTES_MAX).to_owned())
        };
        let category = if self.management_event { Category::Management } else { Category::Data };
        let fields = Fields {
            event_version: EVENT_VERSION,
            user_identity: &self.identity,
            event_time: self.event_time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            event_source: &self.event_source,
            event_name: &self.event_name,
            aws_region: &self.aws_region,
            source_ip_address: &self.source_ip_address,
            user_agent: cut(&self.user_agent),
            error_code: cut(&self.error_code),
            error_message: cut(&self.error_message),
            request_parameters: omit_oversized(
                "requestParameters",
                &self.request_parameters,
                request_max,
            ),
            response_elements: omit_oversized(
                "responseElements",
                &self.response_elements,
                response_max,
            ),
            additional_event_data: self
                .additional_event_data
                .as_ref()
                .map(|value| omit_oversized("additionalEventData", value, ADDITIONAL_BYTES_MAX)),
            request_id: cut(&self.request_id),
            event_id: self.event_id.to_string(),
            read_only: self.read_only,
            resources: &self.resources,
            event_type: self.event_type,
            api_version: &self.api_version,
            management_event: self.management_event,
            recipient_account_id: &self.recipient_account,
            shared_event_id: self.shared_event_id.map(|id| id.to_string()),
            vpc_endpoint_id: &self.vpc_endpoint_id,
            service_event_details: self
                .service_event_details
                .as_ref()
                .map(|value| omit_oversized("serviceEventDetails", value, PARAMETERS_BYTES_MAX)),
            event_category: category.name(),
            tls_details: &self.tls_details,
            session_credential_from_console: self.session_credential_from_console.then_some("true"),
        };
        serde_json::to_vec(&fields)
            .expect("texts, numbers and maps with text keys always serialise")
    }
}

/// The record's fields in the order of AWS's own records.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    event_version: &'static str,
    user_identity: &'a Identity,
    event_time: String,
    event_source: &'a str,
    event_name: &'a str,
    aws_region: &'a Region,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    request_parameters: Bounded<'a>,
    response_elements: Bounded<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_event_data: Option<Bounded<'a>>,
    #[serde(rename = "requestID", skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    #[serde(skip_serializing_if = "<[NewResource]>::is_empty")]
    resources: &'a [NewResource],
    event_type: EventType,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: &'a Option<String>,
    management_event: bool,
    recipient_account_id: &'a AccountId,
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none")]
    shared_event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_endpoint_id: &'a Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_event_details: Option<Bounded<'a>>,
    event_category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_details: &'a Option<TlsDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_credential_from_console: Option<&'static str>,
}

#[cfg(test)]
mod tests;
