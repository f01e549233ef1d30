"""`aws cloudtrail validate-logs`, as it comes with the AWS CLI, is content with what Cairn signs, and
sees every alteration; `cairn verify` sees what it misses."""

import gzip
import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest

from conftest import Node, list_keys, make_event, make_trail, ndjson, raw_log_file, until
from support.clock import needs_faketime, wrong_clock
from support.digests import (
    all_log_keys, digest_keys, listed_files, read_digest, until_attested, until_still, validate_logs,
)
from support.wire import quiet_port

BUCKET = "audit-logs"
ACCOUNTS = ["111111111111", "222222222222", "333333333333"]
REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2"]
QUICK = 'intake_accounts = ["*"]\nflush_interval = "200ms"\ndigest_interval = "1s"\n'


def post_rounds(node, rounds: int, rest: float = 0.25) -> int:
    """Each round gives each account and Region some events, and time to flush."""
    for number in range(rounds):
        events = [
            make_event(recipientAccountId=account, awsRegion=region, requestParameters={"round": number})
            for account in ACCOUNTS for region in REGIONS for _ in range(3)
        ]
        status, answer = node.post(ndjson(events))
        assert (status, answer["accepted"]) == (200, len(events)), answer
        time.sleep(rest)
    return rounds * len(ACCOUNTS) * len(REGIONS) * 3


def assert_all_chains_valid(node, arn, s3, at_least: int = 1, **more) -> int:
    """Every account and Region of the bucket; returns how many log files were found valid."""
    valid = 0
    places = {tuple(re.search(r"AWSLogs/(\d{12})/CloudTrail/([^/]+)/", key).groups()) for key in all_log_keys(s3, BUCKET)}
    for account, region in sorted(places):
        result = validate_logs(node, arn, "--account-id", account, region=region, **more)
        assert result.is_good, f"{account} {region}: {result.text}"
        assert result.log_files[1] >= at_least
        valid += result.log_files[0]
    return valid


def test_hundreds_of_files_of_many_accounts_and_regions_are_valid_across_restarts(node_with):
    node = node_with(config=QUICK)
    arn = make_trail(node, IsMultiRegionTrail=True)
    s3 = node.client("s3")
    posted = 0
    for stop in (node.stop, node.kill, node.stop):
        posted += post_rounds(node, 10)
        stop()
        node.start()
    posted += post_rounds(node, 8)

    def orders():
        return sum(raw_log_file(s3, BUCKET, key).count(b'"eventName": "CreateOrder"') for key in all_log_keys(s3, BUCKET))

    until(lambda: orders() == posted, wait=60, every=1)
    files = until_attested(s3, BUCKET)
    assert len(files) >= 200, f"only {len(files)} log files; the test wants hundreds"
    assert len(digest_keys(s3, BUCKET)) >= 50
    assert assert_all_chains_valid(node, arn, s3) >= len(files)
    # Every file stands in exactly one digest.
    names = [file["s3Object"] for key in digest_keys(s3, BUCKET) for file in read_digest(s3, BUCKET, key)["logFiles"]]
    assert len(names) == len(set(names))


def test_every_way_to_ask_gives_the_same_answer(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "2s")
    arn = make_trail(node, S3KeyPrefix="some/prefix", name="with.dots_and-more")
    node.post(ndjson([make_event()]))
    s3 = node.client("s3")
    files = until_attested(s3, BUCKET)
    ways = [
        (), ("--verbose",), ("--account-id", "111111111111"), ("--s3-bucket", BUCKET, "--s3-prefix", "some/prefix"),
        ("--s3-bucket", BUCKET, "--s3-prefix", "some/prefix", "--verbose", "--end-time", "2037-01-01T00:00:00Z"),
    ]
    for way in ways:
        result = validate_logs(node, arn, *way)
        assert result.is_good, f"{way}: {result.text}"
        if "--verbose" in way:
            for key in files:
                assert f"Log file\ts3://{BUCKET}/{key}\tvalid" in result.text
    # A shorter span: only what ended after its start.
    start = (datetime.now(timezone.utc) - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert validate_logs(node, arn, start=start).is_good


def test_empty_intervals_have_digests_too(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "2s")
    arn = make_trail(node)
    s3 = node.client("s3")
    until(lambda: len(digest_keys(s3, BUCKET)) >= 6, wait=60)
    digests = [read_digest(s3, BUCKET, key) for key in digest_keys(s3, BUCKET)]
    assert any(d["logFiles"] == [] and d["newestEventTime"] is None for d in digests[1:])
    first = digests[0]
    assert all(first[name] is None for name in first if name.startswith("previousDigest")) and first["logFiles"] == []
    for before, after in zip(digests, digests[1:]):
        assert after["digestStartTime"] == before["digestEndTime"]
        assert after["previousDigestS3Object"] == before["digestS3Object"]
    assert validate_logs(node, arn).is_good


def test_a_stop_and_a_start_are_a_gap_and_not_a_fault(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "2s")
    arn = make_trail(node)
    s3, cloudtrail = node.client("s3"), node.client("cloudtrail")
    node.post(ndjson([make_event(eventName="Before")]))
    until_attested(s3, BUCKET)
    for turn in range(2):
        cloudtrail.stop_logging(Name="audit")
        until_still(s3, BUCKET)
        starts = [key for key in digest_keys(s3, BUCKET) if read_digest(s3, BUCKET, key)["previousDigestS3Object"] is None]
        assert len(starts) == turn + 1
        cloudtrail.start_logging(Name="audit")
        node.post(ndjson([make_event(eventName="After")]))
        until(lambda: len([k for k in digest_keys(s3, BUCKET) if read_digest(s3, BUCKET, k)["previousDigestS3Object"] is None]) == turn + 2)
    time.sleep(1)
    until_attested(s3, BUCKET)
    result = validate_logs(node, arn)
    assert result.is_good, result.text
    assert len(result.gaps) == 2, result.text


def test_the_shortest_interval_has_an_end(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "1s")
    make_trail(node)
    s3 = node.client("s3")
    until(lambda: digest_keys(s3, BUCKET))
    node.client("cloudtrail").stop_logging(Name="audit")
    until_still(s3, BUCKET, wait=15)


def test_a_deleted_trail_gets_its_final_digest_and_stays_valid(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "2s")
    arn = make_trail(node)
    s3, cloudtrail = node.client("s3"), node.client("cloudtrail")
    node.post(ndjson([make_event(eventName="LastWords")]))
    cloudtrail.delete_trail(Name="audit")
    until_still(s3, BUCKET)
    assert any(b"LastWords" in raw_log_file(s3, BUCKET, key) for key in all_log_keys(s3, BUCKET))
    assert set(all_log_keys(s3, BUCKET)) <= listed_files(s3, BUCKET).keys()
    assert validate_logs(node, arn, "--s3-bucket", BUCKET).is_good
    # The same name again: the chain starts anew, and both are valid together.
    cloudtrail.create_trail(Name="audit", S3BucketName=BUCKET, EnableLogFileValidation=True)
    cloudtrail.start_logging(Name="audit")
    node.post(ndjson([make_event(eventName="Reborn")]))
    until(lambda: any(b"Reborn" in raw_log_file(s3, BUCKET, key) for key in all_log_keys(s3, BUCKET)))
    until_attested(s3, BUCKET)
    result = validate_logs(node, arn)
    assert result.is_good and len(result.gaps) == 1, result.text


def test_validation_turned_off_and_on_again_breaks_the_chain_and_nothing_else(node_with):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "2s")
    arn = make_trail(node)
    s3, cloudtrail = node.client("s3"), node.client("cloudtrail")
    node.post(ndjson([make_event()]))
    until_attested(s3, BUCKET)
    cloudtrail.update_trail(Name="audit", EnableLogFileValidation=False)
    time.sleep(5)
    count = len(digest_keys(s3, BUCKET))
    node.post(ndjson([make_event(eventName="Unwatched")]))
    until(lambda: any(b"Unwatched" in raw_log_file(s3, BUCKET, key) for key in all_log_keys(s3, BUCKET)))
    time.sleep(4)
    assert len(digest_keys(s3, BUCKET)) == count
    assert validate_logs(node, arn).is_good
    cloudtrail.update_trail(Name="audit", EnableLogFileValidation=True)
    node.post(ndjson([make_event(eventName="Watched")]))
    until(lambda: any(b'"Watched"' in raw_log_file(s3, BUCKET, key) for key in listed_files(s3, BUCKET)))
    result = validate_logs(node, arn)
    assert result.is_good and len(result.gaps) == 1, result.text


@needs_faketime
def test_digests_of_before_and_after_a_key_rotation_are_valid(tmp_path):
    """31 days ago, then now: the key of then is over, a new one signs, and one command checks both."""
    node = Node(tmp_path, config='flush_interval = "200ms"\ndigest_interval = "6h"\n')
    node.port = quiet_port()
    past = wrong_clock("-31d")
    node.extra_env = past
    node.start()
    try:
        def aws(*arguments):
            import subprocess

            done = subprocess.run(["aws", *arguments], env={**node.env, **past}, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        aws("s3", "mb", f"s3://{BUCKET}")
        arn = json.loads(aws("cloudtrail", "create-trail", "--name", "audit", "--s3-bucket-name", BUCKET, "--enable-log-file-validation"))["TrailARN"]
        aws("cloudtrail", "start-logging", "--name", "audit")
        then = (datetime.now(timezone.utc) - timedelta(days=31)).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert node.post(ndjson([make_event(eventTime=then, eventName="LongAgo")]))[0] == 200
        until(lambda: "_CloudTrail-Digest_" in aws("s3", "ls", "--recursive", f"s3://{BUCKET}"))
        node.stop()
        node.extra_env = {}
        node.start()
        s3 = node.client("s3")
        node.post(ndjson([make_event(eventName="Today")]))
        until(lambda: len(digest_keys(s3, BUCKET)) >= 31 * 4, wait=90)
        # The file of today stands in no digest yet: stopping makes the last one.
        until(lambda: any(b"Today" in raw_log_file(s3, BUCKET, key) for key in all_log_keys(s3, BUCKET)))
        node.client("cloudtrail").stop_logging(Name="audit")
        until_still(s3, BUCKET)
        fingerprints = {read_digest(s3, BUCKET, key)["digestPublicKeyFingerprint"] for key in digest_keys(s3, BUCKET)}
        assert len(fingerprints) >= 2, "the key was not rotated"
        result = validate_logs(node, arn)
        assert result.is_good and result.digests[1] >= 124 and result.log_files[1] >= 2, result.text
        # A forged file beside the real ones is nothing to validate-logs; `cairn verify` sees it.
        assert node.run("verify", f"s3://{BUCKET}").returncode == 0
        between = datetime.now(timezone.utc) - timedelta(days=15)
        forged = f"AWSLogs/111111111111/CloudTrail/us-east-1/{between:%Y/%m/%d}/111111111111_CloudTrail_us-east-1_{between:%Y%m%dT%H%MZ}_{'A' * 16}.json.gz"
        s3.put_object(Bucket=BUCKET, Key=forged, Body=gzip.compress(b'{"Records":[]}'))
        assert validate_logs(node, arn).is_good
        done = node.run("verify", f"s3://{BUCKET}")
        assert done.returncode == 1 and forged in done.stdout + done.stderr, done.stdout + done.stderr
        # Keys are announced with their own 30 days, one after the other with an overlap.
        keys = node.client("cloudtrail").list_public_keys(StartTime=datetime(2015, 1, 1), EndTime=datetime.now(timezone.utc))["PublicKeyList"]
        assert {key["Fingerprint"] for key in keys} >= fingerprints
        spans = sorted((key["ValidityStartTime"], key["ValidityEndTime"]) for key in keys)
        assert all(end - start == timedelta(days=30) for start, end in spans)
        assert all(later[0] < earlier[1] for earlier, later in zip(spans, spans[1:]))
    finally:
        node.end()


# --- alterations ---------------------------------------------------------------------------------

class Bench:
    """A finished chain that tests may spoil: each gets it back as it was."""

    def __init__(self, node, arn):
        self.node, self.arn = node, arn
        self.s3 = node.client("s3")
        self.objects = {key: self.read(key) for key in list_keys(self.s3, BUCKET)}
        self.digests = sorted(digest_keys(self.s3, BUCKET))
        self.files = sorted(listed_files(self.s3, BUCKET))

    def read(self, key):
        answer = self.s3.get_object(Bucket=BUCKET, Key=key)
        return answer["Body"].read(), answer["Metadata"]

    def put(self, key, body, metadata=None):
        self.s3.put_object(
            Bucket=BUCKET, Key=key, Body=body, Metadata=self.objects[key][1] if metadata is None else metadata,
            ContentType="application/json", ContentEncoding="gzip",
        )

    def delete(self, key):
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    def restore(self):
        for key in set(list_keys(self.s3, BUCKET)) - self.objects.keys():
            self.delete(key)
        for key, (body, metadata) in self.objects.items():
            try:
                same = self.read(key) == (body, metadata)
            except self.s3.exceptions.NoSuchKey:
                same = False
            if not same:
                self.put(key, body, metadata)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("spoiled"), "--flush-interval", "200ms", "--digest-interval", "2s")
    try:
        node.start()
        arn = make_trail(node)
        s3 = node.client("s3")
        for number in range(8):
            assert node.post(ndjson([make_event(eventName=f"Order{number}")]))[0] == 200
            time.sleep(1.8)
        node.client("cloudtrail").stop_logging(Name="audit")
        until_still(s3, BUCKET)
        bench = Bench(node, arn)
        assert len(bench.files) >= 6 and len(bench.digests) >= 6
        assert validate_logs(node, arn).is_good
        yield bench
    finally:
        node.end()


@pytest.fixture
def bench(spoiled):
    yield spoiled
    spoiled.restore()


def with_change(body: bytes) -> bytes:
    """The same JSON with one word of it changed, packed again."""
    plain = gzip.decompress(body)
    for old, new in [(b'"ana"', b'"eve"'), (b'"eventName"', b'"eventname"'), (b'"logFiles"', b'"LogFiles"')]:
        if old in plain:
            return gzip.compress(plain.replace(old, new, 1))
    raise AssertionError("nothing to change")


def alter_log(b):
    key = b.files[3]
    b.put(key, with_change(b.objects[key][0]))
    return [key]


def remove_log(b):
    b.delete(b.files[2])
    return [b.files[2]]


def swap_logs(b):
    one, two = b.files[1], b.files[4]
    b.put(one, b.objects[two][0])
    b.put(two, b.objects[one][0])
    return [one, two]


def truncate_log(b):
    key = b.files[3]
    b.put(key, b.objects[key][0][: len(b.objects[key][0]) // 2])
    return [key]


def empty_log(b):
    b.put(b.files[3], b"")
    return [b.files[3]]


def append_to_log(b):
    key = b.files[3]
    b.put(key, b.objects[key][0] + gzip.compress(b"more"))
    return [key]


def flip_log(b):
    key = b.files[3]
    body = bytearray(b.objects[key][0])
    body[len(body) // 2] ^= 0x40
    b.put(key, bytes(body))
    return [key]


def alter_digest(b):
    """A log file is altered, and its hash in the digest to match."""
    import hashlib

    file = b.files[3]
    altered = with_change(b.objects[file][0])
    b.put(file, altered)
    digest = listed_files(b.s3, BUCKET)[file]
    document = json.loads(gzip.decompress(b.objects[digest][0]))
    for listed in document["logFiles"]:
        if listed["s3Object"] == file:
            listed["hashValue"] = hashlib.sha256(gzip.decompress(altered)).hexdigest()
    b.put(digest, gzip.compress(json.dumps(document).encode()))
    return [digest]


def unlist_log(b):
    """A log file is taken out of its digest."""
    file = b.files[3]
    digest = listed_files(b.s3, BUCKET)[file]
    document = json.loads(gzip.decompress(b.objects[digest][0]))
    document["logFiles"] = [listed for listed in document["logFiles"] if listed["s3Object"] != file]
    b.put(digest, gzip.compress(json.dumps(document).encode()))
    return [digest]


def middle(b):
    return b.digests[len(b.digests) // 2]


def remove_digest(b):
    b.delete(middle(b))
    return [middle(b)]


def remove_first_digest(b):
    b.delete(b.digests[0])
    return [b.digests[0]]


def swap_digests(b):
    one, two = b.digests[2], b.digests[3]
    b.put(one, *b.objects[two])
    b.put(two, *b.objects[one])
    return [one, two]


def truncate_digest(b):
    key = middle(b)
    b.put(key, b.objects[key][0][: len(b.objects[key][0]) // 2])
    return [key]


def sign_digest_anew(b):
    key = middle(b)
    metadata = dict(b.objects[key][1])
    metadata["signature"] = b.objects[b.digests[1]][1]["signature"]
    b.put(key, b.objects[key][0], metadata)
    return [key]


def strip_signature(b):
    key = middle(b)
    b.put(key, b.objects[key][0], {})
    return [key]


ALTERATIONS = [
    alter_log, remove_log, swap_logs, truncate_log, empty_log, append_to_log, flip_log, alter_digest, unlist_log, remove_digest,
    remove_first_digest, swap_digests, truncate_digest, sign_digest_anew, strip_signature,
]


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda f: f.__name__)
def test_validate_logs_names_what_was_altered(bench, alter):
    keys = alter(bench)
    result = validate_logs(bench.node, bench.arn)
    assert result.code == 1, result.text
    for key in keys:
        assert any(key in line for line in result.invalid), f"{key} is not named\n{result.text}"


# --- cairn verify --------------------------------------------------------------------------------

def verify(bench, *more):
    help_text = bench.node.run("verify", "--help")
    if help_text.returncode != 0 or "not in this version" in help_text.stdout + help_text.stderr:
        pytest.skip("this build has no `cairn verify` yet")
    return bench.node.run("verify", f"s3://{BUCKET}", *more)


def test_verify_is_content_with_what_is_intact(bench):
    done = verify(bench)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alter", ALTERATIONS, ids=lambda f: f.__name__)
def test_verify_names_what_was_altered(bench, alter):
    keys = alter(bench)
    done = verify(bench)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    for key in keys:
        assert key in text, f"{key} is not named\n{text}"


def test_verify_sees_two_neighbouring_digests_gone_which_validate_logs_does_not(bench):
    place = len(bench.digests) // 2
    gone = bench.digests[place : place + 2]
    for key in gone:
        bench.delete(key)
    result = validate_logs(bench.node, bench.arn)
    assert not any(gone[0] in line for line in result.invalid), "validate-logs has learnt it: adapt the README"
    done = verify(bench)
    text = done.stdout + done.stderr
    assert done.returncode != 0, text
    # The later one is named by the link of its successor; the earlier one by its name or its interval.
    assert gone[1] in text
    start = re.search(r"_(\d{8}T\d{6}Z)\.json\.gz$", bench.digests[place - 1])[1]
    moment = datetime.strptime(start, "%Y%m%dT%H%M%SZ").strftime("%Y-%m-%dT%H:%M:%S")
    assert gone[0] in text or moment in text, text
