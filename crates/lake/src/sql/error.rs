//! What is wrong with a query, and where.

use std::fmt;

use datafusion::common::{DataFusionError, SchemaError, Span};
use datafusion::sql::sqlparser::tokenizer::Location;

/// A place in the user's text; both count characters from 1. Shown as Trino does, `line 1:8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}

impl From<Location> for Position {
    fn from(at: Location) -> Self {
        Self { line: at.line, column: at.column }
    }
}

/// Why a query cannot be planned. All of it is the user's to mend.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("{at}: {message}")]
    Syntax { at: Position, message: String },
    #[error("{at}: only SELECT statements are supported, found {found}")]
    NotASelect { at: Position, found: String },
    #[error("the query has {characters} characters, the limit is {limit}")]
    TooLong { characters: usize, limit: usize },
    #[error("{at}: the query is nested too deeply")]
    TooDeep { at: Position },
    #[error("the query has {expected} placeholders, {given} parameters were given")]
    Parameters { expected: usize, given: usize },
    #[error("{at}: event data store {name} does not exist")]
    UnknownStore { at: Position, name: String },
    #[error("{}column {name} cannot be resolved{}", located(at), suggestion(likely))]
    UnknownColumn { at: Option<Position>, name: String, likely: Option<String> },
    #[error("{}{message}", located(at))]
    Meaning { at: Option<Position>, message: String },
}

impl QueryError {
    /// Where the fault is, if it is at one place.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { at, .. }
            | Self::NotASelect { at, .. }
            | Self::TooDeep { at }
            | Self::UnknownStore { at, .. } => Some(*at),
            Self::UnknownColumn { at, .. } | Self::Meaning { at, .. } => *at,
            Self::TooLong { .. } | Self::Parameters { .. } => None,
        }
    }

    /// An error of the planner, in the words of the user's query.
    pub(crate) fn from_planning(error: &DataFusionError) -> Self {
        let at = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(start);
        let root = error.find_root();
        if let DataFusionError::SchemaError(schema, _) = root {
            return from_schema(schema, at);
        }
        let message = plain(&root.strip_backtrace());
        // DataFusion lists every column of the GROUP BY; its diagnostic says it in a sentence.
        let told = error.diagnostic().map(|diagnostic| diagnostic.message.clone());
        let message = match told {
            Some(told) if message.starts_with("Column in ") => told,
            _ => message,
        };
        Self::Meaning { at, message }
    }
}

fn from_schema(error: &SchemaError, at: Option<Position>) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|valid| valid.name.as_str()).collect();
            QueryError::UnknownColumn {
                at: field.spans().first().map(start).or(at),
                name: field.flat_name(),
                likely: closest(&field.name, &names),
            }
        }
        other => QueryError::Meaning { at, message: other.to_string() },
    }
}

/// The name a user who wrote `name` most likely meant: at most two letters away.
pub(super) fn closest(name: &str, names: &[&str]) -> Option<String> {
    let near = names.iter().map(|candidate| (distance(name, candidate), *candidate)).min()?;
    (near.0 <= 2 && near.0 * 2 < name.len()).then(|| near.1.to_owned())
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn start(span: Span) -> Position {
    Position { line: span.start.line, column: span.start.column }
}

fn located(at: &Option<Position>) -> String {
    at.map(|at| format!("{at}: ")).unwrap_or_default()
}

fn suggestion(likely: &Option<String>) -> String {
    likely.as_ref().map(|name| format!("; did you mean {name}?")).unwrap_or_default()
}

/// Without DataFusion's classification of its errors, which says nothing to the user.
fn plain(message: &str) -> String {
    let kinds = ["Error during planning: ", "This feature is not implemented: ", "Schema error: "];
    let mut message = message;
    while let Some(rest) = kinds.iter().find_map(|kind| message.strip_prefix(kind)) {
        message = rest;
    }
    message.replace('\n', " ")
}
