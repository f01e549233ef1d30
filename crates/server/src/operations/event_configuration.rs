//! Event configuration: how large the events of an event data store may be and which context they
//! have, and how the data events of a trail are summed up.

mod get_event_configuration;
mod put_event_configuration;

use api::cloudtrail::{
    AggregationConfiguration, ContextKeySelector as ApiContextKeySelector,
    GetEventConfigurationResponse,
};
use api::{ApiError, ErrorCode};
use catalog::{AggregationTemplate, EventDataStore, MaxEventSize, Trail};
use event::selectors::StoreClass;

pub use get_event_configuration::get_event_configuration;
pub use put_event_configuration::put_event_configuration;

use crate::operations::trails::converted;

/// What a request is about. AWS: a trail or an event data store, never both.
enum Target {
    Trail(String),
    Store(String),
}

fn target(trail: Option<String>, store: Option<String>) -> Result<Target, ApiError> {
    match (trail, store) {
        (Some(trail), None) => Ok(Target::Trail(trail)),
        (None, Some(store)) => Ok(Target::Store(store)),
        (Some(_), Some(_)) => {
            Err(combination("Specify either TrailName or EventDataStore, not both."))
        }
        (None, None) => Err(combination("Specify TrailName or EventDataStore.")),
    }
}

fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameterCombinationException, message)
}

/// AWS: only stores of management, data and network activity events.
fn refuse_category(store: &EventDataStore) -> Result<(), ApiError> {
    match store.state.class {
        StoreClass::Events => Ok(()),
        _ => Err(ApiError::new(
            ErrorCode::InvalidEventDataStoreCategoryException,
            format!(
                "Event data store {} has no event configuration: its eventCategory must be Management, Data or NetworkActivity.",
                store.arn
            ),
        )),
    }
}

fn shown_store(store: EventDataStore) -> Result<GetEventConfigurationResponse, ApiError> {
    let configuration = store.state.configuration;
    let size = match configuration.max_event_size {
        MaxEventSize::Standard => "Standard",
        MaxEventSize::Large => "Large",
    };
    let selectors: Vec<ApiContextKeySelector> = converted(&configuration.context_keys)?;
    Ok(GetEventConfigurationResponse {
        event_data_store_arn: Some(store.arn),
        max_event_size: Some(size.to_owned()),
        context_key_selectors: Some(selectors),
        ..GetEventConfigurationResponse::default()
    })
}

fn shown_trail(trail: Trail) -> GetEventConfigurationResponse {
    let name = |template: &AggregationTemplate| match template {
        AggregationTemplate::ApiActivity => "API_ACTIVITY".to_owned(),
        AggregationTemplate::ResourceAccess => "RESOURCE_ACCESS".to_owned(),
        AggregationTemplate::UserActions => "USER_ACTIONS".to_owned(),
    };
    let templates: Vec<String> = trail.state.aggregation.iter().map(name).collect();
    let configuration = (!templates.is_empty()).then(|| AggregationConfiguration {
        templates: Some(templates),
        event_category: Some("Data".to_owned()),
    });
    GetEventConfigurationResponse {
        trail_arn: Some(trail.arn),
        aggregation_configurations: Some(configuration.into_iter().collect()),
        ..GetEventConfigurationResponse::default()
    }
}
