use api::cloudtrail::{
    EventDataStore as ApiStore, ListEventDataStoresRequest, ListEventDataStoresResponse,
};
use api::{ApiError, ErrorCode};
use event::arn::EventDataStoreArn;

use crate::operations::{Cx, internal};

/// The model's bound.
const PAGE_MAX: usize = 1000;

/// The account's stores in this Region, in any state, in pages by ARN. The token is the last ARN of
/// the page before, so that stores made meanwhile do not shift the pages.
///
/// AWS: of each store only its ARN and name; the other members are no longer returned.
pub async fn list_event_data_stores(
    cx: Cx<'_>,
    input: ListEventDataStoresRequest,
) -> Result<ListEventDataStoresResponse, ApiError> {
    let page_max = match input.max_results {
        None => PAGE_MAX,
        Some(given) => {
            let fits = usize::try_from(given).ok().filter(|n| (1..=PAGE_MAX).contains(n));
            fits.ok_or_else(|| {
                ApiError::new(
                    ErrorCode::InvalidMaxResultsException,
                    format!("MaxResults must lie between 1 and {PAGE_MAX}; {given} was given."),
                )
            })?
        }
    };
    let mut stores = cx.node.catalog.event_data_stores_of(cx.account()).await.map_err(internal)?;
    stores.retain(|store| store.home_region == cx.region.as_str());
    stores.sort_by(|a, b| a.arn.cmp(&b.arn));
    if let Some(after) = &input.next_token {
        let ours = EventDataStoreArn::parse(after)
            .is_ok_and(|arn| arn.account == *cx.caller.account() && arn.region == *cx.region);
        if !ours {
            return Err(ApiError::new(
                ErrorCode::InvalidNextTokenException,
                "The NextToken is not one that ListEventDataStores returned.",
            ));
        }
        stores.retain(|store| store.arn > *after);
    }
    let more = stores.len() > page_max;
    stores.truncate(page_max);
    let next_token = stores.last().filter(|_| more).map(|store| store.arn.clone());
    let stores = stores
        .into_iter()
        .map(|store| ApiStore {
            event_data_store_arn: Some(store.arn),
            name: Some(store.name),
            ..ApiStore::default()
        })
        .collect();
    Ok(ListEventDataStoresResponse { event_data_stores: Some(stores), next_token })
}
