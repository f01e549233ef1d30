//! The fake lake's imports: records of a body, plain or gzip, held back until they are committed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use event::{AccountId, Limits, Records};

use crate::intake::{Encoding, inflate};
use crate::lake::{
    FileFault, Import, ImportOptions, Imported, LakeFault, ReadFile, Row, TableName,
};

use super::{Table, Tables, no_such};

/// What a test file may inflate to.
const INFLATED_BYTES_MAX: usize = 64 << 20;

pub(super) struct FakeImport {
    pub tables: Arc<Tables>,
    pub answers_lost: Arc<AtomicU32>,
    pub table: TableName,
    pub options: ImportOptions,
    pub added: Mutex<Vec<Row>>,
}

#[async_trait]
impl Import for FakeImport {
    async fn add(&self, name: &str, bytes: Bytes) -> Result<ReadFile, FileFault> {
        let unreadable = |e: String| FileFault::Unreadable(format!("{name}: {e}"));
        let encoding = Encoding::of(None, &bytes).map_err(|e| unreadable(e.to_string()))?;
        let bytes =
            inflate(encoding, &bytes, INFLATED_BYTES_MAX).map_err(|e| unreadable(e.to_string()))?;
        let mut read = ReadFile { uncompressed_bytes: bytes.len() as u64, ..ReadFile::default() };
        let mut rows = Vec::new();
        let mut records = Records::new(&bytes);
        while let Some(item) = records.next_checked(&Limits::default()) {
            match item.result {
                Ok((_, header))
                    if self.options.from.is_some_and(|from| header.event_time < from) =>
                {
                    read.expired += 1;
                }
                Ok((raw, header)) => {
                    let account: AccountId = header.recipient().unwrap_or(self.options.account);
                    read.events += 1;
                    rows.push(Row { seq: 0, account, record: Bytes::copy_from_slice(raw) });
                }
                Err(refusal) => {
                    read.refused_count += 1;
                    read.refused.push(refusal.to_string());
                }
            }
        }
        if read.events + read.expired + read.refused_count == 0 {
            return Err(unreadable("it holds no records".to_owned()));
        }
        if read.events + read.expired == 0 {
            return Err(unreadable(read.refused.remove(0)));
        }
        // As a real one would, it lets others go on meanwhile.
        tokio::task::yield_now().await;
        self.added.lock().expect("no holder of this lock can panic").append(&mut rows);
        Ok(read)
    }

    async fn commit(&self) -> Result<Imported, LakeFault> {
        let added =
            std::mem::take(&mut *self.added.lock().expect("no holder of this lock can panic"));
        let mut tables = self.tables.lock().expect("no holder of this lock can panic");
        let table: &mut Table = tables.get_mut(&self.table).ok_or_else(|| no_such(&self.table))?;
        let mut known: HashSet<String> = table.all().filter_map(id_of).collect();
        let mut imported = Imported::default();
        for row in added {
            if id_of(&row).is_some_and(|id| known.insert(id)) {
                table.imported.push(row);
                imported.rows += 1;
            } else {
                imported.duplicates += 1;
            }
        }
        let lost = |left: u32| left.checked_sub(1);
        match self.answers_lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lost) {
            Err(_) => Ok(imported),
            Ok(_) => Err(LakeFault::Store {
                table: self.table.as_str().to_owned(),
                detail: "it was done, and the answer was lost".to_owned(),
            }),
        }
    }
}

fn id_of(row: &Row) -> Option<String> {
    let header = event::read_again(&row.record).ok()?;
    Some(header.event_id_or_derived(&row.record).to_string())
}
