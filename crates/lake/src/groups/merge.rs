//! The end of counting by group, where the groups are few enough to be put together at once.
//!
//! ```text
//!   usual:  sum by group ◀─ by hash of the group ◀─ sum by group ◀─ CountExec, a partition for each thread
//!   here:   MergeExec: as many tasks count and merge; then what they have is merged
//!              └▶ more groups than memory is for: the usual plan goes on with what was counted
//! ```
//! What comes out of [`CountExec`] are groups of groups of rows. There are thousands of them where there
//! were millions of rows, so most of the usual plan's time goes into passing them on.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::JoinSet;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::counted::Counted;
use super::merged::Merged;
use super::scan::{CountExec, Counting, Merge};

/// Rows of a batch, so that whoever gets them gives their thread back now and then.
const BATCH_ROWS: usize = 8_192;

/// The plan with [`MergeExec`] where it can be. Only what one node passes to one other is looked at: joins
/// want their inputs in partitions.
pub fn merging(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let done = plan.transform_down(|node| match counting_of(&node) {
        Some(counting) => {
            let merge = MergeExec::instead_of(counting, node);
            Ok(Transformed::new(merge, true, TreeNodeRecursion::Stop))
        }
        None if node.children().len() > 1 => {
            Ok(Transformed::new(node, false, TreeNodeRecursion::Stop))
        }
        None => Ok(Transformed::no(node)),
    })?;
    Ok(done.data)
}

/// What is counted below a node that does nothing but sum up its counts.
fn counting_of(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<Counting>> {
    let aggregate = plan.downcast_ref::<AggregateExec>()?;
    if *aggregate.mode() == AggregateMode::Partial {
        return None;
    }
    let mut below = aggregate.input();
    let counts = loop {
        if let Some(counts) = below.downcast_ref::<CountExec>() {
            break counts;
        }
        let passes_on = below.is::<RepartitionExec>()
            || below.is::<CoalescePartitionsExec>()
            || below
                .downcast_ref::<AggregateExec>()
                .is_some_and(|aggregate| *aggregate.mode() == AggregateMode::Partial);
        let [child] = below.children()[..] else { return None };
        below = Some(child).filter(|_| passes_on)?;
    };
    let groups = counts.counting.types();
    let group_by = aggregate.group_expr();
    let is_in_order = group_by.expr().iter().enumerate().all(|(place, (expr, _))| {
        expr.downcast_ref::<Column>().is_some_and(|column| column.index() == place)
    });
    // The only function that `counted` asks for is the sum of counts.
    let is_ours = counts.is_whole()
        && counts.counting.is_counted()
        && group_by.is_single()
        && is_in_order
        && group_by.expr().len() == groups.len()
        && aggregate.aggr_expr().len() == 1
        && aggregate.filter_expr().iter().all(Option::is_none)
        && aggregate.schema().fields().len() == groups.len() + 1;
    is_ours.then(|| counts.counting.clone())
}

#[derive(Debug)]
struct MergeExec {
    counting: Arc<Counting>,
    /// Gives the same, of whatever has not been counted.
    usual: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl MergeExec {
    fn instead_of(
        counting: Arc<Counting>,
        usual: Arc<dyn ExecutionPlan>,
    ) -> Arc<dyn ExecutionPlan> {
        let usual: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(usual));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(usual.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Arc::new(MergeExec { counting, usual, properties: Arc::new(properties) })
    }
}

impl DisplayAs for MergeExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MergeExec: units={}", self.counting.units())
    }
}

impl ExecutionPlan for MergeExec {
    fn name(&self) -> &'static str {
        "MergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.usual]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (counting, usual) = (self.counting.clone(), children.swap_remove(0));
        Ok(Arc::new(MergeExec { counting, usual, properties: self.properties.clone() }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let threads = context.session_config().target_partitions().min(self.counting.units());
        let (counting, usual, schema) =
            (self.counting.clone(), self.usual.clone(), self.usual.schema());
        let of_batches = schema.clone();
        let batches = async move {
            let Some(merged) = merge(&counting, threads.max(1)).await? else {
                return usual.execute(0, context);
            };
            let batches = stream::iter(batches(&counting, merged, &of_batches)?).map(Ok);
            let batches = RecordBatchStreamAdapter::new(of_batches, batches);
            Ok(Box::pin(batches) as SendableRecordBatchStream)
        };
        let batches = stream::once(batches).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// All groups, if they are few enough; else they are left to the usual plan.
async fn merge(counting: &Arc<Counting>, threads: usize) -> Result<Option<Merged>> {
    let mut others = JoinSet::new();
    for partition in 1..threads {
        let counting = counting.clone();
        others.spawn(async move { counting.merge(partition).await });
    }
    let mut all = vec![counting.merge(0).await?];
    while let Some(other) = others.join_next().await {
        all.push(other.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??);
    }
    let mut whole: Option<Merged> = None;
    let mut is_too_much = all.iter().any(|merge| matches!(merge, Merge::TooMuch));
    for merge in all {
        let Merge::Whole(mut merged) = merge else { continue };
        match &mut whole {
            Some(whole) if !is_too_much => {
                if let Some(counted) = merged.take()? {
                    whole.add(&counted)?;
                }
                is_too_much = whole.is_full();
            }
            Some(_) => counting.put_back_merged(merged)?,
            None => whole = Some(merged),
        }
    }
    match (whole, is_too_much) {
        (whole, false) => Ok(whole),
        (Some(whole), true) => {
            counting.put_back_merged(whole)?;
            Ok(None)
        }
        (None, true) => Ok(None),
    }
}

/// The groups and their counts. Without groups there is always one.
fn batches(
    counting: &Counting,
    mut merged: Merged,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let counted = match merged.take()? {
        Some(counted) => counted,
        None if counting.types().is_empty() => {
            Counted { values: vec![], places: vec![], counts: vec![0] }
        }
        None => return Ok(vec![]),
    };
    let rows = counted.counts.len();
    let whole = RecordBatch::try_new(schema.clone(), counted.into_columns()?)?;
    let batch = |from| whole.slice(from, BATCH_ROWS.min(rows - from));
    Ok((0..rows).step_by(BATCH_ROWS).map(batch).collect())
}
