//! Summing up data events: five minutes of one trail, account, Region and source, by one template,
//! become one aggregated event (spec a.5).
//!
//! ```text
//!   data event ─ count ─▶ OpenWindows ─ close: the window is over and late ones have had time ─▶ event
//! ```
//! AWS: windows are aligned to five minutes of event time, the start belongs to them, the end does
//! not. An event that comes after its window was closed opens it again, which gives a second
//! aggregated event of that window with the late ones only: nothing is counted twice or lost.
//!
//! Everything here is a function of the entries, in the journal's order, and of the times of
//! closing; there is neither clock nor file.

use std::collections::BTreeMap;

use catalog::{AggregationTemplate, NewAggregatedEvent, StreamKey};
use event::limits::EVENT_BYTES_MAX;
use event::{Header, json};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[cfg(test)]
mod tests;

/// AWS: `PT5M`.
const WINDOW_S: i64 = 300;
/// How many values of one dimension a window tells apart; those that come later are not listed.
/// AWS does not say; this bounds memory.
const VALUES_MAX: usize = 2_000;
/// How many values of a dimension an aggregated event lists, those that occur most. AWS does not
/// say (spec, open points).
const LISTED_MAX: usize = 50;
/// AWS: userAgent has at most 1 KB; nothing else that is counted is longer in earnest.
const VALUE_BYTES_MAX: usize = 1_024;
/// Namespace of the event IDs. Never change it: a window that is closed again must give the same.
const EVENT_IDS: Uuid = Uuid::from_u128(0x0a5c_2c7e_9d7b_4d0e_8f5e_61b2_4f3a_7c15);

/// What is counted, in the order in which events list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dimension {
    EventName,
    ResourceArn,
    UserIdentity,
    UserAgent,
    SourceIpAddress,
    ErrorCodes,
}

const DIMENSIONS: [Dimension; 6] = [
    Dimension::EventName,
    Dimension::ResourceArn,
    Dimension::UserIdentity,
    Dimension::UserAgent,
    Dimension::SourceIpAddress,
    Dimension::ErrorCodes,
];

impl Dimension {
    /// AWS's names.
    fn name(self) -> &'static str {
        match self {
            Dimension::EventName => "eventName",
            Dimension::ResourceArn => "resourceARN",
            Dimension::UserIdentity => "userIdentity",
            Dimension::UserAgent => "userAgent",
            Dimension::SourceIpAddress => "sourceIpAddress",
            Dimension::ErrorCodes => "errorCodes",
        }
    }

    fn primary_of(template: AggregationTemplate) -> Dimension {
        match template {
            AggregationTemplate::ApiActivity => Dimension::EventName,
            AggregationTemplate::ResourceAccess => Dimension::ResourceArn,
            AggregationTemplate::UserActions => Dimension::UserIdentity,
        }
    }

    /// What the event has of it, each value once.
    fn values(self, header: &Header<'_>) -> Vec<String> {
        let member = |name| json::string_member(header.record(), name);
        let one = |text: Option<event::Text<'_>>| text.map(|text| text.to_string());
        let mut values: Vec<String> = match self {
            Dimension::EventName => vec![header.event_name.to_string()],
            Dimension::ResourceArn => {
                let named = header.resources().filter_map(|resource| resource.arn);
                named.map(|arn| arn.to_string()).collect()
            }
            // Services that call by themselves have no ARN.
            Dimension::UserIdentity => {
                let identity = header.user_identity_arn();
                let identity = identity.or_else(|| header.user_identity_text("principalId"));
                let identity = identity.or_else(|| header.user_identity_text("invokedBy"));
                one(identity).into_iter().collect()
            }
            Dimension::UserAgent => one(member("userAgent")).into_iter().collect(),
            Dimension::SourceIpAddress => one(member("sourceIPAddress")).into_iter().collect(),
            Dimension::ErrorCodes => one(header.error_code).into_iter().collect(),
        };
        for value in &mut values {
            let end = value.floor_char_boundary(VALUE_BYTES_MAX);
            value.truncate(end);
        }
        values.retain(|value| !value.is_empty());
        values.sort_unstable();
        values.dedup();
        values
    }
}

/// A trail that wants an event summed up, as it is at that entry.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub trail_arn: &'a str,
    pub bucket: &'a str,
    pub prefix: Option<&'a str>,
    /// Of an organization trail.
    pub organization: Option<&'a str>,
    pub templates: &'a [AggregationTemplate],
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub struct Counted<'a> {
    pub seq: u64,
    pub accepted_ms: i64,
    pub account: &'a str,
    pub region: &'a str,
}

/// One aggregated event to be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    trail_arn: String,
    account: String,
    region: String,
    /// Where the file goes: a trail that moves starts another one.
    bucket: String,
    prefix: Option<String>,
    #[serde(default)]
    organization: Option<String>,
    start_s: i64,
    source: String,
    template: AggregationTemplate,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    first_seq: u64,
    /// The later of its end and the arrival of its first event: from there on it waits for others.
    due_ms: i64,
    /// By dimension, in the order of [`DIMENSIONS`].
    counts: [BTreeMap<String, u64>; DIMENSIONS.len()],
}

/// The windows that are being counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenWindows {
    windows: BTreeMap<Key, Window>,
}

impl OpenWindows {
    pub fn from_json(text: &str) -> Result<OpenWindows, serde_json::Error> {
        let pairs: Vec<(Key, Window)> = serde_json::from_str(text)?;
        Ok(OpenWindows { windows: pairs.into_iter().collect() })
    }

    pub fn to_json(&self) -> String {
        let pairs: Vec<(&Key, &Window)> = self.windows.iter().collect();
        serde_json::to_string(&pairs).expect("texts and numbers are always JSON")
    }

    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Counts one data event for a trail.
    pub fn count(&mut self, wish: Wish<'_>, at: Counted<'_>, header: &Header<'_>) {
        let start_s = header.event_time.as_second().div_euclid(WINDOW_S) * WINDOW_S;
        let values = DIMENSIONS.map(|dimension| dimension.values(header));
        for template in wish.templates {
            // What has nothing to be counted by is not counted by it.
            if values[Dimension::primary_of(*template) as usize].is_empty() {
                continue;
            }
            let key = Key {
                trail_arn: wish.trail_arn.to_owned(),
                account: at.account.to_owned(),
                region: at.region.to_owned(),
                bucket: wish.bucket.to_owned(),
                prefix: wish.prefix.map(str::to_owned),
                organization: wish.organization.map(str::to_owned),
                start_s,
                source: header.event_source.to_string(),
                template: *template,
            };
            let end_ms = (start_s + WINDOW_S).saturating_mul(1000);
            let window = self.windows.entry(key).or_insert_with(|| Window {
                first_seq: at.seq,
                due_ms: end_ms.max(at.accepted_ms),
                counts: Default::default(),
            });
            for (counts, values) in window.counts.iter_mut().zip(&values) {
                for value in values {
                    if let Some(count) = counts.get_mut(value) {
                        *count += 1;
                    } else if counts.len() < VALUES_MAX {
                        counts.insert(value.clone(), 1);
                    }
                }
            }
        }
    }

    /// The events of windows that were over for at least `grace_ms` at `now`; they are open no more.
    pub fn close(&mut self, now: Timestamp, grace_ms: i64) -> Vec<NewAggregatedEvent> {
        let now_ms = now.as_millisecond();
        let is_due = |window: &Window| window.due_ms.saturating_add(grace_ms) <= now_ms;
        let due: Vec<Key> = self
            .windows
            .iter()
            .filter(|(_, window)| is_due(window))
            .map(|(key, _)| key.clone())
            .collect();
        let mut closed = Vec::with_capacity(due.len());
        for key in due {
            let Some(window) = self.windows.remove(&key) else { continue };
            closed.push(NewAggregatedEvent {
                record: record(&key, &window),
                stream: StreamKey {
                    trail_arn: key.trail_arn,
                    account: key.account,
                    region: key.region,
                    folder: delivery::layout::Folder::Aggregated.name().to_owned(),
                },
                bucket: key.bucket,
                prefix: key.prefix,
                organization: key.organization,
                made_ms: now_ms,
                event_ms: (key.start_s + WINDOW_S).saturating_mul(1000),
            });
        }
        closed
    }
}

/// The members in the order of AWS's own events.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    event_version: &'static str,
    account_id: &'a str,
    event_id: String,
    event_category: &'static str,
    event_type: &'static str,
    aws_region: &'a str,
    event_source: &'a str,
    time_window: TimeWindow,
    summary: Summary<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeWindow {
    window_start: String,
    window_end: String,
    window_size: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    primary_dimension: Summed<'a>,
    details: Vec<Summed<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summed<'a> {
    dimension: &'static str,
    statistics: Vec<Statistic<'a>>,
    aggregation_type: &'static str,
}

#[derive(Serialize)]
struct Statistic<'a> {
    name: &'a str,
    value: u64,
}

/// Fewer values are listed until the event has no more than the 256 KB that any event may have.
fn record(key: &Key, window: &Window) -> String {
    let mut listed_max = LISTED_MAX;
    loop {
        let text = record_with(key, window, listed_max);
        if text.len() <= EVENT_BYTES_MAX || listed_max == 1 {
            return text;
        }
        listed_max /= 2;
    }
}

fn record_with(key: &Key, window: &Window, listed_max: usize) -> String {
    let summed = |dimension: Dimension| Summed {
        dimension: dimension.name(),
        statistics: most(&window.counts[dimension as usize], listed_max),
        aggregation_type: "Count",
    };
    let primary = Dimension::primary_of(key.template);
    let others = DIMENSIONS.into_iter().filter(|dimension| *dimension != primary);
    let details = others.map(summed).filter(|summed| !summed.statistics.is_empty()).collect();
    let name = format!("{key:?} {}", window.first_seq);
    let record = Record {
        event_version: "1.0",
        account_id: &key.account,
        event_id: Uuid::new_v5(&EVENT_IDS, name.as_bytes()).to_string(),
        event_category: "Aggregated",
        event_type: "AwsAggregatedEvent",
        aws_region: &key.region,
        event_source: &key.source,
        time_window: TimeWindow {
            window_start: iso(key.start_s),
            window_end: iso(key.start_s + WINDOW_S),
            window_size: "PT5M",
        },
        summary: Summary { primary_dimension: summed(primary), details },
    };
    serde_json::to_string(&record).expect("texts and numbers are always JSON")
}

/// The values that occur most, then by name.
fn most(counts: &BTreeMap<String, u64>, listed_max: usize) -> Vec<Statistic<'_>> {
    let mut statistics: Vec<Statistic<'_>> =
        counts.iter().map(|(name, value)| Statistic { name, value: *value }).collect();
    statistics.sort_by(|a, b| b.value.cmp(&a.value).then(a.name.cmp(b.name)));
    statistics.truncate(listed_max);
    statistics
}

fn iso(s: i64) -> String {
    let time = Timestamp::from_second(s).unwrap_or(Timestamp::MIN);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
