//! The leaf of a plan that reads files.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, ScalarFunctionExpr,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet, RecordOutput as _,
};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::reading::Reading;
use super::wanted::{Leaves, Wanted};
use super::{LogFile, Troubles};

/// Files that lie elsewhere are fetched while those before them are read: so many for each thread.
const FETCHED_AHEAD: usize = 8;

/// The files of one scan, which its partitions share out among themselves.
#[derive(Debug)]
pub(super) struct Files {
    pub files: Vec<Arc<dyn LogFile>>,
    pub next: AtomicUsize,
    pub troubles: Troubles,
    pub read: Arc<AtomicUsize>,
}

impl Files {
    pub fn trouble(&self, name: &str, reason: String) {
        let mut troubles = self.troubles.lock().expect("no holder of this lock can panic");
        troubles.push((name.to_owned(), reason));
    }

    fn next(&self) -> Option<Arc<dyn LogFile>> {
        self.files.get(self.next.fetch_add(1, Ordering::Relaxed)).cloned()
    }
}

/// Reads the wanted columns of files, each partition the next file when it is done with one.
#[derive(Debug)]
pub(super) struct FilesExec {
    files: Arc<Files>,
    wanted: Wanted,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl FilesExec {
    pub fn new(files: Arc<Files>, wanted: Wanted, partitions: usize) -> FilesExec {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(wanted.columns.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        FilesExec { files, wanted, properties, metrics: ExecutionPlanMetricsSet::new() }
    }
}

impl DisplayAs for FilesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilesExec: files={}, {}", self.files.files.len(), self.wanted)
    }
}

impl ExecutionPlan for FilesExec {
    fn name(&self) -> &'static str {
        "FilesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("files have no children in a plan");
        }
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let files = self.files.clone();
        let is_local = files.files.iter().all(|file| file.path().is_some());
        let ahead = if is_local { 1 } else { FETCHED_AHEAD };
        let queue = stream::iter(std::iter::from_fn({
            let files = files.clone();
            move || files.next()
        }));
        let fetched = queue.map(|file| async move {
            let bytes = match file.path() {
                Some(_) => None,
                None => Some(file.read().await),
            };
            (file, bytes)
        });
        let mut reading = Reading::new(&self.wanted);
        let batches = fetched.buffered(ahead).map(move |(file, bytes)| {
            let batches = match (bytes, file.path()) {
                (Some(Ok(bytes)), _) => reading.rows(&files, file.name(), &bytes),
                (Some(Err(reason)), _) => {
                    // A file that cannot be read has no rows; the one who asked is told afterwards.
                    files.trouble(file.name(), reason);
                    Ok(Vec::new())
                }
                (None, path) => reading.rows_at(&files, file.name(), path.unwrap_or("".as_ref())),
            };
            files.read.fetch_add(1, Ordering::Relaxed);
            batches.map(|batches| stream::iter(batches.into_iter().map(Ok)))
        });
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let batches = batches.try_flatten().inspect_ok(move |batch| {
            batch.record_output(&metrics);
        });
        let columns = self.wanted.columns.clone();
        let stream = Box::pin(RecordBatchStreamAdapter::new(columns, batches.boxed()));
        Ok(make_cooperative(stream))
    }

    /// The optimizer puts all uses of parts of a column into a projection right above: here is
    /// where one learns which leaves are read. The projection stays; what it drops is not read.
    fn try_swapping_with_projection(
        &self,
        projection: &ProjectionExec,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let exprs = projection.expr();
        let Some(wanted) = narrowed(&self.wanted, exprs.iter().map(|expr| &expr.expr)) else {
            return Ok(None);
        };
        let partitions = self.properties.partitioning.partition_count();
        let files = FilesExec::new(self.files.clone(), wanted, partitions);
        Ok(Some(Arc::new(ProjectionExec::try_new(exprs.to_vec(), Arc::new(files))?)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// What is left to read when only these expressions are computed; `None` when that is no less.
fn narrowed<'a>(
    wanted: &Wanted,
    exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>,
) -> Option<Wanted> {
    let mut leaves = vec![Some(Leaves::new()); wanted.leaves.len()];
    for expr in exprs {
        note_uses(expr, wanted, &mut leaves);
    }
    for (leaves, field) in leaves.iter_mut().zip(wanted.columns.fields()) {
        // A column without leaves of its own, or one that nobody names after all.
        if leaves.as_ref().is_some_and(Leaves::is_empty) || !field.data_type().is_nested() {
            *leaves = None;
        }
    }
    let columns = wanted.columns.clone();
    Some(Wanted { columns, leaves }).filter(|narrowed| narrowed != wanted)
}

fn note_uses(expr: &Arc<dyn PhysicalExpr>, wanted: &Wanted, leaves: &mut [Option<Leaves>]) {
    let Some((column, path)) = leaf(expr) else {
        for child in expr.children() {
            note_uses(child, wanted, leaves);
        }
        return;
    };
    let Some(place) = leaves.get_mut(column) else { return };
    // The names after a map are its keys.
    let mut data_type = wanted.columns.field(column).data_type();
    let mut names = Vec::new();
    for name in path {
        let DataType::Struct(fields) = data_type else { break };
        let Some((_, field)) = fields.find(&name) else { break };
        data_type = field.data_type();
        names.push(name);
    }
    match place {
        Some(leaves) if !names.is_empty() && !matches!(data_type, DataType::Struct(_)) => {
            leaves.insert(names);
        }
        place => *place = None,
    }
}

/// The column that an expression takes a part of, and the names on the way to it.
fn leaf(expr: &Arc<dyn PhysicalExpr>) -> Option<(usize, Vec<String>)> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some((column.index(), Vec::new()));
    }
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    if call.fun().name() != "get_field" {
        return None;
    }
    let (inner, names) = call.args().split_first()?;
    let (column, mut path) = leaf(inner)?;
    for name in names {
        let name = name.downcast_ref::<Literal>()?.value().try_as_str()??;
        path.push(name.to_owned());
    }
    Some((column, path))
}
