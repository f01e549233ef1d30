//! Where a channel's events go: event data stores of the channel's account and Region that hold
//! events from outside AWS.

use api::cloudtrail::{Destination, values};
use api::{ApiError, ErrorCode};
use catalog::{Deletion, EventDataStore};
use event::arn::EventDataStoreArn;
use event::selectors::StoreClass;

use crate::operations::Cx;

/// The ARNs that a request names, as far as can be said without looking: each is of a store, none
/// comes twice.
pub fn named(wanted: &[Destination]) -> Result<Vec<String>, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidParameterException, message);
    let mut arns: Vec<String> = Vec::with_capacity(wanted.len());
    for destination in wanted {
        let kind = destination.type_.as_deref().unwrap_or_default();
        if kind != values::destination_type::EVENT_DATA_STORE {
            return Err(invalid(format!(
                "Destinations of type {kind} belong to channels that AWS services make. Use EVENT_DATA_STORE."
            )));
        }
        let location = destination.location.as_deref().unwrap_or_default();
        let arn = EventDataStoreArn::parse(location).map_err(|e| {
            ApiError::new(ErrorCode::EventDataStoreARNInvalidException, e.to_string())
        })?;
        let arn = arn.to_string();
        if arns.contains(&arn) {
            return Err(invalid(format!("Destination {arn} is given more than once.")));
        }
        arns.push(arn);
    }
    Ok(arns)
}

/// Are they all stores that a channel here can fill? `stores` are the account's own.
pub fn check(cx: Cx<'_>, arns: &[String], stores: &[EventDataStore]) -> Result<(), ApiError> {
    for arn in arns {
        let is_it =
            |store: &&EventDataStore| store.arn == *arn && store.home_region == cx.region.as_str();
        let Some(store) = stores.iter().find(is_it) else {
            return Err(ApiError::new(
                ErrorCode::EventDataStoreNotFoundException,
                format!("Event data store {arn} was not found."),
            ));
        };
        if store.state.deletion != Deletion::None {
            return Err(ApiError::new(
                ErrorCode::InactiveEventDataStoreException,
                format!("Event data store {arn} is not active: it is pending deletion."),
            ));
        }
        if store.state.class != StoreClass::Activity {
            return Err(ApiError::new(
                ErrorCode::InvalidEventDataStoreCategoryException,
                format!(
                    "Event data store {arn} cannot be a destination of a channel: its eventCategory must be ActivityAuditLog."
                ),
            ));
        }
    }
    Ok(())
}

/// As the API shows them.
pub fn shown(arns: Vec<String>) -> Vec<Destination> {
    let shown = |arn| Destination {
        type_: Some(values::destination_type::EVENT_DATA_STORE.to_owned()),
        location: Some(arn),
    };
    arns.into_iter().map(shown).collect()
}
