"""Garage, a distributed S3 store of others (https://garagehq.deuxfleurs.fr), as a single node on free ports.

It judges what moto does not: signatures over the real host and Region, each key's rights on each
bucket, quotas, and what is left after it was killed.

    OWNER           reads and writes: what a test looks with
    stores.KEY_ID   may only write: what Cairn delivers with
    `admit`         lets the key of a node read, because the AWS CLI asks Cairn and the store with one key

The virtual-host names are BUCKET.store.invalid, which no DNS knows: reach them through a FaultProxy.
"""

import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

import boto3
import botocore.config
import botocore.exceptions

from .stores import KEY_ID, SECRET
from .wire import quiet_port

OWNER = ("GKowner-of-the-store", "secret-of-the-owner-of-the-store")
DOMAIN = "store.invalid"
BUILT = Path.home() / ".cache/cairn/tools/bin/garage"


def garage_binary() -> str:
    for path in (os.environ.get("CAIRN_GARAGE"), shutil.which("garage"), str(BUILT)):
        if path:
            break
    assert Path(path).exists(), f"Garage is not at {path}: `make test-slow` builds it (about 15 minutes, once), or set CAIRN_GARAGE"
    return path


class Garage:
    """`start`, `kill` as often as a test likes; data and ports stay."""

    def __init__(self, folder: Path, region: str = "us-east-1"):
        self.folder, self.region = folder, region
        self.port, rpc_port = quiet_port(), quiet_port()
        self.process = None
        self.log = folder / "garage.log"
        self.config = folder / "garage.toml"
        self.config.write_text(f"""
metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "sqlite"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc_port}"
rpc_public_addr = "127.0.0.1:{rpc_port}"
rpc_secret = "{uuid.uuid4().hex}{uuid.uuid4().hex}"

[s3_api]
api_bind_addr = "127.0.0.1:{self.port}"
s3_region = "{region}"
root_domain = ".{DOMAIN}"
""")
        self.launch()
        self.until(lambda: self.run("status", check=False).returncode == 0)
        node_id = self.run("node", "id", "-q").stdout.strip().split("@")[0]
        self.run("layout", "assign", "-z", "here", "-c", "1G", node_id)
        self.run("layout", "apply", "--version", "1")
        for key_id, secret in (OWNER, (KEY_ID, SECRET)):
            self.run("key", "import", "--yes", key_id, secret)
        self.run("key", "allow", "--create-bucket", OWNER[0])
        self.until(self.answers)

    def launch(self) -> None:
        self.process = subprocess.Popen(
            [garage_binary(), "-c", self.config, "server"], stdout=subprocess.DEVNULL, stderr=open(self.log, "ab"), env=self.env
        )

    @property
    def env(self) -> dict:
        return {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GARAGE_", "RUST_"))}

    def until(self, question, wait: float = 60) -> None:
        deadline = time.monotonic() + wait
        while not question():
            assert time.monotonic() < deadline and self.process.poll() is None, self.log.read_text(errors="replace")[-4000:]
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            self.s3().list_buckets()
            return True
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False

    def start(self) -> None:
        self.launch()
        self.until(self.answers)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """A command of Garage's own, such as `bucket info`."""
        done = subprocess.run([garage_binary(), "-c", self.config, *arguments], env=self.env, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"garage {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def s3(self, key: tuple[str, str] = OWNER):
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=self.region, aws_access_key_id=key[0], aws_secret_access_key=key[1],
            config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, connect_timeout=10, read_timeout=60),
        )

    def make_bucket(self, name: str) -> str:
        """A bucket that the owner owns and Cairn may write to."""
        self.run("bucket", "create", name)
        self.run("bucket", "allow", "--read", "--write", "--owner", name, "--key", OWNER[0])
        self.run("bucket", "allow", "--write", name, "--key", KEY_ID)
        return name

    def admit(self, node, bucket: str) -> None:
        """The node's own key may read the bucket here."""
        key_id = node.credentials["aws_access_key_id"]
        if self.run("key", "info", key_id, check=False).returncode != 0:
            self.run("key", "import", "--yes", key_id, node.credentials["aws_secret_access_key"])
        self.run("bucket", "allow", "--read", bucket, "--key", key_id)
