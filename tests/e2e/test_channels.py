"""Events from outside AWS: put by boto3 and the AWS CLI, read back by SQL, and none lost or doubled by kill -9."""

import base64
import hashlib
import json
import random
import threading
import time
import uuid

import boto3
import botocore.config
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import Node, until
from support.delta import rows_by_deltalake, rows_by_duckdb
from support.lake import QUICK, ended, start, until_in_files
from support.wire import quiet_port, send, signature

ACCOUNT = "111111111111"


def make_store(node, name: str, category: str = "ActivityAuditLog", **more) -> str:
    selectors = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}]}]
    made = node.client("cloudtrail").create_event_data_store(
        Name=name, AdvancedEventSelectors=selectors, TerminationProtectionEnabled=False, RetentionPeriod=3653, **more
    )
    return made["EventDataStoreArn"]


def make_channel(node, name: str, *stores: str, source: str = "Custom") -> str:
    destinations = [{"Type": "EVENT_DATA_STORE", "Location": store} for store in stores]
    return node.client("cloudtrail").create_channel(Name=name, Source=source, Destinations=destinations)["ChannelArn"]


def event_data(**changes) -> dict:
    data = {
        "version": "1.0",
        "userIdentity": {"type": "Employee", "principalId": "p-7", "details": {"desk": 7, "name": "Jörg"}},
        "userAgent": "shop/2.1",
        "eventSource": "shop.example.com",
        "eventName": "Buy",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()),
        "UID": str(uuid.uuid4()),
        "requestParameters": {"order": "o-1", "items": [{"n": 1.5}]},
        "responseElements": {"paid": True},
        "errorCode": "Late",
        "errorMessage": "after hours",
        "sourceIPAddress": "2001:db8::7",
        "recipientAccountId": ACCOUNT,
        "additionalEventData": {"shift": "night"},
    }
    data.update(changes)
    return {key: value for key, value in data.items() if value is not ...}


def entry(number, **changes) -> dict:
    return {"id": str(number), "eventData": json.dumps(event_data(**changes))}


def asked(node, statement: str) -> list[dict]:
    found = ended(node, start(node, statement))
    assert found["QueryStatus"] == "FINISHED", found
    return [{name: value for cell in row for name, value in cell.items()} for row in found["QueryResultRows"]]


def count(node, store: str, where: str = "TRUE") -> int:
    return int(asked(node, f"SELECT count(*) AS n FROM {store.rsplit('/', 1)[1]} WHERE {where}")[0]["n"])


def test_events_are_put_by_boto3_and_read_back_by_sql(node):
    store, other = make_store(node, "apps"), make_store(node, "others")
    channel = make_channel(node, "orders", store)
    data = node.client("cloudtrail-data")
    good = event_data(UID="u-1")
    text = json.dumps(good, ensure_ascii=False)
    checksum = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    answer = data.put_audit_events(
        channelArn=channel,
        auditEvents=[
            {"id": "one", "eventData": text, "eventDataChecksum": checksum},
            {"id": "no-json", "eventData": "not JSON"},
            {"id": "altered", "eventData": text + " ", "eventDataChecksum": checksum},
            entry("unnamed", UID=...),
            entry("long", eventName="x" * 1025),
            entry("large", requestParameters={"a": "x" * (100 * 1024)}),
            entry("others", recipientAccountId="222222222222"),
            entry("two", UID="u-2", userIdentity={"type": "Robot", "principalId": "r"}, responseElements=...),
        ],
    )
    assert [done["id"] for done in answer["successful"]] == ["one", "two"]
    assert {failed["id"]: failed["errorCode"] for failed in answer["failed"]} == {
        "no-json": "InvalidData",
        "altered": "InvalidChecksum",
        "unnamed": "FieldNotFound",
        "long": "FieldTooLong",
        "large": "FieldTooLong",
        "others": "InvalidRecipient",
    }
    accepted = time.monotonic()
    until(lambda: count(node, store) == 2, every=0.05)
    assert time.monotonic() - accepted < 5
    name = store.rsplit("/", 1)[1]
    columns = {
        "eventID": answer["successful"][0]["eventID"],
        "eventCategory": "ActivityAuditLog",
        "eventType": "ActivityLog",
        "awsRegion": "us-east-1",
        "recipientAccountId": ACCOUNT,
        "metadata.channelARN": channel,
        "eventTime": good["eventTime"].replace("T", " ") + ".000",
        "eventData.version": "1.0",
        "eventData.userIdentity.type": "Employee",
        "eventData.userIdentity.principalId": "p-7",
        "element_at(eventData.userIdentity.details, 'name')": "Jörg",
        "element_at(eventData.userIdentity.details, 'desk')": "7",
        "eventData.userAgent": "shop/2.1",
        "eventData.eventSource": "shop.example.com",
        "eventData.eventName": "Buy",
        "eventData.eventTime": good["eventTime"],
        "eventData.UID": "u-1",
        "element_at(eventData.requestParameters, 'order')": "o-1",
        "element_at(eventData.requestParameters, 'items')": '[{"n": 1.5}]',
        "element_at(eventData.responseElements, 'paid')": "true",
        "eventData.errorCode": "Late",
        "eventData.errorMessage": "after hours",
        "eventData.sourceIPAddress": "2001:db8::7",
        "eventData.recipientAccountId": ACCOUNT,
        "element_at(eventData.additionalEventData, 'shift')": "night",
    }
    names = {f"c{n}": column for n, column in enumerate(columns)}
    selected = ", ".join(f"{column} AS {alias}" for alias, column in names.items())
    [row] = asked(node, f"SELECT {selected} FROM {name} WHERE eventData.UID = 'u-1'")
    assert {column: row[alias] for alias, column in names.items()} == columns
    [row] = asked(node, f"SELECT eventJson AS record FROM {name} WHERE eventData.UID = 'u-1'")
    assert row["record"].endswith(f'"eventData":{text}}}')
    assert json.loads(row["record"])["eventData"] == good
    by_type = f"SELECT eventData.userIdentity.type AS kind, count(*) AS n FROM {name} GROUP BY 1 ORDER BY 1"
    assert asked(node, by_type) == [{"kind": "Employee", "n": "1"}, {"kind": "Robot", "n": "1"}]
    assert count(node, other) == 0
    status = node.client("cloudtrail").get_channel(Channel=channel)["IngestionStatus"]
    assert status["LatestIngestionSuccessEventID"] == answer["successful"][1]["eventID"]
    assert status["LatestIngestionErrorCode"] == "InvalidRecipient"


def test_the_aws_cli_puts_and_destinations_are_those_of_the_moment(node):
    first, second = make_store(node, "first"), make_store(node, "second")
    channel = make_channel(node, "orders", first)

    def put(uid: str) -> str:
        events = json.dumps([{"id": uid, "eventData": json.dumps(event_data(UID=uid))}])
        answer = node.aws_json("cloudtrail-data", "put-audit-events", "--channel-arn", channel, "--audit-events", events)
        assert answer["failed"] == [], answer
        return answer["successful"][0]["eventID"]

    def uids(store: str) -> list[str]:
        rows = asked(node, f"SELECT eventData.UID AS uid FROM {store.rsplit('/', 1)[1]} ORDER BY 1")
        return [row["uid"] for row in rows]

    put("a")
    both = json.dumps([{"Type": "EVENT_DATA_STORE", "Location": store} for store in (first, second)])
    node.aws("cloudtrail", "update-channel", "--channel", channel, "--destinations", both)
    put("b")
    node.aws("cloudtrail", "update-channel", "--channel", channel, "--destinations", json.dumps([{"Type": "EVENT_DATA_STORE", "Location": second}]))
    put("c")
    until(lambda: (uids(first), uids(second)) == (["a", "b"], ["b", "c"]), wait=20, every=0.2)
    # What is read again after a crash goes where it went before.
    node.kill()
    node.start()
    until(lambda: (uids(first), uids(second)) == (["a", "b"], ["b", "c"]), wait=20, every=0.2)
    listed = node.aws_json("cloudtrail", "list-channels")["Channels"]
    assert listed == [{"ChannelArn": channel, "Name": "orders"}]
    refused = node.aws("cloudtrail", "delete-event-data-store", "--event-data-store", second, check=False)
    assert "ChannelExistsForEDSException" in refused.stderr


def test_a_put_is_a_data_event_and_what_was_put_is_none(node):
    store = make_store(node, "apps")
    selectors = [
        {"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::CloudTrail::Channel"]}]}
    ]
    calls = node.client("cloudtrail").create_event_data_store(
        Name="calls", AdvancedEventSelectors=selectors, TerminationProtectionEnabled=False
    )["EventDataStoreArn"]
    channel = make_channel(node, "orders", store)
    data = node.client("cloudtrail-data")
    answer = data.put_audit_events(channelArn=channel, auditEvents=[entry(1), {"id": "2", "eventData": "[]"}])
    with pytest.raises(ClientError) as refused:
        data.put_audit_events(channelArn=channel, auditEvents=[entry(1), entry(1)])
    assert refused.value.response["Error"]["Code"] == "DuplicatedAuditEventId"
    with pytest.raises(ClientError) as refused:
        data.put_audit_events(channelArn=channel.replace(ACCOUNT, "222222222222"), auditEvents=[entry(1)])
    assert refused.value.response["Error"]["Code"] == "ChannelInsufficientPermission"
    until(lambda: count(node, calls) == 1, every=0.2)
    [row] = asked(node, f"SELECT eventJson AS record FROM {calls.rsplit('/', 1)[1]}")
    record = json.loads(row["record"])
    assert (record["eventName"], record["eventCategory"], record["managementEvent"]) == ("PutAuditEvents", "Data", False)
    assert record["resources"] == [{"accountId": ACCOUNT, "type": "AWS::CloudTrail::Channel", "ARN": channel}]
    assert record["requestID"] == answer["ResponseMetadata"]["RequestId"]
    assert record["requestParameters"] == {"channelArn": channel, "auditEvents": [{"id": "1"}, {"id": "2"}]}
    assert record["responseElements"]["successful"] == answer["successful"]
    assert count(node, store) == 1
    history = node.client("cloudtrail").lookup_events()["Events"]
    assert not [event for event in history if event["EventName"] in ("PutAuditEvents", "Buy")]


def test_errors_have_the_form_of_rest_json(node):
    body = json.dumps({"auditEvents": [{"id": "1", "eventData": "{}"}]}).encode()
    headers = {"Content-Type": "application/json"}
    cases = [
        ("POST", "/PutAuditEvents?channelArn=nonsense", body, 400, "InvalidChannelARN"),
        ("POST", "/PutAuditEvents", body, 400, "ValidationException"),
        ("POST", "/PutAuditEvents?channelArn=arn%3Ax", b"{", 400, "SerializationException"),
        ("POST", "/Unknown", body, 400, "UnknownOperationException"),
        ("GET", "/PutAuditEvents", b"", 400, "UnknownOperationException"),
    ]
    for method, path, body, status, code in cases:
        answer = send(node, method, path, body, signature(node, "cloudtrail-data", method, path, body, headers))
        assert (answer.status, answer.headers["x-amzn-errortype"]) == (status, code), answer.body
        assert json.loads(answer.body)["__type"] == code
        assert answer.headers["content-type"] == "application/json"
    path = "/PutAuditEvents?channelArn=arn%3Ax"
    answer = send(node, "POST", path, body, signature(node, "cloudtrail-data", "POST", path, body, headers, secret="x" * 40))
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")


def test_the_quota_is_25_and_a_setting(node_with):
    for config, limit in [("", 25), ("channels_per_region_max = 2\n", 2)]:
        node = node_with(config=config)
        store = make_store(node, "apps")
        for n in range(limit):
            make_channel(node, f"channel-{n}", store, source=f"source {n}")
        with pytest.raises(ClientError) as refused:
            make_channel(node, "one-more", store, source="one more")
        assert refused.value.response["Error"]["Code"] == "ChannelMaxLimitExceededException"
        pages = []
        asked = {}
        while True:
            page = node.client("cloudtrail").list_channels(MaxResults=limit - 1, **asked)
            pages.append([channel["Name"] for channel in page["Channels"]])
            if "NextToken" not in page:
                break
            asked = {"NextToken": page["NextToken"]}
        assert [name for page in pages for name in page] == [f"channel-{n}" for n in range(limit)]
        assert len(pages) == 2
        node.stop()


def test_other_engines_read_the_same_rows(node_with):
    node = node_with(config=QUICK)
    store = make_store(node, "apps")
    channel = make_channel(node, "orders", store)
    put = node.client("cloudtrail-data").put_audit_events(channelArn=channel, auditEvents=[entry(n, UID=f"u-{n}") for n in range(20)])
    until(lambda: count(node, store) == 20)
    until_in_files(node)
    table = node.data / "lake" / store.rsplit("/", 1)[1]
    columns = ["eventid", "eventdata", "metadata", "cairn_account"]
    rows = rows_by_deltalake(table, columns)
    assert sorted(row[0] for row in rows) == sorted(done["eventID"] for done in put["successful"])
    assert sorted(row[1]["uid"] for row in rows) == sorted(f"u-{n}" for n in range(20))
    assert {row[2]["channelarn"] for row in rows} == {channel} and {row[3] for row in rows} == {ACCOUNT}
    assert sorted(row[0] for row in rows_by_duckdb(table, columns)) == sorted(row[0] for row in rows)


class Puts:
    """Puts events until told to stop. What was answered is remembered, with its ID. Each is put once: to
    put again what was not answered would be a second event, of another ID."""

    def __init__(self, node: Node, channel: str, batch: int):
        self.data = boto3.client(
            "cloudtrail-data",
            endpoint_url=node.endpoint,
            region_name="us-east-1",
            aws_access_key_id=node.credentials["aws_access_key_id"],
            aws_secret_access_key=node.credentials["aws_secret_access_key"],
            config=botocore.config.Config(retries={"total_max_attempts": 1}),
        )
        self.channel, self.batch = channel, batch
        self.answered: dict[str, str] = {}
        self.tried: set[str] = set()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def run(self) -> None:
        while not self.stopping.is_set():
            uids = [str(uuid.uuid4()) for _ in range(self.batch)]
            self.tried.update(uids)
            try:
                answer = self.data.put_audit_events(channelArn=self.channel, auditEvents=[entry(uid, UID=uid) for uid in uids])
            except (ClientError, BotoCoreError):
                # Down, or going down. Nothing was promised.
                time.sleep(0.02)
                continue
            assert answer["failed"] == []
            self.answered.update({done["id"]: done["eventID"] for done in answer["successful"]})


def test_kills_in_the_middle_of_puts_lose_and_double_nothing(tmp_path):
    dice = random.Random(random.SystemRandom().randrange(1 << 32))
    (tmp_path / "one").mkdir()
    node = Node(tmp_path / "one", config='lake_commit_interval = "400ms"\n')
    node.port = quiet_port()
    node.start()
    try:
        store, more = make_store(node, "apps"), make_store(node, "more")
        channel = make_channel(node, "orders", store, more)
        with Puts(node, channel, 20) as many, Puts(node, channel, 1) as single:
            for _ in range(6):
                time.sleep(dice.uniform(0.3, 1.5))
                node.kill()
                node.start()
            time.sleep(1)
        answered = many.answered | single.answered
        assert len(answered) > 100, "there was no load to speak of"
        for each in (store, more):
            name = each.rsplit("/", 1)[1]

            def rows(name: str = name) -> list[dict]:
                found = node.run("query", f"SELECT eventData.UID AS uid, eventID AS id FROM {name}", "--data", str(node.data), "--format", "json")
                assert found.returncode == 0, found.stderr
                return [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]

            until(lambda: answered.keys() <= {row["uid"] for row in rows()}, wait=60, every=0.5)
            found = rows()
            assert len({row["uid"] for row in found}) == len(found), "an event is there twice"
            assert len({row["id"] for row in found}) == len(found)
            assert {row["uid"]: row["id"] for row in found}.items() >= answered.items()
            assert {row["uid"] for row in found} <= many.tried | single.tried
        assert "panicked" not in node.log.read_text(errors="replace")
    finally:
        node.end()
