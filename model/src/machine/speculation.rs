//! Second attempts of tasks that take much longer than the others of their stage.
//!
//! A copy is a chance, never a judgement: the attempt that it copies stays under way, the first success of the two is
//! accepted, and the failure of one of them means nothing as long as the other is under way. What decides is in the log:
//! when an attempt began, and how long the accepted ones took.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::{RunPhase, Stage, StagePhase, TaskId, Timestamp};

use super::decide::Step;
use super::state::{RunState, StageState, Try};

/// One of so many tasks of a stage may have a copy under way; at least one task may.
const TASKS_PER_COPY: u32 = 10;

/// What a stage's attempts say about each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stragglers {
    /// Tasks whose attempt is known to run and may be copied, by when it began.
    running: BTreeSet<(Timestamp, u32)>,
    /// How long the accepted attempts took.
    took: Durations,
    /// Copies under way.
    copies: u32,
    /// Copies ever.
    pub(super) sent: u32,
    /// Copies that were accepted.
    pub(super) won: u32,
}

impl Stragglers {
    /// The attempts of a task have changed from `before` to `after`.
    pub(super) fn changed(&mut self, index: u32, before: Option<&Try>, after: Option<&Try>) {
        if let Some(began) = before.and_then(Try::copyable_since) {
            self.running.remove(&(began, index));
        }
        if let Some(began) = after.and_then(Try::copyable_since) {
            self.running.insert((began, index));
        }
        let copies = |tries: Option<&Try>| u32::from(tries.is_some_and(|tries| tries.copy.is_some()));
        self.copies = self.copies.saturating_add(copies(after)).saturating_sub(copies(before));
    }

    /// An attempt that was accepted took so long.
    pub(super) fn accepted_after(&mut self, ms: u64) {
        self.took.add(ms);
    }
}

impl RunState {
    /// When the next attempt is to be copied, if no more are accepted until then.
    pub(super) fn next_copy(&self) -> Option<Timestamp> {
        let planned = self.graph().map_or(&[][..], |graph| &graph.stages);
        let due = planned.iter().zip(&self.stages).filter_map(|(plan, stage)| {
            let (began, _) = stage.stragglers.running.first()?;
            Some(began.plus_ms(self.patience_ms(plan, stage)?))
        });
        due.min()
    }

    /// After how long an attempt of the stage is copied; nothing while none is to be.
    fn patience_ms(&self, plan: &Stage, stage: &StageState) -> Option<u64> {
        let settings = &self.settings.speculation;
        if !settings.enabled
            || self.is_paused()
            || self.phase != RunPhase::Running
            || stage.phase != StagePhase::Running
        {
            return None;
        }
        let tasks = stage.tasks.len() as u32;
        // Casts of floats saturate, so no setting is out of bounds.
        let enough = (f64::from(tasks) * settings.quantile).floor() as u32;
        if tasks < 2 || stage.accepted < enough.max(1) || stage.copies_left() == 0 {
            return None;
        }
        let median_ms = stage.stragglers.took.median()?;
        // While an input is made again there is nothing that a copy could read.
        self.inputs(plan, None)?;
        Some(((median_ms as f64 * settings.multiplier) as u64).max(settings.min_ms))
    }
}

impl StageState {
    fn copies_left(&self) -> u32 {
        let most = (self.tasks.len() as u32).div_ceil(TASKS_PER_COPY);
        most.saturating_sub(self.stragglers.copies)
    }
}

impl Step<'_> {
    /// Sends copies of attempts that take too long.
    pub(super) fn speculate(&mut self) {
        let (state, now) = (self.state, self.now);
        let planned = state.graph().map_or(&[][..], |graph| &graph.stages);
        for (plan, stage) in planned.iter().zip(&state.stages) {
            if stage.stragglers.running.is_empty() {
                continue;
            }
            let Some(patience_ms) = state.patience_ms(plan, stage) else {
                continue;
            };
            let late = stage
                .stragglers
                .running
                .iter()
                .take_while(|(began, _)| began.plus_ms(patience_ms) <= now)
                .map(|(_, index)| *index);
            // Those that are silent have failed just now, and are tried again.
            let alive = late.filter(|index| {
                let id = TaskId {
                    stage: plan.id,
                    index: *index,
                };
                !state.live.is_silent(id, now)
            });
            self.dispatch_copies(plan, alive.take(stage.copies_left() as usize));
        }
    }
}

/// The running median of durations.
#[derive(Clone, Debug, Default)]
struct Durations {
    /// The shorter half; no smaller than the other, and at most one larger.
    short: BinaryHeap<u64>,
    long: BinaryHeap<Reverse<u64>>,
}

impl Durations {
    fn add(&mut self, ms: u64) {
        if self.median().is_none_or(|median| ms <= median) {
            self.short.push(ms);
        } else {
            self.long.push(Reverse(ms));
        }
        if self.short.len() > self.long.len() + 1 {
            self.long.extend(self.short.pop().map(Reverse));
        } else if self.long.len() > self.short.len() {
            self.short.extend(self.long.pop().map(|Reverse(ms)| ms));
        }
    }

    /// The lower one of two.
    fn median(&self) -> Option<u64> {
        self.short.peek().copied()
    }
}

impl PartialEq for Durations {
    fn eq(&self, other: &Self) -> bool {
        // Both come from a log in the same order, so that even the heaps are laid out the same.
        self.short.as_slice() == other.short.as_slice() && self.long.as_slice() == other.long.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_that_of_all_durations_so_far() {
        let mut durations = Durations::default();
        assert_eq!(durations.median(), None);
        let mut all = Vec::new();
        let mut next = 7_u64;
        for _ in 0..500 {
            next = next
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let ms = (next >> 33) % 100;
            durations.add(ms);
            all.push(ms);
            all.sort_unstable();
            assert_eq!(durations.median(), Some(all[(all.len() - 1) / 2]), "of {all:?}");
        }
    }
}
