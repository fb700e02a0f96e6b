//! How many workers are wanted. Pure: the same observations give the same answers.

use std::collections::VecDeque;

use weir_model::Timestamp;

use crate::store::Backlog;

/// The workers that can take every task at once.
pub(super) fn needed(backlog: &Backlog, slots_per_worker: u32) -> u32 {
    let tasks = backlog.waiting.saturating_add(backlog.running);
    let workers = tasks.div_ceil(u64::from(slots_per_worker.max(1)));
    u32::try_from(workers).unwrap_or(u32::MAX)
}

/// Turns what is needed from moment to moment into what is wanted.
///
/// More is wanted at once. Less is wanted only once less was needed for the whole of the idle time: then as much as
/// was needed at most in that time. So a gap between two stages costs no workers, and a fleet goes down in steps that
/// follow the load.
#[derive(Clone, Debug)]
pub(super) struct Scaler {
    min: u32,
    max: u32,
    idle_ms: u64,
    /// When how much was needed, the latest last: only what no later and no larger need hides, so that the first one
    /// is the largest, and there are no more than `max`.
    needs: VecDeque<(Timestamp, u32)>,
}

impl Scaler {
    /// A scaler for a fleet that has `current` workers now: they are taken to be needed until now.
    pub(super) fn new(min: u32, max: u32, idle_ms: u64, current: u32, now: Timestamp) -> Self {
        let mut scaler = Self {
            min,
            max: max.max(min),
            idle_ms,
            needs: VecDeque::new(),
        };
        scaler.observe(current, now);
        scaler
    }

    /// What is wanted now that so many workers are needed.
    pub(super) fn observe(&mut self, needed: u32, now: Timestamp) -> u32 {
        let needed = needed.clamp(self.min, self.max);
        // A clock that was set back stands still until it is where it was.
        let now = self.needs.back().map_or(now, |(latest, _)| now.max(*latest));
        while self.needs.back().is_some_and(|(_, hidden)| *hidden <= needed) {
            self.needs.pop_back();
        }
        self.needs.push_back((now, needed));
        while self.needs.len() > 1 && self.needs[0].0.plus_ms(self.idle_ms) <= now {
            self.needs.pop_front();
        }
        self.needs[0].1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backlog(waiting: u64, running: u64) -> Backlog {
        Backlog {
            runs: 1,
            waiting,
            running,
        }
    }

    #[test]
    fn every_task_gets_a_slot() {
        for (waiting, running, slots, workers) in [
            (0, 0, 4, 0),
            (1, 0, 4, 1),
            (4, 0, 4, 1),
            (3, 2, 4, 2),
            (100, 1, 1, 101),
            (5, 0, 0, 5),
            (u64::MAX, 7, 1, u32::MAX),
        ] {
            assert_eq!(
                needed(&backlog(waiting, running), slots),
                workers,
                "{waiting}+{running} by {slots}"
            );
        }
    }

    #[test]
    fn out_at_once_and_in_after_the_idle_time() {
        let mut scaler = Scaler::new(0, 10, 100, 0, Timestamp(0));
        assert_eq!(scaler.observe(0, Timestamp(10)), 0);
        assert_eq!(scaler.observe(7, Timestamp(20)), 7, "at once");
        assert_eq!(scaler.observe(50, Timestamp(30)), 10, "no more than there may be");
        assert_eq!(scaler.observe(3, Timestamp(60)), 10);
        assert_eq!(scaler.observe(0, Timestamp(129)), 10, "a gap");
        assert_eq!(scaler.observe(0, Timestamp(130)), 3, "what was needed since");
        assert_eq!(scaler.observe(0, Timestamp(160)), 0, "to zero");
        assert_eq!(scaler.observe(1, Timestamp(161)), 1, "and from zero");
    }

    #[test]
    fn a_new_leader_does_not_forget_what_is_busy() {
        let mut scaler = Scaler::new(0, 10, 100, 6, Timestamp(1_000));
        assert_eq!(scaler.observe(0, Timestamp(1_099)), 6);
        assert_eq!(scaler.observe(0, Timestamp(1_100)), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_does_no_harm() {
        let mut scaler = Scaler::new(0, 10, 100, 0, Timestamp(10_000));
        assert_eq!(scaler.observe(5, Timestamp(10_000)), 5);
        assert_eq!(scaler.observe(0, Timestamp(1)), 5);
        assert_eq!(scaler.observe(0, Timestamp(10_099)), 5);
        assert_eq!(scaler.observe(0, Timestamp(10_100)), 0);
    }

    proptest! {
        /// Against the definition: the largest need of the idle time, within the bounds.
        #[test]
        fn wanted_is_the_most_that_was_needed_in_the_idle_time(
            min in 0_u32..5,
            extra in 0_u32..20,
            idle_ms in 1_u64..500,
            current in 0_u32..40,
            steps in prop::collection::vec((0_u64..200, 0_u32..60), 1..60),
        ) {
            let max = min + extra;
            let mut scaler = Scaler::new(min, max, idle_ms, current, Timestamp(0));
            let mut history = vec![(0, current)];
            let mut now = 0;
            let mut before = current.clamp(min, max);
            for (wait, needed) in steps {
                now += wait;
                history.push((now, needed));
                let wanted = scaler.observe(needed, Timestamp(now));
                let in_time = history.iter().filter(|(at, _)| at + idle_ms > now);
                let expected = in_time.map(|(_, needed)| needed.clamp(&min, &max)).max();
                prop_assert_eq!(Some(&wanted), expected);
                prop_assert!(wanted >= needed.clamp(min, max), "scaled out at once");
                prop_assert!((min..=max).contains(&wanted));
                if wanted < before {
                    let busy = history.iter().any(|(at, needed)| at + idle_ms > now && *needed >= before && before > min);
                    prop_assert!(!busy, "scaled in while it was needed");
                }
                prop_assert!(scaler.needs.len() <= max as usize + 1, "bounded");
                before = wanted;
            }
        }
    }
}
