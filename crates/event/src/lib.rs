//! What is an event?
//!
//! An event is one CloudTrail record: the bytes somebody sent us, which never change again, and a
//! [`Header`] of slices into those bytes for everything that selectors, delivery and lookup ask.
//!
//! ```text
//!   body ──split──▶ {"eventVersion":"1.11","userIdentity":{…},"eventTime":"2026-01-02T03:04:05Z",…}
//!                    └──────────────────────── one scan: check ───────────────────────┘
//!                          │                          │                       │
//!                          ▼                          ▼                       ▼
//!                    Refusal (one sentence)    Header (slices only)    may_hold_secrets ──▶ redact
//! ```
//!
//! - [`check`] reads one record: JSON to the letter, the limits, the fields nobody can do without.
//! - [`split`] finds the records of an intake body and checks them in the same scan.
//! - [`redact()`] hides secrets, [`compact()`] puts a pretty-printed record on one line.
//! - [`selectors`] decides whether a trail wants the event and says why.
//! - [`record`] writes the events that Cairn itself produces, within [`limits`].
//! - [`copy`] makes the copy that a recipient gets; [`context`] says which keys of eventContext stay.
//! - [`activity`] checks and wraps events from outside AWS.
//! - [`lookup`] says what event history can be asked; [`user_name`] and [`named_resources`] what it adds.
//! - [`arn`] reads trail names and ARNs, and says what is wrong in CloudTrail's words.
//!
//! Everything here is a function of its arguments. The hot path (`check`, `split`) makes no tree
//! and no copy: a value is unescaped only where a backslash stands and only when somebody asks.
//!
//! Invariant: no tokio, no IO, no clock in this crate; bounds on time come from the caller.

pub mod activity;
pub mod arn;
pub mod context;
pub mod copy;
pub mod json;
pub mod limits;
pub mod lookup;
pub mod record;
pub mod selectors;

mod account;
mod category;
mod check;
mod compact;
mod header;
mod history;
mod redact;
mod refusal;
mod region;
mod scan;
mod seen;
mod split;
mod text;
mod time;

pub use account::{AccountId, NotAnAccountId};
pub use category::Category;
pub use check::{Limits, check, read_again};
pub use compact::compact;
pub use header::{Header, Resource, Resources, event_id, may_be_region};
pub use history::{Named, NamedResources, named_resources, user_name};
pub use redact::{HIDDEN, redact};
pub use refusal::{Refusal, TimeBound};
pub use region::{NotARegion, Region};
pub use scan::fingerprint;
pub use split::{Item, Place, Records, Split, Unread, split};
pub use text::Text;
pub use time::event_time;

#[cfg(test)]
mod agreement_tests;
