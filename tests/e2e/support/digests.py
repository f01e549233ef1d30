"""Digests as they lie in a bucket, and what `aws cloudtrail validate-logs` says of them."""

import gzip
import json
import re
import subprocess
from dataclasses import dataclass

from conftest import list_keys, log_file_keys, until

START = "2015-01-01T00:00:00Z"


@dataclass
class Validation:
    """What validate-logs said. Counts are (valid, all)."""

    code: int
    text: str
    digests: tuple[int, int]
    log_files: tuple[int, int]
    invalid: list[str]
    gaps: list[str]

    @property
    def is_good(self) -> bool:
        return self.code == 0 and not self.invalid and self.digests[0] > 0 and self.digests[0] == self.digests[1] and self.log_files[0] == self.log_files[1]


def validate_logs(node, trail_arn: str, *more: str, region: str = "us-east-1", start: str = START, env: dict | None = None) -> Validation:
    """Runs the command as it comes with the AWS CLI."""
    done = subprocess.run(
        ["aws", "cloudtrail", "validate-logs", "--trail-arn", trail_arn, "--start-time", start, "--region", region, *more],
        env={**node.env, **(env or {})}, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, f"{done.stdout}\n{done.stderr}\n{node.tail()}"
    text = done.stdout + done.stderr
    assert "Results requested for" in text, text
    invalid = re.findall(r"^.*\tINVALID: .*$", text, re.M)
    return Validation(done.returncode, text, _ratio(text, "digest"), _ratio(text, "log"), invalid, re.findall(r"^.*No log files were delivered.*$", text, re.M))


def _ratio(text: str, name: str) -> tuple[int, int]:
    found = re.search(rf"^(\d+)/(\d+) {name} files valid", text, re.M)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def digest_keys(s3, bucket: str) -> list[str]:
    """Oldest first within a chain: their names end with their time."""
    return [key for key in list_keys(s3, bucket) if "/CloudTrail-Digest/" in key and key.endswith(".json.gz")]


def read_digest(s3, bucket: str, key: str) -> dict:
    return json.loads(gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))


def listed_files(s3, bucket: str, known: dict | None = None) -> dict[str, str]:
    """Each log file that some digest lists, and that digest's key. `known` keeps what was read."""
    known = {} if known is None else known
    for key in digest_keys(s3, bucket):
        if key not in known:
            known[key] = [file["s3Object"] for file in read_digest(s3, bucket, key)["logFiles"]]
    return {file: key for key, files in known.items() for file in files}


def all_log_keys(s3, bucket: str) -> list[str]:
    return [key for key in list_keys(s3, bucket) if re.search(r"/CloudTrail(-NetworkActivity|-Insight|-Aggregated)?/", key) and key.endswith(".json.gz")]


def until_attested(s3, bucket: str, wait: float = 60) -> set[str]:
    """Waits until every log file that is there now, at least one, stands in a digest; returns those
    files."""
    files = set(until(lambda: all_log_keys(s3, bucket)))
    known: dict = {}
    until(lambda: files <= listed_files(s3, bucket, known).keys(), wait=wait, every=0.5)
    return files


def until_still(s3, bucket: str, quiet: float = 4, wait: float = 60) -> None:
    """Waits until nothing has been added to the bucket for `quiet` seconds."""
    import time

    seen, since, end = -1, 0.0, time.monotonic() + wait
    while time.monotonic() < end:
        count = len(list_keys(s3, bucket))
        if count != seen:
            seen, since = count, time.monotonic()
        elif time.monotonic() - since >= quiet:
            return
        time.sleep(0.3)
    raise AssertionError(f"{bucket} does not come to rest")


def tally(s3, bucket: str, seen: dict | None = None) -> dict[str, int]:
    """How often each eventID lies in the bucket's log files. `seen` keeps what was read: log files
    never change."""
    from collections import Counter

    from conftest import raw_log_file

    seen = {} if seen is None else seen
    for key in log_file_keys(s3, bucket):
        if key not in seen:
            seen[key] = [record["eventID"] for record in json.loads(raw_log_file(s3, bucket, key))["Records"]]
    return Counter(event_id for ids in seen.values() for event_id in ids)
