//! What people are shown of a run's state.

use crate::{RunSnapshot, Stage, StagePhase, StageSnapshot};

use super::state::{RunState, StageState, TaskState};

/// Log lines that a state keeps; older ones are dropped.
pub(super) const MAX_LOG_LINES: usize = 1_000;

/// Metrics of user functions that a state keeps; further names are dropped.
pub(super) const MAX_USER_METRICS: usize = 1_000;

impl RunState {
    /// The run as people see it. Costs as much as there are stages and attempts under way, not tasks.
    pub fn snapshot(&self) -> RunSnapshot {
        let planned = self.graph().map_or(&[][..], |graph| &graph.stages);
        let mut stages: Vec<_> = planned
            .iter()
            .zip(&self.stages)
            .map(|(plan, state)| stage(plan, state))
            .collect();
        for (task, totals) in self.live.totals() {
            let Some(stage) = stages.get_mut(task.stage.0 as usize) else {
                continue;
            };
            stage.running += u32::from(self.live.is_running(task));
            let copied = self.task(task).and_then(TaskState::under_way);
            stage.speculative_running += u32::from(copied.is_some_and(|tries| tries.copy.is_some()));
            stage.rows_in = stage.rows_in.saturating_add(totals.rows_in);
            stage.rows_out = stage.rows_out.saturating_add(totals.rows_out);
            stage.bytes_in = stage.bytes_in.saturating_add(totals.bytes_in);
            stage.bytes_out = stage.bytes_out.saturating_add(totals.bytes_out);
            stage.spilled_bytes = stage.spilled_bytes.saturating_add(totals.spilled_bytes);
        }
        RunSnapshot {
            run: self.run,
            namespace: self
                .submission()
                .map(|submission| submission.namespace.clone())
                .unwrap_or_default(),
            name: self
                .submission()
                .map(|submission| submission.name.clone())
                .unwrap_or_default(),
            phase: self.phase(),
            outcome: self.outcome,
            reason: self.reason.clone(),
            created_at: self.created_at,
            planned_at: self.planned_at,
            finished_at: self.finished_at,
            paused_at: self.paused_at,
            restart_at: self.restart_at(),
            expires_at: self.expires_at(),
            stages,
            outputs: self.outputs.clone(),
            logs: self.logs.iter().cloned().collect(),
            log_lines: self.log_lines,
            metrics: self.user_metrics.clone(),
            phases: self.profiler.phases(),
            usage: self.profiler.usage(),
            allowance: self.profiler.allowance(),
        }
    }
}

fn stage(plan: &Stage, state: &StageState) -> StageSnapshot {
    StageSnapshot {
        id: plan.id,
        name: plan.name.clone(),
        phase: state.phase,
        tasks: if state.phase == StagePhase::Waiting {
            0
        } else {
            state.tasks.len() as u32
        },
        running: 0,
        done: state.accepted,
        failed_attempts: state.failed_attempts,
        speculative_attempts: state.stragglers.sent,
        speculative_running: 0,
        speculative_wins: state.stragglers.won,
        rows_in: state.totals.rows_in,
        rows_out: state.totals.rows_out,
        bytes_in: state.totals.bytes_in,
        bytes_out: state.totals.bytes_out,
        spilled_bytes: state.totals.spilled_bytes,
        started_at: state.started_at,
        finished_at: state.finished_at,
    }
}
