"""`cairn follow`: what appears is in, once, whoever is killed in the meantime."""

import gzip
import json
import os
import random
import re
import signal
import subprocess
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from conftest import binary, make_event, ndjson, until
from support.fault_proxy import Fault, FaultProxy
from support.stores import Moto

SOURCE = "follow.example.com"


class Follower:
    """A running `cairn follow`, and what it says."""

    def __init__(self, folder: Path, node, *sources, every: str = "200ms", env: dict | None = None):
        self.out, self.err = folder / f"out-{uuid.uuid4()}", folder / f"err-{uuid.uuid4()}"
        arguments = [binary(), "follow", *map(str, sources), "--into", "audit", "--every", every]
        if env is None:
            arguments += ["--data", str(node.data)]
        else:
            arguments += ["--state", str(folder / "state")]
        self.process = subprocess.Popen(arguments, stdout=open(self.out, "wb"), stderr=open(self.err, "wb"), env=env or node.env)

    def said(self) -> str:
        return self.err.read_text() + self.out.read_text()

    def until_said(self, text: str) -> None:
        def asked() -> bool:
            assert self.process.poll() is None or text in self.said(), self.said()
            return text in self.said()

        until(asked)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Its summary."""
        self.process.send_signal(number)
        assert self.process.wait(timeout=60) == 0, self.said()
        return self.out.read_text().splitlines()[-1]


@pytest.fixture
def follow(node, tmp_path):
    """Starts followers into the store `audit`; all end with the test."""
    made = node.client("cloudtrail").create_event_data_store(Name="audit", TerminationProtectionEnabled=False, RetentionPeriod=3653)
    node.store = made["EventDataStoreArn"].rsplit("/", 1)[1]
    running = []

    def start(*sources, **more) -> Follower:
        running.append(Follower(tmp_path, node, *sources, **more))
        return running[-1]

    yield start
    for follower in running:
        if follower.process.poll() is None:
            follower.kill()


@pytest.fixture
def logs(tmp_path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def events(count: int) -> list[dict]:
    now = datetime.now(timezone.utc)
    times = [(now - timedelta(minutes=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(count)]
    return [make_event(eventTime=time, eventSource=SOURCE) for time in times]


def log_file(records: list[dict]) -> bytes:
    return gzip.compress(json.dumps({"Records": records}).encode())


def ids_in(node) -> list[str]:
    """The eventID of every row in the store, once for each row."""
    sql = f"SELECT eventID FROM {node.store} WHERE eventSource = '{SOURCE}'"
    done = node.run("query", sql, "--data", str(node.data), "--format", "csv")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


def until_in(node, records: list[dict], wait: float = 60) -> None:
    """Waits until every record is in, and fails as soon as one is in twice."""
    wanted = sorted(record["eventID"] for record in records)

    def asked() -> bool:
        found = sorted(ids_in(node))
        assert len(found) == len(set(found)), "an event is in twice"
        return found == wanted

    until(asked, wait=wait, every=0.2)


def test_new_files_of_a_folder_are_taken_and_known_ones_are_not(node, follow, logs):
    records = events(60)
    (logs / "before.json.gz").write_bytes(log_file(records[:20]))
    follower = follow(logs)
    until_in(node, records[:20])
    below = logs / "AWSLogs" / "1" / "CloudTrail" / "us-east-1" / "2026" / "01" / "02"
    below.mkdir(parents=True)
    (below / "new.json.gz").write_bytes(log_file(records[20:40]))
    (logs / "notes.txt").write_text("no log file")
    until_in(node, records[:40])
    assert follower.stop().startswith("40 events from 2 files; 0 were there already")
    (logs / "while-away.json.gz").write_bytes(log_file(records[40:]))
    again = follow(logs)
    until_in(node, records)
    assert again.stop(signal.SIGINT).startswith("20 events from 1 files; 0 were there already")
    assert follower.err.read_text() == "" == again.err.read_text()


def test_a_growing_file_is_taken_by_whole_lines(node, follow, logs):
    records = events(50)
    path = logs / "audit.ndjson"
    lines = [line + b"\n" for line in ndjson(records).splitlines()]
    path.write_bytes(b"".join(lines[:10]) + lines[10][:100])
    follower = follow(path)
    until_in(node, records[:10])
    with path.open("ab") as file:
        file.write(lines[10][100:])
        file.flush()
        until_in(node, records[:11])
        for line in lines[11:20]:
            file.write(line)
            file.flush()
    until_in(node, records[:20])
    follower.kill()
    with path.open("ab") as file:
        file.write(b"".join(lines[20:30]) + b"no record\n" + b"".join(lines[30:35]))
    follower = follow(path)
    until_in(node, records[:35])
    follower.until_said("1 records were refused")
    path.rename(logs / "audit.ndjson.1")
    with (logs / "audit.ndjson.1").open("ab") as file:
        file.write(lines[35])
    path.write_bytes(lines[36])
    until_in(node, records[:37])
    path.write_bytes(b"")
    with path.open("ab") as file:
        file.write(b"".join(lines[37:]))
    until_in(node, records)
    assert ", 0 older" in follower.stop()
    assert follower.err.read_text().count("1 records were refused") == 1


def test_a_bucket_is_followed_wherever_new_files_come(node, follow):
    records = events(60)
    s3 = node.client("s3")
    s3.create_bucket(Bucket="trail")
    today = datetime.now(timezone.utc).strftime("%Y/%m/%d")
    root = "AWSLogs/111111111111/CloudTrail"
    keys = [f"{root}/us-east-1/{today}/a.json.gz", f"{root}/us-east-1/2020/01/01/late.json.gz", f"{root}/eu-west-1/{today}/b.json.gz", "AWSLogs/other.json"]

    def put(number: int) -> None:
        body = log_file(records[10 * number : 10 * number + 10])
        s3.put_object(Bucket="trail", Key=keys[number], Body=body)

    put(0)
    s3.put_object(Bucket="trail", Key=f"AWSLogs/111111111111/CloudTrail-Digest/us-east-1/{today}/d.json.gz", Body=b"no log file")
    s3.put_object(Bucket="trail", Key="beside.json.gz", Body=log_file(events(5)))
    follower = follow("s3://trail/AWSLogs")
    until_in(node, records[:10])
    for number in range(1, 4):
        put(number)
        until_in(node, records[: 10 * number + 10])
    follower.kill()
    s3.put_object(Bucket="trail", Key=f"{root}/us-east-1/{today}/c.json.gz", Body=log_file(records[40:]))
    again = follow("s3://trail/AWSLogs")
    until_in(node, records)
    assert again.stop().startswith("20 events from 1 files")
    assert again.err.read_text() == ""


def test_a_bucket_of_another_store_that_comes_later(node, follow, tmp_path):
    moto = Moto(tmp_path)
    try:
        records = events(20)
        env = {**node.env, "AWS_ENDPOINT_URL_S3": moto.endpoint, "HOME": str(tmp_path)}
        follower = follow("s3://elsewhere/logs", env=env)
        follower.until_said("NoSuchBucket")
        moto.s3().create_bucket(Bucket="elsewhere")
        follower.until_said("it is there again")
        moto.s3().put_object(Bucket="elsewhere", Key="logs/a.json.gz", Body=log_file(records))
        until_in(node, records)
        follower.stop()
        assert follower.err.read_text().count("NoSuchBucket") == 1
    finally:
        moto.end()


def test_a_store_that_fails_is_asked_again(node, follow, tmp_path):
    moto = Moto(tmp_path)
    proxy = FaultProxy(moto.port)
    try:
        records = events(200)
        s3 = moto.s3()
        s3.create_bucket(Bucket="elsewhere")
        for number in range(20):
            s3.put_object(Bucket="elsewhere", Key=f"logs/{number}.json.gz", Body=log_file(records[10 * number : 10 * number + 10]))
        s3.put_object(Bucket="elsewhere", Key="logs/bad.json.gz", Body=b"\x1f\x8b no log file")
        down = True
        proxy.plan = lambda request: Fault.status(503, "SlowDown") if down and request.method == "GET" and ".json" in request.path else None
        env = {**node.env, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}", "HOME": str(tmp_path)}
        follower = follow("s3://elsewhere/logs", env=env)
        follower.until_said("SlowDown")
        down = False
        until_in(node, records)
        follower.until_said("bad.json.gz: ")
        assert follower.stop().startswith("200 events from 20 files; 0 were there already")
        said = follower.err.read_text()
        assert said.count("SlowDown") == 1 and said.count("bad.json.gz") == 1, said
    finally:
        proxy.end()
        moto.end()


@pytest.mark.slow
def test_of_a_large_bucket_today_is_listed_more_often_than_all(node, follow, tmp_path):
    moto = Moto(tmp_path)
    proxy = FaultProxy(moto.port)
    try:
        records = events(40)
        s3 = moto.s3()
        s3.create_bucket(Bucket="elsewhere")
        root = "AWSLogs/111111111111/CloudTrail/us-east-1"
        today = datetime.now(timezone.utc).strftime("%Y/%m/%d")

        def put(key: str, some: list[dict]) -> None:
            s3.put_object(Bucket="elsewhere", Key=f"{root}/{key}", Body=log_file(some))

        # Two pages: all is listed every second time.
        for number in range(1001):
            put(f"2020/01/01/{number}.json.gz", records[:10])
        put(f"{today}/first.json.gz", records[10:20])
        env = {**node.env, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}", "HOME": str(tmp_path)}
        follower = follow("s3://elsewhere/AWSLogs/", every="1s", env=env)
        until_in(node, records[:20], wait=120)

        def lists(part: str) -> int:
            return sum("list-type=2" in request.path and part in request.path for request in proxy.requests)

        only_today = "%2F" + today.replace("/", "%2F") + "%2F"
        until(lambda: lists(only_today) > 0)
        put(f"{today}/second.json.gz", records[20:30])
        put("2020/01/01/late.json.gz", records[30:])
        until_in(node, records)
        until(lambda: lists(only_today) > 1)
        follower.stop()
        assert follower.err.read_text() == ""
    finally:
        proxy.end()
        moto.end()


def test_nothing_is_lost_or_doubled_when_the_client_is_killed_at_any_moment(node, follow, logs):
    records = events(600)
    chance = random.Random(7)
    for turn in range(10):
        follower = follow(logs, every="20ms")
        for number in range(3):
            at = 60 * turn + 20 * number
            (logs / f"{turn}-{number}.json.gz").write_bytes(log_file(records[at : at + 20]))
            (logs / "all.ndjson").open("ab").write(ndjson(records[at : at + 20]))
        # Not an assertion: any moment will do, and each is another one.
        time.sleep(chance.random() * 0.6)
        follower.kill()
    last = follow(logs)
    until_in(node, records)
    last.stop()


@pytest.mark.slow
def test_nothing_is_lost_or_doubled_when_both_are_killed_again_and_again(node, follow, logs):
    chance = random.Random(11)
    records, follower = [], follow(logs, every="20ms")
    for turn in range(100):
        for number in range(3):
            some = events(1000)
            records += some
            (logs / f"{turn}-{number}.json.gz").write_bytes(log_file(some[:700]))
            with (logs / f"grown-{turn % 7}.ndjson").open("ab") as file:
                file.write(ndjson(some[500:]))
        # Not an assertion: any moment will do, and each is another one.
        time.sleep(chance.random() * 0.8)
        if turn % 4 == 3:
            node.kill()
        follower.kill()
        if turn % 4 == 3:
            node.start()
        follower = follow(logs, every="20ms")
    until_in(node, records, wait=300)
    follower.stop()


def test_a_server_that_is_killed_is_waited_for(node, follow, logs):
    records = events(80)
    (logs / "a.json.gz").write_bytes(log_file(records[:20]))
    follower = follow(logs)
    until_in(node, records[:20])
    node.kill()
    (logs / "b.json.gz").write_bytes(log_file(records[20:40]))
    follower.until_said("waiting for it")
    node.start()
    until_in(node, records[:40])
    follower.until_said("the server is there again")
    for number in range(2, 4):
        (logs / f"{number}.json.gz").write_bytes(log_file(records[20 * number : 20 * number + 20]))
        node.kill()
        node.start()
    until_in(node, records)
    follower.stop()


def test_a_follower_may_start_before_the_server_and_the_source(node, follow, logs):
    records = events(10)
    node.kill()
    follower = follow(logs / "later")
    follower.until_said("waiting for it")
    node.start()
    follower.until_said("No such file")
    (logs / "later").mkdir()
    (logs / "later" / "a.json").write_text(json.dumps({"Records": records}))
    until_in(node, records)
    follower.stop()


def test_a_file_that_is_still_being_written_is_waited_for_in_silence(node, follow, logs):
    records = events(400)
    body = log_file(records)
    follower = follow(logs, every="1s")
    with (logs / "slow.json.gz").open("wb") as file:
        for at in range(0, len(body), len(body) // 20):
            file.write(body[at : at + len(body) // 20])
            file.flush()
            time.sleep(0.1)
    until_in(node, records)
    follower.stop()
    assert follower.err.read_text() == ""


def test_a_bad_file_is_named_once_and_taken_when_it_is_mended(node, follow, logs):
    records = events(40)
    body = log_file(records[:20])
    (logs / "cut.json.gz").write_bytes(body[:-20])
    (logs / "good.json.gz").write_bytes(log_file(records[20:]))
    half = {"Records": [*records[:5], {"no": "event"}]}
    (logs / "half.json").write_text(json.dumps(half, indent=1))
    follower = follow(logs, every="50ms")
    follower.until_said("cut.json.gz: ")
    follower.until_said("half.json: 1 records were refused")
    until_in(node, records[20:] + records[:5])
    (logs / "later.json.gz").write_bytes(log_file(records[21:]))
    follower.until_said("19 were there already")
    (logs / "cut.json.gz").write_bytes(body)
    until_in(node, records)
    assert follower.stop().startswith("40 events")
    said = follower.err.read_text()
    assert said.count("cut.json.gz") == 1 and "cut short" in said, said
    assert said.count("half.json") == 1 and len(said.splitlines()) == 2, said


def test_stopped_in_its_work_it_ends_after_the_files_on_their_way(node, follow, logs):
    records = events(6000)
    for number in range(300):
        (logs / f"{number}.json.gz").write_bytes(log_file(records[20 * number : 20 * number + 20]))
    first = follow(logs)
    first.until_said("following")
    begun = first.stop()
    second = follow(logs)
    until_in(node, records)
    ended = second.stop()
    counts = [[int(count.replace(",", "")) for count in re.findall(r"^([\d,]+) events from ([\d,]+) files; 0 were there already", said)[0]] for said in (begun, ended)]
    assert [sum(count) for count in zip(*counts)] == [6000, 300], (begun, ended)


def test_what_cannot_work_is_said_at_once(node, follow, logs):
    follower = follow(logs)
    follower.until_said("following")
    second = follow(logs)
    assert second.process.wait(timeout=60) == 1 and "another `cairn follow`" in second.said()
    wrong = node.run("follow", str(logs), "--into", "nonesuch", "--data", str(node.data))
    assert wrong.returncode == 1 and "audit" in wrong.stderr
    wrong = node.run("follow", str(logs), "--every", "5", "--data", str(node.data))
    assert wrong.returncode == 2 and "5s" in wrong.stderr
    assert "cairn follow s3://" in node.run("follow", "--help").stdout
    assert follower.stop().startswith("0 events")
