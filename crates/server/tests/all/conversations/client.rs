//! Speaks to a node over HTTP as AWS's tools do: signed requests, three protocols.

use aws_lc_rs::digest::{SHA256, digest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde_json::{Value, json};
use server::access::{Secret, Signing, sign};
use server::clock::{Clock, SystemClock};
use server::node::Node;

use crate::fresh_node::REGION;

/// What can be said.
#[derive(Debug, Clone)]
pub enum Call {
    Operation {
        name: String,
        body: String,
    },
    Target {
        target: String,
        body: String,
    },
    Sts {
        form: String,
    },
    S3 {
        operation: String,
        bucket: String,
        rest: String,
    },
    /// To `/v1/events`, and to `/v1/lookup`.
    Post {
        body: String,
    },
    Lookup {
        body: String,
    },
    /// PutAuditEvents of CloudTrail Data.
    Put {
        channel: String,
        entries: String,
    },
    Http {
        method: String,
        path: String,
        body: String,
    },
}

/// What was heard. Its body as JSON: XML becomes nested objects, a listing its keys.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    pub body: Value,
    /// What is wrong with it whatever was asked: headers, the form of errors.
    pub faults: Vec<String>,
}

impl Answer {
    /// The error's code, in whichever protocol.
    pub fn code(&self) -> Option<&str> {
        let in_json = &self.body["__type"];
        let in_xml = &self.body["ErrorResponse"]["Error"]["Code"];
        let in_ours = &self.body["error"]["code"];
        in_json
            .as_str()
            .or(in_ours.as_str())
            .or(in_xml.as_str())
            .or(self.body["Error"]["Code"].as_str())
    }

    pub fn message(&self) -> &Value {
        match &self.body {
            body if body["__type"].is_string() => &body["message"],
            body if body["error"].is_object() => &body["error"]["message"],
            body if body["Error"].is_object() => &body["Error"]["Message"],
            body => &body["ErrorResponse"]["Error"]["Message"],
        }
    }

    /// As a conversation writes it.
    pub fn shown(&self) -> String {
        match self.code() {
            Some(code) => format!("{} {code} {}", self.status, self.message()),
            None => format!("{} {}", self.status, self.body),
        }
    }
}

pub struct Client {
    http: reqwest::Client,
    endpoint: String,
    access_key_id: String,
    secret: Secret,
    clock: SystemClock,
    calls: u64,
}

const JSON_PREFIX: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.";

impl Client {
    pub fn new(node: &Node) -> Client {
        Client {
            http: reqwest::Client::new(),
            endpoint: node.endpoint(),
            access_key_id: node.credentials.access_key_id.clone(),
            secret: node.credentials.secret_access_key.clone(),
            clock: SystemClock::start(),
            calls: 0,
        }
    }

    /// As somebody else than the node's first user.
    pub fn with_key(node: &Node, access_key_id: &str, secret: &Secret) -> Client {
        let (access_key_id, secret) = (access_key_id.to_owned(), secret.clone());
        Client { access_key_id, secret, ..Client::new(node) }
    }

    pub async fn call(&mut self, region: &str, call: &Call) -> Answer {
        match call {
            Call::Operation { name, body } => {
                self.json(region, &format!("{JSON_PREFIX}{name}"), body).await
            }
            Call::Target { target, body } => self.json(region, target, body).await,
            Call::Post { body } => self.own(region, "/v1/events", body).await,
            Call::Lookup { body } => self.own(region, "/v1/lookup", body).await,
            Call::Put { channel, entries } => self.put(region, channel, entries).await,
            Call::Http { method, path, body } => self.http(region, method, path, body).await,
            Call::Sts { form } => self.sts(region, form).await,
            Call::S3 { operation, bucket, rest } => self.s3(region, operation, bucket, rest).await,
        }
    }

    pub async fn cloudtrail(&mut self, operation: &str, body: &str) -> Answer {
        self.json(REGION, &format!("{JSON_PREFIX}{operation}"), body).await
    }

    async fn json(&mut self, region: &str, target: &str, body: &str) -> Answer {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target)];
        let service = match target.split('.').next() {
            Some("ResourceGroupsTaggingAPI_20170126") => "tagging",
            Some("AWSOrganizationsV20161128") => "organizations",
            _ => "cloudtrail",
        };
        let heard = self.send(Method::POST, "/", &headers, body, region, service).await;
        let mut faults = heard.without_request_id();
        heard.expect_header("content-type", Some("application/x-amz-json-1.1"), &mut faults);
        let body = serde_json::from_str(&heard.text).unwrap_or(Value::Null);
        let code = body["__type"].as_str();
        heard.expect_header("x-amzn-errortype", code, &mut faults);
        let is_error = heard.status >= 300;
        if is_error && body != json!({"__type": body["__type"], "message": body["message"]}) {
            faults.push(format!("an error has __type and message, this one is {}", heard.text));
        }
        if !is_error && !body.is_object() {
            faults.push(format!("the body is no JSON object: {}", heard.text));
        }
        heard.answer(body, faults)
    }

    async fn http(&mut self, region: &str, method: &str, path: &str, body: &str) -> Answer {
        let method = method.parse().expect("a method");
        let heard = self.send(method, path, &[], body, region, "cloudtrail").await;
        let mut faults = Vec::new();
        heard.expect_header("content-type", Some("application/json"), &mut faults);
        let body = serde_json::from_str(&heard.text).unwrap_or(Value::Null);
        heard.answer(body, faults)
    }

    /// Cairn's own paths.
    async fn own(&mut self, region: &str, path: &str, body: &str) -> Answer {
        let heard = self.send(Method::POST, path, &[], body, region, "cloudtrail-data").await;
        let mut faults = Vec::new();
        heard.expect_header("content-type", Some("application/json"), &mut faults);
        let body = serde_json::from_str(&heard.text).unwrap_or(Value::Null);
        heard.answer(body, faults)
    }

    async fn put(&mut self, region: &str, channel: &str, entries: &str) -> Answer {
        let mut entries: Value = serde_json::from_str(entries).expect("entries are JSON");
        for entry in entries.as_array_mut().into_iter().flatten() {
            if entry["eventData"].is_object() {
                entry["eventData"] = entry["eventData"].to_string().into();
            }
        }
        let body = json!({ "auditEvents": entries }).to_string();
        let channel = channel.replace(':', "%3A").replace('/', "%2F");
        let path = format!("/PutAuditEvents?channelArn={channel}");
        let headers = [("content-type", "application/json")];
        let heard =
            self.send(Method::POST, &path, &headers, &body, region, "cloudtrail-data").await;
        let mut faults = heard.without_request_id();
        heard.expect_header("content-type", Some("application/json"), &mut faults);
        let body = serde_json::from_str(&heard.text).unwrap_or(Value::Null);
        heard.expect_header("x-amzn-errortype", body["__type"].as_str(), &mut faults);
        heard.answer(body, faults)
    }

    async fn sts(&mut self, region: &str, form: &str) -> Answer {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let heard = self.send(Method::POST, "/", &headers, form, region, "sts").await;
        let mut faults = heard.without_request_id();
        heard.expect_header("content-type", Some("text/xml"), &mut faults);
        let body = xml(&heard.text).unwrap_or(Value::Null);
        heard.answer(body, faults)
    }

    async fn s3(&mut self, region: &str, operation: &str, bucket: &str, rest: &str) -> Answer {
        let (method, path) = match operation {
            "CreateBucket" => (Method::PUT, format!("/{bucket}")),
            "DeleteBucket" => (Method::DELETE, format!("/{bucket}")),
            "PutBucketPolicy" => (Method::PUT, format!("/{bucket}?policy=")),
            "DeleteBucketPolicy" => (Method::DELETE, format!("/{bucket}?policy=")),
            "ListObjects" => (Method::GET, format!("/{bucket}?list-type=2")),
            "DeleteObject" => (Method::DELETE, format!("/{bucket}/{rest}")),
            // Its text after the key.
            "PutObject" => (Method::PUT, format!("/{bucket}/{}", key_of(rest).0)),
            other => panic!("the client has no s3 {other}"),
        };
        let body = match operation {
            "DeleteObject" => "",
            "PutObject" => key_of(rest).1,
            _ => rest,
        };
        let heard = self.send(method, &path, &[], body, region, "s3").await;
        let body = match operation {
            "ListObjects" if heard.status == 200 => {
                let keys = heard.text.split("<Key>").skip(1);
                keys.filter_map(|rest| rest.split("</Key>").next()).collect()
            }
            _ => xml(&heard.text).unwrap_or(Value::Null),
        };
        heard.answer(body, Vec::new())
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: &str,
        region: &str,
        service: &str,
    ) -> Heard {
        let uri: Uri = format!("{}{path}", self.endpoint).parse().expect("a URI");
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header's value");
            all.insert(HeaderName::from_static(name), value);
        }
        // As SDKs do. It also tells two equal calls of one second apart.
        self.calls += 1;
        all.insert("amz-sdk-invocation-id", HeaderValue::from(self.calls));
        let with = Signing {
            access_key_id: &self.access_key_id,
            secret: &self.secret,
            session_token: None,
            region,
            service,
            time: self.clock.now(),
        };
        let hash = hex::encode(digest(&SHA256, body.as_bytes()));
        all.extend(sign(&method, &uri, &all, &hash, &with).expect("the request can be signed"));
        let request = self.http.request(method, uri.to_string()).headers(all);
        let response = request.body(body.to_owned()).send().await.expect("the node answers");
        Heard {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the body comes whole"),
        }
    }
}

/// A key and what follows the space behind it.
fn key_of(rest: &str) -> (&str, &str) {
    rest.split_once(' ').unwrap_or((rest, ""))
}

struct Heard {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn expect_header(&self, name: &str, wanted: Option<&str>, faults: &mut Vec<String>) {
        let found = self.header(name);
        if found != wanted {
            faults.push(format!("header {name} is {found:?}, expected {wanted:?}"));
        }
    }

    fn without_request_id(&self) -> Vec<String> {
        let id = self.header("x-amzn-requestid").unwrap_or_default();
        match uuid::Uuid::parse_str(id) {
            Ok(_) => Vec::new(),
            Err(_) => vec![format!("header x-amzn-requestid is {id:?}, no UUID")],
        }
    }

    fn answer(self, body: Value, faults: Vec<String>) -> Answer {
        Answer { status: self.status, text: self.text, body, faults }
    }
}

/// `<A x="1"><B>c</B></A>` → `{"A": {"B": "c"}}`. Attributes are passed over.
fn xml(text: &str) -> Option<Value> {
    let text = match text.trim_start().strip_prefix("<?") {
        Some(rest) => rest.split_once("?>")?.1,
        None => text,
    };
    let (value, rest) = elements(text)?;
    rest.trim().is_empty().then_some(value)
}

/// The elements up to the end or to a closing tag, and what follows them.
fn elements(text: &str) -> Option<(Value, &str)> {
    let mut object = serde_json::Map::new();
    let mut rest = text.trim_start();
    while rest.starts_with('<') && !rest.starts_with("</") {
        let (tag, inside) = rest[1..].split_once('>')?;
        let name = tag.split_whitespace().next()?;
        let (value, after) = match inside.trim_start().starts_with('<') {
            true if !inside.trim_start().starts_with("</") => elements(inside)?,
            _ => {
                let end = inside.find("</")?;
                (Value::from(unescaped(&inside[..end])), &inside[end..])
            }
        };
        rest = after.strip_prefix("</")?.strip_prefix(name)?.strip_prefix('>')?.trim_start();
        object.insert(name.to_owned(), value);
    }
    Some((Value::Object(object), rest))
}

fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

#[test]
fn xml_is_read_as_nested_objects() {
    let text =
        "<?xml version=\"1.0\"?>\n<A xmlns=\"x\">\n <B>1</B>\n <C><D>a &amp; b</D></C>\n</A>\n";
    assert_eq!(xml(text), Some(json!({"A": {"B": "1", "C": {"D": "a & b"}}})));
    assert_eq!(xml("<A><B></A>"), None);
}
