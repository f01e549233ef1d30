use api::cloudtrail::{StartImportRequest, StartImportResponse};
use api::{ApiError, ErrorCode};
use catalog::{Import, ImportSource, NewImport};
use delivery::destination::DeliveryFailure;

use super::{find, importable, invalid_parameter, source_shown, time};
use crate::chance;
use crate::imports::source::Source;
use crate::operations::{Cx, internal};

/// A new import; or, with an ImportId, one that failed or was stopped goes on.
pub async fn start_import(
    cx: Cx<'_>,
    input: StartImportRequest,
) -> Result<StartImportResponse, ApiError> {
    let is_new = input.destinations.is_some() || input.import_source.is_some();
    let id = match (&input.import_id, is_new) {
        (Some(_), true) => {
            return Err(invalid_parameter(
                "You cannot specify ImportId together with Destinations or ImportSource.",
            ));
        }
        (Some(_), false) => retried(cx, input.import_id).await?,
        (None, _) => begun(cx, input).await?,
    };
    Ok(shown(&find(cx, Some(id)).await?))
}

async fn retried(cx: Cx<'_>, id: Option<String>) -> Result<String, ApiError> {
    let import = find(cx, id).await?;
    if import.status.is_ongoing() {
        return Err(ongoing());
    }
    importable(cx, &import.asked.store_arn).await?;
    // Whoever stopped it before stopped it then.
    cx.node.imports.unwatch(import.number);
    let retried = cx.node.catalog.retry_import(import.number, cx.now.as_millisecond()).await;
    if retried.map_err(internal)? {
        return Ok(import.asked.id);
    }
    match import.status {
        catalog::ImportStatus::Completed => Err(invalid_parameter(format!(
            "Import {} is complete: there is nothing to try again.",
            import.asked.id
        ))),
        _ => Err(ongoing()),
    }
}

async fn begun(cx: Cx<'_>, input: StartImportRequest) -> Result<String, ApiError> {
    let destinations = input.destinations.unwrap_or_default();
    let [store] = destinations.as_slice() else {
        return Err(invalid_parameter("You must specify exactly one destination."));
    };
    let s3 = input.import_source.and_then(|source| source.s3);
    let s3 = s3.ok_or_else(|| invalid_parameter("You must specify an import source."))?;
    if input.start_event_time.zip(input.end_event_time).is_some_and(|(start, end)| start > end) {
        return Err(invalid_parameter("StartEventTime must not be later than EndEventTime."));
    }
    let store = importable(cx, store).await?;
    let source = ImportSource {
        s3_location_uri: s3.s3_location_uri.unwrap_or_default(),
        s3_bucket_region: s3.s3_bucket_region.unwrap_or_default(),
        s3_bucket_access_role_arn: s3.s3_bucket_access_role_arn.unwrap_or_default(),
    };
    check_source(cx, &source.s3_location_uri).await?;
    let import = NewImport {
        id: chance::uuid(cx.node.chance.as_ref()).to_string(),
        account: cx.account().to_owned(),
        region: cx.region.to_string(),
        store_arn: store.arn,
        source,
        start_ms: input.start_event_time.map(api::Timestamp::as_millis),
        end_ms: input.end_event_time.map(api::Timestamp::as_millis),
        created_ms: cx.now.as_millisecond(),
    };
    match cx.node.catalog.start_import(&import).await.map_err(internal)? {
        true => Ok(import.id),
        false => Err(ongoing()),
    }
}

/// The bucket is there and lets us list.
async fn check_source(cx: Cx<'_>, uri: &str) -> Result<(), ApiError> {
    let invalid = |why: String| ApiError::new(ErrorCode::InvalidImportSourceException, why);
    let source = Source::parse(uri, None, None).ok_or_else(|| {
        invalid(format!("{uri:?} is no S3 URI. Expected s3://<bucket>/<prefix>."))
    })?;
    let listed = match cx.node.source(cx.caller.account(), &source.bucket) {
        Ok(destination) => destination.list(&source.path, None).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    listed.map_err(|DeliveryFailure { code, status, detail, .. }| {
        tracing::info!(uri, code, detail, "import source check failed");
        match (code.as_str(), status) {
            ("NoSuchBucket", _) => invalid(format!("S3 bucket {} does not exist.", source.bucket)),
            (_, Some(403)) => invalid(format!("Access to S3 bucket {} is denied.", source.bucket)),
            (code, _) => ApiError::new(
                ErrorCode::ServiceUnavailable,
                format!("The store of bucket {} cannot be used now ({code}).", source.bucket),
            ),
        }
    })
}

fn ongoing() -> ApiError {
    ApiError::new(
        ErrorCode::AccountHasOngoingImportException,
        "This account has an import that is under way. Wait until it has ended, or stop it.",
    )
}

fn shown(import: &Import) -> StartImportResponse {
    StartImportResponse {
        import_id: Some(import.asked.id.clone()),
        destinations: Some(vec![import.asked.store_arn.clone()]),
        import_source: Some(source_shown(import)),
        start_event_time: import.asked.start_ms.and_then(time),
        end_event_time: import.asked.end_ms.and_then(time),
        import_status: Some(import.status.name().to_owned()),
        created_timestamp: time(import.asked.created_ms),
        updated_timestamp: time(import.updated_ms),
    }
}
