//! What can be asked?
//!
//! An event data store is a table of events; this crate says what its columns are ([`schema`]) and
//! answers SELECTs over it in the dialect that CloudTrail Lake documents, Trino's ([`sql`]).
//!
//! The only crate that names Arrow, Parquet, DataFusion or Delta. What must never be here: HTTP,
//! AWS shapes, accounts and their permissions.

mod prune;
mod record;
mod scan;
pub mod schema;
pub mod storage;
pub mod sql;
mod table;
