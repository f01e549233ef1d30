#!/usr/bin/env python3
"""The peers of the lake: DuckDB with Parquet, ClickHouse (chdb) with a MergeTree table.

Each runs in a process of its own, so that its peak memory can be told and no engine keeps caches or
threads while another is measured. `bench/lake.py` calls:

    lake_peers.py duckdb|clickhouse import FILES STORE       one JSON object on stdout
    lake_peers.py duckdb|clickhouse query STORE QUESTIONS    likewise; QUESTIONS: {name: SQL} as JSON
    lake_peers.py duckdb import-detected|direct FILES STORE

Both get the same columns: everything in a record that people ask for, with its type, and parameters as
JSON text. Neither keeps the record itself. Both are set up as somebody would who knows them, and the
ways of reading the files that were tried are in bench/README.md.
"""

import glob
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

THREADS = 2
WARM_RUNS = 5
# CloudTrail's own largest file is 50 MB; a file is one JSON object.
OBJECT_BYTES_MAX = 64 << 20

# Column → type; "text" has many values, "word" few.
ISSUER = {"type": "word", "principalId": "text", "arn": "text", "accountId": "word", "userName": "word"}
SESSION = {"sessionIssuer": ISSUER, "attributes": {"creationDate": "text", "mfaAuthenticated": "word"}}
COLUMNS = {
    "eventVersion": "word",
    "userIdentity": {
        "type": "word", "principalId": "text", "arn": "text", "accountId": "word", "accessKeyId": "text",
        "userName": "text", "invokedBy": "word", "sessionContext": SESSION,
    },
    "eventTime": "time", "eventSource": "word", "eventName": "word", "awsRegion": "word",
    "sourceIPAddress": "text", "userAgent": "word", "errorCode": "word", "errorMessage": "text",
    "requestParameters": "json", "responseElements": "json", "additionalEventData": "json",
    "requestID": "text", "eventID": "uuid", "readOnly": "bool", "resources": "json",
    "eventType": "word", "managementEvent": "bool", "recipientAccountId": "word",
    "vpcEndpointId": "word", "eventCategory": "word",
    "tlsDetails": {"tlsVersion": "word", "cipherSuite": "word", "clientProvidedHostHeader": "word"},
}  # fmt: skip


class DuckDb:
    TYPES = {"word": "VARCHAR", "text": "VARCHAR", "time": "TIMESTAMP", "json": "JSON", "uuid": "UUID", "bool": "BOOLEAN"}

    def __init__(self, store: Path):
        import duckdb

        self.version = duckdb.__version__
        self.parquet = store / "events.parquet"
        self.database = duckdb.connect(config={"threads": THREADS})

    def import_files(self, files: Path) -> dict:
        """As fast as was found: the whole file as JSON, then one transformation into typed columns.

        The identity's fields become columns of their own: its Parquet reader can skip by those, and
        DuckDB 2.0 ends with an internal error when a field of a struct is compared under ORDER BY …
        LIMIT."""
        structure = json.dumps({"Records": [columns_of(COLUMNS, self.TYPES)]})
        self.copy(
            f"""SELECT unnest(userIdentity), * EXCLUDE (userIdentity) FROM (
                  SELECT unnest(record) FROM (
                    SELECT unnest(json_transform(json, '{structure}').Records) AS record
                    FROM read_json_objects({log_files(files)}, maximum_object_size = {OBJECT_BYTES_MAX})))""",
            self.parquet,
        )
        return {"bytes": self.parquet.stat().st_size, "events": self.count(self.parquet)}

    def import_detected(self, files: Path) -> dict:
        """As the manual shows it: read_json finds the columns and their types itself."""
        parquet = self.parquet.with_name("detected.parquet")
        self.copy(
            f"""SELECT unnest(record) FROM (
                  SELECT unnest(Records) AS record
                  FROM read_json({log_files(files)}, maximum_object_size = {OBJECT_BYTES_MAX}))""",
            parquet,
        )
        result = {"bytes": parquet.stat().st_size, "events": self.count(parquet)}
        parquet.unlink()
        return result

    def copy(self, select: str, parquet: Path) -> None:
        self.database.execute(f"COPY ({select}) TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)")

    def count(self, parquet: Path) -> int:
        return self.database.execute(f"SELECT count(*) FROM '{parquet}'").fetchone()[0]

    def open(self) -> None:
        self.database.execute(f"CREATE VIEW events AS SELECT * FROM '{self.parquet}'")

    def rows(self, sql: str) -> list:
        return self.database.execute(sql).fetchall()

    def direct(self, files: Path) -> dict[str, str]:
        """The same answer straight from the files, in two ways."""
        tail = "GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 10"
        two = {"eventSource": "VARCHAR", "eventName": "VARCHAR"}
        return {
            "read_json": f"""SELECT r.eventSource, r.eventName, count(*) AS n FROM (
                SELECT unnest(Records) AS r FROM read_json({log_files(files)}, maximum_object_size = {OBJECT_BYTES_MAX})) {tail}""",
            "read_json_objects": f"""SELECT r.eventSource, r.eventName, count(*) AS n FROM (
                SELECT unnest(json_transform(json, '{json.dumps({"Records": [two]})}').Records) AS r
                FROM read_json_objects({log_files(files)}, maximum_object_size = {OBJECT_BYTES_MAX})) {tail}""",
        }


class ClickHouse:
    TYPES = {"word": "LowCardinality(String)", "text": "String", "time": "DateTime('UTC')", "json": "String", "uuid": "UUID", "bool": "Bool"}
    # A file's records are read as texts, each an element of an array.
    SETTINGS = {
        "max_threads": THREADS,
        "max_insert_threads": THREADS,
        "allow_suspicious_low_cardinality_types": 1,
        "input_format_json_read_objects_as_strings": 1,
        # It remembers which parts of the table a condition holds in: the second run of the same
        # question would not look for anything. People look for another user each time.
        "use_query_condition_cache": 0,
    }

    def __init__(self, store: Path):
        from chdb import session

        self.session = session.Session(str(store))
        self.session.query("SET " + ", ".join(f"{name} = {value}" for name, value in self.SETTINGS.items()))
        self.version = self.rows("SELECT version()")[0][0]

    def import_files(self, files: Path) -> dict:
        types = columns_of(COLUMNS, self.TYPES)
        self.session.query("CREATE DATABASE bench ENGINE = Atomic")
        self.session.query(f"CREATE TABLE bench.events ({fields(types)}) ENGINE = MergeTree ORDER BY eventTime")
        # simdjson reads each record once, into a tuple; JSON has no times.
        record = f"Tuple({fields({**types, 'eventTime': 'String'})})"
        names = [f"record.{name}" for name in types]
        names[list(types).index("eventTime")] = "parseDateTimeBestEffort(record.eventTime, 'UTC')"
        self.session.query(
            f"""INSERT INTO bench.events SELECT {", ".join(names)} FROM (
                  SELECT JSONExtract(text, '{record}') AS record FROM (
                    SELECT arrayJoin(Records) AS text
                    FROM file('{files}/AWSLogs/*/CloudTrail/*/*/*/*/*.json.gz', 'JSONEachRow', 'Records Array(String)')))"""
        )
        parts = self.rows("SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND database = 'bench'")
        return {"bytes": parts[0][0], "events": parts[0][1]}

    def open(self) -> None:
        self.session.query("USE bench")
        # Merged now rather than in the middle of a question.
        self.session.query("OPTIMIZE TABLE events FINAL")

    def rows(self, sql: str) -> list:
        # Numbers stay numbers; the rest is text.
        answer = self.session.query(f"{sql} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONCompactEachRow")
        return [json.loads(line) for line in str(answer).splitlines()]


def columns_of(columns: dict, types: dict) -> dict:
    return {name: columns_of(kind, types) if isinstance(kind, dict) else types[kind] for name, kind in columns.items()}


def fields(types: dict) -> str:
    """Names and types as ClickHouse writes them in tables and tuples."""
    return ", ".join(f"{name} Tuple({fields(kind)})" if isinstance(kind, dict) else f"{name} {kind}" for name, kind in types.items())


def log_files(files: Path) -> list[str]:
    """All of them by name: a recursive pattern would cost a walk in each run."""
    return sorted(glob.glob(f"{files}/AWSLogs/*/CloudTrail/*/*/*/*/*.json.gz"))


def timed(call) -> tuple[dict, object]:
    """Wall and processor seconds of a call, and what it gave."""
    before, began = processor_s(), time.perf_counter()
    result = call()
    return {"s": time.perf_counter() - began, "cpu_s": processor_s() - before}, result


def processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def ask(engine, questions: dict[str, str]) -> dict:
    """Each question once to warm up, then five times."""
    from lake_queries import same_form

    engine.open()
    answers = {}
    for name, sql in questions.items():
        first, rows = timed(lambda sql=sql: engine.rows(sql))
        runs = [timed(lambda sql=sql: engine.rows(sql))[0]["s"] * 1000 for _ in range(WARM_RUNS)]
        answers[name] = {
            "first_ms": first["s"] * 1000,
            "best_ms": min(runs),
            "median_ms": statistics.median(runs),
            "rows": same_form(rows),
        }
    return answers


def main(engine_name: str, verb: str, *arguments: str) -> int:
    kind = {"duckdb": DuckDb, "clickhouse": ClickHouse}[engine_name]
    store = Path(arguments[0] if verb == "query" else arguments[1])
    store.mkdir(parents=True, exist_ok=True)
    engine = kind(store)
    if verb == "query":
        result = {"answers": ask(engine, json.loads(arguments[1]))}
    elif verb == "direct":
        from lake_queries import same_form

        result = {"ways": {}}
        for way, sql in engine.direct(Path(arguments[0])).items():
            took, rows = timed(lambda sql=sql: engine.rows(sql))
            result["ways"][way] = {**took, "rows": same_form(rows)}
    else:
        call = {"import": "import_files", "import-detected": "import_detected"}[verb]
        took, counted = timed(lambda: getattr(engine, call)(Path(arguments[0])))
        result = {**took, **counted}
    result["version"] = engine.version
    # In kB (getrusage(2)).
    result["rss_mb_max"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps(result), flush=True)
    # chdb's threads need no farewell, and the process has said what it had to say.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
