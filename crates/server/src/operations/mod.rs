//! What the operations do: one file each, grouped as the API groups them.

pub mod channels;
pub mod dashboards;
pub mod event_configuration;
pub mod event_data_stores;
pub mod federation;
pub mod history;
pub mod imports;
pub mod insights;
pub mod keys;
pub mod organizations;
pub mod paging;
pub mod queries;
pub mod resource_policies;
pub mod tags;
pub mod trails;

use std::net::IpAddr;
use std::sync::Arc;

use api::{ApiError, ErrorCode};
use catalog::CatalogError;
use event::Region;
use jiff::Timestamp;

use crate::access::Caller;
use crate::authorization::{Asking, Grants};
use crate::node::Node;

/// What an operation may use. The tenant is the caller's account; the Region comes from the
/// signature's scope.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    pub node: &'a Arc<Node>,
    pub caller: &'a Caller,
    pub region: &'a Region,
    pub now: Timestamp,
    pub source_ip: IpAddr,
    pub user_agent: Option<&'a str>,
    /// What of other accounts the caller may use.
    pub grants: &'a Grants,
}

impl Cx<'_> {
    pub fn account(&self) -> &str {
        self.caller.account().as_str()
    }

    /// The facts that policies may ask about.
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            caller: self.caller,
            source_ip: self.source_ip,
            user_agent: self.user_agent,
            region: self.region,
            now: self.now,
        }
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
