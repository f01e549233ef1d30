//! `cairn query`

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lake::sql::Limits;
use lake::{LogFile, LogFiles, Progress, TextRow, Troubles, prepare_over_files};
use serde_json::{Value, json};

use crate::client::Client;
use crate::rows::{Format, Writer};
use crate::sources;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cairn query \"SELECT eventName, count(*) AS n FROM $ID GROUP BY 1 ORDER BY n DESC\" --data ./cairn-data
  cairn query \"SELECT userIdentity.arn, eventTime FROM logs WHERE errorCode = 'AccessDenied'\" --from ./logs
  cairn query \"SELECT * FROM logs WHERE eventTime > '2026-03-01 00:00:00'\" --from s3://bucket/AWSLogs --format parquet > day.parquet

The SQL is CloudTrail Lake's: Trino's SELECT. Without --from it runs on the server, over the event
data stores that it names by their IDs. With --from it runs here, over log files (plain, gzip or
zstd; any shape that holds records), and every table's name stands for them; files are left out by
the day and Region in their path where the query allows it. Files that cannot be read are named on
standard error, and the exit status is then 1.")]
pub struct Query {
    /// A SELECT statement
    #[arg(value_name = "SQL")]
    statement: String,
    /// Log files to read: a file, a folder or s3://BUCKET[/PREFIX]; no server is needed
    #[arg(long, value_name = "SOURCE", num_args = 1..)]
    from: Vec<String>,
    /// A node's data folder; without it the AWS variables and profile say where the server is
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// How rows are written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Memory for sorts, joins and aggregations, in MB; more goes to disk
    #[arg(long, value_name = "MB", default_value_t = 512)]
    memory: usize,
}

pub fn run(arguments: Query) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let code = if arguments.from.is_empty() {
        runtime.block_on(on_server(&arguments))
    } else {
        runtime.block_on(over_files(&arguments))
    };
    // A query that was left early may still be decoding a file.
    runtime.shutdown_background();
    code
}

async fn over_files(arguments: &Query) -> Result<ExitCode> {
    let files = sources::list(&arguments.from, arguments.data.as_deref()).await?;
    let count = files.len();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let files = files.into_iter().map(|file| Arc::new(file) as Arc<dyn LogFile>).collect();
    let files = LogFiles::new(files, threads);
    let (troubles, read) = (files.troubles(), files.files_read());
    let spill = std::env::temp_dir().join(format!("cairn-query-{}", std::process::id()));
    let limits = Limits {
        memory_bytes_max: arguments.memory << 20,
        spill_folder: Some(spill.clone()),
        threads,
        ..Limits::default()
    };
    let bar = progress_bar(count as u64, "{bar:40} {pos}/{len} files, {elapsed}")?;
    let ticking = bar.clone();
    let ticker = tokio::spawn(async move {
        loop {
            ticking.set_position(read.load(Ordering::Relaxed) as u64);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let done = answer(arguments, files, &limits, &bar).await;
    ticker.abort();
    bar.finish_and_clear();
    let _ = std::fs::remove_dir_all(&spill);
    done?;
    Ok(tell(&troubles))
}

async fn answer(
    arguments: &Query,
    files: LogFiles,
    limits: &Limits,
    bar: &ProgressBar,
) -> Result<()> {
    let prepared = prepare_over_files(&arguments.statement, files, limits).await?;
    let progress = Arc::new(Progress::default());
    if arguments.format == Format::Parquet {
        prepared.write_parquet(parquet_output()?, &progress).await?;
        return Ok(());
    }
    let mut writer = Writer::new(arguments.format, prepared.columns.clone(), std::io::stdout());
    let mut portions = prepared.start(&tokio::runtime::Handle::current(), progress);
    while let Some(portion) = portions.recv().await {
        let portion = portion?;
        bar.suspend(|| writer.write(&portion))?;
    }
    bar.suspend(|| writer.end())
}

fn parquet_output() -> Result<impl Write + Send> {
    let output = std::io::stdout();
    if output.is_terminal() {
        bail!("Parquet is no text: send it to a file, such as > result.parquet");
    }
    Ok(std::io::BufWriter::new(output))
}

/// Names what could not be read.
fn tell(troubles: &Troubles) -> ExitCode {
    const TOLD_MAX: usize = 20;
    let troubles = troubles.lock().expect("no holder of this lock can panic");
    for (name, reason) in troubles.iter().take(TOLD_MAX) {
        eprintln!("cairn query: left out {name}: {reason}");
    }
    if troubles.len() > TOLD_MAX {
        eprintln!("cairn query: … and {} more", troubles.len() - TOLD_MAX);
    }
    if troubles.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn on_server(arguments: &Query) -> Result<ExitCode> {
    if arguments.format == Format::Parquet {
        bail!("Parquet is written for --from only; a server answers with text: take csv or json");
    }
    let client = Client::new(arguments.data.as_deref())?;
    let started = json!({ "QueryStatement": arguments.statement });
    let started = client.cloudtrail(&client.region, "StartQuery", &started).await?;
    let id = started["QueryId"].as_str().context("StartQuery answered no QueryId")?.to_owned();
    let bar = progress_bar(0, "{spinner} {msg}, {elapsed}")?;
    let done = rows_of(arguments, &client, &id, &bar).await;
    bar.finish_and_clear();
    done?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for the query and writes its rows.
async fn rows_of(arguments: &Query, client: &Client, id: &str, bar: &ProgressBar) -> Result<()> {
    let mut token: Option<String> = None;
    let mut writer: Option<Writer<std::io::Stdout>> = None;
    let mut rest = Duration::from_millis(5);
    loop {
        let mut input = json!({ "QueryId": id, "MaxQueryResults": 1000 });
        if let Some(token) = &token {
            input["NextToken"] = json!(token);
        }
        let answer = client.cloudtrail(&client.region, "GetQueryResults", &input).await?;
        match answer["QueryStatus"].as_str().unwrap_or_default() {
            "FINISHED" => {}
            "QUEUED" | "RUNNING" => {
                bar.set_message(answer["QueryStatus"].as_str().unwrap_or_default().to_lowercase());
                tokio::time::sleep(rest).await;
                rest = (rest * 2).min(Duration::from_millis(500));
                continue;
            }
            status => {
                let message = answer["ErrorMessage"].as_str().unwrap_or("no reason was given");
                bail!("the query ended as {status}: {message}");
            }
        }
        let rows = answer["QueryResultRows"].as_array().map(Vec::as_slice).unwrap_or_default();
        let writer = writer.get_or_insert_with(|| {
            Writer::new(arguments.format, columns(rows.first()), std::io::stdout())
        });
        let texts: Vec<TextRow> = rows.iter().map(texts).collect();
        bar.suspend(|| writer.write(&texts))?;
        token = answer["NextToken"].as_str().map(str::to_owned);
        if token.is_none() {
            return bar.suspend(|| writer.end());
        }
    }
}

/// A row is a list of maps with one key each, in the order of the columns.
fn columns(row: Option<&Value>) -> Vec<String> {
    let cells = row.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    cells.iter().filter_map(|cell| cell.as_object()?.keys().next().cloned()).collect()
}

fn texts(row: &Value) -> TextRow {
    let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |cell: &Value| cell.as_object()?.values().next()?.as_str().map(str::to_owned);
    cells.iter().map(text).collect()
}

fn progress_bar(length: u64, template: &str) -> Result<ProgressBar> {
    let bar = ProgressBar::new(length);
    bar.set_style(ProgressStyle::with_template(template).context("progress template")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    Ok(bar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_api_become_texts_in_order() {
        let row = json!([{ "eventName": "A" }, { "n": "2" }, { "n": "3" }]);
        assert_eq!(columns(Some(&row)), ["eventName", "n", "n"]);
        let wanted = ["A", "2", "3"].map(|text| Some(text.to_owned()));
        assert_eq!(texts(&row), wanted);
        assert_eq!(columns(None), Vec::<String>::new());
    }
}
