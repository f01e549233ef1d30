//! How client commands reach a server: endpoints and a key, from a node's data folder or from the
//! environment and files that the AWS CLI reads; and one signed AWS JSON call.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri};
use serde_json::Value;
use server::access::{Secret, Signing, sign};
use server::clock::{Clock, SystemClock};
use server::credentials::{credentials_path, read_node_file};

/// Where AWS's services are for this user, and as whom to call them.
#[derive(Debug, Clone)]
pub struct Client {
    pub region: String,
    pub access_key_id: String,
    pub secret: Secret,
    pub session_token: Option<String>,
    /// One endpoint for all services, if there is one.
    endpoint: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// With a data folder: the node it belongs to. Without: the AWS variables and profile.
    pub fn new(data: Option<&Path>) -> Result<Client> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build()
            .context("prepare HTTP")?;
        if let Some(data) = data {
            let node = read_node_file(data)?.with_context(|| {
                format!("no server has been started on {}; start one, or name another folder with --data", data.display())
            })?;
            let keys = read_profile(&credentials_path(data), "default")?;
            return Ok(Client {
                region: node.region,
                access_key_id: keys.0,
                secret: keys.1,
                session_token: None,
                endpoint: Some(node.endpoint),
                http,
            });
        }
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let (access_key_id, secret, session_token) = match (
            variable("AWS_ACCESS_KEY_ID"),
            variable("AWS_SECRET_ACCESS_KEY"),
        ) {
            (Some(id), Some(secret)) => (id, Secret::new(secret), variable("AWS_SESSION_TOKEN")),
            _ => {
                let home =
                    variable("HOME").map(|home| PathBuf::from(home).join(".aws/credentials"));
                let path = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or(home);
                let path = path.context("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give --data")?;
                let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
                let (id, secret) = read_profile(&path, &profile)?;
                (id, secret, None)
            }
        };
        Ok(Client {
            region: variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .unwrap_or_else(|| "us-east-1".to_owned()),
            access_key_id,
            secret,
            session_token,
            endpoint: variable("AWS_ENDPOINT_URL"),
            http,
        })
    }

    /// As the AWS CLI decides it: AWS_ENDPOINT_URL_<SERVICE>, then AWS_ENDPOINT_URL, then AWS.
    pub fn endpoint(&self, service: &str, region: &str) -> String {
        let variable = format!("AWS_ENDPOINT_URL_{}", service.to_ascii_uppercase());
        std::env::var(variable)
            .ok()
            .filter(|url| !url.is_empty())
            .or_else(|| self.endpoint.clone())
            .unwrap_or_else(|| format!("https://{service}.{region}.amazonaws.com"))
            .trim_end_matches('/')
            .to_owned()
    }

    /// One call of the CloudTrail API.
    pub async fn cloudtrail(&self, region: &str, operation: &str, input: &Value) -> Result<Value> {
        let url = format!("{}/", self.endpoint("cloudtrail", region));
        let uri: Uri = url.parse().with_context(|| format!("endpoint {url:?} is not a URL"))?;
        let body = input.to_string();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-amz-json-1.1"));
        let target = format!("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}");
        headers.insert("x-amz-target", HeaderValue::from_str(&target).context("operation name")?);
        let hash = sha256(body.as_bytes());
        self.sign(&Method::POST, &uri, region, "cloudtrail", &hash, &mut headers)?;
        let answer = self.http.post(&url).headers(headers).body(body).send().await;
        let answer = answer.with_context(|| format!("call {operation} at {url}"))?;
        let status = answer.status();
        let bytes =
            answer.bytes().await.with_context(|| format!("read the answer of {operation}"))?;
        let value: Option<Value> = serde_json::from_slice(&bytes).ok();
        if !status.is_success() {
            let text =
                |name: &str| value.as_ref().and_then(|value| value[name].as_str()).unwrap_or("");
            let words = format!("{} ({})", text("message"), text("__type"));
            let words = if value.is_some() { words } else { format!("{status}, and not JSON") };
            let message = format!("{operation} at {url}: {words}");
            return Err(Answered { status: status.as_u16(), message }.into());
        }
        value.with_context(|| format!("{operation} at {url} answered {status} and not JSON"))
    }

    /// One call of a door that is Cairn's own; `path` with its query.
    pub async fn own(&self, method: Method, path: &str, body: Bytes) -> Result<Own> {
        let hash = sha256(&body);
        self.own_hashed(method, path, body, &hash).await
    }

    /// The same for a large body, whose SHA-256 in hexadecimal digits is known.
    pub async fn own_hashed(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        hash: &str,
    ) -> Result<Own> {
        let url = format!("{}{path}", self.endpoint("cloudtrail", &self.region));
        let uri: Uri = url.parse().with_context(|| format!("endpoint {url:?} is not a URL"))?;
        let controls = ["/v1/imports", "/v1/access"].iter().any(|door| path.starts_with(door));
        let service = if controls { "cloudtrail" } else { "cloudtrail-data" };
        let mut headers = HeaderMap::new();
        self.sign(&method, &uri, &self.region, service, hash, &mut headers)?;
        let place = url.split('?').next().unwrap_or_default().to_owned();
        let answer = self.http.request(method, &url).headers(headers).body(body).send().await;
        let answer = answer.map_err(reqwest::Error::without_url);
        let answer = answer.with_context(|| format!("call {place}"))?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(reqwest::Error::without_url);
        let body = body.with_context(|| format!("read the answer of {place}"))?;
        Ok(Own { status, body })
    }

    fn sign(
        &self,
        method: &Method,
        uri: &Uri,
        region: &str,
        service: &str,
        hash: &str,
        headers: &mut HeaderMap,
    ) -> Result<()> {
        let time = SystemClock::start().now();
        // Signed along, as the times in signatures have whole seconds: whoever asks the same often is
        // not to be taken for a replay. The name is that of AWS's SDKs.
        let invocation = format!("{}-{}", std::process::id(), time.as_nanosecond());
        let invocation = HeaderValue::from_str(&invocation).context("name the call")?;
        headers.insert("amz-sdk-invocation-id", invocation);
        let signing = Signing {
            access_key_id: &self.access_key_id,
            secret: &self.secret,
            session_token: self.session_token.as_deref(),
            region,
            service,
            time,
        };
        let signed = sign(method, uri, headers, hash, &signing)?;
        headers.extend(signed);
        Ok(())
    }
}

/// In hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// What one of our own doors answered.
#[derive(Debug)]
pub struct Own {
    pub status: u16,
    pub body: Bytes,
}

impl Own {
    /// The body of a success; an error with the server's words otherwise.
    pub fn value(&self) -> Result<Value> {
        if self.status != 200 {
            return Err(Answered { status: self.status, message: self.message() }.into());
        }
        serde_json::from_slice(&self.body).context("the server answered no JSON")
    }

    pub fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let told = body["error"]["message"].as_str();
        told.map_or_else(|| format!("the server answered {}", self.status), str::to_owned)
    }
}

/// The server answered, and not with a success.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub message: String,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Answered {}

/// Whether a call failed in a way that passes by itself: nobody answered, or who did cannot now.
pub fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let answered = cause.downcast_ref::<Answered>();
        cause.is::<reqwest::Error>()
            || answered.is_some_and(|answered| answered.status >= 500 || answered.status == 429)
    })
}

/// Whether the server answered that it has no room now, or is not ready yet.
pub fn is_busy(error: &anyhow::Error) -> bool {
    let answered = error.downcast_ref::<Answered>();
    answered.is_some_and(|answered| matches!(answered.status, 429 | 503))
}

/// Key and secret of a profile in a shared-credentials file.
fn read_profile(path: &Path, profile: &str) -> Result<(String, Secret)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read credentials {}", path.display()))?;
    let mut inside = false;
    let mut values: HashMap<&str, &str> = HashMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if inside && let Some((key, value)) = line.split_once('=') {
            values.insert(key.trim(), value.trim());
        }
    }
    let value = |key: &str| {
        values
            .get(key)
            .copied()
            .with_context(|| format!("{} has no {key} in profile [{profile}]", path.display()))
    };
    Ok((
        value("aws_access_key_id")?.to_owned(),
        Secret::new(value("aws_secret_access_key")?.to_owned()),
    ))
}
