use api::cloudtrail::{
    InsightSelector as ApiInsightSelector, PutInsightSelectorsRequest, PutInsightSelectorsResponse,
};
use api::{ApiError, ErrorCode};
use catalog::{InsightSelector, InsightType, SourceCategory, StoreInsights, TrailState};
use delivery::layout::Folder;
use event::Category;
use event::selectors::{EventSelectors, StoreClass};

use super::{active_store, combination, invalid_parameter};
use crate::operations::{Cx, event_data_stores, trails};

/// Replaces what is watched; an empty list turns Insights off.
pub async fn put_insight_selectors(
    cx: Cx<'_>,
    input: PutInsightSelectorsRequest,
) -> Result<PutInsightSelectorsResponse, ApiError> {
    let selectors = checked(input.insight_selectors.unwrap_or_default())?;
    match (input.trail_name, input.event_data_store, input.insights_destination) {
        (Some(name), None, None) => put_on_trail(cx, &name, selectors).await,
        (None, Some(store), destination) => put_on_store(cx, &store, selectors, destination).await,
        (Some(_), _, _) => Err(combination(
            "TrailName cannot be used with EventDataStore and InsightsDestination; specify one of the two.",
        )),
        (None, None, _) => {
            Err(combination("Specify TrailName, or EventDataStore and InsightsDestination."))
        }
    }
}

/// The selectors with their default filled in: AWS watches management events unless told otherwise.
fn checked(given: Vec<ApiInsightSelector>) -> Result<Vec<InsightSelector>, ApiError> {
    let mut selectors: Vec<InsightSelector> = Vec::with_capacity(given.len());
    for selector in given {
        let insight_type = match selector.insight_type.as_deref() {
            Some("ApiCallRateInsight") => InsightType::ApiCallRateInsight,
            Some("ApiErrorRateInsight") => InsightType::ApiErrorRateInsight,
            other => {
                return Err(invalid(format!(
                    "{} is not an Insights type; the valid types are ApiCallRateInsight and ApiErrorRateInsight.",
                    other.unwrap_or("An absent InsightType")
                )));
            }
        };
        if selectors.iter().any(|earlier| earlier.insight_type == insight_type) {
            return Err(invalid(format!("The Insights type {insight_type:?} stands twice.")));
        }
        let mut event_categories = Vec::new();
        for name in selector.event_categories.unwrap_or_default() {
            let category = match name.as_str() {
                "Management" => SourceCategory::Management,
                "Data" => SourceCategory::Data,
                _ => {
                    return Err(invalid(format!(
                        "Insights cannot watch {name} events; the valid values of EventCategories are Management and Data."
                    )));
                }
            };
            if !event_categories.contains(&category) {
                event_categories.push(category);
            }
        }
        selectors.push(InsightSelector { insight_type, event_categories });
    }
    Ok(selectors)
}

async fn put_on_trail(
    cx: Cx<'_>,
    name: &str,
    selectors: Vec<InsightSelector>,
) -> Result<PutInsightSelectorsResponse, ApiError> {
    let trail = trails::find_at_home(cx, Some(name)).await?;
    let refuse_unlogged = |events: &EventSelectors| {
        let noun = format!("Trail {}", trail.arn);
        refuse_what_is_not_logged(&noun, &selectors, events)
    };
    if !selectors.is_empty() {
        refuse_unlogged(&trail.state.selectors)?;
        // Insights events go into a folder of their own, which the bucket policy must allow.
        trails::check_folder(cx, &trail.arn, &trail.state.settings, Folder::Insight).await?;
    }
    let trail = trails::change(cx, &trail.arn, |current| {
        refuse_unlogged(&current.state.selectors)?;
        Ok(TrailState { insight_selectors: selectors.clone(), ..current.state.clone() })
    })
    .await?;
    Ok(PutInsightSelectorsResponse {
        trail_arn: Some(trail.arn),
        insight_selectors: Some(trails::converted(&trail.state.insight_selectors)?),
        ..PutInsightSelectorsResponse::default()
    })
}

async fn put_on_store(
    cx: Cx<'_>,
    store: &str,
    selectors: Vec<InsightSelector>,
    destination: Option<String>,
) -> Result<PutInsightSelectorsResponse, ApiError> {
    let watches_data = |s: &InsightSelector| s.watched().contains(&SourceCategory::Data);
    if selectors.iter().any(watches_data) {
        return Err(invalid(
            "Insights on data events are not supported on event data stores; leave Data out of EventCategories.",
        ));
    }
    let store = active_store(cx, store).await?;
    let destination = match (destination, selectors.is_empty()) {
        // Only when Insights are turned off.
        (None, true) => None,
        (None, false) => {
            return Err(combination(
                "Specify InsightsDestination, the event data store that takes the Insights events.",
            ));
        }
        (Some(destination), _) => {
            let destination = active_store(cx, &destination).await?;
            if destination.state.class != StoreClass::Insights {
                return Err(invalid_parameter(format!(
                    "Event data store {} cannot be the InsightsDestination: it must collect events of the eventCategory Insight.",
                    destination.arn
                )));
            }
            Some(destination.arn)
        }
    };
    let noun = format!("Event data store {}", store.arn);
    let store = event_data_stores::change(cx, &store.arn, |store, _| {
        event_data_stores::refuse_inactive(store)
            .map_err(|error| invalid_parameter(error.message))?;
        refuse_what_is_not_logged(&noun, &selectors, &store.state.selectors)?;
        store.state.insights = match (destination, selectors.is_empty()) {
            (Some(destination), false) => Some(StoreInsights { selectors, destination }),
            _ => None,
        };
        Ok(())
    })
    .await?;
    let (selectors, destination) = match store.state.insights {
        Some(insights) => (insights.selectors, Some(insights.destination)),
        None => (Vec::new(), None),
    };
    Ok(PutInsightSelectorsResponse {
        event_data_store_arn: Some(store.arn),
        insight_selectors: Some(trails::converted(&selectors)?),
        insights_destination: destination,
        ..PutInsightSelectorsResponse::default()
    })
}

/// API reference: the call rate of management events counts writes only, the error rate reads and
/// writes; both count all data events.
fn refuse_what_is_not_logged(
    noun: &str,
    selectors: &[InsightSelector],
    events: &EventSelectors,
) -> Result<(), ApiError> {
    for selector in selectors {
        let insight_type = &selector.insight_type;
        for category in selector.watched() {
            let (logs, what) = match (insight_type, category) {
                (_, SourceCategory::Data) => (events.may_select(Category::Data, None), "data"),
                (InsightType::ApiCallRateInsight, SourceCategory::Management) => {
                    (events.may_select(Category::Management, Some(false)), "write management")
                }
                (InsightType::ApiErrorRateInsight, SourceCategory::Management) => {
                    (events.may_select(Category::Management, None), "management")
                }
            };
            if !logs {
                return Err(invalid(format!(
                    "{noun} does not log {what} events, which {insight_type:?} on {category:?} events needs. Change its event selectors first."
                )));
            }
        }
    }
    Ok(())
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidInsightSelectorsException, message)
}
