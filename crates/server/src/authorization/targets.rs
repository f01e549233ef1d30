//! What an operation is about, told from its request: the resources that policies speak of.
//!
//! Source: service authorization reference, "Actions, resources, and condition keys for AWS
//! CloudTrail". What is about no single resource is about `*`.

use std::sync::OnceLock;

use api::cloudtrail::Operation;
use api::{ApiError, ErrorCode};
use event::arn::{EventDataStoreArn, hyphenated_uuid};
use serde_json::Value;

use super::delegated::{ACTIONS, delegated_policy, together};
use super::{Attached, Denied, Wish, judge};
use crate::accounts::Standing;
use crate::operations::{Cx, internal, queries};

/// ARNs of other accounts' resources that this call may use.
#[derive(Debug, Default)]
pub struct Grants(OnceLock<Vec<String>>);

impl Grants {
    pub fn has(&self, arn: &str) -> bool {
        self.0.get().is_some_and(|arns| arns.iter().any(|granted| granted == arn))
    }

    /// Is there any of that account?
    pub fn has_of(&self, account: &str) -> bool {
        let of_account = |arn: &String| arn.split(':').nth(4) == Some(account);
        self.0.get().is_some_and(|arns| arns.iter().any(of_account))
    }
}

/// One resource of a call.
struct Target {
    arn: String,
    /// The account it belongs to, as the ARN says.
    owner: String,
    policy: Option<String>,
    /// May delegated administrators do this, and is the caller one of the owner's organization?
    is_delegated: bool,
}

/// Judges a call of the CloudTrail API by its parsed request, before anything is done.
pub async fn authorize(cx: Cx<'_>, operation: Operation, request: &Value) -> Result<(), ApiError> {
    let action = format!("cloudtrail:{}", operation.name());
    let mut granted = Vec::new();
    let mut context = tags_of(request);
    let targets = targets(cx, operation, &action, request).await?;
    let asks_of_tags = cx.node.accounts.asks_about(cx.caller, "aws:resourcetag/");
    let tagged = context.len();
    for target in &targets {
        let is_shared = may_be_shared(operation) || target.is_delegated;
        let is_foreign = target.owner != cx.account() && is_shared;
        context.truncate(tagged);
        if asks_of_tags && !is_foreign {
            let tags = cx.node.catalog.tags(&target.arn).await.map_err(internal)?;
            let facts =
                tags.into_iter().map(|tag| (format!("aws:ResourceTag/{}", tag.key), tag.value));
            context.extend(facts);
        }
        let wish = Wish {
            action: &action,
            resource: &target.arn,
            // Other operations find nothing in other accounts, and say so.
            owner: if is_foreign { &target.owner } else { cx.account() },
            policy: target.policy.as_deref().map(Attached::Text),
            context: &context,
        };
        judge(&cx.node.accounts, &cx.asking(), &wish)
            .map_err(|Denied(message)| ApiError::new(ErrorCode::AccessDeniedException, message))?;
        if is_foreign {
            granted.push(target.arn.clone());
        }
    }
    // Each call has grants of its own, and is authorized once.
    let _ = cx.grants.0.set(granted);
    Ok(())
}

/// AWS: what an event data store's policy may allow to other accounts (user guide, "Resource-based
/// policy examples").
fn may_be_shared(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        StartQuery
            | CancelQuery
            | ListQueries
            | DescribeQuery
            | GetQueryResults
            | GenerateQuery
            | GetEventDataStore
    )
}

async fn targets(
    cx: Cx<'_>,
    operation: Operation,
    action: &str,
    request: &Value,
) -> Result<Vec<Target>, ApiError> {
    use Operation::*;
    let text = |member: &str| request.get(member).and_then(Value::as_str);
    let texts = |member: &str| -> Vec<String> {
        let items = request.get(member).and_then(Value::as_array);
        let items = items.map(Vec::as_slice).unwrap_or_default();
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let owner = text("EventDataStoreOwnerAccountId");
    let arns = match operation {
        CreateTrail | DeleteTrail | GetTrail | GetTrailStatus | StartLogging | StopLogging
        | UpdateTrail => text("Name").map(|name| arn_of(cx, "trail", name)).into_iter().collect(),
        CreateEventDataStore => vec![arn_of(cx, "eventdatastore", "*")],
        CreateChannel => vec![arn_of(cx, "channel", "*")],
        CreateDashboard => {
            text("Name").map(|name| arn_of(cx, "dashboard", name)).into_iter().collect()
        }
        StartImport => {
            texts("Destinations").iter().map(|store| arn_of(cx, "eventdatastore", store)).collect()
        }
        GenerateQuery => stores(cx, owner, &texts("EventDataStores")).await?,
        StartQuery => {
            let given = texts("QueryParameters");
            let (statement, parameters) = match (text("QueryStatement"), text("QueryAlias")) {
                (Some(statement), _) => (statement.to_owned(), given),
                // An alias stands for a statement, and opens no store that the statement would not.
                (None, Some(alias)) => match queries::by_alias(cx, alias, given).await {
                    Ok((statement, _, parameters)) => (statement, parameters),
                    Err(_) => Default::default(),
                },
                (None, None) => Default::default(),
            };
            // A statement that cannot be read names nothing, and is refused by the operation.
            let named = cx.node.lake.tables_of(&statement, &parameters).unwrap_or_default();
            let names: Vec<String> = named.into_iter().map(|table| table.name).collect();
            stores(cx, owner, &names).await?
        }
        CancelQuery | DescribeQuery | GetQueryResults => {
            let (catalog, account, region) = (&cx.node.catalog, cx.account(), cx.region.as_str());
            let found = match (text("QueryId"), text("QueryAlias")) {
                (Some(id), _) => catalog.query(account, region, id).await,
                (None, Some(alias)) => {
                    catalog.query_by_alias(account, region, alias, text("RefreshId")).await
                }
                (None, None) => Ok(None),
            };
            // All that the query has read, whichever of them the request names.
            let read = found.map_err(internal)?.map(|query| query.asked.stores);
            let read = read.unwrap_or_default().into_iter().map(|store| store.arn);
            let named = text("EventDataStore").map(str::to_owned);
            let mut arns = stores(cx, owner, named.as_slice()).await?;
            arns.extend(read);
            arns.sort();
            arns.dedup();
            arns
        }
        _ => {
            let ids = texts("ResourceIdList");
            let one = |member: &str, kind: &str| text(member).map(|name| arn_of(cx, kind, name));
            let named = one("TrailName", "trail")
                .into_iter()
                .chain(one("Channel", "channel"))
                .chain(one("DashboardId", "dashboard"))
                .chain(one("ResourceId", "trail"))
                .chain(one("ResourceArn", "eventdatastore"))
                .chain(ids.iter().map(|id| arn_of(cx, "trail", id)));
            let mut named: Vec<String> = named.collect();
            if let Some(store) = text("EventDataStore") {
                named.extend(stores(cx, owner, &[store.to_owned()]).await?);
            }
            named
        }
    };
    let mut targets = Vec::with_capacity(arns.len());
    for arn in arns {
        let owner = arn.split(':').nth(4).unwrap_or_default().to_owned();
        let policy = match may_be_shared(operation) {
            true => cx.node.catalog.resource_policy(&arn).await.map_err(internal)?,
            false => None,
        };
        let generated = match owner != cx.account() && ACTIONS.contains(&action) {
            true => generated_policy(cx, &arn).await?,
            false => None,
        };
        let is_delegated = generated.is_some();
        let policy = together(policy, generated);
        targets.push(Target { arn, owner, policy, is_delegated });
    }
    if targets.is_empty() {
        let (arn, owner) = ("*".to_owned(), cx.account().to_owned());
        targets.push(Target { arn, owner, policy: None, is_delegated: false });
    }
    Ok(targets)
}

/// The policy of another account's event data store, if it lets the caller in as a delegated
/// administrator of its organization.
async fn generated_policy(cx: Cx<'_>, arn: &str) -> Result<Option<String>, ApiError> {
    let Some(organization) = delegating(cx) else { return Ok(None) };
    let Ok(id) = EventDataStoreArn::parse(arn).map(|arn| arn.id) else { return Ok(None) };
    let store = cx.node.catalog.event_data_store(id).await.map_err(internal)?;
    let store = store.filter(|store| store.arn == arn);
    let store = store.filter(|store| store.state.organization.as_deref() == Some(&*organization));
    Ok(store.and_then(|store| delegated_policy(&cx.node.accounts, &store)))
}

/// The organization whose delegated administrator calls.
fn delegating(cx: Cx<'_>) -> Option<String> {
    let account = cx.caller.account();
    let organization = cx.node.accounts.organization_of(account)?;
    (organization.standing(account) == Some(Standing::Delegated)).then(|| organization.id.clone())
}

/// The ARNs of event data stores named by ARN or ID. An ID is of the caller's own account, or of the
/// one that is said to own the store: nothing is looked up, so that nobody learns what is there. Only
/// delegated administrators may name their organization's stores by ID.
async fn stores(
    cx: Cx<'_>,
    owner: Option<&str>,
    named: &[String],
) -> Result<Vec<String>, ApiError> {
    let account = owner.unwrap_or(cx.account());
    let delegating = delegating(cx);
    let mut arns = Vec::with_capacity(named.len());
    for name in named {
        let shared = match (&delegating, hyphenated_uuid(name)) {
            (Some(organization), Some(id)) => {
                let found = cx.node.catalog.event_data_store(id).await.map_err(internal)?;
                found.filter(|store| store.state.organization.as_ref() == Some(organization))
            }
            _ => None,
        };
        arns.push(match shared {
            Some(store) => store.arn,
            None if name.starts_with("arn:") => name.clone(),
            None => format!("arn:aws:cloudtrail:{}:{account}:eventdatastore/{name}", cx.region),
        });
    }
    Ok(arns)
}

/// A name of the caller's own account and this Region as an ARN; an ARN as it is.
fn arn_of(cx: Cx<'_>, kind: &str, name: &str) -> String {
    match name.starts_with("arn:") {
        true => name.to_owned(),
        false => format!("arn:aws:cloudtrail:{}:{}:{kind}/{name}", cx.region, cx.account()),
    }
}

/// `aws:RequestTag/key` and `aws:TagKeys` of the tags that a request brings.
fn tags_of(request: &Value) -> Vec<(String, String)> {
    let lists =
        ["TagsList", "Tags"].into_iter().filter_map(|member| request.get(member)?.as_array());
    let mut facts = Vec::new();
    for tag in lists.flatten() {
        let text = |member: &str| tag.get(member).and_then(Value::as_str).unwrap_or_default();
        facts.push((format!("aws:RequestTag/{}", text("Key")), text("Value").to_owned()));
        facts.push(("aws:TagKeys".to_owned(), text("Key").to_owned()));
    }
    facts
}
