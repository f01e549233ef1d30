"""Event configuration, Insights and federation with boto3 and the AWS CLI: what is set takes effect."""

import json
import random
import uuid
from datetime import datetime, timezone

import pytest
from botocore.exceptions import ClientError

from conftest import delivered, list_keys, make_event, make_trail, ndjson, raw_log_file, until
from support.delta import rows_by_deltalake, rows_by_duckdb
from support.lake import QUICK, make_store, rows

CONTEXT = {
    "requestContext": {"aws:PrincipalArn": "arn:aws:iam::111111111111:user/ana", "aws:SecureTransport": "true"},
    "tagContext": {
        "resourceTags": [{"arn": "arn:aws:s3:::b", "tags": {"team": "audit", "cost": "7"}}],
        "principalTags": {"team": "audit"},
    },
}


def refused(call, **parameters) -> str:
    with pytest.raises(ClientError) as error:
        call(**parameters)
    return error.value.response["Error"]["Code"]


def post(node, *records: dict) -> None:
    status, answer = node.post(ndjson(records))
    assert (status, answer["accepted"]) == (200, len(records)), answer


def in_history(node, event_id: str) -> dict:
    asked = {"LookupAttributes": [{"AttributeKey": "EventId", "AttributeValue": event_id}]}
    found = until(lambda: node.client("cloudtrail").lookup_events(**asked)["Events"])
    return json.loads(found[0]["CloudTrailEvent"])


def record_in(node, store: str, event_id: str) -> dict:
    """What a store has of an event."""
    statement = f"SELECT requestparameters, eventcontext FROM {store} WHERE eventid = '{event_id}'"
    found = until(lambda: rows(node, statement))
    return dict(zip(["requestparameters", "eventcontext"], found[0]))


def test_a_large_record_is_whole_in_a_large_store_and_cut_everywhere_else(node_with):
    node = node_with("--flush-interval", "200ms", config=QUICK)
    cloudtrail = node.client("cloudtrail")
    make_trail(node)
    standard, large = make_store(node, "standard"), make_store(node, "large")
    shown = cloudtrail.put_event_configuration(EventDataStore=large, MaxEventSize="Large")
    assert (shown["MaxEventSize"], shown["ContextKeySelectors"]) == ("Large", [])
    assert cloudtrail.get_event_configuration(EventDataStore=standard)["MaxEventSize"] == "Standard"

    policy = "p" * 400_000
    event = make_event(requestParameters={"policy": policy}, userAgent="a" * 3000)
    post(node, event)
    note = {"reason": "requestParameters too large", "omitted": True, "originalSize": len(json.dumps({"policy": policy}, separators=(", ", ": ")))}
    for copy in in_history(node, event["eventID"]), until(lambda: [r for r in delivered(node.client("s3"), "audit-logs") if r["eventID"] == event["eventID"]])[0]:
        assert copy["requestParameters"] == note
        assert copy["userAgent"] == "a" * 1024
        assert len(json.dumps(copy)) < 256 << 10
        assert copy["responseElements"] is None and copy["requestID"] == event["requestID"]
    assert policy in record_in(node, large, event["eventID"])["requestparameters"]
    assert policy not in record_in(node, standard, event["eventID"])["requestparameters"]

    # Nobody's copy may be larger than a megabyte, and what cannot be cut cannot be taken.
    for wrong in make_event(requestParameters={"p": "p" * (1 << 20)}), make_event(extra="x" * 300_000):
        status, answer = node.post(ndjson([wrong]))
        assert (answer["accepted"], answer["refused"]) == (0, 1), (status, answer)


def test_event_context_is_for_the_stores_that_selected_it(node_with):
    node = node_with("--flush-interval", "200ms", config=QUICK)
    cloudtrail = node.client("cloudtrail")
    make_trail(node)
    plain, rich = make_store(node, "plain"), make_store(node, "rich")
    selectors = [{"Type": "TagContext", "Equals": ["team"]}, {"Type": "RequestContext", "Equals": ["aws:PrincipalArn"]}]
    cloudtrail.put_event_configuration(EventDataStore=rich, MaxEventSize="Large", ContextKeySelectors=selectors)
    assert cloudtrail.get_event_configuration(EventDataStore=rich)["ContextKeySelectors"] == selectors

    event, other = make_event(eventContext=CONTEXT), make_event()
    post(node, event, other)
    without = {key: value for key, value in event.items() if key != "eventContext"}
    records = until(lambda: (found := {r["eventID"]: r for r in delivered(node.client("s3"), "audit-logs")}).keys() >= {event["eventID"], other["eventID"]} and found)
    assert records[event["eventID"]] == without
    assert records[other["eventID"]] == other
    assert in_history(node, event["eventID"]) == without
    assert not record_in(node, plain, event["eventID"])["eventcontext"]
    kept = record_in(node, rich, event["eventID"])["eventcontext"]
    assert "user/ana" in kept and "audit" in kept, kept
    assert "SecureTransport" not in kept and "cost" not in kept, kept


def data_event(**changes) -> dict:
    return make_event(
        eventSource="lambda.amazonaws.com", eventName="Invoke", eventCategory="Data", managementEvent=False,
        resources=[{"type": "AWS::Lambda::Function", "ARN": f"arn:aws:lambda:us-east-1:111111111111:function:f{random.randrange(3)}"}],
        **changes,
    )


def aggregated(node) -> list[dict]:
    s3, records = node.client("s3"), []
    for key in list_keys(s3, "audit-logs"):
        if "/CloudTrail-Aggregated/" in key and key.endswith(".gz"):
            records += json.loads(raw_log_file(s3, "audit-logs", key))["Records"]
    return records


def counted(records: list[dict], dimension: str) -> int:
    primary = [record["summary"]["primaryDimension"] for record in records]
    return sum(one["value"] for found in primary if found["dimension"] == dimension for one in found["statistics"])


def test_data_events_are_summed_up_once_whatever_happens(node_with):
    node = node_with("--flush-interval", "300ms")
    cloudtrail = node.client("cloudtrail")
    arn = make_trail(node)
    configuration = [{"EventCategory": "Data", "Templates": ["API_ACTIVITY", "RESOURCE_ACCESS", "USER_ACTIONS"]}]
    put = dict(TrailName="audit", AggregationConfigurations=configuration)
    assert refused(cloudtrail.put_event_configuration, **put) == "InvalidParameterCombinationException"
    cloudtrail.put_event_selectors(TrailName="audit", EventSelectors=[{"IncludeManagementEvents": True, "DataResources": [{"Type": "AWS::Lambda::Function", "Values": ["arn:aws:lambda"]}]}])
    assert cloudtrail.put_event_configuration(**put)["AggregationConfigurations"] == configuration
    cli = node.aws_json("cloudtrail", "get-event-configuration", "--trail-name", arn)
    assert (cli["TrailARN"], cli["AggregationConfigurations"]) == (arn, configuration)

    # Old event times: their windows are over, so nobody has to wait for five minutes.
    posted = 0
    for minute in range(4):
        batch = [data_event(eventTime=f"2026-05-04T10:{n * 2:02}:{minute * 10:02}Z") for n in range(15)]
        post(node, *batch)
        posted += len(batch)
        node.kill()
        node.start()
    until(lambda: counted(aggregated(node), "eventName") >= posted, wait=60)
    node.stop()
    node.start()
    records = aggregated(node)
    assert [counted(records, d) for d in ("eventName", "resourceARN", "userIdentity")] == [posted] * 3
    assert len({record["eventId"] for record in records}) == len(records)
    assert {record["eventType"] for record in records} == {"AwsAggregatedEvent"}
    windows = {(r["timeWindow"]["windowStart"], r["timeWindow"]["windowEnd"]) for r in records}
    assert min(windows) == ("2026-05-04T10:00:00Z", "2026-05-04T10:05:00Z") and len(windows) == 6
    # The events themselves are delivered as well; the last file may have waited for the start.
    until(lambda: len([r for r in delivered(node.client("s3"), "audit-logs") if r["eventName"] == "Invoke"]) >= posted)
    assert len([r for r in delivered(node.client("s3"), "audit-logs") if r["eventName"] == "Invoke"]) == posted


def insight(arn: str | None, **changes) -> dict:
    details = {"state": "Start", "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "insightType": "ApiCallRateInsight"}
    if arn is not None:
        details["insightSource"] = arn
    return {
        "eventVersion": "1.09", "eventTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), "awsRegion": "us-east-1",
        "eventID": str(uuid.uuid4()), "eventType": "AwsCloudTrailInsight", "recipientAccountId": "111111111111",
        "sharedEventID": str(uuid.uuid4()), "insightDetails": details, "eventCategory": "Insight", **changes,
    }


def test_insight_selectors_and_what_was_found(node):
    cloudtrail = node.client("cloudtrail")
    arn = make_trail(node)
    assert refused(cloudtrail.get_insight_selectors, TrailName="audit") == "InsightNotEnabledException"
    cloudtrail.put_insight_selectors(TrailName="audit", InsightSelectors=[{"InsightType": "ApiErrorRateInsight"}])
    shown = node.aws_json("cloudtrail", "get-insight-selectors", "--trail-name", "audit")
    # What was not put is not shown.
    assert shown["InsightSelectors"] == [{"InsightType": "ApiErrorRateInsight"}]
    assert cloudtrail.get_trail(Name="audit")["Trail"]["HasInsightSelectors"]
    # What CreateTrail leaves in its folder, PutInsightSelectors leaves in the one of Insights.
    assert "AWSLogs/111111111111/CloudTrail-Insight/" in list_keys(node.client("s3"), "audit-logs")

    mine, others = insight(arn), [insight(None), insight(arn + "2")]
    post(node, mine, *others)
    pages = cloudtrail.get_paginator("list_insights_data")
    ask = dict(InsightSource=arn, DataType="InsightsEvents")
    listed = lambda **more: [event["EventId"] for page in pages.paginate(**ask, **more) for event in page["Events"]]  # noqa: E731
    until(listed)
    assert listed() == [mine["eventID"]]
    assert listed(Dimensions={"EventName": "GetObject"}) == [mine["eventID"]]
    assert listed(Dimensions={"EventName": "PutObject"}) == []
    assert len(cloudtrail.lookup_events(EventCategory="insight")["Events"]) == 3

    asked = dict(EventSource="s3.amazonaws.com", EventName="GetObject", InsightType="ApiCallRateInsight")
    assert cloudtrail.list_insights_metric_data(**asked)["Values"] == []
    zeros = cloudtrail.list_insights_metric_data(**asked, DataType="FillWithZeros")
    assert len(zeros["Values"]) == len(zeros["Timestamps"]) >= 90 * 24 - 1 and set(zeros["Values"]) == {0.0}
    cloudtrail.put_insight_selectors(TrailName="audit", InsightSelectors=[])
    assert not cloudtrail.get_trail(Name="audit")["Trail"]["HasInsightSelectors"]


def test_a_bucket_must_let_insights_in(node):
    cloudtrail, s3 = node.client("cloudtrail"), node.client("s3")
    make_trail(node)
    allow = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
    policy = {"Version": "2012-10-17", "Statement": [
        {**allow, "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::audit-logs"},
        {**allow, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::audit-logs/AWSLogs/111111111111/CloudTrail/*"}]}
    s3.put_bucket_policy(Bucket="audit-logs", Policy=json.dumps(policy))
    put = dict(TrailName="audit", InsightSelectors=[{"InsightType": "ApiErrorRateInsight"}])
    assert refused(cloudtrail.put_insight_selectors, **put) == "InsufficientS3BucketPolicyException"
    assert refused(cloudtrail.get_insight_selectors, TrailName="audit") == "InsightNotEnabledException"
    policy["Statement"][1]["Resource"] = "arn:aws:s3:::audit-logs/AWSLogs/111111111111/*"
    s3.put_bucket_policy(Bucket="audit-logs", Policy=json.dumps(policy))
    cloudtrail.put_insight_selectors(**put)
    cloudtrail.put_insight_selectors(TrailName="audit", InsightSelectors=[])


def test_a_federated_store_is_listed_and_read_by_other_engines(node_with):
    node = node_with(config=QUICK)
    cloudtrail = node.client("cloudtrail")
    role = "arn:aws:iam::111111111111:role/lake"
    store, other = make_store(node, "audit"), make_store(node, "other")
    records = [make_event() for _ in range(30)]
    post(node, *records)
    listing = node.data / "lake" / "federation.json"
    assert not listing.exists()
    enabled = node.aws_json("cloudtrail", "enable-federation", "--event-data-store", store, "--federation-role", role)
    assert enabled["FederationStatus"] in ("ENABLING", "ENABLED") and enabled["FederationRoleArn"] == role
    shown = until(lambda: (found := cloudtrail.get_event_data_store(EventDataStore=store))["FederationStatus"] == "ENABLED" and found)
    assert shown["FederationRoleArn"] == role
    assert "FederationStatus" not in cloudtrail.get_event_data_store(EventDataStore=other)
    assert refused(cloudtrail.enable_federation, EventDataStore=store, FederationRoleArn=role) == "EventDataStoreFederationEnabledException"
    assert refused(cloudtrail.delete_event_data_store, EventDataStore=store) == "EventDataStoreFederationEnabledException"

    def listed() -> dict:
        found = json.loads(listing.read_text())
        assert found["database"] == "aws:cloudtrail"
        (table,) = found["tables"]
        assert (table["name"], table["format"], table["federationRoleArn"]) == (store, "delta", role)
        assert table["eventDataStoreArn"] == shown["EventDataStoreArn"]
        return table

    def ids() -> set:
        location = listed()["location"]
        own = {row[0] for row in rows_by_deltalake(location, ["eventid"])}
        # Calls are recorded meanwhile, so whoever reads later may see more.
        assert {row[0] for row in rows_by_duckdb(location.removeprefix("file://"), ["eventid"])} >= own
        return own

    until(lambda: ids() >= {record["eventID"] for record in records})
    node.kill()
    listing.write_text("rubbish")
    node.start()
    until(lambda: listing.read_text() != "rubbish")
    assert ids() >= {record["eventID"] for record in records}

    assert cloudtrail.disable_federation(EventDataStore=store)["FederationStatus"] in ("DISABLING", "DISABLED")
    until(lambda: "FederationStatus" not in cloudtrail.get_event_data_store(EventDataStore=store))
    assert not listing.exists()
    cloudtrail.delete_event_data_store(EventDataStore=store)
