//! `cairn key`: access keys of users.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::account::{Node, print_key};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn key create --user ann >> ~/.aws/credentials      then: aws --profile ann cloudtrail lookup-events
  cairn key list
  cairn key deactivate AKIA…

A secret is shown once, when the key is made. The node keeps it sealed under its own secret
(keys/node-secret in its data folder), without which a copy of its database opens nothing.")]
pub struct Key {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    node: Node,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key for a user; two at most
    Create {
        #[arg(long, value_name = "NAME")]
        user: String,
    },
    /// Keys, whether they are active, and when and where they were used last
    List {
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
    },
    /// Let a key open doors again
    Activate { id: String },
    /// Refuse a key from now on; it can be activated again
    Deactivate { id: String },
    /// Remove a key for good
    Delete { id: String },
}

pub fn run(arguments: Key) -> Result<ExitCode> {
    let Key { command, node } = arguments;
    match command {
        Command::Create { user } => {
            let made = node.ask("CreateAccessKey", json!({ "user": user }))?;
            match node.is_json() {
                true => println!("{made}"),
                false => print_key(&made, &user),
            }
        }
        Command::List { user } => {
            let all = node.ask("ListAccessKeys", json!({ "user": user }))?;
            node.print(&all, "accessKeys", line);
        }
        Command::Activate { id } => set(&node, &id, true)?,
        Command::Deactivate { id } => set(&node, &id, false)?,
        Command::Delete { id } => {
            node.ask("DeleteAccessKey", json!({ "accessKeyId": id }))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set(node: &Node, id: &str, active: bool) -> Result<()> {
    node.ask("UpdateAccessKey", json!({ "accessKeyId": id, "active": active })).map(drop)
}

fn line(key: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let state = if key["active"].as_bool() == Some(true) { "active" } else { "inactive" };
    let last = match key["lastUsed"].as_object() {
        Some(last) => format!(
            "last used {} for {} in {}",
            text(&last["at"]),
            text(&last["service"]),
            text(&last["region"])
        ),
        None => "never used".to_owned(),
    };
    format!("{}  {}  {state}  {last}", text(&key["accessKeyId"]), text(&key["user"]))
}
