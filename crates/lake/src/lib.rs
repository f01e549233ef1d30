//! What can be asked?
//!
//! An event data store is a table of events; this crate says what its columns are, and answers
//! SELECTs over it in the dialect that CloudTrail Lake documents (Trino's).
//!
//! The only crate that names Arrow, Parquet, DataFusion or Delta. What must never be here: HTTP,
//! AWS shapes, accounts' permissions.
