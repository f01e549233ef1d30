//! A table of groups and their counts, one batch for each row group of the events.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
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
use foldhash::fast::RandomState;
use futures::stream;

use super::COUNT;
use super::codes::{Codes, Columns, Source};
use super::term::Term;
use crate::prune::Conditions;
use crate::scan::Events;
use crate::table::View;
use crate::table::file::DataFile;

/// Combinations of groups that are counted in an array; more are counted in a hash table.
const DENSE_MAX: usize = 1 << 20;

/// What is counted.
#[derive(Debug, Clone)]
struct Plan {
    groups: Vec<Term>,
    wanted: Vec<Term>,
    schema: SchemaRef,
}

/// Counts by group. Several rows may have the same group: one of each row group.
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
    ) -> Result<Groups> {
        let fields = groups.iter().enumerate().map(|(place, term)| {
            Field::new(format!("cairn_group_{place}"), term.data_type.clone(), true)
        });
        let count = Field::new(COUNT, DataType::Int64, true);
        let schema = Arc::new(Schema::new(fields.chain([count]).collect::<Vec<_>>()));
        let conditions = events.conditions(filters);
        wanted.extend(events.own_rows()?);
        wanted.sort_by_key(|term| term.source.is_costly());
        let plan = Arc::new(Plan { groups, wanted, schema });
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
        Ok(Arc::new(CountExec {
            plan: self.plan.clone(),
            projection: projection.cloned(),
            schema,
            units: Arc::new(units),
            next: Arc::default(),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }))
    }
}

/// Rows that are counted together.
#[derive(Debug)]
enum Unit {
    File(Arc<DataFile>, usize),
    Memory(RecordBatch),
}

#[derive(Debug)]
struct CountExec {
    plan: Arc<Plan>,
    projection: Option<Vec<usize>>,
    schema: SchemaRef,
    units: Arc<Vec<Unit>>,
    /// The first unit that nobody has taken.
    next: Arc<AtomicUsize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for CountExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CountExec: units={}", self.units.len())
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
        // Rows that were read, not those that come out.
        let rows = MetricBuilder::new(&self.metrics).output_rows(partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("bytes_scanned", partition);
        let (plan, units, next) = (self.plan.clone(), self.units.clone(), self.next.clone());
        let (projection, schema) = (self.projection.clone(), self.schema.clone());
        let counts = stream::try_unfold((), move |()| {
            let (plan, units, next) = (plan.clone(), units.clone(), next.clone());
            let (projection, rows, bytes) = (projection.clone(), rows.clone(), bytes.clone());
            async move {
                let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return Ok(None);
                };
                let counts = match unit {
                    Unit::File(file, row_group) => {
                        let (counts, read_rows, read_bytes) =
                            plan.count_in(file, *row_group).await?;
                        rows.add(read_rows);
                        bytes.add(read_bytes);
                        counts
                    }
                    Unit::Memory(batch) => {
                        rows.add(batch.num_rows());
                        plan.count(&Columns::Memory(batch.clone()))?
                    }
                };
                let counts = match &projection {
                    Some(columns) => counts.project(columns)?,
                    None => counts,
                };
                Ok(Some((counts, ())))
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, counts)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

impl Plan {
    /// Counts in a row group, and says how many rows it has and how many bytes were read of it.
    async fn count_in(
        &self,
        file: &Arc<DataFile>,
        row_group: usize,
    ) -> Result<(RecordBatch, usize, usize)> {
        let terms = self.groups.iter().chain(&self.wanted);
        let sources: Vec<&Source> = terms.map(|term| &term.source).collect();
        let (columns, bytes) = Columns::read(file, row_group, &sources).await?;
        Ok((self.count(&columns)?, columns.rows(), bytes))
    }

    fn count(&self, columns: &Columns) -> Result<RecordBatch> {
        let mut known = Known { columns, codes: Vec::new() };
        let kept = self.kept(&mut known)?;
        let is_kept = |row: usize| kept.is_empty() || kept[row];
        let mut groups = Vec::with_capacity(self.groups.len());
        let mut distinct = Vec::with_capacity(self.groups.len());
        for term in &self.groups {
            let (of_rows, values) = term.groups(known.codes(&term.source, &kept)?, &kept)?;
            groups.push(of_rows);
            distinct.push(values);
        }
        let rows = columns.rows();
        let (places, counts) = counted(&groups, &distinct, rows, is_kept);
        let mut counted: Vec<ArrayRef> = Vec::with_capacity(self.groups.len() + 1);
        for (values, places) in distinct.iter().zip(places) {
            counted.push(take(values, &UInt32Array::from(places), None)?);
        }
        counted.push(Arc::new(Int64Array::from(counts)));
        Ok(RecordBatch::try_new(self.schema.clone(), counted)?)
    }

    /// Which rows are wanted; empty when all are.
    fn kept<'a>(&'a self, known: &mut Known<'a>) -> Result<Vec<bool>> {
        let rows = known.columns.rows();
        let mut kept = vec![true; if self.wanted.is_empty() { 0 } else { rows }];
        // A value may be beyond one condition only because another one keeps it away.
        let mut troubled = Vec::new();
        for term in &self.wanted {
            if term.keep(known.codes(&term.source, &kept)?, &mut kept).is_err() {
                troubled.push(term);
            }
        }
        for term in troubled {
            term.keep(known.codes(&term.source, &kept)?, &mut kept)?;
        }
        Ok(kept)
    }
}

/// Sources that have been read.
struct Known<'a> {
    columns: &'a Columns,
    codes: Vec<(&'a Source, Codes)>,
}

impl<'a> Known<'a> {
    /// The codes of the rows that are kept, which get fewer from call to call.
    fn codes(&mut self, source: &'a Source, kept: &[bool]) -> Result<&Codes> {
        let place = match self.codes.iter().position(|(known, _)| *known == source) {
            Some(place) => place,
            None => {
                self.codes.push((source, self.columns.codes(source, kept)?));
                self.codes.len() - 1
            }
        };
        Ok(&self.codes[place].1)
    }
}

/// How often each combination of groups occurs: for each group, its numbers; and the counts.
fn counted(
    groups: &[Vec<u32>],
    distinct: &[ArrayRef],
    rows: usize,
    is_kept: impl Fn(usize) -> bool,
) -> (Vec<Vec<u32>>, Vec<i64>) {
    let sizes: Vec<usize> = distinct.iter().map(|values| values.len()).collect();
    let combinations = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    // The number of a combination: that of the first group, then of the second …
    let mut found: Vec<(u128, i64)> = match combinations {
        Some(combinations) if combinations <= DENSE_MAX => {
            let mut counts = vec![0_i64; combinations];
            match groups {
                [] => counts[0] = (0..rows).filter(|row| is_kept(*row)).count() as i64,
                [only] => {
                    for (row, group) in only.iter().enumerate() {
                        counts[*group as usize] += i64::from(is_kept(row));
                    }
                }
                [first, second] => {
                    for (row, (first, second)) in first.iter().zip(second).enumerate() {
                        let place = *first as usize * sizes[1] + *second as usize;
                        counts[place] += i64::from(is_kept(row));
                    }
                }
                several => {
                    for row in 0..rows {
                        let place = several
                            .iter()
                            .zip(&sizes)
                            .fold(0, |place, (group, size)| place * size + group[row] as usize);
                        counts[place] += i64::from(is_kept(row));
                    }
                }
            }
            (0..).zip(counts).filter(|(_, count)| *count > 0).collect()
        }
        _ => {
            let mut counts = HashMap::<u128, i64, RandomState>::default();
            for row in (0..rows).filter(|row| is_kept(*row)) {
                let place = groups
                    .iter()
                    .zip(&sizes)
                    .fold(0, |place, (group, size)| place * *size as u128 + u128::from(group[row]));
                *counts.entry(place).or_default() += 1;
            }
            counts.into_iter().collect()
        }
    };
    found.sort_unstable();
    let counts = found.iter().map(|(_, count)| *count).collect();
    let mut places = vec![Vec::with_capacity(found.len()); groups.len()];
    for (mut place, _) in found {
        for (numbers, size) in places.iter_mut().zip(&sizes).rev() {
            numbers.push((place % *size as u128) as u32);
            place /= *size as u128;
        }
    }
    (places, counts)
}
