//! May this caller do this with this bucket?
//!
//! ```text
//!   CloudTrail itself     its four operations; the bucket's policy has to allow them, and where there is
//!                         none the trail or store has to be of the bucket's owner
//!   anybody else          by its own policies and the bucket's, as `Policy` says
//! ```
//! The owner may always read, replace and delete the policy, so that nobody locks a bucket for good.

use std::net::IpAddr;
use std::sync::Arc;

use delivery::destination::SOURCE_ARN_HEADER;
use http::HeaderMap;
use jiff::Timestamp;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result, s3_error};

use crate::access::{Caller, Identity};

use super::Call;
use super::operations::store_error;

/// Decides a question about a bucket: `true` lets the request go on.
pub type Policy = Arc<dyn Fn(&PolicyQuestion<'_>) -> bool + Send + Sync>;

/// A request about a bucket, or about all of an account.
pub struct PolicyQuestion<'a> {
    /// The bucket policy's JSON, if there is one.
    pub policy: Option<&'a str>,
    pub caller: &'a Caller,
    pub source_ip: IpAddr,
    pub user_agent: Option<&'a str>,
    /// The Region of the signature's scope.
    pub region: &'a str,
    pub now: Timestamp,
    /// The account that owns the bucket.
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
        call: &Call,
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
        let mut policy = facts.policy.as_deref();
        if let Identity::Service { principal } = call.caller.identity() {
            if principal != CLOUDTRAIL || !CLOUDTRAIL_OPERATIONS.contains(&operation) {
                return Err(denied());
            }
            if policy.is_none() {
                let source = headers.get(SOURCE_ARN_HEADER).and_then(|value| value.to_str().ok());
                let account = source.and_then(|arn| arn.split(':').nth(4));
                return if account == Some(&facts.owner) { Ok(()) } else { Err(denied()) };
            }
        } else if operation.ends_with("BucketPolicy") && call.account() == facts.owner {
            policy = None;
        }
        let resource = match key {
            Some(key) => format!("arn:aws:s3:::{bucket}/{key}"),
            None => format!("arn:aws:s3:::{bucket}"),
        };
        self.ask(call, policy, &facts.owner, action(operation), &resource, headers)
    }

    fn ask(
        &self,
        call: &Call,
        policy: Option<&str>,
        owner: &str,
        action: &str,
        resource: &str,
        headers: &HeaderMap,
    ) -> S3Result<()> {
        let question = PolicyQuestion {
            policy,
            caller: &call.caller,
            source_ip: call.source_ip,
            user_agent: call.user_agent.as_deref(),
            region: &call.region,
            now: call.now,
            owner,
            action,
            resource,
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
        let own = |action, resource: &str| {
            self.ask(&call, None, call.account(), action, resource, cx.headers())
        };
        match operation.as_str() {
            "ListBuckets" | "CreateBucket" if is_service => Err(denied()),
            "ListBuckets" => own("s3:ListAllMyBuckets", "*"),
            "CreateBucket" => {
                let bucket = cx.s3_path().get_bucket_name().ok_or_else(denied)?;
                own("s3:CreateBucket", &format!("arn:aws:s3:::{bucket}"))
            }
            _ => {
                let bucket = cx.s3_path().get_bucket_name().ok_or_else(denied)?;
                let key = cx.s3_path().get_object_key();
                self.judge(&call, &operation, bucket, key, cx.headers())
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
        "GetBucketAccelerateConfiguration" => "s3:GetAccelerateConfiguration",
        "GetBucketCors" => "s3:GetBucketCORS",
        "GetBucketEncryption" => "s3:GetEncryptionConfiguration",
        "GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
        "GetBucketLogging" => "s3:GetBucketLogging",
        "GetBucketNotificationConfiguration" => "s3:GetBucketNotification",
        "GetBucketOwnershipControls" => "s3:GetBucketOwnershipControls",
        "GetBucketPolicyStatus" => "s3:GetBucketPolicyStatus",
        "GetBucketReplication" => "s3:GetReplicationConfiguration",
        "GetBucketRequestPayment" => "s3:GetBucketRequestPayment",
        "GetBucketTagging" => "s3:GetBucketTagging",
        "GetBucketWebsite" => "s3:GetBucketWebsite",
        "GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
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
