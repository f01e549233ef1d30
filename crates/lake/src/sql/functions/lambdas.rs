//! Functions that take a lambda and that DataFusion lacks.
//!
//! `reduce` goes through all arrays of a batch at once: in turn i, the lambda sees the i-th element
//! of every array that has one, and the states of those rows.

mod maps;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array};
use arrow::compute::{cast, interleave, take, take_arrays};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda,
    Volatility,
};

pub fn all() -> Vec<Arc<HigherOrderUDF>> {
    let reduce = Arc::new(HigherOrderUDF::new_from_impl(Reduce::new()));
    std::iter::once(reduce).chain(maps::all()).collect()
}

/// `reduce(array, initial, (state, element) -> state, state -> result)`
#[derive(Debug, PartialEq, Eq, Hash)]
struct Reduce {
    signature: HigherOrderSignature,
}

impl Reduce {
    fn new() -> Self {
        let args = vec![
            ValueOrLambda::Value(()),
            ValueOrLambda::Value(()),
            ValueOrLambda::Lambda(()),
            ValueOrLambda::Lambda(()),
        ];
        Self { signature: HigherOrderSignature::exact(args, Volatility::Immutable) }
    }
}

/// The state keeps the type of the initial value, as in Trino.
fn state_field(initial: &Field) -> FieldRef {
    Arc::new(initial.clone().with_nullable(true))
}

impl HigherOrderUDFImpl for Reduce {
    fn name(&self) -> &str {
        "reduce"
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
        let [ValueOrLambda::Value(list), ValueOrLambda::Value(initial), ..] = fields else {
            return plan_err!("reduce takes an array, an initial state and two lambdas");
        };
        let DataType::List(element) = list.data_type() else {
            return plan_err!("reduce takes an array, not {}", list.data_type());
        };
        let state = state_field(initial);
        Ok(LambdaParametersProgress::Complete(vec![
            vec![Arc::clone(&state), Arc::clone(element)],
            vec![state],
        ]))
    }

    fn return_field_from_args(&self, args: HigherOrderReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [_, _, _, ValueOrLambda::Lambda(output)] => {
                Ok(Arc::new(output.as_ref().clone().with_name("").with_nullable(true)))
            }
            _ => plan_err!("reduce takes an array, an initial state and two lambdas"),
        }
    }

    fn invoke_with_args(&self, args: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        let [
            ValueOrLambda::Value(list),
            ValueOrLambda::Value(initial),
            ValueOrLambda::Lambda(step),
            ValueOrLambda::Lambda(output),
        ] = args.args.as_slice()
        else {
            return exec_err!("reduce takes an array, an initial state and two lambdas");
        };
        let list = list.to_array(args.number_rows)?;
        let Some(list) = list.as_list_opt::<i32>() else {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(args.return_type())?));
        };
        let initial = initial.to_array(args.number_rows)?;
        let states = reduced(list, initial, step)?;
        let rows: UInt32Array = (0..u32::try_from(states.len()).unwrap_or(u32::MAX)).collect();
        let states_again = Arc::clone(&states);
        let result = output
            .evaluate(&[&move || Ok(Arc::clone(&states_again))], |captures| {
                Ok(take_arrays(captures, &rows, None)?)
            })?
            .into_array(states.len())?;
        // The reduction of NULL is NULL, whatever the lambda says.
        let known: UInt32Array =
            rows.values().iter().map(|row| list.is_valid(*row as usize).then_some(*row)).collect();
        Ok(ColumnarValue::Array(take(&result, &known, None)?))
    }
}

fn reduced(list: &ListArray, initial: ArrayRef, step: &LambdaArgument) -> Result<ArrayRef> {
    let offsets = list.value_offsets();
    let length = |row: usize| if list.is_valid(row) { offsets[row + 1] - offsets[row] } else { 0 };
    let turns = (0..list.len()).map(length).max().unwrap_or(0);
    let mut states = initial;
    for turn in 0..turns {
        let rows: Vec<usize> = (0..list.len()).filter(|row| length(*row) > turn).collect();
        let index = |of: &dyn Fn(usize) -> usize| -> UInt32Array {
            rows.iter().map(|row| u32::try_from(of(*row)).ok()).collect()
        };
        let at_rows = index(&|row| row);
        let at_elements = index(&|row| usize::try_from(offsets[row] + turn).unwrap_or(usize::MAX));
        let before = take(&states, &at_rows, None)?;
        let elements = take(list.values(), &at_elements, None)?;
        let after = step
            .evaluate(&[&|| Ok(Arc::clone(&before)), &|| Ok(Arc::clone(&elements))], |captures| {
                Ok(take_arrays(captures, &at_rows, None)?)
            })?
            .into_array(rows.len())?;
        let after = cast(&after, states.data_type())?;
        let mut choice: Vec<(usize, usize)> = (0..states.len()).map(|row| (0, row)).collect();
        for (place, row) in rows.iter().enumerate() {
            choice[*row] = (1, place);
        }
        states = interleave(&[&states, &after], &choice)?;
    }
    Ok(states)
}
