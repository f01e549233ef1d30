//! Counting by group without looking at every value.
//!
//! ```text
//!   SELECT a, f(b), count(*) FROM events WHERE p(c) GROUP BY 1, 2
//!
//!   column b of a row group:   dictionary  x  y  z  null        codes  0 2 2 0 1 …   one for each row
//!   f, once for each value:                10 10 7  null   ──▶  groups 0 1 1 0 0 …
//!   counts[group of a][group of f(b)] += 1, where p of c's code holds
//! ```
//! Columns of files are dictionary-encoded, and most questions about them are about few distinct
//! values. So an expression of one column is evaluated for its distinct values only, and rows are
//! counted by their codes. [`CountGroups`] finds the plans for which that will do, and leaves all
//! others alone; what it leaves is answered by DataFusion's own operators with the same result.

pub mod codes;
mod counted;
mod merge;
mod merged;
mod scan;
mod term;
mod times;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, Projection, col, lit,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use datafusion::scalar::ScalarValue;

pub use merge::merging;
use scan::Groups;
pub use scan::files_of;
pub use term::Term;

use crate::scan::Events;

const TABLE: &str = "cairn_groups";
const COUNT: &str = "cairn_count";
/// So that the number of a combination fits in 128 bits.
const GROUPS_MAX: usize = 6;

/// Puts [`Groups`] in the place of a table that is only counted by group.
#[derive(Debug, Default)]
pub struct CountGroups;

impl OptimizerRule for CountGroups {
    fn name(&self) -> &'static str {
        "cairn_count_groups"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match counted(aggregate)? {
            Some(counted) => Ok(Transformed::yes(counted)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

/// The plan that gives the same as `aggregate`, if its groups can be counted by codes.
fn counted(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let only_counts = aggregate.aggr_expr.iter().all(is_count_of_rows);
    // Without either, all that is wanted is how many rows there are: files say that.
    let is_worthwhile = !aggregate.group_expr.is_empty()
        || matches!(aggregate.input.as_ref(), LogicalPlan::Filter(_));
    if !only_counts || !is_worthwhile || aggregate.group_expr.len() > GROUPS_MAX {
        return Ok(None);
    }
    let (mut groups, mut filters) = (aggregate.group_expr.clone(), Vec::new());
    let mut input = aggregate.input.as_ref();
    let scan = loop {
        match input {
            LogicalPlan::Filter(filter) => {
                filters.extend(split_conjunction_owned(filter.predicate.clone()));
                input = &filter.input;
            }
            LogicalPlan::SubqueryAlias(alias) => input = &alias.input,
            LogicalPlan::Projection(projection) => {
                for expr in groups.iter_mut().chain(&mut filters) {
                    *expr = before(std::mem::take(expr), projection)?;
                }
                input = &projection.input;
            }
            LogicalPlan::TableScan(scan) => break scan,
            _ => return Ok(None),
        }
    };
    if scan.fetch.is_some() {
        return Ok(None);
    }
    let provider = source_as_provider(&scan.source)?;
    let provider: &dyn std::any::Any = provider.as_ref();
    let Some(events) = provider.downcast_ref::<Events>() else { return Ok(None) };
    // What was pushed down and is exact would be in the scan only; ours are all repeated above it.
    let columns = events.stored();
    let terms = |exprs: &[Expr]| -> Result<Option<Vec<Term>>> {
        exprs.iter().map(|expr| Term::of(expr, columns)).collect()
    };
    let (Some(groups), Some(wanted)) = (terms(&groups)?, terms(&filters)?) else {
        return Ok(None);
    };
    if !groups.iter().all(Term::can_be_grouped) {
        return Ok(None);
    }
    let groups = Groups::new(events, groups, wanted, &filters, !aggregate.aggr_expr.is_empty())?;
    let names: Vec<String> = groups.names().map(str::to_owned).collect();
    let table = provider_as_source(Arc::new(groups));
    let counts = LogicalPlanBuilder::scan(TABLE, table, None)?.aggregate(
        names[..names.len() - 1].iter().map(|name| col(format!("{TABLE}.{name}"))),
        match aggregate.aggr_expr.is_empty() {
            true => vec![],
            false => vec![sum(col(format!("{TABLE}.{COUNT}"))).alias(COUNT)],
        },
    )?;
    // The names that the plan above knows the columns by.
    let exprs = as_named(&aggregate.schema, &names, aggregate.group_expr.len());
    Ok(Some(counts.project(exprs)?.build()?))
}

/// The expression over a projection's result as one over its input.
fn before(expr: Expr, projection: &Projection) -> Result<Expr> {
    let replaced = expr.transform_up(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        match projection.schema.maybe_index_of_column(column) {
            Some(place) => {
                Ok(Transformed::yes(projection.expr[place].clone().unalias_nested().data))
            }
            None => Ok(Transformed::no(expr)),
        }
    })?;
    Ok(replaced.data)
}

fn as_named(schema: &DFSchema, names: &[String], groups: usize) -> Vec<Expr> {
    let named = schema.iter().enumerate().map(|(place, (qualifier, field))| {
        let expr = match names.get(place).filter(|_| place < groups) {
            Some(name) => col(format!("{TABLE}.{name}")),
            None => datafusion::functions::core::expr_fn::coalesce(vec![col(COUNT), lit(0_i64)]),
        };
        expr.alias_qualified(qualifier.cloned(), field.name())
    });
    named.collect()
}

/// `count(*)`, which is `count(1)`.
fn is_count_of_rows(expr: &Expr) -> bool {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return false };
    let counts_rows = match params.args.as_slice() {
        [Expr::Literal(value, _)] => !matches!(value, ScalarValue::Null) && !value.is_null(),
        _ => false,
    };
    func.name() == "count"
        && counts_rows
        && !params.distinct
        && params.filter.is_none()
        && params.order_by.is_empty()
}
