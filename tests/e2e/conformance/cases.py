"""Valid inputs of every operation, by the names of their cases. `<words>` are filled in by the world.

`minimal` has what the model requires, `full` every member that can go together; other names say what
else an answer can look like.
"""

from .constants import EVERY_OPERATOR, OPERATORS

TAGS = [{"Key": "team", "Value": "audit"}, {"Key": "stage", "Value": "test"}]
MANAGEMENT = [{"Name": "management", "FieldSelectors": EVERY_OPERATOR}]
DATA = [
    {
        "Name": "data",
        "FieldSelectors": [
            {"Field": "eventName", **OPERATORS},
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        ],
    }
]
BASIC = [
    {
        "ReadWriteType": "WriteOnly",
        "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
        "ExcludeManagementEventSources": ["kms.amazonaws.com"],
    }
]
SCHEDULE = {"Frequency": {"Unit": "HOURS", "Value": 6}, "Status": "ENABLED", "TimeOfDay": "12:00"}
CALL_RATE = {"InsightType": "ApiCallRateInsight", "EventCategories": ["Management"]}
TO_STORE = [{"Type": "EVENT_DATA_STORE", "Location": "<activity_store>"}]

CASES: dict[str, dict[str, dict]] = {
    "AddTags": {
        "minimal": {"ResourceId": "<trail>", "TagsList": [{"Key": "bare"}]},
        "full": {"ResourceId": "<store>", "TagsList": TAGS},
        "channel": {"ResourceId": "<channel>", "TagsList": TAGS},
        "dashboard": {"ResourceId": "<dashboard>", "TagsList": TAGS},
    },
    "CancelQuery": {
        "minimal": {"QueryId": "<new_endless_query>"},
        "full": {"EventDataStore": "<store>", "QueryId": "<new_endless_query>", "EventDataStoreOwnerAccountId": "<account>"},
    },
    "CreateChannel": {
        "minimal": {"Name": "<new_name>", "Source": "Custom", "Destinations": TO_STORE},
        "full": {"Name": "<new_name>", "Source": "GitHub", "Destinations": TO_STORE, "Tags": TAGS},
    },
    "CreateDashboard": {
        "minimal": {"Name": "<new_name>"},
        "full": {"Name": "<new_name>", "RefreshSchedule": SCHEDULE, "TagsList": TAGS, "TerminationProtectionEnabled": False, "Widgets": ["<widget>"]},
    },
    "CreateEventDataStore": {
        "minimal": {"Name": "<new_name>"},
        "full": {
            "Name": "<new_name>", "AdvancedEventSelectors": DATA, "MultiRegionEnabled": False, "OrganizationEnabled": False,
            "RetentionPeriod": 90, "TerminationProtectionEnabled": False, "TagsList": TAGS, "StartIngestion": False,
            "BillingMode": "FIXED_RETENTION_PRICING",
        },
    },
    "CreateTrail": {
        "minimal": {"Name": "<new_name>", "S3BucketName": "<bucket>"},
        "full": {
            "Name": "<new_name>", "S3BucketName": "<bucket>", "S3KeyPrefix": "full", "IncludeGlobalServiceEvents": True,
            "IsMultiRegionTrail": False, "EnableLogFileValidation": True, "IsOrganizationTrail": False, "TagsList": TAGS,
            "RecursiveLogging": False,
        },
    },
    "DeleteChannel": {"minimal": {"Channel": "<new_channel>"}},
    "DeleteDashboard": {"minimal": {"DashboardId": "<new_dashboard>"}},
    "DeleteEventDataStore": {"minimal": {"EventDataStore": "<new_store>"}},
    "DeleteResourcePolicy": {"minimal": {"ResourceArn": "<shared_store>"}},
    "DeleteTrail": {"minimal": {"Name": "<new_trail>"}},
    "DeregisterOrganizationDelegatedAdmin": {"minimal": {"DelegatedAdminAccountId": "<delegate>"}},
    "DescribeQuery": {
        "minimal": {"QueryId": "<query>"},
        "full": {"EventDataStore": "<store>", "QueryAlias": "<delivered_alias>", "EventDataStoreOwnerAccountId": "<account>"},
        "failed": {"QueryId": "<failed_query>"},
    },
    "DescribeTrails": {"minimal": {}, "full": {"trailNameList": ["<trail>"], "includeShadowTrails": True}},
    "DisableFederation": {"minimal": {"EventDataStore": "<new_federated_store>"}},
    "EnableFederation": {"minimal": {"EventDataStore": "<new_store>", "FederationRoleArn": "<role>"}},
    "GenerateQuery": {"minimal": {"EventDataStores": ["<store>"], "Prompt": "Top 5 users of s3 since 2026-01-01"}},
    "GetChannel": {"minimal": {"Channel": "<channel>"}},
    "GetDashboard": {"minimal": {"DashboardId": "<dashboard>"}},
    "GetEventConfiguration": {"minimal": {"EventDataStore": "<enriched_store>"}, "trail": {"TrailName": "<aggregated_trail>"}},
    "GetEventDataStore": {"minimal": {"EventDataStore": "<store>"}, "federated": {"EventDataStore": "<federated_store>"}},
    "GetEventSelectors": {"minimal": {"TrailName": "<data_trail>"}, "advanced": {"TrailName": "<advanced_trail>"}},
    "GetImport": {"minimal": {"ImportId": "<failed_import>"}},
    "GetInsightSelectors": {"minimal": {"TrailName": "<insight_trail>"}, "store": {"EventDataStore": "<insight_source_store>"}},
    "GetQueryResults": {
        "minimal": {"QueryId": "<query>"},
        "full": {"EventDataStore": "<store>", "QueryId": "<query>", "MaxQueryResults": 1, "EventDataStoreOwnerAccountId": "<account>"},
        "failed": {"QueryId": "<failed_query>"},
    },
    "GetResourcePolicy": {"minimal": {"ResourceArn": "<shared_store>"}},
    "GetTrail": {"minimal": {"Name": "<trail>"}},
    "GetTrailStatus": {"minimal": {"Name": "<trail>"}},
    "ListChannels": {"minimal": {}, "full": {"MaxResults": 1}},
    "ListDashboards": {"minimal": {}, "full": {"NamePrefix": "conformance", "Type": "CUSTOM", "MaxResults": 1}},
    "ListEventDataStores": {"minimal": {}, "full": {"MaxResults": 1}},
    "ListImportFailures": {"minimal": {"ImportId": "<failed_import>"}, "full": {"ImportId": "<failed_import>", "MaxResults": 1}},
    "ListImports": {"minimal": {}, "full": {"MaxResults": 1, "Destination": "<import_store>", "ImportStatus": "FAILED"}},
    "ListInsightsData": {
        "minimal": {"InsightSource": "<insight_trail>", "DataType": "InsightsEvents"},
        "full": {
            "InsightSource": "<insight_trail>", "DataType": "InsightsEvents", "Dimensions": {"EventName": "CreateOrder"},
            "StartTime": "<day_ago>", "EndTime": "<now>", "MaxResults": 1,
        },
    },
    "ListInsightsMetricData": {
        "minimal": {"EventSource": "cloudtrail.amazonaws.com", "EventName": "CreateTrail", "InsightType": "ApiCallRateInsight"},
        "full": {
            "TrailName": "<insight_trail>", "EventSource": "cloudtrail.amazonaws.com", "EventName": "CreateTrail",
            "InsightType": "ApiErrorRateInsight", "ErrorCode": "TrailAlreadyExistsException", "StartTime": "<day_ago>",
            "EndTime": "<now>", "Period": 3600, "DataType": "FillWithZeros", "MaxResults": 2,
        },
    },
    "ListPublicKeys": {"minimal": {}, "full": {"StartTime": "<day_ago>", "EndTime": "<now>"}},
    "ListQueries": {
        "minimal": {"EventDataStore": "<store>"},
        "full": {"EventDataStore": "<store>", "MaxResults": 1, "StartTime": "<day_ago>", "EndTime": "<hour_ahead>", "QueryStatus": "FINISHED"},
    },
    "ListTags": {"minimal": {"ResourceIdList": ["<trail>"]}, "full": {"ResourceIdList": ["<trail>", "<store>"]}},
    "ListTrails": {"minimal": {}},
    "LookupEvents": {
        "minimal": {},
        "full": {
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateTrail"}], "StartTime": "<day_ago>",
            "EndTime": "<hour_ahead>", "MaxResults": 1,
        },
        "insight": {"EventCategory": "insight"},
    },
    "PutAuditEvents": {
        "minimal": {"channelArn": "<channel>", "auditEvents": ["<audit_event>"]},
        "failed": {"channelArn": "<channel>", "auditEvents": [{"id": "1", "eventData": "{}"}]},
    },
    "PutEventConfiguration": {
        "minimal": {"EventDataStore": "<spare_store>", "MaxEventSize": "Standard"},
        "full": {
            "EventDataStore": "<spare_store>", "MaxEventSize": "Large",
            "ContextKeySelectors": [{"Type": "TagContext", "Equals": ["team"]}, {"Type": "RequestContext", "Equals": ["aws:PrincipalArn"]}],
        },
        "trail": {"TrailName": "<data_trail>", "AggregationConfigurations": [{"EventCategory": "Data", "Templates": ["API_ACTIVITY"]}]},
    },
    "PutEventSelectors": {
        "minimal": {"TrailName": "<other_trail>", "EventSelectors": BASIC},
        "advanced": {"TrailName": "<other_trail>", "AdvancedEventSelectors": DATA},
    },
    "PutInsightSelectors": {
        "minimal": {"TrailName": "<new_trail>", "InsightSelectors": [CALL_RATE]},
        "store": {
            "EventDataStore": "<new_store>", "InsightsDestination": "<insight_store>",
            "InsightSelectors": [{"InsightType": "ApiErrorRateInsight", "EventCategories": ["Management"]}],
        },
    },
    "PutResourcePolicy": {"minimal": {"ResourceArn": "<policy_store>", "ResourcePolicy": "<store_policy>"}},
    "RegisterOrganizationDelegatedAdmin": {"minimal": {"MemberAccountId": "<member>"}},
    "RemoveTags": {
        "minimal": {"ResourceId": "<other_trail>", "TagsList": [{"Key": "none"}]},
        "full": {"ResourceId": "<spare_store>", "TagsList": TAGS},
        "channel": {"ResourceId": "<channel>", "TagsList": [{"Key": "stage"}]},
        "dashboard": {"ResourceId": "<dashboard>", "TagsList": [{"Key": "stage"}]},
    },
    "RestoreEventDataStore": {"minimal": {"EventDataStore": "<new_deleted_store>"}},
    "SearchSampleQueries": {
        "minimal": {"SearchPhrase": "failed console sign-ins"},
        "full": {"SearchPhrase": "failed console sign-ins", "MaxResults": 1},
    },
    "StartDashboardRefresh": {
        "minimal": {"DashboardId": "<new_dashboard>"},
        "full": {"DashboardId": "<new_dashboard>", "QueryParameterValues": "<refresh_values>"},
    },
    "StartEventDataStoreIngestion": {"minimal": {"EventDataStore": "<new_store>"}},
    "StartImport": {
        "minimal": {"Destinations": ["<no_ongoing_import>"], "ImportSource": "<bad_source>"},
        "full": {"Destinations": ["<no_ongoing_import>"], "ImportSource": "<bad_source>", "StartEventTime": 1_793_000_000, "EndEventTime": "<now>"},
        "again": {"ImportId": "<retriable_import>"},
    },
    "StartLogging": {"minimal": {"Name": "<trail>"}},
    "StartQuery": {
        "minimal": {"QueryStatement": "SELECT count(*) FROM <store_id>"},
        "full": {
            "QueryStatement": "SELECT count(*) FROM <store_id> WHERE eventName = ?", "QueryParameters": ["CreateOrder"],
            "DeliveryS3Uri": "s3://<bucket>/results", "EventDataStoreOwnerAccountId": "<account>",
        },
        "alias": {"QueryAlias": "<alias>"},
    },
    "StopEventDataStoreIngestion": {"minimal": {"EventDataStore": "<running_store>"}},
    "StopImport": {"minimal": {"ImportId": "<new_import>"}},
    "StopLogging": {"minimal": {"Name": "<other_trail>"}},
    "UpdateChannel": {"minimal": {"Channel": "<new_channel>"}, "full": {"Channel": "<new_channel>", "Destinations": TO_STORE, "Name": "<new_name>"}},
    "UpdateDashboard": {
        "minimal": {"DashboardId": "<new_dashboard>"},
        "full": {"DashboardId": "<new_dashboard>", "Widgets": ["<widget>"], "RefreshSchedule": SCHEDULE, "TerminationProtectionEnabled": False},
    },
    "UpdateEventDataStore": {
        "minimal": {"EventDataStore": "<spare_store>"},
        "full": {
            "EventDataStore": "<spare_store>", "Name": "<new_name>", "AdvancedEventSelectors": MANAGEMENT, "MultiRegionEnabled": False,
            "OrganizationEnabled": False, "RetentionPeriod": 100, "TerminationProtectionEnabled": False,
            "BillingMode": "EXTENDABLE_RETENTION_PRICING",
        },
        "federated": {"EventDataStore": "<federated_store>"},
    },
    "UpdateTrail": {
        "minimal": {"Name": "<other_trail>"},
        "full": {
            "Name": "<other_trail>", "S3BucketName": "<bucket>", "S3KeyPrefix": "moved", "IncludeGlobalServiceEvents": True,
            "IsMultiRegionTrail": False, "EnableLogFileValidation": True, "IsOrganizationTrail": False, "RecursiveLogging": True,
        },
    },
}
