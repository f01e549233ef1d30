//! Event data stores: what is kept to be asked.

use api::{ApiError, ErrorCode};
use catalog::{Deletion, EventDataStore};
use event::arn::{EventDataStoreArn, hyphenated_uuid};

use crate::operations::{Cx, internal};

/// The caller's event data store in this Region, named by its ARN or by the ID at the ARN's end.
/// Another account's or Region's is as good as none. It may be pending deletion.
pub async fn find(cx: Cx<'_>, arn_or_id: &str) -> Result<EventDataStore, ApiError> {
    let id = match EventDataStoreArn::parse(arn_or_id) {
        Ok(arn) if arn.account == *cx.caller.account() && arn.region == *cx.region => Some(arn.id),
        Ok(_) => None,
        Err(invalid) => match hyphenated_uuid(arn_or_id) {
            Some(id) => Some(id),
            None => {
                return Err(ApiError::new(
                    ErrorCode::EventDataStoreARNInvalidException,
                    invalid.to_string(),
                ));
            }
        },
    };
    let found = match id {
        Some(id) => cx.node.catalog.event_data_store(id).await.map_err(internal)?,
        None => None,
    };
    found
        .filter(|store| store.account == cx.account() && store.home_region == cx.region.as_str())
        .ok_or_else(|| not_found(arn_or_id))
}

/// As [`find`], for what cannot be done with a store that is pending deletion.
pub async fn active(cx: Cx<'_>, arn_or_id: &str) -> Result<EventDataStore, ApiError> {
    let store = find(cx, arn_or_id).await?;
    match store.state.deletion {
        Deletion::None => Ok(store),
        Deletion::Pending { .. } | Deletion::Removing => Err(inactive(&store.arn)),
    }
}

fn not_found(arn_or_id: &str) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreNotFoundException,
        format!("Event data store {arn_or_id} was not found."),
    )
}

fn inactive(arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::InactiveEventDataStoreException,
        format!("Event data store {arn} is not active: it is pending deletion."),
    )
}
