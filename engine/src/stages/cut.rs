//! Cuts a physical plan at its exchanges.

use std::sync::Arc;

use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use weir_model::StageId;

use super::flow::file_group_bytes;
use super::joins::{build_side_emits, collects_left};
use crate::shuffle::ShuffleReaderExec;

/// Sorted partitions up to which whoever reads the result merges them: a stage for that costs more than it does.
const MERGED_BY_READER: usize = 16;
/// Bytes of files up to which reading them in every task is cheaper than a stage that reads them once.
const REPEATED_SCAN_BYTES: u64 = 1 << 20;

/// Where the pieces go that are cut off.
pub(super) trait Stages {
    /// A stage whose rows are assigned to shuffle partitions by `partitioning`, or, without it, go to the shuffle
    /// partition of their plan partition.
    fn add(&mut self, plan: Arc<dyn ExecutionPlan>, partitioning: Option<Partitioning>) -> Result<StageId>;
}

/// Cuts everything below the root; what remains runs as one stage.
pub(super) fn cut(plan: Arc<dyn ExecutionPlan>, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    refuse_unsupported(plan.as_ref())?;
    let children = plan.children();
    let plan = if children.is_empty() {
        plan
    } else {
        let children = children
            .into_iter()
            .map(|child| cut(Arc::clone(child), stages))
            .collect::<Result<_>>()?;
        replace(plan, children)?
    };
    if let Some(exchange) = plan.downcast_ref::<RepartitionExec>() {
        return cut_repartition(exchange, stages);
    }
    if let Some(exchange) = plan.downcast_ref::<CoalescePartitionsExec>() {
        return cut_coalesce(exchange, stages);
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        let (input, fetch) = (Arc::clone(merge.input()), merge.fetch());
        if partitions(&input) == 1 {
            return Ok(limited(input, fetch));
        }
        let reader = forward(input, stages)?;
        return replace(plan, vec![reader]);
    }
    if collects_left(plan.as_ref()) {
        return cut_collected_join(plan, stages);
    }
    Ok(plan)
}

/// Takes off the merge at the root of a result when its reader can do that; gives the order to merge by. A merge with a
/// limit stays, so that the result has as many rows as its stage says.
pub(super) fn without_last_merge(plan: Arc<dyn ExecutionPlan>) -> (Arc<dyn ExecutionPlan>, Option<LexOrdering>) {
    match plan.downcast_ref::<SortPreservingMergeExec>() {
        Some(merge) if merge.fetch().is_none() && partitions(merge.input()) <= MERGED_BY_READER => {
            (Arc::clone(merge.input()), Some(merge.expr().clone()))
        }
        _ => (plan, None),
    }
}

fn refuse_unsupported(plan: &dyn ExecutionPlan) -> Result<()> {
    match plan.name() {
        "RecursiveQueryExec" | "WorkTableExec" => {
            plan_err!("recursive queries are not supported; write the steps as separate joins")
        }
        "ScalarSubqueryExec" => plan_err!("this subquery cannot run in stages; write it as a join"),
        "AnalyzeExec" => plan_err!("EXPLAIN ANALYZE is not supported; run the query and look at its stages"),
        _ => Ok(()),
    }
}

fn cut_repartition(exchange: &RepartitionExec, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    let input = Arc::clone(exchange.input());
    let partitioning = exchange.partitioning().clone();
    if partitioning.partition_count() == 1 && partitions(&input) == 1 {
        return Ok(input);
    }
    if matches!(
        partitioning,
        Partitioning::RoundRobinBatch(_) | Partitioning::UnknownPartitioning(_)
    ) {
        // Only spreads rows; the operators above work with any number of partitions.
        return Ok(input);
    }
    let equivalences = exchange.properties().equivalence_properties().clone();
    let ordering = exchange.properties().output_ordering().cloned();
    let several_inputs = partitions(&input) > 1;
    let stage = stages.add(input, Some(partitioning.clone()))?;
    let reader = |equivalences| Arc::new(ShuffleReaderExec::new(stage, partitioning, equivalences));
    match ordering {
        // The rows of several tasks come one after the other.
        Some(ordering) if several_inputs && exchange.preserve_order() => {
            let reader = reader(EquivalenceProperties::new(exchange.schema()));
            Ok(Arc::new(
                SortExec::new(ordering, reader).with_preserve_partitioning(true),
            ))
        }
        _ => Ok(reader(equivalences)),
    }
}

fn cut_coalesce(exchange: &CoalescePartitionsExec, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    let (input, fetch) = (Arc::clone(exchange.input()), exchange.fetch());
    if partitions(&input) == 1 {
        return Ok(limited(input, fetch));
    }
    let input = match fetch {
        Some(fetch) => Arc::new(LocalLimitExec::new(input, fetch)),
        None => input,
    };
    Ok(limited(gather(input, stages)?, fetch))
}

fn cut_collected_join(plan: Arc<dyn ExecutionPlan>, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    let [left, right] = plan.children()[..] else {
        return plan_err!("{} does not have two inputs", plan.name());
    };
    let (mut left, mut right) = (Arc::clone(left), Arc::clone(right));
    if partitions(&right) > 1 && build_side_emits(plan.as_ref()) {
        right = gather(right, stages)?;
    }
    if partitions(&left) > 1 || (partitions(&right) > 1 && !repeatable(&left)) {
        left = gather(left, stages)?;
    }
    replace(plan, vec![left, right])
}

/// A stage whose partitions stay as they are, and its reader.
fn forward(input: Arc<dyn ExecutionPlan>, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    let partitioning = input.output_partitioning().clone();
    let equivalences = input.equivalence_properties().clone();
    let stage = stages.add(input, None)?;
    Ok(Arc::new(ShuffleReaderExec::new(stage, partitioning, equivalences)))
}

/// A stage, and a reader of all its rows as one partition.
pub(super) fn gather(input: Arc<dyn ExecutionPlan>, stages: &mut dyn Stages) -> Result<Arc<dyn ExecutionPlan>> {
    let (partitions, schema) = (partitions(&input), input.schema());
    let stage = stages.add(input, None)?;
    Ok(Arc::new(ShuffleReaderExec::gather(stage, partitions as u32, schema)))
}

fn limited(input: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(fetch) => Arc::new(GlobalLimitExec::new(input, 0, Some(fetch))),
        None => input,
    }
}

/// Whether every task may compute `plan` anew: it always gives the same rows, and costs less than another stage.
fn repeatable(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut volatile = false;
    let visited = plan.apply_expressions(&mut |expr| {
        volatile |= is_volatile(expr);
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    if volatile || visited.is_err() {
        return false;
    }
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        return reader.gathers();
    }
    if let Some(bytes) = file_group_bytes(plan.as_ref()) {
        return bytes.iter().sum::<u64>() <= REPEATED_SCAN_BYTES;
    }
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        return scan.data_source().downcast_ref::<MemorySourceConfig>().is_some();
    }
    let cheap = match plan.downcast_ref::<AggregateExec>() {
        Some(aggregate) => aggregate.group_expr().is_empty(),
        None => {
            plan.is::<ProjectionExec>()
                || plan.is::<FilterExec>()
                || plan.is::<CooperativeExec>()
                || plan.is::<PlaceholderRowExec>()
                || plan.is::<EmptyExec>()
                || plan.is::<HashJoinExec>()
        }
    };
    cheap && plan.children().into_iter().all(repeatable)
}

fn partitions(plan: &Arc<dyn ExecutionPlan>) -> usize {
    plan.output_partitioning().partition_count()
}

fn replace(plan: Arc<dyn ExecutionPlan>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
}
