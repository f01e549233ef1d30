//! Speaks the conversations in `scenarios/` with the server and compares every answer.
//!
//! ```text
//!   # What this part shows              a comment
//!   > in eu-west-1                      the Region of what follows; us-east-1 at first
//!   > s3 CreateBucket audit-logs        a call to the embedded store; it must succeed
//!   > GetTrail {"Name": "audit"}        a call; its text is sent as it stands, well-formed or not
//!   < 200 {"Trail": {"Name": "audit",   the answer, with every member; an indented line goes on
//!       "CreatedTime": <time>}}
//!   > GetTrail {"Name": "nonesuch"}
//!   < 400 TrailNotFoundException "Unknown trail: nonesuch for the user: 111111111111"
//! ```
//! Other calls: `> target VALUE BODY` sends that X-Amz-Target, `> sts Action=…&Version=…` a form,
//! `> post RECORDS` and `> lookup BODY` go to `/v1/events` and `/v1/lookup`, `> put CHANNEL ENTRIES` is
//! PutAuditEvents, where an `eventData` that is an object is sent as its text;
//! `> eventually CALL` asks again until the answer fits. `<=arn>` in a call is the value that an
//! answer before named so, as `<any=arn>`, and `<=arn.id>` what follows its last slash. `> http METHOD
//! PATH BODY` goes to any of our own doors. `<x*129>` stands for 129 times x, and
//! `<1..51: "k#">` for "k1", … "k51". What an answer may leave open: see `expected`.
//!
//! `CONVERSATION=tags cargo test -p server --test all` speaks only those whose name has `tags`.

pub mod client;
mod expected;
mod script;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::cloudtrail::Operation;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fresh_node::{FreshNode, REGION};
use client::{Answer, Call, Client};
use expected::Known;
use script::{Exchange, Script};

/// How often a call with `eventually` is made, and with what rest between. It ends as soon as the
/// answer fits; the bound only decides when to call it a failure.
const ATTEMPTS_MAX: usize = 600;
const REST: Duration = Duration::from_millis(100);
/// Conversations at once. Each has a node with its own threads.
const AT_ONCE_MAX: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_conversation_goes_as_written() {
    let only = std::env::var("CONVERSATION").unwrap_or_default();
    let mut waiting = scenarios();
    waiting.retain(|path| path.to_string_lossy().contains(&only));
    assert!(!waiting.is_empty(), "no conversation is called {only:?}");
    let mut speaking = JoinSet::new();
    let mut reports = Vec::new();
    while !(waiting.is_empty() && speaking.is_empty()) {
        while speaking.len() < AT_ONCE_MAX
            && let Some(path) = waiting.pop()
        {
            speaking.spawn(speak(path));
        }
        let report = speaking.join_next().await.expect("one is speaking");
        reports.extend(report.expect("a conversation ends without a panic"));
    }
    reports.sort();
    assert!(reports.is_empty(), "\n\n{}\n", reports.join("\n\n"));
}

/// Each answers with its own words, whatever it makes of an empty request.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_of_the_model_is_there() {
    let fresh = FreshNode::start().await;
    let mut client = Client::new(&fresh.node);
    let mut missing = Vec::new();
    for operation in Operation::ALL {
        let answer = client.cloudtrail(operation.name(), "{}").await;
        assert_eq!(answer.faults, Vec::<String>::new(), "{}", operation.name());
        if answer.code() == Some("UnsupportedOperationException") || answer.status >= 500 {
            missing.push(operation.name());
        }
    }
    fresh.stop().await;
    assert!(missing.is_empty(), "these are not implemented: {missing:?}");
}

/// AWS's limit is a setting here.
#[tokio::test(flavor = "multi_thread")]
async fn lookups_are_held_to_the_configured_rate() {
    let fresh = FreshNode::start_with(|settings| {
        settings.lake.lookup_events_per_second = Some(1);
    })
    .await;
    let mut client = Client::new(&fresh.node);
    // The second within a second is refused, unless the machine is that slow; then a later one is.
    let mut throttled = false;
    for _ in 0..ATTEMPTS_MAX {
        let answer = client.cloudtrail("LookupEvents", "{}").await;
        throttled = answer.code() == Some("ThrottlingException");
        if throttled {
            assert_eq!(answer.status, 400, "{}", answer.text);
            break;
        }
    }
    // Not counted against LookupEvents.
    assert_eq!(client.cloudtrail("ListTrails", "{}").await.status, 200);
    fresh.stop().await;
    assert!(throttled);
}

/// A page has 100 trails; 21 Regions with five each need two. Too many calls for a text.
#[tokio::test(flavor = "multi_thread")]
async fn more_trails_than_a_page_come_in_pages() {
    let fresh = FreshNode::start().await;
    let mut client = Client::new(&fresh.node);
    let mut say = async |region: &str, name: &str, body: String| {
        let call = Call::Operation { name: name.to_owned(), body };
        let answer = client.call(region, &call).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    };
    let bucket = Call::S3 {
        operation: "CreateBucket".to_owned(),
        bucket: "audit-logs".to_owned(),
        rest: String::new(),
    };
    assert_eq!(Client::new(&fresh.node).call(REGION, &bucket).await.status, 200);
    let mut made = BTreeSet::new();
    let area = |n: usize| ["ap-south", "eu-west", "us-west"][n % 3];
    for region in (0..21).map(|n| format!("{}-{}", area(n), n / 3 + 1)) {
        for name in ["one", "two", "three", "four", "five"] {
            let body = json!({"Name": name, "S3BucketName": "audit-logs"}).to_string();
            let trail = say(&region, "CreateTrail", body).await;
            made.insert(trail["TrailARN"].as_str().expect("an ARN").to_owned());
        }
    }
    let first = say(REGION, "ListTrails", "{}".to_owned()).await;
    let next = json!({"NextToken": first["NextToken"]}).to_string();
    let second = say(REGION, "ListTrails", next).await;
    fresh.stop().await;

    let pages = [&first, &second].map(|page| page["Trails"].as_array().expect("a list").as_slice());
    assert_eq!(pages.map(<[_]>::len), [100, 5]);
    assert!(second.get("NextToken").is_none(), "{second}");
    let listed: BTreeSet<String> =
        pages.concat().iter().map(|t| t["TrailARN"].as_str().expect("an ARN").to_owned()).collect();
    assert_eq!(listed, made);
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new("../../scenarios");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of conversations")
        .map(|entry| entry.expect("an entry of the folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    paths
}

/// Speaks one conversation to its end and reports every answer that differs.
async fn speak(path: PathBuf) -> Vec<String> {
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&path).expect("a conversation is text");
    let script = match Script::parse(&text) {
        Ok(script) => script,
        Err(fault) => return vec![format!("scenarios/{name}:{fault}")],
    };
    let fresh = FreshNode::start().await;
    let mut client = Client::new(&fresh.node);
    let mut known = Known::default();
    let mut reports = Vec::new();
    for exchange in &script.exchanges {
        if let Err(difference) = hold(&mut client, exchange, &mut known).await {
            reports.push(format!("scenarios/{name}:{}\n{difference}", exchange.line));
        }
    }
    fresh.stop().await;
    reports
}

/// Makes one call and compares; the error is for a person's eyes.
async fn hold(client: &mut Client, exchange: &Exchange, known: &mut Known) -> Result<(), String> {
    let attempts = if exchange.eventually { ATTEMPTS_MAX } else { 1 };
    let mut outcome = Ok(());
    for attempt in 0..attempts {
        if attempt > 0 {
            tokio::time::sleep(REST).await;
        }
        let answer = client.call(&exchange.region, &filled(&exchange.call, known)).await;
        outcome = compare(exchange, &answer, known);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// The call with the values that it takes from earlier answers.
fn filled(call: &Call, known: &Known) -> Call {
    let mut call = call.clone();
    let texts: Vec<&mut String> = match &mut call {
        Call::Operation { body, .. }
        | Call::Target { body, .. }
        | Call::Post { body }
        | Call::Lookup { body } => vec![body],
        Call::Sts { form } => vec![form],
        Call::S3 { rest, .. } => vec![rest],
        Call::Http { path, body, .. } => vec![path, body],
        Call::Put { channel, entries } => vec![channel, entries],
    };
    for text in texts {
        for (name, value) in known {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let id = value.rsplit('/').next().unwrap_or(&value);
            *text = text.replace(&format!("<={name}>"), &value);
            *text = text.replace(&format!("<={name}.id>"), id);
        }
    }
    call
}

fn compare(exchange: &Exchange, answer: &Answer, known: &mut Known) -> Result<(), String> {
    let mut differences = answer.faults.clone();
    // What is learned from an answer counts only if the whole answer fits.
    let mut learned = known.clone();
    match &exchange.answer {
        None if answer.status < 300 => {}
        None => differences.push("the call did not succeed".to_owned()),
        Some(wanted) => differences.extend(expected::differences(wanted, answer, &mut learned)),
    }
    if differences.is_empty() {
        *known = learned;
        return Ok(());
    }
    let list: Vec<String> = differences.iter().map(|d| format!("    {d}")).collect();
    let shown = exchange.shown.chars().take(300).collect::<String>();
    Err(format!("    > {shown}\n    < {}\n  differs:\n{}", answer.shown(), list.join("\n")))
}
