//! What a bucket here is never configured with, in S3's answer for a bucket that is not: some say it with
//! an empty document, others with an error of their own. Auditing tools read all of them of every bucket
//! and take any other error for a failure of theirs.
//!
//! Setting one of these is still NotImplemented. Source: Amazon S3 API reference, each operation's page.

use http::StatusCode;
use s3s::dto::*;
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::operations::{Context, store_error};

pub(super) async fn acceleration(
    _: Context,
    _: GetBucketAccelerateConfigurationInput,
) -> S3Result<GetBucketAccelerateConfigurationOutput> {
    Ok(GetBucketAccelerateConfigurationOutput::default())
}

pub(super) async fn logging(
    _: Context,
    _: GetBucketLoggingInput,
) -> S3Result<GetBucketLoggingOutput> {
    Ok(GetBucketLoggingOutput::default())
}

pub(super) async fn notification(
    _: Context,
    _: GetBucketNotificationConfigurationInput,
) -> S3Result<GetBucketNotificationConfigurationOutput> {
    Ok(GetBucketNotificationConfigurationOutput::default())
}

/// Every object belongs to its bucket's owner, and ACLs do not count.
pub(super) async fn ownership(
    _: Context,
    _: GetBucketOwnershipControlsInput,
) -> S3Result<GetBucketOwnershipControlsOutput> {
    let object_ownership = ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED);
    let controls = OwnershipControls { rules: vec![OwnershipControlsRule { object_ownership }] };
    Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(controls) })
}

pub(super) async fn request_payment(
    _: Context,
    _: GetBucketRequestPaymentInput,
) -> S3Result<GetBucketRequestPaymentOutput> {
    Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(Payer::BUCKET_OWNER)) })
}

pub(super) async fn cors(_: Context, _: GetBucketCorsInput) -> S3Result<GetBucketCorsOutput> {
    Err(absent("NoSuchCORSConfiguration", "The CORS configuration does not exist"))
}

/// Objects are stored as they came: there is no default encryption, as there always is on AWS.
pub(super) async fn encryption(
    _: Context,
    _: GetBucketEncryptionInput,
) -> S3Result<GetBucketEncryptionOutput> {
    Err(absent(
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ))
}

pub(super) async fn lifecycle(
    _: Context,
    _: GetBucketLifecycleConfigurationInput,
) -> S3Result<GetBucketLifecycleConfigurationOutput> {
    Err(absent("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"))
}

pub(super) async fn object_lock(
    _: Context,
    _: GetObjectLockConfigurationInput,
) -> S3Result<GetObjectLockConfigurationOutput> {
    Err(absent(
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ))
}

pub(super) async fn policy_status(
    cx: Context,
    input: GetBucketPolicyStatusInput,
) -> S3Result<GetBucketPolicyStatusOutput> {
    match cx.store.bucket(&input.bucket).map_err(store_error)?.policy {
        None => Err(absent("NoSuchBucketPolicy", "The bucket policy does not exist")),
        Some(_) => Err(S3Error::with_message(
            S3ErrorCode::NotImplemented,
            "Whether a policy is public is not judged by this store.",
        )),
    }
}

pub(super) async fn public_access_block(
    _: Context,
    _: GetPublicAccessBlockInput,
) -> S3Result<GetPublicAccessBlockOutput> {
    Err(absent(
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ))
}

pub(super) async fn replication(
    _: Context,
    _: GetBucketReplicationInput,
) -> S3Result<GetBucketReplicationOutput> {
    Err(absent(
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ))
}

pub(super) async fn tagging(
    _: Context,
    _: GetBucketTaggingInput,
) -> S3Result<GetBucketTaggingOutput> {
    Err(absent("NoSuchTagSet", "The TagSet does not exist"))
}

pub(super) async fn website(
    _: Context,
    _: GetBucketWebsiteInput,
) -> S3Result<GetBucketWebsiteOutput> {
    Err(absent(
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ))
}

/// s3s does not know all of these codes, nor that each comes with 404.
fn absent(code: &'static str, message: &'static str) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::Custom(code.into()));
    error.set_message(message);
    error.set_status_code(StatusCode::NOT_FOUND);
    error
}
