//! The program: arguments, configuration, wiring. What it does lives in the other crates.

mod client;
mod commands;
mod config;
mod lake;
mod open_import;
mod reached;
mod rows;
mod sources;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Cairn, the open, self-hosted CloudTrail: it records who did what, when and from where, delivers
/// signed log files to S3 buckets, and proves that nothing was altered.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, propagate_version = true)]
#[command(
    after_help = "Start with `cairn serve`, then `eval \"$(cairn env)\"` in another shell and use the AWS CLI."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: CloudTrail API, STS, an S3 endpoint and event intake on one port
    Serve(commands::serve::Serve),
    /// Print the export lines that point AWS tools at the server: eval "$(cairn env)"
    Env(commands::env::Env),
    /// Accounts, users, roles and their policies
    Account(commands::account::Account),
    /// Access keys of users
    Key(commands::key::Key),
    /// Check the machine and the data folder, and name the remedy for what is wrong
    Doctor(commands::doctor::Doctor),
    /// Load log files into an event data store
    Import(commands::import::Import),
    /// Keep loading what appears in a folder, a growing file or a bucket
    Follow(commands::follow::Follow),
    /// Ask with SQL: a server's event data stores, or log files where they lie
    Query(commands::query::Query),
    /// Find events by who, what, where and when
    Lookup(commands::lookup::Lookup),
    /// Check log files and digests of a bucket or folder, and name everything altered or missing
    Verify(commands::verify::Verify),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(serve) => commands::serve::run(serve),
        Command::Env(env) => commands::env::run(&env),
        Command::Account(account) => commands::account::run(account),
        Command::Key(key) => commands::key::run(key),
        Command::Doctor(doctor) => commands::doctor::run(&doctor),
        Command::Import(import) => commands::import::run(import),
        Command::Follow(follow) => commands::follow::run(&follow),
        Command::Query(query) => commands::query::run(query),
        Command::Lookup(lookup) => commands::lookup::run(lookup),
        Command::Verify(verify) => commands::verify::run(verify),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cairn: {error:#}");
            ExitCode::FAILURE
        }
    }
}
