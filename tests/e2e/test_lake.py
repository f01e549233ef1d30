"""Event history and event data stores: what is accepted is found, once, whatever happens; other engines read the tables."""

import csv
import gzip
import io
import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from botocore.exceptions import ClientError

from conftest import make_event, ndjson, until
from support.delta import rows_by_deltalake, rows_by_duckdb

COLUMNS = ["eventid", "eventname", "eventtime", "useridentity", "requestparameters", "cairn_account"]


@pytest.fixture
def cloudtrail(node):
    return node.client("cloudtrail")


def make_store(cloudtrail, name: str = "audit", **more) -> str:
    """The ARN of a new event data store."""
    more = {"TerminationProtectionEnabled": False, "RetentionPeriod": 3653, **more}
    return cloudtrail.create_event_data_store(Name=name, **more)["EventDataStoreArn"]


def events(count: int, **more) -> list[dict]:
    now = datetime.now(timezone.utc)
    times = [(now - timedelta(minutes=n)).strftime("%Y-%m-%dT%H:%M:%SZ") for n in range(count)]
    return [make_event(eventTime=time, requestParameters={"n": n, "deep": {"a": [1, 2.50]}}, **more) for n, time in enumerate(times)]


def post(node, records: list[dict]) -> None:
    status, answer = node.post(ndjson(records))
    assert (status, answer["accepted"]) == (200, len(records))


def ids_in_history(cloudtrail, **asked) -> list[str]:
    pages = cloudtrail.get_paginator("lookup_events").paginate(**asked)
    return [event["EventId"] for page in pages for event in page["Events"]]


def by_source(source: str) -> dict:
    return {"LookupAttributes": [{"AttributeKey": "EventSource", "AttributeValue": source}]}


def log_file(records: list[dict]) -> bytes:
    return gzip.compress(json.dumps({"Records": records}, separators=(",", ":")).encode())


def test_history_answers_the_aws_cli_newest_first_and_byte_for_byte(node):
    records = events(120, eventSource="orders.example.com")
    post(node, records)
    asked = ["cloudtrail", "lookup-events", "--lookup-attributes", "AttributeKey=EventSource,AttributeValue=orders.example.com"]
    until(lambda: len(node.aws_json(*asked)["Events"]) == 120)
    found = node.aws_json(*asked)["Events"]
    assert [event["EventId"] for event in found] == [record["eventID"] for record in records]
    as_posted = {json.loads(line)["eventID"]: line.decode() for line in ndjson(records).splitlines()}
    assert [event["CloudTrailEvent"] for event in found] == [as_posted[event["EventId"]] for event in found]


def test_a_killed_node_finds_each_event_once(node, cloudtrail):
    store = make_store(cloudtrail)
    count = f"SELECT count(*) AS n, count(DISTINCT eventID) AS ids FROM {store.rsplit('/', 1)[1]} WHERE eventSource = 'orders.example.com'"
    for turn in range(1, 4):
        post(node, events(200, eventSource="orders.example.com"))
        node.kill()
        node.start()
        cloudtrail = node.client("cloudtrail")
        until(lambda: len(ids_in_history(cloudtrail, **by_source("orders.example.com"))) == 200 * turn)
        ids = ids_in_history(cloudtrail, **by_source("orders.example.com"))
        assert len(set(ids)) == 200 * turn
        expected = f"{200 * turn}"
        until(lambda: node.run("query", count, "--data", str(node.data), "--format", "csv").stdout.splitlines()[-1:] == [f"{expected},{expected}"])


def test_other_engines_read_the_same_rows(node_with):
    node = node_with(config="lake_commit_interval = \"1s\"\n")
    cloudtrail = node.client("cloudtrail")
    store = make_store(cloudtrail)
    records = events(50, eventSource="orders.example.com")
    post(node, records)
    table = node.data / "lake" / store.rsplit("/", 1)[1]

    def posted(rows: list[tuple]) -> list[tuple]:
        return [row for row in rows if row[0] in ids]

    ids = {record["eventID"] for record in records}
    until(lambda: (table / "_delta_log").exists() and len(posted(rows_by_deltalake(table, COLUMNS))) == 50)
    rows = posted(rows_by_deltalake(table, COLUMNS))
    assert rows == posted(rows_by_duckdb(table, COLUMNS))
    by_id = {row[0]: dict(zip(COLUMNS, row)) for row in rows}
    for record in records:
        row = by_id[record["eventID"]]
        assert row["eventname"] == record["eventName"]
        assert row["eventtime"].strftime("%Y-%m-%dT%H:%M:%SZ") == record["eventTime"]
        assert row["useridentity"]["arn"] == record["userIdentity"]["arn"]
        assert row["requestparameters"]["n"] == str(record["requestParameters"]["n"])
        assert json.loads(row["requestparameters"]["deep"]) == record["requestParameters"]["deep"]
        assert row["cairn_account"] == "111111111111"


def test_an_import_repeated_changes_nothing_and_names_bad_files(node, cloudtrail, tmp_path):
    make_store(cloudtrail)
    records = events(300, eventSource="orders.example.com", recipientAccountId="222222222222")
    logs = tmp_path / "logs" / "AWSLogs"
    logs.mkdir(parents=True)
    (logs / "a.json.gz").write_bytes(log_file(records[:200]))
    (logs / "b.json.gz").write_bytes(log_file(records[150:]))
    (logs / "cut.json.gz").write_bytes(log_file(records)[:-20])
    (logs / "plain.json").write_text("no records here")
    first = node.run("import", str(logs), "--into", "audit", "--data", str(node.data))
    assert first.returncode == 1, first.stderr
    assert "300 events from" in first.stdout and "50 were there already" in first.stdout
    assert "cut.json.gz" in first.stderr and "cut short" in first.stderr and "plain.json" in first.stderr
    again = node.run("import", str(logs), "--into", "audit", "--data", str(node.data))
    assert again.stdout.startswith("0 events from"), again.stdout
    more = node.run("import", str(logs / "nothing"), "--into", "audit", "--data", str(node.data))
    assert more.returncode == 1 and "nothing" in more.stderr
    wrong = node.run("import", str(logs), "--into", "nonesuch", "--data", str(node.data))
    assert wrong.returncode == 1 and "audit" in wrong.stderr, "the stores that there are, are named"


def test_sql_over_files_answers_as_the_server_does(node, cloudtrail, tmp_path):
    store = make_store(cloudtrail).rsplit("/", 1)[1]
    records = events(100, eventSource="orders.example.com", eventName="CreateOrder") + events(50, eventSource="orders.example.com", eventName="CancelOrder")
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "one.json.gz").write_bytes(log_file(records[:70]))
    (folder / "two.ndjson").write_bytes(ndjson(records[70:]))
    assert node.run("import", str(folder), "--into", "audit", "--data", str(node.data)).returncode == 0
    select = "SELECT eventName, count(*) AS n, max(requestParameters['n']) AS most FROM {} WHERE eventSource = 'orders.example.com' GROUP BY eventName ORDER BY n DESC"
    here = node.run("query", select.format("logs"), "--from", str(folder), "--format", "csv")
    there = node.run("query", select.format(store), "--data", str(node.data), "--format", "csv")
    assert here.stdout == there.stdout
    assert list(csv.reader(io.StringIO(here.stdout))) == [["eventName", "n", "most"], ["CreateOrder", "100", "99"], ["CancelOrder", "50", "9"]]
    record = node.run("query", "SELECT eventJson FROM logs LIMIT 1", "--from", str(folder / "two.ndjson"), "--format", "json")
    assert json.loads(json.loads(record.stdout)["eventJson"]) == records[70]
    broken = node.run("query", "SELECT nosuch FROM logs", "--from", str(folder))
    assert broken.returncode == 1 and "nosuch" in broken.stderr
    drop = node.run("query", "DROP TABLE logs", "--from", str(folder))
    assert drop.returncode == 1 and "SELECT" in drop.stderr


def test_lookup_on_the_command_line(node, cloudtrail):
    post(node, events(30, eventSource="orders.example.com", eventName="CreateOrder", errorCode="AccessDenied") + events(30, eventSource="orders.example.com", eventName="CancelOrder"))
    asked = ["lookup", "source=orders.example.com", "--data", str(node.data), "--limit", "100"]
    until(lambda: len(node.run(*asked).stdout.splitlines()) == 60)
    assert len(node.run(*asked, "error=AccessDenied").stdout.splitlines()) == 30
    assert len(node.run(*asked, "name!=CreateOrder").stdout.splitlines()) == 30
    assert len(node.run(*asked, "name=Cancel*", "text~\"n\": 7,").stdout.splitlines()) == 1
    whole = node.run(*asked, "--json", "name=CancelOrder").stdout.splitlines()
    assert {json.loads(line)["eventName"] for line in whole} == {"CancelOrder"}
    wrong = node.run("lookup", "colour=red", "--data", str(node.data))
    assert wrong.returncode == 1 and "colour" in wrong.stderr


def test_an_unknown_store_is_refused_with_its_place(cloudtrail):
    with pytest.raises(ClientError) as refused:
        cloudtrail.start_query(QueryStatement=f"SELECT 1 FROM {uuid.uuid4()}")
    assert refused.value.response["Error"]["Code"] == "InvalidQueryStatementException"
    assert "line 1:15" in refused.value.response["Error"]["Message"]
