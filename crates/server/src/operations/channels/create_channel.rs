use api::cloudtrail::{CreateChannelRequest, CreateChannelResponse};
use api::{ApiError, ErrorCode};
use catalog::{Beside, Channel};
use event::arn::ChannelArn;

use super::{check_name, destinations};
use crate::chance;
use crate::operations::tags::{self, checked_for_new_resource};
use crate::operations::{Cx, internal};

/// The source of the channels that AWS services make for themselves.
const SERVICE_LINKED: &str = "CloudTrail";

/// Declares a channel: what is put into it from now on goes to its destinations. Any name is taken
/// as a source, since Cairn's sources are not only AWS's partners.
pub async fn create_channel(
    cx: Cx<'_>,
    input: CreateChannelRequest,
) -> Result<CreateChannelResponse, ApiError> {
    let source = input.source.unwrap_or_default();
    if source.trim().is_empty() || source == SERVICE_LINKED {
        return Err(ApiError::new(
            ErrorCode::InvalidSourceException,
            format!(
                "{source:?} cannot be the source of a channel of your own. Use Custom, or the name of the partner or application."
            ),
        ));
    }
    let destinations = destinations::named(&input.destinations.unwrap_or_default())?;
    let tags = checked_for_new_resource(&input.tags.unwrap_or_default(), "channel")?;
    let id = chance::uuid(cx.node.chance.as_ref());
    let (account, now_ms) = (*cx.caller.account(), cx.now.as_millisecond());
    let channel = Channel {
        number: 0,
        arn: ChannelArn { region: cx.region.clone(), account, id }.to_string(),
        id,
        account: account.to_string(),
        region: cx.region.to_string(),
        name: input.name.unwrap_or_default(),
        source,
        destinations,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    let admit = |beside: Beside<'_>| check_place(cx, &beside, &channel);
    cx.node.catalog.create_channel(&channel, &tags, admit).await.map_err(internal)??;

    let tags = tags.into_iter().map(tags::shown);
    Ok(CreateChannelResponse {
        channel_arn: Some(channel.arn),
        name: Some(channel.name),
        source: Some(channel.source),
        destinations: Some(destinations::shown(channel.destinations)),
        tags: Some(tags.collect()),
    })
}

fn check_place(cx: Cx<'_>, beside: &Beside<'_>, channel: &Channel) -> Result<(), ApiError> {
    destinations::check(cx, &channel.destinations, beside.stores)?;
    check_name(cx, beside, &channel.name)?;
    let here = || beside.channels.iter().filter(|other| other.region == cx.region.as_str());
    // AWS: "A maximum of one channel is allowed per source" (API reference, CreateChannel, in the
    // sentence before the one that says what Custom is). It costs nobody anything here, where each
    // application can be a source by its own name.
    if let Some(other) = here().find(|other| other.source == channel.source) {
        return Err(ApiError::new(
            ErrorCode::ChannelAlreadyExistsException,
            format!(
                "Channel {} already exists for the source {}. One channel is allowed for each source.",
                other.name, channel.source
            ),
        ));
    }
    let taken = here().count();
    if taken >= cx.node.settings.lake.channels_per_region_max {
        return Err(ApiError::new(
            ErrorCode::ChannelMaxLimitExceededException,
            format!("User: {} already has {taken} channels in {}.", cx.account(), cx.region),
        ));
    }
    Ok(())
}
