use api::ApiError;
use api::cloudtrail::{GetTrailRequest, GetTrailResponse};

use super::{find, shown};
use crate::operations::Cx;

pub async fn get_trail(cx: Cx<'_>, input: GetTrailRequest) -> Result<GetTrailResponse, ApiError> {
    let trail = find(cx, input.name.as_deref()).await?;
    Ok(GetTrailResponse { trail: Some(shown(trail)) })
}
