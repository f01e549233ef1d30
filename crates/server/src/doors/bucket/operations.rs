//! The table of operations: what s3s calls, and where it is done. What is not here, s3s answers with
//! NotImplemented.

use std::sync::Arc;

use bucket::{Store, StoreError};
use http::Extensions;
use s3s::dto::*;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::admission::{Admission, denied};
use super::{Call, buckets, configurations, listing, objects, uploads};

pub(super) struct Operations {
    store: Arc<Store>,
    admission: Admission,
}

/// What every operation works with.
pub(super) struct Context {
    pub store: Arc<Store>,
    pub admission: Admission,
    pub call: Arc<Call>,
}

impl Operations {
    pub fn new(store: Arc<Store>, admission: Admission) -> Self {
        Self { store, admission }
    }

    fn context(&self, extensions: &Extensions) -> S3Result<Context> {
        // Admission has found it there already.
        let call = extensions.get::<Arc<Call>>().cloned().ok_or_else(denied)?;
        Ok(Context { store: self.store.clone(), admission: self.admission.clone(), call })
    }
}

impl Context {
    /// Runs blocking work on the store away from the runtime's threads.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store, &Call) -> Result<T, StoreError> + Send + 'static,
    ) -> S3Result<T> {
        let (store, call) = (self.store.clone(), self.call.clone());
        let done = tokio::task::spawn_blocking(move || work(&store, &call)).await;
        done.map_err(|_| internal())?.map_err(store_error)
    }
}

macro_rules! operations {
    ($($name:ident($input:ty) -> $output:ty: $done_by:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Operations {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let cx = self.context(&request.extensions)?;
                $done_by(cx, request.input).await.map(S3Response::new)
            })*

            async fn delete_objects(
                &self,
                request: S3Request<DeleteObjectsInput>,
            ) -> S3Result<S3Response<DeleteObjectsOutput>> {
                let cx = self.context(&request.extensions)?;
                objects::delete_many(cx, request.input, &request.headers).await.map(S3Response::new)
            }

            async fn copy_object(
                &self,
                request: S3Request<CopyObjectInput>,
            ) -> S3Result<S3Response<CopyObjectOutput>> {
                let cx = self.context(&request.extensions)?;
                objects::copy(cx, request.input, &request.headers).await.map(S3Response::new)
            }

            async fn upload_part_copy(
                &self,
                request: S3Request<UploadPartCopyInput>,
            ) -> S3Result<S3Response<UploadPartCopyOutput>> {
                let cx = self.context(&request.extensions)?;
                uploads::copy_part(cx, request.input, &request.headers).await.map(S3Response::new)
            }
        }
    };
}

operations! {
    list_buckets(ListBucketsInput) -> ListBucketsOutput: buckets::list;
    create_bucket(CreateBucketInput) -> CreateBucketOutput: buckets::create;
    head_bucket(HeadBucketInput) -> HeadBucketOutput: buckets::head;
    delete_bucket(DeleteBucketInput) -> DeleteBucketOutput: buckets::delete;
    get_bucket_location(GetBucketLocationInput) -> GetBucketLocationOutput: buckets::location;
    get_bucket_acl(GetBucketAclInput) -> GetBucketAclOutput: buckets::acl;
    get_bucket_policy(GetBucketPolicyInput) -> GetBucketPolicyOutput: buckets::policy;
    put_bucket_policy(PutBucketPolicyInput) -> PutBucketPolicyOutput: buckets::put_policy;
    delete_bucket_policy(DeleteBucketPolicyInput) -> DeleteBucketPolicyOutput: buckets::delete_policy;
    get_bucket_versioning(GetBucketVersioningInput) -> GetBucketVersioningOutput: buckets::versioning;
    put_bucket_versioning(PutBucketVersioningInput) -> PutBucketVersioningOutput: buckets::put_versioning;
    get_bucket_accelerate_configuration(GetBucketAccelerateConfigurationInput) -> GetBucketAccelerateConfigurationOutput: configurations::acceleration;
    get_bucket_cors(GetBucketCorsInput) -> GetBucketCorsOutput: configurations::cors;
    get_bucket_encryption(GetBucketEncryptionInput) -> GetBucketEncryptionOutput: configurations::encryption;
    get_bucket_lifecycle_configuration(GetBucketLifecycleConfigurationInput) -> GetBucketLifecycleConfigurationOutput: configurations::lifecycle;
    get_bucket_logging(GetBucketLoggingInput) -> GetBucketLoggingOutput: configurations::logging;
    get_bucket_notification_configuration(GetBucketNotificationConfigurationInput) -> GetBucketNotificationConfigurationOutput: configurations::notification;
    get_bucket_ownership_controls(GetBucketOwnershipControlsInput) -> GetBucketOwnershipControlsOutput: configurations::ownership;
    get_bucket_policy_status(GetBucketPolicyStatusInput) -> GetBucketPolicyStatusOutput: configurations::policy_status;
    get_bucket_replication(GetBucketReplicationInput) -> GetBucketReplicationOutput: configurations::replication;
    get_bucket_request_payment(GetBucketRequestPaymentInput) -> GetBucketRequestPaymentOutput: configurations::request_payment;
    get_bucket_tagging(GetBucketTaggingInput) -> GetBucketTaggingOutput: configurations::tagging;
    get_bucket_website(GetBucketWebsiteInput) -> GetBucketWebsiteOutput: configurations::website;
    get_object_lock_configuration(GetObjectLockConfigurationInput) -> GetObjectLockConfigurationOutput: configurations::object_lock;
    get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput: configurations::public_access_block;
    list_objects(ListObjectsInput) -> ListObjectsOutput: listing::first_version;
    list_objects_v2(ListObjectsV2Input) -> ListObjectsV2Output: listing::second_version;
    put_object(PutObjectInput) -> PutObjectOutput: objects::put;
    get_object(GetObjectInput) -> GetObjectOutput: objects::get;
    head_object(HeadObjectInput) -> HeadObjectOutput: objects::head;
    delete_object(DeleteObjectInput) -> DeleteObjectOutput: objects::delete;
    create_multipart_upload(CreateMultipartUploadInput) -> CreateMultipartUploadOutput: uploads::create;
    upload_part(UploadPartInput) -> UploadPartOutput: uploads::put_part;
    list_parts(ListPartsInput) -> ListPartsOutput: uploads::list_parts;
    list_multipart_uploads(ListMultipartUploadsInput) -> ListMultipartUploadsOutput: uploads::list;
    complete_multipart_upload(CompleteMultipartUploadInput) -> CompleteMultipartUploadOutput: uploads::complete;
    abort_multipart_upload(AbortMultipartUploadInput) -> AbortMultipartUploadOutput: uploads::abort;
}

/// S3's code and sentence for what the store says.
pub(super) fn store_error(error: StoreError) -> S3Error {
    match &error {
        StoreError::NoSuchBucket(_) => {
            s3_error!(NoSuchBucket, "The specified bucket does not exist")
        }
        // Who owns it decides between two codes; `buckets::create` does.
        StoreError::BucketExists { .. } => s3_error!(
            BucketAlreadyExists,
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again."
        ),
        StoreError::BucketNotEmpty(_) => {
            s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty")
        }
        StoreError::InvalidBucketName(_, fault) => {
            s3_error!(InvalidBucketName, "The specified bucket is not valid: {fault}.")
        }
        StoreError::NoSuchKey(_) => s3_error!(NoSuchKey, "The specified key does not exist."),
        StoreError::KeyLength(_) => s3_error!(KeyTooLongError, "Your key is too long"),
        StoreError::PreconditionFailed(_) => precondition_failed(),
        StoreError::NoSuchUpload(_) => s3_error!(
            NoSuchUpload,
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
        ),
        StoreError::InvalidPart(_) => s3_error!(
            InvalidPart,
            "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
        ),
        StoreError::InvalidPartOrder => s3_error!(
            InvalidPartOrder,
            "The list of parts was not in ascending order. Parts must be ordered by part number."
        ),
        StoreError::PartTooSmall { .. } => s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ),
        StoreError::PartNumber(_) => s3_error!(
            InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive"
        ),
        StoreError::MetadataTooLarge(_) => s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ),
        StoreError::DiskFull { .. } => {
            tracing::error!(%error, "the disk is full");
            s3_error!(ServiceUnavailable, "The disk of this server is full. Nothing was stored.")
        }
        StoreError::Damaged { .. } | StoreError::Io { .. } => {
            tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
            internal()
        }
    }
}

pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

pub(super) fn internal() -> S3Error {
    s3_error!(InternalError, "We encountered an internal error. Please try again.")
}

/// Refuses a feature that we would otherwise only pretend to have.
pub(super) fn not_implemented(asked: bool, what: &str) -> S3Result<()> {
    match asked {
        true => Err(s3_error!(NotImplemented, "{what} is not implemented by this store.")),
        false => Ok(()),
    }
}

pub(super) fn s3_time(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from(std::time::SystemTime::from(time))
}

/// S3's canonical user id of an account: 64 hexadecimal digits that say nothing else.
pub(super) fn owner(account: &str) -> Owner {
    let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, account.as_bytes());
    Owner { display_name: None, id: Some(hex::encode(id)) }
}
