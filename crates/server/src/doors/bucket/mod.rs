//! The bucket door: Amazon S3's protocol over [`bucket::Store`].
//!
//! ```text
//!   request ─▶ address    which bucket and key (path style or virtual host), one plain spelling
//!           ─▶ access     SigV4, header or presigned: the same verifier as every other door
//!           ─▶ body       signed hash, chunk signatures, checksums and length, while it streams
//!           ─▶ s3s        routing, XML, headers; it sees the request without its signature
//!           ─▶ admission  may this caller do this with this bucket?
//!           ─▶ operations (buckets, configurations, objects, listing, uploads) on the store, in blocking threads
//! ```
//!
//! s3s 0.14.1 is not trusted with authentication. It takes signature version 2, any Region, and
//! presigned URLs of any length; it does not ask that `host` and `x-amz-…` headers be signed; it takes
//! a chunked body that ends early for whole, holds whole chunks in memory, compares no checksum but
//! the signed hash, and reads the clock itself. So signatures and bodies are checked here, and what
//! s3s then sees carries no credentials.
//!
//! Every call gives a [`BucketCall`], from which the server makes the audit record.
//!
//! Never here: encryption (a request for it is refused, not ignored), versions of objects, ACLs beyond
//! the two that give the owner full control.

mod address;
mod admission;
mod body;
mod buckets;
mod chunks;
mod configurations;
mod listing;
mod objects;
mod operations;
mod record;
mod uploads;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, S3Error, s3_error};

use crate::access::{AuthError, Caller, Expect, KeyRing, Payload, Verifier};

use address::Address;
use admission::{Admission, NoSecrets};
pub use admission::{Policy, PolicyQuestion};
use body::{BodyCheck, CheckedBody, Received};
use operations::Operations;
pub use record::BucketCall;

/// Documents (XML, policies) come whole before they are read. The largest is a DeleteObjects of 1000
/// keys of 1 KB, each byte perhaps escaped.
const DOCUMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The S3 endpoint. Cheap to clone.
#[derive(Clone)]
pub struct BucketDoor {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<bucket::Store>,
    service: S3Service,
    verifier: Verifier,
    keys: Arc<dyn KeyRing>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    host_suffixes: Vec<String>,
}

/// What the operations must know of the call they serve; travels in the request's extensions.
struct Call {
    caller: Caller,
    source_ip: IpAddr,
    user_agent: Option<String>,
    now: Timestamp,
    /// The Region of the signature's scope.
    region: String,
    /// Filled when the body has been checked to its end.
    received: Arc<Mutex<Received>>,
    /// S3's name of the operation, once s3s knows it.
    operation: Mutex<Option<String>>,
}

impl Call {
    fn account(&self) -> &str {
        self.caller.account().as_str()
    }
}

impl BucketDoor {
    /// `policy` is asked about every request. `host_suffixes` are names
    /// below which buckets are hosts: `localhost` and `s3.example.com`, as in `logs.localhost`.
    pub fn new(
        store: Arc<bucket::Store>,
        keys: Arc<dyn KeyRing>,
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        policy: Policy,
        host_suffixes: Vec<String>,
    ) -> Self {
        let admission = Admission::new(store.clone(), policy);
        let mut builder = S3ServiceBuilder::new(Operations::new(store.clone(), admission.clone()));
        // s3s asks for admission only when it has a way to authenticate. It never gets to use it.
        builder.set_auth(NoSecrets);
        builder.set_access(admission);
        let service = builder.build();
        let verifier = Verifier::default();
        Self { shared: Arc::new(Shared { store, service, verifier, keys, now, host_suffixes }) }
    }

    /// Is there a bucket of this name, whoever owns it?
    pub fn has_bucket(&self, name: &str) -> bool {
        self.shared.store.bucket(name).is_ok()
    }

    /// Answers one request.
    pub async fn call(
        &self,
        source_ip: IpAddr,
        request: Request<Incoming>,
    ) -> (Response<Body>, BucketCall) {
        let (parts, incoming) = request.into_parts();
        let now = (self.shared.now)();
        let mut record = BucketCall::new(&parts);
        let address = Address::read(&parts, &self.shared.host_suffixes);
        if let Ok(address) = &address {
            record.add_address(address);
        }
        let empty = hyper::body::Body::is_end_stream(&incoming);
        let http_1 = parts.version <= http::Version::HTTP_11;
        let received = Arc::new(Mutex::new(Received { to_its_end: empty, ..Received::default() }));
        let from = (source_ip, now);
        let answer = self.answer(parts, incoming, address, from, received.clone(), &mut record);
        let mut response = match answer.await {
            Ok(response) => response,
            Err(error) => error.to_http_response().unwrap_or_else(|_| {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }),
        };
        record.finish(&mut response);
        let to_its_end = received.lock().unwrap_or_else(PoisonError::into_inner).to_its_end;
        if http_1 && !to_its_end {
            // hyper closes a connection whose body nobody read. Said here, the client does not send
            // its next request into the closing.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        (response, record)
    }

    async fn answer(
        &self,
        mut parts: http::request::Parts,
        incoming: Incoming,
        address: Result<Address, S3Error>,
        (source_ip, now): (IpAddr, Timestamp),
        received: Arc<Mutex<Received>>,
        record: &mut BucketCall,
    ) -> Result<Response<Body>, S3Error> {
        let shared = &self.shared;
        if is_version_2(&parts) {
            // AWS: the answer of every Region opened since 2014.
            return Err(s3_error!(
                InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            ));
        }
        let verified = shared
            .verifier
            .authenticate(&parts, Payload::Deferred, &Expect::S3, &*shared.keys, now)
            .map_err(|refused| auth_error(refused, record.authentication_method))?;
        record.add_caller(&verified.caller, &verified.scope);
        let address = address?;
        if is_form(&parts) {
            return Err(s3_error!(NotImplemented, "Uploads by HTML form are not implemented."));
        }
        let call = Arc::new(Call {
            caller: verified.caller,
            source_ip,
            user_agent: crate::http::text(&parts.headers, "user-agent").map(str::to_owned),
            now,
            region: verified.scope.region,
            received: received.clone(),
            operation: Mutex::new(None),
        });
        let check = BodyCheck::new(&parts.headers, verified.body, verified.chunk_chain)?;
        let length = check.length();
        let checked = CheckedBody::new(incoming, check, received.clone());
        let body = match address.streams(&parts) {
            true => {
                // The length of the data, without the frame of chunks.
                set_content_length(&mut parts.headers, length);
                Body::from(Box::pin(checked) as s3s::stream::DynByteStream)
            }
            false => {
                let document = checked.collect(DOCUMENT_BYTES_MAX).await?;
                set_content_length(&mut parts.headers, Some(document.len() as u64));
                record.add_document(&document);
                Body::from(document)
            }
        };
        address.rewrite(&mut parts)?;
        parts.extensions.insert(call.clone());
        let response = shared.service.call(Request::from_parts(parts, body)).await;
        record.operation = call.operation.lock().unwrap_or_else(PoisonError::into_inner).take();
        record.bytes_in = received.lock().unwrap_or_else(PoisonError::into_inner).bytes;
        response.map_err(|error| {
            let error = s3s::StdError::from(error);
            tracing::error!(error = &*error, "s3s could not answer");
            s3_error!(InternalError, "We encountered an internal error. Please try again.")
        })
    }
}

/// Signature version 2: `Authorization: AWS key:signature`, or `?AWSAccessKeyId=…&Signature=…`.
fn is_version_2(parts: &http::request::Parts) -> bool {
    let header = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    header.is_some_and(|value| value.starts_with(b"AWS "))
        || address::query(parts).any(|(name, _)| name == "AWSAccessKeyId")
}

/// Browser forms are authorized by a policy inside the body, which this door does not check.
fn is_form(parts: &http::request::Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    parts.method == Method::POST
        && content_type.is_some_and(|value| {
            value.trim_ascii_start().to_ascii_lowercase().starts_with(b"multipart/")
        })
}

fn set_content_length(headers: &mut http::HeaderMap, length: Option<u64>) {
    match length {
        Some(length) => headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
        None => headers.remove(header::CONTENT_LENGTH),
    };
    // Neither describes the data that s3s sees; `aws-chunked` must not be stored with the object.
    headers.remove(header::TRANSFER_ENCODING);
    let Some(encoding) = headers.get(header::CONTENT_ENCODING).and_then(|v| v.to_str().ok()) else {
        return;
    };
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    match HeaderValue::try_from(kept.join(",")) {
        Ok(value) if !kept.is_empty() => drop(headers.insert(header::CONTENT_ENCODING, value)),
        _ => drop(headers.remove(header::CONTENT_ENCODING)),
    }
}

fn auth_error(refused: AuthError, authentication_method: Option<&str>) -> S3Error {
    let code = match (refused.code, authentication_method) {
        // One fault, two codes: S3 says where the credentials stood.
        ("AuthorizationHeaderMalformed", Some("QueryString")) => {
            "AuthorizationQueryParametersError"
        }
        (code, _) => code,
    };
    let mut error = S3Error::new(s3s::S3ErrorCode::Custom(code.into()));
    error.set_status_code(refused.status);
    error.set_message(refused.message);
    error
}
