"""Delivery to a store of others, with the credentials of the configuration: moto's server stands for
it. What only a real store can judge is in the slow tests with Garage."""

import os

import pytest

from conftest import until
from support.digests import all_log_keys, digest_keys, tally, until_attested, validate_logs
from support.fault_proxy import FaultProxy
from support.stores import KEY_ID, Moto, destination
from support.trail import both_ends, post, start_trail

BUCKET = "external-logs"
QUICK = 'flush_interval = "300ms"\ndigest_interval = "1s"\n'


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    store = Moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.end()


@pytest.fixture
def proxy(moto):
    """A witness between Cairn and the store."""
    proxy = FaultProxy(moto.port)
    yield proxy
    proxy.end()


@pytest.fixture
def bucket(moto, request):
    name = f"{BUCKET}-{abs(hash(request.node.name)) % 10**8}"
    moto.s3().create_bucket(Bucket=name)
    return name


def all_there(s3, bucket, ids) -> bool:
    counts = tally(s3, bucket)
    assert all(counts[i] <= 1 for i in ids)
    return all(counts[i] == 1 for i in ids)


@pytest.mark.parametrize("style", ["path", "virtual host"])
def test_delivery_in_both_styles_with_the_configured_credentials(node_with, moto, proxy, bucket, style):
    if style == "path":
        node = node_with(config=QUICK + destination(proxy.endpoint))
    else:
        # Names under .invalid exist in no DNS; the proxy stands for it, as a forward proxy.
        node = node_with(
            config=QUICK + destination("http://store.invalid", virtual_host_style=True),
            env={"http_proxy": proxy.endpoint, "no_proxy": "", "NO_PROXY": ""},
        )
    arn = start_trail(node, bucket, S3KeyPrefix="a/b")
    ids = post(node, 50)
    s3 = moto.s3()
    until(lambda: all_there(s3, bucket, ids))
    files = until_attested(s3, bucket)
    assert all(key.startswith("a/b/AWSLogs/111111111111/CloudTrail/us-east-1/") for key in files)
    puts = [r for r in proxy.requests if r.method == "PUT"]
    assert puts
    for request in puts:
        assert f"Credential={KEY_ID}/" in request.headers["authorization"], request
        if style == "path":
            assert request.path.startswith(f"/{bucket}/")
        else:
            assert request.headers["host"] == f"{bucket}.store.invalid" and request.path.startswith("/a/b/AWSLogs/")
        assert "secret-of-the-configuration" not in str(request.headers)
    head = s3.head_object(Bucket=bucket, Key=sorted(files)[0])
    assert (head["ContentType"], head["ContentEncoding"], head["Metadata"]) == ("application/json", "gzip", {})
    digest = s3.head_object(Bucket=bucket, Key=digest_keys(s3, bucket)[-1])
    assert digest["Metadata"]["signature-algorithm"] == "SHA256withRSA" and len(digest["Metadata"]["signature"]) == 512
    # The CLI asks Cairn about the trail and its keys, and the store for the files.
    result = validate_logs(node, arn, env=both_ends(node, moto))
    assert result.is_good and result.log_files[1] >= len(files), result.text


def test_the_secret_of_the_store_is_in_no_log(node_with, moto, bucket):
    node = node_with(config=QUICK + destination(moto.endpoint), env={"CAIRN_LOG": "debug"})
    start_trail(node, bucket)
    ids = post(node, 5)
    s3 = moto.s3()
    until(lambda: all_there(s3, bucket, ids))
    node.stop()
    log = node.log.read_text(errors="replace")
    assert "secret-of-the-configuration" not in log and node.token not in log
    assert node.credentials["aws_secret_access_key"] not in log


def test_a_missing_bucket_is_refused_and_leaves_no_trail(node_with, moto):
    node = node_with(config=QUICK + destination(moto.endpoint))
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(cloudtrail.exceptions.S3BucketDoesNotExistException) as refused:
        cloudtrail.create_trail(Name="audit", S3BucketName="never-made-bucket")
    assert "S3 bucket never-made-bucket does not exist!" in str(refused.value)
    assert cloudtrail.describe_trails()["trailList"] == []


def test_updating_to_a_missing_bucket_changes_nothing(node_with, moto, bucket):
    node = node_with(config=QUICK + destination(moto.endpoint))
    start_trail(node, bucket)
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(cloudtrail.exceptions.S3BucketDoesNotExistException):
        cloudtrail.update_trail(Name="audit", S3BucketName="never-made-bucket")
    assert cloudtrail.get_trail(Name="audit")["Trail"]["S3BucketName"] == bucket


def test_a_store_that_denies_is_an_insufficient_policy(node_with, proxy, bucket):
    from support.fault_proxy import Fault

    node = node_with(config=QUICK + destination(proxy.endpoint))
    proxy.plan = lambda request: Fault.status(403, "AccessDenied") if request.method == "PUT" else None
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(cloudtrail.exceptions.InsufficientS3BucketPolicyException) as refused:
        cloudtrail.create_trail(Name="audit", S3BucketName=bucket)
    assert f"Incorrect S3 bucket policy is detected for bucket: {bucket}" in str(refused.value)
    assert cloudtrail.describe_trails()["trailList"] == []


def test_a_store_that_is_away_is_said_so_and_the_trail_is_not_made(node_with):
    from support.wire import quiet_port

    node = node_with(config=QUICK + destination(f"http://127.0.0.1:{quiet_port()}"))
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(Exception) as refused:
        cloudtrail.create_trail(Name="audit", S3BucketName="some-bucket")
    assert "cannot be used now" in str(refused.value), refused.value
    assert cloudtrail.describe_trails()["trailList"] == []


def test_files_go_where_the_trail_points_after_an_update(node_with, moto, bucket):
    node = node_with(config=QUICK + destination(moto.endpoint))
    arn = start_trail(node, bucket)
    s3 = moto.s3()
    first = post(node, 5)
    until(lambda: all_there(s3, bucket, first))
    other = bucket + "-2"
    s3.create_bucket(Bucket=other)
    node.client("cloudtrail").update_trail(Name="audit", S3BucketName=other)
    second = post(node, 5)
    until(lambda: all_there(s3, other, second))
    assert not any(tally(s3, bucket)[i] for i in second)
    until_attested(s3, other)
    result = validate_logs(node, arn, env=both_ends(node, moto))
    # One chain over both buckets.
    assert result.is_good and result.log_files[1] >= len(all_log_keys(s3, bucket)), result.text


def test_the_embedded_store_is_reached_directly_whatever_the_proxy_settings_say(node_with):
    """A machine behind a company's proxy: HTTP_PROXY is set, and must not catch what stays here."""
    from conftest import make_trail

    nobody = "http://127.0.0.1:1"
    no_exceptions = {"NO_PROXY": "", "no_proxy": ""}
    node = node_with(
        "--flush-interval", "300ms", env={"HTTP_PROXY": nobody, "http_proxy": nobody, "HTTPS_PROXY": nobody, "ALL_PROXY": nobody, "all_proxy": nobody, **no_exceptions}
    )
    make_trail(node)
    ids = post(node, 3)
    s3 = node.client("s3")
    until(lambda: all_there(s3, "audit-logs", ids))


def test_the_secret_may_lie_in_a_file(node_with, moto, bucket, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file\n")
    config = QUICK + destination(moto.endpoint).replace('secret_access_key = "secret-of-the-configuration"', f'secret_access_key_file = "{secret}"')
    node = node_with(config=config)
    start_trail(node, bucket)
    ids = post(node, 3)
    s3 = moto.s3()
    until(lambda: all_there(s3, bucket, ids))


@pytest.mark.parametrize(
    "lines, word",
    [
        ('endpoint = "ftp://x"\naccess_key_id = "a"\nsecret_access_key = "b"', "endpoint"),
        ('endpoint = "http://x"\naccess_key_id = "a"', "secret_access_key"),
        ('endpoint = "http://x"\nsecret_access_key = "b"', "access_key_id"),
        ('endpoint = "http://x"\naccess_key_id = "a"\nsecret_access_key = "b"\npath_style = true', "path_style"),
        ('endpoint = "http://x"\naccess_key_id = "a"\nsecret_access_key_file = "/nonexistent"', "/nonexistent"),
    ],
)
def test_a_wrong_destination_is_a_clear_start_error(node_with, lines, word):
    with pytest.raises(RuntimeError) as failed:
        node_with(config=f"[destination]\n{lines}\n")
    assert "the server ended with 1" in str(failed.value) and word in str(failed.value)
    assert os.linesep not in word
