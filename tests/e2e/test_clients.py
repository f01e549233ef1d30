"""What third-party tools for CloudTrail ask, in their order and with their settings.

The tools themselves are too large for CI. docs/clients.md says which versions were run, and how.
"""

import gzip
import io
import json
from datetime import datetime, timedelta, timezone

import boto3
import botocore.config
import botocore.exceptions
import pytest
from conftest import log_file_keys, make_event, make_trail, ndjson, until

ACCOUNT = "111111111111"


def error_of(call, *arguments, **parameters) -> str:
    """The code of the error that a call must end with; one that the SDK cannot read fails the test."""
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        call(*arguments, **parameters)
    return raised.value.response["Error"]["Code"]


def as_prowler(node, service: str, region: str = "us-east-1"):
    return node.client(service, region, user_agent_extra="APN_1826889")


def test_prowler_reads_regions_trails_and_their_buckets(node):
    arn = make_trail(node, IsMultiRegionTrail=True, TagsList=[{"Key": "team", "Value": "sec"}])
    node.client("cloudtrail", "eu-west-1").create_trail(Name="west", S3BucketName="audit-logs")
    assert as_prowler(node, "sts", "eu-west-1").get_caller_identity()["Account"] == ACCOUNT

    enabled = as_prowler(node, "ec2").describe_regions(AllRegions=False)["Regions"]
    regions = {region["RegionName"] for region in enabled}
    assert {"us-east-1", "eu-west-1"} <= regions and len(regions) >= 17
    # It is survived: prowler goes on without the account's name.
    assert error_of(as_prowler(node, "organizations").describe_account, AccountId=ACCOUNT)

    trails = {}
    for region in sorted(regions):
        for trail in as_prowler(node, "cloudtrail", region).describe_trails()["trailList"]:
            trails.setdefault(trail["TrailARN"], (region, trail))
    assert len(trails) == 2
    for arn, (region, trail) in trails.items():
        client = as_prowler(node, "cloudtrail", region)
        members = ["Name", "IsMultiRegionTrail", "HomeRegion", "LogFileValidationEnabled", "S3BucketName"]
        assert all(member in trail for member in members)
        assert client.get_trail_status(Name=arn)["IsLogging"] is (trail["Name"] == "audit")
        assert error_of(client.get_insight_selectors, TrailName=arn) == "InsightNotEnabledException"
        assert client.get_event_selectors(TrailName=arn)["EventSelectors"][0]["IncludeManagementEvents"]
    tags = as_prowler(node, "cloudtrail").list_tags(ResourceIdList=[arn_of(trails, "audit")])
    assert tags["ResourceTagList"][0]["TagsList"] == [{"Key": "team", "Value": "sec"}]

    s3 = as_prowler(node, "s3")
    buckets = s3.list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["audit-logs"]
    read_configurations(s3, "audit-logs")

    # Threat detection: an event name at a time, since a time without a zone.
    events = as_prowler(node, "cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateTrail"}],
        StartTime=datetime.now() - timedelta(minutes=1440),
    )["Events"]
    assert json.loads(events[0]["CloudTrailEvent"])["userIdentity"]["arn"].endswith(":user/admin")


def arn_of(trails: dict, name: str) -> str:
    return next(arn for arn, (_, trail) in trails.items() if trail["Name"] == name)


def read_configurations(s3, bucket: str, put_refused: str = "NotImplemented") -> None:
    """What S3 says of a bucket on which nothing was configured."""
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    notification = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert not any(key.endswith("Configurations") for key in notification)
    for call, code in [
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_policy_status, "NoSuchBucketPolicy"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_bucket_tagging, "NoSuchTagSet"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
        (s3.get_public_access_block, "NoSuchPublicAccessBlockConfiguration"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as raised:
            call(Bucket=bucket)
        answer = raised.value.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, 404)
        assert error_of(call, Bucket="nobodys-bucket") == "NoSuchBucket"
    # Setting what is not there is not pretended.
    assert error_of(s3.put_public_access_block, Bucket=bucket, PublicAccessBlockConfiguration={}) == put_refused


def test_reading_configurations_needs_the_rights_that_s3_names(node):
    node.client("s3").create_bucket(Bucket="audit-logs")
    made = node.run("account", "user", "create", "auditor")
    assert made.returncode == 0, made.stderr
    key = json_or_lines(node.run("key", "create", "--user", "auditor").stdout)
    s3 = with_key(node, "s3", key)
    assert error_of(s3.get_bucket_encryption, Bucket="audit-logs") == "AccessDenied"
    policy = node.folder / "policy.json"
    allow = {"Effect": "Allow", "Action": "s3:GetEncryptionConfiguration", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    put = node.run("account", "policy", "put", "--user", "auditor", "read", str(policy))
    assert put.returncode == 0, put.stderr
    assert error_of(s3.get_bucket_encryption, Bucket="audit-logs") == "ServerSideEncryptionConfigurationNotFoundError"
    assert error_of(s3.get_bucket_tagging, Bucket="audit-logs") == "AccessDenied"
    # The doors beside CloudTrail ask for rights too.
    assert error_of(with_key(node, "ec2", key).describe_regions) == "UnauthorizedOperation"
    assert error_of(with_key(node, "iam", key).list_account_aliases) == "AccessDenied"
    tagging = with_key(node, "resourcegroupstaggingapi", key)
    assert error_of(tagging.get_resources) == "AccessDeniedException"


def test_read_only_is_enough_to_audit(node):
    arn = make_trail(node)
    made = node.run("account", "user", "create", "ann", "--policy", "read-only")
    assert made.returncode == 0, made.stderr
    key = json_or_lines(node.run("key", "create", "--user", "ann").stdout)
    assert with_key(node, "ec2", key).describe_regions()["Regions"]
    assert with_key(node, "iam", key).list_account_aliases()["AccountAliases"] == []
    read_only_s3 = with_key(node, "s3", key)
    read_configurations(read_only_s3, "audit-logs", put_refused="AccessDenied")
    tagging = with_key(node, "resourcegroupstaggingapi", key)
    assert tagging.get_resources()["ResourceTagMappingList"] == []
    assert error_of(tagging.tag_resources, ResourceARNList=[arn], Tags={"a": "b"}) == "AccessDeniedException"


def json_or_lines(text: str) -> dict:
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def with_key(node, service: str, key: dict):
    return boto3.client(
        service,
        endpoint_url=node.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key["aws_access_key_id"],
        aws_secret_access_key=key["aws_secret_access_key"],
        config=botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def test_scoutsuite_finds_its_regions_and_each_trail_once(node):
    make_trail(node, IsMultiRegionTrail=True)
    closed = [{"Name": "opt-in-status", "Values": ["not-opted-in"]}]
    ec2 = node.client("ec2")
    assert ec2.describe_regions(AllRegions=True, Filters=closed)["Regions"] == []
    named = ec2.describe_regions(RegionNames=["eu-west-1"])["Regions"]
    assert [(one["RegionName"], one["OptInStatus"]) for one in named] == [("eu-west-1", "opt-in-not-required")]
    assert error_of(ec2.describe_regions, RegionNames=["moon-1"]) == "InvalidParameterValue"
    assert error_of(ec2.describe_regions, DryRun=True) == "DryRunOperation"

    for region in ["us-east-1", "eu-west-1", "mx-central-1"]:
        client = node.client("cloudtrail", region)
        (trail,) = client.describe_trails()["trailList"]
        assert trail["HomeRegion"] == "us-east-1"
        client.get_trail_status(Name=trail["TrailARN"])
        for selector in client.get_event_selectors(TrailName=trail["TrailARN"])["EventSelectors"]:
            assert selector["IncludeManagementEvents"] is True and selector["DataResources"] == []


def test_custodian_filters_and_changes_trails(node):
    arn = make_trail(node, EnableLogFileValidation=False, TagsList=[{"Key": "team", "Value": "sec"}])
    cloudtrail, tagging = node.client("cloudtrail"), node.client("resourcegroupstaggingapi")
    # The account resource, for check-cloudtrail.
    assert node.client("iam").list_account_aliases()["AccountAliases"] == []
    assert cloudtrail.describe_trails()["trailList"][0]["TrailARN"] == arn

    def tags(**asked) -> dict:
        answer = tagging.get_resources(**asked)
        assert answer["PaginationToken"] == ""
        found = answer["ResourceTagMappingList"]
        return {one["ResourceARN"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found}

    assert tags(ResourceARNList=[arn]) == {arn: {"team": "sec"}}
    changed = tagging.tag_resources(ResourceARNList=[arn], Tags={"owner": "ops", "X": ""})
    assert changed["FailedResourcesMap"] == {}
    assert tags(ResourceARNList=[arn]) == {arn: {"team": "sec", "owner": "ops", "X": ""}}
    listed = cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"]
    assert {tag["Key"] for tag in listed} == {"team", "owner", "X"}
    tagging.untag_resources(ResourceARNList=[arn], TagKeys=["X", "owner"])
    assert tags() == {arn: {"team": "sec"}}

    # update-trail, set-logging, delete
    cloudtrail.update_trail(Name="audit", EnableLogFileValidation=True)
    cloudtrail.stop_logging(Name="audit")
    assert cloudtrail.get_trail_status(Name=arn)["IsLogging"] is False
    cloudtrail.start_logging(Name="audit")
    cloudtrail.delete_trail(Name="audit")
    assert error_of(cloudtrail.delete_trail, Name="audit") == "TrailNotFoundException"
    assert tags() == {}


def test_tagged_resources_are_filtered_and_paged(node):
    node.client("s3").create_bucket(Bucket="logs-1")
    cloudtrail, tagging = node.client("cloudtrail"), node.client("resourcegroupstaggingapi")
    arns = []
    for name in ["one", "two", "three"]:
        tags = [{"Key": "name", "Value": name}, {"Key": "Kind", "Value": "trail"}]
        arns.append(cloudtrail.create_trail(Name=name, S3BucketName="logs-1", TagsList=tags)["TrailARN"])
    store = cloudtrail.create_event_data_store(Name="store", TagsList=[{"Key": "name", "Value": "one"}])
    elsewhere = node.client("cloudtrail", "eu-west-1")
    elsewhere.create_trail(Name="west", S3BucketName="logs-1", TagsList=[{"Key": "name", "Value": "one"}])

    def found(**asked) -> list:
        return [one["ResourceARN"] for one in tagging.get_resources(**asked)["ResourceTagMappingList"]]

    everything = sorted([*arns, store["EventDataStoreArn"]])
    assert found() == everything
    assert found(ResourceTypeFilters=["cloudtrail:trail"]) == sorted(arns)
    assert found(ResourceTypeFilters=["ec2", "s3:bucket"]) == []
    assert found(TagFilters=[{"Key": "name", "Values": ["one", "two"]}, {"Key": "Kind"}]) == sorted(arns[:2])
    pages = tagging.get_paginator("get_resources").paginate(ResourcesPerPage=3)
    sizes = [len(page["ResourceTagMappingList"]) for page in pages]
    assert sizes == [3, 1]

    # What is wrong with one resource does not keep the others from their tags.
    missing = arns[0] + "-not"
    failed = tagging.tag_resources(ResourceARNList=[arns[0], missing], Tags={"a": "b"})["FailedResourcesMap"]
    assert list(failed) == [missing] and failed[missing]["ErrorCode"] == "InvalidParameterException"
    assert found(TagFilters=[{"Key": "a"}]) == [arns[0]]
    for wrong in [
        {"ResourceARNList": arns, "ResourcesPerPage": 5},
        {"ResourcesPerPage": 101},
        {"IncludeComplianceDetails": True},
    ]:
        assert error_of(tagging.get_resources, **wrong) == "InvalidParameterException"
    assert error_of(tagging.get_tag_keys) == "UnknownOperationException"

    # The call is recorded, with the keys as they were given.
    tagging.untag_resources(ResourceARNList=[arns[0]], TagKeys=["Kind"])

    def recorded():
        attribute = [{"AttributeKey": "EventName", "AttributeValue": "UntagResources"}]
        return cloudtrail.lookup_events(LookupAttributes=attribute)["Events"]

    (event,) = until(recorded)
    record = json.loads(event["CloudTrailEvent"])
    assert record["eventSource"] == "tagging.amazonaws.com" and record["readOnly"] is False
    assert record["requestParameters"] == {"resourceARNList": [arns[0]], "tagKeys": ["Kind"]}
    assert record["resources"][0]["ARN"] == arns[0]


def test_another_accounts_tags_are_not_shown(node):
    arn = make_trail(node, TagsList=[{"Key": "team", "Value": "sec"}])
    key = json_or_lines(node.run("account", "create", "payments").stdout)
    tagging = with_key(node, "resourcegroupstaggingapi", key)
    assert tagging.get_resources()["ResourceTagMappingList"] == []
    assert tagging.get_resources(ResourceARNList=[arn])["ResourceTagMappingList"] == []
    assert list(tagging.tag_resources(ResourceARNList=[arn], Tags={"a": "b"})["FailedResourcesMap"]) == [arn]
    assert list(tagging.untag_resources(ResourceARNList=[arn], TagKeys=["team"])["FailedResourcesMap"]) == [arn]
    listed = node.client("cloudtrail").list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"]
    assert listed == [{"Key": "team", "Value": "sec"}]


@pytest.mark.parametrize(
    "service, operation, asked",
    [
        ("autoscaling", "describe_auto_scaling_groups", {}),  # query
        ("cloudwatch", "describe_alarms_for_metric", {"MetricName": "m", "Namespace": "n"}),  # rpc-v2-cbor
        ("ec2", "describe_instances", {}),  # EC2's query
        ("iam", "list_users", {}),
        ("kms", "list_keys", {}),  # JSON
        ("lambda", "list_functions", {}),  # rest-json
        ("logs", "describe_metric_filters", {}),
        ("sns", "list_topics", {}),
        ("securityhub", "describe_hub", {}),
    ],
)
def test_a_service_that_is_not_here_says_so_in_words_that_its_sdk_reads(node, service, operation, asked):
    client = node.client(service)
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        getattr(client, operation)(**asked)
    error = raised.value.response["Error"]
    assert error["Code"] in ("InvalidAction", "UnknownOperationException")
    assert "Cairn does not" in error["Message"] and "AWS_ENDPOINT_URL_" in error["Message"]


def test_the_mcp_server_looks_up_and_asks_the_lake(node):
    cloudtrail = node.client("cloudtrail", user_agent_extra="md/awslabs#mcp#cloudtrail-mcp-server#0.1.1")
    cloudtrail.create_event_data_store(Name="lake", TerminationProtectionEnabled=False)
    (store,) = cloudtrail.list_event_data_stores()["EventDataStores"]
    details = cloudtrail.get_event_data_store(EventDataStore=store["EventDataStoreArn"])
    assert details["AdvancedEventSelectors"] and details["MultiRegionEnabled"] and not details["OrganizationEnabled"]

    for _ in range(3):
        cloudtrail.list_trails()
    now = datetime.now(timezone.utc)
    period = {"StartTime": now - timedelta(days=1), "EndTime": now + timedelta(minutes=1)}
    until(lambda: len(cloudtrail.lookup_events(**period)["Events"]) >= 4)
    first = cloudtrail.lookup_events(**period, MaxResults=2)
    again = cloudtrail.lookup_events(**period, MaxResults=2, NextToken=first["NextToken"])
    ids = [event["EventId"] for page in (first, again) for event in page["Events"]]
    assert len(set(ids)) == 4

    table = store["EventDataStoreArn"].split("/")[-1]
    query = cloudtrail.start_query(
        QueryStatement=f"SELECT eventName, userIdentity.arn FROM {table} WHERE eventTime > '2026-01-01 00:00:00' LIMIT 3"
    )["QueryId"]

    def finished():
        status = cloudtrail.describe_query(QueryId=query)
        assert status["QueryStatus"] in ("QUEUED", "RUNNING", "FINISHED"), status
        return status["QueryStatus"] == "FINISHED"

    until(finished)
    page = cloudtrail.get_query_results(QueryId=query, MaxQueryResults=2)
    rest = cloudtrail.get_query_results(QueryId=query, MaxQueryResults=2, NextToken=page["NextToken"])
    rows = page["QueryResultRows"] + rest["QueryResultRows"]
    assert len(rows) == 3 and "NextToken" not in rest
    assert [list(cell) for cell in rows[0]] == [["eventName"], ["arn"]]
    statement = f"SELECT nope FROM {table}"
    assert error_of(cloudtrail.start_query, QueryStatement=statement) == "InvalidQueryStatementException"
    nobodys = "0233062b-51c6-4d18-8dec-a8c90da840d9"
    assert error_of(cloudtrail.describe_query, QueryId=nobodys) == "QueryIdNotFoundException"


class WazuhReader:
    """Reads a trail's bucket as Wazuh's wodle does: accounts, Regions, then days after a marker.

    The wodle keeps its marker in SQLite; here it is a dictionary.
    """

    def __init__(self, node, bucket: str, prefix: str = "", delete: bool = False):
        # Its own settings where there is no ~/.aws/config.
        config = botocore.config.Config(retries={"max_attempts": 10, "mode": "standard"})
        self.client = with_config(node, config)
        self.bucket, self.prefix, self.delete = bucket, prefix, delete
        self.last_keys: dict = {}

    def folders(self, prefix: str) -> list[str]:
        answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, Delimiter="/")
        return [one["Prefix"].split("/")[-2] for one in answer.get("CommonPrefixes", [])]

    def read(self, since: str, page: int = 1000) -> list[dict]:
        found = []
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix, Delimiter="/")
        assert any("CommonPrefixes" in page for page in pages), "the wodle ends here: no files were found"
        base = f"{self.prefix}AWSLogs/"
        for account in self.folders(base):
            if not (account.isdigit() and len(account) == 12):
                continue
            for region in self.folders(f"{base}{account}/CloudTrail/"):
                found += self.read_region(f"{base}{account}/CloudTrail/{region}/", since, page)
        return found

    def read_region(self, prefix: str, since: str, page: int) -> list[dict]:
        found = []
        asked = {"Bucket": self.bucket, "MaxKeys": page, "Prefix": prefix}
        marker = self.last_keys.get(prefix, prefix + since)
        answer = self.client.list_objects_v2(**asked, StartAfter=marker)
        while "Contents" in answer:
            for one in answer["Contents"]:
                if one["Key"].endswith("/"):
                    continue
                # The day is read from the file's name.
                assert len(one["Key"].rsplit("/", 1)[-1].split("_")[-2].split("T")[0]) == 8
                raw = io.BytesIO(self.client.get_object(Bucket=self.bucket, Key=one["Key"])["Body"].read())
                with gzip.open(raw, mode="rt") as plain:
                    found += json.load(plain)["Records"]
                if self.delete:
                    self.client.delete_object(Bucket=self.bucket, Key=one["Key"])
                self.last_keys[prefix] = one["Key"]
            if not answer["IsTruncated"]:
                break
            answer = self.client.list_objects_v2(**asked, ContinuationToken=answer["NextContinuationToken"])
        return found


def with_config(node, config):
    keys = node.credentials
    return boto3.client(
        "s3",
        endpoint_url=node.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["aws_access_key_id"],
        aws_secret_access_key=keys["aws_secret_access_key"],
        config=config,
    )


def test_wazuh_reads_every_record_once_and_goes_on_from_its_marker(node):
    make_trail(node, S3KeyPrefix="company", IsMultiRegionTrail=True)
    s3 = node.client("s3")
    today = datetime.now(timezone.utc).strftime("%Y/%m/%d")
    reader = WazuhReader(node, "audit-logs", prefix="company/")

    def orders(records) -> list[str]:
        return [record["eventID"] for record in records if record["eventName"] == "CreateOrder"]

    def post(region: str) -> list[str]:
        events = [make_event(awsRegion=region) for _ in range(5)]
        status, answer = node.post(ndjson(events))
        assert status == 200, answer
        return [event["eventID"] for event in events]

    seen, posted = [], post("us-east-1") + post("eu-west-1")

    def all_read():
        # A page of two, so that it goes through continuation tokens.
        seen.extend(orders(reader.read(today, page=2)))
        return len(seen) >= len(posted)

    until(all_read)
    assert sorted(seen) == sorted(posted)
    posted += post("us-east-1")
    until(all_read)
    assert sorted(seen) == sorted(posted)

    # With --remove-from-bucket it takes the files away, and digests know that it did.
    taker = WazuhReader(node, "audit-logs", prefix="company/", delete=True)
    taken = orders(taker.read(today))
    assert set(posted) <= set(taken)
    key = taker.last_keys[next(iter(taker.last_keys))]
    assert key not in log_file_keys(s3, "audit-logs")


def test_wazuh_as_a_role(node):
    make_trail(node)
    until(lambda: log_file_keys(node.client("s3"), "audit-logs"))
    trust = node.folder / "trust.json"
    allow = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    trust.write_text(json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    made = node.run("account", "role", "create", "wazuh", "--trust", str(trust), "--policy", "read-only")
    assert made.returncode == 0, made.stderr
    role = f"arn:aws:iam::{ACCOUNT}:role/wazuh"
    asked = {"RoleArn": role, "RoleSessionName": "WazuhLogParsing", "DurationSeconds": 1000}
    session = node.client("sts").assume_role(**asked)["Credentials"]

    s3 = boto3.Session(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"]).client(
        "s3", endpoint_url=node.endpoint, region_name="us-east-1"
    )
    answer = s3.list_objects_v2(Bucket="audit-logs", Prefix="AWSLogs/", Delimiter="/")
    assert [one["Prefix"] for one in answer["CommonPrefixes"]] == [f"AWSLogs/{ACCOUNT}/"]
