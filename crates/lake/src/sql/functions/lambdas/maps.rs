//! `map_filter`, `transform_keys` and `transform_values`: a lambda over the entries of maps.
//!
//! All entries of a batch are evaluated at once; the columns that the lambda captures are repeated,
//! each row as often as its map has entries.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, filter, take_arrays};
use arrow::datatypes::{DataType, FieldRef, Fields};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use crate::sql::functions::scalar::nullable;
use crate::sql::types::map_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Filter,
    Keys,
    Values,
}

pub fn all() -> impl Iterator<Item = Arc<HigherOrderUDF>> {
    [Kind::Filter, Kind::Keys, Kind::Values]
        .into_iter()
        .map(|kind| Arc::new(HigherOrderUDF::new_from_impl(OverEntries::new(kind))))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OverEntries {
    kind: Kind,
    signature: HigherOrderSignature,
}

impl OverEntries {
    fn new(kind: Kind) -> Self {
        let args = vec![ValueOrLambda::Value(()), ValueOrLambda::Lambda(())];
        Self { kind, signature: HigherOrderSignature::exact(args, Volatility::Immutable) }
    }
}

fn entry_fields(map: &DataType) -> Result<&Fields> {
    if let DataType::Map(entries, _) = map
        && let DataType::Struct(fields) = entries.data_type()
    {
        return Ok(fields);
    }
    plan_err!("{map} is not a map")
}

impl HigherOrderUDFImpl for OverEntries {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Filter => "map_filter",
            Kind::Keys => "transform_keys",
            Kind::Values => "transform_values",
        }
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }

    fn lambda_parameters(
        &self,
        _step: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        let [ValueOrLambda::Value(map), ..] = fields else {
            return plan_err!("{} takes a map and a lambda", self.name());
        };
        let fields = entry_fields(map.data_type())?;
        Ok(LambdaParametersProgress::Complete(vec![fields.iter().cloned().collect()]))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        let [ValueOrLambda::Value(map), ValueOrLambda::Lambda(body)] = args.arg_fields else {
            return plan_err!("{} takes a map and a lambda", self.name());
        };
        let fields = entry_fields(map.data_type())?;
        let named = |name: &str, nullable: bool| {
            Arc::new(body.as_ref().clone().with_name(name).with_nullable(nullable))
        };
        match self.kind {
            Kind::Filter => nullable(map.data_type().clone()),
            Kind::Keys => nullable(map_of(named("key", false), Arc::clone(&fields[1]))),
            Kind::Values => nullable(map_of(Arc::clone(&fields[0]), named("value", true))),
        }
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let [ValueOrLambda::Value(map), ValueOrLambda::Lambda(body)] = args.args.as_slice() else {
            return exec_err!("{} takes a map and a lambda", self.name());
        };
        let array = map.to_array(args.number_rows)?;
        let Some(map) = array.as_map_opt() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?));
        };
        let entries = Entries::of(map)?;
        let evaluated = body
            .evaluate(
                &[&|| Ok(Arc::clone(&entries.keys)), &|| Ok(Arc::clone(&entries.values))],
                |captures| Ok(take_arrays(captures, &entries.rows, None)?),
            )?
            .into_array(entries.keys.len())?;
        let (keys, values, lengths) = match self.kind {
            Kind::Keys => (evaluated, entries.values, entries.lengths),
            Kind::Values => (entries.keys, evaluated, entries.lengths),
            Kind::Filter => entries.kept(&evaluated)?,
        };
        let DataType::Map(field, _) = args.return_type() else {
            return exec_err!("{} gives a map", self.name());
        };
        let fields = entry_fields(args.return_type())?;
        let columns =
            vec![cast(&keys, fields[0].data_type())?, cast(&values, fields[1].data_type())?];
        let entries = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls = map.nulls().cloned();
        Ok(ColumnarValue::Array(Arc::new(MapArray::try_new(
            Arc::clone(field),
            offsets,
            entries,
            nulls,
            false,
        )?)))
    }
}

/// The entries that belong to a row, and to which.
struct Entries {
    keys: ArrayRef,
    values: ArrayRef,
    rows: UInt32Array,
    lengths: Vec<usize>,
}

impl Entries {
    fn of(map: &MapArray) -> Result<Self> {
        let offsets = map.value_offsets();
        let mut places: Vec<Option<u32>> = Vec::new();
        let mut rows: Vec<Option<u32>> = Vec::new();
        let mut lengths = Vec::with_capacity(map.len());
        for row in 0..map.len() {
            let range = if map.is_valid(row) { offsets[row]..offsets[row + 1] } else { 0..0 };
            lengths.push(range.len());
            for at in range {
                places.push(u32::try_from(at).ok());
                rows.push(u32::try_from(row).ok());
            }
        }
        let places = UInt32Array::from(places);
        let columns =
            take_arrays(&[Arc::clone(map.keys()), Arc::clone(map.values())], &places, None)?;
        let [keys, values] = columns.as_slice() else { return exec_err!("a map without entries") };
        Ok(Self {
            keys: Arc::clone(keys),
            values: Arc::clone(values),
            rows: UInt32Array::from(rows),
            lengths,
        })
    }

    /// The entries for which the condition is true.
    fn kept(self, condition: &ArrayRef) -> Result<(ArrayRef, ArrayRef, Vec<usize>)> {
        let condition = cast(condition, &DataType::Boolean)?;
        let condition: BooleanArray =
            condition.as_boolean().iter().map(|kept| Some(kept == Some(true))).collect();
        let mut lengths = vec![0; self.lengths.len()];
        for (at, row) in self.rows.values().iter().enumerate() {
            lengths[*row as usize] += usize::from(condition.value(at));
        }
        Ok((filter(&self.keys, &condition)?, filter(&self.values, &condition)?, lengths))
    }
}
