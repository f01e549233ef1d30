//! Which event data stores want an event: every state of every store, with its selectors ready to
//! match. An organization event data store wants those of the organization's members too. States are chosen by sequence number, as in [`crate::trail_table`].

use std::collections::BTreeMap;

use catalog::{
    Deletion, EventConfiguration, EventDataStoreState, EventDataStoreVersion, MaxEventSize,
};
use event::copy::CopyRules;
use event::selectors::Matcher;
use event::{AccountId, Header, Region};

use crate::entry::EntryHead;
use crate::lake::{Columns, TableName};
use crate::memberships::Memberships;
use crate::operations::event_data_stores::columns_of;

#[derive(Debug, Default)]
pub struct StoreTable {
    stores: BTreeMap<TableName, Store>,
    memberships: Memberships,
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
    pub fn new(versions: Vec<EventDataStoreVersion>, memberships: Memberships) -> StoreTable {
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
        StoreTable { stores, memberships }
    }

    pub fn get(&self, table: &TableName) -> Option<&Store> {
        self.stores.get(table)
    }

    /// Does the event at `seq` go into the store? Then it goes in by these rules.
    pub fn wants<'s>(
        &self,
        store: &'s Store,
        head: &EntryHead,
        seq: u64,
        header: &Header<'_>,
        region: &Region,
    ) -> Option<CopyRules<'s>> {
        let organization = self.memberships.organization_at(head.tenant.as_str(), seq);
        store.wants(head, organization, seq, header, region)
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

    pub fn is_of(&self, account: &AccountId) -> bool {
        self.account == account.as_str()
    }

    /// By the state that held at `seq`, where the tenant was in `organization`.
    fn wants(
        &self,
        head: &EntryHead,
        organization: Option<&str>,
        seq: u64,
        header: &Header<'_>,
        region: &Region,
    ) -> Option<CopyRules<'_>> {
        let is_own = self.is_of(&head.tenant);
        if !is_own && organization.is_none() {
            return None;
        }
        let (_, state, matcher) = self.states.iter().rev().find(|(from, ..)| *from <= seq)?;
        let wants = (is_own || state.organization.as_deref() == organization)
            && state.is_ingesting()
            && (state.multi_region || region.as_str() == self.home_region)
            && matcher.matches(header);
        let EventConfiguration { max_event_size, context_keys } = &state.configuration;
        wants.then_some(match max_event_size {
            MaxEventSize::Standard => CopyRules::STANDARD,
            MaxEventSize::Large => CopyRules::large(context_keys),
        })
    }
}

#[cfg(test)]
mod tests;
