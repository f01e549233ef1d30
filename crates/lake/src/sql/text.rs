//! Values as text, as GetQueryResults shows them and as Trino's command line does.
//!
//! | Value | Text |
//! |---|---|
//! | timestamp | `2024-03-01 10:00:00.000` (with its zone, if another than UTC) |
//! | interval of days to seconds | `2 14:44:55.000` |
//! | double | `1.5`, `100.0`, `1.0E7`: Java's |
//! | map | `{k=v, k=v}` |
//! | row | `{name=v, name=v}` |
//! | array | `[a, b]` |
//! | varbinary | hexadecimal |
//! | NULL inside a map, row or array | `null` |

use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type,
    Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use jiff::civil;
use jiff::{Span, Timestamp};

use crate::schema::timestamp;

/// The text of one value; `None` for NULL.
pub fn text_of(array: &dyn Array, row: usize) -> Result<Option<String>> {
    if is_null(array, row) {
        return Ok(None);
    }
    let mut text = String::new();
    write_value(array, row, &mut text)?;
    Ok(Some(text))
}

/// An array of the type of NULL has no bits to say so.
fn is_null(array: &dyn Array, row: usize) -> bool {
    array.data_type().is_null() || array.is_null(row)
}

fn write_value(array: &dyn Array, row: usize, text: &mut String) -> Result<()> {
    if is_null(array, row) {
        text.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Utf8 => text.push_str(array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => text.push_str(array.as_string::<i64>().value(row)),
        DataType::Utf8View => text.push_str(array.as_string_view().value(row)),
        DataType::Boolean => {
            text.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Int64 => {
            write!(text, "{}", array.as_primitive::<Int64Type>().value(row)).map_err(unwritable)?;
        }
        DataType::Float64 => {
            text.push_str(&double_text(array.as_primitive::<Float64Type>().value(row)));
        }
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            // The shortest digits of the 32-bit value, not those of its 64-bit neighbour.
            text.push_str(&double_text(value.to_string().parse().unwrap_or(f64::from(value))));
        }
        DataType::Decimal128(..) => {
            text.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(row));
        }
        DataType::Date32 => {
            text.push_str(&date_text(array.as_primitive::<Date32Type>().value(row)));
        }
        data_type if *data_type == timestamp() => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            text.push_str(&timestamp_text(micros));
        }
        DataType::Timestamp(_, zone) => write_other_timestamp(array, zone.as_deref(), row, text)?,
        DataType::Duration(_) => {
            let micros = arrow::compute::cast(&array.slice(row, 1), &duration())?;
            text.push_str(&duration_text(
                micros.as_primitive::<DurationMicrosecondType>().value(0),
            ));
        }
        DataType::Binary => {
            for byte in array.as_binary::<i32>().value(row) {
                write!(text, "{byte:02x}").map_err(unwritable)?;
            }
        }
        DataType::List(_) => write_list(&array.as_list::<i32>().value(row), text)?,
        DataType::LargeList(_) => write_list(&array.as_list::<i64>().value(row), text)?,
        DataType::Map(..) => write_map(&array.as_map().value(row), text)?,
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            for (i, field) in fields.iter().enumerate() {
                text.push_str(if i == 0 { "{" } else { ", " });
                text.push_str(field.name());
                text.push('=');
                write_value(columns.column(i), row, text)?;
            }
            text.push('}');
        }
        _ => {
            let options = FormatOptions::default();
            text.push_str(&ArrayFormatter::try_new(array, &options)?.value(row).to_string());
        }
    }
    Ok(())
}

fn unwritable(_: std::fmt::Error) -> datafusion::common::DataFusionError {
    datafusion::common::DataFusionError::Execution("a value cannot be written as text".to_owned())
}

fn write_list(values: &dyn Array, text: &mut String) -> Result<()> {
    text.push('[');
    for i in 0..values.len() {
        if i > 0 {
            text.push_str(", ");
        }
        write_value(values, i, text)?;
    }
    text.push(']');
    Ok(())
}

fn write_map(entries: &arrow::array::StructArray, text: &mut String) -> Result<()> {
    text.push('{');
    for i in 0..entries.len() {
        if i > 0 {
            text.push_str(", ");
        }
        write_value(entries.column(0), i, text)?;
        text.push('=');
        write_value(entries.column(1), i, text)?;
    }
    text.push('}');
    Ok(())
}

/// Other units in UTC read as ours; another zone is named behind the local time.
fn write_other_timestamp(
    array: &dyn Array,
    zone: Option<&str>,
    row: usize,
    text: &mut String,
) -> Result<()> {
    let Some(zone) = zone.filter(|zone| !matches!(*zone, "UTC" | "+00:00")) else {
        let same = arrow::compute::cast(&array.slice(row, 1), &timestamp())?;
        return write_value(&same, 0, text);
    };
    let format = FormatOptions::default().with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3f"));
    text.push_str(&ArrayFormatter::try_new(array, &format)?.value(row).to_string());
    text.push(' ');
    text.push_str(zone);
    Ok(())
}

fn duration() -> DataType {
    DataType::Duration(TimeUnit::Microsecond)
}

/// `D HH:MM:SS.mmm`, Trino's `interval day to second`.
fn duration_text(micros: i64) -> String {
    let milliseconds = micros.unsigned_abs() / 1_000;
    let (seconds, minutes, hours) =
        (milliseconds / 1_000, milliseconds / 60_000, milliseconds / 3_600_000);
    format!(
        "{}{} {:02}:{:02}:{:02}.{:03}",
        if micros < 0 { "-" } else { "" },
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60,
        milliseconds % 1_000
    )
}

/// Days since 1970 as `YYYY-MM-DD`.
pub fn date_text(days: i32) -> String {
    let epoch = civil::date(1970, 1, 1);
    match epoch.checked_add(Span::new().days(days)) {
        Ok(date) => date.to_string(),
        Err(_) => format!("{days} days"),
    }
}

/// Microseconds since 1970 as `YYYY-MM-DD HH:MM:SS.mmm`.
pub fn timestamp_text(micros: i64) -> String {
    match civil_of(micros) {
        Some(at) => {
            let milliseconds = at.subsec_nanosecond() / 1_000_000;
            format!("{} {}.{milliseconds:03}", at.date(), at.strftime("%H:%M:%S"))
        }
        None => format!("{micros} µs"),
    }
}

/// The UTC calendar time; `None` outside the years that a calendar here has.
pub fn civil_of(micros: i64) -> Option<civil::DateTime> {
    let at = Timestamp::from_microsecond(micros).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(at))
}

/// `Double.toString`: at least one digit on each side of the point, an exponent from 10^7 and
/// below 10^-3.
pub fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if digits.contains('.') => format!("{digits}E{exponent}"),
            Some((digits, exponent)) => format!("{digits}.0E{exponent}"),
            None => text,
        };
    }
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_read_as_in_java() {
        let cases = [
            (0.0, "0.0"),
            (1.5, "1.5"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
            (12_345_678.9, "1.23456789E7"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(double_text(value), expected);
        }
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(timestamp_text(1_709_287_200_120_999), "2024-03-01 10:00:00.120");
        assert_eq!(timestamp_text(-1), "1969-12-31 23:59:59.999");
        assert_eq!(date_text(19_783), "2024-03-01");
    }
}
