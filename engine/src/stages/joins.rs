//! Joins that may run as several tasks.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Rows of a side up to which it may be broadcast: every task holds all of them in its hash table.
const MAX_BROADCAST_ROWS: usize = 500_000;
/// Bytes of a side up to which it may be broadcast.
const MAX_BROADCAST_BYTES: usize = 64 << 20;
/// What reading and hashing a row in every task costs, over writing and reading one of the other side once.
const BROADCAST_COST: usize = 2;

/// Chooses for each join where its rows meet. Runs after the join selection and before distribution is enforced.
///
/// Joins whose collected build side gives rows of its own (unmatched rows, or rows that matched at least once) cannot
/// collect it: in one process the partitions of such a join agree on what matched; tasks cannot, so each would give
/// these rows once. Hash joins become partitioned, nested loop joins are turned round so that the other side is
/// collected. What cannot be changed (null-aware anti joins, full nested loop joins) is made a single task when stages
/// are cut, see [`build_side_emits`].
///
/// Partitioned joins with one side much smaller than the other collect that side: it is written once and read by all
/// tasks, and the large side stays where it is. In one process an exchange costs little; here it is a shuffle.
#[derive(Debug)]
pub struct DistributedJoins;

impl PhysicalOptimizerRule for DistributedJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let tasks = config.execution.target_partitions;
        plan.transform_up(|plan| distribute(plan)?.transform_data(|plan| broadcast(plan, tasks)))
            .data()
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

fn broadcast(plan: Arc<dyn ExecutionPlan>, tasks: usize) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else {
        return Ok(Transformed::no(plan));
    };
    if *join.partition_mode() != PartitionMode::Partitioned
        || emits_left(*join.join_type())
        || !worth_broadcasting(join.left(), join.right(), tasks)
    {
        return Ok(Transformed::no(plan));
    }
    let join = join
        .builder()
        .with_partition_mode(PartitionMode::CollectLeft)
        .recompute_properties()
        .build()?;
    Ok(Transformed::yes(Arc::new(join)))
}

/// Whether reading all of `small` in every task costs less than a shuffle of both sides, as far as that is known.
fn worth_broadcasting(small: &Arc<dyn ExecutionPlan>, large: &Arc<dyn ExecutionPlan>, tasks: usize) -> bool {
    let statistics = |plan: &Arc<dyn ExecutionPlan>| {
        StatisticsContext::new()
            .compute(plan.as_ref(), &StatisticsArgs::new())
            .ok()
    };
    let (Some(small), Some(large)) = (statistics(small), statistics(large)) else {
        return false;
    };
    let (Some(rows), Some(large_rows)) = (small.num_rows.get_value(), large.num_rows.get_value()) else {
        return false;
    };
    let fits = small
        .total_byte_size
        .get_value()
        .is_none_or(|bytes| *bytes <= MAX_BROADCAST_BYTES);
    fits && *rows <= MAX_BROADCAST_ROWS && rows.saturating_mul(tasks * BROADCAST_COST) <= *large_rows
}

/// Whether a join collects its left side in full before it reads the right.
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
    emits_left(join_type) && collects_left(plan)
}

/// Whether a join of this kind gives rows of its left side that depend on all rows of the right.
fn emits_left(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark | JoinType::Full
    )
}
