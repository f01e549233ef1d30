use api::cloudtrail::{ListInsightsMetricDataRequest, ListInsightsMetricDataResponse};
use api::{ApiError, ErrorCode, Timestamp as ApiTimestamp};

use super::invalid_parameter;
use crate::operations::Cx;
use crate::operations::paging::{place, token};
use crate::operations::trails::TrailRef;

const DAY_S: i64 = 24 * 3600;
/// The model's bound, and the default.
const POINTS_MAX: i32 = 21_600;

/// The rate of calls or errors over time. No detector keeps rates yet, so there are no points that
/// are not zero: NonZeroData answers none, FillWithZeros a zero for each moment of the period.
pub async fn list_insights_metric_data(
    cx: Cx<'_>,
    input: ListInsightsMetricDataRequest,
) -> Result<ListInsightsMetricDataResponse, ApiError> {
    let trail_arn = match input.trail_name.as_deref() {
        None => None,
        Some(name) => Some(trail_arn(cx, name).await?),
    };
    let (insight_type, error_code) = (input.insight_type.unwrap_or_default(), input.error_code);
    match (insight_type.as_str(), &error_code) {
        ("ApiErrorRateInsight", None) => {
            return Err(invalid_parameter(
                "Specify ErrorCode, whose rate ApiErrorRateInsight is about.",
            ));
        }
        ("ApiCallRateInsight", Some(_)) => {
            return Err(invalid_parameter(
                "ErrorCode is for ApiErrorRateInsight only; leave it out.",
            ));
        }
        _ => {}
    }
    let now_s = cx.now.as_second();
    let asked = asked(now_s, input.period, input.start_time, input.end_time)?;
    let fills = input.data_type.as_deref() == Some("FillWithZeros");

    let shown = |time: Option<ApiTimestamp>| time.map(|t| t.to_string()).unwrap_or_default();
    let what = [
        "ListInsightsMetricData",
        cx.account(),
        cx.region.as_str(),
        trail_arn.as_deref().unwrap_or_default(),
        input.event_source.as_deref().unwrap_or_default(),
        input.event_name.as_deref().unwrap_or_default(),
        &insight_type,
        error_code.as_deref().unwrap_or_default(),
        &shown(input.start_time),
        &shown(input.end_time),
        &asked.period_s.to_string(),
        if fills { "FillWithZeros" } else { "NonZeroData" },
    ]
    .join("\n");
    let from = place(&what, input.next_token.as_deref(), ErrorCode::InvalidParameterException)?;
    let from_s = from.and_then(|from| i64::try_from(from).ok()).unwrap_or(i64::MIN);

    let points_max = usize::try_from(input.max_results.unwrap_or(POINTS_MAX)).unwrap_or(1);
    let mut moments = if fills { asked.moments() } else { Vec::new() };
    moments.retain(|moment_s| *moment_s >= from_s);
    let next_s = moments.get(points_max).copied();
    moments.truncate(points_max);
    let next_token = next_s.and_then(|next_s| Some(token(&what, u64::try_from(next_s).ok()?)));
    let timestamps: Vec<ApiTimestamp> = moments
        .iter()
        .filter_map(|moment_s| ApiTimestamp::from_millis(moment_s * 1000).ok())
        .collect();
    Ok(ListInsightsMetricDataResponse {
        trail_arn,
        event_source: input.event_source,
        event_name: input.event_name,
        insight_type: Some(insight_type),
        error_code,
        values: Some(vec![0.0; timestamps.len()]),
        timestamps: Some(timestamps),
        next_token,
    })
}

/// AWS declares no error of its own for a trail that is not there.
async fn trail_arn(cx: Cx<'_>, name: &str) -> Result<String, ApiError> {
    let reference = TrailRef::parse(name).map_err(|error| match error.code {
        ErrorCode::CloudTrailARNInvalidException => invalid_parameter(error.message),
        _ => error,
    })?;
    let trail = reference.lookup(cx).await?;
    let unknown =
        || invalid_parameter(format!("Unknown trail: {name} for the user: {}", cx.account()));
    Ok(trail.ok_or_else(unknown)?.arn)
}

/// The span that is asked for, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    period_s: i64,
    start_s: i64,
    /// Not part of the span.
    end_s: i64,
}

impl Asked {
    /// The multiples of the period within the span.
    fn moments(&self) -> Vec<i64> {
        let first = self.start_s.div_euclid(self.period_s) * self.period_s;
        let first = if first < self.start_s { first + self.period_s } else { first };
        let step = usize::try_from(self.period_s).unwrap_or(1);
        (first..self.end_s).step_by(step).collect()
    }
}

/// API reference: points of a minute are available for 15 days, of five minutes for 63, of an hour
/// for 90; the default is an hour and all that is available.
fn asked(
    now_s: i64,
    period: Option<i32>,
    start: Option<ApiTimestamp>,
    end: Option<ApiTimestamp>,
) -> Result<Asked, ApiError> {
    let (period_s, days) = match period {
        Some(60) => (60, 15),
        Some(300) => (300, 63),
        None | Some(3600) => (3600, 90),
        Some(other) => {
            return Err(invalid_parameter(format!(
                "Period {other} is not valid; the valid values are 60, 300 and 3600."
            )));
        }
    };
    let earliest_s = now_s - days * DAY_S;
    // Whole seconds, away from what is asked: the start is in the span, the end is not.
    let seconds = |time: ApiTimestamp| -(-time.as_millis()).div_euclid(1000);
    let start_s = start.map_or(earliest_s, seconds);
    let end_s = end.map_or(now_s, seconds);
    if start_s >= end_s {
        return Err(invalid_parameter("The start time must lie before the end time."));
    }
    // Who counts the days back has done so a little before we do.
    if start_s < earliest_s - period_s {
        return Err(invalid_parameter(format!(
            "Points of {period_s} seconds are available for {days} days; the start time lies before that. Choose a later one, or a longer Period."
        )));
    }
    Ok(Asked { period_s, start_s, end_s: end_s.min(now_s) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_795_000_000;

    fn at(s: i64) -> Option<ApiTimestamp> {
        Some(ApiTimestamp::from_millis(s * 1000).unwrap())
    }

    #[test]
    fn moments_are_multiples_of_the_period_from_the_start_up_to_the_end() {
        let moments = |start, end| asked(NOW_S, Some(300), at(start), at(end)).unwrap().moments();
        let base = NOW_S - NOW_S % 300 - 3_000;
        assert_eq!(moments(base, base + 600), [base, base + 300]);
        assert_eq!(moments(base + 1, base + 601), [base + 300, base + 600]);
        assert_eq!(moments(base + 1, base + 300), [0_i64; 0]);
        // There are none after now.
        let last = *moments(base, NOW_S + 86_400).last().unwrap();
        assert!((NOW_S - 300..NOW_S).contains(&last), "{last}");
    }

    #[test]
    fn each_period_has_its_own_look_back() {
        for (period, days, points) in [(60, 15, 21_600), (300, 63, 18_144), (3600, 90, 2_160)] {
            let all = asked(NOW_S, Some(period), None, None).unwrap();
            assert_eq!(all.moments().len(), points, "{period}");
            let oldest = NOW_S - days * DAY_S;
            assert!(asked(NOW_S, Some(period), at(oldest), None).is_ok(), "{period}");
            let older = at(oldest - 2 * i64::from(period));
            assert!(asked(NOW_S, Some(period), older, None).is_err(), "{period}");
        }
    }
}
