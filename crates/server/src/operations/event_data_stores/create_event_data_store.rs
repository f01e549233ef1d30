use api::cloudtrail::{CreateEventDataStoreRequest, CreateEventDataStoreResponse};
use api::{ApiError, ErrorCode};
use catalog::{Deletion, EventDataStore, EventDataStoreState, Ingestion};
use event::arn::EventDataStoreArn;
use event::selectors::StoreClass;

use super::settings::{Wanted, resolved};
use super::{shown, table_of};
use crate::chance;
use crate::operations::{Cx, internal, organizations, tags};

/// Declares an event data store, which takes live events from now on unless told otherwise.
pub async fn create_event_data_store(
    cx: Cx<'_>,
    input: CreateEventDataStoreRequest,
) -> Result<CreateEventDataStoreResponse, ApiError> {
    let organization = match input.organization_enabled {
        Some(true) => Some(organizations::administered(cx)?),
        _ => None,
    };
    let resolved = resolved(
        None,
        Wanted {
            selectors: input.advanced_event_selectors,
            multi_region: input.multi_region_enabled,
            retention_days: input.retention_period,
            termination_protection: input.termination_protection_enabled,
            kms_key_id: input.kms_key_id,
            billing_mode: input.billing_mode,
        },
        organization.as_ref().map(|one| one.id.as_str()),
    )?;
    if let StoreClass::ConfigurationItems | StoreClass::Evidence = resolved.class {
        return Err(ApiError::new(
            ErrorCode::UnsupportedOperationException,
            "Event data stores of ConfigurationItem and Evidence events are not implemented in this version of Cairn.",
        ));
    }
    let since_ms = cx.now.as_millisecond();
    let ingestion = match (input.start_ingestion, resolved.class) {
        (Some(false), StoreClass::Events | StoreClass::ConfigurationItems) => {
            Ingestion::Stopped { since_ms }
        }
        (Some(false), _) => {
            return Err(ApiError::new(
                ErrorCode::InvalidParameterException,
                "StartIngestion is only valid for the eventCategory values Management, Data, NetworkActivity and ConfigurationItem.",
            ));
        }
        _ => Ingestion::Enabled { since_ms },
    };
    let tags =
        tags::checked_for_new_resource(&input.tags_list.unwrap_or_default(), "event data store")?;
    let id = chance::uuid(cx.node.chance.as_ref());
    // AWS: an organization's stores are the management account's, whoever makes them.
    let account = organization.map_or(*cx.caller.account(), |one| one.management);
    let store = EventDataStore {
        arn: EventDataStoreArn { region: cx.region.clone(), account, id }.to_string(),
        id,
        account: account.to_string(),
        name: input.name.unwrap_or_default(),
        home_region: cx.region.to_string(),
        created_ms: since_ms,
        updated_ms: since_ms,
        state: EventDataStoreState {
            selectors: resolved.selectors,
            class: resolved.class,
            multi_region: resolved.multi_region,
            retention_days: resolved.retention_days,
            billing_mode: resolved.billing_mode,
            termination_protection: resolved.termination_protection,
            ingestion,
            deletion: Deletion::None,
            configuration: catalog::EventConfiguration::default(),
            insights: None,
            federation: catalog::Federation::Disabled,
            organization: resolved.organization,
        },
    };
    let has_place = |others: &[EventDataStore]| check_place(cx, others, &store.name);
    let created = cx.node.catalog.create_event_data_store(&store, &tags, cx.next_seq(), has_place);
    created.await.map_err(internal)??;
    cx.node.stores_changed();

    // The store is declared, whatever happens here: the worker that fills it opens what is not open.
    let (table, columns) = table_of(&store);
    if columns.are_kept()
        && let Err(fault) = cx.node.lake.open_table(&table, columns).await
    {
        tracing::warn!(store = store.arn, error = %fault, "the store's table could not be opened yet");
    }

    let shown = shown(store)?;
    Ok(CreateEventDataStoreResponse {
        event_data_store_arn: Some(shown.arn),
        name: Some(shown.name),
        // AWS: the first of a store's states. The next one follows before anybody can ask.
        status: Some("CREATED".to_owned()),
        advanced_event_selectors: Some(shown.selectors),
        multi_region_enabled: Some(shown.multi_region),
        organization_enabled: Some(shown.organization),
        retention_period: Some(shown.retention_days),
        termination_protection_enabled: Some(shown.termination_protection),
        tags_list: Some(tags.into_iter().map(tags::shown).collect()),
        created_timestamp: shown.created,
        updated_timestamp: shown.updated,
        kms_key_id: None,
        billing_mode: Some(shown.billing_mode),
    })
}

/// AWS: a name is taken once in a Region, and a Region has a number of places, whatever state the
/// stores are in.
fn check_place(cx: Cx<'_>, others: &[EventDataStore], name: &str) -> Result<(), ApiError> {
    let here = || others.iter().filter(|other| other.home_region == cx.region.as_str());
    if here().any(|other| other.name == name) {
        return Err(super::update_event_data_store::exists(cx, name));
    }
    let taken = here().count();
    if taken >= cx.node.settings.lake.event_data_stores_per_region_max {
        return Err(ApiError::new(
            ErrorCode::EventDataStoreMaxLimitExceededException,
            format!(
                "User: {} already has {taken} event data stores in {}.",
                cx.account(),
                cx.region
            ),
        ));
    }
    Ok(())
}
