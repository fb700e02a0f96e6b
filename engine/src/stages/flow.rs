//! Which partitions of its inputs a partition of an operator reads.

use std::ops::Range;
use std::sync::Arc;

use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, execution_plan::ChildrenPropertiesMode,
    execution_plan::ReplaceChildrenOptions,
};

use super::joins::collects_left;
use crate::io::scan::{ScanExec, ScanSpec};
use crate::shuffle::ShuffleReaderExec;

/// Which partitions of one child a partition of its parent reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Partition `p` of the parent reads partition `p - start` of the child, for `p` in this range, and no other
    /// partition of the parent reads it.
    Aligned(Range<usize>),
    /// Every partition of the parent reads all partitions of the child.
    All,
}

/// One [`Flow`] per child of `plan`.
pub(crate) fn flows(plan: &dyn ExecutionPlan) -> Vec<Flow> {
    let partitions = plan.output_partitioning().partition_count();
    if plan.is::<UnionExec>() {
        let mut start = 0;
        return plan
            .children()
            .iter()
            .map(|child| {
                let range = start..start + child.output_partitioning().partition_count();
                start = range.end;
                Flow::Aligned(range)
            })
            .collect();
    }
    let aligned = |child: &&Arc<dyn ExecutionPlan>| match child.output_partitioning().partition_count() {
        count if count == partitions => Flow::Aligned(0..partitions),
        _ => Flow::All,
    };
    let mut flows: Vec<_> = plan.children().iter().map(aligned).collect();
    if collects_left(plan) {
        flows[0] = Flow::All;
    }
    flows
}

/// A leaf, and the partitions of the stage that read it.
pub(crate) struct Leaf<'a> {
    pub(crate) plan: &'a Arc<dyn ExecutionPlan>,
    pub(crate) flow: Flow,
}

/// The leaves of a stage plan, left to right, with how the stage's partitions read them.
pub(crate) fn leaves(plan: &Arc<dyn ExecutionPlan>) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    let partitions = plan.output_partitioning().partition_count();
    collect_leaves(plan, Flow::Aligned(0..partitions), &mut leaves);
    leaves
}

fn collect_leaves<'a>(plan: &'a Arc<dyn ExecutionPlan>, flow: Flow, leaves: &mut Vec<Leaf<'a>>) {
    let children = plan.children();
    if children.is_empty() {
        leaves.push(Leaf { plan, flow });
        return;
    }
    for (child, inner) in children.into_iter().zip(flows(plan.as_ref())) {
        let flow = match (&flow, inner) {
            (Flow::Aligned(outer), Flow::Aligned(inner)) => {
                Flow::Aligned(outer.start + inner.start..outer.start + inner.end)
            }
            _ => Flow::All,
        };
        collect_leaves(child, flow, leaves);
    }
}

/// The same plan with only the partitions of `range`: what a task runs. Leaves of other partitions are dropped, so a
/// task neither opens their files nor waits for what they would have told their siblings.
pub(crate) fn restrict(plan: &Arc<dyn ExecutionPlan>, range: Range<usize>) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = plan.output_partitioning().partition_count();
    if range == (0..partitions) {
        return Ok(Arc::clone(plan));
    }
    if range.end > partitions || range.is_empty() {
        return Err(DataFusionError::Internal(format!(
            "{} has no partitions {range:?}",
            plan.name()
        )));
    }
    let children = plan.children();
    if children.is_empty() {
        return restrict_leaf(plan, range);
    }
    let flows = flows(plan.as_ref());
    if plan.is::<UnionExec>() {
        return restrict_union(&children, &flows, range);
    }
    let children = children
        .into_iter()
        .zip(flows)
        .map(|(child, flow)| match flow {
            Flow::Aligned(_) => restrict(child, range.clone()),
            Flow::All => Ok(Arc::clone(child)),
        })
        .collect::<Result<_>>()?;
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(plan).replace_children(children, options)
}

fn restrict_union(
    children: &[&Arc<dyn ExecutionPlan>],
    flows: &[Flow],
    range: Range<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut branches = Vec::new();
    for (child, flow) in children.iter().zip(flows) {
        let Flow::Aligned(own) = flow else { continue };
        let wanted = own.start.max(range.start)..own.end.min(range.end);
        if !wanted.is_empty() {
            branches.push(restrict(child, wanted.start - own.start..wanted.end - own.start)?);
        }
    }
    // Branches may differ in nullability, which the union's schema evens out; readers were planned with that schema.
    UnionExec::try_new(branches)
}

fn restrict_leaf(plan: &Arc<dyn ExecutionPlan>, range: Range<usize>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(reader) = plan.downcast_ref::<ShuffleReaderExec>() {
        return Ok(Arc::new(reader.restricted(range)));
    }
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        let partitions = scan.spec().partitions[range].to_vec();
        return Ok(Arc::new(ScanExec::new(ScanSpec {
            partitions,
            ..scan.spec().clone()
        })?));
    }
    if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
        if let Some(files) = scan.data_source().downcast_ref::<FileScanConfig>() {
            let groups = files.file_groups[range].to_vec();
            let files = FileScanConfigBuilder::from(files.clone())
                .with_file_groups(groups)
                .build();
            return Ok(DataSourceExec::from_data_source(files));
        }
        if let Some(memory) = scan.data_source().downcast_ref::<MemorySourceConfig>() {
            let source = MemorySourceConfig::try_new(
                &memory.partitions()[range],
                memory.original_schema(),
                memory.projection().clone(),
            )?;
            return Ok(DataSourceExec::from_data_source(source.with_limit(scan.fetch())));
        }
    }
    Err(DataFusionError::Internal(format!(
        "{} cannot run as several tasks",
        plan.name()
    )))
}

/// Bytes that each of `partitions` partitions reads from files; empty when the plan reads none.
pub(crate) fn scan_bytes(plan: &Arc<dyn ExecutionPlan>, partitions: usize) -> Vec<u64> {
    let mut bytes = Vec::new();
    for leaf in leaves(plan) {
        // What every partition reads is read once per task, however partitions are grouped.
        let (Flow::Aligned(range), Some(groups)) = (&leaf.flow, file_group_bytes(leaf.plan.as_ref())) else {
            continue;
        };
        bytes.resize(partitions, 0);
        for (partition, group) in range.clone().zip(groups) {
            bytes[partition] += group;
        }
    }
    bytes
}

/// Bytes of each file group of a scan.
pub(crate) fn file_group_bytes(plan: &dyn ExecutionPlan) -> Option<Vec<u64>> {
    if let Some(scan) = plan.downcast_ref::<ScanExec>() {
        return Some(
            (0..scan.spec().partitions.len())
                .map(|partition| scan.scan_bytes(partition))
                .collect(),
        );
    }
    let files = plan
        .downcast_ref::<DataSourceExec>()?
        .data_source()
        .downcast_ref::<FileScanConfig>()?;
    let bytes =
        |group: &datafusion::datasource::physical_plan::FileGroup| group.iter().map(|file| file.effective_size()).sum();
    Some(files.file_groups.iter().map(bytes).collect())
}
