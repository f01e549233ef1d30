//! What the server does, seen from outside: one binary, one module a way of looking.
//!
//!   conversations   the texts in `scenarios/`, spoken over HTTP with a fresh node each
// The other ways of looking join here, each with one line: `mod simulation;`.

mod conversations;
mod fresh_node;
