//! An import that is open at a server, as `cairn import` and `cairn follow` use it.
//!
//! ```text
//!   begin ─▶ put, put, put … ─▶ commit ─▶ put … ─▶ commit ─▶ close
//! ```
//! What was put is in once a commit that began later has answered. Until then the server may forget
//! it, and with it the whole import: then everything since the last commit is put again, which
//! changes nothing where it was in.
//!
//! Must never be here: what to do about a server that is busy or away. That is the caller's.

use std::collections::HashSet;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use indicatif::HumanCount;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::client::{Client, Own, sha256};

/// Files are made durable together after so many bytes: a commit costs about the same for one.
pub const COMMIT_BYTES: u64 = 256 << 20;
/// Files on their way to the server at once.
pub const FILES_AT_ONCE: usize = 4;

#[derive(Debug)]
pub struct OpenImport {
    pub id: String,
}

/// What the server made of a request.
#[derive(Debug)]
pub enum Answer<T> {
    Done(T),
    /// The file's own fault; nothing of it is in.
    Bad {
        reason: String,
        is_too_large: bool,
    },
    /// There is no room now.
    Busy(String),
    /// The server knows of no such import: it was restarted, or the import was idle for too long.
    Gone(String),
}

/// A file that was put.
#[derive(Debug, Default)]
pub struct Put {
    /// The same bytes were imported before.
    pub is_known: bool,
    pub expired: u64,
    /// That some of its records were not taken, and why.
    pub refused: Option<String>,
}

#[derive(Debug, Default)]
pub struct Committed {
    pub rows: u64,
    pub duplicates: u64,
}

/// What has been done so far.
#[derive(Debug, Default)]
pub struct Totals {
    pub files: u64,
    pub known: u64,
    pub rows: u64,
    pub duplicates: u64,
    pub expired: u64,
}

impl OpenImport {
    /// Begins one into the event data store of that ARN. An answer that is no success is an
    /// [`Answered`](crate::client::Answered).
    pub async fn begin(client: &Client, store: &str) -> Result<OpenImport> {
        let body = json!({ "store": store }).to_string().into();
        let begun = client.own(Method::POST, "/v1/imports", body).await?.value()?;
        let id = begun["importId"].as_str().context("no importId was answered")?.to_owned();
        Ok(OpenImport { id })
    }

    /// Hands in a file. Its name is for messages only.
    pub async fn put(&self, client: &Client, name: &str, bytes: Bytes) -> Result<Answer<Put>> {
        let hash = sha256(&bytes);
        let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
        let path = format!("/v1/imports/{}/files?name={encoded}&sha256={hash}", self.id);
        let answer = client.own_hashed(Method::PUT, &path, bytes, &hash).await?;
        let done = match answer.status {
            413 | 422 => {
                let is_too_large = answer.status == 413;
                return Ok(Answer::Bad { reason: answer.message(), is_too_large });
            }
            _ => match held_up(&answer) {
                Some(held_up) => return Ok(held_up),
                None => answer.value().with_context(|| format!("hand in {name}"))?,
            },
        };
        let refused = done["refusedCount"].as_u64().filter(|count| *count > 0).map(|count| {
            let first = done["refused"][0].as_str().unwrap_or_default();
            format!("{} records were refused, the first: {first}", HumanCount(count))
        });
        Ok(Answer::Done(Put {
            is_known: done["known"].as_bool().unwrap_or(false),
            expired: done["expired"].as_u64().unwrap_or(0),
            refused,
        }))
    }

    /// Makes everything durable that was put before.
    pub async fn commit(&self, client: &Client) -> Result<Answer<Committed>> {
        let path = format!("/v1/imports/{}/commit", self.id);
        let answer = client.own(Method::POST, &path, Bytes::new()).await?;
        if let Some(held_up) = held_up(&answer) {
            return Ok(held_up);
        }
        let done = answer.value().context("commit")?;
        let count = |key: &str| done[key].as_u64().unwrap_or(0);
        Ok(Answer::Done(Committed { rows: count("rows"), duplicates: count("duplicates") }))
    }

    /// Lets the server forget it, which it would do by itself, later.
    pub async fn close(&self, client: &Client) -> Result<()> {
        let path = format!("/v1/imports/{}", self.id);
        client.own(Method::DELETE, &path, Bytes::new()).await.map(drop)
    }
}

fn held_up<T>(answer: &Own) -> Option<Answer<T>> {
    match answer.status {
        429 | 503 => Some(Answer::Busy(answer.message())),
        404 => Some(Answer::Gone(answer.message())),
        _ => None,
    }
}

impl Totals {
    pub fn put(&mut self, put: &Put) {
        self.files += 1;
        self.known += u64::from(put.is_known);
        self.expired += put.expired;
    }

    pub fn commit(&mut self, committed: &Committed) {
        self.rows += committed.rows;
        self.duplicates += committed.duplicates;
    }

    pub fn add(&mut self, more: &Totals) {
        self.files += more.files;
        self.known += more.known;
        self.rows += more.rows;
        self.duplicates += more.duplicates;
        self.expired += more.expired;
    }

    /// Says on standard output what came of it.
    pub fn print(&self) {
        println!(
            "{} events from {} files; {} were there already, {} older than the retention; {} files were in before",
            HumanCount(self.rows),
            HumanCount(self.files),
            HumanCount(self.duplicates),
            HumanCount(self.expired),
            HumanCount(self.known),
        );
        if self.expired > 0 {
            println!(
                "To keep older events, make the store's retention longer: aws cloudtrail update-event-data-store --retention-period DAYS"
            );
        }
    }
}

/// The ARN of the event data store that is meant: by its name, ID or ARN, or the only one.
pub async fn store(client: &Client, named: Option<&str>) -> Result<String> {
    let mut stores: Vec<(String, String)> = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let mut input = json!({});
        if let Some(token) = &token {
            input["NextToken"] = json!(token);
        }
        let answer = client.cloudtrail(&client.region, "ListEventDataStores", &input).await?;
        for store in answer["EventDataStores"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let text = |key: &str| store[key].as_str().unwrap_or_default().to_owned();
            stores.push((text("Name"), text("EventDataStoreArn")));
        }
        token = answer["NextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    let names: HashSet<&str> = stores.iter().map(|(name, _)| name.as_str()).collect();
    let fits = |arn: &str, name: &str, wanted: &str| {
        wanted == arn || wanted == name || arn.rsplit('/').next() == Some(wanted)
    };
    let found: Vec<&String> = stores
        .iter()
        .filter(|(name, arn)| named.is_none_or(|wanted| fits(arn, name, wanted)))
        .map(|(_, arn)| arn)
        .collect();
    match (found.as_slice(), named) {
        ([arn], _) => Ok((*arn).clone()),
        (_, Some(wanted)) => {
            bail!("there is no event data store {wanted}; there are: {}", listed(&names))
        }
        ([], None) => bail!(
            "there is no event data store; make one: aws cloudtrail create-event-data-store --name audit"
        ),
        (_, None) => {
            bail!("there are several event data stores; name one with --into: {}", listed(&names))
        }
    }
}

fn listed(names: &HashSet<&str>) -> String {
    let mut names: Vec<&str> = names.iter().copied().collect();
    names.sort_unstable();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
