//! When the attempts under way were last heard of. Not in the log: rebuilt by replay as well as the log can tell, and
//! refreshed by progress reports.

use std::collections::{BTreeSet, HashMap};

use crate::{StageId, TaskId, TaskMetrics, Timestamp};

use super::state::Totals;

const NEVER: Timestamp = Timestamp(u64::MAX);

/// Deadlines and latest totals of the tasks with an attempt under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Liveness {
    watches: HashMap<TaskId, Watch>,
    /// Tasks whose message nobody has taken yet, as far as is known, by deadline.
    queued: BTreeSet<(Timestamp, TaskId)>,
    /// Tasks that somebody runs, by deadline.
    running: BTreeSet<(Timestamp, TaskId)>,
    /// When any attempt of the run was last heard of.
    heard: Timestamp,
}

#[derive(Clone, Debug)]
struct Watch {
    deadline: Timestamp,
    running: bool,
    totals: Totals,
}

/// Two states of a run are the same whatever each has heard besides the log.
impl PartialEq for Liveness {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Liveness {
    /// A message was sent. It is missed after `deadline`, but see [`expired_queued`](Self::expired_queued).
    pub(super) fn queued(&mut self, task: TaskId, deadline: Timestamp) {
        self.watch(
            task,
            Watch {
                deadline,
                running: false,
                totals: Totals::default(),
            },
        );
    }

    /// A message is kept back by whoever is to send it: it is not missed. Says whether nobody runs its task meanwhile.
    pub(super) fn keep_back(&mut self, task: TaskId) -> bool {
        let waits = !self.is_running(task);
        if waits {
            self.queued(task, NEVER);
        }
        waits
    }

    /// How many tasks have an attempt under way.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    /// An attempt was heard of.
    pub(super) fn running(&mut self, task: TaskId, now: Timestamp, deadline: Timestamp, metrics: Option<&TaskMetrics>) {
        self.heard(now);
        let mut totals = self
            .watches
            .get(&task)
            .map_or_else(Totals::default, |watch| watch.totals);
        if let Some(metrics) = metrics {
            // Of two attempts of a task, the one that has come further counts.
            totals.raise_to(Totals::of(metrics));
        }
        self.watch(
            task,
            Watch {
                deadline,
                running: true,
                totals,
            },
        );
    }

    /// The run was heard of.
    pub(super) fn heard(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
    }

    /// No attempt of the task is under way.
    pub(super) fn forget(&mut self, task: TaskId) {
        if let Some(watch) = self.watches.remove(&task) {
            self.set(watch.running).remove(&(watch.deadline, task));
        }
    }

    /// Nothing is under way.
    pub(super) fn clear(&mut self) {
        *self = Self {
            heard: self.heard,
            ..Self::default()
        };
    }

    /// Gives every attempt until `deadline`, by the clock of who owns the run from `now` on: that of the last owner may
    /// have been far ahead. What is on hold stays so.
    pub(super) fn restart(&mut self, now: Timestamp, deadline: Timestamp) {
        self.heard = now;
        let tasks: Vec<_> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.deadline < NEVER)
            .map(|(task, watch)| (*task, watch.clone()))
            .collect();
        for (task, watch) in tasks {
            self.watch(task, Watch { deadline, ..watch });
        }
    }

    /// Messages of a stage that nobody has taken are not missed until [`release`](Self::release): they could not be
    /// sent again now.
    pub(super) fn hold(&mut self, stage: StageId) {
        self.postpone(stage, NEVER);
    }

    /// What was on hold is missed after `deadline`.
    pub(super) fn release(&mut self, stage: StageId, deadline: Timestamp) {
        self.postpone(stage, deadline);
    }

    fn postpone(&mut self, stage: StageId, deadline: Timestamp) {
        let of_stage = self.queued.iter().filter(|(_, task)| task.stage == stage);
        let tasks: Vec<_> = of_stage.map(|(_, task)| *task).collect();
        for task in tasks {
            self.queued(task, deadline);
        }
    }

    /// Whether any attempt is known to be run by somebody.
    pub(super) fn is_any_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// Whether an attempt is known to be run by somebody.
    pub(super) fn is_running(&self, task: TaskId) -> bool {
        self.watches.get(&task).is_some_and(|watch| watch.running)
    }

    /// Whether somebody ran the task and is silent for too long.
    pub(super) fn is_silent(&self, task: TaskId, now: Timestamp) -> bool {
        self.watches
            .get(&task)
            .is_some_and(|watch| watch.running && watch.deadline <= now)
    }

    /// Tasks that somebody ran, and that are silent for too long.
    pub(super) fn expired_running(&self, now: Timestamp) -> impl Iterator<Item = TaskId> {
        self.running
            .iter()
            .take_while(move |(deadline, _)| *deadline <= now)
            .map(|(_, task)| *task)
    }

    /// Tasks whose message is missed. As long as something of the run is heard of, workers are busy with it and the
    /// messages that nobody took are presumed to wait in the queue: sending them again would only make it longer.
    pub(super) fn expired_queued(&self, now: Timestamp, timeout_ms: u64) -> impl Iterator<Item = TaskId> {
        let silent = self.heard.plus_ms(timeout_ms) <= now;
        self.queued
            .iter()
            .take_while(move |(deadline, _)| silent && *deadline <= now)
            .map(|(_, task)| *task)
    }

    /// When the next task expires.
    pub(super) fn next(&self, timeout_ms: u64) -> Option<Timestamp> {
        let running = self.running.first().map(|(deadline, _)| *deadline);
        let queued = self
            .queued
            .first()
            .map(|(deadline, _)| (*deadline).max(self.heard.plus_ms(timeout_ms)));
        running
            .into_iter()
            .chain(queued)
            .min()
            .filter(|deadline| *deadline < NEVER)
    }

    /// The latest totals of each task with an attempt under way.
    pub(super) fn totals(&self) -> impl Iterator<Item = (TaskId, Totals)> {
        self.watches.iter().map(|(task, watch)| (*task, watch.totals))
    }

    fn watch(&mut self, task: TaskId, watch: Watch) {
        self.forget(task);
        self.set(watch.running).insert((watch.deadline, task));
        self.watches.insert(task, watch);
    }

    fn set(&mut self, running: bool) -> &mut BTreeSet<(Timestamp, TaskId)> {
        if running { &mut self.running } else { &mut self.queued }
    }
}
