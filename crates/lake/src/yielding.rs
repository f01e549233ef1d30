//! Queries that give their thread back.
//!
//! A join whose rows a filter drops goes from batch to batch without ever waiting for anything, so its
//! task would keep its thread: neither a cancelled query nor one that others wait for would get to its
//! end. So after each batch of whatever makes rows, the thread is given back once.
//!
//! ```text
//!   count ◀─ filter ◀─ YIELDING ◀─ join ◀─ YIELDING ◀─ files
//! ```

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt as _;

/// The plan with a pause after every batch that files, memory, joins and unnesting give.
pub fn yielding(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let done = plan.transform_up(|node| {
        let makes_rows = node.children().len() != 1 || node.name().contains("Unnest");
        Ok(match makes_rows {
            true => Transformed::yes(Arc::new(Yielding { input: node }) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(node),
        })
    })?;
    Ok(done.data)
}

#[derive(Debug)]
struct Yielding {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for Yielding {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Yielding {
    fn name(&self) -> &str {
        "Yielding"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        Ok(Arc::new(Yielding { input: children.swap_remove(0) }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let mut batches = self.input.execute(partition, context)?;
        let schema = batches.schema();
        let mut owes_pause = false;
        let paused = futures::stream::poll_fn(move |cx| {
            if std::mem::take(&mut owes_pause) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let polled = batches.poll_next_unpin(cx);
            owes_pause = matches!(polled, Poll::Ready(Some(_)));
            polled
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, paused)))
    }
}
