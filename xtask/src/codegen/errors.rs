//! `ErrorCode`: every modelled exception of both services, and the errors all of AWS shares.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::model::Model;

/// The errors that any AWS service may give; no service model lists them. Names are those of the
/// JSON protocols. Source: AWS, "CloudTrail common errors". A status given here wins over the
/// model's default of 400: CloudTrail answers AccessDeniedException with 403.
const COMMON: &[(&str, u16)] = &[
    ("AccessDeniedException", 403),
    ("ExpiredTokenException", 403),
    ("IncompleteSignatureException", 403),
    ("InternalFailure", 500),
    ("InvalidSignatureException", 403),
    ("MissingAuthenticationTokenException", 403),
    ("NotAuthorized", 401),
    ("OptInRequired", 403),
    ("RequestEntityTooLarge", 413),
    ("RequestTimeout", 408),
    ("SerializationException", 400),
    ("ServiceUnavailable", 503),
    ("ThrottlingException", 400),
    ("UnknownOperationException", 400),
    ("UnrecognizedClientException", 403),
    ("ValidationException", 400),
];

pub fn write(models: &[&Model]) -> Result<String> {
    let mut statuses: BTreeMap<String, u16> = BTreeMap::new();
    for model in models {
        for (name, shape) in model.shapes.iter().filter(|(_, shape)| shape.exception) {
            let status = shape.error.as_ref().and_then(|error| error.http_status_code);
            statuses.insert(wire_name(model, name)?, status.unwrap_or(400));
        }
    }
    let common: BTreeSet<&str> = COMMON.iter().map(|(name, _)| *name).collect();
    for (name, status) in COMMON {
        statuses.insert((*name).to_owned(), *status);
    }

    let mut variants = String::new();
    let mut names = String::new();
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (name, status) in &statuses {
        variants.push_str(&format!("{name},\n"));
        names.push_str(&format!("Self::{name} => \"{name}\",\n"));
        by_status.entry(*status).or_default().push(format!("Self::{name}"));
    }
    let mut status_arms = String::new();
    for (status, codes) in by_status.iter().filter(|(status, _)| **status != 400) {
        status_arms.push_str(&format!("{} => {status},\n", codes.join(" | ")));
    }
    let all: Vec<String> = statuses.keys().map(|name| format!("Self::{name}")).collect();
    let common: Vec<String> = common.iter().map(|name| format!("Self::{name}")).collect();
    Ok(format!(
        "/// What went wrong, in AWS's words: the modelled exceptions and the errors common to all services.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         pub enum ErrorCode {{ {variants} }}\n\n\
         impl ErrorCode {{\n\
         pub const ALL: [Self; {count}] = [{all}];\n\n\
         /// The short name that stands in `__type`.\n\
         pub fn as_str(self) -> &'static str {{ match self {{ {names} }} }}\n\n\
         /// The HTTP status. CloudTrail models every exception of its own as 400.\n\
         pub fn status(self) -> u16 {{ match self {{ {status_arms} _ => 400 }} }}\n\n\
         /// Whether any operation may give it, listed or not.\n\
         pub fn is_common(self) -> bool {{ matches!(self, {common}) }}\n\
         }}\n",
        count = statuses.len(),
        all = all.join(", "),
        common = common.join(" | "),
    ))
}

/// The name an exception has in `__type`: the JSON protocols send the shape's own name, and the
/// `error` trait's code (such as `TrailNotFound`) only where the model carries one.
pub fn wire_name(model: &Model, shape_name: &str) -> Result<String> {
    let shape = model.shape(shape_name)?;
    let code = shape.error.as_ref().and_then(|error| error.code.clone());
    Ok(code.unwrap_or_else(|| shape_name.to_owned()))
}
