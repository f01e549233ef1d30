//! Events from outside AWS: what PutAuditEvents takes, and the record that it becomes.
//!
//! ```text
//!   eventData, JSON as text ──check──▶ EventData ──record──▶ {"eventVersion":…,"eventCategory":"ActivityAuditLog",
//!                                                            …,"metadata":{…},"eventData": as it was sent}
//! ```
//! Source of the members and their limits: user guide, "CloudTrail Lake integrations event schema".
//! What is larger is refused, not cut: the bytes that were sent are the bytes that are kept.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use crate::check::{Limits, check_object};
use crate::json;
use crate::limits::{ADDITIONAL_BYTES_MAX, EVENT_BYTES_MAX, PARAMETERS_BYTES_MAX};
use crate::{AccountId, Region, compact, event_time};

/// Of the envelope, which is ours. AWS does not publish the value that it writes.
const EVENT_VERSION: &str = "1.0";

/// The envelope is one more level, and has some bytes.
const LIMITS: Limits = Limits {
    record_bytes_max: EVENT_BYTES_MAX - 1024,
    depth_max: 63,
    keys_per_object_max: 10_000,
    earliest: None,
    latest: None,
};

/// Why an event is not taken. The names are those of PutAuditEvents' error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    FieldNotFound,
    FieldTooLong,
    InvalidData,
    InvalidRecipient,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Fault::FieldNotFound => "FieldNotFound",
            Fault::FieldTooLong => "FieldTooLong",
            Fault::InvalidData => "InvalidData",
            Fault::InvalidRecipient => "InvalidRecipient",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidEventData {
    pub fault: Fault,
    pub message: String,
}

/// An event that can be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventData<'a> {
    /// Its `eventTime`.
    pub event_time: Timestamp,
    text: &'a str,
}

/// What CloudTrail adds to an event.
#[derive(Debug)]
pub struct Envelope<'a> {
    pub event_id: Uuid,
    /// Where PutAuditEvents was called.
    pub region: &'a Region,
    /// The owner of the channel.
    pub recipient: &'a AccountId,
    pub ingestion_time: Timestamp,
    pub channel_arn: &'a str,
}

/// A text member, and how many characters it may have.
struct TextRule {
    name: &'static str,
    chars_max: usize,
    is_required: bool,
}

const fn required(name: &'static str, chars_max: usize) -> TextRule {
    TextRule { name, chars_max, is_required: true }
}

const fn optional(name: &'static str, chars_max: usize) -> TextRule {
    TextRule { name, chars_max, is_required: false }
}

const TEXTS: [TextRule; 9] = [
    required("version", 256),
    required("eventSource", 1024),
    required("eventName", 1024),
    // Its form is looked at by itself.
    required("eventTime", 64),
    required("UID", 1024),
    required("recipientAccountId", 64),
    optional("userAgent", 1024),
    optional("errorCode", 256),
    optional("errorMessage", 256),
];

const IDENTITY_TEXTS: [TextRule; 2] = [required("type", 128), required("principalId", 1024)];

/// Members of any kind, and how many bytes of JSON they may have.
const VALUES: [(&str, usize); 3] = [
    ("requestParameters", PARAMETERS_BYTES_MAX),
    ("responseElements", PARAMETERS_BYTES_MAX),
    ("additionalEventData", ADDITIONAL_BYTES_MAX),
];

impl<'a> EventData<'a> {
    /// Reads the event that `text` is. It must be one JSON object as [`crate::check`] wants records to
    /// be, with the members of the published schema within their limits, for the account `recipient`.
    /// An optional member that is null counts as absent; members beyond the schema are kept. `latest`
    /// bounds its time.
    pub fn check(
        text: &'a str,
        recipient: &AccountId,
        latest: Timestamp,
    ) -> Result<EventData<'a>, InvalidEventData> {
        let text = text.trim_matches([' ', '\n', '\r', '\t']);
        check_object(text, &LIMITS)
            .map_err(|refusal| invalid(format!("eventData is refused: {refusal}.")))?;
        check_texts(text, "", &TEXTS)?;
        let identity = json::member(text, "userIdentity").filter(|value| *value != "null");
        let Some(identity) = identity else { return Err(not_found("userIdentity")) };
        check_is_object("userIdentity", identity)?;
        check_texts(identity, "userIdentity.", &IDENTITY_TEXTS)?;
        if let Some(details) = json::member(identity, "details").filter(|value| *value != "null") {
            check_is_object("userIdentity.details", details)?;
        }
        for (name, bytes_max) in VALUES {
            let bytes = json::member(text, name).map_or(0, str::len);
            if bytes > bytes_max {
                let message = format!(
                    "{name} in eventData has {bytes} bytes; at most {bytes_max} are taken."
                );
                return Err(InvalidEventData { fault: Fault::FieldTooLong, message });
            }
        }
        if let Some(address) = text_of(text, "sourceIPAddress", "")?
            && address.parse::<IpAddr>().is_err()
        {
            return Err(invalid(format!(
                "sourceIPAddress in eventData is no IPv4 or IPv6 address: {:?}.",
                echo(&address)
            )));
        }
        let named = text_of(text, "recipientAccountId", "")?.unwrap_or_default();
        if named != recipient.as_str() {
            let message = format!(
                "recipientAccountId in eventData is {:?}; it must be {recipient}, the owner of the channel.",
                echo(&named)
            );
            return Err(InvalidEventData { fault: Fault::InvalidRecipient, message });
        }
        let event_time = time_of(&text_of(text, "eventTime", "")?.unwrap_or_default(), latest)?;
        Ok(EventData { event_time, text })
    }

    /// The record, on one line: AWS's members in their order, then the event as it was sent (without
    /// its line breaks, where it has any).
    pub fn record(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        let Envelope { event_id, region, recipient, ingestion_time, channel_arn } = envelope;
        let seconds = |time: &Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let channel_arn = serde_json::Value::from(*channel_arn);
        let head = format!(
            concat!(
                r#"{{"eventVersion":"{}","eventCategory":"ActivityAuditLog","eventType":"ActivityLog","#,
                r#""eventID":"{}","eventTime":"{}","awsRegion":"{}","recipientAccountId":"{}","#,
                r#""metadata":{{"ingestionTime":"{}","channelARN":{}}},"eventData":"#
            ),
            EVENT_VERSION,
            event_id.hyphenated(),
            seconds(&self.event_time),
            region,
            recipient,
            seconds(ingestion_time),
            channel_arn,
        );
        let data = compact(self.text.as_bytes());
        let mut record = Vec::with_capacity(head.len() + data.len() + 1);
        record.extend_from_slice(head.as_bytes());
        record.extend_from_slice(&data);
        record.push(b'}');
        record
    }
}

fn check_texts(object: &str, parent: &str, rules: &[TextRule]) -> Result<(), InvalidEventData> {
    for rule in rules {
        let name = rule.name;
        let text = text_of(object, name, parent)?.filter(|text| !text.trim().is_empty());
        match text {
            None if rule.is_required => return Err(not_found(&format!("{parent}{name}"))),
            None => {}
            Some(text) => {
                let chars = text.chars().count();
                if chars > rule.chars_max {
                    let message = format!(
                        "{parent}{name} in eventData has {chars} characters; at most {} are taken.",
                        rule.chars_max
                    );
                    return Err(InvalidEventData { fault: Fault::FieldTooLong, message });
                }
            }
        }
    }
    Ok(())
}

/// The string member of that name; `None` where it is absent or null.
fn text_of(object: &str, name: &str, parent: &str) -> Result<Option<String>, InvalidEventData> {
    match json::member(object, name) {
        None | Some("null") => Ok(None),
        Some(value) => match json::string(value) {
            Some(text) => Ok(Some(text.to_str().into_owned())),
            None => Err(invalid(format!("{parent}{name} in eventData must be a string."))),
        },
    }
}

fn check_is_object(name: &str, value: &str) -> Result<(), InvalidEventData> {
    match value.starts_with('{') {
        true => Ok(()),
        false => Err(invalid(format!("{name} in eventData must be an object."))),
    }
}

/// AWS: `yyyy-MM-DDTHH:mm:ss` in UTC; with a `Z` behind it as well.
fn time_of(text: &str, latest: Timestamp) -> Result<Timestamp, InvalidEventData> {
    let is_shaped = text.as_bytes().get(10) == Some(&b'T')
        && (text.len() == 19 || (text.len() == 20 && text.ends_with('Z')));
    let Some(time) = event_time(text).filter(|_| is_shaped) else {
        return Err(invalid(format!(
            "eventTime in eventData is no time like 2026-01-02T03:04:05: {:?}.",
            echo(text)
        )));
    };
    match time > latest {
        true => Err(invalid(format!("eventTime in eventData lies in the future: {text}."))),
        false => Ok(time),
    }
}

fn not_found(name: &str) -> InvalidEventData {
    let message = format!("{name} in eventData is missing or empty.");
    InvalidEventData { fault: Fault::FieldNotFound, message }
}

fn invalid(message: String) -> InvalidEventData {
    InvalidEventData { fault: Fault::InvalidData, message }
}

/// As much of what was sent as a message repeats.
fn echo(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
