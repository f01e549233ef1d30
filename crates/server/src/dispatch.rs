//! From a name to the operation that bears it. Every call goes through here, and the door that
//! asks records the outcome as an event before it answers.
//!
//! One exhaustive match over the generated names and no default arm: a new operation does not
//! compile until somebody has decided. What is not implemented stands in one arm, as a list that
//! may only shrink (`tests/not_implemented.txt` holds it, and a test compares).

use api::cloudtrail::Operation;
use api::{ApiError, ErrorCode, Input, Violation, json11};
use serde::Serialize;
use serde_json::Value;

use crate::operations::{Cx, event_data_stores, history, imports, keys, queries, tags, trails};

/// What an operation answered, and what its event says of it.
#[derive(Debug)]
pub struct Outcome {
    pub answer: Result<String, ApiError>,
    /// As parsed; None when the body was not JSON of the right shape.
    pub request: Option<Value>,
    pub response: Option<Value>,
}

/// Runs one operation on the bytes of its request.
pub async fn dispatch(cx: Cx<'_>, operation: Operation, body: &[u8]) -> Outcome {
    use Operation::*;
    match operation {
        AddTags => run(cx, body, tags::add_tags).await,
        CancelQuery => run(cx, body, queries::cancel_query).await,
        CreateEventDataStore => run(cx, body, event_data_stores::create_event_data_store).await,
        CreateTrail => run(cx, body, trails::create_trail).await,
        DeleteEventDataStore => run(cx, body, event_data_stores::delete_event_data_store).await,
        DeleteTrail => run(cx, body, trails::delete_trail).await,
        DescribeQuery => run(cx, body, queries::describe_query).await,
        DescribeTrails => run(cx, body, trails::describe_trails).await,
        GenerateQuery => run(cx, body, queries::generate_query).await,
        GetEventDataStore => run(cx, body, event_data_stores::get_event_data_store).await,
        GetEventSelectors => run(cx, body, trails::get_event_selectors).await,
        GetImport => run(cx, body, imports::get_import).await,
        GetQueryResults => run(cx, body, queries::get_query_results).await,
        GetTrail => run(cx, body, trails::get_trail).await,
        GetTrailStatus => run(cx, body, trails::get_trail_status).await,
        ListImportFailures => run(cx, body, imports::list_import_failures).await,
        ListImports => run(cx, body, imports::list_imports).await,
        ListEventDataStores => run(cx, body, event_data_stores::list_event_data_stores).await,
        ListPublicKeys => run(cx, body, keys::list_public_keys).await,
        ListQueries => run(cx, body, queries::list_queries).await,
        ListTags => run(cx, body, tags::list_tags).await,
        ListTrails => run(cx, body, trails::list_trails).await,
        LookupEvents => run(cx, body, history::lookup_events).await,
        PutEventSelectors => run(cx, body, trails::put_event_selectors).await,
        RemoveTags => run(cx, body, tags::remove_tags).await,
        SearchSampleQueries => run(cx, body, queries::search_sample_queries).await,
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
        UpdateEventDataStore => run(cx, body, event_data_stores::update_event_data_store).await,
        UpdateTrail => run(cx, body, trails::update_trail).await,
        CreateChannel
        | CreateDashboard
        | DeleteChannel
        | DeleteDashboard
        | DeleteResourcePolicy
        | DeregisterOrganizationDelegatedAdmin
        | DisableFederation
        | EnableFederation
        | GetChannel
        | GetDashboard
        | GetEventConfiguration
        | GetInsightSelectors
        | GetResourcePolicy
        | ListChannels
        | ListDashboards
        | ListInsightsData
        | ListInsightsMetricData
        | PutEventConfiguration
        | PutInsightSelectors
        | PutResourcePolicy
        | RegisterOrganizationDelegatedAdmin
        | StartDashboardRefresh
        | UpdateChannel
        | UpdateDashboard => not_implemented(operation, body),
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
    let answer = operation(cx, input).await;
    match answer.and_then(|output| shown(&output)) {
        Ok((text, value)) => Outcome { answer: Ok(text), request, response: Some(value) },
        Err(error) => Outcome { answer: Err(error), request, response: None },
    }
}

/// The model's constraints, where the operation has no error of its own for the member.
fn validation<I: Input<Operation = Operation>>(input: &I) -> Option<ApiError> {
    let errors = I::OPERATION.errors();
    let is_judged_later = |violation: &Violation| match violation.member {
        // Trail names have their own sentences, the absent name too (spec f.1).
        "Name" | "TrailName" => errors.contains(&ErrorCode::InvalidTrailNameException),
        // So have the values in tags and selectors. What is absent there has none.
        "TagsList" => {
            violation.value.is_some() && errors.contains(&ErrorCode::InvalidTagParameterException)
        }
        "EventSelectors" | "AdvancedEventSelectors" => {
            violation.value.is_some() && errors.contains(&ErrorCode::InvalidEventSelectorsException)
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

fn shown(output: &impl Serialize) -> Result<(String, Value), ApiError> {
    let failed = |e: serde_json::Error| {
        tracing::error!(error = %e, "an answer could not be written as JSON");
        ApiError::new(ErrorCode::InternalFailure, "The answer could not be written.")
    };
    let value = serde_json::to_value(output).map_err(failed)?;
    Ok((json11::body_of(output), value))
}

fn not_implemented(operation: Operation, body: &[u8]) -> Outcome {
    let request = serde_json::from_slice(body).ok();
    let error = ApiError::new(
        ErrorCode::UnsupportedOperationException,
        format!(
            "{} is not implemented in this version of Cairn; the README lists what is.",
            operation.name()
        ),
    );
    Outcome { answer: Err(error), request, response: None }
}
