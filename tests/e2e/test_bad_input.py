"""What comes in is hostile until it has been checked: every door refuses it clearly and goes on."""

import gzip
import json
import os
import re
import struct
import threading
import zlib
from urllib.parse import quote

import pytest
import zstandard

from conftest import Node, delivered, list_keys, make_event, make_trail, ndjson, until
from support.wire import LONG_TARGET, SHORT_TARGET, call, exchange, send, signature

GOOD = b'"eventTime":"2026-01-02T03:04:05Z","eventSource":"x.example.com","eventName":"X","awsRegion":"us-east-1"'


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One node for all that must leave no trace."""
    node = Node(tmp_path_factory.mktemp("bad-input"), "--flush-interval", "500ms", "--digest-interval", "2s")
    try:
        yield node.start()
    finally:
        node.end()


@pytest.fixture
def node(shared):
    """Whatever a test did, the node is the same process, healthy, and takes events afterwards."""
    yield shared
    assert shared.process.poll() is None, shared.tail()
    assert shared.health() == 200
    status, answer = shared.post(ndjson([make_event()]))
    assert (status, answer.get("accepted")) == (200, 1), answer


def memory_peak(node) -> int:
    """The largest resident size since `forget_peak`, in bytes."""
    text = open(f"/proc/{node.process.pid}/status").read()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


def forget_peak(node) -> int:
    with open(f"/proc/{node.process.pid}/clear_refs", "w") as file:
        file.write("5")
    return memory_peak(node)


# --- records -------------------------------------------------------------------------------------

BAD_RECORDS = {
    "cut short": (b'{"eventTime":', "not valid JSON"),
    "bare words": (b"{eventTime:1}", "not valid JSON"),
    "single quotes": (b"{'eventTime':'x'}", "not valid JSON"),
    "trailing comma": (b"{" + GOOD + b",}", "not valid JSON"),
    "a comment": (b"{" + GOOD + b"/* x */}", "not valid JSON"),
    "leading zero": (b"{" + GOOD + b',"n":01}', "not valid JSON"),
    "NaN": (b"{" + GOOD + b',"n":NaN}', "not valid JSON"),
    "Infinity": (b"{" + GOOD + b',"n":-Infinity}', "not valid JSON"),
    "raw control character": (b"{" + GOOD + b',"n":"a\x01b"}', "not valid JSON"),
    "lone surrogate": (b"{" + GOOD + b',"n":"\\ud800"}', "not valid JSON"),
    "bad escape": (b"{" + GOOD + b',"n":"\\x41"}', "not valid JSON"),
    "text after it": (b"{" + GOOD + b"} x", "not valid JSON"),
    "a number": (b"5", "must be a JSON object"),
    "a string": (b'"event"', "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "no fields": (b"{}", "missing"),
    "key twice": (b"{" + GOOD + b',"eventName":"Y"}', "twice"),
    "key twice, one escaped": (b"{" + GOOD + b',"event\\u004eame":"Y"}', "twice"),
    "key twice, deep inside": (b"{" + GOOD + b',"requestParameters":{"a":[{"b":1,"b":2}]}}', "twice"),
    "time is a number": (b'{"eventTime":5,"eventSource":"s","eventName":"n","awsRegion":"us-east-1"}', "eventTime must be a string"),
    "name is a list": (b'{"eventTime":"2026-01-02T03:04:05Z","eventSource":"s","eventName":["n"],"awsRegion":"us-east-1"}', "eventName must be a string"),
    "source is an object": (b'{"eventTime":"2026-01-02T03:04:05Z","eventSource":{},"eventName":"n","awsRegion":"us-east-1"}', "eventSource must be a string"),
    "identity is a string": (b"{" + GOOD + b',"userIdentity":"ana"}', "userIdentity must be"),
    "resources is an object": (b"{" + GOOD + b',"resources":{}}', "resources must be"),
    "readOnly is a number": (b"{" + GOOD + b',"readOnly":7}', "readOnly must be"),
    "eventID is a number": (b"{" + GOOD + b',"eventID":7}', "eventID must be a string"),
    "unknown category": (b"{" + GOOD + b',"eventCategory":"Gossip"}', "eventCategory"),
    "Region climbs": (GOOD.replace(b"us-east-1", b"../../etc").join([b"{", b"}"]), "awsRegion"),
    "Region with a slash": (GOOD.replace(b"us-east-1", b"us/east").join([b"{", b"}"]), "awsRegion"),
    "Region too long": (GOOD.replace(b"us-east-1", b"a" * 65).join([b"{", b"}"]), "awsRegion"),
    "depth bomb of arrays": (b"{" + GOOD + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper|nesting"),
    "depth bomb of objects": (b"{" + GOOD + b',"x":' + b'{"a":' * 30_000 + b"1" + b"}" * 30_000 + b"}", "nested deeper|nesting"),
    "depth bomb never closed": (b'{"a":' * 40_000, "nested deeper|nesting|not valid JSON"),
    "size bomb": (b"{" + GOOD + b',"x":"' + b"a" * 300_000 + b'"}', "300.*262144"),
    "key bomb": (b"{" + GOOD + b',"x":{' + b",".join(b'"%d":1' % n for n in range(12_000)) + b"}}", "more than 10000 keys"),
    "number bomb": (b"{" + GOOD + b',"x":' + b"9" * 100_000 + b"}", "number"),
    "invalid UTF-8": (b"{" + GOOD + b',"x":"\xff\xfe"}', "not valid UTF-8"),
    "overlong UTF-8": (b"{" + GOOD + b',"x":"\xc0\xaf"}', "not valid UTF-8"),
    "surrogate in UTF-8": (b"{" + GOOD + b',"x":"\xed\xa0\x80"}', "not valid UTF-8"),
    "NUL bytes": (b"\0" * 100, "not valid JSON"),
    "UTF-16": (("{" + GOOD.decode() + "}").encode("utf-16")[2:], "not valid"),
    "other account": (b"{" + GOOD + b',"recipientAccountId":"999999999999"}', "999999999999"),
    "time: words": (GOOD.replace(b"2026-01-02T03:04:05Z", b"yesterday").join([b"{", b"}"]), "not a time"),
    "time: month 13": (GOOD.replace(b"2026-01-02", b"2026-13-02").join([b"{", b"}"]), "not a time"),
    "time: 30 February": (GOOD.replace(b"2026-01-02", b"2026-02-30").join([b"{", b"}"]), "not a time"),
    "time: hour 25": (GOOD.replace(b"T03", b"T25").join([b"{", b"}"]), "not a time"),
    "time: year 9999": (GOOD.replace(b"2026-01-02", b"9999-12-31").join([b"{", b"}"]), "not a time|outside what is accepted"),
    "time: year 99999": (GOOD.replace(b"2026-01-02", b"99999-01-01").join([b"{", b"}"]), "not a time|outside"),
    "time: next year": (GOOD.replace(b"2026-01-02", b"2099-01-02").join([b"{", b"}"]), "outside what is accepted"),
    "time: negative year": (GOOD.replace(b"2026-01-02", b"-2026-01-02").join([b"{", b"}"]), "not a time|outside"),
    "time: a named zone": (GOOD.replace(b"05Z", b"05Z[Europe/Berlin]").join([b"{", b"}"]), "not a time"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_a_bad_record_is_refused_with_its_reason_and_its_neighbours_are_taken(node, name):
    record, reason = BAD_RECORDS[name]
    first, last = ndjson([make_event()]), ndjson([make_event()])
    status, answer = node.post(first + record + b"\n" + last)
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 1), answer
    (refusal,) = answer["refusals"]
    assert refusal["line"] == 2
    assert re.search(reason, refusal["reason"]), refusal
    assert len(refusal["reason"]) < 600, "what was sent must not come back at length"
    # Alone, nothing is taken.
    status, answer = node.post(record)
    assert (status, answer["accepted"]) == (400, 0), answer


@pytest.mark.parametrize("year", ["0001", "0000", "1969"])
def test_a_time_before_there_were_computers_is_refused_or_handled_to_the_end(node_with, year):
    node = node_with("--flush-interval", "200ms", "--digest-interval", "1s")
    arn = make_trail(node)
    status, answer = node.post(ndjson([make_event(eventTime=f"{year}-01-01T00:00:00Z"), make_event()]))
    assert status == 200, answer
    if answer["refused"]:
        assert re.search("eventTime", answer["refusals"][0]["reason"])
        return
    from support.digests import until_attested, validate_logs

    s3 = node.client("s3")
    until(lambda: any(r["eventTime"].startswith(year) for r in delivered(s3, "audit-logs")))
    until_attested(s3, "audit-logs")
    assert validate_logs(node, arn).is_good


def test_an_account_that_is_no_number_names_no_folder(node_with):
    """Anonymised records have such; what cannot be an account goes with the sender's own."""
    node = node_with("--flush-interval", "200ms")
    make_trail(node)
    wild = ["../../../etc", "%2e%2e", "1234567890123", "", "12345678901a", "１２３４５６７８９０１２"]
    taken = sum(node.post(ndjson([make_event(eventName="Wild", recipientAccountId=account)]))[1]["accepted"] for account in wild)
    s3 = node.client("s3")
    until(lambda: len([r for r in delivered(s3, "audit-logs") if r["eventName"] == "Wild"]) == taken)
    assert all(key.startswith("AWSLogs/111111111111/") for key in list_keys(s3, "audit-logs"))


def test_other_accounts_are_taken_when_the_configuration_says_so(node_with):
    node = node_with(config='intake_accounts = ["222222222222"]\n')
    def post(account):
        return node.post(ndjson([make_event(recipientAccountId=account)]))
    assert post("222222222222")[0] == 200
    assert post("111111111111")[0] == 200
    status, answer = post("333333333333")
    assert status == 400 and "333333333333" in answer["refusals"][0]["reason"] and "intake_accounts" in answer["refusals"][0]["reason"]


def test_thousands_of_refusals_are_counted_and_not_all_listed(node):
    status, answer = node.post(b"nonsense\n" * 50_000)
    assert (status, answer["accepted"], answer["refused"]) == (400, 0, 50_000)
    assert 0 < len(answer["refusals"]) <= 1000


def test_a_broken_document_says_where_it_broke_and_what_came_before_is_taken(node):
    good = json.dumps(make_event()).encode()
    status, answer = node.post(b'{"Records":[' + good + b"," + good + b",{broken]}")
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 1), answer
    assert answer["refusals"][0]["index"] == 2


@pytest.mark.parametrize("body", [b"", b" ", b"\n\n\r\n", b"[]", b'{"Records":[]}', gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"], ids=range(7))
def test_a_body_without_records_is_refused(node, body):
    status, answer = node.post(body)
    assert status == 400, answer
    assert answer["error"]["code"] == "NoRecords"


# --- packing -------------------------------------------------------------------------------------

def zeros_gzip(bytes_inflated: int) -> bytes:
    """One gzip member that inflates to that many zeros, made without inflating them here: deflate
    blocks after a full flush may be repeated."""
    part = 16 << 20
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = deflate.compress(b"\0" * part) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(b"\0" * part) + deflate.flush(zlib.Z_FULL_FLUSH)
    end = deflate.flush(zlib.Z_FINISH)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + first + again * (bytes_inflated // part) + end + b"\0" * 8


BOMBS = {
    "gzip, one member": (lambda: zeros_gzip(10 << 30), "gzip"),
    "gzip, many members": (lambda: gzip.compress(b"\0" * (10 << 20), 9) * 1000, "gzip"),
    "gzip of good records": (lambda: gzip.compress(ndjson([make_event(requestParameters=None)]) * 250_000, 9), "gzip"),
    "zstd, one frame": (lambda: zstandard.ZstdCompressor(level=3).compress(b"\0" * (1 << 30)), "zstd"),
    "zstd, many frames": (lambda: zstandard.ZstdCompressor(level=3).compress(b"\0" * (32 << 20)) * 320, "zstd"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_and_costs_little_memory(node, name):
    make, encoding = BOMBS[name]
    body = make()
    if name == "gzip, one member":
        assert 8 << 20 < len(body) < 16 << 20 and zlib.decompressobj(31).decompress(body, 1 << 20) == b"\0" * (1 << 20)
    before = forget_peak(node)
    status, answer = node.post(body, {"Content-Encoding": encoding})
    assert status == 413, answer
    assert answer["error"]["code"] == "RequestEntityTooLarge" and "inflates" in answer["error"]["message"]
    grown = memory_peak(node) - before
    assert grown < 160 << 20, f"{grown >> 20} MiB for one bomb"


def test_a_zstd_frame_that_wants_gigabytes_of_window_is_refused(node):
    window_of_2_gib = (31 - 10) << 3
    block = struct.pack("<I", (1 << 3) | (1 << 1) | 1)[:3]  # last block, RLE, one byte
    body = b"\x28\xb5\x2f\xfd" + bytes([0, window_of_2_gib]) + block + b"{"
    before = forget_peak(node)
    status, answer = node.post(body, {"Content-Encoding": "zstd"})
    assert status == 400 and answer["error"]["code"] == "InvalidEncoding", answer
    assert memory_peak(node) - before < 100 << 20


PACKED = gzip.compress(ndjson([make_event() for _ in range(50)]))
SQUEEZED = zstandard.compress(ndjson([make_event() for _ in range(50)]))
BROKEN_PACKS = {
    "gzip cut short": (PACKED[: len(PACKED) // 2], "gzip"),
    "gzip without its checksum": (PACKED[:-4], "gzip"),
    "gzip with a wrong checksum": (PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], "gzip"),
    "gzip with rubbish after it": (PACKED + b"rubbish", "gzip"),
    "gzip head only": (PACKED[:5], "gzip"),
    "not gzip": (ndjson([make_event()]), "gzip"),
    "zstd said to be gzip": (SQUEEZED, "gzip"),
    "zstd cut short": (SQUEEZED[: len(SQUEEZED) // 2], "zstd"),
    "not zstd": (ndjson([make_event()]), "zstd"),
    "gzip said to be zstd": (PACKED, "zstd"),
    "unannounced gzip cut short": (PACKED[: len(PACKED) // 2], None),
    "unannounced zstd cut short": (SQUEEZED[: len(SQUEEZED) // 2], None),
}


@pytest.mark.parametrize("name", BROKEN_PACKS)
def test_a_broken_pack_is_refused_whole(node, name):
    body, encoding = BROKEN_PACKS[name]
    status, answer = node.post(body, {"Content-Encoding": encoding} if encoding else {})
    assert (status, answer["accepted"]) == (400, 0), answer
    assert answer["error"]["code"] == "InvalidEncoding"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "GZIP2", "x" * 2000])
def test_an_unknown_packing_is_refused_by_name(node, encoding):
    status, answer = node.post(ndjson([make_event()]), {"Content-Encoding": encoding})
    assert status == 415, answer
    assert answer["error"]["code"] == "UnsupportedEncoding" and encoding[:20] in answer["error"]["message"]


def test_a_packed_pack_is_not_unpacked_twice(node):
    status, answer = node.post(gzip.compress(PACKED), {"Content-Encoding": "gzip"})
    assert (status, answer["accepted"]) == (400, 0), answer


# --- who comes in --------------------------------------------------------------------------------

@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer cairn_" + "0" * 64, "Basic YTpi", "Bearer " + "x" * 6000, "AWS4-HMAC-SHA256 nonsense"],
)
def test_events_without_a_good_token_are_refused(node, authorization):
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = send(node, "POST", "/v1/events", ndjson([make_event(eventName="Stranger")]), headers)
    assert answer.status in (400, 401, 403), answer
    body = json.loads(answer.body)
    assert body["accepted"] == 0 and body["error"]["code"] and body["error"]["message"], body
    assert node.token not in answer.body.decode()


def test_a_token_of_another_length_or_letter_is_refused(node):
    for token in [node.token[:-1], node.token + "0", node.token[:-1] + ("0" if node.token[-1] != "0" else "1"), node.token.upper()]:
        status, answer = node.post(ndjson([make_event()]), token=token)
        assert status in (401, 403) and answer["accepted"] == 0, (token, answer)


def test_events_with_a_wrong_signature_are_refused(node):
    body = ndjson([make_event()])
    good = signature(node, "cloudtrail-data", "POST", "/v1/events", body)
    assert send(node, "POST", "/v1/events", body, good).status == 200
    wrong = {
        "another body": (ndjson([make_event()]), signature(node, "cloudtrail-data", "POST", "/v1/events", body)),
        "another secret": (body, signature(node, "cloudtrail-data", "POST", "/v1/events", body, secret="x" * 40)),
        "unknown key": (body, signature(node, "cloudtrail-data", "POST", "/v1/events", body, key="AKIAXXXXXXXXXXXXXXXX")),
        "another service": (body, signature(node, "ec2", "POST", "/v1/events", body)),
    }
    for name, (sent, headers) in wrong.items():
        answer = send(node, "POST", "/v1/events", sent, headers)
        assert answer.status in (400, 403), (name, answer)
        assert json.loads(answer.body)["accepted"] == 0


@pytest.mark.parametrize("service, path, more", [
    ("cloudtrail-data", "/v1/events", {}),
    ("cloudtrail", "/", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": LONG_TARGET + "StartLogging"}),
], ids=["events", "API"])
def test_a_signed_request_that_is_sent_again_later_is_refused(node, service, path, more):
    """At once it may be a retry in good faith; after several seconds somebody has copied it."""
    import time

    make_trail(node, "replay-bucket", "replayed") if service == "cloudtrail" else None
    body = ndjson([make_event(eventName="Replayed")]) if service == "cloudtrail-data" else b'{"Name": "replayed"}'
    headers = signature(node, service, "POST", path, body, more)
    assert send(node, "POST", path, body, headers).status == 200
    time.sleep(7)
    assert send(node, "POST", path, body, headers).status in (400, 403)
    if service == "cloudtrail":
        node.client("cloudtrail").delete_trail(Name="replayed")


# --- HTTP ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_taken(node, method):
    answer = send(node, method, "/v1/events", b"", {"Authorization": f"Bearer {node.token}"})
    assert answer.status == 405, answer


def test_a_body_that_says_it_is_huge_is_refused_before_it_is_sent(node):
    request = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.token}\r\nContent-Length: {10 << 30}\r\n\r\n"
    answer = exchange(node.port, request.encode())
    assert answer.startswith(b"HTTP/1.1 413 "), answer[:300]


def test_a_huge_body_in_chunks_is_cut_off(node):
    before = forget_peak(node)

    def chunks():
        for _ in range(200):
            yield b"x" * (1 << 20)

    try:
        answer = send(node, "POST", "/v1/events", chunks(), {"Authorization": f"Bearer {node.token}"})
        assert answer.status == 413, answer
    except ConnectionError:
        pass  # The server closed while we were still sending; the answer may be lost with that.
    assert memory_peak(node) - before < 120 << 20


def test_a_body_that_breaks_off_leaves_nothing(node):
    record = json.dumps(make_event(eventName="HalfABody")).encode()
    request = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.token}\r\nContent-Length: {len(record) * 2}\r\n\r\n"
    answer = exchange(node.port, request.encode() + record)
    assert not answer.startswith(b"HTTP/1.1 2"), answer[:300]


def test_strangers_cannot_make_the_server_hold_large_bodies(node):
    """The token is in the head of the request: whoever has none need not be listened to."""
    import socket

    before = forget_peak(node)
    sockets = []
    try:
        for _ in range(12):
            connection = socket.create_connection(("127.0.0.1", node.port), timeout=10)
            sockets.append(connection)
            connection.sendall(f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\nContent-Length: {30 << 20}\r\n\r\n".encode())
            try:
                for _ in range(29):
                    connection.sendall(b"x" * (1 << 20))
            except OSError:
                pass
        grown = memory_peak(node) - before
    finally:
        for connection in sockets:
            connection.close()
    assert grown < 120 << 20, f"{grown >> 20} MiB held for strangers"


GARBAGE = {
    "noise": os.urandom(4096),
    "TLS hello": bytes.fromhex("160301020001fc0303") + os.urandom(500),
    "endless head": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 2_000_000,
    "many headers": b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    "two lengths": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "negative length": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nabcdef",
    "chunk of nonsense": b"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc",
    "bare line feed": b"GET /health\n\n",
    "HTTP/9": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "HTTP/2 noise": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + os.urandom(2000),
    "absolute path of elsewhere": b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_not_http_is_turned_away(node, name):
    answer = exchange(node.port, GARBAGE[name], wait=3)
    assert not re.match(rb"HTTP/\S+ 2", answer), answer[:300]


def test_many_idle_connections_do_not_keep_others_out(node):
    import socket

    idle = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(200)]
    try:
        assert node.health() == 200
        assert node.post(ndjson([make_event()]))[0] == 200
    finally:
        for connection in idle:
            connection.close()


# --- the CloudTrail API --------------------------------------------------------------------------

def error_of(answer) -> tuple[int, str, str]:
    body = json.loads(answer.body)
    assert set(body) == {"__type", "message"} and body["message"], body
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers.get("x-amzn-requestid")
    return answer.status, body["__type"], body["message"]


BAD_BODIES = {
    "cut short": b'{"Name":',
    "not JSON": b"Name=audit",
    "an array": b"[]",
    "a string": b'"audit"',
    "null": b"null",
    "number for a string": b'{"Name":5}',
    "object for a string": b'{"Name":{"a":1}}',
    "array for a string": b'{"Name":["audit"]}',
    "member twice": b'{"Name":"one","Name":"two"}',
    "depth bomb": b'{"Name":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "invalid UTF-8": b'{"Name":"\xff"}',
    "lone surrogate": b'{"Name":"\\ud800"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_not_the_operations_input_is_refused(node, name):
    status, code, _ = error_of(call(node, "GetTrail", BAD_BODIES[name]))
    assert (status, code) == (400, "SerializationException")


def test_wrong_types_deep_inside_name_their_place(node):
    body = json.dumps({"TrailName": "audit", "EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": [5]}]}]})
    status, code, message = error_of(call(node, "PutEventSelectors", body.encode()))
    assert (status, code) == (400, "SerializationException") and "alues" in message
    body = json.dumps({"Name": "audit", "S3BucketName": "b-b-b", "IsMultiRegionTrail": "yes"})
    status, code, message = error_of(call(node, "CreateTrail", body.encode()))
    assert (status, code) == (400, "SerializationException") and "ulti" in message


def test_a_huge_api_body_is_refused(node):
    answer = call(node, "GetTrail", b'{"Name":"' + b"a" * (2 << 20) + b'"}')
    assert answer.status == 413 and json.loads(answer.body)["__type"] == "RequestEntityTooLarge"


@pytest.mark.parametrize(
    "target",
    [
        "", "GetTrail", ".GetTrail", LONG_TARGET, SHORT_TARGET, LONG_TARGET + "getTrail", LONG_TARGET + "GetTrail ", LONG_TARGET + "GetTrailX",
        LONG_TARGET + "GetTrail.", SHORT_TARGET + "DropTables", "DynamoDB_20120810.GetItem", "CloudTrail_20131102.GetTrail", LONG_TARGET + LONG_TARGET + "GetTrail",
    ],
)
def test_a_target_that_names_no_operation_is_refused(node, target):
    status, code, _ = error_of(call(node, "", b"{}", target=target.strip("\n")))
    if target.endswith(" "):
        # HTTP takes spaces at the end of a header's value away.
        assert code in ("UnknownOperationException", "InvalidTrailNameException", "SignatureDoesNotMatch", "InvalidSignatureException")
    else:
        assert (status, code) == (400, "UnknownOperationException")


def test_a_request_without_a_target_is_refused(node):
    headers = signature(node, "cloudtrail", "POST", "/", b"{}", {"Content-Type": "application/x-amz-json-1.1"})
    status, code, _ = error_of(send(node, "POST", "/", b"{}", headers))
    assert (status, code) == (400, "UnknownOperationException")


def test_calls_with_a_wrong_signature_are_refused(node):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": LONG_TARGET + "ListTrails"}
    good = signature(node, "cloudtrail", "POST", "/", b"{}", headers)
    assert send(node, "POST", "/", b"{}", good).status == 200
    for name, sent, body in [
        ("unsigned", headers, b"{}"),
        ("another body", signature(node, "cloudtrail", "POST", "/", b"{}", headers), b'{"NextToken":"x"}'),
        ("another operation", signature(node, "cloudtrail", "POST", "/", b"{}", headers) | {"X-Amz-Target": LONG_TARGET + "DescribeTrails"}, b"{}"),
        ("another secret", signature(node, "cloudtrail", "POST", "/", b"{}", headers, secret="s" * 40), b"{}"),
        ("unknown key", signature(node, "cloudtrail", "POST", "/", b"{}", headers, key="AKIA0000000000000000"), b"{}"),
        ("another service", signature(node, "sts", "POST", "/", b"{}", headers), b"{}"),
        ("nonsense Region", signature(node, "cloudtrail", "POST", "/", b"{}", headers, region="../etc"), b"{}"),
    ]:
        answer = send(node, "POST", "/", body, sent)
        assert answer.status in (400, 403), (name, answer)
        assert b"TrailList" not in answer.body and b'"Trails"' not in answer.body, name


CLIMBING = ["../x", "a/../b", "..", ".", "/abs", "/etc/passwd", "%2e%2e", "%2e%2e%2fx", "..\\x", "a\0b", "~root", "$(id)", "a\nb", "\u202e", "con:1"]


@pytest.mark.parametrize("name", CLIMBING)
def test_trail_names_cannot_climb(node, name):
    bucket = {"S3BucketName": "audit-logs"}
    for operation, body in [
        ("CreateTrail", {"Name": name, **bucket}), ("GetTrail", {"Name": name}), ("DeleteTrail", {"Name": name}), ("StartLogging", {"Name": name}),
        ("GetTrailStatus", {"Name": name}), ("UpdateTrail", {"Name": name, **bucket}), ("GetEventSelectors", {"TrailName": name}),
    ]:
        status, code, _ = error_of(call(node, operation, json.dumps(body).encode()))
        assert (status, code) == (400, "InvalidTrailNameException"), operation
    arn = f"arn:aws:cloudtrail:us-east-1:111111111111:trail/{name}"
    status, code, _ = error_of(call(node, "GetTrail", json.dumps({"Name": arn}).encode()))
    assert status == 400 and code in ("CloudTrailARNInvalidException", "InvalidTrailNameException", "TrailNotFoundException")


@pytest.mark.parametrize("bucket", [*CLIMBING, "", "ab", "UPPER", "a..b", "10.0.0.1", "a" * 64, "-abc", "abc-"])
def test_trail_buckets_cannot_climb(node, bucket):
    status, code, _ = error_of(call(node, "CreateTrail", json.dumps({"Name": "climber", "S3BucketName": bucket}).encode()))
    assert (status, code) == (400, "InvalidS3BucketNameException")


@pytest.mark.parametrize("prefix", ["../x", "a/../b", "..", "/abs", "a/..", "x/./y", "AWSLogs/x", "a/AWSLogs/", "p" * 201, "a\0b", "a\nb", "a\\..\\b", "%2e%2e/x"])
def test_trail_prefixes_cannot_climb(node, prefix):
    s3 = node.client("s3")
    if "prefix-bucket" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="prefix-bucket")
    body = {"Name": "climber", "S3BucketName": "prefix-bucket", "S3KeyPrefix": prefix}
    status, code, _ = error_of(call(node, "CreateTrail", json.dumps(body).encode()))
    assert (status, code) == (400, "InvalidS3PrefixException")
    assert list_keys(s3, "prefix-bucket") == [], "a refused trail leaves no marker"
    assert node.client("cloudtrail").describe_trails()["trailList"] == []


# --- the bucket door -----------------------------------------------------------------------------

def folder_around(node) -> set[str]:
    """Everything beside the buckets' own folder, two levels up from the data folder."""
    top = node.folder.parent
    return {str(path) for path in top.rglob("*") if (node.data / "buckets") not in path.parents and not re.search(r"\.(log|sqlite\S*|seg\S*)$", path.name)}


@pytest.mark.parametrize("bucket", ["..", ".", "%2e%2e", "..%2f..%2fetc", "a%2f..%2fb", "UPPER", "a%00b", "ab", "x" * 64])
def test_bucket_names_cannot_climb(node, bucket):
    before = folder_around(node)
    path = f"/{bucket}"
    answer = send(node, "PUT", path, b"", signature(node, "s3", "PUT", path))
    assert 400 <= answer.status < 500, answer
    path = f"/{bucket}/key"
    answer = send(node, "PUT", path, b"x", signature(node, "s3", "PUT", path, b"x"))
    assert 400 <= answer.status < 500, answer
    new = {path for path in folder_around(node) - before if "/journal/" not in path and "/spool/" not in path}
    assert new == set()


@pytest.mark.parametrize(
    "key",
    ["../x", "a/../b", "..", ".", "a/..", "%2e%2e/x", "%2e%2e%2fx", "..%2f..%2f..%2fetc/passwd", "/abs", "//", "a//b", "a%00b", "..%5cx", "%ff", "%", "k" * 1025],
)
def test_object_keys_cannot_climb(node, key):
    """A key is only a name: it is refused, or kept as exactly that name."""
    from urllib.parse import unquote_to_bytes

    s3 = node.client("s3")
    if "keys" not in [b["Name"] for b in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="keys")
    before = folder_around(node)
    path = f"/keys/{key}"
    answer = send(node, "PUT", path, b"content", signature(node, "s3", "PUT", path, b"content"))
    new = {path for path in folder_around(node) - before if "/journal/" not in path and "/spool/" not in path}
    assert new == set()
    if answer.status != 200:
        assert 400 <= answer.status < 500, answer
        assert list_keys(s3, "keys") == []
        return
    name = unquote_to_bytes(key).decode()
    assert list_keys(s3, "keys") == [name]
    read = send(node, "GET", path, b"", signature(node, "s3", "GET", path))
    assert (read.status, read.body) == (200, b"content")
    assert send(node, "DELETE", path, b"", signature(node, "s3", "DELETE", path)).status == 204
    assert list_keys(s3, "keys") == []


def test_bombs_from_many_sides_at_once_leave_the_server_able_to_work(node):
    """Several bombs at a time: all refused, good events taken meanwhile."""
    bomb = zeros_gzip(1 << 30)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(node.post(bomb, {"Content-Encoding": "gzip"})[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    taken = [node.post(ndjson([make_event()]))[0] for _ in range(20)]
    for thread in threads:
        thread.join()
    assert answers == [413] * 6 and taken == [200] * 20


def test_many_bombs_at_once_stay_within_memory(node):
    bomb = zeros_gzip(1 << 30)
    before = forget_peak(node)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(node.post(bomb, {"Content-Encoding": "gzip"})[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 and set(answers) <= {413, 429, 503}, answers
    grown = memory_peak(node) - before
    assert grown < 400 << 20, f"{grown >> 20} MiB"


def test_bad_input_never_shows_in_delivered_files(node_with):
    node = node_with("--flush-interval", "300ms")
    make_trail(node)
    for record, _ in BAD_RECORDS.values():
        node.post(ndjson([make_event(eventName="Neighbour")]) + record + b"\n")
    s3 = node.client("s3")

    def orders():
        return [r for r in delivered(s3, "audit-logs") if r["eventSource"] == "orders.example.com"]

    until(lambda: len(orders()) == len(BAD_RECORDS))
    assert {r["eventName"] for r in orders()} == {"Neighbour"}
    assert not [r for r in delivered(s3, "audit-logs") if r["eventSource"] == "x.example.com"]


# --- what is refused is still recorded -----------------------------------------------------------

STRANGE_CALLS = {
    "a name of half a megabyte": ("GetTrail", json.dumps({"Name": "n" * 500_000}).encode(), {}),
    "a list of thousands": ("DescribeTrails", json.dumps({"trailNameList": [f"name-{n}" for n in range(20_000)]}).encode(), {}),
    "an agent of 10 KB": ("GetTrail", b'{"Name":"audit"}', {"User-Agent": "a" * 10_000}),
    "deep JSON to what is not there": ("StartQuery", b'{"a":' * 100 + b"1" + b"}" * 100, {}),
    "many keys to what is not there": ("StartQuery", b"{" + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}", {}),
    "long numbers to what is not there": ("StartQuery", b'{"n":' + b"9" * 5000 + b"}", {}),
    "half a megabyte to what is not there": ("StartQuery", json.dumps({"QueryStatement": "q" * 500_000}).encode(), {}),
    "line breaks and quotes": ("GetTrail", json.dumps({"Name": 'a"\n\r\u2028\\\u0001'}).encode(), {}),
    "no JSON": ("GetTrail", b"\xff\xfe{", {}),
    "secrets in what is not there": ("StartQuery", json.dumps({"password": "hunter2-hunter2"}).encode(), {}),
    "a key of the record's own": ("GetTrail", b'{"Name":"audit","eventID":"x","userIdentity":{"type":"Root"}}', {}),
}


@pytest.mark.parametrize("name", STRANGE_CALLS)
def test_a_strange_call_is_recorded_like_any_other(node_with, name):
    """Whoever calls must not be able to keep the call out of the log files by what he sends."""
    operation, body, more = STRANGE_CALLS[name]
    node = node_with("--flush-interval", "200ms")
    make_trail(node)
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": LONG_TARGET + operation, **more}
    answer = send(node, "POST", "/", body, signature(node, "cloudtrail", "POST", "/", body, headers))
    request_id = answer.headers["x-amzn-requestid"]
    s3 = node.client("s3")
    (record,) = until(lambda: [r for r in delivered(s3, "audit-logs") if r.get("requestID") == request_id], wait=10)
    assert record["eventName"] == operation and record["userIdentity"]["type"] == "IAMUser"
    assert len(json.dumps(record)) <= 256 << 10
    assert len(record.get("userAgent") or "") <= 1024 and len(record.get("errorMessage") or "") <= 1024
    assert "hunter2" not in json.dumps(record)
    if answer.status != 200:
        assert record["errorCode"] == json.loads(answer.body)["__type"]


def test_strange_object_names_are_recorded_as_they_are(node_with):
    node = node_with("--flush-interval", "200ms")
    make_trail(node)
    node.client("cloudtrail").put_event_selectors(TrailName="audit", AdvancedEventSelectors=[{"FieldSelectors": [
        {"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::strange/"]}]}])
    s3 = node.client("s3")
    s3.create_bucket(Bucket="strange")
    keys = ['quote"s', "line\nbreak", "back\\slash", "\u00e9\u2028\U0001f600", "k" * 1024, "\x01\x7f", "a/../b", "'; DROP TABLE trails; --"]
    for key in keys:
        path = "/strange/" + quote(key, safe="")
        assert send(node, "PUT", path, b"x", signature(node, "s3", "PUT", path, b"x")).status == 200, key

    def recorded():
        return {r["requestParameters"]["key"] for r in delivered(s3, "audit-logs") if r["eventName"] == "PutObject"}

    until(lambda: recorded() == set(keys), wait=15)
