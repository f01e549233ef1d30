//! `cairn verify`

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use clap::Args;
use delivery::keys::Validity;
use delivery::layout::ObjectKey;
use delivery::verify::{
    FolderSource, KnownKey, Options, Progress, Report, Severity, Source, verify,
};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Value, json};
use server::clock::{Clock, SystemClock};

use crate::client::Client;
use crate::sources;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn verify s3://audit-logs --data ./cairn-data
  cairn verify s3://audit-logs/prefix                    with the AWS variables or profile in use
  cairn verify ./mirror --public-keys keys.json          a folder; keys as ListPublicKeys answers

Public keys come from ListPublicKeys of every Region that the digests name, or from a file. A folder
holds a bucket's objects under their keys, with each digest's user metadata beside it as
NAME.metadata.json. Exit status: 0 all valid, 1 something is wrong, 2 it could not be checked.")]
pub struct Verify {
    /// s3://BUCKET[/PREFIX], or a folder
    source: String,
    /// A node's data folder: its endpoint, key and public keys are used
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// File with public keys, as `aws cloudtrail list-public-keys` prints them
    #[arg(long, value_name = "FILE")]
    public_keys: Option<PathBuf>,
    /// Only what was delivered after this time, such as 2026-11-22T00:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only what was delivered up to this time
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Objects read at the same time
    #[arg(long, value_name = "N", default_value_t = 16)]
    concurrency: usize,
    /// Log files that no digest lists are notes, not errors: for buckets that a trail without
    /// validation shares
    #[arg(long)]
    allow_unlisted: bool,
    /// Bucket names as host names, for stores that want it
    #[arg(long)]
    virtual_host_style: bool,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Verify) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    match runtime.block_on(check(&arguments)) {
        Ok(report) => {
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print(&report);
            }
            Ok(if report.is_valid() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            eprintln!("cairn verify: {error:#}");
            Ok(ExitCode::from(2))
        }
    }
}

async fn check(arguments: &Verify) -> Result<Report> {
    let (source, prefix, client) = open(arguments)?;
    let source = source.as_ref();
    let keys = match &arguments.public_keys {
        Some(path) => keys_in_file(path)?,
        None => {
            let regions = regions_of_digests(source, &prefix).await?;
            let client = match client {
                Some(client) => client,
                None => Client::new(arguments.data.as_deref())
                    .context("public keys are needed: give --public-keys FILE, --data DIR, or AWS credentials")?,
            };
            announced_keys(&client, &regions, arguments).await?
        }
    };
    let options = Options {
        prefix,
        from: arguments.from,
        to: arguments.to,
        concurrency: arguments.concurrency.max(1),
        unlisted_is_note: arguments.allow_unlisted,
        ..Options::default()
    };
    let bar = ProgressBar::new(0);
    bar.set_style(
        ProgressStyle::with_template(
            "{bar:40} {pos}/{len} objects, {msg}, {elapsed} (about {eta} left)",
        )
        .context("progress template")?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let mut show = |progress: Progress| {
        bar.set_length(progress.digests + progress.log_files);
        bar.set_position(progress.digests_done + progress.log_files_done);
        bar.set_message(format!("{} MB read", progress.bytes_read / 1_000_000));
    };
    let report = verify(source, &keys, &options, &mut show).await;
    bar.finish_and_clear();
    report.with_context(|| format!("list {}", arguments.source))
}

type Opened = (Box<dyn Source>, String, Option<Client>);

fn open(arguments: &Verify) -> Result<Opened> {
    let Some(place) = arguments.source.strip_prefix("s3://") else {
        let folder = Path::new(&arguments.source);
        if !folder.is_dir() {
            bail!("{} is neither a folder nor s3://BUCKET[/PREFIX]", arguments.source);
        }
        return Ok((Box::new(FolderSource::new(folder, None)), String::new(), None));
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let client = Client::new(arguments.data.as_deref())?;
    let destination = sources::bucket(&client, bucket, arguments.virtual_host_style)?;
    Ok((Box::new(destination), prefix.to_owned(), Some(client)))
}

/// The Regions whose keys are needed: they stand in the digests' names.
async fn regions_of_digests(source: &dyn Source, prefix: &str) -> Result<BTreeSet<String>> {
    let mut regions = BTreeSet::new();
    let mut listing = source.list(prefix);
    while let Some(object) = listing.next().await {
        if let Some(ObjectKey::Digest(digest)) = ObjectKey::parse(&object?.key) {
            regions.insert(digest.place.region);
        }
    }
    Ok(regions)
}

async fn announced_keys(
    client: &Client,
    regions: &BTreeSet<String>,
    arguments: &Verify,
) -> Result<Vec<KnownKey>> {
    // Before CloudTrail signed anything, until a day from now: every key there ever was.
    let start = arguments.from.map_or(1_300_000_000, Timestamp::as_second);
    let end = arguments.to.map_or_else(
        || SystemClock::start().now().as_second() + 86_400,
        |t| t.as_second() + 86_400,
    );
    let mut keys = Vec::new();
    for region in regions {
        let mut token: Option<String> = None;
        loop {
            let mut input = json!({ "StartTime": start, "EndTime": end });
            if let Some(token) = &token {
                input["NextToken"] = json!(token);
            }
            let answer = client.cloudtrail(region, "ListPublicKeys", &input).await?;
            keys.extend(keys_of(&answer)?);
            token = answer.get("NextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
    }
    Ok(keys)
}

fn keys_in_file(path: &Path) -> Result<Vec<KnownKey>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("read public keys {}", path.display()))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    keys_of(&value).with_context(|| format!("public keys {}", path.display()))
}

/// `{"PublicKeyList":[{"Value","Fingerprint","ValidityStartTime","ValidityEndTime"}]}`
fn keys_of(answer: &Value) -> Result<Vec<KnownKey>> {
    let list = answer
        .get("PublicKeyList")
        .and_then(Value::as_array)
        .context("there is no PublicKeyList")?;
    let mut keys = Vec::with_capacity(list.len());
    for key in list {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let der = base64::engine::general_purpose::STANDARD
            .decode(text("Value").context("a key has no Value")?)
            .context("a key's Value is not base64")?;
        let time = |name: &str| match key.get(name) {
            Some(Value::Number(seconds)) => {
                seconds.as_f64().and_then(|s| Timestamp::from_second(s as i64).ok())
            }
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        let validity = match (time("ValidityStartTime"), time("ValidityEndTime")) {
            (Some(start), Some(end)) => Some(Validity { start, end }),
            _ => None,
        };
        let fingerprint =
            text("Fingerprint").map_or_else(|| delivery::keys::fingerprint(&der), str::to_owned);
        keys.push(KnownKey { fingerprint, der, validity });
    }
    Ok(keys)
}

fn print(report: &Report) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for finding in &report.findings {
        let mark = match finding.severity {
            Severity::Error => "INVALID",
            Severity::Note => "note",
        };
        println!("{mark}  {}\n         {}", finding.key, finding.detail);
        *counts.entry(mark.to_owned()).or_default() += 1;
    }
    for chain in &report.chains {
        println!(
            "chain    trail {} ({}), account {}, {}: {} digests, {} to {}",
            chain.trail_name,
            chain.home_region,
            chain.account,
            chain.region,
            chain.digests,
            chain.start,
            chain.end
        );
    }
    let totals = &report.totals;
    println!(
        "digests  {} valid, {} invalid, {} missing\nlog files {} valid, {} invalid, {} unlisted",
        totals.digests_valid,
        totals.digests_invalid,
        totals.digests_missing,
        totals.log_files_valid,
        totals.log_files_invalid,
        totals.unlisted
    );
    println!("{}", if report.is_valid() { "VALID" } else { "NOT VALID" });
}
