"""Records that others published go in and come out byte for byte. Runs where the shared folder is."""

import gzip
import json
import time
from collections import Counter

import pytest

from conftest import list_keys, make_trail, raw_log_file, shared_data, until
from support.digests import all_log_keys, until_attested, validate_logs

pytestmark = pytest.mark.skipif(shared_data() is None, reason="there is no ../shared/data beside the checkout (or CAIRN_SHARED_DATA)")

BUCKET = "audit-logs"
OF_EVENT_TYPE = {
    "AwsVpceEvent": "NetworkActivity", "AwsVpceEvents": "NetworkActivity", "AwsCloudTrailInsight": "Insight", "AwsAggregatedEvent": "Aggregated",
    "AwsConfigurationItem": "ConfigurationItem", "AwsAuditManagerEvidence": "Evidence", "ActivityLog": "ActivityAuditLog",
}
# (file, line): a part of the reason. May only shrink.
REFUSED = {
    (file, line): reason
    for file, reason, lines in [
        ("aws-cloudtrail-guide-2023", "awsRegion is missing", [24, 25]),
        ("aws-docs-mirror-2026", "eventTime is not a time", [20, 21]),
        ("aws-docs-mirror-2026", "eventSource must be a string", [91]),
        ("aws-docs-mirror-2026", "awsRegion is missing", [128, 129]),
        ("streamalert", "eventTime is not a time", [1, 3, 4, 5, 6, 28, 29, 42, 43, 44, 45, 46, 47, 49, 50]),
        ("streamalert", "awsRegion must have", [48, 51, 52]),
    ]
    for line in lines
}


def slices(document: bytes) -> list[bytes]:
    """The exact bytes of each record of a log file."""
    text = document.decode()
    start = text.index("[", text.index('"Records"')) + 1
    decoder, found = json.JSONDecoder(), []
    while True:
        while text[start] in " \r\n\t,":
            start += 1
        if text[start] == "]":
            return found
        _, end = decoder.raw_decode(text, start)
        found.append(text[start:end].encode())
        start = end


def category(record: dict) -> str:
    """Which kind of event a record is, by the rules of AWS's record reference."""
    if record.get("eventCategory"):
        return record["eventCategory"]
    if record.get("eventType") in OF_EVENT_TYPE:
        return OF_EVENT_TYPE[record["eventType"]]
    if record.get("insightDetails"):
        return "Insight"
    return "Data" if record.get("managementEvent") in (False, "false") else "Management"


def resource_types(record: dict) -> set[str]:
    return {r["type"] for r in record.get("resources") or [] if isinstance(r, dict) and r.get("type")}


def selectors(records: list[dict]) -> list[dict]:
    """One for management events, one for each resource type of data events, one for each source of
    network activity: CloudTrail has no shorter way to say "everything"."""
    types = sorted({t for r in records if category(r) == "Data" for t in resource_types(r)})
    sources = sorted({r["eventSource"] for r in records if category(r) == "NetworkActivity"})
    fields = [[("eventCategory", "Management")]]
    fields += [[("eventCategory", "Data"), ("resources.type", t)] for t in types]
    fields += [[("eventCategory", "NetworkActivity"), ("eventSource", s)] for s in sources]
    return [{"Name": str(n), "FieldSelectors": [{"Field": f, "Equals": [v]} for f, v in each]} for n, each in enumerate(fields)]


def is_delivered(record: dict) -> bool:
    kind = category(record)
    return kind in ("Management", "NetworkActivity") or (kind == "Data" and bool(resource_types(record)))


def corpus_records() -> list[tuple[str, int, bytes]]:
    found = []
    for path in sorted((shared_data() / "records").glob("*.ndjson")):
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
            if line.strip():
                found.append((path.stem, number, line.strip()))
    return found


def parsed(raw: bytes) -> dict:
    return json.loads(raw)


def without_context(raw: bytes) -> bytes:
    """The record as a trail gets it: AWS puts eventContext into event data stores only (spec a.1)."""
    if b'"eventContext"' not in raw:
        return raw
    text = raw.decode()
    start = text.index('"eventContext"')
    _, end = json.JSONDecoder().raw_decode(text, text.index(":", start) + 1)
    before, after = text[:start].rstrip(), text[end:].lstrip()
    return (before.removesuffix(",") + after if after.startswith("}") else before + after.removeprefix(",")).encode()


@pytest.fixture
def everything(node_with):
    """A node, and a function that makes its trail select all of some records."""
    node = node_with(config='intake_accounts = ["*"]\nflush_interval = "500ms"\ndigest_interval = "2s"\n')
    arn = make_trail(node, IsMultiRegionTrail=True)

    def select(records):
        node.client("cloudtrail").put_event_selectors(TrailName="audit", AdvancedEventSelectors=selectors(records))
        return node, arn

    return select


def come_out(node, arn, expected: Counter) -> None:
    """Exactly these bytes, as often as they were accepted, and beside them only what Cairn recorded
    of itself."""
    s3 = node.client("s3")
    seen: dict = {}

    def found() -> Counter:
        for key in all_log_keys(s3, BUCKET):
            if key not in seen:
                seen[key] = slices(raw_log_file(s3, BUCKET, key))
        return Counter(raw for records in seen.values() for raw in records)

    until(lambda: sum((expected - found()).values()) == 0, wait=60, every=0.5)
    time.sleep(1)
    out = found()
    assert {raw: count for raw, count in out.items() if raw in expected} == dict(expected)
    for raw in out.keys() - expected.keys():
        record = parsed(raw)
        assert record["sourceIPAddress"] in ("127.0.0.1", "cloudtrail.amazonaws.com") and record["recipientAccountId"] == "111111111111", raw
    # Each file holds one account, Region and kind.
    for key, records in seen.items():
        assert raw_log_file(s3, BUCKET, key) == b'{"Records":[' + b",".join(records) + b"]}"
        folder = {"NetworkActivity": "CloudTrail-NetworkActivity"}
        assert {folder.get(category(parsed(r)), "CloudTrail") for r in records} == {key.split("AWSLogs/")[1].split("/")[1]}
    files = until_attested(s3, BUCKET)
    places = {tuple(key.split("AWSLogs/")[1].split("/")[0:3:2]) for key in files}
    for account, region in sorted(places)[:6]:
        assert validate_logs(node, arn, "--account-id", account, region=region).is_good


def test_every_published_record_comes_out_byte_for_byte(everything):
    records = corpus_records()
    assert len(records) > 500
    node, arn = everything([parsed(raw) for _, _, raw in records])
    expected: Counter = Counter()
    refused = {}
    kinds: Counter = Counter()
    for file in sorted({name for name, _, _ in records}):
        lines = [(number, raw) for name, number, raw in records if name == file]
        status, answer = node.post(b"\n".join(raw for _, raw in lines) + b"\n")
        bad = {refusal["line"]: refusal["reason"] for refusal in answer.get("refusals", [])}
        assert answer["accepted"] + answer["refused"] == len(lines) and len(bad) == answer["refused"], answer
        for place, (number, raw) in enumerate(lines, 1):
            if place in bad:
                refused[(file, number)] = bad[place]
                continue
            kinds[category(parsed(raw))] += 1
            if is_delivered(parsed(raw)):
                expected[without_context(raw)] += 1
    print(f"{sum(kinds.values())} accepted {dict(kinds)}, {sum(expected.values())} to be delivered, {len(refused)} refused")
    assert refused.keys() == REFUSED.keys(), f"newly refused: { {k: v for k, v in refused.items() if k not in REFUSED} }; no longer: {REFUSED.keys() - refused.keys()}"
    for place, reason in REFUSED.items():
        assert reason in refused[place], (place, refused[place])
    come_out(node, arn, expected)


def test_every_published_log_file_comes_out_byte_for_byte(everything):
    """The files exactly as they are, gzip and all, with nothing to announce it."""
    files = sorted((shared_data() / "log-files").glob("*.json.gz"))
    assert len(files) > 50
    all_records = {path: slices(gzip.decompress(path.read_bytes())) for path in files}
    node, arn = everything([parsed(raw) for records in all_records.values() for raw in records])
    expected: Counter = Counter()
    for path, records in all_records.items():
        status, answer = node.post(path.read_bytes())
        assert (status, answer["accepted"], answer["refused"]) == (200, len(records), 0), (path, answer)
        expected.update(raw for raw in records if is_delivered(parsed(raw)))
    assert sum(expected.values()) > 2000
    come_out(node, arn, expected)


def test_published_log_files_as_lines_come_out_too(everything):
    """The same records one a line, in one body of several megabytes."""
    records = [raw for path in sorted((shared_data() / "log-files").glob("*.json.gz")) for raw in slices(gzip.decompress(path.read_bytes()))]
    node, arn = everything([parsed(raw) for raw in records])
    status, answer = node.post(gzip.compress(b"\n".join(records)), {"Content-Encoding": "gzip"})
    assert (status, answer["accepted"], answer["refused"]) == (200, len(records), 0), answer
    come_out(node, arn, Counter(raw for raw in records if is_delivered(parsed(raw))))
    s3 = node.client("s3")
    assert list_keys(s3, BUCKET)
