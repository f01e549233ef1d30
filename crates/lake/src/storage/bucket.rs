//! A bucket of an S3 store as an object store that tables can be trusted to.
//!
//! A commit of a table is a put of the log's next file that must fail if there is one. S3's word for
//! it is `If-None-Match: *`; a store that does not know it takes no notice and replaces the file, and
//! with it somebody's commit (Garage 2.5 does so). So it is tried before anything else:
//!
//! ```text
//!   probe   put PROBE/x if absent ─▶ again: must be refused ─▶ listed? ─▶ removed
//!   claim   put OWNER if absent, with the node's name ─▶ read back: is it this node's?
//! ```
//! The claim is there because positions in a table's log are those of one node's journal: another
//! node that went on from them would leave out events of its own.
//!
//! Must never be here: secrets in `Debug` or errors.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::SpawnedReqwestConnector;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, CopyOptions, Error, GetOptions, GetResult, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, RetryConfig, WriteMultipart,
};
use tokio::runtime::Handle;

use super::StorageError;

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// One request, also one for a part of a file.
const REQUEST_MAX: Duration = Duration::from_secs(60);
/// What may pass within seconds is tried again here; the rest by whoever asked.
const RETRIES_MAX: usize = 3;
/// A larger file goes in parts, so that no request takes long.
const PART_BYTES: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 4;
/// Under the prefix; no table has such a name.
const PROBE: &str = "cairn-probe";
const OWNER: &str = "cairn-owner";

/// Which bucket, and as whom.
#[derive(Clone)]
pub struct BucketSettings {
    /// `s3://bucket` or `s3://bucket/prefix`.
    pub url: String,
    /// Such as `https://s3.eu-central-1.amazonaws.com`.
    pub endpoint: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    /// `https://bucket.endpoint/key` instead of `https://endpoint/bucket/key`.
    pub virtual_host_style: bool,
    /// The operator's word that nobody else writes there: then a store is enough that does not
    /// refuse a second put.
    pub only_writer: bool,
}

impl fmt::Debug for BucketSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BucketSettings")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// Paths in it begin at the bucket.
#[derive(Debug)]
pub struct Bucket {
    s3: AmazonS3,
    only_writer: bool,
}

impl Bucket {
    /// Requests run on the runtime that this is called in.
    pub fn new(settings: &BucketSettings, name: &str) -> Result<Bucket> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        // In this style object_store wants the bucket in the endpoint already.
        let endpoint = match endpoint.split_once("://") {
            Some((scheme, host)) if settings.virtual_host_style => {
                format!("{scheme}://{name}.{host}")
            }
            _ => endpoint.to_owned(),
        };
        let client = ClientOptions::new()
            .with_allow_http(endpoint.starts_with("http://"))
            .with_connect_timeout(CONNECT_MAX)
            .with_timeout(REQUEST_MAX);
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        };
        let retry =
            RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: 2 * REQUEST_MAX };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(name)
            .with_endpoint(endpoint)
            .with_region(&settings.region)
            .with_access_key_id(&settings.access_key_id)
            .with_secret_access_key(&settings.secret_access_key)
            .with_virtual_hosted_style_request(settings.virtual_host_style)
            .with_client_options(client)
            .with_retry(retry);
        if let Ok(handle) = Handle::try_current() {
            // Connections are shared; a query that keeps its threads busy must not be what drives them.
            builder = builder.with_http_connector(SpawnedReqwestConnector::new(handle));
        }
        Ok(Bucket { s3: builder.build()?, only_writer: settings.only_writer })
    }

    /// Finds out whether tables can be kept here, under `prefix`, which `place` names for people.
    pub async fn probe(&self, prefix: &Path, place: &str) -> Result<(), StorageError> {
        let folder = prefix.clone().join(PROBE);
        let key = folder.clone().join(uuid::Uuid::new_v4().to_string());
        let failed = |source| StorageError::of(place, source);
        let create = || PutOptions::from(PutMode::Create);
        if let Err(error) = self.s3.put_opts(&key, "first".into(), create()).await {
            return Err(match super::is_unknown_to_store(&error) {
                true => StorageError::NoConditionalPut { place: place.to_owned() },
                false => failed(error),
            });
        }
        let second = self.s3.put_opts(&key, "second".into(), create()).await;
        let listed: Result<Vec<ObjectMeta>> = self.s3.list(Some(&folder)).try_collect().await;
        let removed = self.s3.delete(&key).await;
        match second {
            Err(Error::AlreadyExists { .. }) => {}
            Ok(_) if self.only_writer => {}
            Ok(_) => return Err(StorageError::NoConditionalPut { place: place.to_owned() }),
            Err(error) => return Err(failed(error)),
        }
        let is_listed = listed.map_err(failed)?.iter().any(|object| object.location == key);
        if !is_listed {
            return Err(StorageError::Unlisted { place: place.to_owned() });
        }
        removed.map_err(failed)
    }

    /// Makes the prefix this node's, which is called `node`, unless it is another's.
    pub async fn claim(&self, prefix: &Path, place: &str, node: &str) -> Result<(), StorageError> {
        let key = prefix.clone().join(OWNER);
        let failed = |source| StorageError::of(place, source);
        match self.put_opts(&key, node.to_owned().into(), PutMode::Create.into()).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let found = self.s3.get(&key).await.map_err(failed)?.bytes().await.map_err(failed)?;
        match found == node.as_bytes() {
            true => Ok(()),
            false => Err(StorageError::Taken {
                place: place.to_owned(),
                owner: String::from_utf8_lossy(&found).into_owned(),
            }),
        }
    }

    async fn put_in_parts(&self, location: &Path, payload: PutPayload) -> Result<PutResult> {
        let upload = self.s3.put_multipart(location).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        for bytes in payload {
            for at in (0..bytes.len()).step_by(PART_BYTES) {
                parts.wait_for_capacity(PARTS_AT_ONCE).await?;
                parts.put(bytes.slice(at..bytes.len().min(at + PART_BYTES)));
            }
        }
        parts.finish().await
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.s3)
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        match options.mode {
            PutMode::Create if self.only_writer => {
                // A table's log has one writer in this process, and this process is the only one.
                match self.s3.head(location).await {
                    Ok(_) => Err(Error::AlreadyExists {
                        path: location.to_string(),
                        source: "it is there".into(),
                    }),
                    Err(Error::NotFound { .. }) => {
                        let options = PutOptions { mode: PutMode::Overwrite, ..options };
                        self.s3.put_opts(location, payload, options).await
                    }
                    Err(error) => Err(error),
                }
            }
            PutMode::Overwrite if payload.content_length() > PART_BYTES => {
                self.put_in_parts(location, payload).await
            }
            _ => self.s3.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.s3.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.s3.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.s3.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.s3.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.s3.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.s3.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.s3.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.s3.copy_opts(from, to, options).await
    }
}
