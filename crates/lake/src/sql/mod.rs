//! A query, from its text to a plan that can run.
//!
//! ```text
//!   text ──tokens──▶ tokens ──dialect──▶ syntax tree ──rewrite──▶ syntax tree ──DataFusion──▶ plan
//!        UUIDs, $EDS_ID, '?'    Trino's grammar     Trino's meaning       functions, unnest
//! ```
//!
//! [`parse`] does the first three steps and needs no table; the caller then finds the stores that
//! [`Parsed::stores`] names, and [`Parsed::plan`] does the rest over a [`session`]. Every error says
//! where in the user's own text it is.
//!
//! What must never be here: writing. Nothing but SELECT gets past `dialect`.

mod comparison;
mod dialect;
mod error;
pub mod functions;
mod plan;
mod rewrite;
mod session;
pub mod text;
mod tokens;
mod types;
mod unnest;

pub use error::{Position, QueryError};
pub use plan::{CHARACTERS_MAX, Parsed, Prepared, Store, parse};
pub use session::{Limits, session};
