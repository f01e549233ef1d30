//! One file a command.

pub mod doctor;
pub mod env;
pub mod serve;
pub mod verify;
