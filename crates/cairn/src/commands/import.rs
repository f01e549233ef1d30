//! `cairn import`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use futures::StreamExt as _;
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use lake::LogFile as _;

use crate::client::{Client, is_busy};
use crate::open_import::{
    self, Answer, COMMIT_BYTES, Committed, FILES_AT_ONCE, OpenImport, Put, Totals,
};
use crate::sources::{self, SourceFile};

/// How often a server that has no room is asked again, and how long it is waited for between.
const RETRIES_MAX: u32 = 60;
/// Beginnings and commits that are tried before the import is given up for now.
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

/// Files of which something is not in, with the reason.
type Bad = Vec<(String, String)>;

pub fn run(arguments: Import) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let (totals, bad) = runtime.block_on(import(&arguments))?;
    for (name, reason) in &bad {
        eprintln!("cairn import: {name}: {reason}");
    }
    totals.print();
    if bad.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} files have events that are not in: see above", bad.len());
    Ok(ExitCode::FAILURE)
}

async fn import(arguments: &Import) -> Result<(Totals, Bad)> {
    let files = sources::list(&arguments.sources, arguments.data.as_deref()).await?;
    let client = Client::new(arguments.data.as_deref())?;
    let store = open_import::store(&client, arguments.into.as_deref()).await?;
    let open = begin(&client, &store).await?;
    let bar = ProgressBar::new(files.iter().map(|file| file.bytes).sum());
    bar.set_style(
        ProgressStyle::with_template(
            "{bar:40} {bytes}/{total_bytes}, {binary_bytes_per_sec}, {msg}, {elapsed} (about {eta} left)",
        )
        .context("progress template")?,
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let (mut totals, mut bad) = (Totals::default(), Bad::new());
    let done = all_files(&client, &open, files, &bar, &mut totals, &mut bad).await;
    bar.finish_and_clear();
    let _ = open.close(&client).await;
    done?;
    Ok((totals, bad))
}

/// Opens an import. A server that has just been started opens its stores first.
async fn begin(client: &Client, store: &str) -> Result<OpenImport> {
    for _ in 0..COMMIT_RETRIES_MAX {
        match OpenImport::begin(client, store).await {
            Err(error) if is_busy(&error) => tokio::time::sleep(RETRY_REST).await,
            begun => return begun,
        }
    }
    OpenImport::begin(client, store).await
}

async fn all_files(
    client: &Client,
    open: &OpenImport,
    files: Vec<SourceFile>,
    bar: &ProgressBar,
    totals: &mut Totals,
    bad: &mut Bad,
) -> Result<()> {
    let mut waiting: u64 = 0;
    let mut sent = futures::stream::iter(files)
        .map(|file| async move { (send(client, open, &file).await, file) })
        .buffer_unordered(FILES_AT_ONCE);
    // While the server writes, it is handed more.
    let mut committing = None;
    loop {
        tokio::select! {
            next = sent.next() => {
                let Some((sent, file)) = next else { break };
                match sent? {
                    Ok(put) => {
                        totals.put(&put);
                        bad.extend(put.refused.map(|reason| (file.name.clone(), reason)));
                    }
                    Err(reason) => bad.push((file.name.clone(), reason)),
                }
                bar.inc(file.bytes);
                waiting += file.bytes;
                if waiting >= COMMIT_BYTES && committing.is_none() {
                    committing = Some(Box::pin(commit(client, open)));
                    waiting = 0;
                }
            }
            done = async { committing.as_mut().expect("asked below").await }, if committing.is_some() => {
                committing = None;
                totals.commit(&done?);
                bar.set_message(format!("{} events", HumanCount(totals.rows)));
            }
        }
    }
    if let Some(committing) = committing {
        totals.commit(&committing.await?);
    }
    totals.commit(&commit(client, open).await?);
    Ok(())
}

/// Hands in one file, or says what is wrong with it. A server without room is waited for.
async fn send(
    client: &Client,
    open: &OpenImport,
    file: &SourceFile,
) -> Result<Result<Put, String>> {
    let bytes = match file.read().await {
        Ok(bytes) => bytes,
        Err(reason) => return Ok(Err(reason)),
    };
    for _ in 0..RETRIES_MAX {
        match open.put(client, &file.name, bytes.clone()).await? {
            Answer::Done(put) => return Ok(Ok(put)),
            Answer::Bad { reason, .. } => return Ok(Err(reason)),
            Answer::Busy(_) => tokio::time::sleep(RETRY_REST).await,
            Answer::Gone(message) => bail!("hand in {}: {message}", file.name),
        }
    }
    bail!(
        "hand in {}: the server has had no room for {} s",
        file.name,
        RETRY_REST.as_secs() * u64::from(RETRIES_MAX)
    )
}

async fn commit(client: &Client, open: &OpenImport) -> Result<Committed> {
    for _ in 0..COMMIT_RETRIES_MAX {
        match open.commit(client).await? {
            Answer::Done(committed) => return Ok(committed),
            Answer::Busy(_) => tokio::time::sleep(RETRY_REST).await,
            Answer::Bad { reason: message, .. } | Answer::Gone(message) => bail!("{message}"),
        }
    }
    bail!("the server cannot commit now; what was committed is in: start the import again later")
}
