//! Which calls are made, how often by whom, and whether they read or write.
//!
//! The parameters of a call are in `shapes.rs`; this is the table that says which shape it has.

use crate::lake::shapes::Shape::{self, *};
use crate::lake::world::{Purpose, Weights};

#[derive(Debug)]
pub struct Row {
    /// Without `.amazonaws.com`.
    pub source: &'static str,
    pub name: &'static str,
    pub access: Access,
    pub shape: Shape,
    /// How often workloads, deployments, people and scanners call it.
    uses: [u64; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    /// Data events.
    DataRead,
    DataWrite,
}

use Access::{DataRead, DataWrite, Read, Write};

const fn row(
    source: &'static str,
    name: &'static str,
    access: Access,
    shape: Shape,
    uses: [u64; 4],
) -> Row {
    Row { source, name, access, shape, uses }
}

pub const CALLS: &[Row] = &[
    row("s3", "GetObject", DataRead, Object, [230, 10, 20, 2]),
    row("s3", "PutObject", DataWrite, Object, [110, 12, 5, 6]),
    row("s3", "HeadObject", DataRead, Object, [60, 12, 6, 2]),
    row("s3", "DeleteObject", DataWrite, Object, [14, 1, 1, 0]),
    row("s3", "ListObjects", DataRead, Listing, [22, 6, 9, 2]),
    row("s3", "GetBucketLocation", Read, Bucket, [5, 6, 12, 25]),
    row("s3", "GetBucketAcl", Read, Bucket, [1, 6, 6, 30]),
    row("s3", "GetBucketPolicy", Read, Bucket, [0, 10, 5, 30]),
    row("s3", "GetBucketEncryption", Read, Bucket, [0, 8, 4, 30]),
    row("s3", "GetBucketVersioning", Read, Bucket, [0, 8, 5, 28]),
    row("s3", "GetBucketTagging", Read, Bucket, [0, 8, 2, 22]),
    row("s3", "GetBucketPublicAccessBlock", Read, Bucket, [0, 8, 5, 28]),
    row("s3", "ListBuckets", Read, Nothing, [1, 3, 12, 10]),
    row("s3", "PutBucketPolicy", Write, Bucket, [0, 3, 1, 0]),
    row("s3", "PutBucketTagging", Write, Bucket, [0, 2, 0, 0]),
    row("kms", "Decrypt", Read, KeyUse, [130, 14, 5, 5]),
    row("kms", "GenerateDataKey", Read, KeyUse, [70, 3, 2, 1]),
    row("kms", "Encrypt", Read, KeyUse, [9, 2, 0, 0]),
    row("kms", "DescribeKey", Read, Key, [2, 10, 8, 22]),
    row("kms", "GetKeyPolicy", Read, Key, [0, 5, 2, 12]),
    row("kms", "GetKeyRotationStatus", Read, Key, [0, 5, 1, 12]),
    row("kms", "ListAliases", Read, Page, [0, 5, 8, 4]),
    row("kms", "CreateGrant", Write, KeyUse, [1, 1, 0, 0]),
    row("sts", "AssumeRole", Read, AssumeRole, [36, 36, 20, 24]),
    row("sts", "GetCallerIdentity", Read, Nothing, [22, 40, 14, 6]),
    row("dynamodb", "GetItem", DataRead, Item, [60, 1, 1, 0]),
    row("dynamodb", "PutItem", DataWrite, Item, [28, 3, 0, 0]),
    row("dynamodb", "Query", DataRead, Item, [22, 0, 1, 0]),
    row("dynamodb", "UpdateItem", DataWrite, Item, [16, 0, 0, 0]),
    row("dynamodb", "DescribeTable", Read, Table, [12, 8, 6, 10]),
    row("dynamodb", "ListTables", Read, Page, [0, 2, 4, 6]),
    row("lambda", "Invoke", DataWrite, Invoke, [55, 2, 2, 1]),
    row("lambda", "GetFunction20150331v2", Read, Function, [0, 14, 7, 14]),
    row("lambda", "ListFunctions20150331", Read, Page, [0, 4, 9, 12]),
    row("lambda", "GetPolicy20150331v2", Read, Function, [0, 6, 2, 12]),
    row("lambda", "UpdateFunctionCode20150331v2", Write, Function, [0, 9, 1, 0]),
    row("lambda", "UpdateFunctionConfiguration20150331v2", Write, Function, [0, 6, 1, 0]),
    row("lambda", "ListTags20170331", Read, Function, [0, 5, 4, 6]),
    row("ssm", "GetParameter", Read, Parameter, [38, 12, 3, 1]),
    row("ssm", "GetParameters", Read, Parameters, [16, 8, 0, 0]),
    row("ssm", "GetParametersByPath", Read, Parameter, [14, 4, 1, 0]),
    row("ssm", "UpdateInstanceInformation", Write, Agent, [55, 0, 0, 0]),
    row("ssm", "ListInstanceAssociations", Read, Agent, [14, 0, 0, 0]),
    row("ssm", "PutParameter", Write, Parameter, [0, 5, 1, 0]),
    row("ssm", "DescribeParameters", Read, Page, [0, 4, 5, 4]),
    row("ssm", "StartSession", Write, Agent, [0, 0, 4, 0]),
    row("secretsmanager", "GetSecretValue", Read, Secret, [42, 10, 2, 0]),
    row("secretsmanager", "DescribeSecret", Read, Secret, [6, 8, 3, 8]),
    row("secretsmanager", "ListSecrets", Read, Page, [0, 2, 5, 6]),
    row("sqs", "ReceiveMessage", DataRead, Queue, [36, 0, 0, 0]),
    row("sqs", "SendMessage", DataWrite, Queue, [20, 0, 0, 0]),
    row("sqs", "GetQueueAttributes", DataRead, Queue, [6, 6, 2, 6]),
    row("sns", "Publish", DataWrite, Topic, [12, 0, 0, 0]),
    row("sns", "GetTopicAttributes", Read, Topic, [0, 8, 2, 8]),
    row("logs", "CreateLogStream", Write, LogGroup, [28, 0, 0, 0]),
    row("logs", "CreateLogGroup", Write, LogGroup, [3, 3, 0, 0]),
    row("logs", "DescribeLogGroups", Read, LogGroup, [3, 9, 14, 12]),
    row("logs", "DescribeLogStreams", Read, LogGroup, [8, 0, 12, 0]),
    row("logs", "FilterLogEvents", Read, LogGroup, [0, 0, 14, 0]),
    row("logs", "StartQuery", Write, LogGroup, [0, 0, 7, 0]),
    row("monitoring", "PutMetricData", DataWrite, Metric, [16, 0, 0, 0]),
    row("monitoring", "DescribeAlarms", Read, Page, [1, 6, 12, 8]),
    row("monitoring", "GetMetricData", Read, Metric, [8, 0, 24, 0]),
    row("monitoring", "ListMetrics", Read, Metric, [2, 0, 9, 0]),
    row("ec2", "DescribeInstances", Read, Instances, [22, 24, 30, 40]),
    row(
        "ec2",
        "DescribeSecurityGroups",
        Read,
        Describe("groupIdSet", "groupId", "sg-0"),
        [0, 22, 14, 30],
    ),
    row(
        "ec2",
        "DescribeSubnets",
        Read,
        Describe("subnetSet", "subnetId", "subnet-0"),
        [1, 18, 8, 22],
    ),
    row("ec2", "DescribeVpcs", Read, Describe("vpcSet", "vpcId", "vpc-0"), [1, 18, 8, 20]),
    row(
        "ec2",
        "DescribeRouteTables",
        Read,
        Describe("routeTableIdSet", "routeTableId", "rtb-0"),
        [0, 12, 3, 12],
    ),
    row(
        "ec2",
        "DescribeNetworkInterfaces",
        Read,
        Describe("networkInterfaceIdSet", "networkInterfaceId", "eni-0"),
        [14, 9, 8, 24],
    ),
    row("ec2", "DescribeVolumes", Read, Describe("volumeSet", "volumeId", "vol-0"), [6, 4, 8, 20]),
    row(
        "ec2",
        "DescribeSnapshots",
        Read,
        Describe("snapshotSet", "snapshotId", "snap-0"),
        [2, 1, 4, 18],
    ),
    row("ec2", "DescribeImages", Read, Describe("imagesSet", "imageId", "ami-0"), [2, 8, 6, 12]),
    row(
        "ec2",
        "DescribeLaunchTemplateVersions",
        Read,
        Describe("launchTemplateIdSet", "launchTemplateId", "lt-0"),
        [4, 5, 1, 2],
    ),
    row("ec2", "DescribeAvailabilityZones", Read, Page, [2, 8, 6, 4]),
    row("ec2", "DescribeRegions", Read, Nothing, [1, 2, 12, 18]),
    row("ec2", "DescribeTags", Read, Instances, [20, 4, 4, 4]),
    row("ec2", "RunInstances", Write, RunInstances, [3, 2, 1, 0]),
    row("ec2", "TerminateInstances", Write, Instances, [3, 2, 1, 0]),
    row("ec2", "StopInstances", Write, Instances, [0, 1, 2, 0]),
    row("ec2", "CreateTags", Write, Tagging, [4, 5, 2, 0]),
    row("ec2", "AuthorizeSecurityGroupIngress", Write, OpenPort, [0, 3, 2, 0]),
    row("ec2", "CreateNetworkInterface", Write, Tagging, [8, 0, 0, 0]),
    row(
        "autoscaling",
        "DescribeAutoScalingGroups",
        Read,
        Named("autoScalingGroupNames"),
        [12, 5, 6, 8],
    ),
    row("autoscaling", "SetDesiredCapacity", Write, Named("autoScalingGroupName"), [2, 1, 0, 0]),
    row(
        "elasticloadbalancing",
        "DescribeTargetHealth",
        Read,
        Named("targetGroupArn"),
        [12, 8, 8, 6],
    ),
    row("elasticloadbalancing", "DescribeLoadBalancers", Read, Page, [3, 8, 9, 12]),
    row("elasticloadbalancing", "RegisterTargets", Write, Named("targetGroupArn"), [5, 1, 0, 0]),
    row("rds", "DescribeDBInstances", Read, Named("dBInstanceIdentifier"), [3, 10, 9, 16]),
    row("rds", "DescribeDBClusters", Read, Named("dBClusterIdentifier"), [2, 7, 6, 12]),
    row("rds", "ListTagsForResource", Read, Named("resourceName"), [0, 7, 2, 8]),
    row("ecs", "DescribeServices", Read, Service, [8, 14, 9, 4]),
    row("ecs", "DescribeTasks", Read, Service, [10, 6, 6, 2]),
    row("ecs", "SubmitTaskStateChange", Write, Service, [16, 0, 0, 0]),
    row("ecs", "DiscoverPollEndpoint", Read, Service, [14, 0, 0, 0]),
    row("ecs", "UpdateService", Write, Service, [0, 6, 1, 0]),
    row("ecs", "RegisterTaskDefinition", Write, Service, [0, 5, 0, 0]),
    row("ecr", "BatchGetImage", Read, Repository, [30, 6, 0, 2]),
    row("ecr", "GetDownloadUrlForLayer", Read, Repository, [26, 4, 0, 0]),
    row("ecr", "GetAuthorizationToken", Read, Nothing, [26, 12, 2, 0]),
    row("ecr", "DescribeRepositories", Read, Page, [0, 5, 3, 6]),
    row("ecr", "PutImage", Write, Repository, [0, 5, 0, 0]),
    row("eks", "DescribeCluster", Read, Named("name"), [12, 10, 6, 6]),
    row("cloudformation", "DescribeStacks", Read, Named("stackName"), [0, 22, 7, 6]),
    row("cloudformation", "DescribeStackEvents", Read, Named("stackName"), [0, 14, 4, 0]),
    row("cloudformation", "CreateChangeSet", Write, Named("stackName"), [0, 4, 0, 0]),
    row("glue", "GetTable", Read, Named("databaseName"), [22, 2, 2, 2]),
    row("glue", "GetPartitions", Read, Named("databaseName"), [14, 0, 0, 0]),
    row("athena", "StartQueryExecution", Write, Statement, [6, 0, 4, 0]),
    row("athena", "GetQueryExecution", Read, Named("queryExecutionId"), [16, 0, 8, 0]),
    row("events", "PutRule", Write, PutRule, [0, 3, 0, 0]),
    row("events", "DescribeRule", Read, Named("name"), [0, 7, 1, 4]),
    row("config", "DescribeConfigurationRecorders", Read, Nothing, [0, 2, 1, 12]),
    row("config", "PutEvaluations", Write, Named("resultToken"), [0, 0, 0, 14]),
    row("cloudtrail", "LookupEvents", Read, Page, [0, 0, 6, 6]),
    row("cloudtrail", "DescribeTrails", Read, Nothing, [0, 2, 2, 14]),
    row("guardduty", "ListFindings", Read, Named("detectorId"), [0, 0, 3, 12]),
    row("securityhub", "BatchImportFindings", Write, Named("productArn"), [0, 0, 0, 14]),
    row("tagging", "GetResources", Read, Page, [4, 3, 4, 16]),
    row(
        "application-autoscaling",
        "DescribeScalableTargets",
        Read,
        Named("serviceNamespace"),
        [6, 4, 1, 2],
    ),
    row("acm", "DescribeCertificate", Read, Named("certificateArn"), [0, 7, 2, 8]),
    row("states", "StartExecution", Write, Named("stateMachineArn"), [9, 0, 1, 0]),
    row("kinesis", "DescribeStreamSummary", Read, Named("streamName"), [9, 1, 1, 2]),
    row("elasticache", "DescribeCacheClusters", Read, Named("cacheClusterId"), [0, 3, 3, 8]),
    row("health", "DescribeEventAggregates", Read, Page, [0, 0, 16, 0]),
    row("notifications", "ListNotificationEvents", Read, Page, [0, 0, 8, 0]),
    row("cost-optimization-hub", "ListEnrollmentStatuses", Read, Nothing, [0, 0, 2, 0]),
    // From here on: global services.
    row("iam", "GetRole", Read, Role, [6, 36, 8, 40]),
    row("iam", "ListAttachedRolePolicies", Read, Role, [0, 26, 5, 36]),
    row("iam", "ListRolePolicies", Read, Role, [0, 20, 4, 30]),
    row("iam", "GetRolePolicy", Read, Role, [0, 12, 3, 24]),
    row("iam", "GetUser", Read, User, [0, 8, 6, 16]),
    row("iam", "ListAccessKeys", Read, User, [0, 3, 4, 14]),
    row("iam", "GetPolicy", Read, Named("policyArn"), [0, 14, 3, 22]),
    row("iam", "GetPolicyVersion", Read, Named("policyArn"), [0, 12, 3, 22]),
    row("iam", "ListRoles", Read, Page, [0, 2, 6, 8]),
    row("iam", "GenerateCredentialReport", Read, Nothing, [0, 0, 0, 4]),
    row("iam", "CreateRole", Write, Role, [0, 3, 1, 0]),
    row("iam", "AttachRolePolicy", Write, Role, [0, 3, 1, 0]),
    row("iam", "PutRolePolicy", Write, RolePolicy, [0, 4, 1, 0]),
    row("iam", "CreateAccessKey", Write, User, [0, 1, 1, 0]),
    row("iam", "PassRole", Write, Role, [0, 1, 0, 0]),
    row("route53", "ListHostedZones", Read, Page, [0, 6, 2, 6]),
    row("route53", "GetHostedZone", Read, Named("id"), [0, 9, 1, 5]),
    row("route53", "ChangeResourceRecordSets", Write, Named("hostedZoneId"), [2, 3, 0, 0]),
    row("cloudfront", "GetDistribution", Read, Named("id"), [0, 7, 2, 5]),
    row("organizations", "DescribeOrganization", Read, Nothing, [0, 5, 4, 10]),
    row("organizations", "ListAccounts", Read, Page, [0, 2, 1, 8]),
    row("signin", "ConsoleLogin", Write, SignIn, [0, 0, 8, 0]),
];

/// Services whose calls are recorded in us-east-1 whatever Region was meant.
const GLOBAL: [&str; 5] = ["iam", "route53", "cloudfront", "organizations", "signin"];

/// What services do on their own account: who, what, how often.
pub const OF_SERVICES: &[(&str, &str, &str, u64)] = &[
    ("lambda", "sts", "AssumeRole", 16),
    ("ec2", "sts", "AssumeRole", 12),
    ("ecs-tasks", "sts", "AssumeRole", 12),
    ("config", "sts", "AssumeRole", 6),
    ("states", "sts", "AssumeRole", 6),
    ("glue", "sts", "AssumeRole", 4),
    ("s3", "kms", "GenerateDataKey", 12),
    ("sqs", "kms", "Decrypt", 9),
    ("events", "lambda", "Invoke", 16),
    ("s3", "lambda", "Invoke", 10),
    ("delivery.logs", "s3", "PutObject", 22),
    ("cloudtrail", "s3", "PutObject", 9),
    ("cloudtrail", "s3", "GetBucketAcl", 9),
    ("autoscaling", "ec2", "DescribeInstances", 9),
    ("eks", "ec2", "CreateNetworkInterface", 3),
    ("spot", "ec2", "TerminateInstances", 1),
];

/// The odds of every choice that the tables ask for.
#[derive(Debug)]
pub struct Odds {
    /// By purpose, and whether global services count.
    rows: Vec<[Weights; 2]>,
    of_services: Weights,
}

impl Odds {
    pub fn new() -> Odds {
        let weights = |purpose: usize, global: bool| {
            Weights::of(CALLS.iter().map(|row| match GLOBAL.contains(&row.source) && !global {
                true => 0,
                false => row.uses[purpose],
            }))
        };
        Odds {
            rows: (0..4).map(|purpose| [weights(purpose, false), weights(purpose, true)]).collect(),
            of_services: Weights::of(OF_SERVICES.iter().map(|(.., weight)| *weight)),
        }
    }

    pub fn call(
        &self,
        dice: &mut crate::dice::Dice,
        purpose: Purpose,
        global: bool,
    ) -> &'static Row {
        &CALLS[self.rows[purpose as usize][usize::from(global)].pick(dice)]
    }

    /// The service that calls, and what.
    pub fn service_call(&self, dice: &mut crate::dice::Dice) -> (&'static str, &'static Row) {
        let (service, source, name, _) = OF_SERVICES[self.of_services.pick(dice)];
        let row = CALLS.iter().find(|row| row.source == source && row.name == name);
        (service, row.expect("the test `services_call_what_the_table_has` has looked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_call_what_the_table_has() {
        for (service, source, name, _) in OF_SERVICES {
            let found = CALLS.iter().any(|row| row.source == *source && row.name == *name);
            assert!(found, "{service} calls {source} {name}");
        }
    }
}
