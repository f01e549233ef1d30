//! From Trino's meaning to DataFusion's, on the syntax tree.
//!
//! Done here, because the planner could not do it afterwards:
//! - result columns are named as Trino names them: by alias, else by the last part of a plain name,
//!   else `_colN`. DataFusion needs distinct names, so a second `arn` is renamed inside; what the
//!   user sees is decided in `plan` from the text as written;
//! - `x.y` on a lambda's parameter or on a call's result is a field, never a table's column;
//! - a join with UNNEST is put in parentheses with everything to its left (see `unnest`);
//! - functions that Trino has and DataFusion spells otherwise (`calls`).

mod calls;

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, Join, JoinConstraint, JoinOperator, LambdaFunction, LimitClause,
    ObjectName, OneOrManyWithParens, OrderByKind, Query, Select, SelectItem, SetExpr, Spanned,
    Subscript, TableFactor, TableWithJoins, Value, VisitMut, VisitorMut, visit_expressions_mut,
};

use super::error::QueryError;

/// How deep calls that double their argument may nest.
const DOUBLING_MAX: usize = 6;

/// Rewrites `query` in place.
pub fn rewrite(query: &mut Query) -> Result<(), QueryError> {
    let mut tables = Tables::default();
    let _ = VisitMut::visit(query, &mut tables);
    let mut rewriter = Rewriter { tables: tables.names, doubling: 0 };
    match VisitMut::visit(query, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `name(args…)`
pub fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args))
}

fn function(name: &str, args: Vec<Expr>) -> Function {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

pub fn text_literal(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

fn number(value: i64) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// Every name that a relation of the query goes by. `name.x` is then a column, not a field.
#[derive(Default)]
struct Tables {
    names: HashSet<String>,
}

impl VisitorMut for Tables {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { name, alias, .. } => {
                if let Some(last) = name.0.last().and_then(|part| part.as_ident()) {
                    self.names.insert(last.value.clone());
                }
                alias
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::NestedJoin { alias, .. } => alias,
            _ => return ControlFlow::Continue(()),
        };
        if let Some(alias) = alias {
            self.names.insert(alias.name.value.clone());
        }
        ControlFlow::Continue(())
    }
}

struct Rewriter {
    tables: HashSet<String>,
    doubling: usize,
}

impl VisitorMut for Rewriter {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        if let SetExpr::Select(select) = query.body.as_mut() {
            name_columns(select, &self.tables);
        }
        order_by_alias(query);
        limit_to_fetch(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        name_columns(select, &self.tables);
        enclose_unnests(&mut select.from);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        self.doubling += usize::from(is_doubling(expr));
        if self.doubling > DOUBLING_MAX {
            return ControlFlow::Break(QueryError::TooDeep { at: expr.span().start.into() });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        self.doubling -= usize::from(is_doubling(expr));
        if let Some(refused) = quantified(expr) {
            return ControlFlow::Break(refused);
        }
        if let Some(replacement) = rewritten(expr).or_else(|| field_of_column(expr, &self.tables)) {
            *expr = replacement;
        }
        ControlFlow::Continue(())
    }
}

/// `x = ANY (SELECT …)` is `x IN (SELECT …)`, `x <> ALL (SELECT …)` is `x NOT IN (SELECT …)`. The
/// other comparisons with a subquery are refused: DataFusion 55.2 answers them wrongly.
fn quantified(expr: &mut Expr) -> Option<QueryError> {
    let (left, op, right, all) = match expr {
        Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, false),
        Expr::AllOp { left, compare_op, right } => (left, compare_op, right, true),
        _ => return None,
    };
    let Expr::Subquery(subquery) = right.as_ref() else { return None };
    let negated = match (op, all) {
        (BinaryOperator::Eq, false) => false,
        (BinaryOperator::NotEq, true) => true,
        (op, _) => {
            let quantifier = if all { "ALL" } else { "ANY" };
            return Some(QueryError::Meaning {
                at: Some(left.span().start.into()),
                message: format!("{op} {quantifier} with a subquery is not supported"),
            });
        }
    };
    let (expr_left, subquery) = (left.clone(), subquery.clone());
    *expr = Expr::InSubquery { expr: expr_left, subquery, negated };
    None
}

fn is_doubling(expr: &Expr) -> bool {
    match expr {
        Expr::Function(function) => calls::DOUBLING.contains(&function.name.to_string().as_str()),
        _ => false,
    }
}

fn rewritten(expr: &mut Expr) -> Option<Expr> {
    match expr {
        Expr::Function(function) => calls::rewritten(function),
        Expr::CompoundFieldAccess { root, access_chain } => {
            Some(field_access(root.as_ref().clone(), std::mem::take(access_chain)))
        }
        Expr::Lambda(lambda) => {
            fields_of_parameters(lambda);
            None
        }
        Expr::TypedString(typed) => {
            let value = typed.value.clone().into_string()?;
            let name = typed.data_type.to_string().to_lowercase();
            Some(match name.as_str() {
                "json" => call("json_parse", vec![text_literal(&value)]),
                _ => call("cast", vec![text_literal(&value), text_literal(&name)]),
            })
        }
        Expr::Extract { field, expr, .. } => {
            Some(call(&field.to_string().to_lowercase(), vec![expr.as_ref().clone()]))
        }
        Expr::Position { expr, r#in } => {
            Some(call("strpos", vec![r#in.as_ref().clone(), expr.as_ref().clone()]))
        }
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let mut args = vec![expr.as_ref().clone()];
            args.extend(substring_from.as_deref().cloned());
            args.extend(substring_for.as_deref().cloned());
            Some(call("substr", args))
        }
        _ => None,
    }
}

/// `table.column.field`: the planner would not find it in the query around a subquery.
fn field_of_column(expr: &Expr, tables: &HashSet<String>) -> Option<Expr> {
    let Expr::CompoundIdentifier(path) = expr else { return None };
    if path.len() < 3 || !tables.contains(&path[0].value) {
        return None;
    }
    let column = Expr::CompoundIdentifier(path[..2].to_vec());
    let root = Expr::Nested(Box::new(column));
    let fields = path[2..].iter().cloned().map(|field| AccessExpr::Dot(Expr::Identifier(field)));
    Some(field_access(root, fields.collect()))
}

/// `root.a[1].b`: leading names are a column's path, all after that are calls.
fn field_access(root: Expr, chain: Vec<AccessExpr>) -> Expr {
    let mut expr = root;
    for access in chain {
        expr = match access {
            AccessExpr::Dot(Expr::Identifier(field)) => match expr {
                Expr::Identifier(first) => Expr::CompoundIdentifier(vec![first, field]),
                Expr::CompoundIdentifier(mut path) => {
                    path.push(field);
                    Expr::CompoundIdentifier(path)
                }
                other => call("get_field", vec![other, text_literal(&field.value)]),
            },
            AccessExpr::Dot(other) => call("get_field", vec![expr, other]),
            AccessExpr::Subscript(Subscript::Index { index }) => {
                call("element_at", vec![expr, index])
            }
            slice @ AccessExpr::Subscript(Subscript::Slice { .. }) => {
                Expr::CompoundFieldAccess { root: Box::new(expr), access_chain: vec![slice] }
            }
        };
    }
    expr
}

/// In `x -> x.a.b`, the planner would look for a table `x`.
fn fields_of_parameters(lambda: &mut LambdaFunction) {
    let parameters: Vec<String> = match &lambda.params {
        OneOrManyWithParens::One(parameter) => vec![parameter.name.value.clone()],
        OneOrManyWithParens::Many(parameters) => {
            parameters.iter().map(|parameter| parameter.name.value.clone()).collect()
        }
    };
    let _ = visit_expressions_mut(&mut lambda.body, |expr| {
        if let Expr::CompoundIdentifier(path) = expr
            && parameters.contains(&path[0].value)
        {
            let fields = path[1..].iter().cloned().map(|f| AccessExpr::Dot(Expr::Identifier(f)));
            // In parentheses, so that the parameter is not taken for the head of a path.
            let root = Expr::Nested(Box::new(Expr::Identifier(path[0].clone())));
            *expr = field_access(root, fields.collect());
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Gives every column of the SELECT the name that Trino gives it.
fn name_columns(select: &mut Select, tables: &HashSet<String>) {
    let mut taken: HashSet<String> = HashSet::new();
    for (position, item) in select.projection.iter_mut().enumerate() {
        match item {
            SelectItem::ExprWithAlias { alias, .. } => {
                alias.value = distinct(&alias.value, position, &mut taken);
            }
            SelectItem::UnnamedExpr(expr) => {
                let name = plain_name(expr).unwrap_or_else(|| format!("_col{position}"));
                let alias = distinct(&name, position, &mut taken);
                if alias == name && is_column(expr, tables) {
                    continue;
                }
                *item = SelectItem::ExprWithAlias {
                    expr: std::mem::replace(expr, Expr::value(Value::Null)),
                    alias: Ident::with_quote('"', alias),
                };
            }
            _ => {}
        }
    }
}

/// The name of a column or of a field in it, which is also the name of the result.
pub fn plain_name(expr: &Expr) -> Option<String> {
    plain_ident(expr).map(|ident| ident.value.clone())
}

/// The identifier that [`plain_name`] reads.
pub fn plain_ident(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(path) => path.last(),
        Expr::CompoundFieldAccess { root, access_chain } if plain_ident(root).is_some() => {
            let mut last = None;
            for access in access_chain {
                let AccessExpr::Dot(Expr::Identifier(field)) = access else { return None };
                last = Some(field);
            }
            last
        }
        _ => None,
    }
}

/// A column that keeps its table's name as long as nothing renames it.
fn is_column(expr: &Expr, tables: &HashSet<String>) -> bool {
    match expr {
        Expr::Identifier(_) => true,
        Expr::CompoundIdentifier(path) => path.len() == 2 && tables.contains(&path[0].value),
        _ => false,
    }
}

fn distinct(name: &str, position: usize, taken: &mut HashSet<String>) -> String {
    let name = if taken.contains(name) { format!("{name}__{position}") } else { name.to_owned() };
    taken.insert(name.clone());
    name
}

/// `ORDER BY` may repeat an expression of the SELECT; with DISTINCT and GROUP BY it must be that
/// very column, so it is named.
fn order_by_alias(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_ref() else { return };
    let Some(order_by) = &mut query.order_by else { return };
    let OrderByKind::Expressions(keys) = &mut order_by.kind else { return };
    let names: HashSet<&str> = select.projection.iter().filter_map(output_name).collect();
    for key in keys {
        let is_output_name =
            matches!(&key.expr, Expr::Identifier(name) if names.contains(name.value.as_str()));
        if is_output_name {
            continue;
        }
        let same = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if *expr == key.expr => Some(alias),
            _ => None,
        });
        if let Some(alias) = same {
            key.expr = Expr::Identifier(alias.clone());
        }
    }
}

/// `FETCH FIRST n ROWS ONLY` is `LIMIT n`; with ties it is not, and the planner refuses it.
fn limit_to_fetch(query: &mut Query) {
    let plain = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent);
    let Some(fetch) = plain else { return };
    let quantity = fetch.quantity.unwrap_or_else(|| number(1));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = Some(quantity),
        clause => {
            *clause = Some(LimitClause::LimitOffset {
                limit: Some(quantity),
                offset: None,
                limit_by: Vec::new(),
            });
        }
    }
}

fn output_name(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(expr) => plain_ident(expr).map(|ident| ident.value.as_str()),
        _ => None,
    }
}

/// `a, b CROSS JOIN UNNEST(x)` becomes `(b CROSS JOIN UNNEST(x))`, and a comma before UNNEST a
/// cross join.
fn enclose_unnests(from: &mut Vec<TableWithJoins>) {
    let mut enclosed: Vec<TableWithJoins> = Vec::new();
    for tables in from.drain(..) {
        let is_unnest = matches!(tables.relation, TableFactor::UNNEST { .. });
        let mut joins = Vec::new();
        let mut current = match (is_unnest, enclosed.pop()) {
            (true, Some(left)) => {
                joins.push(cross_join(tables.relation));
                left
            }
            (_, before) => {
                enclosed.extend(before);
                TableWithJoins { relation: tables.relation, joins: Vec::new() }
            }
        };
        joins.extend(tables.joins);
        for join in joins {
            let is_unnest = matches!(join.relation, TableFactor::UNNEST { .. });
            if is_unnest {
                let inner = TableWithJoins { relation: as_factor(current), joins: vec![join] };
                current = TableWithJoins { relation: nested(inner), joins: Vec::new() };
            } else {
                current.joins.push(join);
            }
        }
        enclosed.push(current);
    }
    *from = enclosed;
}

fn cross_join(relation: TableFactor) -> Join {
    Join { relation, global: false, join_operator: JoinOperator::CrossJoin(JoinConstraint::None) }
}

fn as_factor(tables: TableWithJoins) -> TableFactor {
    if tables.joins.is_empty() { tables.relation } else { nested(tables) }
}

fn nested(tables: TableWithJoins) -> TableFactor {
    TableFactor::NestedJoin { table_with_joins: Box::new(tables), alias: None }
}
