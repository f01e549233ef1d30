//! From a name to the operation that bears it. Every call goes through here, and the door that
//! asks records the outcome as an event before it answers.
//!
//! One exhaustive match over the generated names and no default arm: a new operation does not
//! compile until somebody has decided.

use api::cloudtrail::Operation;
use api::{ApiError, ErrorCode, Input, Violation, json11};
use serde::Serialize;
use serde_json::Value;

use crate::authorization::authorize;
use crate::operations::{
    Cx, channels, dashboards, event_configuration, event_data_stores, federation, history, imports,
    insights, keys, organizations, queries, resource_policies, tags, trails,
};

/// What an operation answered, and what its event says of it.
#[derive(Debug)]
pub struct Outcome {
    pub answer: Result<String, ApiError>,
    /// As parsed; None when the body was not JSON of the right shape.
    pub request: Option<Value>,
    /// None of an error, and of a list.
    pub response: Option<Value>,
}

/// Runs one operation on the bytes of its request.
pub async fn dispatch(cx: Cx<'_>, operation: Operation, body: &[u8]) -> Outcome {
    use Operation::*;
    match operation {
        AddTags => run(cx, body, tags::add_tags).await,
        CancelQuery => run(cx, body, queries::cancel_query).await,
        CreateDashboard => run(cx, body, dashboards::create_dashboard).await,
        CreateEventDataStore => run(cx, body, event_data_stores::create_event_data_store).await,
        CreateTrail => run(cx, body, trails::create_trail).await,
        DeleteDashboard => run(cx, body, dashboards::delete_dashboard).await,
        CreateChannel => run(cx, body, channels::create_channel).await,
        DeleteChannel => run(cx, body, channels::delete_channel).await,
        DeleteEventDataStore => run(cx, body, event_data_stores::delete_event_data_store).await,
        DeleteResourcePolicy => run(cx, body, resource_policies::delete_resource_policy).await,
        DeleteTrail => run(cx, body, trails::delete_trail).await,
        DescribeQuery => run(cx, body, queries::describe_query).await,
        DisableFederation => run(cx, body, federation::disable_federation).await,
        DescribeTrails => run(cx, body, trails::describe_trails).await,
        EnableFederation => run(cx, body, federation::enable_federation).await,
        GenerateQuery => run(cx, body, queries::generate_query).await,
        GetEventConfiguration => run(cx, body, event_configuration::get_event_configuration).await,
        GetDashboard => run(cx, body, dashboards::get_dashboard).await,
        GetChannel => run(cx, body, channels::get_channel).await,
        GetEventDataStore => run(cx, body, event_data_stores::get_event_data_store).await,
        GetEventSelectors => run(cx, body, trails::get_event_selectors).await,
        GetImport => run(cx, body, imports::get_import).await,
        GetInsightSelectors => run(cx, body, insights::get_insight_selectors).await,
        GetQueryResults => run(cx, body, queries::get_query_results).await,
        GetResourcePolicy => run(cx, body, resource_policies::get_resource_policy).await,
        GetTrail => run(cx, body, trails::get_trail).await,
        GetTrailStatus => run(cx, body, trails::get_trail_status).await,
        ListDashboards => run(cx, body, dashboards::list_dashboards).await,
        ListChannels => run(cx, body, channels::list_channels).await,
        ListImportFailures => run(cx, body, imports::list_import_failures).await,
        ListImports => run(cx, body, imports::list_imports).await,
        ListEventDataStores => run(cx, body, event_data_stores::list_event_data_stores).await,
        ListInsightsData => run(cx, body, insights::list_insights_data).await,
        ListInsightsMetricData => run(cx, body, insights::list_insights_metric_data).await,
        ListPublicKeys => run(cx, body, keys::list_public_keys).await,
        ListQueries => run(cx, body, queries::list_queries).await,
        ListTags => run(cx, body, tags::list_tags).await,
        ListTrails => run(cx, body, trails::list_trails).await,
        LookupEvents => run(cx, body, history::lookup_events).await,
        PutEventConfiguration => run(cx, body, event_configuration::put_event_configuration).await,
        PutEventSelectors => run(cx, body, trails::put_event_selectors).await,
        PutResourcePolicy => run(cx, body, resource_policies::put_resource_policy).await,
        PutInsightSelectors => run(cx, body, insights::put_insight_selectors).await,
        RemoveTags => run(cx, body, tags::remove_tags).await,
        SearchSampleQueries => run(cx, body, queries::search_sample_queries).await,
        StartDashboardRefresh => run(cx, body, dashboards::start_dashboard_refresh).await,
        StartImport => run(cx, body, imports::start_import).await,
        StartLogging => run(cx, body, trails::start_logging).await,
        StartQuery => run(cx, body, queries::start_query).await,
        StopImport => run(cx, body, imports::stop_import).await,
        RestoreEventDataStore => run(cx, body, event_data_stores::restore_event_data_store).await,
        StartEventDataStoreIngestion => {
            run(cx, body, event_data_stores::start_event_data_store_ingestion).await
        }
        StopEventDataStoreIngestion => {
            run(cx, body, event_data_stores::stop_event_data_store_ingestion).await
        }
        StopLogging => run(cx, body, trails::stop_logging).await,
        UpdateChannel => run(cx, body, channels::update_channel).await,
        UpdateDashboard => run(cx, body, dashboards::update_dashboard).await,
        UpdateEventDataStore => run(cx, body, event_data_stores::update_event_data_store).await,
        UpdateTrail => run(cx, body, trails::update_trail).await,
        DeregisterOrganizationDelegatedAdmin => {
            run(cx, body, organizations::deregister_organization_delegated_admin).await
        }
        RegisterOrganizationDelegatedAdmin => {
            run(cx, body, organizations::register_organization_delegated_admin).await
        }
    }
}

async fn run<'a, I, O, F>(
    cx: Cx<'a>,
    body: &[u8],
    operation: impl FnOnce(Cx<'a>, I) -> F,
) -> Outcome
where
    I: Input<Operation = Operation>,
    O: Serialize,
    F: Future<Output = Result<O, ApiError>>,
{
    let input: I = match json11::parse_input(body) {
        Ok(input) => input,
        Err(refusal) => {
            return Outcome { answer: Err(refusal.into()), request: None, response: None };
        }
    };
    // The event shows what was understood of the request, not what else was sent.
    let request = serde_json::to_value(&input).ok();
    if let Some(refusal) = validation(&input) {
        return Outcome { answer: Err(refusal), request, response: None };
    }
    let asked = request.as_ref().unwrap_or(&Value::Null);
    if let Err(denied) = authorize(cx, I::OPERATION, asked).await {
        // AWS: what was asked for in vain is not recorded.
        return Outcome { answer: Err(denied), request: None, response: None };
    }
    let answer = operation(cx, input).await;
    match answer.and_then(|output| shown(&output, is_list(I::OPERATION))) {
        Ok((text, response)) => Outcome { answer: Ok(text), request, response },
        Err(error) => Outcome { answer: Err(error), request, response: None },
    }
}

/// Whose answers are long, name no single resource and are in no event: only their text is made.
fn is_list(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        DescribeTrails
            | GetQueryResults
            | ListChannels
            | ListDashboards
            | ListEventDataStores
            | ListImportFailures
            | ListImports
            | ListInsightsData
            | ListPublicKeys
            | ListQueries
            | ListTags
            | ListTrails
            | LookupEvents
            | SearchSampleQueries
    )
}

/// The model's constraints, where the operation has no error of its own for the member.
fn validation<I: Input<Operation = Operation>>(input: &I) -> Option<ApiError> {
    let errors = I::OPERATION.errors();
    let is_judged_later = |violation: &Violation| match violation.member {
        // Trail names have their own sentences, the absent name too (spec f.1).
        "Name" | "TrailName" => errors.contains(&ErrorCode::InvalidTrailNameException),
        // So have the values in tags and selectors. What is absent there has none.
        "TagsList" | "Tags" => {
            violation.value.is_some() && errors.contains(&ErrorCode::InvalidTagParameterException)
        }
        "EventSelectors" | "AdvancedEventSelectors" => {
            violation.value.is_some() && errors.contains(&ErrorCode::InvalidEventSelectorsException)
        }
        "InsightSelectors" => {
            violation.value.is_some()
                && errors.contains(&ErrorCode::InvalidInsightSelectorsException)
        }
        "QueryStatus" => errors.contains(&ErrorCode::InvalidQueryStatusException),
        "LookupAttributes" => {
            violation.value.is_some()
                && errors.contains(&ErrorCode::InvalidLookupAttributesException)
        }
        "EventCategory" => errors.contains(&ErrorCode::InvalidEventCategoryException),
        // Each names its own bounds, which are the model's.
        "MaxResults" | "MaxQueryResults" => errors.contains(&ErrorCode::InvalidMaxResultsException),
        "NextToken" => errors.contains(&ErrorCode::InvalidNextTokenException),
        _ => false,
    };
    let mut violations = input.violations();
    violations.retain(|violation| !is_judged_later(violation));
    ApiError::validation(&violations)
}

/// The text of an answer, and unless it is a list what its event may say of it.
fn shown(output: &impl Serialize, is_list: bool) -> Result<(String, Option<Value>), ApiError> {
    if is_list {
        return Ok((json11::body_of(output), None));
    }
    let failed = |e: serde_json::Error| {
        tracing::error!(error = %e, "an answer could not be written as JSON");
        ApiError::new(ErrorCode::InternalFailure, "The answer could not be written.")
    };
    let value = serde_json::to_value(output).map_err(failed)?;
    Ok((json11::body_of(output), Some(value)))
}
