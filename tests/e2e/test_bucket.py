"""The bucket door against the real clients: AWS CLI and boto3.

Needs `bucket_only` (an example of the server crate) built; its path may be given in
CAIRN_BUCKET_ONLY. With AWS_ENDPOINT_URL_S3 set, the given server is tested instead, with the
credentials of the environment; tests that need a second account are then skipped.
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
import uuid
import zlib
from datetime import datetime, timedelta, timezone

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
ONE, TWO, CLOUDTRAIL = "AKIAEXAMPLEONE000000", "AKIAEXAMPLETWO000000", "AKIACLOUDTRAIL000000"
MiB = 1024 * 1024


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    if given := os.environ.get("AWS_ENDPOINT_URL_S3"):
        yield given
        return
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = os.environ.get("CAIRN_BUCKET_ONLY", target / "debug/examples/bucket_only")
    folder = tmp_path_factory.mktemp("bucket-door")
    with open(folder / "calls", "w") as calls:
        server = subprocess.Popen(
            [program, folder / "data"], stdout=subprocess.PIPE, stderr=calls, text=True
        )
        yield "http://" + server.stdout.readline().strip()
        server.terminate()
        server.wait()


def make_client(endpoint, key=ONE, secret=None, **config):
    if "AWS_ENDPOINT_URL_S3" in os.environ:
        if key != ONE:
            pytest.skip("needs the accounts of bucket_only")
        keys = {}
    else:
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret or f"secret-of-{key}"}
    settings = {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}} | config
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=Config(**settings), **keys
    )


@pytest.fixture(scope="session")
def s3(endpoint):
    return make_client(endpoint)


@pytest.fixture
def bucket(s3):
    name = f"test-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def aws(endpoint, tmp_path):
    def run(*arguments, check=True):
        env = dict(os.environ, AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL_S3=endpoint)
        if "AWS_ENDPOINT_URL_S3" not in os.environ:
            env |= {"AWS_ACCESS_KEY_ID": ONE, "AWS_SECRET_ACCESS_KEY": f"secret-of-{ONE}"}
        program = pathlib.Path(sys.executable).with_name("aws")
        done = subprocess.run([program, *arguments], capture_output=True, text=True, env=env, cwd=tmp_path)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def refused(code, call, *args, **kwargs):
    with pytest.raises(botocore.exceptions.ClientError) as refusal:
        call(*args, **kwargs)
    assert refusal.value.response["Error"]["Code"] == code
    return refusal.value.response


def get(s3, bucket, key, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


# The AWS CLI


def test_cli_makes_copies_lists_syncs_and_removes(aws, tmp_path):
    name = f"cli-{uuid.uuid4().hex}"
    aws("s3", "mb", f"s3://{name}")
    assert name in aws("s3", "ls").stdout
    (tmp_path / "one.txt").write_text("one")
    aws("s3", "cp", "one.txt", f"s3://{name}/a/one.txt")
    assert "PRE a/" in aws("s3", "ls", f"s3://{name}").stdout
    assert "a/one.txt" in aws("s3", "ls", "--recursive", f"s3://{name}").stdout
    aws("s3", "cp", f"s3://{name}/a/one.txt", "back.txt")
    assert (tmp_path / "back.txt").read_text() == "one"
    tree = tmp_path / "tree"
    for path in ["x/1.log", "x/y/2.log", "z é.log"]:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(path)
    assert aws("s3", "sync", "tree", f"s3://{name}/tree").stdout.count("upload:") == 3
    assert "upload:" not in aws("s3", "sync", "tree", f"s3://{name}/tree").stdout
    aws("s3", "sync", f"s3://{name}/tree", "copy")
    assert (tmp_path / "copy/z é.log").read_text() == "z é.log"
    aws("s3", "mv", f"s3://{name}/a/one.txt", f"s3://{name}/b/one.txt")
    assert aws("s3", "rb", f"s3://{name}", check=False).returncode == 1
    assert aws("s3", "rm", "--recursive", f"s3://{name}").stdout.count("delete:") == 4
    aws("s3", "rb", f"s3://{name}")
    assert name not in aws("s3", "ls").stdout


def test_cli_uploads_in_parts(aws, bucket, tmp_path):
    data = os.urandom(20 * MiB + 17)
    (tmp_path / "large").write_bytes(data)
    aws("s3", "cp", "large", f"s3://{bucket}/large")
    aws("s3", "cp", f"s3://{bucket}/large", "back")
    assert (tmp_path / "back").read_bytes() == data


# Buckets


def test_buckets_are_made_found_and_removed(s3, endpoint):
    name = f"made-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"
    head = s3.head_bucket(Bucket=name)["ResponseMetadata"]["HTTPHeaders"]
    assert head["x-amz-bucket-region"] == "eu-central-1"
    assert len(head["x-amz-request-id"]) == 16 and head["x-amz-id-2"]
    refused("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=b"")
    refused("BucketNotEmpty", s3.delete_bucket, Bucket=name)
    s3.delete_object(Bucket=name, Key="k")
    s3.delete_bucket(Bucket=name)
    refused("404", s3.head_bucket, Bucket=name)
    error = refused("NoSuchBucket", s3.list_objects_v2, Bucket=name)
    assert error["ResponseMetadata"]["HostId"] and error["Error"]["Resource"] == f"/{name}"
    raw = make_client(endpoint)
    raw.meta.events.unregister("before-parameter-build.s3", botocore.handlers.validate_bucket_name)
    refused("InvalidBucketName", raw.create_bucket, Bucket="Bad_Name")


def test_a_bucket_says_who_owns_it_and_that_it_has_no_versions(s3, bucket):
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    acl = s3.get_bucket_acl(Bucket=bucket)
    assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
    assert acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    enable = {"Status": "Enabled"}
    refused("NotImplemented", s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=enable)
    refused("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration, Bucket=bucket)
    analytics = {"Id": "a", "StorageClassAnalysis": {}}
    refused("NotImplemented", s3.put_bucket_analytics_configuration, Bucket=bucket, Id="a", AnalyticsConfiguration=analytics)


def test_policies_are_kept_to_the_letter(s3, bucket):
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)
    policy = '{ "Version": "2012-10-17",  "Statement": [] }'
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert s3.get_bucket_policy(Bucket=bucket)["Policy"] == policy
    refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy="{}")
    refused("MalformedPolicy", s3.put_bucket_policy, Bucket=bucket, Policy="no")
    s3.delete_bucket_policy(Bucket=bucket)
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)


def test_an_account_touches_only_its_own_buckets(s3, endpoint, bucket):
    other = make_client(endpoint, TWO)
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine")
    refused("BucketAlreadyExists", other.create_bucket, Bucket=bucket)
    assert bucket not in [found["Name"] for found in other.list_buckets()["Buckets"]]
    for call in [other.list_objects, other.list_objects_v2, other.get_bucket_acl, other.delete_bucket,
                 other.get_bucket_policy, other.delete_bucket_policy, other.list_multipart_uploads]:
        refused("AccessDenied", call, Bucket=bucket)
    refused("403", other.head_bucket, Bucket=bucket)
    refused("AccessDenied", other.get_object, Bucket=bucket, Key="k")
    refused("AccessDenied", other.put_object, Bucket=bucket, Key="k", Body=b"theirs")
    refused("AccessDenied", other.delete_object, Bucket=bucket, Key="k")
    own = f"other-{uuid.uuid4().hex}"
    other.create_bucket(Bucket=own)
    source = {"Bucket": bucket, "Key": "k"}
    refused("AccessDenied", other.copy_object, Bucket=own, Key="stolen", CopySource=source)
    upload = other.create_multipart_upload(Bucket=own, Key="stolen")["UploadId"]
    refused("AccessDenied", other.upload_part_copy, Bucket=own, Key="stolen", UploadId=upload,
            PartNumber=1, CopySource=source)
    refused("AccessDenied", s3.get_bucket_acl, Bucket=bucket, ExpectedBucketOwner="222222222222")
    assert get(s3, bucket, "k") == b"mine"


def test_cloudtrail_may_deliver_unless_a_policy_stands_against_it(s3, endpoint, bucket):
    trail = make_client(endpoint, CLOUDTRAIL)
    source = "arn:aws:cloudtrail:us-east-1:{}:trail/audit"

    def acts_for(account):
        def add(request, **_):
            del request.headers["x-amz-cairn-source-arn"]
            request.headers["x-amz-cairn-source-arn"] = source.format(account)

        return add

    refused("403", trail.head_bucket, Bucket=bucket)
    trail.meta.events.register_first("before-sign.s3.*", acts_for("222222222222"))
    refused("403", trail.head_bucket, Bucket=bucket)
    trail.meta.events.register_last("before-sign.s3.*", acts_for("111111111111"))
    trail.head_bucket(Bucket=bucket)
    trail.get_bucket_acl(Bucket=bucket)
    trail.get_bucket_location(Bucket=bucket)
    trail.put_object(Bucket=bucket, Key="log", Body=b"log", ACL="bucket-owner-full-control")
    refused("AccessDenied", trail.get_object, Bucket=bucket, Key="log")
    refused("AccessDenied", trail.list_objects, Bucket=bucket)
    refused("AccessDenied", trail.create_bucket, Bucket=f"trail-{uuid.uuid4().hex}")
    refused("AccessDenied", trail.list_buckets)
    s3.put_bucket_policy(Bucket=bucket, Policy='{"Statement": []}')
    refused("AccessDenied", trail.put_object, Bucket=bucket, Key="log", Body=b"log")
    refused("AccessDenied", trail.get_bucket_acl, Bucket=bucket)
    assert get(s3, bucket, "log") == b"log"


# Objects


def test_metadata_and_headers_come_back(s3, bucket):
    headers = {
        "ContentType": "application/json", "ContentEncoding": "gzip", "CacheControl": "no-cache",
        "ContentDisposition": 'attachment; filename="x"', "ContentLanguage": "de",
        "Metadata": {"signature": "abc", "two-words": "a  b"},
    }
    expires = datetime(2031, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", Expires=expires, **headers)
    assert put["ETag"] == '"%s"' % hashlib.md5(b"data").hexdigest()
    for answer in [s3.get_object(Bucket=bucket, Key="k"), s3.head_object(Bucket=bucket, Key="k")]:
        assert {name: answer[name] for name in headers} == headers
        assert answer["ExpiresString"] == "Sun, 04 May 2031 03:02:01 GMT"
        assert answer["ContentLength"] == 4 and answer["ETag"] == put["ETag"]
        assert abs(answer["LastModified"] - datetime.now(timezone.utc)) < timedelta(minutes=5)
        assert "ServerSideEncryption" not in answer
    refused("MetadataTooLarge", s3.put_object, Bucket=bucket, Key="k", Metadata={"a": "x" * 2048})
    assert get(s3, bucket, "k") == b"data"


def test_what_is_not_there_is_said_to_be_missing(s3, bucket):
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="none")
    refused("404", s3.head_object, Bucket=bucket, Key="none")
    assert s3.delete_object(Bucket=bucket, Key="none")["ResponseMetadata"]["HTTPStatusCode"] == 204
    refused("NotImplemented", s3.put_object, Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="AES256")
    refused("NotImplemented", s3.put_object, Bucket=bucket, Key="k", Body=b"", Tagging="a=b")
    refused("AccessControlListNotSupported", s3.put_object, Bucket=bucket, Key="k", Body=b"", ACL="public-read")
    refused("InvalidStorageClass", s3.put_object, Bucket=bucket, Key="k", Body=b"", StorageClass="GLACIER")


def test_ranges(s3, bucket):
    data = bytes(range(256)) * 4096
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    for asked, expected in [
        ("bytes=0-0", data[:1]), ("bytes=5-260000", data[5:260001]), ("bytes=1048575-", data[-1:]),
        ("bytes=-10", data[-10:]), ("bytes=1048570-9999999", data[1048570:]),
    ]:
        answer = s3.get_object(Bucket=bucket, Key="k", Range=asked)
        assert answer["Body"].read() == expected
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["ContentRange"].endswith("/1048576") and answer["ContentLength"] == len(expected)
    refused("InvalidRange", s3.get_object, Bucket=bucket, Key="k", Range="bytes=1048576-")


def test_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*")
    refused("PreconditionFailed", s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"00"')
    refused("PreconditionFailed", s3.get_object, Bucket=bucket, Key="k", IfMatch='"00"')
    refused("304", s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=etag)
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    refused("304", s3.head_object, Bucket=bucket, Key="k", IfModifiedSince=later)
    assert get(s3, bucket, "k", IfMatch=etag, IfUnmodifiedSince=later) == b"1"
    s3.put_object(Bucket=bucket, Key="k", Body=b"3", IfMatch=etag)
    assert get(s3, bucket, "k") == b"3"


ODD_KEYS = [
    "../x", "../../etc/passwd", "a//b", "/leading", "trailing/", "//", ".", "..", "a/./b", "a/../b",
    "ünïcödé/日本/🦀", "a b+c%20d", "a%2Fb", "q?x=1&y#z", "<xml>&\"'", "tab\there", "\u0001",
    "é" * 512, "x" * 1024, "y/" * 512, "~user", "$HOME", "a\\b", "CON", "a=b;c,d:e@f!(g)*'",
]


def test_odd_keys(s3, bucket):
    for number, key in enumerate(ODD_KEYS):
        s3.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
    for number, key in enumerate(ODD_KEYS):
        assert get(s3, bucket, key) == str(number).encode(), key
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(ODD_KEYS, key=lambda key: key.encode())
    s3.copy_object(Bucket=bucket, Key="ä//copy", CopySource={"Bucket": bucket, "Key": "a b+c%20d"})
    assert get(s3, bucket, "ä//copy") == str(ODD_KEYS.index("a b+c%20d")).encode()
    refused("KeyTooLongError", s3.put_object, Bucket=bucket, Key="x" * 1025, Body=b"")
    keys = [{"Key": key} for key in [*ODD_KEYS, "ä//copy"] if key != "\u0001"]
    s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    s3.delete_object(Bucket=bucket, Key="\u0001")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.delete_bucket(Bucket=bucket)


def test_listing_pages_with_delimiter(s3, bucket):
    keys = [f"{a}/{b}/{c}" for a in "abc" for b in "xyz" for c in range(3)] + ["a", "b", "zz"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    for version, more in [("list_objects", {}), ("list_objects_v2", {"FetchOwner": True})]:
        def pages(**asked):
            found, count = [], 0
            paginator = s3.get_paginator(version)
            for page in paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": 2}, **asked, **more):
                lines = [item["Key"] for item in page.get("Contents", [])]
                lines = sorted(lines + [item["Prefix"] for item in page.get("CommonPrefixes", [])])
                assert len(lines) <= 2
                assert all(item["Owner"]["ID"] for item in page.get("Contents", []))
                found, count = found + lines, count + 1
            return found, count

        assert pages() == (sorted(keys), 15)
        assert pages(Delimiter="/")[0] == ["a", "a/", "b", "b/", "c/", "zz"]
        assert pages(Prefix="b/", Delimiter="/")[0] == ["b/x/", "b/y/", "b/z/"]
        assert pages(Prefix="b/x/")[0] == ["b/x/0", "b/x/1", "b/x/2"]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="c/z/1")
    assert [item["Key"] for item in after["Contents"]] == ["c/z/2", "zz"] and after["KeyCount"] == 2
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0


def test_batch_delete_says_what_it_deleted(s3, bucket):
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    asked = {"Objects": [{"Key": "a"}, {"Key": "none"}, {"Key": "c", "VersionId": "v1"}]}
    answer = s3.delete_objects(Bucket=bucket, Delete=asked)
    assert [item["Key"] for item in answer["Deleted"]] == ["a", "none"]
    assert [(item["Key"], item["Code"]) for item in answer["Errors"]] == [("c", "NoSuchVersion")]
    assert [item["Key"] for item in s3.list_objects(Bucket=bucket)["Contents"]] == ["b", "c"]


def test_copies_keep_or_replace_metadata(s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"data", ContentType="text/x", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "a"}
    s3.copy_object(Bucket=bucket, Key="b", CopySource=source)
    kept = s3.head_object(Bucket=bucket, Key="b")
    assert (kept["ContentType"], kept["Metadata"]) == ("text/x", {"m": "1"})
    s3.copy_object(Bucket=bucket, Key="a", CopySource=source, MetadataDirective="REPLACE", Metadata={"n": "2"})
    assert s3.head_object(Bucket=bucket, Key="a")["Metadata"] == {"n": "2"}
    assert get(s3, bucket, "a") == b"data"
    refused("InvalidRequest", s3.copy_object, Bucket=bucket, Key="a", CopySource=source)
    refused("NoSuchKey", s3.copy_object, Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "x"})


# Uploads in parts


def test_boto3_uploads_in_parts_of_8_mib(s3, bucket, tmp_path):
    data = os.urandom(20 * MiB + 1)
    (tmp_path / "large").write_bytes(data)
    transfer = TransferConfig(multipart_chunksize=8 * MiB)
    s3.upload_file(str(tmp_path / "large"), bucket, "large", Config=transfer, ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=bucket, Key="large")
    sums = b"".join(hashlib.md5(data[at:at + 8 * MiB]).digest() for at in range(0, len(data), 8 * MiB))
    assert head["ETag"] == '"%s-3"' % hashlib.md5(sums).hexdigest() and head["Metadata"] == {"a": "b"}
    s3.download_file(bucket, "large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == data
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_uploads_are_listed_completed_and_aborted(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k é", ContentType="text/x")["UploadId"]
    at = {"Bucket": bucket, "Key": "k é", "UploadId": upload}
    first = s3.upload_part(PartNumber=1, Body=b"x" * 5 * MiB, **at)["ETag"]
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    copy = s3.upload_part_copy(
        PartNumber=2, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange="bytes=2-4", **at
    )["CopyPartResult"]["ETag"]
    assert [item["UploadId"] for item in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload]
    parts = s3.list_parts(MaxParts=1, **at)
    assert [part["Size"] for part in parts["Parts"]] == [5 * MiB] and parts["IsTruncated"]
    parts = s3.list_parts(PartNumberMarker=parts["NextPartNumberMarker"], **at)
    assert [part["ETag"] for part in parts["Parts"]] == [copy]
    one, two = {"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": copy}
    refused("InvalidPartOrder", s3.complete_multipart_upload, MultipartUpload={"Parts": [two, one]}, **at)
    refused("InvalidPart", s3.complete_multipart_upload,
            MultipartUpload={"Parts": [one, {"PartNumber": 3, "ETag": copy}]}, **at)
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="k é")
    s3.complete_multipart_upload(MultipartUpload={"Parts": [one, two]}, **at)
    assert get(s3, bucket, "k é") == b"x" * 5 * MiB + b"234"
    assert s3.head_object(Bucket=bucket, Key="k é")["ContentType"] == "text/x"
    refused("NoSuchUpload", s3.list_parts, **at)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="b")["UploadId"]
    at = {"Bucket": bucket, "Key": "b", "UploadId": upload}
    etags = [s3.upload_part(PartNumber=n, Body=b"small", **at)["ETag"] for n in [1, 2]]
    parts = [{"PartNumber": n + 1, "ETag": etag} for n, etag in enumerate(etags)]
    refused("EntityTooSmall", s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **at)
    s3.abort_multipart_upload(**at)
    refused("NoSuchUpload", s3.abort_multipart_upload, **at)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_compared_and_given_back(s3, bucket, algorithm):
    name = f"Checksum{algorithm}"
    if algorithm in ["CRC32", "SHA1", "SHA256"]:
        put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
        assert get(s3, bucket, "k", ChecksumMode="ENABLED") == b"data"
        assert s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")[name] == put[name]
    wrong = base64.b64encode(b"\1" * {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[algorithm])
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="wrong", Body=b"data", **{name: wrong.decode()})
    refused("InvalidRequest", s3.put_object, Bucket=bucket, Key="wrong", Body=b"data", **{name: "AA=="})
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="wrong")


def test_content_md5_is_compared(s3, bucket):
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    refused("BadDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"data", ContentMD5=md5)
    refused("InvalidDigest", s3.put_object, Bucket=bucket, Key="k", Body=b"data", ContentMD5="AAAA")
    refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="k")


# Authentication


def test_virtual_hosts(endpoint, s3, bucket, monkeypatch):
    # Not every resolver knows names below localhost.
    resolve = socket.getaddrinfo
    to_loopback = lambda host, *more: resolve("127.0.0.1" if "localhost" in str(host) else host, *more)
    monkeypatch.setattr(socket, "getaddrinfo", to_loopback)
    port = urllib.parse.urlparse(endpoint).port
    virtual = make_client(f"http://localhost:{port}", s3={"addressing_style": "virtual"})
    virtual.put_object(Bucket=bucket, Key="a//../b", Body=b"virtual")
    assert get(s3, bucket, "a//../b") == b"virtual"
    assert [item["Key"] for item in virtual.list_objects_v2(Bucket=bucket)["Contents"]] == ["a//../b"]


def fetch(method, url, body=None, headers=None):
    """Sends a request as it is, and gives status, body."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    target = parts.path + ("?" + parts.query if parts.query else "")
    connection.request(method, target, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_presigned_urls(endpoint, s3, bucket):
    # boto3 still presigns with version 2 by default for us-east-1.
    old = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"})
    status, body = fetch("GET", old)
    assert status == 400 and "<Code>InvalidRequest</Code>" in body and "AWS4-HMAC-SHA256" in body
    client = make_client(endpoint, signature_version="s3v4")
    put = client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert fetch("PUT", put, b"presigned")[0] == 200
    url = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"}, ExpiresIn=60)
    assert fetch("GET", url) == (200, "presigned")
    for wrong, code in [
        (url.replace("a%20b", "a%20c"), "SignatureDoesNotMatch"),
        (url.replace("Expires=60", "Expires=61"), "SignatureDoesNotMatch"),
        (url.replace("Expires=60", "Expires=604801"), "AuthorizationQueryParametersError"),
        (url.replace("Expires=60", "Expires=0"), "AuthorizationQueryParametersError"),
        (url + "&response-content-type=text/html", "SignatureDoesNotMatch"),
    ]:
        status, body = fetch("GET", wrong)
        assert status in (400, 403) and f"<Code>{code}</Code>" in body, (wrong, body)
    assert "SignatureDoesNotMatch" in fetch("DELETE", url)[1]


@pytest.fixture
def sign(endpoint):
    """Signs a request at a given time, with botocore; gives its headers."""
    if "AWS_ENDPOINT_URL_S3" in os.environ:
        pytest.skip("needs the keys of bucket_only")

    def make(method, url, payload_hash, headers=None, key=ONE, secret=None, region="us-east-1",
             service="s3", seconds_off=0):
        credentials = botocore.credentials.Credentials(key, secret or f"secret-of-{key}")
        signer = botocore.auth.S3SigV4Auth(credentials, service, region)
        request = botocore.awsrequest.AWSRequest(method, url, headers=dict(headers or {}), data=b"")
        request.headers["X-Amz-Content-SHA256"] = payload_hash
        signer.payload = lambda _: payload_hash
        moment = datetime.now(timezone.utc) + timedelta(seconds=seconds_off)
        request.context["timestamp"] = moment.strftime("%Y%m%dT%H%M%SZ")
        request.headers["X-Amz-Date"] = request.context["timestamp"]
        text = signer.string_to_sign(request, signer.canonical_request(request))
        signature = signer.signature(text, request)
        signer._inject_signature_to_request(request, signature)
        return dict(request.headers.items()), signature, moment

    return make


EMPTY = hashlib.sha256(b"").hexdigest()


def test_wrong_credentials_are_named(endpoint, s3, bucket, sign):
    url = f"{endpoint}/{bucket}"
    assert fetch("GET", url, headers=sign("GET", url, EMPTY)[0])[0] == 200

    def check(code, headers, url=url, method="GET", body=None):
        status, answer = fetch(method, url, body, headers)
        assert status in (400, 403) and f"<Code>{code}</Code>" in answer, answer

    check("SignatureDoesNotMatch", sign("GET", url, EMPTY, secret="wrong")[0])
    check("InvalidAccessKeyId", sign("GET", url, EMPTY, key="AKIANOBODY0000000000")[0])
    for off in [-910, 910]:
        check("RequestTimeTooSkewed", sign("GET", url, EMPTY, seconds_off=off)[0])
    check("AuthorizationHeaderMalformed", sign("GET", url, EMPTY, service="sqs")[0])
    check("AuthorizationHeaderMalformed", sign("GET", url, EMPTY, region="Not-A-Region")[0])
    check("AccessDenied", {})
    headers = sign("GET", url, EMPTY)[0]
    check("AccessDenied", headers | {"x-amz-acl": "private"})
    check("SignatureDoesNotMatch", headers, url=url + "?policy")
    check("SignatureDoesNotMatch", headers, method="DELETE")
    tampered = dict(headers)
    last = tampered["Authorization"][-1]
    tampered["Authorization"] = tampered["Authorization"][:-1] + ("0" if last != "0" else "1")
    check("SignatureDoesNotMatch", tampered)
    old = "AWS AKIAEXAMPLEONE000000:" + base64.b64encode(b"0" * 20).decode()
    check("InvalidRequest", {"Authorization": old, "Date": "x"})


def test_a_body_that_is_not_the_signed_one_is_never_seen(endpoint, s3, bucket, sign):
    url = f"{endpoint}/{bucket}/k"
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    headers, _, _ = sign("PUT", url, hashlib.sha256(b"new").hexdigest())
    status, answer = fetch("PUT", url, b"nEw", headers)
    assert status == 400 and "<Code>XAmzContentSHA256Mismatch</Code>" in answer
    assert get(s3, bucket, "k") == b"old"
    assert fetch("PUT", url, b"new", headers)[0] == 200
    assert get(s3, bucket, "k") == b"new"
    # A document is held to it as well.
    policy = json.dumps({"Statement": []}).encode()
    headers, _, _ = sign("PUT", f"{endpoint}/{bucket}?policy=", hashlib.sha256(policy).hexdigest())
    status, answer = fetch("PUT", f"{endpoint}/{bucket}?policy=", policy.replace(b"[", b" ["), headers)
    assert "XAmzContentSHA256Mismatch" in answer
    refused("NoSuchBucketPolicy", s3.get_bucket_policy, Bucket=bucket)


def chunked(seed, moment, chunks, trailer=None, secret=f"secret-of-{ONE}"):
    """A body of signed chunks. Source: S3 API reference, "Transferring payload in multiple chunks"."""
    time, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    key = f"AWS4{secret}".encode()
    for step in [day, "us-east-1", "s3", "aws4_request"]:
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    scope, previous, body = f"{day}/us-east-1/s3/aws4_request", seed, b""
    for chunk in [*chunks, b""]:
        lines = ["AWS4-HMAC-SHA256-PAYLOAD", time, scope, previous, EMPTY, hashlib.sha256(chunk).hexdigest()]
        previous = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        body += b"%x;chunk-signature=%s\r\n" % (len(chunk), previous.encode())
        body += chunk + b"\r\n" if chunk else b""
    if trailer:
        lines = ["AWS4-HMAC-SHA256-TRAILER", time, scope, previous, hashlib.sha256(trailer + b"\n").hexdigest()]
        signature = hmac.new(key, "\n".join(lines).encode(), hashlib.sha256).hexdigest()
        body += trailer + b"\r\nx-amz-trailer-signature:" + signature.encode() + b"\r\n"
    return body + b"\r\n"


@pytest.mark.parametrize("with_trailer", [False, True])
def test_signed_chunks(endpoint, s3, bucket, sign, with_trailer):
    url = f"{endpoint}/{bucket}/k"
    chunks = [b"a" * 65536, b"b" * 1000]
    data = b"".join(chunks)
    extra = {"x-amz-decoded-content-length": str(len(data)), "Content-Encoding": "aws-chunked"}
    form, trailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", None
    if with_trailer:
        form += "-TRAILER"
        extra["x-amz-trailer"] = "x-amz-checksum-crc32"
        crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big"))
        trailer = b"x-amz-checksum-crc32:" + crc
    headers, seed, moment = sign("PUT", url, form, extra)
    body = chunked(seed, moment, chunks, trailer)
    last = body.rfind(b"0;chunk-signature")
    wrong = [
        body.replace(b"a" * 65536, b"a" * 65535 + b"b"),
        body.replace(b"b" * 1000, b"b" * 999),
        body[:body.rfind(b"3e8;")] + body[last:],  # a chunk left out
        body[:last],  # no last chunk
        body[:last - 10],
        body.replace(b";chunk-signature=", b";chunk-signature=0", 1),
        chunked(seed, moment, chunks, trailer, secret="wrong"),
        chunked(seed, moment, chunks[:1], trailer),
        chunked(seed, moment, [*chunks, b"c"], trailer),
    ]
    if with_trailer:
        wrong += [
            body.replace(crc, b"AAAAAA=="),
            chunked(seed, moment, chunks, b"x-amz-checksum-crc32:AAAAAA=="),
            chunked(seed, moment, chunks),
        ]
    for number, altered in enumerate(wrong):
        assert altered != body
        status, answer = fetch("PUT", url, altered, headers)
        assert status in (400, 403), (number, answer)
        refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="k")
    assert fetch("PUT", url, body, headers) == (200, "")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == data and "ContentEncoding" not in got


def test_unsigned_chunks_with_a_trailer(endpoint, s3, bucket, sign):
    url = f"{endpoint}/{bucket}/k"
    extra = {"x-amz-decoded-content-length": "4", "x-amz-trailer": "x-amz-checksum-crc32"}
    headers, _, _ = sign("PUT", url, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", extra)
    crc = base64.b64encode(zlib.crc32(b"data").to_bytes(4, "big")).decode()
    body = f"4\r\ndata\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n".encode()
    for altered in [body.replace(b"data", b"dAta"), body.replace(crc.encode(), b"AAAAAA=="), body[:20],
                    b"4\r\ndata\r\n0\r\n\r\n", b"5\r\ndata!\r\n0\r\n\r\n", b"data"]:
        assert fetch("PUT", url, altered, headers)[0] == 400, altered
        refused("NoSuchKey", s3.get_object, Bucket=bucket, Key="k")
    assert fetch("PUT", url, body, headers)[0] == 200
    assert get(s3, bucket, "k") == b"data"


def test_unsigned_payloads_are_taken(endpoint, s3, bucket, sign):
    url = f"{endpoint}/{bucket}/k"
    headers, _, _ = sign("PUT", url, "UNSIGNED-PAYLOAD")
    assert fetch("PUT", url, b"anything", headers)[0] == 200
    assert get(s3, bucket, "k") == b"anything"


def test_browser_forms_are_refused(endpoint, bucket):
    form = (b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--x\r\n'
            b'Content-Disposition: form-data; name="file"\r\n\r\ndata\r\n--x--\r\n')
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert fetch("POST", f"{endpoint}/{bucket}", form, headers)[0] == 403


def test_a_put_from_many_at_once_leaves_one_whole(s3, bucket):
    bodies = [bytes([65 + n]) * 300_000 for n in range(8)]
    threads = [
        threading.Thread(target=s3.put_object, kwargs={"Bucket": bucket, "Key": "k", "Body": body})
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(s3, bucket, "k") in bodies
