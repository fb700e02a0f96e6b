//! The life of a run: from planning to the commit, or to a stop.

use crate::{
    Event, ExecutionId, OutputManifest, Reason, ReportBody, RunOutcome, RunPhase, StageGraph, StageId, StageOutput,
    StagePhase, TaskOutput, TaskReport, Timestamp,
};

use super::dispatch::invalid_graph;
use super::state::{RunState, Stop, TaskState, TaskStatus};
use super::{Decision, Effect, Input, reason};

/// Owners that a run may lose before its stages are known. One is lost when a queued run is begun elsewhere, and one
/// with every server that stops meanwhile; so many are lost when planning ends whoever does it.
pub const MAX_OWNERS_WITHOUT_PLAN: u32 = 6;

/// What follows from `input` in this state. Changes nothing.
///
/// Costs as much as what changes: a report of a task costs the same however many tasks there are;
/// [`Input::Tick`] costs as much as there are attempts that are overdue; [`Input::Takeover`] looks at every task.
pub fn decide(state: &RunState, input: &Input, now: Timestamp) -> Decision {
    let mut step = Step {
        state,
        now,
        holds: state.is_paused(),
        decision: Decision::default(),
    };
    match (state.phase, input) {
        (_, Input::Report(report)) => step.report(report),
        (RunPhase::Finished, _) => {}
        (_, Input::Submit(submission)) if state.submission.is_none() => {
            step.event(Event::Submitted {
                submission: submission.clone(),
            });
            step.effect(Effect::Plan);
        }
        // Nothing but `Submit` makes sense before the run exists.
        _ if state.submission.is_none() => {}
        (
            _,
            Input::Takeover {
                queue_lost,
                sent_through,
            },
        ) => step.takeover(*queue_lost, *sent_through),
        (RunPhase::Planning, Input::Planned(graph)) => step.planned(graph),
        (RunPhase::Planning, Input::PlanFailed(failure)) => step.finish_failed(reason::run_failure(failure)),
        (RunPhase::Planning | RunPhase::Running, Input::Cancel { by }) => {
            step.event(Event::CancelRequested { by: by.clone() });
            step.effect(Effect::Abort);
        }
        (RunPhase::Planning | RunPhase::Running, Input::Pause { by }) => step.pause(by),
        (RunPhase::Planning | RunPhase::Running, Input::Resume { by }) => step.resume(by),
        (RunPhase::Running, Input::ManifestWritten { stage, stage_attempt }) => {
            step.manifest_written(*stage, *stage_attempt);
        }
        (RunPhase::Planning | RunPhase::Running, Input::Tick) => step.tick(),
        (RunPhase::Running | RunPhase::Committing, Input::CommitFailed(failure)) => {
            step.stop(reason::run_failure(failure));
        }
        (RunPhase::Committing, Input::Committed(outputs)) => step.committed(outputs),
        (RunPhase::Stopping, Input::Aborted) => step.aborted(),
        _ => {}
    }
    step.decision
}

/// A decision in the making.
pub(super) struct Step<'a> {
    pub(super) state: &'a RunState,
    pub(super) now: Timestamp,
    /// Whether nothing new is begun.
    pub(super) holds: bool,
    pub(super) decision: Decision,
}

impl Step<'_> {
    pub(super) fn event(&mut self, event: Event) {
        self.decision.events.push(event);
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.decision.effects.push(effect);
    }

    /// The run cannot succeed any more.
    pub(super) fn stop(&mut self, reason: Reason) {
        self.event(Event::StopStarted { reason });
        self.effect(Effect::Abort);
    }

    fn planned(&mut self, graph: &StageGraph) {
        if let Some(problem) = invalid_graph(graph) {
            return self.finish_failed(reason::invalid_plan(&problem));
        }
        self.event(Event::Planned {
            graph: Box::new(graph.clone()),
        });
        for stage in graph.stages.iter().filter(|stage| stage.inputs.is_empty()) {
            self.start_stage(stage, Vec::new());
        }
        if graph.stages.is_empty() {
            self.finish_succeeded();
        }
    }

    fn report(&mut self, report: &TaskReport) {
        let state = self.state;
        if report.run != state.run {
            return;
        }
        match (&report.body, state.phase) {
            (ReportBody::Succeeded { output }, RunPhase::Running) => self.succeeded(report, output),
            (ReportBody::Succeeded { output }, RunPhase::Committing | RunPhase::Stopping | RunPhase::Finished) => {
                let accepted = state
                    .task(report.task)
                    .is_some_and(|task| is_accepted(task, report.execution));
                if !accepted {
                    self.effect(Effect::Discard(Box::new(output.clone())));
                }
            }
            // The first sign of life may be a later one: reports overtake each other.
            (ReportBody::Started | ReportBody::Progress { .. }, RunPhase::Running) => self.alive(report),
            (ReportBody::Failed { failure, metrics }, RunPhase::Running) => self.failed(report, failure, metrics),
            _ => {}
        }
    }

    fn alive(&mut self, report: &TaskReport) {
        let (Some(stage), Some(task)) = (self.state.stage(report.task.stage), self.state.task(report.task)) else {
            return;
        };
        let Some(attempt) = task.under_way().and_then(|tries| tries.get(report.attempt)) else {
            return;
        };
        if report.stage_attempt != stage.attempt {
            return;
        }
        let news = match (attempt.execution, &report.body) {
            (None, _) => true,
            // The message was delivered twice: show where it runs now.
            (Some((known, _)), ReportBody::Started) => known != report.execution,
            _ => false,
        };
        if news {
            self.event(Event::AttemptStarted {
                task: report.task,
                attempt: report.attempt,
                execution: report.execution,
                worker: report.worker,
            });
        }
    }

    /// Accepts an output, unless the task has one. Which attempt made it is of no account, as long as it was sent for
    /// this attempt of the stage: a slow attempt that was given up and comes back first saves the work of the next.
    fn succeeded(&mut self, report: &TaskReport, output: &TaskOutput) {
        let state = self.state;
        let (Some(plan), Some(stage), Some(task)) = (
            state.planned(report.task.stage),
            state.stage(report.task.stage),
            state.task(report.task),
        ) else {
            return;
        };
        if report.stage_attempt > stage.attempt
            || report.attempt >= task.next_attempt
            || is_accepted(task, report.execution)
        {
            return;
        }
        if report.stage_attempt < stage.attempt || task.is_accepted() || stage.phase != StagePhase::Running {
            return self.effect(Effect::Discard(Box::new(output.clone())));
        }
        self.event(Event::TaskAccepted {
            task: report.task,
            stage_attempt: report.stage_attempt,
            attempt: report.attempt,
            execution: report.execution,
            worker: report.worker,
            output: Box::new(output.clone()),
        });
        if stage.accepted as usize + 1 < stage.tasks.len() {
            return;
        }
        match plan.output {
            StageOutput::Shuffle { .. } | StageOutput::Result => {
                self.effect(Effect::WriteManifest {
                    stage: plan.id,
                    stage_attempt: stage.attempt,
                });
            }
            StageOutput::Sink(_) | StageOutput::Discard => self.complete_stage(plan.id, stage.attempt),
        }
    }

    fn manifest_written(&mut self, id: StageId, stage_attempt: u32) {
        let Some(stage) = self.state.stage(id) else { return };
        if stage.phase == StagePhase::Running && stage.attempt == stage_attempt && stage.all_accepted() {
            self.complete_stage(id, stage_attempt);
        }
    }

    fn complete_stage(&mut self, id: StageId, stage_attempt: u32) {
        self.event(Event::StageCompleted {
            stage: id,
            stage_attempt,
        });
        self.start_readers(id);
        if self.state.incomplete == 1 {
            self.all_complete();
        }
    }

    fn all_complete(&mut self) {
        let stages = self.state.graph().map_or(&[][..], |graph| &graph.stages);
        if stages.iter().any(|stage| matches!(stage.output, StageOutput::Sink(_))) {
            self.event(Event::CommitStarted);
            self.effect(Effect::Commit);
        } else {
            self.finish_succeeded();
        }
    }

    fn committed(&mut self, outputs: &[OutputManifest]) {
        self.event(Event::Committed {
            outputs: outputs.to_vec(),
        });
        self.finish_succeeded();
    }

    fn aborted(&mut self) {
        match &self.state.stop {
            Some(Stop::Cancelled { by }) => self.finish(RunOutcome::Cancelled, Some(reason::cancelled(by))),
            Some(Stop::Failed(reason)) => self.finish_failed(reason.clone()),
            None => {}
        }
    }

    fn finish_succeeded(&mut self) {
        self.finish(RunOutcome::Succeeded, None);
    }

    fn finish_failed(&mut self, reason: Reason) {
        self.finish(RunOutcome::Failed, Some(reason));
    }

    fn finish(&mut self, outcome: RunOutcome, reason: Option<Reason>) {
        self.event(Event::Finished { outcome, reason });
        self.effect(Effect::Cleanup);
    }

    fn takeover(&mut self, queue_lost: bool, sent_through: u64) {
        self.event(Event::OwnerChanged { queue_lost });
        match self.state.phase {
            RunPhase::Planning if self.state.owners_without_plan >= MAX_OWNERS_WITHOUT_PLAN => {
                return self.finish_failed(reason::planners_lost(MAX_OWNERS_WITHOUT_PLAN));
            }
            RunPhase::Planning => self.effect(Effect::Plan),
            RunPhase::Running => self.resume_stages(queue_lost, sent_through),
            RunPhase::Committing => self.effect(Effect::Commit),
            RunPhase::Stopping => self.effect(Effect::Abort),
            RunPhase::Paused | RunPhase::Finished => {}
        }
        if self.holds {
            // That of the pause; the last owner may not have come to it.
            self.effect(Effect::Withdraw {
                pauses: self.state.pauses.saturating_sub(1),
            });
        }
    }

    fn resume_stages(&mut self, queue_lost: bool, sent_through: u64) {
        let state = self.state;
        let planned = state.graph().map_or(&[][..], |graph| &graph.stages);
        for (plan, stage) in planned
            .iter()
            .zip(&state.stages)
            .filter(|(_, stage)| stage.phase == StagePhase::Running)
        {
            if stage.all_accepted() {
                self.effect(Effect::WriteManifest {
                    stage: plan.id,
                    stage_attempt: stage.attempt,
                });
            } else if queue_lost {
                let open = |task: &TaskState| !task.is_accepted();
                let tasks = (0..)
                    .zip(&stage.tasks)
                    .filter(|(_, task)| open(task))
                    .map(|(index, _)| index);
                self.dispatch_when_ready(plan, tasks, None);
            } else {
                self.send_unsent(plan, sent_through);
            }
        }
    }
}

/// Whether `execution` made the accepted output of the task: its report has come twice.
fn is_accepted(task: &TaskState, by: ExecutionId) -> bool {
    matches!(task.status, TaskStatus::Accepted { execution, .. } if execution == by)
}
