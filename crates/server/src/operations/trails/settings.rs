//! What CreateTrail and UpdateTrail may ask for, checked and merged over what is.

use api::{ApiError, ErrorCode};
use catalog::TrailSettings;
use delivery::layout::check_prefix;

/// The members that both operations share; `None` keeps what is, or takes AWS's default.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub s3_bucket_name: Option<String>,
    pub s3_key_prefix: Option<String>,
    pub sns_topic_name: Option<String>,
    pub include_global_service_events: Option<bool>,
    pub is_multi_region_trail: Option<bool>,
    pub enable_log_file_validation: Option<bool>,
    pub cloud_watch_logs_log_group_arn: Option<String>,
    pub cloud_watch_logs_role_arn: Option<String>,
    pub kms_key_id: Option<String>,
    pub is_organization_trail: Option<bool>,
    pub recursive_logging: Option<bool>,
}

/// The settings that result from a request, or AWS's error for the first member that is wrong.
///
/// `organization` is the one of which an organization trail would be.
pub fn resolved(
    before: Option<&TrailSettings>,
    wanted: Wanted,
    organization: Option<&str>,
) -> Result<TrailSettings, ApiError> {
    refuse_what_is_missing_here(&wanted)?;
    let s3_bucket_name = match (wanted.s3_bucket_name, before) {
        (Some(name), _) => checked_bucket(name)?,
        (None, Some(before)) => before.s3_bucket_name.clone(),
        (None, None) => checked_bucket(String::new())?,
    };
    let s3_key_prefix = match (wanted.s3_key_prefix, before) {
        (Some(prefix), _) => prefix_or_error(prefix)?,
        (None, before) => before.and_then(|b| b.s3_key_prefix.clone()),
    };
    let keep = |wanted: Option<bool>, is: fn(&TrailSettings) -> bool, default: bool| {
        wanted.unwrap_or_else(|| before.map_or(default, is))
    };
    let settings = TrailSettings {
        s3_bucket_name,
        s3_key_prefix,
        include_global_service_events: keep(
            wanted.include_global_service_events,
            |b| b.include_global_service_events,
            true,
        ),
        is_multi_region_trail: keep(
            wanted.is_multi_region_trail,
            |b| b.is_multi_region_trail,
            false,
        ),
        log_file_validation_enabled: keep(
            wanted.enable_log_file_validation,
            |b| b.log_file_validation_enabled,
            false,
        ),
        recursive_logging: keep(wanted.recursive_logging, |b| b.recursive_logging, true),
        organization: match wanted.is_organization_trail {
            Some(true) => organization.map(str::to_owned),
            Some(false) => None,
            None => before.and_then(|before| before.organization.clone()),
        },
    };
    if settings.is_multi_region_trail && !settings.include_global_service_events {
        return Err(ApiError::new(
            ErrorCode::InvalidParameterCombinationException,
            "Multi-Region trail must include global service events.",
        ));
    }
    Ok(settings)
}

/// Notices, log streams and keys are not in this version. An empty string clears
/// the setting, which is what it already is.
fn refuse_what_is_missing_here(wanted: &Wanted) -> Result<(), ApiError> {
    let given = |member: &Option<String>| member.as_deref().is_some_and(|text| !text.is_empty());
    if let Some(topic) = wanted.sns_topic_name.as_deref().filter(|topic| !topic.is_empty()) {
        let name = topic.rsplit(':').next().unwrap_or(topic);
        let fits = name.len() <= 256
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !fits || (topic.contains(':') && !topic.starts_with("arn:")) {
            return Err(ApiError::new(
                ErrorCode::InvalidSnsTopicNameException,
                format!(
                    "SNS topic name {topic} is not valid: use a topic's name or its full ARN; FIFO topics cannot be used."
                ),
            ));
        }
        return Err(ApiError::new(
            ErrorCode::InsufficientSnsTopicPolicyException,
            format!(
                "SNS Topic {topic} cannot be used: this version of Cairn does not send notices yet. Leave SnsTopicName out."
            ),
        ));
    }
    match (given(&wanted.cloud_watch_logs_log_group_arn), given(&wanted.cloud_watch_logs_role_arn))
    {
        (false, false) => {}
        (true, false) => {
            return Err(ApiError::new(
                ErrorCode::InvalidCloudWatchLogsRoleArnException,
                "You must specify a log group and a role ARN.",
            ));
        }
        (false, true) => {
            return Err(ApiError::new(
                ErrorCode::InvalidCloudWatchLogsLogGroupArnException,
                "You must specify a log group and a role ARN.",
            ));
        }
        (true, true) => {
            return Err(ApiError::new(
                ErrorCode::CloudWatchLogsDeliveryUnavailableException,
                "Delivery to CloudWatch Logs is not in this version of Cairn. Leave both members out.",
            ));
        }
    }
    if given(&wanted.kms_key_id) {
        return Err(ApiError::new(
            ErrorCode::KmsException,
            "Encryption with KMS keys is not in this version of Cairn. Leave KmsKeyId out.",
        ));
    }
    Ok(())
}

pub fn checked_bucket(name: String) -> Result<String, ApiError> {
    let invalid = |why: &str| {
        Err(ApiError::new(
            ErrorCode::InvalidS3BucketNameException,
            format!("Bucket name {name:?} is not valid: {why}."),
        ))
    };
    if name.len() < 3 || name.len() > 63 {
        return invalid("it must have 3 to 63 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    {
        return invalid("it may hold lower-case letters, digits, hyphens and periods only");
    }
    let ends = [name.as_bytes()[0], name.as_bytes()[name.len() - 1]];
    if ends.iter().any(|b| !b.is_ascii_alphanumeric()) {
        return invalid("it must start and end with a letter or digit");
    }
    if name.contains("..") || name.contains(".-") || name.contains("-.") {
        return invalid("periods and hyphens must not be neighbours");
    }
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        return invalid("it must not look like an IP address");
    }
    Ok(name)
}

/// The layout's own rules, and ours: only characters that every store and tool takes as they are.
pub fn prefix_or_error(prefix: String) -> Result<Option<String>, ApiError> {
    let invalid = |why: &str| {
        let message = format!("S3 prefix is not valid: {why}.");
        Err(ApiError::new(ErrorCode::InvalidS3PrefixException, message))
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!_.*'()/-=+@:,$& ".contains(&b);
    if let Err(fault) = check_prefix(&prefix) {
        return invalid(&fault.to_string());
    }
    if !prefix.bytes().all(allowed) {
        return invalid("it may hold letters, digits and !_.*'()/-=+@:,$& only");
    }
    let prefix = prefix.trim_end_matches('/').to_owned();
    Ok(Some(prefix).filter(|p| !p.is_empty()))
}
