//! `/health` and `/metrics`.
//!
//! `/health` answers 200 only while events can be accepted, and says what is wrong otherwise. The
//! port is taken before recovery and answered after it, so an answer means that recovery is over.
//! Tables that fail are told and do not make it another answer: their events wait in the journal.

use http::{Response, StatusCode};
use serde_json::json;

use crate::http::{Body, answer};
use crate::node::Node;

pub fn health(node: &Node) -> Response<Body> {
    let backlog = node.handover.backlog();
    let accepts = node.accepts();
    let indexing = node.indexing.progress();
    let lake = match (indexing.failing, indexing.behind) {
        (0, 0) => "ready",
        (0, _) => "behind",
        _ => "failing",
    };
    let status = if accepts { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if accepts { "ready" } else { "refusing" },
        "journal": { "state": format!("{:?}", node.journal.state().condition), "nextSeq": node.journal.next_seq() },
        "delivery": {
            "position": backlog.position,
            "openFiles": backlog.open_files,
            "spooledFiles": backlog.spooled_files,
        },
        "lake": {
            "state": lake,
            "nextSeq": indexing.next_seq,
            "position": indexing.position,
            "tablesBehind": indexing.behind,
            "tablesFailing": indexing.failing,
        },
        "version": env!("CARGO_PKG_VERSION"),
    });
    answer(status, "application/json", format!("{body}\n"))
}

/// Prometheus' text format.
pub fn metrics(node: &Node) -> Response<Body> {
    node.metrics.observe(node);
    answer(
        StatusCode::OK,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        node.metrics.encoded(),
    )
}
