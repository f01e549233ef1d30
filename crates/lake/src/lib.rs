//! What can be asked?
//!
//! An event data store is a table of events; this crate says what its columns are ([`schema`]),
//! turns records into them ([`decode`]) and back, to the byte ([`record`]), and answers SELECTs over
//! it in the dialect that CloudTrail Lake documents, Trino's ([`sql`]).
//!
//! The only crate that names Arrow, Parquet, DataFusion or Delta. What must never be here: HTTP,
//! AWS shapes, accounts and their permissions.

mod cache;
pub mod decode;
mod distinct;
mod files;
mod groups;
mod import;
mod lake;
mod lookup;
mod pages;
mod prune;
mod query;
pub mod record;
mod scan;
pub mod schema;
pub mod sql;
pub mod storage;
mod table;
mod yielding;

pub use files::{LogFile, LogFiles, Troubles};
pub use import::{Import, ImportError, ImportOptions, Imported, ReadFile};
pub use lake::{Lake, LakeError, Row, Size};
pub use lookup::LookupError;
pub use query::{PreparedQuery, Progress, QueryFailure, TextRow, prepare_over_files};
pub use table::file::FileError;
pub use table::{Hot, TableError};
