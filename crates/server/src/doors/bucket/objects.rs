//! Operations on objects.

use std::io;
use std::sync::{Arc, PoisonError};

use bucket::{Condition, Headers, ObjectFacts, ObjectReader, Writing};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::HeaderMap;
use s3s::dto::*;
use s3s::{S3Error, S3Result, s3_error};

use super::body::body_error;
use super::buckets::check_acl;
use super::operations::{
    Context, internal, not_implemented, precondition_failed, s3_time, store_error,
};

/// Bytes moved between the network and the disk at a time.
const BLOCK_BYTES: usize = 256 * 1024;
/// AWS: "DeleteObjects … up to 1,000 keys".
const DELETE_KEYS_MAX: usize = 1000;
/// AWS: a single put (or copy) takes at most 5 GB.
pub(super) const PUT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;

pub(super) async fn put(cx: Context, input: PutObjectInput) -> S3Result<PutObjectOutput> {
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
    not_implemented(input.write_offset_bytes.is_some(), "Appending")?;
    if input.content_length.is_none() {
        return Err(s3_error!(
            MissingContentLength,
            "You must provide the Content-Length HTTP header."
        ));
    }
    let condition = condition(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let mut headers = Headers {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        expires: input.expires.as_ref().map(http_date),
        user: input.metadata.unwrap_or_default().into_iter().collect(),
        checksum: None,
    };
    let (bucket, key) = (input.bucket, input.key);
    let writing = cx.blocking(move |store, _| store.put(&bucket, &key)).await?;
    let writing = receive(input.body, writing).await?;
    headers.checksum = verified_checksum(&cx);
    let facts = cx.blocking(move |_, call| writing.commit(headers, &condition, call.now)).await?;
    let sums = Sums::of(facts.headers.checksum.as_ref());
    Ok(PutObjectOutput {
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: sums.kind,
        e_tag: Some(ETag::Strong(facts.etag)),
        ..PutObjectOutput::default()
    })
}

/// Writes a body as it comes. Only a body that ended well gives the writing back.
pub(super) async fn receive(
    body: Option<StreamingBlob>,
    mut writing: Writing,
) -> S3Result<Writing> {
    let Some(mut body) = body else { return Ok(writing) };
    let mut block: Vec<u8> = Vec::new();
    let mut written: u64 = 0;
    loop {
        let piece = body.next().await.transpose().map_err(body_error)?;
        let ended = piece.is_none();
        if let Some(piece) = piece {
            written += piece.len() as u64;
            block.extend_from_slice(&piece);
        }
        if written > PUT_BYTES_MAX {
            return Err(s3_error!(
                EntityTooLarge,
                "Your proposed upload exceeds the maximum allowed size"
            ));
        }
        if block.len() >= BLOCK_BYTES || ended && !block.is_empty() {
            let whole = std::mem::take(&mut block);
            let write = move || writing.write(&whole).map(|()| writing);
            let done = tokio::task::spawn_blocking(write).await;
            writing = done.map_err(|_| internal())?.map_err(store_error)?;
        }
        if ended {
            return Ok(writing);
        }
    }
}

/// The checksum that came with the body, once `receive` has seen its end.
pub(super) fn verified_checksum(cx: &Context) -> Option<bucket::Checksum> {
    cx.call.received.lock().unwrap_or_else(PoisonError::into_inner).checksum.clone()
}

pub(super) async fn get(cx: Context, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    check_version(input.version_id.as_deref())?;
    let (bucket, key) = (input.bucket, input.key);
    let reader = cx.blocking(move |store, _| store.get(&bucket, &key)).await?;
    check_read(
        &reader.facts,
        input.if_match.as_ref(),
        input.if_none_match.as_ref(),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    )?;
    let part = Part::asked(&reader.facts, input.range, input.part_number)?;
    let facts = reader.facts.clone();
    let last_modified = facts.last_modified();
    let headers = facts.headers;
    let with_checksum = part.content_range.is_none()
        && input.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let sums = Sums::of(headers.checksum.as_ref().filter(|_| with_checksum));
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        body: Some(stream_of(reader, part.start, part.end)),
        cache_control: headers.cache_control,
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: sums.kind,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_length: Some((part.end - part.start) as i64),
        content_range: part.content_range,
        content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(facts.etag)),
        expires: headers.expires.as_deref().and_then(parse_http_date),
        last_modified: Some(s3_time(last_modified)),
        metadata: Some(headers.user.into_iter().collect()),
        ..GetObjectOutput::default()
    })
}

/// AWS: objects put without a type have this one.
const DEFAULT_TYPE: &str = "binary/octet-stream";

fn stream_of(reader: ObjectReader, start: u64, end: u64) -> StreamingBlob {
    let reader = Arc::new(reader);
    StreamingBlob::wrap(stream::try_unfold((reader, start), move |(reader, offset)| async move {
        if offset >= end {
            return Ok::<_, io::Error>(None);
        }
        let read = move || {
            let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX).min(BLOCK_BYTES);
            let mut block = vec![0; wanted];
            let read = reader.read_at(&mut block, offset)?;
            block.truncate(read);
            Ok::<_, io::Error>((Bytes::from(block), reader))
        };
        let (block, reader) =
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        if block.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let next = offset + block.len() as u64;
        Ok(Some((block, (reader, next))))
    }))
}

pub(super) async fn head(cx: Context, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    check_version(input.version_id.as_deref())?;
    let (bucket, key) = (input.bucket, input.key);
    let facts = cx.blocking(move |store, _| Ok(store.get(&bucket, &key)?.facts)).await?;
    check_read(
        &facts,
        input.if_match.as_ref(),
        input.if_none_match.as_ref(),
        input.if_modified_since.as_ref(),
        input.if_unmodified_since.as_ref(),
    )?;
    let part = Part::asked(&facts, input.range, input.part_number)?;
    let last_modified = facts.last_modified();
    let headers = facts.headers;
    let with_checksum =
        input.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let sums = Sums::of(headers.checksum.as_ref().filter(|_| with_checksum));
    Ok(HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        cache_control: headers.cache_control,
        checksum_crc32: sums.crc32,
        checksum_crc32c: sums.crc32c,
        checksum_crc64nvme: sums.crc64nvme,
        checksum_sha1: sums.sha1,
        checksum_sha256: sums.sha256,
        checksum_type: sums.kind,
        content_disposition: headers.content_disposition,
        content_encoding: headers.content_encoding,
        content_language: headers.content_language,
        content_length: Some((part.end - part.start) as i64),
        content_range: part.content_range,
        content_type: Some(headers.content_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned())),
        e_tag: Some(ETag::Strong(facts.etag)),
        expires: headers.expires.as_deref().and_then(parse_http_date),
        last_modified: Some(s3_time(last_modified)),
        metadata: Some(headers.user.into_iter().collect()),
        ..HeadObjectOutput::default()
    })
}

pub(super) async fn delete(cx: Context, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
    check_version(input.version_id.as_deref())?;
    not_implemented(input.if_match.is_some(), "A conditional delete")?;
    cx.blocking(move |store, _| store.delete(&input.bucket, &input.key)).await?;
    Ok(DeleteObjectOutput::default())
}

pub(super) async fn delete_many(
    cx: Context,
    input: DeleteObjectsInput,
    headers: &HeaderMap,
) -> S3Result<DeleteObjectsOutput> {
    let Delete { objects, quiet } = input.delete;
    if objects.is_empty() || objects.len() > DELETE_KEYS_MAX {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in objects {
        let key = object.key.clone();
        let outcome = match cx.admission.judge(
            &cx.call,
            "DeleteObject",
            &input.bucket,
            Some(&key),
            headers,
        ) {
            Err(refused) => Err(refused),
            Ok(()) => match check_version(object.version_id.as_deref()) {
                Err(refused) => Err(refused),
                Ok(()) => {
                    let bucket = input.bucket.clone();
                    cx.blocking(move |store, _| store.delete(&bucket, &key)).await
                }
            },
        };
        match outcome {
            Ok(()) => {
                deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() })
            }
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key: Some(object.key),
                version_id: None,
            }),
        }
    }
    let shown = (quiet != Some(true)).then_some(deleted);
    Ok(DeleteObjectsOutput { deleted: shown, errors: Some(errors), request_charged: None })
}

pub(super) async fn copy(
    cx: Context,
    input: CopyObjectInput,
    headers: &HeaderMap,
) -> S3Result<CopyObjectOutput> {
    check_acl(input.acl.as_ref().map(ObjectCannedACL::as_str))?;
    check_features(Features {
        encryption: input.server_side_encryption.is_some()
            || input.sse_customer_algorithm.is_some()
            || input.copy_source_sse_customer_algorithm.is_some()
            || input.ssekms_key_id.is_some(),
        storage_class: input.storage_class.as_ref().map(StorageClass::as_str),
        tagging: input.tagging.is_some(),
        lock: input.object_lock_mode.is_some() || input.object_lock_legal_hold_status.is_some(),
        redirect: input.website_redirect_location.is_some(),
    })?;
    let (from_bucket, from_key) = source(&cx, &input.copy_source, headers)?;
    let replaces =
        input.metadata_directive.is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
    if !replaces && (&from_bucket, &from_key) == (&input.bucket, &input.key) {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    let new_headers = replaces.then(|| Headers {
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        content_language: input.content_language,
        expires: input.expires.as_ref().map(http_date),
        user: input.metadata.unwrap_or_default().into_iter().collect(),
        checksum: None,
    });
    let source_facts = {
        let (bucket, key) = (from_bucket.clone(), from_key.clone());
        cx.blocking(move |store, _| Ok(store.get(&bucket, &key)?.facts)).await?
    };
    check_copy_source(
        &source_facts,
        input.copy_source_if_match.as_ref(),
        input.copy_source_if_none_match.as_ref(),
        input.copy_source_if_modified_since.as_ref(),
        input.copy_source_if_unmodified_since.as_ref(),
    )?;
    let copied = cx
        .blocking(move |store, call| {
            let (from, to) = ((&*from_bucket, &*from_key), (&*input.bucket, &*input.key));
            store.copy(from, to, new_headers, &Condition::None, call.now)
        })
        .await?;
    let result = CopyObjectResult {
        last_modified: Some(s3_time(copied.last_modified())),
        e_tag: Some(ETag::Strong(copied.etag)),
        ..CopyObjectResult::default()
    };
    Ok(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() })
}

/// The bucket and key to copy from, if the caller may read there.
pub(super) fn source(
    cx: &Context,
    source: &CopySource,
    headers: &HeaderMap,
) -> S3Result<(String, String)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "Access points are not implemented by this store."));
    };
    check_version(version_id.as_deref())?;
    let mut headers = headers.clone();
    // Who must own the source stands in a header of its own.
    match headers.remove("x-amz-source-expected-bucket-owner") {
        Some(owner) => drop(headers.insert("x-amz-expected-bucket-owner", owner)),
        None => drop(headers.remove("x-amz-expected-bucket-owner")),
    }
    cx.admission.judge(&cx.call, "GetObject", bucket, Some(key), &headers)?;
    Ok((bucket.to_string(), key.to_string()))
}

/// What a request asks for beyond storing bytes. We refuse what we would have to pretend.
pub(super) struct Features<'a> {
    pub encryption: bool,
    pub storage_class: Option<&'a str>,
    pub tagging: bool,
    pub lock: bool,
    pub redirect: bool,
}

pub(super) fn check_features(asked: Features<'_>) -> S3Result<()> {
    not_implemented(asked.encryption, "Encryption at rest")?;
    not_implemented(asked.tagging, "Tagging")?;
    not_implemented(asked.lock, "Object Lock")?;
    not_implemented(asked.redirect, "Website hosting")?;
    match asked.storage_class {
        None | Some(StorageClass::STANDARD) => Ok(()),
        Some(_) => Err(s3_error!(
            InvalidStorageClass,
            "The storage class you specified is not valid: this store has STANDARD only."
        )),
    }
}

/// There is one version of an object, the null version.
fn check_version(version_id: Option<&str>) -> S3Result<()> {
    match version_id {
        None | Some("null") => Ok(()),
        Some(_) => Err(s3_error!(NoSuchVersion, "The specified version does not exist.")),
    }
}

pub(super) fn condition(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (None, Some(ETagCondition::Any)) => Ok(Condition::Absent),
        (Some(ETagCondition::ETag(etag)), None) => Ok(Condition::ETag(etag.value().to_owned())),
        // AWS: "If-None-Match expects the * character"; If-Match an ETag; not both.
        _ => Err(s3_error!(
            NotImplemented,
            "A header you provided implies functionality that is not implemented"
        )),
    }
}

/// The conditions of a read, in the order that RFC 9110 section 13.2.2 gives.
fn check_read(
    facts: &ObjectFacts,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    let is = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == facts.etag,
    };
    // HTTP dates have whole seconds.
    let modified = whole_seconds(facts.last_modified());
    match (if_match, if_unmodified_since) {
        (Some(condition), _) if !is(condition) => return Err(precondition_failed()),
        (None, Some(since)) if modified > *since => return Err(precondition_failed()),
        _ => {}
    }
    match (if_none_match, if_modified_since) {
        (Some(condition), _) if is(condition) => Err(not_modified(facts)),
        (None, Some(since)) if modified <= *since => Err(not_modified(facts)),
        _ => Ok(()),
    }
}

/// The same conditions on the source of a copy, where failing has one answer.
pub(super) fn check_copy_source(
    facts: &ObjectFacts,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    check_read(facts, if_match, if_none_match, if_modified_since, if_unmodified_since)
        .map_err(|_| precondition_failed())
}

fn not_modified(facts: &ObjectFacts) -> S3Error {
    let mut headers = HeaderMap::new();
    if let Ok(etag) = ETag::Strong(facts.etag.clone()).to_http_header() {
        headers.insert(http::header::ETAG, etag);
    }
    let mut error = s3_error!(NotModified, "Not Modified");
    error.set_headers(headers);
    error
}

/// The stretch of an object that a read asks for.
struct Part {
    start: u64,
    end: u64,
    content_range: Option<String>,
}

impl Part {
    fn asked(
        facts: &ObjectFacts,
        range: Option<Range>,
        part_number: Option<i32>,
    ) -> S3Result<Self> {
        // Objects do not remember their parts, so only a part that is the whole can be given.
        let in_parts = facts.etag.contains('-');
        not_implemented(part_number.is_some_and(|n| n != 1 || in_parts), "Reading by part number")?;
        let Some(range) = range else {
            return Ok(Self { start: 0, end: facts.size, content_range: None });
        };
        let part = range
            .check(facts.size)
            .map_err(|_| s3_error!(InvalidRange, "The requested range is not satisfiable"))?;
        let last = part.end.saturating_sub(1);
        let content_range = Some(format!("bytes {}-{last}/{}", part.start, facts.size));
        Ok(Self { start: part.start, end: part.end, content_range })
    }
}

/// A checksum, under the name it has in answers.
#[derive(Default)]
pub(super) struct Sums {
    pub crc32: Option<String>,
    pub crc32c: Option<String>,
    pub crc64nvme: Option<String>,
    pub sha1: Option<String>,
    pub sha256: Option<String>,
    pub kind: Option<ChecksumType>,
}

impl Sums {
    pub fn of(checksum: Option<&bucket::Checksum>) -> Self {
        let mut sums = Self::default();
        let Some(checksum) = checksum else { return sums };
        let place = match checksum.algorithm.as_str() {
            "CRC32" => &mut sums.crc32,
            "CRC32C" => &mut sums.crc32c,
            "CRC64NVME" => &mut sums.crc64nvme,
            "SHA1" => &mut sums.sha1,
            _ => &mut sums.sha256,
        };
        *place = Some(checksum.value.clone());
        sums.kind = Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT));
        sums
    }
}

pub(super) fn http_date(time: &Timestamp) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail; a time outside the format's years would leave no text.
    let _ = time.format(TimestampFormat::HttpDate, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn parse_http_date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

fn whole_seconds(time: jiff::Timestamp) -> Timestamp {
    s3_time(jiff::Timestamp::from_second(time.as_second()).unwrap_or(time))
}
