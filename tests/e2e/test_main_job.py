"""The main job as a new user does it, with the AWS CLI and nothing else."""

import gzip
import json
import re

import zstandard

from conftest import delivered, log_file_keys, make_event, make_trail, ndjson, raw_log_file, until


def test_record_deliver_validate_with_the_aws_cli(node):
    node.aws("s3", "mb", "s3://audit-logs")
    trail = node.aws_json(
        "cloudtrail", "create-trail", "--name", "audit", "--s3-bucket-name", "audit-logs", "--enable-log-file-validation"
    )
    node.aws("cloudtrail", "start-logging", "--name", "audit")
    status, answer = node.post(ndjson(make_event() for _ in range(10)))
    assert (status, answer["accepted"], answer["refused"]) == (200, 10, 0)

    listing = until(lambda: re.findall(r"AWSLogs/\S+_CloudTrail_us-east-1_\S+\.json\.gz", node.aws("s3", "ls", "--recursive", "s3://audit-logs").stdout))
    assert all(re.fullmatch(r"AWSLogs/111111111111/CloudTrail/us-east-1/\d{4}/\d\d/\d\d/111111111111_CloudTrail_us-east-1_\d{8}T\d{4}Z_[A-Za-z0-9]{16}\.json\.gz", key) for key in listing)

    s3 = node.client("s3")
    until(lambda: len([r for r in delivered(s3, "audit-logs") if r["eventName"] == "CreateOrder"]) == 10)

    def valid():
        done = node.aws("cloudtrail", "validate-logs", "--trail-arn", trail["TrailARN"], "--start-time", "2020-01-01T00:00:00Z", check=False)
        assert "INVALID" not in done.stdout, done.stdout
        found = re.search(r"(\d+)/(\d+) log files valid", done.stdout)
        return found and int(found[1]) >= 2 and found[1] == found[2] and done.returncode == 0

    until(valid)


def test_every_shape_and_packing_of_a_body_is_taken(node):
    make_trail(node)
    events = [make_event() for _ in range(6)]
    bodies = [
        (ndjson(events[:1]), {}),
        (json.dumps(events[1:2]).encode(), {}),
        (json.dumps({"Records": events[2:3]}, indent=1).encode(), {}),
        (gzip.compress(ndjson(events[3:4])), {"Content-Encoding": "gzip"}),
        (gzip.compress(json.dumps({"Records": events[4:5]}).encode()), {}),
        (zstandard.compress(ndjson(events[5:6])), {"Content-Encoding": "zstd"}),
    ]
    for body, headers in bodies:
        status, answer = node.post(body, headers)
        assert (status, answer["accepted"]) == (200, 1), answer
    s3 = node.client("s3")
    wanted = {event["eventID"] for event in events}
    until(lambda: wanted <= {record["eventID"] for record in delivered(s3, "audit-logs")})


def test_a_malformed_record_is_refused_with_its_line_and_the_others_are_taken(node):
    body = ndjson([make_event()]) + b'{"eventTime": nonsense}\n' + ndjson([make_event(eventTime=...)]) + ndjson([make_event()])
    status, answer = node.post(body)
    assert (status, answer["accepted"], answer["refused"]) == (200, 2, 2)
    assert [refusal["line"] for refusal in answer["refusals"]] == [2, 3]
    assert "eventTime" in answer["refusals"][1]["reason"]


def test_cairn_records_the_calls_to_itself(node):
    make_trail(node)
    cloudtrail = node.client("cloudtrail")
    cloudtrail.describe_trails()
    try:
        cloudtrail.get_trail(Name="nonesuch")
    except cloudtrail.exceptions.TrailNotFoundException:
        pass
    node.client("sts").get_caller_identity()
    s3 = node.client("s3")

    def recorded():
        return {(r["eventSource"], r["eventName"]): r for r in delivered(s3, "audit-logs")}

    records = until(lambda: (found := recorded()) and ("sts.amazonaws.com", "GetCallerIdentity") in found and found)
    start = records[("cloudtrail.amazonaws.com", "StartLogging")]
    assert start["requestParameters"] == {"name": "audit"}
    assert start["userIdentity"]["type"] == "IAMUser"
    assert start["sourceIPAddress"] == "127.0.0.1"
    assert start["readOnly"] is False and start["managementEvent"] is True
    assert "Boto3" in start["userAgent"]
    missing = records[("cloudtrail.amazonaws.com", "GetTrail")]
    assert missing["errorCode"] == "TrailNotFoundException"
    assert missing["readOnly"] is True


def test_object_calls_are_data_events_that_a_selector_brings_in(node):
    make_trail(node)
    cloudtrail = node.client("cloudtrail")
    s3 = node.client("s3")
    s3.create_bucket(Bucket="other-bucket")
    s3.put_object(Bucket="other-bucket", Key="before", Body=b"x")
    cloudtrail.put_event_selectors(
        TrailName="audit",
        AdvancedEventSelectors=[
            {"Name": "objects", "FieldSelectors": [
                {"Field": "eventCategory", "Equals": ["Data"]},
                {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
                {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::other-bucket/"]},
            ]}
        ],
    )
    s3.put_object(Bucket="other-bucket", Key="after", Body=b"x")

    def puts():
        return [r for r in delivered(s3, "audit-logs") if r["eventName"] == "PutObject"]

    found = until(puts)
    assert [r["requestParameters"]["key"] for r in found] == ["after"]
    assert found[0]["eventCategory"] == "Data" and found[0]["managementEvent"] is False
    assert found[0]["resources"][0]["ARN"] == "arn:aws:s3:::other-bucket/after"


def test_a_stopped_trail_takes_nothing_more_and_gets_its_final_digest(node):
    arn = make_trail(node)
    cloudtrail = node.client("cloudtrail")
    node.post(ndjson([make_event(eventName="Before")]))
    s3 = node.client("s3")
    until(lambda: any(r["eventName"] == "Before" for r in delivered(s3, "audit-logs")))
    cloudtrail.stop_logging(Name="audit")
    assert cloudtrail.get_trail_status(Name="audit")["IsLogging"] is False
    import time
    time.sleep(1.2)  # event times are whole seconds: make the next one later than the stop
    node.post(ndjson([make_event(eventName="After")]))
    digests = lambda: [k for k in _keys(s3) if "CloudTrail-Digest" in k and k.endswith(".gz")]
    time.sleep(4)
    count = len(digests())
    time.sleep(3)
    assert len(digests()) == count, "a stopped trail makes no more digests"
    names = {r["eventName"] for r in delivered(s3, "audit-logs")}
    assert "Before" in names and "After" not in names
    done = node.aws("cloudtrail", "validate-logs", "--trail-arn", arn, "--start-time", "2020-01-01T00:00:00Z", check=False)
    assert done.returncode == 0 and "INVALID" not in done.stdout, done.stdout


def _keys(s3):
    from conftest import list_keys

    return list_keys(s3, "audit-logs")


def test_delivered_bytes_are_the_posted_bytes(node):
    make_trail(node)
    odd = b'{"eventVersion":"1.08","eventTime":"2026-01-02T03:04:05Z","eventSource":"x.example.com","eventName":"Odd","awsRegion":"us-east-1","requestParameters":{"n":1.50e+3,"big":12345678901234567890123,"z":-0,"text":"\\u00e9 \xc3\xa9 \\/"},"eventID":"a0000000-0000-4000-8000-000000000001","eventType":"AwsApiCall"}'
    status, answer = node.post(odd + b"\n")
    assert status == 200, answer
    s3 = node.client("s3")
    until(lambda: any(odd in raw_log_file(s3, "audit-logs", key) for key in log_file_keys(s3, "audit-logs")))
