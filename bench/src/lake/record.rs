//! One record of a log file, in CloudTrail's order of fields.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::bodies;
use crate::dice::Dice;
use crate::lake::calls::{Access, Odds, Row};
use crate::lake::shapes::{Parts, Scene, parts};
use crate::lake::world::{Kind, Principal, Purpose, RARE_USER, Stream, World, person, seeded};

/// Of a hundred events, so many are a service's own; of the others, so many are refused.
const BY_SERVICES_PERCENT: u64 = 20;
const REFUSED_PERCENT: u64 = 5;
/// So many are made by the principal of the burst.
const BURST_PERCENT: u64 = 46;

/// Who makes a call, from where and with what.
struct Caller {
    identity: String,
    arn: String,
    address: String,
    agent: String,
    endpoint: Option<String>,
    /// A service that calls for itself or for somebody says nothing of TLS.
    tls: bool,
    console: bool,
}

/// What is settled about an event before chance has its turn.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    pub stream: Stream,
    /// Its eventTime, in seconds since 1970.
    pub second: i64,
    /// It is the rare user's.
    pub rare: bool,
    /// Calls come in bursts: many of those near each other in a file are of one principal. Its number.
    pub burst: u64,
}

/// Appends the record that `dice` says to `out`, without a newline.
pub fn write_event(world: &World, odds: &Odds, given: &Given, dice: &mut Dice, out: &mut String) {
    let Given { stream, second, rare, burst } = *given;
    let account = &world.accounts[stream.account];
    let scene = Scene { world, stream, account: account.id, region: stream.region_name() };
    let hour = u64::try_from(second / 3600).expect("a time after 1970");
    if rare {
        let row = odds.call(dice, Purpose::Person, stream.has_global_services());
        let caller = rare_caller(&scene, dice);
        return write_record(&scene, dice, row, &caller, second, out);
    }
    if dice.below(100) < BY_SERVICES_PERCENT {
        let (service, row) = odds.service_call(dice);
        return write_record(&scene, dice, row, &service_caller(service), second, out);
    }
    let mut of_burst = seeded(&[world.seed, burst]);
    let chooser = if dice.happens(BURST_PERCENT) { &mut of_burst } else { &mut *dice };
    let nth = world.by_use.pick(chooser);
    let principal = &account.principals[nth];
    let session = chooser.below(principal.sessions);
    let row = odds.call(dice, principal.purpose, stream.has_global_services());
    let caller = principal_caller(&scene, dice, principal, (nth, session, hour), row);
    write_record(&scene, dice, row, &caller, second, out);
}

fn write_record(
    scene: &Scene,
    dice: &mut Dice,
    row: &Row,
    caller: &Caller,
    second: i64,
    out: &mut String,
) {
    let Row { source, name, .. } = row;
    let Parts { request, response, additional, resources, request_id } = parts(scene, dice, row);
    let refused = dice.below(100) < REFUSED_PERCENT;
    let time = Timestamp::from_second(second).expect("a time in this century");
    let mut put = |text: std::fmt::Arguments| out.write_fmt(text).expect("a String takes all text");
    put(format_args!(
        r#"{{"eventVersion":"{}","userIdentity":{},"eventTime":"{time}","eventSource":"{source}.amazonaws.com","eventName":"{name}","awsRegion":"{}","sourceIPAddress":"{}","userAgent":"{}","#,
        version(source),
        caller.identity,
        scene.region,
        caller.address,
        caller.agent
    ));
    let mut hidden = false;
    if refused {
        let (code, message) = refusal(dice, row, caller);
        // CloudTrail commonly leaves out what was asked for when access is denied.
        hidden = code.ends_with("AccessDenied") && dice.happens(60);
        put(format_args!(r#""errorCode":"{code}","errorMessage":"{message}","#));
    }
    put(format_args!(r#""requestParameters":{},"#, if hidden { "null" } else { &request }));
    put(format_args!(r#""responseElements":{},"#, if refused { "null" } else { &response }));
    if !additional.is_empty() {
        put(format_args!(r#""additionalEventData":{additional},"#));
    }
    let request_id = request_id.unwrap_or_else(|| uuid(dice));
    let read_only = matches!(row.access, Access::Read | Access::DataRead);
    put(format_args!(
        r#""requestID":"{request_id}","eventID":"{}","readOnly":{read_only},"#,
        uuid(dice)
    ));
    if !resources.is_empty() {
        put(format_args!(r#""resources":["#));
        for (nth, (kind, arn)) in resources.iter().enumerate() {
            let comma = if nth > 0 { "," } else { "" };
            // An object is told without its owner.
            match *kind {
                "AWS::S3::Object" => {
                    put(format_args!(r#"{comma}{{"type":"{kind}","ARN":"{arn}"}}"#))
                }
                _ => put(format_args!(
                    r#"{comma}{{"accountId":"{}","type":"{kind}","ARN":"{arn}"}}"#,
                    scene.account
                )),
            }
        }
        put(format_args!("],"));
    }
    let data = matches!(row.access, Access::DataRead | Access::DataWrite);
    let kind = if *source == "signin" { "AwsConsoleSignIn" } else { "AwsApiCall" };
    put(format_args!(
        r#""eventType":"{kind}","managementEvent":{},"recipientAccountId":"{}","#,
        !data, scene.account
    ));
    // The role's owner and the service each get a copy.
    if *name == "AssumeRole" && caller.identity.contains("AWSService") {
        put(format_args!(r#""sharedEventID":"{}","#, uuid(dice)));
    }
    if let Some(endpoint) = &caller.endpoint {
        put(format_args!(
            r#""vpcEndpointId":"{endpoint}","vpcEndpointAccountId":"{}","#,
            scene.account
        ));
    }
    put(format_args!(r#""eventCategory":"{}""#, if data { "Data" } else { "Management" }));
    if caller.tls {
        put(format_args!(
            r#","tlsDetails":{{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"{source}.{}.amazonaws.com"{}}}"#,
            scene.region,
            dice.pick(&["", "", "", "", r#","keyExchange":"X25519MLKEM768""#]),
        ));
    }
    if caller.console {
        put(format_args!(r#","sessionCredentialFromConsole":"true""#));
    }
    put(format_args!("}}"));
}

/// Services take up new versions of the record one by one.
fn version(source: &str) -> &'static str {
    match source {
        "s3" | "kms" | "lambda" => "1.11",
        "ec2" | "ssm" | "iam" => "1.10",
        "sts" | "dynamodb" | "signin" => "1.08",
        _ => "1.09",
    }
}

fn service_caller(service: &str) -> Caller {
    let host = format!("{service}.amazonaws.com");
    Caller {
        identity: format!(r#"{{"type":"AWSService","invokedBy":"{host}"}}"#),
        arn: host.clone(),
        address: host.clone(),
        agent: host,
        endpoint: None,
        tls: false,
        console: false,
    }
}

fn rare_caller(scene: &Scene, dice: &mut Dice) -> Caller {
    let home = Stream { account: 0, region: 0 };
    let mut thing = scene.world.entity("rare", home, 0);
    let account = scene.account;
    let arn = format!("arn:aws:iam::{account}:user/{RARE_USER}");
    Caller {
        identity: format!(
            r#"{{"type":"IAMUser","principalId":"AIDA{}","arn":"{arn}","accountId":"{account}","accessKeyId":"AKIA{}","userName":"{RARE_USER}"}}"#,
            thing.base32(17),
            thing.base32(16)
        ),
        arn,
        address: format!("198.51.100.{}", 10 + dice.below(4)),
        agent: "aws-cli/2.31.4 md/awscrt#0.28.2 ua/2.1 os/macos#25.1.0 md/arch#arm64 lang/python#3.13.7"
            .to_owned(),
        endpoint: None,
        tls: true,
        console: false,
    }
}

fn principal_caller(
    scene: &Scene,
    dice: &mut Dice,
    principal: &Principal,
    (nth, session, hour): (usize, u64, u64),
    row: &Row,
) -> Caller {
    // What belongs to the session for good, and what is new every hour.
    let mut own = scene.world.entity(&principal.id, scene.stream, session);
    let mut hourly = seeded(&[scene.world.seed, nth as u64, session, hour, own.bits()]);
    let agent =
        principal.agents[usize::try_from(session).expect("few") % principal.agents.len()].clone();
    let console = principal.purpose == Purpose::Person && agent.starts_with("Mozilla");
    let endpoint = principal.endpoint.clone();
    let address = match (&endpoint, principal.purpose) {
        (Some(_), _) => format!("10.{}.{}.{}", own.below(8), hourly.below(64), hourly.below(256)),
        (_, Purpose::Person) if own.happens(20) => {
            format!("2001:db8:{}:{}::{}", own.hex(4), own.hex(4), hourly.hex(3))
        }
        (_, Purpose::Person) => format!("203.0.113.{}", own.below(256)),
        // Behind the gateways of its account and Region, in the range for benchmarks (RFC 2544).
        _ => {
            let mut gateway = scene.world.entity("gateway", scene.stream, own.below(3));
            let third = gateway.below(256);
            format!("198.{}.{third}.{}", 18 + gateway.below(2), gateway.below(256))
        }
    };
    let (identity, arn) = match principal.kind {
        Kind::User => user_identity(scene, principal, &mut own),
        _ => role_identity(scene, principal, session, hour, &mut own, &mut hourly),
    };
    let mut caller = Caller { identity, arn, address, agent, endpoint, tls: true, console };
    // A service that uses the caller's rights: encrypted objects and secrets.
    if row.source == "kms" && dice.happens(60) {
        let service = dice.pick(&["s3", "secretsmanager", "ssm", "dynamodb"]);
        let host = format!("{service}.amazonaws.com");
        caller.identity.pop();
        let _ = write!(caller.identity, r#","invokedBy":"{host}"}}"#);
        caller =
            Caller { address: host.clone(), agent: host, endpoint: None, tls: false, ..caller };
    }
    caller
}

fn user_identity(scene: &Scene, principal: &Principal, own: &mut Dice) -> (String, String) {
    let (account, name) = (scene.account, &principal.name);
    let arn = format!("arn:aws:iam::{account}:user/{name}");
    let identity = format!(
        r#"{{"type":"IAMUser","principalId":"{}","arn":"{arn}","accountId":"{account}","accessKeyId":"AKIA{}","userName":"{name}"}}"#,
        principal.id,
        own.base32(16)
    );
    (identity, arn)
}

fn role_identity(
    scene: &Scene,
    principal: &Principal,
    session: u64,
    hour: u64,
    own: &mut Dice,
    hourly: &mut Dice,
) -> (String, String) {
    let (account, role, id) = (scene.account, &principal.name, &principal.id);
    let name = match principal.kind {
        Kind::Instance => format!("i-0{}", own.hex(16)),
        Kind::Task => own.hex(32),
        Kind::Pipeline => format!("GitHubActions-{}", 18_000_000_000 + hourly.below(1_000_000_000)),
        Kind::SignedOn => format!("{}@example.com", person(own)),
        Kind::Function | Kind::User => format!("{role}-{session}"),
    };
    let arn = format!("arn:aws:sts::{account}:assumed-role/{role}/{name}");
    let created = i64::try_from(hour * 3600 + hourly.below(600)).expect("a time in this century");
    let created = Timestamp::from_second(created - 600).expect("a time in this century");
    let delivery =
        if principal.kind == Kind::Instance { r#","ec2RoleDelivery":"2.0""# } else { "" };
    let path = match principal.kind {
        Kind::SignedOn => "aws-reserved/sso.amazonaws.com/eu-central-1/",
        _ => "",
    };
    let identity = format!(
        r#"{{"type":"AssumedRole","principalId":"{id}:{name}","arn":"{arn}","accountId":"{account}","accessKeyId":"ASIA{}","sessionContext":{{"sessionIssuer":{{"type":"Role","principalId":"{id}","arn":"arn:aws:iam::{account}:role/{path}{role}","accountId":"{account}","userName":"{role}"}},"attributes":{{"creationDate":"{created}","mfaAuthenticated":"false"}}{delivery}}}}}"#,
        hourly.base32(16)
    );
    (identity, arn)
}

/// An error code and its message, such as the service of `row` gives.
fn refusal(dice: &mut Dice, row: &Row, caller: &Caller) -> (&'static str, String) {
    let Row { source, name, .. } = row;
    let denied = format!(
        "User: {} is not authorized to perform: {source}:{name} because no identity-based policy allows the {source}:{name} action",
        caller.arn
    );
    if *source == "ec2" && dice.happens(60) {
        return (
            "Client.UnauthorizedOperation",
            format!("You are not authorized to perform this operation. {denied}"),
        );
    }
    match (*source, dice.below(10)) {
        (_, 0..=4) => ("AccessDenied", denied),
        ("s3", 5..=7) if *name == "GetBucketPolicy" => {
            ("NoSuchBucketPolicy", "The bucket policy does not exist".to_owned())
        }
        ("s3", 5..=8) => ("NoSuchKey", "The specified key does not exist.".to_owned()),
        ("iam", 5..=8) => (
            "NoSuchEntityException",
            format!("The role with name {} cannot be found.", dice.hex(8)),
        ),
        ("ssm", 5..=8) => ("ParameterNotFound", String::new()),
        ("dynamodb", 5..=6) => {
            ("ConditionalCheckFailedException", "The conditional request failed".to_owned())
        }
        ("ec2", 5..=6) => {
            ("Client.InvalidInstanceID.NotFound", "The instance ID does not exist".to_owned())
        }
        (_, 5..=6) => ("ThrottlingException", "Rate exceeded".to_owned()),
        (_, 7) => ("ValidationException", "1 validation error detected".to_owned()),
        _ => ("ResourceNotFoundException", "The specified resource could not be found".to_owned()),
    }
}

/// A random UUID (version 4).
pub fn uuid(dice: &mut Dice) -> String {
    let mut slot = [b'0'; 36];
    bodies::uuid(&mut slot, b'4', dice.bits(), dice.bits());
    String::from_utf8_lossy(&slot).into_owned()
}
