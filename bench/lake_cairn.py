"""Cairn's side of the lake's benchmark: import, queries, `query --from`, lookups.

Only this file knows how Cairn is asked. Each part raises `Missing` when the server or the program does
not have it yet; the runner then says so and goes on with the rest.

    import      `cairn import FILES --into STORE`: from starting the command until it has ended, which
                it does when everything is committed
    queries     StartQuery, then GetQueryResults until it is FINISHED, with all rows: by signed HTTP over
                one connection, where signing is not counted (this is what is judged: the peers run in
                the process that asks them), by boto3, and the server's own ExecutionTimeInMillis
    from        `cairn query --from FILES`: the whole process
    lookups     LookupEvents by signed HTTP over one connection, likewise
    freshness   from the answer to `POST /v1/events` until LookupEvents shows the event, asked over and over
"""

import concurrent.futures
import gzip
import http.client
import itertools
import json
import os
import random
import re
import resource
import statistics
import subprocess
import threading
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

from lake_queries import CAIRN, DIRECT, DUCKDB, same_form
from run import Cairn, Sampler, end

REGION, ACCOUNT = "us-east-1", "111111111111"
WARM_RUNS = 5
LOOKUPS = 200
PROBES = 300
LOAD_EVENTS_S = 5_000
FOUND_S_MAX = 60
POLL_S = 0.001
IN_FLIGHT = 4


class Missing(Exception):
    """The program cannot do this yet; the text is its own answer."""


# ---- import


def make_store(server: Cairn) -> str:
    """An event data store for all management and data events; its ARN."""
    selectors = [
        {"Name": category, "FieldSelectors": [{"Field": "eventCategory", "Equals": [category]}]}
        for category in ("Management", "Data")
    ]
    # CloudTrail wants a type with data events; imports do not look at selectors (spec k).
    selectors[1]["FieldSelectors"].append({"Field": "resources.type", "Equals": ["AWS::S3::Object"]})
    try:
        answer = server.client("cloudtrail").create_event_data_store(
            # Without ingestion: the benchmark's own calls would be counted.
            Name="bench", AdvancedEventSelectors=selectors, TerminationProtectionEnabled=False, StartIngestion=False
        )
    except Exception as refusal:  # botocore makes its error classes at run time
        raise Missing(f"CreateEventDataStore: {refusal}") from None
    return answer["EventDataStoreArn"]


def import_files(server: Cairn, files: Path, store: str) -> dict:
    before = stored_bytes(server.data)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Sampler(server.process.pid) as sampler:
        began = time.perf_counter()
        command(server, "import", files, "--into", store)
        took_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {"s": took_s, "bytes": stored_bytes(server.data) - before}
    result["cpu_s"] = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    sampled = sampler.result()
    result["cpu_s"] += sampled.get("server_cpu_s", 0)
    # The peak of the server, as the kernel kept it, and that of the largest child so far.
    result["rss_mb_max"] = peak_rss_mb(server.process.pid)
    result["client_rss_mb_max"] = after.ru_maxrss / 1000
    result["anon_mb_max"] = sampled.get("anon_mb_max")
    return result


def command(server: Cairn, *arguments) -> str:
    """What a `cairn` command prints, against the running server."""
    line = [str(server.binary), *map(str, arguments), "--data", str(server.data)]
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Missing(f"cairn {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def stored_bytes(data: Path) -> int:
    """Of everything in the data folder but the journal, which passes things on."""
    return sum(path.stat().st_size for path in data.rglob("*") if path.is_file() and path.suffix != ".journal")


def peak_rss_mb(pid: int) -> float:
    return int(re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)[1]) / 1000


# ---- queries


def queries(server: Cairn, store: str, names: dict[str, str]) -> dict:
    client, wire = server.client("cloudtrail"), Wire(server)
    answers = {}
    for name, text in CAIRN.items():
        sql = text.format(table=store.rsplit("/", 1)[1], **names)
        first, *warm = [by_wire(wire, sql) for _ in range(WARM_RUNS + 1)]
        answers[name] = {
            "first_ms": first["ms"],
            "best_ms": min(run["ms"] for run in warm),
            "median_ms": statistics.median(run["ms"] for run in warm),
            "server_best_ms": min(run["server_ms"] for run in warm),
            "boto3_best_ms": min(by_boto3(client, sql) for _ in range(WARM_RUNS)),
            "rows": warm[-1]["rows"],
        }
    return answers


class Wire:
    """One connection, over which signed requests go; counts the time outside of signing."""

    def __init__(self, server: Cairn):
        self.server, self.ms = server, 0.0
        keys = server.credentials()
        self.keys = (keys["aws_access_key_id"], keys["aws_secret_access_key"])
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.endpoint).netloc, timeout=600)

    def call(self, operation: str, parameters: dict) -> dict:
        """The answer to one CloudTrail operation; `ms` grows by the time that it took."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        body = json.dumps(parameters)
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            # As SDKs do: the same request twice in a second would have the same signature.
            "amz-sdk-invocation-id": str(uuid.uuid4()),
            "X-Amz-Target": f"com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}",
        }
        request = AWSRequest("POST", self.server.endpoint + "/", data=body, headers=headers)
        SigV4Auth(Credentials(*self.keys), "cloudtrail", REGION).add_auth(request)
        began = time.perf_counter()
        self.connection.request("POST", "/", body=body, headers=dict(request.headers.items()))
        answer = self.connection.getresponse()
        content = answer.read()
        self.ms += (time.perf_counter() - began) * 1000
        if answer.status != 200:
            raise Missing(f"{operation}: {answer.status} {content[:300].decode(errors='replace')}")
        return json.loads(content)

    def health(self) -> None:
        began = time.perf_counter()
        self.connection.request("GET", "/health")
        self.connection.getresponse().read()
        self.ms += (time.perf_counter() - began) * 1000


def by_wire(wire: Wire, sql: str) -> dict:
    wire.ms = 0.0
    query = wire.call("StartQuery", {"QueryStatement": sql})["QueryId"]
    rows, token = [], None
    while True:
        page = wire.call("GetQueryResults", {"QueryId": query, "MaxQueryResults": 1000} | ({"NextToken": token} if token else {}))
        if page["QueryStatus"] in ("QUEUED", "RUNNING"):
            time.sleep(POLL_S)
            wire.ms += POLL_S * 1000
            continue
        if page["QueryStatus"] != "FINISHED":
            raise Missing(f"the query is {page['QueryStatus']}: {page.get('ErrorMessage')}\n{sql}")
        rows += [[value for cell in row for value in cell.values()] for row in page["QueryResultRows"]]
        if not (token := page.get("NextToken")):
            break
    took_ms = wire.ms
    server_ms = wire.call("DescribeQuery", {"QueryId": query})["QueryStatistics"]["ExecutionTimeInMillis"]
    return {"ms": took_ms, "server_ms": server_ms, "rows": same_form(rows)}


def by_boto3(client, sql: str) -> float:
    """Milliseconds until the first page of rows is there, as somebody's script has them."""
    began = time.perf_counter()
    query = client.start_query(QueryStatement=sql)["QueryId"]
    while client.get_query_results(QueryId=query)["QueryStatus"] in ("QUEUED", "RUNNING"):
        time.sleep(POLL_S)
    return (time.perf_counter() - began) * 1000


def direct(binary: Path, files: Path) -> dict:
    """`cairn query --from` the files: no server. Rows come as NDJSON or as one array of objects."""
    # The name after FROM is what `--from` gives its events; DuckDB's text has it so.
    line = [str(binary), "query", DUCKDB[DIRECT], "--from", str(files), "--format", "json"]
    began = time.perf_counter()
    done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    took_s = time.perf_counter() - began
    if done.returncode != 0:
        raise Missing(f"cairn query --from ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    text = done.stdout.strip()
    rows = json.loads(text) if text.startswith("[") else [json.loads(row) for row in text.splitlines()]
    rows = [list(row.values()) if isinstance(row, dict) else row for row in rows]
    return {"s": took_s, "rows": same_form(rows)}


# ---- lookups


def fill_history(server: Cairn, files: Path) -> None:
    """The files' events into event history, as if their services had just posted them: that is the
    way in. Ends when all of them are in files of the table."""
    headers = intake_headers(server)

    def post(path: Path) -> None:
        post_events(server, path.read_bytes(), headers)

    with concurrent.futures.ThreadPoolExecutor(IN_FLIGHT) as threads:
        list(threads.map(post, sorted(files.rglob("*.json.gz"))))
    while not_in_files(server):
        time.sleep(0.2)


def intake_headers(server: Cairn) -> dict:
    return {"Authorization": f"Bearer {server.credentials()['cairn_ingest_token']}", "Content-Encoding": "gzip"}


def post_events(server: Cairn, body: bytes, headers: dict) -> None:
    request = urllib.request.Request(server.endpoint + "/v1/events", body, headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        refused = json.load(answer).get("refused")
    if refused:
        raise Missing(f"records were refused: {refused}")


def not_in_files(server: Cairn) -> int:
    """Events that cannot be found yet, and rows that are only in memory."""
    metrics = server.metrics()
    unread = metrics["cairn_journal_next_seq"] - metrics["cairn_indexing_next_seq"]
    return int(unread + metrics["cairn_lake_hot_rows"])


def lookups(server: Cairn, files: Path) -> dict:
    """Milliseconds of LookupEvents for each attribute: 200 warm ones, and the first after a start
    with nothing of the data in the page cache. `floor`: a request that asks for nothing."""
    found = {}
    for key, values in looked_for(files).items():
        wire = Wire(server)
        lookup_ms(wire, key, values[0])
        took = [lookup_ms(wire, key, value) for value in values]
        cuts = statistics.quantiles(took, n=100, method="inclusive")
        forget_pages(server)
        wire = Wire(server)
        wire.health()  # connecting is not what is measured
        found[key] = {"p50_ms": cuts[49], "p99_ms": cuts[98], "cold_ms": lookup_ms(wire, key, values[0])}
    wire, took = Wire(server), []
    for _ in range(LOOKUPS):
        wire.ms = 0.0
        wire.health()
        took.append(wire.ms)
    found["floor"] = {"p50_ms": statistics.median(took)}
    return found


def lookup_ms(wire: Wire, key: str, value: str) -> float:
    wire.ms = 0.0
    answer = wire.call("LookupEvents", {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}], "MaxResults": 50})
    if not answer["Events"]:
        raise Missing(f"LookupEvents by {key} {value} found nothing, but such an event was imported")
    return wire.ms


def looked_for(files: Path) -> dict[str, list[str]]:
    """Values that events of the home account and Region have, drawn with a fixed seed."""
    dice = random.Random(7)
    paths = sorted(files.glob(f"AWSLogs/{ACCOUNT}/CloudTrail/{REGION}/*/*/*/*.json.gz"))
    records = []
    for path in dice.sample(paths, min(20, len(paths))):
        records += [r for r in json.loads(gzip.decompress(path.read_bytes()))["Records"] if r["managementEvent"]]
    values = {}
    for key, of_record in ATTRIBUTES.items():
        found = [value for record in records for value in of_record(record) if value]
        values[key] = [dice.choice(found) for _ in range(LOOKUPS)]
    return values


ATTRIBUTES = {
    "EventId": lambda r: [r["eventID"]],
    "EventName": lambda r: [r["eventName"]],
    "ReadOnly": lambda r: [str(r["readOnly"]).lower()],
    "Username": lambda r: [r["userIdentity"].get("userName") or r["userIdentity"].get("principalId", "").partition(":")[2]],
    "ResourceType": lambda r: [one["type"] for one in r.get("resources", [])],
    "ResourceName": lambda r: [shown_name(one["ARN"]) for one in r.get("resources", [])],
    "EventSource": lambda r: [r["eventSource"]],
    "AccessKeyId": lambda r: [r["userIdentity"].get("accessKeyId")],
}


def shown_name(arn: str) -> str:
    """As LookupEvents shows a resource: a bucket by its name, all else by ARN."""
    name = arn.removeprefix("arn:aws:s3:::")
    return arn if "/" in name else name


def forget_pages(server: Cairn) -> None:
    """Stops the server, drops its files from the page cache, and starts it again."""
    end(server.process)
    for path in server.data.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    server.start()


# ---- freshness


def freshness(server: Cairn, files: Path) -> dict:
    """Milliseconds until an accepted event is found, while others come at a steady rate."""
    headers, ends = intake_headers(server), threading.Event()

    def load() -> int:
        """The files' events, about `LOAD_EVENTS_S` in a second; how many were posted."""
        began, posted = time.perf_counter(), 0
        for path in itertools.cycle(sorted(files.rglob("*.json.gz"))):
            if ends.wait(max(0.0, began + posted / LOAD_EVENTS_S - time.perf_counter())):
                return posted
            body = path.read_bytes()
            post_events(server, body, headers)
            posted += len(json.loads(gzip.decompress(body))["Records"])

    wire, dice, took = Wire(server), random.Random(7), []
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        began = time.perf_counter()
        loading = thread.submit(load)
        try:
            for _ in range(PROBES):
                time.sleep(dice.random() / 10)
                probe = probe_event()
                post_events(server, gzip.compress(json.dumps([probe]).encode()), headers)
                took.append(until_found_ms(wire, probe["eventID"]))
        finally:
            ends.set()
        rate = loading.result() / (time.perf_counter() - began)
    cuts = statistics.quantiles(took, n=100, method="inclusive")
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "load_events_s": rate}


def probe_event() -> dict:
    return {
        "eventVersion": "1.11",
        "userIdentity": {"type": "Root"},
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "eventSource": "probe.example.com",
        "eventName": "Probe",
        "awsRegion": REGION,
        "eventID": str(uuid.uuid4()),
        "readOnly": True,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }


def until_found_ms(wire: Wire, event_id: str) -> float:
    began = time.perf_counter()
    attribute = {"AttributeKey": "EventId", "AttributeValue": event_id}
    while not wire.call("LookupEvents", {"LookupAttributes": [attribute]})["Events"]:
        if time.perf_counter() - began > FOUND_S_MAX:
            raise Missing(f"event {event_id} cannot be found {FOUND_S_MAX} s after it was accepted")
        time.sleep(POLL_S)
    return (time.perf_counter() - began) * 1000
