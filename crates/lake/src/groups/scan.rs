//! A table of groups and their counts.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream;

use super::COUNT;
use super::codes::{Codes, Columns, Source, distinct_texts};
use super::counted::Counted;
use super::merged::Merged;
use super::term::Term;
use super::times::count_times;
use crate::prune::Conditions;
use crate::scan::Events;
use crate::table::View;
use crate::table::file::DataFile;

/// Groups of a row group that are put together with those of others. Where there are more, hardly any
/// come again. Tests have few rows, and more groups than that.
const MERGED_MAX: usize = if cfg!(test) { 1 << 5 } else { 1 << 16 };

/// What is counted.
#[derive(Debug, Clone)]
struct Plan {
    groups: Vec<Term>,
    wanted: Vec<Term>,
    /// Does anybody ask how many rows a group has?
    is_counted: bool,
    schema: SchemaRef,
}

/// Counts by group. Several rows may have the same group.
#[derive(Debug)]
pub struct Groups {
    view: View,
    conditions: Conditions,
    plan: Arc<Plan>,
}

impl Groups {
    pub fn new(
        events: &Events,
        groups: Vec<Term>,
        mut wanted: Vec<Term>,
        filters: &[Expr],
        is_counted: bool,
    ) -> Result<Groups> {
        let fields = groups.iter().enumerate().map(|(place, term)| {
            Field::new(format!("cairn_group_{place}"), term.data_type.clone(), true)
        });
        let count = Field::new(COUNT, DataType::Int64, true);
        let schema = Arc::new(Schema::new(fields.chain([count]).collect::<Vec<_>>()));
        let conditions = events.conditions(filters);
        wanted.extend(events.own_rows()?);
        wanted.sort_by_key(|term| term.source.is_costly());
        let plan = Arc::new(Plan { groups, wanted, is_counted, schema });
        Ok(Groups { view: events.view().clone(), conditions, plan })
    }

    /// The names of the groups, then that of the count.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.schema.fields().iter().map(|field| field.name().as_str())
    }
}

#[async_trait]
impl TableProvider for Groups {
    fn schema(&self) -> SchemaRef {
        self.plan.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut units = Vec::new();
        for file in self.view.files.iter() {
            if !self.conditions.may_match_file(&file.entry) {
                continue;
            }
            let row_groups = self.conditions.row_groups(file).await?;
            units.extend(
                row_groups.into_iter().map(|row_group| Unit::File(file.clone(), row_group)),
            );
        }
        units.extend(self.view.hot.iter().cloned().map(Unit::Memory));
        let partitions = state.config().target_partitions().min(units.len()).max(1);
        let schema = match projection {
            Some(columns) => Arc::new(self.plan.schema.project(columns)?),
            None => self.plan.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let counting = Counting {
            plan: self.plan.clone(),
            units,
            next: AtomicUsize::new(0),
            counted: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
        };
        Ok(Arc::new(CountExec {
            counting: Arc::new(counting),
            projection: projection.cloned(),
            schema,
            properties: Arc::new(properties),
        }))
    }
}

/// Rows that are counted together.
#[derive(Debug)]
enum Unit {
    File(Arc<DataFile>, usize),
    Memory(RecordBatch),
}

/// What is to be counted and how far that is.
#[derive(Debug)]
pub struct Counting {
    plan: Arc<Plan>,
    units: Vec<Unit>,
    /// The first unit that nobody has taken.
    next: AtomicUsize,
    /// Of units that were taken, but that nobody has passed on.
    counted: Mutex<Vec<Counted>>,
    metrics: ExecutionPlanMetricsSet,
}

/// What was counted for one who puts groups together.
pub enum Merge {
    /// All that was left.
    Whole(Merged),
    /// There are more groups than that; what was counted so far waits for [`CountExec`].
    TooMuch,
}

impl Counting {
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// The types of the groups.
    pub fn types(&self) -> Vec<DataType> {
        self.plan.groups.iter().map(|term| term.data_type.clone()).collect()
    }

    /// Does anybody ask how many rows a group has?
    pub fn is_counted(&self) -> bool {
        self.plan.is_counted
    }

    /// Counts in the next unit; `partition` is whose metrics show it.
    async fn next(&self, partition: usize) -> Result<Option<Counted>> {
        let waiting = self.counted.lock().expect("no holder of this lock can panic").pop();
        if waiting.is_some() {
            return Ok(waiting);
        }
        let Some(unit) = self.units.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
            return Ok(None);
        };
        // Rows that were read, not those that come out.
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        match unit {
            Unit::File(file, row_group) => {
                let counted = self.plan.count_in(file, *row_group).await;
                let (counted, read_rows, read_bytes) =
                    counted.map_err(|error| blamed(file, error))?;
                rows.add(read_rows);
                bytes.add(read_bytes);
                Ok(Some(counted))
            }
            Unit::Memory(batch) => {
                rows.add(batch.num_rows());
                self.plan.count(&Columns::Memory(batch.clone())).map(Some)
            }
        }
    }

    /// Counts as long as there are units, and puts the groups together.
    pub async fn merge(&self, partition: usize) -> Result<Merge> {
        let mut merged = Merged::new(&self.types())?;
        while let Some(counted) = self.next(partition).await? {
            let is_much = counted.counts.len() > MERGED_MAX;
            match is_much {
                true => self.put_back(counted),
                false => merged.add(&counted)?,
            }
            if is_much || merged.is_full() {
                self.put_back_merged(merged)?;
                return Ok(Merge::TooMuch);
            }
            // Nothing comes out for long, and the thread is wanted by others as well.
            tokio::task::yield_now().await;
        }
        Ok(Merge::Whole(merged))
    }

    fn put_back(&self, counted: Counted) {
        self.counted.lock().expect("no holder of this lock can panic").push(counted);
    }

    /// Leaves what was put together to [`CountExec`].
    pub fn put_back_merged(&self, mut merged: Merged) -> Result<()> {
        if let Some(counted) = merged.take()? {
            self.put_back(counted);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub struct CountExec {
    pub counting: Arc<Counting>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl CountExec {
    /// Does it give all groups and the counts, if they are asked for?
    pub fn is_whole(&self) -> bool {
        let columns = self.counting.plan.groups.len() + usize::from(self.counting.is_counted());
        let all = 0..columns;
        self.projection.as_ref().is_none_or(|projection| projection.iter().copied().eq(all))
    }
}

/// The files whose rows a node of a plan counts.
pub fn files_of(node: &Arc<dyn ExecutionPlan>) -> Vec<Arc<DataFile>> {
    let Some(node) = node.downcast_ref::<CountExec>() else { return Vec::new() };
    let files = node.counting.units.iter().filter_map(|unit| match unit {
        Unit::File(file, _) => Some(file.clone()),
        Unit::Memory(_) => None,
    });
    let mut files: Vec<_> = files.collect();
    files.dedup_by_key(|file| file.number);
    files
}

impl DisplayAs for CountExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountExec: units={}", self.counting.units())
    }
}

impl ExecutionPlan for CountExec {
    fn name(&self) -> &'static str {
        "CountExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (counting, projection) = (self.counting.clone(), self.projection.clone());
        let merged = Merged::new(&counting.types())?;
        let counts = stream::try_unfold(Some(merged), move |merged| {
            let (counting, projection) = (counting.clone(), projection.clone());
            async move {
                let Some(mut merged) = merged else { return Ok(None) };
                let plan = &counting.plan;
                let batch = |counted: Counted| plan.batch(counted, projection.as_deref());
                while let Some(counted) = counting.next(partition).await? {
                    // What is only told apart is put together above, once.
                    if !plan.is_counted || counted.counts.len() > MERGED_MAX {
                        return Ok(Some((batch(counted)?, Some(merged))));
                    }
                    merged.add(&counted)?;
                    if merged.is_full()
                        && let Some(counted) = merged.take()?
                    {
                        return Ok(Some((batch(counted)?, Some(merged))));
                    }
                    // Nothing comes out for long, and the thread is wanted by others as well.
                    tokio::task::yield_now().await;
                }
                let rest = merged.take()?;
                rest.map(|counted| Ok((batch(counted)?, None))).transpose()
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), counts)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.counting.metrics.clone_inner())
    }
}

/// What comes out of decoding pages, with the file's name.
fn blamed(file: &DataFile, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::ParquetError(error) => file.blamed(*error).into(),
        other => other,
    }
}

impl Plan {
    fn batch(&self, counted: Counted, projection: Option<&[usize]>) -> Result<RecordBatch> {
        let batch = RecordBatch::try_new(self.schema.clone(), counted.into_columns()?)?;
        Ok(match projection {
            Some(columns) => batch.project(columns)?,
            None => batch,
        })
    }

    /// Counts in a row group, and says how many rows it has and how many bytes were read of it.
    async fn count_in(
        &self,
        file: &Arc<DataFile>,
        row_group: usize,
    ) -> Result<(Counted, usize, usize)> {
        if !self.is_counted
            && self.wanted.is_empty()
            && let [term] = self.groups.as_slice()
            && let Some(distinct) = distinct_texts(file, row_group, &term.source).await?
        {
            let count = distinct.values.len() + usize::from(distinct.has_nulls);
            let values = term.evaluate(&distinct.values)?;
            // Null comes last.
            let places = (0..count as u32).collect();
            let counts = vec![1; count];
            let counted = Counted { values: vec![values], places: vec![places], counts };
            return Ok((counted, distinct.rows, distinct.bytes));
        }
        if self.wanted.is_empty()
            && let [term] = self.groups.as_slice()
            && let Some(counted) = count_times(file, row_group, term).await?
        {
            return Ok(counted);
        }
        let terms = self.groups.iter().chain(&self.wanted);
        let sources: Vec<&Source> = terms.map(|term| &term.source).collect();
        let (columns, bytes) = Columns::read(file, row_group, &sources).await?;
        Ok((self.count(&columns)?, columns.rows(), bytes))
    }

    fn count(&self, columns: &Columns) -> Result<Counted> {
        let mut known = Known { columns, kept: None, codes: Vec::new() };
        self.keep(&mut known)?;
        for term in &self.groups {
            known.read(&term.source)?;
        }
        let mut groups = Vec::with_capacity(self.groups.len());
        let mut values = Vec::with_capacity(self.groups.len());
        for term in &self.groups {
            let (of_rows, distinct) = term.groups(known.codes(&term.source)?)?;
            groups.push(of_rows);
            values.push(distinct);
        }
        Ok(Counted::of(&groups, values, known.rows()))
    }

    /// Leaves the rows that are wanted.
    fn keep<'a>(&'a self, known: &mut Known<'a>) -> Result<()> {
        // A value may be beyond one condition only because another one keeps it away.
        let mut troubled = Vec::new();
        for term in &self.wanted {
            known.read_for(term)?;
            match term.holds(known.codes(&term.source)?) {
                Ok(holds) => known.retain(&holds),
                Err(_) => troubled.push(term),
            }
        }
        for term in troubled {
            let holds = term.holds(known.codes(&term.source)?)?;
            known.retain(&holds);
        }
        Ok(())
    }
}

/// Sources that have been read, for the rows that are left.
struct Known<'a> {
    columns: &'a Columns,
    /// Ascending; all of them, until a condition has been asked.
    kept: Option<Vec<u32>>,
    codes: Vec<(&'a Source, Codes)>,
}

impl<'a> Known<'a> {
    fn rows(&self) -> usize {
        self.kept.as_ref().map_or(self.columns.rows(), Vec::len)
    }

    fn read(&mut self, source: &'a Source) -> Result<()> {
        if !self.codes.iter().any(|(known, _)| *known == source) {
            self.codes.push((source, self.columns.codes(source, self.kept.as_deref())?));
        }
        Ok(())
    }

    /// Reads what a condition asks. The first of them leaves rows without a value if it would, too.
    fn read_for(&mut self, term: &'a Term) -> Result<()> {
        if self.kept.is_none()
            && self.codes.is_empty()
            && term.wants_value()
            && let Some((rows, codes)) = self.columns.present(&term.source)?
        {
            self.codes.push((&term.source, codes));
            self.kept = Some(rows);
            return Ok(());
        }
        self.read(&term.source)
    }

    fn codes(&self, source: &Source) -> Result<&Codes> {
        let found = self.codes.iter().find(|(known, _)| *known == source);
        let unread = || DataFusionError::Internal(format!("{source:?} was not read"));
        found.map(|(_, codes)| codes).ok_or_else(unread)
    }

    /// Leaves the rows for which it holds.
    fn retain(&mut self, holds: &[bool]) {
        if !holds.contains(&false) {
            return;
        }
        let places: Vec<u32> =
            (0..).zip(holds).filter(|(_, holds)| **holds).map(|(place, _)| place).collect();
        for (_, codes) in &mut self.codes {
            codes.retain(&places);
        }
        self.kept = Some(match &self.kept {
            Some(kept) => places.iter().map(|place| kept[*place as usize]).collect(),
            None => places,
        });
    }
}
