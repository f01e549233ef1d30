"""SigV4 at the doors of a running server: botocore's requests come in, changed ones do not.
"""

import datetime
import http.client
import os
import shutil
import subprocess
import urllib.parse
from unittest import mock

import botocore.session
import pytest
from botocore.auth import S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest

from conftest import Node

REGION = "us-east-1"
ENDPOINT = HOST = ""  # set by the fixture `server`
TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.ListTrails"


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    """One server for the whole file."""
    global ENDPOINT, HOST
    node = Node(tmp_path_factory.mktemp("sigv4")).start()
    ENDPOINT = node.endpoint
    HOST = urllib.parse.urlsplit(ENDPOINT).netloc
    with mock.patch.dict(os.environ, node.env):
        yield node
    node.end()


@pytest.fixture(scope="module")
def credentials(server):
    return botocore.session.Session().get_credentials().get_frozen_credentials()


def signed(credentials, service="cloudtrail", region=REGION, seconds_ago=0, body=b"{}"):
    """The headers of a signed ListTrails call."""
    request = AWSRequest("POST", f"{ENDPOINT}/", data=body)
    request.headers["Content-Type"] = "application/x-amz-json-1.1"
    request.headers["X-Amz-Target"] = TARGET
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    then = now - datetime.timedelta(seconds=seconds_ago)
    with mock.patch("botocore.auth.get_current_datetime", return_value=then):
        SigV4Auth(credentials, service, region).add_auth(request)
    return [("Host", HOST), *request.headers.items()]


def send(headers, method="POST", target="/", body=b"{}"):
    """Sends exactly these headers; answers status and body."""
    connection = http.client.HTTPConnection(HOST, timeout=30)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    return response.status, response.read().decode()


def test_what_botocore_signs_comes_in(credentials):
    status, body = send(signed(credentials))
    assert status == 200, body


@pytest.mark.parametrize("seconds_ago, admitted", [(840, True), (960, False), (-840, True), (-960, False)])
def test_fifteen_minutes_either_way(credentials, seconds_ago, admitted):
    status, body = send(signed(credentials, seconds_ago=seconds_ago))
    assert (status == 200) is admitted, body
    if not admitted:
        assert "InvalidSignatureException" in body
        assert "Signature expired" in body or "Signature not yet current" in body


def test_no_changed_byte_comes_in(credentials):
    headers = signed(credentials)
    tried = 0
    for at, (name, value) in enumerate(headers):
        # A comma's blank in Authorization is free; a changed length or host breaks HTTP itself.
        for where in range(0, len(value), 3):
            if value[where] == " " or name == "Host":
                continue
            other = chr(ord(value[where]) ^ 1)
            changed = headers.copy()
            changed[at] = (name, value[:where] + other + value[where + 1 :])
            status, body = send(changed)
            assert status in (400, 403), f"{name}: {changed[at][1]} came in: {body}"
            tried += 1
    assert tried > 100
    assert send(headers, body=b"[}")[0] == 400
    assert send(headers, target="/?a=1")[0] == 400
    assert send(headers, method="PUT")[0] >= 400


def test_the_answers_have_awss_codes(credentials):
    unknown = credentials._replace(access_key="AKIANOBODYNOBODYNOBO")
    assert "UnrecognizedClientException" in send(signed(unknown))[1]
    wrong = credentials._replace(secret_key="wrong")
    assert "InvalidSignatureException" in send(signed(wrong))[1]
    assert "InvalidSignatureException" in send(signed(credentials, service="s3"))[1]
    bare = [pair for pair in signed(credentials) if pair[0] != "Authorization"]
    assert "MissingAuthenticationTokenException" in send(bare)[1]
    doubled = [*signed(credentials), ("X-Amz-Target", TARGET)]
    assert "IncompleteSignatureException" in send(doubled)[1]


def test_a_presigned_object_is_reached_and_its_neighbour_is_not(credentials):
    session = botocore.session.Session()
    s3 = session.create_client("s3", endpoint_url=ENDPOINT, region_name=REGION)
    s3.create_bucket(Bucket="sigv4-e2e")
    s3.put_object(Bucket="sigv4-e2e", Key="a b", Body=b"hello")
    request = AWSRequest("GET", f"{ENDPOINT}/sigv4-e2e/a%20b")
    S3SigV4QueryAuth(credentials, "s3", REGION, expires=60).add_auth(request)
    target = request.url.removeprefix(ENDPOINT)
    assert send([("Host", HOST)], "GET", target, b"") == (200, "hello")
    assert send([("Host", HOST)], "GET", target.replace("a%20b", "a%20c"), b"")[0] == 403
    assert send([("Host", HOST)], "GET", target.replace("Expires=60", "Expires=61"), b"")[0] == 403


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_comes_in(credentials):
    command = [
        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{ENDPOINT}/", "-d", "{}",
        "--aws-sigv4", f"aws:amz:{REGION}:cloudtrail",
        "-H", "Content-Type: application/x-amz-json-1.1", "-H", f"X-Amz-Target: {TARGET}",
        "--config", "-",
    ]
    # The key goes through a pipe: arguments can be seen by every user of the machine.
    config = f'user = "{credentials.access_key}:{credentials.secret_key}"\n'
    done = subprocess.run(command, input=config, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "200"
