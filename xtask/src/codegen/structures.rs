//! One Rust struct per input, output and nested structure.
//!
//! Members are `Option`, so that what a client left out reaches the constraints instead of failing
//! in the parser. The exception: in a structure that only ever appears in outputs, a required
//! member is plain, and the structure has no `Default`, so a reply cannot be built without it.

use anyhow::{Result, bail};

use super::model::{Model, Shape};
use super::names::snake;

pub fn write(model: &Model) -> Result<String> {
    let inputs = model.input_shapes()?;
    let mut body = String::new();
    for (name, shape) in &model.shapes {
        if shape.kind == "structure" && !shape.exception {
            body.push_str(&structure(model, name, shape, inputs.contains(name))?);
        }
    }
    let mut uses = String::new();
    if body.contains("BTreeMap<") {
        uses.push_str("use std::collections::BTreeMap;\n\n");
    }
    uses.push_str("use serde::{Deserialize, Serialize};\n\n");
    for scalar in ["Blob", "Timestamp"] {
        if body.contains(&format!("<{scalar}>")) || body.contains(&format!(": {scalar},")) {
            uses.push_str(&format!("use crate::{scalar};\n"));
        }
    }
    Ok(format!("{uses}\n{body}"))
}

fn structure(model: &Model, name: &str, shape: &Shape, in_input: bool) -> Result<String> {
    let mut fields = String::new();
    let mut has_plain = false;
    for (member, reference) in &shape.members.0 {
        let wire = reference.location_name.as_deref().unwrap_or(member);
        let rust = rust_type(model, &reference.shape)?;
        let field = snake(member);
        if shape.required.contains(member) && !in_input {
            has_plain = true;
            fields.push_str(&format!("#[serde(rename = \"{wire}\")]\npub {field}: {rust},\n"));
        } else {
            fields.push_str(&format!(
                "#[serde(rename = \"{wire}\", skip_serializing_if = \"Option::is_none\")]\n\
                 pub {field}: Option<{rust}>,\n"
            ));
        }
    }
    let default = if has_plain { "" } else { "Default, " };
    Ok(format!(
        "#[derive(Clone, Debug, {default}PartialEq, Serialize, Deserialize)]\n\
         pub struct {name} {{\n{fields}}}\n\n"
    ))
}

fn rust_type(model: &Model, name: &str) -> Result<String> {
    let shape = model.shape(name)?;
    Ok(match shape.kind.as_str() {
        "string" => "String".into(),
        "integer" => "i32".into(),
        "long" => "i64".into(),
        "float" | "double" => "f64".into(),
        "boolean" => "bool".into(),
        "timestamp" => "Timestamp".into(),
        "blob" => "Blob".into(),
        "structure" => name.into(),
        "list" => format!("Vec<{}>", element(model, name, shape.member.as_ref())?),
        "map" => format!("BTreeMap<String, {}>", element(model, name, shape.value.as_ref())?),
        other => bail!("{name} is of the unknown kind {other}"),
    })
}

fn element(
    model: &Model,
    name: &str,
    reference: Option<&super::model::Reference>,
) -> Result<String> {
    match reference {
        Some(reference) => rust_type(model, &reference.shape),
        None => bail!("{name} has no element shape"),
    }
}
