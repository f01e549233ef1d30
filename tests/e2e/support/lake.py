"""Event data stores, and questions to them, as a client asks."""

import gzip
import json
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from conftest import make_event, ndjson, until

FINAL = ("FINISHED", "FAILED", "CANCELLED", "TIMED_OUT")
SOURCE = "orders.example.com"
# Rows get into files soon.
QUICK = 'lake_commit_interval = "300ms"\n'


def make_store(node, name: str = "orders", **more) -> str:
    """The ID of a new event data store."""
    more = {"TerminationProtectionEnabled": False, "RetentionPeriod": 3653, **more}
    return node.client("cloudtrail").create_event_data_store(Name=name, **more)["EventDataStoreArn"].rsplit("/", 1)[1]


def events(count: int, days: int = 1, **more) -> list[dict]:
    """Orders, spread evenly over the last `days` days."""
    now = datetime.now(timezone.utc)
    step = timedelta(days=days) / max(count, 1)
    return [
        make_event(eventSource=SOURCE, eventTime=(now - n * step).strftime("%Y-%m-%dT%H:%M:%SZ"), requestParameters={"n": n}, **more)
        for n in range(count)
    ]


def post(node, records: list[dict]) -> set[str]:
    """Posts events that must all be accepted; their IDs."""
    for at in range(0, len(records), 500):
        some = records[at : at + 500]
        status, answer = node.post(ndjson(some))
        assert (status, answer["accepted"]) == (200, len(some)), answer
    return {record["eventID"] for record in records}


def start(node, statement: str) -> str:
    return node.client("cloudtrail").start_query(QueryStatement=statement)["QueryId"]


def ended(node, query: str, wait: float = 60) -> dict:
    cloudtrail = node.client("cloudtrail")
    return until(lambda: (found := cloudtrail.get_query_results(QueryId=query))["QueryStatus"] in FINAL and found, wait=wait)


def ask(node, statement: str, wait: float = 60) -> dict:
    """A query's end, whatever it is: QueryStatus, QueryResultRows, ErrorMessage."""
    return ended(node, start(node, statement), wait)


def failure(node, statement: str, wait: float = 60) -> str:
    """The message of a query that must fail, at once or later."""
    try:
        result = ask(node, statement, wait)
    except ClientError as refused:
        return refused.response["Error"]["Message"]
    assert result["QueryStatus"] == "FAILED", result
    return result["ErrorMessage"]


def rows(node, statement: str) -> list[list[str]]:
    result = ask(node, statement)
    assert result["QueryStatus"] == "FINISHED", result.get("ErrorMessage")
    return values(result)


def values(result: dict) -> list[list[str]]:
    """The rows of a page of results, without the names of their columns."""
    return [[value for cell in row for value in cell.values()] for row in result["QueryResultRows"]]


def code_of(call) -> str:
    """The code of a call that must be refused."""
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"]


def three_orders(node) -> str:
    """The ID of an event data store with one CreateOrder and two CancelOrders."""
    store = make_store(node, RetentionPeriod=366)
    post(node, [make_event(eventName=name) for name in ("CreateOrder", "CancelOrder", "CancelOrder")])
    until_there(node, store, 3)
    return store


def tally(node, store: str) -> tuple[int, int]:
    """Orders in a store, and how many different ones."""
    found = rows(node, f"SELECT count(*) AS n, count(DISTINCT eventID) AS ids FROM {store} WHERE eventSource = '{SOURCE}'")
    return int(found[0][0]), int(found[0][1])


def until_there(node, store: str, count: int, wait: float = 60) -> None:
    """Each of `count` orders, once."""
    seen = []

    def there():
        try:
            seen[:] = tally(node, store)
        except (AssertionError, ClientError, BotoCoreError) as error:
            seen[:] = [error]
            return False
        return seen == [count, count]

    try:
        until(there, wait=wait, every=0.2)
    except AssertionError:
        raise AssertionError(f"not {count} orders but {seen}\n{node.tail()}") from None


def ids_in_history(node) -> list[str]:
    asked = {"LookupAttributes": [{"AttributeKey": "EventSource", "AttributeValue": SOURCE}]}
    pages = node.client("cloudtrail").get_paginator("lookup_events").paginate(**asked)
    return [event["EventId"] for page in pages for event in page["Events"]]


def until_in_history(node, ids: set[str], wait: float = 60) -> None:
    def there():
        try:
            return sorted(ids_in_history(node)) == sorted(ids)
        except (ClientError, BotoCoreError):
            return False

    until(there, wait=wait, every=0.2)


def write_logs(folder: Path, records: list[dict], per_file: int = 100) -> Path:
    """Log files as CloudTrail writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for at in range(0, len(records), per_file):
        text = json.dumps({"Records": records[at : at + per_file]}, separators=(",", ":"))
        (folder / f"{at:06}.json.gz").write_bytes(gzip.compress(text.encode(), 1))
    return folder


def data_files(table: Path) -> list[Path]:
    """The Parquet files that a table in a folder has now, the largest first."""
    import deltalake

    files = [Path(uri.removeprefix("file://")) for uri in deltalake.DeltaTable(str(table)).file_uris()]
    return sorted(files, key=lambda file: -file.stat().st_size)


def until_in_files(node) -> None:
    """Nothing is only in memory. What asks the node meanwhile is recorded, too."""
    until(lambda: metric(node, "cairn_lake_hot_rows") == 0, every=0.05)


def health(node) -> dict:
    with urllib.request.urlopen(node.endpoint + "/health", timeout=10) as answer:
        return json.loads(answer.read())


def metric(node, line: str) -> float:
    """The value of a line of /metrics, such as cairn_lake_tables_behind; 0 where there is none."""
    with urllib.request.urlopen(node.endpoint + "/metrics", timeout=10) as answer:
        for text in answer.read().decode().splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
    return 0.0
