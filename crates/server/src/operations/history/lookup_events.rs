use api::cloudtrail::{
    Event as ApiEvent, LookupAttribute, LookupEventsRequest, LookupEventsResponse,
    Resource as ApiResource,
};
use api::{ApiError, ErrorCode, Timestamp as ApiTimestamp};
use event::Category;
use event::lookup::{Field, Filter, Found, Lookup};
use jiff::Timestamp;

use super::{asked, kept_from};
use crate::lake::LakeFault;
use crate::operations::Cx;
use crate::page_token;

/// The model's bound, and the default.
const PAGE_MAX: usize = 50;
/// AWS also counts some characters twice, but does not do so natively (spec D 7).
const VALUE_CHARS_MAX: usize = 2000;

/// One page of the account's event history in this Region, newest first.
pub async fn lookup_events(
    cx: Cx<'_>,
    input: LookupEventsRequest,
) -> Result<LookupEventsResponse, ApiError> {
    throttle(cx)?;
    let insight = input.event_category.is_some();
    let attribute =
        checked_attribute(input.lookup_attributes.as_deref().unwrap_or_default(), insight)?;
    let (start, end) = checked_span(cx, input.start_time, input.end_time)?;
    let limit = checked_page(input.max_results)?;

    let shown = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let (start_text, end_text) = (shown(start), shown(end));
    let (key, value) = attribute.unwrap_or_default();
    let query = [
        "LookupEvents",
        cx.account(),
        cx.region.as_str(),
        key,
        value,
        &start_text,
        &end_text,
        input.event_category.as_deref().unwrap_or_default(),
    ];
    let after = match &input.next_token {
        None => None,
        Some(token) => Some(page_token::open(&query, token).ok_or_else(|| {
            ApiError::new(
                ErrorCode::InvalidNextTokenException,
                "The NextToken is not one that LookupEvents returned for these parameters.",
            )
        })?),
    };
    let category = match input.event_category.as_deref() {
        None => Category::Management,
        Some("insight") => Category::Insight,
        Some(other) => {
            return Err(ApiError::new(
                ErrorCode::InvalidEventCategoryException,
                format!("The event category {other:?} is not valid; the only value is insight."),
            ));
        }
    };

    let mut filters = vec![Filter::is(Field::EventCategory, category.name())];
    if let Some((key, value)) = attribute {
        filters.extend(field_of(key).map(|field| Filter::is(field, value)));
    }
    let kept_from = kept_from(cx.now);
    let ask = Lookup {
        account: Some(*cx.caller.account()),
        region: Some(cx.region.to_string()),
        from: start.map_or(kept_from, |start| start.max(kept_from)),
        // An event may be a little ahead of our clock.
        to: end.unwrap_or(Timestamp::MAX),
        filters,
        after,
        limit,
    };
    let page = asked(cx.node.lake.as_ref(), ask).await.map_err(unavailable)?;
    let next_token = page_token::after(&query, &page);
    let events = page.events.into_iter().map(shown_event).collect();
    Ok(LookupEventsResponse { events: Some(events), next_token })
}

fn throttle(cx: Cx<'_>) -> Result<(), ApiError> {
    let Some(per_second) = cx.node.settings.lake.lookup_events_per_second else { return Ok(()) };
    let who = (*cx.caller.account(), cx.region.clone());
    if cx.node.lookup_throttle.admits(who, per_second, cx.node.clock.elapsed()) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::ThrottlingException, "Rate exceeded"))
}

/// The key and value of the only attribute, if there is one.
fn checked_attribute(
    attributes: &[LookupAttribute],
    insight: bool,
) -> Result<Option<(&str, &str)>, ApiError> {
    let invalid =
        |message: String| Err(ApiError::new(ErrorCode::InvalidLookupAttributesException, message));
    let attribute = match attributes {
        [] => return Ok(None),
        [attribute] => attribute,
        _ => {
            return invalid(format!(
                "Only one lookup attribute can be given; these are {}.",
                attributes.len()
            ));
        }
    };
    let key = attribute.attribute_key.as_deref().unwrap_or_default();
    let value = attribute.attribute_value.as_deref().unwrap_or_default();
    if field_of(key).is_none() {
        return invalid(format!("{key:?} is not a lookup attribute key."));
    }
    if insight && !matches!(key, "EventId" | "EventName" | "EventSource") {
        return invalid(format!(
            "Insights events can be looked up by EventId, EventName and EventSource, not by {key}."
        ));
    }
    if !(1..=VALUE_CHARS_MAX).contains(&value.chars().count()) {
        return invalid(format!("The value of {key} must have 1 to {VALUE_CHARS_MAX} characters."));
    }
    if key == "ReadOnly" && !matches!(value, "true" | "false") {
        return invalid(format!("The value of ReadOnly must be true or false, not {value:?}."));
    }
    Ok(Some((key, value)))
}

fn field_of(key: &str) -> Option<Field> {
    Some(match key {
        "EventId" => Field::EventId,
        "EventName" => Field::EventName,
        "ReadOnly" => Field::ReadOnly,
        "Username" => Field::Username,
        "ResourceType" => Field::ResourceType,
        "ResourceName" => Field::ResourceName,
        "EventSource" => Field::EventSource,
        "AccessKeyId" => Field::AccessKeyId,
        _ => return None,
    })
}

type Span = (Option<Timestamp>, Option<Timestamp>);

fn checked_span(
    cx: Cx<'_>,
    start: Option<ApiTimestamp>,
    end: Option<ApiTimestamp>,
) -> Result<Span, ApiError> {
    let invalid =
        |message: String| Err(ApiError::new(ErrorCode::InvalidTimeRangeException, message));
    let (start, end) = (start.map(Timestamp::from), end.map(Timestamp::from));
    if let Some(start) = start {
        if end.is_some_and(|end| start > end) {
            return invalid("The start time lies after the end time.".to_owned());
        }
        if start > cx.now {
            return invalid("The start time lies in the future.".to_owned());
        }
    }
    Ok((start, end))
}

fn checked_page(max_results: Option<i32>) -> Result<usize, ApiError> {
    let Some(given) = max_results else { return Ok(PAGE_MAX) };
    usize::try_from(given).ok().filter(|n| (1..=PAGE_MAX).contains(n)).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidMaxResultsException,
            format!("MaxResults must lie between 1 and {PAGE_MAX}; {given} was given."),
        )
    })
}

pub fn unavailable(fault: LakeFault) -> ApiError {
    tracing::error!(error = &fault as &dyn std::error::Error, "event history cannot be read");
    let code = match fault {
        // Trying again would not help.
        LakeFault::Damaged { .. } => ErrorCode::InternalFailure,
        _ => ErrorCode::ServiceUnavailable,
    };
    ApiError::new(code, fault.told())
}

pub fn shown_event(event: Found) -> ApiEvent {
    let resource = |named: event::lookup::NamedResource| ApiResource {
        resource_type: named.kind,
        resource_name: Some(named.name),
    };
    let read_only = event.read_only.map(|read_only| if read_only { "true" } else { "false" });
    ApiEvent {
        event_id: Some(event.event_id),
        event_name: Some(event.event_name),
        read_only: read_only.map(str::to_owned),
        access_key_id: event.access_key_id,
        event_time: ApiTimestamp::try_from(event.event_time).ok(),
        event_source: Some(event.event_source),
        username: event.user_name,
        resources: Some(event.resources.into_iter().map(resource).collect()),
        cloud_trail_event: Some(event.record),
    }
}
