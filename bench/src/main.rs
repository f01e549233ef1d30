//! The load generator behind `make bench`: how many events a second does a server make durable,
//! and how long does each batch wait for its answer?
//!
//! ```text
//!   bench events    POST /v1/events to Cairn, one body of `batch` records a request
//!   bench singles   the same with one record a request and many connections
//!   bench nats      the same bytes, one message a body, to NATS JetStream in file storage
//!   bench lake-files   a folder of log files for the benchmark of the lake; sends nothing
//! ```
//! Each prints one line of JSON ([`load::Report`], [`lake::Written`]) and fails when the server
//! breaks a connection. `bench/run.py` and `bench/lake.py` start the servers and compare. Sending
//! takes one thread: the servers need the other core.

mod bodies;
mod dice;
mod http;
mod lake;
mod load;
mod nats;
mod records;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;

use crate::bodies::Bodies;
use crate::http::Target;
use crate::load::{Report, Schedule};

#[derive(Debug, Parser)]
#[command(about = "Load for Cairn and for its peer: the same records, the same clock")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Post batches to Cairn
    Events {
        #[command(flatten)]
        cairn: Cairn,
        #[command(flatten)]
        load: Load,
    },
    /// Post records to Cairn one by one, over as many connections as are in flight
    Singles {
        #[command(flatten)]
        cairn: Cairn,
        #[command(flatten)]
        load: Load,
    },
    /// Publish batches to NATS JetStream; the stream BENCH is made anew
    Nats {
        /// Such as nats://127.0.0.1:4222
        #[arg(long)]
        url: String,
        /// Connections that the batches in flight share, as one client library does
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[command(flatten)]
        load: Load,
    },
    /// Write log files as CloudTrail writes them, over 30 days, several accounts and Regions
    LakeFiles(LakeFiles),
}

#[derive(Debug, Args)]
struct LakeFiles {
    /// Where AWSLogs/ is made; must be empty or not there
    #[arg(long)]
    folder: PathBuf,
    /// Records in all files together
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    #[arg(long, default_value_t = 500)]
    files: u64,
    /// The same arguments and the same `--until` give the same bytes
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The last event is just before this time [default: the midnight before now, UTC]
    #[arg(long)]
    until: Option<Timestamp>,
    /// Let one record in two hundred be a copy of one in an earlier file
    #[arg(long)]
    duplicates: bool,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[derive(Debug, Args)]
struct Cairn {
    /// Such as http://127.0.0.1:4580
    #[arg(long)]
    endpoint: String,
    /// The ingest token, in DIR/credentials
    #[arg(long)]
    token: String,
}

#[derive(Debug, Args)]
struct Load {
    /// Records in a body [default: 100; singles: 1]
    #[arg(long)]
    batch: Option<usize>,
    /// Bodies on their way at a time [default: 16; singles: 128]
    #[arg(long)]
    in_flight: Option<usize>,
    /// How long to measure
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How long to send before measuring
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
    /// Events a second, sent at even intervals whether or not the server keeps up; latencies then
    /// count from when a batch was due [default: as fast as answers come]
    #[arg(long)]
    rate: Option<f64>,
    /// What the records are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// recipientAccountId of the records
    #[arg(long, default_value = "111111111111")]
    account: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let report = match Arguments::parse().command {
        Command::Events { cairn, load } => post(&cairn, &load, 100, 16).await?,
        Command::Singles { cairn, load } => post(&cairn, &load, 1, 128).await?,
        Command::Nats { url, connections, load } => publish(&url, connections, &load).await?,
        Command::LakeFiles(wanted) => {
            println!("{}", serde_json::to_string(&write_lake_files(wanted)?)?);
            return Ok(());
        }
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

fn write_lake_files(wanted: LakeFiles) -> Result<lake::Written> {
    let LakeFiles { folder, events, files, seed, until, duplicates, threads } = wanted;
    let until = match until {
        Some(until) => until,
        None => Timestamp::from_second(Timestamp::now().as_second() / 86_400 * 86_400)?,
    };
    lake::write_files(&lake::Wanted { folder, events, files, seed, until, duplicates, threads })
}

async fn post(
    cairn: &Cairn,
    load: &Load,
    batch_default: usize,
    in_flight_default: usize,
) -> Result<Report> {
    let target = Target::parse(&cairn.endpoint, &cairn.token)?;
    let (batch, in_flight) =
        (load.batch.unwrap_or(batch_default), load.in_flight.unwrap_or(in_flight_default));
    let (bodies, schedule) = prepare(load, batch, in_flight)?;
    let tally = http::post(&target, bodies, batch, in_flight, schedule.clone()).await?;
    Ok(Report::new(&schedule, in_flight as u64, tally))
}

async fn publish(url: &str, connections: usize, load: &Load) -> Result<Report> {
    let address = url.strip_prefix("nats://").context("the URL must begin with nats://")?;
    let (batch, in_flight) = (load.batch.unwrap_or(100), load.in_flight.unwrap_or(16));
    nats::make_stream(address).await?;
    let (bodies, schedule) = prepare(load, batch, in_flight)?;
    let tally =
        nats::publish(address, bodies, batch, in_flight, connections, schedule.clone()).await?;
    Ok(Report::new(&schedule, in_flight as u64, tally))
}

/// The bodies, and a schedule that begins now.
fn prepare(load: &Load, batch: usize, in_flight: usize) -> Result<(Arc<Bodies>, Arc<Schedule>)> {
    ensure!(batch > 0 && in_flight > 0, "batch and in-flight must be at least 1");
    ensure!(load.seconds > 0.0 && load.warm_up_seconds >= 0.0, "seconds must be above 0");
    ensure!(load.rate.is_none_or(|rate| rate > 0.0), "the rate must be above 0");
    let bodies = Bodies::new(load.seed, batch, &load.account);
    let (warm_up, measured) =
        (Duration::from_secs_f64(load.warm_up_seconds), Duration::from_secs_f64(load.seconds));
    let schedule = Schedule::start(warm_up, measured, load.rate.map(|rate| rate / batch as f64));
    eprintln!(
        "records of {:.0} bytes on average, {batch} a body, {in_flight} bodies in flight",
        bodies.record_bytes_mean()
    );
    Ok((Arc::new(bodies), Arc::new(schedule)))
}
