//! Functions on arrays and maps that keep the fields of what they hold (a JSON element stays JSON),
//! or that mean something else in DataFusion.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, StructArray, UInt32Array,
    make_comparator,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ReturnFieldArgs;

use super::scalar::{Call, Definition, Parameter, integer, integer_result, nullable, text};
use crate::sql::types::{map_of, name_of};

pub const FUNCTIONS: &[Definition] = &[
    Definition {
        name: "element_at",
        parameters: &[Parameter::Any, Parameter::Any],
        optional: 0,
        variadic: false,
        result: element_result,
        run: element_at,
    },
    Definition {
        name: "cardinality",
        parameters: &[Parameter::Any],
        optional: 0,
        variadic: false,
        result: integer_result,
        run: |call| {
            let array = call.array(0)?;
            let Some(offsets) = offsets(&array) else { return all_null(call) };
            call.collect_integers(|i| {
                Ok(array.is_valid(i).then(|| i64::from(offsets[i + 1] - offsets[i])))
            })
        },
    },
    Definition {
        name: "map_keys",
        parameters: &[Parameter::Any],
        optional: 0,
        variadic: false,
        result: |args| list_of(part_of_map(&args.arg_fields[0], 0)?),
        run: |call| map_part(call, 0),
    },
    Definition {
        name: "map_values",
        parameters: &[Parameter::Any],
        optional: 0,
        variadic: false,
        result: |args| list_of(part_of_map(&args.arg_fields[0], 1)?),
        run: |call| map_part(call, 1),
    },
    Definition {
        name: "slice",
        parameters: &[Parameter::List, Parameter::Integer, Parameter::Integer],
        optional: 0,
        variadic: false,
        result: |args| nullable(args.arg_fields[0].data_type().clone()),
        run: slice,
    },
    Definition {
        name: "array_position",
        parameters: &[Parameter::List, Parameter::Any],
        optional: 0,
        variadic: false,
        result: integer_result,
        run: array_position,
    },
    Definition {
        name: "reverse",
        parameters: &[Parameter::Any],
        optional: 0,
        variadic: false,
        result: |args| match args.arg_fields[0].data_type() {
            list @ DataType::List(_) => nullable(list.clone()),
            text if text.is_string() => nullable(DataType::Utf8),
            _ => plan_err!("reverse takes text or an array, not {}", name_of(&args.arg_fields[0])),
        },
        run: reverse,
    },
    Definition {
        name: "greatest_of",
        parameters: &[Parameter::List],
        optional: 0,
        variadic: false,
        result: element_of_list,
        run: |call| extreme(call, Ordering::Greater),
    },
    Definition {
        name: "least_of",
        parameters: &[Parameter::List],
        optional: 0,
        variadic: false,
        result: element_of_list,
        run: |call| extreme(call, Ordering::Less),
    },
    Definition {
        name: "map_of_pairs",
        parameters: &[Parameter::List, Parameter::List],
        optional: 0,
        variadic: false,
        result: |args| {
            let key = element_field(&args.arg_fields[0])?;
            let key = key.as_ref().clone().with_name("key").with_nullable(false);
            let value = element_field(&args.arg_fields[1])?.as_ref().clone().with_name("value");
            nullable(map_of(Arc::new(key), Arc::new(value.with_nullable(true))))
        },
        run: map_of_pairs,
    },
    Definition {
        name: "histogram_of",
        parameters: &[Parameter::List],
        optional: 0,
        variadic: false,
        result: |args| {
            let key = element_field(&args.arg_fields[0])?;
            let key = key.as_ref().clone().with_name("key").with_nullable(false);
            nullable(map_of(Arc::new(key), Arc::new(Field::new("value", DataType::Int64, true))))
        },
        run: histogram_of,
    },
    Definition {
        name: "ordinals",
        parameters: &[Parameter::Integer],
        optional: 0,
        variadic: true,
        result: |_| nullable(DataType::new_list(DataType::Int64, true)),
        run: ordinals,
    },
];

fn element_field(field: &Field) -> Result<FieldRef> {
    match field.data_type() {
        DataType::List(element) | DataType::LargeList(element) => Ok(Arc::clone(element)),
        DataType::Null => nullable(DataType::Null),
        _ => plan_err!("{} is not an array", name_of(field)),
    }
}

fn element_of_list(args: &ReturnFieldArgs) -> Result<FieldRef> {
    let element = element_field(&args.arg_fields[0])?;
    Ok(Arc::new(element.as_ref().clone().with_name("").with_nullable(true)))
}

/// The key (0) or value (1) field.
fn part_of_map(field: &Field, part: usize) -> Result<FieldRef> {
    if let DataType::Map(entries, _) = field.data_type()
        && let DataType::Struct(fields) = entries.data_type()
    {
        return Ok(Arc::clone(&fields[part]));
    }
    plan_err!("{} is not a map", name_of(field))
}

fn list_of(element: FieldRef) -> Result<FieldRef> {
    let element = element.as_ref().clone().with_name("item").with_nullable(true);
    nullable(DataType::List(Arc::new(element)))
}

fn element_result(args: &ReturnFieldArgs) -> Result<FieldRef> {
    let [of, key] = args.arg_fields else { return plan_err!("element_at takes two arguments") };
    let element = match of.data_type() {
        DataType::List(element) | DataType::LargeList(element) => {
            if !key.data_type().is_integer() && !key.data_type().is_null() {
                return plan_err!("an array's index is an integer, not {}", name_of(key));
            }
            Arc::clone(element)
        }
        DataType::Map(..) => part_of_map(of, 1)?,
        _ => return plan_err!("element_at takes an array or a map, not {}", name_of(of)),
    };
    Ok(Arc::new(element.as_ref().clone().with_name("").with_nullable(true)))
}

fn all_null(call: &Call) -> Result<ArrayRef> {
    Ok(arrow::array::new_null_array(call.result.data_type(), call.rows))
}

fn offsets(array: &ArrayRef) -> Option<OffsetBuffer<i32>> {
    match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().offsets().clone()),
        DataType::Map(..) => Some(array.as_map().offsets().clone()),
        _ => None,
    }
}

/// A list as `List`, whatever it came as.
fn list_argument(call: &Call, i: usize) -> Result<ListArray> {
    let array = call.array(i)?;
    match array.data_type() {
        DataType::LargeList(element) => {
            Ok(cast(&array, &DataType::List(Arc::clone(element)))?.as_list::<i32>().clone())
        }
        DataType::List(_) => Ok(array.as_list::<i32>().clone()),
        other => exec_err!("{other} is not an array"),
    }
}

/// What is not there is NULL, in arrays and in maps.
fn element_at(call: &Call) -> Result<ArrayRef> {
    let of = call.array(0)?;
    if matches!(of.data_type(), DataType::Map(..)) {
        return element_of_map(call, of.as_map());
    }
    let list = list_argument(call, 0)?;
    let indexes = call.integers(1)?;
    let mut found = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
        let at = match integer(&indexes, row).filter(|_| list.is_valid(row)) {
            None => None,
            Some(0) => call.settle(Err("SQL array indices start at 1".to_owned()))?,
            Some(index) if index > 0 => Some(i64::from(start) + index - 1),
            Some(index) => Some(i64::from(end) + index),
        };
        let inside = i64::from(start)..i64::from(end);
        found.push(at.filter(|at| inside.contains(at)).and_then(|at| u32::try_from(at).ok()));
    }
    Ok(take(list.values(), &UInt32Array::from(found), None)?)
}

fn element_of_map(call: &Call, map: &MapArray) -> Result<ArrayRef> {
    let keys = map.keys();
    let entries = |row: usize| {
        let offsets = map.value_offsets();
        let range = if map.is_valid(row) { offsets[row]..offsets[row + 1] } else { 0..0 };
        range.map(|at| usize::try_from(at).unwrap_or(0))
    };
    let found: Vec<Option<usize>> = match (call.constant_text(1), keys.as_string_opt::<i32>()) {
        (Some(wanted), Some(keys)) => {
            (0..call.rows).map(|row| entries(row).find(|&at| keys.value(at) == wanted)).collect()
        }
        _ => {
            let wanted = cast(&call.array(1)?, keys.data_type())?;
            let compare = make_comparator(keys, &wanted, SortOptions::default())?;
            (0..call.rows)
                .map(|row| {
                    entries(row).find(|&at| wanted.is_valid(row) && compare(at, row).is_eq())
                })
                .collect()
        }
    };
    let found = found.into_iter().map(|at| at.and_then(|at| u32::try_from(at).ok()));
    Ok(take(map.values(), &found.collect::<UInt32Array>(), None)?)
}

fn map_part(call: &Call, part: usize) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let map = array.as_map();
    let DataType::List(element) = call.result.data_type() else {
        return exec_err!("a map's part is not an array");
    };
    let values = Arc::clone(map.entries().column(part));
    let list = ListArray::try_new(
        Arc::clone(element),
        map.offsets().clone(),
        values,
        map.nulls().cloned(),
    )?;
    Ok(Arc::new(list))
}

/// Starts count from 1, negative ones from the end.
fn slice(call: &Call) -> Result<ArrayRef> {
    let list = list_argument(call, 0)?;
    let (starts, lengths) = (call.integers(1)?, call.integers(2)?);
    let mut rows: Vec<Option<Vec<u32>>> = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(start), Some(length), true) =
            (integer(&starts, row), integer(&lengths, row), list.is_valid(row))
        else {
            rows.push(None);
            continue;
        };
        let checked = match (start, length) {
            (0, _) => Err("SQL array indices start at 1".to_owned()),
            (_, ..0) => Err("length must be greater than or equal to 0".to_owned()),
            _ => Ok(Some(())),
        };
        if call.settle(checked)?.is_none() {
            rows.push(None);
            continue;
        }
        let (first, end) =
            (i64::from(list.value_offsets()[row]), i64::from(list.value_offsets()[row + 1]));
        let from = if start > 0 { first.saturating_add(start - 1) } else { end + start };
        let to = from.saturating_add(length).min(end);
        let range = if from < first { 0..0 } else { from..to };
        rows.push(Some(range.filter_map(|at| u32::try_from(at).ok()).collect()));
    }
    list_from(list.values(), rows, call.result)
}

fn reverse(call: &Call) -> Result<ArrayRef> {
    if call.fields[0].data_type().is_string() {
        let texts = call.texts(0)?;
        return call.collect_texts(|i| {
            Ok(text(&texts, i).map(|text| text.chars().rev().collect::<String>()))
        });
    }
    let list = list_argument(call, 0)?;
    let backwards = |row: usize| {
        range_of(&list, row).rev().filter_map(|at| u32::try_from(at).ok()).collect::<Vec<_>>()
    };
    let rows = (0..call.rows).map(|row| list.is_valid(row).then(|| backwards(row))).collect();
    list_from(list.values(), rows, call.result)
}

/// Lists of chosen elements; `None` is a NULL list.
fn list_from(values: &ArrayRef, rows: Vec<Option<Vec<u32>>>, field: &FieldRef) -> Result<ArrayRef> {
    let offsets =
        OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)));
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let chosen: UInt32Array = rows.into_iter().flatten().flatten().map(Some).collect();
    let DataType::List(element) = field.data_type() else { return exec_err!("not an array") };
    let values = take(values, &chosen, None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, Some(valid.into()))?))
}

fn range_of(list: &ListArray, row: usize) -> std::ops::Range<usize> {
    let at = |i: usize| usize::try_from(list.value_offsets()[i]).unwrap_or(0);
    at(row)..at(row + 1)
}

/// Where the element is first, counted from 1; 0 if it is not there.
fn array_position(call: &Call) -> Result<ArrayRef> {
    let list = list_argument(call, 0)?;
    let wanted = cast(&call.array(1)?, list.values().data_type())?;
    let compare = make_comparator(list.values(), &wanted, SortOptions::default())?;
    call.collect_integers(|row| {
        if list.is_null(row) || wanted.is_null(row) {
            return Ok(None);
        }
        let mut range = range_of(&list, row);
        let found = range.position(|at| list.values().is_valid(at) && compare(at, row).is_eq());
        Ok(Some(found.map_or(0, |at| i64::try_from(at + 1).unwrap_or(i64::MAX))))
    })
}

/// The greatest or least element; NULL if any is NULL.
fn extreme(call: &Call, wanted: Ordering) -> Result<ArrayRef> {
    let list = list_argument(call, 0)?;
    let values = list.values();
    let compare = make_comparator(values, values, SortOptions::default())?;
    let mut chosen = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let range = range_of(&list, row);
        let known = range.clone().all(|at| values.is_valid(at));
        let best = range.reduce(|best, at| if compare(at, best) == wanted { at } else { best });
        chosen.push(best.filter(|_| known).and_then(|at| u32::try_from(at).ok()));
    }
    Ok(take(values, &UInt32Array::from(chosen), None)?)
}

/// A map of keys and values of the same length; an entry without key is left out, the last of equal
/// keys stays.
fn map_of_pairs(call: &Call) -> Result<ArrayRef> {
    let (keys, values) = (list_argument(call, 0)?, list_argument(call, 1)?);
    let mut rows = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if keys.is_null(row) || values.is_null(row) {
            rows.push(None);
            continue;
        }
        let (from, to) = (range_of(&keys, row), range_of(&values, row));
        if from.len() != to.len() {
            call.settle::<()>(Err("Key and value arrays must be the same length".to_owned()))?;
            rows.push(None);
            continue;
        }
        rows.push(Some(last_of_equal(keys.values(), from.zip(to))?));
    }
    map_from(call, keys.values(), values.values(), rows)
}

type Pairs = Vec<(u32, u32)>;

fn last_of_equal(keys: &ArrayRef, pairs: impl Iterator<Item = (usize, usize)>) -> Result<Pairs> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut chosen: Pairs = Vec::new();
    for (key, value) in pairs {
        let Some(text) = crate::sql::text::text_of(keys, key)? else { continue };
        let pair = (u32::try_from(key).unwrap_or(0), u32::try_from(value).unwrap_or(0));
        match places.get(&text) {
            Some(&place) => chosen[place] = pair,
            None => {
                places.insert(text, chosen.len());
                chosen.push(pair);
            }
        }
    }
    Ok(chosen)
}

fn map_from(
    call: &Call,
    keys: &ArrayRef,
    values: &ArrayRef,
    rows: Vec<Option<Pairs>>,
) -> Result<ArrayRef> {
    let DataType::Map(field, _) = call.result.data_type() else { return exec_err!("not a map") };
    let DataType::Struct(fields) = field.data_type() else { return exec_err!("not a map") };
    let offsets =
        OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, Vec::len)));
    let valid: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let pairs: Pairs = rows.into_iter().flatten().flatten().collect();
    let chosen_keys: UInt32Array = pairs.iter().map(|(key, _)| Some(*key)).collect();
    let chosen_values: UInt32Array = pairs.iter().map(|(_, value)| Some(*value)).collect();
    let columns = vec![take(keys, &chosen_keys, None)?, take(values, &chosen_values, None)?];
    let entries = StructArray::try_new(fields.clone(), columns, None)?;
    let map = MapArray::try_new(Arc::clone(field), offsets, entries, Some(valid.into()), false)?;
    Ok(Arc::new(map))
}

/// How often each element occurs.
fn histogram_of(call: &Call) -> Result<ArrayRef> {
    let list = list_argument(call, 0)?;
    let mut counts: Vec<i64> = Vec::new();
    let mut rows: Vec<Option<Pairs>> = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if list.is_null(row) {
            rows.push(None);
            continue;
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut pairs: Pairs = Vec::new();
        for at in range_of(&list, row) {
            let Some(text) = crate::sql::text::text_of(list.values(), at)? else { continue };
            match places.get(&text) {
                Some(&place) => counts[place] += 1,
                None => {
                    places.insert(text, counts.len());
                    pairs.push((
                        u32::try_from(at).unwrap_or(0),
                        u32::try_from(counts.len()).unwrap_or(0),
                    ));
                    counts.push(1);
                }
            }
        }
        rows.push(Some(pairs));
    }
    let counts: ArrayRef = Arc::new(Int64Array::from(counts));
    map_from(call, list.values(), &counts, rows)
}

/// `[1, 2 … n]` where n is the greatest argument; NULL counts as none.
fn ordinals(call: &Call) -> Result<ArrayRef> {
    let mut longest = vec![0_i64; call.rows];
    for i in 0..call.count() {
        let lengths = call.integers(i)?;
        for (row, length) in longest.iter_mut().enumerate() {
            *length = (*length).max(integer(&lengths, row).unwrap_or(0));
        }
    }
    let rows = longest.into_iter().map(|length| Some((1..=length).map(Some)));
    Ok(Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows)))
}
