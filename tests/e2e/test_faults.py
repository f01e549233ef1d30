"""Stores that fail, disks that fill, clocks that jump, ports that are taken: always a clear error,
nothing acknowledged is lost, nothing is delivered twice."""

import contextlib
import os
import resource
import socket
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pytest

from conftest import Node, binary, list_keys, log_file_keys, make_event, make_trail, ndjson, until
from support.clock import Clock, needs_faketime
from support.digests import digest_keys, read_digest, tally, until_attested, until_still, validate_logs
from support.fault_proxy import Fault, FaultProxy
from support.disk import fill, small_disk
from support.load import Load, duplicates
from support.stores import Moto, destination
from support.trail import both_ends, post, start_trail, status
from support.wire import quiet_port

QUICK = 'flush_interval = "300ms"\ndigest_interval = "1s"\n'


@pytest.fixture(scope="module")
def moto(tmp_path_factory):
    store = Moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.end()


@pytest.fixture
def proxy(moto):
    proxy = FaultProxy(moto.port)
    yield proxy
    proxy.end()


@pytest.fixture
def bucket(moto, request):
    name = f"faulty-{abs(hash(request.node.name)) % 10**8}"
    moto.s3().create_bucket(Bucket=name)
    return name


def until_delivered(s3, bucket, ids, wait: float = 60) -> None:
    """Each in exactly one log file, once."""
    seen: dict = {}

    def there():
        counts = tally(s3, bucket, seen)
        twice = duplicates({i: counts[i] for i in ids if counts[i]})
        assert not twice, twice
        return all(counts[i] for i in ids)

    try:
        until(there, wait=wait, every=0.3)
    except AssertionError:
        counts = tally(s3, bucket, seen)
        missing = [i for i in ids if not counts[i]]
        raise AssertionError(f"{len(missing)} of {len(ids)} events are not there after {wait} s, such as {missing[:3]}") from None


STORE_FAULTS = {
    "500": (Fault.status(500, "InternalError"), "InternalError"),
    "503": (Fault.status(503, "SlowDown"), "SlowDown"),
    "403": (Fault.status(403, "AccessDenied"), "AccessDenied"),
    "404": (Fault.status(404, "NoSuchBucket"), "NoSuchBucket"),
    "400": (Fault.status(400, "RequestTimeTooSkewed"), "RequestTimeTooSkewed"),
    "reset before": (Fault("reset"), "ConnectionReset"),
    "answer lost": (Fault("lose"), "ConnectionReset"),
    "answer torn": (Fault("tear"), None),
}


@pytest.mark.parametrize("name", STORE_FAULTS)
def test_a_failing_store_delays_and_nothing_else(node_with, moto, proxy, bucket, name):
    fault, code = STORE_FAULTS[name]
    node = node_with(config=QUICK + destination(proxy.endpoint))
    arn = start_trail(node, bucket)
    s3 = moto.s3()
    before = post(node)
    until_delivered(s3, bucket, before)
    assert "LatestDeliveryError" not in status(node)

    proxy.plan = lambda request: fault if request.is_log_file or request.is_digest else None
    during = post(node)
    if code is not None:
        until(lambda: status(node).get("LatestDeliveryError") == code)
        until(lambda: status(node).get("LatestDigestDeliveryError") == code)
    until(lambda: len([r for r in proxy.faults() if r.is_log_file]) >= 2)
    during |= post(node)
    assert node.health() == 200, "a failing store is no reason to refuse events"

    proxy.heal()
    until_delivered(s3, bucket, before | during)
    until(lambda: "LatestDeliveryError" not in status(node) and "LatestDigestDeliveryError" not in status(node), wait=60)
    until_attested(s3, bucket)
    # What was tried again was the same, byte for byte.
    sent: dict = {}
    for request in proxy.requests:
        if request.is_log_file or request.is_digest:
            sent.setdefault(request.path, set()).add(request.sha256)
    assert all(len(hashes) == 1 for hashes in sent.values())
    result = validate_logs(node, arn, env=both_ends(node, moto))
    assert result.is_good, result.text


@pytest.mark.slow
def test_a_store_that_stalls_is_given_up_on_and_tried_again(node_with, moto, proxy, bucket):
    node = node_with(config=QUICK + destination(proxy.endpoint))
    start_trail(node, bucket)
    s3 = moto.s3()
    proxy.plan = lambda request: Fault("stall", seconds=600) if request.is_log_file else None
    ids = post(node)
    until(lambda: status(node).get("LatestDeliveryError") == "Timeout", wait=180, every=1)
    proxy.heal()
    until_delivered(s3, bucket, ids, wait=180)


def test_a_store_that_goes_away_and_comes_back(node_with, tmp_path_factory):
    """The machine is off: connections are refused."""
    store = Moto(tmp_path_factory.mktemp("brief-moto"))
    proxy = FaultProxy(store.port, quiet_port())
    try:
        node = node_with(config=QUICK + destination(proxy.endpoint))
        store.s3().create_bucket(Bucket="here-today")
        start_trail(node, "here-today")
        s3 = store.s3()
        ids = post(node)
        until_delivered(s3, "here-today", ids)
        port = proxy.port
        proxy.end()
        ids |= post(node)
        until(lambda: status(node).get("LatestDeliveryError") == "ConnectionRefused")
        ids |= post(node)
        assert node.stop() == 0, "a store that is away must not keep the server from stopping"
        node.start()
        assert node.health() == 200
        ids |= post(node)
        proxy = FaultProxy(store.port, port)
        until_delivered(s3, "here-today", ids)
        until(lambda: "LatestDeliveryError" not in status(node))
    finally:
        proxy.end()
        store.end()


def test_a_fickle_store_gets_everything_once(node_with, moto, proxy, bucket):
    """A third of all requests fail, each time in another way."""
    import random

    dice = random.Random(20260102)
    kinds = [Fault.status(500, "InternalError"), Fault.status(503, "SlowDown"), Fault("reset"), Fault("lose"), Fault("tear")]
    node = node_with(config=QUICK + destination(proxy.endpoint))
    arn = start_trail(node, bucket)
    proxy.plan = lambda request: dice.choice(kinds) if dice.random() < 0.33 and (request.is_log_file or request.is_digest) else None
    ids: set[str] = set()
    for _ in range(15):
        ids |= post(node, 20)
        time.sleep(0.4)
    s3 = moto.s3()
    proxy.plan = lambda request: dice.choice(kinds) if dice.random() < 0.1 and (request.is_log_file or request.is_digest) else None
    until_delivered(s3, bucket, ids, wait=120)
    assert len(proxy.faults()) >= 3
    proxy.heal()
    until_attested(s3, bucket, wait=120)
    result = validate_logs(node, arn, env=both_ends(node, moto))
    assert result.is_good, result.text


def test_one_bucket_that_fails_does_not_hold_up_the_other_trail(node_with, moto, proxy, bucket):
    node = node_with(config=QUICK + destination(proxy.endpoint))
    s3 = moto.s3()
    bad = bucket + "-bad"
    s3.create_bucket(Bucket=bad)
    start_trail(node, bucket)
    cloudtrail = node.client("cloudtrail")
    cloudtrail.create_trail(Name="other", S3BucketName=bad)
    cloudtrail.start_logging(Name="other")
    proxy.plan = lambda request: Fault.status(503, "SlowDown") if request.path.startswith(f"/{bad}/") else None
    ids: set[str] = set()
    for _ in range(10):
        ids |= post(node)
        time.sleep(0.4)
    until_delivered(s3, bucket, ids, wait=15)
    assert cloudtrail.get_trail_status(Name="other")["LatestDeliveryError"] == "SlowDown"
    assert "LatestDeliveryError" not in status(node)
    proxy.heal()
    until_delivered(s3, bad, ids, wait=90)


def test_kills_while_the_store_loses_answers_deliver_everything_once(node_with, moto, proxy, bucket):
    """The worst moment: the put is applied, its answer is lost, and then so is the process."""
    node = node_with(config=QUICK + destination(proxy.endpoint))
    node.stop()
    node.port = quiet_port()
    node.start()
    arn = start_trail(node, bucket)
    ids: set[str] = set()
    proxy.plan = lambda request: Fault("lose") if request.is_log_file or request.is_digest else None
    for _ in range(4):
        seen = len(proxy.faults("lose"))
        ids |= post(node)
        until(lambda: len(proxy.faults("lose")) > seen)
        node.kill()
        node.start()
    proxy.heal()
    s3 = moto.s3()
    until_delivered(s3, bucket, ids, wait=90)
    until_attested(s3, bucket)
    assert validate_logs(node, arn, env=both_ends(node, moto)).is_good


@pytest.mark.parametrize("what", ["log file", "digest"])
@pytest.mark.parametrize("moment", ["before it is sent on", "applied and not answered", "answered"])
def test_a_kill_at_each_step_of_a_put(tmp_path, moto, proxy, bucket, what, moment):
    node = Node(tmp_path, config=QUICK + destination(proxy.endpoint))
    node.port = quiet_port()
    node.start()
    try:
        arn = start_trail(node, bucket)
        ids = post(node, 1)
        s3 = moto.s3()
        until_delivered(s3, bucket, ids)
        killed = []

        def kill_at(request) -> bool:
            if killed or not (request.is_log_file if what == "log file" else request.is_digest):
                return False
            killed.append(request.path)
            node.process.kill()
            return True

        def plan(request):
            if moment == "answered" or not kill_at(request):
                return None
            return Fault("lose") if moment.startswith("applied") else Fault("reset")

        proxy.plan = plan
        if moment == "answered":
            proxy.after = lambda request: kill_at(request) and None
        with contextlib.suppress(Exception):
            ids |= post(node)
        until(lambda: killed)
        node.process.wait()
        proxy.heal()
        node.start()
        ids |= post(node)
        until_delivered(s3, bucket, ids)
        assert not duplicates(tally(s3, bucket))
        until_attested(s3, bucket)
        result = validate_logs(node, arn, env=both_ends(node, moto))
        assert result.is_good, result.text
        hashes = {r.sha256 for r in proxy.requests if r.path == killed[0]}
        assert len(hashes) == 1
    finally:
        node.end()


# --- the embedded store --------------------------------------------------------------------------

def empty_and_delete(s3, bucket) -> None:
    for _ in range(50):
        for key in list_keys(s3, bucket):
            s3.delete_object(Bucket=bucket, Key=key)
        try:
            s3.delete_bucket(Bucket=bucket)
            return
        except s3.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "BucketNotEmpty", error
    raise AssertionError("deliveries refill the bucket faster than it is emptied")


def test_a_bucket_deleted_under_a_logging_trail_and_made_again(node):
    make_trail(node)
    s3 = node.client("s3")
    first = post(node)
    until_delivered(s3, "audit-logs", first)
    empty_and_delete(s3, "audit-logs")
    second = post(node)
    until(lambda: status(node).get("LatestDeliveryError") == "NoSuchBucket")
    until(lambda: status(node).get("LatestDigestDeliveryError") == "NoSuchBucket")
    assert status(node)["IsLogging"] is True and node.health() == 200
    node.stop()
    node.start()
    assert status(node).get("LatestDeliveryError") == "NoSuchBucket", "the status outlives a restart"
    second |= post(node)
    s3 = node.client("s3")
    s3.create_bucket(Bucket="audit-logs")
    until_delivered(s3, "audit-logs", second, wait=90)
    until(lambda: "LatestDeliveryError" not in status(node) and "LatestDigestDeliveryError" not in status(node), wait=90)
    assert not any(tally(s3, "audit-logs")[i] for i in first), "what was delivered before is not delivered again"


def test_a_bucket_policy_that_denies_delivery(node):
    import json

    make_trail(node)
    s3 = node.client("s3")
    ids = post(node)
    until_delivered(s3, "audit-logs", ids)
    deny = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::audit-logs/*"}]}
    s3.put_bucket_policy(Bucket="audit-logs", Policy=json.dumps(deny))
    ids |= post(node)
    until(lambda: status(node).get("LatestDeliveryError") == "AccessDenied", wait=20)
    s3.delete_bucket_policy(Bucket="audit-logs")
    until_delivered(s3, "audit-logs", ids, wait=60)
    until(lambda: "LatestDeliveryError" not in status(node))


# --- disks ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("leave", [32 << 20, 0], ids=["little left", "nothing left"])
def test_a_full_disk_refuses_and_recovers_by_itself(tmp_path, leave):
    with small_disk(tmp_path / "disk", "260m") as disk:
        node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "1s")
        node.data = disk / "data"
        node.start()
        try:
            arn = make_trail(node)
            with Load(node, batch=20, rest=0.02) as load:
                until(lambda: len(load.acknowledged) >= 200)
                fill(disk, leave)
                until(lambda: load.refused, wait=20)
                code, answer = load.refused[0]
                assert code == 503 and answer["accepted"] == 0 and answer["error"]["code"] == "ServiceUnavailable", answer
                until(lambda: node.health() == 503, wait=10)
                # No call may have an effect that cannot be recorded.
                cloudtrail = node.client("cloudtrail")
                with pytest.raises(Exception) as refused:
                    cloudtrail.stop_logging(Name="audit")
                assert "503" in str(refused.value) or "ServiceUnavailable" in str(refused.value)
                time.sleep(3)
                assert node.process.poll() is None, node.tail()
                count = len(load.acknowledged)
                (disk / "filler").unlink()
                until(lambda: len(load.acknowledged) > count + 100, wait=20)
            assert node.health() == 200
            s3 = node.client("s3")
            until_delivered(s3, "audit-logs", load.acknowledged, wait=60)
            counts = tally(s3, "audit-logs")
            assert not duplicates(counts)
            assert all(counts[i] <= 1 for i in load.unanswered)
            until_attested(s3, "audit-logs")
            assert validate_logs(node, arn).is_good
            assert node.client("cloudtrail").get_trail_status(Name="audit")["IsLogging"] is True
        finally:
            node.end()


def test_a_kill_on_a_full_disk_recovers_when_space_is_back(tmp_path):
    with small_disk(tmp_path / "disk", "260m") as disk:
        node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "1s")
        node.data = disk / "data"
        node.port = quiet_port()
        node.start()
        try:
            arn = make_trail(node)
            ids = post(node, 100)
            fill(disk, 0)
            code, answer = node.post(ndjson([make_event()]))
            assert code == 503, answer
            node.kill()
            try:
                node.start(wait=10)
                assert node.health() in (200, 503)
            except RuntimeError as error:
                # Refusing to start is honest, too, if it says why.
                assert "space" in str(error) or "full" in str(error), error
            (disk / "filler").unlink()
            if node.process.poll() is not None:
                node.start()
            until(lambda: node.health() == 200, wait=10)
            ids |= post(node, 10)
            s3 = node.client("s3")
            until_delivered(s3, "audit-logs", ids)
            until_attested(s3, "audit-logs")
            assert validate_logs(node, arn).is_good
        finally:
            node.end()


# --- starting ------------------------------------------------------------------------------------

def start_fails(*arguments: str, **more) -> str:
    """What the server says when it cannot start; it ends by itself, soon, and not by a panic."""
    done = subprocess.run([binary(), "serve", *arguments], capture_output=True, text=True, timeout=30, **more)
    assert done.returncode not in (0, 101) and done.returncode > 0, (done.returncode, done.stderr)
    assert "panicked" not in done.stderr
    assert len(done.stderr.splitlines()) < 20, done.stderr
    return done.stderr


def test_a_read_only_data_folder_is_a_clear_error(tmp_path):
    with small_disk(tmp_path / "disk", "10m") as disk:
        (disk / "data").mkdir()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for folder in (disk / "data", disk / "new"):
            text = start_fails("--data", str(folder), "--listen", "127.0.0.1:0")
            assert str(folder) in text, text
            assert "Read-only file system" in text or "read-only" in text, text


def test_a_folder_without_rights_is_a_clear_error(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    folder = tmp_path / "mine"
    folder.mkdir(mode=0o555)
    assert "ermission" in start_fails("--data", str(folder / "data"), "--listen", "127.0.0.1:0")


def test_a_data_folder_that_is_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "data").write_text("a file")
    text = start_fails("--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    assert str(tmp_path / "data") in text


def test_a_taken_port_is_a_clear_error(node, tmp_path):
    text = start_fails("--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{node.port}")
    assert str(node.port) in text and "--listen" in text, text
    assert node.health() == 200


def test_a_second_server_on_the_same_data_is_a_clear_error(node):
    before = (node.data / "node.json").read_text()
    text = start_fails("--data", str(node.data), "--listen", "127.0.0.1:0")
    assert "another" in text or "in use" in text or "locked" in text, text
    assert str(node.data) in text, text
    assert (node.data / "node.json").read_text() == before, "the first server's address stays"
    ids = post(node)
    make_trail(node)
    assert ids and node.health() == 200


@pytest.mark.parametrize("name", ["journal", "catalog.sqlite", "credentials"])
def test_damaged_state_is_a_clear_error_or_survived(node, name):
    """Half of a file overwritten with noise: no panic, no silent loss of what is said to be there."""
    make_trail(node)
    post(node)
    s3 = node.client("s3")
    until(lambda: log_file_keys(s3, "audit-logs"))
    node.stop()
    path = node.data / name
    target = path if path.is_file() else max((p for p in path.iterdir() if p.is_file()), key=lambda p: p.stat().st_size)
    body = bytearray(target.read_bytes())
    for place in range(16, min(len(body), 40_000), 7):
        body[place] = 0xA5
    target.write_bytes(bytes(body))
    try:
        node.start(wait=15)
        until(lambda: node.health() in (200, 503))
    except (RuntimeError, UnicodeDecodeError, KeyError):
        pass
    assert "panicked" not in node.tail(), node.tail()
    if node.process.poll() is not None:
        assert node.process.returncode != 0
        assert name in node.tail() or str(target) in node.tail() or "credential" in node.tail(), node.tail()


# --- stopping ------------------------------------------------------------------------------------

def test_sigterm_under_load_stops_cleanly_and_loses_nothing(tmp_path):
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "1s")
    node.port = quiet_port()
    node.start()
    try:
        arn = make_trail(node)
        with Load(node) as one, Load(node) as two:
            for _ in range(3):
                until(lambda: len(one.acknowledged) > 300 or len(one.refused) > 3)
                time.sleep(0.3)
                started = time.monotonic()
                assert node.stop(wait=30) == 0, node.tail()
                assert time.monotonic() - started < 20
                node.start()
                one.acknowledged and time.sleep(0.3)
        acknowledged = one.acknowledged | two.acknowledged
        s3 = node.client("s3")
        until_delivered(s3, "audit-logs", acknowledged)
        counts = tally(s3, "audit-logs")
        assert not duplicates(counts)
        assert not one.unanswered | two.unanswered, "a clean stop finishes the requests it has taken"
        until_attested(s3, "audit-logs")
        assert validate_logs(node, arn).is_good
        assert "panicked" not in node.log.read_text(errors="replace")
    finally:
        node.end()


def test_sigint_and_a_second_sigterm_stop_too(node):
    import signal

    node.process.send_signal(signal.SIGINT)
    node.process.send_signal(signal.SIGTERM)
    assert node.process.wait(timeout=30) == 0


def test_clients_that_never_finish_do_not_hold_up_a_stop(node):
    """Half a request, an idle connection, and one that reads nothing of its answer."""
    half, idle, deaf = (socket.create_connection(("127.0.0.1", node.port)) for _ in range(3))
    try:
        half.sendall(f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.token}\r\nContent-Length: 1000\r\n\r\nhalf".encode())
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        ids = post(node, 3)
        assert ids
        time.sleep(0.5)
        started = time.monotonic()
        assert node.stop(wait=40) == 0, node.tail()
        assert time.monotonic() - started < 20
    finally:
        for connection in (half, idle, deaf):
            connection.close()


# --- too little of everything else ---------------------------------------------------------------

def test_running_out_of_file_descriptors_is_survived(tmp_path):
    """Accepting, spooling, delivering: each may fail for lack of a descriptor, and goes on later."""
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "2s")
    node.start()
    try:
        arn = make_trail(node)
        with Load(node, rest=0.02) as load:
            until(lambda: len(load.acknowledged) > 100)
            used = len(os.listdir(f"/proc/{node.process.pid}/fd"))
            limits = resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (used + 2, limits[1]))
            held = []
            with contextlib.suppress(OSError):
                held = [socket.create_connection(("127.0.0.1", node.port), timeout=1) for _ in range(20)]
            time.sleep(4)
            assert node.process.poll() is None, node.tail()
            for connection in held:
                connection.close()
            resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, limits)
            count = len(load.acknowledged)
            until(lambda: len(load.acknowledged) > count + 100)
        s3 = node.client("s3")
        until_delivered(s3, "audit-logs", load.acknowledged)
        assert not duplicates(tally(s3, "audit-logs"))
        until_attested(s3, "audit-logs")
        assert validate_logs(node, arn).is_good
        assert "panicked" not in node.log.read_text(errors="replace")
    finally:
        node.end()


# --- clocks --------------------------------------------------------------------------------------

@needs_faketime
@pytest.mark.parametrize("jump", ["+1h", "-1h"])
def test_a_clock_that_jumps_an_hour_and_comes_back(tmp_path, jump):
    """The wall clock alone; validate-logs is content over the whole of it, and every event is there once."""
    clock = Clock(tmp_path)
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "10s", env=clock.env)
    node.start()
    try:
        arn = make_trail(node)
        s3 = node.client("s3")
        ids = post(node)
        until_delivered(s3, "audit-logs", ids)
        clock.set(jump)
        # Signed requests are refused now, for our clock and the server's differ; tokens are not.
        ids |= post(node)
        time.sleep(3)
        with pytest.raises(Exception) as refused:
            node.client("cloudtrail").list_trails()
        assert "Signature" in str(refused.value) or "skew" in str(refused.value).lower() or "expired" in str(refused.value).lower(), refused.value
        ids |= post(node)
        time.sleep(2)
        clock.set("+0")
        ids |= post(node)
        until_delivered(s3, "audit-logs", ids)
        if jump == "+1h":
            # Digests have been made up to an hour ahead; the next is due only then. Stopping ends the chain.
            node.client("cloudtrail").stop_logging(Name="audit")
            until_still(s3, "audit-logs", quiet=6)
        else:
            until_attested(s3, "audit-logs", wait=90)
        ends = [read_digest(s3, "audit-logs", key)["digestEndTime"] for key in digest_keys(s3, "audit-logs")]
        assert len(set(ends)) == len(ends), "no two digests of one moment"
        later = (datetime.now(timezone.utc) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        result = validate_logs(node, arn, "--end-time", later)
        assert result.is_good, result.text
    finally:
        node.end()


@needs_faketime
def test_a_clock_that_jumps_a_month_while_the_store_fails_drops_nothing(tmp_path, moto, proxy, bucket):
    """The 30 days after which a file is given up have not passed because a clock was wrong for a moment."""
    clock = Clock(tmp_path)
    node = Node(tmp_path, config='flush_interval = "300ms"\ndigest_interval = "6h"\n' + destination(proxy.endpoint), env=clock.env)
    node.start()
    try:
        start_trail(node, bucket)
        proxy.plan = lambda request: Fault.status(503, "SlowDown") if request.is_log_file else None
        ids = post(node)
        until(lambda: len([r for r in proxy.faults() if r.is_log_file]) >= 2)
        clock.set("+40d")
        seen = len(proxy.faults())
        until(lambda: len([r for r in proxy.faults()[seen:] if r.is_log_file]) >= 1, wait=60)
        time.sleep(1)
        clock.set("+0")
        proxy.heal()
        until_delivered(moto.s3(), bucket, ids, wait=40)
    finally:
        node.end()


@needs_faketime
def test_a_restart_with_the_clock_an_hour_back_keeps_the_chain(tmp_path):
    node = Node(tmp_path, "--flush-interval", "300ms", "--digest-interval", "5s")
    from support.clock import wrong_clock

    node.extra_env = wrong_clock("+10m")
    node.port = quiet_port()
    node.start()
    try:
        s3 = node.client("s3")
        arn = make_trail(node)
        ids = post(node)
        until_delivered(s3, "audit-logs", ids)
        until_attested(s3, "audit-logs")
        node.stop()
        node.extra_env = {}
        node.start()
        ids |= post(node)
        until_delivered(s3, "audit-logs", ids)
        later = (datetime.now(timezone.utc) + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
        result = validate_logs(node, arn, "--end-time", later)
        assert result.is_good, result.text
    finally:
        node.end()
