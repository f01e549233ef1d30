//! What event history says of an event beside its record: who it was, and which resources.

use std::borrow::Cow;

use crate::header::Header;
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

/// The Resources of LookupEvents. Each is named once.
///
/// `request_parameters` and `response_elements` are the texts of those members, where they are objects.
pub fn named_resources(
    header: &Header<'_>,
    _request_parameters: Option<&str>,
    _response_elements: Option<&str>,
) -> Vec<NamedResource> {
    let mut named: Vec<NamedResource> = Vec::new();
    for resource in header.resources() {
        let Some(name) = resource.arn.or(resource.arn_prefix) else { continue };
        let kind = resource.kind.map(|kind| kind.to_str().into_owned());
        let resource = NamedResource { kind, name: name.to_str().into_owned() };
        if !named.contains(&resource) {
            named.push(resource);
        }
    }
    named
}
