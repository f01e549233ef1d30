//! PutAuditEvents of CloudTrail Data.
//!
//! ```text
//!   the channel, if the caller may ─ each entry: checksum, schema ─▶ records ─▶ journal: fsync
//!                                          └─ not taken: failed        successful: eventID ◀─┘
//! ```

use api::cloudtrail_data::{
    AuditEvent, AuditEventResultEntry, PutAuditEventsRequest, PutAuditEventsResponse,
    ResultErrorEntry,
};
use api::{ApiError, ErrorCode};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use catalog::{Attempt, Channel, Ingestions};
use event::AccountId;
use event::activity::{Envelope, EventData};
use event::arn::{ChannelArn, EventDataStoreArn, hyphenated_uuid};
use uuid::Uuid;

use crate::authorization::{Attached, Denied, Wish, judge};
use crate::chance;
use crate::intake;
use crate::operations::{Cx, internal};

/// AWS: a request has at most 1 MB of events.
const EVENTS_BYTES_MAX: usize = 1 << 20;
/// The model's bound of `errorMessage`.
const MESSAGE_CHARS_MAX: usize = 1024;

/// What was done, and to which channel.
#[derive(Debug)]
pub struct Put {
    pub channel_arn: String,
    pub owner: AccountId,
    pub response: PutAuditEventsResponse,
}

/// Takes the events that are good into the channel's event data stores, and says of each other one
/// why it is not. Those that it answers an ID for are durable.
///
/// AWS does not promise to notice an event that is put again in another request, and neither does this.
pub async fn put_audit_events(cx: Cx<'_>, input: PutAuditEventsRequest) -> Result<Put, ApiError> {
    let named = input.channel_arn.unwrap_or_default();
    let channel = channel_for_put(cx, &named, input.external_id.as_deref()).await?;
    let entries = input.audit_events.unwrap_or_default();
    refuse_as_a_whole(&entries)?;

    let owner = AccountId::parse(&channel.account).map_err(|error| {
        tracing::error!(channel = channel.arn, %error, "the owner of a channel is no account");
        failure()
    })?;
    let mut judged: Vec<Judged> = Vec::with_capacity(entries.len());
    for entry in entries {
        let event_id = chance::uuid(cx.node.chance.as_ref());
        let record = record_of(cx, &channel, &owner, event_id, &entry);
        judged.push(Judged { id: entry.id.unwrap_or_default(), event_id, record });
    }
    let records: Vec<Vec<u8>> =
        judged.iter().filter_map(|entry| entry.record.as_ref().ok().cloned()).collect();
    if !records.is_empty() {
        let stores: Vec<Uuid> = channel
            .destinations
            .iter()
            .filter_map(|arn| Some(EventDataStoreArn::parse(arn).ok()?.id))
            .collect();
        let accepted =
            intake::accept_put(&cx.node.journal, &owner, &stores, cx.now, &records).await;
        accepted.map_err(|error| {
            ApiError::new(
                ErrorCode::ServiceUnavailable,
                format!(
                    "The events cannot be taken now: {error}. None was taken; try again later."
                ),
            )
        })?;
    }
    let refused = judged.iter().filter(|entry| entry.record.is_err()).count() as u64;
    cx.node.metrics.posted(records.len() as u64, refused);
    cx.node.latest_puts.note(&channel.arn, ingestions(cx.now.as_millisecond(), &judged));

    let mut response = PutAuditEventsResponse { failed: Vec::new(), successful: Vec::new() };
    for Judged { id, event_id, record } in judged {
        match record {
            Ok(_) => {
                let event_id = event_id.hyphenated().to_string();
                response.successful.push(AuditEventResultEntry { event_id, id });
            }
            Err(Failed { code, message }) => {
                let error_message = message.chars().take(MESSAGE_CHARS_MAX).collect();
                let error_code = code.to_owned();
                response.failed.push(ResultErrorEntry { error_code, error_message, id });
            }
        }
    }
    Ok(Put { channel_arn: channel.arn, owner, response })
}

/// An entry of the request: the ID that its event has, or would have had, and its record.
struct Judged {
    id: String,
    event_id: Uuid,
    record: Result<Vec<u8>, Failed>,
}

/// Why an entry is not taken.
#[derive(Debug)]
struct Failed {
    code: &'static str,
    message: String,
}

/// The channel that is named, by its ARN or by the ID at the ARN's end, if the caller may put into it.
/// AWS: the owner's principals may by their own policies, unless the channel's denies; others need both.
async fn channel_for_put(
    cx: Cx<'_>,
    named: &str,
    external_id: Option<&str>,
) -> Result<Channel, ApiError> {
    let (own, region) = (*cx.caller.account(), cx.region.clone());
    let arn = match (ChannelArn::parse(named), hyphenated_uuid(named)) {
        (Ok(arn), _) => arn,
        (Err(_), Some(id)) => ChannelArn { region, account: own, id },
        (Err(invalid), None) => {
            return Err(ApiError::new(ErrorCode::InvalidChannelARN, invalid.to_string()));
        }
    };
    let text = arn.to_string();
    let policy = cx.node.catalog.resource_policy(&text).await.map_err(internal)?;
    let context = external_id.map(|id| ("cloudtrail:ExternalId".to_owned(), id.to_owned()));
    let wish = Wish {
        action: "cloudtrail-data:PutAuditEvents",
        resource: &text,
        owner: arn.account.as_str(),
        policy: policy.as_deref().map(Attached::Text),
        context: context.as_slice(),
    };
    // Said of channels that are not there too, so that nobody learns which are.
    judge(&cx.node.accounts, &cx.asking(), &wish).map_err(|Denied(message)| {
        ApiError::new(ErrorCode::ChannelInsufficientPermission, message)
    })?;
    let found = cx.node.catalog.channel(arn.id).await.map_err(internal)?;
    let is_it = |channel: &Channel| channel.arn == text && channel.region == cx.region.as_str();
    found.filter(is_it).ok_or_else(|| {
        ApiError::new(ErrorCode::ChannelNotFound, format!("Channel {named} was not found."))
    })
}

/// What makes a request wrong whatever its entries are.
fn refuse_as_a_whole(entries: &[AuditEvent]) -> Result<(), ApiError> {
    let bytes: usize =
        entries.iter().map(|entry| entry.event_data.as_deref().map_or(0, str::len)).sum();
    if bytes > EVENTS_BYTES_MAX {
        return Err(ApiError::new(
            ErrorCode::RequestEntityTooLarge,
            format!(
                "The events have {bytes} bytes; a request may have {EVENTS_BYTES_MAX}. Send them in several requests."
            ),
        ));
    }
    let mut ids: Vec<&str> = entries.iter().filter_map(|entry| entry.id.as_deref()).collect();
    ids.sort_unstable();
    match ids.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(ApiError::new(
            ErrorCode::DuplicatedAuditEventId,
            format!("The id {} is given more than once.", two[0]),
        )),
        None => Ok(()),
    }
}

/// The record that an entry becomes, or why it does not.
fn record_of(
    cx: Cx<'_>,
    channel: &Channel,
    owner: &AccountId,
    event_id: Uuid,
    entry: &AuditEvent,
) -> Result<Vec<u8>, Failed> {
    let text = entry.event_data.as_deref().unwrap_or_default();
    if let Some(checksum) = &entry.event_data_checksum
        && !is_checksum_of(checksum, text)
    {
        return Err(Failed {
            code: "InvalidChecksum",
            message: "eventDataChecksum is not the base64 of the SHA-256 of eventData.".to_owned(),
        });
    }
    let latest = cx.now + jiff::SignedDuration::from_secs(intake::FUTURE_SECONDS_MAX);
    let data = EventData::check(text, owner, latest)
        .map_err(|error| Failed { code: error.fault.name(), message: error.message })?;
    let record = data.record(&Envelope {
        event_id,
        region: cx.region,
        recipient: owner,
        ingestion_time: cx.now,
        channel_arn: &channel.arn,
    });
    // What everything behind the journal relies on, asked of the very bytes that go in.
    let header = event::check(&record, &event::Limits::default())
        .map_err(|refusal| Failed { code: "InvalidData", message: refusal.to_string() })?;
    match cx.node.settings.redact && header.may_hold_secrets {
        true => Ok(event::redact(&record).into_owned()),
        false => Ok(record),
    }
}

/// API reference: the base64 of the SHA-256 of the bytes of eventData.
fn is_checksum_of(checksum: &str, text: &str) -> bool {
    let found = BASE64_STANDARD.decode(checksum.trim());
    found.is_ok_and(|found| found == digest(&SHA256, text.as_bytes()).as_ref())
}

/// What GetChannel will say of this request. An attempt has failed when an entry has; each entry has
/// an ID, whether it becomes an event or not.
fn ingestions(at_ms: i64, judged: &[Judged]) -> Ingestions {
    let attempt =
        |entry: &Judged| Attempt { at_ms, event_id: entry.event_id.hyphenated().to_string() };
    let success = judged.iter().rev().find(|entry| entry.record.is_ok()).map(attempt);
    let failure = judged.iter().rev().find_map(|entry| {
        let failed = entry.record.as_ref().err()?;
        Some((attempt(entry), failed.code))
    });
    let (failed, error_code) = failure.unzip();
    Ingestions {
        attempt: failed.or_else(|| success.clone()),
        success,
        error_code: error_code.map(str::to_owned),
    }
}

fn failure() -> ApiError {
    ApiError::new(ErrorCode::InternalFailure, "The request could not be carried out.")
}
