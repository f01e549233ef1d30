//! Log files as a table, where they lie: no server, no import.
//!
//! ```text
//!   files ─ by day and Region in their path ─▶ queue ─▶ thread: read, inflate, decode ─▶ rows
//!                                                └─────▶ thread: …
//! ```
//! Rows come file by file, so the first are there early and memory holds a file for each thread.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use event::Records;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::decode::{Decoder, Refused, RowIn};
use crate::import::{FILE_LIMITS, body_of};
use crate::prune::Conditions;
use crate::schema::events_schema;

const BATCH_ROWS: usize = 8_192;
const RECORD: &str = "eventjson";
/// Services that record their events once write them here, whatever the file's path says.
const GLOBAL_REGION: &str = "us-east-1";

/// A file that a query may read.
#[async_trait]
pub trait LogFile: fmt::Debug + Send + Sync {
    /// Its path or key: CloudTrail's layout tells the day and the Region.
    fn name(&self) -> &str;

    async fn read(&self) -> std::result::Result<Bytes, String>;
}

/// What could not be read on the way: the file, the reason.
pub type Troubles = Arc<Mutex<Vec<(String, String)>>>;

#[derive(Debug)]
pub struct LogFiles {
    files: Vec<Arc<dyn LogFile>>,
    columns: SchemaRef,
    threads: usize,
    troubles: Troubles,
    read: Arc<AtomicUsize>,
}

impl LogFiles {
    pub fn new(files: Vec<Arc<dyn LogFile>>, threads: usize) -> LogFiles {
        LogFiles {
            files,
            columns: events_schema(),
            threads: threads.max(1),
            troubles: Troubles::default(),
            read: Arc::default(),
        }
    }

    pub fn troubles(&self) -> Troubles {
        self.troubles.clone()
    }

    /// How many files have been read so far.
    pub fn files_read(&self) -> Arc<AtomicUsize> {
        self.read.clone()
    }
}

#[async_trait]
impl TableProvider for LogFiles {
    fn schema(&self) -> SchemaRef {
        self.columns.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let conditions = Conditions::of(filters);
        let files = self.files.iter().filter(|file| may_match(file.name(), &conditions));
        let all: Vec<usize> = (0..self.columns.fields().len()).collect();
        let columns = Arc::new(self.columns.project(projection.unwrap_or(&all))?);
        let queue = Arc::new(Queue {
            files: files.cloned().collect(),
            next: AtomicUsize::new(0),
            columns: columns.clone(),
            troubles: self.troubles.clone(),
            read: self.read.clone(),
        });
        let partitions = (0..self.threads)
            .map(|_| Arc::new(Partition(queue.clone())) as Arc<dyn PartitionStream>);
        let exec =
            StreamingTableExec::try_new(columns, partitions.collect(), None, [], false, limit)?;
        Ok(Arc::new(exec))
    }
}

#[derive(Debug)]
struct Queue {
    files: Vec<Arc<dyn LogFile>>,
    next: AtomicUsize,
    /// What the query reads.
    columns: SchemaRef,
    troubles: Troubles,
    read: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Partition(Arc<Queue>);

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.0.columns
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let queue = self.0.clone();
        let files = stream::unfold(queue, |queue| async move {
            let file = queue.files.get(queue.next.fetch_add(1, Ordering::Relaxed))?.clone();
            let batches = queue.rows_of(file.as_ref()).await;
            queue.read.fetch_add(1, Ordering::Relaxed);
            Some((batches, queue))
        });
        let batches = files.map_ok(|batches| stream::iter(batches.into_iter().map(Ok)));
        let columns = self.0.columns.clone();
        Box::pin(RecordBatchStreamAdapter::new(columns, batches.try_flatten().boxed()))
    }
}

impl Queue {
    /// A file that cannot be read has no rows; the one who asked is told afterwards.
    async fn rows_of(&self, file: &dyn LogFile) -> Result<Vec<RecordBatch>> {
        let read = match file.read().await {
            Ok(bytes) => self.decode(file.name(), &bytes)?,
            Err(reason) => {
                self.trouble(file.name(), reason);
                Vec::new()
            }
        };
        Ok(read)
    }

    fn trouble(&self, name: &str, reason: String) {
        let mut troubles = self.troubles.lock().expect("no holder of this lock can panic");
        troubles.push((name.to_owned(), reason));
    }

    fn decode(&self, name: &str, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
        let body = match body_of(bytes) {
            Ok(body) => body,
            Err(reason) => {
                self.trouble(name, reason);
                return Ok(Vec::new());
            }
        };
        let mut batches = Vec::new();
        let mut decoder = Decoder::without_records();
        let mut texts = StringBuilder::new();
        let keeps_text = self.columns.column_with_name(RECORD).is_some();
        let mut records = Records::new(&body);
        while let Some(item) = records.next_checked(&FILE_LIMITS) {
            let (record, header) = match item.result {
                Ok(checked) => checked,
                Err(reason) => {
                    self.trouble(name, format!("{}: {reason}", item.place));
                    continue;
                }
            };
            if decoder.rows() >= BATCH_ROWS {
                batches.push(self.batch(&mut decoder, &mut texts)?);
            }
            // Nobody asks whose row it is.
            let row = RowIn { account: "", record };
            let mut pushed = decoder.push_checked(row, &header);
            if matches!(pushed, Err(Refused::Full)) {
                batches.push(self.batch(&mut decoder, &mut texts)?);
                pushed = decoder.push_checked(row, &header);
            }
            match pushed {
                // Records that were taken are UTF-8.
                Ok(_) if keeps_text => texts.append_value(String::from_utf8_lossy(record)),
                Ok(_) => {}
                Err(reason) => self.trouble(name, format!("{}: {reason}", item.place)),
            }
        }
        if decoder.rows() > 0 {
            batches.push(self.batch(&mut decoder, &mut texts)?);
        }
        Ok(batches)
    }

    /// The columns that the query reads, out of what was decoded.
    fn batch(&self, decoder: &mut Decoder, texts: &mut StringBuilder) -> Result<RecordBatch> {
        let stored = decoder.finish();
        let texts: ArrayRef = Arc::new(texts.finish());
        let columns = self.columns.fields().iter().map(|field| {
            let column = match field.name().as_str() {
                RECORD => texts.clone(),
                name => match stored.column_by_name(name) {
                    Some(column) => column.clone(),
                    None => arrow::array::new_null_array(field.data_type(), stored.num_rows()),
                },
            };
            Ok::<_, DataFusionError>(column)
        });
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(stored.num_rows()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(self.columns.clone(), columns, &options)?)
    }
}

/// Can a file of that name hold wanted rows? What its name does not tell is taken to match.
fn may_match(name: &str, conditions: &Conditions) -> bool {
    let Some((region, day)) = region_and_day(name) else { return true };
    let wanted = conditions.values_of("awsregion");
    let in_region = wanted.is_none_or(|wanted| {
        wanted.iter().any(|wanted| wanted == region || wanted == GLOBAL_REGION)
    });
    in_region && overlaps(day, &conditions.times)
}

/// Events may lie in a file of the day before or after their own.
fn overlaps(day: Date, times: &RangeInclusive<i64>) -> bool {
    let us =
        |day: Date| day.to_zoned(TimeZone::UTC).map(|time| time.timestamp().as_microsecond()).ok();
    let first = day.checked_sub(1.day()).ok().and_then(us).unwrap_or(i64::MIN);
    let last = day.checked_add(2.days()).ok().and_then(us).unwrap_or(i64::MAX);
    first <= *times.end() && last >= *times.start()
}

/// From CloudTrail's layout: `…/CloudTrail/REGION/YYYY/MM/DD/NAME`.
fn region_and_day(name: &str) -> Option<(&str, Date)> {
    let mut parts = name.rsplit('/').skip(1);
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let region = parts.next()?;
    let day = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?;
    (year.len() == 4).then_some((region, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(region: Option<&str>, from: &str, to: &str) -> Conditions {
        let us = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_microsecond();
        let mut conditions = Conditions::default();
        conditions.and_times(us(from)..=us(to));
        if let Some(region) = region {
            conditions.and_equal(&["awsregion"], region);
        }
        conditions
    }

    #[test]
    fn files_are_chosen_by_their_path() {
        let name = "x/AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/05/a.json.gz";
        let check = |region, from, to| may_match(name, &conditions(region, from, to));
        assert!(check(None, "2026-03-05T10:00:00Z", "2026-03-05T11:00:00Z"));
        assert!(check(None, "2026-03-04T23:59:00Z", "2026-03-04T23:59:59Z"), "delivered later");
        assert!(check(None, "2026-03-06T00:00:01Z", "2026-03-06T00:00:02Z"), "a clock ahead");
        assert!(!check(None, "2026-03-08T00:00:00Z", "2026-03-09T00:00:00Z"));
        assert!(!check(None, "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"));
        let day = ("2026-03-05T00:00:00Z", "2026-03-06T00:00:00Z");
        assert!(check(Some("eu-west-1"), day.0, day.1));
        assert!(!check(Some("eu-west-2"), day.0, day.1));
        assert!(check(Some("us-east-1"), day.0, day.1), "global services' records lie anywhere");
        let unknown = conditions(Some("eu-west-2"), day.0, day.1);
        assert!(may_match("some/where/else.json", &unknown));
    }
}
