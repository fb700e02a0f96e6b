//! What travels over the two queues. Messages carry keys and digests, never rows or plans.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    Digest, ExecutionId, Failure, Namespace, RunId, StageId, TaskId, TaskMetrics, TaskOutput, Timestamp, WorkerId,
};

/// Control plane to worker: run this attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskMessage {
    /// The tenant, which is also the queue's message group.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The attempt of the stage, from zero.
    pub stage_attempt: u32,
    /// The attempt of the task: its epoch, which only grows.
    pub attempt: u32,
    /// Tasks of the stage, for names such as `part-00001-of-00004`.
    pub tasks: u32,
    /// The partitions of the stage plan to run.
    pub partitions: Range<u32>,
    /// The stage plan, see [`layout::plan_key`](crate::layout::plan_key).
    pub plan: Digest,
    /// The manifests to read.
    pub inputs: Vec<InputRef>,
    /// Milliseconds after which the worker stops the attempt, if there is a limit.
    #[serde(default)]
    pub time_limit_ms: Option<u64>,
    /// W3C `traceparent` of the run.
    #[serde(default)]
    pub traceparent: Option<String>,
}

/// A complete input stage, see [`layout::manifest_key`](crate::layout::manifest_key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRef {
    /// The stage that was read from.
    pub stage: StageId,
    /// Its attempt.
    pub stage_attempt: u32,
}

/// Worker to control plane: how an attempt goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The attempt of the stage that the message named.
    pub stage_attempt: u32,
    /// The attempt that the message named.
    pub attempt: u32,
    /// Who runs it.
    pub execution: ExecutionId,
    /// Where.
    pub worker: WorkerId,
    /// When this was reported, by the worker's clock.
    pub at: Timestamp,
    /// What happened.
    pub body: ReportBody,
}

/// What happened to an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReportBody {
    /// It was taken from the queue.
    Started,
    /// It is alive; totals so far, without logs.
    Progress {
        /// Totals so far.
        metrics: TaskMetrics,
    },
    /// It is done.
    Succeeded {
        /// What it left in storage.
        output: TaskOutput,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// What was measured until then, logs included.
        metrics: TaskMetrics,
    },
}
