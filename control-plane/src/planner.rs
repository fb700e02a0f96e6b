//! Planning, which needs the engine.

use async_trait::async_trait;
use weir_model::{Failure, RunId, StageGraph, Submission};
use weir_platform::Storage;

/// Turns a submission into stages whose plans are in storage.
#[async_trait]
pub trait Planner: Send + Sync + 'static {
    /// Plans a run. May be called again for the same run; failures of the platform are tried again. `storage` is that of
    /// the control plane, which counts what is asked of it for the run.
    async fn plan(&self, run: RunId, submission: &Submission, storage: &Storage) -> Result<StageGraph, Failure>;
}
