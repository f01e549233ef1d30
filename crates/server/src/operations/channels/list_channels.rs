use api::cloudtrail::{Channel as ApiChannel, ListChannelsRequest, ListChannelsResponse};
use api::{ApiError, ErrorCode};

use crate::operations::{Cx, internal, paging};

/// The model's bound.
const PAGE_MAX: usize = 1000;

/// The account's channels in this Region, oldest first, each with its ARN and name.
pub async fn list_channels(
    cx: Cx<'_>,
    input: ListChannelsRequest,
) -> Result<ListChannelsResponse, ApiError> {
    let page_max = match input.max_results {
        None => PAGE_MAX,
        Some(given) => usize::try_from(given).unwrap_or(PAGE_MAX).min(PAGE_MAX),
    };
    let listing = paging::listing(cx, "ListChannels", "");
    let token = input.next_token.as_deref();
    let after = paging::place(&listing, token, ErrorCode::InvalidNextTokenException)?;
    let mut channels = cx.node.catalog.channels_of(cx.account()).await.map_err(internal)?;
    channels.retain(|channel| {
        let number = u64::try_from(channel.number).unwrap_or(0);
        channel.region == cx.region.as_str() && after.is_none_or(|after| number > after)
    });
    let more = channels.len() > page_max;
    channels.truncate(page_max);
    let last = channels.last().filter(|_| more).and_then(|c| u64::try_from(c.number).ok());
    let channels = channels
        .into_iter()
        .map(|channel| ApiChannel { channel_arn: Some(channel.arn), name: Some(channel.name) });
    Ok(ListChannelsResponse {
        channels: Some(channels.collect()),
        next_token: last.map(|last| paging::token(&listing, last)),
    })
}
