//! Functions on text that DataFusion lacks or means otherwise.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::Field;
use datafusion::common::Result;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::scalar::{Call, Definition, Parameter, Row, integer, text, text_result, texts_result};
use crate::sql::types::name_of;

/// What Java's URLEncoder leaves as it is.
const URL_PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*');

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "substr",
        parameters: &[Parameter::Text, Parameter::Integer, Parameter::Integer],
        optional: 1,
        variadic: false,
        result: text_result,
        run: substr,
    },
    Definition {
        name: "split",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Integer],
        optional: 1,
        variadic: false,
        result: texts_result,
        run: split,
    },
    Definition {
        name: "split_part",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Integer],
        optional: 0,
        variadic: false,
        result: text_result,
        run: split_part,
    },
    Definition {
        name: "url_decode",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| {
            each(call, |text| {
                let spaced = text.replace('+', " ");
                let decoded = percent_decode_str(&spaced).decode_utf8();
                decoded.map(|text| Some(text.into_owned())).map_err(|error| error.to_string())
            })
        },
    },
    Definition {
        name: "url_encode",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| {
            each(call, |text| {
                Ok(Some(utf8_percent_encode(text, URL_PLAIN).to_string().replace("%20", "+")))
            })
        },
    },
    Definition {
        name: "url_extract_host",
        parameters: &[Parameter::Text],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| each(call, |url| Ok(host(url).map(str::to_owned))),
    },
    Definition {
        name: "typeof",
        parameters: &[Parameter::Any],
        optional: 0,
        variadic: false,
        result: text_result,
        run: |call| {
            let name = name_of(&call.fields[0]);
            call.collect_texts(|_| Ok(Some(&name)))
        },
    },
    Definition {
        name: "strpos",
        parameters: &[Parameter::Text, Parameter::Text, Parameter::Integer],
        optional: 1,
        variadic: false,
        result: super::scalar::integer_result,
        run: strpos,
    },
];

fn each(call: &Call, value: impl Fn(&str) -> Row<String>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.collect_texts(|i| text(&texts, i).map_or(Ok(None), &value))
}

/// Positions count from 1, negative ones from the end; position 0 and any outside give ''.
fn substr(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let starts = call.integers(1)?;
    let lengths = if call.count() > 2 { Some(call.integers(2)?) } else { None };
    call.collect_texts(|i| {
        let (Some(value), Some(start)) = (text(&texts, i), integer(&starts, i)) else {
            return Ok(None);
        };
        let length = match &lengths {
            Some(lengths) => match integer(lengths, i) {
                Some(length) => usize::try_from(length).unwrap_or(0),
                None => return Ok(None),
            },
            None => usize::MAX,
        };
        let skip = match start {
            0 => return Ok(Some(String::new())),
            1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
            _ => {
                let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
                match value.chars().count().checked_sub(back) {
                    Some(skip) => skip,
                    None => return Ok(Some(String::new())),
                }
            }
        };
        Ok(Some(value.chars().skip(skip).take(length).collect()))
    })
}

/// An empty delimiter is an error, as in Trino. With a limit, the last part holds the rest.
fn split(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let delimiters = call.texts(1)?;
    let limits = if call.count() > 2 { Some(call.integers(2)?) } else { None };
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new(
        "item",
        arrow::datatypes::DataType::Utf8,
        true,
    )));
    for i in 0..call.rows {
        let limit = limits.as_ref().map_or(Some(i64::MAX), |limits| integer(limits, i));
        let (Some(value), Some(delimiter), Some(limit)) =
            (text(&texts, i), text(&delimiters, i), limit)
        else {
            lists.append_null();
            continue;
        };
        let checked = match (delimiter.is_empty(), limit < 1) {
            (true, _) => Err("The delimiter may not be the empty string".to_owned()),
            (_, true) => Err("Limit must be positive".to_owned()),
            _ => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX))),
        };
        match call.settle(checked)? {
            Some(limit) => {
                for part in value.splitn(limit, delimiter) {
                    lists.values().append_value(part);
                }
                lists.append(true);
            }
            None => lists.append_null(),
        }
    }
    Ok(Arc::new(lists.finish()))
}

/// Parts count from 1; a part that is not there is NULL.
fn split_part(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let delimiters = call.texts(1)?;
    let indexes = call.integers(2)?;
    call.collect_texts(|i| {
        let (Some(value), Some(delimiter), Some(index)) =
            (text(&texts, i), text(&delimiters, i), integer(&indexes, i))
        else {
            return Ok(None);
        };
        let index = usize::try_from(index - 1).map_err(|_| "Index must be greater than zero")?;
        if delimiter.is_empty() {
            return Ok(value.chars().nth(index).map(String::from));
        }
        Ok(value.split(delimiter).nth(index).map(str::to_owned))
    })
}

/// Where the n-th occurrence begins, counted from 1; 0 if there is none; a negative n from the end.
fn strpos(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let searched = call.texts(1)?;
    let instances = if call.count() > 2 { Some(call.integers(2)?) } else { None };
    call.collect_integers(|i| {
        let instance = instances.as_ref().map_or(Some(1), |instances| integer(instances, i));
        let (Some(value), Some(search), Some(instance)) =
            (text(&texts, i), text(&searched, i), instance)
        else {
            return Ok(None);
        };
        let nth = usize::try_from(instance.unsigned_abs()).unwrap_or(usize::MAX);
        let found = match instance {
            0 => return Err("'instance' must not be zero".to_owned()),
            1.. => value.match_indices(search).nth(nth - 1),
            _ => value.rmatch_indices(search).nth(nth - 1),
        };
        let position = found.map_or(0, |(at, _)| value[..at].chars().count() + 1);
        Ok(Some(i64::try_from(position).unwrap_or(i64::MAX)))
    })
}

fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.split(':').next().unwrap_or(host))
}
