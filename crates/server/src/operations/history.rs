//! Event history: what happened in the last 90 days, whatever trails and stores there are.

mod lookup_events;

use event::lookup::{Lookup, Page};
use jiff::{SignedDuration, Timestamp};

use crate::lake::{Columns, Lake, LakeFault, TableName};

pub use lookup_events::lookup_events;
pub(super) use lookup_events::{shown_event, unavailable};

/// AWS: event history goes back 90 days.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The oldest event time that event history shows at `now`, and keeps.
pub fn kept_from(now: Timestamp) -> Timestamp {
    now.checked_sub(KEPT).unwrap_or(Timestamp::MIN)
}

/// Asks event history. The first question after a start may come before the worker that fills the
/// table has opened it: then it is opened here.
pub async fn asked(lake: &dyn Lake, ask: Lookup) -> Result<Page, LakeFault> {
    let table = TableName::history();
    match lake.lookup(&table, ask.clone()).await {
        Err(LakeFault::NoSuchTable(_)) => {
            lake.open_table(&table, Columns::Events).await?;
            lake.lookup(&table, ask).await
        }
        answered => answered,
    }
}
