//! A checked pipeline to the parts of a job.

use std::sync::Arc;

use datafusion::physical_planner::ExtensionPlanner;
use weir_model::spec::Pipeline;
use weir_model::{RunId, Submission};

use crate::PlanError;
use crate::stages::StageBuilder;

/// Plans `pipeline`: every sink and every output that nobody reads becomes a part of `builder`.
///
/// # Errors
/// [`PlanError::Pipeline`] with everything that was found wrong with the pipeline.
pub async fn build(
    pipeline: &Pipeline,
    submission: &Submission,
    run: RunId,
    builder: &mut StageBuilder,
) -> Result<(), PlanError> {
    let _ = (pipeline, submission, run, builder);
    Err(PlanError::Query("pipelines cannot be planned yet".to_owned()))
}

/// The planners of this module's logical nodes, for the session that jobs are planned in.
pub fn extension_planners() -> Vec<Arc<dyn ExtensionPlanner + Send + Sync>> {
    Vec::new()
}
