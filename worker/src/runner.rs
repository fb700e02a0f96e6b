//! What runs a task.

use async_trait::async_trait;
use weir_engine::{Engine, TaskContext, TaskFailure};
use weir_model::{TaskMessage, TaskOutput};

/// Runs attempts of tasks.
#[async_trait]
pub trait TaskRunner: Send + Sync + 'static {
    /// Runs one attempt; ends soon after `context.cancel` is cancelled.
    async fn run(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure>;
}

#[async_trait]
impl TaskRunner for Engine {
    async fn run(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        self.run_task(message, context).await
    }
}
