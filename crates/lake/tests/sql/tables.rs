//! Records as tables, and a query as rows of text.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::json::ReaderBuilder;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::prelude::DataFrame;
use lake::schema::{configuration_items_schema, events_schema, insights_schema};
use lake::sql::{self, Limits, QueryError, text};
use serde_json::{Map, Value, json};

const EVENTS: &str = include_str!("events.ndjson");
const ITEMS: &str = include_str!("configuration_items.ndjson");

/// What came of a query.
#[derive(Debug)]
pub struct Answer {
    pub columns: Vec<String>,
    /// NULL is `None`.
    pub rows: Vec<Vec<Option<String>>>,
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Query(#[from] QueryError),
    #[error("while running: {0}")]
    Running(#[from] DataFusionError),
}

#[derive(Clone)]
pub struct Tables {
    events: Arc<dyn TableProvider>,
    items: Arc<dyn TableProvider>,
    /// Without rows.
    insights: Arc<dyn TableProvider>,
}

impl Tables {
    pub fn new() -> Self {
        Self {
            events: table(EVENTS, events_schema()),
            items: table(ITEMS, configuration_items_schema()),
            insights: Arc::new(MemTable::try_new(insights_schema(), vec![Vec::new()]).unwrap()),
        }
    }

    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let uuid = name.len() == 36 && name.matches('-').count() == 4;
        match name {
            "items" | "config_event_data_store_id" => Some(Arc::clone(&self.items)),
            "insights" => Some(Arc::clone(&self.insights)),
            "events" | "$eds_id" => Some(Arc::clone(&self.events)),
            _ if uuid => Some(Arc::clone(&self.events)),
            _ => None,
        }
    }

    pub async fn ask(&self, query: &str, parameters: &[&str]) -> Result<Answer, Failure> {
        let parameters: Vec<String> = parameters.iter().map(|&p| p.to_owned()).collect();
        let parsed = sql::parse(query, &parameters)?;
        let session = sql::session(&Limits::default())?;
        let prepared = parsed.plan(&session, |name| self.find(name)).await?;
        let frame = DataFrame::new(session.state(), prepared.plan);
        let mut rows = Vec::new();
        for batch in frame.collect().await? {
            for row in 0..batch.num_rows() {
                let texts = batch.columns().iter().map(|column| text::text_of(column, row));
                rows.push(texts.collect::<Result<Vec<_>, _>>()?);
            }
        }
        Ok(Answer { columns: prepared.columns, rows })
    }
}

impl Tables {
    /// The plan of a query that is right, as the optimizer leaves it.
    pub async fn optimized(&self, query: &str) -> String {
        let session = sql::session(&Limits::default()).unwrap();
        let parsed = sql::parse(query, &[]).unwrap();
        let prepared = parsed.plan(&session, |name| self.find(name)).await.unwrap();
        session.state().optimize(&prepared.plan).unwrap().display_indent().to_string()
    }
}

fn table(lines: &str, schema: SchemaRef) -> Arc<dyn TableProvider> {
    let rows: Vec<Value> = lines.lines().map(|line| row(line, &schema)).collect();
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    let batch: RecordBatch = decoder.flush().unwrap().unwrap();
    // Two partitions, so that plans with a repartition are among those tested.
    let half = batch.num_rows() / 2;
    let parts = vec![vec![batch.slice(0, half)], vec![batch.slice(half, batch.num_rows() - half)]];
    Arc::new(MemTable::try_new(schema, parts).unwrap())
}

/// The record as the table has it.
fn row(line: &str, schema: &SchemaRef) -> Value {
    let record: Value = serde_json::from_str(line).unwrap();
    let mut row = shaped(&record, &DataType::Struct(schema.fields().clone()));
    row["eventjson"] = json!(line);
    row
}

/// Names in lower case, values in maps as text.
fn shaped(value: &Value, data_type: &DataType) -> Value {
    match (data_type, value) {
        (_, Value::Null) => Value::Null,
        (DataType::Struct(fields), Value::Object(members)) => {
            let mut shape = Map::new();
            for field in fields {
                let found = members.iter().find(|(name, _)| name.to_lowercase() == *field.name());
                let inner = found.map_or(Value::Null, |(_, v)| shaped(v, field.data_type()));
                shape.insert(field.name().clone(), inner);
            }
            Value::Object(shape)
        }
        (DataType::List(element), Value::Array(items)) => {
            items.iter().map(|item| shaped(item, element.data_type())).collect()
        }
        (DataType::Map(..), Value::Object(members)) => {
            members.iter().map(|(name, value)| (name.clone(), text_value(value))).collect()
        }
        (DataType::Utf8, value) => text_value(value),
        _ => value.clone(),
    }
}

fn text_value(value: &Value) -> Value {
    match value {
        Value::Null | Value::String(_) => value.clone(),
        other => Value::String(other.to_string()),
    }
}
