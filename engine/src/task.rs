//! Running one attempt of a task.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use weir_model::{ExecutionId, Failure, TaskMetrics};

/// What a worker gives an attempt.
#[derive(Clone)]
pub struct TaskContext {
    /// Names the objects that this execution writes.
    pub execution: ExecutionId,
    /// Ends the attempt with [`FailureKind::Cancelled`](weir_model::FailureKind::Cancelled) soon after it is cancelled.
    pub cancel: CancellationToken,
    /// Filled with the latest totals while the attempt runs, for heartbeats.
    pub progress: Arc<TaskProgress>,
}

/// The latest totals of a running attempt.
#[derive(Default)]
pub struct TaskProgress;

impl TaskProgress {
    /// Totals so far, without logs.
    pub fn metrics(&self) -> TaskMetrics {
        TaskMetrics::default()
    }
}

/// Why an attempt failed, and what it measured until then.
#[derive(Debug)]
pub struct TaskFailure {
    /// Why.
    pub failure: Failure,
    /// What was measured, logs included.
    pub metrics: TaskMetrics,
}
