use api::ApiError;
use api::cloudtrail::{GetEventConfigurationRequest, GetEventConfigurationResponse};
use catalog::Deletion;

use super::{Target, refuse_category, shown_store, shown_trail, target};
use crate::operations::{Cx, event_data_stores, trails};

/// The configuration of a trail or of an event data store. A store that is pending deletion has none
/// to show.
pub async fn get_event_configuration(
    cx: Cx<'_>,
    input: GetEventConfigurationRequest,
) -> Result<GetEventConfigurationResponse, ApiError> {
    match target(input.trail_name, input.event_data_store)? {
        Target::Trail(name) => Ok(shown_trail(trails::find(cx, Some(&name)).await?)),
        Target::Store(name) => {
            let store = event_data_stores::find(cx, &name).await?;
            if store.state.deletion != Deletion::None {
                return Err(event_data_stores::refuse_status(
                    &store,
                    "ENABLED or STOPPED_INGESTION",
                ));
            }
            refuse_category(&store)?;
            shown_store(store)
        }
    }
}
