use api::ApiError;
use api::cloudtrail::{UpdateChannelRequest, UpdateChannelResponse};

use super::{check_name, destinations, find, not_found};
use crate::operations::{Cx, internal};

/// Changes the name, the destinations, or both; what is left out stays. The source stays always.
pub async fn update_channel(
    cx: Cx<'_>,
    input: UpdateChannelRequest,
) -> Result<UpdateChannelResponse, ApiError> {
    let channel = find(cx, &input.channel.unwrap_or_default()).await?;
    let wanted = input.destinations.as_deref().map(destinations::named).transpose()?;
    let name = input.name;
    let now_ms = cx.now.as_millisecond();
    let catalog = &cx.node.catalog;
    let changed = catalog.change_channel(cx.account(), &channel.arn, now_ms, |channel, beside| {
        if let Some(name) = name {
            check_name(cx, &beside, &name)?;
            channel.name = name;
        }
        if let Some(wanted) = wanted {
            destinations::check(cx, &wanted, beside.stores)?;
            channel.destinations = wanted;
        }
        Ok::<_, ApiError>(())
    });
    let channel = changed.await.map_err(internal)?.ok_or_else(|| not_found(&channel.arn))??;
    Ok(UpdateChannelResponse {
        channel_arn: Some(channel.arn),
        name: Some(channel.name),
        source: Some(channel.source),
        destinations: Some(destinations::shown(channel.destinations)),
    })
}
