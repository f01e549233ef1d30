//! How bytes reach a store, and what a failure means.
//!
//! One way out: every object, also one for the embedded endpoint, goes as a signed S3 request. Of
//! `object_store` we take the signer and the HTTP client, not its `AmazonS3`: that cannot write a key
//! that ends in a slash (CreateTrail's markers), cannot add `x-amz-acl` to one kind of request, fails
//! a whole listing over one odd key, and keeps the store's error code only as text.
//!
//! There is no retry here. A failed put is tried again by the worker, with the same bytes under the
//! same key, after [`backoff`]; a put that was applied and whose answer was lost is therefore harmless.
//!
//! Must never be here: secrets in `Debug` or errors, decisions about when to try again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use md5::{Digest as _, Md5};
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::layout::MarkerKey;

mod failure;
#[cfg(test)]
mod tests;
mod xml;

pub use failure::DeliveryFailure;
pub use object_store::client::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};

/// What SigV4 leaves alone; everything else is percent-encoded, once.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const KEY: &AsciiSet = &QUERY_VALUE.remove(b'/');
/// An error document is a few hundred bytes, a page of a listing below 2 MB.
const DOCUMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Carries the trail's ARN to Cairn's own bucket door; signed like every header.
pub const SOURCE_ARN_HEADER: &str = "x-amz-cairn-source-arn";

/// How a bucket's name stands in a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressing {
    /// `http://host/bucket/key`
    Path,
    /// `http://bucket.host/key`
    VirtualHost,
}

/// Which store, and as whom.
#[derive(Clone)]
pub struct StoreSettings {
    /// Scheme, host and port, such as `http://127.0.0.1:4580`.
    pub endpoint: String,
    /// How bucket names are written.
    pub addressing: Addressing,
    /// The Region requests are signed for.
    pub region: String,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    /// Session token of temporary credentials.
    pub session_token: Option<String>,
    /// Ignore the proxies that the environment names: the store is this very process.
    pub direct: bool,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub request_timeout: Duration,
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("endpoint", &self.endpoint)
            .field("addressing", &self.addressing)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// How the store encrypts an object at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket says; no header is sent.
    BucketDefault,
    /// `AES256`.
    StoreKey,
    /// `aws:kms` with this key's ARN.
    Kms {
        /// The key's ARN.
        key_arn: String,
    },
}

/// Headers of a put that come from the trail and the store, not from the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutHeaders {
    /// The trail on whose behalf it is put. Only Cairn's own bucket door reads it, to answer the
    /// condition `aws:SourceArn` of bucket policies; other stores are not told.
    pub source_arn: Option<String>,
    /// Send `x-amz-acl: bucket-owner-full-control`, as AWS does; some stores refuse ACLs.
    pub acl: bool,
    /// Server-side encryption.
    pub encryption: Encryption,
}

/// A bucket of a store. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Destination {
    store: Arc<Store>,
    bucket: String,
}

struct Store {
    scheme: String,
    host: String,
    addressing: Addressing,
    region: String,
    credential: AwsCredential,
    client: HttpClient,
    direct: bool,
}

/// An object as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its bytes, still compressed.
    pub bytes: Bytes,
    /// Its user metadata, keys in lower case without `x-amz-meta-`.
    pub metadata: Vec<(String, String)>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// The key.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
}

/// One page of a listing, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The objects.
    pub objects: Vec<ListedObject>,
    /// Ask for the next page with this; `None` after the last one.
    pub next: Option<String>,
}

struct Reply {
    headers: http::HeaderMap,
    body: Bytes,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({}://{}, {})", self.store.scheme, self.store.host, self.bucket)
    }
}

impl Destination {
    /// Prepares connections to a store; nothing is sent yet.
    pub fn new(settings: &StoreSettings, bucket: &str) -> Result<Destination, DeliveryFailure> {
        let mut client = reqwest::Client::builder()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            // A store that sends us elsewhere is not the store that was configured.
            .redirect(reqwest::redirect::Policy::none());
        if settings.direct {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|e| DeliveryFailure::settings(&e.to_string()))?;
        Destination::with_client(settings, bucket, HttpClient::new(client))
    }

    /// The same over any HTTP client: the seam for tests and fault injection.
    pub fn with_client(
        settings: &StoreSettings,
        bucket: &str,
        client: HttpClient,
    ) -> Result<Destination, DeliveryFailure> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        let (scheme, host) = endpoint
            .split_once("://")
            .filter(|(scheme, host)| ["http", "https"].contains(scheme) && !host.is_empty())
            .ok_or_else(|| DeliveryFailure::settings("the endpoint is not an http(s) URL"))?;
        let store = Store {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            addressing: settings.addressing,
            region: settings.region.clone(),
            credential: AwsCredential {
                key_id: settings.access_key_id.clone(),
                secret_key: settings.secret_access_key.clone(),
                token: settings.session_token.clone(),
            },
            client,
            direct: settings.direct,
        };
        Ok(Destination { store: Arc::new(store), bucket: bucket.to_owned() })
    }

    /// Another bucket of the same store.
    pub fn with_bucket(&self, bucket: &str) -> Destination {
        Destination { store: self.store.clone(), bucket: bucket.to_owned() }
    }

    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Puts a log file or a digest with AWS's headers. Digests carry their signature as `metadata`.
    ///
    /// Returns only after the store has acknowledged. Putting the same bytes again is harmless.
    pub async fn put(
        &self,
        key: &str,
        gz: Bytes,
        metadata: &[(String, String)],
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        let typed = [("content-type", "application/json"), ("content-encoding", "gzip")];
        self.put_typed(key, gz, &typed, metadata, headers).await
    }

    /// Puts a file that is no log file, such as a part of a query's result.
    ///
    /// Its bytes are stored as they are: with no `Content-Encoding`, no client unpacks what is
    /// checked by the hash of its packed form.
    pub async fn put_file(
        &self,
        key: &str,
        bytes: Bytes,
        content_type: &str,
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        self.put_typed(key, bytes, &[("content-type", content_type)], &[], headers).await
    }

    async fn put_typed(
        &self,
        key: &str,
        bytes: Bytes,
        typed: &[(&str, &str)],
        metadata: &[(String, String)],
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        let mut sent: Vec<(String, String)> =
            typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        if !self.store.direct {
            // Buckets with Object Lock demand it. The embedded store checks the signed SHA-256.
            sent.push(("content-md5".to_owned(), BASE64_STANDARD.encode(Md5::digest(&bytes))));
        }
        if let Some(arn) = &headers.source_arn {
            sent.push((SOURCE_ARN_HEADER.to_owned(), arn.clone()));
        }
        if headers.acl {
            sent.push(("x-amz-acl".to_owned(), "bucket-owner-full-control".to_owned()));
        }
        let encryption = "x-amz-server-side-encryption";
        match &headers.encryption {
            Encryption::BucketDefault => {}
            Encryption::StoreKey => sent.push((encryption.to_owned(), "AES256".to_owned())),
            Encryption::Kms { key_arn } => {
                sent.push((encryption.to_owned(), "aws:kms".to_owned()));
                sent.push((format!("{encryption}-aws-kms-key-id"), key_arn.clone()));
            }
        }
        for (name, value) in metadata {
            sent.push((format!("x-amz-meta-{name}"), value.clone()));
        }
        self.send(Method::PUT, key, &[], &sent, bytes, DOCUMENT_BYTES_MAX).await?;
        Ok(())
    }

    /// Puts the zero-byte marker that CreateTrail leaves.
    pub async fn put_marker(
        &self,
        marker: &MarkerKey,
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        self.put(&marker.to_string(), Bytes::new(), &[], headers).await
    }

    /// CreateTrail's check: the bucket exists, and each marker can be written.
    ///
    /// Fails with code `NoSuchBucket` if there is no such bucket; any other code that the store gave
    /// means that the bucket does not let us in, and network codes that the store was not reached.
    pub async fn check_bucket(
        &self,
        markers: &[MarkerKey],
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        self.check_exists(markers.is_empty()).await?;
        for marker in markers {
            self.put_marker(marker, headers).await?;
        }
        Ok(())
    }

    /// StartQuery's check: as [`Destination::check_bucket`], with an empty object at `marker`.
    pub async fn check_folder(
        &self,
        marker: Option<&str>,
        headers: &PutHeaders,
    ) -> Result<(), DeliveryFailure> {
        self.check_exists(marker.is_none()).await?;
        match marker {
            Some(key) => self.put(key, Bytes::new(), &[], headers).await,
            None => Ok(()),
        }
    }

    /// `must_tell`: a store that does not let us ask is a failure too.
    async fn check_exists(&self, must_tell: bool) -> Result<(), DeliveryFailure> {
        match self
            .send(Method::GET, "", &[("location", "")], &[], Bytes::new(), DOCUMENT_BYTES_MAX)
            .await
        {
            Ok(_) => Ok(()),
            // The right to write does not imply the right to ask where.
            Err(failure) if failure.status == Some(403) && !must_tell => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Reads an object; `None` if there is none. One larger than `bytes_max` is the failure
    /// `EntityTooLarge`.
    pub async fn get(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> Result<Option<StoredObject>, DeliveryFailure> {
        let reply = match self.send(Method::GET, key, &[], &[], Bytes::new(), bytes_max).await {
            Err(failure) if failure.code == "NoSuchKey" => return Ok(None),
            other => other?,
        };
        let mut metadata = Vec::new();
        for (name, value) in &reply.headers {
            if let (Some(name), Ok(value)) =
                (name.as_str().strip_prefix("x-amz-meta-"), value.to_str())
            {
                metadata.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Some(StoredObject { bytes: reply.body, metadata }))
    }

    /// One page of the keys that start with `prefix`, from the first or as `next` of a page says.
    pub async fn list(
        &self,
        prefix: &str,
        next: Option<&str>,
    ) -> Result<ListPage, DeliveryFailure> {
        let mut query = vec![("encoding-type", "url"), ("list-type", "2"), ("prefix", prefix)];
        if let Some(token) = next {
            query.push(("continuation-token", token));
        }
        let reply =
            self.send(Method::GET, "", &query, &[], Bytes::new(), DOCUMENT_BYTES_MAX).await?;
        xml::list_page(&reply.body)
            .ok_or_else(|| DeliveryFailure::answer("the listing is not one of S3's"))
    }

    async fn send(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        headers: &[(String, String)],
        body: Bytes,
        bytes_max: u64,
    ) -> Result<Reply, DeliveryFailure> {
        // URL parsers resolve such folders, also encoded ones: the request would leave the bucket.
        if key.split('/').any(|folder| folder == "." || folder == "..") {
            return Err(DeliveryFailure::settings("the key has a . or .. folder"));
        }
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.uri_mut() = self
            .url(key, query)
            .parse()
            .map_err(|_| DeliveryFailure::settings("bucket and key do not make a URL"))?;
        *request.method_mut() = method;
        for (name, value) in headers {
            let name = HeaderName::try_from(name.as_str());
            let value = HeaderValue::try_from(value.as_str());
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(DeliveryFailure::settings("a header cannot be sent"));
            };
            request.headers_mut().insert(name, value);
        }
        let length = HeaderValue::from(body.len());
        request.headers_mut().insert(http::header::CONTENT_LENGTH, length);
        AwsAuthorizer::new(&self.store.credential, "s3", &self.store.region)
            .authorize(&mut request, None);
        let response =
            self.store.client.execute(request).await.map_err(|e| DeliveryFailure::network(&e))?;
        read_reply(response, bytes_max).await
    }

    fn url(&self, key: &str, query: &[(&str, &str)]) -> String {
        let Store { scheme, host, addressing, .. } = &*self.store;
        let bucket = utf8_percent_encode(&self.bucket, QUERY_VALUE);
        let key = utf8_percent_encode(key, KEY);
        let mut url = match addressing {
            Addressing::Path if key.to_string().is_empty() => format!("{scheme}://{host}/{bucket}"),
            Addressing::Path => format!("{scheme}://{host}/{bucket}/{key}"),
            Addressing::VirtualHost => format!("{scheme}://{bucket}.{host}/{key}"),
        };
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, QUERY_VALUE));
        }
        url
    }
}

async fn read_reply(response: HttpResponse, bytes_max: u64) -> Result<Reply, DeliveryFailure> {
    let (parts, body) = response.into_parts();
    let accepted = parts.status == StatusCode::OK || parts.status == StatusCode::NO_CONTENT;
    let bytes_max = if accepted { bytes_max } else { DOCUMENT_BYTES_MAX };
    let mut stream = body.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|e| DeliveryFailure::network(&e))?;
        if (bytes.len() + chunk.len()) as u64 > bytes_max {
            return Err(DeliveryFailure::too_large(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    if accepted {
        return Ok(Reply { headers: parts.headers, body: bytes.into() });
    }
    Err(DeliveryFailure::refused(parts.status.as_u16(), &bytes))
}

/// The longest pause between two attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// AWS: what cannot be delivered is tried for 30 days, then dropped.
pub const RETRY_HORIZON: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long to wait after failed attempt number `attempt`, counted from 0: 1 s, 2 s, 4 s … 60 s, of
/// which the upper half is scaled by `jitter` in `[0, 1]`, so that many waiters do not come at once.
pub fn backoff(attempt: u32, jitter: f64) -> Duration {
    let full = Duration::from_secs(1 << attempt.min(6)).min(BACKOFF_MAX);
    let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 1.0 };
    full.div_f64(2.0) + full.div_f64(2.0).mul_f64(jitter)
}

/// Whether something that was first tried at `first_attempt` is still to be tried at `now`.
pub fn within_horizon(first_attempt: Timestamp, now: Timestamp) -> bool {
    now.duration_since(first_attempt) <= RETRY_HORIZON
}
