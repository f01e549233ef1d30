//! Delivery under every fault we can think of, in one process and without a port.
//!
//! ```text
//!   events ─▶ intake ─▶ journal ─▶ workers, turned by hand ─▶ store in memory ─▶ checker, from outside
//!                          └────── FaultyDisk ──────┘           (fails by plan)
//! ```
//! A test lets something go wrong at the first place, the second, the third, until a run has no
//! fault left; after each run the checker looks at nothing but the buckets and the public keys.

mod aggregation;
mod checker;
mod clocks;
mod crashes;
mod dashboards;
mod failures;
mod imports;
mod lake;
mod queries;
mod store;
mod trails;
mod walk;
mod world;
