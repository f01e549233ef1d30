"""What cases and conversations speak of: `<store>` in their data is `World.store`, made when first named.

Names that begin with `new_` make another one each time. Here are names, trails and event data
stores; `asked.py` has queries and imports, `configured.py` the rest.
"""

import json
import re
import uuid
from datetime import datetime, timezone
from functools import cached_property

from conftest import make_event, ndjson, until

from .client import Client
from .asked import Asked
from .configured import Configured
from .constants import ACCOUNT, BUCKET, EVERY_OPERATOR, TAGS, TRAILS_MAX, selectors

ORDERS = 60


class World(Asked, Configured):
    def __init__(self, node):
        self.node = node
        self.client = Client(node)
        self.count = 0

    def filled(self, value):
        """Data with `<name>` replaced by what bears that name here."""
        match value:
            case str():
                if whole := re.fullmatch(r"<([a-z_]+)>", value):
                    return getattr(self, whole[1])
                return re.sub(r"<([a-z_]+)>", lambda found: str(getattr(self, found[1])), value)
            case list():
                return [self.filled(item) for item in value]
            case dict():
                return {self.filled(key): self.filled(item) for key, item in value.items()}
        return value

    # --- names and times ---

    @property
    def new_name(self) -> str:
        self.count += 1
        return f"conformance-{self.count}"

    @property
    def new_id(self) -> str:
        return str(uuid.uuid4())

    @property
    def account(self) -> str:
        return ACCOUNT

    @property
    def now(self) -> int:
        return int(datetime.now(timezone.utc).timestamp())

    @property
    def day_ago(self) -> int:
        return self.now - 86_400

    @property
    def midnight(self) -> int:
        return self.day_ago // 86_400 * 86_400

    @property
    def this_hour(self) -> int:
        return self.now // 3_600 * 3_600

    @property
    def hour_ahead(self) -> int:
        return self.now + 3_600

    # --- trails ---

    @cached_property
    def bucket(self) -> str:
        self.node.client("s3").create_bucket(Bucket=BUCKET)
        return BUCKET

    @property
    def trail_bucket(self) -> str:
        """The bucket of the trail `conformance`, which is there."""
        assert self.trail
        return self.bucket

    @cached_property
    def closed_bucket(self) -> str:
        """CloudTrail may not write there."""
        self.node.client("s3").create_bucket(Bucket="conformance-closed")
        self.close("conformance-closed")
        return "conformance-closed"

    def close(self, bucket: str) -> None:
        """CloudTrail may not use the bucket any more."""
        all_of_it = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        denied = {"Effect": "Deny", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "s3:*", "Resource": all_of_it}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
        self.node.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)

    @property
    def new_trail(self) -> str:
        return self.client.done("CreateTrail", {"Name": self.new_name, "S3BucketName": self.bucket})["TrailARN"]

    @cached_property
    def trail(self) -> str:
        """It logs, has delivered files and a digest, and was stopped once."""
        given = {"Name": "conformance", "S3BucketName": self.bucket, "S3KeyPrefix": "kept", "EnableLogFileValidation": True}
        arn = self.client.done("CreateTrail", given)["TrailARN"]
        for step in ("StartLogging", "StopLogging", "StartLogging"):
            self.client.done(step, {"Name": arn})
        self.client.done("AddTags", {"ResourceId": arn, "TagsList": TAGS})
        self.post(3)
        until(lambda: "LatestDigestDeliveryTime" in self.client.done("GetTrailStatus", {"Name": arn}))
        return arn

    @cached_property
    def other_trail(self) -> str:
        """One for selectors."""
        return self.new_trail

    @cached_property
    def many_trails(self) -> bool:
        """More than a page of ListTrails, which has no MaxResults."""
        for region in ("xa-pages-1", "xa-pages-2", "xa-pages-3"):
            for n in range(TRAILS_MAX - 2):
                self.client.done("CreateTrail", {"Name": f"page-{n}", "S3BucketName": self.bucket}, region)
        return True

    # --- event data stores ---

    def make_store(self, name: str, **more) -> str:
        given = {"Name": name, "TerminationProtectionEnabled": False, "MultiRegionEnabled": False, **more}
        return self.client.done("CreateEventDataStore", given)["EventDataStoreArn"]

    @property
    def new_store(self) -> str:
        chosen = [{"Name": "every operator", "FieldSelectors": EVERY_OPERATOR}]
        return self.make_store(self.new_name, StartIngestion=False, AdvancedEventSelectors=chosen)

    @cached_property
    def store(self) -> str:
        """ENABLED, with enough events in it for a query that does not end."""
        chosen = [*selectors("Management"), {"Name": "none", "FieldSelectors": EVERY_OPERATOR}]
        arn = self.make_store("orders", TagsList=TAGS, AdvancedEventSelectors=chosen)
        self.post(ORDERS)
        count = f"SELECT count(*) FROM {arn.rsplit('/', 1)[1]}"
        until(lambda: int(list(self.ended_query(count)["QueryResultRows"][0][0].values())[0]) >= ORDERS)
        return arn

    @property
    def store_name(self) -> str:
        assert self.store
        return "orders"

    @property
    def store_id(self) -> str:
        return self.store.rsplit("/", 1)[1]

    @cached_property
    def stopped_store(self) -> str:
        return self.new_store

    @property
    def running_store(self) -> str:
        """The stopped store, ENABLED again."""
        self.client.done("StartEventDataStoreIngestion", {"EventDataStore": self.stopped_store})
        return self.stopped_store

    @cached_property
    def spare_store(self) -> str:
        """One whose settings may change."""
        return self.new_store

    @cached_property
    def deleted_store(self) -> str:
        """PENDING_DELETION."""
        arn = self.new_store
        self.client.done("DeleteEventDataStore", {"EventDataStore": arn})
        return arn

    @property
    def deleted_store_id(self) -> str:
        return self.deleted_store.rsplit("/", 1)[1]

    @property
    def new_deleted_store(self) -> str:
        arn = self.new_store
        self.client.done("DeleteEventDataStore", {"EventDataStore": arn})
        return arn

    @cached_property
    def protected_store(self) -> str:
        return self.make_store(self.new_name, TerminationProtectionEnabled=True, StartIngestion=False)

    @cached_property
    def insight_store(self) -> str:
        return self.make_store("insights", AdvancedEventSelectors=selectors("Insight"))

    @cached_property
    def activity_store(self) -> str:
        return self.make_store("activity", AdvancedEventSelectors=selectors("ActivityAuditLog"))

    @cached_property
    def importing_store(self) -> str:
        """A client imports into it, and never ends."""
        arn = self.new_store
        body = json.dumps({"store": arn}).encode()
        answer = self.client.send("cloudtrail", "/v1/imports", body, {"Content-Type": "application/json"})
        assert answer.status == 200, answer.body
        return arn

    def post(self, count: int) -> None:
        status, answer = self.node.post(ndjson([make_event() for _ in range(count)]))
        assert (status, answer["accepted"]) == (200, count), answer
