use api::ApiError;
use api::cloudtrail::{DeleteChannelRequest, DeleteChannelResponse};

use super::{find, not_found};
use crate::operations::{Cx, internal};

/// Forgets a channel. What came by it stays in the event data stores.
pub async fn delete_channel(
    cx: Cx<'_>,
    input: DeleteChannelRequest,
) -> Result<DeleteChannelResponse, ApiError> {
    let channel = find(cx, &input.channel.unwrap_or_default()).await?;
    let deleted = cx.node.catalog.delete_channel(cx.account(), &channel.arn).await;
    match deleted.map_err(internal)? {
        true => Ok(DeleteChannelResponse {}),
        false => Err(not_found(&channel.arn)),
    }
}
