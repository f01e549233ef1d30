//! The steps of a query, and what a prepared one holds.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Select, SelectItem, SetExpr, Spanned, Visit, Visitor,
};

use super::error::{Position, QueryError};
use super::{dialect, rewrite, tokens};

/// AWS: a QueryStatement has at most 10,000 characters.
pub const CHARACTERS_MAX: usize = 10_000;

/// How many relations a query may come to, each use of a `WITH` counted with all that it reads: a
/// WITH that is read twice by a WITH that is read twice … doubles each time.
const RELATIONS_MAX: usize = 256;

/// A store that the query reads, under the name it is given there, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub name: String,
    pub at: Position,
}

/// A query that is well formed. Whether its columns exist is not known yet.
#[derive(Debug)]
pub struct Parsed {
    query: Query,
    names: Vec<Name>,
    stores: Vec<Store>,
}

/// A query that can run.
#[derive(Debug)]
pub struct Prepared {
    pub plan: LogicalPlan,
    /// The name of each column of the result. They need not be distinct.
    pub columns: Vec<String>,
}

/// How a column of the result is named: as written, or by its place.
#[derive(Debug, Clone)]
enum Name {
    Written(String),
    Unnamed,
    /// As many columns as the tables have, under their own names.
    Wildcard,
}

/// Reads `text`; `parameters` take the place of `'?'` in a dashboard's statement.
pub fn parse(text: &str, parameters: &[String]) -> Result<Parsed, QueryError> {
    let characters = text.chars().count();
    if characters > CHARACTERS_MAX {
        return Err(QueryError::TooLong { characters, limit: CHARACTERS_MAX });
    }
    let tokens = tokens::tokenize(text, parameters)?;
    let mut query = dialect::parse(tokens.tokens)?;
    let names = first_select(&query.body).map_or_else(Vec::new, |s| names(s, &tokens.written));
    let stores = stores(&query)?;
    rewrite::rewrite(&mut query)?;
    Ok(Parsed { query, names, stores })
}

impl Parsed {
    /// The stores that must be found before the query can be planned, each once.
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// Plans the query in `session`, which gets the tables of [`Parsed::stores`]: `find` answers
    /// for each name.
    pub async fn plan(
        self,
        session: &SessionContext,
        find: impl Fn(&str) -> Option<Arc<dyn TableProvider>>,
    ) -> Result<Prepared, QueryError> {
        for store in &self.stores {
            let Some(table) = find(&store.name) else {
                return Err(QueryError::UnknownStore { at: store.at, name: store.name.clone() });
            };
            session
                .register_table(TableReference::bare(store.name.as_str()), table)
                .map_err(|error| QueryError::from_planning(&error))?;
        }
        let statement = Statement::Statement(Box::new(dialect::statement(self.query)));
        let plan = session.state().statement_to_plan(statement).await;
        let plan = plan.map_err(|error| QueryError::from_planning(&error))?;
        let columns = columns(&self.names, &plan);
        Ok(Prepared { plan, columns })
    }
}

/// The SELECT that names the columns of the result: a union's first.
fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn names(select: &Select, written: &HashMap<Position, String>) -> Vec<Name> {
    let as_written = |ident: &datafusion::sql::sqlparser::ast::Ident| {
        let original = written.get(&Position::from(ident.span.start));
        Name::Written(original.unwrap_or(&ident.value).clone())
    };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => as_written(alias),
        SelectItem::UnnamedExpr(expr) => {
            rewrite::plain_ident(expr).map_or(Name::Unnamed, as_written)
        }
        _ => Name::Wildcard,
    };
    select.projection.iter().map(name).collect()
}

/// One wildcard may stand among the names; it takes the columns that the others leave.
fn columns(names: &[Name], plan: &LogicalPlan) -> Vec<String> {
    let fields: Vec<&String> = plan.schema().fields().iter().map(|field| field.name()).collect();
    let wildcards = names.iter().filter(|name| matches!(name, Name::Wildcard)).count();
    let spread = (fields.len() + wildcards).checked_sub(names.len());
    let (Some(spread), 0 | 1) = (spread, wildcards) else {
        return fields.into_iter().cloned().collect();
    };
    let mut columns: Vec<String> = Vec::with_capacity(fields.len());
    for name in names {
        match name {
            Name::Written(name) => columns.push(name.clone()),
            Name::Unnamed => columns.push(format!("_col{}", columns.len())),
            Name::Wildcard => {
                let from = columns.len();
                columns.extend(fields.iter().skip(from).take(spread).map(|name| (*name).clone()));
            }
        }
    }
    // VALUES and the like name nothing.
    columns.extend((columns.len()..fields.len()).map(|i| format!("_col{i}")));
    columns
}

/// Every relation that is not one of the query's own (`WITH`).
fn stores(query: &Query) -> Result<Vec<Store>, QueryError> {
    let mut relations = Relations::default();
    if let ControlFlow::Break(error) = query.visit(&mut relations) {
        return Err(error);
    }
    let mut seen = HashSet::new();
    let Relations { mut found, own, .. } = relations;
    found.retain(|store| !own.contains(&store.name) && seen.insert(store.name.clone()));
    Ok(found)
}

#[derive(Default)]
struct Relations {
    found: Vec<Store>,
    own: HashSet<String>,
    /// How many relations each of the query's own comes to: a plan holds it once for each use.
    weights: HashMap<String, usize>,
    planned: usize,
}

impl Relations {
    fn weight(&self, name: &str) -> usize {
        self.weights.get(name).copied().unwrap_or(1)
    }
}

/// The names of all relations in a query.
#[derive(Default)]
struct Names(Vec<String>);

impl Visitor for Names {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.0.push(store_name(relation));
        ControlFlow::Continue(())
    }
}

fn store_name(relation: &ObjectName) -> String {
    let parts = relation.0.iter().filter_map(|part| part.as_ident());
    parts.map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".")
}

impl Visitor for Relations {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let mut names = Names::default();
            let _ = cte.query.visit(&mut names);
            let weight =
                names.0.iter().map(|name| self.weight(name)).fold(0, usize::saturating_add);
            let name = cte.alias.name.value.clone();
            self.weights.insert(name.clone(), weight.max(1));
            self.own.insert(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryError> {
        let at = Position::from(relation.span().start);
        let reserved = relation
            .0
            .iter()
            .filter_map(|part| part.as_ident())
            .find(|ident| ident.quote_style.is_none() && dialect::is_reserved(&ident.value));
        // sqlparser takes the second word of `FROM FROM x` for a table.
        if let Some(word) = reserved {
            return ControlFlow::Break(QueryError::Syntax {
                at,
                message: format!("unexpected {word}"),
            });
        }
        let name = store_name(relation);
        self.planned = self.planned.saturating_add(self.weight(&name));
        if self.planned > RELATIONS_MAX {
            let message = format!("the query reads more than {RELATIONS_MAX} relations");
            return ControlFlow::Break(QueryError::Meaning { at: Some(at), message });
        }
        self.found.push(Store { name, at });
        ControlFlow::Continue(())
    }
}
