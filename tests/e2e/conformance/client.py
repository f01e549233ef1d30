"""Signed calls with whatever JSON, over one connection, and every error that ever came back."""

import http.client
import json
import uuid
from dataclasses import dataclass
from urllib.parse import urlencode

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from support.wire import LONG_TARGET

REGION = "us-east-1"
TIME_MAX_S = 20


@dataclass
class Answer:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.json.get("__type") if self.status != 200 else None

    @property
    def message(self) -> str:
        return self.json.get("message", "")


class Client:
    """`observed`: the pairs of operation and code that were answered at any time."""

    def __init__(self, node, key: dict | None = None):
        """`key`: as `cairn` tells one that it made; without it the node's own."""
        self.node = node
        own = {"accessKeyId": "aws_access_key_id", "secretAccessKey": "aws_secret_access_key"}
        key = key or {name: node.credentials[of] for name, of in own.items()}
        self.credentials = botocore.credentials.Credentials(key["accessKeyId"], key["secretAccessKey"])
        self.connection = None
        self.observed: set[tuple[str, str]] = set()

    def call(self, operation: str, given, region: str = REGION) -> Answer:
        """`given`: a dict, or the bytes of a body."""
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        if operation == "PutAuditEvents":
            answer = self._put_audit_events(given, region)
        else:
            headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": LONG_TARGET + operation}
            answer = self.send("cloudtrail", "/", body, headers, region)
        if answer.status != 200:
            self.observed.add((operation, answer.code))
        return answer

    def done(self, operation: str, given: dict, region: str = REGION) -> dict:
        """The output of a call that must succeed."""
        answer = self.call(operation, given, region)
        assert answer.status == 200, (operation, given, answer.status, answer.body)
        return answer.json

    def _put_audit_events(self, given, region: str) -> Answer:
        query, body = {}, given
        if isinstance(given, dict):
            query = {name: given[name] for name in ("channelArn", "externalId") if name in given}
            body = json.dumps({name: value for name, value in given.items() if name not in query}).encode()
        path = "/PutAuditEvents?" + urlencode(query)
        return self.send("cloudtrail-data", path, body, {"Content-Type": "application/json"}, region)

    def send(self, service: str, path: str, body: bytes, headers: dict, region: str = REGION) -> Answer:
        # As botocore does it: no two requests are the same, even within one second.
        headers = {**headers, "amz-sdk-invocation-id": str(uuid.uuid4())}
        request = botocore.awsrequest.AWSRequest("POST", self.node.endpoint + path, data=body, headers=headers)
        botocore.auth.SigV4Auth(self.credentials, service, region).add_auth(request)
        for attempt in (1, 2):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.node.port, timeout=TIME_MAX_S)
                self.connection.request("POST", path, body=body, headers=dict(request.headers.items()))
                answer = self.connection.getresponse()
                return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
            except (http.client.HTTPException, ConnectionError):
                # The server may close a connection that rests.
                self.connection = None
                if attempt == 2:
                    raise
        raise AssertionError("not reached")
