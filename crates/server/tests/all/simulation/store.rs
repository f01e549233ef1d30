//! An S3 store in memory, behind delivery's HTTP client, that fails by plan.
//!
//! It answers PUT, GET and ListObjectsV2 as S3 does. It also watches: an object that is put again
//! with other bytes or other metadata is remembered as rewritten, which delivery must never do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use delivery::destination::{
    HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use http::Method;
use http_body_util::BodyExt;
use tokio::sync::Notify;

const PAGE_KEYS_MAX: usize = 100;

/// What happens to the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 500 InternalError; nothing was done.
    Internal,
    /// 503 SlowDown; nothing was done.
    SlowDown,
    /// No answer within the time limit; nothing was done.
    Timeout,
    /// The connection was reset; nothing was done.
    Reset,
    /// It was done, and the answer was lost.
    AnswerLost,
    /// The whole node stops before the store has done anything.
    StopBefore,
    /// The whole node stops after the store has done it.
    StopAfter,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bytes: Bytes,
    /// `x-amz-meta-…` headers without that start.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct Inside {
    buckets: BTreeMap<String, BTreeMap<String, Object>>,
    denied: BTreeSet<String>,
    /// Calls are counted from 1.
    calls: u64,
    failures: u64,
    plan: Option<(u64, Failure)>,
    /// Calls from this one on fail.
    down_from: Option<u64>,
    stopped: bool,
    rewritten: Vec<String>,
}

/// Handles share one store.
#[derive(Debug, Clone, Default)]
pub struct Store {
    inside: Arc<Mutex<Inside>>,
    stop: Arc<Notify>,
}

impl Store {
    pub fn client(&self) -> HttpClient {
        HttpClient::new(self.clone())
    }

    pub fn make_bucket(&self, name: &str) {
        self.lock().buckets.entry(name.to_owned()).or_default();
    }

    /// The bucket and all in it are gone.
    pub fn remove_bucket(&self, name: &str) {
        self.lock().buckets.remove(name);
    }

    /// Puts an object there as somebody else would.
    pub fn put(&self, bucket: &str, key: &str, bytes: Bytes) {
        let object = Object { bytes, metadata: BTreeMap::new() };
        let mut inside = self.lock();
        let objects = inside.buckets.get_mut(bucket).expect("a bucket that was made");
        objects.insert(key.to_owned(), object);
    }

    pub fn deny(&self, bucket: &str, denied: bool) {
        let mut inside = self.lock();
        match denied {
            true => inside.denied.insert(bucket.to_owned()),
            false => inside.denied.remove(bucket),
        };
    }

    pub fn set_down(&self, down: bool) {
        let mut inside = self.lock();
        inside.down_from = down.then_some(inside.calls + 1);
    }

    /// Plans a failure for the `nth` call from now (1 is the next one), replacing an earlier plan.
    pub fn fail_nth(&self, nth: u64, failure: Failure) {
        let mut inside = self.lock();
        inside.plan = Some((inside.calls + nth, failure));
    }

    /// Failures that happened by `fail_nth`.
    pub fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// Takes back every plan; the node may call again.
    pub fn heal(&self) {
        let mut inside = self.lock();
        inside.plan = None;
        inside.down_from = None;
        inside.denied.clear();
        inside.stopped = false;
    }

    /// The node may call again after a stop.
    pub fn resume(&self) {
        self.lock().stopped = false;
    }

    /// Returns when a call stopped the node.
    pub async fn stops(&self) {
        while !self.lock().stopped {
            self.stop.notified().await;
        }
    }

    pub fn has_stopped(&self) -> bool {
        self.lock().stopped
    }

    pub fn buckets(&self) -> Vec<String> {
        self.lock().buckets.keys().cloned().collect()
    }

    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        self.lock().buckets.get(bucket).cloned().unwrap_or_default()
    }

    /// Objects that were put twice with different contents.
    pub fn rewritten(&self) -> Vec<String> {
        self.lock().rewritten.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no holder of this lock panics")
    }

    fn due(&self) -> Option<Failure> {
        let mut inside = self.lock();
        inside.calls += 1;
        if inside.stopped {
            return Some(Failure::StopBefore);
        }
        if inside.down_from.is_some_and(|from| inside.calls >= from) {
            return Some(Failure::SlowDown);
        }
        let (at, failure) = inside.plan?;
        if at != inside.calls {
            return None;
        }
        inside.failures += 1;
        Some(failure)
    }

    async fn stop_here(&self) -> Result<HttpResponse, HttpError> {
        self.lock().stopped = true;
        self.stop.notify_one();
        std::future::pending().await
    }
}

#[async_trait]
impl HttpService for Store {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let failure = self.due();
        match failure {
            None | Some(Failure::AnswerLost | Failure::StopAfter) => {}
            Some(Failure::Internal) => return Ok(refusal(500, "InternalError")),
            Some(Failure::SlowDown) => return Ok(refusal(503, "SlowDown")),
            Some(Failure::Timeout) => return Err(broken(HttpErrorKind::Timeout)),
            Some(Failure::Reset) => return Err(broken(HttpErrorKind::Interrupted)),
            Some(Failure::StopBefore) => return self.stop_here().await,
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("it is in memory").to_bytes();
        let answer = answer(&mut self.lock(), &parts, body);
        match failure {
            Some(Failure::AnswerLost) => Err(broken(HttpErrorKind::Interrupted)),
            Some(Failure::StopAfter) => self.stop_here().await,
            _ => Ok(answer),
        }
    }
}

fn answer(inside: &mut Inside, parts: &http::request::Parts, body: Bytes) -> HttpResponse {
    let path = decoded(parts.uri.path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
    if inside.denied.contains(bucket) {
        return refusal(403, "AccessDenied");
    }
    let Some(objects) = inside.buckets.get_mut(bucket) else {
        return refusal(404, "NoSuchBucket");
    };
    match (&parts.method, key) {
        (&Method::PUT, key) if !key.is_empty() => {
            let mut metadata = BTreeMap::new();
            for (name, value) in &parts.headers {
                if let Some(name) = name.as_str().strip_prefix("x-amz-meta-") {
                    let value = value.to_str().expect("delivery sends text");
                    metadata.insert(name.to_owned(), value.to_owned());
                }
            }
            let object = Object { bytes: body, metadata };
            let before = objects.insert(key.to_owned(), object.clone());
            if before.is_some_and(|before| before != object) {
                inside.rewritten.push(format!("{bucket}/{key}"));
            }
            reply(200, &[], Bytes::new())
        }
        (&Method::GET, "") => listing(objects, parts.uri.query().unwrap_or("")),
        (&Method::GET, key) => match objects.get(key) {
            Some(object) => {
                let metadata: Vec<(String, &str)> = object
                    .metadata
                    .iter()
                    .map(|(name, value)| (format!("x-amz-meta-{name}"), value.as_str()))
                    .collect();
                reply(200, &metadata, object.bytes.clone())
            }
            None => refusal(404, "NoSuchKey"),
        },
        _ => refusal(405, "MethodNotAllowed"),
    }
}

fn listing(objects: &BTreeMap<String, Object>, query: &str) -> HttpResponse {
    let value = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| decoded(value))
    };
    let prefix = value("prefix").unwrap_or_default();
    let after = value("continuation-token").unwrap_or_default();
    let keys: Vec<&String> =
        objects.keys().filter(|key| key.starts_with(&prefix) && **key > after).collect();
    let page = &keys[..keys.len().min(PAGE_KEYS_MAX)];
    let mut xml = "<ListBucketResult>".to_owned();
    if let Some(last) = page.last().filter(|_| page.len() < keys.len()) {
        xml.push_str("<IsTruncated>true</IsTruncated>");
        xml.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
    }
    for key in page {
        let size = objects[*key].bytes.len();
        xml.push_str(&format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>"));
    }
    xml.push_str("</ListBucketResult>");
    reply(200, &[], xml.into())
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().expect("delivery sends UTF-8").into()
}

fn refusal(status: u16, code: &str) -> HttpResponse {
    reply(status, &[], format!("<Error><Code>{code}</Code></Error>").into())
}

fn reply(status: u16, headers: &[(String, &str)], body: Bytes) -> HttpResponse {
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, *value);
    }
    response.body(body.into()).expect("status and headers are good")
}

fn broken(kind: HttpErrorKind) -> HttpError {
    HttpError::new(kind, io::Error::other("planned"))
}
