//! Comparisons between types, as CloudTrail Lake has them.
//!
//! | Written | Means |
//! |---|---|
//! | `eventTime > '2024-05-13 …'` | the text is a timestamp, or the query is wrong |
//! | `sessionCredentialFromConsole = true` | the text `true` (published samples say so) |
//! | `json_extract(…) = 'x'` | an error, as in Trino: JSON's `"x"` is not the text `x` |

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::functions;
use super::types::{is_json, name_of};

#[derive(Debug)]
pub struct ComparisonPlanner;

impl ExprPlanner for ComparisonPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        if !is_comparison(&expr.op) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left, right } = expr;
        let (_, left_field) = left.to_field(schema)?;
        let (_, right_field) = right.to_field(schema)?;
        let is_plain_text =
            |field: &arrow::datatypes::Field| field.data_type().is_string() && !is_json(field);
        if is_json(&left_field) && is_plain_text(&right_field)
            || is_json(&right_field) && is_plain_text(&left_field)
        {
            return plan_err!(
                "Cannot apply operator: {} {op} {}; cast the json, or use json_extract_scalar",
                name_of(&left_field),
                name_of(&right_field)
            );
        }
        let (left_type, right_type) = (left_field.data_type(), right_field.data_type());
        let (left, right) =
            (beside(left, left_type, right_type)?, beside(right, right_type, left_type)?);
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// What `expr` becomes in a comparison with a value of type `other`.
fn beside(expr: Expr, own: &DataType, other: &DataType) -> Result<Expr> {
    match (own, other) {
        (own, DataType::Timestamp(..)) if own.is_string() && is_literal(&expr) => {
            functions::call("cast", vec![expr, lit("timestamp")])
        }
        (own, DataType::Date32) if own.is_string() && is_literal(&expr) => {
            functions::call("cast", vec![expr, lit("date")])
        }
        (DataType::Boolean, other) if other.is_string() => match &expr {
            // The text, so that a file's statistics can still be used.
            Expr::Literal(ScalarValue::Boolean(Some(value)), _) => Ok(lit(value.to_string())),
            _ => functions::call("cast", vec![expr, lit("varchar")]),
        },
        _ => Ok(expr),
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(..))
}
