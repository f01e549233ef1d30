//! What a function of ours is: its parameters, its result, and what it does to a batch.
//!
//! A function is one [`Definition`] in one table. Arguments are brought to the type of their
//! parameter before it runs, so that it sees one Arrow type each. A row that cannot be computed is
//! an error, except inside `try(…)`: there the function's lenient form runs, and the row is NULL.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::schema::{TIME_ZONE, timestamp};
use crate::sql::types::name_of;

/// What an argument must be. Text also takes JSON, whose text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    Text,
    Integer,
    Double,
    Time,
    List,
    Any,
}

pub struct Definition {
    pub name: &'static str,
    pub parameters: &'static [Parameter],
    /// How many parameters, from the end, may be left out.
    pub optional: usize,
    /// The last parameter may be repeated.
    pub variadic: bool,
    pub result: fn(&ReturnFieldArgs) -> Result<FieldRef>,
    pub run: fn(&Call) -> Result<ArrayRef>,
}

/// The value of a row, or why there is none.
pub type Row<T> = std::result::Result<Option<T>, String>;

/// A function called on a batch.
pub struct Call<'a> {
    name: &'a str,
    args: &'a [ColumnarValue],
    pub fields: &'a [FieldRef],
    pub rows: usize,
    pub result: &'a FieldRef,
    lenient: bool,
}

impl Call<'_> {
    pub fn name(&self) -> &str {
        self.name.trim_start_matches("try_")
    }

    pub fn count(&self) -> usize {
        self.args.len()
    }

    pub fn array(&self, i: usize) -> Result<ArrayRef> {
        self.args[i].to_array(self.rows)
    }

    pub fn texts(&self, i: usize) -> Result<StringArray> {
        Ok(cast(&self.array(i)?, &DataType::Utf8)?.as_string::<i32>().clone())
    }

    pub fn integers(&self, i: usize) -> Result<Int64Array> {
        Ok(cast(&self.array(i)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    pub fn doubles(&self, i: usize) -> Result<Float64Array> {
        Ok(cast(&self.array(i)?, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
    }

    pub fn times(&self, i: usize) -> Result<TimestampMicrosecondArray> {
        let array = cast(&self.array(i)?, &timestamp())?;
        Ok(array.as_primitive::<TimestampMicrosecondType>().clone())
    }

    /// The argument, if it is the same text for every row.
    pub fn constant_text(&self, i: usize) -> Option<&str> {
        match self.args.get(i) {
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten(),
            _ => None,
        }
    }

    /// What to do with a row that failed.
    pub fn settle<T>(&self, row: Row<T>) -> Result<Option<T>> {
        match row {
            Ok(value) => Ok(value),
            Err(_) if self.lenient => Ok(None),
            Err(reason) => exec_err!("{}: {reason}", self.name()),
        }
    }

    pub fn collect_texts<S: AsRef<str>>(
        &self,
        mut row: impl FnMut(usize) -> Row<S>,
    ) -> Result<ArrayRef> {
        let mut builder = StringBuilder::new();
        for i in 0..self.rows {
            builder.append_option(self.settle(row(i))?);
        }
        Ok(Arc::new(builder.finish()))
    }

    pub fn collect_integers(&self, mut row: impl FnMut(usize) -> Row<i64>) -> Result<ArrayRef> {
        let values = (0..self.rows).map(|i| self.settle(row(i))).collect::<Result<Int64Array>>()?;
        Ok(Arc::new(values))
    }

    pub fn collect_doubles(&self, mut row: impl FnMut(usize) -> Row<f64>) -> Result<ArrayRef> {
        let values =
            (0..self.rows).map(|i| self.settle(row(i))).collect::<Result<Float64Array>>()?;
        Ok(Arc::new(values))
    }

    pub fn collect_booleans(&self, mut row: impl FnMut(usize) -> Row<bool>) -> Result<ArrayRef> {
        let values =
            (0..self.rows).map(|i| self.settle(row(i))).collect::<Result<BooleanArray>>()?;
        Ok(Arc::new(values))
    }

    pub fn collect_times(&self, mut row: impl FnMut(usize) -> Row<i64>) -> Result<ArrayRef> {
        let values = (0..self.rows)
            .map(|i| self.settle(row(i)))
            .collect::<Result<TimestampMicrosecondArray>>()?;
        Ok(Arc::new(values.with_timezone(TIME_ZONE)))
    }
}

/// The row's value, if the array has one.
pub fn text(array: &StringArray, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.value(row))
}

pub fn integer(array: &Int64Array, row: usize) -> Option<i64> {
    array.is_valid(row).then(|| array.value(row))
}

pub fn nullable(data_type: DataType) -> Result<FieldRef> {
    Ok(Arc::new(Field::new("", data_type, true)))
}

pub fn text_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(DataType::Utf8)
}

pub fn integer_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(DataType::Int64)
}

pub fn double_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(DataType::Float64)
}

pub fn boolean_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(DataType::Boolean)
}

pub fn time_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(timestamp())
}

pub fn texts_result(_: &ReturnFieldArgs) -> Result<FieldRef> {
    nullable(DataType::new_list(DataType::Utf8, true))
}

/// A [`Definition`] as DataFusion calls it.
#[derive(Debug)]
pub struct Scalar {
    definition: &'static Definition,
    name: String,
    lenient: bool,
    signature: Signature,
}

impl std::fmt::Debug for Definition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl Scalar {
    pub fn new(definition: &'static Definition, lenient: bool) -> Self {
        let prefix = if lenient { "try_" } else { "" };
        Self {
            definition,
            name: format!("{prefix}{}", definition.name),
            lenient,
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    fn parameter(&self, i: usize) -> Parameter {
        let parameters = self.definition.parameters;
        parameters[i.min(parameters.len() - 1)]
    }

    fn check(&self, fields: &[FieldRef]) -> Result<()> {
        let most = self.definition.parameters.len();
        let least = most - self.definition.optional;
        let fits = fields.len() >= least && (self.definition.variadic || fields.len() <= most);
        if !fits {
            let given: Vec<String> = fields.iter().map(|field| name_of(field)).collect();
            return plan_err!(
                "Unexpected parameters ({}) for function {}: {} expected",
                given.join(", "),
                self.name,
                if least == most { most.to_string() } else { format!("{least} to {most}") }
            );
        }
        for (i, field) in fields.iter().enumerate() {
            if !accepts(self.parameter(i), field.data_type()) {
                return plan_err!(
                    "Function {} cannot take {} as argument {}",
                    self.name,
                    name_of(field),
                    i + 1
                );
            }
        }
        Ok(())
    }
}

fn accepts(parameter: Parameter, given: &DataType) -> bool {
    let is_text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    if given.is_null() {
        return true;
    }
    match parameter {
        Parameter::Any => true,
        Parameter::Text => is_text,
        Parameter::Integer => given.is_integer(),
        Parameter::Double => given.is_numeric(),
        Parameter::Time => is_text || given.is_temporal(),
        Parameter::List => matches!(given, DataType::List(_) | DataType::LargeList(_)),
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} depends on its arguments' fields", self.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.check(args.arg_fields)?;
        (self.definition.result)(&args)
    }

    /// `date(eventTime) = d` is a range of `eventTime`, which a file's statistics can answer.
    fn preimage(
        &self,
        args: &[Expr],
        literal: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        let (Expr::Literal(ScalarValue::Date32(Some(day)), _), [value, _]) = (literal, args) else {
            return Ok(PreimageResult::None);
        };
        if self.definition.name != "cast" || info.get_data_type(value)? != timestamp() {
            return Ok(PreimageResult::None);
        }
        let midnight = |day: i64| {
            let micros = day * 86_400_000_000;
            ScalarValue::TimestampMicrosecond(Some(micros), Some(TIME_ZONE.into()))
        };
        let day = i64::from(*day);
        let interval = Interval::try_new(midnight(day), midnight(day + 1))?;
        Ok(PreimageResult::Range { expr: value.clone(), interval: Box::new(interval) })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_null = |(i, field): (usize, &FieldRef)| {
            field.data_type().is_null() && self.parameter(i) != Parameter::Any
        };
        if args.arg_fields.iter().enumerate().any(is_null) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?));
        }
        // Of arguments that are the same for every row, once is enough. But a scalar of a nested
        // type would lose the fields of what it holds.
        let constant = !args.return_type().is_nested()
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let call = Call {
            name: &self.name,
            args: &args.args,
            fields: &args.arg_fields,
            rows: if constant { 1 } else { args.number_rows },
            result: &args.return_field,
            lenient: self.lenient,
        };
        let array = (self.definition.run)(&call)?;
        if constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
