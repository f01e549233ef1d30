"""Dashboards over the real tables, with the clients that people use."""

import json
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from conftest import until
from support.lake import FINAL, code_of, three_orders, values


@pytest.fixture
def cloudtrail(node):
    return node.client("cloudtrail")


@pytest.fixture
def store(node):
    """An event data store that holds three orders; its ID."""
    return three_orders(node)


def answers(cloudtrail, dashboard: str, refresh: str, wait: float = 60) -> dict[str, dict]:
    """The first page of each widget's result by its title. All must finish."""
    results = {}
    for widget in cloudtrail.get_dashboard(DashboardId=dashboard)["Widgets"]:
        alias, title = widget["QueryAlias"], widget["ViewProperties"]["Title"]

        def ended():
            query = cloudtrail.describe_query(QueryAlias=alias, RefreshId=refresh)
            return query["QueryStatus"] in FINAL and query

        query = until(ended, wait)
        assert query["QueryStatus"] == "FINISHED", f"{alias}: {query.get('ErrorMessage')}\n{query['QueryString']}"
        results[title] = cloudtrail.get_query_results(QueryId=query["QueryId"])
    return results


def widget(title: str, statement: str, *parameters: str) -> dict:
    made = {"QueryStatement": statement, "ViewProperties": {"Title": title, "View": "Table", "Height": "2", "Width": "4"}}
    return {**made, "QueryParameters": list(parameters)} if parameters else made


ORDERS = "WHERE eventSource = 'orders.example.com'"
IN_SPAN = "AND eventTime >= '?' AND eventTime < '?'"


def order_widgets(store: str) -> list[dict]:
    return [
        widget("Names", f"SELECT eventName, count(*) AS n FROM {store} {ORDERS} {IN_SPAN} GROUP BY 1 ORDER BY n DESC", "$StartTime$", "$EndTime$"),
        widget(
            "Trend",
            f"SELECT date_trunc('?', eventTime) AS period, count(*) AS n FROM ? {ORDERS} {IN_SPAN} GROUP BY 1",
            "$Period$", "$EventDataStoreId$", "$StartTime$", "$EndTime$",
        ),
        widget("Literal", f"SELECT count(*) AS n FROM {store} {ORDERS} AND eventName = '?'", "CreateOrder"),
    ]


def test_a_dashboard_is_made_refreshed_read_and_deleted(cloudtrail, store):
    made = cloudtrail.create_dashboard(
        Name="orders",
        Widgets=order_widgets(store),
        RefreshSchedule={"Frequency": {"Unit": "DAYS", "Value": 1}, "Status": "ENABLED", "TimeOfDay": "03:00"},
        TagsList=[{"Key": "team", "Value": "shop"}],
        TerminationProtectionEnabled=True,
    )
    arn = made["DashboardArn"]
    assert arn.endswith(":dashboard/orders") and made["Type"] == "CUSTOM"
    assert cloudtrail.list_tags(ResourceIdList=[arn])["ResourceTagList"][0]["TagsList"] == [{"Key": "team", "Value": "shop"}]

    refresh = cloudtrail.start_dashboard_refresh(DashboardId=arn)["RefreshId"]
    named = [{"AttributeKey": "ResourceName", "AttributeValue": arn}]
    seen = lambda: {event["EventName"] for event in cloudtrail.lookup_events(LookupAttributes=named)["Events"]}  # noqa: E731
    until(lambda: {"CreateDashboard", "StartDashboardRefresh"} <= seen())
    results = answers(cloudtrail, arn, refresh)
    assert values(results["Names"]) == [["CancelOrder", "2"], ["CreateOrder", "1"]]
    assert sum(int(n) for _, n in values(results["Trend"])) == 3
    assert values(results["Literal"]) == [["1"]]
    shown = cloudtrail.get_dashboard(DashboardId="orders")
    assert shown["LastRefreshId"] == refresh and "LastRefreshFailureReason" not in shown

    # Of a day long past there is nothing.
    past = {"$StartTime$": "2020-01-01T00:00:00Z", "$EndTime$": "2020-01-02T00:00:00Z", "$Period$": "hour", "$EventDataStoreId$": store}
    refresh = cloudtrail.start_dashboard_refresh(DashboardId="orders", QueryParameterValues=past)["RefreshId"]
    results = answers(cloudtrail, "orders", refresh)
    assert values(results["Names"]) == [] and values(results["Trend"]) == [] and values(results["Literal"]) == [["1"]]

    assert code_of(lambda: cloudtrail.delete_dashboard(DashboardId="orders")) == "ConflictException"
    updated = cloudtrail.update_dashboard(DashboardId="orders", TerminationProtectionEnabled=False)
    assert updated["Widgets"] == made["Widgets"] and updated["UpdatedTimestamp"] > updated["CreatedTimestamp"]
    cloudtrail.delete_dashboard(DashboardId=arn)
    assert code_of(lambda: cloudtrail.get_dashboard(DashboardId="orders")) == "ResourceNotFoundException"


def test_widgets_are_checked_when_they_are_made(cloudtrail, store):
    def create(*widgets):
        return code_of(lambda: cloudtrail.create_dashboard(Name="wrong", Widgets=list(widgets)))

    assert create(widget("a", f"SELECT nonesuch FROM {store}")) == "InvalidQueryStatementException"
    assert create(widget("a", f"SELECT eventName FROM {store} {ORDERS} {IN_SPAN}", "$StartTime$")) == "InvalidQueryStatementException"
    assert create(widget("a", f"SELECT eventName FROM {uuid.uuid4()}")) == "EventDataStoreNotFoundException"
    good = widget("a", f"SELECT eventName FROM {store}")
    assert create(*[good] * 11) == "ServiceQuotaExceededException"
    cloudtrail.delete_event_data_store(EventDataStore=store)
    assert create(good) == "InactiveEventDataStoreException"


def test_ten_widgets_and_ten_queries_have_places_beside_each_other(cloudtrail, store):
    many = [widget(f"w{n}", f"SELECT count(*) AS n, {n} AS w FROM {store} {ORDERS}") for n in range(10)]
    cloudtrail.create_dashboard(Name="many", Widgets=many)
    refresh = cloudtrail.start_dashboard_refresh(DashboardId="many")["RefreshId"]
    queries = [cloudtrail.start_query(QueryStatement=f"SELECT count(*) FROM {store}")["QueryId"] for _ in range(10)]
    results = answers(cloudtrail, "many", refresh)
    assert {title: values(result) for title, result in results.items()} == {f"w{n}": [["3", str(n)]] for n in range(10)}
    for query in queries:
        until(lambda: cloudtrail.describe_query(QueryId=query)["QueryStatus"] == "FINISHED")


def test_every_widget_of_every_managed_dashboard_runs(node, cloudtrail, store):
    cloudtrail.create_event_data_store(Name="second", TerminationProtectionEnabled=False)
    managed = [d["DashboardArn"] for d in cloudtrail.list_dashboards(Type="MANAGED")["Dashboards"]]
    assert len(managed) == 16
    found = {}
    for arn in managed:
        # There are two event data stores, so one must be named.
        assert code_of(lambda: cloudtrail.start_dashboard_refresh(DashboardId=arn)) == "EventDataStoreNotFoundException"
        refresh = cloudtrail.start_dashboard_refresh(DashboardId=arn, QueryParameterValues={"$EventDataStoreId$": store})["RefreshId"]
        if arn.endswith("-Insights"):
            # Other columns than this store has. Its statements are tested over the right ones in crates/lake/tests/sql.
            reason = until(lambda: cloudtrail.get_dashboard(DashboardId=arn).get("LastRefreshFailureReason"))
            assert reason.startswith("AWSCloudTrail-Insights-") and "cannot be resolved" in reason
        else:
            found[arn.rsplit("/", 1)[1]] = answers(cloudtrail, arn, refresh)
        assert cloudtrail.get_dashboard(DashboardId=arn)["LastRefreshId"] == refresh
    names = {row[1]: int(row[2]) for row in values(found["AWSCloudTrail-Organizations"]["Top APIs of the accounts"])}
    assert names["CancelOrder"] == 2
    services = dict(values(found["AWSCloudTrail-Highlights"]["Top services"]))
    assert services["orders.example.com"] == "3"


def test_the_cli_refreshes_the_highlights(node, cloudtrail, store):
    start = (datetime.now(timezone.utc) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given = json.dumps({"$StartTime$": start, "$EventDataStoreId$": store})
    answer = node.aws_json("cloudtrail", "start-dashboard-refresh", "--dashboard-id", "AWSCloudTrail-Highlights", "--query-parameter-values", given)
    results = answers(cloudtrail, "AWSCloudTrail-Highlights", answer["RefreshId"])
    assert sum(int(n) for _, n in values(results["Account activity"])) >= 3
    assert code_of(lambda: cloudtrail.delete_dashboard(DashboardId="AWSCloudTrail-Highlights")) == "ConflictException"


def test_dashboards_and_their_refreshes_survive_a_kill(node, cloudtrail, store):
    cloudtrail.create_dashboard(Name="orders", Widgets=order_widgets(store))
    refresh = cloudtrail.start_dashboard_refresh(DashboardId="orders")["RefreshId"]
    node.kill()
    node.start()
    answers(cloudtrail, "orders", refresh)
    assert cloudtrail.get_dashboard(DashboardId="orders")["LastRefreshId"] == refresh

    # What ran right after the start may have come before the events that were only in memory; soon they are back.
    def refreshed():
        again = cloudtrail.start_dashboard_refresh(DashboardId="orders")["RefreshId"]
        return values(answers(cloudtrail, "orders", again)["Literal"]) == [["1"]]

    until(refreshed)
