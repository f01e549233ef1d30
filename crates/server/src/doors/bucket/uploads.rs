//! Uploads in parts.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bucket::{Headers, PartFacts, StoreError};
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::buckets::check_acl;
use super::listing::{Encoding, limit};
use super::objects::{
    Features, PUT_BYTES_MAX, Sums, check_copy_source, check_features, condition, http_date,
    receive, source, verified_checksum,
};
use super::operations::{Context, not_implemented, owner, s3_time, store_error};

pub(super) async fn create(
    cx: Context,
    input: CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
    check_features(Features {
        encryption: input.server_side_encryption.is_some()
            || input.sse_customer_algorithm.is_some()
            || input.ssekms_key_id.is_some(),
        storage_class: input.storage_class.as_ref().map(StorageClass::as_str),
        tagging: input.tagging.is_some(),
        lock: input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some(),
        redirect: input.website_redirect_location.is_some(),
    })?;
    let headers = Headers {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        expires: input.expires.as_ref().map(http_date),
        user: input.metadata.unwrap_or_default().into_iter().collect(),
        checksum: None,
    };
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let upload = cx
        .blocking(move |store, call| store.create_upload(&bucket, &key, headers, call.now))
        .await?;
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(upload.id),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) async fn put_part(cx: Context, input: UploadPartInput) -> S3Result<UploadPartOutput> {
    not_implemented(input.sse_customer_algorithm.is_some(), "Encryption at rest")?;
    if input.content_length.is_none() {
        return Err(s3_error!(
            MissingContentLength,
            "You must provide the Content-Length HTTP header."
        ));
    }
    let number = part_number(input.part_number)?;
    let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
    let at = (bucket.clone(), key.clone(), id.clone());
    let writing = cx.blocking(move |store, _| store.put_part(&at.0, &at.1, &at.2, number)).await?;
    let writing = receive(input.body, writing).await?;
    let checksum = verified_checksum(&cx);
    let part = cx
        .blocking(move |store, call| {
            store.commit_part(writing, (&bucket, &key, &id), number, checksum, call.now)
        })
        .await?;
    let sums = Sums::of(part.checksum.as_ref());
    Ok(UploadPartOutput {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        e_tag: Some(ETag::Strong(part.etag)),
        ..UploadPartOutput::default()
    })
}

pub(super) async fn copy_part(
    cx: Context,
    input: UploadPartCopyInput,
    headers: &HeaderMap,
) -> S3Result<UploadPartCopyOutput> {
    let encrypted = input.sse_customer_algorithm.is_some()
        || input.copy_source_sse_customer_algorithm.is_some();
    not_implemented(encrypted, "Encryption at rest")?;
    let number = part_number(input.part_number)?;
    let (from_bucket, from_key) = source(&cx, &input.copy_source, headers)?;
    let reader = cx.blocking(move |store, _| store.get(&from_bucket, &from_key)).await?;
    check_copy_source(
        &reader.facts,
        input.copy_source_if_match.as_ref(),
        input.copy_source_if_none_match.as_ref(),
        input.copy_source_if_modified_since.as_ref(),
        input.copy_source_if_unmodified_since.as_ref(),
    )?;
    let range = match &input.copy_source_range {
        None => 0..reader.facts.size,
        Some(text) => copy_range(text, reader.facts.size).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
            )
        })?,
    };
    if range.end - range.start > PUT_BYTES_MAX {
        return Err(s3_error!(
            EntityTooLarge,
            "Your proposed upload exceeds the maximum allowed size"
        ));
    }
    let (bucket, key, id) = (input.bucket, input.key, input.upload_id);
    let part = cx
        .blocking(move |store, call| {
            store.copy_part(&reader, Some(range), (&bucket, &key, &id), number, call.now)
        })
        .await?;
    let result = CopyPartResult {
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(s3_time(part.last_modified)),
        ..CopyPartResult::default()
    };
    Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..UploadPartCopyOutput::default() })
}

/// `bytes=first-last`, both given and both within the source.
fn copy_range(text: &str, size: u64) -> Option<std::ops::Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < size).then_some(first..last + 1)
}

pub(super) async fn list_parts(cx: Context, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let limit = limit(input.max_parts)?;
    let after = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
    let mut parts = cx.blocking(move |store, _| store.parts(&bucket, &key, &id)).await?;
    parts.retain(|part| part.number > after);
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    let last = parts.last().map(|part| part.number as i32);
    let account = cx.store.bucket(&input.bucket).map_err(store_error)?.owner;
    let owner = owner(&account);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        initiator: Some(Initiator { display_name: None, id: owner.id.clone() }),
        owner: Some(owner),
        is_truncated: Some(truncated),
        max_parts: Some(limit as i32),
        part_number_marker: Some(after as i32),
        next_part_number_marker: last.filter(|_| truncated),
        parts: Some(parts.into_iter().map(listed_part).collect()),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        ..ListPartsOutput::default()
    })
}

fn listed_part(part: PartFacts) -> Part {
    let sums = Sums::of(part.checksum.as_ref());
    Part {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        e_tag: Some(ETag::Strong(part.etag)),
        last_modified: Some(s3_time(part.last_modified)),
        part_number: Some(part.number as i32),
        size: Some(part.size as i64),
    }
}

pub(super) async fn list(
    cx: Context,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    let has_delimiter = input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty());
    not_implemented(has_delimiter, "A delimiter in ListMultipartUploads")?;
    let encode = Encoding::asked(input.encoding_type.as_ref())?;
    let limit = limit(input.max_uploads)?;
    let prefix = input.prefix.clone().unwrap_or_default();
    let key_marker = input.key_marker.clone().unwrap_or_default();
    let bucket = input.bucket.clone();
    let mut uploads = cx.blocking(move |store, _| store.uploads(&bucket)).await?;
    uploads.retain(|upload| upload.key.starts_with(&prefix));
    if let Some(id_marker) = input.upload_id_marker.as_ref().filter(|_| !key_marker.is_empty()) {
        // Uploads of one key are in order of age, so the marker is a place in the list.
        let at = uploads.iter().position(|upload| upload.id == *id_marker);
        uploads.drain(..at.map_or(0, |at| at + 1));
        uploads.retain(|upload| upload.key >= key_marker);
    } else {
        uploads.retain(|upload| upload.key > key_marker);
    }
    let truncated = uploads.len() > limit;
    uploads.truncate(limit);
    let last = uploads.last().filter(|_| truncated).cloned();
    let account = cx.store.bucket(&input.bucket).map_err(store_error)?.owner;
    let uploads = uploads.into_iter().map(|upload| MultipartUpload {
        initiated: Some(s3_time(upload.initiated())),
        initiator: Some(Initiator { display_name: None, id: owner(&account).id }),
        key: Some(encode.text(&upload.key)),
        owner: Some(owner(&account)),
        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
        upload_id: Some(upload.id),
        ..MultipartUpload::default()
    });
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        encoding_type: input.encoding_type,
        is_truncated: Some(truncated),
        key_marker: input.key_marker.as_deref().map(|marker| encode.text(marker)),
        max_uploads: Some(limit as i32),
        next_key_marker: last.as_ref().map(|last| encode.text(&last.key)),
        next_upload_id_marker: last.map(|last| last.id),
        prefix: input.prefix.as_deref().map(|prefix| encode.text(prefix)),
        upload_id_marker: input.upload_id_marker,
        uploads: Some(uploads.collect()),
        ..ListMultipartUploadsOutput::default()
    })
}

pub(super) async fn complete(
    cx: Context,
    input: CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let given = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    if given.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let mut parts = Vec::new();
    for part in &given {
        let number = part_number(part.part_number.unwrap_or(0))?;
        let etag = part.e_tag.as_ref().map(|etag| etag.value().to_owned()).unwrap_or_default();
        parts.push((number, etag));
    }
    let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
    let stored = {
        let at = (bucket.clone(), key.clone(), id.clone());
        cx.blocking(move |store, _| store.parts(&at.0, &at.1, &at.2)).await?
    };
    check_part_checksums(&given, &stored)?;
    let whole = [
        ("CRC32", &input.checksum_crc32),
        ("CRC32C", &input.checksum_crc32c),
        ("CRC64NVME", &input.checksum_crc64nvme),
        ("SHA1", &input.checksum_sha1),
        ("SHA256", &input.checksum_sha256),
    ];
    for (algorithm, value) in whole {
        if let Some(value) = value {
            check_composite(algorithm, value, &parts, &stored)?;
        }
    }
    let expected_size = input.mpu_object_size.and_then(|size| u64::try_from(size).ok());
    let size: u64 = stored
        .iter()
        .filter(|part| parts.iter().any(|(number, _)| *number == part.number))
        .map(|part| part.size)
        .sum();
    if expected_size.is_some_and(|expected| expected != size) {
        return Err(s3_error!(
            InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match what was computed."
        ));
    }
    let facts = cx
        .blocking(move |store, call| {
            store.complete_upload((&bucket, &key, &id), &parts, &condition, call.now)
        })
        .await?;
    Ok(CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, Encoding::Url.text(&input.key))),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(ETag::Strong(facts.etag)),
        ..CompleteMultipartUploadOutput::default()
    })
}

/// A checksum that a part is given again when completing must be the one it was stored with.
fn check_part_checksums(given: &[CompletedPart], stored: &[PartFacts]) -> S3Result<()> {
    for part in given {
        let number = part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        let stored = stored.iter().find(|stored| stored.number == number);
        let sums = Sums::of(stored.and_then(|stored| stored.checksum.as_ref()));
        let pairs = [
            (&part.checksum_crc32, &sums.crc32),
            (&part.checksum_crc32c, &sums.crc32c),
            (&part.checksum_crc64nvme, &sums.crc64nvme),
            (&part.checksum_sha1, &sums.sha1),
            (&part.checksum_sha256, &sums.sha256),
        ];
        if pairs.iter().any(|(given, stored)| given.is_some() && given != stored) {
            return Err(store_error(StoreError::InvalidPart(number)));
        }
    }
    Ok(())
}

/// A composite checksum: that of the parts' checksums, a hyphen and their number.
/// Source: S3 user guide, "Checking object integrity", composite checksums.
fn check_composite(
    algorithm: &'static str,
    value: &str,
    parts: &[(u32, String)],
    stored: &[PartFacts],
) -> S3Result<()> {
    let Some((value, count)) = value.split_once('-') else {
        return Err(s3_error!(
            NotImplemented,
            "Checksums of a whole object that comes in parts are not implemented by this store."
        ));
    };
    let mut hasher = ChecksumHasher::default();
    match algorithm {
        "CRC32" => hasher.crc32 = Some(Crc32::new()),
        "CRC32C" => hasher.crc32c = Some(Crc32c::new()),
        "CRC64NVME" => hasher.crc64nvme = Some(Crc64Nvme::new()),
        "SHA1" => hasher.sha1 = Some(Sha1::new()),
        _ => hasher.sha256 = Some(Sha256::new()),
    }
    for (number, _) in parts {
        let part = stored.iter().find(|part| part.number == *number);
        let checksum = part.and_then(|part| part.checksum.as_ref());
        let bytes = checksum
            .filter(|checksum| checksum.algorithm == algorithm)
            .and_then(|checksum| BASE64_STANDARD.decode(&checksum.value).ok())
            .ok_or_else(|| store_error(StoreError::InvalidPart(*number)))?;
        hasher.update(&bytes);
    }
    let sums = hasher.finalize();
    let computed = [
        sums.checksum_crc32,
        sums.checksum_crc32c,
        sums.checksum_crc64nvme,
        sums.checksum_sha1,
        sums.checksum_sha256,
    ];
    let right = computed.into_iter().flatten().any(|computed| computed == value);
    if right && count.parse() == Ok(parts.len()) {
        return Ok(());
    }
    Err(s3_error!(
        BadDigest,
        "The {algorithm} you specified did not match the calculated checksum."
    ))
}

pub(super) async fn abort(
    cx: Context,
    input: AbortMultipartUploadInput,
) -> S3Result<AbortMultipartUploadOutput> {
    cx.blocking(move |store, _| store.abort_upload(&input.bucket, &input.key, &input.upload_id))
        .await?;
    Ok(AbortMultipartUploadOutput::default())
}

fn part_number(number: i32) -> S3Result<u32> {
    u32::try_from(number).map_err(|_| store_error(StoreError::PartNumber(0)))
}
