//! Functions whose result is as long as their argument says. Each has a limit, since what a function
//! allocates for a batch is not counted against the query's memory.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{ArrayRef, Int64Array, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNanoType};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ReturnFieldArgs;
use jiff::Span;

use super::scalar::{Call, Definition, Parameter, integer, nullable, text, text_result};
use super::times::after;
use crate::schema::timestamp;
use crate::sql::types::name_of;

/// Trino: "result of sequence function must not have more than 10000 entries", and the same for
/// `repeat`.
const ENTRIES_MAX: usize = 10_000;

/// A padded text is at most this long.
const CHARACTERS_MAX: usize = 1_000_000;

const PADDED: &[Parameter] = &[Parameter::Text, Parameter::Integer, Parameter::Text];

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "sequence",
        parameters: &[Parameter::Any, Parameter::Any, Parameter::Any],
        optional: 1,
        variadic: false,
        result: sequence_result,
        run: sequence,
    },
    Definition {
        name: "repeat",
        parameters: &[Parameter::Any, Parameter::Integer],
        optional: 0,
        variadic: false,
        result: |args| {
            let element = args.arg_fields[0].as_ref().clone().with_name("item").with_nullable(true);
            nullable(DataType::List(Arc::new(element)))
        },
        run: repeat,
    },
    Definition {
        name: "lpad",
        parameters: PADDED,
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| pad(call, |text, padding| padding + text),
    },
    Definition {
        name: "rpad",
        parameters: PADDED,
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| pad(call, |text, padding| text.to_owned() + &padding),
    },
];

fn too_long(most: usize) -> String {
    format!("the result must not have more than {most} entries")
}

fn sequence_result(args: &ReturnFieldArgs) -> Result<Arc<Field>> {
    let of = match args.arg_fields[0].data_type() {
        integer if integer.is_integer() => DataType::Int64,
        DataType::Date32 => DataType::Date32,
        DataType::Timestamp(..) => timestamp(),
        _ => {
            return plan_err!(
                "sequence takes integers or times, not {}",
                name_of(&args.arg_fields[0])
            );
        }
    };
    nullable(DataType::new_list(of, true))
}

fn sequence(call: &Call) -> Result<ArrayRef> {
    let DataType::List(element) = call.result.data_type() else { return exec_err!("not an array") };
    let of_integers = *element.data_type() == DataType::Int64;
    let (starts, stops, steps) = if of_integers {
        let steps = if call.count() > 2 { Some(call.integers(2)?) } else { None };
        (call.integers(0)?, call.integers(1)?, steps)
    } else {
        let micros = |i| {
            Ok::<_, datafusion::common::DataFusionError>(
                cast(&call.times(i)?, &DataType::Int64)?.as_primitive().clone(),
            )
        };
        (micros(0)?, micros(1)?, None)
    };
    let spans = if !of_integers && call.count() > 2 { Some(call.array(2)?) } else { None };
    let mut values: Vec<i64> = Vec::new();
    let mut lengths = Vec::with_capacity(call.rows);
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let before = values.len();
        let ends = integer(&starts, row).zip(integer(&stops, row));
        let filled = match ends {
            None => Ok(None),
            Some((start, stop)) if of_integers => {
                let step = match &steps {
                    Some(steps) => integer(steps, row),
                    None => Some(if stop >= start { 1 } else { -1 }),
                };
                fill(&mut values, start, stop, |n| {
                    Ok(step.and_then(|step| start.checked_add(step.checked_mul(n)?)))
                })
            }
            Some((start, stop)) => {
                let span = span(&spans, row)?;
                fill(&mut values, start, stop, |n| {
                    let span = span.checked_mul(n).map_err(|error| error.to_string())?;
                    after(start, span).map(Some)
                })
            }
        };
        let filled = call.settle(filled)?;
        if filled.is_none() {
            values.truncate(before);
        }
        lengths.push(values.len() - before);
        valid.push(filled.is_some());
    }
    let values: ArrayRef = Arc::new(Int64Array::from(values));
    let values = match element.data_type() {
        DataType::Int64 => values,
        other => cast(&cast(&values, &timestamp())?, other)?,
    };
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, Some(valid.into()))?))
}

/// From `start` to `stop`, both included; `nth` is what n steps come to. A step that leads away from `stop`, or nowhere, is an error.
fn fill(
    values: &mut Vec<i64>,
    start: i64,
    stop: i64,
    nth: impl Fn(i64) -> std::result::Result<Option<i64>, String>,
) -> std::result::Result<Option<()>, String> {
    let upwards = stop >= start;
    let first = values.len();
    let mut at = start;
    for n in 1.. {
        values.push(at);
        if values.len() - first > ENTRIES_MAX {
            return Err(too_long(ENTRIES_MAX));
        }
        if at == stop {
            return Ok(Some(()));
        }
        let Some(following) = nth(n)? else { return Ok(None) };
        if following == at || (following > at) != upwards {
            return Err("sequence stop value should be reached by the step".to_owned());
        }
        let beyond = if upwards { following > stop } else { following < stop };
        if beyond {
            return Ok(Some(()));
        }
        at = following;
    }
    Ok(Some(()))
}

/// The step of a sequence of times: an interval, or a day.
fn span(spans: &Option<ArrayRef>, row: usize) -> Result<Span> {
    let Some(spans) = spans else { return Ok(Span::new().days(1)) };
    let Some(steps) = spans.as_primitive_opt::<IntervalMonthDayNanoType>() else {
        return exec_err!("the step of a sequence of times is an interval");
    };
    let step = steps.value(row);
    let span = Span::new().try_months(step.months).and_then(|span| span.try_days(step.days));
    match span.and_then(|span| span.try_microseconds(step.nanoseconds / 1_000)) {
        Ok(span) => Ok(span),
        Err(error) => exec_err!("{error}"),
    }
}

fn repeat(call: &Call) -> Result<ArrayRef> {
    let (elements, counts) = (call.array(0)?, call.integers(1)?);
    let DataType::List(element) = call.result.data_type() else { return exec_err!("not an array") };
    let mut chosen: Vec<Option<u32>> = Vec::new();
    let mut lengths = Vec::with_capacity(call.rows);
    let mut valid = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let count = match integer(&counts, row) {
            None => Ok(None),
            Some(count) => match usize::try_from(count).unwrap_or(0) {
                count if count > ENTRIES_MAX => Err(too_long(ENTRIES_MAX)),
                count => Ok(Some(count)),
            },
        };
        let count = call.settle(count)?;
        chosen.extend(std::iter::repeat_n(u32::try_from(row).ok(), count.unwrap_or(0)));
        lengths.push(count.unwrap_or(0));
        valid.push(count.is_some());
    }
    let values = take(&elements, &UInt32Array::from(chosen), None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, Some(valid.into()))?))
}

fn pad(call: &Call, joined: fn(&str, String) -> String) -> Result<ArrayRef> {
    let (texts, lengths, paddings) = (call.texts(0)?, call.integers(1)?, call.texts(2)?);
    call.collect_texts(|i| {
        let (Some(value), Some(length), Some(padding)) =
            (text(&texts, i), integer(&lengths, i), text(&paddings, i))
        else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| "Target length must not be negative")?;
        if length > CHARACTERS_MAX {
            return Err(too_long(CHARACTERS_MAX));
        }
        if padding.is_empty() {
            return Err("Padding string must not be empty".to_owned());
        }
        let own = value.chars().count();
        if own >= length {
            return Ok(Some(value.chars().take(length).collect()));
        }
        Ok(Some(joined(value, padding.chars().cycle().take(length - own).collect())))
    })
}
