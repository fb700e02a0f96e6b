//! `error_handling.threshold`.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::ChildrenPropertiesMode;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, InputDistributionRequirements, PlanProperties,
    ReplaceChildrenOptions, SendableRecordBatchStream,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use weir_model::{Failure, FailureKind};

use crate::task::OperatorError;

/// How many records may fail.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct ThresholdSpec {
    /// The transform whose records fail.
    transform: String,
    /// The bits of the part of all records that may fail, so that it can be compared.
    part: u64,
}

impl ThresholdSpec {
    /// At most `part` of the records of `transform`.
    pub(crate) fn new(transform: String, part: f64) -> Self {
        Self {
            transform,
            part: part.to_bits(),
        }
    }

    fn check(&self, sums: &RecordBatch) -> Result<()> {
        let [total, bad] = [0, 1].map(|column| sums.column(column).as_primitive::<Int64Type>());
        let part = f64::from_bits(self.part);
        for (total, bad) in total.iter().zip(bad) {
            let (total, bad) = (total.unwrap_or(0), bad.unwrap_or(0));
            if bad as f64 > total as f64 * part {
                let message = format!(
                    "{bad} of {total} records failed, more than the threshold {part} of error_handling allows; correct the \
                     records or raise the threshold"
                );
                let mut failure = Failure::new(FailureKind::User, "too_many_errors", message);
                failure.transform = Some(self.transform.clone());
                return Err(OperatorError(failure).into());
            }
        }
        Ok(())
    }
}

impl fmt::Display for ThresholdSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threshold: {} {}", self.transform, f64::from_bits(self.part))
    }
}

/// Fails when the second column of a row is too large a part of the first.
#[derive(Debug)]
pub(crate) struct ThresholdExec {
    spec: ThresholdSpec,
    input: Arc<dyn ExecutionPlan>,
}

impl ThresholdExec {
    pub(crate) fn new(spec: ThresholdSpec, input: Arc<dyn ExecutionPlan>) -> Self {
        Self { spec, input }
    }

    pub(crate) fn spec(&self) -> &ThresholdSpec {
        &self.spec
    }
}

impl DisplayAs for ThresholdExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ThresholdExec: {} {}",
            self.spec.transform,
            f64::from_bits(self.spec.part)
        )
    }
}

impl ExecutionPlan for ThresholdExec {
    fn name(&self) -> &str {
        "ThresholdExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
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

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.spec.clone(), children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let spec = self.spec.clone();
        let sums = self.input.execute(partition, context)?;
        let checked = sums.and_then(move |batch| futures::future::ready(spec.check(&batch).map(|()| batch)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), checked)))
    }
}
