//! `/health` and `/metrics`.
//!
//! `/health` answers 200 only while events can be accepted, and says what is wrong otherwise. The
//! port is taken before recovery and answered after it, so an answer means that recovery is over.

use http::{Response, StatusCode};
use serde_json::json;

use crate::http::{Body, answer};
use crate::node::Node;

pub fn health(node: &Node) -> Response<Body> {
    let backlog = node.handover.backlog();
    let accepts = node.accepts();
    let status = if accepts { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if accepts { "ready" } else { "refusing" },
        "journal": { "state": format!("{:?}", node.journal.state().condition), "nextSeq": node.journal.next_seq() },
        "delivery": {
            "position": backlog.position,
            "openFiles": backlog.open_files,
            "spooledFiles": backlog.spooled_files,
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
