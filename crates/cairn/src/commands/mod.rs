//! One file a command.

pub mod account;
pub mod doctor;
pub mod env;
pub mod follow;
pub mod import;
pub mod key;
pub mod lookup;
pub mod query;
pub mod serve;
pub mod verify;
