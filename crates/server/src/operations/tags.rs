//! Tags on trails and event data stores. (Channels and dashboards come with their operations.)

mod add_tags;
mod list_tags;
mod remove_tags;

use api::cloudtrail::Tag as ApiTag;
use api::{ApiError, ErrorCode};

pub use add_tags::add_tags;
pub use list_tags::list_tags;
pub use remove_tags::remove_tags;

use crate::operations::trails::{Lookup, TrailRef, not_found};
use crate::operations::{Cx, event_data_stores};

/// Quota of CloudTrail: 50 tags a resource.
pub const TAGS_MAX: usize = 50;

/// The ARN of a trail or event data store of the caller that a tag operation names. Only full ARNs
/// are taken.
async fn taggable(cx: Cx<'_>, resource_id: &str) -> Result<String, ApiError> {
    let invalid = || {
        ApiError::new(
            ErrorCode::CloudTrailARNInvalidException,
            format!(
                "Invalid Arn: {resource_id}. Expected arn:aws:cloudtrail:<region>:<account>:trail/<name>."
            ),
        )
    };
    if !resource_id.starts_with("arn:") {
        return Err(invalid());
    }
    let kind =
        resource_id.splitn(6, ':').nth(5).and_then(|rest| rest.split('/').next()).unwrap_or("");
    if kind == "eventdatastore" {
        return Ok(event_data_stores::active(cx, resource_id).await?.arn);
    }
    if matches!(kind, "channel" | "dashboard") {
        return Err(ApiError::new(
            ErrorCode::ResourceTypeNotSupportedException,
            format!(
                "Tags on resources of type {kind} are not implemented in this version of Cairn."
            ),
        ));
    }
    let Ok(TrailRef::Arn(arn)) = TrailRef::parse(resource_id) else { return Err(invalid()) };
    match arn.lookup(cx).await? {
        Some(trail) => Ok(trail.arn),
        None => Err(ApiError {
            code: ErrorCode::ResourceNotFoundException,
            ..not_found(cx, resource_id)
        }),
    }
}

/// Checks what AWS checks of tags: lengths, characters, and that no key comes twice.
fn checked(tags: &[ApiTag]) -> Result<Vec<catalog::Tag>, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidTagParameterException, message);
    let mut checked: Vec<catalog::Tag> = Vec::with_capacity(tags.len());
    for tag in tags {
        let key = tag.key.clone().unwrap_or_default();
        let value = tag.value.clone().unwrap_or_default();
        if key.is_empty() || key.chars().count() > 128 {
            return Err(invalid(format!(
                "Tag keys have 1 to 128 characters; this one has {}.",
                key.chars().count()
            )));
        }
        if value.chars().count() > 256 {
            return Err(invalid(format!("The value of tag {key} is longer than 256 characters.")));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(invalid(format!("Tag key {key} starts with aws:, which is reserved.")));
        }
        if let Some(bad) = key.chars().chain(value.chars()).find(|c| !allowed(*c)) {
            return Err(invalid(format!(
                "Tag {key} contains {bad:?}; allowed are letters, digits, spaces and _.:/=+@-"
            )));
        }
        if checked.iter().any(|seen| seen.key == key) {
            return Err(invalid(format!("Tag key {key} is given more than once.")));
        }
        checked.push(catalog::Tag { key, value });
    }
    Ok(checked)
}

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+@-".contains(c)
}

pub fn too_many(arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::TagsLimitExceededException,
        format!("The number of tags on {arn} would exceed the limit of {TAGS_MAX}."),
    )
}

/// For the operations that make a resource of this kind, which take tags too.
pub fn checked_for_new_resource(
    tags: &[ApiTag],
    kind: &str,
) -> Result<Vec<catalog::Tag>, ApiError> {
    let tags = checked(tags)?;
    if tags.len() > TAGS_MAX {
        return Err(too_many(&format!("the new {kind}")));
    }
    Ok(tags)
}
