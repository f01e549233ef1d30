use api::cloudtrail::{
    EventDataStore as ApiStore, ListEventDataStoresRequest, ListEventDataStoresResponse,
};
use api::{ApiError, ErrorCode};
use catalog::EventDataStore;

use crate::accounts::Standing;
use crate::operations::{Cx, internal, organizations, paging};

/// The model's bound.
const PAGE_MAX: usize = 1000;

/// The account's stores in this Region, in any state, in pages by ARN. The token holds the last ARN of
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
    let listing = paging::listing(cx, "ListEventDataStores", "");
    let token = input.next_token.as_deref();
    let after = paging::place_name(&listing, token, ErrorCode::InvalidNextTokenException)?;
    let mut stores = cx.node.catalog.event_data_stores_of(cx.account()).await.map_err(internal)?;
    // AWS: delegated administrators see the organization's stores, members do not.
    if let Some((organization, Standing::Delegated)) = organizations::standing(cx) {
        let management = organization.management.as_str();
        let others = cx.node.catalog.event_data_stores_of(management).await.map_err(internal)?;
        let is_shared =
            |store: &EventDataStore| store.state.organization.as_ref() == Some(&organization.id);
        stores.extend(others.into_iter().filter(is_shared));
    }
    stores.retain(|store| store.home_region == cx.region.as_str());
    stores.sort_by(|a, b| a.arn.cmp(&b.arn));
    if let Some(after) = after {
        stores.retain(|store| store.arn > after);
    }
    let more = stores.len() > page_max;
    stores.truncate(page_max);
    let last = stores.last().filter(|_| more);
    let next_token = last.map(|store| paging::token_after_name(&listing, &store.arn));
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
