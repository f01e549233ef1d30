//! What call after call asks for, in memory: the latest queries, event data stores, policies of resources.
//!
//! ```text
//!   add_query, end_query ─ note ─▶ queries ◀─┐
//!   event_data_store     ─ note ─▶ stores  ◀─┤ forget: SQLite tells of every row that a statement changes
//!   resource_policy      ─ note ─▶ policies ◀┘
//! ```
//! The database has one connection. Who notes something has read or written it over that connection and
//! still holds it, so nothing can have changed meanwhile; a change forgets before it is committed. Whoever
//! changes a row need not think of this. (Of tables WITHOUT ROWID SQLite tells nothing; none of these is one.)

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use crate::connection::Held;
use crate::{EventDataStore, Query};

/// Queries with their texts and results take about this much at most; the oldest go first.
const QUERIES_BYTES_MAX: usize = 16 << 20;
/// What a query takes beside its texts.
const QUERY_BYTES: usize = 1 << 10;
/// Stores, and as many policies. Were there more, all would go, and those in use come back.
const ENTRIES_MAX: usize = 1000;
/// Callers choose the ARNs whose policies are asked for.
const ARN_BYTES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By number.
    queries: BTreeMap<i64, RecentQuery>,
    /// The numbers of those, by ID.
    numbers: HashMap<String, i64>,
    queries_bytes: usize,
    stores: HashMap<Uuid, EventDataStore>,
    /// None: it has none.
    policies: HashMap<String, Option<String>>,
}

#[derive(Debug)]
struct RecentQuery {
    query: Query,
    result: Option<Vec<u8>>,
    bytes: usize,
}

impl Recent {
    /// A statement changes that row, or has made it.
    pub fn row_changed(&self, table: &str, rowid: i64) {
        match table {
            "queries" => self.lock().forget_query(rowid),
            "event_data_stores" | "event_data_store_states" => self.lock().stores.clear(),
            "resource_policies" => self.lock().policies.clear(),
            _ => {}
        }
    }

    /// The query of that ID, whoever's it is.
    pub fn query(&self, id: &str) -> Option<Query> {
        self.lock().find(id).map(|found| found.query.clone())
    }

    /// The result of that query as far as it lies in the catalog, if the query is known here.
    pub fn result(&self, id: &str) -> Option<Option<Vec<u8>>> {
        self.lock().find(id).map(|found| found.result.clone())
    }

    /// A query as it is now, and all that the catalog has of its result.
    pub fn note_query(&self, _held: &Held<'_>, query: Query, result: Option<Vec<u8>>) {
        self.lock().note_query(query, result);
    }

    pub fn store(&self, id: Uuid) -> Option<EventDataStore> {
        self.lock().stores.get(&id).cloned()
    }

    pub fn note_store(&self, _held: &Held<'_>, store: &EventDataStore) {
        let mut inner = self.lock();
        if inner.stores.len() >= ENTRIES_MAX {
            inner.stores.clear();
        }
        inner.stores.insert(store.id, store.clone());
    }

    /// The policy of a resource, if it is known; the inner `None` is that there is none.
    pub fn policy(&self, arn: &str) -> Option<Option<String>> {
        self.lock().policies.get(arn).cloned()
    }

    pub fn note_policy(&self, _held: &Held<'_>, arn: &str, policy: Option<&str>) {
        if arn.len() > ARN_BYTES_MAX {
            return;
        }
        let mut inner = self.lock();
        if inner.policies.len() >= ENTRIES_MAX {
            inner.policies.clear();
        }
        inner.policies.insert(arn.to_owned(), policy.map(str::to_owned));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock can panic")
    }
}

impl Inner {
    fn find(&self, id: &str) -> Option<&RecentQuery> {
        self.queries.get(self.numbers.get(id)?)
    }

    fn note_query(&mut self, query: Query, result: Option<Vec<u8>>) {
        self.forget_query(query.number);
        let asked = &query.asked;
        let texts = [
            Some(asked.statement.len()),
            Some(asked.parameters.iter().map(String::len).sum()),
            Some(asked.stores.iter().map(|store| store.name.len() + store.arn.len()).sum()),
            asked.prompt.as_ref().map(String::len),
            query.error.as_ref().map(String::len),
            result.as_ref().map(Vec::len),
        ];
        let bytes = QUERY_BYTES + texts.into_iter().flatten().sum::<usize>();
        self.queries_bytes += bytes;
        self.numbers.insert(asked.id.clone(), query.number);
        self.queries.insert(query.number, RecentQuery { query, result, bytes });
        while self.queries_bytes > QUERIES_BYTES_MAX
            && let Some((&oldest, _)) = self.queries.first_key_value()
        {
            self.forget_query(oldest);
        }
    }

    fn forget_query(&mut self, number: i64) {
        if let Some(forgotten) = self.queries.remove(&number) {
            self.queries_bytes -= forgotten.bytes;
            self.numbers.remove(&forgotten.query.asked.id);
        }
    }
}

#[cfg(test)]
mod tests;
