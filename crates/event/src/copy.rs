//! The copy of an accepted record that one recipient gets.
//!
//! An accepted record never changes: the journal keeps its bytes, and nearly every recipient gets
//! exactly them. Two of CloudTrail's rules make a copy differ:
//!
//! - AWS: an event has at most 256 KB in trails, event history and standard event data stores, and
//!   1 MB in event data stores with `MaxEventSize` Large.
//! - AWS: `eventContext` is for event data stores that selected keys of it ("event data stores only").
//!
//! A copy is a function of the record and the rules, so reading the journal again gives the same one.

use std::borrow::Cow;

use crate::context::{ContextKeySelector, selected};
use crate::header::Header;
use crate::json::{members, string};
use crate::limits::{
    ADDITIONAL_BYTES_MAX, EVENT_BYTES_MAX, LARGE_EVENT_BYTES_MAX, PARAMETERS_BYTES_MAX,
    TEXT_BYTES_MAX, truncated,
};

/// What one recipient may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRules<'a> {
    pub bytes_max: usize,
    /// Keys of `eventContext` to keep.
    pub context_keys: &'a [ContextKeySelector],
}

impl<'a> CopyRules<'a> {
    /// For trails, event history, and everything else that is not an event data store.
    pub const STANDARD: CopyRules<'static> =
        CopyRules { bytes_max: EVENT_BYTES_MAX, context_keys: &[] };

    pub fn large(context_keys: &'a [ContextKeySelector]) -> CopyRules<'a> {
        CopyRules { bytes_max: LARGE_EVENT_BYTES_MAX, context_keys }
    }
}

/// Whether any recipient's copy of the record can differ from the record.
pub fn may_differ(record: &[u8], header: &Header<'_>) -> bool {
    record.len() > EVENT_BYTES_MAX || header.event_context.is_some()
}

/// The record as the recipient gets it. `header` is the record's own.
///
/// A record within `bytes_max` loses at most its `eventContext`, or keys of it; everything else
/// keeps its bytes. A larger one is cut as CloudTrail documents: texts at 1 KB, parameters above
/// their own limits replaced by a note with their size; then, until it fits, annotation,
/// additionalEventData, serviceEventDetails, eventContext, responseElements and requestParameters by
/// such a note. The texts that AWS's order also names stay at 1 KB: an event without its errorCode
/// would read like one that went well. What is larger even then is left so: intake refuses it.
pub fn copied<'r>(record: &'r [u8], header: &Header<'r>, rules: &CopyRules<'_>) -> Cow<'r, [u8]> {
    if record.len() <= rules.bytes_max && header.event_context.is_none() {
        return Cow::Borrowed(record);
    }
    let context = header.event_context.and_then(|text| selected(text, rules.context_keys));
    let mut copy: Vec<Member<'r>> = Vec::new();
    for (key, value) in members(header.record()) {
        let value = match (&*key.to_str(), &context) {
            // null says as little as nothing.
            ("eventContext", _) if value == "null" => Cow::Borrowed(value),
            ("eventContext", None) => continue,
            ("eventContext", Some(context)) => Cow::Owned(context.clone()),
            _ => Cow::Borrowed(value),
        };
        copy.push(Member { key: key.raw(), name: key.to_str(), value });
    }
    cut(&mut copy, rules.bytes_max);
    Cow::Owned(written(&copy))
}

struct Member<'r> {
    /// As it stands in the record.
    key: &'r str,
    name: Cow<'r, str>,
    value: Cow<'r, str>,
}

const TEXTS: [&str; 4] = ["requestID", "userAgent", "errorCode", "errorMessage"];
const PARAMETERS: [(&str, usize); 4] = [
    ("requestParameters", PARAMETERS_BYTES_MAX),
    ("responseElements", PARAMETERS_BYTES_MAX),
    ("serviceEventDetails", PARAMETERS_BYTES_MAX),
    ("additionalEventData", ADDITIONAL_BYTES_MAX),
];
/// AWS: in this order (user guide, "event size"), without the texts.
const ORDER: [&str; 6] = [
    "annotation",
    "additionalEventData",
    "serviceEventDetails",
    "eventContext",
    "responseElements",
    "requestParameters",
];

fn cut(copy: &mut [Member<'_>], bytes_max: usize) {
    if size(copy) <= bytes_max {
        return;
    }
    for member in copy.iter_mut() {
        if TEXTS.contains(&&*member.name)
            && let Some(text) = string(&member.value).map(|text| text.to_str().into_owned())
        {
            let short = truncated(&text, TEXT_BYTES_MAX);
            if short.len() < text.len() {
                member.value = Cow::Owned(serde_json::Value::from(short).to_string());
            }
        }
        let limit = PARAMETERS.iter().find(|(name, _)| *name == member.name);
        if let Some((_, value_bytes_max)) = limit
            && member.value.len() > *value_bytes_max
        {
            member.omit();
        }
    }
    for name in ORDER {
        if size(copy) <= bytes_max {
            return;
        }
        if let Some(member) = copy.iter_mut().find(|member| member.name == name) {
            member.omit();
        }
    }
}

impl Member<'_> {
    /// Puts the note in the value's place, where that makes it smaller.
    fn omit(&mut self) {
        let note = format!(
            "{{\"reason\":\"{} too large\",\"omitted\":true,\"originalSize\":{}}}",
            self.name,
            self.value.len()
        );
        if note.len() < self.value.len() {
            self.value = Cow::Owned(note);
        }
    }
}

fn size(copy: &[Member<'_>]) -> usize {
    copy.iter().map(|member| member.key.len() + member.value.len() + 4).sum::<usize>() + 1
}

fn written(copy: &[Member<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(copy));
    out.push(b'{');
    for (number, member) in copy.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(member.key.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(member.value.as_bytes());
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
