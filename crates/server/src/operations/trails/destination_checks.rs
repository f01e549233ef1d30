//! The checks of CreateTrail and UpdateTrail on the bucket, in AWS's order (spec b.3): does it
//! exist, may we write there; the second leaves CloudTrail's empty marker objects behind.

use api::{ApiError, ErrorCode};
use catalog::TrailSettings;
use delivery::layout::{Folder, marker_key};

use crate::operations::Cx;

pub async fn check_destination(
    cx: Cx<'_>,
    trail_arn: &str,
    settings: &TrailSettings,
    with_digests: bool,
) -> Result<(), ApiError> {
    let bucket = &settings.s3_bucket_name;
    let destination = match cx.node.destination(bucket) {
        Ok(destination) => destination,
        Err(why) => return Err(unavailable(bucket, &why)),
    };
    destination.check_bucket().await.map_err(|failure| refused(trail_arn, bucket, failure))?;
    if !cx.node.settings.preflight_markers {
        return Ok(());
    }
    let mut folders = vec![Folder::CloudTrail];
    if with_digests {
        folders.push(Folder::Digest);
    }
    for folder in folders {
        let key = marker_key(settings.s3_key_prefix.as_deref(), None, cx.account(), folder);
        destination.put_marker(&key).await.map_err(|failure| refused(trail_arn, bucket, failure))?;
    }
    Ok(())
}

fn refused(trail_arn: &str, bucket: &str, failure: delivery::DeliveryFailure) -> ApiError {
    tracing::info!(trail = trail_arn, bucket, code = failure.code, detail = failure.detail, "destination check failed");
    match failure.code.as_str() {
        "NoSuchBucket" => {
            ApiError::new(ErrorCode::S3BucketDoesNotExistException, format!("S3 bucket {bucket} does not exist!"))
        }
        "AccessDenied" | "Forbidden" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" => ApiError::new(
            ErrorCode::InsufficientS3BucketPolicyException,
            format!("Incorrect S3 bucket policy is detected for bucket: {bucket}"),
        ),
        _ => unavailable(bucket, &format!("{}: {}", failure.code, failure.detail)),
    }
}

fn unavailable(bucket: &str, why: &str) -> ApiError {
    ApiError::new(ErrorCode::ServiceUnavailable, format!("The store that holds bucket {bucket} cannot be used now ({why})."))
}
