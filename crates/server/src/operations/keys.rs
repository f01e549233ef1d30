//! The public halves of the keys that sign digests.

mod list_public_keys;

pub use list_public_keys::list_public_keys;
