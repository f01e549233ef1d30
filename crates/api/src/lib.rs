//! What do AWS clients say?
//!
//! The words of CloudTrail's 60 operations, of CloudTrail Data's one, and of the one STS operation
//! that every client begins with; and the three protocols they are spoken in.
//!
//! ```text
//!  POST /                X-Amz-Target: …CloudTrail_20131101.CreateTrail   {"Name": …}      json11
//!  POST /PutAuditEvents?channelArn=…                                      {"auditEvents"…} rest_json
//!  POST /                Action=GetCallerIdentity&Version=2011-06-15                       query
//!          │
//!          ▼  parse: the JSON's kinds must fit the shape, else SerializationException
//!        Input ──▶ violations(): the model's constraints, in AWS's sentences
//!          │
//!          ▼  (somebody else does the work)
//!       Output or ApiError { code, message }  ──▶  body
//! ```
//!
//! `generated/` is written by `cargo xtask codegen` from the service models that AWS publishes:
//! operations, error codes, structures, the table of shapes with constraints, enumeration values.
//! Everything else here is written by hand.
//!
//! Choices:
//! - Members are `Option`, so that what a client left out is judged by `violations` and not by the
//!   parser. Only in structures that appear in nothing but outputs is a required member plain.
//! - Enumerations are `String`: an operation often has its own error for a value it does not know.
//!   The known values are constants in [`cloudtrail::values`].
//! - Unknown members are ignored, as AWS does. A key that occurs twice is refused: the request that
//!   was authorized and audited must be the one that is carried out.
//!
//! Invariant: no IO, and nothing about how an operation works.

mod blob;
mod error;
mod generated;
pub mod json11;
pub mod query;
pub mod rest_json;
pub mod shape;
mod strict;
mod timestamp;
mod violation;

pub use blob::Blob;
pub use error::ApiError;
pub use generated::errors::ErrorCode;
pub use shape::Input;
pub use timestamp::{NotATimestamp, Timestamp};
pub use violation::{Violation, sentence};

/// CloudTrail, API version 2013-11-01.
pub mod cloudtrail {
    pub use crate::generated::cloudtrail_operations::Operation;
    pub use crate::generated::cloudtrail_structures::*;
    /// What the enumerations allow: `values::query_status::{FINISHED, VALUES}`.
    pub use crate::generated::cloudtrail_values as values;
}

/// CloudTrail Data, API version 2021-08-11.
pub mod cloudtrail_data {
    pub use crate::generated::cloudtrail_data_operations::Operation;
    pub use crate::generated::cloudtrail_data_structures::*;
}
