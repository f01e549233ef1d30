//! Which rows of a batch each table wants.

use event::{Category, Header, Region};
use journal::Entry;

use crate::entry::{EntryHead, HEAD_BYTES};
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
        let (head, header) = match read(entry) {
            Ok(read) => read,
            Err(reason) => {
                judged.unreadable.push((entry.seq, reason));
                continue;
            }
        };
        let region = region_of(&header, own);
        let place = u32::try_from(judged.rows.len()).expect("a batch of some MB has fewer rows");
        let mut is_wanted = false;
        for (lane, (_, places)) in lanes.iter().zip(&mut judged.wanted) {
            let wants = entry.seq > lane.committed
                && match lane.table == history {
                    true => is_history(header.category),
                    false => stores
                        .get(&lane.table)
                        .is_some_and(|store| store.wants(&head, entry.seq, &header, &region)),
                };
            if wants {
                places.push(place);
                is_wanted = true;
            }
        }
        if is_wanted {
            let account = header.recipient().unwrap_or(head.tenant);
            let record = entry.payload.slice(HEAD_BYTES..);
            judged.rows.push(Row { seq: entry.seq, account, record });
            judged.oldest_accepted_ms.get_or_insert(head.accepted_ms);
        }
    }
    judged
}

/// Event history holds these whatever is declared; data events never (spec e).
fn is_history(category: Category) -> bool {
    matches!(category, Category::Management | Category::Insight)
}

fn read(entry: &Entry) -> Result<(EntryHead, Header<'_>), String> {
    let (head, record) = EntryHead::decode(&entry.payload).map_err(|e| e.to_string())?;
    let header = event::read_again(record).map_err(|e| e.to_string())?;
    Ok((head, header))
}
