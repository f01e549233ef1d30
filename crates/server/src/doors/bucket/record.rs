//! What happened, for the audit record.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use s3s::Body;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::access::{Caller, Scope};

use super::address::{Address, query};

/// One S3 call, answered or refused.
#[derive(Debug, Clone)]
pub struct BucketCall {
    /// CloudTrail's event name, such as `PutObject`; `ListObjects` for both versions of it. `None` if
    /// the request was refused before anyone knew what it wanted.
    pub operation: Option<String>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    /// Of a verified caller only, like `account` and `region`.
    pub access_key_id: Option<String>,
    pub caller: Option<Caller>,
    /// The Region in the scope of the signature.
    pub region: Option<String>,
    /// As CloudTrail shows them: `bucketName`, `key`, `Host`, the query, some headers. No signature.
    pub request_parameters: Map<String, Value>,
    pub status: StatusCode,
    pub error_code: Option<String>,
    pub error_message: Option<String>,
    /// Bytes of the object (or document) received and sent, without frames and headers.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub read_only: bool,
    /// Object level, as opposed to management.
    pub is_data_event: bool,
    /// ARN and type, as in `resources`.
    pub resources: Vec<(String, &'static str)>,
    /// `x-amz-request-id` of the answer.
    pub request_id: String,
    /// `x-amz-id-2` of the answer.
    pub extended_request_id: String,
    /// `AuthHeader` or `QueryString`; `None` for an unsigned request.
    pub authentication_method: Option<&'static str>,
    pub user_agent: Option<String>,
}

impl BucketCall {
    /// `SigV4`, the only one this door takes.
    pub const SIGNATURE_VERSION: &'static str = "SigV4";

    pub(super) fn new(parts: &Parts) -> Self {
        let mut request_parameters = Map::new();
        for (name, value) in query(parts) {
            let (name, value) = (decoded(name), decoded(value));
            let secret = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token"];
            if !secret.iter().any(|secret| secret.eq_ignore_ascii_case(&name)) {
                request_parameters.insert(name, Value::String(value));
            }
        }
        for name in RECORDED_HEADERS {
            if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
                request_parameters.insert(name.to_owned(), Value::from(value));
            }
        }
        let id = Uuid::new_v4();
        Self {
            operation: None,
            bucket: None,
            key: None,
            access_key_id: None,
            caller: None,
            region: None,
            request_parameters,
            status: StatusCode::OK,
            error_code: None,
            error_message: None,
            bytes_in: 0,
            bytes_out: 0,
            read_only: parts.method.is_safe(),
            is_data_event: false,
            resources: Vec::new(),
            // The forms that S3's own ids have.
            request_id: hex::encode_upper(&id.as_bytes()[..8]),
            extended_request_id: base64_of(&[*id.as_bytes(), *Uuid::new_v4().as_bytes()].concat()),
            authentication_method: authentication_method(parts),
            user_agent: text(parts.headers.get(header::USER_AGENT)),
        }
    }

    pub(super) fn add_address(&mut self, address: &Address) {
        self.bucket = address.bucket.clone();
        self.key = address.key.clone();
        let parameters = &mut self.request_parameters;
        parameters.insert("Host".to_owned(), Value::from(address.host.as_str()));
        if let Some(bucket) = &address.bucket {
            parameters.insert("bucketName".to_owned(), Value::from(bucket.as_str()));
            self.resources.push((format!("arn:aws:s3:::{bucket}"), "AWS::S3::Bucket"));
            if let Some(key) = &address.key {
                parameters.insert("key".to_owned(), Value::from(key.as_str()));
                self.resources
                    .insert(0, (format!("arn:aws:s3:::{bucket}/{key}"), "AWS::S3::Object"));
            }
        }
    }

    pub(super) fn add_caller(&mut self, caller: &Caller, scope: &Scope) {
        self.access_key_id = caller.access_key_id().map(str::to_owned);
        self.caller = Some(caller.clone());
        self.region = Some(scope.region.clone());
    }

    /// A bucket policy is part of the record. Lists of keys and parts are not.
    pub(super) fn add_document(&mut self, document: &[u8]) {
        if self.request_parameters.contains_key("policy")
            && let Ok(policy) = serde_json::from_slice::<Value>(document)
        {
            self.request_parameters.insert("bucketPolicy".to_owned(), policy);
        }
    }

    /// Reads the outcome from the answer, and gives the answer its ids and an error its S3 form.
    pub(super) fn finish(&mut self, response: &mut Response<Body>) {
        let s3_name = self.operation.take();
        if let Some(name) = s3_name {
            self.is_data_event = is_data_event(&name);
            self.read_only = ["Get", "Head", "List"].iter().any(|verb| name.starts_with(verb));
            self.operation = Some(event_name(&name).to_owned());
        }
        self.status = response.status();
        if self.status.is_client_error() || self.status.is_server_error() {
            let answer = response.body().bytes().unwrap_or_default();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            self.error_code = element(&answer, "Code");
            self.error_message = element(&answer, "Message");
            self.write_error(response);
        }
        if self.status == StatusCode::NOT_MODIFIED {
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        let length = response.headers().get(header::CONTENT_LENGTH);
        let declared =
            length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let known = response.body().bytes().map(|bytes| bytes.len() as u64);
        self.bytes_out = known.or(declared).unwrap_or(0);
        for (name, value) in
            [("x-amz-request-id", &self.request_id), ("x-amz-id-2", &self.extended_request_id)]
        {
            let value =
                HeaderValue::try_from(value).expect("hexadecimal and base64 are header text");
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }

    fn write_error(&self, response: &mut Response<Body>) {
        let code = self.error_code.as_deref().unwrap_or("InternalError");
        let message = self.error_message.as_deref().unwrap_or("");
        let (request_id, host_id) = (&self.request_id, &self.extended_request_id);
        let mut resource = format!("/{}", self.bucket.as_deref().unwrap_or(""));
        if let Some(key) = &self.key {
            resource = format!("{resource}/{key}");
        }
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message><Resource>{}</Resource><RequestId>{request_id}</RequestId><HostId>{host_id}</HostId></Error>",
            escaped(code),
            escaped(message),
            escaped(&resource),
        );
        *response.body_mut() = Body::from(xml);
        let xml_type = HeaderValue::from_static("application/xml");
        response.headers_mut().insert(header::CONTENT_TYPE, xml_type);
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
}

/// Headers that CloudTrail shows among the request parameters.
const RECORDED_HEADERS: [&str; 6] = [
    "x-amz-acl",
    "x-amz-copy-source",
    "x-amz-metadata-directive",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-expected-bucket-owner",
];

/// CloudTrail's name of an operation, where it is not S3's own.
fn event_name(operation: &str) -> &str {
    match operation {
        // Both versions are recorded under one name (spec a.1).
        "ListObjectsV2" => "ListObjects",
        // S3 user guide, "Amazon S3 CloudTrail events".
        "GetBucketAccelerateConfiguration" => "GetAccelerateConfiguration",
        "GetBucketLifecycleConfiguration" => "GetBucketLifecycle",
        "GetBucketNotificationConfiguration" => "GetBucketNotification",
        "GetObjectLockConfiguration" => "GetBucketObjectLockConfiguration",
        "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
        other => other,
    }
}

/// Source: S3 user guide, "Amazon S3 CloudTrail events": object-level actions are data events.
fn is_data_event(operation: &str) -> bool {
    let object_level =
        ["Object", "Objects", "ObjectsV2", "Upload", "Uploads", "Part", "Parts", "PartCopy"];
    object_level.iter().any(|ending| operation.ends_with(ending))
}

fn authentication_method(parts: &Parts) -> Option<&'static str> {
    if parts.headers.contains_key(header::AUTHORIZATION) {
        return Some("AuthHeader");
    }
    let presigned =
        query(parts).any(|(name, _)| decoded(name).eq_ignore_ascii_case("X-Amz-Signature"));
    presigned.then_some("QueryString")
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn text(value: Option<&HeaderValue>) -> Option<String> {
    value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

/// The text of the first such element in XML written by s3s, which has no attributes in errors.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let mut plain = text.to_owned();
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#34;", "\""),
        ("&amp;", "&"),
    ] {
        plain = plain.replace(entity, character);
    }
    Some(plain)
}

/// Text for XML 1.0, which has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\t' | '\n' => xml.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            other => xml.push(other),
        }
    }
    xml
}
