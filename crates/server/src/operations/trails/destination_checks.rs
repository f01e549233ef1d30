//! The checks of CreateTrail and UpdateTrail on the bucket, in AWS's order (spec b.3): does it
//! exist, may we write there; the second leaves CloudTrail's empty marker objects behind.

use api::{ApiError, ErrorCode};
use catalog::TrailSettings;
use delivery::destination::DeliveryFailure;
use delivery::layout::{Folder, MarkerKey};

use crate::operations::Cx;

pub async fn check_destination(
    cx: Cx<'_>,
    trail_arn: &str,
    settings: &TrailSettings,
) -> Result<(), ApiError> {
    let bucket = &settings.s3_bucket_name;
    let marker = |folder| marker(trail_arn, settings, folder);
    let markers = match (cx.node.settings.preflight_markers, settings.log_file_validation_enabled) {
        (false, _) => vec![],
        (true, false) => vec![marker(Folder::CloudTrail)],
        (true, true) => vec![marker(Folder::CloudTrail), marker(Folder::Digest)],
    };
    check_markers(cx, trail_arn, bucket, &markers).await
}

/// As [`check_destination`], of one folder: for what a trail begins to deliver later.
pub async fn check_folder(
    cx: Cx<'_>,
    trail_arn: &str,
    settings: &TrailSettings,
    folder: Folder,
) -> Result<(), ApiError> {
    let markers = match cx.node.settings.preflight_markers {
        true => vec![marker(trail_arn, settings, folder)],
        false => vec![],
    };
    check_markers(cx, trail_arn, &settings.s3_bucket_name, &markers).await
}

/// In the folder of the account that owns the trail; an organization trail's is in the organization's.
fn marker(trail_arn: &str, settings: &TrailSettings, folder: Folder) -> MarkerKey {
    MarkerKey {
        prefix: settings.s3_key_prefix.clone(),
        organization: settings.organization.clone(),
        account: trail_arn.split(':').nth(4).unwrap_or_default().to_owned(),
        folder,
    }
}

async fn check_markers(
    cx: Cx<'_>,
    trail_arn: &str,
    bucket: &str,
    markers: &[MarkerKey],
) -> Result<(), ApiError> {
    let checked = match cx.node.destination(bucket) {
        Ok(destination) => destination.check_bucket(markers, &cx.node.put_headers(trail_arn)).await,
        Err(failure) => Err(failure),
    };
    checked.map_err(|failure| refused(trail_arn, bucket, failure))
}

fn refused(trail_arn: &str, bucket: &str, failure: DeliveryFailure) -> ApiError {
    tracing::info!(
        trail = trail_arn,
        bucket,
        code = failure.code,
        detail = failure.detail,
        "destination check failed"
    );
    match failure.code.as_str() {
        "NoSuchBucket" => ApiError::new(
            ErrorCode::S3BucketDoesNotExistException,
            format!("S3 bucket {bucket} does not exist!"),
        ),
        _ if failure.status == Some(403) => ApiError::new(
            ErrorCode::InsufficientS3BucketPolicyException,
            format!("Incorrect S3 bucket policy is detected for bucket: {bucket}"),
        ),
        _ => unavailable(bucket, &format!("{}: {}", failure.code, failure.detail)),
    }
}

fn unavailable(bucket: &str, why: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ServiceUnavailable,
        format!("The store that holds bucket {bucket} cannot be used now ({why})."),
    )
}
