//! Folding events into the state.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;

use crate::{
    Event, EventRecord, FailureKind, LogLine, MetricValue, Reason, RunOutcome, RunPhase, StageGraph, StageId,
    StagePhase, Submission, TaskId, Timestamp,
};

use super::dispatch::invalid_graph;
use super::snapshot::{MAX_LOG_LINES, MAX_USER_METRICS};
use super::state::{Attempt, RunState, StageState, Stop, TaskState, TaskStatus, Totals, Try, patience};

/// Folds an event into the state.
///
/// Total: an event that was applied before (by its place in the log), belongs to another run, or makes no sense in
/// this state changes nothing.
pub fn apply(state: &mut RunState, record: &EventRecord) {
    if record.run != state.run || record.seq <= state.last_seq {
        return;
    }
    state.last_seq = record.seq;
    if state.is_finished() {
        return;
    }
    state.profiler.apply(record);
    let at = record.at;
    match &record.event {
        Event::Submitted { submission } => state.submitted(submission, at),
        Event::OwnerChanged { queue_lost } => state.owner_changed(*queue_lost, at),
        Event::Planned { graph } => state.planned_as(graph, at),
        Event::StageStarted { stage, tasks } => state.stage_started(*stage, tasks, at),
        Event::TaskDispatched { .. } => state.task_dispatched(&record.event, at),
        Event::AttemptStarted { .. } => state.attempt_started(&record.event, at),
        Event::TaskAccepted { .. } => state.task_accepted(&record.event, at),
        Event::AttemptFailed { .. } => state.attempt_failed(&record.event, at),
        Event::StageCompleted { stage, stage_attempt } => state.stage_completed(*stage, *stage_attempt, at),
        Event::StageReopened {
            stage,
            stage_attempt,
            tasks,
        } => state.stage_reopened(*stage, *stage_attempt, tasks),
        Event::CancelRequested { by } => state.stopping(Stop::Cancelled { by: by.clone() }),
        Event::Paused { .. } => state.paused(at),
        Event::Resumed { .. } => state.resumed(at),
        Event::StopStarted { reason } => state.stopping(Stop::Failed(reason.clone())),
        Event::CommitStarted => state.commit_started(),
        // For the profile.
        Event::StorageUsed { .. } => {}
        Event::Committed { outputs } => {
            if state.phase == RunPhase::Committing {
                state.outputs.clone_from(outputs);
            }
        }
        Event::Finished { outcome, reason } => state.finished(*outcome, reason.clone(), at),
    }
}

impl RunState {
    fn submitted(&mut self, submission: &Submission, at: Timestamp) {
        if self.submission.is_none() {
            self.settings = submission.settings.clone();
            self.submission = Some(Box::new(submission.clone()));
            self.created_at = at;
        }
    }

    fn owner_changed(&mut self, queue_lost: bool, at: Timestamp) {
        self.live.restart(at, at.plus_ms(self.settings.attempt_timeout_ms));
        if self.phase == RunPhase::Planning {
            self.owners_without_plan = self.owners_without_plan.saturating_add(1);
        }
        if !queue_lost || self.phase != RunPhase::Running {
            return;
        }
        for stage in &mut self.stages {
            stage.recall_in_flight();
        }
        self.live.clear();
    }

    fn planned_as(&mut self, graph: &StageGraph, at: Timestamp) {
        if self.submission.is_none() || self.phase != RunPhase::Planning || invalid_graph(graph).is_some() {
            return;
        }
        self.readers = vec![Vec::new(); graph.stages.len()];
        for stage in &graph.stages {
            for input in &stage.inputs {
                let readers = &mut self.readers[input.stage.0 as usize];
                if readers.last() != Some(&stage.id) {
                    readers.push(stage.id);
                }
            }
        }
        self.stages = graph.stages.iter().map(|_| StageState::default()).collect();
        self.incomplete = graph.stages.len();
        self.graph = Some(Box::new(graph.clone()));
        self.planned_at = Some(at);
        self.phase = RunPhase::Running;
    }

    fn stage_started(&mut self, stage: StageId, tasks: &[Range<u32>], at: Timestamp) {
        let Some(stage) = self.stage_mut(stage).filter(|stage| stage.phase == StagePhase::Waiting) else {
            return;
        };
        stage.phase = StagePhase::Running;
        stage.tasks = tasks.iter().cloned().map(TaskState::new).collect();
        stage.pending = (0..tasks.len() as u32).collect();
        stage.started_at = Some(at);
    }

    fn task_dispatched(&mut self, event: &Event, at: Timestamp) {
        let Event::TaskDispatched {
            task: id,
            stage_attempt,
            attempt,
            not_before,
            speculative,
        } = event
        else {
            return;
        };
        let seq = self.last_seq;
        let Some(stage) = self.running_stage(id.stage, *stage_attempt) else {
            return;
        };
        let Some(task) = stage.tasks.get_mut(id.index as usize) else {
            return;
        };
        if task.is_accepted() || *attempt < task.next_attempt {
            return;
        }
        let new = Attempt {
            number: *attempt,
            dispatched_seq: seq,
            not_before: *not_before,
            speculative: *speculative,
            execution: None,
        };
        let before = task.under_way().cloned();
        if *speculative {
            let Some(before) = before.filter(|tries| !tries.copied) else {
                return;
            };
            task.next_attempt = attempt.saturating_add(1);
            stage.stragglers.sent = stage.stragglers.sent.saturating_add(1);
            let tries = Try {
                copy: Some(new),
                copied: true,
                ..before
            };
            stage.set_status(id.index, TaskStatus::InFlight(tries));
            return;
        }
        task.unanswered = match before {
            Some(_) => task.unanswered.saturating_add(1),
            None => 0,
        };
        task.next_attempt = attempt.saturating_add(1);
        let unanswered = task.unanswered;
        let tries = Try {
            attempt: new,
            copy: None,
            copied: false,
        };
        stage.set_status(id.index, TaskStatus::InFlight(tries));
        let from = not_before.map_or(at, |time| time.max(at));
        let patience = patience(&self.settings, unanswered);
        self.live.queued(*id, from.plus_ms(patience));
    }

    fn attempt_started(&mut self, event: &Event, at: Timestamp) {
        let Event::AttemptStarted {
            task: id,
            attempt,
            execution,
            ..
        } = event
        else {
            return;
        };
        let Some(stage) = self.stage_mut(id.stage) else { return };
        let Some(task) = stage.tasks.get_mut(id.index as usize) else {
            return;
        };
        let Some(mut tries) = task.under_way_with(*attempt).cloned() else {
            return;
        };
        task.unanswered = 0;
        if let Some(attempt) = tries.get_mut(*attempt) {
            attempt.execution = Some((*execution, at));
        }
        stage.set_status(id.index, TaskStatus::InFlight(tries));
        let deadline = at.plus_ms(self.settings.attempt_timeout_ms);
        self.live.running(*id, at, deadline, None);
    }

    fn task_accepted(&mut self, event: &Event, at: Timestamp) {
        let Event::TaskAccepted {
            task: id,
            stage_attempt,
            attempt,
            execution,
            output,
            ..
        } = event
        else {
            return;
        };
        let Some(stage) = self.running_stage(id.stage, *stage_attempt) else {
            return;
        };
        let task = stage.tasks.get(id.index as usize);
        if task.is_none_or(|task| task.is_accepted() || *attempt >= task.next_attempt) {
            return;
        }
        let mut output = output.clone();
        let logs = std::mem::take(&mut output.metrics.logs);
        let dropped = output.metrics.dropped_log_lines;
        let user = std::mem::take(&mut output.metrics.user);
        stage.totals.add(Totals::of(&output.metrics));
        stage.accepted += 1;
        let measured_us = output.metrics.elapsed_us;
        let accepted = TaskStatus::Accepted {
            execution: *execution,
            output,
        };
        let tries = stage.set_status(id.index, accepted);
        let winner = tries.as_ref().and_then(|tries| tries.get(*attempt));
        if winner.is_some_and(|attempt| attempt.speculative) {
            stage.stragglers.won = stage.stragglers.won.saturating_add(1);
        }
        // By the clock of the worker where it says so: reports may be late.
        let watched_ms = winner.and_then(|attempt| Some(at.ms_since(attempt.execution?.1)));
        let measured_ms = Some(measured_us.div_ceil(1_000)).filter(|ms| *ms > 0);
        if let Some(ms) = measured_ms.or(watched_ms) {
            stage.stragglers.accepted_after(ms);
        }
        self.live.forget(*id);
        self.live.heard(at);
        self.log(logs, dropped);
        self.count(user);
    }

    fn attempt_failed(&mut self, event: &Event, at: Timestamp) {
        let Event::AttemptFailed {
            task: id,
            attempt,
            execution,
            failure,
            metrics,
        } = event
        else {
            return;
        };
        let Some(stage) = self.stage_mut(id.stage) else { return };
        stage.failed_attempts = stage.failed_attempts.saturating_add(1);
        let task = stage.tasks.get_mut(id.index as usize);
        if let Some((task, tries)) = task.and_then(|task| {
            let tries = task.under_way_with(*attempt).cloned()?;
            Some((task, tries))
        }) {
            if let Some(left) = tries.without(*attempt) {
                self.goes_on_with(*id, left, at);
            } else {
                let count = if failure.kind == FailureKind::ShuffleLost {
                    &mut task.losses
                } else {
                    &mut task.failures
                };
                *count = count.saturating_add(1);
                stage.set_status(id.index, TaskStatus::Pending);
                self.live.forget(*id);
            }
        }
        if execution.is_some() {
            self.live.heard(at);
        }
        self.log(metrics.logs.iter().cloned(), metrics.dropped_log_lines);
    }

    /// One of two attempts has failed, which means nothing for the task: the other one is under way.
    fn goes_on_with(&mut self, id: TaskId, left: Try, at: Timestamp) {
        let deadline = at.plus_ms(self.settings.attempt_timeout_ms);
        if left.attempt.execution.is_none() {
            self.live.queued(id, deadline);
            let readable = self.planned(id.stage).and_then(|plan| self.inputs(plan, None));
            if readable.is_none() {
                self.live.hold(id.stage);
            }
        } else {
            self.live.running(id, at, deadline, None);
        }
        if let Some(stage) = self.stage_mut(id.stage) {
            stage.set_status(id.index, TaskStatus::InFlight(left));
        }
    }

    fn stage_completed(&mut self, id: StageId, stage_attempt: u32, at: Timestamp) {
        let Some(stage) = self.stage_mut(id) else { return };
        if stage.phase != StagePhase::Running || stage.attempt != stage_attempt || !stage.all_accepted() {
            return;
        }
        stage.phase = StagePhase::Completed;
        stage.finished_at = Some(at);
        self.incomplete -= 1;
        let deadline = at.plus_ms(self.settings.attempt_timeout_ms);
        for reader in self.readers[id.0 as usize].clone() {
            if self
                .planned(reader)
                .is_some_and(|plan| self.inputs(plan, None).is_some())
            {
                self.live.release(reader, deadline);
            }
        }
    }

    fn stage_reopened(&mut self, id: StageId, stage_attempt: u32, tasks: &[u32]) {
        let Some(stage) = self.stages.get_mut(id.0 as usize) else {
            return;
        };
        if stage.phase == StagePhase::Waiting || stage_attempt < stage.attempt {
            return;
        }
        if stage.phase == StagePhase::Completed {
            self.incomplete += 1;
        }
        stage.phase = StagePhase::Running;
        stage.finished_at = None;
        stage.attempt = stage_attempt;
        for index in tasks {
            stage.reopen_task(*index);
        }
        for reader in &self.readers[id.0 as usize] {
            self.live.hold(*reader);
        }
    }

    fn stopping(&mut self, stop: Stop) {
        // A commit that has begun can fail, but nobody can call it off.
        let from = match stop {
            Stop::Failed(_) => &[RunPhase::Planning, RunPhase::Running, RunPhase::Committing][..],
            Stop::Cancelled { .. } => &[RunPhase::Planning, RunPhase::Running],
        };
        if from.contains(&self.phase) {
            self.phase = RunPhase::Stopping;
            self.stop = Some(stop);
            self.live.clear();
        }
    }

    fn commit_started(&mut self) {
        if self.phase == RunPhase::Running && self.incomplete == 0 {
            self.phase = RunPhase::Committing;
            self.live.clear();
        }
    }

    fn finished(&mut self, outcome: RunOutcome, reason: Option<Reason>, at: Timestamp) {
        self.phase = RunPhase::Finished;
        self.outcome = Some(outcome);
        self.reason = reason;
        self.finished_at = Some(at);
        self.live.clear();
    }

    fn count(&mut self, metrics: BTreeMap<String, MetricValue>) {
        for (name, value) in metrics {
            let known = self.user_metrics.len();
            match self.user_metrics.entry(name) {
                Entry::Occupied(mut entry) => entry.get_mut().merge(&value),
                Entry::Vacant(entry) if known < MAX_USER_METRICS => {
                    entry.insert(value);
                }
                Entry::Vacant(_) => {}
            }
        }
    }

    fn log(&mut self, lines: impl IntoIterator<Item = LogLine>, dropped: u64) {
        let held = self.logs.len();
        self.logs.extend(lines);
        let added = (self.logs.len() - held) as u64;
        self.log_lines = self.log_lines.saturating_add(added).saturating_add(dropped);
        let excess = self.logs.len().saturating_sub(MAX_LOG_LINES);
        self.logs.drain(..excess);
    }

    /// A stage, if that attempt of it is running.
    fn running_stage(&mut self, id: StageId, stage_attempt: u32) -> Option<&mut StageState> {
        self.stage_mut(id)
            .filter(|stage| stage.phase == StagePhase::Running && stage.attempt == stage_attempt)
    }
}

impl StageState {
    /// Takes back every attempt that is under way.
    fn recall_in_flight(&mut self) {
        for index in 0..self.tasks.len() {
            if self.tasks[index].under_way().is_some() {
                self.set_status(index as u32, TaskStatus::Pending);
            }
        }
    }

    fn reopen_task(&mut self, index: u32) {
        let Some(task) = self.tasks.get_mut(index as usize) else {
            return;
        };
        let Some(output) = task.output() else { return };
        let totals = Totals::of(&output.metrics);
        *task = TaskState {
            next_attempt: task.next_attempt,
            ..TaskState::new(task.partitions.clone())
        };
        self.totals.subtract(totals);
        self.accepted -= 1;
        self.pending.insert(index);
    }
}
