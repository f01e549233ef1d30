//! What `/metrics` shows. Names follow the stages: accepted, indexed, delivered, attested, refused.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::doors::Door;
use crate::lake::TableName;
use crate::node::Node;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<DoorLabel, Histogram>,
    events_accepted: Counter,
    events_refused: Counter,
    events_delivered: Counter,
    files_delivered: Counter,
    delivery_failures: Family<CodeLabel, Counter>,
    delivery_seconds: Histogram,
    digests_delivered: Counter,
    digests_ahead_seconds: Gauge<i64, AtomicI64>,
    entries_unreadable: Counter,
    events_indexed: Counter,
    events_unindexable: Counter,
    indexing_seconds: Histogram,
    table_commits: Counter,
    lake_failures: Family<TableLabels, Counter>,
    queries: Family<StatusLabel, Counter>,
    events_imported: Counter,
    indexing_next_seq: Gauge<i64, AtomicI64>,
    indexing_position: Gauge<i64, AtomicI64>,
    hot_rows: Gauge<i64, AtomicI64>,
    hot_bytes: Gauge<i64, AtomicI64>,
    tables_behind: Gauge<i64, AtomicI64>,
    journal_next_seq: Gauge<i64, AtomicI64>,
    journal_bytes: Gauge<i64, AtomicI64>,
    journal_accepting: Gauge<i64, AtomicI64>,
    delivery_position: Gauge<i64, AtomicI64>,
    open_files: Gauge<i64, AtomicI64>,
    spooled_files: Gauge<i64, AtomicI64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    door: DoorName,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabel {
    door: DoorName,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabels {
    step: &'static str,
    table: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the variants are the label's values")]
enum DoorName {
    cloudtrail,
    cloudtrail_data,
    sts,
    organizations,
    tagging,
    neighbours,
    events,
    imports,
    lookup,
    access,
    bucket,
    health,
    metrics,
    unknown,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("cairn");
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register(
            "requests",
            "Requests answered, by door and HTTP status",
            requests.clone(),
        );
        let request_seconds = Family::<DoorLabel, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
        });
        registry.register_with_unit(
            "request",
            "Time to answer a request",
            Unit::Seconds,
            request_seconds.clone(),
        );
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let counter = Counter::<u64, AtomicU64>::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let delivery_seconds = seconds();
        registry.register_with_unit(
            "read_to_delivered",
            "Time from reading a file's first event out of the journal to its delivery",
            Unit::Seconds,
            delivery_seconds.clone(),
        );
        let delivery_failures = Family::<CodeLabel, Counter>::default();
        registry.register(
            "delivery_failures",
            "Puts into a bucket that failed, by the store's error code",
            delivery_failures.clone(),
        );
        let indexing_seconds = seconds();
        registry.register_with_unit(
            "accepted_to_indexed",
            "Time from acceptance until an event can be found, of the oldest event of each batch",
            Unit::Seconds,
            indexing_seconds.clone(),
        );
        let queries = Family::<StatusLabel, Counter>::default();
        registry.register("queries", "Queries that ended, by status", queries.clone());
        let lake_failures = Family::<TableLabels, Counter>::default();
        registry.register(
            "lake_failures",
            "Failures of tables of the lake, by table and step: open, append, commit, maintain",
            lake_failures.clone(),
        );
        Metrics {
            requests,
            request_seconds,
            delivery_seconds,
            delivery_failures,
            indexing_seconds,
            lake_failures,
            queries,
            events_imported: counter(
                &mut registry,
                "events_imported",
                "Events that imports brought into event data stores",
            ),
            events_indexed: counter(
                &mut registry,
                "events_indexed",
                "Rows made visible in event history and event data stores",
            ),
            events_unindexable: counter(
                &mut registry,
                "events_unindexable",
                "Accepted events that the lake could not read",
            ),
            table_commits: counter(&mut registry, "table_commits", "Commits of tables of the lake"),
            indexing_next_seq: gauge(
                &mut registry,
                "indexing_next_seq",
                "First entry that cannot be found yet",
            ),
            indexing_position: gauge(
                &mut registry,
                "indexing_position",
                "First entry that indexing would read again after a restart",
            ),
            hot_rows: gauge(
                &mut registry,
                "lake_hot_rows",
                "Rows of the lake that are only in memory and in the journal",
            ),
            hot_bytes: gauge(&mut registry, "lake_hot_bytes", "Memory that those rows take"),
            tables_behind: gauge(
                &mut registry,
                "lake_tables_behind",
                "Tables that miss rows because they fail",
            ),
            events_accepted: counter(
                &mut registry,
                "events_accepted",
                "Posted events made durable",
            ),
            events_refused: counter(
                &mut registry,
                "events_refused",
                "Posted records refused, with a reason given",
            ),
            events_delivered: counter(
                &mut registry,
                "events_delivered",
                "Events in delivered log files",
            ),
            files_delivered: counter(&mut registry, "files_delivered", "Log files delivered"),
            digests_delivered: counter(
                &mut registry,
                "digests_delivered",
                "Digest files delivered",
            ),
            entries_unreadable: counter(
                &mut registry,
                "journal_entries_unreadable",
                "Journal entries that delivery could not read",
            ),
            journal_next_seq: gauge(
                &mut registry,
                "journal_next_seq",
                "Sequence number of the next entry",
            ),
            journal_bytes: gauge(&mut registry, "journal_bytes", "Bytes of the journal on disk"),
            digests_ahead_seconds: gauge(
                &mut registry,
                "digests_ahead_seconds",
                "How far the newest digest ends in the future; above 0 nothing is attested until then",
            ),
            journal_accepting: gauge(
                &mut registry,
                "journal_accepting",
                "1 while the journal takes entries",
            ),
            delivery_position: gauge(
                &mut registry,
                "delivery_position",
                "First entry delivery has not dealt with",
            ),
            open_files: gauge(
                &mut registry,
                "delivery_open_files",
                "Log files still taking events",
            ),
            spooled_files: gauge(
                &mut registry,
                "delivery_spooled_files",
                "Log files waiting to be put",
            ),
            registry,
        }
    }

    pub fn request(&self, door: Door, status: StatusCode, took: Duration) {
        let door = match door {
            Door::CloudTrail => DoorName::cloudtrail,
            Door::CloudTrailData => DoorName::cloudtrail_data,
            Door::Sts => DoorName::sts,
            Door::Organizations => DoorName::organizations,
            Door::Tagging => DoorName::tagging,
            Door::Neighbours => DoorName::neighbours,
            Door::Events => DoorName::events,
            Door::Imports => DoorName::imports,
            Door::Lookup => DoorName::lookup,
            Door::Access => DoorName::access,
            Door::Bucket => DoorName::bucket,
            Door::Health => DoorName::health,
            Door::Metrics => DoorName::metrics,
            Door::Unknown => DoorName::unknown,
        };
        self.requests.get_or_create(&RequestLabels { door, status: status.as_u16() }).inc();
        self.request_seconds.get_or_create(&DoorLabel { door }).observe(took.as_secs_f64());
    }

    pub fn posted(&self, accepted: u64, refused: u64) {
        self.events_accepted.inc_by(accepted);
        self.events_refused.inc_by(refused);
    }

    /// A log file lies in its bucket, `waited` after its first event was accepted.
    pub fn delivered(&self, events: u64, waited: Duration) {
        self.files_delivered.inc();
        self.events_delivered.inc_by(events);
        self.delivery_seconds.observe(waited.as_secs_f64());
    }

    pub fn digest_delivered(&self) {
        self.digests_delivered.inc();
    }

    pub fn delivery_failed(&self, code: &str) {
        self.delivery_failures.get_or_create(&CodeLabel { code: code.to_owned() }).inc();
    }

    pub fn entry_unreadable(&self) {
        self.entries_unreadable.inc();
    }

    /// Rows are visible, `waited` after the oldest of them was accepted.
    pub fn indexed(&self, rows: u64, waited: Duration) {
        self.events_indexed.inc_by(rows);
        self.indexing_seconds.observe(waited.as_secs_f64());
    }

    pub fn event_unindexable(&self) {
        self.events_unindexable.inc();
    }

    pub fn table_committed(&self) {
        self.table_commits.inc();
    }

    pub fn lake_failed(&self, step: &'static str, table: &TableName) {
        let table = table.as_str().to_owned();
        self.lake_failures.get_or_create(&TableLabels { step, table }).inc();
    }

    pub fn query_ended(&self, status: &'static str) {
        self.queries.get_or_create(&StatusLabel { status }).inc();
    }

    pub fn imported(&self, events: u64) {
        self.events_imported.inc_by(events);
    }

    pub fn digests_ahead(&self, seconds: i64) {
        self.digests_ahead_seconds.set(seconds);
    }

    /// Reads what is a state rather than an event.
    pub fn observe(&self, node: &Node) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let state = node.journal.state();
        self.journal_next_seq.set(signed(node.journal.next_seq()));
        self.journal_bytes.set(signed(state.bytes));
        self.journal_accepting.set(i64::from(node.accepts()));
        let backlog = node.handover.backlog();
        self.delivery_position.set(signed(backlog.position));
        self.open_files.set(signed(backlog.open_files));
        self.spooled_files.set(signed(backlog.spooled_files));
        let indexing = node.indexing.progress();
        self.indexing_next_seq.set(signed(indexing.next_seq));
        self.indexing_position.set(signed(indexing.position));
        self.hot_rows.set(signed(indexing.hot.rows));
        self.hot_bytes.set(signed(indexing.hot.bytes));
        self.tables_behind.set(signed(indexing.behind));
    }

    pub fn encoded(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a String cannot fail");
        text
    }
}
