//! Holding a run up: nothing new of it is begun until it goes on.
//!
//! Attempts that somebody is known to run come to their end. Messages that nobody has taken are withdrawn: each carries
//! the number of pauses before it was decided, and workers do not begin with those of before a pause. Their tasks get
//! new attempts when the run goes on, so that nothing depends on which of the old messages were taken all the same.

use crate::{Event, RunPhase, StagePhase, TaskId, Timestamp};

use super::Effect;
use super::decide::Step;
use super::state::{RunState, StageState, TaskStatus, Try};

impl RunState {
    /// Whether nothing new of the run is begun.
    pub fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Whether it was paused at any time.
    pub fn has_paused(&self) -> bool {
        self.pauses > 0
    }

    /// When the run has taken too long, unless it is over before or is paused.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let limited = matches!(self.phase, RunPhase::Planning | RunPhase::Running) && !self.is_paused();
        let timeout_ms = self.settings.timeout_s?.saturating_mul(1_000);
        limited.then(|| self.created_at.plus_ms(timeout_ms).plus_ms(self.paused_ms))
    }

    pub(super) fn paused(&mut self, at: Timestamp) {
        let can = matches!(self.phase, RunPhase::Planning | RunPhase::Running);
        if !can || self.is_paused() {
            return;
        }
        self.paused_at = Some(at);
        self.pauses = self.pauses.saturating_add(1);
        for (stage, state) in (0..).zip(&mut self.stages) {
            for index in state.withdraw() {
                let stage = crate::StageId(stage);
                self.live.forget(TaskId { stage, index });
            }
        }
    }

    pub(super) fn resumed(&mut self, at: Timestamp) {
        let Some(since) = self.paused_at.take() else { return };
        self.paused_ms = self.paused_ms.saturating_add(at.ms_since(since));
        self.live.heard(at);
    }
}

impl StageState {
    /// Takes back the attempts that nobody is known to run; gives the tasks that have none left.
    fn withdraw(&mut self) -> Vec<u32> {
        let mut without = Vec::new();
        for index in 0..self.tasks.len() {
            let Some(tries) = self.tasks[index].under_way() else {
                continue;
            };
            let queued = tries.attempts().filter(|attempt| attempt.execution.is_none());
            let queued: Vec<u32> = queued.map(|attempt| attempt.number).collect();
            if queued.is_empty() {
                continue;
            }
            let left = queued
                .iter()
                .try_fold(tries.clone(), |left, number| Try::without(&left, *number));
            let index = index as u32;
            let status = match left {
                Some(left) => TaskStatus::InFlight(left),
                None => {
                    without.push(index);
                    TaskStatus::Pending
                }
            };
            self.set_status(index, status);
        }
        without
    }
}

impl Step<'_> {
    /// Somebody wants the run to be held up.
    pub(super) fn pause(&mut self, by: &str) {
        if self.state.is_paused() {
            return;
        }
        self.event(Event::Paused { by: by.to_owned() });
        self.effect(Effect::Withdraw {
            pauses: self.state.pauses,
        });
    }

    /// Somebody wants the run to go on: what was held back is begun.
    pub(super) fn resume(&mut self, by: &str) {
        let state = self.state;
        if !state.is_paused() {
            return;
        }
        self.event(Event::Resumed { by: by.to_owned() });
        self.holds = false;
        let planned = state.graph().map_or(&[][..], |graph| &graph.stages);
        for (plan, stage) in planned.iter().zip(&state.stages) {
            let Some(inputs) = state.inputs(plan, None) else {
                continue;
            };
            match stage.phase {
                StagePhase::Waiting => self.start_stage(plan, inputs),
                StagePhase::Running => self.dispatch_when_ready(plan, stage.pending.iter().copied(), None),
                StagePhase::Completed => {}
            }
        }
    }
}
