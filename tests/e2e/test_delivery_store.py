"""The delivery crate's way to a store, against a store that is not ours (moto's server)."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import boto3
import pytest

REPO = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def endpoint():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    moto = pathlib.Path(sys.executable).with_name("moto_server")
    server = subprocess.Popen([moto, "-H", "127.0.0.1", "-p", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, "the store ended"
                time.sleep(0.1)
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="not-to-be-shown",
        )
        client.create_bucket(Bucket="audit-logs")
        yield url, client
    finally:
        server.terminate()
        server.wait()


def test_objects_reach_a_real_store_with_awss_headers(endpoint):
    url, client = endpoint
    test = "a_real_store_keeps_what_was_put"
    command = ["cargo", "test", "--quiet", "--workspace", "--lib", test]
    subprocess.run(command, cwd=REPO, env={**os.environ, "CAIRN_TEST_S3": url}, check=True)
    head = client.head_object(Bucket="audit-logs", Key="pages/0000")
    assert head["ContentType"] == "application/json"
    assert head["ContentEncoding"] == "gzip"
    assert head["Metadata"] == {"signature": "ab" * 256}
    assert head["ServerSideEncryption"] == "AES256"
    listed = client.list_objects_v2(Bucket="audit-logs", Prefix="a b/")["Contents"]
    marker = "a b/ü+(1)=&/AWSLogs/111122223333/CloudTrail-Digest/"
    assert [(entry["Key"], entry["Size"]) for entry in listed] == [(marker, 0)]
