//! Who may come in: the first access key and ingest token, made on the first start, and the key
//! that delivery uses on our own bucket door.
//!
//! ```text
//!   DIR/credentials    AWS shared-credentials file, mode 0600: the key, the account, the token
//!   DIR/node.json      what client commands need: endpoint, account, Region
//! ```
//! Delivery's own key is made anew at each start and never leaves memory.

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

use crate::access::token::{IssuedToken, TokenRing};
use crate::access::{Identity, Key, KeyRing, Secret, token};
use crate::chance::{self, Chance};
use crate::settings::Settings;

/// The principal that delivers, as in AWS.
pub const DELIVERY_PRINCIPAL: &str = "cloudtrail.amazonaws.com";
const USER: &str = "admin";
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
    #[error("ingest tokens in the catalog")]
    Catalog(#[from] catalog::CatalogError),
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

/// Reads the credentials, or makes them on the first start; then builds the key ring.
pub async fn open(
    settings: &Settings,
    catalog: &Catalog,
    disk: &dyn Disk,
    chance: &dyn Chance,
    now: Timestamp,
) -> Result<(Credentials, Keys), CredentialsError> {
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
    let keys = Keys::new(&credentials, &account, tokens, chance);
    Ok((credentials, keys))
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
    let mut secret = [0; 30];
    chance.fill(&mut secret);
    let mut token_bytes = [0; 32];
    chance.fill(&mut token_bytes);
    use base64::Engine;
    Credentials {
        access_key_id: format!("AKIA{}", chance::base32(chance, 16)),
        // 30 bytes make 40 characters of base64, as AWS's secrets have.
        secret_access_key: Secret::new(base64::engine::general_purpose::STANDARD.encode(secret)),
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

/// Every key and token that opens a door, in memory.
#[derive(Debug)]
pub struct Keys {
    by_id: HashMap<String, Key>,
    tokens: HashMap<[u8; 32], IssuedToken>,
    delivery_key_id: String,
}

impl Keys {
    fn new(
        credentials: &Credentials,
        account: &AccountId,
        tokens: HashMap<[u8; 32], IssuedToken>,
        chance: &dyn Chance,
    ) -> Keys {
        let mut by_id = HashMap::new();
        by_id.insert(
            credentials.access_key_id.clone(),
            Key {
                secret: credentials.secret_access_key.clone(),
                account: *account,
                identity: Identity::User {
                    name: USER.to_owned(),
                    path: "/".to_owned(),
                    principal_id: credentials.user_id.clone(),
                },
                active: true,
                session_token: None,
            },
        );
        let delivery_key_id = format!("AKIA{}", chance::base32(chance, 16));
        by_id.insert(
            delivery_key_id.clone(),
            Key {
                secret: Secret::new(chance::base32(chance, 52)),
                account: *account,
                identity: Identity::Service { principal: DELIVERY_PRINCIPAL.to_owned() },
                active: true,
                session_token: None,
            },
        );
        Keys { by_id, tokens, delivery_key_id }
    }

    pub fn delivery_key_id(&self) -> &str {
        &self.delivery_key_id
    }

    pub fn delivery_secret(&self) -> &str {
        self.by_id.get(&self.delivery_key_id).map_or("", |key| key.secret.reveal())
    }
}

impl KeyRing for Keys {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        self.by_id.get(access_key_id).cloned()
    }
}

impl TokenRing for Keys {
    fn find(&self, sha256: &[u8; 32]) -> Option<IssuedToken> {
        self.tokens.get(sha256).cloned()
    }
}
