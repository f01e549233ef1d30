//! A query from its text to rows of text.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::DataFrame;
use futures::{FutureExt as _, StreamExt as _};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use url::Url;

use crate::files::LogFiles;
use crate::groups::{files_of, merging};
use crate::record::DecodeError;
use crate::scan::STORE_URL;
use crate::sql::{self, Limits, QueryError, text};
use crate::storage::chain_of;
use crate::table::file::{DataFile, FileError};
use crate::yielding::yielding;

/// A row of a result; NULL is `None`.
pub type TextRow = Vec<Option<String>>;

/// Rows that are handed over at a time, and how many such portions may wait.
const PORTION_ROWS: usize = 1_024;
const PORTIONS_WAITING_MAX: usize = 4;

/// How long is looked for the file that a query could not read.
const BLAME_MAX: Duration = Duration::from_secs(60);

/// How far a query has come.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows read from files and memory.
    pub events_scanned: AtomicU64,
    /// Rows of the result.
    pub events_matched: AtomicU64,
    pub bytes_scanned: AtomicU64,
}

/// Why a query ended early.
#[derive(Debug, thiserror::Error)]
pub enum QueryFailure {
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A value it met cannot be dealt with.
    #[error("{0}")]
    Value(String),
    #[error("{0}")]
    Exhausted(String),
    /// A file of the table is missing or cannot be read, or its store does not answer.
    #[error(transparent)]
    File(FileError),
    #[error("{0}")]
    Failed(String),
}

/// A query whose meaning is known.
#[derive(Debug)]
pub struct PreparedQuery {
    pub columns: Vec<String>,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
}

/// Finds out what a statement means over the given tables, by name in lower case.
pub async fn prepare(
    statement: &str,
    parameters: &[String],
    tables: &HashMap<String, Arc<dyn TableProvider>>,
    limits: &Limits,
) -> Result<PreparedQuery, QueryFailure> {
    let parsed = sql::parse(statement, parameters)?;
    let session = sql::session(limits).map_err(failure)?;
    let url = Url::parse(STORE_URL).map_err(|error| QueryFailure::Failed(error.to_string()))?;
    // Plans name a store; files are opened by their own reader, so nothing is ever read from it.
    session.register_object_store(&url, Arc::new(object_store::memory::InMemory::new()));
    let prepared = parsed.plan(&session, |name| tables.get(name).cloned()).await?;
    let frame = DataFrame::new(session.state(), prepared.plan);
    let context = Arc::new(frame.task_ctx());
    let plan = frame.create_physical_plan().await.map_err(planning_failure)?;
    let plan = merging(plan).and_then(yielding).map_err(failure)?;
    Ok(PreparedQuery { columns: prepared.columns, plan, context })
}

/// The same over log files, which every name of a table stands for.
pub async fn prepare_over_files(
    statement: &str,
    files: LogFiles,
    limits: &Limits,
) -> Result<PreparedQuery, QueryFailure> {
    let files: Arc<dyn TableProvider> = Arc::new(files);
    let parsed = sql::parse(statement, &[])?;
    let names = parsed.stores().iter().map(|store| (store.name.clone(), files.clone()));
    prepare(statement, &[], &names.collect(), limits).await
}

impl PreparedQuery {
    /// How it will be answered, as DataFusion shows it.
    #[cfg(test)]
    pub fn plan_text(&self) -> String {
        datafusion::physical_plan::displayable(self.plan.as_ref()).indent(true).to_string()
    }

    /// Writes the result as Parquet, its columns with their types. Answers the number of rows.
    pub async fn write_parquet(
        self,
        to: impl std::io::Write + Send,
        progress: &Progress,
    ) -> Result<u64, QueryFailure> {
        let run = async {
            let mut batches = execute_stream(self.plan.clone(), self.context.clone())?;
            let mut writer =
                ArrowWriter::try_new(to, named(&batches.schema(), &self.columns), None)?;
            let mut rows = 0;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                rows += batch.num_rows() as u64;
                let columns = batch.columns().to_vec();
                let schema = named(&batch.schema(), &self.columns);
                writer.write(&RecordBatch::try_new(schema, columns)?)?;
                self.note(progress);
            }
            writer.close()?;
            Ok::<u64, DataFusionError>(rows)
        };
        match run.await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.failure(error).await),
        }
    }

    /// Runs on `runtime`. Rows come in portions until the channel ends; an error is the last item.
    /// Dropping the receiver ends the query.
    pub fn start(
        self,
        runtime: &Handle,
        progress: Arc<Progress>,
    ) -> mpsc::Receiver<Result<Vec<TextRow>, QueryFailure>> {
        let (sender, receiver) = mpsc::channel(PORTIONS_WAITING_MAX);
        runtime.spawn(async move {
            let closed = sender.clone();
            // A panic must not look like the end of the rows.
            let run = AssertUnwindSafe(self.run(&sender, &progress)).catch_unwind();
            let failure = tokio::select! {
                done = run => match done {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => self.failure(error).await,
                    // Most likely while decoding.
                    Err(_) => match self.unreadable_file().await {
                        Some(found) => QueryFailure::File(found),
                        None => QueryFailure::Failed("a thread of the query panicked".to_owned()),
                    },
                },
                () = closed.closed() => return,
            };
            let _ = sender.send(Err(failure)).await;
        });
        receiver
    }

    async fn run(
        &self,
        sender: &mpsc::Sender<Result<Vec<TextRow>, QueryFailure>>,
        progress: &Progress,
    ) -> Result<(), DataFusionError> {
        let mut batches = execute_stream(self.plan.clone(), self.context.clone())?;
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch,
                _ = ticks.tick() => {
                    self.note(progress);
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            let batch = batch?;
            for from in (0..batch.num_rows()).step_by(PORTION_ROWS) {
                let to = (from + PORTION_ROWS).min(batch.num_rows());
                let mut rows = Vec::with_capacity(to - from);
                for row in from..to {
                    let values = batch.columns().iter().map(|column| text::text_of(column, row));
                    rows.push(values.collect::<Result<TextRow, _>>()?);
                }
                progress.events_matched.fetch_add(rows.len() as u64, Ordering::Relaxed);
                if sender.send(Ok(rows)).await.is_err() {
                    return Ok(());
                }
            }
        }
        self.note(progress);
        Ok(())
    }

    /// What an error means. One of decoding pages does not say of which file they are, so then the
    /// files of the plan are tried one by one.
    async fn failure(&self, error: DataFusionError) -> QueryFailure {
        let is_unreadable = match error.find_root() {
            DataFusionError::ParquetError(_) | DataFusionError::ArrowError(..) => true,
            DataFusionError::External(inner) => inner.is::<DecodeError>(),
            // A panic while decoding.
            DataFusionError::ExecutionJoin(_) => true,
            _ => false,
        };
        if file_error(&error).is_none()
            && is_unreadable
            && let Some(found) = self.unreadable_file().await
        {
            return QueryFailure::File(found);
        }
        failure(error)
    }

    /// Reads the files of the plan, for [`BLAME_MAX`] at most.
    async fn unreadable_file(&self) -> Option<FileError> {
        tokio::time::timeout(BLAME_MAX, self.first_unreadable_file()).await.ok().flatten()
    }

    async fn first_unreadable_file(&self) -> Option<FileError> {
        let mut files: Vec<Arc<DataFile>> = Vec::new();
        leaves(&self.plan, &mut |leaf| {
            let source = leaf.downcast_ref::<DataSourceExec>();
            let scan = source.and_then(|s| s.data_source().downcast_ref::<FileScanConfig>());
            let planned = scan.into_iter().flat_map(|scan| &scan.file_groups);
            let planned = planned.flat_map(|group| group.iter());
            files.extend(planned.filter_map(|file| file.extension::<Arc<DataFile>>().cloned()));
            files.extend(files_of(leaf));
        });
        for file in files {
            if let Err(ParquetError::External(error)) = file.check().await
                && let Ok(error) = error.downcast::<FileError>()
            {
                return Some(*error);
            }
        }
        None
    }

    /// Sums what the plan's leaves have read.
    fn note(&self, progress: &Progress) {
        let mut scanned = (0, 0);
        leaves(&self.plan, &mut |leaf| {
            let metrics = leaf.metrics().unwrap_or_default();
            // Memory counts nothing, but knows how much it holds.
            let held = || {
                let known = StatisticsContext::new().compute(leaf.as_ref(), &StatisticsArgs::new());
                known.ok()?.num_rows.get_value().copied()
            };
            let rows = metrics.output_rows().or_else(held).unwrap_or(0);
            scanned.0 += rows as u64;
            let bytes = metrics.sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize());
            scanned.1 += bytes as u64;
        });
        progress.events_scanned.store(scanned.0, Ordering::Relaxed);
        progress.bytes_scanned.store(scanned.1, Ordering::Relaxed);
    }
}

/// The result's columns under the names that were asked for; a name that is there twice gets a
/// number, since a file's names are distinct.
fn named(schema: &Schema, names: &[String]) -> SchemaRef {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let fields = schema.fields().iter().zip(names).map(|(field, name)| {
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        let name = if *count > 1 { format!("{name}_{count}") } else { name.clone() };
        field.as_ref().clone().with_name(name)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn leaves(plan: &Arc<dyn ExecutionPlan>, visit: &mut impl FnMut(&Arc<dyn ExecutionPlan>)) {
    let children = plan.children();
    if children.is_empty() {
        visit(plan);
    }
    for child in children {
        leaves(child, visit);
    }
}

/// What is wrong is found while planning: a type that does not fit, a file that is not there.
fn planning_failure(error: DataFusionError) -> QueryFailure {
    match error.find_root() {
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::External(_)
        | DataFusionError::IoError(_) => failure(error),
        _ => QueryError::from_planning(&error).into(),
    }
}

fn failure(error: DataFusionError) -> QueryFailure {
    if let Some(FileError { table, path, source }) = file_error(&error) {
        // An error of Parquet cannot be copied.
        let source = ParquetError::General(chain_of(source));
        return QueryFailure::File(FileError { table: table.clone(), path: path.clone(), source });
    }
    let root = error.find_root();
    let text = root.strip_backtrace();
    match root {
        DataFusionError::ResourcesExhausted(_) => {
            // The rest advises settings that are not ours.
            let told = text.split(" Please try increasing").next().unwrap_or(&text);
            QueryFailure::Exhausted(told.to_owned())
        }
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => {
            QueryFailure::Value(text)
        }
        _ => QueryFailure::Failed(text),
    }
}

/// The file that an error is about, if it says so.
fn file_error(error: &DataFusionError) -> Option<&FileError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<FileError>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
