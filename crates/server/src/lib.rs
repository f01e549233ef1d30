//! server
pub mod access;
