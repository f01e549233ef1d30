//! What event history says of an event beside its record: who it was, and which resources.

use std::borrow::Cow;

use crate::header::Header;
use crate::json;
use crate::lookup::NamedResource;
use crate::text::Text;

/// The Username of LookupEvents: the IAM user, the session of an assumed role or federated user,
/// `root` for the root user; nothing for a service.
pub fn user_name<'a>(header: &Header<'a>) -> Option<Cow<'a, str>> {
    let text = |key| header.user_identity_text(key).map(|text| text.to_str());
    let after = |separator: char, value: Cow<'a, str>| -> Option<Cow<'a, str>> {
        let at = value.rfind(separator)? + separator.len_utf8();
        match value {
            Cow::Borrowed(value) => Some(Cow::Borrowed(&value[at..])),
            Cow::Owned(value) => Some(Cow::Owned(value[at..].to_owned())),
        }
    };
    let named = match text("type").as_deref() {
        Some("Root") => Some(Cow::Borrowed("root")),
        Some("AWSService") => None,
        Some("AssumedRole" | "FederatedUser") => text("principalId")
            .and_then(|id| after(':', id))
            .or_else(|| text("arn").and_then(|arn| after('/', arn)))
            .or_else(|| text("userName")),
        _ => text("userName"),
    };
    named.filter(|name| !name.is_empty())
}

/// The Resources of LookupEvents, each once: those that the record itself lists, then those that
/// the parameters and the answer name by members that AWS's services are known to use.
///
/// `request_parameters` and `response_elements` are the texts of those members, where they are objects.
pub fn named_resources(
    header: &Header<'_>,
    request_parameters: Option<&str>,
    response_elements: Option<&str>,
) -> Vec<NamedResource> {
    let mut named = NamedResources::new(header.event_source.to_str(), header.event_name.to_str());
    for resource in header.resources() {
        let Some(name) = resource.arn.or(resource.arn_prefix) else { continue };
        named.add_listed(resource.kind.map(Text::to_str), name.to_str());
    }
    for object in [request_parameters, response_elements].into_iter().flatten() {
        for (key, value) in json::members(object) {
            named.add_member(key.raw(), value);
        }
    }
    let owned = |named: Named<'_>| NamedResource {
        kind: named.kind.map(Cow::into_owned),
        name: named.name.into_owned(),
    };
    named.list.into_iter().map(owned).collect()
}

/// A call can touch thousands; nobody looks for it by all of them.
const RESOURCES_MAX: usize = 50;
/// Answers wrap what they are about (`{"role":{"roleName":…}}`), and lists twice
/// (`{"instancesSet":{"items":[{"instanceId":…}]}}`).
const DEPTH_MAX: u8 = 2;

/// A resource that an event names; copied from the record only where it is written with escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// Such as `AWS::S3::Bucket`.
    pub kind: Option<Cow<'a, str>>,
    pub name: Cow<'a, str>,
}

/// What [`named_resources`] gives, for those who have the members of the record at hand: the
/// elements of its `resources` first, then the members of requestParameters, then those of
/// responseElements.
#[derive(Debug)]
pub struct NamedResources<'a> {
    source: Cow<'a, str>,
    event_name: Cow<'a, str>,
    pub list: Vec<Named<'a>>,
}

impl<'a> NamedResources<'a> {
    pub fn new(event_source: Cow<'a, str>, event_name: Cow<'a, str>) -> Self {
        Self { source: event_source, event_name, list: Vec::new() }
    }

    /// Adds what an element of `resources` names: by its ARN, else by its ARN prefix.
    pub fn add_listed(&mut self, kind: Option<Cow<'a, str>>, name: Cow<'a, str>) {
        match bucket_of(&name).map(str::len) {
            Some(bytes) => {
                let kind = kind.or(Some(Cow::Borrowed("AWS::S3::Bucket")));
                self.add(kind, last_bytes(name, bytes));
            }
            None => self.add(kind, name),
        }
    }

    /// Adds what a member of requestParameters or responseElements names. `key` is the inside of the
    /// key, as it stands; `value` is JSON.
    pub fn add_member(&mut self, key: &str, value: &'a str) {
        self.add_below(key, value, DEPTH_MAX);
    }

    fn add_below(&mut self, key: &str, value: &'a str, depth: u8) {
        match value.as_bytes().first() {
            Some(b'{') if depth > 0 => {
                for (key, value) in json::members(value) {
                    self.add_below(key.raw(), value, depth - 1);
                }
            }
            Some(b'[') if key == "items" => {
                for item in json::elements(value).filter(|item| item.starts_with('{')) {
                    for (key, value) in json::members(item) {
                        self.add_below(key.raw(), value, 0);
                    }
                }
            }
            Some(b'"') => {
                if let Some(kind) = self.kind_of(key)
                    && let Some(text) = json::string(value)
                {
                    let name = text.to_str();
                    let bytes = bucket_of(&name).map_or(name.len(), str::len);
                    self.add(Some(Cow::Borrowed(kind)), last_bytes(name, bytes));
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, kind: Option<Cow<'a, str>>, name: Cow<'a, str>) {
        let named = Named { kind, name };
        if named.name.is_empty() || self.list.len() >= RESOURCES_MAX || self.list.contains(&named) {
            return;
        }
        self.list.push(named);
    }

    /// The type of resource that a member names.
    fn kind_of(&self, key: &str) -> Option<&'static str> {
        if !may_name(key) {
            return None;
        }
        let service = self.source.strip_suffix(".amazonaws.com").unwrap_or(&self.source);
        let is_meant =
            |by: &&(&str, &str, &str)| by.0 == key && (by.1.is_empty() || by.1 == service);
        match KINDS.iter().find(is_meant)? {
            ("name", _, _) if !self.is_about_a_trail() => None,
            (_, _, kind) => Some(kind),
        }
    }

    fn is_about_a_trail(&self) -> bool {
        let name = &*self.event_name;
        name.ends_with("Trail") || name.ends_with("Logging") || name == "GetTrailStatus"
    }
}

fn last_bytes(text: Cow<'_, str>, bytes: usize) -> Cow<'_, str> {
    let start = text.len() - bytes;
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[start..]),
        Cow::Owned(text) => Cow::Owned(text[start..].to_owned()),
    }
}

/// AWS: event history names a bucket, where the record has `arn:aws:s3:::bucket`.
fn bucket_of(arn: &str) -> Option<&str> {
    let (partition, bucket) = arn.strip_prefix("arn:")?.split_once(":s3:::")?;
    (partition.starts_with("aws") && !bucket.contains('/')).then_some(bucket)
}

/// Members of requestParameters and responseElements that name a resource: key, service (any when
/// empty), type of the resource. The first that fits counts.
const KINDS: &[(&str, &str, &str)] = &[
    ("bucketName", "", "AWS::S3::Bucket"),
    ("s3BucketName", "", "AWS::S3::Bucket"),
    ("roleName", "iam", "AWS::IAM::Role"),
    ("roleArn", "", "AWS::IAM::Role"),
    ("userName", "iam", "AWS::IAM::User"),
    ("groupName", "iam", "AWS::IAM::Group"),
    ("policyArn", "", "AWS::IAM::Policy"),
    ("policyName", "iam", "AWS::IAM::Policy"),
    ("instanceProfileName", "", "AWS::IAM::InstanceProfile"),
    ("accessKeyId", "iam", "AWS::IAM::AccessKey"),
    ("instanceId", "ec2", "AWS::EC2::Instance"),
    ("instanceId", "ssm", "AWS::EC2::Instance"),
    ("instanceId", "autoscaling", "AWS::EC2::Instance"),
    ("instanceId", "elasticloadbalancing", "AWS::EC2::Instance"),
    ("groupId", "ec2", "AWS::EC2::SecurityGroup"),
    ("groupName", "ec2", "AWS::EC2::SecurityGroup"),
    ("vpcId", "", "AWS::EC2::VPC"),
    ("subnetId", "", "AWS::EC2::Subnet"),
    ("volumeId", "ec2", "AWS::EC2::Volume"),
    ("snapshotId", "ec2", "AWS::EC2::Snapshot"),
    ("imageId", "ec2", "AWS::EC2::Ami"),
    ("keyName", "ec2", "AWS::EC2::KeyPair"),
    ("networkInterfaceId", "ec2", "AWS::EC2::NetworkInterface"),
    ("internetGatewayId", "ec2", "AWS::EC2::InternetGateway"),
    ("natGatewayId", "ec2", "AWS::EC2::NatGateway"),
    ("routeTableId", "ec2", "AWS::EC2::RouteTable"),
    ("networkAclId", "ec2", "AWS::EC2::NetworkAcl"),
    ("allocationId", "ec2", "AWS::EC2::EIP"),
    ("vpcEndpointId", "ec2", "AWS::EC2::VPCEndpoint"),
    ("launchTemplateId", "ec2", "AWS::EC2::LaunchTemplate"),
    ("autoScalingGroupName", "autoscaling", "AWS::AutoScaling::AutoScalingGroup"),
    ("launchConfigurationName", "autoscaling", "AWS::AutoScaling::LaunchConfiguration"),
    ("loadBalancerName", "elasticloadbalancing", "AWS::ElasticLoadBalancing::LoadBalancer"),
    ("loadBalancerArn", "elasticloadbalancing", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("targetGroupArn", "elasticloadbalancing", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("keyId", "kms", "AWS::KMS::Key"),
    ("aliasName", "kms", "AWS::KMS::Alias"),
    ("functionName", "lambda", "AWS::Lambda::Function"),
    ("tableName", "dynamodb", "AWS::DynamoDB::Table"),
    ("tableName", "glue", "AWS::Glue::Table"),
    ("databaseName", "glue", "AWS::Glue::Database"),
    ("queueUrl", "sqs", "AWS::SQS::Queue"),
    ("queueName", "sqs", "AWS::SQS::Queue"),
    ("topicArn", "", "AWS::SNS::Topic"),
    ("secretId", "secretsmanager", "AWS::SecretsManager::Secret"),
    ("trailName", "cloudtrail", "AWS::CloudTrail::Trail"),
    ("trailARN", "cloudtrail", "AWS::CloudTrail::Trail"),
    ("name", "cloudtrail", "AWS::CloudTrail::Trail"),
    ("eventDataStore", "cloudtrail", "AWS::CloudTrail::EventDataStore"),
    ("eventDataStoreArn", "cloudtrail", "AWS::CloudTrail::EventDataStore"),
    ("dBInstanceIdentifier", "rds", "AWS::RDS::DBInstance"),
    ("dBClusterIdentifier", "rds", "AWS::RDS::DBCluster"),
    ("dBSnapshotIdentifier", "rds", "AWS::RDS::DBSnapshot"),
    ("stackName", "cloudformation", "AWS::CloudFormation::Stack"),
    ("stackId", "cloudformation", "AWS::CloudFormation::Stack"),
    ("logGroupName", "logs", "AWS::Logs::LogGroup"),
    ("alarmName", "monitoring", "AWS::CloudWatch::Alarm"),
    ("repositoryName", "ecr", "AWS::ECR::Repository"),
    ("repositoryName", "codecommit", "AWS::CodeCommit::Repository"),
    ("clusterName", "eks", "AWS::EKS::Cluster"),
    ("clusterName", "ecs", "AWS::ECS::Cluster"),
    ("streamName", "kinesis", "AWS::Kinesis::Stream"),
    ("deliveryStreamName", "firehose", "AWS::KinesisFirehose::DeliveryStream"),
    ("stateMachineArn", "states", "AWS::StepFunctions::StateMachine"),
    ("hostedZoneId", "route53", "AWS::Route53::HostedZone"),
    ("certificateArn", "acm", "AWS::CertificateManager::Certificate"),
    ("restApiId", "apigateway", "AWS::ApiGateway::RestApi"),
    ("fileSystemId", "elasticfilesystem", "AWS::EFS::FileSystem"),
];

/// For each last letter of a key, the lengths that keys in [`KINDS`] have, as bits.
const LENGTHS: [u32; 128] = {
    let mut lengths = [0; 128];
    let mut at = 0;
    while at < KINDS.len() {
        let key = KINDS[at].0.as_bytes();
        lengths[key[key.len() - 1] as usize] |= 1 << key.len();
        at += 1;
    }
    lengths
};

/// Turns away most keys that are not in [`KINDS`].
fn may_name(key: &str) -> bool {
    let last = key.as_bytes().last().and_then(|last| LENGTHS.get(usize::from(*last)));
    last.is_some_and(|lengths| lengths.checked_shr(key.len() as u32).unwrap_or(0) & 1 == 1)
}

#[cfg(test)]
mod tests;
