//! Boundaries, and the words of each door.

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use jiff::SignedDuration;
use proptest::prelude::*;

use super::keys::sha256;
use super::suite_tests::{KEY_ID, OneKey, SECRET, now};
use super::*;

/// A request that is signed well, and what may be done to it before it is judged.
struct Try {
    service: &'static str,
    region: &'static str,
    key_id: &'static str,
    secret: &'static str,
    token: Option<&'static str>,
    /// What the ring says the key's token is.
    bound_token: Option<&'static str>,
    active: bool,
    signed_at: Timestamp,
    judged_at: Timestamp,
    headers: Vec<(&'static str, &'static str)>,
    /// Added after signing.
    late_headers: Vec<(&'static str, &'static str)>,
    body: &'static str,
    signed_payload: Option<&'static str>,
    expect: Expect<'static>,
    payload: Option<Payload<'static>>,
}

impl Default for Try {
    fn default() -> Self {
        Self {
            service: "cloudtrail",
            region: "us-east-1",
            key_id: KEY_ID,
            secret: SECRET,
            token: None,
            bound_token: None,
            active: true,
            signed_at: now(),
            judged_at: now(),
            headers: vec![
                ("host", "localhost:4580"),
                ("x-amz-target", "CloudTrail_20131101.StopLogging"),
            ],
            late_headers: vec![],
            body: "{}",
            signed_payload: None,
            expect: Expect::CLOUDTRAIL,
            payload: None,
        }
    }
}

impl Try {
    fn s3() -> Self {
        Self { service: "s3", expect: Expect::S3, ..Self::default() }
    }

    fn parts(&self) -> Parts {
        let mut parts = Request::post("/").body(()).unwrap().into_parts().0;
        append(&mut parts.headers, &self.headers);
        let secret = Secret::new(self.secret.to_owned());
        let with = Signing {
            access_key_id: self.key_id,
            secret: &secret,
            session_token: self.token,
            region: self.region,
            service: self.service,
            time: self.signed_at,
        };
        let hash = hex::encode(sha256(self.body.as_bytes()));
        let hash = self.signed_payload.unwrap_or(&hash);
        let added = sign(&parts.method, &parts.uri, &parts.headers, hash, &with).unwrap();
        parts.headers.extend(added);
        append(&mut parts.headers, &self.late_headers);
        parts
    }

    fn judge_parts(&self, parts: &Parts) -> Result<Verified, AuthError> {
        let keys =
            OneKey { session_token: self.bound_token.map(str::to_owned), active: self.active };
        let payload = self.payload.unwrap_or(Payload::Bytes(self.body.as_bytes()));
        Verifier::default().authenticate(parts, payload, &self.expect, &keys, self.judged_at)
    }

    fn judge(&self) -> Result<Verified, AuthError> {
        self.judge_parts(&self.parts())
    }

    #[track_caller]
    fn refused(&self, code: &str, words: &str) {
        check_error(self.judge(), code, words);
    }
}

fn append(headers: &mut HeaderMap, added: &[(&'static str, &'static str)]) {
    for (name, value) in added {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

#[track_caller]
fn check_error(result: Result<Verified, AuthError>, code: &str, words: &str) {
    let error = result.map(|_| ()).unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(words), "{:?} should contain {words:?}", error.message);
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

#[test]
fn a_signature_is_good_for_fifteen_minutes_either_way_and_not_a_second_more() {
    for off in [-900, -1, 0, 1, 900] {
        let verified = Try { signed_at: now() + seconds(off), ..Try::default() }.judge().unwrap();
        assert_eq!(verified.usable_until, now() + seconds(off + 900));
    }
    Try { signed_at: now() - seconds(901), ..Try::default() }.refused(
        "InvalidSignatureException",
        "Signature expired: 20150830T122059Z is now earlier than 20150830T122100Z (20150830T123600Z - 15 min.)",
    );
    Try { signed_at: now() + seconds(901), ..Try::default() }.refused(
        "InvalidSignatureException",
        "Signature not yet current: 20150830T125101Z is still later than 20150830T125100Z (20150830T123600Z + 15 min.)",
    );
    let late = Try { signed_at: now() - seconds(901), ..Try::s3() };
    late.refused("RequestTimeTooSkewed", "too large");
    let query = Try { service: "sts", expect: Expect::STS, ..late };
    query.refused("SignatureDoesNotMatch", "Signature expired");
    // Across midnight the scope's day is the day of signing.
    let midnight: Timestamp = "2015-08-31T00:00:00Z".parse().unwrap();
    let before = Try {
        signed_at: midnight - seconds(1),
        judged_at: midnight + seconds(899),
        ..Try::default()
    };
    assert!(before.judge().is_ok());
}

#[test]
fn the_scope_must_fit_the_door() {
    let other = Try { service: "s3", expect: Expect::CLOUDTRAIL, ..Try::default() };
    other.refused(
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'cloudtrail'.",
    );
    for region in [
        "us-east",
        "US-EAST-1",
        "us_east_1",
        "us-east-1-",
        "..",
        "a-b-c-d-e-f-g-h-i-j-k-l-m-n-o-p-1",
    ] {
        Try { region, ..Try::default() }.refused("InvalidSignatureException", "valid region");
    }
    for region in
        ["us-east-1", "us-gov-west-1", "ap-southeast-5", "us-isob-east-1", "eusc-de-east-1"]
    {
        let verified = Try { region, ..Try::default() }.judge().unwrap();
        assert_eq!(verified.scope().region, region);
    }
    let exact = Expect { region: RegionRule::Exactly("eu-west-1"), ..Expect::S3 };
    let wrong = Try { expect: exact, ..Try::s3() };
    wrong.refused(
        "AuthorizationHeaderMalformed",
        "the region 'us-east-1' is wrong; expecting 'eu-west-1'",
    );
    assert!(Try { region: "eu-west-1", expect: exact, ..Try::s3() }.judge().is_ok());
}

#[test]
fn a_date_or_terminator_that_does_not_fit_is_named() {
    let change = |from: &str, to: &str| {
        let one = Try::default();
        let mut parts = one.parts();
        let changed = parts.headers[AUTHORIZATION].to_str().unwrap().replace(from, to);
        parts.headers.insert(AUTHORIZATION, changed.parse().unwrap());
        one.judge_parts(&parts)
    };
    check_error(
        change("/20150830/", "/20150829/"),
        "InvalidSignatureException",
        "'20150829' != '20150830'",
    );
    check_error(
        change("aws4_request", "aws5_request"),
        "InvalidSignatureException",
        "'aws4_request', not 'aws5_request'",
    );
    let incomplete = "IncompleteSignatureException";
    check_error(change("/cloudtrail/", "/"), incomplete, "exactly 5 slash-delimited");
    check_error(change("/cloudtrail/", "//"), incomplete, "empty");
    check_error(change("Credential=", "Credentials="), incomplete, "Unknown part");
    check_error(change(", Signature=", ", Signature"), incomplete, "missing equal-sign");
    check_error(
        change("host;x-amz", "x-amz"),
        "InvalidSignatureException",
        "'host' must be a 'SignedHeader'",
    );
    check_error(change("host;x-amz-date", "x-amz-date;host"), incomplete, "in order");
    check_error(
        change("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        incomplete,
        "AWS4-HMAC-SHA256",
    );
    check_error(change("Signature=", "Signature=0"), "InvalidSignatureException", "does not match");
    check_error(
        change("SignedHeaders=", "Signature=0,SignedHeaders="),
        incomplete,
        "repeats 'Signature'",
    );
}

#[test]
fn each_door_says_it_in_its_own_words() {
    let sts = || Try { service: "sts", expect: Expect::STS, ..Try::default() };
    let data =
        || Try { service: "cloudtrail-data", expect: Expect::CLOUDTRAIL_DATA, ..Try::default() };
    let unknown = |one: Try| Try { key_id: "AKIDNOBODY", ..one };
    let inactive = |one: Try| Try { active: false, ..one };
    let wrong = |one: Try| Try { secret: "wrong", ..one };
    for (one, code, status) in [
        (unknown(Try::default()), "UnrecognizedClientException", 400),
        (inactive(Try::default()), "UnrecognizedClientException", 400),
        (wrong(Try::default()), "InvalidSignatureException", 400),
        (unknown(data()), "UnrecognizedClientException", 403),
        (wrong(data()), "InvalidSignatureException", 403),
        (unknown(sts()), "InvalidClientTokenId", 403),
        (inactive(sts()), "InvalidClientTokenId", 403),
        (wrong(sts()), "SignatureDoesNotMatch", 403),
        (unknown(Try::s3()), "InvalidAccessKeyId", 403),
        (inactive(Try::s3()), "InvalidAccessKeyId", 403),
        (wrong(Try::s3()), "SignatureDoesNotMatch", 403),
    ] {
        let error = one.judge().map(|_| ()).unwrap_err();
        assert_eq!((error.code, error.status.as_u16()), (code, status), "{error}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    let nothing = Request::post("/").body(()).unwrap().into_parts().0;
    for (one, code, message) in [
        (Try::default(), "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (sts(), "MissingAuthenticationToken", "Missing Authentication Token"),
        (Try::s3(), "AccessDenied", "Access Denied"),
    ] {
        check_error(one.judge_parts(&nothing), code, message);
    }
}

#[test]
fn what_could_be_read_two_ways_is_refused() {
    for (name, value) in [
        ("authorization", "x"),
        ("host", "localhost:4580"),
        ("x-amz-date", "20150830T123600Z"),
        ("x-amz-target", "CloudTrail_20131101.StopLogging"),
    ] {
        let twice = Try { late_headers: vec![(name, value)], ..Try::default() };
        twice.refused("IncompleteSignatureException", "once only");
    }
    let lengths = Try {
        late_headers: vec![("content-length", "2"), ("content-length", "2")],
        ..Try::default()
    };
    lengths.refused("IncompleteSignatureException", "content-length");

    let both = Try::default();
    let mut parts = both.parts();
    parts.uri = "/?X-Amz-Signature=00".parse().unwrap();
    check_error(both.judge_parts(&parts), "IncompleteSignatureException", "not in both");
    parts.uri = "/?X-%41mz-Signature=00".parse().unwrap();
    check_error(both.judge_parts(&parts), "IncompleteSignatureException", "not in both");
    parts.uri = "/?X-Amz-Date=1&X-Amz-Date=2".parse().unwrap();
    check_error(both.judge_parts(&parts), "IncompleteSignatureException", "once only");

    let mut other_host = both.parts();
    other_host.uri = "http://elsewhere/".parse().unwrap();
    check_error(both.judge_parts(&other_host), "IncompleteSignatureException", "differ");
    let mut http2 = both.parts();
    http2.headers.remove(HOST);
    http2.uri = "http://localhost:4580/".parse().unwrap();
    assert!(both.judge_parts(&http2).is_ok());
}

#[test]
fn every_amz_header_must_be_signed_but_the_user_agent() {
    let with = |name| Try { late_headers: vec![(name, "x")], ..Try::default() };
    with("x-amz-acl").refused("InvalidSignatureException", "'x-amz-acl' must be a 'SignedHeader'");
    assert!(with("x-amz-user-agent").judge().is_ok());
    assert!(with("x-amzn-trace-id").judge().is_ok());
    let s3 = Try { late_headers: vec![("x-amz-meta-a", "x")], ..Try::s3() };
    s3.refused(
        "AccessDenied",
        "headers present in the request which were not signed: x-amz-meta-a",
    );
}

#[test]
fn requests_have_limits() {
    let names: Vec<String> = (0..100).map(|nth| format!("h{nth}")).collect();
    let one = Try::default();
    let mut many = one.parts();
    for name in &names {
        many.headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(""));
    }
    let error = one.judge_parts(&many).map(|_| ()).unwrap_err();
    assert_eq!(error.status, StatusCode::PAYLOAD_TOO_LARGE);
    let mut large = one.parts();
    large.headers.append("h", "x".repeat(16 * 1024).parse().unwrap());
    assert_eq!(one.judge_parts(&large).unwrap_err().refusal, Refusal::HeadersTooLarge);
    let mut long = one.parts();
    long.uri = format!("/{}", "x".repeat(8 * 1024)).parse().unwrap();
    assert_eq!(one.judge_parts(&long).unwrap_err().refusal, Refusal::TargetTooLong);
}

#[test]
fn the_body_must_be_the_signed_one() {
    let other = Payload::Bytes(b"{ }");
    let wrong = Try { payload: Some(other), ..Try::default() };
    wrong.refused("InvalidSignatureException", "does not match");
    let wrong = Try { payload: Some(other), ..Try::s3() };
    wrong.refused("XAmzContentSHA256Mismatch", "does not match what was computed");
    let hashed = Try { payload: Some(Payload::Sha256(sha256(b"{}"))), ..Try::default() };
    assert_eq!(hashed.judge().unwrap().body, BodyDuty::Checked);
    let deferred = Try { payload: Some(Payload::Deferred), ..Try::s3() };
    assert_eq!(deferred.judge().unwrap().body, BodyDuty::Sha256(sha256(b"{}")));
    let deferred = Try { payload: Some(Payload::Deferred), ..Try::default() };
    deferred.refused("IncompleteSignatureException", "x-amz-content-sha256");

    let unsigned = Some("UNSIGNED-PAYLOAD");
    assert_eq!(
        Try { signed_payload: unsigned, ..Try::s3() }.judge().unwrap().body,
        BodyDuty::Unsigned
    );
    for declared in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "E3B0", ""] {
        let mut headers = Try::default().headers;
        headers.push(("x-amz-content-sha256", declared));
        let one = Try { headers, signed_payload: Some(declared), ..Try::default() };
        one.refused("InvalidSignatureException", "x-amz-content-sha256");
    }
    for (declared, signed, trailer) in [
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false),
        ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true),
    ] {
        let one =
            Try { signed_payload: Some(declared), payload: Some(Payload::Deferred), ..Try::s3() };
        let verified = one.judge().unwrap();
        assert_eq!(verified.body, BodyDuty::Chunks { signed, trailer });
        assert_eq!(verified.chunk_chain.is_some(), signed);
        let strict = Expect { allow_streaming: false, ..Expect::S3 };
        Try { expect: strict, ..one }.refused("InvalidArgument", "must be");
    }
    let one = Try::s3();
    let mut parts = one.parts();
    parts.headers.remove("x-amz-content-sha256");
    check_error(one.judge_parts(&parts), "InvalidRequest", "Missing required header");
}

#[test]
fn a_session_token_is_bound_to_its_key_and_ends() {
    let good = || Try { token: Some("token"), bound_token: Some("token"), ..Try::default() };
    assert!(good().judge().is_ok());
    let invalid = "UnrecognizedClientException";
    Try { token: Some("other"), ..good() }.refused(invalid, "security token");
    Try { token: None, ..good() }.refused(invalid, "security token");
    Try { bound_token: None, ..good() }.refused(invalid, "security token");
    // The ring's token ends a minute after `now`.
    assert!(Try { judged_at: now() + seconds(59), ..good() }.judge().is_ok());
    let ended = Try { judged_at: now() + seconds(60), ..good() };
    ended.refused("ExpiredTokenException", "expired");
    Try { service: "s3", expect: Expect::S3, ..ended }.refused("ExpiredToken", "expired");
    Try { service: "s3", expect: Expect::S3, bound_token: None, ..good() }
        .refused("InvalidToken", "malformed");
}

/// Presigns `GET /a`, as the specification says, without the code under test but its primitives.
fn presigned(expires: &str, extra: &str) -> Parts {
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F20150830%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
    );
    let canonical = format!("GET\n/a\n{query}\nhost:h\n\nhost\nUNSIGNED-PAYLOAD");
    let hash = hex::encode(sha256(canonical.as_bytes()));
    let to_sign =
        format!("AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/s3/aws4_request\n{hash}");
    let scope = Scope { date: "20150830".into(), region: "us-east-1".into(), service: "s3".into() };
    let key = keys::SigningKey::derive(&Secret::new(SECRET.to_owned()), &scope);
    let signature = hex::encode(key.sign(&to_sign));
    let target = format!("/a?{query}&X-Amz-Signature={signature}{extra}");
    Request::get(target).header("host", "h").body(()).unwrap().into_parts().0
}

#[test]
fn a_presigned_request_lasts_as_long_as_it_says_and_at_most_a_week() {
    let at = |second| Try { judged_at: now() + seconds(second), ..Try::s3() };
    let verified = at(0).judge_parts(&presigned("60", "")).unwrap();
    assert_eq!(verified.body, BodyDuty::Unsigned);
    assert_eq!(verified.usable_until, now() + seconds(60));
    assert!(at(60).judge_parts(&presigned("60", "")).is_ok());
    check_error(at(61).judge_parts(&presigned("60", "")), "AccessDenied", "Request has expired");
    assert!(at(604_800).judge_parts(&presigned("604800", "")).is_ok());
    assert!(at(-900).judge_parts(&presigned("60", "")).is_ok());
    check_error(at(-901).judge_parts(&presigned("60", "")), "RequestTimeTooSkewed", "too large");
    for expires in ["0", "-1", "604801", "", "1e3", "%2B60", "99999999999999999999"] {
        let result = at(0).judge_parts(&presigned(expires, ""));
        check_error(result, "AuthorizationHeaderMalformed", "X-Amz-Expires");
    }
    check_error(at(0).judge_parts(&presigned("60", "&x=1")), "SignatureDoesNotMatch", "");
    let one = Try { expect: Expect::CLOUDTRAIL, ..Try::s3() };
    check_error(one.judge_parts(&presigned("60", "")), "IncompleteSignatureException", "Presigned");
}

#[test]
fn a_caller_knows_its_names() {
    let caller = |identity| Caller {
        account: event::AccountId::parse("111111111111").unwrap(),
        access_key_id: None,
        identity,
        session_expires: None,
        session_policy: None,
    };
    let user = caller(Identity::User {
        name: "ann".into(),
        path: "/ops/".into(),
        principal_id: "AIDAEXAMPLE".into(),
    });
    assert_eq!(user.arn().unwrap(), "arn:aws:iam::111111111111:user/ops/ann");
    assert_eq!(user.principal_id(), "AIDAEXAMPLE");
    let root = caller(Identity::Root);
    assert_eq!(root.arn().unwrap(), "arn:aws:iam::111111111111:root");
    assert_eq!(root.principal_id(), "111111111111");
    let service = caller(Identity::Service { principal: "cloudtrail.amazonaws.com".into() });
    assert_eq!(service.arn(), None);
}

proptest! {
    #[test]
    fn whatever_we_sign_verifies_and_only_unchanged(
        method in "GET|PUT|POST|DELETE|HEAD",
        path in "(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,6}|/%[0-9A-F]{2}){1,5}",
        query in "([a-zA-Z0-9._~!$'()*+,;:@/?-]{0,6}(=(%[0-9A-F]{2})?[a-z=+/]{0,4})?&?){0,4}",
        values in proptest::collection::vec("[ -~]{0,12}", 0..5),
        body in proptest::collection::vec(any::<u8>(), 0..64),
        is_s3 in any::<bool>(),
        token in proptest::option::of("[A-Za-z0-9/+=]{1,40}"),
        flip in any::<prop::sample::Index>(),
    ) {
        let service = if is_s3 { "s3" } else { "cloudtrail" };
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(method.as_str()).uri(target).header("host", "h:1");
        for (nth, value) in values.iter().enumerate() {
            request = request.header(format!("x-amz-meta-{}", nth % 3), value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        let secret = Secret::new(SECRET.to_owned());
        let with = Signing {
            access_key_id: KEY_ID, secret: &secret, session_token: token.as_deref(),
            region: "eu-central-2", service, time: now(),
        };
        let hash = hex::encode(sha256(&body));
        let added = sign(&parts.method, &parts.uri, &parts.headers, &hash, &with).unwrap();
        parts.headers.extend(added);
        let expect = if is_s3 { Expect::S3 } else { Expect::CLOUDTRAIL };
        let keys = OneKey { session_token: token, active: true };
        let judge = |parts: &Parts, body: &[u8]| {
            Verifier::default().authenticate(parts, Payload::Bytes(body), &expect, &keys, now())
        };
        let verified = judge(&parts, &body);
        prop_assert!(verified.is_ok(), "{:?} {:?}", parts, verified);

        if !body.is_empty() {
            let mut changed = body.clone();
            changed[flip.index(body.len())] ^= 1;
            prop_assert!(judge(&parts, &changed).is_err());
        }
        let mut longer = body.clone();
        longer.push(0);
        prop_assert!(judge(&parts, &longer).is_err());
        parts.method = if parts.method == Method::GET { Method::PUT } else { Method::GET };
        prop_assert!(judge(&parts, &body).is_err());
    }

    #[test]
    fn no_authorization_header_or_query_makes_it_panic(
        header in "(AWS4-HMAC-SHA256 )?[ -~]{0,80}",
        query in "((X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)|a)=?[ -~&&[^#<> \"]]{0,20}&?){0,8}",
        date in "[0-9TZ]{0,17}",
    ) {
        let target = format!("/?{query}");
        prop_assume!(target.parse::<http::Uri>().is_ok());
        for with_header in [true, false] {
            let mut request = Request::get(&target).header("host", "h").header("x-amz-date", &date);
            if with_header {
                request = request.header("authorization", &header);
            }
            let parts = request.body(()).unwrap().into_parts().0;
            prop_assert!(Try::s3().judge_parts(&parts).is_err());
        }
    }
}
