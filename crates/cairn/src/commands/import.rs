//! `cairn import`

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use clap::Args;
use futures::StreamExt as _;
use http::Method;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use lake::LogFile as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::sources::{self, SourceFile};

/// Files are made durable together after so many bytes: a commit costs about the same for one.
const COMMIT_BYTES: u64 = 64 << 20;
/// Files on their way to the server at once.
const FILES_AT_ONCE: usize = 4;
/// How often a server that has no room is asked again, and how long it is waited for between.
const RETRIES_MAX: u32 = 60;
/// Commits that are tried before the import is given up for now.
const COMMIT_RETRIES_MAX: u32 = 5;
const RETRY_REST: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn import ./logs --into audit --data ./cairn-data
  cairn import s3://trail-bucket/AWSLogs --into arn:aws:cloudtrail:…:eventdatastore/…

Log files as CloudTrail writes them, arrays, NDJSON, EventBridge and CloudWatch Logs envelopes, plain,
gzip or zstd. Importing the same file or event twice changes nothing, so an import that was
interrupted is simply started again: files that are in already are skipped. Files that cannot be
read are named with the reason while the rest goes in. Exit status: 0 everything is in, 1 some files
are not.")]
pub struct Import {
    /// Log files: a file, a folder or s3://BUCKET[/PREFIX]
    #[arg(required = true)]
    sources: Vec<String>,
    /// The event data store: its name, ID or ARN [default: the only one there is]
    #[arg(long, value_name = "STORE")]
    into: Option<String>,
    /// A node's data folder; without it the AWS variables and profile say where the server is
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Totals {
    files: u64,
    known: u64,
    rows: u64,
    duplicates: u64,
    expired: u64,
    /// Files of which something is not in, with the reason.
    bad: Vec<(String, String)>,
}

pub fn run(arguments: Import) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let totals = runtime.block_on(import(&arguments))?;
    for (name, reason) in &totals.bad {
        eprintln!("cairn import: {name}: {reason}");
    }
    println!(
        "{} events from {} files; {} were there already, {} older than the retention; {} files were in before",
        HumanCount(totals.rows),
        HumanCount(totals.files),
        HumanCount(totals.duplicates),
        HumanCount(totals.expired),
        HumanCount(totals.known),
    );
    if totals.expired > 0 {
        println!(
            "To keep older events, make the store's retention longer: aws cloudtrail update-event-data-store --retention-period DAYS"
        );
    }
    if totals.bad.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} files have events that are not in: see above", totals.bad.len());
    Ok(ExitCode::FAILURE)
}

async fn import(arguments: &Import) -> Result<Totals> {
    let files = sources::list(&arguments.sources, arguments.data.as_deref()).await?;
    let client = Client::new(arguments.data.as_deref())?;
    let store = store(&client, arguments.into.as_deref()).await?;
    let begun =
        client.own(Method::POST, "/v1/imports", json_body(&json!({ "store": store }))).await?;
    let id = begun.value()?["importId"].as_str().context("no importId was answered")?.to_owned();
    let bar = ProgressBar::new(files.iter().map(|file| file.bytes).sum());
    bar.set_style(
        ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes}, {binary_bytes_per_sec}, {msg}, {elapsed} (about {eta} left)",
        )
        .context("progress template")?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut totals = Totals::default();
    let done = all_files(&client, &id, files, &bar, &mut totals).await;
    bar.finish_and_clear();
    let _ = client.own(Method::DELETE, &format!("/v1/imports/{id}"), Bytes::new()).await;
    done?;
    Ok(totals)
}

async fn all_files(
    client: &Client,
    id: &str,
    files: Vec<SourceFile>,
    bar: &ProgressBar,
    totals: &mut Totals,
) -> Result<()> {
    let mut waiting: u64 = 0;
    let mut sent = futures::stream::iter(files)
        .map(|file| async move { (send(client, id, &file).await, file) })
        .buffer_unordered(FILES_AT_ONCE);
    while let Some((sent, file)) = sent.next().await {
        match sent? {
            Sent::In(answer) => {
                totals.files += 1;
                totals.known += u64::from(answer["known"].as_bool().unwrap_or(false));
                totals.expired += answer["expired"].as_u64().unwrap_or(0);
                let refused = answer["refusedCount"].as_u64().unwrap_or(0);
                if refused > 0 {
                    let first = answer["refused"][0].as_str().unwrap_or_default();
                    let reason = format!("{refused} records were refused, the first: {first}");
                    totals.bad.push((file.name.clone(), reason));
                }
            }
            Sent::Bad(reason) => totals.bad.push((file.name.clone(), reason)),
        }
        bar.inc(file.bytes);
        waiting += file.bytes;
        if waiting >= COMMIT_BYTES {
            commit(client, id, totals).await?;
            waiting = 0;
        }
        bar.set_message(format!("{} events", HumanCount(totals.rows)));
    }
    drop(sent);
    commit(client, id, totals).await
}

enum Sent {
    In(Value),
    Bad(String),
}

/// Hands in one file. A server without room is waited for.
async fn send(client: &Client, id: &str, file: &SourceFile) -> Result<Sent> {
    let bytes = match file.read().await {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Sent::Bad(reason)),
    };
    let hash = hex::encode(digest(&SHA256, &bytes));
    let name = utf8_percent_encode(&file.name, NON_ALPHANUMERIC);
    let path = format!("/v1/imports/{id}/files?name={name}&sha256={hash}");
    for _ in 0..RETRIES_MAX {
        let answer = client.own(Method::PUT, &path, bytes.clone()).await?;
        match answer.status {
            200 => return Ok(Sent::In(answer.value()?)),
            413 | 422 => return Ok(Sent::Bad(answer.message())),
            429 | 503 => tokio::time::sleep(RETRY_REST).await,
            _ => bail!("hand in {}: {}", file.name, answer.message()),
        }
    }
    bail!(
        "hand in {}: the server has had no room for {} s",
        file.name,
        RETRY_REST.as_secs() * u64::from(RETRIES_MAX)
    )
}

async fn commit(client: &Client, id: &str, totals: &mut Totals) -> Result<()> {
    let path = format!("/v1/imports/{id}/commit");
    for _ in 0..COMMIT_RETRIES_MAX {
        let answer = client.own(Method::POST, &path, Bytes::new()).await?;
        if matches!(answer.status, 429 | 503) {
            tokio::time::sleep(RETRY_REST).await;
            continue;
        }
        let answer = answer.value()?;
        totals.rows += answer["rows"].as_u64().unwrap_or(0);
        totals.duplicates += answer["duplicates"].as_u64().unwrap_or(0);
        return Ok(());
    }
    bail!("the server cannot commit now; what was committed is in: start the import again later")
}

/// The ARN of the store that is meant.
async fn store(client: &Client, named: Option<&str>) -> Result<String> {
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

fn json_body(value: &Value) -> Bytes {
    value.to_string().into()
}
