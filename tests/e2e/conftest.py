"""A real server, real clients: each test gets its own node on a free port in a temporary folder.

CAIRN_BINARY names the program to test (the Makefile sets it).
"""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

import boto3
import botocore.config
import pytest

ROOT = Path(__file__).resolve().parents[2]


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes minutes; run by `make test-slow`")


def binary() -> str:
    path = os.environ.get("CAIRN_BINARY", str(ROOT / "target/debug/cairn"))
    assert Path(path).exists(), f"{path} is not built; run `make test`, or set CAIRN_BINARY"
    return path


def shared_data() -> Path | None:
    """The corpus of records written by others, where it is there."""
    path = Path(os.environ.get("CAIRN_SHARED_DATA", ROOT.parent / "shared/data"))
    return path if path.is_dir() else None


class Node:
    """One server and its data folder. `start`, `kill` and `stop` as often as a test likes."""

    def __init__(self, folder: Path, *arguments: str, config: str | None = None, env: dict | None = None):
        self.folder = folder
        self.data = folder / "data"
        self.arguments = list(arguments)
        self.extra_env = env or {}
        self.process = None
        self.port = 0
        self.log = folder / "server.log"
        if config is not None:
            (folder / "cairn.toml").write_text(config)
            self.arguments += ["--config", str(folder / "cairn.toml")]

    def start(self, wait: float = 30) -> "Node":
        self.process = subprocess.Popen(
            [binary(), "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", *self.arguments],
            stdout=subprocess.DEVNULL,
            stderr=open(self.log, "ab"),
            env={**os.environ, **self.extra_env},
        )
        node_file = self.data / "node.json"
        before = node_file.stat().st_mtime_ns if node_file.exists() else 0
        deadline = time.monotonic() + wait
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.tail()}")
            if node_file.exists() and (self.port or node_file.stat().st_mtime_ns != before):
                endpoint = json.loads(node_file.read_text())["endpoint"]
                self.port = int(endpoint.rsplit(":", 1)[1])
                if self.health() == 200:
                    return self
            time.sleep(0.02)
        raise RuntimeError(f"the server was not ready within {wait} s:\n{self.tail()}")

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> int:
        try:
            with urllib.request.urlopen(self.endpoint + "/health", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, wait: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=wait)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    @property
    def credentials(self) -> dict:
        lines = (self.data / "credentials").read_text().splitlines()
        return dict((part.strip() for part in line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#"))

    @property
    def token(self) -> str:
        return self.credentials["cairn_ingest_token"]

    @property
    def env(self) -> dict:
        """The environment that `cairn env` gives, for the AWS CLI."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return {
            **clean,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.data / "credentials"),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "PYTHONWARNINGS": "ignore",
        }

    def aws(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        done = subprocess.run(["aws", *arguments], env=self.env, capture_output=True, text=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"aws {' '.join(arguments)}\n{done.stdout}{done.stderr}\nserver:\n{self.tail()}")
        return done

    def aws_json(self, *arguments: str):
        return json.loads(self.aws(*arguments, "--output", "json").stdout)

    def client(self, service: str, region: str = "us-east-1", **config):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=region,
            aws_access_key_id=self.credentials["aws_access_key_id"],
            aws_secret_access_key=self.credentials["aws_secret_access_key"],
            config=botocore.config.Config(
                retries={"max_attempts": 1}, s3={"addressing_style": "path"}, **config
            ),
        )

    def post(self, body: bytes, headers: dict | None = None, token: str | None = None) -> tuple[int, dict]:
        request = urllib.request.Request(
            self.endpoint + "/v1/events",
            data=body,
            headers={"Authorization": f"Bearer {token or self.token}", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as e:
            return e.code, json.loads(e.read())

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Another command of the program, with the environment of a user of this node."""
        return subprocess.run([binary(), *arguments], env=self.env, capture_output=True, text=True, timeout=120)


def make_event(**changes) -> dict:
    """A management event such as a service of one's own would post."""
    event = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "AIDAEXAMPLE",
            "arn": "arn:aws:iam::111111111111:user/ana",
            "accountId": "111111111111",
            "userName": "ana",
        },
        "eventTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "orders.example.com",
        "eventName": "CreateOrder",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7",
        "userAgent": "orders/1.0",
        "requestParameters": {"orderId": "o-1"},
        "responseElements": None,
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": "111111111111",
        "eventCategory": "Management",
    }
    event.update(changes)
    return {key: value for key, value in event.items() if value is not ...}


def ndjson(events) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def until(question, wait: float = 30, every: float = 0.1):
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + wait
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)


def make_trail(node: Node, bucket: str = "audit-logs", name: str = "audit", **more) -> str:
    """A bucket and a logging trail with validation; returns its ARN."""
    node.client("s3").create_bucket(Bucket=bucket)
    cloudtrail = node.client("cloudtrail")
    more = {"EnableLogFileValidation": True, **more}
    arn = cloudtrail.create_trail(Name=name, S3BucketName=bucket, **more)["TrailARN"]
    cloudtrail.start_logging(Name=name)
    return arn


def list_keys(s3, bucket: str, prefix: str = "") -> list[str]:
    keys = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        keys += [item["Key"] for item in page.get("Contents", [])]
    return keys


def log_file_keys(s3, bucket: str) -> list[str]:
    return [key for key in list_keys(s3, bucket) if "/CloudTrail/" in key and key.endswith(".json.gz")]


def raw_log_file(s3, bucket: str, key: str) -> bytes:
    """The inflated bytes of a log file; exactly one gzip member with nothing after it."""
    import zlib

    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    plain = inflate.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    assert inflate.eof and inflate.unused_data == b""
    return plain


def delivered(s3, bucket: str) -> list[dict]:
    """Every record in the bucket's log files, in the order of the files."""
    records = []
    for key in log_file_keys(s3, bucket):
        plain = raw_log_file(s3, bucket, key)
        assert b"\n" not in plain
        records += json.loads(plain)["Records"]
    return records


@pytest.fixture
def node_with(tmp_path):
    """Makes nodes with arguments of the test's choice; all end with the test."""
    nodes = []

    def make(*arguments: str, **more) -> Node:
        folder = tmp_path / f"node{len(nodes)}"
        folder.mkdir()
        nodes.append(Node(folder, *arguments, **more))
        return nodes[-1].start()

    yield make
    for node in nodes:
        node.end()


@pytest.fixture
def node(node_with):
    """A node that flushes and signs quickly."""
    return node_with("--flush-interval", "500ms", "--digest-interval", "2s")
