//! What can be asked?
//!
//! An event data store is a table of events; this crate says what its columns are ([`schema`]),
//! turns records into them ([`decode`]) and back, to the byte ([`record`]), and answers SELECTs over
//! it in the dialect that CloudTrail Lake documents, Trino's ([`sql`]).
//!
//! The only crate that names Arrow, Parquet, DataFusion or Delta. What must never be here: HTTP,
//! AWS shapes, accounts and their permissions.

pub mod decode;
pub mod record;
pub mod schema;
pub mod sql;
