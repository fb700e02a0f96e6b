//! Joins that end with their task.
//!
//! A join that looks at very many pairs of rows and lets none through gives nothing back for as long as that takes: its
//! task stays in one poll, in which nobody sees that it was cancelled or ran out of time. The only thing that such a join
//! asks in between is its condition, for some thousands of pairs at a time; so the condition refuses when the task is
//! to stop.

use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use tokio_util::sync::CancellationToken;
use weir_model::{Failure, FailureKind};

use super::OperatorError;

/// What a task that was told to stop fails with.
pub(super) fn cancelled() -> Failure {
    Failure::new(FailureKind::Cancelled, "cancelled", "the task was told to stop")
}

/// The same plan, whose joins with conditions fail soon after `cancel`.
///
/// # Errors
/// When a join cannot be made again, which is a fault of ours.
pub(super) fn interruptible(
    plan: Arc<dyn ExecutionPlan>,
    cancel: &CancellationToken,
) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(filter) = join.filter()
        {
            let filter = watching(filter, cancel);
            let join = NestedLoopJoinExecBuilder::from(join)
                .with_filter(Some(filter))
                .build()?;
            return Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>));
        }
        if let Some(join) = node.downcast_ref::<HashJoinExec>()
            && let Some(filter) = join.filter()
        {
            let filter = watching(filter, cancel);
            let join = HashJoinExecBuilder::from(join).with_filter(Some(filter)).build()?;
            return Ok(Transformed::yes(Arc::new(join) as Arc<dyn ExecutionPlan>));
        }
        Ok(Transformed::no(node))
    })?;
    Ok(plan.data)
}

fn watching(filter: &JoinFilter, cancel: &CancellationToken) -> JoinFilter {
    let condition = Condition {
        inner: Arc::clone(filter.expression()),
        cancel: cancel.clone(),
    };
    JoinFilter::new(
        Arc::new(condition),
        filter.column_indices().to_vec(),
        Arc::clone(filter.schema()),
    )
}

/// A condition that fails once its task is to stop.
#[derive(Debug)]
struct Condition {
    inner: Arc<dyn PhysicalExpr>,
    cancel: CancellationToken,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Condition {}

impl Hash for Condition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Condition {
    fn data_type(&self, input: &Schema) -> Result<DataType> {
        self.inner.data_type(input)
    }

    fn nullable(&self, input: &Schema) -> Result<bool> {
        self.inner.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if self.cancel.is_cancelled() {
            return Err(OperatorError(cancelled()).into());
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        let inner = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self {
            inner,
            cancel: self.cancel.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
