//! Planning, which needs the engine.

use async_trait::async_trait;
use weir_model::{Failure, RunId, StageGraph, Submission};

/// Turns a submission into stages whose plans are in storage.
#[async_trait]
pub trait Planner: Send + Sync + 'static {
    /// Plans a run. May be called again for the same run; failures of the platform are tried again.
    async fn plan(&self, run: RunId, submission: &Submission) -> Result<StageGraph, Failure>;
}
