//! An expression that depends on one column, and where its value comes from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};

use foldhash::fast::RandomState;

use super::codes::{Codes, Source};

/// The name under which an expression knows the value of its source.
const VALUE: &str = "v";
/// Of times in order, one of so many is tried, and all of those between two that differ.
const STRIDE: usize = 64;

/// An expression of one source.
#[derive(Debug, Clone)]
pub struct Term {
    pub source: Source,
    expr: Arc<dyn PhysicalExpr>,
    pub data_type: DataType,
    /// Does it give no less for more? Then it is the same between two times for which it is.
    pub is_monotone: bool,
    /// Is it the source's value itself?
    is_value: bool,
}

impl Term {
    /// The expression over columns of a table of events, if it depends on one source and on nothing
    /// else. `columns` are the stored ones.
    pub fn of(expr: &Expr, columns: &Schema) -> Result<Option<Term>> {
        if expr.is_volatile() {
            return Ok(None);
        }
        let mut source: Option<Source> = None;
        let mut is_one = true;
        let rewritten = expr.clone().transform_down(|expr| {
            let Some(found) = Source::of(&expr, columns) else {
                // Whatever else is not made of expressions of its own depends on who knows what.
                is_one &= !matches!(
                    expr,
                    Expr::Column(_)
                        | Expr::OuterReferenceColumn(..)
                        | Expr::ScalarSubquery(_)
                        | Expr::InSubquery(_)
                        | Expr::Exists(_)
                        | Expr::Placeholder(_)
                );
                return Ok(Transformed::no(expr));
            };
            is_one &= source.as_ref().is_none_or(|source| *source == found);
            source = Some(found);
            let value = Expr::Column(Column::new_unqualified(VALUE));
            Ok(Transformed::new(value, true, TreeNodeRecursion::Jump))
        })?;
        let Some(source) = source.filter(|_| is_one) else { return Ok(None) };
        let value = Field::new(VALUE, source.data_type(), true);
        let schema = DFSchema::try_from(Schema::new(vec![value]))?;
        let Ok(expr) = create_physical_expr(
            &rewritten.data,
            &schema,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        ) else {
            return Ok(None);
        };
        let data_type = expr.data_type(schema.as_arrow())?;
        let is_monotone = is_monotone(&rewritten.data);
        let is_value = matches!(rewritten.data, Expr::Column(_));
        Ok(Some(Term { source, expr, data_type, is_monotone, is_value }))
    }

    /// Whether its results can be told apart here.
    pub fn can_be_grouped(&self) -> bool {
        RowConverter::supports_fields(&[SortField::new(self.data_type.clone())])
    }

    /// The expression for each value; that of null comes last.
    pub fn evaluate(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let null = new_null_array(values.data_type(), 1);
        let values = concat(&[values.as_ref(), null.as_ref()])?;
        let schema = Schema::new(vec![Field::new(VALUE, values.data_type().clone(), true)]);
        let rows = values.len();
        let batch = RecordBatch::try_new(Arc::new(schema), vec![values])?;
        self.expr.evaluate(&batch)?.into_array(rows)
    }

    /// The same, when some value that no row has cannot be dealt with.
    fn evaluate_used(&self, codes: &Codes) -> Result<ArrayRef> {
        self.evaluate(&codes.values).or_else(|error| match codes.of_rows {
            None => Err(error),
            Some(_) => self.evaluate(&codes.used_values()?),
        })
    }

    /// The rows' groups: a number for each row, and the value that each number stands for.
    pub fn groups<'a>(&self, codes: &'a Codes) -> Result<(Cow<'a, [u32]>, ArrayRef)> {
        let in_order = self.groups_in_order(&codes.values);
        if in_order.is_none()
            && self.is_value
            && codes.is_distinct
            && let Some(rows) = &codes.of_rows
        {
            return Ok((rows.into(), self.evaluate(&codes.values)?));
        }
        let (mut of_value, distinct) = match in_order {
            Some(found) => found,
            None => numbered(&self.evaluate_used(codes)?)?,
        };
        let Some(rows) = &codes.of_rows else {
            of_value.truncate(codes.values.len());
            return Ok((of_value.into(), distinct));
        };
        // A loop, since what is called for each row has to be in place.
        let mut groups = vec![0; rows.len()];
        for (group, code) in groups.iter_mut().zip(rows) {
            *group = of_value[*code as usize];
        }
        Ok((groups.into(), distinct))
    }

    /// The groups of times that come in order, if the expression keeps that order: the rows from which
    /// on a group goes, ascending, its number, and the values of the numbers. The expression is evaluated
    /// for one time of each stride, and for all of a stride only where it changes within.
    pub fn runs(&self, times: &ArrayRef) -> Option<(Vec<(u32, u32)>, ArrayRef)> {
        let values = times.as_primitive_opt::<TimestampMicrosecondType>()?;
        let is_in_order = values.null_count() == 0 && values.values().is_sorted();
        if !self.is_monotone || !is_in_order || values.len() < 2 * STRIDE {
            return None;
        }
        let evaluate = |rows: &[u32]| {
            let rows = UInt32Array::from_iter_values(rows.iter().copied());
            numbered(&self.evaluate(&take(times, &rows, None)?)?)
        };
        let last = values.len() as u32 - 1;
        let ends: Vec<u32> = (0..last).step_by(STRIDE).chain([last]).collect();
        // An error is for the usual way, which knows the values that are used.
        let (of_ends, _) = evaluate(&ends).ok()?;
        let mut rows = Vec::with_capacity(2 * ends.len());
        for (ends, groups) in ends.windows(2).zip(of_ends.windows(2)) {
            match groups[0] == groups[1] {
                true => rows.push(ends[0]),
                false => rows.extend(ends[0]..ends[1]),
            }
        }
        rows.push(last);
        let (of_chosen, distinct) = evaluate(&rows).ok()?;
        Some((rows.into_iter().zip(of_chosen).collect(), distinct))
    }

    /// The same for each row.
    fn groups_in_order(&self, times: &ArrayRef) -> Option<(Vec<u32>, ArrayRef)> {
        let (runs, distinct) = self.runs(times)?;
        let mut groups = Vec::with_capacity(times.len());
        let nexts = runs.iter().skip(1).map(|(row, _)| *row as usize).chain([times.len()]);
        for (next, (_, group)) in nexts.zip(&runs) {
            groups.resize(next, *group);
        }
        Some((groups, distinct))
    }

    /// Is it certain not to be true without a value?
    pub fn wants_value(&self) -> bool {
        let none = new_null_array(&self.source.data_type(), 0);
        let of_null = self.evaluate(&none).and_then(|value| Ok(cast(&value, &DataType::Boolean)?));
        of_null.is_ok_and(|value| value.as_boolean().iter().all(|holds| holds != Some(true)))
    }

    /// Whether the expression is true, for each row.
    pub fn holds(&self, codes: &Codes) -> Result<Vec<bool>> {
        let holds = cast(&self.evaluate_used(codes)?, &DataType::Boolean)?;
        let mut holds: Vec<bool> =
            holds.as_boolean().iter().map(|holds| holds == Some(true)).collect();
        let Some(rows) = &codes.of_rows else {
            holds.truncate(codes.values.len());
            return Ok(holds);
        };
        let mut of_rows = vec![false; rows.len()];
        for (holds_here, code) in of_rows.iter_mut().zip(rows) {
            *holds_here = holds[*code as usize];
        }
        Ok(of_rows)
    }
}

fn is_monotone(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) if call.name() == "date_trunc" => {
            matches!(call.args.as_slice(), [Expr::Literal(..), Expr::Column(_)])
        }
        _ => false,
    }
}

/// Numbers the distinct values of an array: the number of each place, and the values by number.
pub fn numbered(values: &ArrayRef) -> Result<(Vec<u32>, ArrayRef)> {
    let mut firsts: Vec<u32> = Vec::new();
    let mut numbers = Vec::with_capacity(values.len());
    let mut number_of = |place: usize, known: Option<u32>| match known {
        Some(number) => number,
        None => {
            firsts.push(place as u32);
            firsts.len() as u32 - 1
        }
    };
    if let Some(integers) = integers(values)? {
        // Times come in order, so that most are like the one before.
        let mut known = HashMap::<_, u32, RandomState>::default();
        let mut last: Option<(Option<i64>, u32)> = None;
        for place in 0..integers.len() {
            let value = integers.is_valid(place).then(|| integers.value(place));
            let number = match last {
                Some((before, number)) if before == value => number,
                _ => *known.entry(value).or_insert_with(|| number_of(place, None)),
            };
            last = Some((value, number));
            numbers.push(number);
        }
    } else if let Some(texts) = values.as_string_opt::<i32>() {
        let mut known = HashMap::<Option<&str>, u32, RandomState>::default();
        for (place, text) in texts.iter().enumerate() {
            numbers.push(*known.entry(text).or_insert_with(|| number_of(place, None)));
        }
    } else {
        let converter = RowConverter::new(vec![SortField::new(values.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(values))?;
        let mut known = HashMap::<&[u8], u32, RandomState>::default();
        let rows: Vec<_> = rows.iter().collect();
        for (place, row) in rows.iter().enumerate() {
            let number = known.get(row.data()).copied();
            let number = number_of(place, number);
            known.insert(row.data(), number);
            numbers.push(number);
        }
    }
    let distinct = take(values, &UInt32Array::from(firsts), None)?;
    Ok((numbers, distinct))
}

/// Values of which each is one number, as such.
fn integers(values: &ArrayRef) -> Result<Option<Int64Array>> {
    let is_integer = matches!(values.data_type(), DataType::Timestamp(..) | DataType::Int64);
    if !is_integer {
        return Ok(None);
    }
    let integers = cast(values, &DataType::Int64)?;
    Ok(Some(integers.as_primitive().clone()))
}
