//! Federation: telling other engines where the table of an event data store lies.
//!
//! The operations say what is wanted; the worker `list_federated` writes the listing beside the
//! tables and then says so in the store's state.

mod disable_federation;
mod enable_federation;

use catalog::Federation;

pub use disable_federation::disable_federation;
pub use enable_federation::enable_federation;

/// AWS: FederationStatus.
pub fn status(federation: &Federation) -> &'static str {
    match federation {
        Federation::Disabled => "DISABLED",
        Federation::Enabling { .. } => "ENABLING",
        Federation::Enabled { .. } => "ENABLED",
        Federation::Disabling => "DISABLING",
    }
}
