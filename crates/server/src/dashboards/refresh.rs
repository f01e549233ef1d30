//! A refresh: from widgets and values to queries, and the check of a widget before there is one.

use std::collections::HashMap;

use api::{ApiError, ErrorCode};
use catalog::{
    Deletion, EventDataStore, NewQuery, NewRefresh, QueryStore, Refresh, Started, Turn, Widget,
};
use event::arn::{EventDataStoreArn, hyphenated_uuid};
use jiff::Timestamp;
use uuid::Uuid;

use super::values::{self, Values};
use crate::chance;
use crate::lake::{NamedTable, Readable};
use crate::node::Node;
use crate::operations::queries::{invalid_statement, statement_error};
use crate::operations::{event_data_stores, internal};
use crate::queries::{ask, worded};

/// Whose dashboards and event data stores.
#[derive(Debug, Clone, Copy)]
pub struct Tenant<'a> {
    pub account: &'a str,
    pub region: &'a str,
}

/// A dashboard as a refresh needs it.
#[derive(Debug, Clone, Copy)]
pub struct Refreshed<'a> {
    pub arn: &'a str,
    pub widgets: &'a [Widget],
}

/// Asks a query for every widget, or for none: the error is the first that was found. `may_ask` says
/// of an event data store's ARN whether whoever wants the refresh may query it.
pub async fn start(
    node: &Node,
    tenant: Tenant<'_>,
    dashboard: Refreshed<'_>,
    values: &Values,
    now: Timestamp,
    may_ask: impl Fn(&str) -> Result<(), ApiError>,
) -> Result<(Started, String), ApiError> {
    let id = new_id(node);
    let mut queries = Vec::with_capacity(dashboard.widgets.len());
    for widget in dashboard.widgets {
        let query = query(node, tenant, widget, values, &id, now).await?;
        query.stores.iter().try_for_each(|store| may_ask(&store.arn))?;
        queries.push(query);
    }
    let new = new_refresh(tenant, dashboard, id, queries, now);
    entered(node, &new).await
}

/// Asks a query for every widget that can be asked; what keeps the others from it becomes the refresh's
/// failure. For refreshes by schedule: nobody waits there to be told.
pub async fn start_by_schedule(
    node: &Node,
    tenant: Tenant<'_>,
    dashboard: Refreshed<'_>,
    turn: Turn,
    now: Timestamp,
) -> Result<(Started, String), ApiError> {
    let id = new_id(node);
    let values = Values::usual(now);
    let mut queries = Vec::with_capacity(dashboard.widgets.len());
    let mut failure = None;
    for widget in dashboard.widgets {
        match query(node, tenant, widget, &values, &id, now).await {
            Ok(query) => queries.push(query),
            // Ours, and perhaps over soon: the turn is taken later.
            Err(error) if error.status() >= 500 => return Err(error),
            Err(error) => {
                failure.get_or_insert_with(|| format!("{}: {}", widget.alias, error.message));
            }
        }
    }
    let mut new = new_refresh(tenant, dashboard, id, queries, now);
    new.refresh.failure = failure;
    new.turn = Some(turn);
    entered(node, &new).await
}

/// API reference: 10 to 20 digits.
fn new_id(node: &Node) -> String {
    let (high, _) = chance::uuid(node.chance.as_ref()).as_u64_pair();
    let (low, digits) = (10_u64.pow(18), 9 * 10_u64.pow(18));
    (low + high % digits).to_string()
}

fn new_refresh(
    tenant: Tenant<'_>,
    dashboard: Refreshed<'_>,
    id: String,
    queries: Vec<NewQuery>,
    now: Timestamp,
) -> NewRefresh {
    NewRefresh {
        dashboard_arn: dashboard.arn.to_owned(),
        account: tenant.account.to_owned(),
        region: tenant.region.to_owned(),
        refresh: Refresh { id, started_ms: now.as_millisecond(), failure: None },
        queries,
        turn: None,
    }
}

async fn entered(node: &Node, new: &NewRefresh) -> Result<(Started, String), ApiError> {
    let started = node.catalog.start_refresh(new).await.map_err(internal)?;
    if started == Started::Yes {
        node.queries.wake();
    }
    Ok((started, new.refresh.id.clone()))
}

async fn query(
    node: &Node,
    tenant: Tenant<'_>,
    widget: &Widget,
    values: &Values,
    refresh_id: &str,
    now: Timestamp,
) -> Result<NewQuery, ApiError> {
    let parameters = filled(node, tenant, widget, values).await?;
    let stores = named_stores(node, tenant, &widget.statement, &parameters).await?;
    Ok(NewQuery {
        id: chance::uuid(node.chance.as_ref()).to_string(),
        account: tenant.account.to_owned(),
        region: tenant.region.to_owned(),
        statement: widget.statement.clone(),
        parameters,
        stores: stores
            .into_iter()
            .map(|(name, store)| QueryStore { name, arn: store.arn })
            .collect(),
        alias: Some(widget.alias.clone()),
        prompt: None,
        delivery_uri: None,
        refresh: Some(refresh_id.to_owned()),
        created_ms: now.as_millisecond(),
    })
}

/// A widget's parameters with these values.
pub async fn filled(
    node: &Node,
    tenant: Tenant<'_>,
    widget: &Widget,
    values: &Values,
) -> Result<Vec<String>, ApiError> {
    let store = match widget.parameters.iter().any(|parameter| parameter == values::STORE) {
        true => meant_store(node, tenant, values.store.as_deref()).await?.id.to_string(),
        false => String::new(),
    };
    Ok(values.filled(&widget.parameters, &store))
}

/// The tenant's widget, or a managed dashboard's, of that alias.
pub async fn widget_by_alias(
    node: &Node,
    tenant: Tenant<'_>,
    alias: &str,
) -> Result<Option<Widget>, ApiError> {
    let is_it = |widget: &&Widget| widget.alias == alias;
    let managed = node.dashboards.all().iter().flat_map(|dashboard| &dashboard.widgets);
    if let Some(widget) = managed.into_iter().find(is_it) {
        return Ok(Some(widget.clone()));
    }
    let custom = node.catalog.dashboards_of(tenant.account, tenant.region).await;
    let custom = custom.map_err(internal)?;
    Ok(custom.iter().flat_map(|dashboard| &dashboard.state.widgets).find(is_it).cloned())
}

/// Checks a widget's statement as StartQuery would, with the values of a refresh at `now`. Where the event
/// data store is a parameter, the statement holds if it holds for one of those that the account has.
pub async fn check(
    node: &Node,
    tenant: Tenant<'_>,
    statement: &str,
    parameters: &[String],
    now: Timestamp,
) -> Result<(), ApiError> {
    if let Some(unknown) = values::unknown_name(parameters) {
        let known = values::NAMES.join(", ");
        return Err(invalid_statement(format!(
            "{unknown} is no query parameter of dashboards; there are {known}."
        )));
    }
    let values = Values::usual(now);
    if !parameters.iter().any(|parameter| parameter == values::STORE) {
        return prepared(node, tenant, statement, &values.filled(parameters, "")).await;
    }
    let mut refusal = None;
    for store in active_stores(node, tenant).await? {
        let filled = values.filled(parameters, &store.id.to_string());
        match prepared(node, tenant, statement, &filled).await {
            Ok(()) => return Ok(()),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| no_store(tenant)))
}

async fn prepared(
    node: &Node,
    tenant: Tenant<'_>,
    statement: &str,
    parameters: &[String],
) -> Result<(), ApiError> {
    let stores = named_stores(node, tenant, statement, parameters).await?;
    let tables: HashMap<String, Readable> = stores
        .iter()
        .map(|(name, store)| (name.clone(), event_data_stores::readable(store)))
        .collect();
    let ask = ask(node, statement.to_owned(), parameters.to_vec(), tables);
    node.lake.prepare(ask).await.map_err(statement_error)?;
    Ok(())
}

/// The event data stores that a statement names, each active and the tenant's.
async fn named_stores(
    node: &Node,
    tenant: Tenant<'_>,
    statement: &str,
    parameters: &[String],
) -> Result<Vec<(String, EventDataStore)>, ApiError> {
    let named = node.lake.tables_of(statement, parameters).map_err(statement_error)?;
    if named.is_empty() {
        return Err(invalid_statement("The statement names no event data store.".to_owned()));
    }
    let mut stores = Vec::with_capacity(named.len());
    for NamedTable { name, position } in named {
        let Some(id) = hyphenated_uuid(&name) else {
            let message = format!("Event data store {name} does not exist");
            return Err(invalid_statement(worded(&message, Some(position))));
        };
        stores.push((name.clone(), store_by_id(node, tenant, id, &name).await?));
    }
    Ok(stores)
}

/// The event data store that a refresh was given, else the only one that there is.
async fn meant_store(
    node: &Node,
    tenant: Tenant<'_>,
    given: Option<&str>,
) -> Result<EventDataStore, ApiError> {
    if let Some(given) = given {
        let id = match EventDataStoreArn::parse(given) {
            Ok(arn)
                if arn.account.as_str() == tenant.account
                    && arn.region.as_str() == tenant.region =>
            {
                Some(arn.id)
            }
            Ok(_) => None,
            Err(_) => hyphenated_uuid(given),
        };
        return match id {
            Some(id) => store_by_id(node, tenant, id, given).await,
            None => Err(store_not_found(given)),
        };
    }
    let mut stores = active_stores(node, tenant).await?;
    match (stores.pop(), stores.is_empty()) {
        (None, _) => Err(no_store(tenant)),
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(ApiError::new(
            ErrorCode::EventDataStoreNotFoundException,
            format!(
                "Account {} has several event data stores in {}: say which is meant by {} in QueryParameterValues.",
                tenant.account,
                tenant.region,
                values::STORE
            ),
        )),
    }
}

async fn active_stores(node: &Node, tenant: Tenant<'_>) -> Result<Vec<EventDataStore>, ApiError> {
    let mut stores = node.catalog.event_data_stores_of(tenant.account).await.map_err(internal)?;
    stores.retain(|store| {
        store.home_region == tenant.region && store.state.deletion == Deletion::None
    });
    Ok(stores)
}

async fn store_by_id(
    node: &Node,
    tenant: Tenant<'_>,
    id: Uuid,
    as_named: &str,
) -> Result<EventDataStore, ApiError> {
    let found = node.catalog.event_data_store(id).await.map_err(internal)?;
    let own =
        found.filter(|store| store.account == tenant.account && store.home_region == tenant.region);
    let store = own.ok_or_else(|| store_not_found(as_named))?;
    match store.state.deletion {
        Deletion::None => Ok(store),
        Deletion::Pending { .. } | Deletion::Removing => Err(ApiError::new(
            ErrorCode::InactiveEventDataStoreException,
            format!("Event data store {} is not active: it is pending deletion.", store.arn),
        )),
    }
}

fn store_not_found(as_named: &str) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreNotFoundException,
        format!("Event data store {as_named} was not found."),
    )
}

fn no_store(tenant: Tenant<'_>) -> ApiError {
    ApiError::new(
        ErrorCode::EventDataStoreNotFoundException,
        format!(
            "Account {} has no active event data store in {} for {}.",
            tenant.account,
            tenant.region,
            values::STORE
        ),
    )
}
