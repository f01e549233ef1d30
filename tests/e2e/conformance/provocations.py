"""How the model's errors are provoked, one rule for all operations that can make the same mistake.

Each generator walks the model: whatever operation takes a trail's name and declares the error of a
trail that is not there, is asked for one. `conversations.py` has those that need a story.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

from .cases import CASES
from .model import CLOUDTRAIL, model_of
from .constants import UNKNOWN_UUID

ELSEWHERE = "eu-west-1"
NO_TRAIL = "arn:aws:cloudtrail:us-east-1:111111111111:trail/nonesuch"
NO_STORE = f"arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/{UNKNOWN_UUID}"
NO_CHANNEL = f"arn:aws:cloudtrail:us-east-1:111111111111:channel/{UNKNOWN_UUID}"
NO_DASHBOARD = "arn:aws:cloudtrail:us-east-1:111111111111:dashboard/nonesuch"
# Each breaks the form of an ARN, and is within the model's pattern.
BAD_TRAIL = "arn:aws:cloudtrail:us-east-1:trail/nonesuch"
BAD_STORE = "arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/nonesuch"
BAD_CHANNEL = "arn:aws:cloudtrail:us-east-1:111111111111:channel/nonesuch"
VIEW = {"Height": "2", "Width": "4", "Title": "Events", "View": "Table"}


@dataclass
class Provocation:
    """`given` must be refused with `code`, in words that have `names` in them."""

    operation: str
    code: str
    given: dict
    names: str
    region: str = "us-east-1"


def valid(operation: str, case: str = "minimal", **changes) -> dict:
    """A case's input with some members changed; `...` takes one out. What only makes a case slow is replaced."""
    given = copy.deepcopy(CASES[operation][case])
    for member, cheap in (("QueryId", "<query>"), ("ImportId", "<failed_import>")):
        if member in given and given[member].startswith("<new_"):
            given[member] = cheap
    given.update(changes)
    return {member: value for member, value in given.items() if value is not ...}


def declaring(code: str) -> Iterator[str]:
    return (operation for operation in CLOUDTRAIL.operations if code in CLOUDTRAIL.errors(operation))


def naming(operation: str, member: str, value: str) -> dict:
    """The first case that names such a thing, with another one named."""
    case = next(case for case, given in CASES[operation].items() if member in given)
    return valid(operation, case, **{member: value})


def trail(operation: str, text: str) -> dict:
    """The operation asked for the trail `text`."""
    if operation == "DescribeTrails":
        return {"trailNameList": [text]}
    return naming(operation, "TrailName" if CLOUDTRAIL.takes(operation, "TrailName") else "Name", text)


TAG_OPERATIONS = ("AddTags", "RemoveTags", "ListTags")


def tagged(operation: str, arn: str) -> dict:
    """The operation asked for the tags of `arn`."""
    return {"ResourceIdList": [arn]} if operation == "ListTags" else valid(operation, ResourceId=arn)


def store(operation: str, arn: str) -> dict:
    """The operation asked for the event data store `arn`."""
    name = arn.rsplit("/", 1)[1] if "/" in arn else arn.replace(">", "_id>")
    statement = f"SELECT count(*) FROM {name}"
    match operation:
        case "AddTags" | "RemoveTags" | "ListTags":
            return tagged(operation, arn)
        case "CreateChannel" | "UpdateChannel":
            return valid(operation, Destinations=[{"Type": "EVENT_DATA_STORE", "Location": arn}])
        case "CreateDashboard" | "UpdateDashboard":
            return valid(operation, Widgets=[{"QueryStatement": statement, "ViewProperties": VIEW}])
        case "GenerateQuery":
            return valid(operation, EventDataStores=[arn])
        case "StartImport":
            return valid(operation, Destinations=[arn])
        case "ListImports":
            return {"Destination": arn}
        case "StartQuery":
            return {"QueryStatement": statement}
    return naming(operation, "EventDataStore", arn)


def generated() -> Iterator[Provocation]:
    yield from of_trails()
    yield from of_stores()
    yield from of_channels_and_dashboards()
    yield from of_tags()
    yield from of_pages()
    yield from of_queries_and_imports()
    yield from of_organizations()
    yield from of_policies()


def of_trails() -> Iterator[Provocation]:
    for operation in declaring("TrailNotFoundException"):
        if operation != "DescribeTrails":
            yield Provocation(operation, "TrailNotFoundException", trail(operation, "nonesuch"), "nonesuch")
            yield Provocation(operation, "TrailNotFoundException", trail(operation, NO_TRAIL), NO_TRAIL)
            yield Provocation(operation, "TrailNotFoundException", trail(operation, NO_TRAIL.replace("1111", "2222")), "trail/nonesuch")
    for operation in declaring("InvalidTrailNameException"):
        if operation not in TAG_OPERATIONS:
            for name in ("-a-", "ab", "a" * 129, "a--b", "a b", "192.168.5.4"):
                yield Provocation(operation, "InvalidTrailNameException", trail(operation, name), "name")
    for operation in declaring("CloudTrailARNInvalidException"):
        given = tagged(operation, BAD_TRAIL) if operation in TAG_OPERATIONS else trail(operation, BAD_TRAIL)
        yield Provocation(operation, "CloudTrailARNInvalidException", given, BAD_TRAIL)
    for operation in declaring("InvalidHomeRegionException"):
        yield Provocation(operation, "InvalidHomeRegionException", trail(operation, "<trail>"), "us-east-1", region=ELSEWHERE)


# Where another error comes before the one that the store would be worth, or none.
NO_STORE_IS_SOMETHING_ELSE = ("StartQuery", "CreateDashboard", "UpdateDashboard", "StartDashboardRefresh")
# What an event data store's policy may allow to other accounts: theirs is denied, whether it is there or not.
SHARED = ("CancelQuery", "DescribeQuery", "GenerateQuery", "GetEventDataStore", "GetQueryResults", "ListQueries")


def of_stores() -> Iterator[Provocation]:
    for operation in declaring("EventDataStoreNotFoundException"):
        if operation not in NO_STORE_IS_SOMETHING_ELSE:
            yield Provocation(operation, "EventDataStoreNotFoundException", store(operation, NO_STORE), UNKNOWN_UUID)
            if operation in SHARED:
                continue
            theirs = NO_STORE.replace("111111111111", "222222222222")
            yield Provocation(operation, "EventDataStoreNotFoundException", store(operation, theirs), UNKNOWN_UUID)
    for operation in ("CreateDashboard", "UpdateDashboard"):
        yield Provocation(operation, "EventDataStoreNotFoundException", store(operation, NO_STORE), UNKNOWN_UUID)
    for operation in declaring("EventDataStoreARNInvalidException"):
        if operation not in NO_STORE_IS_SOMETHING_ELSE:
            yield Provocation(operation, "EventDataStoreARNInvalidException", store(operation, BAD_STORE), BAD_STORE)
    for operation in declaring("InactiveEventDataStoreException"):
        if operation not in ("StartDashboardRefresh", "RestoreEventDataStore"):
            yield Provocation(operation, "InactiveEventDataStoreException", store(operation, "<deleted_store>"), "<deleted_store_id>")
    for operation in declaring("InvalidEventDataStoreCategoryException"):
        yield Provocation(operation, "InvalidEventDataStoreCategoryException", store(operation, "<insight_store>"), "<insight_store>")
    for operation in ("RestoreEventDataStore", "StartEventDataStoreIngestion"):
        yield Provocation(operation, "InvalidEventDataStoreStatusException", store(operation, "<store>"), "<store>")
    for operation in ("StopEventDataStoreIngestion",):
        yield Provocation(operation, "InvalidEventDataStoreStatusException", store(operation, "<spare_store>"), "<spare_store>")
    for operation in declaring("EventDataStoreHasOngoingImportException"):
        given = valid(operation, EventDataStore="<importing_store>")
        yield Provocation(operation, "EventDataStoreHasOngoingImportException", given, "<importing_store>")
    for operation in declaring("EventDataStoreFederationEnabledException"):
        given = valid(operation, EventDataStore="<federated_store>")
        yield Provocation(operation, "EventDataStoreFederationEnabledException", given, "<federated_store>")


def of_channels_and_dashboards() -> Iterator[Provocation]:
    for operation in ("GetChannel", "UpdateChannel", "DeleteChannel"):
        yield Provocation(operation, "ChannelNotFoundException", valid(operation, Channel=NO_CHANNEL), UNKNOWN_UUID)
        yield Provocation(operation, "ChannelARNInvalidException", valid(operation, Channel=BAD_CHANNEL), BAD_CHANNEL)
    for operation in TAG_OPERATIONS:
        if "ChannelNotFoundException" in CLOUDTRAIL.errors(operation):
            yield Provocation(operation, "ChannelNotFoundException", tagged(operation, NO_CHANNEL), UNKNOWN_UUID)
        yield Provocation(operation, "ChannelARNInvalidException", tagged(operation, BAD_CHANNEL), BAD_CHANNEL)
    for operation in declaring("ResourceNotFoundException"):
        if CLOUDTRAIL.takes(operation, "DashboardId"):
            yield Provocation(operation, "ResourceNotFoundException", valid(operation, DashboardId=NO_DASHBOARD), "nonesuch")


def of_tags() -> Iterator[Provocation]:
    twice = [{"Key": "twice", "Value": "a"}, {"Key": "twice", "Value": "b"}]
    wrong = [{"Key": "a|b", "Value": "c"}]
    many = [{"Key": f"key{n}", "Value": "x"} for n in range(51)]
    for operation in [*declaring("InvalidTagParameterException"), *declaring("TagsLimitExceededException")]:
        member = "Tags" if operation == "CreateChannel" else "TagsList"
        if operation != "RemoveTags":
            yield Provocation(operation, "InvalidTagParameterException", valid(operation, **{member: twice}), "twice")
            yield Provocation(operation, "InvalidTagParameterException", valid(operation, **{member: wrong}), "a|b")
        else:
            yield Provocation(operation, "InvalidTagParameterException", valid(operation, TagsList=[{"Key": "k" * 129}]), "128")
        if "TagsLimitExceededException" in CLOUDTRAIL.errors(operation):
            yield Provocation(operation, "TagsLimitExceededException", valid(operation, **{member: many}), "50")
    other = "arn:aws:cloudtrail:us-east-1:111111111111:import/nonesuch"
    for operation in TAG_OPERATIONS:
        yield Provocation(operation, "ResourceNotFoundException", tagged(operation, NO_TRAIL), NO_TRAIL)
        yield Provocation(operation, "ResourceTypeNotSupportedException", tagged(operation, other), "import")


def of_pages() -> Iterator[Provocation]:
    for code in ("InvalidNextTokenException", "InvalidTokenException"):
        for operation in declaring(code):
            if operation != "ListPublicKeys":
                yield Provocation(operation, code, valid(operation, NextToken="rubbish"), "NextToken")
    for operation in declaring("InvalidMaxResultsException"):
        member = "MaxQueryResults" if operation == "GetQueryResults" else "MaxResults"
        for count in (0, -1, 1001):
            yield Provocation(operation, "InvalidMaxResultsException", valid(operation, **{member: count}), member)
    for operation in declaring("InvalidTimeRangeException"):
        given = valid(operation, StartTime="<now>", EndTime="<day_ago>")
        yield Provocation(operation, "InvalidTimeRangeException", given, "time")


def of_queries_and_imports() -> Iterator[Provocation]:
    for operation in declaring("QueryIdNotFoundException"):
        yield Provocation(operation, "QueryIdNotFoundException", valid(operation, QueryId=UNKNOWN_UUID), UNKNOWN_UUID)
        given = valid(operation, QueryId="<query>")
        yield Provocation(operation, "QueryIdNotFoundException", given, "<query>", region=ELSEWHERE)
    for operation in declaring("ImportNotFoundException"):
        yield Provocation(operation, "ImportNotFoundException", {"ImportId": UNKNOWN_UUID}, UNKNOWN_UUID)
    broken = {"QueryStatement": "SELEC 1 FROM <store_id>", "ViewProperties": VIEW}
    for operation in ("CreateDashboard", "UpdateDashboard"):
        yield Provocation(operation, "InvalidQueryStatementException", valid(operation, Widgets=[broken]), "SELEC")
        eleven = valid(operation, Widgets=["<widget>"] * 11)
        yield Provocation(operation, "ServiceQuotaExceededException", eleven, "10")


def of_organizations() -> Iterator[Provocation]:
    """The account of the test is in no organization."""
    for operation in declaring("OrganizationsNotInUseException"):
        for member in ("IsOrganizationTrail", "OrganizationEnabled"):
            if CLOUDTRAIL.takes(operation, member):
                given = valid(operation, **{member: True})
                yield Provocation(operation, "OrganizationsNotInUseException", given, "organization")
        for member in ("MemberAccountId", "DelegatedAdminAccountId"):
            if CLOUDTRAIL.takes(operation, member):
                yield Provocation(operation, "OrganizationsNotInUseException", {member: "222222222222"}, "organization")


def of_policies() -> Iterator[Provocation]:
    for operation in declaring("ResourceARNNotValidException"):
        yield Provocation(operation, "ResourceARNNotValidException", valid(operation, ResourceArn="arn:aws:cloudtrail"), "arn:aws:cloudtrail")
        yield Provocation(operation, "ResourceNotFoundException", valid(operation, ResourceArn=NO_STORE), UNKNOWN_UUID)
        yield Provocation(operation, "ResourceTypeNotSupportedException", valid(operation, ResourceArn="<trail>"), "trail")
    for operation in declaring("ResourcePolicyNotFoundException"):
        yield Provocation(operation, "ResourcePolicyNotFoundException", {"ResourceArn": "<spare_store>"}, "<spare_store>")


def declared(provocation: Provocation) -> bool:
    return provocation.code in model_of(provocation.operation).errors(provocation.operation)
