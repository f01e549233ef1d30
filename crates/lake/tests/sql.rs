//! The SQL dialect, over a small table of events of our own.
//!
//! `tests/sql/*.slt` are conversations in sqllogictest's format: a query, `----`, its rows. They run
//! against the records in `tests/sql/*.ndjson`, under these names:
//!
//! | Name | Table |
//! |---|---|
//! | `events`, `$EDS_ID`, any UUID | CloudTrail events |
//! | `items` | AWS Config configuration items |
//!
//! `UPDATE_SLT=1 cargo test -p lake --test sql` writes the rows that come out into the files; read
//! the difference before you commit it. `CAIRN_SQL_SAMPLES=folder` runs each `*.sql` in a folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod sql {
    pub mod dialect;
    pub mod samples;
    pub mod tables;
}
