//! Joins that may run as several tasks.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};

/// Changes joins whose collected build side gives rows of its own (unmatched rows, or rows that matched at least
/// once). In one process the partitions of such a join agree on what matched; tasks cannot, so each would give these
/// rows once. Hash joins become partitioned, nested loop joins are turned round so that the other side is collected.
///
/// Runs after the join selection and before distribution is enforced. What it cannot change (null-aware anti joins,
/// full nested loop joins) is made a single task when stages are cut, see [`build_side_emits`].
#[derive(Debug)]
pub struct DistributedJoins;

impl PhysicalOptimizerRule for DistributedJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(distribute).data()
    }

    fn name(&self) -> &'static str {
        "distributed_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn distribute(plan: Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    if !build_side_emits(plan.as_ref()) {
        return Ok(Transformed::no(plan));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && !join.null_aware
    {
        let join = join
            .builder()
            .with_partition_mode(PartitionMode::Partitioned)
            .recompute_properties()
            .build()?;
        return Ok(Transformed::yes(Arc::new(join)));
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>()
        && *join.join_type() != JoinType::Full
        && join.join_type().supports_swap()
    {
        return Ok(Transformed::yes(join.swap_inputs()?));
    }
    Ok(Transformed::no(plan))
}

/// The collected side of a join that collects its left side in full before it reads the right.
pub(crate) fn collects_left(plan: &dyn ExecutionPlan) -> bool {
    match plan.downcast_ref::<HashJoinExec>() {
        Some(join) => *join.partition_mode() == PartitionMode::CollectLeft,
        None => plan.is::<NestedLoopJoinExec>() || plan.is::<CrossJoinExec>(),
    }
}

/// Whether a join collects its left side and gives rows of it that depend on all partitions of the right.
pub(crate) fn build_side_emits(plan: &dyn ExecutionPlan) -> bool {
    let join_type = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        *join.join_type()
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        *join.join_type()
    } else {
        return false;
    };
    let emits = matches!(
        join_type,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark | JoinType::Full
    );
    emits && collects_left(plan)
}
