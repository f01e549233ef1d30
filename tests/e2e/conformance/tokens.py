"""First pages: for every operation that pages, an input whose answer has a NextToken here."""

from .model import OPERATIONS, model_of
from .world import World

PAGING = [operation for operation in OPERATIONS if model_of(operation).takes(operation, "NextToken")]
# All is on one page, so no token is ever handed out.
ONE_PAGE = ("ListPublicKeys", "ListTags")
# AWS ignores a token that is none.
IGNORED = ("ListPublicKeys",)
# No Insights are there on a node that is seconds old.
NO_DATA = ("ListInsightsData",)
# What they ask about is in one Region, and not found from another.
OF_ONE_REGION = ("GetQueryResults", "ListQueries")
# And not found, or denied, from another account.
OF_ONE_ACCOUNT = (*OF_ONE_REGION, "ListImportFailures")

FIRST_PAGES: dict[str, dict] = {
    "GetQueryResults": {"QueryId": "<query>", "MaxQueryResults": 1},
    "ListChannels": {"MaxResults": 1},
    "ListDashboards": {"MaxResults": 1},
    "ListEventDataStores": {"MaxResults": 1},
    "ListImportFailures": {"ImportId": "<failed_import>", "MaxResults": 1},
    "ListImports": {"MaxResults": 1},
    "ListInsightsData": {"InsightSource": "<insight_trail>", "DataType": "InsightsEvents", "MaxResults": 1},
    "ListInsightsMetricData": {
        "EventSource": "cloudtrail.amazonaws.com", "EventName": "CreateTrail", "InsightType": "ApiCallRateInsight",
        "StartTime": "<midnight>", "EndTime": "<this_hour>", "DataType": "FillWithZeros", "MaxResults": 1,
    },
    "ListPublicKeys": {},
    "ListQueries": {"EventDataStore": "<store>", "MaxResults": 1},
    "ListTags": {"ResourceIdList": ["<trail>"]},
    "ListTrails": {},
    "LookupEvents": {"MaxResults": 1},
    "SearchSampleQueries": {"SearchPhrase": "failed console sign-ins", "MaxResults": 1},
}
# What must have been made, so that there is a second page.
NEEDS = {
    "ListChannels": ("channel", "new_channel"),
    "ListDashboards": ("dashboard", "new_dashboard"),
    "ListEventDataStores": ("store", "spare_store"),
    "ListImports": ("failed_import", "second_import"),
    "ListQueries": ("query", "failed_query"),
    "ListTrails": ("many_trails",),
}
# Another question of the same kind, to which the token of the first does not belong.
OTHER_QUESTIONS = {
    "GetQueryResults": {"QueryId": "<second_query>", "MaxQueryResults": 1},
    "ListDashboards": {"NamePrefix": "conformance", "MaxResults": 1},
    "ListImportFailures": {"ImportId": "<second_import>", "MaxResults": 1},
    "ListImports": {"ImportStatus": "FAILED", "MaxResults": 1},
    "ListQueries": {"EventDataStore": "<spare_store>", "MaxResults": 1},
    "LookupEvents": {"LookupAttributes": [{"AttributeKey": "ReadOnly", "AttributeValue": "false"}], "MaxResults": 1},
    "SearchSampleQueries": {"SearchPhrase": "failed console logins", "MaxResults": 1},
}
RUBBISH = ("rubbish", "AAAA", "*" * 20, "a" * 1000, "arn:aws:cloudtrail:us-east-1:111111111111:trail/conformance")


def first_page(world: World, operation: str) -> dict:
    """The input whose answer has a token."""
    for name in NEEDS.get(operation, ()):
        getattr(world, name)
    return world.filled(FIRST_PAGES[operation])


def documented(operation: str) -> str:
    """What a token that is none is refused with. The model gives some operations no error for it."""
    declared = model_of(operation).errors(operation)
    fitting = ("InvalidNextTokenException", "InvalidTokenException", "InvalidParameterException")
    return next((code for code in fitting if code in declared), "ValidationException")


def altered(token: str) -> list[str]:
    """The token with one character changed, at places all over it, and cut, and longer."""
    step = max(1, len(token) // 12)
    places = sorted({*range(0, len(token), step), len(token) - 1})
    flipped = [token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :] for at in places]
    return [*flipped, token[:-4], token + "AAAA"]

