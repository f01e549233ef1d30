//! `Operation`: the names a client may call, and what each may answer.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::errors::wire_name;
use super::model::Model;
use super::names::screaming;

/// `module` begins the names of the service's other generated modules.
pub fn write(model: &Model, module: &str) -> Result<String> {
    let mut variants = String::new();
    let mut names = String::new();
    let mut parses = String::new();
    let mut errors = String::new();
    let mut inputs = String::new();
    let mut input_names = BTreeSet::new();
    let mut idempotent = Vec::new();
    for (name, operation) in &model.operations {
        variants.push_str(&format!("{name},\n"));
        names.push_str(&format!("Self::{name} => \"{name}\",\n"));
        parses.push_str(&format!("\"{name}\" => Self::{name},\n"));
        let mut codes = Vec::new();
        for error in &operation.errors {
            let code = format!("ErrorCode::{}", wire_name(model, &error.shape)?);
            // The model itself lists some twice (StartImport).
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        errors.push_str(&format!("Self::{name} => &[{}],\n", codes.join(", ")));
        if operation.idempotent {
            idempotent.push(format!("Self::{name}"));
        }
        let (input, output) = (&operation.input.shape, &operation.output.shape);
        ensure!(input_names.insert(input.clone()), "two operations share the input {input}");
        inputs.push_str(&format!(
            "impl Input for {input} {{\n\
             type Operation = Operation;\n\
             type Output = {output};\n\
             const OPERATION: Operation = Operation::{name};\n\
             const SHAPE: &'static Shape = &shapes::{};\n}}\n\n",
            screaming(input)
        ));
    }
    let all: Vec<String> = model.operations.keys().map(|name| format!("Self::{name}")).collect();
    let idempotent = match idempotent.is_empty() {
        true => "false".to_owned(),
        false => format!("matches!(self, {})", idempotent.join(" | ")),
    };
    Ok(format!(
        "use super::errors::ErrorCode;\n\
         use super::{module}_shapes as shapes;\n\
         use super::{module}_structures::*;\n\
         use crate::shape::{{Input, Shape}};\n\n\
         /// The operations of {service}.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         pub enum Operation {{ {variants} }}\n\n\
         impl Operation {{\n\
         pub const ALL: [Self; {count}] = [{all}];\n\n\
         pub fn name(self) -> &'static str {{ match self {{ {names} }} }}\n\n\
         /// By its exact name.\n\
         pub fn parse(name: &str) -> Option<Self> {{ Some(match name {{ {parses} _ => return None }}) }}\n\n\
         /// The errors the model lists for it. Common errors ([`ErrorCode::is_common`]) may come beside them.\n\
         pub fn errors(self) -> &'static [ErrorCode] {{ match self {{ {errors} }} }}\n\n\
         /// Whether the model calls it idempotent.\n\
         pub fn is_idempotent(self) -> bool {{ {idempotent} }}\n\
         }}\n\n{inputs}",
        service = model.metadata.service_id,
        count = model.operations.len(),
        all = all.join(", "),
    ))
}
