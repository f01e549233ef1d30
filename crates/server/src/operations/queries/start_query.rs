use api::cloudtrail::{StartQueryRequest, StartQueryResponse};
use api::{ApiError, ErrorCode};
use catalog::NewQuery;
use delivery::destination::DeliveryFailure;

use super::{check_owner, checked, invalid_parameter};
use crate::chance;
use crate::dashboards::refresh::{Tenant, filled, widget_by_alias};
use crate::dashboards::values::Values;
use crate::operations::trails::settings::{checked_bucket, prefix_or_error};
use crate::operations::{Cx, internal};
use crate::queries;
use crate::queries::delivered::{S3Uri, account_folder};

/// Checks the statement and the place where results are to go, then begins or queues the query: when this
/// answers, the query survives a crash.
pub async fn start_query(
    cx: Cx<'_>,
    input: StartQueryRequest,
) -> Result<StartQueryResponse, ApiError> {
    check_owner(cx, input.event_data_store_owner_account_id.as_deref())?;
    let given = input.query_parameters.unwrap_or_default();
    let (statement, prompt, parameters) = match (input.query_statement, &input.query_alias) {
        (Some(statement), None) => (statement, None, given),
        (None, Some(alias)) => by_alias(cx, alias, given).await?,
        _ => {
            return Err(invalid_parameter(
                "You must specify either QueryStatement or QueryAlias, and not both.",
            ));
        }
    };
    let (stores, prepared) = checked(cx, &statement, &parameters).await?;
    let store_arn = stores.first().map(|store| store.arn.clone()).unwrap_or_default();
    let own = format!(":{}:eventdatastore/", cx.account());
    if input.delivery_s3_uri.is_some() && stores.iter().any(|store| !store.arn.contains(&own)) {
        // They would be put in the name of a store whose owner has not asked for them.
        return Err(invalid_parameter(
            "Results of queries on another account's event data stores cannot be delivered to S3 in this version of Cairn. Read them by GetQueryResults.",
        ));
    }
    if let Some(uri) = &input.delivery_s3_uri {
        check_delivery(cx, uri, &store_arn).await?;
    }
    let query = NewQuery {
        id: chance::uuid(cx.node.chance.as_ref()).to_string(),
        account: cx.account().to_owned(),
        region: cx.region.to_string(),
        statement,
        parameters,
        stores,
        alias: input.query_alias,
        prompt,
        delivery_uri: input.delivery_s3_uri,
        refresh: None,
        created_ms: cx.now.as_millisecond(),
    };
    let settings = &cx.node.settings.queries;
    let (catalog, unfinished_max) = (&cx.node.catalog, settings.unfinished_max);
    // If this call is cut off meanwhile, the query is queued, or not there.
    let begun = match cx.node.shows_what_was_before() {
        true => queries::begin_at_once(cx.node, &query, prepared).map_err(Some),
        // What was prepared lacks events that are about to be visible again.
        false => Err(None),
    };
    let is_added = match begun {
        Ok(entering) => {
            let added = catalog.add_running_query(&query, unfinished_max).await;
            let is_added = added.map_err(internal)?;
            if is_added {
                entering.done();
            }
            is_added
        }
        Err(prepared) => {
            let is_added = catalog.add_query(&query, unfinished_max).await.map_err(internal)?;
            if is_added {
                if let Some(prepared) = prepared {
                    cx.node.queries.keep(&query.id, prepared, cx.node.clock.elapsed());
                }
                cx.node.queries.wake();
            }
            is_added
        }
    };
    if !is_added {
        return Err(ApiError::new(
            ErrorCode::MaxConcurrentQueriesException,
            format!(
                "You already have {unfinished_max} queries queued or running in {}. Wait until one has ended, or cancel one.",
                cx.region
            ),
        ));
    }
    Ok(StartQueryResponse {
        query_id: Some(query.id),
        event_data_store_owner_account_id: input.event_data_store_owner_account_id,
    })
}

/// The statement that an alias stands for: one that GenerateQuery made, with its prompt, or a widget's,
/// with its parameters for the past day if none are given.
pub async fn by_alias(
    cx: Cx<'_>,
    alias: &str,
    given: Vec<String>,
) -> Result<(String, Option<String>, Vec<String>), ApiError> {
    let found = cx.node.catalog.query_alias(cx.account(), cx.region.as_str(), alias).await;
    if let Some(found) = found.map_err(internal)? {
        return Ok((found.statement, Some(found.prompt), given));
    }
    let tenant = Tenant { account: cx.account(), region: cx.region.as_str() };
    let Some(widget) = widget_by_alias(cx.node, tenant, alias).await? else {
        return Err(invalid_parameter(format!("Query alias {alias} was not found.")));
    };
    let parameters = match given.is_empty() {
        true => filled(cx.node, tenant, &widget, &Values::usual(cx.now)).await?,
        false => given,
    };
    Ok((widget.statement, None, parameters))
}

/// The bucket exists and lets us write where the results will go; the second leaves an empty object
/// there, as with trails.
async fn check_delivery(cx: Cx<'_>, uri: &str, store_arn: &str) -> Result<(), ApiError> {
    let parsed = S3Uri::parse(uri).ok_or_else(|| {
        ApiError::new(
            ErrorCode::InvalidS3BucketNameException,
            format!("{uri:?} is no S3 URI. Expected s3://<bucket>/<prefix>."),
        )
    })?;
    let bucket = checked_bucket(parsed.bucket)?;
    let prefix = prefix_or_error(parsed.path)?;
    let marker = account_folder(prefix.as_deref(), cx.account());
    let marker = cx.node.settings.preflight_markers.then_some(marker.as_str());
    let checked = match cx.node.destination(&bucket) {
        Ok(destination) => destination.check_folder(marker, &cx.node.put_headers(store_arn)).await,
        Err(failure) => Err(failure),
    };
    checked.map_err(|failure| refused(&bucket, failure))
}

fn refused(bucket: &str, failure: DeliveryFailure) -> ApiError {
    tracing::info!(bucket, code = failure.code, detail = failure.detail, "no place for results");
    match failure.code.as_str() {
        "NoSuchBucket" => ApiError::new(
            ErrorCode::S3BucketDoesNotExistException,
            format!("S3 bucket {bucket} does not exist!"),
        ),
        _ if failure.status == Some(403) => ApiError::new(
            ErrorCode::InsufficientS3BucketPolicyException,
            format!("Incorrect S3 bucket policy is detected for bucket: {bucket}"),
        ),
        code => ApiError::new(
            ErrorCode::ServiceUnavailable,
            format!("The store that holds bucket {bucket} cannot be used now ({code})."),
        ),
    }
}
