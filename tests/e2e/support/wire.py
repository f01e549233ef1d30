"""Requests as bytes, for what no well-behaved client would send."""

import http.client
import random
import socket
from dataclasses import dataclass

import botocore.auth
import botocore.awsrequest
import botocore.credentials

LONG_TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."
SHORT_TARGET = "CloudTrail_20131101."


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes


def send(node, method: str, path: str, body: bytes = b"", headers: dict | None = None, timeout: float = 60) -> Answer:
    """One request, its path as it is given. A server may answer and close before it has read all."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=timeout)
    try:
        try:
            connection.request(method, path, body=body, headers=headers or {})
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def signature(node, service: str, method: str, path: str, body: bytes = b"", headers: dict | None = None,
              region: str = "us-east-1", key: str | None = None, secret: str | None = None) -> dict:
    """The headers with a SigV4 signature by the node's key, or by another one."""
    credentials = botocore.credentials.Credentials(
        key or node.credentials["aws_access_key_id"], secret or node.credentials["aws_secret_access_key"]
    )
    request = botocore.awsrequest.AWSRequest(method, f"{node.endpoint}{path}", data=body, headers=dict(headers or {}))
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer(credentials, service, region).add_auth(request)
    return dict(request.headers.items())


def call(node, operation: str, body: bytes = b"{}", target: str = LONG_TARGET, **more) -> Answer:
    """A signed call to the CloudTrail API with whatever body and target."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target + operation}
    return send(node, "POST", "/", body, signature(node, "cloudtrail", "POST", "/", body, headers, **more))


def exchange(port: int, sent: bytes, wait: float = 10) -> bytes:
    """Bytes there, bytes back, until the server closes or says nothing for `wait` seconds."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.settimeout(wait)
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                received += chunk
        except (ConnectionError, TimeoutError, OSError):
            pass
    return received


def quiet_port() -> int:
    """A free port outside the range that the system gives to outgoing connections, so that nobody
    takes it while a server that wants it back is down."""
    while True:
        port = random.SystemRandom().randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
