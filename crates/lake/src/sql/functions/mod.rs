//! The functions a query may call: DataFusion's where they mean what Trino's mean, ours otherwise.
//!
//! Nothing is there by default; a name that is in none of these tables does not exist. To add a
//! function: an entry in [`OURS`]' tables, or its name in one of the lists; if Trino spells it
//! otherwise than DataFusion, a line in `rewrite::calls`.

mod cast;
mod collections;
mod growing;
mod json;
mod lambdas;
mod regex;
mod scalar;
mod strings;
mod times;

use std::sync::{Arc, LazyLock};

use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, WindowUDF};

use scalar::{Definition, Scalar};

/// Our own, by file.
const OURS: &[&[Definition]] = &[
    cast::FUNCTIONS,
    collections::FUNCTIONS,
    growing::FUNCTIONS,
    json::FUNCTIONS,
    regex::FUNCTIONS,
    strings::FUNCTIONS,
    times::FUNCTIONS,
];

/// DataFusion's scalar functions with Trino's meaning. `get_field`, `array_…` and the like are what
/// `rewrite` and the planner write.
#[rustfmt::skip]
const SCALARS: &[&str] = &[
    "abs", "acos", "array_concat", "array_distinct", "array_element", "array_except", "array_has",
    "array_has_any", "array_intersect", "array_max", "array_min", "array_remove_all",
    "array_slice", "array_sort", "array_to_string", "array_union", "asin", "atan",
    "atan2", "btrim", "cbrt", "ceil", "character_length", "chr", "coalesce", "concat_ws", "cos",
    "cosh", "date_part", "decode", "degrees", "encode", "exp", "flatten", "floor",
    "get_field", "isnan", "levenshtein", "ln", "log", "log10", "log2", "lower",
    "ltrim", "make_array", "map_entries", "md5", "now", "nullif", "pi", "power",
    "radians", "random", "replace", "round", "rtrim", "sha256", "sha512", "signum", "sin",
    "sinh", "sqrt", "starts_with", "struct", "tan", "tanh", "translate", "trunc", "upper", "uuid",
];

#[rustfmt::skip]
const AGGREGATES: &[&str] = &[
    "approx_distinct", "approx_percentile_cont", "array_agg", "avg", "bit_and", "bit_or",
    "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp", "first_value",
    "grouping", "last_value", "max", "min", "nth_value", "regr_intercept", "regr_slope", "stddev",
    "stddev_pop", "string_agg", "sum", "var", "var_pop",
];

#[rustfmt::skip]
const WINDOWS: &[&str] = &[
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile",
    "percent_rank", "rank", "row_number",
];

const LAMBDAS: &[&str] = &["array_any_match", "array_filter", "array_transform"];

pub fn scalars() -> Vec<Arc<ScalarUDF>> {
    // Making them costs more than many a query.
    static ALL: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(all_scalars);
    ALL.clone()
}

fn all_scalars() -> Vec<Arc<ScalarUDF>> {
    let theirs = datafusion::functions::all_default_functions()
        .into_iter()
        .chain(datafusion::functions_nested::all_default_nested_functions())
        .filter(|function| SCALARS.contains(&function.name()));
    let ours = OURS.iter().copied().flatten().flat_map(|definition| {
        [false, true].map(|lenient| Arc::new(ScalarUDF::from(Scalar::new(definition, lenient))))
    });
    theirs.chain(ours).collect()
}

pub fn aggregates() -> Vec<Arc<AggregateUDF>> {
    let all = datafusion::functions_aggregate::all_default_aggregate_functions();
    all.into_iter().filter(|function| AGGREGATES.contains(&function.name())).collect()
}

pub fn windows() -> Vec<Arc<WindowUDF>> {
    let all = datafusion::functions_window::all_default_window_functions();
    all.into_iter().filter(|function| WINDOWS.contains(&function.name())).collect()
}

pub fn lambdas() -> Vec<Arc<HigherOrderUDF>> {
    static ALL: LazyLock<Vec<Arc<HigherOrderUDF>>> = LazyLock::new(all_lambdas);
    ALL.clone()
}

fn all_lambdas() -> Vec<Arc<HigherOrderUDF>> {
    let theirs = datafusion::functions_nested::all_default_higher_order_functions()
        .into_iter()
        .filter(|function| LAMBDAS.contains(&function.name()));
    theirs.chain(lambdas::all()).collect()
}

fn definition(name: &str) -> Option<&'static Definition> {
    OURS.iter().copied().flatten().find(|definition| definition.name == name)
}

/// Whether the function has a form that gives NULL where it would fail (`try_…`).
pub fn has_lenient_form(name: &str) -> bool {
    definition(name).is_some()
}

/// One of our own functions, called.
pub fn call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match definition(name) {
        Some(definition) => Ok(ScalarUDF::from(Scalar::new(definition, false)).call(args)),
        None => plan_err!("there is no function {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_in_the_lists_is_a_function_of_datafusion() {
        let missing = |wanted: &[&str], found: HashSet<String>| {
            let names: Vec<_> = wanted.iter().filter(|name| !found.contains(**name)).collect();
            assert!(names.is_empty(), "{names:?}");
        };
        missing(SCALARS, scalars().iter().map(|f| f.name().to_owned()).collect());
        missing(AGGREGATES, aggregates().iter().map(|f| f.name().to_owned()).collect());
        missing(WINDOWS, windows().iter().map(|f| f.name().to_owned()).collect());
        missing(LAMBDAS, lambdas().iter().map(|f| f.name().to_owned()).collect());
    }

    #[test]
    fn no_name_means_two_functions() {
        let mut seen = HashSet::new();
        for function in scalars() {
            assert!(seen.insert(function.name().to_owned()), "{}", function.name());
        }
    }
}
