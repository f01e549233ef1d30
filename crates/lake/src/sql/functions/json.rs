//! JSON: paths into a text, and what the functions give.
//!
//! A JSON value is its text. A path is followed in the text without building a tree and stops at
//! the first match, as Trino's does; what it finds keeps its digits and escapes, without the white
//! space between tokens.

mod walk;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::ReturnFieldArgs;
use serde_json::value::RawValue;

use super::scalar::{
    Call, Definition, Parameter, Row, boolean_result, integer, integer_result, text, text_result,
};
use crate::sql::types::json_field;
pub use walk::{Step, compact, find, items, members, parse_path, scalar_text, sorted};

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "json_extract",
        parameters: &[Parameter::Text, Parameter::Text],
        optional: 0,
        variadic: false,
        result: json_result,
        run: |call| with_path(call, |found| Ok(Some(compact(found).into_owned()))),
    },
    Definition {
        name: "json_extract_scalar",
        parameters: &[Parameter::Text, Parameter::Text],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| with_path(call, |found| Ok(scalar_text(found))),
    },
    Definition {
        name: "json_parse",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: json_result,
        run: |call| each_text(call, sorted),
    },
    Definition {
        name: "json_format",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| each_text(call, |json| Ok(Some(compact(json).into_owned()))),
    },
    Definition {
        name: "json_array_get",
        parameters: &[Parameter::Text, Parameter::Integer],
        optional: 0,
        variadic: false,
        result: json_result,
        run: json_array_get,
    },
    Definition {
        name: "json_array_length",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: integer_result,
        run: |call| {
            let jsons = call.texts(0)?;
            call.collect_integers(|i| Ok(text(&jsons, i).and_then(items).map(|all| length(&all))))
        },
    },
    Definition {
        name: "json_size",
        parameters: &[Parameter::Text, Parameter::Text],
        optional: 0,
        variadic: false,
        result: integer_result,
        run: json_size,
    },
    Definition {
        name: "json_array_contains",
        parameters: &[Parameter::Text, Parameter::Any],
        optional: 0,
        variadic: false,
        result: boolean_result,
        run: json_array_contains,
    },
    Definition {
        name: "is_json_scalar",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: boolean_result,
        run: |call| {
            let jsons = call.texts(0)?;
            call.collect_booleans(|i| {
                Ok(text(&jsons, i).map(|json| !json.trim_start().starts_with(['{', '['])))
            })
        },
    },
];

fn json_result(_: &ReturnFieldArgs) -> Result<Arc<arrow::datatypes::Field>> {
    Ok(json_field(""))
}

fn length<T>(all: &[T]) -> i64 {
    i64::try_from(all.len()).unwrap_or(i64::MAX)
}

fn each_text(call: &Call, value: impl Fn(&str) -> Row<String>) -> Result<ArrayRef> {
    let jsons = call.texts(0)?;
    call.collect_texts(|i| text(&jsons, i).map_or(Ok(None), &value))
}

/// What `value` makes of the place that the path leads to; no such place, or text that is not
/// JSON, is NULL. A path that cannot be read is an error.
fn with_path(call: &Call, value: impl Fn(&str) -> Row<String>) -> Result<ArrayRef> {
    let jsons = call.texts(0)?;
    let mut paths = Paths::new(call)?;
    call.collect_texts(|i| {
        let (Some(json), Some(path)) = (text(&jsons, i), paths.of_row(i)?) else {
            return Ok(None);
        };
        find(json, path).map_or(Ok(None), |found| value(found.get()))
    })
}

/// The path of each row, read once if it is the same for all.
struct Paths {
    texts: arrow::array::StringArray,
    constant: bool,
    read: Option<(usize, Vec<Step>)>,
}

impl Paths {
    fn new(call: &Call) -> Result<Self> {
        let constant = call.constant_text(1).is_some();
        Ok(Self { texts: call.texts(1)?, constant, read: None })
    }

    fn of_row(&mut self, row: usize) -> Row<&[Step]> {
        let known = self.read.as_ref().is_some_and(|(of, _)| self.constant || *of == row);
        if !known {
            let Some(path) = text(&self.texts, row) else { return Ok(None) };
            self.read = Some((row, parse_path(path)?));
        }
        Ok(self.read.as_ref().map(|(_, path)| path.as_slice()))
    }
}

/// A negative index counts from the end.
fn json_array_get(call: &Call) -> Result<ArrayRef> {
    let jsons = call.texts(0)?;
    let indexes = call.integers(1)?;
    call.collect_texts(|i| {
        let (Some(json), Some(index)) = (text(&jsons, i), integer(&indexes, i)) else {
            return Ok(None);
        };
        let Some(all) = items(json) else { return Ok(None) };
        let index = if index < 0 { index + length(&all) } else { index };
        let item = usize::try_from(index).ok().and_then(|index| all.get(index));
        Ok(item.map(|item| compact(item.get()).into_owned()))
    })
}

/// How many members the object or array at the path has; a scalar has none.
fn json_size(call: &Call) -> Result<ArrayRef> {
    let jsons = call.texts(0)?;
    let mut paths = Paths::new(call)?;
    call.collect_integers(|i| {
        let (Some(json), Some(path)) = (text(&jsons, i), paths.of_row(i)?) else {
            return Ok(None);
        };
        let Some(found) = find(json, path) else { return Ok(None) };
        let items = items(found.get()).map(|all| length(&all));
        let members = members(found.get()).map(|all| length(&all));
        Ok(Some(items.or(members).unwrap_or(0)))
    })
}

fn json_array_contains(call: &Call) -> Result<ArrayRef> {
    let jsons = call.texts(0)?;
    let wanted = call.texts(1)?;
    let wants_text = call.fields[1].data_type().is_string();
    call.collect_booleans(|i| {
        let (Some(json), Some(wanted)) = (text(&jsons, i), text(&wanted, i)) else {
            return Ok(None);
        };
        let Some(all) = items(json) else { return Ok(None) };
        Ok(Some(all.iter().any(|item| {
            item.get().starts_with('"') == wants_text
                && scalar_text(item.get()).as_deref() == Some(wanted)
        })))
    })
}

/// Text as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a JSON string; `None` for any other value.
pub fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    let json = json.trim();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// The value itself, checked.
pub fn whole(json: &str) -> std::result::Result<&RawValue, String> {
    serde_json::from_str(json).map_err(|error| format!("Cannot convert '{json}' to JSON: {error}"))
}

#[cfg(test)]
mod tests;
