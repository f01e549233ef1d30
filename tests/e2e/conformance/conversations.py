"""Errors that need a story of their own: an input each, or a function that takes the world there."""

import json
from collections.abc import Callable, Iterator

from .asked import ENDLESS
from .client import Answer
from .constants import ACCOUNT, ORGANIZED, QUERIES_MAX, STORES_MAX, TRAILS_MAX, UNKNOWN_UUID, selectors
from .model import model_of
from .provocations import BAD_CHANNEL, ELSEWHERE, NO_CHANNEL, NO_STORE, VIEW, Provocation, valid
from .world import World

# Regions of their own for what fills a quota.
FULL_OF_TRAILS = "xa-trails-1"
FULL_OF_STORES = "xa-stores-1"
FULL_OF_CHANNELS = "xa-channels-1"
# AWS and default.
CHANNELS_MAX = 25


def single() -> Iterator[Provocation]:
    yield from trails()
    yield from stores()
    yield from queries()
    yield from imports()
    yield from settings()
    yield from others()


def trails() -> Iterator[Provocation]:
    create = "CreateTrail"
    yield Provocation(create, "TrailAlreadyExistsException", valid(create, Name="conformance", S3BucketName="<trail_bucket>"), "conformance")
    for operation in ("CreateTrail", "UpdateTrail"):
        yield Provocation(operation, "S3BucketDoesNotExistException", valid(operation, S3BucketName="nonesuch"), "nonesuch")
        yield Provocation(operation, "InsufficientS3BucketPolicyException", valid(operation, S3BucketName="<closed_bucket>"), "<closed_bucket>")
        for bucket in ("ab", "Nonesuch", "a..b", "192.168.5.4"):
            yield Provocation(operation, "InvalidS3BucketNameException", valid(operation, S3BucketName=bucket), bucket)
        for prefix in ("a" * 201, "/a", "a\\b"):
            yield Provocation(operation, "InvalidS3PrefixException", valid(operation, S3KeyPrefix=prefix), "prefix")
        yield Provocation(operation, "InvalidSnsTopicNameException", valid(operation, SnsTopicName="a b"), "a b")
        yield Provocation(operation, "InsufficientSnsTopicPolicyException", valid(operation, SnsTopicName="notices"), "notices")
        group, role = "arn:aws:logs:us-east-1:111111111111:log-group:audit:*", "<role>"
        yield Provocation(operation, "InvalidCloudWatchLogsLogGroupArnException", valid(operation, CloudWatchLogsRoleArn=role), "log group")
        yield Provocation(operation, "InvalidCloudWatchLogsRoleArnException", valid(operation, CloudWatchLogsLogGroupArn=group), "role")
        both = valid(operation, CloudWatchLogsLogGroupArn=group, CloudWatchLogsRoleArn=role)
        yield Provocation(operation, "CloudWatchLogsDeliveryUnavailableException", both, "CloudWatch Logs")
        yield Provocation(operation, "KmsException", valid(operation, KmsKeyId="alias/audit"), "KmsKeyId")
        single_region = valid(operation, IsMultiRegionTrail=True, IncludeGlobalServiceEvents=False)
        yield Provocation(operation, "InvalidParameterCombinationException", single_region, "global service events")
    put = "PutEventSelectors"
    both = valid(put, AdvancedEventSelectors=[{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}])
    yield Provocation(put, "InvalidEventSelectorsException", both, "AdvancedEventSelectors")
    yield Provocation(put, "InvalidEventSelectorsException", valid(put, EventSelectors=[]), "selectors")
    yield Provocation("GetInsightSelectors", "InsightNotEnabledException", {"TrailName": "<other_trail>"}, "Insights")


def stores() -> Iterator[Provocation]:
    for operation in ("CreateEventDataStore", "UpdateEventDataStore"):
        yield Provocation(operation, "EventDataStoreAlreadyExistsException", valid(operation, Name="<store_name>"), "<store_name>")
        wrong = [{"FieldSelectors": [{"Field": "eventName", "Equals": ["A"]}]}]
        yield Provocation(operation, "InvalidEventSelectorsException", valid(operation, AdvancedEventSelectors=wrong), "eventCategory")
        yield Provocation(operation, "KmsException", valid(operation, KmsKeyId="alias/audit"), "KmsKeyId")
        long = valid(operation, "full", RetentionPeriod=3000, BillingMode="FIXED_RETENTION_PRICING")
        yield Provocation(operation, "InvalidParameterException", long, "FIXED_RETENTION_PRICING")
    delete = "DeleteEventDataStore"
    protected = {"EventDataStore": "<protected_store>"}
    yield Provocation(delete, "EventDataStoreTerminationProtectedException", protected, "<protected_store>")
    yield Provocation(delete, "ChannelExistsForEDSException", {"EventDataStore": "<channel_store>"}, "<channel_store>")


def queries() -> Iterator[Provocation]:
    start = "StartQuery"
    statement = "SELECT count(*) FROM <store_id>"
    for broken in ("SELEC 1", "DELETE FROM <store_id>", "SELECT nonesuch FROM <store_id>", f"SELECT 1 FROM {UNKNOWN_UUID}"):
        yield Provocation(start, "InvalidQueryStatementException", {"QueryStatement": broken}, "line 1")
    yield Provocation(start, "InvalidParameterException", {}, "QueryStatement")
    yield Provocation(start, "InvalidParameterException", {"QueryAlias": "nonesuch"}, "nonesuch")
    to = lambda uri: {"QueryStatement": statement, "DeliveryS3Uri": uri}  # noqa: E731
    yield Provocation(start, "InvalidS3BucketNameException", to("s3://a..b"), "a..b")
    yield Provocation(start, "InvalidS3PrefixException", to("s3://<bucket>/" + "a" * 201), "prefix")
    yield Provocation(start, "S3BucketDoesNotExistException", to("s3://nonesuch"), "nonesuch")
    yield Provocation(start, "InsufficientS3BucketPolicyException", to("s3://<closed_bucket>"), "<closed_bucket>")
    yield Provocation("DescribeQuery", "InvalidParameterException", {"QueryId": "<query>", "QueryAlias": "<alias>"}, "QueryAlias")
    yield Provocation("CancelQuery", "InactiveQueryException", {"QueryId": "<query>"}, "<query>")
    yield Provocation("GenerateQuery", "GenerateResponseException", {"EventDataStores": ["<store>"], "Prompt": "sing a song"}, "prompt")
    yield Provocation("ListQueries", "InvalidQueryStatusException", valid("ListQueries", QueryStatus="DONE"), "DONE")
    backwards = valid("ListQueries", StartTime="<now>", EndTime="<day_ago>")
    yield Provocation("ListQueries", "InvalidDateRangeException", backwards, "time")
    search = valid("SearchSampleQueries", NextToken="rubbish")
    yield Provocation("SearchSampleQueries", "InvalidParameterException", search, "NextToken")


def imports() -> Iterator[Provocation]:
    start = "StartImport"
    yield Provocation(start, "InvalidParameterException", {}, "destination")
    yield Provocation(start, "InvalidParameterException", valid(start, ImportId="<failed_import>"), "ImportId")
    backwards = valid(start, StartEventTime="<now>", EndEventTime="<day_ago>")
    yield Provocation(start, "InvalidParameterException", backwards, "StartEventTime")
    source = {"S3LocationUri": "s3://nonesuch/", "S3BucketRegion": "us-east-1", "S3BucketAccessRoleArn": "<role>"}
    yield Provocation(start, "InvalidImportSourceException", valid(start, ImportSource={"S3": source}), "nonesuch")
    elsewhere = {**source, "S3LocationUri": "https://nonesuch/"}
    yield Provocation(start, "InvalidImportSourceException", valid(start, ImportSource={"S3": elsewhere}), "https://nonesuch/")
    yield Provocation("StopImport", "InvalidParameterException", {"ImportId": "<failed_import>"}, "<failed_import>")
    yield Provocation("ListImportFailures", "InvalidParameterException", {"ImportId": UNKNOWN_UUID}, UNKNOWN_UUID)


def settings() -> Iterator[Provocation]:
    """Event configuration, Insights, federation."""
    for operation in ("GetEventConfiguration", "PutEventConfiguration", "GetInsightSelectors", "PutInsightSelectors"):
        both = valid(operation, TrailName="<trail>", EventDataStore="<spare_store>")
        yield Provocation(operation, "InvalidParameterCombinationException", both, "EventDataStore")
    neither = {"InsightSelectors": [{"InsightType": "ApiCallRateInsight"}]}
    yield Provocation("PutInsightSelectors", "InvalidParameterCombinationException", neither, "TrailName")
    deleted = {"EventDataStore": "<deleted_store>"}
    yield Provocation("GetEventConfiguration", "InvalidEventDataStoreStatusException", deleted, "<deleted_store>")
    # The model gives these no error of their own for a store that is not there.
    for operation in ("GetInsightSelectors", "PutInsightSelectors"):
        given = valid(operation, "store", EventDataStore=NO_STORE)
        yield Provocation(operation, "InvalidParameterException", given, UNKNOWN_UUID)
    keys = [{"Type": "TagContext", "Equals": ["team"]}]
    standard = {"EventDataStore": "<spare_store>", "MaxEventSize": "Standard", "ContextKeySelectors": keys}
    yield Provocation("PutEventConfiguration", "InvalidParameterCombinationException", standard, "MaxEventSize")
    wrong_key = [{"Type": "RequestContext", "Equals": ["aws:Nonesuch"]}]
    large = valid("PutEventConfiguration", MaxEventSize="Large", ContextKeySelectors=wrong_key)
    yield Provocation("PutEventConfiguration", "InvalidParameterException", large, "aws:Nonesuch")
    twice = {"TrailName": "<other_trail>", "InsightSelectors": [{"InsightType": "ApiCallRateInsight"}] * 2}
    yield Provocation("PutInsightSelectors", "InvalidInsightSelectorsException", twice, "ApiCallRateInsight")
    without_code = valid("ListInsightsMetricData", "full", ErrorCode=...)
    yield Provocation("ListInsightsMetricData", "InvalidParameterException", without_code, "ErrorCode")
    no_source = valid("ListInsightsData", InsightSource="arn:aws:cloudtrail")
    yield Provocation("ListInsightsData", "InvalidParameterException", no_source, "InsightSource")


def others() -> Iterator[Provocation]:
    yield Provocation("AddTags", "OperationNotPermittedException", valid("AddTags"), "us-east-1", region=ELSEWHERE)
    lookup = "LookupEvents"
    two = [{"AttributeKey": "EventName", "AttributeValue": "A"}, {"AttributeKey": "EventId", "AttributeValue": "B"}]
    unknown = [{"AttributeKey": "Nonesuch", "AttributeValue": "A"}]
    no_truth = [{"AttributeKey": "ReadOnly", "AttributeValue": "True"}]
    for wrong, names in ((two, "one"), (unknown, "Nonesuch"), (no_truth, "ReadOnly")):
        yield Provocation(lookup, "InvalidLookupAttributesException", {"LookupAttributes": wrong}, names)
    yield Provocation(lookup, "InvalidEventCategoryException", {"EventCategory": "nonesuch"}, "nonesuch")
    channel = "CreateChannel"
    yield Provocation(channel, "ChannelAlreadyExistsException", valid(channel, Name="<channel_name>", Source="Another"), "<channel_name>")
    yield Provocation("UpdateChannel", "ChannelAlreadyExistsException", valid("UpdateChannel", Name="<channel_name>"), "<channel_name>")
    yield Provocation("CreateDashboard", "ConflictException", valid("CreateDashboard", Name="<dashboard_name>"), "<dashboard_name>")
    yield Provocation("DeleteDashboard", "ConflictException", {"DashboardId": "<protected_dashboard>"}, "protect")
    yield Provocation("PutResourcePolicy", "ResourcePolicyNotValidException", valid("PutResourcePolicy", ResourcePolicy="no policy"), "policy")
    no_role = valid("EnableFederation", FederationRoleArn="nonesuch")
    yield Provocation("EnableFederation", "InvalidParameterException", no_role, "nonesuch")
    yield Provocation(channel, "InvalidSourceException", valid(channel, Source="CloudTrail"), "CloudTrail")
    service = [{"Type": "AWS_SERVICE", "Location": "config"}]
    for operation in ("CreateChannel", "UpdateChannel"):
        yield Provocation(operation, "InvalidParameterException", valid(operation, Destinations=service), "AWS_SERVICE")
    put = "PutAuditEvents"
    yield Provocation(put, "ChannelNotFound", valid(put, channelArn=NO_CHANNEL), UNKNOWN_UUID)
    theirs = valid(put, channelArn=NO_CHANNEL.replace("111111111111", "222222222222"))
    yield Provocation(put, "ChannelInsufficientPermission", theirs, UNKNOWN_UUID)
    yield Provocation(put, "InvalidChannelARN", valid(put, channelArn=BAD_CHANNEL), BAD_CHANNEL)
    yield Provocation(put, "DuplicatedAuditEventId", valid(put, auditEvents=[{"id": "1", "eventData": "{}"}] * 2), "1")


# --- stories ---------------------------------------------------------------------------------------


def fill_trails(world: World) -> Answer:
    for n in range(TRAILS_MAX):
        world.client.done("CreateTrail", {"Name": f"quota-{n}", "S3BucketName": world.bucket}, FULL_OF_TRAILS)
    one_more = {"Name": "quota-more", "S3BucketName": world.bucket}
    return world.client.call("CreateTrail", one_more, FULL_OF_TRAILS)


def fill_stores(world: World) -> Answer:
    for n in range(STORES_MAX):
        quiet = {"Name": f"quota-{n}", "StartIngestion": False, "MultiRegionEnabled": False}
        world.client.done("CreateEventDataStore", quiet, FULL_OF_STORES)
    return world.client.call("CreateEventDataStore", {"Name": "quota-more"}, FULL_OF_STORES)


def fill_queries(world: World) -> Answer:
    running = [world.new_endless_query for _ in range(QUERIES_MAX)]
    try:
        return world.client.call("StartQuery", {"QueryStatement": f"SELECT count(*) FROM {world.store_id}"})
    finally:
        for query in running:
            world.client.done("CancelQuery", {"QueryId": query})


def import_twice(world: World) -> Answer:
    begun = world.new_import
    try:
        return world.client.call("StartImport", {"Destinations": [world.import_store], "ImportSource": world.bad_source})
    finally:
        world.client.done("StopImport", {"ImportId": begun})


def fill_channels(world: World) -> Answer:
    store = {"Name": "activity", "AdvancedEventSelectors": selectors("ActivityAuditLog")}
    place = world.client.done("CreateEventDataStore", store, FULL_OF_CHANNELS)["EventDataStoreArn"]
    destinations = [{"Type": "EVENT_DATA_STORE", "Location": place}]
    given = lambda n: {"Name": f"quota-{n}", "Source": f"Source{n}", "Destinations": destinations}  # noqa: E731
    for n in range(CHANNELS_MAX):
        world.client.done("CreateChannel", given(n), FULL_OF_CHANNELS)
    return world.client.call("CreateChannel", given(CHANNELS_MAX), FULL_OF_CHANNELS)


def put_where_it_is_denied(world: World) -> Answer:
    """AWS: the owner keeps access to a channel unless its policy denies it."""
    channel = world.new_channel
    who = {"Sid": "Denied", "Effect": "Deny", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}}
    what = {"Action": "cloudtrail-data:PutAuditEvents", "Resource": channel}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**who, **what}]})
    world.client.done("PutResourcePolicy", {"ResourceArn": channel, "ResourcePolicy": policy})
    return world.client.call("PutAuditEvents", {"channelArn": channel, "auditEvents": [world.audit_event]})


def find_insights_without_bucket(world: World) -> Answer:
    trail, s3 = trail_into(world, "conformance-gone"), world.node.client("s3")
    for item in s3.list_objects_v2(Bucket="conformance-gone").get("Contents", []):
        s3.delete_object(Bucket="conformance-gone", Key=item["Key"])
    s3.delete_bucket(Bucket="conformance-gone")
    return world.client.call("PutInsightSelectors", valid("PutInsightSelectors", TrailName=trail))


def find_insights_behind_a_closed_door(world: World) -> Answer:
    trail = trail_into(world, "conformance-closing")
    world.close("conformance-closing")
    return world.client.call("PutInsightSelectors", valid("PutInsightSelectors", TrailName=trail))


def trail_into(world: World, bucket: str) -> str:
    world.node.client("s3").create_bucket(Bucket=bucket)
    return world.client.done("CreateTrail", {"Name": world.new_name, "S3BucketName": bucket})["TrailARN"]


def refresh_after_deletion(world: World) -> Answer:
    """A dashboard whose store is deleted behind its back."""
    store = world.new_store
    statement = f"SELECT count(*) FROM {store.rsplit('/', 1)[1]}"
    widget = {"QueryStatement": statement, "ViewProperties": VIEW}
    dashboard = world.client.done("CreateDashboard", {"Name": world.new_name, "Widgets": [widget]})["DashboardArn"]
    world.client.done("DeleteEventDataStore", {"EventDataStore": store})
    return world.client.call("StartDashboardRefresh", {"DashboardId": dashboard})


def refresh_twice(world: World) -> Answer:
    """One refresh of a dashboard at a time."""
    widget = {"QueryStatement": ENDLESS.format(world.store_id), "ViewProperties": VIEW}
    dashboard = world.client.done("CreateDashboard", {"Name": world.new_name, "Widgets": [widget]})["DashboardArn"]
    try:
        world.client.done("StartDashboardRefresh", {"DashboardId": dashboard})
        return world.client.call("StartDashboardRefresh", {"DashboardId": dashboard})
    finally:
        for status in ("RUNNING", "QUEUED"):
            for query in world.client.done("ListQueries", {"EventDataStore": world.store, "QueryStatus": status})["Queries"]:
                world.client.call("CancelQuery", {"QueryId": query["QueryId"]})


# Each gives the answer that bears the error.
REGISTER, DEREGISTER = "RegisterOrganizationDelegatedAdmin", "DeregisterOrganizationDelegatedAdmin"


def delegating(operation: str, account) -> Callable[[World], Answer]:
    """The management account asks for that account."""
    member = "MemberAccountId" if operation == REGISTER else "DelegatedAdminAccountId"
    return lambda world: world.manager.call(operation, {member: account(world)})


def delegate_to_a_fourth(world: World) -> Answer:
    for account in ORGANIZED[2:5]:
        world.manager.call(REGISTER, {"MemberAccountId": account})
    return world.manager.call(REGISTER, {"MemberAccountId": ORGANIZED[5]})


def delegate_as_a_member(operation: str) -> Callable[[World], Answer]:
    member = "MemberAccountId" if operation == REGISTER else "DelegatedAdminAccountId"
    return lambda world: world.organized[ORGANIZED[5]].call(operation, {member: ORGANIZED[2]})


def of_organization_by_a_member(operation: str, **given) -> Callable[[World], Answer]:
    return lambda world: world.organized[ORGANIZED[5]].call(operation, given)


STORIES = {
    (REGISTER, "AccountNotFoundException"): delegating(REGISTER, lambda world: ACCOUNT),
    (REGISTER, "AccountRegisteredException"): delegating(REGISTER, lambda world: world.delegate),
    (REGISTER, "CannotDelegateManagementAccountException"): delegating(REGISTER, lambda world: ORGANIZED[0]),
    (REGISTER, "DelegatedAdminAccountLimitExceededException"): delegate_to_a_fourth,
    (REGISTER, "InvalidParameterException"): delegating(REGISTER, lambda world: "3" * 13),
    (REGISTER, "NotOrganizationManagementAccountException"): delegate_as_a_member(REGISTER),
    (DEREGISTER, "AccountNotFoundException"): delegating(DEREGISTER, lambda world: ACCOUNT),
    (DEREGISTER, "AccountNotRegisteredException"): delegating(DEREGISTER, lambda world: world.member),
    (DEREGISTER, "InvalidParameterException"): delegating(DEREGISTER, lambda world: "3" * 13),
    (DEREGISTER, "NotOrganizationManagementAccountException"): delegate_as_a_member(DEREGISTER),
    ("CreateTrail", "NotOrganizationMasterAccountException"): of_organization_by_a_member(
        "CreateTrail", Name="all", S3BucketName="nonesuch", IsOrganizationTrail=True
    ),
    ("CreateEventDataStore", "NotOrganizationMasterAccountException"): of_organization_by_a_member(
        "CreateEventDataStore", Name="all", OrganizationEnabled=True
    ),
    ("CreateTrail", "MaximumNumberOfTrailsExceededException"): fill_trails,
    ("CreateEventDataStore", "EventDataStoreMaxLimitExceededException"): fill_stores,
    ("StartQuery", "MaxConcurrentQueriesException"): fill_queries,
    ("StartImport", "AccountHasOngoingImportException"): import_twice,
    ("CreateChannel", "ChannelMaxLimitExceededException"): fill_channels,
    ("PutAuditEvents", "ChannelInsufficientPermission"): put_where_it_is_denied,
    ("PutInsightSelectors", "InsufficientS3BucketPolicyException"): find_insights_behind_a_closed_door,
    ("PutInsightSelectors", "S3BucketDoesNotExistException"): find_insights_without_bucket,
    ("StartDashboardRefresh", "ServiceQuotaExceededException"): refresh_twice,
    ("StartDashboardRefresh", "InactiveEventDataStoreException"): refresh_after_deletion,
}
assert all(code in model_of(operation).errors(operation) for operation, code in STORIES)
