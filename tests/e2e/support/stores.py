"""An S3 store of others: moto's server on a free port."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import boto3
import botocore.config

from .wire import quiet_port

KEY_ID = "AKIDOFTHECONFIG12345"
SECRET = "secret-of-the-configuration"


class Moto:
    def __init__(self, folder: Path):
        program = shutil.which("moto_server") or str(Path(sys.executable).with_name("moto_server"))
        self.port = quiet_port()
        self.process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=open(folder / "moto.log", "ab"),
            env={k: v for k, v in os.environ.items() if not k.startswith("AWS_")},
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None, (folder / "moto.log").read_text()
                time.sleep(0.2)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def s3(self):
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test",
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def destination(endpoint: str, virtual_host_style: bool = False, region: str = "us-east-1", secret: str = SECRET) -> str:
    """The configuration that delivers there."""
    return f"""
[destination]
endpoint = "{endpoint}"
region = "{region}"
access_key_id = "{KEY_ID}"
secret_access_key = "{secret}"
virtual_host_style = {str(virtual_host_style).lower()}
"""
