//! What has been handed over?
//!
//! ```text
//!  records ──▶ OpenWindow ──close──▶ LogFile ──▶ Spool (synced) ──▶ Destination (any S3 store)
//!                                        │                              ▲
//!                        key, SHA-256,   ▼                              │
//!                        event times   Digest ──sign── SigningKey ──────┘
//!                                        │
//!                                        └─ names and hashes its predecessor: the Chain
//!
//!  verify:  Source (folder or bucket) + public keys ──▶ Report: what is missing, altered or unexpected
//! ```
//!
//! | Module | Answers |
//! |---|---|
//! | [`layout`] | Where does an object lie, and what does a key say? |
//! | [`log_file`] | How do records become the bytes of a log file? |
//! | [`spool`] | What was made but not yet handed over? |
//! | [`keys`] | Which key signs, and what do others know of it? |
//! | [`digest`] | What does a digest say, and what exactly is signed? |
//! | [`destination`] | How do bytes reach a store, and what does a failure mean? |
//! | [`verify`] | Is everything that was handed over still there, unaltered? |
//!
//! Promises:
//! - the name of a log file follows from (trail, account, Region, folder, first `seq`): the same
//!   window put twice is one object;
//! - bytes are spooled and synced before the first upload, so every retry puts the same bytes;
//! - digests and signatures are those that `aws cloudtrail validate-logs` checks.
//!
//! Must never be here: reading the clock (`now` is always a parameter), keeping cursors or trails,
//! changing a record's bytes, private keys in logs or errors, the lake.

#![warn(missing_docs)]

pub mod destination;
pub mod digest;
pub mod keys;
pub mod layout;
pub mod log_file;
pub mod spool;
pub mod verify;

/// SHA-256 of `bytes` as lower-case hex, the form of every hash in a digest file.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
