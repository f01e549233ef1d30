//! One CloudTrail record, shaped like real ones: AWS's field names and order, several kinds of
//! callers and services, from half a kilobyte (a read) to four (an instance started). Made from
//! parts and chance; nothing is copied from anybody's logs.

use crate::dice::Dice;

/// Stands where each sent record gets its own time, of the same length.
pub const TIME_SLOT: &str = "2000-01-01T00:00:00Z";
/// Stands where each sent record gets its own `eventID`.
pub const EVENT_ID_SLOT: &str = "00000000-0000-4000-8000-0000000000ee";
/// Stands where each sent record gets its own `requestID`.
pub const REQUEST_ID_SLOT: &str = "00000000-0000-7000-8000-0000000000ff";

const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-east-1",
    "us-east-1",
    "us-east-1",
    "us-east-1",
    "us-east-1",
    "eu-central-1",
    "ap-southeast-2",
];
const PEOPLE: [&str; 12] = [
    "ana.souza",
    "bjorn.lind",
    "chidi.okafor",
    "dana.levy",
    "emre.kaya",
    "fatima.zahra",
    "goran.petrov",
    "hana.suzuki",
    "ivan.horvat",
    "jun.park",
    "karin.maier",
    "luis.ortega",
];
const TEAMS: [&str; 8] = [
    "billing",
    "checkout",
    "catalogue",
    "data-platform",
    "identity",
    "payments",
    "search",
    "shipping",
];
const STAGES: [&str; 3] = ["dev", "staging", "prod"];
const JOBS: [&str; 6] = ["deployer", "api", "worker", "read-only", "administrator", "batch"];
const AGENTS: [&str; 7] = [
    "aws-cli/2.17.{} md/awscrt#0.20.11 ua/2.0 os/linux#6.1.9{} md/arch#x86_64 lang/python#3.11.8 cfg/retry-mode#standard",
    "Boto3/1.34.{} md/Botocore#1.34.{} ua/2.0 os/linux#5.10.2{} md/arch#aarch64 lang/python#3.12.3 md/pyimpl#CPython",
    "APN/1.0 HashiCorp/1.0 Terraform/1.8.{} (+https://www.terraform.io) terraform-provider-aws/5.{}.0 aws-sdk-go-v2/1.26.1",
    "aws-sdk-go/1.51.{} (go1.22.{}; linux; amd64) amazon-ssm-agent/",
    "aws-sdk-java/2.25.{} Linux/5.15.0-10{}-generic OpenJDK_64-Bit_Server_VM/17.0.10 Java/17.0.10 vendor/Amazon.com io/sync",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/12{}.0.0.0 Safari/537.36",
    "[S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.{} Linux/5.10.21{} OpenJDK_64-Bit_Server_VM/25.402-b08]",
];

/// What differs between services.
pub struct Call {
    pub source: &'static str,
    pub name: &'static str,
    pub read_only: bool,
    /// A data event, not a management event.
    pub data: bool,
    /// JSON text of `requestParameters` and `responseElements`.
    pub request: String,
    pub response: String,
    /// (type, ARN) pairs.
    pub resources: Vec<(&'static str, String)>,
}

/// A record on one line without a newline, for the 12-digit `account`. The slots above stand where
/// the sender puts time and identifiers.
pub fn record(dice: &mut Dice, account: &str) -> String {
    let region = dice.pick(&REGIONS);
    let call = call(dice, account, region);
    let Call { source, name, read_only, data, request, response, resources } = call;
    let host = source.replace(".amazonaws.com", &format!(".{region}.amazonaws.com"));
    let failed = dice.happens(6);
    let error = match failed {
        false => String::new(),
        true => format!(
            r#""errorCode":"AccessDenied","errorMessage":"User is not authorized to perform: {}:{name} because no identity-based policy allows the action","#,
            source.split('.').next().unwrap_or(source)
        ),
    };
    let response = if failed { "null".to_owned() } else { response };
    let resources = match resources.is_empty() {
        true => String::new(),
        false => {
            let listed: Vec<String> = resources
                .iter()
                .map(|(kind, arn)| {
                    format!(r#"{{"accountId":"{account}","type":"{kind}","ARN":"{arn}"}}"#)
                })
                .collect();
            format!(r#""resources":[{}],"#, listed.join(","))
        }
    };
    let category = if data { "Data" } else { "Management" };
    // A service that acts on its own gives its name in place of address and program.
    let (identity, address, agent) = match dice.happens(30) {
        true => {
            let service = dice.pick(&["autoscaling", "config", "ec2", "ecs-tasks", "lambda"]);
            let name = format!("{service}.amazonaws.com");
            (format!(r#"{{"type":"AWSService","invokedBy":"{name}"}}"#), name.clone(), name)
        }
        false => (identity(dice, account, region), address(dice), agent(dice)),
    };
    format!(
        r#"{{"eventVersion":"1.09","userIdentity":{identity},"eventTime":"{TIME_SLOT}","eventSource":"{source}","eventName":"{name}","awsRegion":"{region}","sourceIPAddress":"{address}","userAgent":"{agent}",{error}"requestParameters":{request},"responseElements":{response},"requestID":"{REQUEST_ID_SLOT}","eventID":"{EVENT_ID_SLOT}","readOnly":{read_only},{resources}"eventType":"AwsApiCall","managementEvent":{management},"recipientAccountId":"{account}","eventCategory":"{category}","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{host}"}}}}"#,
        management = !data,
    )
}

fn identity(dice: &mut Dice, account: &str, region: &str) -> String {
    let created = format!(
        "2026-0{}-1{}T0{}:1{}:2{}Z",
        1 + dice.below(9),
        dice.below(10),
        dice.below(10),
        dice.below(10),
        dice.below(10)
    );
    match dice.below(4) {
        0 => {
            let user = dice.pick(&PEOPLE);
            format!(
                r#"{{"type":"IAMUser","principalId":"AIDA{}","arn":"arn:aws:iam::{account}:user/{user}","accountId":"{account}","accessKeyId":"AKIA{}","userName":"{user}"}}"#,
                dice.base32(17),
                dice.base32(16),
            )
        }
        _ => {
            let role = format!("{}-{}-{}", dice.pick(&TEAMS), dice.pick(&STAGES), dice.pick(&JOBS));
            let session = match dice.below(3) {
                0 => dice.pick(&PEOPLE).to_owned(),
                1 => format!("i-0{}", dice.hex(16)),
                _ => format!("{region}-{}", dice.hex(20)),
            };
            let principal = format!("AROA{}", dice.base32(17));
            format!(
                r#"{{"type":"AssumedRole","principalId":"{principal}:{session}","arn":"arn:aws:sts::{account}:assumed-role/{role}/{session}","accountId":"{account}","accessKeyId":"ASIA{}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{principal}","arn":"arn:aws:iam::{account}:role/{role}","accountId":"{account}","userName":"{role}"}},"attributes":{{"creationDate":"{created}","mfaAuthenticated":"{}"}}}}}}"#,
                dice.base32(16),
                dice.happens(20),
            )
        }
    }
}

fn address(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => format!("2001:db8:{}:{}::{}", dice.hex(4), dice.hex(4), dice.hex(3)),
        1..=3 => format!("10.{}.{}.{}", dice.below(64), dice.below(256), 1 + dice.below(254)),
        _ => {
            let network = dice.pick(&["203.0.113", "198.51.100", "192.0.2"]);
            format!("{network}.{}", 1 + dice.below(254))
        }
    }
}

fn agent(dice: &mut Dice) -> String {
    let mut agent = String::new();
    for (nth, part) in dice.pick(&AGENTS).split("{}").enumerate() {
        if nth > 0 {
            agent.push_str(&dice.below(100).to_string());
        }
        agent.push_str(part);
    }
    agent
}

fn call(dice: &mut Dice, account: &str, region: &str) -> Call {
    match dice.below(100) {
        0..=4 => assume_role(dice, account),
        5..=28 => read_object(dice),
        29..=38 => write_object(dice),
        39..=49 => use_key(dice, account, region),
        50..=65 => describe(dice),
        66..=67 => run_instances(dice),
        68..=74 => open_port(dice, account),
        75..=81 => invoke(dice, account, region),
        82..=88 => attach_policy(dice, account),
        89..=94 => read_parameter(dice),
        95..=98 => put_rule(dice, account, region),
        _ => change_database(dice, account, region),
    }
}

fn bucket(dice: &mut Dice) -> String {
    format!(
        "{}-{}-{}",
        dice.pick(&TEAMS),
        dice.pick(&["exports", "assets", "backups", "logs"]),
        dice.pick(&STAGES)
    )
}

fn object(dice: &mut Dice) -> String {
    format!("{}/2026/{}/part-{}.parquet", dice.pick(&TEAMS), dice.below(12) + 1, dice.hex(24))
}

fn object_call(dice: &mut Dice, name: &'static str, read_only: bool) -> Call {
    let (bucket, key) = (bucket(dice), object(dice));
    let request =
        format!(r#"{{"bucketName":"{bucket}","Host":"{bucket}.s3.amazonaws.com","key":"{key}"}}"#);
    let response = match read_only {
        true => "null".to_owned(),
        false => r#"{"x-amz-server-side-encryption":"AES256"}"#.to_owned(),
    };
    let resources = vec![
        ("AWS::S3::Object", format!("arn:aws:s3:::{bucket}/{key}")),
        ("AWS::S3::Bucket", format!("arn:aws:s3:::{bucket}")),
    ];
    Call { source: "s3.amazonaws.com", name, read_only, data: true, request, response, resources }
}

fn read_object(dice: &mut Dice) -> Call {
    let name = match dice.below(3) {
        0 => "HeadObject",
        _ => "GetObject",
    };
    object_call(dice, name, true)
}

fn write_object(dice: &mut Dice) -> Call {
    let name = match dice.below(4) {
        0 => "DeleteObject",
        _ => "PutObject",
    };
    object_call(dice, name, false)
}

fn assume_role(dice: &mut Dice, account: &str) -> Call {
    let role = format!("arn:aws:iam::{account}:role/{}-{}", dice.pick(&TEAMS), dice.pick(&JOBS));
    let session = format!("{}-{}", dice.pick(&TEAMS), dice.hex(12));
    let request =
        format!(r#"{{"roleArn":"{role}","roleSessionName":"{session}","durationSeconds":3600}}"#);
    let response = format!(
        r#"{{"credentials":{{"accessKeyId":"ASIA{}","sessionToken":"{}","expiration":"Mar {}, 2026, 1{}:0{}:00 AM"}},"assumedRoleUser":{{"assumedRoleId":"AROA{}:{session}","arn":"{role}/{session}"}}}}"#,
        dice.base32(16),
        dice.base64(356),
        dice.below(28) + 1,
        dice.below(3),
        dice.below(10),
        dice.base32(17),
    );
    let resources = vec![("AWS::IAM::Role", role)];
    Call {
        source: "sts.amazonaws.com",
        name: "AssumeRole",
        read_only: true,
        data: false,
        request,
        response,
        resources,
    }
}

fn use_key(dice: &mut Dice, account: &str, region: &str) -> Call {
    let name = match dice.below(3) {
        0 => "GenerateDataKey",
        _ => "Decrypt",
    };
    let key = format!(
        "arn:aws:kms:{region}:{account}:key/{}-{}-{}",
        dice.hex(8),
        dice.hex(4),
        dice.hex(12)
    );
    let request = format!(
        r#"{{"keyId":"{key}","encryptionContext":{{"aws:s3:arn":"arn:aws:s3:::{}/{}"}},"encryptionAlgorithm":"SYMMETRIC_DEFAULT"}}"#,
        bucket(dice),
        object(dice),
    );
    let resources = vec![("AWS::KMS::Key", key)];
    Call {
        source: "kms.amazonaws.com",
        name,
        read_only: true,
        data: false,
        request,
        response: "null".to_owned(),
        resources,
    }
}

fn describe(dice: &mut Dice) -> Call {
    let (source, name) = match dice.below(5) {
        0 => ("ec2.amazonaws.com", "DescribeInstances"),
        1 => ("ec2.amazonaws.com", "DescribeVolumes"),
        2 => ("elasticloadbalancing.amazonaws.com", "DescribeTargetHealth"),
        3 => ("autoscaling.amazonaws.com", "DescribeAutoScalingGroups"),
        _ => ("rds.amazonaws.com", "DescribeDBInstances"),
    };
    let values: Vec<String> = (0..dice.below(6))
        .map(|_| {
            format!(
                r#"{{"name":"tag:{}","valueSet":{{"items":[{{"value":"{}"}}]}}}}"#,
                dice.pick(&["team", "stage", "Name"]),
                dice.pick(&TEAMS)
            )
        })
        .collect();
    let request = format!(
        r#"{{"maxResults":{},"filterSet":{{"items":[{}]}}}}"#,
        100 + dice.below(900),
        values.join(",")
    );
    Call {
        source,
        name,
        read_only: true,
        data: false,
        request,
        response: "null".to_owned(),
        resources: Vec::new(),
    }
}

pub fn run_instances(dice: &mut Dice) -> Call {
    let image = format!("ami-0{}", dice.hex(16));
    let subnet = format!("subnet-0{}", dice.hex(16));
    let kind = dice.pick(&["t3.large", "m7g.xlarge", "c6i.2xlarge", "r6a.large"]);
    let request = format!(
        r#"{{"instancesSet":{{"items":[{{"imageId":"{image}","minCount":1,"maxCount":1}}]}},"instanceType":"{kind}","subnetId":"{subnet}","blockDeviceMapping":{{"items":[{{"deviceName":"/dev/xvda","ebs":{{"volumeSize":{},"deleteOnTermination":true,"volumeType":"gp3","encrypted":true}}}}]}},"monitoring":{{"enabled":false}},"disableApiTermination":false}}"#,
        20 + dice.below(400),
    );
    let network = dice.below(256);
    let response = format!(
        r#"{{"reservationId":"r-0{}","groupSet":{{}},"instancesSet":{{"items":[{{"instanceId":"i-0{}","imageId":"{image}","instanceState":{{"code":0,"name":"pending"}},"privateDnsName":"ip-10-0-{network}-{}.ec2.internal","instanceType":"{kind}","launchTime":{}000,"placement":{{"availabilityZone":"us-east-1{}","tenancy":"default"}},"subnetId":"{subnet}","vpcId":"vpc-0{}","networkInterfaceSet":{{"items":[{{"networkInterfaceId":"eni-0{}","macAddress":"0e:{}:{}:1b:7c:21","status":"in-use","sourceDestCheck":true,"groupSet":{{"items":[{{"groupId":"sg-0{}","groupName":"{}"}}]}},"attachment":{{"attachmentId":"eni-attach-0{}","deviceIndex":0,"status":"attaching","deleteOnTermination":true}}}}]}},"ebsOptimized":true,"enaSupport":true,"metadataOptions":{{"state":"pending","httpTokens":"required","httpPutResponseHopLimit":2,"httpEndpoint":"enabled"}}}}]}}}}"#,
        dice.hex(16),
        dice.hex(16),
        dice.below(256),
        1_770_000_000 + dice.below(10_000_000),
        dice.pick(&["a", "b", "c"]),
        dice.hex(16),
        dice.hex(16),
        dice.hex(2),
        dice.hex(2),
        dice.hex(16),
        dice.pick(&TEAMS),
        dice.hex(16),
    );
    Call {
        source: "ec2.amazonaws.com",
        name: "RunInstances",
        read_only: false,
        data: false,
        request,
        response,
        resources: Vec::new(),
    }
}

pub fn open_port(dice: &mut Dice, account: &str) -> Call {
    let group = format!("sg-0{}", dice.hex(16));
    let port = dice.pick(&["22", "443", "5432", "6379", "8080"]);
    let range = format!("10.{}.0.0/16", dice.below(256));
    let request = format!(
        r#"{{"groupId":"{group}","ipPermissions":{{"items":[{{"ipProtocol":"tcp","fromPort":{port},"toPort":{port},"groups":{{}},"ipRanges":{{"items":[{{"cidrIp":"{range}","description":"{} to {}"}}]}},"ipv6Ranges":{{}},"prefixListIds":{{}}}}]}}}}"#,
        dice.pick(&TEAMS),
        dice.pick(&TEAMS),
    );
    let response = format!(
        r#"{{"_return":true,"securityGroupRuleSet":{{"items":[{{"groupOwnerId":"{account}","groupId":"{group}","securityGroupRuleId":"sgr-0{}","isEgress":false,"ipProtocol":"tcp","fromPort":{port},"toPort":{port},"cidrIpv4":"{range}"}}]}}}}"#,
        dice.hex(16),
    );
    Call {
        source: "ec2.amazonaws.com",
        name: "AuthorizeSecurityGroupIngress",
        read_only: false,
        data: false,
        request,
        response,
        resources: Vec::new(),
    }
}

fn invoke(dice: &mut Dice, account: &str, region: &str) -> Call {
    let function = format!(
        "arn:aws:lambda:{region}:{account}:function:{}-{}",
        dice.pick(&TEAMS),
        dice.pick(&JOBS)
    );
    let request = format!(
        r#"{{"functionName":"{function}","invocationType":"{}","clientContext":"{}"}}"#,
        dice.pick(&["Event", "RequestResponse"]),
        dice.base64(180)
    );
    let resources = vec![("AWS::Lambda::Function", function)];
    Call {
        source: "lambda.amazonaws.com",
        name: "Invoke",
        read_only: false,
        data: true,
        request,
        response: "null".to_owned(),
        resources,
    }
}

/// The policy is JSON within JSON: escaped quotes, as real records have them.
pub fn attach_policy(dice: &mut Dice, account: &str) -> Call {
    let actions: Vec<String> = (0..2 + dice.below(4))
        .map(|_| {
            format!(
                r#"\"{}:{}*\""#,
                dice.pick(&["s3", "sqs", "dynamodb", "logs"]),
                dice.pick(&["Get", "List", "Put", "Describe"])
            )
        })
        .collect();
    let request = format!(
        r#"{{"roleName":"{}-{}","policyName":"inline-{}","policyDocument":"{{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {{\n      \"Effect\": \"Allow\",\n      \"Action\": [{}],\n      \"Resource\": \"arn:aws:s3:::{}/*\",\n      \"Condition\": {{\"StringEquals\": {{\"aws:PrincipalAccount\": \"{account}\"}}}}\n    }}\n  ]\n}}"}}"#,
        dice.pick(&TEAMS),
        dice.pick(&JOBS),
        dice.hex(8),
        actions.join(", "),
        bucket(dice),
    );
    Call {
        source: "iam.amazonaws.com",
        name: "PutRolePolicy",
        read_only: false,
        data: false,
        request,
        response: "null".to_owned(),
        resources: Vec::new(),
    }
}

pub fn read_parameter(dice: &mut Dice) -> Call {
    let names: Vec<String> = (0..1 + dice.below(8))
        .map(|_| {
            format!(
                r#""/{}/{}/{}""#,
                dice.pick(&TEAMS),
                dice.pick(&STAGES),
                dice.pick(&["database/host", "queue/url", "feature/flags", "log/level"])
            )
        })
        .collect();
    let request =
        format!(r#"{{"names":[{}],"withDecryption":{}}}"#, names.join(","), dice.happens(50));
    Call {
        source: "ssm.amazonaws.com",
        name: "GetParameters",
        read_only: true,
        data: false,
        request,
        response: "null".to_owned(),
        resources: Vec::new(),
    }
}

pub fn put_rule(dice: &mut Dice, account: &str, region: &str) -> Call {
    let rule = format!("{}-nightly-{}", dice.pick(&TEAMS), dice.hex(6));
    let request = format!(
        r#"{{"name":"{rule}","scheduleExpression":"cron({} {} * * ? *)","state":"ENABLED","description":"Démarre l’export de {} → {}"}}"#,
        dice.below(60),
        dice.below(24),
        dice.pick(&TEAMS),
        dice.pick(&TEAMS),
    );
    let response = format!(r#"{{"ruleArn":"arn:aws:events:{region}:{account}:rule/{rule}"}}"#);
    Call {
        source: "events.amazonaws.com",
        name: "PutRule",
        read_only: false,
        data: false,
        request,
        response,
        resources: Vec::new(),
    }
}

/// One record in a hundred brings a secret that its sender should have hidden, so that redaction
/// has work to do.
fn change_database(dice: &mut Dice, account: &str, region: &str) -> Call {
    let name = format!("{}-{}", dice.pick(&TEAMS), dice.pick(&STAGES));
    let request = format!(
        r#"{{"dBInstanceIdentifier":"{name}","masterUserPassword":"{}","applyImmediately":{},"allocatedStorage":{}}}"#,
        dice.base64(20),
        dice.happens(50),
        100 + dice.below(900),
    );
    let response = format!(
        r#"{{"dBInstanceIdentifier":"{name}","dBInstanceArn":"arn:aws:rds:{region}:{account}:db:{name}","engine":"postgres","engineVersion":"16.{}","dBInstanceClass":"db.r6g.large","multiAZ":true,"storageEncrypted":true,"deletionProtection":true,"pendingModifiedValues":{{"masterUserPassword":"****"}}}}"#,
        dice.below(6),
    );
    Call {
        source: "rds.amazonaws.com",
        name: "ModifyDBInstance",
        read_only: false,
        data: false,
        request,
        response,
        resources: Vec::new(),
    }
}
