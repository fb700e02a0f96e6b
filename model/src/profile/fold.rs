//! Folding the events of a run into its profile.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Allowance, Event, EventRecord, Exchange, FunctionMetrics, OutputManifest, StageGraph, StageId, TaskId, TaskMetrics,
    Timestamp, Usage, WorkerId,
};

use super::stage::{Sample, StageFold, functions, merge_functions};
use super::{PhaseDurations, RunProfile, SlotUse, WorkerMemory};

/// Folds the events of a run, in order, into its [`RunProfile`]. It keeps about two hundred bytes for each task, and of
/// operators and functions their sums.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiler {
    last_seq: u64,
    times: Times,
    pauses: Pauses,
    stages: Vec<StageFold>,
    /// Attempts that have not ended.
    open: HashMap<TaskId, Vec<OpenAttempt>>,
    workers: HashMap<WorkerId, WorkerFold>,
    usage: Usage,
    memory: WorkerMemory,
    functions: BTreeMap<String, FunctionMetrics>,
    /// What the latest attempt that said so was allowed.
    allowance: Allowance,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Times {
    submitted: Option<Timestamp>,
    /// When the control plane that planned it began with it.
    begun: Option<Timestamp>,
    planned: Option<Timestamp>,
    first_start: Option<Timestamp>,
    /// When the last attempt ended.
    last_end: Option<Timestamp>,
    /// When the last stage was complete, or the run was stopped.
    computed: Option<Timestamp>,
    finished: Option<Timestamp>,
}

/// The time in which nothing new of the run was begun.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Pauses {
    /// The beginning of the one that is not over.
    since: Option<Timestamp>,
    /// Those that are over, in milliseconds.
    over_ms: u64,
    /// All of them up to the end of the last attempt, in milliseconds.
    until_last_end_ms: u64,
}

impl Pauses {
    /// How long the run was paused up to now, in milliseconds.
    fn until(&self, now: Timestamp) -> u64 {
        let open_ms = self.since.map_or(0, |since| now.ms_since(since));
        self.over_ms.saturating_add(open_ms)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct OpenAttempt {
    attempt: u32,
    speculative: bool,
    /// Whether a pause took it back before anybody had begun with it.
    withdrawn: bool,
    /// When it could be taken.
    ready_at: Timestamp,
    started_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct WorkerFold {
    slots: u32,
    first_start: Timestamp,
    /// How long the run had been paused before, in milliseconds.
    paused_ms: u64,
}

/// How an attempt ended.
enum End<'a> {
    Succeeded(&'a TaskMetrics),
    Failed(&'a TaskMetrics),
    GivenUp,
}

impl Profiler {
    /// The place of the latest event that was folded in.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Tasks that it keeps numbers of.
    pub fn tasks(&self) -> u64 {
        self.stages.iter().map(|stage| stage.samples.len() as u64).sum()
    }

    /// Folds an event in. Events come in order; one that was folded in already, or makes no sense, changes nothing.
    pub fn apply(&mut self, record: &EventRecord) {
        if record.seq <= self.last_seq {
            return;
        }
        self.last_seq = record.seq;
        let at = record.at;
        match &record.event {
            Event::Submitted { .. } => {
                if self.times.submitted.is_none() {
                    self.times.submitted = Some(at);
                    self.times.begun = Some(at);
                }
            }
            Event::OwnerChanged { .. } => {
                if self.times.planned.is_none() {
                    self.times.begun = Some(at);
                }
            }
            Event::Planned { graph } => self.planned(graph, at),
            Event::StageStarted { stage, tasks } => {
                if let Some(stage) = self.stage(*stage) {
                    stage.started(tasks.len(), at);
                }
            }
            Event::TaskDispatched {
                task,
                attempt,
                not_before,
                speculative,
                ..
            } => {
                let attempt = OpenAttempt {
                    attempt: *attempt,
                    speculative: *speculative,
                    withdrawn: false,
                    ready_at: not_before.map_or(at, |time| time.max(at)),
                    started_at: None,
                };
                self.dispatched(*task, attempt, at);
            }
            Event::AttemptStarted {
                task, attempt, worker, ..
            } => self.attempt_started(*task, *attempt, *worker, at),
            Event::TaskAccepted {
                task,
                stage_attempt,
                attempt,
                worker,
                output,
                ..
            } => {
                if self
                    .stage(task.stage)
                    .is_none_or(|stage| !stage.accepts(task.index, *stage_attempt))
                {
                    return;
                }
                self.slots_of(*worker, output.metrics.allowance, at);
                let delay = self.end(*task, *attempt, &End::Succeeded(&output.metrics), at);
                if let Some(stage) = self.stage(task.stage) {
                    stage.accepted(task.index, Sample::of(output, delay), &output.metrics);
                }
                self.give_up(*task, at);
            }
            Event::AttemptFailed {
                task,
                attempt,
                failure,
                metrics,
                ..
            } => {
                if let Some(stage) = self.stage(task.stage) {
                    stage.failed(&failure.code);
                    self.end(*task, *attempt, &End::Failed(metrics), at);
                }
            }
            Event::StageCompleted { stage, stage_attempt } => {
                let Some(stage) = self.stage(*stage).filter(|stage| stage.may_complete(*stage_attempt)) else {
                    return;
                };
                stage.completed(at);
                if self.stages.iter().all(|stage| stage.finished_at.is_some()) {
                    self.times.computed = Some(at);
                }
            }
            Event::StageReopened {
                stage,
                stage_attempt,
                tasks,
            } => {
                if let Some(stage) = self.stage(*stage).filter(|stage| stage.may_reopen(*stage_attempt)) {
                    stage.reopened(*stage_attempt, tasks);
                    self.times.computed = None;
                }
            }
            Event::CancelRequested { .. } | Event::StopStarted { .. } | Event::CommitStarted => {
                self.times.computed.get_or_insert(at);
            }
            Event::Committed { outputs } => self.committed(outputs),
            Event::Finished { .. } => self.finished(at),
            Event::StorageUsed { requests } => self.usage.control_storage_requests.add(requests),
            Event::Paused { .. } => self.paused(at),
            Event::Resumed { .. } => {
                self.pauses.over_ms = self.pauses.until(at);
                self.pauses.since = None;
            }
        }
    }

    fn stage(&mut self, stage: StageId) -> Option<&mut StageFold> {
        self.stages.get_mut(stage.0 as usize)
    }

    fn planned(&mut self, graph: &StageGraph, at: Timestamp) {
        if self.times.planned.is_some() {
            return;
        }
        self.times.planned = Some(at);
        self.stages = graph.stages.iter().map(StageFold::new).collect();
    }

    fn dispatched(&mut self, task: TaskId, attempt: OpenAttempt, at: Timestamp) {
        if self.stage(task.stage).is_none_or(|stage| !stage.is_open(task.index)) {
            return;
        }
        let before = self.open.get(&task);
        let was_withdrawn = before.is_some_and(|open| open.iter().all(|open| open.withdrawn));
        if !attempt.speculative {
            self.give_up(task, at);
        }
        if let Some(stage) = self.stage(task.stage) {
            // What a pause took back is not made again: it had not been made.
            stage.dispatched(attempt.speculative, attempt.attempt > 0 && !was_withdrawn);
        }
        self.open.entry(task).or_default().push(attempt);
    }

    fn attempt_started(&mut self, task: TaskId, attempt: u32, worker: WorkerId, at: Timestamp) {
        let mut open = self.open.get_mut(&task).into_iter().flatten();
        let Some(open) = open.find(|open| open.attempt == attempt) else {
            return;
        };
        let first = open.started_at.replace(at).is_none();
        self.times.first_start.get_or_insert(at);
        self.slots_of(worker, Allowance::default(), at);
        if first && let Some(stage) = self.stage(task.stage) {
            stage.attempts.queued = stage.attempts.queued.saturating_sub(1);
            stage.attempts.running = stage.attempts.running.saturating_add(1);
        }
    }

    fn paused(&mut self, at: Timestamp) {
        self.pauses.since.get_or_insert(at);
        for open in self.open.values_mut().flatten() {
            open.withdrawn |= open.started_at.is_none();
        }
    }

    fn slots_of(&mut self, worker: WorkerId, allowance: Allowance, at: Timestamp) {
        let paused_ms = self.pauses.until(at);
        let known = self.workers.entry(worker).or_insert(WorkerFold {
            slots: 0,
            first_start: at,
            paused_ms,
        });
        known.slots = known.slots.max(allowance.worker_slots);
    }

    /// Ends an attempt; gives how long it had waited to be taken, in milliseconds.
    fn end(&mut self, task: TaskId, attempt: u32, end: &End<'_>, at: Timestamp) -> u64 {
        self.times.last_end = Some(at);
        self.pauses.until_last_end_ms = self.pauses.until(at);
        let open = self.open.get_mut(&task).and_then(|open| {
            let place = open.iter().position(|open| open.attempt == attempt)?;
            Some(open.swap_remove(place))
        });
        if self.open.get(&task).is_some_and(Vec::is_empty) {
            self.open.remove(&task);
        }
        let measured = match end {
            End::Succeeded(metrics) | End::Failed(metrics) => Some(*metrics),
            End::GivenUp => None,
        };
        // What was never heard to start, and did, started as long ago as it says.
        let elapsed_ms = measured.map_or(0, |metrics| metrics.elapsed_us / 1000);
        let started_at = match open {
            Some(open) => open
                .started_at
                .or_else(|| (elapsed_ms > 0).then_some(Timestamp(at.0.saturating_sub(elapsed_ms)))),
            None => None,
        };
        if let Some(started_at) = started_at {
            let first = self.times.first_start.get_or_insert(started_at);
            *first = (*first).min(started_at);
        }
        if let Some(stage) = self.stages.get_mut(task.stage.0 as usize) {
            stage.ended(
                open.map(|open| (open.started_at.is_some(), open.speculative)),
                end.kind(),
            );
        }
        self.used(measured, started_at.map_or(0, |started| at.ms_since(started)));
        open.map_or(0, |open| started_at.unwrap_or(at).ms_since(open.ready_at))
    }

    /// Counts what an attempt used; one that reported nothing had its slot for `wall_ms`.
    fn used(&mut self, measured: Option<&TaskMetrics>, wall_ms: u64) {
        let nothing = TaskMetrics::default();
        let metrics = measured.unwrap_or(&nothing);
        if !metrics.allowance.is_unknown() {
            self.allowance = metrics.allowance;
        }
        let slot_us = match metrics.elapsed_us {
            0 => wall_ms.saturating_mul(1000),
            elapsed => elapsed,
        };
        self.usage.add_attempt(metrics, slot_us, self.allowance);
        // The message that dispatched it.
        self.usage.queue_messages = self.usage.queue_messages.saturating_add(1);
        self.memory.limit_bytes = self.memory.limit_bytes.max(metrics.allowance.worker_memory_bytes);
        self.memory.peak_bytes = self.memory.peak_bytes.max(metrics.worker_peak_memory_bytes);
        merge_functions(&mut self.functions, &metrics.functions);
    }

    /// Ends the attempts of a task that are under way.
    fn give_up(&mut self, task: TaskId, at: Timestamp) {
        let open: Vec<u32> = self
            .open
            .get(&task)
            .into_iter()
            .flatten()
            .map(|open| open.attempt)
            .collect();
        for attempt in open {
            self.end(task, attempt, &End::GivenUp, at);
        }
    }

    fn committed(&mut self, outputs: &[OutputManifest]) {
        for output in outputs {
            for stage in &mut self.stages {
                stage.committed(output);
            }
        }
    }

    fn finished(&mut self, at: Timestamp) {
        let left: Vec<TaskId> = self.open.keys().copied().collect();
        for task in left {
            self.give_up(task, at);
        }
        self.times.computed.get_or_insert(at);
        self.times.finished = Some(at);
    }

    /// What was used so far: by the attempts that are over, and by the control plane.
    pub fn usage(&self) -> Usage {
        Usage {
            workers: u32::try_from(self.workers.len()).unwrap_or(u32::MAX),
            ..self.usage.clone()
        }
    }

    /// What the latest attempt that said so was allowed.
    pub fn allowance(&self) -> Allowance {
        self.allowance
    }

    /// The profile so far. Costs as much as there are tasks.
    pub fn profile(&self) -> RunProfile {
        let mut profile = RunProfile {
            phases: self.phases(),
            slots: self.slots(),
            memory: self.memory,
            usage: self.usage(),
            stages: self.stages.iter().map(StageFold::profile).collect(),
            ..RunProfile::default()
        };
        for stage in &profile.stages {
            profile.attempts.add(&stage.attempts);
        }
        let task_us: u64 = profile.stages.iter().map(|stage| stage.quantiles.elapsed_us.sum).sum();
        let computed_us: u64 = profile
            .stages
            .iter()
            .flat_map(|stage| &stage.operators)
            .map(|operator| operator.cpu_us)
            .sum();
        for stage in &mut profile.stages {
            stage.time_share = share(stage.quantiles.elapsed_us.sum, task_us);
            let own: u64 = stage.operators.iter().map(|operator| operator.cpu_us).sum();
            for operator in &mut stage.operators {
                operator.stage_share = share(operator.cpu_us, own);
                operator.run_share = share(operator.cpu_us, computed_us);
            }
        }
        profile.functions = functions(&self.functions, self.usage.task_us);
        for reader in 0..profile.stages.len() {
            self.exchanges(reader, &mut profile);
        }
        profile
    }

    /// Compares what a stage read with what was written for it.
    fn exchanges(&self, reader: usize, profile: &mut RunProfile) {
        let planned = &self.stages[reader].inputs;
        let whole = planned.iter().all(|input| input.stage.0 < profile.stages.len() as u32);
        let complete = |stage: &super::StageProfile| stage.done == stage.tasks && stage.finished_at.is_some();
        let mut comparable = whole && !planned.is_empty() && complete(&profile.stages[reader]);
        let mut broadcast = false;
        let mut offered = 0_u64;
        let mut inputs = Vec::with_capacity(planned.len());
        for input in planned.iter().filter(|_| whole) {
            let writer = &profile.stages[input.stage.0 as usize];
            comparable &= complete(writer);
            let all = input.exchange == Exchange::All;
            let rows = writer.quantiles.rows_out.sum;
            let readers = match all {
                true => u64::from(profile.stages[reader].tasks),
                false => 1,
            };
            broadcast |= all && readers > 1;
            offered = offered.saturating_add(rows.saturating_mul(readers));
            inputs.push(super::InputProfile {
                stage: input.stage,
                broadcast: all && readers > 1,
                rows,
                bytes: writer.quantiles.shuffle_bytes_out.sum,
            });
        }
        let stage = &mut profile.stages[reader];
        stage.inputs = inputs;
        stage.conserve(
            comparable.then_some((offered, broadcast)),
            self.stages[reader].unopened(),
        );
    }

    /// How long the phases took.
    pub fn phases(&self) -> PhaseDurations {
        let times = &self.times;
        let between = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.ms_since(from?));
        // A run that was stopped before a phase began never had that phase.
        let planned = times.planned;
        let first = times.first_start;
        PhaseDurations {
            queued_ms: between(times.submitted, times.begun),
            planning_ms: between(times.begun, planned.or(times.computed)),
            cold_start_ms: between(planned, first),
            running_ms: between(first.or(planned), times.computed),
            committing_ms: between(times.computed, times.finished),
            total_ms: between(times.submitted, times.finished),
        }
    }

    fn slots(&self) -> SlotUse {
        let end = self.times.last_end.unwrap_or_default();
        let mut used = SlotUse {
            busy_us: self.usage.task_us,
            ..SlotUse::default()
        };
        for worker in self.workers.values() {
            used.slots = used.slots.saturating_add(worker.slots);
            let paused_ms = self.pauses.until_last_end_ms.saturating_sub(worker.paused_ms);
            let there_ms = end.ms_since(worker.first_start).saturating_sub(paused_ms);
            let available_us = there_ms.saturating_mul(1_000).saturating_mul(worker.slots.into());
            used.available_us = used.available_us.saturating_add(available_us);
        }
        if self.pauses.until_last_end_ms > 0 {
            // What was under way went on while the run was paused.
            used.available_us = used.available_us.max(used.busy_us);
        }
        used
    }
}

/// What part of `whole` a part is. In millionths, so that it is the same after it was written as text.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        whole => (part as f64 / whole as f64 * 1e6).round() / 1e6,
    }
}

impl End<'_> {
    fn kind(&self) -> super::stage::EndKind {
        match self {
            Self::Succeeded(_) => super::stage::EndKind::Succeeded,
            Self::Failed(_) => super::stage::EndKind::Failed,
            Self::GivenUp => super::stage::EndKind::GivenUp,
        }
    }
}
