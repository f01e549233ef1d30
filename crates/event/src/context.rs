//! Which keys of `eventContext` an event data store keeps: its context key selectors.
//!
//! ```text
//!   "eventContext":{"requestContext":{"aws:PrincipalArn":"…"},                      RequestContext
//!                   "tagContext":{"resourceTags":[{"arn":"…","tags":{"team":"…"}}],  TagContext
//!                                 "principalTags":{"team":"…"}}}                     TagContext
//! ```
//! AWS: only event data stores have it, and only the keys that were selected (user guide, "enrich
//! CloudTrail events").

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::json::{elements, member, members, string};

/// The member PutEventConfiguration takes and GetEventConfiguration shows, in its own JSON form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContextKeySelector {
    pub r#type: ContextKind,
    pub equals: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContextKind {
    TagContext,
    RequestContext,
}

/// AWS: the global condition keys that a request context can have (API reference,
/// ContextKeySelector; user guide, "supported keys").
pub const REQUEST_CONTEXT_KEYS: [&str; 22] = [
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:FederatedProvider",
    "aws:MultiFactorAuthAge",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalOrgPaths",
    "aws:PrincipalServiceName",
    "aws:PrincipalServiceNamesList",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceIdentity",
    "aws:SourceOrgID",
    "aws:TokenIssueTime",
    "aws:ViaAWSService",
    "aws:userid",
    "aws:username",
];

/// Why context key selectors are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContextKeys {
    #[error("Specify at most one context key selector of type {0:?}.")]
    TypeTwice(ContextKind),
    #[error("The context key {key} stands twice in the selector of type {kind:?}.")]
    KeyTwice { kind: ContextKind, key: String },
    #[error("{0} is not a key of RequestContext; the valid keys are {keys}.", keys = REQUEST_CONTEXT_KEYS.join(", "))]
    NotARequestKey(String),
}

/// Refuses what PutEventConfiguration refuses of well-formed selectors.
pub fn validate(selectors: &[ContextKeySelector]) -> Result<(), InvalidContextKeys> {
    for (number, selector) in selectors.iter().enumerate() {
        let kind = selector.r#type;
        if selectors[..number].iter().any(|earlier| earlier.r#type == kind) {
            return Err(InvalidContextKeys::TypeTwice(kind));
        }
        let mut seen = BTreeSet::new();
        for key in &selector.equals {
            if !seen.insert(key) {
                return Err(InvalidContextKeys::KeyTwice { kind, key: key.clone() });
            }
            if kind == ContextKind::RequestContext && !REQUEST_CONTEXT_KEYS.contains(&key.as_str())
            {
                return Err(InvalidContextKeys::NotARequestKey(key.clone()));
            }
        }
    }
    Ok(())
}

/// What is left of the value of `eventContext` under these selectors, as JSON; `None` where nothing
/// is. Values keep their bytes; what is not of the documented shape goes.
pub fn selected(context: &str, selectors: &[ContextKeySelector]) -> Option<String> {
    let keys = |kind| selectors.iter().find(|selector| selector.r#type == kind);
    let mut parts = Vec::new();
    if let Some(selector) = keys(ContextKind::RequestContext) {
        let request = member(context, "requestContext").and_then(|map| kept(map, &selector.equals));
        parts.extend(request.map(|map| format!("\"requestContext\":{map}")));
    }
    if let Some(selector) = keys(ContextKind::TagContext) {
        let tags = member(context, "tagContext").and_then(|tags| kept_tags(tags, &selector.equals));
        parts.extend(tags.map(|tags| format!("\"tagContext\":{tags}")));
    }
    (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(",")))
}

fn kept_tags(context: &str, keys: &[String]) -> Option<String> {
    let mut resources = Vec::new();
    for element in elements(member(context, "resourceTags").unwrap_or_default()) {
        let arn = member(element, "arn").filter(|arn| string(arn).is_some());
        let tags = member(element, "tags").and_then(|tags| kept(tags, keys));
        if let (Some(arn), Some(tags)) = (arn, tags) {
            resources.push(format!("{{\"arn\":{arn},\"tags\":{tags}}}"));
        }
    }
    let mut parts = Vec::new();
    if !resources.is_empty() {
        parts.push(format!("\"resourceTags\":[{}]", resources.join(",")));
    }
    let principal = member(context, "principalTags").and_then(|tags| kept(tags, keys));
    parts.extend(principal.map(|tags| format!("\"principalTags\":{tags}")));
    (!parts.is_empty()).then(|| format!("{{{}}}", parts.join(",")))
}

/// The members of `map` with one of these keys; `None` where there is none.
fn kept(map: &str, keys: &[String]) -> Option<String> {
    let mut out = String::from("{");
    for (key, value) in members(map) {
        if keys.iter().any(|wanted| key == wanted.as_str()) {
            let comma = if out.len() > 1 { "," } else { "" };
            write!(out, "{comma}\"{}\":{value}", key.raw()).expect("a String takes everything");
        }
    }
    out.push('}');
    (out.len() > 2).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = r#"{"requestContext":{"aws:PrincipalArn":"a","aws:username":"u"},"tagContext":{"resourceTags":[{"arn":"r1","tags":{"team":"x","cost":"1"}},{"arn":"r2","tags":{"cost":"2"}}],"principalTags":{"team":"y"}},"other":1}"#;

    fn selectors(request: &[&str], tag: &[&str]) -> Vec<ContextKeySelector> {
        let selector = |kind, keys: &[&str]| ContextKeySelector {
            r#type: kind,
            equals: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let both = [(ContextKind::RequestContext, request), (ContextKind::TagContext, tag)];
        let given = both.into_iter().filter(|(_, keys)| !keys.is_empty());
        given.map(|(kind, keys)| selector(kind, keys)).collect()
    }

    #[track_caller]
    fn check(request: &[&str], tag: &[&str], expected: Option<&str>) {
        assert_eq!(selected(CONTEXT, &selectors(request, tag)).as_deref(), expected);
    }

    #[test]
    fn only_the_selected_keys_stay() {
        check(&[], &[], None);
        check(&["aws:ViaAWSService"], &["none"], None);
        check(&["aws:username"], &[], Some(r#"{"requestContext":{"aws:username":"u"}}"#));
        check(
            &["aws:PrincipalArn"],
            &["team"],
            Some(
                r#"{"requestContext":{"aws:PrincipalArn":"a"},"tagContext":{"resourceTags":[{"arn":"r1","tags":{"team":"x"}}],"principalTags":{"team":"y"}}}"#,
            ),
        );
        check(
            &[],
            &["cost"],
            Some(
                r#"{"tagContext":{"resourceTags":[{"arn":"r1","tags":{"cost":"1"}},{"arn":"r2","tags":{"cost":"2"}}]}}"#,
            ),
        );
    }

    #[test]
    fn other_shapes_are_nothing() {
        for context in ["null", "\"text\"", "[]", "{}", r#"{"requestContext":[1],"tagContext":7}"#]
        {
            assert_eq!(
                selected(context, &selectors(&["aws:username"], &["team"])),
                None,
                "{context}"
            );
        }
    }

    #[test]
    fn keys_are_checked() {
        assert_eq!(validate(&selectors(&["aws:username"], &["anything at all"])), Ok(()));
        let wrong = validate(&selectors(&["aws:SourceIp"], &[])).unwrap_err();
        assert!(
            wrong.to_string().starts_with("aws:SourceIp is not a key of RequestContext"),
            "{wrong}"
        );
        assert!(matches!(
            validate(&selectors(&[], &["a", "a"])),
            Err(InvalidContextKeys::KeyTwice { .. })
        ));
        let twice = [selectors(&[], &["a"]), selectors(&[], &["b"])].concat();
        assert_eq!(validate(&twice), Err(InvalidContextKeys::TypeTwice(ContextKind::TagContext)));
    }
}
