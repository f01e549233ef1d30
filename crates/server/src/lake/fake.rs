//! A lake for tests: rows in memory, committed to memory. It answers lookups, takes imports, and has
//! the little SQL that `queries` says.
//!
//! It fails when told to, and forgets what was not committed when it crashes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use event::lookup::{Field, Filter, Found, Lookup, Page};
use event::{Header, json};
use futures::FutureExt as _;
use jiff::Timestamp;

use super::{
    Ask, Columns, Commit, Hot, Import, ImportOptions, Lake, LakeFault, NamedTable, Prepared,
    QueryFault, Row, Size, TableName,
};

mod imports;
mod queries;

/// A handle; clones are the same lake.
#[derive(Debug, Clone, Default)]
pub struct FakeLake {
    tables: Arc<Tables>,
    faults: Arc<Mutex<Faults>>,
    listing: Arc<Mutex<Option<String>>>,
    /// Commits of imports whose answer will be lost.
    import_answers_lost: Arc<AtomicU32>,
}

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Open,
    Append,
    Commit,
    /// The commit is done, but the answer is a failure.
    CommitAnswer,
}

#[derive(Debug, Default)]
struct Faults {
    planned: Vec<Planned>,
    /// How often a commit lets others go first.
    commit_pauses: u32,
    crashes: u32,
}

#[derive(Debug)]
struct Planned {
    call: Call,
    /// None is any.
    table: Option<TableName>,
    /// So many calls go well before those that fail.
    after: u32,
    times: u32,
}

type Tables = Mutex<BTreeMap<TableName, Table>>;

#[derive(Debug, Default)]
struct Table {
    /// What imports have committed.
    imported: Vec<Row>,
    rows: Vec<Row>,
    /// How many of them are durable.
    committed: usize,
    position: u64,
}

impl FakeLake {
    fn tables(&self) -> MutexGuard<'_, BTreeMap<TableName, Table>> {
        self.tables.lock().expect("no holder of this lock can panic")
    }

    /// The next `times` commits of imports are done, but fail to say so.
    pub fn lose_import_answers(&self, times: u32) {
        self.import_answers_lost.store(times, Ordering::Relaxed);
    }

    /// After `after` calls of this kind (for this table), `times` fail.
    pub fn fail(&self, call: Call, table: Option<&TableName>, after: u32, times: u32) {
        let table = table.cloned();
        self.faults().planned.push(Planned { call, table, after, times });
    }

    /// No more failures.
    pub fn heal(&self) {
        self.faults().planned.clear();
    }

    /// Commits take a while from now on, in which other things happen.
    pub fn pause_in_commits(&self, pauses: u32) {
        self.faults().commit_pauses = pauses;
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder of this lock can panic")
    }

    /// Counts the call, and fails if that is planned.
    fn may(&self, call: Call, table: &TableName) -> Result<(), LakeFault> {
        for planned in &mut self.faults().planned {
            let is_meant = planned.call == call
                && planned.times > 0
                && planned.table.as_ref().is_none_or(|wanted| wanted == table);
            if !is_meant {
                continue;
            }
            if planned.after > 0 {
                planned.after -= 1;
                continue;
            }
            planned.times -= 1;
            return Err(LakeFault::Store {
                table: table.as_str().to_owned(),
                detail: format!("{call:?} fails by plan"),
            });
        }
        Ok(())
    }

    /// Makes the first `taken` rows that are only in memory durable, unless there was a crash since
    /// `crashes` were counted.
    async fn commit_taken(
        &self,
        table: &TableName,
        taken: usize,
        through: u64,
        crashes: u32,
    ) -> Result<(), LakeFault> {
        let pauses = self.faults().commit_pauses;
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        self.may(Call::Commit, table)?;
        let answer = self.may(Call::CommitAnswer, table);
        let mut tables = self.tables();
        if self.faults().crashes != crashes {
            let detail = "the lake has crashed meanwhile".to_owned();
            return Err(LakeFault::Store { table: table.as_str().to_owned(), detail });
        }
        let state = tables.get_mut(table).ok_or_else(|| no_such(table))?;
        state.committed += taken;
        state.position = state.position.max(through);
        answer
    }

    /// What a crash leaves: only what was committed. A commit under way comes to nothing.
    pub fn crash(&self) {
        self.faults().crashes += 1;
        for table in self.tables().values_mut() {
            table.rows.truncate(table.committed);
        }
    }

    /// The listing of federated tables.
    pub fn listing(&self) -> Option<String> {
        self.listing.lock().expect("no holder of this lock can panic").clone()
    }

    pub fn has_table(&self, table: &TableName) -> bool {
        self.tables().contains_key(table)
    }

    /// The records of a table, in the order in which they came.
    pub fn records(&self, table: &TableName) -> Vec<Bytes> {
        let tables = self.tables();
        let rows = tables.get(table).into_iter().flat_map(Table::all);
        rows.map(|row| row.record.clone()).collect()
    }
}

impl Table {
    fn all(&self) -> impl Iterator<Item = &Row> {
        self.imported.iter().chain(&self.rows)
    }
}

fn no_such(table: &TableName) -> LakeFault {
    LakeFault::NoSuchTable(table.as_str().to_owned())
}

#[async_trait]
impl Lake for FakeLake {
    async fn open_table(&self, table: &TableName, _: Columns) -> Result<u64, LakeFault> {
        self.may(Call::Open, table)?;
        Ok(self.tables().entry(table.clone()).or_default().position)
    }

    fn location(&self, table: &TableName) -> String {
        format!("memory:///{}/", table.as_str())
    }

    async fn put_listing(&self, text: Option<String>) -> Result<(), LakeFault> {
        *self.listing.lock().expect("no holder of this lock can panic") = text;
        Ok(())
    }

    async fn remove_table(&self, table: &TableName) -> Result<(), LakeFault> {
        self.tables().remove(table);
        Ok(())
    }

    async fn append(
        &self,
        rows: Vec<Row>,
        wanted: Vec<(TableName, Vec<u32>)>,
    ) -> Result<Vec<(u64, String)>, LakeFault> {
        let mut tables = self.tables();
        for (name, _) in &wanted {
            self.may(Call::Append, name)?;
            if !tables.contains_key(name) {
                return Err(no_such(name));
            }
        }
        for (name, places) in wanted {
            let Some(table) = tables.get_mut(&name) else { continue };
            let position = table.position;
            let wanted = places.iter().filter_map(|place| rows.get(*place as usize));
            table.rows.extend(wanted.filter(|row| row.seq > position).cloned());
        }
        Ok(Vec::new())
    }

    fn commit(&self, table: &TableName, through: u64) -> Commit {
        let taken = {
            let tables = self.tables();
            let Some(state) = tables.get(table) else {
                return futures::future::ready(Err(no_such(table))).boxed();
            };
            let beyond = state.rows[state.committed..].iter().find(|row| row.seq > through);
            if let Some(row) = beyond {
                panic!("the row of entry {} is committed with position {through}", row.seq);
            }
            state.rows.len() - state.committed
        };
        let (lake, table, crashes) = (self.clone(), table.clone(), self.faults().crashes);
        async move { lake.commit_taken(&table, taken, through, crashes).await }.boxed()
    }

    fn hot(&self, table: &TableName) -> Hot {
        let tables = self.tables();
        let Some(table) = tables.get(table) else { return Hot::default() };
        let hot = &table.rows[table.committed..];
        let bytes = hot.iter().map(|row| row.record.len() as u64).sum();
        Hot { rows: hot.len() as u64, bytes }
    }

    fn size(&self, table: &TableName) -> Size {
        let tables = self.tables();
        let Some(table) = tables.get(table) else { return Size::default() };
        let rows = || table.imported.iter().chain(&table.rows[..table.committed]);
        let bytes = rows().map(|row| row.record.len() as u64).sum();
        let count = rows().count() as u64;
        Size { rows: count, bytes, files: u64::from(count > 0) }
    }

    async fn maintain(&self, table: &TableName, keep_from: Timestamp) -> Result<bool, LakeFault> {
        let mut tables = self.tables();
        let table = tables.get_mut(table).ok_or_else(|| no_such(table))?;
        let committed = table.rows.drain(..table.committed).collect::<Vec<_>>();
        let is_kept = |row: &Row| {
            event::read_again(&row.record).is_ok_and(|header| header.event_time >= keep_from)
        };
        table.imported.retain(is_kept);
        let hot = std::mem::take(&mut table.rows);
        table.rows = committed.into_iter().filter(is_kept).collect();
        table.committed = table.rows.len();
        table.rows.extend(hot);
        Ok(false)
    }

    async fn lookup(&self, table: &TableName, ask: Lookup) -> Result<Page, LakeFault> {
        let tables = self.tables();
        let rows = tables.get(table).ok_or_else(|| no_such(table))?.all();
        let mut events: Vec<Found> = rows.filter_map(|row| found(row, &ask)).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.place()));
        let more = events.len() > ask.limit;
        events.truncate(ask.limit);
        Ok(Page { events, more })
    }

    fn tables_of(
        &self,
        statement: &str,
        parameters: &[String],
    ) -> Result<Vec<NamedTable>, QueryFault> {
        queries::tables_of(&queries::filled(statement, parameters)?)
    }

    async fn prepare(&self, ask: Ask) -> Result<Box<dyn Prepared>, QueryFault> {
        let tables = self.tables();
        let mut rows = Vec::new();
        for readable in ask.tables.values() {
            let name = &readable.table;
            let table = tables.get(name).ok_or_else(|| no_such(name))?;
            let is_own = |row: &&Row| readable.account.is_none_or(|own| row.account == own);
            rows.extend(table.all().filter(is_own).cloned());
        }
        queries::prepare(&queries::filled(&ask.statement, &ask.parameters)?, rows)
    }

    async fn import(
        &self,
        table: &TableName,
        options: ImportOptions,
    ) -> Result<Box<dyn Import>, LakeFault> {
        if !self.tables().contains_key(table) {
            return Err(no_such(table));
        }
        Ok(Box::new(imports::FakeImport {
            tables: self.tables.clone(),
            answers_lost: self.import_answers_lost.clone(),
            table: table.clone(),
            options,
            added: Mutex::default(),
        }))
    }
}

/// The row as an answer, if it is one.
fn found(row: &Row, ask: &Lookup) -> Option<Found> {
    let header = event::read_again(&row.record).ok()?;
    let record = std::str::from_utf8(&row.record).ok()?;
    let in_region = ask.region.as_deref().is_none_or(|region| header.aws_region.to_str() == region);
    let in_span = (ask.from..=ask.to).contains(&header.event_time);
    let of_account = ask.account.is_none_or(|account| row.account == account);
    if !of_account || !in_region || !in_span {
        return None;
    }
    let object = |key| json::member(record, key).filter(|value| value.starts_with('{'));
    let event = Found {
        event_id: header.event_id_or_derived(&row.record).to_string(),
        event_name: header.event_name.to_str().into_owned(),
        event_source: header.event_source.to_str().into_owned(),
        event_time: header.event_time,
        read_only: header.read_only,
        access_key_id: header.user_identity_text("accessKeyId").map(|t| t.to_str().into_owned()),
        user_name: event::user_name(&header).map(|name| name.into_owned()),
        resources: event::named_resources(
            &header,
            object("requestParameters"),
            object("responseElements"),
        ),
        record: record.to_owned(),
    };
    if ask.after.as_ref().is_some_and(|place| event.place() >= *place) {
        return None;
    }
    ask.filters.iter().all(|filter| passes(filter, &event, &header)).then_some(event)
}

fn passes(filter: &Filter, event: &Found, header: &Header<'_>) -> bool {
    let one = |value: Option<&str>| value.is_some_and(|value| filter.test.holds(value));
    let holds = match filter.field {
        Field::EventId => one(Some(&event.event_id)),
        Field::EventName => one(Some(&event.event_name)),
        Field::ReadOnly => {
            one(event.read_only.map(|read_only| if read_only { "true" } else { "false" }))
        }
        Field::Username => one(event.user_name.as_deref()),
        Field::ResourceType => event.resources.iter().any(|named| one(named.kind.as_deref())),
        Field::ResourceName => event.resources.iter().any(|named| one(Some(&named.name))),
        Field::EventSource => one(Some(&event.event_source)),
        Field::AccessKeyId => one(event.access_key_id.as_deref()),
        Field::EventCategory => one(Some(header.category.name())),
        Field::ErrorCode => one(header.error_code.map(|code| code.to_str()).as_deref()),
        Field::SourceIpAddress => json::string_member(&event.record, "sourceIPAddress")
            .is_some_and(|address| one(Some(&address.to_str()))),
        Field::UserArn => one(header.user_identity_arn().map(|arn| arn.to_str()).as_deref()),
        Field::Record => one(Some(&event.record)),
    };
    holds != filter.negated
}
