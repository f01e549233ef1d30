//! Trino's functions that become other functions, one arm each.
//!
//! A function that only has another name in DataFusion is in [`RENAMED`]; one that needs another
//! shape has an arm in [`rewritten`]. Functions with the same name and meaning are not here.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Array, BinaryOperator, CaseWhen, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArguments, LambdaFunction, NullTreatment, OrderByExpr,
    OrderByOptions, UnaryOperator, Value, visit_expressions_mut,
};

use super::{call, number, text_literal};
use crate::sql::functions::has_lenient_form;

/// Trino's name, DataFusion's name. Same arguments, same meaning.
const RENAMED: &[(&str, &str)] = &[
    ("any_match", "array_any_match"),
    ("array_remove", "array_remove_all"),
    ("arrays_overlap", "array_has_any"),
    ("bool_xor", "bit_xor"),
    ("ceiling", "ceil"),
    ("contains", "array_has"),
    ("every", "bool_and"),
    ("filter", "array_filter"),
    ("array_join", "array_to_string"),
    ("is_nan", "isnan"),
    ("levenshtein_distance", "levenshtein"),
    ("pow", "power"),
    ("rand", "random"),
    ("row", "struct"),
    ("sign", "signum"),
    ("transform", "array_transform"),
    ("truncate", "trunc"),
    ("variance", "var_samp"),
];

/// Functions whose argument appears twice in what they become. Nested, they double each time, so
/// their nesting is bounded.
pub const DOUBLING: &[&str] = &["max_by", "min_by"];

/// What `function` becomes, if it is not what DataFusion calls it.
pub fn rewritten(function: &mut Function) -> Option<Expr> {
    let [part] = function.name.0.as_slice() else { return None };
    let name = part.as_ident()?.value.clone();
    let args = positional(function)?;
    let replacement = match (name.as_str(), args.as_slice()) {
        ("if", [condition, then]) => case(condition, then, None),
        ("if", [condition, then, otherwise]) => case(condition, then, Some(otherwise)),
        ("try", [value]) => lenient(value),
        ("date", [value]) => call("cast", vec![value.clone(), text_literal("date")]),
        ("now" | "current_timestamp" | "localtimestamp", _) => now_as("timestamp"),
        ("current_date", _) => now_as("date"),
        ("replace", [text, search]) => {
            call("replace", vec![text.clone(), search.clone(), text_literal("")])
        }
        ("concat", [first, second, rest @ ..]) => {
            let both = concatenated(first.clone(), second.clone());
            rest.iter().cloned().fold(both, concatenated)
        }
        ("greatest" | "least", [_, ..]) => call(&format!("{name}_of"), vec![array(args)]),
        ("mod", [a, b]) => binary(a, BinaryOperator::Modulo, b),
        ("bitwise_and", [a, b]) => binary(a, BinaryOperator::BitwiseAnd, b),
        ("bitwise_or", [a, b]) => binary(a, BinaryOperator::BitwiseOr, b),
        ("bitwise_xor", [a, b]) => binary(a, BinaryOperator::BitwiseXor, b),
        ("e", []) => call("exp", vec![number(1)]),
        ("all_match", [array, Expr::Lambda(lambda)]) => {
            not(call("array_any_match", vec![array.clone(), Expr::Lambda(negated(lambda))]))
        }
        ("none_match", [array, lambda]) => {
            not(call("array_any_match", vec![array.clone(), lambda.clone()]))
        }
        ("array_sort", [array]) => {
            call("array_sort", vec![array.clone(), text_literal("ASC"), text_literal("NULLS LAST")])
        }
        ("count_if", [condition]) => {
            let counted = case(condition, &number(1), None);
            with_args(function, "count", vec![counted])
        }
        ("approx_distinct", [value, _]) => {
            with_args(function, "approx_distinct", vec![value.clone()])
        }
        ("approx_percentile", [_, _]) => renamed(function, "approx_percentile_cont"),
        ("arbitrary" | "any_value", [value]) => {
            let Expr::Function(mut first) = with_args(function, "first_value", vec![value.clone()])
            else {
                return None;
            };
            first.null_treatment = Some(NullTreatment::IgnoreNulls);
            Expr::Function(first)
        }
        ("max_by", [value, key]) => first_by(function, value, key, false),
        ("min_by", [value, key]) => first_by(function, value, key, true),
        ("max_by", [value, key, n]) => first_n_by(function, value, key, n, false),
        ("min_by", [value, key, n]) => first_n_by(function, value, key, n, true),
        ("map", [_, _]) => renamed(function, "map_of_pairs"),
        ("map_agg", [key, value]) => {
            let keys = with_args(function, "array_agg", vec![key.clone()]);
            let values = with_args(function, "array_agg", vec![value.clone()]);
            call("map_of_pairs", vec![keys, values])
        }
        ("histogram", [value]) => {
            call("histogram_of", vec![with_args(function, "array_agg", vec![value.clone()])])
        }
        ("listagg", [_, ..]) => listagg(function, &args),
        _ => {
            let (_, target) = RENAMED.iter().find(|(trino, _)| *trino == name)?;
            renamed(function, target)
        }
    };
    Some(replacement)
}

/// The arguments, if all are plain expressions. `count(*)` is none of our business.
fn positional(function: &Function) -> Option<Vec<Expr>> {
    match &function.args {
        FunctionArguments::None => Some(Vec::new()),
        FunctionArguments::Subquery(_) => None,
        FunctionArguments::List(list) => list
            .args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            })
            .collect(),
    }
}

/// The same call (DISTINCT, ORDER BY, FILTER and OVER included) under another name.
fn renamed(function: &Function, name: &str) -> Expr {
    let mut renamed = function.clone();
    renamed.name = super::function(name, Vec::new()).name;
    Expr::Function(renamed)
}

fn with_args(function: &Function, name: &str, args: Vec<Expr>) -> Expr {
    let Expr::Function(mut renamed) = renamed(function, name) else {
        return Expr::value(Value::Null);
    };
    if let FunctionArguments::List(list) = &mut renamed.args {
        let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
        list.args = args.collect();
    }
    Expr::Function(renamed)
}

/// The aggregate over those rows only, beside the filter it has.
fn filtered(aggregate: Expr, condition: Expr) -> Expr {
    let Expr::Function(mut function) = aggregate else { return aggregate };
    let both = match function.filter.take() {
        Some(given) => binary(&nested(&given), BinaryOperator::And, &condition),
        None => condition,
    };
    function.filter = Some(Box::new(both));
    Expr::Function(function)
}

fn ordered(aggregate: Expr, key: &Expr, ascending: bool) -> Expr {
    let Expr::Function(mut function) = aggregate else { return aggregate };
    if let FunctionArguments::List(list) = &mut function.args {
        list.clauses.push(FunctionArgumentClause::OrderBy(vec![OrderByExpr {
            expr: key.clone(),
            options: OrderByOptions { asc: Some(ascending), nulls_first: Some(false) },
            with_fill: None,
        }]));
    }
    Expr::Function(function)
}

/// `max_by(value, key)`: the value of the row with the greatest key; rows without key do not count.
fn first_by(function: &Function, value: &Expr, key: &Expr, ascending: bool) -> Expr {
    let first = with_args(function, "first_value", vec![value.clone()]);
    filtered(ordered(first, key, ascending), not_null(key))
}

fn first_n_by(function: &Function, value: &Expr, key: &Expr, n: &Expr, ascending: bool) -> Expr {
    let all = with_args(function, "array_agg", vec![value.clone()]);
    let all = filtered(ordered(all, key, ascending), not_null(key));
    call("slice", vec![all, number(1), n.clone()])
}

/// `listagg(x, ',') WITHIN GROUP (ORDER BY y)`
fn listagg(function: &Function, args: &[Expr]) -> Expr {
    let separator = args.get(1).cloned().unwrap_or_else(|| text_literal(""));
    let mut plain = function.clone();
    let within = std::mem::take(&mut plain.within_group);
    let joined = with_args(&plain, "string_agg", vec![args[0].clone(), separator]);
    let Expr::Function(mut joined) = joined else { return joined };
    if let FunctionArguments::List(list) = &mut joined.args
        && !within.is_empty()
    {
        list.clauses.push(FunctionArgumentClause::OrderBy(within));
    }
    Expr::Function(joined)
}

fn now_as(target: &str) -> Expr {
    call("cast", vec![call("now", Vec::new()), text_literal(target)])
}

fn array(elements: Vec<Expr>) -> Expr {
    Expr::Array(Array { elem: elements, named: true })
}

/// `try(x)`: every step of `x` that can fail gives NULL instead.
fn lenient(value: &Expr) -> Expr {
    let mut value = value.clone();
    let _ = visit_expressions_mut(&mut value, |expr| {
        match expr {
            Expr::Function(function) => make_lenient(function),
            Expr::BinaryOp {
                op: BinaryOperator::Divide | BinaryOperator::Modulo, right, ..
            } => {
                **right = call("nullif", vec![right.as_ref().clone(), number(0)]);
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
    nested(&value)
}

fn make_lenient(function: &mut Function) {
    let [part] = function.name.0.as_slice() else { return };
    let Some(ident) = part.as_ident() else { return };
    if has_lenient_form(&ident.value) {
        function.name = super::function(&format!("try_{}", ident.value), Vec::new()).name;
    }
}

fn case(condition: &Expr, then: &Expr, otherwise: Option<&Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition: condition.clone(), result: then.clone() }],
        else_result: otherwise.map(|expr| Box::new(expr.clone())),
    }
}

fn binary(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left.clone()), op, right: Box::new(right.clone()) }
}

fn concatenated(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::StringConcat,
        right: Box::new(right),
    }
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(nested(&expr)) }
}

fn not_null(expr: &Expr) -> Expr {
    Expr::IsNotNull(Box::new(nested(expr)))
}

fn nested(expr: &Expr) -> Expr {
    Expr::Nested(Box::new(expr.clone()))
}

fn negated(lambda: &LambdaFunction) -> LambdaFunction {
    LambdaFunction { body: Box::new(not(lambda.body.as_ref().clone())), ..lambda.clone() }
}
