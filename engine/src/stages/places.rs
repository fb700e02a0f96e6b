//! Where the operators of a task are in the whole plan of its stage.

use std::ops::Range;
use std::sync::Arc;

use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::flow::{Flow, flows};

/// The place of an operator that a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its number in the whole plan: each operator comes before its inputs.
    pub(crate) id: u32,
    /// Its depth in the whole plan.
    pub(crate) depth: u32,
    /// Whether it is a union that has only one branch in the task, which stands there in its stead.
    pub(crate) vanished: bool,
}

/// The places of the operators of [`restrict`](super::restrict)`(whole, range)`, each before its inputs.
pub(crate) fn places(whole: &Arc<dyn ExecutionPlan>, range: Range<usize>) -> Vec<Place> {
    let mut found = Places {
        next: 0,
        kept: Vec::new(),
    };
    found.visit(whole, Some(range), 0);
    found.kept
}

struct Places {
    next: u32,
    kept: Vec<Place>,
}

impl Places {
    /// Visits an operator, of which the task runs the partitions of `range`, or none.
    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>, range: Option<Range<usize>>, depth: u32) {
        let id = self.next;
        self.next += 1;
        let children = plan.children();
        let partitions = plan.output_partitioning().partition_count();
        let ranges: Vec<Option<Range<usize>>> = match &range {
            None => vec![None; children.len()],
            Some(range) => children
                .iter()
                .zip(flows(plan.as_ref()))
                .map(|(child, flow)| match flow {
                    Flow::Aligned(own) if *range != (0..partitions) => {
                        let wanted = own.start.max(range.start)..own.end.min(range.end);
                        (!wanted.is_empty()).then(|| wanted.start - own.start..wanted.end - own.start)
                    }
                    _ => Some(0..child.output_partitioning().partition_count()),
                })
                .collect(),
        };
        if range.is_some() {
            let vanished = plan.is::<UnionExec>() && ranges.iter().flatten().count() == 1;
            self.kept.push(Place { id, depth, vanished });
        }
        for (child, range) in children.into_iter().zip(ranges) {
            self.visit(child, range, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
    use datafusion::physical_plan::empty::EmptyExec;

    use super::*;

    fn leaf(partitions: usize) -> Arc<dyn ExecutionPlan> {
        Arc::new(EmptyExec::new(Arc::new(Schema::empty())).with_partitions(partitions))
    }

    fn place(id: u32, depth: u32, vanished: bool) -> Place {
        Place { id, depth, vanished }
    }

    #[test]
    fn a_union_with_one_branch_is_not_there() {
        let below = Arc::new(CoalescePartitionsExec::new(leaf(3)));
        let union = UnionExec::try_new(vec![leaf(2), below, leaf(2)]).unwrap();
        let all = [
            place(0, 0, false),
            place(1, 1, false),
            place(2, 1, false),
            place(3, 2, false),
            place(4, 1, false),
        ];
        assert_eq!(places(&union, 0..5), all);
        assert_eq!(places(&union, 1..3), all[..4]);
        assert_eq!(
            places(&union, 2..3),
            [place(0, 0, true), place(2, 1, false), place(3, 2, false)]
        );
        assert_eq!(places(&union, 3..4), [place(0, 0, true), place(4, 1, false)]);
    }
}
