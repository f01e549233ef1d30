"""Delivery to Garage, a real store of others: its own judgement of signatures, Regions and rights, its
own bad days. Slow, because Garage has to be built: `make test-slow` does."""

import gzip
import json
import os
import random
import re
import subprocess
import threading
import time
import uuid
from collections import Counter

import pytest

from conftest import Node, binary, list_keys, log_file_keys, make_event, ndjson, raw_log_file, until
from support.digests import all_log_keys, digest_keys, listed_files, read_digest, tally, until_attested, until_still, validate_logs
from support.fault_proxy import FaultProxy
from support.garage import DOMAIN, Garage
from support.load import Load, duplicates
from support.stores import KEY_ID, SECRET, destination
from support.wire import quiet_port
from support.trail import both_ends, post, start_trail, status

pytestmark = pytest.mark.slow

QUICK = 'flush_interval = "300ms"\ndigest_interval = "1s"\n'


@pytest.fixture(scope="module")
def garage(tmp_path_factory):
    store = Garage(tmp_path_factory.mktemp("garage"))
    yield store
    store.end()


@pytest.fixture
def mortal(tmp_path_factory):
    """A Garage that a test may kill."""
    store = Garage(tmp_path_factory.mktemp("mortal-garage"))
    yield store
    store.end()


@pytest.fixture
def proxy(garage):
    """A witness between Cairn and the store."""
    proxy = FaultProxy(garage.port)
    yield proxy
    proxy.end()


def new_bucket(store) -> str:
    return store.make_bucket(f"audit-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def bucket(garage):
    return new_bucket(garage)


def until_delivered(s3, bucket, ids, wait: float = 120) -> None:
    """Each lies in the bucket's log files, and no event lies there twice."""
    seen: dict = {}
    until(lambda: ids <= tally(s3, bucket, seen).keys(), wait=wait, every=0.5)
    twice = duplicates(tally(s3, bucket, seen))
    assert not twice, f"{len(twice)} events delivered more than once: {list(twice)[:5]}"


def verify(node, store, source: str, *arguments: str, env: dict | None = None):
    done = subprocess.run(
        [binary(), "verify", f"s3://{source}", *arguments],
        env={**node.env, **both_ends(node, store), **(env or {})}, capture_output=True, text=True, timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def assert_verified(node, store, source: str, files: int, *arguments: str, env: dict | None = None) -> None:
    code, text = verify(node, store, source, *arguments, env=env)
    assert code == 0 and text.endswith("\nVALID\n"), text
    assert int(re.search(r"^log files (\d+) valid, 0 invalid", text, re.M)[1]) >= files, text


def assert_attested(node, store, bucket, arn) -> None:
    """Every log file stands in exactly one digest; the AWS CLI and `cairn verify` find all valid."""
    s3 = store.s3()
    files = until_attested(s3, bucket, wait=120)
    names = [file["s3Object"] for key in digest_keys(s3, bucket) for file in read_digest(s3, bucket, key)["logFiles"]]
    assert len(names) == len(set(names))
    store.admit(node, bucket)
    result = validate_logs(node, arn, env=both_ends(node, store))
    assert result.is_good and result.log_files[1] >= len(files), result.text
    # While a trail goes on, its youngest files stand in no digest yet.
    assert_verified(node, store, bucket, len(files), "--allow-unlisted")


# --- delivery ------------------------------------------------------------------------------------

@pytest.mark.parametrize("style", ["path", "virtual host"])
def test_garage_takes_what_cairn_signs_in_both_styles(node_with, garage, proxy, bucket, style):
    if style == "path":
        node = node_with(config=QUICK + destination(proxy.endpoint))
    else:
        # No DNS knows the name; the proxy stands for it, as a forward proxy, and Garage finds the
        # bucket in the host and judges the signature over it.
        node = node_with(
            config=QUICK + destination(f"http://{DOMAIN}", virtual_host_style=True),
            env={"http_proxy": proxy.endpoint, "no_proxy": "", "NO_PROXY": ""},
        )
    arn = start_trail(node, bucket, S3KeyPrefix="a/b")
    ids = set()
    for _ in range(4):
        ids |= post(node, 50)
        time.sleep(0.5)
    s3 = garage.s3()
    until_delivered(s3, bucket, ids)
    files = until_attested(s3, bucket)
    assert all(key.startswith("a/b/AWSLogs/111111111111/CloudTrail/us-east-1/") for key in files)
    puts = [r for r in proxy.requests if r.method == "PUT"]
    assert puts
    for request in puts:
        assert f"Credential={KEY_ID}/" in request.headers["authorization"], request
        assert SECRET not in str(request.headers)
        if style == "path":
            assert request.headers["host"] == f"127.0.0.1:{proxy.port}" and request.path.startswith(f"/{bucket}/a/b/AWSLogs/")
        else:
            assert request.headers["host"] == f"{bucket}.{DOMAIN}" and request.path.startswith("/a/b/AWSLogs/")
    head = s3.head_object(Bucket=bucket, Key=sorted(files)[0])
    assert (head["ContentType"], head["ContentEncoding"], head["Metadata"]) == ("application/json", "gzip", {})
    digest = s3.head_object(Bucket=bucket, Key=digest_keys(s3, bucket)[-1])
    assert digest["Metadata"]["signature-algorithm"] == "SHA256withRSA" and len(digest["Metadata"]["signature"]) == 512

    assert_attested(node, garage, bucket, arn)
    if style == "virtual host":
        env = {"http_proxy": proxy.endpoint, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "AWS_ENDPOINT_URL_S3": f"http://{DOMAIN}"}
        before = len(proxy.requests)
        assert_verified(node, garage, f"{bucket}/a/b", len(files), "--virtual-host-style", "--allow-unlisted", env=env)
        assert {r.headers["host"] for r in proxy.requests[before:] if r.method == "GET"} == {f"{bucket}.{DOMAIN}"}


def test_a_prefix_with_every_character_that_a_key_may_have(node_with, garage, bucket):
    """Garage canonicalizes by its own rules: what it accepts was signed as it was sent."""
    prefix = "!_.*'()/-=+@:,$&/Az09"
    node = node_with(config=QUICK + destination(garage.endpoint))
    arn = start_trail(node, bucket, S3KeyPrefix=prefix)
    ids = post(node)
    s3 = garage.s3()
    until_delivered(s3, bucket, ids)
    assert all(key.startswith(f"{prefix}/AWSLogs/") for key in list_keys(s3, bucket))
    assert_attested(node, garage, bucket, arn)


def test_a_store_in_a_region_of_its_own(node_with, tmp_path_factory):
    """Garage's default Region is no AWS Region, and requests must be signed for it."""
    store = Garage(tmp_path_factory.mktemp("elsewhere"), region="garage")
    try:
        bucket = new_bucket(store)
        node = node_with(config=QUICK + destination(store.endpoint, region="garage"))
        arn = start_trail(node, bucket)
        ids = post(node)
        s3 = store.s3()
        until_delivered(s3, bucket, ids)
        files = until_attested(s3, bucket)
        store.admit(node, bucket)
        assert_verified(node, store, bucket, len(files), "--allow-unlisted", env={"AWS_REGION": "garage"})
        result = validate_logs(node, arn, env=both_ends(node, store))
        assert result.is_good, result.text

        wrong = node_with(config=QUICK + destination(store.endpoint))
        with pytest.raises(Exception) as refused:
            start_trail(wrong, bucket)
        assert "AuthorizationHeaderMalformed" in str(refused.value) and "garage/s3" in str(refused.value), refused.value
        assert wrong.client("cloudtrail").describe_trails()["trailList"] == []
    finally:
        store.end()


def test_twenty_thousand_events_of_many_accounts_and_regions(node_with, garage, bucket):
    """Exactly once each, in the folder of its account and Region, and every chain valid."""
    accounts = ["111111111111", "222222222222", "333333333333", "444444444444"]
    regions = ["us-east-1", "eu-west-1", "ap-southeast-2"]
    node = node_with(config='intake_accounts = ["*"]\n' + QUICK + destination(garage.endpoint))
    arn = start_trail(node, bucket, IsMultiRegionTrail=True)
    dice = random.Random(20)
    places: dict[str, tuple[str, str]] = {}
    lock = threading.Lock()
    faults: list[str] = []

    def send(batches: list[list[dict]]) -> None:
        for events in batches:
            code, answer = node.post(ndjson(events))
            if (code, answer.get("accepted")) != (200, len(events)):
                faults.append(f"{code} {answer}")
            with lock:
                places.update({event["eventID"]: (event["recipientAccountId"], event["awsRegion"]) for event in events})

    def batch() -> list[dict]:
        return [make_event(recipientAccountId=dice.choice(accounts), awsRegion=dice.choice(regions)) for _ in range(250)]

    threads = [threading.Thread(target=send, args=([batch() for _ in range(20)],)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and len(places) == 20_000, faults

    s3 = garage.s3()
    until_delivered(s3, bucket, places.keys(), wait=300)
    found: Counter = Counter()
    for key in log_file_keys(s3, bucket):
        account, region = re.search(r"AWSLogs/(\d{12})/CloudTrail/([^/]+)/", key).groups()
        for record in json.loads(raw_log_file(s3, bucket, key))["Records"]:
            if record["eventID"] in places:
                assert places[record["eventID"]] == (account, region), key
                found[record["eventID"]] += 1
    assert len(found) == 20_000 and set(found.values()) == {1}

    node.client("cloudtrail").stop_logging(Name="audit")
    until_still(s3, bucket)
    files = set(all_log_keys(s3, bucket))
    assert files == listed_files(s3, bucket).keys()
    garage.admit(node, bucket)
    valid = 0
    for account in accounts:
        for region in regions:
            result = validate_logs(node, arn, "--account-id", account, region=region, env=both_ends(node, garage))
            assert result.is_good and result.log_files[1] > 0, f"{account} {region}: {result.text}"
            valid += result.log_files[0]
    assert valid == len(files)
    assert_verified(node, garage, bucket, len(files))


# --- alterations ---------------------------------------------------------------------------------

def test_what_is_altered_in_garage_is_named(node_with, garage, bucket):
    node = node_with(config=QUICK + destination(garage.endpoint))
    arn = start_trail(node, bucket)
    for _ in range(4):
        post(node, 5)
        time.sleep(1)
    node.client("cloudtrail").stop_logging(Name="audit")
    s3 = garage.s3()
    until_still(s3, bucket)
    assert_attested(node, garage, bucket, arn)
    with_orders = [key for key in log_file_keys(s3, bucket) if b'"ana"' in raw_log_file(s3, bucket, key)]
    altered, removed = with_orders[0], with_orders[1]
    whole = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in (altered, removed)}

    def assert_named(key: str, others: list[str]) -> None:
        result = validate_logs(node, arn, env=both_ends(node, garage))
        assert result.code == 1 and any(key in line for line in result.invalid), result.text
        code, text = verify(node, garage, bucket)
        assert code == 1 and key in text, text
        for other in others:
            assert other not in text and not any(other in line for line in result.invalid), result.text

    changed = gzip.compress(gzip.decompress(whole[altered]).replace(b'"ana"', b'"eve"', 1))
    s3.put_object(Bucket=bucket, Key=altered, Body=changed, ContentType="application/json", ContentEncoding="gzip")
    assert_named(altered, [removed])
    s3.put_object(Bucket=bucket, Key=altered, Body=whole[altered], ContentType="application/json", ContentEncoding="gzip")
    assert_attested(node, garage, bucket, arn)
    s3.delete_object(Bucket=bucket, Key=removed)
    assert_named(removed, [altered])


# --- refusals ------------------------------------------------------------------------------------

def test_a_bucket_that_garage_does_not_have_is_refused_and_leaves_no_trail(node_with, garage):
    node = node_with(config=QUICK + destination(garage.endpoint))
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(cloudtrail.exceptions.S3BucketDoesNotExistException) as refused:
        cloudtrail.create_trail(Name="audit", S3BucketName="never-made-bucket")
    assert "S3 bucket never-made-bucket does not exist!" in str(refused.value)
    assert cloudtrail.describe_trails()["trailList"] == []


@pytest.mark.parametrize("what", ["a wrong secret", "a bucket of someone else"])
def test_what_garage_denies_is_an_insufficient_policy_and_leaves_no_trail(node_with, garage, bucket, what):
    secret = SECRET
    if what == "a wrong secret":
        secret = "not-the-secret-of-the-configuration"
    else:
        garage.run("bucket", "deny", "--write", bucket, "--key", KEY_ID)
    node = node_with(config=QUICK + destination(garage.endpoint, secret=secret))
    cloudtrail = node.client("cloudtrail")
    with pytest.raises(cloudtrail.exceptions.InsufficientS3BucketPolicyException) as refused:
        cloudtrail.create_trail(Name="audit", S3BucketName=bucket)
    assert f"Incorrect S3 bucket policy is detected for bucket: {bucket}" in str(refused.value)
    assert cloudtrail.describe_trails()["trailList"] == []
    assert list_keys(garage.s3(), bucket) == []


def withdraw_the_right(garage, bucket):
    garage.run("bucket", "deny", "--write", bucket, "--key", KEY_ID)
    return lambda: garage.run("bucket", "allow", "--write", bucket, "--key", KEY_ID)


def fill_the_bucket(garage, bucket):
    garage.run("bucket", "set-quotas", bucket, "--max-objects", "1")
    return lambda: garage.run("bucket", "set-quotas", bucket, "--max-objects", "none")


def rename_the_bucket(garage, bucket):
    garage.run("bucket", "alias", bucket, f"{bucket}-away")
    garage.run("bucket", "unalias", bucket)
    return lambda: garage.run("bucket", "alias", f"{bucket}-away", bucket)


@pytest.mark.parametrize(
    "spoil, code",
    [(withdraw_the_right, "AccessDenied"), (fill_the_bucket, "AccessDenied"), (rename_the_bucket, "NoSuchBucket")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_refusal_of_garage_is_shown_and_everything_comes_after_it(node_with, garage, bucket, spoil, code):
    node = node_with(config=QUICK + destination(garage.endpoint))
    arn = start_trail(node, bucket)
    s3 = garage.s3()
    ids = post(node)
    until_delivered(s3, bucket, ids)
    assert "LatestDeliveryError" not in status(node)
    mend = spoil(garage, bucket)
    ids |= post(node)
    until(lambda: status(node).get("LatestDeliveryError") == code, wait=60)
    until(lambda: status(node).get("LatestDigestDeliveryError") == code, wait=60)
    ids |= post(node)
    assert node.health() == 200, "a store that refuses is no reason to refuse events"
    mend()
    until_delivered(s3, bucket, ids, wait=180)
    until(lambda: "LatestDeliveryError" not in status(node) and "LatestDigestDeliveryError" not in status(node), wait=120)
    assert_attested(node, garage, bucket, arn)


def test_a_secret_that_became_wrong_is_shown_and_the_right_one_delivers_everything(node_with, garage, bucket):
    node = node_with(config=QUICK + destination(garage.endpoint))
    node.stop()
    node.port = quiet_port()
    node.start()
    arn = start_trail(node, bucket)
    s3 = garage.s3()
    ids = post(node)
    until_delivered(s3, bucket, ids)

    def configure(secret: str) -> None:
        assert node.stop() == 0
        (node.folder / "cairn.toml").write_text(QUICK + destination(garage.endpoint, secret=secret))
        node.start()

    configure("not-the-secret-of-the-configuration")
    ids |= post(node)
    until(lambda: status(node).get("LatestDeliveryError") == "AccessDenied", wait=60)
    ids |= post(node)
    assert "not-the-secret" not in node.log.read_text(errors="replace")
    configure(SECRET)
    ids |= post(node)
    until_delivered(s3, bucket, ids, wait=180)
    until(lambda: "LatestDeliveryError" not in status(node), wait=120)
    assert_attested(node, garage, bucket, arn)


# --- kills ---------------------------------------------------------------------------------------

def test_garage_dies_and_comes_back_under_load(node_with, mortal):
    """Answers break off in their middle, then nobody listens; each event is there once in the end."""
    bucket = new_bucket(mortal)
    node = node_with(config=QUICK + destination(mortal.endpoint))
    arn = start_trail(node, bucket)
    dice = random.Random(5)
    with Load(node, batch=20, rest=0.01) as load:
        for _ in range(5):
            time.sleep(dice.uniform(0.5, 3))
            mortal.kill()
            time.sleep(dice.uniform(0, 2))
            mortal.start()
        time.sleep(dice.uniform(0.5, 1.5))
        mortal.kill()
        until(lambda: status(node).get("LatestDeliveryError") == "ConnectionRefused", wait=60)
        mortal.start()
    assert not load.refused, "a store that is away is no reason to refuse events"
    assert not load.unanswered and len(load.acknowledged) > 500
    until_delivered(mortal.s3(), bucket, load.acknowledged, wait=300)
    until(lambda: "LatestDeliveryError" not in status(node), wait=120)
    assert_attested(node, mortal, bucket, arn)


def test_a_stop_while_garage_is_dead_keeps_everything_for_later(node_with, mortal):
    bucket = new_bucket(mortal)
    node = node_with(config=QUICK + destination(mortal.endpoint))
    node.stop()
    node.port = quiet_port()
    node.start()
    arn = start_trail(node, bucket)
    ids = post(node)
    mortal.kill()
    ids |= post(node)
    assert node.stop() == 0, "a store that is away must not keep the server from stopping"
    node.start()
    ids |= post(node)
    node.kill()
    node.start()
    mortal.start()
    until_delivered(mortal.s3(), bucket, ids, wait=180)
    assert_attested(node, mortal, bucket, arn)


def test_cairn_and_garage_are_killed_at_random_under_load(tmp_path, mortal):
    """Cairn each time, and every third time Garage too, in either order."""
    seed = int(os.environ.get("CAIRN_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed} (set CAIRN_TEST_SEED to repeat)")
    dice = random.Random(seed)
    bucket = new_bucket(mortal)
    node = Node(tmp_path, config=QUICK + destination(mortal.endpoint))
    node.port = quiet_port()
    node.start()
    try:
        arn = start_trail(node, bucket)
        with Load(node, batch=20, rest=0.01) as many, Load(node, batch=1, rest=0.005) as single:
            for turn in range(24):
                time.sleep(dice.uniform(0, 2))
                victims = [node, mortal] if turn % 3 == 2 else [node]
                dice.shuffle(victims)
                for victim in victims:
                    victim.kill()
                dice.shuffle(victims)
                for victim in victims:
                    victim.start()
            time.sleep(1)
        acknowledged = many.acknowledged | single.acknowledged
        unanswered = many.unanswered | single.unanswered
        print(f"{len(acknowledged)} acknowledged, {len(unanswered)} unanswered")
        assert len(acknowledged) > 500, "there was no load to speak of"
        s3 = mortal.s3()
        until_delivered(s3, bucket, acknowledged, wait=300)
        until_attested(s3, bucket, wait=120)
        seen: dict = {}
        counts = tally(s3, bucket, seen)
        assert not duplicates(counts)
        orders = {
            record["eventID"]
            for key in seen for record in json.loads(raw_log_file(s3, bucket, key))["Records"]
            if record["eventSource"] == "orders.example.com"
        }
        assert orders <= acknowledged | unanswered, "events that nobody posted"
        assert_attested(node, mortal, bucket, arn)
        assert "panicked" not in node.log.read_text(errors="replace")
    finally:
        node.end()
