use std::collections::BTreeSet;

use api::cloudtrail::{
    AggregationConfiguration, ContextKeySelector as ApiContextKeySelector,
    PutEventConfigurationRequest, PutEventConfigurationResponse,
};
use api::{ApiError, ErrorCode};
use catalog::{AggregationTemplate, EventConfiguration, MaxEventSize, TrailState};
use event::Category;
use event::context::{self, ContextKeySelector};
use event::selectors::EventSelectors;

use super::{Target, combination, refuse_category, shown_store, shown_trail, target};
use crate::operations::{Cx, event_data_stores, trails};

/// Changes what is given and keeps the rest; an empty list turns off. A failing check changes
/// nothing.
pub async fn put_event_configuration(
    cx: Cx<'_>,
    input: PutEventConfigurationRequest,
) -> Result<PutEventConfigurationResponse, ApiError> {
    let shown = match target(input.trail_name, input.event_data_store)? {
        Target::Trail(name) => {
            if input.max_event_size.is_some() || input.context_key_selectors.is_some() {
                return Err(combination(
                    "MaxEventSize and ContextKeySelectors are for event data stores; for a trail, specify AggregationConfigurations.",
                ));
            }
            let Some(configurations) = input.aggregation_configurations else {
                return Err(combination(
                    "Specify AggregationConfigurations; an empty list turns aggregation off.",
                ));
            };
            shown_trail(put_on_trail(cx, &name, configurations).await?)
        }
        Target::Store(name) => {
            if input.aggregation_configurations.is_some() {
                return Err(combination(
                    "AggregationConfigurations is for trails; for an event data store, specify MaxEventSize and ContextKeySelectors.",
                ));
            }
            let size = input.max_event_size.as_deref();
            shown_store(put_on_store(cx, &name, size, input.context_key_selectors).await?)?
        }
    };
    Ok(PutEventConfigurationResponse {
        trail_arn: shown.trail_arn,
        event_data_store_arn: shown.event_data_store_arn,
        max_event_size: shown.max_event_size,
        context_key_selectors: shown.context_key_selectors,
        aggregation_configurations: shown.aggregation_configurations,
    })
}

async fn put_on_store(
    cx: Cx<'_>,
    name: &str,
    size: Option<&str>,
    selectors: Option<Vec<ApiContextKeySelector>>,
) -> Result<catalog::EventDataStore, ApiError> {
    if size.is_none() && selectors.is_none() {
        return Err(combination("Specify MaxEventSize, ContextKeySelectors, or both."));
    }
    let size = match size {
        Some("Large") => Some(MaxEventSize::Large),
        // The model admits no third value.
        Some(_) => Some(MaxEventSize::Standard),
        None => None,
    };
    let selectors = selectors.map(|selectors| checked_selectors(&selectors)).transpose()?;
    let store = event_data_stores::active(cx, name).await?;
    refuse_category(&store)?;
    event_data_stores::change(cx, &store.arn, |store, _| {
        event_data_stores::refuse_inactive(store)?;
        let before = &store.state.configuration;
        let after = EventConfiguration {
            max_event_size: size.unwrap_or(before.max_event_size),
            context_keys: selectors.unwrap_or_else(|| before.context_keys.clone()),
        };
        // API reference: "If you are using context key selectors, MaxEventSize must be set to Large."
        if after.max_event_size == MaxEventSize::Standard && !after.context_keys.is_empty() {
            return Err(combination(
                "Context key selectors need MaxEventSize Large: set it, or remove the selectors with an empty ContextKeySelectors.",
            ));
        }
        store.state.configuration = after;
        Ok(())
    })
    .await
}

fn checked_selectors(given: &[ApiContextKeySelector]) -> Result<Vec<ContextKeySelector>, ApiError> {
    let selectors: Vec<ContextKeySelector> = trails::converted(&given)?;
    context::validate(&selectors)
        .map_err(|e| ApiError::new(ErrorCode::InvalidParameterException, e.to_string()))?;
    Ok(selectors)
}

async fn put_on_trail(
    cx: Cx<'_>,
    name: &str,
    configurations: Vec<AggregationConfiguration>,
) -> Result<catalog::Trail, ApiError> {
    let mut templates = Vec::new();
    // The model admits one configuration, and only data events.
    for configuration in configurations {
        templates.extend(checked_templates(&configuration.templates.unwrap_or_default())?);
    }
    let trail = trails::find_at_home(cx, Some(name)).await?;
    trails::change(cx, &trail.arn, |current| {
        if !templates.is_empty() {
            refuse_without_data_events(&current.arn, &current.state.selectors)?;
        }
        Ok(TrailState { aggregation: templates, ..current.state.clone() })
    })
    .await
}

fn checked_templates(names: &[String]) -> Result<Vec<AggregationTemplate>, ApiError> {
    let mut seen = BTreeSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(ApiError::new(
            ErrorCode::InvalidParameterException,
            format!("The aggregation template {name} stands twice."),
        ));
    }
    trails::converted(&names)
}

/// AWS: the trail must log data events already.
fn refuse_without_data_events(arn: &str, selectors: &EventSelectors) -> Result<(), ApiError> {
    match selectors.may_select(Category::Data, None) {
        true => Ok(()),
        false => Err(combination(format!(
            "Trail {arn} does not log data events, so there is nothing to aggregate: select some with PutEventSelectors first."
        ))),
    }
}
