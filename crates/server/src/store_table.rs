//! Which event data stores want an event: every state of every store, with its selectors ready to
//! match. States are chosen by sequence number, as in [`crate::trail_table`].

use std::collections::BTreeMap;

use catalog::{Deletion, EventDataStoreState, EventDataStoreVersion};
use event::selectors::Matcher;
use event::{Header, Region};

use crate::entry::EntryHead;
use crate::lake::{Columns, TableName};
use crate::operations::event_data_stores::columns_of;

#[derive(Debug, Default)]
pub struct StoreTable {
    stores: BTreeMap<TableName, Store>,
}

#[derive(Debug)]
pub struct Store {
    pub columns: Columns,
    account: String,
    home_region: String,
    /// Oldest first.
    states: Vec<(u64, EventDataStoreState, Matcher)>,
}

impl StoreTable {
    /// `versions` as the catalog gives them: grouped by store, oldest first. Stores that are being
    /// removed are left out: nothing more goes into their tables, whatever their states were.
    pub fn new(versions: Vec<EventDataStoreVersion>) -> StoreTable {
        let mut stores: BTreeMap<TableName, Store> = BTreeMap::new();
        for version in versions {
            let matcher = version.state.selectors.compile();
            let store = stores.entry(TableName::of_store(&version.id)).or_insert_with(|| Store {
                columns: columns_of(version.state.class),
                account: version.account,
                home_region: version.home_region,
                states: Vec::new(),
            });
            store.states.push((version.from_seq, version.state, matcher));
        }
        let is_kept = |store: &Store| {
            store.states.last().is_some_and(|(_, state, _)| state.deletion != Deletion::Removing)
        };
        stores.retain(|_, store| is_kept(store));
        StoreTable { stores }
    }

    pub fn get(&self, table: &TableName) -> Option<&Store> {
        self.stores.get(table)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TableName, &Store)> {
        self.stores.iter()
    }
}

impl Store {
    /// The first entry that any known state is about.
    pub fn oldest_seq(&self) -> u64 {
        self.states.first().map_or(0, |(from_seq, ..)| *from_seq)
    }

    /// Does the event at `seq` go into the store, by the state that held there?
    pub fn wants(&self, head: &EntryHead, seq: u64, header: &Header<'_>, region: &Region) -> bool {
        if head.tenant.as_str() != self.account {
            return false;
        }
        let Some((_, state, matcher)) = self.states.iter().rev().find(|(from, ..)| *from <= seq)
        else {
            return false;
        };
        state.is_ingesting()
            && (state.multi_region || region.as_str() == self.home_region)
            && matcher.matches(header)
    }
}

#[cfg(test)]
mod tests;
