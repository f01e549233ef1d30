//! The first access key and ingest token, made on the first start, and what client commands read of
//! a node.
//!
//! ```text
//!   DIR/credentials    AWS shared-credentials file, mode 0600: the key, the account, the token
//!   DIR/node.json      what client commands need: endpoint, account, Region
//! ```
//! The key belongs to the user `admin` of the node's first account, which may do everything there.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use catalog::{Catalog, IngestToken};
use durable::Disk;
use event::AccountId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::token::IssuedToken;
use crate::access::{Secret, token};
use crate::accounts::{self, AccessError, Accounts, NewKey, NodeSecret};
use crate::chance::{self, Chance};
use crate::settings::Settings;

const USER: &str = "admin";
const ADMINISTRATOR: &str = "AdministratorAccess";
const TOKEN_NAME: &str = "first";

/// What the first start made and every start reads.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub user_id: String,
    pub ingest_token: Secret,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// `DIR/node.json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    pub endpoint: String,
    pub account: String,
    pub region: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    #[error("{step} {path}")]
    File {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path} is not a credentials file that Cairn wrote: {what} is missing; restore it, or move it away to have new keys made"
    )]
    Incomplete { path: PathBuf, what: &'static str },
    #[error("{path} cannot be read: {detail}")]
    NodeFile { path: PathBuf, detail: String },
    #[error(
        "this data folder belongs to account {was}, not {wanted}; start without --account, or with another --data"
    )]
    OtherAccount { was: String, wanted: String },
    #[error("accounts in the catalog")]
    Catalog(#[from] catalog::CatalogError),
    #[error("the node's secret")]
    Secret(#[from] accounts::SecretError),
    #[error("the node's first account")]
    First(#[from] AccessError),
}

pub fn credentials_path(data: &Path) -> PathBuf {
    data.join("credentials")
}

pub fn node_path(data: &Path) -> PathBuf {
    data.join("node.json")
}

/// The URL under which clients on this machine reach an address: an unspecified address is any.
pub fn endpoint(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// What `DIR/node.json` says, if the node has ever been started.
pub fn read_node_file(data: &Path) -> Result<Option<NodeFile>, CredentialsError> {
    let path = node_path(data);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| CredentialsError::NodeFile { path, detail: e.to_string() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::File { step: "read", path, source }),
    }
}

/// Reads the credentials, or makes them on the first start; then everything about accounts.
pub async fn open(
    settings: &Settings,
    catalog: &Catalog,
    disk: &dyn Disk,
    chance: &dyn Chance,
    now: Timestamp,
) -> Result<(Credentials, Accounts), CredentialsError> {
    let account = settings.account;
    if let Some(node) = read_node_file(&settings.data)?
        && node.account != account.as_str()
    {
        return Err(CredentialsError::OtherAccount {
            was: node.account,
            wanted: account.to_string(),
        });
    }
    let path = credentials_path(&settings.data);
    let credentials = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let made = make(chance);
            durable::write_atomic(disk, &path, written(&made, &account).as_bytes(), 0o600)
                .map_err(|source| CredentialsError::File {
                    step: "write",
                    path: path.clone(),
                    source,
                })?;
            made
        }
        Err(source) => return Err(CredentialsError::File { step: "read", path, source }),
    };
    let sha256 = token::sha256_of(credentials.ingest_token.reveal());
    catalog
        .put_ingest_token(
            &IngestToken { sha256, name: TOKEN_NAME.to_owned(), account: account.to_string() },
            now.as_millisecond(),
        )
        .await?;
    let mut tokens = HashMap::new();
    for known in catalog.ingest_tokens().await? {
        let Ok(account) = AccountId::parse(&known.account) else { continue };
        tokens.insert(
            known.sha256,
            IssuedToken {
                sha256: known.sha256,
                account,
                name: known.name,
                active: true,
                expires: None,
            },
        );
    }
    let secret = NodeSecret::open(&settings.data.join("keys"), disk, chance)?;
    let access = catalog.access().await?;
    let accounts = Accounts::new(secret, account, access, tokens, chance);
    declare_first(&accounts, &credentials, catalog, chance, now).await?;
    Ok((credentials, accounts))
}

/// Makes the first account, its administrator and the key in the credentials file, as far as they are
/// not there.
async fn declare_first(
    accounts: &Accounts,
    credentials: &Credentials,
    catalog: &Catalog,
    chance: &dyn Chance,
    now: Timestamp,
) -> Result<(), AccessError> {
    use catalog::PrincipalKind::User;
    let account = *accounts.operator();
    if !accounts.has(&account) {
        accounts.create_account(catalog, account, "operator", now).await?;
    }
    if accounts.principal(&account, User, USER).is_none() {
        let id = &credentials.user_id;
        accounts.declare_user(catalog, account, USER, id, now).await?;
        let document = accounts::ADMINISTRATOR;
        accounts.put_policy(catalog, account, User, USER, ADMINISTRATOR, document).await?;
    }
    let has_key =
        accounts.keys(&account, Some(USER)).iter().any(|key| key.id == credentials.access_key_id);
    if !has_key {
        let key = NewKey {
            id: credentials.access_key_id.clone(),
            secret: credentials.secret_access_key.clone(),
        };
        accounts.keep_key(catalog, chance, account, USER, &key, now).await?;
    }
    Ok(())
}

/// Tells client commands where the server is. Written once the port is open.
pub fn write_node_file(settings: &Settings, disk: &dyn Disk) -> Result<(), CredentialsError> {
    let node = NodeFile {
        endpoint: endpoint(settings.listen),
        account: settings.account.to_string(),
        region: settings.region.to_string(),
    };
    let path = node_path(&settings.data);
    let text = serde_json::to_string_pretty(&node).expect("three texts are always JSON");
    durable::write_atomic(disk, &path, text.as_bytes(), 0o644)
        .map_err(|source| CredentialsError::File { step: "write", path, source })
}

fn make(chance: &dyn Chance) -> Credentials {
    let mut token_bytes = [0; 32];
    chance.fill(&mut token_bytes);
    Credentials {
        access_key_id: format!("AKIA{}", chance::base32(chance, 16)),
        secret_access_key: accounts::new_secret(chance),
        user_id: format!("AIDA{}", chance::base32(chance, 17)),
        ingest_token: token::generate(&token_bytes).0,
    }
}

fn written(credentials: &Credentials, account: &AccountId) -> String {
    format!(
        "# Made by `cairn serve` on its first start. Keep it secret; AWS tools read it as it is.\n\
         [default]\n\
         aws_access_key_id = {}\n\
         aws_secret_access_key = {}\n\
         # What Cairn itself reads; AWS tools ignore it.\n\
         cairn_account = {account}\n\
         cairn_user_id = {}\n\
         cairn_ingest_token = {}\n",
        credentials.access_key_id,
        credentials.secret_access_key.reveal(),
        credentials.user_id,
        credentials.ingest_token.reveal(),
    )
}

/// Reads a file that `written` made.
pub fn parse(text: &str, path: &Path) -> Result<Credentials, CredentialsError> {
    let values: HashMap<&str, &str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let value = |what: &'static str| {
        values
            .get(what)
            .map(|v| (*v).to_owned())
            .ok_or_else(|| CredentialsError::Incomplete { path: path.to_owned(), what })
    };
    Ok(Credentials {
        access_key_id: value("aws_access_key_id")?,
        secret_access_key: Secret::new(value("aws_secret_access_key")?),
        user_id: value("cairn_user_id")?,
        ingest_token: Secret::new(value("cairn_ingest_token")?),
    })
}
