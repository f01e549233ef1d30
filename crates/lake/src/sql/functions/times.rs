//! Dates and times, all in UTC and in microseconds.

mod pattern;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::ReturnFieldArgs;
use jiff::civil::{Date, DateTime};
use jiff::{Span, Timestamp, tz::TimeZone};

use super::scalar::{
    Call, Definition, Parameter, Row, double_result, integer, integer_result, nullable, text,
    text_result, time_result,
};
use crate::schema::{TIME_ZONE, timestamp};
use crate::sql::text::civil_of;
use pattern::Pattern;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const MICROS_TO_MONDAY: i64 = 3 * MICROS_PER_DAY;

const TIME: &[Parameter] = &[Parameter::Time];
const TIME_AND_TEXT: &[Parameter] = &[Parameter::Time, Parameter::Text];
const TEXT_AND_TEXT: &[Parameter] = &[Parameter::Text, Parameter::Text];

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "date_trunc",
        parameters: &[Parameter::Text, Parameter::Time],
        optional: 0,
        variadic: false,
        result: |args| same_kind(args, 1),
        run: date_trunc,
    },
    Definition {
        name: "date_add",
        parameters: &[Parameter::Text, Parameter::Integer, Parameter::Time],
        optional: 0,
        variadic: false,
        result: |args| same_kind(args, 2),
        run: date_add,
    },
    Definition {
        name: "date_diff",
        parameters: &[Parameter::Text, Parameter::Time, Parameter::Time],
        optional: 0,
        variadic: false,
        result: integer_result,
        run: date_diff,
    },
    part("year"),
    part("quarter"),
    part("month"),
    part("week"),
    part("week_of_year"),
    part("year_of_week"),
    part("yow"),
    part("day"),
    part("day_of_month"),
    part("day_of_week"),
    part("dow"),
    part("day_of_year"),
    part("doy"),
    part("hour"),
    part("minute"),
    part("second"),
    part("millisecond"),
    Definition {
        name: "last_day_of_month",
        parameters: TIME,
        optional: 0,
        variadic: false,
        result: |_| nullable(DataType::Date32),
        run: |call| {
            let times = call.times(0)?;
            let last = call.collect_times(|i| {
                let at = times.is_valid(i).then(|| civil_of(times.value(i))).flatten();
                at.map_or(Ok(None), |at| micros(at.date().last_of_month().into()).map(Some))
            })?;
            Ok(cast(&last, &DataType::Date32)?)
        },
    },
    Definition {
        name: "date_format",
        parameters: TIME_AND_TEXT,
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| format(call, Pattern::mysql),
    },
    Definition {
        name: "format_datetime",
        parameters: TIME_AND_TEXT,
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| format(call, Pattern::joda),
    },
    Definition {
        name: "date_parse",
        parameters: TEXT_AND_TEXT,
        optional: 0,
        variadic: false,
        result: time_result,
        run: |call| parse(call, Pattern::mysql),
    },
    Definition {
        name: "parse_datetime",
        parameters: TEXT_AND_TEXT,
        optional: 0,
        variadic: false,
        result: time_result,
        run: |call| parse(call, Pattern::joda),
    },
    Definition {
        name: "from_iso8601_timestamp",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: time_result,
        run: |call| {
            let texts = call.texts(0)?;
            call.collect_times(|i| text(&texts, i).map_or(Ok(None), iso8601))
        },
    },
    Definition {
        name: "from_iso8601_date",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: |_| nullable(DataType::Date32),
        run: |call| {
            let texts = call.texts(0)?;
            let times = call.collect_times(|i| match text(&texts, i) {
                Some(value) => {
                    let date: Date = value.parse().map_err(|_| invalid(value))?;
                    micros(date.into()).map(Some)
                }
                None => Ok(None),
            })?;
            Ok(cast(&times, &DataType::Date32)?)
        },
    },
    Definition {
        name: "to_iso8601",
        parameters: TIME,
        optional: 0,
        variadic: false,
        result: text_result,
        run: to_iso8601,
    },
    Definition {
        name: "from_unixtime",
        parameters: &[Parameter::Double],
        optional: 0,
        variadic: false,
        result: time_result,
        run: |call| {
            let seconds = call.doubles(0)?;
            call.collect_times(|i| {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "saturates; checked when shown"
                )]
                let micros = |seconds: f64| (seconds * 1e6).round() as i64;
                Ok(seconds.is_valid(i).then(|| micros(seconds.value(i))))
            })
        },
    },
    Definition {
        name: "to_unixtime",
        parameters: TIME,
        optional: 0,
        variadic: false,
        result: double_result,
        run: |call| {
            let times = call.times(0)?;
            call.collect_doubles(|i| {
                #[expect(clippy::cast_precision_loss, reason = "a double is what Trino gives")]
                let seconds = |micros: i64| micros as f64 / 1e6;
                Ok(times.is_valid(i).then(|| seconds(times.value(i))))
            })
        },
    },
];

/// A function that reads one part of the calendar time.
const fn part(name: &'static str) -> Definition {
    Definition {
        name,
        parameters: TIME,
        optional: 0,
        variadic: false,
        result: integer_result,
        run: read_part,
    }
}

fn read_part(call: &Call) -> Result<ArrayRef> {
    let times = call.times(0)?;
    let name = call.name();
    call.collect_integers(|i| {
        let at = times.is_valid(i).then(|| civil_of(times.value(i))).flatten();
        Ok(at.map(|at| part_of(name, at)))
    })
}

fn part_of(name: &str, at: DateTime) -> i64 {
    match name {
        "year" => at.year().into(),
        "quarter" => i64::from(at.month() - 1) / 3 + 1,
        "month" => at.month().into(),
        "week" | "week_of_year" => at.date().iso_week_date().week().into(),
        "year_of_week" | "yow" => at.date().iso_week_date().year().into(),
        "day_of_week" | "dow" => at.weekday().to_monday_one_offset().into(),
        "day_of_year" | "doy" => at.date().day_of_year().into(),
        "hour" => at.hour().into(),
        "minute" => at.minute().into(),
        "second" => at.second().into(),
        "millisecond" => i64::from(at.subsec_nanosecond()) / 1_000_000,
        // day, day_of_month
        _ => at.day().into(),
    }
}

/// A date stays a date; text and times become a timestamp.
fn same_kind(args: &ReturnFieldArgs, i: usize) -> Result<Arc<arrow::datatypes::Field>> {
    match args.arg_fields.get(i).map(|field| field.data_type()) {
        Some(DataType::Date32) => nullable(DataType::Date32),
        _ => nullable(timestamp()),
    }
}

fn micros(at: DateTime) -> std::result::Result<i64, String> {
    let at = TimeZone::UTC.to_timestamp(at).map_err(|error| error.to_string())?;
    Ok(at.as_microsecond())
}

fn invalid(text: &str) -> String {
    format!("Invalid format: \"{text}\"")
}

fn unknown_unit(unit: &str) -> String {
    format!("'{unit}' is not a valid Timestamp field")
}

fn date_trunc(call: &Call) -> Result<ArrayRef> {
    // Nearly always a number of microseconds, the same for all rows.
    if let Some(step) = call.constant_text(0).and_then(step_of) {
        let truncated = call
            .times(1)?
            .unary::<_, TimestampMicrosecondType>(|time| time - time.rem_euclid(step));
        return Ok(cast(&truncated.with_timezone(TIME_ZONE), call.result.data_type())?);
    }
    let (units, times) = (call.texts(0)?, call.times(1)?);
    let truncated = call.collect_times(|i| match text(&units, i) {
        Some(unit) if times.is_valid(i) => truncate(unit, times.value(i)).map(Some),
        _ => Ok(None),
    })?;
    Ok(cast(&truncated, call.result.data_type())?)
}

/// Units that begin anew at 1970-01-01 and are always as long.
fn step_of(unit: &str) -> Option<i64> {
    const STEPS: [(&str, i64); 5] = [
        ("millisecond", 1_000),
        ("second", MICROS_PER_SECOND),
        ("minute", 60 * MICROS_PER_SECOND),
        ("hour", 3_600 * MICROS_PER_SECOND),
        ("day", MICROS_PER_DAY),
    ];
    STEPS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, step)| *step)
}

fn truncate(unit: &str, time: i64) -> std::result::Result<i64, String> {
    let down_to = |step: i64| Ok(time.div_euclid(step) * step);
    let months = |months: i8| {
        let at = civil_of(time).ok_or("the time is out of range")?;
        let month = (at.month() - 1) / months * months + 1;
        micros(Date::new(at.year(), month, 1).map_err(|error| error.to_string())?.into())
    };
    match unit.to_ascii_lowercase().as_str() {
        unit if step_of(unit).is_some() => down_to(step_of(unit).unwrap_or(1)),
        "week" => {
            let week = 7 * MICROS_PER_DAY;
            Ok((time + MICROS_TO_MONDAY).div_euclid(week) * week - MICROS_TO_MONDAY)
        }
        "month" => months(1),
        "quarter" => months(3),
        "year" => months(12),
        _ => Err(unknown_unit(unit)),
    }
}

fn date_add(call: &Call) -> Result<ArrayRef> {
    let (units, amounts, times) = (call.texts(0)?, call.integers(1)?, call.times(2)?);
    let sums = call.collect_times(|i| match (text(&units, i), integer(&amounts, i)) {
        (Some(unit), Some(amount)) if times.is_valid(i) => {
            let span = span_of(unit, amount)?;
            after(times.value(i), span).map(Some)
        }
        _ => Ok(None),
    })?;
    Ok(cast(&sums, call.result.data_type())?)
}

/// The time that is `span` later.
pub fn after(time: i64, span: Span) -> std::result::Result<i64, String> {
    let at = civil_of(time).ok_or("the time is out of range")?;
    micros(at.checked_add(span).map_err(|error| error.to_string())?)
}

fn span_of(unit: &str, amount: i64) -> std::result::Result<Span, String> {
    let span = Span::new();
    let sum = match unit.to_ascii_lowercase().as_str() {
        "millisecond" => span.try_milliseconds(amount),
        "second" => span.try_seconds(amount),
        "minute" => span.try_minutes(amount),
        "hour" => span.try_hours(amount),
        "day" => span.try_days(amount),
        "week" => span.try_weeks(amount),
        "month" => span.try_months(amount),
        "quarter" => span.try_months(amount.saturating_mul(3)),
        "year" => span.try_years(amount),
        _ => return Err(unknown_unit(unit)),
    };
    sum.map_err(|error| error.to_string())
}

/// How many whole units the second time is after the first.
fn date_diff(call: &Call) -> Result<ArrayRef> {
    let (units, from, to) = (call.texts(0)?, call.times(1)?, call.times(2)?);
    call.collect_integers(|i| match text(&units, i) {
        Some(unit) if from.is_valid(i) && to.is_valid(i) => {
            difference(unit, from.value(i), to.value(i)).map(Some)
        }
        _ => Ok(None),
    })
}

fn difference(unit: &str, from: i64, to: i64) -> std::result::Result<i64, String> {
    let unit = unit.to_ascii_lowercase();
    let step = match unit.as_str() {
        "millisecond" => 1_000,
        "second" => MICROS_PER_SECOND,
        "minute" => 60 * MICROS_PER_SECOND,
        "hour" => 3_600 * MICROS_PER_SECOND,
        "day" => MICROS_PER_DAY,
        "week" => 7 * MICROS_PER_DAY,
        "month" => return months_between(from, to),
        "quarter" => return months_between(from, to).map(|months| months / 3),
        "year" => return months_between(from, to).map(|months| months / 12),
        _ => return Err(unknown_unit(&unit)),
    };
    Ok((to - from) / step)
}

fn months_between(from: i64, to: i64) -> std::result::Result<i64, String> {
    let (Some(from), Some(to)) = (civil_of(from), civil_of(to)) else {
        return Err("the time is out of range".to_owned());
    };
    let span = from.until((jiff::Unit::Month, to)).map_err(|error| error.to_string())?;
    Ok(span.get_months().into())
}

fn format(call: &Call, read: fn(&str) -> std::result::Result<Pattern, String>) -> Result<ArrayRef> {
    let (times, formats) = (call.times(0)?, call.texts(1)?);
    let mut pattern: Option<(String, Pattern)> = None;
    call.collect_texts(|i| {
        let at = times.is_valid(i).then(|| civil_of(times.value(i))).flatten();
        let (Some(at), Some(format)) = (at, text(&formats, i)) else { return Ok(None) };
        Ok(Some(pattern_of(&mut pattern, format, read)?.write(at)))
    })
}

fn parse(call: &Call, read: fn(&str) -> std::result::Result<Pattern, String>) -> Result<ArrayRef> {
    let (texts, formats) = (call.texts(0)?, call.texts(1)?);
    let mut pattern: Option<(String, Pattern)> = None;
    call.collect_times(|i| {
        let (Some(value), Some(format)) = (text(&texts, i), text(&formats, i)) else {
            return Ok(None);
        };
        let at = pattern_of(&mut pattern, format, read)?.read(value);
        micros(at.ok_or_else(|| invalid(value))?).map(Some)
    })
}

/// The pattern of `format`, read again only when it changes.
fn pattern_of<'p>(
    kept: &'p mut Option<(String, Pattern)>,
    format: &str,
    read: fn(&str) -> std::result::Result<Pattern, String>,
) -> std::result::Result<&'p Pattern, String> {
    if kept.as_ref().is_none_or(|(of, _)| of != format) {
        *kept = Some((format.to_owned(), read(format)?));
    }
    kept.as_ref().map(|(_, pattern)| pattern).ok_or_else(|| invalid(format))
}

/// With a zone or an offset, or without, which is UTC; a date alone is its midnight.
fn iso8601(value: &str) -> Row<i64> {
    if let Ok(at) = value.parse::<Timestamp>() {
        return Ok(Some(at.as_microsecond()));
    }
    let at: DateTime = value.parse().map_err(|_| invalid(value))?;
    micros(at).map(Some)
}

fn to_iso8601(call: &Call) -> Result<ArrayRef> {
    let is_date = *call.fields[0].data_type() == DataType::Date32;
    let times = call.times(0)?;
    call.collect_texts(|i| {
        let at = times.is_valid(i).then(|| civil_of(times.value(i))).flatten();
        Ok(at.map(|at| match is_date {
            true => at.date().to_string(),
            false => {
                let milliseconds = at.subsec_nanosecond() / 1_000_000;
                format!("{}.{milliseconds:03}Z", at.strftime("%Y-%m-%dT%H:%M:%S"))
            }
        }))
    })
}

#[cfg(test)]
mod tests;
