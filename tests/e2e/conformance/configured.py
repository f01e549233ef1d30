"""The channels, dashboards, policies and settings of the world, and an organization."""

import base64
import hashlib
import json
import subprocess
from datetime import datetime, timedelta, timezone
from functools import cached_property

from conftest import binary

from .client import Client
from .constants import ACCOUNT, OPERATORS, ORGANIZED, TAGS


class Configured:
    # --- channels and dashboards ---

    @property
    def to_store(self) -> list[dict]:
        return [{"Type": "EVENT_DATA_STORE", "Location": self.activity_store}]

    @cached_property
    def channel(self) -> str:
        given = {"Name": "conformance", "Source": "OneLogin", "Destinations": self.to_store, "Tags": TAGS}
        arn = self.client.done("CreateChannel", given)["ChannelArn"]
        self.client.done("PutAuditEvents", {"channelArn": arn, "auditEvents": [self.audit_event]})
        return arn

    @property
    def channel_name(self) -> str:
        assert self.channel
        return "conformance"

    @property
    def channel_store(self) -> str:
        """The destination of a channel."""
        assert self.channel
        return self.activity_store

    @property
    def new_channel(self) -> str:
        name = self.new_name
        given = {"Name": name, "Source": f"Source{self.count}", "Destinations": self.to_store}
        return self.client.done("CreateChannel", given)["ChannelArn"]

    @property
    def audit_event(self) -> dict:
        data = {
            "version": "1.0", "userIdentity": {"type": "User", "principalId": "ana"}, "eventSource": "orders.example.com",
            "eventName": "CreateOrder", "eventTime": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "UID": self.new_id, "recipientAccountId": ACCOUNT,
        }
        text = json.dumps(data)
        checksum = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        return {"id": self.new_id, "eventData": text, "eventDataChecksum": checksum}

    @property
    def widget(self) -> dict:
        statement = f"SELECT eventName, count(*) AS n FROM {self.store_id} WHERE eventTime > '?' AND eventTime < '?' GROUP BY eventName"
        view = {"Height": "2", "Width": "4", "Title": "Events", "View": "Table"}
        return {"QueryStatement": statement, "QueryParameters": ["$StartTime$", "$EndTime$"], "ViewProperties": view}

    @cached_property
    def dashboard(self) -> str:
        """With a widget, a schedule and a refresh behind it."""
        schedule = {"Frequency": {"Unit": "HOURS", "Value": 6}, "Status": "ENABLED", "TimeOfDay": "12:00"}
        given = {"Name": "conformance", "RefreshSchedule": schedule, "Widgets": [self.widget], "TagsList": TAGS}
        arn = self.client.done("CreateDashboard", given)["DashboardArn"]
        self.client.done("StartDashboardRefresh", {"DashboardId": arn, "QueryParameterValues": self.refresh_values})
        return arn

    @property
    def dashboard_name(self) -> str:
        assert self.dashboard
        return "conformance"

    @property
    def new_dashboard(self) -> str:
        return self.client.done("CreateDashboard", {"Name": self.new_name, "Widgets": [self.widget]})["DashboardArn"]

    @cached_property
    def protected_dashboard(self) -> str:
        given = {"Name": self.new_name, "TerminationProtectionEnabled": True}
        return self.client.done("CreateDashboard", given)["DashboardArn"]

    @property
    def refresh_values(self) -> dict:
        ago = (datetime.now(timezone.utc) - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"$StartTime$": ago, "$EndTime$": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}

    @property
    def store_policy(self) -> str:
        """A policy for `policy_store` that lets another account ask it."""
        who = {"Sid": "Ask", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"}}
        what = {"Action": ["cloudtrail:StartQuery", "cloudtrail:GetQueryResults"], "Resource": self.policy_store}
        return json.dumps({"Version": "2012-10-17", "Statement": [{**who, **what}]})

    @cached_property
    def policy_store(self) -> str:
        return self.new_store

    @property
    def shared_store(self) -> str:
        """`policy_store`, with that policy."""
        self.client.done("PutResourcePolicy", {"ResourceArn": self.policy_store, "ResourcePolicy": self.store_policy})
        return self.policy_store

    @cached_property
    def federated_store(self) -> str:
        return self.new_federated_store

    @property
    def new_federated_store(self) -> str:
        arn = self.new_store
        self.client.done("EnableFederation", {"EventDataStore": arn, "FederationRoleArn": self.role})
        return arn

    @property
    def role(self) -> str:
        return f"arn:aws:iam::{ACCOUNT}:role/conformance"

    @cached_property
    def insight_trail(self) -> str:
        """A trail that finds Insights."""
        arn = self.new_trail
        kinds = [{"InsightType": "ApiCallRateInsight", "EventCategories": ["Management"]}, {"InsightType": "ApiErrorRateInsight"}]
        self.client.done("PutInsightSelectors", {"TrailName": arn, "InsightSelectors": kinds})
        return arn

    @cached_property
    def insight_source_store(self) -> str:
        """A store that sends its Insights to `insight_store`."""
        arn = self.new_store
        kinds = [{"InsightType": "ApiCallRateInsight", "EventCategories": ["Management"]}]
        given = {"EventDataStore": arn, "InsightsDestination": self.insight_store, "InsightSelectors": kinds}
        self.client.done("PutInsightSelectors", given)
        return arn

    @cached_property
    def enriched_store(self) -> str:
        arn = self.new_store
        chosen = [{"Type": "TagContext", "Equals": ["team"]}, {"Type": "RequestContext", "Equals": ["aws:PrincipalArn"]}]
        self.client.done("PutEventConfiguration", {"EventDataStore": arn, "MaxEventSize": "Large", "ContextKeySelectors": chosen})
        return arn

    @cached_property
    def data_trail(self) -> str:
        """A trail that logs data events."""
        arn = self.new_trail
        objects = {"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}
        basic = [{"ReadWriteType": "All", "DataResources": [objects], "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
        self.client.done("PutEventSelectors", {"TrailName": arn, "EventSelectors": basic})
        return arn

    @cached_property
    def aggregated_trail(self) -> str:
        """A trail whose data events are aggregated."""
        given = {"TrailName": self.data_trail, "AggregationConfigurations": [{"EventCategory": "Data", "Templates": ["API_ACTIVITY"]}]}
        self.client.done("PutEventConfiguration", given)
        return self.data_trail

    @cached_property
    def advanced_trail(self) -> str:
        arn = self.new_trail
        by_type = [{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": ["AWS::S3::Object"]}]
        chosen = [{"Name": "data", "FieldSelectors": [*by_type, {"Field": "eventName", **OPERATORS}]}]
        self.client.done("PutEventSelectors", {"TrailName": arn, "AdvancedEventSelectors": chosen})
        return arn

    # --- an organization, which is not the node's own account's ---

    def own(self, *arguments: str) -> str:
        """What `cairn account` prints."""
        done = subprocess.run([binary(), "account", *arguments, "--data", self.node.data], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @cached_property
    def organized(self) -> dict[str, Client]:
        """Clients of an organization's accounts, its management account first."""
        keys = {id: json.loads(self.own("create", f"account-{id[0]}", "--id", id, "--json")) for id in ORGANIZED}
        manager, *members = ORGANIZED
        self.own("organization", "create", "--management", manager)
        for member in members:
            self.own("organization", "add", member)
        return {id: Client(self.node, key) for id, key in keys.items()}

    @property
    def manager(self) -> Client:
        return self.organized[ORGANIZED[0]]

    @property
    def member(self) -> str:
        """A member of the organization that is no delegated administrator."""
        self.manager.call("DeregisterOrganizationDelegatedAdmin", {"DelegatedAdminAccountId": ORGANIZED[1]})
        return ORGANIZED[1]

    @property
    def delegate(self) -> str:
        """One that is."""
        self.manager.call("RegisterOrganizationDelegatedAdmin", {"MemberAccountId": ORGANIZED[2]})
        return ORGANIZED[2]

    def client_for(self, operation: str) -> Client:
        """Who may do this at all."""
        return self.manager if operation.endswith("OrganizationDelegatedAdmin") else self.client
