//! Operations on buckets.

use bucket::StoreError;
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::operations::{Context, not_implemented, owner, s3_time, store_error};

/// AWS: "General purpose buckets per account: 10,000"; a page is as long at most.
const BUCKETS_PAGE_MAX: usize = 10_000;
/// AWS: "Bucket policies are limited to 20 KB in size".
const POLICY_BYTES_MAX: usize = 20 * 1024;
const US_EAST_1: &str = "us-east-1";

pub(super) async fn list(cx: Context, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
    let account = cx.call.account();
    let prefix = input.prefix.as_deref().unwrap_or("");
    let after = input.continuation_token.as_deref().unwrap_or("");
    let mut found = cx.store.buckets();
    found.retain(|bucket| {
        bucket.owner == account
            && bucket.name.starts_with(prefix)
            && bucket.name.as_str() > after
            && input.bucket_region.as_ref().is_none_or(|region| *region == bucket.region)
    });
    let limit = match input.max_buckets {
        None => BUCKETS_PAGE_MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(0).clamp(1, BUCKETS_PAGE_MAX),
    };
    let truncated = found.len() > limit;
    found.truncate(limit);
    let continuation_token = found.last().filter(|_| truncated).map(|last| last.name.clone());
    let buckets = found
        .into_iter()
        .map(|bucket| Bucket {
            bucket_region: Some(bucket.region.clone()),
            creation_date: Some(s3_time(bucket.created())),
            name: Some(bucket.name),
        })
        .collect();
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        continuation_token,
        owner: Some(owner(account)),
        prefix: input.prefix,
    })
}

pub(super) async fn create(cx: Context, input: CreateBucketInput) -> S3Result<CreateBucketOutput> {
    check_acl(input.acl.as_ref().map(BucketCannedACL::as_str))?;
    not_implemented(input.object_lock_enabled_for_bucket == Some(true), "Object Lock")?;
    let asked = input.create_bucket_configuration.and_then(|c| c.location_constraint);
    let region = match asked.as_ref().map(BucketLocationConstraint::as_str) {
        Some("EU") => "eu-west-1".to_owned(),
        Some(US_EAST_1) => {
            return Err(s3_error!(
                InvalidLocationConstraint,
                "The specified location-constraint is not valid"
            ));
        }
        Some(region) => region.to_owned(),
        None => cx.call.region.clone(),
    };
    let name = input.bucket.clone();
    let made = cx
        .blocking(move |store, call| {
            match store.create_bucket(&name, call.account(), &region, call.now) {
                Err(StoreError::BucketExists { owner, .. }) if owner == call.account() => Ok(None),
                other => other.map(Some),
            }
        })
        .await?;
    if made.is_none() {
        return Err(s3_error!(
            BucketAlreadyOwnedByYou,
            "Your previous request to create the named bucket succeeded and you already own it."
        ));
    }
    Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
}

pub(super) async fn head(cx: Context, input: HeadBucketInput) -> S3Result<HeadBucketOutput> {
    let facts = cx.store.bucket(&input.bucket).map_err(store_error)?;
    Ok(HeadBucketOutput { bucket_region: Some(facts.region), ..HeadBucketOutput::default() })
}

pub(super) async fn delete(cx: Context, input: DeleteBucketInput) -> S3Result<DeleteBucketOutput> {
    cx.blocking(move |store, _| store.delete_bucket(&input.bucket)).await?;
    Ok(DeleteBucketOutput {})
}

pub(super) async fn location(
    cx: Context,
    input: GetBucketLocationInput,
) -> S3Result<GetBucketLocationOutput> {
    let region = cx.store.bucket(&input.bucket).map_err(store_error)?.region;
    // AWS: "Buckets in Region us-east-1 have a LocationConstraint of null".
    let location_constraint = (region != US_EAST_1).then(|| BucketLocationConstraint::from(region));
    Ok(GetBucketLocationOutput { location_constraint })
}

pub(super) async fn acl(cx: Context, input: GetBucketAclInput) -> S3Result<GetBucketAclOutput> {
    let facts = cx.store.bucket(&input.bucket).map_err(store_error)?;
    let owner = owner(&facts.owner);
    let grantee = Grantee {
        display_name: None,
        email_address: None,
        id: owner.id.clone(),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
    let grants = vec![Grant { grantee: Some(grantee), permission }];
    Ok(GetBucketAclOutput { grants: Some(grants), owner: Some(owner) })
}

pub(super) async fn policy(
    cx: Context,
    input: GetBucketPolicyInput,
) -> S3Result<GetBucketPolicyOutput> {
    let policy = cx.store.bucket(&input.bucket).map_err(store_error)?.policy;
    match policy {
        Some(policy) => Ok(GetBucketPolicyOutput { policy: Some(policy) }),
        None => Err(s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist")),
    }
}

pub(super) async fn put_policy(
    cx: Context,
    input: PutBucketPolicyInput,
) -> S3Result<PutBucketPolicyOutput> {
    if input.policy.len() > POLICY_BYTES_MAX {
        return Err(s3_error!(
            InvalidArgument,
            "The policy exceeds the maximum allowed size of 20 KB."
        ));
    }
    let document: Option<serde_json::Value> = serde_json::from_str(&input.policy).ok();
    let statements = document.as_ref().and_then(|document| document.get("Statement"));
    // Whether each statement makes sense is the evaluator's business; this much any policy has.
    if !statements.is_some_and(|statements| statements.is_array() || statements.is_object()) {
        return Err(s3_error!(
            MalformedPolicy,
            "Policies must be valid JSON and the first byte must be '{{', and have a Statement."
        ));
    }
    cx.blocking(move |store, _| store.set_policy(&input.bucket, Some(input.policy))).await?;
    Ok(PutBucketPolicyOutput {})
}

pub(super) async fn delete_policy(
    cx: Context,
    input: DeleteBucketPolicyInput,
) -> S3Result<DeleteBucketPolicyOutput> {
    cx.blocking(move |store, _| store.set_policy(&input.bucket, None)).await?;
    Ok(DeleteBucketPolicyOutput {})
}

/// Versioning has never been turned on: AWS answers that with an empty document.
pub(super) async fn versioning(
    _: Context,
    _: GetBucketVersioningInput,
) -> S3Result<GetBucketVersioningOutput> {
    Ok(GetBucketVersioningOutput::default())
}

pub(super) async fn put_versioning(
    _: Context,
    _: PutBucketVersioningInput,
) -> S3Result<PutBucketVersioningOutput> {
    Err(s3_error!(NotImplemented, "Versioning is not implemented by this store."))
}

/// Every object belongs to its bucket's owner, as with AWS's default "bucket owner enforced". So the
/// two ACLs that say just that are taken, and others refused.
pub(super) fn check_acl(canned: Option<&str>) -> S3Result<()> {
    match canned {
        None | Some("private" | "bucket-owner-full-control") => Ok(()),
        Some(_) => {
            let mut error =
                s3s::S3Error::new(s3s::S3ErrorCode::Custom("AccessControlListNotSupported".into()));
            error.set_message("The bucket does not allow ACLs");
            error.set_status_code(http::StatusCode::BAD_REQUEST);
            Err(error)
        }
    }
}
