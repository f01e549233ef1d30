//! What the server does, seen from outside: one binary, one module a way of looking.
//!
//!   conversations   the texts in `scenarios/`, spoken over HTTP with a fresh node each
//!   isolation       two tenants and random calls
//!   models          a model behind GenerateQuery
//!   simulation      delivery with a failing store, a failing disk, jumping clocks and crashes

#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

mod conversations;
mod fresh_node;
mod isolation;
mod models;
mod simulation;
