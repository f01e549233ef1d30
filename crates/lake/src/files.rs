//! Log files as a table, where they lie: no server, no import.
//!
//! ```text
//!   files ─ by day and Region in their path ─▶ queue ─▶ thread: read, inflate ─▶ quick reading ─▶ rows
//!                                                │                            └▶ if odd: decoder ─▶ rows
//!                                                └─────▶ thread: …
//! ```
//! A quick reading looks only at what the query needs ([`quick`]); a file in which it meets anything
//! unusual is read by the decoder, which checks everything and names what it leaves out. Rows come
//! file by file, so the first are there early and memory holds a file for each thread.

mod exec;
mod leaves;
mod masks;
mod paths;
mod quick;
mod reading;
mod skip;
#[cfg(test)]
mod tests;
mod wanted;

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;

use crate::prune::Conditions;
use crate::schema::events_schema;
use exec::FilesExec;
use wanted::Wanted;

const RECORD: &str = "eventjson";

/// A file that a query may read.
#[async_trait]
pub trait LogFile: fmt::Debug + Send + Sync {
    /// Its path or key: CloudTrail's layout tells the day and the Region.
    fn name(&self) -> &str;

    /// Where it lies on this machine, if it does: then it is read from there.
    fn path(&self) -> Option<&Path> {
        None
    }

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
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let conditions = Conditions::of(filters);
        let files = self.files.iter().filter(|file| paths::may_match(file.name(), &conditions));
        let all: Vec<usize> = (0..self.columns.fields().len()).collect();
        let columns = Arc::new(self.columns.project(projection.unwrap_or(&all))?);
        let read = exec::Files {
            files: files.cloned().collect(),
            next: AtomicUsize::new(0),
            troubles: self.troubles.clone(),
            read: self.read.clone(),
        };
        let wanted = Wanted::whole(columns);
        Ok(Arc::new(FilesExec::new(Arc::new(read), wanted, self.threads)))
    }
}
