//! The state of a run: what its log says so far.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use crate::{
    ExecutionId, InputRef, LogLine, MetricValue, OutputManifest, Profiler, Reason, RunId, RunOutcome, RunPhase,
    RunProfile, RunSettings, Stage, StageGraph, StageId, StagePhase, Submission, TaskId, TaskMetrics, TaskOutput,
    TaskReport, Timestamp,
};

use super::liveness::Liveness;
use super::speculation::Stragglers;

/// The state of a run: a fold over its log by [`apply`](super::apply).
///
/// Two states are equal when their logs say the same; what [`progress`](Self::progress) keeps takes no part in that.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    pub(super) run: RunId,
    pub(super) last_seq: u64,
    pub(super) submission: Option<Box<Submission>>,
    pub(super) settings: RunSettings,
    pub(super) graph: Option<Box<StageGraph>>,
    /// Per stage, the stages that read it.
    pub(super) readers: Vec<Vec<StageId>>,
    pub(super) stages: Vec<StageState>,
    /// Stages that are not complete.
    pub(super) incomplete: usize,
    /// Where it is, or was when it was paused.
    pub(super) phase: RunPhase,
    pub(super) stop: Option<Stop>,
    pub(super) outcome: Option<RunOutcome>,
    pub(super) reason: Option<Reason>,
    pub(super) outputs: Vec<OutputManifest>,
    pub(super) created_at: Timestamp,
    pub(super) planned_at: Option<Timestamp>,
    /// Owners that it changed before its stages were known.
    pub(super) owners_without_plan: u32,
    pub(super) finished_at: Option<Timestamp>,
    /// Since when nothing new is begun.
    pub(super) paused_at: Option<Timestamp>,
    /// How long it was paused before, in milliseconds.
    pub(super) paused_ms: u64,
    /// Pauses ever.
    pub(super) pauses: u32,
    /// The latest lines.
    pub(super) logs: VecDeque<LogLine>,
    /// Lines ever, the dropped ones included.
    pub(super) log_lines: u64,
    /// What user functions counted in accepted attempts.
    pub(super) user_metrics: BTreeMap<String, MetricValue>,
    /// Where the time, the rows and the memory went.
    pub(super) profiler: Profiler,
    pub(super) live: Liveness,
}

/// Why a run is being stopped.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    Failed(Reason),
    Cancelled { by: String },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct StageState {
    pub(super) attempt: u32,
    pub(super) phase: StagePhase,
    pub(super) tasks: Vec<TaskState>,
    /// Tasks that are to be dispatched as soon as all inputs are complete.
    pub(super) pending: BTreeSet<u32>,
    pub(super) accepted: u32,
    pub(super) failed_attempts: u32,
    /// Totals over accepted attempts.
    pub(super) totals: Totals,
    pub(super) stragglers: Stragglers,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TaskState {
    pub(super) partitions: Range<u32>,
    pub(super) status: TaskStatus,
    /// One more than the epoch of the latest attempt.
    pub(super) next_attempt: u32,
    /// Attempts that failed and count against the limit.
    pub(super) failures: u32,
    /// Attempts that failed since an input was gone.
    pub(super) losses: u32,
    /// Messages in a row that nobody is known to have taken.
    pub(super) unanswered: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TaskStatus {
    /// No attempt is under way.
    Pending,
    /// An attempt is under way, or two are.
    InFlight(Try),
    /// Done.
    Accepted {
        execution: ExecutionId,
        output: Box<TaskOutput>,
    },
}

/// The attempts of a task that are under way: none of them was given up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Try {
    pub(super) attempt: Attempt,
    /// A speculative copy, whose epoch is higher.
    pub(super) copy: Option<Attempt>,
    /// Whether there is or was a copy: there is no second one before the task is tried again.
    pub(super) copied: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    /// Its epoch.
    pub(super) number: u32,
    /// The place of its dispatch in the log.
    pub(super) dispatched_seq: u64,
    /// When its message may be received, if it had to wait.
    pub(super) not_before: Option<Timestamp>,
    pub(super) speculative: bool,
    /// Who runs it, and since when, once that is known.
    pub(super) execution: Option<(ExecutionId, Timestamp)>,
}

impl Try {
    pub(super) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        std::iter::once(&self.attempt).chain(&self.copy)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Attempt> {
        self.attempts().find(|attempt| attempt.number == number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        let attempts = std::iter::once(&mut self.attempt).chain(&mut self.copy);
        attempts.into_iter().find(|attempt| attempt.number == number)
    }

    /// What is left when an attempt has failed, if anything is.
    pub(super) fn without(&self, number: u32) -> Option<Self> {
        let left = self.attempts().find(|attempt| attempt.number != number)?;
        Some(Self {
            attempt: left.clone(),
            copy: None,
            copied: self.copied,
        })
    }

    /// When the attempt began that may be copied.
    pub(super) fn copyable_since(&self) -> Option<Timestamp> {
        let (_, began) = self.attempt.execution.filter(|_| !self.copied)?;
        Some(began)
    }
}

/// What is added up over attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) rows_in: u64,
    pub(super) rows_out: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) spilled_bytes: u64,
}

impl Totals {
    pub(super) fn of(metrics: &TaskMetrics) -> Self {
        Self {
            rows_in: metrics.rows_in,
            rows_out: metrics.rows_out,
            bytes_in: metrics.bytes_in,
            bytes_out: metrics.bytes_out,
            spilled_bytes: metrics.spilled_bytes,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.combine(other, u64::saturating_add);
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.combine(other, u64::saturating_sub);
    }

    /// The larger of both, number by number.
    pub(super) fn raise_to(&mut self, other: Self) {
        self.combine(other, u64::max);
    }

    fn combine(&mut self, other: Self, op: impl Fn(u64, u64) -> u64) {
        self.rows_in = op(self.rows_in, other.rows_in);
        self.rows_out = op(self.rows_out, other.rows_out);
        self.bytes_in = op(self.bytes_in, other.bytes_in);
        self.bytes_out = op(self.bytes_out, other.bytes_out);
        self.spilled_bytes = op(self.spilled_bytes, other.spilled_bytes);
    }
}

/// How often the patience with a message that nobody takes is doubled.
const MAX_DOUBLINGS: u32 = 6;

/// How long a message may wait, in milliseconds, of whose task so many before it were not taken.
pub(super) fn patience(settings: &RunSettings, unanswered: u32) -> u64 {
    let doublings = unanswered.min(MAX_DOUBLINGS);
    settings.attempt_timeout_ms.saturating_mul(1 << doublings)
}

impl TaskState {
    pub(super) fn new(partitions: Range<u32>) -> Self {
        Self {
            partitions,
            status: TaskStatus::Pending,
            next_attempt: 0,
            failures: 0,
            losses: 0,
            unanswered: 0,
        }
    }

    /// The attempts under way.
    pub(super) fn under_way(&self) -> Option<&Try> {
        match &self.status {
            TaskStatus::InFlight(tries) => Some(tries),
            _ => None,
        }
    }

    /// The attempts under way, if `attempt` is one of them.
    pub(super) fn under_way_with(&self, attempt: u32) -> Option<&Try> {
        self.under_way().filter(|tries| tries.get(attempt).is_some())
    }

    pub(super) fn is_accepted(&self) -> bool {
        matches!(self.status, TaskStatus::Accepted { .. })
    }

    pub(super) fn output(&self) -> Option<&TaskOutput> {
        match &self.status {
            TaskStatus::Accepted { output, .. } => Some(output),
            _ => None,
        }
    }
}

impl StageState {
    pub(super) fn all_accepted(&self) -> bool {
        self.accepted as usize == self.tasks.len()
    }

    /// Gives a task another status; gives back the attempts that were under way.
    pub(super) fn set_status(&mut self, index: u32, status: TaskStatus) -> Option<Try> {
        let task = self.tasks.get_mut(index as usize)?;
        let before = match std::mem::replace(&mut task.status, status) {
            TaskStatus::InFlight(tries) => Some(tries),
            _ => None,
        };
        self.stragglers.changed(index, before.as_ref(), task.under_way());
        match task.status {
            TaskStatus::Pending => self.pending.insert(index),
            _ => self.pending.remove(&index),
        };
        before
    }
}

impl RunState {
    /// The state before the first event.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            last_seq: 0,
            submission: None,
            settings: RunSettings::default(),
            graph: None,
            readers: Vec::new(),
            stages: Vec::new(),
            incomplete: 0,
            phase: RunPhase::Planning,
            stop: None,
            outcome: None,
            reason: None,
            outputs: Vec::new(),
            created_at: Timestamp::default(),
            planned_at: None,
            owners_without_plan: 0,
            finished_at: None,
            paused_at: None,
            paused_ms: 0,
            pauses: 0,
            logs: VecDeque::new(),
            log_lines: 0,
            user_metrics: BTreeMap::new(),
            profiler: Profiler::default(),
            live: Liveness::default(),
        }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The place that the next event takes in the log.
    pub fn next_seq(&self) -> u64 {
        self.last_seq.saturating_add(1)
    }

    /// What to run; absent before the first event.
    pub fn submission(&self) -> Option<&Submission> {
        self.submission.as_deref()
    }

    /// The stages, once they are planned.
    pub fn graph(&self) -> Option<&StageGraph> {
        self.graph.as_deref()
    }

    /// Where the run is.
    pub fn phase(&self) -> RunPhase {
        match self.phase {
            RunPhase::Planning | RunPhase::Running if self.is_paused() && !self.live.is_any_running() => {
                RunPhase::Paused
            }
            phase => phase,
        }
    }

    /// Whether the run is over.
    pub fn is_finished(&self) -> bool {
        self.phase == RunPhase::Finished
    }

    /// How the run ended, once it has.
    pub fn outcome(&self) -> Option<RunOutcome> {
        self.outcome
    }

    /// Why it ended so, unless it succeeded.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// The outputs that were made visible.
    pub fn outputs(&self) -> &[OutputManifest] {
        &self.outputs
    }

    /// Tasks of the stages that have started.
    pub fn tasks(&self) -> u64 {
        self.stages.iter().map(|stage| stage.tasks.len() as u64).sum()
    }

    /// Where its time, its rows and its memory went so far. Costs as much as there are tasks.
    pub fn profile(&self) -> RunProfile {
        self.profiler.profile()
    }

    /// The attempt of a stage, from zero; absent while it waits for its inputs.
    pub fn stage_attempt(&self, stage: StageId) -> Option<u32> {
        self.stage(stage)
            .filter(|state| state.phase != StagePhase::Waiting)
            .map(|state| state.attempt)
    }

    /// The outputs of a stage's accepted tasks, in task order, without their log lines.
    pub fn accepted_outputs(&self, stage: StageId) -> impl Iterator<Item = (u32, &TaskOutput)> {
        let tasks = self.stage(stage).map_or(&[][..], |state| &state.tasks);
        (0..)
            .zip(tasks)
            .filter_map(|(index, task)| Some((index, task.output()?)))
    }

    /// Whether there may be messages that somebody takes yet: of attempts that nobody is known to have begun with, or that
    /// were given up for that, or that a pause took back.
    pub fn may_have_messages(&self) -> bool {
        let unheard = |task: &TaskState| {
            let under_way = task.under_way();
            task.unanswered > 0
                || under_way.is_some_and(|tries| tries.attempts().any(|attempt| attempt.execution.is_none()))
        };
        self.has_paused() || self.stages.iter().any(|stage| stage.tasks.iter().any(unheard))
    }

    /// Keeps what a report says besides the log: that the attempt lives, and its totals so far.
    ///
    /// A sign of life of an older attempt counts for the task, since it may yet be the one that is accepted.
    pub fn progress(&mut self, report: &TaskReport, now: Timestamp) {
        let known = report.run == self.run
            && self.phase == RunPhase::Running
            && self
                .stage(report.task.stage)
                .is_some_and(|stage| stage.attempt == report.stage_attempt);
        let Some(task) = self.task(report.task).filter(|_| known) else {
            return;
        };
        if task.under_way().is_none() || report.attempt >= task.next_attempt {
            return;
        }
        let metrics = match &report.body {
            crate::ReportBody::Progress { metrics } => Some(metrics),
            _ => None,
        };
        let deadline = now.plus_ms(self.settings.attempt_timeout_ms);
        self.live.running(report.task, now, deadline, metrics);
    }

    /// How many tasks have an attempt under way, sent or not.
    pub fn tasks_under_way(&self) -> usize {
        self.live.len()
    }

    /// Keeps what is not in the log either: that the message of an attempt is not sent yet, and so is not missed. Says
    /// whether nobody runs the task meanwhile; otherwise the attempt is a copy.
    pub fn message_kept_back(&mut self, task: TaskId) -> bool {
        self.live.keep_back(task)
    }

    /// A message that was kept back is sent now: from now on it can be missed.
    pub fn message_sent(&mut self, task: TaskId, now: Timestamp) {
        let Some(unanswered) = self.task(task).map(|task| task.unanswered) else {
            return;
        };
        if !self.live.is_running(task) {
            let deadline = now.plus_ms(patience(&self.settings, unanswered));
            self.live.queued(task, deadline);
        }
    }

    /// Whether an attempt is under way that nobody is known to have begun with.
    pub fn is_awaited(&self, task: TaskId, stage_attempt: u32, attempt: u32) -> bool {
        let stage = self.stage(task.stage).filter(|stage| stage.attempt == stage_attempt);
        stage.is_some()
            && self.phase == RunPhase::Running
            && self
                .task(task)
                .and_then(TaskState::under_way)
                .and_then(|tries| tries.get(attempt))
                .is_some_and(|attempt| attempt.execution.is_none())
    }

    /// The earliest time, from `now` on, at which [`Input::Tick`](super::Input::Tick) leads to something.
    pub fn next_wake(&self, now: Timestamp) -> Option<Timestamp> {
        let silent = match self.phase {
            RunPhase::Running => self.live.next(self.settings.attempt_timeout_ms),
            _ => None,
        };
        let next = silent.into_iter().chain(self.next_copy()).chain(self.deadline());
        Some(next.min()?.max(now))
    }

    pub(super) fn stage(&self, stage: StageId) -> Option<&StageState> {
        self.stages.get(stage.0 as usize)
    }

    pub(super) fn stage_mut(&mut self, stage: StageId) -> Option<&mut StageState> {
        self.stages.get_mut(stage.0 as usize)
    }

    pub(super) fn planned(&self, stage: StageId) -> Option<&Stage> {
        self.graph()?.stages.get(stage.0 as usize)
    }

    pub(super) fn task(&self, task: TaskId) -> Option<&TaskState> {
        self.stage(task.stage)?.tasks.get(task.index as usize)
    }

    /// The manifests that a task of `stage` reads, or nothing while one of them is not complete. `completed` counts as
    /// complete already.
    pub(super) fn inputs(&self, stage: &Stage, completed: Option<StageId>) -> Option<Vec<InputRef>> {
        let mut inputs: Vec<InputRef> = Vec::with_capacity(stage.inputs.len());
        for input in &stage.inputs {
            let state = self.stage(input.stage)?;
            if state.phase != StagePhase::Completed && completed != Some(input.stage) {
                return None;
            }
            if inputs.iter().all(|known| known.stage != input.stage) {
                inputs.push(InputRef {
                    stage: input.stage,
                    stage_attempt: state.attempt,
                });
            }
        }
        Some(inputs)
    }
}
