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
    /// Pauses of the run before the message was decided. A message of before a pause is not begun with any more, see
    /// [`layout::pause_key`](crate::layout::pause_key).
    #[serde(default)]
    pub pauses: u32,
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

/// Worker to control plane: what the report queue carries.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerMessage {
    /// About an attempt.
    Task(Box<TaskReport>),
    /// About the worker.
    Worker(Box<WorkerHeartbeat>),
}

impl WorkerMessage {
    /// Reads the body of a message.
    pub fn from_json(body: &str) -> serde_json::Result<Self> {
        // Nearly all are reports of tasks, and neither reads as the other.
        match serde_json::from_str(body) {
            Ok(report) => Ok(Self::Task(report)),
            Err(error) => match serde_json::from_str(body) {
                Ok(heartbeat) => Ok(Self::Worker(heartbeat)),
                Err(_) => Err(error),
            },
        }
    }
}

/// A worker's sign of life: sent when it starts, every few seconds, when it begins to drain, and when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerHeartbeat {
    /// The worker.
    pub worker: WorkerId,
    /// When this was said, by the worker's clock.
    pub at: Timestamp,
    /// When the worker started.
    pub started_at: Timestamp,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Tasks that it runs now.
    pub running: u32,
    /// Whether it takes no more tasks, because it is about to end.
    pub draining: bool,
    /// Whether these are its last words.
    pub ended: bool,
    /// Its version of weir.
    pub version: String,
    /// Where it runs, for people: a host, or the ARN of an ECS task.
    pub host: String,
    /// What it runs now, the longest first: of very many, a part.
    #[serde(default)]
    pub tasks: Vec<RunningTask>,
}

/// An attempt that a worker runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTask {
    /// The tenant.
    pub namespace: Namespace,
    /// The run.
    pub run: RunId,
    /// The task.
    pub task: TaskId,
    /// The attempt of the task.
    pub attempt: u32,
    /// When the worker took it, by its clock.
    pub since: Timestamp,
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

impl ReportBody {
    /// What was measured, if it says so.
    pub fn metrics_mut(&mut self) -> Option<&mut TaskMetrics> {
        match self {
            Self::Started => None,
            Self::Succeeded { output } => Some(&mut output.metrics),
            Self::Progress { metrics } | Self::Failed { metrics, .. } => Some(metrics),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StageId;

    #[test]
    fn the_report_queue_tells_tasks_from_workers() {
        let worker = WorkerId::from_parts(Timestamp(5), 1);
        let report = TaskReport {
            run: RunId::from_parts(Timestamp(5), 2),
            task: TaskId {
                stage: StageId(1),
                index: 2,
            },
            stage_attempt: 0,
            attempt: 3,
            execution: ExecutionId::from_parts(Timestamp(5), 3),
            worker,
            at: Timestamp(6),
            body: ReportBody::Started,
        };
        let heartbeat = WorkerHeartbeat {
            worker,
            at: Timestamp(7),
            started_at: Timestamp(5),
            slots: 4,
            running: 1,
            draining: false,
            ended: false,
            version: "1.2.3".into(),
            host: "somewhere".into(),
            tasks: vec![RunningTask {
                namespace: Namespace::default(),
                run: report.run,
                task: report.task,
                attempt: 3,
                since: Timestamp(6),
            }],
        };
        let read = |body: String| WorkerMessage::from_json(&body).unwrap();
        let body = serde_json::to_string(&report).unwrap();
        assert_eq!(read(body), WorkerMessage::Task(Box::new(report)));
        let body = serde_json::to_string(&heartbeat).unwrap();
        assert_eq!(read(body), WorkerMessage::Worker(Box::new(heartbeat)));
        let error = WorkerMessage::from_json("{}").unwrap_err();
        assert!(error.to_string().contains("missing field"), "{error}");
    }
}
