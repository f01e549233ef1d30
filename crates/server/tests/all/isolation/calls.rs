//! The calls that a tenant draws by lot.

use serde_json::{Value, json};

use super::{Caller, Tenant};
use crate::conversations::client::Call;

/// Operations that are asked for by the ID of something, with the member that names it and its kind.
const BY_ID: &[(&str, &str, &str)] = &[
    ("GetTrail", "Name", "trail"),
    ("GetTrailStatus", "Name", "trail"),
    ("StartLogging", "Name", "trail"),
    ("StopLogging", "Name", "trail"),
    ("DeleteTrail", "Name", "trail"),
    ("GetEventSelectors", "TrailName", "trail"),
    ("GetInsightSelectors", "TrailName", "trail"),
    ("GetEventConfiguration", "TrailName", "trail"),
    ("GetEventDataStore", "EventDataStore", "eventdatastore"),
    ("UpdateEventDataStore", "EventDataStore", "eventdatastore"),
    ("DeleteEventDataStore", "EventDataStore", "eventdatastore"),
    ("RestoreEventDataStore", "EventDataStore", "eventdatastore"),
    ("StartEventDataStoreIngestion", "EventDataStore", "eventdatastore"),
    ("StopEventDataStoreIngestion", "EventDataStore", "eventdatastore"),
    ("GetEventConfiguration", "EventDataStore", "eventdatastore"),
    ("DisableFederation", "EventDataStore", "eventdatastore"),
    ("ListQueries", "EventDataStore", "eventdatastore"),
    ("GetResourcePolicy", "ResourceArn", "eventdatastore"),
    ("DeleteResourcePolicy", "ResourceArn", "eventdatastore"),
    ("GetChannel", "Channel", "channel"),
    ("DeleteChannel", "Channel", "channel"),
    ("GetDashboard", "DashboardId", "dashboard"),
    ("DeleteDashboard", "DashboardId", "dashboard"),
    ("StartDashboardRefresh", "DashboardId", "dashboard"),
    ("DescribeQuery", "QueryId", "query"),
    ("GetQueryResults", "QueryId", "query"),
    ("CancelQuery", "QueryId", "query"),
    ("GetImport", "ImportId", "import"),
    ("StopImport", "ImportId", "import"),
    ("ListImportFailures", "ImportId", "import"),
];
const LISTS: &[&str] = &[
    "ListTrails",
    "DescribeTrails",
    "ListEventDataStores",
    "ListChannels",
    "ListDashboards",
    "ListImports",
    "LookupEvents",
    "ListPublicKeys",
];
/// The same, with what else they need.
const BY_ID_WITH_MORE: &[(&str, &str, &str, &str)] = &[
    ("UpdateTrail", "Name", "trail", r#"{"EnableLogFileValidation": true}"#),
    (
        "PutEventSelectors",
        "TrailName",
        "trail",
        r#"{"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": true}]}"#,
    ),
    (
        "PutInsightSelectors",
        "TrailName",
        "trail",
        r#"{"InsightSelectors": [{"InsightType": "ApiCallRateInsight"}]}"#,
    ),
    ("ListInsightsData", "InsightSource", "trail", r#"{"DataType": "InsightsEvents"}"#),
    (
        "PutEventConfiguration",
        "EventDataStore",
        "eventdatastore",
        r#"{"MaxEventSize": "Large", "ContextKeySelectors": []}"#,
    ),
    (
        "EnableFederation",
        "EventDataStore",
        "eventdatastore",
        r#"{"FederationRoleArn": "arn:aws:iam::444444444444:role/reader"}"#,
    ),
    ("PutResourcePolicy", "ResourceArn", "eventdatastore", r#"{"ResourcePolicy": "{}"}"#),
    ("UpdateChannel", "Channel", "channel", r#"{"Name": "renamed"}"#),
    ("UpdateDashboard", "DashboardId", "dashboard", r#"{"TerminationProtectionEnabled": false}"#),
    ("RegisterOrganizationDelegatedAdmin", "MemberAccountId", "account", "{}"),
    ("DeregisterOrganizationDelegatedAdmin", "DelegatedAdminAccountId", "account", "{}"),
];

impl Caller {
    /// A name of the tenant's own; few, so that they collide.
    fn name(&mut self, own: &Tenant) -> String {
        format!("{}-{}", own.word, self.chance.below(12))
    }

    /// An ID of the kind that either tenant has heard, in one of its spellings.
    fn id(&mut self, own: &Tenant, other: &Tenant, kind: &'static str) -> String {
        let whose = if self.chance.below(2) == 0 { own } else { other };
        if kind == "account" {
            return whose.account.to_owned();
        }
        let known = whose.known();
        let Some(all) = known.ids.get(kind).filter(|all| !all.is_empty()) else {
            drop(known);
            return self.name(whose);
        };
        let id = all[self.chance.below(all.len())].clone();
        match (kind, self.chance.below(2)) {
            ("trail" | "eventdatastore" | "channel" | "dashboard", 0) => {
                id.rsplit('/').next().unwrap_or_default().to_owned()
            }
            _ => id,
        }
    }

    pub fn draw(&mut self, own: &Tenant, other: &Tenant) -> (Call, String) {
        let operation = |name: &str, input: Value| {
            let body = input.to_string();
            (Call::Operation { name: name.to_owned(), body: body.clone() }, body)
        };
        match self.chance.below(29) {
            24..=25 => {
                let (name, member, kind, rest) =
                    BY_ID_WITH_MORE[self.chance.below(BY_ID_WITH_MORE.len())];
                let mut input: Value = serde_json::from_str(rest).expect("the table has JSON");
                input[member] = json!(self.id(own, other, kind));
                operation(name, input)
            }
            28 => {
                let kind =
                    ["trail", "eventdatastore", "channel", "dashboard"][self.chance.below(4)];
                let (arn, tag) = (self.id(own, other, kind), self.name(own));
                let (target, input) = match self.chance.below(5) {
                    0 => ("ResourceGroupsTaggingAPI_20170126.GetResources", json!({})),
                    1 => (
                        "ResourceGroupsTaggingAPI_20170126.GetResources",
                        json!({ "PaginationToken": arn, "ResourcesPerPage": 1 }),
                    ),
                    2 => (
                        "ResourceGroupsTaggingAPI_20170126.TagResources",
                        json!({ "ResourceARNList": [arn], "Tags": { own.word: tag } }),
                    ),
                    3 => (
                        "ResourceGroupsTaggingAPI_20170126.UntagResources",
                        json!({ "ResourceARNList": [arn], "TagKeys": [own.word] }),
                    ),
                    _ => ("AWSOrganizationsV20161128.DescribeOrganization", json!({})),
                };
                let body = input.to_string();
                (Call::Target { target: target.to_owned(), body: body.clone() }, body)
            }
            26 => {
                let store = self.id(own, other, "eventdatastore");
                operation(
                    "GenerateQuery",
                    json!({ "EventDataStores": [store], "Prompt": "who deleted what" }),
                )
            }
            27 => {
                let store = self.id(own, other, "eventdatastore");
                let bucket = self.bucket(own, other);
                let source = json!({ "S3": { "S3LocationUri": format!("s3://{bucket}/AWSLogs/"),
                    "S3BucketRegion": "us-east-1",
                    "S3BucketAccessRoleArn": "arn:aws:iam::444444444444:role/reader" } });
                operation("StartImport", json!({ "Destinations": [store], "ImportSource": source }))
            }
            0..=8 => {
                let (name, member, kind) = BY_ID[self.chance.below(BY_ID.len())];
                let input = json!({ member: self.id(own, other, kind) });
                operation(name, input)
            }
            9..=11 => {
                let name = self.chance.one_of(LISTS);
                let mut input = match name {
                    "ListTrails" | "DescribeTrails" | "ListPublicKeys" => json!({}),
                    _ => json!({ "MaxResults": 1 + self.chance.below(3) }),
                };
                if self.chance.below(2) == 0 && !matches!(name, "DescribeTrails" | "ListPublicKeys")
                {
                    input["NextToken"] = json!(self.id(own, other, "token"));
                }
                if name == "LookupEvents" && self.chance.below(2) == 0 {
                    let whose = if self.chance.below(2) == 0 { own } else { other };
                    let value = self.name(whose);
                    let key = self.chance.one_of(&["EventName", "ResourceName", "Username"]);
                    input["LookupAttributes"] =
                        json!([{ "AttributeKey": key, "AttributeValue": value }]);
                }
                operation(name, input)
            }
            12 => {
                let input =
                    json!({ "Name": self.name(own), "S3BucketName": self.bucket(own, other) });
                operation("CreateTrail", input)
            }
            13 => operation(
                "CreateEventDataStore",
                json!({ "Name": self.name(own), "TerminationProtectionEnabled": false }),
            ),
            14 => {
                let store = self.id(own, other, "eventdatastore");
                let name = self.name(own);
                let destination = json!({ "Type": "EVENT_DATA_STORE", "Location": store });
                operation(
                    "CreateChannel",
                    json!({ "Name": name, "Source": "Custom", "Destinations": [destination] }),
                )
            }
            15 => operation("CreateDashboard", json!({ "Name": self.name(own) })),
            16 => {
                let store = self.id(own, other, "eventdatastore");
                let store = store.rsplit('/').next().unwrap_or_default();
                let mut input = json!({ "QueryStatement": format!("SELECT eventID FROM {store}") });
                if self.chance.below(2) == 0 {
                    input["EventDataStoreOwnerAccountId"] = json!(other.account);
                }
                operation("StartQuery", input)
            }
            17 => {
                let kind = self.chance.one_of(&["trail", "eventdatastore", "channel", "dashboard"]);
                let kind = ["trail", "eventdatastore", "channel", "dashboard"]
                    .into_iter()
                    .find(|known| *known == kind)
                    .unwrap_or("trail");
                let id = self.id(own, other, kind);
                match self.chance.below(2) {
                    0 => operation("ListTags", json!({ "ResourceIdList": [id] })),
                    _ => {
                        let tag = json!({ "Key": own.word, "Value": self.name(own) });
                        operation("AddTags", json!({ "ResourceId": id, "TagsList": [tag] }))
                    }
                }
            }
            18 => {
                let mut bucket = self.bucket(own, other);
                let operation = self.chance.one_of(&[
                    "CreateBucket",
                    "ListObjects",
                    "PutObject",
                    "DeleteObject",
                ]);
                // Names of buckets are everybody's: a bucket with the other's word is the other's.
                if operation == "CreateBucket" {
                    bucket = self.bucket(own, own);
                }
                let rest = match operation {
                    "PutObject" => format!("{} content", self.name(own)),
                    "DeleteObject" => self.name(own),
                    _ => String::new(),
                };
                let text = format!("{operation} {bucket} {rest}");
                (Call::S3 { operation: operation.to_owned(), bucket, rest }, text)
            }
            19 => {
                let event = json!({
                    "eventVersion": "1.11", "eventTime": "2026-11-20T00:00:00Z", "awsRegion": "us-east-1",
                    "eventSource": "x.example.com", "eventName": self.name(own), "eventType": "AwsApiCall",
                    "userIdentity": { "type": "IAMUser", "userName": self.name(own) },
                    "managementEvent": true, "eventCategory": "Management",
                    // Now and then in the other's name.
                    "recipientAccountId": if self.chance.below(4) == 0 { other.account } else { own.account },
                });
                let body = event.to_string();
                (Call::Post { body: body.clone() }, body)
            }
            20 => {
                let whose = if self.chance.below(2) == 0 { own } else { other };
                let body = match self.chance.below(2) {
                    0 => json!({}),
                    _ => json!({ "eventDataStore": self.id(own, whose, "eventdatastore") }),
                };
                let body = body.to_string();
                (Call::Lookup { body: body.clone() }, body)
            }
            21 => {
                let action = self.chance.one_of(&[
                    "ListUsers",
                    "ListRoles",
                    "ListAccessKeys",
                    "ListAccounts",
                    "CreateUser",
                ]);
                let mut body = json!({ "action": action, "user": self.name(own) });
                if self.chance.below(2) == 0 {
                    body["account"] = json!(other.account);
                }
                let body = body.to_string();
                let (method, path) = ("POST".to_owned(), "/v1/access".to_owned());
                (Call::Http { method, path, body: body.clone() }, body)
            }
            22 => {
                let arn = format!("arn:aws:iam::{}:role/{}", other.account, other.word);
                let form = format!(
                    "Action=AssumeRole&Version=2011-06-15&RoleSessionName=x1&RoleArn={arn}"
                );
                (Call::Sts { form: form.clone() }, form)
            }
            _ => {
                let channel = self.id(own, other, "channel");
                let event = json!({ "version": "1.0", "userIdentity": { "type": "x", "principalId": self.name(own) },
                    "eventSource": "x", "eventName": self.name(own), "eventTime": "2026-11-20T00:00:00Z",
                    "UID": "u1", "recipientAccountId": own.account });
                let entries = json!([{ "id": "e1", "eventData": event }]).to_string();
                (
                    Call::Put { channel: channel.clone(), entries: entries.clone() },
                    channel + &entries,
                )
            }
        }
    }

    fn bucket(&mut self, own: &Tenant, other: &Tenant) -> String {
        let whose = if self.chance.below(3) > 0 { own } else { other };
        format!("{}-bucket-{}", whose.word, self.chance.below(3))
    }
}
