//! The words of prompts: times, numbers, names of events and services.

use jiff::{SignedDuration, Timestamp};

pub fn start_of_day(time: Timestamp) -> Timestamp {
    let second = time.as_second();
    Timestamp::from_second(second - second.rem_euclid(86_400)).unwrap_or(time)
}

pub fn unit(word: &str) -> Option<SignedDuration> {
    let hours = match word.trim_end_matches('s') {
        "minute" | "min" => return Some(SignedDuration::from_mins(1)),
        "hour" => 1,
        "day" => 24,
        "week" => 7 * 24,
        "month" => 30 * 24,
        "quarter" => 91 * 24,
        "year" => 365 * 24,
        _ => return None,
    };
    Some(SignedDuration::from_hours(hours))
}

pub fn number(word: &str) -> Option<i32> {
    const WORDS: [&str; 13] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
        "eleven", "twelve",
    ];
    if let Some(place) = WORDS.iter().position(|name| *name == word) {
        return i32::try_from(place).ok();
    }
    word.parse().ok().filter(|n| *n > 0)
}

/// A day or a moment, and how long it lasts: `2026-01-31`, `2026-01-31T12:00:00Z`.
pub fn moment(text: &str) -> Option<(Timestamp, SignedDuration)> {
    if text.len() == 10 {
        let day = format!("{text}T00:00:00Z").parse().ok()?;
        return Some((day, SignedDuration::from_hours(24)));
    }
    let is_moment = text.len() >= 19 && text.as_bytes()[4] == b'-';
    let zoned = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    zoned.parse().ok().filter(|_| is_moment).map(|time| (time, SignedDuration::ZERO))
}

/// `DeleteBucket`: two words or more, each with its capital letter.
pub fn is_event_name(text: &str) -> bool {
    let capitals = text.chars().filter(char::is_ascii_uppercase).count();
    let starts = text.starts_with(|c: char| c.is_ascii_uppercase());
    starts
        && capitals >= 2
        && text.chars().all(|c| c.is_ascii_alphanumeric())
        && text.chars().any(|c| c.is_ascii_lowercase())
        && ![
            "CloudTrail",
            "DynamoDB",
            "CloudFormation",
            "CloudWatch",
            "CloudFront",
            "EventBridge",
            "GuardDuty",
            "SecretsManager",
            "APIs",
            "IPs",
            "IDs",
            "VPCs",
            "ARNs",
            "UTC",
        ]
        .contains(&text)
}

pub fn is_error_code(text: &str) -> bool {
    text.starts_with("AccessDenied")
        || text.ends_with("UnauthorizedOperation")
        || (text.ends_with("Exception") && is_event_name(text))
        || (text.ends_with("Error") && is_event_name(text))
}

/// The first part of a service's event source, by the name that people use.
pub fn service(word: &str) -> Option<&'static str> {
    let word = word.strip_suffix(".amazonaws.com").unwrap_or(word);
    SERVICES.iter().find(|(name, _)| *name == word).map(|(_, source)| *source)
}

const SERVICES: [(&str, &str); 46] = [
    ("s3", "s3"),
    ("ec2", "ec2"),
    ("iam", "iam"),
    ("sts", "sts"),
    ("kms", "kms"),
    ("lambda", "lambda"),
    ("rds", "rds"),
    ("dynamodb", "dynamodb"),
    ("cloudtrail", "cloudtrail"),
    ("sns", "sns"),
    ("sqs", "sqs"),
    ("ecs", "ecs"),
    ("eks", "eks"),
    ("ecr", "ecr"),
    ("efs", "elasticfilesystem"),
    ("elb", "elasticloadbalancing"),
    ("cloudformation", "cloudformation"),
    ("secretsmanager", "secretsmanager"),
    ("ssm", "ssm"),
    ("route53", "route53"),
    ("cloudfront", "cloudfront"),
    ("cloudwatch", "monitoring"),
    ("logs", "logs"),
    ("autoscaling", "autoscaling"),
    ("guardduty", "guardduty"),
    ("securityhub", "securityhub"),
    ("organizations", "organizations"),
    ("sso", "sso"),
    ("cognito", "cognito-idp"),
    ("glue", "glue"),
    ("athena", "athena"),
    ("redshift", "redshift"),
    ("bedrock", "bedrock"),
    ("sagemaker", "sagemaker"),
    ("apigateway", "apigateway"),
    ("kinesis", "kinesis"),
    ("firehose", "firehose"),
    ("eventbridge", "events"),
    ("stepfunctions", "states"),
    ("backup", "backup"),
    ("codebuild", "codebuild"),
    ("codepipeline", "codepipeline"),
    ("elasticache", "elasticache"),
    ("emr", "elasticmapreduce"),
    ("opensearch", "es"),
    ("wafv2", "wafv2"),
];

/// What may stand behind "by", "user" or "did" and is nobody's name.
pub const NO_NAMES: [&str; 63] = [
    "a",
    "access",
    "account",
    "accounts",
    "action",
    "activity",
    "agent",
    "an",
    "and",
    "any",
    "anyone",
    "api",
    "bucket",
    "call",
    "code",
    "country",
    "date",
    "day",
    "did",
    "event",
    "events",
    "error",
    "errors",
    "for",
    "from",
    "had",
    "has",
    "hour",
    "i",
    "in",
    "ip",
    "it",
    "key",
    "made",
    "message",
    "minute",
    "month",
    "name",
    "number",
    "of",
    "on",
    "other",
    "principal",
    "principals",
    "region",
    "regions",
    "resource",
    "role",
    "root",
    "service",
    "services",
    "somebody",
    "someone",
    "source",
    "the",
    "they",
    "type",
    "user",
    "users",
    "volume",
    "we",
    "week",
    "year",
];
