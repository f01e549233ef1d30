//! `UNNEST` as Trino has it: lateral, over arrays, arrays of rows and maps, with an ordinal.
//!
//! `rewrite` has put each join with UNNEST in parentheses, so that one relation holds exactly the
//! left side and the UNNEST. Planned as
//!
//! ```text
//!   project  left columns, expressions AS __unnest_0, __unnest_1 …      (a map is two lists)
//!   unnest   __unnest_0, __unnest_1 …                                   side by side, padded with NULL
//!   project  left columns, __unnest_0 AS t.c …                          (a row may be spread)
//! ```

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, NullHandling, Result, TableReference, UnnestOptions};
use datafusion::common::{plan_err, tree_node::TreeNode};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    JoinConstraint, JoinOperator, TableAlias, TableFactor, TableWithJoins,
};

use super::functions;

#[derive(Debug)]
pub struct UnnestPlanner;

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let plan = match relation {
            TableFactor::NestedJoin { table_with_joins, alias: None }
                if is_unnest_join(&table_with_joins) =>
            {
                plan_join(*table_with_joins, context)?
            }
            unnest @ TableFactor::UNNEST { .. } => {
                let nothing = LogicalPlanBuilder::empty(true).build()?;
                plan_unnest(nothing, unnest, NullHandling::Drop, context)?
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

fn is_unnest_join(tables: &TableWithJoins) -> bool {
    matches!(tables.joins.as_slice(), [join] if matches!(join.relation, TableFactor::UNNEST { .. }))
}

fn plan_join(
    mut tables: TableWithJoins,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Some(join) = tables.joins.pop() else { return plan_err!("UNNEST without a join") };
    let left = context.plan(tables.relation)?;
    let nulls = match &join.join_operator {
        JoinOperator::CrossJoin(_) => NullHandling::Drop,
        JoinOperator::Join(on) | JoinOperator::Inner(on) if is_true(on) => NullHandling::Drop,
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) if is_true(on) => {
            NullHandling::PreserveAndExpandEmpty
        }
        // Trino: "UNNEST on other than the right side of CROSS JOIN is not supported", and a LEFT
        // JOIN only ON TRUE.
        _ => return plan_err!("UNNEST can be joined with CROSS JOIN or LEFT JOIN … ON TRUE only"),
    };
    plan_unnest(left, join.relation, nulls, context)
}

fn is_true(constraint: &JoinConstraint) -> bool {
    match constraint {
        JoinConstraint::On(condition) => condition.to_string() == "true",
        _ => false,
    }
}

/// One column of UNNEST's output before it is named.
struct Piece {
    expr: Expr,
    /// The fields of an array's rows.
    row_fields: Option<Vec<String>>,
}

fn plan_unnest(
    left: LogicalPlan,
    unnest: TableFactor,
    null_handling: NullHandling,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = unnest else {
        return plan_err!("not an UNNEST");
    };
    let schema = left.schema().as_ref().clone();
    let mut pieces = Vec::new();
    let mut longest = Vec::new();
    for array in array_exprs {
        let expr = context.sql_to_expr(array, &schema)?;
        longest.push(functions::call("cardinality", vec![expr.clone()])?);
        pieces.extend(pieces_of(expr, &schema)?);
    }
    if with_ordinality {
        let expr = functions::call("ordinals", longest)?;
        pieces.push(Piece { expr, row_fields: None });
    }

    let kept: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let hidden: Vec<String> = (0..pieces.len()).map(|i| format!("__unnest_{i}")).collect();
    let mut projected = kept.clone();
    for (piece, name) in pieces.iter().zip(&hidden) {
        projected.push(piece.expr.clone().alias(name.as_str()));
    }
    let columns = hidden.iter().map(Column::new_unqualified).collect();
    let options = UnnestOptions { null_handling, recursions: Vec::new() };
    let unnested = LogicalPlanBuilder::from(left)
        .project(projected)?
        .unnest_columns_with_options(columns, options)?;

    let mut output = kept;
    output.extend(named(&pieces, &hidden, alias.as_ref(), context)?);
    unnested.project(output)?.build()
}

fn pieces_of(expr: Expr, schema: &DFSchema) -> Result<Vec<Piece>> {
    if expr.exists(|part| Ok(matches!(part, Expr::AggregateFunction(_))))? {
        return plan_err!("UNNEST cannot contain an aggregate function");
    }
    match expr.get_type(schema)? {
        DataType::Map(..) => Ok(vec![
            Piece { expr: functions::call("map_keys", vec![expr.clone()])?, row_fields: None },
            Piece { expr: functions::call("map_values", vec![expr])?, row_fields: None },
        ]),
        DataType::List(element) | DataType::LargeList(element) => {
            let row_fields = match element.data_type() {
                DataType::Struct(fields) => {
                    Some(fields.iter().map(|field| field.name().clone()).collect())
                }
                _ => None,
            };
            Ok(vec![Piece { expr, row_fields }])
        }
        other => plan_err!("Cannot unnest type: {other}"),
    }
}

/// The output columns under the names of the alias. Trino spreads an array of rows into one column
/// per field; AWS's own examples name such a row as a whole (`AS t(item)`, then `item.field`).
/// The number of names tells which is meant.
fn named(
    pieces: &[Piece],
    hidden: &[String],
    alias: Option<&TableAlias>,
    context: &dyn RelationPlannerContext,
) -> Result<Vec<Expr>> {
    let table =
        alias.map(|alias| TableReference::bare(context.normalize_ident(alias.name.clone())));
    let given: Vec<String> = alias
        .iter()
        .flat_map(|alias| &alias.columns)
        .map(|column| context.normalize_ident(column.name.clone()))
        .collect();
    let spread = given.len() != pieces.len();
    let mut output: Vec<(Expr, String)> = Vec::new();
    for (piece, column) in pieces.iter().zip(hidden) {
        let whole = Expr::Column(Column::new_unqualified(column));
        match &piece.row_fields {
            Some(fields) if spread => {
                for field in fields {
                    output.push((get_field(whole.clone(), field.as_str()), field.clone()));
                }
            }
            _ => output.push((whole, format!("_col{}", output.len()))),
        }
    }
    if !given.is_empty() && given.len() != output.len() {
        return plan_err!(
            "Column alias list has {} entries but relation has {} columns",
            given.len(),
            output.len()
        );
    }
    let names = output.into_iter().enumerate().map(|(i, (expr, default))| {
        let name = given.get(i).cloned().unwrap_or(default);
        expr.alias_qualified(table.clone(), name)
    });
    Ok(names.collect())
}
