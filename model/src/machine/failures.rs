//! What happens when attempts fail, go silent, or find their input gone.

use std::collections::HashSet;

use crate::{
    Digest, Event, Failure, FailureKind, LostShuffle, RunId, RunPhase, Stage, StagePhase, TaskId, TaskMetrics,
    TaskReport,
};

use super::decide::Step;
use super::reason;
use super::state::{StageState, Try};

impl Step<'_> {
    /// A report of a failure. The failures of attempts that were given up lead to nothing, so that no task is tried
    /// again twice; but the user's fault is the user's fault, whichever attempt finds it.
    pub(super) fn failed(&mut self, report: &TaskReport, failure: &Failure, metrics: &TaskMetrics) {
        let state = self.state;
        let id = report.task;
        let (Some(plan), Some(stage), Some(task)) = (state.planned(id.stage), state.stage(id.stage), state.task(id))
        else {
            return;
        };
        let tries = task.under_way_with(report.attempt);
        let user = failure.kind == FailureKind::User;
        let live = stage.attempt == report.stage_attempt && report.attempt < task.next_attempt && !task.is_accepted();
        if !live || (tries.is_none() && !user) {
            return;
        }
        let goes_on = tries.is_some_and(|tries| tries.without(report.attempt).is_some());
        let mut failure = failure.clone();
        let lost = self.lost_input(plan, &failure).cloned();
        if failure.kind == FailureKind::ShuffleLost && lost.is_none() {
            // It names nothing that the task reads: all that is left is to try again.
            failure.kind = FailureKind::Platform;
        }
        self.event(Event::AttemptFailed {
            task: id,
            attempt: report.attempt,
            execution: Some(report.execution),
            failure: failure.clone(),
            metrics: Box::new(metrics.clone()),
        });
        match (failure.kind, lost) {
            (FailureKind::User, _) => self.stop(reason::user_failure(id, plan, &failure)),
            // The other attempt under way may need nothing of what this one did.
            _ if goes_on => {}
            (FailureKind::ShuffleLost, Some(lost)) => {
                self.shuffle_lost(id, plan, task.losses.saturating_add(1), &lost, &failure);
            }
            _ => {
                self.retry(id, plan, task.failures.saturating_add(1), &failure);
            }
        }
    }

    /// Stops a run that takes too long, gives up attempts that are silent for too long, and copies those that are slow.
    ///
    /// An attempt that somebody ran and that went silent has failed. A message that nobody is known to have taken may
    /// wait in a long queue or be lost: it is sent again, less and less often, and the task has not failed.
    pub(super) fn tick(&mut self) {
        let state = self.state;
        if let (Some(deadline), Some(timeout_s)) = (state.deadline(), state.settings.timeout_s)
            && deadline <= self.now
        {
            return self.stop(reason::timed_out(timeout_s));
        }
        if state.phase != RunPhase::Running {
            return;
        }
        let timeout_ms = state.settings.attempt_timeout_ms;
        for id in state.live.expired_running(self.now) {
            let (Some(plan), Some(task)) = (state.planned(id.stage), state.task(id)) else {
                continue;
            };
            let failure = reason::attempt_lost(timeout_ms);
            for attempt in task.under_way().into_iter().flat_map(Try::attempts) {
                self.event(Event::AttemptFailed {
                    task: id,
                    attempt: attempt.number,
                    execution: None,
                    failure: failure.clone(),
                    metrics: Box::default(),
                });
            }
            if !self.retry(id, plan, task.failures.saturating_add(1), &failure) {
                return;
            }
        }
        for id in state.live.expired_queued(self.now, timeout_ms) {
            let Some(plan) = state.planned(id.stage) else { continue };
            self.dispatch_when_ready(plan, std::iter::once(id.index), None);
        }
        self.speculate();
    }

    /// Tries a task again after `failures`, or stops the run. Says whether the run goes on.
    fn retry(&mut self, id: TaskId, plan: &Stage, failures: u32, failure: &Failure) -> bool {
        let retry = &self.state.settings.retry;
        if failures >= retry.max_attempts.max(1) {
            self.stop(reason::attempts_exhausted(id, plan, failures, failure));
            return false;
        }
        let wait_ms = backoff_ms(retry.backoff_ms, retry.max_backoff_ms, failures, self.state.run, id);
        let not_before = Some(self.now.plus_ms(wait_ms)).filter(|_| wait_ms > 0);
        self.dispatch_when_ready(plan, std::iter::once(id.index), not_before);
        true
    }

    /// What the failure says is gone, if it is something that the stage reads.
    fn lost_input<'f>(&self, plan: &Stage, failure: &'f Failure) -> Option<&'f LostShuffle> {
        let lost = failure
            .lost
            .as_ref()
            .filter(|_| failure.kind == FailureKind::ShuffleLost)?;
        let maker = self.state.stage(lost.stage)?;
        let reads = plan.inputs.iter().any(|input| input.stage == lost.stage);
        (reads && maker.phase != StagePhase::Waiting && lost.stage_attempt <= maker.attempt).then_some(lost)
    }

    /// Has the makers of lost objects run again; the task waits for them.
    fn shuffle_lost(&mut self, id: TaskId, plan: &Stage, losses: u32, lost: &LostShuffle, failure: &Failure) {
        let state = self.state;
        let (Some(maker), Some(maker_plan)) = (state.stage(lost.stage), state.planned(lost.stage)) else {
            return;
        };
        let limit = state.settings.retry.max_stage_attempts;
        // A task loses each attempt of each input at most once, or it does not tell the truth.
        if losses > limit.saturating_add(1).saturating_mul(plan.inputs.len() as u32) {
            return self.stop(reason::shuffle_lost(lost.stage, maker.attempt, failure));
        }
        let tasks = makers(maker, lost);
        if tasks.is_empty() {
            // All of it is being made again, or was: only the way to the new manifest is left.
            return self.dispatch_when_ready(plan, std::iter::once(id.index), None);
        }
        // Tasks join an attempt of the stage that is under way. Not once all of its tasks are accepted: its manifest
        // is being written then, and two manifests under one name must not differ.
        let joins = maker.phase == StagePhase::Running && !maker.all_accepted();
        let stage_attempt = if joins {
            maker.attempt
        } else {
            maker.attempt.saturating_add(1)
        };
        if stage_attempt > limit {
            return self.stop(reason::shuffle_lost(lost.stage, maker.attempt, failure));
        }
        self.event(Event::StageReopened {
            stage: lost.stage,
            stage_attempt,
            tasks: tasks.clone(),
        });
        self.dispatch_as(maker_plan, stage_attempt, tasks.into_iter(), None);
    }
}

/// The tasks of a stage that made what is lost: those whose accepted objects are named; or all, when the current
/// manifest names others (the manifest itself is gone, or wrong).
fn makers(maker: &StageState, lost: &LostShuffle) -> Vec<u32> {
    let gone: HashSet<&str> = lost.objects.iter().map(String::as_str).collect();
    let key = |index: usize| Some(maker.tasks[index].output()?.shuffle.as_ref()?.key.as_str());
    let named: Vec<u32> = (0..maker.tasks.len())
        .filter(|index| key(*index).is_some_and(|key| gone.contains(key)))
        .map(|index| index as u32)
        .collect();
    if named.is_empty() && maker.phase == StagePhase::Completed && lost.stage_attempt == maker.attempt {
        return (0..maker.tasks.len() as u32).collect();
    }
    named
}

/// The wait before the next attempt: doubling, bounded, and between half of that and all of it, so that tasks that
/// failed together do not come back together. The same for every control plane that replays the log.
fn backoff_ms(first_ms: u64, longest_ms: u64, failures: u32, run: RunId, task: TaskId) -> u64 {
    let doublings = failures.saturating_sub(1).min(63);
    let full = u128::from(first_ms) << doublings;
    let full = full.min(u128::from(longest_ms)) as u64;
    let digest = Digest::of(format!("{run}/{task}/{failures}").as_bytes());
    let spread = u64::from(u16::from_le_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]));
    let half = full / 2;
    half + (u128::from(full - half) * u128::from(spread) / u128::from(u16::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StageId, Timestamp};

    #[test]
    fn backoff_doubles_up_to_the_limit_and_is_spread() {
        let run = RunId::from_parts(Timestamp(7), 7);
        let mut waits = HashSet::new();
        for index in 0..100 {
            let task = TaskId {
                stage: StageId(0),
                index,
            };
            for (failures, full) in [(1, 200), (2, 400), (3, 800), (7, 10_000), (u32::MAX, 10_000)] {
                let wait = backoff_ms(200, 10_000, failures, run, task);
                assert!((full / 2..=full).contains(&wait), "{wait} ms after {failures} failures");
                assert_eq!(
                    wait,
                    backoff_ms(200, 10_000, failures, run, task),
                    "the same for who decides again"
                );
            }
            waits.insert(backoff_ms(200, 10_000, 7, run, task));
        }
        assert!(
            waits.len() > 90,
            "tasks come back together: {} waits of 100 differ",
            waits.len()
        );
        assert_eq!(
            backoff_ms(
                u64::MAX,
                u64::MAX,
                64,
                run,
                TaskId {
                    stage: StageId(0),
                    index: 0
                }
            )
            .leading_zeros(),
            0
        );
    }
}
