//! Who may come in, and what runs?
//!
//! ```text
//!   serve ─ connection ─▶ doors ─ access (who?) ─▶ dispatch ─▶ operations ─▶ catalog
//!                           │                         └─ audit ─┐
//!                           └─ events ─ intake ─────────────────┴─▶ journal
//!                                                                     │ cursors
//!   workers: deliver_logs ─▶ spool ─▶ put_log_files ─▶ bucket;  make_digests ─▶ put_digests
//!            aggregate_data_events ─▶ spool;  list_federated
//!            index_events, run_queries, run_imports ─▶ lake;  maintain_tables
//!            index_events, run_queries, run_imports ─▶ lake;  maintain_tables, refresh_dashboards
//! ```
//!
//! Invariants: nothing here depends on the lake but its seam ([`lake`]); only [`clock`] reads a clock; every operation goes
//! through [`dispatch`], which audits it; all background work stands in [`workers`]' table; the
//! tenant of every call is the account of its verified key.

pub mod access;
pub mod accounts;
pub mod aggregation;
pub mod audit;
mod authorization;
mod bucket_policy;
pub mod chance;
mod channels;
pub mod clock;
pub mod credentials;
mod dashboards;
mod digest_keys;
mod dispatch;
pub mod doors;
pub mod entry;
mod handover;
mod http;
mod imports;
mod indexing;
pub mod intake;
pub mod lake;
mod memberships;
mod metrics;
mod model;
pub mod node;
mod operations;
mod page_token;
pub mod queries;
mod sample_queries;
pub mod serve;
pub mod settings;
mod store_table;
mod throttle;
mod trail_table;
pub mod workers;
