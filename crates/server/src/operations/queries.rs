//! Queries: statements over event data stores, and what they came to.

mod cancel_query;
mod describe_query;
mod generate_query;
mod get_query_results;
mod list_queries;
mod search_sample_queries;
mod start_query;

use std::collections::HashMap;

use api::{ApiError, ErrorCode};
use catalog::{Query, QueryStore};

pub use cancel_query::cancel_query;
pub use describe_query::describe_query;
pub use generate_query::generate_query;
pub use get_query_results::get_query_results;
pub use list_queries::list_queries;
pub use search_sample_queries::search_sample_queries;
pub use start_query::{by_alias, start_query};

use crate::lake::{LakeFault, NamedTable, Prepared, QueryFault};
use crate::operations::{Cx, event_data_stores, internal};
use crate::queries::{ask, worded};

fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidParameterException, message)
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(ErrorCode::QueryIdNotFoundException, format!("Query {id} was not found."))
}

/// The owner of the stores is the caller, or an account that lets the caller use one of them.
fn check_owner(cx: Cx<'_>, owner: Option<&str>) -> Result<(), ApiError> {
    match owner {
        Some(owner) if owner != cx.account() && !cx.grants.has_of(owner) => Err(ApiError::new(
            ErrorCode::EventDataStoreNotFoundException,
            format!("Account {owner} has no event data store that you may query."),
        )),
        _ => Ok(()),
    }
}

/// The caller's query of that ID in this Region; on that event data store, if one is named.
async fn find(cx: Cx<'_>, id: &str, store: Option<&str>) -> Result<Query, ApiError> {
    let store = match store {
        Some(store) => Some(event_data_stores::active(cx, store).await?),
        None => None,
    };
    let found = cx.node.catalog.query(cx.account(), cx.region.as_str(), id).await;
    let found = found.map_err(internal)?.ok_or_else(|| not_found(id))?;
    match store {
        Some(store) if found.asked.stores.iter().all(|named| named.arn != store.arn) => {
            Err(not_found(id))
        }
        _ => Ok(found),
    }
}

/// Checks a statement as StartQuery does: its text, that every table is one of the caller's active
/// event data stores, every column. Answers the stores, and the query as it stands now.
async fn checked(
    cx: Cx<'_>,
    statement: &str,
    parameters: &[String],
) -> Result<(Vec<QueryStore>, Box<dyn Prepared>), ApiError> {
    let named = cx.node.lake.tables_of(statement, parameters).map_err(statement_error)?;
    if named.is_empty() {
        return Err(invalid_statement("The statement names no event data store.".to_owned()));
    }
    let mut stores = Vec::with_capacity(named.len());
    let mut tables = HashMap::new();
    for table in named {
        let store = match event_data_stores::active(cx, &table.name).await {
            Ok(store) => store,
            Err(error) => return Err(of_table(&table, error)),
        };
        tables.insert(table.name.clone(), event_data_stores::readable(&store));
        stores.push(QueryStore { name: table.name, arn: store.arn });
    }
    let ask = ask(cx.node, statement.to_owned(), parameters.to_vec(), tables);
    let prepared = cx.node.lake.prepare(ask).await.map_err(statement_error)?;
    Ok((stores, prepared))
}

/// A name that is no store of the caller's is a fault of the statement.
fn of_table(table: &NamedTable, error: ApiError) -> ApiError {
    match error.code {
        ErrorCode::EventDataStoreNotFoundException
        | ErrorCode::EventDataStoreARNInvalidException => invalid_statement(worded(
            &format!("Event data store {} does not exist", table.name),
            Some(table.position),
        )),
        _ => error,
    }
}

pub fn invalid_statement(message: String) -> ApiError {
    ApiError::new(ErrorCode::InvalidQueryStatementException, message)
}

/// What a fault of a statement, or of the lake that is to check it, is to the caller.
pub fn statement_error(fault: QueryFault) -> ApiError {
    match fault {
        QueryFault::Statement { message, position } => {
            invalid_statement(worded(&message, position))
        }
        QueryFault::Value(message) | QueryFault::Exhausted(message) => invalid_statement(message),
        QueryFault::Lake(LakeFault::NoSuchTable(name)) => ApiError::new(
            ErrorCode::InactiveEventDataStoreException,
            format!("Event data store {name} cannot be queried yet."),
        ),
        QueryFault::Lake(fault) => {
            tracing::error!(
                error = &fault as &dyn std::error::Error,
                "a statement was not checked"
            );
            let code = match fault {
                LakeFault::Damaged { .. } => ErrorCode::InternalFailure,
                _ => ErrorCode::ServiceUnavailable,
            };
            ApiError::new(code, fault.told())
        }
        other => {
            tracing::error!(
                error = &other as &dyn std::error::Error,
                "a statement was not checked"
            );
            ApiError::new(
                ErrorCode::InternalFailure,
                "The request processing has failed because of an internal error.",
            )
        }
    }
}
