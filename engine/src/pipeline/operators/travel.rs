//! How these operators become bytes.

use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::{AssertExec, AssertSpec, LogExec, LogSpec, MapRowsExec, MapRowsSpec, ThresholdExec, ThresholdSpec};
use crate::stages::codec::{Decoder, Encoder};

/// An operator of this module, without its input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum RowsSpec {
    Log(LogSpec),
    Assert(AssertSpec),
    Threshold(ThresholdSpec),
    Map {
        spec: MapRowsSpec,
        /// Encoded.
        exprs: Vec<Vec<u8>>,
    },
}

impl RowsSpec {
    /// The operator's form, if it is one of this module.
    pub(crate) fn encode(node: &Arc<dyn ExecutionPlan>, encoder: &Encoder<'_>) -> Result<Option<Self>> {
        Ok(Some(if let Some(log) = node.downcast_ref::<LogExec>() {
            Self::Log(log.spec().clone())
        } else if let Some(assert) = node.downcast_ref::<AssertExec>() {
            Self::Assert(assert.spec().clone())
        } else if let Some(threshold) = node.downcast_ref::<ThresholdExec>() {
            Self::Threshold(threshold.spec().clone())
        } else if let Some(map) = node.downcast_ref::<MapRowsExec>() {
            let exprs = map.exprs().iter().map(|expr| encoder.expr(expr));
            Self::Map {
                spec: map.spec().clone(),
                exprs: exprs.collect::<Result<_>>()?,
            }
        } else {
            return Ok(None);
        }))
    }

    /// The operator over its input.
    pub(crate) fn decode(
        self,
        inputs: &[Arc<dyn ExecutionPlan>],
        decoder: &Decoder<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = inputs else {
            return internal_err!("an operator of a pipeline has one input");
        };
        let input = Arc::clone(input);
        Ok(match self {
            Self::Log(spec) => Arc::new(LogExec::new(spec, input)),
            Self::Assert(spec) => Arc::new(AssertExec::new(spec, input)),
            Self::Threshold(spec) => Arc::new(ThresholdExec::new(spec, input)),
            Self::Map { spec, exprs } => {
                let schema = input.schema();
                let exprs = exprs
                    .iter()
                    .map(|expr| decoder.expr(expr, &schema))
                    .collect::<Result<_>>()?;
                Arc::new(MapRowsExec::new(spec, exprs, input)?)
            }
        })
    }
}
