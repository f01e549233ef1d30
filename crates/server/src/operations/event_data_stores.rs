//! Event data stores: what is kept to be asked.

mod create_event_data_store;
mod delete_event_data_store;
mod get_event_data_store;
mod imports;
mod list_event_data_stores;
mod restore_event_data_store;
mod settings;
mod start_event_data_store_ingestion;
mod stop_event_data_store_ingestion;
mod update_event_data_store;

use api::cloudtrail::AdvancedEventSelector as ApiSelector;
use api::{ApiError, ErrorCode, Timestamp};
use catalog::{BillingMode, CatalogError, Deletion, EventDataStore, Federation, Ingestion};
use event::arn::{EventDataStoreArn, hyphenated_uuid};
use event::selectors::{EventSelectors, StoreClass};

pub use create_event_data_store::create_event_data_store;
pub use delete_event_data_store::delete_event_data_store;
pub use get_event_data_store::get_event_data_store;
pub use list_event_data_stores::list_event_data_stores;
pub use restore_event_data_store::restore_event_data_store;
pub use start_event_data_store_ingestion::start_event_data_store_ingestion;
pub use stop_event_data_store_ingestion::stop_event_data_store_ingestion;
pub use update_event_data_store::update_event_data_store;

use crate::lake::{Columns, Readable, TableName};
use crate::operations::trails::converted;
use crate::operations::{Cx, federation, internal};

/// The caller's event data store in this Region, named by its ARN or by the ID at the ARN's end, or one
/// of another account that its policy lets the caller use in this operation. Another account's or
/// Region's is as good as none. It may be pending deletion.
pub async fn find(cx: Cx<'_>, arn_or_id: &str) -> Result<EventDataStore, ApiError> {
    let id = match EventDataStoreArn::parse(arn_or_id) {
        Ok(arn) if arn.region == *cx.region => Some(arn.id),
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
        .filter(|store| store.account == cx.account() || cx.grants.has(&store.arn))
        .filter(|store| store.home_region == cx.region.as_str())
        .ok_or_else(|| not_found(arn_or_id))
}

/// As [`find`], for what cannot be done with a store that is pending deletion.
pub async fn active(cx: Cx<'_>, arn_or_id: &str) -> Result<EventDataStore, ApiError> {
    let store = find(cx, arn_or_id).await?;
    refuse_inactive(&store)?;
    Ok(store)
}

/// The table in the lake that holds a store's events.
pub fn table_of(store: &EventDataStore) -> (TableName, Columns) {
    (TableName::of_store(&store.id), columns_of(store.state.class))
}

/// All rows of a store.
pub fn readable(store: &EventDataStore) -> Readable {
    let (table, columns) = table_of(store);
    Readable { table, columns, account: None }
}

/// What the rows of such a store are.
pub fn columns_of(class: StoreClass) -> Columns {
    match class {
        StoreClass::Events => Columns::Events,
        StoreClass::Insights => Columns::Insights,
        StoreClass::ConfigurationItems => Columns::ConfigurationItems,
        StoreClass::Evidence => Columns::Evidence,
        StoreClass::Activity => Columns::Activity,
    }
}

pub(super) fn refuse_inactive(store: &EventDataStore) -> Result<(), ApiError> {
    match store.state.deletion {
        Deletion::None => Ok(()),
        Deletion::Pending { .. } | Deletion::Removing => Err(ApiError::new(
            ErrorCode::InactiveEventDataStoreException,
            format!("Event data store {} is not active: it is pending deletion.", store.arn),
        )),
    }
}

fn not_found(arn_or_id: &str) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreNotFoundException,
        format!("Event data store {arn_or_id} was not found."),
    )
}

/// AWS: neither an update nor a deletion while events are being imported.
async fn refuse_during_import(cx: Cx<'_>, store: &EventDataStore) -> Result<(), ApiError> {
    if imports::is_running(cx, store).await? {
        return Err(ApiError::new(
            ErrorCode::EventDataStoreHasOngoingImportException,
            format!("Events are being imported into event data store {}.", store.arn),
        ));
    }
    Ok(())
}

/// Changes a store from a journal position on, and wakes the workers that care.
pub(super) async fn change(
    cx: Cx<'_>,
    arn: &str,
    next: impl FnOnce(&mut EventDataStore, &[EventDataStore]) -> Result<(), ApiError>,
) -> Result<EventDataStore, ApiError> {
    let now_ms = cx.now.as_millisecond();
    let changed = cx.node.catalog.change_event_data_store(arn, cx.next_seq(), now_ms, next).await;
    cx.node.stores_changed();
    match changed {
        Ok(outcome) => outcome,
        Err(CatalogError::NoSuchEventDataStore(arn)) => Err(not_found(&arn)),
        Err(CatalogError::IsDestination(arn)) => Err(ApiError::new(
            ErrorCode::ChannelExistsForEDSException,
            format!(
                "Event data store {arn} cannot be deleted: it is a destination of a channel. Update or delete the channel first."
            ),
        )),
        Err(other) => Err(internal(other)),
    }
}

/// AWS: an event data store's Status. Cairn changes states in no time, so those on the way from one
/// to the next are never seen.
fn status(store: &EventDataStore) -> &'static str {
    match (store.state.deletion, store.state.ingestion) {
        (Deletion::Pending { .. } | Deletion::Removing, _) => "PENDING_DELETION",
        (Deletion::None, Ingestion::Enabled { .. }) => "ENABLED",
        (Deletion::None, Ingestion::Stopped { .. }) => "STOPPED_INGESTION",
    }
}

pub(super) fn refuse_status(store: &EventDataStore, wanted: &str) -> ApiError {
    ApiError::new(
        ErrorCode::InvalidEventDataStoreStatusException,
        format!(
            "Event data store {} has the status {}; this needs {wanted}.",
            store.arn,
            status(store)
        ),
    )
}

/// AWS: live events of the other categories are not started and stopped here.
fn refuse_without_ingestion(store: &EventDataStore) -> Result<(), ApiError> {
    match store.state.class {
        StoreClass::Events | StoreClass::ConfigurationItems => Ok(()),
        StoreClass::Insights | StoreClass::Evidence | StoreClass::Activity => Err(ApiError::new(
            ErrorCode::InvalidEventDataStoreCategoryException,
            format!(
                "Event data store {} cannot start or stop ingestion: its eventCategory must be Management, Data, NetworkActivity or ConfigurationItem.",
                store.arn
            ),
        )),
    }
}

/// The members that most answers share.
struct Shown {
    arn: String,
    name: String,
    status: String,
    selectors: Vec<ApiSelector>,
    multi_region: bool,
    /// Is it the organization's?
    organization: bool,
    retention_days: i32,
    termination_protection: bool,
    billing_mode: String,
    /// Both absent where federation was never enabled or is disabled.
    federation_status: Option<String>,
    federation_role: Option<String>,
    created: Option<Timestamp>,
    updated: Option<Timestamp>,
}

fn shown(store: EventDataStore) -> Result<Shown, ApiError> {
    let selectors = match &store.state.selectors {
        EventSelectors::Advanced(advanced) => converted(advanced)?,
        EventSelectors::Basic(_) => Vec::new(),
    };
    Ok(Shown {
        status: status(&store).to_owned(),
        selectors,
        multi_region: store.state.multi_region,
        organization: store.state.organization.is_some(),
        retention_days: i32::try_from(store.state.retention_days).unwrap_or(i32::MAX),
        termination_protection: store.state.termination_protection,
        billing_mode: match store.state.billing_mode {
            BillingMode::ExtendableRetention => "EXTENDABLE_RETENTION_PRICING".to_owned(),
            BillingMode::FixedRetention => "FIXED_RETENTION_PRICING".to_owned(),
        },
        federation_status: match &store.state.federation {
            Federation::Disabled => None,
            other => Some(federation::status(other).to_owned()),
        },
        federation_role: store.state.federation.role_arn().map(str::to_owned),
        created: Timestamp::from_millis(store.created_ms).ok(),
        updated: Timestamp::from_millis(store.updated_ms).ok(),
        arn: store.arn,
        name: store.name,
    })
}
