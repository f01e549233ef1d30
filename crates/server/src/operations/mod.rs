//! What the operations do: one file each, grouped as the API groups them.

pub mod event_data_stores;
pub mod history;
pub mod imports;
pub mod keys;
pub mod paging;
pub mod queries;
pub mod tags;
pub mod trails;

use api::{ApiError, ErrorCode};
use catalog::CatalogError;
use event::Region;
use jiff::Timestamp;

use crate::access::Caller;
use crate::node::Node;

/// What an operation may use. The tenant is the caller's account; the Region comes from the
/// signature's scope.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub node: &'a Node,
    pub caller: &'a Caller,
    pub region: &'a Region,
    pub now: Timestamp,
}

impl Cx<'_> {
    pub fn account(&self) -> &str {
        self.caller.account().as_str()
    }

    /// The first journal entry that a change made now applies to.
    pub fn next_seq(&self) -> u64 {
        self.node.journal.next_seq()
    }
}

/// A failing catalog is our fault, not the caller's: the cause goes to our log, not into the answer.
pub fn internal(error: CatalogError) -> ApiError {
    tracing::error!(error = &error as &dyn std::error::Error, "catalog failed");
    ApiError::new(
        ErrorCode::InternalFailure,
        "The request processing has failed because of an internal error.",
    )
}
