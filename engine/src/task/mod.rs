//! Running one attempt of a task.

mod failure;
mod interrupt;
mod log;
mod memory;
mod metrics;
mod output;
mod result;
mod run;

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use weir_model::{ExecutionId, Failure, TaskMetrics};

pub use failure::OperatorError;
pub(crate) use failure::classify;
pub use log::TaskLog;
pub(crate) use memory::TaskMemory;
pub(crate) use result::read_result;
pub(crate) use run::{Shared, run};

use metrics::Meter;

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
pub struct TaskProgress {
    meter: Mutex<Option<Arc<Meter>>>,
}

impl TaskProgress {
    /// Totals so far, without logs.
    pub fn metrics(&self) -> TaskMetrics {
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner).clone();
        meter.map(|meter| meter.totals()).unwrap_or_default()
    }

    fn follow(&self, meter: Arc<Meter>) {
        *self.meter.lock().unwrap_or_else(PoisonError::into_inner) = Some(meter);
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
