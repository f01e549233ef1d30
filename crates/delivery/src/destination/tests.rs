use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;

use async_trait::async_trait;
use object_store::client::HttpResponseBody;
use proptest::prelude::*;

use super::*;
use crate::layout::Folder;

fn settings(endpoint: &str, addressing: Addressing) -> StoreSettings {
    StoreSettings {
        endpoint: endpoint.to_owned(),
        addressing,
        region: "us-east-1".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "not-to-be-shown".to_owned(),
        session_token: None,
        direct: false,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_millis(300),
    }
}

/// A store that remembers what it was asked and answers what it was told to.
#[derive(Debug, Clone)]
struct Scripted {
    status: u16,
    body: String,
    seen: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl HttpService for Scripted {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        let mut signed = String::new();
        for (name, value) in request.headers() {
            let value = value.to_str().expect("text");
            match name.as_str() {
                "authorization" => {
                    let start = value.find("SignedHeaders=").expect("SigV4");
                    signed = value[start..].split(", ").next().expect("one").to_owned();
                }
                "x-amz-date" | "x-amz-content-sha256" => {}
                other => lines.push(format!("{other}: {value}")),
            }
        }
        lines[1..].sort();
        lines.push(signed);
        self.seen.lock().expect("not poisoned").push(lines.join("\n"));
        let body = http_body(self.body.clone());
        Ok(http::Response::builder().status(self.status).body(body).expect("a response"))
    }
}

fn http_body(text: String) -> HttpResponseBody {
    text.into()
}

fn scripted(status: u16, body: &str) -> (Destination, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = Scripted { status, body: body.to_owned(), seen: seen.clone() };
    let settings = settings("http://store.test:9000/", Addressing::Path);
    let destination = Destination::with_client(&settings, "audit-logs", HttpClient::new(service))
        .expect("good settings");
    (destination, seen)
}

fn aws_headers() -> PutHeaders {
    PutHeaders { source_arn: None, acl: true, encryption: Encryption::StoreKey }
}

#[tokio::test]
async fn a_digest_is_put_with_the_headers_of_awss_all_of_them_signed() {
    let (destination, seen) = scripted(200, "");
    let metadata = [("signature".to_owned(), "abcd".to_owned())];
    destination
        .put("a b/ü+(1).json.gz", Bytes::from_static(b"gz"), &metadata, &aws_headers())
        .await
        .expect("accepted");
    expect_test::expect![[r#"
        PUT http://store.test:9000/audit-logs/a%20b/%C3%BC%2B%281%29.json.gz
        content-encoding: gzip
        content-length: 2
        content-md5: yTFyRa+obEMExTiHVF6yGw==
        content-type: application/json
        host: store.test:9000
        x-amz-acl: bucket-owner-full-control
        x-amz-meta-signature: abcd
        x-amz-server-side-encryption: AES256
        SignedHeaders=content-encoding;content-md5;content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-meta-signature;x-amz-server-side-encryption"#]].assert_eq(&seen.lock().expect("not poisoned").join("\n---\n"));
}

#[tokio::test]
async fn the_bucket_check_asks_for_the_bucket_and_leaves_the_markers() {
    let (destination, seen) = scripted(200, "<LocationConstraint/>");
    let marker = MarkerKey {
        prefix: None,
        organization: None,
        account: "111122223333".to_owned(),
        folder: Folder::CloudTrail,
    };
    let headers =
        PutHeaders { source_arn: None, acl: false, encryption: Encryption::BucketDefault };
    destination.check_bucket(&[marker], &headers).await.expect("accepted");
    let seen = seen.lock().expect("not poisoned");
    let asked: Vec<&str> =
        seen.iter().map(|request| request.lines().next().unwrap_or("")).collect();
    assert_eq!(
        asked,
        [
            "GET http://store.test:9000/audit-logs?location=",
            "PUT http://store.test:9000/audit-logs/AWSLogs/111122223333/CloudTrail/"
        ]
    );
}

#[test]
fn a_bucket_can_stand_in_the_host_name() {
    let settings = settings("https://s3.example.com", Addressing::VirtualHost);
    let destination = Destination::new(&settings, "audit-logs").expect("good settings");
    assert_eq!(destination.url("a/b c", &[]), "https://audit-logs.s3.example.com/a/b%20c");
    assert_eq!(
        destination.with_bucket("x").url("", &[("prefix", "a/ü")]),
        "https://x.s3.example.com/?prefix=a%2F%C3%BC"
    );
}

#[tokio::test]
async fn no_key_leads_out_of_its_bucket() {
    let (destination, seen) = scripted(200, "");
    for key in ["../other-bucket/k", "a/../../other-bucket/k", "a/./k", ".."] {
        let failure = destination.get(key, 10).await.expect_err("refused");
        assert_eq!((failure.code.as_str(), failure.retry), ("InvalidSettings", false), "{key}");
    }
    assert_eq!(seen.lock().expect("not poisoned").len(), 0);
}

#[test]
fn secrets_are_not_shown() {
    let settings = settings("http://h", Addressing::Path);
    let destination = Destination::new(&settings, "b").expect("good settings");
    for text in [format!("{settings:?}"), format!("{destination:?}")] {
        assert!(!text.contains("not-to-be-shown"), "{text}");
    }
}

async fn check_failure(status: u16, body: &str, expected: &str) {
    let (destination, _) = scripted(status, body);
    let failure = destination
        .put("k", Bytes::new(), &[], &aws_headers())
        .await
        .expect_err("the store refused");
    let retry = if failure.retry { "passes by itself" } else { "needs someone" };
    assert_eq!(format!("{} {retry}", failure.code), expected, "{status} {body}");
}

#[tokio::test]
async fn failures_carry_the_stores_code_and_say_who_can_help() {
    let error =
        |code: &str| format!("<?xml?><Error><Code>{code}</Code><Message>m</Message></Error>");
    check_failure(404, &error("NoSuchBucket"), "NoSuchBucket needs someone").await;
    check_failure(403, &error("AccessDenied"), "AccessDenied needs someone").await;
    check_failure(400, &error("KMS.DisabledException"), "KMS.DisabledException needs someone")
        .await;
    check_failure(503, &error("SlowDown"), "SlowDown passes by itself").await;
    check_failure(400, &error("RequestTimeout"), "RequestTimeout passes by itself").await;
    check_failure(500, "", "InternalError passes by itself").await;
    check_failure(502, "<html>bad gateway</html>", "BadGateway passes by itself").await;
    check_failure(403, "", "AccessDenied needs someone").await;
    check_failure(429, "", "SlowDown passes by itself").await;
    check_failure(400, "<Code>two words</Code>", "BadRequest needs someone").await;
    check_failure(302, "", "UnexpectedStatus needs someone").await;
}

async fn put_once(endpoint: &str) -> DeliveryFailure {
    Destination::new(&settings(endpoint, Addressing::Path), "b")
        .expect("good settings")
        .put("k", Bytes::from_static(b"x"), &[], &aws_headers())
        .await
        .expect_err("nobody answers")
}

#[tokio::test]
async fn without_an_answer_the_code_says_why() {
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", closed.local_addr().expect("an address"));
    drop(closed);
    assert_eq!(put_once(&endpoint).await.code, "ConnectionRefused");

    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let failure = put_once(&endpoint).await;
    assert_eq!((failure.code.as_str(), failure.retry), ("Timeout", true), "{failure}");

    let rude = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", rude.local_addr().expect("an address"));
    let hang_up = std::thread::spawn(move || {
        let (mut stream, _) = rude.accept().expect("a connection");
        let _ = stream.read(&mut [0; 16]);
        // Half an answer, then gone: the put may have been applied.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
    });
    let failure = put_once(&endpoint).await;
    hang_up.join().expect("no panic");
    assert!(failure.retry && failure.code.starts_with("Connection"), "{failure}");
}

#[tokio::test]
async fn a_listing_is_read_with_its_escapes() {
    let (destination, _) = scripted(
        200,
        "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><IsTruncated>true</IsTruncated>\
         <NextContinuationToken>a&amp;b&#x3D;</NextContinuationToken><EncodingType>url</EncodingType>\
         <Contents><Key>a%2Fb+c%2B</Key><Size>7</Size></Contents><Contents><Key>b</Key><Size>0</Size>\
         </Contents></ListBucketResult>",
    );
    let page = destination.list("", None).await.expect("a page");
    assert_eq!(page.next.as_deref(), Some("a&b="));
    let object = |key: &str, size| ListedObject { key: key.to_owned(), size };
    assert_eq!(page.objects, [object("a/b c+", 7), object("b", 0)]);
    let (destination, _) = scripted(200, "<html/>");
    assert_eq!(destination.list("", None).await.expect_err("no listing").code, "InvalidAnswer");
}

#[tokio::test]
async fn an_object_is_read_up_to_a_limit_and_may_be_missing() {
    let (destination, _) = scripted(200, "12345");
    assert_eq!(&destination.get("k", 5).await.expect("read").expect("there").bytes[..], b"12345");
    assert_eq!(destination.get("k", 4).await.expect_err("too large").code, "EntityTooLarge");
    let (destination, _) = scripted(404, "<Error><Code>NoSuchKey</Code></Error>");
    assert_eq!(destination.get("k", 4).await, Ok(None));
}

#[test]
fn pauses_grow_to_a_minute_and_end_after_thirty_days() {
    assert_eq!(backoff(0, 1.0), Duration::from_secs(1));
    assert_eq!(backoff(0, 0.0), Duration::from_millis(500));
    assert_eq!(backoff(3, 1.0), Duration::from_secs(8));
    assert_eq!(backoff(6, 1.0), BACKOFF_MAX);
    assert_eq!(backoff(u32::MAX, f64::NAN), BACKOFF_MAX);
    let first = Timestamp::UNIX_EPOCH;
    let at =
        |day: i64, second: i64| Timestamp::from_second(day * 86400 + second).expect("in range");
    assert!(within_horizon(first, at(30, 0)));
    assert!(!within_horizon(first, at(30, 1)));
}

proptest! {
    #[test]
    fn no_answer_makes_the_reader_panic(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("<ListBucketResult".to_owned()), Just("<Contents>".to_owned()),
                Just("</Contents>".to_owned()), Just("<Key>".to_owned()), Just("</Key>".to_owned()),
                Just("<Size>1</Size>".to_owned()), Just("&#x".to_owned()), Just("&amp;".to_owned()),
                Just("<Code>".to_owned()), Just("</Code>".to_owned()), ".{0,6}",
            ], 0..20)
    ) {
        let body = parts.concat();
        let _ = xml::list_page(body.as_bytes());
        let _ = DeliveryFailure::refused(500, body.as_bytes());
    }
}

/// Runs where `CAIRN_TEST_S3` names a store (such as `http://127.0.0.1:5000`) that has the bucket
/// `audit-logs` and takes these credentials; `tests/e2e/test_delivery_store.py` starts one.
#[tokio::test]
async fn a_real_store_keeps_what_was_put() {
    let Ok(endpoint) = std::env::var("CAIRN_TEST_S3") else { return };
    let mut settings = settings(&endpoint, Addressing::Path);
    settings.request_timeout = Duration::from_secs(30);
    let destination = Destination::new(&settings, "audit-logs").expect("good settings");
    let marker = MarkerKey {
        prefix: Some("a b/ü+(1)=&".to_owned()),
        organization: None,
        account: "111122223333".to_owned(),
        folder: Folder::Digest,
    };
    destination.check_bucket(std::slice::from_ref(&marker), &aws_headers()).await.expect("let in");
    let absent = destination.with_bucket("no-such-bucket");
    for markers in [&[][..], std::slice::from_ref(&marker)] {
        let failure = absent.check_bucket(markers, &aws_headers()).await.expect_err("no bucket");
        assert_eq!(failure.code, "NoSuchBucket", "{failure}");
    }
    let gz = Bytes::from(crate::log_file::gzip(b"{}"));
    let metadata = [("signature".to_owned(), "ab".repeat(256))];
    for n in 0..1005 {
        let key = format!("pages/{n:04}");
        // Twice the same is harmless.
        destination.put(&key, gz.clone(), &metadata, &aws_headers()).await.expect("taken");
        if n == 0 {
            destination.put(&key, gz.clone(), &metadata, &aws_headers()).await.expect("taken");
        }
    }
    let object = destination.get("pages/0000", 1000).await.expect("read").expect("there");
    assert_eq!((object.bytes, object.metadata.as_slice()), (gz, &metadata[..]));
    assert_eq!(destination.get("pages/none", 1000).await, Ok(None));
    assert_eq!(destination.list(&marker.to_string(), None).await.expect("a page").objects.len(), 1);
    let first = destination.list("pages/", None).await.expect("a page");
    let second = destination.list("pages/", first.next.as_deref()).await.expect("a page");
    let keys: Vec<String> =
        first.objects.into_iter().chain(second.objects).map(|object| object.key).collect();
    assert_eq!((keys.len(), keys.is_sorted(), second.next), (1005, true, None));
}
