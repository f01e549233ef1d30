//! Channels: how events from outside AWS come into event data stores.

mod create_channel;
mod delete_channel;
mod destinations;
mod get_channel;
mod list_channels;
mod put_audit_events;
mod update_channel;

use api::{ApiError, ErrorCode};
use catalog::{Beside, Channel};
use event::arn::{ChannelArn, hyphenated_uuid};

pub use create_channel::create_channel;
pub use delete_channel::delete_channel;
pub use get_channel::get_channel;
pub use list_channels::list_channels;
pub use put_audit_events::{Put, put_audit_events};
pub use update_channel::update_channel;

use crate::operations::{Cx, internal};

/// The caller's channel in this Region, named by its ARN or by the ID at the ARN's end. Another
/// account's or Region's is as good as none.
pub async fn find(cx: Cx<'_>, arn_or_id: &str) -> Result<Channel, ApiError> {
    let id = match ChannelArn::parse(arn_or_id) {
        Ok(arn) if arn.account == *cx.caller.account() && arn.region == *cx.region => Some(arn.id),
        Ok(_) => None,
        Err(invalid) => match hyphenated_uuid(arn_or_id) {
            Some(id) => Some(id),
            None => {
                return Err(ApiError::new(
                    ErrorCode::ChannelARNInvalidException,
                    invalid.to_string(),
                ));
            }
        },
    };
    let found = match id {
        Some(id) => cx.node.catalog.channel(id).await.map_err(internal)?,
        None => None,
    };
    found
        .filter(|channel| channel.account == cx.account() && channel.region == cx.region.as_str())
        .ok_or_else(|| not_found(arn_or_id))
}

fn not_found(arn_or_id: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ChannelNotFoundException,
        format!("Channel {arn_or_id} was not found."),
    )
}

/// AWS: a name is taken once among an account's channels of a Region.
fn check_name(cx: Cx<'_>, beside: &Beside<'_>, name: &str) -> Result<(), ApiError> {
    let is_taken = |other: &Channel| other.region == cx.region.as_str() && other.name == name;
    match beside.channels.iter().any(is_taken) {
        true => Err(ApiError::new(
            ErrorCode::ChannelAlreadyExistsException,
            format!("Channel {name} already exists for customer: {}", cx.account()),
        )),
        false => Ok(()),
    }
}
