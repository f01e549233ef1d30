"""Writes crates/server/tests/fixtures/sigv4_cases.json: requests signed by botocore.

The cases follow the AWS SigV4 test suite by name and idea; the signatures are botocore's. Run it with
the Python that has botocore, and only when a case is added:

    python tests/e2e/make_sigv4_cases.py

A case: name, style ("header" or "query"), service, region, path_form ("double" or "single"),
method, target (as in the request line), headers (pairs as sent), body (text), session_token or null.
"""

import datetime
import json
import pathlib
from unittest import mock

import botocore
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQW=="
NOW = datetime.datetime(2015, 8, 30, 12, 36, 0)
HOST = "example.amazonaws.com"
OUT = pathlib.Path(__file__).parents[2] / "crates/server/tests/fixtures/sigv4_cases.json"

SIGNERS = {
    ("header", "double"): auth.SigV4Auth,
    ("header", "single"): auth.S3SigV4Auth,
    ("query", "double"): auth.SigV4QueryAuth,
    ("query", "single"): auth.S3SigV4QueryAuth,
}


def case(name, method="GET", target="/", headers=(), body="", *, token=None, style="header",
         service="service", path_form="double", expires=900):
    # A presigned request is signed before anyone has its body.
    data = body.encode() if style == "header" else b""
    request = AWSRequest(method=method, url=f"http://{HOST}{target}", data=data)
    for header, value in headers:
        request.headers.add_header(header, value)
    arguments = {"expires": expires} if style == "query" else {}
    signer = SIGNERS[style, path_form](Credentials(KEY_ID, SECRET, token), service, "us-east-1", **arguments)
    with mock.patch("botocore.auth.get_current_datetime", return_value=NOW):
        signer.add_auth(request)
    # A folded value cannot be sent any more (RFC 9112); what arrives has it on one line.
    sent = [["host", HOST]] + [
        [header, " ".join(value.split("\n"))] for header, value in request.headers.items()
    ]
    return {
        "name": name,
        "style": style,
        "service": service,
        "region": "us-east-1",
        "path_form": path_form,
        "method": method,
        "target": request.url.removeprefix(f"http://{HOST}"),
        "headers": sent,
        "body": body,
        "session_token": token,
    }


FORM = [("Content-Type", "application/x-www-form-urlencoded")]
FORM_UTF8 = [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]
TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.CreateTrail"
UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
S3 = {"service": "s3", "path_form": "single"}

CASES = [
    case("get-vanilla"),
    case("get-vanilla-empty-query-key", target="/?Param1=value1"),
    case("get-vanilla-query", target="/?"),
    case("get-vanilla-query-order-key", target="/?Param2=value2&Param1=value1"),
    case("get-vanilla-query-order-key-case", target="/?b=1&B=2&a=3&A=4"),
    case("get-vanilla-query-order-value", target="/?Param1=value2&Param1=Value1"),
    case("get-vanilla-query-order-encoded", target="/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1"),
    case("get-vanilla-query-unreserved", target=f"/?{UNRESERVED}={UNRESERVED}"),
    case("get-vanilla-query-empty-value", target="/?acl&prefix=&marker=x"),
    case("get-vanilla-query-same-pair-twice", target="/?a=1&a=1"),
    case("get-vanilla-query-encoded", target="/?q=a%20b%2Bc%26d%3De%2Ff"),
    case("get-vanilla-utf8-query", target="/?%E1%88%B4=bar"),
    case("get-unreserved", target=f"/{UNRESERVED}"),
    case("get-utf8", target="/%E1%88%B4"),
    case("get-space", target="/example%20space/"),
    case("get-slash", target="//"),
    case("get-slashes", target="//example//"),
    case("get-slash-dot-slash", target="/./"),
    case("get-slash-pointless-dot", target="/./example"),
    case("get-relative", target="/example/.."),
    case("get-relative-relative", target="/example1/example2/../.."),
    case("get-header-key-duplicate",
         headers=[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")]),
    case("get-header-value-order",
         headers=[("My-Header1", "value4"), ("My-Header1", "value1"), ("My-Header1", "value3")]),
    case("get-header-value-trim", headers=[("My-Header1", " value1"), ("My-Header2", ' "a   b   c" ')]),
    case("get-header-value-multiline", headers=[("My-Header1", "value1\n  value2\n     value3")]),
    case("get-header-value-empty", headers=[("My-Header1", "")]),
    case("post-vanilla", "POST"),
    case("post-vanilla-query", "POST", "/?Param1=value1"),
    case("post-header-key-case", "POST", headers=[("MY-HEADER1", "value1")]),
    case("post-header-key-sort", "POST", headers=[("My-Header1", "value1"), ("A-Header", "value2")]),
    case("post-header-value-case", "POST", headers=[("My-Header1", "VALUE1")]),
    case("post-sts-header-before", "POST", token=TOKEN),
    case("post-x-www-form-urlencoded", "POST", headers=FORM, body="Param1=value1"),
    case("post-x-www-form-urlencoded-parameters", "POST", headers=FORM_UTF8, body="Param1=value1"),
    case("post-date-header", "POST", headers=[("Date", "the signer's")], body="x"),
    case("put-body-utf8", "PUT", "/a", body="zwölf Größen: 1,2 €"),
    case("query-get-vanilla", style="query"),
    case("query-get-parameters", target="/?b=2&a=1&c=0", style="query"),
    case("query-get-sts-token", target="/?Action=GetCallerIdentity&Version=2011-06-15",
         style="query", service="sts", token=TOKEN),
    case("cloudtrail-create-trail", "POST", service="cloudtrail",
         headers=[("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", TARGET),
                  ("User-Agent", "aws-cli/2")],
         body='{"Name":"audit","S3BucketName":"audit-logs"}'),
    case("cloudtrail-data-put-audit-events", "POST",
         "/PutAuditEvents?channelArn=arn%3Aaws%3Acloudtrail%3Aus-east-1%3A111111111111%3Achannel%2F1",
         service="cloudtrail-data", body='{"auditEvents":[]}'),
    case("sts-get-caller-identity", "POST", service="sts", headers=FORM_UTF8,
         body="Action=GetCallerIdentity&Version=2011-06-15"),
    case("s3-put-object", "PUT", "/logs/a/b.json", body="hello", **S3,
         headers=[("Content-Type", "text/plain"), ("x-amz-meta-who", "me"), ("Range", "bytes=0-9")]),
    case("s3-get-untidy-key", target="/logs//./a/../b%20c%2Bd%E2%82%AC~", **S3),
    case("s3-list", target="/logs?list-type=2&prefix=a%2Fb&delimiter=%2F&encoding-type=url", **S3),
    case("s3-subresource", target="/logs?policy", **S3),
    case("s3-session-token", target="/logs/x", token=TOKEN, **S3),
    case("s3-presigned-get", target="/logs/a%20b?response-content-type=text%2Fplain", style="query", **S3),
    case("s3-presigned-put", "PUT", "/logs/a", body="anything", style="query", expires=604800, **S3),
    case("s3-presigned-session", target="/logs/a", style="query", token=TOKEN, **S3),
]

# What `curl 7.88.1 --aws-sigv4 aws:amz:us-east-1:cloudtrail` sent, with its clock set to NOW.
CASES.append(CASES[0] | {
    "name": "recorded-from-curl",
    "service": "cloudtrail",
    "method": "POST",
    "headers": [
        ["Host", HOST],
        ["Authorization",
         f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/us-east-1/cloudtrail/aws4_request, "
         "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
         "Signature=46eafad8592a5df2a7be74eb79ac0df13eb0e73b3470b4f719b019bf86c9d145"],
        ["X-Amz-Date", "20150830T123600Z"],
        ["User-Agent", "curl/7.88.1"],
        ["Accept", "*/*"],
        ["Content-Type", "application/x-amz-json-1.1"],
        ["X-Amz-Target", "T.ListTrails"],
        ["Content-Length", "2"],
    ],
    "body": "{}",
})

OUT.parent.mkdir(parents=True, exist_ok=True)
text = ",\n".join(json.dumps(one, ensure_ascii=False) for one in CASES)
OUT.write_text(f"[\n{text}\n]\n")
print(f"{len(CASES)} cases (botocore {botocore.__version__}) in {OUT}")
