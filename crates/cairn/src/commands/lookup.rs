//! `cairn lookup`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use server::clock::{Clock, SystemClock};

use crate::client::Client;

#[derive(Debug, Args)]
#[command(after_help = "\
Filters, of which all must hold:
  FIELD=VALUE   exactly this        FIELD=VALUE*   begins with it       FIELD~TEXT   contains it, in any case
  FIELD!=…      none of it          FIELD=A,B      one of these
Fields: id, name, source, user, arn, key, ip, error, resource, resource-type, category, read-only, and
text, which is the whole record.

Examples:
  cairn lookup user=alice name=Delete* --since 2h
  cairn lookup error=AccessDenied 'ip!=10.0.0.1' --region eu-west-1
  cairn lookup text~203.0.113.7 --since 2026-03-01T00:00:00Z --limit 1000 --json

Without --store the event history is asked: management events of the last 90 days.")]
pub struct Lookup {
    /// Conditions, see below
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
    /// From this time on, or so long ago, such as 2026-03-01T00:00:00Z or 2h
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only events of this Region
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// An event data store (ARN or ID) instead of the event history
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// How many events at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Print whole records, one a line
    #[arg(long)]
    json: bool,
    /// A node's data folder; without it the AWS variables and profile say where the server is
    #[arg(long, env = "CAIRN_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Events of one request.
const PAGE_MAX: usize = 1000;

pub fn run(arguments: Lookup) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(lookup(&arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn lookup(arguments: &Lookup) -> Result<()> {
    let now = SystemClock::start().now();
    let filters = arguments.filters.iter().map(|text| filter(text)).collect::<Result<Vec<_>>>()?;
    let mut asked = json!({ "filters": filters });
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            asked[key] = value;
        }
    };
    let time = |text: &Option<String>| text.as_deref().map(|text| time(text, now)).transpose();
    put("from", time(&arguments.since)?.map(|time| json!(time)));
    put("to", time(&arguments.until)?.map(|time| json!(time)));
    put("region", arguments.region.as_ref().map(|region| json!(region)));
    put("eventDataStore", arguments.store.as_ref().map(|store| json!(store)));

    let client = Client::new(arguments.data.as_deref())?;
    let mut left = arguments.limit;
    while left > 0 {
        asked["limit"] = json!(left.min(PAGE_MAX));
        let body = asked.to_string().into();
        let answer = client.own(Method::POST, "/v1/lookup", body).await?.value()?;
        let events = answer["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        for event in events {
            println!("{}", if arguments.json { event["record"].to_string() } else { line(event) });
        }
        left = left.saturating_sub(events.len());
        let Some(cursor) = answer["cursor"].as_str() else { break };
        asked["cursor"] = json!(cursor);
    }
    Ok(())
}

/// Time, Region, who, what, and what came of it.
fn line(event: &Value) -> String {
    let record = &event["record"];
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let who =
        [&event["userName"], &record["userIdentity"]["arn"], &record["userIdentity"]["invokedBy"]];
    let who = who.into_iter().find(|who| who.is_string()).map_or_else(|| "-".to_owned(), text);
    let service = text(&record["eventSource"]);
    let service = service.strip_suffix(".amazonaws.com").unwrap_or(&service).to_owned();
    let mut line = format!(
        "{}  {:<14} {:<24} {}:{}  {}",
        text(&record["eventTime"]),
        text(&record["awsRegion"]),
        who,
        service,
        text(&record["eventName"]),
        text(&record["sourceIPAddress"]),
    );
    if let Some(error) = record["errorCode"].as_str() {
        line.push_str("  ");
        line.push_str(error);
    }
    line
}

/// A filter as `/v1/lookup` wants it.
fn filter(text: &str) -> Result<Value> {
    let at = text.find(['=', '~', '!']);
    let at = at.with_context(|| {
        format!("{text:?} is no filter: write FIELD=VALUE, FIELD!=VALUE or FIELD~TEXT")
    })?;
    let (name, rest) = text.split_at(at);
    let field = match name {
        "id" => "eventId",
        "name" => "eventName",
        "source" => "eventSource",
        "user" => "userName",
        "arn" => "userArn",
        "key" => "accessKeyId",
        "ip" => "sourceIpAddress",
        "error" => "errorCode",
        "resource" => "resourceName",
        "resource-type" => "resourceType",
        "category" => "eventCategory",
        "read-only" => "readOnly",
        "text" => "record",
        other => bail!("there is no field {other:?}; `cairn lookup --help` lists them"),
    };
    let (is_not, rest) = match rest.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut filter = json!({ "field": field, "not": is_not });
    if let Some(part) = rest.strip_prefix('~') {
        filter["contains"] = json!(part);
    } else if let Some(value) = rest.strip_prefix('=') {
        match value.strip_suffix('*') {
            Some(prefix) => filter["startsWith"] = json!(prefix),
            None => filter["is"] = json!(value.split(',').collect::<Vec<_>>()),
        }
    } else {
        bail!("{text:?} is no filter: after ! comes = or ~");
    }
    Ok(filter)
}

/// A time, or how long ago.
fn time(text: &str, now: Timestamp) -> Result<Timestamp> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let ago: SignedDuration = match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => SignedDuration::from_hours(days.saturating_mul(24)),
        _ => text.parse().with_context(|| {
            format!("{text:?} is neither a time such as 2026-03-01T00:00:00Z nor a span such as 2h or 7d")
        })?,
    };
    now.checked_sub(ago).with_context(|| format!("{text} is too long ago"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_they_are_written() {
        let check = |text: &str, expected: Value| assert_eq!(filter(text).unwrap(), expected);
        check("user=alice", json!({"field": "userName", "not": false, "is": ["alice"]}));
        check(
            "ip!=10.0.0.1,10.0.0.2",
            json!({"field": "sourceIpAddress", "not": true, "is": ["10.0.0.1", "10.0.0.2"]}),
        );
        check("name=Delete*", json!({"field": "eventName", "not": false, "startsWith": "Delete"}));
        check("text!~a=b", json!({"field": "record", "not": true, "contains": "a=b"}));
        for wrong in ["alice", "colour=red", "user!alice", ""] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_moments_or_spans() {
        let now: Timestamp = "2026-03-02T00:00:00Z".parse().unwrap();
        assert_eq!(time("2h", now).unwrap().to_string(), "2026-03-01T22:00:00Z");
        assert_eq!(time("1d", now).unwrap().to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(time("2026-01-01T00:00:00Z", now).unwrap().to_string(), "2026-01-01T00:00:00Z");
        assert!(time("yesterday", now).is_err());
        assert!(time("99999999d", now).is_err());
    }
}
