//! Which rows of a batch each table wants.

use std::borrow::Cow;

use event::copy::{CopyRules, copied, may_differ};
use event::{AccountId, Category, Header, Region};
use journal::Entry;

use crate::entry::{self, EntryHead, Origin};
use crate::lake::{Row, TableName};
use crate::store_table::StoreTable;
use crate::workers::deliver_logs::region_of;

/// A table that is to be given rows.
pub struct Lane {
    table: TableName,
    /// Entries up to this one are in its files already.
    committed: u64,
}

impl Lane {
    pub fn new(table: &TableName, committed: u64) -> Lane {
        Lane { table: table.clone(), committed }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Judged {
    /// Those that some table wants.
    pub rows: Vec<Row>,
    /// One for each lane, in their order, with places in `rows`.
    pub wanted: Vec<(TableName, Vec<u32>)>,
    /// Entries that are no events, with the reason.
    pub unreadable: Vec<(u64, String)>,
    /// When the first of the rows was accepted, in milliseconds.
    pub oldest_accepted_ms: Option<i64>,
}

/// `own` is the Region of events that name none.
pub fn judge(entries: &[Entry], lanes: &[Lane], stores: &StoreTable, own: &Region) -> Judged {
    let mut judged = Judged {
        wanted: lanes.iter().map(|lane| (lane.table.clone(), Vec::new())).collect(),
        ..Judged::default()
    };
    let lowest = lanes.iter().map(|lane| lane.committed).min();
    let history = TableName::history();
    for entry in entries {
        // Nobody follows, or it is in files everywhere.
        if lowest.is_none_or(|lowest| entry.seq <= lowest) {
            continue;
        }
        let (head, record, header) = match read(entry) {
            Ok(read) => read,
            Err(reason) => {
                judged.unreadable.push((entry.seq, reason));
                continue;
            }
        };
        let region = region_of(&header, own);
        let put_into: Option<Vec<TableName>> = (head.origin == Origin::Channel).then(|| {
            entry::destinations(&entry.payload).map(|id| TableName::of_store(&id)).collect()
        });
        let mut copies = Copies::of(entry, record, &head, &header);
        for (lane, (_, places)) in lanes.iter().zip(&mut judged.wanted) {
            if entry.seq <= lane.committed {
                continue;
            }
            let rules = match (&put_into, stores.get(&lane.table)) {
                // Selectors have no say here, and a store that was deleted since may come back. What
                // the channel's door took is not cut.
                (Some(tables), Some(store)) => (store.is_of(&head.tenant)
                    && tables.contains(&lane.table))
                .then_some(CopyRules::large(&[])),
                (Some(_), None) => None,
                (None, Some(store)) => stores.wants(store, &head, entry.seq, &header, &region),
                (None, None) => (lane.table == history && is_history(header.category))
                    .then_some(CopyRules::STANDARD),
            };
            if let Some(rules) = rules {
                places.push(copies.place(&rules, &mut judged.rows));
                judged.oldest_accepted_ms.get_or_insert(head.accepted_ms);
            }
        }
    }
    judged
}

/// The rows of one entry: one for all tables, except for the few records of which not everybody
/// gets the same.
struct Copies<'e> {
    entry: &'e Entry,
    /// In the entry's payload.
    record: &'e [u8],
    account: AccountId,
    header: &'e Header<'e>,
    may_differ: bool,
    /// Places in the batch's rows.
    made: Vec<u32>,
}

impl<'e> Copies<'e> {
    fn of(
        entry: &'e Entry,
        record: &'e [u8],
        head: &EntryHead,
        header: &'e Header<'e>,
    ) -> Copies<'e> {
        let account = header.recipient().unwrap_or(head.tenant);
        let may_differ = may_differ(record, header);
        Copies { entry, record, account, header, may_differ, made: Vec::new() }
    }

    /// The place of the copy by these rules, which is made if it is not there.
    fn place(&mut self, rules: &CopyRules<'_>, rows: &mut Vec<Row>) -> u32 {
        let whole = self.entry.payload.slice_ref(self.record);
        let record = match self.may_differ {
            false if !self.made.is_empty() => return self.made[0],
            false => whole,
            true => match copied(self.record, self.header, rules) {
                Cow::Borrowed(_) => whole,
                Cow::Owned(copy) => copy.into(),
            },
        };
        let same = |place: &&u32| rows[**place as usize].record == record;
        if let Some(place) = self.made.iter().find(same) {
            return *place;
        }
        let place = u32::try_from(rows.len()).expect("a batch of some MB has fewer rows");
        rows.push(Row { seq: self.entry.seq, account: self.account, record });
        self.made.push(place);
        place
    }
}

/// Event history holds these whatever is declared; data events never (spec e).
fn is_history(category: Category) -> bool {
    matches!(category, Category::Management | Category::Insight)
}

fn read(entry: &Entry) -> Result<(EntryHead, &[u8], Header<'_>), String> {
    let (head, record) = EntryHead::decode(&entry.payload).map_err(|e| e.to_string())?;
    let header = event::read_again(record).map_err(|e| e.to_string())?;
    Ok((head, record, header))
}
