//! ListObjects, both versions.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bucket::{Listing, ListingItem, ListingQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;
use s3s::{S3Result, s3_error};

use super::operations::{Context, owner, s3_time, store_error};

/// AWS: "up to 1,000 key names".
const KEYS_PAGE_MAX: i32 = 1000;

pub(super) async fn first_version(
    cx: Context,
    input: ListObjectsInput,
) -> S3Result<ListObjectsOutput> {
    let encode = Encoding::asked(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let query = ListingQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after: input.marker.clone().unwrap_or_default(),
        limit,
    };
    let bucket = input.bucket.clone();
    let page = page(&cx, &bucket, query, encode, true).await?;
    // AWS gives NextMarker only with a delimiter: without, the last key says the same.
    let has_delimiter = input.delimiter.as_ref().is_some_and(|delimiter| !delimiter.is_empty());
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        prefix: Some(encode.text(&input.prefix.unwrap_or_default())),
        marker: Some(encode.text(&input.marker.unwrap_or_default())),
        max_keys: Some(limit as i32),
        is_truncated: Some(page.truncated),
        contents: Some(page.objects),
        common_prefixes: Some(page.prefixes),
        delimiter: input.delimiter.as_deref().map(|delimiter| encode.text(delimiter)),
        next_marker: page.last.filter(|_| has_delimiter).map(|last| encode.text(&last)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}

pub(super) async fn second_version(
    cx: Context,
    input: ListObjectsV2Input,
) -> S3Result<ListObjectsV2Output> {
    let encode = Encoding::asked(input.encoding_type.as_ref())?;
    let limit = limit(input.max_keys)?;
    let after = match &input.continuation_token {
        Some(token) => BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                s3_error!(InvalidArgument, "The continuation token provided is incorrect")
            })?,
        None => input.start_after.clone().unwrap_or_default(),
    };
    let query = ListingQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone().unwrap_or_default(),
        after,
        limit,
    };
    let with_owner = input.fetch_owner == Some(true);
    let bucket = input.bucket.clone();
    let page = page(&cx, &bucket, query, encode, with_owner).await?;
    Ok(ListObjectsV2Output {
        name: Some(input.bucket),
        prefix: Some(encode.text(&input.prefix.unwrap_or_default())),
        max_keys: Some(limit as i32),
        key_count: Some((page.objects.len() + page.prefixes.len()) as i32),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.truncated),
        next_continuation_token: page.last.map(|last| BASE64_URL_SAFE_NO_PAD.encode(last)),
        contents: Some(page.objects),
        common_prefixes: Some(page.prefixes),
        delimiter: input.delimiter.as_deref().map(|delimiter| encode.text(delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.as_deref().map(|after| encode.text(after)),
        request_charged: None,
    })
}

struct Page {
    objects: Vec<Object>,
    prefixes: Vec<CommonPrefix>,
    truncated: bool,
    /// Where the next page goes on, if there is one.
    last: Option<String>,
}

async fn page(
    cx: &Context,
    bucket: &str,
    query: ListingQuery,
    encode: Encoding,
    with_owner: bool,
) -> S3Result<Page> {
    let name = bucket.to_owned();
    let listing = cx.blocking(move |store, _| store.list(&name, &query)).await?;
    let Listing { items, truncated, damaged } = listing;
    for damage in damaged {
        tracing::error!(%damage, bucket, "an object cannot be listed");
    }
    let owner = match with_owner {
        true => Some(owner(&cx.store.bucket(bucket).map_err(store_error)?.owner)),
        false => None,
    };
    let last = items.last().filter(|_| truncated).map(|item| item.position().to_owned());
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for item in items {
        match item {
            ListingItem::CommonPrefix(prefix) => {
                prefixes.push(CommonPrefix { prefix: Some(encode.text(&prefix)) });
            }
            ListingItem::Object(facts) => objects.push(Object {
                checksum_algorithm: None,
                checksum_type: None,
                last_modified: Some(s3_time(facts.last_modified())),
                size: Some(facts.size as i64),
                key: Some(encode.text(&facts.key)),
                e_tag: Some(ETag::Strong(facts.etag)),
                owner: owner.clone(),
                restore_status: None,
                storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            }),
        }
    }
    Ok(Page { objects, prefixes, truncated, last })
}

pub(super) fn limit(asked: Option<i32>) -> S3Result<usize> {
    let limit = asked.unwrap_or(KEYS_PAGE_MAX).min(KEYS_PAGE_MAX);
    usize::try_from(limit).map_err(|_| {
        s3_error!(InvalidArgument, "Argument maxKeys must be an integer between 0 and 2147483647")
    })
}

/// Keys may hold characters that XML cannot; clients ask for percent-encoding.
#[derive(Clone, Copy)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub fn asked(encoding_type: Option<&EncodingType>) -> S3Result<Self> {
        match encoding_type.map(EncodingType::as_str) {
            None => Ok(Self::Plain),
            Some("url") => Ok(Self::Url),
            Some(_) => {
                Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request"))
            }
        }
    }

    pub fn text(self, text: &str) -> String {
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/');
        match self {
            Self::Plain => text.to_owned(),
            Self::Url => utf8_percent_encode(text, KEPT).to_string(),
        }
    }
}
