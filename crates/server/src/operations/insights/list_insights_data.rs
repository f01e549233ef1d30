use api::ApiError;
use api::cloudtrail::{ListInsightsDataRequest, ListInsightsDataResponse};
use event::lookup::{Field, Filter, Lookup, Test};
use event::{Category, json};
use jiff::Timestamp;

use super::invalid_parameter;
use crate::operations::Cx;
use crate::operations::history::{asked, kept_from, shown_event, unavailable};
use crate::operations::trails::{Lookup as _, TrailRef};
use crate::page_token;

/// The model's bound, and the default.
const PAGE_MAX: i32 = 50;

/// The Insights events on data events of one trail, newest first, out of event history.
///
/// AWS: those on management events are LookupEvents' (spec h.3): `insightSource`, the trail, stands
/// only in those on data events.
pub async fn list_insights_data(
    cx: Cx<'_>,
    input: ListInsightsDataRequest,
) -> Result<ListInsightsDataResponse, ApiError> {
    let source = input.insight_source.unwrap_or_default();
    let trail = match TrailRef::parse(&source) {
        Ok(TrailRef::Arn(arn)) => arn.lookup(cx).await?,
        _ => {
            return Err(invalid_parameter(format!(
                "InsightSource {source} is not valid: it must be the ARN of a trail."
            )));
        }
    };
    let unknown = || invalid_parameter(format!("InsightSource {source} is not a trail of yours."));
    let trail = trail.ok_or_else(unknown)?;
    let dimension = input.dimensions.unwrap_or_default().into_iter().next();
    let (key, value) = dimension.unwrap_or_default();
    let (start, end) = (input.start_time.map(Timestamp::from), input.end_time.map(Timestamp::from));
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(invalid_parameter("The start time lies after the end time."));
    }

    let shown = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    let (start_text, end_text) = (shown(start), shown(end));
    let (account, region) = (cx.account(), cx.region.as_str());
    let query =
        ["ListInsightsData", account, region, &trail.arn, &key, &value, &start_text, &end_text];
    let foreign = || {
        invalid_parameter(
            "The NextToken is not one that ListInsightsData returned for these parameters.",
        )
    };
    let after = match &input.next_token {
        None => None,
        Some(token) => Some(page_token::open(&query, token).ok_or_else(foreign)?),
    };

    // `insightSource` is no column of event history: the ARN anywhere in the record comes first, and
    // where it stands is looked at afterwards.
    let names_trail = Filter {
        field: Field::Record,
        test: Test::Contains(format!("\"{}\"", trail.arn)),
        negated: false,
    };
    let mut filters = vec![Filter::is(Field::EventCategory, Category::Insight.name()), names_trail];
    match key.as_str() {
        "" => {}
        "EventId" => filters.push(Filter::is(Field::EventId, &value)),
        "EventName" => filters.push(Filter::is(Field::EventName, &value)),
        "EventSource" => filters.push(Filter::is(Field::EventSource, &value)),
        other => return Err(invalid_parameter(format!("{other} is not a dimension."))),
    }
    let kept_from = kept_from(cx.now);
    let ask = Lookup {
        account: Some(*cx.caller.account()),
        region: Some(cx.region.to_string()),
        from: start.map_or(kept_from, |start| start.max(kept_from)),
        to: end.unwrap_or(Timestamp::MAX),
        filters,
        after,
        // The model has checked its bounds.
        limit: usize::try_from(input.max_results.unwrap_or(PAGE_MAX)).unwrap_or(1),
    };
    let page = asked(cx.node.lake.as_ref(), ask).await.map_err(unavailable)?;
    let next_token = page_token::after(&query, &page);
    let of_trail = page.events.into_iter().filter(|event| is_about(&event.record, &trail.arn));
    Ok(ListInsightsDataResponse { events: Some(of_trail.map(shown_event).collect()), next_token })
}

fn is_about(record: &str, trail_arn: &str) -> bool {
    json::member(record, "insightDetails")
        .and_then(|details| json::string_member(details, "insightSource"))
        .is_some_and(|source| source == trail_arn)
}
