use api::cloudtrail::{ListPublicKeysRequest, ListPublicKeysResponse, PublicKey};
use api::{ApiError, Blob, ErrorCode};

use crate::operations::{Cx, internal};

/// Every key of the Region whose validity touches the span, in one page: the AWS CLI's
/// validate-logs never asks for a second one (spec c.4). Both ends default to now; an invalid
/// NextToken is ignored, as AWS does.
pub async fn list_public_keys(
    cx: Cx<'_>,
    input: ListPublicKeysRequest,
) -> Result<ListPublicKeysResponse, ApiError> {
    let now_ms = cx.now.as_millisecond();
    let start_ms = input.start_time.map_or(now_ms, api::Timestamp::as_millis);
    let end_ms = input.end_time.map_or(now_ms, api::Timestamp::as_millis);
    if start_ms > end_ms {
        return Err(ApiError::new(
            ErrorCode::InvalidTimeRangeException,
            "The start time occurs after the end time. Specify a start time that is not later than the end time.",
        ));
    }
    let keys = cx
        .node
        .catalog
        .digest_keys(cx.region.as_str(), start_ms, end_ms)
        .await
        .map_err(internal)?;
    let public_key_list = keys
        .into_iter()
        .map(|key| PublicKey {
            value: Some(Blob(key.public_pkcs1)),
            validity_start_time: api::Timestamp::from_millis(key.valid_from_ms).ok(),
            validity_end_time: api::Timestamp::from_millis(key.valid_until_ms).ok(),
            fingerprint: Some(key.fingerprint),
        })
        .collect();
    Ok(ListPublicKeysResponse { public_key_list: Some(public_key_list), next_token: None })
}
