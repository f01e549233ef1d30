#!/usr/bin/env python3
"""How long lists take when there is much to list: `make bench-lists`.

One account with 1,000 trails, 100 event data stores, 25 channels and 100 dashboards, on a node with
100 accounts. Wanted (issue 4): each page under 20 ms. By signed HTTP over one connection, where signing
is not counted; each list to its end, page by page, several times. There is no peer: nobody else serves
this API from a machine of one's own with data in it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from lake_cairn import Wire
from run import Cairn, end

TRAILS, STORES, CHANNELS, DASHBOARDS, ACCOUNTS = 1000, 100, 25, 100, 100
WANTED_MS = 20
ROUNDS = 10
LISTS = {
    "ListTrails": ("Trails", {}),
    "DescribeTrails": ("trailList", {}),
    "ListEventDataStores": ("EventDataStores", {"MaxResults": 50}),
    "ListChannels": ("Channels", {}),
    "ListDashboards": ("Dashboards", {"Type": "CUSTOM"}),
    "ListImports": ("Imports", {}),
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cairn", type=Path, required=True, help="the program to measure")
    settings = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Cairn(
            settings,
            Path(folder),
            config=f"trails_per_region_max = {TRAILS}\nevent_data_stores_per_region_max = {STORES + 1}\n",
        )
        try:
            server.start()
            wire = Wire(server)
            fill(server, wire)
            return measure(wire)
        finally:
            end(server.process)


def fill(server: Cairn, wire: Wire) -> None:
    server.client("s3").create_bucket(Bucket="audit-logs")
    for number in range(TRAILS):
        show(f"trails {number + 1} of {TRAILS}")
        wire.call("CreateTrail", {"Name": f"trail-{number}", "S3BucketName": "audit-logs"})
    for number in range(STORES):
        show(f"event data stores {number + 1} of {STORES}")
        wire.call("CreateEventDataStore", {"Name": f"store-{number}", "StartIngestion": False})
    selectors = [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["ActivityAuditLog"]}]}]
    activity = wire.call("CreateEventDataStore", {"Name": "activity", "AdvancedEventSelectors": selectors})
    destination = {"Type": "EVENT_DATA_STORE", "Location": activity["EventDataStoreArn"]}
    for number in range(CHANNELS):
        wire.call("CreateChannel", {"Name": f"channel-{number}", "Source": f"source-{number}", "Destinations": [destination]})
    for number in range(DASHBOARDS):
        wire.call("CreateDashboard", {"Name": f"dashboard-{number}"})
    for number in range(1, ACCOUNTS):
        show(f"accounts {number + 1} of {ACCOUNTS}")
        line = [server.binary, "account", "create", f"account-{number}", "--data", server.data]
        subprocess.run(line, check=True, capture_output=True)


def measure(wire: Wire) -> int:
    print(f"\r{'':60}\r{'':22}{'entries':>8}{'pages':>7}{'p50 ms':>9}{'max ms':>9}")
    met = True
    for operation, (member, given) in LISTS.items():
        pages_ms, entries, pages = [], 0, 0
        for _ in range(ROUNDS):
            token, entries, pages = None, 0, 0
            while True:
                wire.ms = 0.0
                answer = wire.call(operation, given | ({"NextToken": token} if token else {}))
                pages_ms.append(wire.ms)
                entries, pages = entries + len(answer[member]), pages + 1
                if not (token := answer.get("NextToken")):
                    break
        most = max(pages_ms)
        met &= most < WANTED_MS
        print(f"{operation:22}{entries:8}{pages:7}{statistics.median(pages_ms):9.1f}{most:9.1f}")
    print(json.dumps({"wanted_ms": WANTED_MS, "met": met}))
    return 0


def show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
