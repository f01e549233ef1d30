//! `cast(x AS type)` with Trino's meaning.
//!
//! Arrow's casts are Trino's for most pairs. Not for these:
//! - JSON is a value, not its text: a JSON string casts to the string without quotes, an object to a
//!   map or a row, and anything to JSON;
//! - a double casts to an integer by rounding, to text as Java writes it;
//! - maps, arrays and rows cast element by element.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, MapArray, StringArray, StructArray,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type};
use arrow::util::display::FormatOptions;
use datafusion::common::{Result, exec_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::ReturnFieldArgs;

use super::json::{items, members, quoted, scalar_text};
use super::scalar::{Call, Definition, Parameter};
use crate::sql::text::text_of;
use crate::sql::types::{Type, is_json, name_of};

pub const FUNCTIONS: &[Definition] = &[Definition {
    name: "cast",
    parameters: &[Parameter::Any, Parameter::Text],
    optional: 0,
    variadic: false,
    result,
    run,
}];

/// The type is a literal that `dialect` wrote.
fn result(args: &ReturnFieldArgs) -> Result<FieldRef> {
    let text = args.scalar_arguments.get(1).copied().flatten().and_then(|v| v.try_as_str());
    let Some(Some(text)) = text else { return plan_err!("cast: the type must be a literal") };
    let target = Type::from_text(text).map_err(|_| plan_datafusion_err!("Unknown type: {text}"))?;
    let from = &args.arg_fields[0];
    if !is_possible(from, &target) {
        return plan_err!("Cannot cast {} to {target}", name_of(from));
    }
    Ok(target.field(""))
}

fn is_possible(from: &Field, target: &Type) -> bool {
    if is_json(from) || from.data_type().is_null() || *target == Type::Json {
        return true;
    }
    let nested = from.data_type().is_nested();
    match (from.data_type(), target) {
        (DataType::List(element), Type::Array(to)) => is_possible(element, to),
        (DataType::Map(entries, _), Type::Map(key, value)) => match entries.data_type() {
            DataType::Struct(fields) => {
                is_possible(&fields[0], key) && is_possible(&fields[1], value)
            }
            _ => false,
        },
        (DataType::Struct(fields), Type::Row(to)) => {
            fields.len() == to.len() && fields.iter().zip(to).all(|(f, (_, t))| is_possible(f, t))
        }
        (_, Type::Array(_) | Type::Map(..) | Type::Row(_)) => false,
        // Arrow would give the number behind the time.
        (from, to) if is_number(from) && matches!(to, Type::Date | Type::Timestamp) => false,
        (from, to) if from.is_temporal() && is_number(&to.data_type()) => false,
        (from, to) => !nested && arrow::compute::can_cast_types(from, &to.data_type()),
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == DataType::Boolean
}

fn run(call: &Call) -> Result<ArrayRef> {
    let Some(text) = call.constant_text(1) else {
        return exec_err!("cast: the type must be a literal");
    };
    let target = Type::from_text(text).map_err(|_| plan_datafusion_err!("Unknown type: {text}"))?;
    convert(call, &call.array(0)?, &call.fields[0], &target)
}

fn convert(call: &Call, array: &ArrayRef, from: &Field, to: &Type) -> Result<ArrayRef> {
    if array.data_type().is_null() {
        return Ok(new_null_array(&to.data_type(), array.len()));
    }
    if *to == Type::Json {
        return to_json(array, from);
    }
    if is_json(from) {
        let texts = arrow::compute::cast(array, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let values: Vec<Option<&str>> = texts.iter().collect();
        return from_json(call, &values, to);
    }
    match (array.data_type(), to) {
        (DataType::List(element), Type::Array(target)) => {
            let list = array.as_list::<i32>();
            let values = convert(call, list.values(), element, target)?;
            Ok(Arc::new(ListArray::try_new(
                target.field("item"),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Map(..), Type::Map(key, value)) => convert_map(call, array, key, value),
        (DataType::Struct(fields), Type::Row(targets)) => {
            let rows = array.as_struct();
            let columns = fields
                .iter()
                .zip(rows.columns())
                .zip(targets)
                .map(|((field, column), (_, target))| convert(call, column, field, target))
                .collect::<Result<Vec<_>>>()?;
            let DataType::Struct(fields) = to.data_type() else {
                return exec_err!("a row is not a struct");
            };
            Ok(Arc::new(StructArray::try_new(fields, columns, rows.nulls().cloned())?))
        }
        (DataType::Float32 | DataType::Float64, Type::Varchar) => write_texts(array),
        (DataType::Timestamp(..) | DataType::Date32, Type::Varchar) => write_texts(array),
        (
            DataType::Float32 | DataType::Float64,
            Type::Bigint | Type::Integer | Type::Smallint | Type::Tinyint,
        ) => {
            let doubles = arrow::compute::cast(array, &DataType::Float64)?;
            let rounded: Float64Array = doubles.as_primitive::<Float64Type>().unary(f64::round);
            plain(call, &(Arc::new(rounded) as ArrayRef), to)
        }
        _ => plain(call, array, to),
    }
}

fn write_texts(array: &ArrayRef) -> Result<ArrayRef> {
    let texts = (0..array.len()).map(|row| text_of(array, row)).collect::<Result<StringArray>>()?;
    Ok(Arc::new(texts))
}

fn plain(call: &Call, array: &ArrayRef, to: &Type) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, format_options: FormatOptions::default() };
    let cast = cast_with_options(array, &to.data_type(), &options)?;
    if cast.null_count() > array.null_count() {
        let failed = (0..array.len()).find(|&row| array.is_valid(row) && cast.is_null(row));
        if let Some(row) = failed {
            let value = text_of(array, row)?.unwrap_or_default();
            call.settle::<()>(Err(format!("Cannot cast '{value}' to {to}")))?;
        }
    }
    Ok(cast)
}

fn convert_map(call: &Call, array: &ArrayRef, key: &Type, value: &Type) -> Result<ArrayRef> {
    let map = array.as_map();
    let DataType::Struct(fields) = map.entries().data_type() else {
        return exec_err!("a map without entries");
    };
    let keys = convert(call, map.keys(), &fields[0], key)?;
    let values = convert(call, map.values(), &fields[1], value)?;
    let target = Type::Map(Box::new(key.clone()), Box::new(value.clone()));
    map_array(&target, map.offsets().clone(), keys, values, map.nulls().cloned())
}

fn map_array(
    target: &Type,
    offsets: OffsetBuffer<i32>,
    keys: ArrayRef,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let DataType::Map(entries_field, _) = target.data_type() else {
        return exec_err!("{target} is not a map");
    };
    let DataType::Struct(fields) = entries_field.data_type() else {
        return exec_err!("a map without entries");
    };
    let entries = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    Ok(Arc::new(MapArray::try_new(entries_field, offsets, entries, nulls, false)?))
}

fn from_json(call: &Call, values: &[Option<&str>], to: &Type) -> Result<ArrayRef> {
    // JSON's null is SQL's NULL.
    let values: Vec<Option<&str>> =
        values.iter().map(|value| value.filter(|json| json.trim() != "null")).collect();
    match to {
        Type::Json => Ok(Arc::new(StringArray::from(values))),
        Type::Array(element) => {
            let mut children = Vec::new();
            let mut lengths = Vec::with_capacity(values.len());
            let mut valid = Vec::with_capacity(values.len());
            for value in &values {
                let all = expand(call, *value, to, items)?;
                lengths.push(all.as_ref().map_or(0, Vec::len));
                valid.push(all.is_some());
                children.extend(all.into_iter().flatten().map(|raw| Some(raw.get())));
            }
            let children = from_json(call, &children, element)?;
            let offsets = OffsetBuffer::from_lengths(lengths);
            let nulls = Some(NullBuffer::from(valid));
            Ok(Arc::new(ListArray::try_new(element.field("item"), offsets, children, nulls)?))
        }
        Type::Map(key, value) => map_from_json(call, &values, to, key, value),
        Type::Row(fields) => row_from_json(call, &values, to, fields),
        _ => scalars_from_json(call, &values, to),
    }
}

/// The parts of a JSON array or object; NULL stays NULL, anything else cannot be cast.
fn expand<'j, T>(
    call: &Call,
    value: Option<&'j str>,
    to: &Type,
    parts: impl Fn(&'j str) -> Option<Vec<T>>,
) -> Result<Option<Vec<T>>> {
    let Some(json) = value else { return Ok(None) };
    call.settle(parts(json).map(Some).ok_or_else(|| format!("Cannot cast '{json}' to {to}")))
}

fn map_from_json(
    call: &Call,
    values: &[Option<&str>],
    to: &Type,
    key: &Type,
    value: &Type,
) -> Result<ArrayRef> {
    let mut keys = Vec::new();
    let mut children = Vec::new();
    let mut lengths = Vec::with_capacity(values.len());
    let mut valid = Vec::with_capacity(values.len());
    for json in values {
        let all = expand(call, *json, to, members)?;
        lengths.push(all.as_ref().map_or(0, Vec::len));
        valid.push(all.is_some());
        for (name, child) in all.into_iter().flatten() {
            keys.push(Some(name));
            children.push(Some(child.get()));
        }
    }
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let keys = plain(call, &keys, key)?;
    let children = from_json(call, &children, value)?;
    map_array(to, OffsetBuffer::from_lengths(lengths), keys, children, Some(valid.into()))
}

/// From an object by name, without regard to case; from an array by position.
fn row_from_json(
    call: &Call,
    values: &[Option<&str>],
    to: &Type,
    fields: &[(Option<String>, Type)],
) -> Result<ArrayRef> {
    let mut columns: Vec<Vec<Option<&str>>> = vec![Vec::with_capacity(values.len()); fields.len()];
    let mut valid = Vec::with_capacity(values.len());
    for value in values {
        let by_name = value.and_then(members);
        let by_position = if by_name.is_some() { None } else { expand(call, *value, to, items)? };
        valid.push(by_name.is_some() || by_position.is_some());
        for (i, (name, _)) in fields.iter().enumerate() {
            let named = by_name.iter().flatten().find(|(member, _)| {
                name.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(member))
            });
            let placed = by_position.as_ref().and_then(|all| all.get(i));
            columns[i].push(named.map(|(_, raw)| raw.get()).or(placed.map(|raw| raw.get())));
        }
    }
    let columns = columns
        .iter()
        .zip(fields)
        .map(|(column, (_, field))| from_json(call, column, field))
        .collect::<Result<Vec<_>>>()?;
    let DataType::Struct(fields) = to.data_type() else { return exec_err!("{to} is not a row") };
    Ok(Arc::new(StructArray::try_new(fields, columns, Some(valid.into()))?))
}

fn scalars_from_json(call: &Call, values: &[Option<&str>], to: &Type) -> Result<ArrayRef> {
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        let text = match value {
            None => None,
            Some(json) => call.settle(
                scalar_text(json).map(Some).ok_or_else(|| format!("Cannot cast '{json}' to {to}")),
            )?,
        };
        texts.push(text);
    }
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    if *to == Type::Varchar { Ok(texts) } else { plain(call, &texts, to) }
}

fn to_json(array: &ArrayRef, from: &Field) -> Result<ArrayRef> {
    let mut texts: Vec<Option<String>> = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.push(None);
            continue;
        }
        let mut text = String::new();
        write_json(array, from, row, &mut text)?;
        texts.push(Some(text));
    }
    Ok(Arc::new(StringArray::from(texts)))
}

fn write_json(array: &dyn Array, field: &Field, row: usize, text: &mut String) -> Result<()> {
    if array.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    match array.data_type() {
        DataType::List(element) => {
            let values = array.as_list::<i32>().value(row);
            text.push('[');
            for i in 0..values.len() {
                if i > 0 {
                    text.push(',');
                }
                write_json(&values, element, i, text)?;
            }
            text.push(']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let mut parts = Vec::with_capacity(entries.len());
            for i in 0..entries.len() {
                let name = text_of(entries.column(0), i)?.unwrap_or_default();
                let mut value = String::new();
                write_json(entries.column(1), &entries.fields()[1], i, &mut value)?;
                parts.push(format!("{}:{value}", quoted(&name)));
            }
            // Trino writes a map's members in order of key.
            parts.sort();
            text.push('{');
            text.push_str(&parts.join(","));
            text.push('}');
        }
        DataType::Struct(fields) => write_row(array.as_struct(), fields, row, text)?,
        data_type => {
            let value = text_of(array, row)?.unwrap_or_default();
            let bare = is_json(field) || data_type.is_numeric() || *data_type == DataType::Boolean;
            text.push_str(&if bare { value } else { quoted(&value) });
        }
    }
    Ok(())
}

fn write_row(rows: &StructArray, fields: &Fields, row: usize, text: &mut String) -> Result<()> {
    for (i, field) in fields.iter().enumerate() {
        text.push(if i == 0 { '{' } else { ',' });
        text.push_str(&quoted(field.name()));
        text.push(':');
        write_json(rows.column(i), field, row, text)?;
    }
    text.push('}');
    Ok(())
}
