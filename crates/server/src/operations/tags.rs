//! Tags on trails, event data stores, channels and dashboards.

mod add_tags;
mod list_tags;
mod remove_tags;

use api::cloudtrail::Tag as ApiTag;
use api::{ApiError, ErrorCode};

pub use add_tags::add_tags;
pub use list_tags::list_tags;
pub use remove_tags::remove_tags;

use crate::operations::trails::{Lookup, TrailRef, not_found, refuse_members};
use crate::operations::{Cx, channels, dashboards, event_data_stores};

/// Quota of CloudTrail: 50 tags a resource.
pub const TAGS_MAX: usize = 50;
/// The model's bound on TagsList.
const TAGS_REMOVED_MAX: usize = 200;

/// The ARN of a trail, event data store, channel or dashboard of the caller that a tag operation names. Only full ARNs
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
    if kind == "channel" {
        return Ok(channels::find(cx, resource_id).await?.arn);
    }
    if kind == "dashboard" {
        return dashboards::existing_arn(cx, resource_id).await;
    }
    let Ok(TrailRef::Arn(arn)) = TrailRef::parse(resource_id) else {
        return Err(untaggable(resource_id, kind).unwrap_or_else(invalid));
    };
    match arn.lookup(cx).await? {
        Some(trail) => Ok(trail.arn),
        None => Err(ApiError {
            code: ErrorCode::ResourceNotFoundException,
            ..not_found(cx, resource_id)
        }),
    }
}

/// Is this ARN one of a resource that is there?
pub async fn can_have_tags(cx: Cx<'_>, arn: &str) -> bool {
    taggable(cx, arn).await.is_ok()
}

/// As [`taggable`], for what changes the tags.
async fn changeable(cx: Cx<'_>, resource_id: &str) -> Result<String, ApiError> {
    let arn = taggable(cx, resource_id).await?;
    if arn.contains(":trail/") {
        refuse_members(cx, &arn)?;
    }
    Ok(arn)
}

/// What of CloudTrail's own has no tags, such as an import.
fn untaggable(resource_id: &str, kind: &str) -> Option<ApiError> {
    let is_of_cloudtrail = resource_id.split(':').nth(2) == Some("cloudtrail");
    let message = format!("{resource_id} cannot have tags: resources of type {kind} have none.");
    (is_of_cloudtrail && !matches!(kind, "" | "trail"))
        .then(|| ApiError::new(ErrorCode::ResourceTypeNotSupportedException, message))
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
        if tag.value.as_deref() == Some("") {
            // The model: values have 1 to 256 characters; a tag may have none.
            return Err(invalid(format!(
                "The value of tag {key} is empty; leave Value out for a tag without one."
            )));
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

/// Which tags are to be removed, by key, and by value where one is given. AWS: keys of 1 to 128
/// characters, values of up to 256, and at most 200 tags (the model). An empty value is let through:
/// Terraform sends one for a tag that has none.
fn checked_for_removal(tags: Vec<ApiTag>) -> Result<Vec<(String, Option<String>)>, ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::InvalidTagParameterException, message);
    if tags.len() > TAGS_REMOVED_MAX {
        return Err(invalid(format!(
            "At most {TAGS_REMOVED_MAX} tags can be removed at once; these are {}.",
            tags.len()
        )));
    }
    let mut checked = Vec::with_capacity(tags.len());
    for tag in tags {
        let key = tag.key.unwrap_or_default();
        let letters = key.chars().count();
        if !(1..=128).contains(&letters) {
            return Err(invalid(format!(
                "Tag keys have 1 to 128 characters; this one has {letters}."
            )));
        }
        if tag.value.as_ref().is_some_and(|value| value.chars().count() > 256) {
            return Err(invalid(format!("The value of tag {key} is longer than 256 characters.")));
        }
        checked.push((key, tag.value));
    }
    Ok(checked)
}

/// A tag as answers show it: the model has no empty value.
pub fn shown(tag: catalog::Tag) -> ApiTag {
    ApiTag { key: Some(tag.key), value: Some(tag.value).filter(|value| !value.is_empty()) }
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
