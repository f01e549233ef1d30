//! A lake for tests: rows in memory, committed to memory. It answers lookups, takes imports, and has
//! the little SQL that `queries` says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use event::lookup::{Field, Filter, Found, Lookup, Page};
use event::{Header, json};
use jiff::Timestamp;

use super::{
    Ask, Columns, Hot, Import, ImportOptions, Lake, LakeFault, NamedTable, Prepared, QueryFault,
    Row, Size, TableName,
};

mod imports;
mod queries;

#[derive(Debug, Default)]
pub struct FakeLake {
    tables: Arc<Tables>,
    /// Commits of imports whose answer will be lost.
    import_answers_lost: Arc<AtomicU32>,
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

    /// What a crash leaves: only what was committed.
    pub fn crash(&self) {
        for table in self.tables().values_mut() {
            table.rows.truncate(table.committed);
        }
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
        Ok(self.tables().entry(table.clone()).or_default().position)
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
        for (name, places) in wanted {
            let table = tables.get_mut(&name).ok_or_else(|| no_such(&name))?;
            let position = table.position;
            let wanted = places.iter().filter_map(|place| rows.get(*place as usize));
            table.rows.extend(wanted.filter(|row| row.seq > position).cloned());
        }
        Ok(Vec::new())
    }

    async fn commit(&self, table: &TableName, through: u64) -> Result<(), LakeFault> {
        let mut tables = self.tables();
        let table = tables.get_mut(table).ok_or_else(|| no_such(table))?;
        table.committed = table.rows.len();
        table.position = through;
        Ok(())
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

    fn tables_of(&self, statement: &str, _: &[String]) -> Result<Vec<NamedTable>, QueryFault> {
        queries::tables_of(statement)
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
        queries::prepare(&ask.statement, rows)
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
    if row.account != ask.account || !in_region || !in_span {
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
