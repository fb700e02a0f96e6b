//! The state machine of a run: [`decide`] says what happens next, [`apply`] folds what happened into the state.
//!
//! Both are pure. The control plane feeds inputs to `decide`, applies the events that come back, appends them to the
//! run's log under its lease, and only then carries out the effects. Effects are safe to repeat: after a crash the
//! next owner replays the log, feeds [`Input::Takeover`], and gets every effect again whose result is not in the log.

use crate::{
    Event, EventRecord, Failure, OutputManifest, StageGraph, StageId, TaskMessage, TaskOutput, TaskReport, Timestamp,
};

/// Something that the control plane learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// [`Effect::Plan`] gave a graph.
    Planned(Box<StageGraph>),
    /// [`Effect::Plan`] failed.
    PlanFailed(Failure),
    /// A worker reported.
    Report(Box<TaskReport>),
    /// [`Effect::WriteManifest`] is done.
    ManifestWritten {
        /// The stage.
        stage: StageId,
        /// The stage's attempt.
        stage_attempt: u32,
    },
    /// [`Effect::Commit`] is done.
    Committed(Vec<OutputManifest>),
    /// [`Effect::Commit`] failed for good, or [`Effect::WriteManifest`] did.
    CommitFailed(Failure),
    /// [`Effect::Abort`] is done.
    Aborted,
    /// Somebody wants the run to stop.
    Cancel {
        /// Who, for people.
        by: String,
    },
    /// This control plane has just taken the run over: from a crash, or from another owner.
    Takeover {
        /// Whether the task messages that were sent before may be gone (an in-process queue after a restart).
        queue_lost: bool,
    },
    /// Time has passed.
    Tick,
}

/// Something to do outside. Safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Plan the submission; answer with [`Input::Planned`] or [`Input::PlanFailed`].
    Plan,
    /// Send a task message, to be received no earlier than `not_before`.
    Dispatch {
        /// The message.
        message: Box<TaskMessage>,
        /// The end of the backoff, if there is one.
        not_before: Option<Timestamp>,
    },
    /// Write the manifest of a stage from [`RunState::accepted_outputs`]; answer with [`Input::ManifestWritten`].
    WriteManifest {
        /// The stage.
        stage: StageId,
        /// The stage's attempt.
        stage_attempt: u32,
    },
    /// Make the outputs of all sinks visible; answer with [`Input::Committed`] or [`Input::CommitFailed`].
    Commit,
    /// Tell workers to stop, and delete what all attempts staged at the sinks; answer with [`Input::Aborted`].
    Abort,
    /// Delete what an attempt left that was not accepted.
    Discard(Box<TaskOutput>),
    /// The run is over: delete its shuffle objects and manifests, except those of its result stage.
    Cleanup,
}

/// What follows from an input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// To be applied, and appended to the log together, in this order.
    pub events: Vec<Event>,
    /// To be carried out after that.
    pub effects: Vec<Effect>,
}
