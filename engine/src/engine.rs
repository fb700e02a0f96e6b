//! The engine's interface.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::physical_plan::SendableRecordBatchStream;
use weir_model::{Digest, RunId, StageGraph, Submission, TaskMessage, TaskOutput};
use weir_platform::Storage;
use weir_sandbox::Sandbox;

use crate::PlanError;
use crate::task::{TaskContext, TaskFailure};

/// How an engine uses its machine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Bytes that all tasks of the process may hold; operators spill beyond it.
    pub memory_bytes: usize,
    /// Where operators spill; one folder per process is made below it.
    pub spill_dir: PathBuf,
}

/// Plans jobs and runs tasks. Cheap to clone; one per process, so that tasks share caches and the memory pool.
#[derive(Clone)]
pub struct Engine {
    storage: Storage,
    sandbox: Arc<Sandbox>,
}

/// What a job would do, for people.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The logical plan(s), indented.
    pub logical: String,
    /// The stages: exchanges, task counts and physical operators, indented.
    pub stages: String,
    /// The graph itself.
    pub graph: StageGraph,
}

impl Engine {
    /// An engine over a run storage and a sandbox.
    pub fn new(options: EngineOptions, storage: Storage, sandbox: Arc<Sandbox>) -> Result<Self, PlanError> {
        let _ = options;
        Ok(Self { storage, sandbox })
    }

    /// Plans a submission: writes the stage plans to storage and gives the graph.
    pub async fn plan(&self, run: RunId, submission: &Submission) -> Result<StageGraph, PlanError> {
        let _ = (run, submission, &self.storage, &self.sandbox);
        todo!()
    }

    /// Plans a submission without leaving anything in storage.
    pub async fn explain(&self, submission: &Submission) -> Result<Explanation, PlanError> {
        let _ = submission;
        todo!()
    }

    /// Runs one attempt of a task.
    pub async fn run_task(&self, message: &TaskMessage, context: &TaskContext) -> Result<TaskOutput, TaskFailure> {
        let _ = (message, context);
        todo!()
    }

    /// The rows of a run's result stage, in order, read from the accepted outputs given in task order.
    pub async fn read_result(
        &self,
        graph: &StageGraph,
        outputs: Vec<TaskOutput>,
    ) -> Result<SendableRecordBatchStream, PlanError> {
        let _ = (graph, outputs);
        todo!()
    }
}

/// A serialised stage plan, ready for storage.
#[derive(Clone, Debug)]
pub struct PlanBlob {
    /// Its content address.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}
