"""Queries, their delivery and imports, with the clients that people use."""

import csv
import gzip
import io
import json
import uuid

import pytest

from conftest import delivered, list_keys, make_event, make_trail, ndjson, until
from support import wire
from support.lake import FINAL, code_of, three_orders, values
from support.query_results import Unverified, verify


@pytest.fixture
def cloudtrail(node):
    return node.client("cloudtrail")


@pytest.fixture
def store(node):
    """An event data store that holds three orders; its ID."""
    return three_orders(node)


def ended(cloudtrail, query: str) -> dict:
    return until(lambda: (found := cloudtrail.get_query_results(QueryId=query))["QueryStatus"] in FINAL and found)


def run(cloudtrail, statement: str, **more) -> dict:
    """The first page of a query that must finish."""
    query = cloudtrail.start_query(QueryStatement=statement, **more)["QueryId"]
    result = ended(cloudtrail, query)
    assert result["QueryStatus"] == "FINISHED", result.get("ErrorMessage")
    return {**result, "QueryId": query}


def test_rows_come_in_select_order_and_in_pages(cloudtrail, store):
    statement = f"SELECT eventName, count(*) AS n FROM {store} WHERE eventSource = 'orders.example.com' GROUP BY eventName ORDER BY n DESC"
    result = run(cloudtrail, statement)
    assert result["QueryResultRows"] == [[{"eventName": "CancelOrder"}, {"n": "2"}], [{"eventName": "CreateOrder"}, {"n": "1"}]]
    assert result["QueryStatistics"]["TotalResultsCount"] == 2
    first = cloudtrail.get_query_results(QueryId=result["QueryId"], MaxQueryResults=1)
    second = cloudtrail.get_query_results(QueryId=result["QueryId"], MaxQueryResults=1, NextToken=first["NextToken"])
    assert values(first) + values(second) == values(result)
    assert "NextToken" not in second
    described = cloudtrail.describe_query(QueryId=result["QueryId"])
    assert described["QueryString"] == statement and described["QueryStatistics"]["EventsScanned"] >= 3
    listed = cloudtrail.list_queries(EventDataStore=store, QueryStatus="FINISHED")["Queries"]
    assert result["QueryId"] in [query["QueryId"] for query in listed]


def test_one_question_may_be_put_many_times_a_second(cloudtrail, store):
    # boto3 signs whole seconds, so these are the same bytes.
    ids = {cloudtrail.start_query(QueryStatement=f"SELECT count(*) FROM {store}")["QueryId"] for _ in range(8)}
    assert len(ids) == 8


def test_what_is_wrong_is_said_at_the_start(cloudtrail, store):
    def start(statement, **more):
        return code_of(lambda: cloudtrail.start_query(QueryStatement=statement, **more))

    assert start("SELECT") == "InvalidQueryStatementException"
    assert start(f"DELETE FROM {store}") == "InvalidQueryStatementException"
    assert start(f"SELECT nonesuch FROM {store}") == "InvalidQueryStatementException"
    assert start(f"SELECT eventName FROM {uuid.uuid4()}") == "InvalidQueryStatementException"
    good = f"SELECT eventName FROM {store}"
    assert start(good, DeliveryS3Uri="s3://no-such-bucket") == "S3BucketDoesNotExistException"
    assert code_of(lambda: cloudtrail.describe_query(QueryId=str(uuid.uuid4()))) == "QueryIdNotFoundException"


def test_a_delivered_result_verifies_and_an_altered_one_does_not(node, cloudtrail, store):
    s3 = node.client("s3")
    s3.create_bucket(Bucket="results")
    result = run(cloudtrail, f"SELECT eventName, errorCode FROM {store} WHERE eventSource = 'orders.example.com'", DeliveryS3Uri="s3://results/a")
    query = result["QueryId"]
    until(lambda: cloudtrail.describe_query(QueryId=query)["DeliveryStatus"] == "SUCCESS")
    sign = next(key for key in list_keys(s3, "results", "a/AWSLogs/111111111111/CloudTrail-Lake/Query/") if key.endswith(f"/{query}/result_sign.json"))
    prefix = sign.removesuffix("result_sign.json")
    keys = lambda region: node.client("cloudtrail", region=region)  # noqa: E731
    files = verify(s3, keys, "results", prefix)["files"]
    assert [file["fileName"] for file in files] == ["result_1.csv.gz"]
    body = s3.get_object(Bucket="results", Key=prefix + "result_1.csv.gz")["Body"].read()
    rows = list(csv.reader(io.StringIO(gzip.decompress(body).decode())))
    assert rows[0] == ["eventName", "errorCode"]
    assert sorted(rows[1:]) == sorted(values(result))

    s3.put_object(Bucket="results", Key=prefix + "result_1.csv.gz", Body=body + b"x")
    with pytest.raises(Unverified, match="not what was signed"):
        verify(s3, keys, "results", prefix)


def test_the_bucket_policy_of_the_user_guide_lets_results_in(node, cloudtrail, store):
    s3 = node.client("s3")
    s3.create_bucket(Bucket="results")
    condition = {"ArnLike": {"aws:sourceArn": "arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/*"}}
    service = {"Service": "cloudtrail.amazonaws.com"}
    folder = "arn:aws:s3:::results/AWSLogs/111111111111/CloudTrail-Lake/Query/*"
    statements = [
        {"Effect": "Allow", "Principal": service, "Action": ["s3:PutObject*", "s3:Abort*"], "Resource": folder, "Condition": condition},
        {"Effect": "Allow", "Principal": service, "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::results", "Condition": condition},
    ]
    put = lambda some: s3.put_bucket_policy(Bucket="results", Policy=json.dumps({"Version": "2012-10-17", "Statement": some}))  # noqa: E731
    put(statements)
    query = run(cloudtrail, f"SELECT eventName FROM {store}", DeliveryS3Uri="s3://results")["QueryId"]
    until(lambda: cloudtrail.describe_query(QueryId=query)["DeliveryStatus"] == "SUCCESS")
    put(statements[1:])
    start = lambda: cloudtrail.start_query(QueryStatement=f"SELECT eventName FROM {store}", DeliveryS3Uri="s3://results")  # noqa: E731
    assert code_of(start) == "InsufficientS3BucketPolicyException"


def test_results_are_there_after_kill_9(node, cloudtrail, store):
    result = run(cloudtrail, f"SELECT eventID FROM {store} WHERE eventSource = 'orders.example.com'")
    node.kill()
    node.start()
    again = node.client("cloudtrail").get_query_results(QueryId=result["QueryId"])
    assert values(again) == values(result)


def test_a_question_in_words_becomes_a_query(cloudtrail, store):
    generated = cloudtrail.generate_query(EventDataStores=[store], Prompt="most active users of the last week")
    assert store in generated["QueryStatement"] and generated["QueryAlias"].startswith("AWSCloudTrail-")
    query = cloudtrail.start_query(QueryAlias=generated["QueryAlias"])["QueryId"]
    rows = values(ended(cloudtrail, query))
    assert any("user/ana" in value for row in rows for value in row), rows
    described = cloudtrail.describe_query(QueryAlias=generated["QueryAlias"])
    assert described["QueryId"] == query and described["Prompt"] == "most active users of the last week"
    assert code_of(lambda: cloudtrail.generate_query(EventDataStores=[store], Prompt="xyzzy")) == "GenerateResponseException"
    samples = cloudtrail.search_sample_queries(SearchPhrase="failed console sign-ins")["SearchResults"]
    assert samples[0]["Name"] == "Failed console sign-ins"


def test_a_trail_s_log_files_are_imported_once(node, cloudtrail):
    s3 = node.client("s3")
    make_trail(node)
    events = [make_event() for _ in range(20)]
    node.post(ndjson(events))
    until(lambda: sum(record["eventName"] == "CreateOrder" for record in delivered(s3, "audit-logs")) == 20)
    arn = cloudtrail.create_event_data_store(Name="imported", TerminationProtectionEnabled=False, StartIngestion=False)["EventDataStoreArn"]
    s3.put_object(Bucket="audit-logs", Key="AWSLogs/111111111111/CloudTrail/us-east-1/2026/01/01/bad.json.gz", Body=b"\x1f\x8bnonsense")
    source = {"S3": {"S3LocationUri": "s3://audit-logs/AWSLogs/", "S3BucketRegion": "us-east-1", "S3BucketAccessRoleArn": "arn:aws:iam::111111111111:role/import"}}
    count = f"SELECT count(*) FROM {arn.rsplit('/', 1)[1]} WHERE eventSource = 'orders.example.com'"
    for _ in range(2):
        started = cloudtrail.start_import(Destinations=[arn], ImportSource=source)["ImportId"]
        done = until(lambda: (found := cloudtrail.get_import(ImportId=started))["ImportStatus"] in ("COMPLETED", "FAILED") and found)
        assert done["ImportStatus"] == "FAILED", "one file is bad"
        assert done["ImportStatistics"]["FailedEntries"] == 1 and done["ImportStatistics"]["EventsCompleted"] >= 20
        failures = cloudtrail.list_import_failures(ImportId=started)["Failures"]
        assert [failure["Location"].rsplit("/", 1)[1] for failure in failures] == ["bad.json.gz"]
        assert values(run(cloudtrail, count)) == [["20"]]


def test_a_client_hands_in_files(node, cloudtrail):
    arn = cloudtrail.create_event_data_store(Name="handed", TerminationProtectionEnabled=False, StartIngestion=False)["EventDataStoreArn"]

    def say(method: str, path: str, body: bytes = b"") -> tuple[int, dict]:
        answer = wire.send(node, method, path, body, wire.signature(node, "cloudtrail", method, path, body))
        return answer.status, json.loads(answer.body)

    status, begun = say("POST", "/v1/imports", json.dumps({"store": arn}).encode())
    assert status == 200, begun
    at = f"/v1/imports/{begun['importId']}"
    body = gzip.compress(json.dumps({"Records": [make_event() for _ in range(5)]}).encode())
    status, added = say("PUT", f"{at}/files?name=one.json.gz", body)
    assert (status, added["events"], added["known"]) == (200, 5, False), added
    assert say("PUT", f"{at}/files?name=bad", b"\x1f\x8bnonsense")[0] == 422
    assert say("POST", f"{at}/commit") == (200, {"rows": 5, "duplicates": 0, "files": 1})
    status, again = say("PUT", f"{at}/files?name=two.json.gz", body)
    assert (status, again["known"]) == (200, True), again
    assert values(run(cloudtrail, f"SELECT count(*) FROM {arn.rsplit('/', 1)[1]}")) == [["5"]]
    assert say("DELETE", at) == (200, {})
    assert say("POST", f"{at}/commit")[0] == 404


def test_rows_from_files_have_the_columns_in_select_order(node, tmp_path):
    identity = {"type": "AssumedRole", "arn": "arn:aws:sts::111111111111:assumed-role/Dev/\"x\" }", "sessionContext": {"sessionIssuer": {"userName": "Dev"}}}
    records = [make_event(userIdentity=identity, errorCode="AccessDenied"), make_event(), make_event(userIdentity={"type": "AWSService"})]
    # What no event is: its file is read by the decoder that checks everything.
    odd = [make_event(), make_event(eventTime="yesterday"), make_event(eventName="CancelOrder")]
    (tmp_path / "one.json.gz").write_bytes(gzip.compress(json.dumps({"Records": records}, separators=(",", ":")).encode()))
    (tmp_path / "two.json").write_text(json.dumps({"Records": odd}))
    select = "SELECT userIdentity.arn AS who, eventName, errorCode, userIdentity.sessionContext.sessionIssuer.userName AS issuer, count(*) AS n FROM logs GROUP BY 1, 2, 3, 4 ORDER BY n DESC, 2, 1"
    found = node.run("query", select, "--from", str(tmp_path), "--format", "json")
    assert found.returncode == 1 and "two.json: record 1: " in found.stderr and "yesterday" in found.stderr
    ana = "arn:aws:iam::111111111111:user/ana"
    rows = [json.loads(line, object_pairs_hook=list) for line in found.stdout.splitlines()]
    names = ["who", "eventName", "errorCode", "issuer", "n"]
    assert rows == [
        list(map(tuple, zip(names, row)))
        for row in [
            [ana, "CreateOrder", None, None, "2"],
            [ana, "CancelOrder", None, None, "1"],
            [identity["arn"], "CreateOrder", "AccessDenied", "Dev", "1"],
            [None, "CreateOrder", None, None, "1"],
        ]
    ]
    some = node.run("query", "SELECT eventName FROM logs WHERE userIdentity.sessionContext.sessionIssuer.userName = 'Dev' AND errorCode LIKE 'Access%'", "--from", str(tmp_path / "one.json.gz"), "--format", "csv")
    assert (some.returncode, some.stdout.splitlines()) == (0, ["eventName", "CreateOrder"])
