"""The queries and imports of the world."""

import gzip
import json
from functools import cached_property

from conftest import make_event, until

from .client import REGION
from .constants import ACCOUNT

FINAL = ("FINISHED", "FAILED", "CANCELLED", "TIMED_OUT")
# More rows than can be counted, each of them quick, so that it soon notices when it is cancelled.
ENDLESS = (
    "SELECT count(*) FROM {0} a CROSS JOIN {0} b CROSS JOIN {0} c CROSS JOIN {0} d CROSS JOIN {0} e CROSS JOIN {0} f "
    "WHERE concat(a.eventID, b.eventID, c.eventID, d.eventID, e.eventID, f.eventID) > 'g'"
)


class Asked:
    # --- queries ---

    def ended_query(self, statement: str, **more) -> dict:
        query = self.client.done("StartQuery", {"QueryStatement": statement, **more})["QueryId"]
        return self.results_of(query)

    def results_of(self, query: str) -> dict:
        results = lambda: self.client.done("GetQueryResults", {"QueryId": query})  # noqa: E731
        return until(lambda: (found := results())["QueryStatus"] in FINAL and found)

    @cached_property
    def query(self) -> str:
        """FINISHED, with three rows."""
        statement = f"SELECT eventName, eventID FROM {self.store_id} ORDER BY eventTime LIMIT 3"
        query = self.client.done("StartQuery", {"QueryStatement": statement})["QueryId"]
        assert len(self.results_of(query)["QueryResultRows"]) == 3
        return query

    @cached_property
    def second_query(self) -> str:
        """FINISHED, with three rows, too."""
        statement = f"SELECT eventID FROM {self.store_id} ORDER BY eventTime LIMIT 3"
        query = self.client.done("StartQuery", {"QueryStatement": statement})["QueryId"]
        assert len(self.results_of(query)["QueryResultRows"]) == 3
        return query

    @cached_property
    def failed_query(self) -> str:
        statement = f"SELECT cast(eventName AS bigint) AS n FROM {self.store_id}"
        query = self.client.done("StartQuery", {"QueryStatement": statement})["QueryId"]
        assert self.results_of(query)["QueryStatus"] == "FAILED"
        return query

    @property
    def new_endless_query(self) -> str:
        return self.client.done("StartQuery", {"QueryStatement": ENDLESS.format(self.store_id)})["QueryId"]

    @cached_property
    def alias(self) -> str:
        given = {"EventDataStores": [self.store], "Prompt": "Top 5 users of s3"}
        return self.client.done("GenerateQuery", given)["QueryAlias"]

    @cached_property
    def delivered_alias(self) -> str:
        """An alias whose newest query has delivered its results."""
        given = {"EventDataStores": [self.store], "Prompt": "Top 5 users of s3"}
        alias = self.client.done("GenerateQuery", given)["QueryAlias"]
        self.client.done("StartQuery", {"QueryAlias": alias, "DeliveryS3Uri": f"s3://{self.bucket}/results"})
        describe = lambda: self.client.done("DescribeQuery", {"QueryAlias": alias})  # noqa: E731
        until(lambda: describe().get("DeliveryStatus") == "SUCCESS")
        return alias

    # --- imports ---

    @cached_property
    def import_bucket(self) -> str:
        """Two log files, of which both are bad, below `bad/`; a large one below `large/`."""
        s3, name = self.node.client("s3"), "conformance-imports"
        s3.create_bucket(Bucket=name)
        folder = "AWSLogs/1/CloudTrail/us-east-1/2026/11/01"
        for letter in "ab":
            s3.put_object(Bucket=name, Key=f"bad/{folder}/1_CloudTrail_us-east-1_20261101T1205Z_{letter}.json.gz", Body=b"no log file")
        records = [make_event(requestParameters={"n": n}) for n in range(20_000)]
        body = gzip.compress(json.dumps({"Records": records}).encode(), 1)
        s3.put_object(Bucket=name, Key=f"large/{folder}/1_CloudTrail_us-east-1_20261101T1205Z_c.json.gz", Body=body)
        return name

    def import_source(self, folder: str) -> dict:
        role = f"arn:aws:iam::{ACCOUNT}:role/import"
        uri = f"s3://{self.import_bucket}/{folder}/"
        return {"S3": {"S3LocationUri": uri, "S3BucketRegion": REGION, "S3BucketAccessRoleArn": role}}

    @property
    def bad_source(self) -> dict:
        return self.import_source("bad")

    @property
    def large_source(self) -> dict:
        return self.import_source("large")

    @cached_property
    def import_store(self) -> str:
        return self.new_store

    def import_ended(self, given: dict) -> str:
        begun = self.client.done("StartImport", given)["ImportId"]
        self.no_import()
        return begun

    def no_import(self) -> bool:
        """Waits until none is under way."""
        ongoing = lambda status: self.client.done("ListImports", {"ImportStatus": status})["Imports"]  # noqa: E731
        return until(lambda: not ongoing("INITIALIZING") and not ongoing("IN_PROGRESS"))

    @cached_property
    def failed_import(self) -> str:
        """FAILED, with two failures; a span of time was given."""
        span = {"StartEventTime": 1_793_000_000, "EndEventTime": self.now}
        return self.import_ended({"Destinations": [self.import_store], "ImportSource": self.bad_source, **span})

    @cached_property
    def second_import(self) -> str:
        """FAILED, too."""
        self.no_import()
        return self.import_ended({"Destinations": [self.import_store], "ImportSource": self.bad_source})

    @property
    def new_import(self) -> str:
        """One that is under way for a while. Stopping it is up to the case."""
        span = {"StartEventTime": 1_793_000_000, "EndEventTime": self.now}
        given = {"Destinations": [self.import_store], "ImportSource": self.large_source, **span}
        self.no_import()
        return self.client.done("StartImport", given)["ImportId"]

    @property
    def retriable_import(self) -> str:
        """The failed one, when nothing is imported."""
        self.no_import()
        return self.failed_import

    @property
    def no_ongoing_import(self) -> str:
        """The import store, when nothing is imported."""
        self.no_import()
        return self.import_store
