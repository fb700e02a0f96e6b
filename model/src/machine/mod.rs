//! The state machine of a run: [`decide`] says what happens next, [`apply`] folds what happened into the state.
//!
//! Both are pure. The control plane feeds inputs to `decide`, applies the events that come back, appends them to the
//! run's log under its lease, and only then carries out the effects. Effects are safe to repeat: after a crash the
//! next owner replays the log, feeds [`Input::Takeover`], and gets every effect again whose result is not in the log.
//!
//! **Invariants.**
//! - The events of one decision are appended together or not at all: no state in between is ever resumed.
//! - At most one attempt of a task is accepted per attempt of its stage, and no [`Effect::Discard`] ever names the
//!   output of an accepted attempt.
//! - A decision without events is right for every later state of the same log too, so an owner whose lease has run
//!   out does no harm: what a report says of tasks, stage attempts or attempts that the state has not heard of is
//!   left alone, since the run's next owner may know them.
//! - A terminal state is terminal.
//! - Tasks are deterministic up to the order of rows: when shuffle objects are lost and made again, readers that were
//!   accepted with the old objects stay accepted.
//!
//! **Where each rule is.** `decide` has the life of a run, `dispatch` starts stages and sends tasks, `failures` has
//! retries, timeouts and lost shuffles, `speculation` copies stragglers, `coalesce` sizes tasks, `reason` words what people read, `liveness` keeps the
//! deadlines of attempts, `pause` holds runs up, `restart` says whether they are tried again, and `state`, `apply` and `snapshot` hold, change and show the state.

mod apply;
mod coalesce;
mod decide;
mod dispatch;
mod failures;
mod liveness;
mod pause;
mod reason;
mod restart;
mod snapshot;
mod speculation;
mod state;

use crate::Timestamp;
use crate::{Event, Failure, OutputManifest, StageGraph, StageId, Submission, TaskMessage, TaskOutput, TaskReport};

pub use apply::apply;
pub use coalesce::coalesce;
pub use decide::{MAX_OWNERS_WITHOUT_PLAN, decide};
pub use state::RunState;

/// Something that the control plane learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// The run was accepted. Always the first input. Who only appends [`Event::Submitted`] and lets another control
    /// plane find the run gets the same from [`Input::Takeover`].
    Submit(Box<Submission>),
    /// [`Effect::Plan`] gave a graph.
    Planned(Box<StageGraph>),
    /// [`Effect::Plan`] failed.
    PlanFailed(Failure),
    /// A worker reported. Reports go to [`RunState::progress`] as well, which keeps what is not in the log.
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
    /// Somebody wants nothing new of the run to be begun.
    Pause {
        /// Who, for people.
        by: String,
    },
    /// Somebody wants a run that is paused to go on.
    Resume {
        /// Who, for people.
        by: String,
    },
    /// This control plane has just taken the run over: from a crash, or from another owner.
    Takeover {
        /// Whether the task messages that were sent before may be gone (an in-process queue after a restart).
        queue_lost: bool,
        /// The place in the log up to which task messages are known to have been sent. Those of later
        /// [`Event::TaskDispatched`] that nobody is known to have taken are sent again, as the same attempts: the last
        /// owner may have ended before it sent them.
        sent_through: u64,
    },
    /// Time has passed, see [`RunState::next_wake`].
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
    /// Write the manifest of a stage from [`RunState::accepted_outputs`], taken when the effect is begun. Inputs that are
    /// decided together with the one that led to this may have reopened the stage by then: what is written is not whole
    /// in that case, and its name is that of an attempt of the stage which no message will ever name. Answer with
    /// [`Input::ManifestWritten`].
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
    /// Tell workers not to begin with messages that carry so many pauses.
    Withdraw {
        /// The pauses.
        pauses: u32,
    },
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
