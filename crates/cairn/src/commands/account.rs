//! `cairn account`: accounts, their users and roles, and what those may do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use server::accounts::ADMINISTRATOR;

use crate::client::Client;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn account create payments                          a new account, its administrator and that one's key
  cairn account user create ann --policy read-only
  cairn account policy put --user ann lake ./lake.json   IAM-policy JSON, as on AWS
  cairn account role create audit --trust ./trust.json --policy read-only
  cairn account user list --account 222222222222
  cairn account organization create                      with your account as its management account
  cairn account organization add 222222222222

Keys of users are made with `cairn key create`. Principals of the node's first account administer every
account, those of others their own. Policies name the actions cloudtrail:*, cloudtrail-data:*, s3:*,
sts:* and iam:*, and cairn:PutEvents for POST /v1/events.")]
pub struct Account {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    node: Node,
}

#[derive(Debug, Clone, Args)]
pub struct Node {
    /// A node's data folder; without it the AWS variables and profile say where the server is
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// The account that is meant; without it your own
    #[arg(long, value_name = "ID", global = true)]
    account: Option<String>,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an account with an administrator; prints the administrator's key, once
    Create {
        /// What people call it
        name: String,
        /// Its twelve digits; without it they are drawn
        #[arg(long, value_name = "ID")]
        id: Option<String>,
    },
    /// All accounts of the node
    List,
    /// Users: who signs in with keys of its own
    #[command(subcommand)]
    User(Principal),
    /// Roles: whom others may be for a while, by sts:AssumeRole
    #[command(subcommand)]
    Role(Principal),
    /// What users and roles may do
    #[command(subcommand)]
    Policy(Policy),
    /// Accounts that belong together, for organization trails and event data stores
    #[command(subcommand)]
    Organization(Organization),
}

#[derive(Debug, Subcommand)]
enum Organization {
    /// Make one
    Create {
        /// Its management account; without it your own
        #[arg(long, value_name = "ID")]
        management: Option<String>,
    },
    /// Take an account in, with all that it does from now on
    Add {
        #[arg(value_name = "ID")]
        member: String,
        /// Where there are several: o-…
        #[arg(long, value_name = "ID")]
        organization: Option<String>,
    },
    /// Let an account go; what it does from now on is its own
    Remove {
        #[arg(value_name = "ID")]
        member: String,
    },
    /// Show them with their accounts
    Show,
}

#[derive(Debug, Subcommand)]
enum Principal {
    /// Make one
    Create {
        name: String,
        /// Begins and ends with a slash
        #[arg(long, default_value = "/")]
        path: String,
        /// A first policy: a file, or `admin`, or `read-only`
        #[arg(long, value_name = "FILE")]
        policy: Option<String>,
        /// Who may assume the role: a file with a trust policy
        #[arg(long, value_name = "FILE")]
        trust: Option<PathBuf>,
    },
    /// Show them with their policies
    List,
    /// Remove one, with its policies and keys
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Put a policy into a user or role; one of that name is replaced
    Put {
        #[command(flatten)]
        of: Of,
        name: String,
        /// A file, or `admin`, or `read-only`
        file: String,
    },
    /// Take a policy out of a user or role
    Delete {
        #[command(flatten)]
        of: Of,
        name: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Of {
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
}

const READ_ONLY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudtrail:Get*","cloudtrail:Describe*","cloudtrail:List*","cloudtrail:LookupEvents","cloudtrail:SearchSampleQueries","cloudtrail:StartQuery","cloudtrail:CancelQuery","s3:Get*","s3:List*","tag:GetResources","ec2:DescribeRegions","iam:ListAccountAliases"],"Resource":"*"}]}"#;

pub fn run(arguments: Account) -> Result<ExitCode> {
    let Account { command, node } = arguments;
    match command {
        Command::Create { name, id } => {
            let account = id.or_else(|| node.account.clone());
            let made = node.ask("CreateAccount", json!({ "name": name, "account": account }))?;
            match node.json {
                true => println!("{made}"),
                false => {
                    let text = |key: &str| made[key].as_str().unwrap_or_default();
                    println!(
                        "# Account {} ({name}), user {}. The key is shown this once.",
                        text("account"),
                        text("user")
                    );
                    print_key(&made, &name);
                }
            }
        }
        Command::List => {
            let all = node.ask("ListAccounts", json!({}))?;
            node.print(&all, "accounts", |one| {
                format!("{}  {}", text(one, "account"), text(one, "name"))
            });
        }
        Command::User(command) => principal(&node, "User", "user", command)?,
        Command::Role(command) => principal(&node, "Role", "role", command)?,
        Command::Policy(Policy::Put { of, name, file }) => {
            let (kind, key, principal) = of.named();
            put_policy(&node, kind, key, &principal, &name, &file)?;
        }
        Command::Policy(Policy::Delete { of, name }) => {
            let (kind, key, principal) = of.named();
            node.ask(
                &format!("Delete{kind}Policy"),
                json!({ key: principal, "policyName": name }),
            )?;
        }
        Command::Organization(command) => organization(&node, command)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn organization(node: &Node, command: Organization) -> Result<()> {
    match command {
        Organization::Create { management } => {
            let made = node.ask("CreateOrganization", json!({ "account": management }))?;
            match node.json {
                true => println!("{made}"),
                false => println!("{}", text(&made, "organization")),
            }
        }
        Organization::Add { member, organization } => {
            let asked = json!({ "account": member, "organization": organization });
            node.ask("InviteAccountToOrganization", asked)?;
        }
        Organization::Remove { member } => {
            node.ask("RemoveAccountFromOrganization", json!({ "account": member }))?;
        }
        Organization::Show => {
            let all = node.ask("DescribeOrganization", json!({}))?;
            node.print(&all, "organizations", |one| {
                let management = text(one, "managementAccount");
                let members = one["members"].as_array().map(Vec::as_slice).unwrap_or_default();
                let lines = members.iter().map(|member| {
                    let account = text(member, "account");
                    let role = match member["delegatedAdministratorSince"].is_string() {
                        _ if account == management => "management account",
                        true => "delegated administrator",
                        false => "member",
                    };
                    format!("\n  {account}  {role}")
                });
                format!("{}{}", text(one, "organization"), lines.collect::<String>())
            });
        }
    }
    Ok(())
}

impl Of {
    fn named(self) -> (&'static str, &'static str, String) {
        match (self.user, self.role) {
            (Some(user), _) => ("User", "user", user),
            (None, role) => ("Role", "role", role.unwrap_or_default()),
        }
    }
}

fn principal(node: &Node, kind: &str, key: &str, command: Principal) -> Result<()> {
    match command {
        Principal::Create { name, path, policy, trust } => {
            let trust = trust.as_deref().map(read).transpose()?;
            let asked = json!({ key: name, "path": path, "trustPolicy": trust });
            let made = node.ask(&format!("Create{kind}"), asked)?;
            if let Some(file) = policy {
                let policy_name = match file.as_str() {
                    "admin" | "read-only" => file.clone(),
                    other => Path::new(other)
                        .file_stem()
                        .map_or("policy".into(), |stem| stem.to_string_lossy().into_owned()),
                };
                put_policy(node, kind, key, &name, &policy_name, &file)?;
            }
            match node.json {
                true => println!("{made}"),
                false => println!("{}", text(&made, "arn")),
            }
        }
        Principal::List => {
            let all = node.ask(&format!("List{kind}s"), json!({}))?;
            node.print(&all, &format!("{key}s"), |one| {
                let policies = one["policies"].as_object();
                let names: Vec<&str> = policies
                    .map(|all| all.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                format!("{}  {}", text(one, "arn"), names.join(", "))
            });
        }
        Principal::Delete { name } => {
            node.ask(&format!("Delete{kind}"), json!({ key: name }))?;
        }
    }
    Ok(())
}

fn put_policy(
    node: &Node,
    kind: &str,
    key: &str,
    principal: &str,
    name: &str,
    file: &str,
) -> Result<()> {
    let policy = match file {
        "admin" => ADMINISTRATOR.to_owned(),
        "read-only" => READ_ONLY.to_owned(),
        path => read(Path::new(path))?,
    };
    let asked = json!({ key: principal, "policyName": name, "policy": policy });
    node.ask(&format!("Put{kind}Policy"), asked).map(drop)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read policy {}", path.display()))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A key as a profile for ~/.aws/credentials.
pub fn print_key(made: &Value, profile: &str) {
    println!("[{profile}]");
    println!("aws_access_key_id = {}", text(made, "accessKeyId"));
    println!("aws_secret_access_key = {}", text(made, "secretAccessKey"));
}

impl Node {
    /// One action of the server's door for administration.
    pub fn ask(&self, action: &str, mut asked: Value) -> Result<Value> {
        asked["action"] = json!(action);
        if asked["account"].is_null()
            && let Some(account) = &self.account
        {
            asked["account"] = json!(account);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")?;
        runtime.block_on(async {
            let client = Client::new(self.data.as_deref())?;
            let body = Bytes::from(asked.to_string());
            client.own(Method::POST, "/v1/access", body).await?.value()
        })
    }

    /// A list: as JSON, or a line for each.
    pub fn print(&self, answer: &Value, list: &str, line: impl Fn(&Value) -> String) {
        if self.json {
            println!("{answer}");
            return;
        }
        for one in answer[list].as_array().map(Vec::as_slice).unwrap_or_default() {
            println!("{}", line(one).trim_end());
        }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }
}
