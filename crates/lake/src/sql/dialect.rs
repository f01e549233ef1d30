//! Trino's grammar, as far as SELECT needs it.
//!
//! The grammar is sqlparser's; this says which of its options Trino has, and parses what it has no
//! option for: casts, whose types (`map(varchar, json)`, `row(a bigint)`) are Trino's own.
//!
//! A cast becomes a call, `cast(x, 'type')`: its meaning depends on the type of `x`, which only the
//! planner knows.

use std::any::TypeId;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Spanned, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::{Dialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::error::{Position, QueryError};
use super::rewrite::{call, text_literal};
use super::types;

/// How deep parentheses, calls and subqueries may nest.
const DEPTH_MAX: usize = 64;

/// Words that name nothing unless quoted (Trino: "Reserved keywords").
const RESERVED: &[Keyword] = &[
    Keyword::AND,
    Keyword::AS,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::CROSS,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::END,
    Keyword::EXCEPT,
    Keyword::EXISTS,
    Keyword::FROM,
    Keyword::GROUP,
    Keyword::HAVING,
    Keyword::IN,
    Keyword::INNER,
    Keyword::INTERSECT,
    Keyword::INTERVAL,
    Keyword::INTO,
    Keyword::IS,
    Keyword::JOIN,
    Keyword::LEFT,
    Keyword::LIKE,
    Keyword::NOT,
    Keyword::ON,
    Keyword::OR,
    Keyword::ORDER,
    Keyword::OUTER,
    Keyword::RIGHT,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::UNION,
    Keyword::USING,
    Keyword::VALUES,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::WITH,
];

/// How many operators may follow one another (`a OR b OR c …`): each is one level of the tree, and
/// not every step of planning is safe from running out of stack.
const CHAIN_MAX: usize = 1_000;

#[derive(Debug)]
pub struct Trino;

impl Dialect for Trino {
    // Where sqlparser asks for a dialect and not for an option, PostgreSQL's answer is Trino's
    // (UNNEST as a relation).
    fn dialect(&self) -> TypeId {
        TypeId::of::<PostgreSqlDialect>()
    }

    fn is_delimited_identifier_start(&self, letter: char) -> bool {
        letter == '"'
    }

    fn is_identifier_start(&self, letter: char) -> bool {
        letter.is_alphabetic() || letter == '_'
    }

    fn is_identifier_part(&self, letter: char) -> bool {
        letter.is_alphanumeric() || letter == '_'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_lambda_functions(&self) -> bool {
        true
    }

    fn supports_window_clause_named_window_reference(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn supports_parens_around_table_factor(&self) -> bool {
        true
    }

    fn allow_extract_custom(&self) -> bool {
        true
    }

    // Trino reserves these; sqlparser would take `FROM FROM x` for a table named `from`.
    fn is_reserved_for_identifier(&self, keyword: Keyword) -> bool {
        RESERVED.contains(&keyword)
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let Token::Word(word) = &parser.peek_token_ref().token else { return None };
        let function = match word.keyword {
            Keyword::CAST => "cast",
            Keyword::TRY_CAST => "try_cast",
            _ => return None,
        };
        if parser.peek_nth_token_ref(1).token != Token::LParen {
            return None;
        }
        parser.next_token();
        Some(parse_cast(function, parser))
    }
}

fn parse_cast(function: &str, parser: &mut Parser) -> Result<Expr, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let value = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let target = types::parse(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(function, vec![value, text_literal(&target.to_string())]))
}

/// The one SELECT that the tokens hold.
pub fn parse(tokens: Vec<TokenWithSpan>) -> Result<Query, QueryError> {
    let mut words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_)));
    let Some(first) = words.find(|token| token.token != Token::LParen).cloned() else {
        let at = Position { line: 1, column: 1 };
        return Err(QueryError::Syntax { at, message: "the query is empty".to_owned() });
    };
    let end = tokens.last().map_or(first.span.end, |token| token.span.end).into();
    if !begins_a_query(&first.token) {
        return Err(not_a_select(&first));
    }
    let mut parser =
        Parser::new(&Trino).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens);
    let query = parser.parse_query().map_err(|error| syntax(&parser, &error, end))?;
    while parser.consume_token(&Token::SemiColon) {}
    let after = parser.next_token();
    if after.token != Token::EOF {
        let message = format!("unexpected {}", after.token);
        return Err(QueryError::Syntax { at: after.span.start.into(), message });
    }
    only_reads(&query, first.span.start.into())?;
    if let ControlFlow::Break(error) = query.visit(&mut Depth::default()) {
        return Err(error);
    }
    Ok(*query)
}

fn begins_a_query(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES | Keyword::TABLE)
}

fn not_a_select(token: &TokenWithSpan) -> QueryError {
    let at = token.span.start.into();
    QueryError::NotASelect { at, found: token.token.to_string().to_uppercase() }
}

/// sqlparser writes the position at the end of its message; without one, the fault is where the
/// parser stands.
fn syntax(parser: &Parser, error: &ParserError, end: Position) -> QueryError {
    let stands_at = parser.peek_token_ref();
    let at = match stands_at.token {
        Token::EOF => end,
        _ => stands_at.span.start.into(),
    };
    let message = match error {
        ParserError::RecursionLimitExceeded => return QueryError::TooDeep { at },
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
    };
    let located = message.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, Position { line: line.parse().ok()?, column: column.parse().ok()? }))
    });
    let (message, at) = located.unwrap_or((message, at));
    let at = if at.line == 0 { end } else { at };
    QueryError::Syntax { at, message: message.to_owned() }
}

/// A query may hold other statements in its leaves (`WITH … INSERT`, `SELECT … INTO`, `FOR
/// UPDATE`); Trino has none of them.
fn only_reads(query: &Query, start: Position) -> Result<(), QueryError> {
    let refused = |found: &str| Err(QueryError::NotASelect { at: start, found: found.to_owned() });
    if !query.locks.is_empty() {
        return refused("FOR UPDATE");
    }
    if !query.pipe_operators.is_empty() || query.for_clause.is_some() {
        return refused("another dialect's clause");
    }
    for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
        only_reads(&cte.query, cte.query.span().start.into())?;
    }
    body_only_reads(&query.body, start)
}

fn body_only_reads(body: &SetExpr, start: Position) -> Result<(), QueryError> {
    let refused = |found: &str| Err(QueryError::NotASelect { at: start, found: found.to_owned() });
    match body {
        SetExpr::Select(select) if select.into.is_some() => refused("SELECT INTO"),
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => Ok(()),
        SetExpr::Query(query) => only_reads(query, start),
        SetExpr::SetOperation { left, right, .. } => {
            body_only_reads(left, start)?;
            body_only_reads(right, start)
        }
        SetExpr::Insert(_) => refused("INSERT"),
        SetExpr::Update(_) => refused("UPDATE"),
        SetExpr::Delete(_) => refused("DELETE"),
        SetExpr::Merge(_) => refused("MERGE"),
    }
}

/// Refuses a tree that is too deep. (The visitor itself grows its stack as it needs.)
#[derive(Default)]
struct Depth {
    depth: usize,
}

impl Visitor for Depth {
    type Break = QueryError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.depth += 1;
        if self.depth > CHAIN_MAX {
            return ControlFlow::Break(QueryError::TooDeep { at: first_position(expr) });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<QueryError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Where the leftmost operand begins, found without recursion.
fn first_position(expr: &Expr) -> Position {
    let mut expr = expr;
    while let Expr::BinaryOp { left, .. } = expr {
        expr = left;
    }
    expr.span().start.into()
}

/// Whether a word, in lower case, names nothing unless it is quoted.
pub fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|keyword| format!("{keyword:?}").eq_ignore_ascii_case(word))
}

/// The statement that DataFusion plans.
pub fn statement(query: Query) -> Statement {
    Statement::Query(Box::new(query))
}
