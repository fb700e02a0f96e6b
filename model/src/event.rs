//! What happens to a run.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{
    ExecutionId, Failure, OutputManifest, Reason, RunId, RunOutcome, StageGraph, StageId, StorageRequests, Submission,
    TaskId, TaskMetrics, TaskOutput, Timestamp, WorkerId,
};

/// An event with its place in the run's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventRecord {
    /// The run.
    pub run: RunId,
    /// Its place, from one, without gaps.
    pub seq: u64,
    /// When the control plane decided it.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

/// What happened. A run's state is a fold over its events, see [`machine::apply`](crate::machine::apply).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The run exists. Always the first event.
    Submitted {
        /// What to run.
        submission: Box<Submission>,
    },
    /// Another control plane owns the run now. Every attempt under way gets its full time again.
    OwnerChanged {
        /// Whether the messages in the queue were lost: then no attempt is under way any more.
        #[serde(default)]
        queue_lost: bool,
    },
    /// The stages are known.
    Planned {
        /// The stages.
        graph: Box<StageGraph>,
    },
    /// A stage's inputs are complete and its tasks are known.
    StageStarted {
        /// The stage.
        stage: StageId,
        /// Partitions of each task.
        tasks: Vec<Range<u32>>,
    },
    /// A task message was decided; the task's epoch is `attempt` from now on. It gives up the attempts before that
    /// have not failed (their message was missed, or was in a queue that was lost), unless it is speculative.
    TaskDispatched {
        /// The task.
        task: TaskId,
        /// The stage's attempt.
        stage_attempt: u32,
        /// The task's attempt, from zero.
        attempt: u32,
        /// Not to be received before this time, when it waits for a backoff.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<Timestamp>,
        /// Whether it is a copy of an attempt that takes long and stays under way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        speculative: bool,
    },
    /// A worker took the message.
    AttemptStarted {
        /// The task.
        task: TaskId,
        /// The task's attempt.
        attempt: u32,
        /// Who runs it.
        execution: ExecutionId,
        /// Where.
        worker: WorkerId,
    },
    /// The task is done; its output is what readers will see. At most one per task and stage attempt.
    TaskAccepted {
        /// The task.
        task: TaskId,
        /// The stage's attempt.
        stage_attempt: u32,
        /// The task's attempt.
        attempt: u32,
        /// Who ran it.
        execution: ExecutionId,
        /// Where.
        worker: WorkerId,
        /// What it left in storage.
        output: Box<TaskOutput>,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The task.
        task: TaskId,
        /// The task's attempt.
        attempt: u32,
        /// Who ran it, when that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        execution: Option<ExecutionId>,
        /// Why. An attempt that gave no sign of life fails with the code `attempt_lost`.
        failure: Failure,
        /// What was measured until then.
        #[serde(default)]
        metrics: Box<TaskMetrics>,
    },
    /// All tasks are accepted and the stage's manifest is in storage.
    StageCompleted {
        /// The stage.
        stage: StageId,
        /// The stage's attempt.
        stage_attempt: u32,
    },
    /// Shuffle objects of a stage are gone; these tasks run again.
    StageReopened {
        /// The stage.
        stage: StageId,
        /// Its new attempt; or the current one, when tasks join those that run again already.
        stage_attempt: u32,
        /// The tasks that run again.
        tasks: Vec<u32>,
    },
    /// Somebody asked for the run to stop.
    CancelRequested {
        /// Who, for people.
        by: String,
    },
    /// Somebody asked for the run to be held up: nothing new of it is begun.
    Paused {
        /// Who, for people.
        by: String,
    },
    /// Somebody asked for the run to go on.
    Resumed {
        /// Who, for people.
        by: String,
    },
    /// The run cannot succeed any more; what it staged is being deleted.
    StopStarted {
        /// Why.
        reason: Reason,
    },
    /// The control plane sent these requests to the storage on behalf of the run, since it last said so.
    StorageUsed {
        /// The requests.
        requests: StorageRequests,
    },
    /// All stages are complete; from here on the run cannot be cancelled. Left out when there is nothing to commit.
    CommitStarted,
    /// The outputs are visible.
    Committed {
        /// One per sink.
        outputs: Vec<OutputManifest>,
    },
    /// The run is over. Always the last event.
    Finished {
        /// How.
        outcome: RunOutcome,
        /// Why, unless it succeeded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
}
