//! The inputs' shapes with their constraints, as tables that `api::shape` walks; and the values of
//! each enumeration as constants.

use anyhow::{Context, Result, bail, ensure};

use super::model::{Model, Reference, Shape};
use super::names::{screaming, snake};
use super::pattern;

/// One `static NAME: Shape` per shape that an input can contain.
pub fn write(model: &Model) -> Result<String> {
    let mut body = String::new();
    for name in model.input_shapes()? {
        let shape = model.shape(&name)?;
        let table = table(&name, shape).with_context(|| format!("shape {name}"))?;
        body.push_str(&format!("pub static {}: Shape = {table};\n\n", screaming(&name)));
    }
    let mut uses = Vec::new();
    for word in ["Bounds", "Member", "Pattern", "Run", "Shape"] {
        if body.contains(&format!("{word}::")) || body.contains(&format!("{word} {{")) {
            uses.push(word);
        }
    }
    ensure!(!uses.is_empty(), "no shapes");
    Ok(format!("use crate::shape::{{{}}};\n\n{body}", uses.join(", ")))
}

fn table(name: &str, shape: &Shape) -> Result<String> {
    let length = bounds(shape);
    Ok(match shape.kind.as_str() {
        "string" => format!(
            "Shape::String {{ length: {length}, pattern: {}, values: &{:?} }}",
            pattern_table(shape.pattern.as_deref())?,
            shape.values
        ),
        "integer" => format!("Shape::Integer({length})"),
        "boolean" => "Shape::Boolean".into(),
        "timestamp" => "Shape::Timestamp".into(),
        "list" => format!(
            "Shape::List {{ member: &{}, length: {length} }}",
            target(shape.member.as_ref())?
        ),
        "map" => format!(
            "Shape::Map {{ key: &{}, value: &{}, length: {length} }}",
            target(shape.key.as_ref())?,
            target(shape.value.as_ref())?
        ),
        "structure" => {
            let mut members = String::new();
            for (member, reference) in &shape.members.0 {
                let in_query = reference.location.as_deref() == Some("querystring");
                ensure!(in_query || reference.location.is_none(), "{member} is elsewhere");
                members.push_str(&format!(
                    "Member {{ name: {:?}, required: {}, in_query: {in_query}, shape: &{} }},\n",
                    reference.location_name.as_deref().unwrap_or(member),
                    shape.required.contains(member),
                    screaming(&reference.shape)
                ));
            }
            format!("Shape::Structure {{ name: {name:?}, members: &[{members}] }}")
        }
        other => bail!("an input holds the kind {other}: teach api::shape first"),
    })
}

fn target(reference: Option<&Reference>) -> Result<String> {
    Ok(screaming(&reference.context("no element shape")?.shape))
}

fn bounds(shape: &Shape) -> String {
    match (shape.min, shape.max) {
        (None, None) => "Bounds::NONE".into(),
        (min, max) => format!("Bounds {{ min: {min:?}, max: {max:?} }}"),
    }
}

fn pattern_table(text: Option<&str>) -> Result<String> {
    let Some(text) = text else { return Ok("None".into()) };
    let mut alternatives = String::new();
    for runs in pattern::parse(text)? {
        alternatives.push_str("&[");
        for run in runs {
            let max = match run.max {
                usize::MAX => "usize::MAX".to_owned(),
                max => max.to_string(),
            };
            alternatives.push_str(&format!(
                "Run {{ ranges: &{:?}, min: {}, max: {max} }}, ",
                run.ranges, run.min
            ));
        }
        alternatives.push_str("], ");
    }
    Ok(format!("Some(&Pattern {{ text: {text:?}, alternatives: &[{alternatives}] }})"))
}

/// `pub mod event_data_store_status { pub const ENABLED: &str = "ENABLED"; … pub const VALUES }`.
/// Empty when the model has no enumeration.
pub fn write_values(model: &Model) -> String {
    let mut body = String::new();
    for (name, shape) in model.shapes.iter().filter(|(_, shape)| !shape.values.is_empty()) {
        let mut constants = String::new();
        let mut names = Vec::new();
        for value in &shape.values {
            // FILL_WITH_ZEROS for FillWithZeros; FAILED_SIGNING_FILE stays as it is.
            let constant = screaming(value);
            constants.push_str(&format!("pub const {constant}: &str = {value:?};\n"));
            names.push(constant);
        }
        body.push_str(&format!(
            "pub mod {} {{\n{constants}\npub const VALUES: [&str; {}] = [{}];\n}}\n\n",
            snake(name),
            names.len(),
            names.join(", ")
        ));
    }
    body
}
