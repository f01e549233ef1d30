"""kill -9 at random under load: every acknowledged event lies in exactly one delivered log file once,
unanswered ones at most once, nothing else is there, and the digests are whole."""

import json
import os
import random
import subprocess
import threading
import time

import pytest

from conftest import Node, binary, list_keys, log_file_keys, make_event, make_trail, ndjson, raw_log_file, until
from support.digests import tally, until_attested, validate_logs
from support.load import Load, duplicates
from support.wire import quiet_port

BUCKET = "audit-logs"


class Activity:
    """Calls to the API and the bucket door. What was answered is remembered: it must be recorded
    (by its request ID) and still be true at the end."""

    def __init__(self, node: Node, arn: str):
        self.cloudtrail, self.s3, self.arn = node.client("cloudtrail"), node.client("s3"), arn
        self.request_ids: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.tag = -1
        self.tag_tried = -1
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(timeout=120)
        assert not self.thread.is_alive()

    def run(self) -> None:
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            try:
                if turn % 3 == 0:
                    self.tag_tried = turn
                    answer = self.cloudtrail.add_tags(ResourceId=self.arn, TagsList=[{"Key": "turn", "Value": str(turn)}])
                    self.tag = turn
                elif turn % 3 == 1:
                    answer = self.cloudtrail.get_trail_status(Name="audit")
                else:
                    body = os.urandom(1000)
                    self.s3.put_object(Bucket="objects", Key=f"k{turn}", Body=body)
                    self.objects[f"k{turn}"] = body
                    continue
                self.request_ids.add(answer["ResponseMetadata"]["RequestId"])
            except Exception:
                # Down, or going down. What came of it is not known, and nothing was promised.
                time.sleep(0.02)


def start_and_kill_at_once(node: Node, after: float) -> None:
    """A start that is killed before it is ready."""
    process = subprocess.Popen(
        [binary(), "serve", "--data", node.data, "--listen", f"127.0.0.1:{node.port}", *node.arguments],
        stdout=subprocess.DEVNULL, stderr=open(node.log, "ab"),
    )
    time.sleep(after)
    process.kill()
    process.wait()


def crash(tmp_path, kills: int, seed: int) -> None:
    print(f"seed {seed} (set CAIRN_TEST_SEED to repeat), {kills} kills")
    dice = random.Random(seed)
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "1s")
    node.port = quiet_port()
    node.start()
    slowest = 0.0
    try:
        arn = make_trail(node)
        node.client("s3").create_bucket(Bucket="objects")
        with Load(node, batch=20, rest=0.01) as many, Load(node, batch=1, rest=0.005) as single, Activity(node, arn) as activity:
            for _ in range(kills):
                time.sleep(dice.uniform(0, 2))
                node.kill()
                if dice.random() < 0.25:
                    start_and_kill_at_once(node, dice.uniform(0, 0.4))
                started = time.monotonic()
                node.start(wait=30)
                slowest = max(slowest, time.monotonic() - started)
            time.sleep(1)
        acknowledged = many.acknowledged | single.acknowledged
        unanswered = many.unanswered | single.unanswered
        print(f"{len(acknowledged)} acknowledged, {len(unanswered)} unanswered, slowest start {slowest:.1f} s")
        assert len(acknowledged) > kills * 5, "there was no load to speak of"
        assert slowest < 10
        check(node, arn, acknowledged, unanswered, activity)
        assert "panicked" not in node.log.read_text(errors="replace")
    finally:
        node.end()


def check(node, arn, acknowledged, unanswered, activity) -> None:
    s3 = node.client("s3")
    seen: dict = {}
    until(lambda: acknowledged <= tally(s3, BUCKET, seen).keys(), wait=180, every=1)
    until_attested(s3, BUCKET, wait=120)
    counts = tally(s3, BUCKET, seen)
    twice = duplicates(counts)
    assert not twice, f"{len(twice)} events delivered more than once: {list(twice)[:5]}"
    records = [record for key in log_file_keys(s3, BUCKET) for record in json.loads(raw_log_file(s3, BUCKET, key))["Records"]]
    orders = {record["eventID"] for record in records if record["eventSource"] == "orders.example.com"}
    assert orders <= acknowledged | unanswered, "events that nobody posted"
    recorded = [record["requestID"] for record in records if record["eventSource"] == "cloudtrail.amazonaws.com"]
    missing = activity.request_ids - set(recorded)
    assert not missing, f"{len(missing)} answered calls are not recorded"
    assert len(recorded) == len(set(recorded))
    # What was answered is still so.
    tags = node.client("cloudtrail").list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"]
    assert activity.tag <= int(tags[0]["Value"]) <= activity.tag_tried
    for key, body in activity.objects.items():
        assert s3.get_object(Bucket="objects", Key=key)["Body"].read() == body
    # Half objects never show: each one that was not acknowledged is whole, too.
    for key in set(list_keys(s3, "objects")) - activity.objects.keys():
        assert len(s3.get_object(Bucket="objects", Key=key)["Body"].read()) == 1000
    result = validate_logs(node, arn)
    assert result.is_good, result.text
    assert result.log_files[1] == len(log_file_keys(s3, BUCKET)) or result.log_files[1] >= len(seen)


def seed() -> int:
    return int(os.environ.get("CAIRN_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


def test_a_few_kills_under_load_lose_and_double_nothing(tmp_path):
    crash(tmp_path, kills=8, seed=seed())


@pytest.mark.slow
def test_a_hundred_kills_under_load_lose_and_double_nothing(tmp_path):
    crash(tmp_path, kills=100, seed=seed())


@pytest.mark.slow
def test_kills_at_every_step_of_a_start(tmp_path):
    """Not ready yet, and killed again, a little later each time; then everything is there."""
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "1s")
    node.port = quiet_port()
    node.start()
    try:
        arn = make_trail(node)
        events = [make_event() for _ in range(500)]
        assert node.post(ndjson(events))[0] == 200
        node.kill()
        for step in range(60):
            start_and_kill_at_once(node, step * 0.01)
        node.start(wait=10)
        s3 = node.client("s3")
        wanted = {event["eventID"] for event in events}
        until(lambda: wanted <= tally(s3, BUCKET).keys())
        assert not duplicates(tally(s3, BUCKET))
        until_attested(s3, BUCKET)
        assert validate_logs(node, arn).is_good
    finally:
        node.end()
