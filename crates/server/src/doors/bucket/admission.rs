//! May this caller do this with this bucket?
//!
//! ```text
//!   bucket policy?   owner's account          CloudTrail itself           anybody else
//!   none             yes                      its four operations         no
//!   there is one     unless it denies (asked) its four, if it allows      if it allows
//! ```
//! The owner may always read, replace and delete the policy, so that nobody locks a bucket for good.

use std::sync::Arc;

use http::HeaderMap;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result, s3_error};

use crate::access::{Caller, Identity};

use super::Call;
use super::operations::store_error;

/// Decides a question about a bucket that has a policy: `true` lets the request go on.
pub type Policy = Arc<dyn Fn(&PolicyQuestion<'_>) -> bool + Send + Sync>;

/// A request to a bucket that has a policy.
pub struct PolicyQuestion<'a> {
    /// The bucket policy's JSON.
    pub policy: &'a str,
    pub caller: &'a Caller,
    /// The account that owns the bucket. Its own callers need no `Allow`: for them the answer should
    /// be `true` unless a statement denies.
    pub owner: &'a str,
    /// Such as `s3:PutObject`.
    pub action: &'a str,
    /// Such as `arn:aws:s3:::logs` or `arn:aws:s3:::logs/key`.
    pub resource: &'a str,
    /// For conditions: `x-amz-acl` and the like.
    pub headers: &'a HeaderMap,
}

const CLOUDTRAIL: &str = "cloudtrail.amazonaws.com";
/// What CloudTrail needs of a destination (issue 2, item 8; CloudTrail user guide, bucket policy).
const CLOUDTRAIL_OPERATIONS: [&str; 4] =
    ["GetBucketAcl", "GetBucketLocation", "HeadBucket", "PutObject"];

#[derive(Clone)]
pub(super) struct Admission {
    store: Arc<bucket::Store>,
    policy: Policy,
}

impl Admission {
    pub fn new(store: Arc<bucket::Store>, policy: Policy) -> Self {
        Self { store, policy }
    }

    /// Judges `operation` on a bucket that must exist, and on a key of it if the operation has one.
    pub fn judge(
        &self,
        caller: &Caller,
        operation: &str,
        bucket: &str,
        key: Option<&str>,
        headers: &HeaderMap,
    ) -> S3Result<()> {
        let facts = self.store.bucket(bucket).map_err(store_error)?;
        let expected = headers.get("x-amz-expected-bucket-owner").map(|value| value.as_bytes());
        if expected.is_some_and(|expected| expected != facts.owner.as_bytes()) {
            return Err(denied());
        }
        let service = match caller.identity() {
            Identity::Service { principal } => Some(principal.as_str()),
            _ => None,
        };
        let own = service.is_none() && caller.account().as_str() == facts.owner;
        let its_own_policy = operation.ends_with("BucketPolicy");
        if own && (facts.policy.is_none() || its_own_policy) {
            return Ok(());
        }
        let cloudtrail = service == Some(CLOUDTRAIL) && CLOUDTRAIL_OPERATIONS.contains(&operation);
        if service.is_some() && !cloudtrail {
            return Err(denied());
        }
        let Some(policy) = &facts.policy else {
            return if cloudtrail { Ok(()) } else { Err(denied()) };
        };
        let resource = match key {
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        let question = PolicyQuestion {
            policy,
            caller,
            owner: &facts.owner,
            action: action(operation),
            resource: &resource,
            headers,
        };
        if (self.policy)(&question) { Ok(()) } else { Err(denied()) }
    }
}

#[async_trait::async_trait]
impl S3Access for Admission {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let call = cx.extensions_mut().get::<Arc<Call>>().cloned().ok_or_else(denied)?;
        *call.operation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Some(operation.clone());
        let is_service = matches!(call.caller.identity(), Identity::Service { .. });
        match operation.as_str() {
            "ListBuckets" | "CreateBucket" if is_service => Err(denied()),
            "ListBuckets" | "CreateBucket" => Ok(()),
            _ => {
                let bucket = cx.s3_path().get_bucket_name().ok_or_else(denied)?;
                let key = cx.s3_path().get_object_key();
                self.judge(&call.caller, &operation, bucket, key, cx.headers())
            }
        }
    }
}

/// The IAM action that permits an operation. Source: service authorization reference, "Actions defined
/// by Amazon S3", where it differs from the operation's name.
fn action(operation: &str) -> &'static str {
    match operation {
        "GetObject" | "HeadObject" => "s3:GetObject",
        "PutObject"
        | "CopyObject"
        | "CreateMultipartUpload"
        | "UploadPart"
        | "UploadPartCopy"
        | "CompleteMultipartUpload" => "s3:PutObject",
        "DeleteObject" | "DeleteObjects" => "s3:DeleteObject",
        "AbortMultipartUpload" => "s3:AbortMultipartUpload",
        "ListParts" => "s3:ListMultipartUploadParts",
        "ListMultipartUploads" => "s3:ListBucketMultipartUploads",
        "HeadBucket" | "ListObjects" | "ListObjectsV2" => "s3:ListBucket",
        "DeleteBucket" => "s3:DeleteBucket",
        "GetBucketAcl" => "s3:GetBucketAcl",
        "GetBucketLocation" => "s3:GetBucketLocation",
        "GetBucketPolicy" => "s3:GetBucketPolicy",
        "PutBucketPolicy" => "s3:PutBucketPolicy",
        "DeleteBucketPolicy" => "s3:DeleteBucketPolicy",
        "GetBucketVersioning" => "s3:GetBucketVersioning",
        "PutBucketVersioning" => "s3:PutBucketVersioning",
        // Operations this door does not have end in NotImplemented, whoever asks.
        _ => "s3:Unknown",
    }
}

pub(super) fn denied() -> S3Error {
    s3_error!(AccessDenied, "Access Denied")
}

/// Authentication is done before s3s sees a request, so a signature that s3s finds is no signature.
pub(super) struct NoSecrets;

#[async_trait::async_trait]
impl S3Auth for NoSecrets {
    async fn get_secret_key(&self, _: &str) -> S3Result<SecretKey> {
        Err(denied())
    }
}
