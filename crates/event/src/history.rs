//! What event history says of an event beside its record: who it was, and which resources.

use std::borrow::Cow;

use crate::header::Header;
use crate::json;
use crate::lookup::NamedResource;

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
    let mut named = Named { list: Vec::new() };
    for resource in header.resources() {
        let Some(name) = resource.arn.or(resource.arn_prefix) else { continue };
        let name = name.to_str();
        let kind = resource.kind.map(|kind| kind.to_str());
        match bucket_of(&name) {
            Some(bucket) => named.add(kind.as_deref().or(Some("AWS::S3::Bucket")), bucket),
            None => named.add(kind.as_deref(), &name),
        }
    }
    let source = header.event_source.to_str();
    let service = source.strip_suffix(".amazonaws.com").unwrap_or(&source);
    let event_name = header.event_name.to_str();
    for object in [request_parameters, response_elements].into_iter().flatten() {
        named.add_members(service, &event_name, object, DEPTH_MAX);
    }
    named.list
}

/// A call can touch thousands; nobody looks for it by all of them.
const RESOURCES_MAX: usize = 50;
/// Answers wrap what they are about (`{"role":{"roleName":…}}`), and lists twice
/// (`{"instancesSet":{"items":[{"instanceId":…}]}}`).
const DEPTH_MAX: u8 = 2;

struct Named {
    list: Vec<NamedResource>,
}

impl Named {
    fn add(&mut self, kind: Option<&str>, name: &str) {
        let is_same = |other: &NamedResource| other.name == name && other.kind.as_deref() == kind;
        if name.is_empty() || self.list.len() >= RESOURCES_MAX || self.list.iter().any(is_same) {
            return;
        }
        self.list.push(NamedResource { kind: kind.map(str::to_owned), name: name.to_owned() });
    }

    fn add_members(&mut self, service: &str, event_name: &str, object: &str, depth: u8) {
        for (key, value) in json::members(object) {
            let key = key.raw();
            if value.starts_with('{') && depth > 0 {
                self.add_members(service, event_name, value, depth - 1);
            } else if value.starts_with('[') && key == "items" {
                for item in json::elements(value).filter(|item| item.starts_with('{')) {
                    self.add_members(service, event_name, item, 0);
                }
            } else if let Some(text) = json::string(value)
                && let Some(kind) = kind_of(service, event_name, key)
            {
                let name = text.to_str();
                self.add(Some(kind), bucket_of(&name).unwrap_or(&name));
            }
        }
    }
}

/// AWS: event history names a bucket, where the record has `arn:aws:s3:::bucket`.
fn bucket_of(arn: &str) -> Option<&str> {
    let (partition, bucket) = arn.strip_prefix("arn:")?.split_once(":s3:::")?;
    (partition.starts_with("aws") && !bucket.contains('/')).then_some(bucket)
}

/// The type of resource that a member of requestParameters or responseElements names.
fn kind_of(service: &str, event_name: &str, key: &str) -> Option<&'static str> {
    Some(match (key, service) {
        ("bucketName" | "s3BucketName", _) => "AWS::S3::Bucket",
        ("roleName", "iam") | ("roleArn", _) => "AWS::IAM::Role",
        ("userName", "iam") => "AWS::IAM::User",
        ("groupName", "iam") => "AWS::IAM::Group",
        ("policyArn", _) | ("policyName", "iam") => "AWS::IAM::Policy",
        ("instanceProfileName", _) => "AWS::IAM::InstanceProfile",
        ("accessKeyId", "iam") => "AWS::IAM::AccessKey",
        ("instanceId", "ec2" | "ssm" | "autoscaling" | "elasticloadbalancing") => {
            "AWS::EC2::Instance"
        }
        ("groupId" | "groupName", "ec2") => "AWS::EC2::SecurityGroup",
        ("vpcId", _) => "AWS::EC2::VPC",
        ("subnetId", _) => "AWS::EC2::Subnet",
        ("volumeId", "ec2") => "AWS::EC2::Volume",
        ("snapshotId", "ec2") => "AWS::EC2::Snapshot",
        ("imageId", "ec2") => "AWS::EC2::Ami",
        ("keyName", "ec2") => "AWS::EC2::KeyPair",
        ("networkInterfaceId", "ec2") => "AWS::EC2::NetworkInterface",
        ("internetGatewayId", "ec2") => "AWS::EC2::InternetGateway",
        ("natGatewayId", "ec2") => "AWS::EC2::NatGateway",
        ("routeTableId", "ec2") => "AWS::EC2::RouteTable",
        ("networkAclId", "ec2") => "AWS::EC2::NetworkAcl",
        ("allocationId", "ec2") => "AWS::EC2::EIP",
        ("vpcEndpointId", "ec2") => "AWS::EC2::VPCEndpoint",
        ("launchTemplateId", "ec2") => "AWS::EC2::LaunchTemplate",
        ("autoScalingGroupName", "autoscaling") => "AWS::AutoScaling::AutoScalingGroup",
        ("launchConfigurationName", "autoscaling") => "AWS::AutoScaling::LaunchConfiguration",
        ("loadBalancerName", "elasticloadbalancing") => "AWS::ElasticLoadBalancing::LoadBalancer",
        ("loadBalancerArn", "elasticloadbalancing") => "AWS::ElasticLoadBalancingV2::LoadBalancer",
        ("targetGroupArn", "elasticloadbalancing") => "AWS::ElasticLoadBalancingV2::TargetGroup",
        ("keyId", "kms") => "AWS::KMS::Key",
        ("aliasName", "kms") => "AWS::KMS::Alias",
        ("functionName", "lambda") => "AWS::Lambda::Function",
        ("tableName", "dynamodb") => "AWS::DynamoDB::Table",
        ("tableName", "glue") => "AWS::Glue::Table",
        ("databaseName", "glue") => "AWS::Glue::Database",
        ("queueUrl" | "queueName", "sqs") => "AWS::SQS::Queue",
        ("topicArn", _) => "AWS::SNS::Topic",
        ("secretId", "secretsmanager") => "AWS::SecretsManager::Secret",
        ("trailName" | "trailARN", "cloudtrail") => "AWS::CloudTrail::Trail",
        ("name", "cloudtrail")
            if event_name.ends_with("Trail")
                || event_name.ends_with("Logging")
                || event_name == "GetTrailStatus" =>
        {
            "AWS::CloudTrail::Trail"
        }
        ("eventDataStore" | "eventDataStoreArn", "cloudtrail") => "AWS::CloudTrail::EventDataStore",
        ("dBInstanceIdentifier", "rds") => "AWS::RDS::DBInstance",
        ("dBClusterIdentifier", "rds") => "AWS::RDS::DBCluster",
        ("dBSnapshotIdentifier", "rds") => "AWS::RDS::DBSnapshot",
        ("stackName" | "stackId", "cloudformation") => "AWS::CloudFormation::Stack",
        ("logGroupName", "logs") => "AWS::Logs::LogGroup",
        ("alarmName", "monitoring") => "AWS::CloudWatch::Alarm",
        ("repositoryName", "ecr") => "AWS::ECR::Repository",
        ("repositoryName", "codecommit") => "AWS::CodeCommit::Repository",
        ("clusterName", "eks") => "AWS::EKS::Cluster",
        ("clusterName", "ecs") => "AWS::ECS::Cluster",
        ("streamName", "kinesis") => "AWS::Kinesis::Stream",
        ("deliveryStreamName", "firehose") => "AWS::KinesisFirehose::DeliveryStream",
        ("stateMachineArn", "states") => "AWS::StepFunctions::StateMachine",
        ("hostedZoneId", "route53") => "AWS::Route53::HostedZone",
        ("certificateArn", "acm") => "AWS::CertificateManager::Certificate",
        ("restApiId", "apigateway") => "AWS::ApiGateway::RestApi",
        ("fileSystemId", "elasticfilesystem") => "AWS::EFS::FileSystem",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
