use api::cloudtrail::{GetChannelRequest, GetChannelResponse, IngestionStatus, SourceConfig};
use api::{ApiError, Timestamp};
use catalog::{Attempt, Ingestions};

use super::{destinations, find};
use crate::operations::{Cx, internal};

/// A channel with what became of the latest puts, once there was one.
pub async fn get_channel(
    cx: Cx<'_>,
    input: GetChannelRequest,
) -> Result<GetChannelResponse, ApiError> {
    let channel = find(cx, &input.channel.unwrap_or_default()).await?;
    // Noted first: what is stored meanwhile is then seen twice, and not never.
    let noted = cx.node.latest_puts.of(&channel.arn).unwrap_or_default();
    let stored = cx.node.catalog.channel_ingestions(&channel.arn).await.map_err(internal)?;
    Ok(GetChannelResponse {
        channel_arn: Some(channel.arn),
        name: Some(channel.name),
        source: Some(channel.source),
        // A channel of one's own is of one Region, and what is put into it is not selected.
        source_config: Some(SourceConfig {
            apply_to_all_regions: Some(false),
            advanced_event_selectors: Some(Vec::new()),
        }),
        destinations: Some(destinations::shown(channel.destinations)),
        ingestion_status: shown(stored.followed_by(noted)),
    })
}

fn shown(ingestions: Ingestions) -> Option<IngestionStatus> {
    let attempt = ingestions.attempt?;
    let time = |attempt: &Attempt| Timestamp::from_millis(attempt.at_ms).ok();
    Some(IngestionStatus {
        latest_ingestion_success_time: ingestions.success.as_ref().and_then(time),
        latest_ingestion_success_event_id: ingestions.success.map(|success| success.event_id),
        latest_ingestion_error_code: ingestions.error_code,
        latest_ingestion_attempt_time: time(&attempt),
        latest_ingestion_attempt_event_id: Some(attempt.event_id),
    })
}
