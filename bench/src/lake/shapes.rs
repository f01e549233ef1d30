//! What the calls carry: parameters, answers, resources and the extras that some services add.
//!
//! The shapes are those of real services: nested sets for EC2, encryption contexts for KMS, one item
//! key for DynamoDB, bucket, key and transfer figures for S3. Names and identifiers follow from the
//! seed, so that the same bucket, key or instance comes again and again.

mod compute;
mod s3;

use crate::dice::Dice;
use crate::lake::calls::Row;
use crate::lake::record::uuid;
use crate::lake::world::{STAGES, Stream, TEAMS, World, person};
use crate::records;

#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Nothing,
    Page,
    Object,
    Listing,
    Bucket,
    KeyUse,
    Key,
    AssumeRole,
    Item,
    Table,
    Invoke,
    Function,
    Parameter,
    Parameters,
    Agent,
    Secret,
    Queue,
    Topic,
    LogGroup,
    Metric,
    Instances,
    /// The set, the identifier in it, and how such identifiers begin.
    Describe(&'static str, &'static str, &'static str),
    RunInstances,
    Tagging,
    OpenPort,
    Service,
    Repository,
    Statement,
    PutRule,
    Role,
    RolePolicy,
    User,
    SignIn,
    /// One parameter of that name.
    Named(&'static str),
}

/// JSON texts of a record's parts; an empty text where there is none.
#[derive(Debug, Default)]
pub struct Parts {
    pub request: String,
    pub response: String,
    pub additional: String,
    /// (type, ARN) pairs.
    pub resources: Vec<(&'static str, String)>,
    /// In the service's own form, where it is not a UUID.
    pub request_id: Option<String>,
}

/// Where and in whose name things are.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    pub world: &'a World,
    pub stream: Stream,
    pub account: &'a str,
    pub region: &'a str,
}

impl Scene<'_> {
    /// One of the things of a kind, the busy ones more often: its own dice, always the same.
    fn thing(&self, dice: &mut Dice, kind: &str) -> Dice {
        let index = self.world.index(dice);
        self.world.entity(kind, self.stream, index)
    }

    fn arn(&self, service: &str, rest: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{rest}", self.region, self.account)
    }
}

pub fn parts(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let (account, region) = (scene.account, scene.region);
    match row.shape {
        Shape::Nothing => request("null"),
        Shape::Page => page(dice),
        Shape::Object => s3::object(scene, dice, row),
        Shape::Listing => s3::listing(scene, dice),
        Shape::Bucket => s3::bucket_call(scene, dice, row),
        Shape::KeyUse => key_use(scene, dice, row),
        Shape::Key => {
            let key = key_arn(scene, dice);
            Parts {
                resources: vec![("AWS::KMS::Key", key.clone())],
                ..request(format!(r#"{{"keyId":"{key}"}}"#))
            }
        }
        Shape::AssumeRole => assume_role(scene, dice),
        Shape::Item => item(scene, dice, row),
        Shape::Table => request(format!(r#"{{"tableName":"{}"}}"#, table(scene, dice))),
        Shape::Invoke => compute::invoke(scene, dice),
        Shape::Function => compute::function_call(scene, dice, row),
        Shape::Parameter => parameter(scene, dice, row),
        Shape::Parameters => reused(records::read_parameter(dice)),
        Shape::Agent => compute::agent(scene, dice, row),
        Shape::Secret => request(format!(r#"{{"secretId":"{}"}}"#, secret_arn(scene, dice))),
        Shape::Queue => queue(scene, dice, row),
        Shape::Topic => {
            let topic = scene.arn("sns", &name(&mut scene.thing(dice, "topic")));
            Parts {
                resources: vec![("AWS::SNS::Topic", topic.clone())],
                ..request(format!(r#"{{"topicArn":"{topic}"}}"#))
            }
        }
        Shape::LogGroup => log_group(scene, dice, row),
        Shape::Metric => metric(scene, dice, row),
        Shape::Instances => compute::instances(scene, dice, row),
        Shape::Describe(set, id, prefix) => compute::describe(scene, dice, set, id, prefix),
        Shape::RunInstances => reused(records::run_instances(dice)),
        Shape::Tagging => compute::tagging(scene, dice),
        Shape::OpenPort => reused(records::open_port(dice, account)),
        Shape::Service => compute::service(scene, dice, row),
        Shape::Repository => compute::repository(scene, dice, row),
        Shape::Statement => statement(scene, dice),
        Shape::PutRule => reused(records::put_rule(dice, account, region)),
        Shape::Role => role(scene, dice, row),
        Shape::RolePolicy => reused(records::attach_policy(dice, account)),
        Shape::User => {
            let user = person(&mut scene.thing(dice, "user"));
            request(format!(r#"{{"userName":"{user}"}}"#))
        }
        Shape::SignIn => sign_in(dice),
        Shape::Named(key) => named(scene, dice, row, key),
    }
}

fn request(text: impl Into<String>) -> Parts {
    Parts { request: text.into(), response: "null".to_owned(), ..Parts::default() }
}

fn reused(call: records::Call) -> Parts {
    let records::Call { request, response, resources, .. } = call;
    Parts { request, response, resources, ..Parts::default() }
}

/// A name such as teams give to what they own.
fn name(dice: &mut Dice) -> String {
    format!(
        "{}-{}-{}",
        dice.pick(&TEAMS),
        dice.pick(&STAGES),
        dice.pick(&[
            "orders", "events", "cache", "audit", "jobs", "media", "index", "state", "queue"
        ])
    )
}

fn page(dice: &mut Dice) -> Parts {
    match dice.below(4) {
        0 => request("null"),
        1 => request(format!(r#"{{"maxResults":100,"nextToken":"{}"}}"#, dice.base64(88))),
        2 => request(r#"{"maxResults":1000}"#),
        _ => request(r#"{"maxResults":50}"#),
    }
}

fn key_arn(scene: &Scene, dice: &mut Dice) -> String {
    let index = scene.world.index(dice) % 60;
    let mut thing = scene.world.entity("key", scene.stream, index);
    scene.arn("kms", &format!("key/{}", uuid(&mut thing)))
}

fn key_use(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let key = key_arn(scene, dice);
    let context = match dice.below(5) {
        0 => format!(
            r#""SecretARN":"{}","SecretVersionId":"{}""#,
            secret_arn(scene, dice),
            uuid(&mut scene.thing(dice, "version"))
        ),
        1 => format!(
            r#""PARAMETER_ARN":"{}""#,
            scene.arn("ssm", &format!("parameter{}", parameter_name(scene, dice)))
        ),
        2 => format!(r#""aws:lambda:FunctionArn":"{}""#, compute::function_arn(scene, dice)),
        3 => format!(
            r#""aws:dynamodb:tableName":"{}","aws:dynamodb:subscriberId":"{}""#,
            table(scene, dice),
            scene.account
        ),
        _ => format!(r#""aws:s3:arn":"arn:aws:s3:::{}""#, s3::bucket(scene, dice)),
    };
    let tail = match row.name {
        "GenerateDataKey" => format!(r#","keySpec":"AES_256","keyId":"{key}""#),
        _ => r#","encryptionAlgorithm":"SYMMETRIC_DEFAULT""#.to_owned(),
    };
    Parts {
        resources: vec![("AWS::KMS::Key", key)],
        ..request(format!(r#"{{"encryptionContext":{{{context}}}{tail}}}"#))
    }
}

fn secret_arn(scene: &Scene, dice: &mut Dice) -> String {
    let mut thing = scene.thing(dice, "secret");
    let rest = format!(
        "secret:{}/{}-{}",
        name(&mut thing),
        thing.pick(&["db", "api-key", "tls"]),
        thing.base32(6)
    );
    scene.arn("secretsmanager", &rest)
}

fn role_name(scene: &Scene, dice: &mut Dice) -> String {
    // The roles that are assumed and asked for are those that act.
    let principals = &scene.world.accounts[scene.stream.account].principals;
    principals[scene.world.by_use.pick(dice)].name.clone()
}

fn assume_role(scene: &Scene, dice: &mut Dice) -> Parts {
    let role = role_name(scene, dice);
    let arn = format!("arn:aws:iam::{}:role/{role}", scene.account);
    let session = format!("{}-{}", dice.pick(&TEAMS), dice.hex(12));
    let mut principal = scene.thing(dice, "assumed");
    Parts {
        request: format!(
            r#"{{"roleArn":"{arn}","roleSessionName":"{session}","durationSeconds":3600}}"#
        ),
        // CloudTrail keeps the first part of the session token; the rest would not say more.
        response: format!(
            r#"{{"credentials":{{"accessKeyId":"ASIA{}","sessionToken":"IQoJb3JpZ2luX2Vj{}","expiration":"Oct {}, 2026, {}:{:02}:{:02} PM"}},"assumedRoleUser":{{"assumedRoleId":"AROA{}:{session}","arn":"arn:aws:sts::{}:assumed-role/{role}/{session}"}}}}"#,
            dice.base32(16),
            dice.base64(120),
            1 + dice.below(31),
            1 + dice.below(12),
            dice.below(60),
            dice.below(60),
            principal.base32(17),
            scene.account,
        ),
        resources: vec![("AWS::IAM::Role", arn)],
        ..Parts::default()
    }
}

fn table(scene: &Scene, dice: &mut Dice) -> String {
    name(&mut scene.thing(dice, "table"))
}

fn item(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let table = table(scene, dice);
    let key = match dice.below(2) {
        0 => format!(
            r#"{{"pk":"customer#{}","sk":"order#{}"}}"#,
            dice.below(1_000_000),
            dice.hex(12)
        ),
        _ => format!(r#"{{"id":"{}"}}"#, uuid(dice)),
    };
    let rest = match row.name {
        "Query" => {
            r#""keyConditionExpression":"pk = :pk AND begins_with(sk, :sk)","limit":50"#.to_owned()
        }
        "GetItem" => format!(r#""key":{key},"consistentRead":{}"#, dice.happens(20)),
        _ => format!(r#""key":{key}"#),
    };
    Parts {
        resources: vec![("AWS::DynamoDB::Table", scene.arn("dynamodb", &format!("table/{table}")))],
        request_id: Some(format!(
            "{}VV4KQNSO5AEMVJF66Q9ASUAAJG",
            dice.text(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 26)
        )),
        ..request(format!(r#"{{"tableName":"{table}",{rest}}}"#))
    }
}

fn parameter_name(scene: &Scene, dice: &mut Dice) -> String {
    let mut thing = scene.thing(dice, "parameter");
    format!(
        "/{}/{}/{}",
        thing.pick(&TEAMS),
        thing.pick(&STAGES),
        thing.pick(&[
            "database/host",
            "database/port",
            "queue/url",
            "feature/flags",
            "log/level",
            "tls/certificate"
        ])
    )
}

fn parameter(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let name = parameter_name(scene, dice);
    let arn = scene.arn("ssm", &format!("parameter{name}"));
    match row.name {
        "PutParameter" => Parts {
            response: format!(r#"{{"version":{},"tier":"Standard"}}"#, 1 + dice.below(40)),
            ..request(format!(
                r#"{{"name":"{name}","type":"SecureString","value":"HIDDEN_DUE_TO_SECURITY_REASONS","overwrite":true}}"#
            ))
        },
        "GetParametersByPath" => request(format!(
            r#"{{"path":"{name}","recursive":true,"withDecryption":true,"maxResults":10}}"#
        )),
        _ => Parts {
            resources: vec![("AWS::SSM::Parameter", arn)],
            ..request(format!(r#"{{"name":"{name}","withDecryption":true}}"#))
        },
    }
}

fn queue(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let name = name(&mut scene.thing(dice, "sqs"));
    let url = format!("https://sqs.{}.amazonaws.com/{}/{name}", scene.region, scene.account);
    let rest = match row.name {
        "ReceiveMessage" => r#","maxNumberOfMessages":10,"waitTimeSeconds":20"#,
        "GetQueueAttributes" => r#","attributeNames":["All"]"#,
        _ => r#","messageBody":"HIDDEN_DUE_TO_SECURITY_REASONS""#,
    };
    Parts {
        resources: vec![("AWS::SQS::Queue", scene.arn("sqs", &name))],
        ..request(format!(r#"{{"queueUrl":"{url}"{rest}}}"#))
    }
}

fn log_group(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let group = format!(
        "/aws/{}/{}",
        dice.pick(&["lambda", "ecs", "rds"]),
        name(&mut scene.thing(dice, "group"))
    );
    match row.name {
        "CreateLogStream" => request(format!(
            r#"{{"logGroupName":"{group}","logStreamName":"2026/{:02}/{:02}/[$LATEST]{}"}}"#,
            1 + dice.below(12),
            1 + dice.below(28),
            dice.hex(32)
        )),
        "DescribeLogGroups" => request(format!(r#"{{"logGroupNamePrefix":"{group}","limit":50}}"#)),
        "StartQuery" => request(format!(
            r#"{{"logGroupName":"{group}","startTime":{},"queryString":"fields @timestamp, @message | filter @message like /{}/ | sort @timestamp desc | limit 20"}}"#,
            1_790_000_000 + dice.below(1_000_000),
            dice.pick(&["ERROR", "timeout", "denied", "OutOfMemory"])
        )),
        _ => {
            request(format!(r#"{{"logGroupName":"{group}","limit":{}}}"#, 10 * (1 + dice.below(5))))
        }
    }
}

fn metric(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let mut thing = scene.thing(dice, "metric");
    let space =
        thing.pick(&["AWS/ECS", "AWS/RDS", "AWS/Lambda", "Custom/Checkout", "AWS/ApplicationELB"]);
    match row.name {
        "GetMetricData" => request(format!(
            r#"{{"metricDataQueries":[{{"id":"m1","metricStat":{{"metric":{{"namespace":"{space}","metricName":"{}"}},"period":300,"stat":"Average"}}}}],"startTime":"Oct {}, 2026, 1:00:00 PM","endTime":"Oct {}, 2026, 4:00:00 PM"}}"#,
            thing.pick(&["CPUUtilization", "Errors", "Duration", "RequestCount"]),
            1 + dice.below(30),
            1 + dice.below(30),
        )),
        _ => request(format!(r#"{{"namespace":"{space}"}}"#)),
    }
}

/// SQL in JSON: escaped newlines and quotes, and letters beyond ASCII.
fn statement(scene: &Scene, dice: &mut Dice) -> Parts {
    let table = table(scene, dice).replace('-', "_");
    Parts {
        response: format!(r#"{{"queryExecutionId":"{}"}}"#, uuid(dice)),
        ..request(format!(
            r#"{{"queryString":"SELECT \"day\", count(*) AS n -- für den Bericht\nFROM {table}\nWHERE country = '{}' AND \"day\" >= DATE '2026-{:02}-{:02}'\nGROUP BY 1","clientRequestToken":"{}","resultConfiguration":{{"outputLocation":"s3://{}/athena/"}},"workGroup":"primary"}}"#,
            dice.pick(&["Österreich", "España", "日本", "Norge"]),
            1 + dice.below(12),
            1 + dice.below(28),
            uuid(dice),
            s3::bucket(scene, dice),
        ))
    }
}

fn role(scene: &Scene, dice: &mut Dice, row: &Row) -> Parts {
    let role = role_name(scene, dice);
    match row.name {
        "CreateRole" => {
            let trust = r#"{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ecs-tasks.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}]}"#;
            Parts {
                response: format!(
                    r#"{{"role":{{"path":"/","roleName":"{role}","roleId":"AROA{}","arn":"arn:aws:iam::{}:role/{role}","createDate":"Oct {}, 2026, 2:14:07 PM"}}}}"#,
                    dice.base32(17),
                    scene.account,
                    1 + dice.below(30)
                ),
                ..request(format!(
                    r#"{{"roleName":"{role}","assumeRolePolicyDocument":"{trust}","tags":[{{"key":"team","value":"{}"}}]}}"#,
                    dice.pick(&TEAMS)
                ))
            }
        }
        "AttachRolePolicy" => request(format!(
            r#"{{"roleName":"{role}","policyArn":"arn:aws:iam::aws:policy/{}"}}"#,
            dice.pick(&["ReadOnlyAccess", "AmazonS3FullAccess", "CloudWatchLogsFullAccess"])
        )),
        "GetRolePolicy" => request(format!(
            r#"{{"roleName":"{role}","policyName":"inline-{}"}}"#,
            scene.thing(dice, "inline").hex(8)
        )),
        _ => request(format!(r#"{{"roleName":"{role}"}}"#)),
    }
}

fn sign_in(dice: &mut Dice) -> Parts {
    Parts {
        response: r#"{"ConsoleLogin":"Success"}"#.to_owned(),
        additional: format!(
            r#"{{"LoginTo":"https://console.aws.amazon.com/console/home?hashArgs=%23&isauthcode=true&state=hashArgsFromTB_us-east-1_{}","MobileVersion":"No","MFAUsed":"{}"}}"#,
            dice.hex(16),
            dice.pick(&["Yes", "Yes", "Yes", "No"])
        ),
        ..request("null")
    }
}

/// A parameter of which only the name differs between calls: an ARN, a list or a plain name.
fn named(scene: &Scene, dice: &mut Dice, row: &Row, key: &str) -> Parts {
    let mut thing = scene.thing(dice, key);
    let name = name(&mut thing);
    if key.to_lowercase().ends_with("arn") {
        let rest = format!("{}/{name}/{}", key.trim_end_matches("Arn"), thing.hex(16));
        return request(format!(r#"{{"{key}":"{}"}}"#, scene.arn(row.source, &rest)));
    }
    match key {
        "autoScalingGroupNames" => request(format!(r#"{{"{key}":["{name}"],"maxRecords":100}}"#)),
        "databaseName" => {
            request(format!(r#"{{"{key}":"{}","name":"{name}"}}"#, thing.pick(&TEAMS)))
        }
        "resultToken" => request(format!(
            r#"{{"{key}":"{}","evaluations":[{{"complianceResourceType":"AWS::S3::Bucket","complianceResourceId":"{name}","complianceType":"COMPLIANT"}}]}}"#,
            dice.base64(120)
        )),
        "queryExecutionId" => request(format!(r#"{{"{key}":"{}"}}"#, uuid(&mut thing))),
        _ => request(format!(r#"{{"{key}":"{name}"}}"#)),
    }
}
