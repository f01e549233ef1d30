//! The fake lake's queries: just enough of SQL to test those who ask.
//!
//! ```text
//!   SELECT column, … FROM table     columns are top-level texts of the record: eventID, eventName, eventSource,
//!                                   eventTime, awsRegion, errorCode; or one that does something:
//!     endless    rows without end      hang     no row, until cancelled      stuck   not even then
//!     many       more rows than are small
//!     zero       a fault in a value    memory   exhausted                    panics  a mistake of ours
//! ```
//! What follows the table is not read, but for `?` and `'?'`, which parameters take the place of.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use event::json;
use tokio_util::sync::CancellationToken;

use crate::lake::{NamedTable, Position, Prepared, Progress, QueryFault, Row, Rows};

const COLUMNS: [&str; 6] =
    ["eventID", "eventName", "eventSource", "eventTime", "awsRegion", "errorCode"];
const DOINGS: [&str; 7] = ["endless", "many", "hang", "stuck", "zero", "memory", "panics"];

fn fault(message: &str, column: usize) -> QueryFault {
    let column = column as u64 + 1;
    let position = Some(Position { line: 1, column });
    QueryFault::Statement { message: message.to_owned(), position }
}

/// The words of a statement, each with its place in bytes.
fn words(statement: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, letter) in statement.char_indices().chain([(statement.len(), ' ')]) {
        let ends = letter.is_whitespace() || letter == ',';
        match start {
            Some(begun) if ends => {
                words.push((begun, &statement[begun..at]));
                start = None;
            }
            None if !ends => start = Some(at),
            _ => {}
        }
    }
    words
}

/// The statement with parameters in the places of `?` and `'?'`, if it has any.
pub(super) fn filled(statement: &str, parameters: &[String]) -> Result<String, QueryFault> {
    let is_mark = |word: &str| matches!(word, "?" | "'?'");
    let places: Vec<(usize, &str)> =
        words(statement).into_iter().filter(|(_, word)| is_mark(word)).collect();
    if parameters.is_empty() {
        return Ok(statement.to_owned());
    }
    if places.len() != parameters.len() {
        let (expected, given) = (places.len(), parameters.len());
        let message =
            format!("the query has {expected} placeholders, {given} parameters were given");
        return Err(QueryFault::Statement { message, position: None });
    }
    let mut filled = statement.to_owned();
    for ((at, word), parameter) in places.into_iter().zip(parameters).rev() {
        filled.replace_range(at..at + word.len(), parameter);
    }
    Ok(filled)
}

pub(super) fn tables_of(statement: &str) -> Result<Vec<NamedTable>, QueryFault> {
    let words = words(statement);
    match words.first() {
        Some((_, first)) if first.eq_ignore_ascii_case("select") => {}
        Some((at, first)) => return Err(fault(&format!("mismatched input '{first}'"), *at)),
        None => return Err(fault("mismatched input '<EOF>'", 0)),
    }
    let mut tables: Vec<NamedTable> = Vec::new();
    for pair in words.windows(2) {
        let (at, name) = pair[1];
        let opens = ["from", "join"].iter().any(|word| pair[0].1.eq_ignore_ascii_case(word));
        let name = name.to_lowercase();
        if opens && tables.iter().all(|table| table.name != name) {
            let position = Position { line: 1, column: at as u64 + 1 };
            tables.push(NamedTable { name, position });
        }
    }
    Ok(tables)
}

/// A query over rows as they are now.
pub(super) fn prepare(statement: &str, rows: Vec<Row>) -> Result<Box<dyn Prepared>, QueryFault> {
    let mut columns = Vec::new();
    for (at, word) in words(statement).into_iter().skip(1) {
        if word.eq_ignore_ascii_case("from") {
            return Ok(Box::new(FakeQuery { columns, rows }));
        }
        if !COLUMNS.contains(&word) && !DOINGS.contains(&word) {
            return Err(fault(&format!("Column '{word}' cannot be resolved"), at));
        }
        columns.push(word.to_owned());
    }
    Err(fault("mismatched input '<EOF>'", statement.len()))
}

struct FakeQuery {
    columns: Vec<String>,
    rows: Vec<Row>,
}

#[async_trait]
impl Prepared for FakeQuery {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    async fn run(
        self: Box<Self>,
        rows: &mut dyn Rows,
        progress: Arc<Progress>,
        cancelled: CancellationToken,
    ) -> Result<(), QueryFault> {
        let does = |word: &str| self.columns.iter().any(|column| column == word);
        if does("panics") {
            panic!("the query asked for it");
        }
        if does("zero") {
            return Err(QueryFault::Value("Division by zero".to_owned()));
        }
        if does("memory") {
            return Err(QueryFault::Exhausted("it asked for too much memory".to_owned()));
        }
        if does("stuck") {
            std::future::pending::<()>().await;
        }
        if does("hang") {
            cancelled.cancelled().await;
            return Err(QueryFault::Cancelled);
        }
        while does("endless") {
            if cancelled.is_cancelled() {
                return Err(QueryFault::Cancelled);
            }
            progress.events_scanned.fetch_add(1, Ordering::Relaxed);
            let row = self.columns.iter().map(|_| Some("x".repeat(100))).collect();
            rows.take(vec![row]).await?;
            tokio::task::yield_now().await;
        }
        if does("many") {
            let row = |_| self.columns.iter().map(|_| Some("x".repeat(100))).collect();
            return rows.take((0..1500).map(row).collect()).await;
        }
        for row in &self.rows {
            let record = String::from_utf8_lossy(&row.record);
            let value = |column: &String| {
                json::string_member(&record, column).map(|text| text.to_str().into_owned())
            };
            progress.events_scanned.fetch_add(1, Ordering::Relaxed);
            progress.events_matched.fetch_add(1, Ordering::Relaxed);
            progress.bytes_scanned.fetch_add(row.record.len() as u64, Ordering::Relaxed);
            rows.take(vec![self.columns.iter().map(value).collect()]).await?;
        }
        Ok(())
    }
}
