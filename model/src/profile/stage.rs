//! What is kept of a stage while its run is folded.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::findings::SMALL_FILE_BYTES;
use crate::{
    FunctionMetrics, OperatorMetrics, OutputManifest, RowEffect, Stage, StageId, StageInput, StageOutput, StagePhase,
    TaskMetrics, TaskOutput, Timestamp,
};

use super::fold::share;
use super::{
    AttemptCounts, Conservation, FunctionProfile, OperatorProfile, Quantiles, SinkProfile, StageProfile,
    StageQuantiles, Verdict,
};

/// Codes of failures that are counted apart.
const MAX_FAILURE_CODES: usize = 100;
/// Operators of a stage that are kept; further ones are left out.
const MAX_OPERATORS: usize = 2_000;
/// Functions that are kept.
const MAX_FUNCTIONS: usize = 200;

/// What the accepted attempt of a task measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    elapsed_us: u64,
    queue_delay_ms: u64,
    cpu_us: u64,
    wasm_us: u64,
    rows_in: u64,
    rows_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    shuffle_rows_in: u64,
    shuffle_bytes_in: u64,
    shuffle_bytes_out: u64,
    spilled_bytes: u64,
    peak_memory_bytes: u64,
    unread_rows: u64,
    unopened_inputs: u64,
    refused_rows: u64,
    /// Rows that its filters and limits dropped.
    dropped_rows: u64,
    files: u32,
    small_files: u32,
    file_bytes: u64,
}

impl Sample {
    /// Of an output whose attempt waited for so many milliseconds before it was taken.
    pub(super) fn of(output: &TaskOutput, queue_delay_ms: u64) -> Self {
        let metrics = &output.metrics;
        let small = output.files.iter().filter(|file| file.bytes < SMALL_FILE_BYTES);
        Self {
            elapsed_us: metrics.elapsed_us,
            queue_delay_ms,
            cpu_us: metrics.cpu_us,
            wasm_us: metrics.wasm_us,
            rows_in: metrics.rows_in,
            rows_out: metrics.rows_out,
            bytes_in: metrics.bytes_in,
            bytes_out: metrics.bytes_out,
            shuffle_rows_in: metrics.shuffle_rows_in,
            shuffle_bytes_in: metrics.shuffle_bytes_in,
            shuffle_bytes_out: metrics.shuffle_bytes_out,
            spilled_bytes: metrics.spilled_bytes,
            peak_memory_bytes: metrics.peak_memory_bytes,
            unread_rows: metrics.unread_rows,
            unopened_inputs: metrics.unopened_inputs,
            refused_rows: metrics.refused_rows,
            dropped_rows: dropped_rows(&metrics.operators),
            files: output.files.len() as u32,
            small_files: small.count() as u32,
            file_bytes: output.files.iter().map(|file| file.bytes).sum(),
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EndKind {
    Succeeded,
    Failed,
    GivenUp,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct StageFold {
    id: StageId,
    name: String,
    transforms: Vec<String>,
    pub(super) inputs: Vec<StageInput>,
    sink: Option<SinkProfile>,
    /// Grows when what its tasks wrote was lost.
    attempt: u32,
    phase: StagePhase,
    started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    reopened: u32,
    pub(super) attempts: AttemptCounts,
    /// By task; absent until one of its attempts is accepted, or when it runs again.
    pub(super) samples: Vec<Option<Box<Sample>>>,
    operators: BTreeMap<u32, OperatorProfile>,
    functions: BTreeMap<String, FunctionMetrics>,
    /// Whether an accepted attempt did not say what its operators did.
    unknown_operators: bool,
}

impl StageFold {
    pub(super) fn new(stage: &Stage) -> Self {
        let sink = match &stage.output {
            StageOutput::Sink(sink) => Some(SinkProfile {
                transform: sink.transform.clone(),
                format: sink.format.clone(),
                ..SinkProfile::default()
            }),
            _ => None,
        };
        Self {
            id: stage.id,
            name: stage.name.clone(),
            transforms: stage.transforms.clone(),
            inputs: stage.inputs.clone(),
            sink,
            attempt: 0,
            phase: StagePhase::Waiting,
            started_at: None,
            finished_at: None,
            reopened: 0,
            attempts: AttemptCounts::default(),
            samples: vec![],
            operators: BTreeMap::new(),
            functions: BTreeMap::new(),
            unknown_operators: false,
        }
    }

    pub(super) fn started(&mut self, tasks: usize, at: Timestamp) {
        if self.phase == StagePhase::Waiting {
            self.phase = StagePhase::Running;
            self.started_at = Some(at);
            self.samples = vec![None; tasks];
        }
    }

    /// Whether an attempt of this task would be of use.
    pub(super) fn is_open(&self, task: u32) -> bool {
        self.samples.get(task as usize).is_some_and(Option::is_none)
    }

    /// Whether the output of an attempt counts.
    pub(super) fn accepts(&self, task: u32, stage_attempt: u32) -> bool {
        self.attempt == stage_attempt && self.is_open(task)
    }

    pub(super) fn may_complete(&self, stage_attempt: u32) -> bool {
        self.phase == StagePhase::Running && self.attempt == stage_attempt && self.samples.iter().all(Option::is_some)
    }

    pub(super) fn may_reopen(&self, stage_attempt: u32) -> bool {
        self.phase != StagePhase::Waiting && stage_attempt >= self.attempt
    }

    pub(super) fn completed(&mut self, at: Timestamp) {
        self.phase = StagePhase::Completed;
        self.finished_at = Some(at);
    }

    pub(super) fn reopened(&mut self, stage_attempt: u32, tasks: &[u32]) {
        self.attempt = stage_attempt;
        self.phase = StagePhase::Running;
        self.finished_at = None;
        self.reopened = self.reopened.saturating_add(tasks.len() as u32);
        for task in tasks {
            if let Some(sample) = self.samples.get_mut(*task as usize) {
                *sample = None;
            }
        }
    }

    /// An attempt was made, as a copy of a slow one or since an earlier one came to nothing.
    pub(super) fn dispatched(&mut self, speculative: bool, again: bool) {
        let counts = &mut self.attempts;
        counts.dispatched = counts.dispatched.saturating_add(1);
        counts.queued = counts.queued.saturating_add(1);
        if speculative {
            counts.speculative = counts.speculative.saturating_add(1);
        } else if again {
            counts.retries = counts.retries.saturating_add(1);
        }
    }

    /// An attempt ended: one that was under way, which had started or not and was a copy or not; or one that had been
    /// given up, and was not as lost as it seemed.
    pub(super) fn ended(&mut self, open: Option<(bool, bool)>, end: EndKind) {
        let counts = &mut self.attempts;
        let before = match open {
            Some((true, _)) => &mut counts.running,
            Some((false, _)) => &mut counts.queued,
            None => &mut counts.given_up,
        };
        *before = before.saturating_sub(1);
        let after = match end {
            EndKind::Succeeded => &mut counts.succeeded,
            EndKind::Failed => &mut counts.failed,
            EndKind::GivenUp => &mut counts.given_up,
        };
        *after = after.saturating_add(1);
        if end == EndKind::Succeeded && open.is_some_and(|(_, speculative)| speculative) {
            counts.speculative_wins = counts.speculative_wins.saturating_add(1);
        }
    }

    pub(super) fn failed(&mut self, code: &str) {
        let failures = &mut self.attempts.failures;
        let code = match failures.contains_key(code) || failures.len() < MAX_FAILURE_CODES {
            true => code,
            false => "other",
        };
        let count = failures.entry(code.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn accepted(&mut self, task: u32, sample: Sample, metrics: &TaskMetrics) {
        if let Some(known) = self.samples.get_mut(task as usize) {
            *known = Some(Box::new(sample));
        }
        self.unknown_operators |= metrics.operators.is_empty();
        let numbered = metrics.operators.iter().skip(1).all(|operator| operator.id > 0);
        for (place, operator) in (0..).zip(&metrics.operators) {
            // Builds before did not number them; their plans were listed whole.
            let id = if numbered { operator.id } else { place };
            let full = self.operators.len() >= MAX_OPERATORS;
            match self.operators.entry(id) {
                Entry::Vacant(_) if full => self.unknown_operators = true,
                entry => add_operator(entry.or_default(), id, operator),
            }
        }
        merge_functions(&mut self.functions, &metrics.functions);
    }

    pub(super) fn committed(&mut self, output: &OutputManifest) {
        if let Some(sink) = self.sink.as_mut().filter(|sink| sink.transform == output.transform) {
            sink.rows_committed = Some(output.rows);
        }
    }

    /// Shuffle partitions that nobody asked for a row of.
    pub(super) fn unopened(&self) -> u64 {
        self.done().map(|(_, sample)| sample.unopened_inputs).sum()
    }

    fn done(&self) -> impl Iterator<Item = (u32, &Sample)> {
        let samples = (0..).zip(&self.samples);
        samples.filter_map(|(task, sample)| Some((task, sample.as_deref()?)))
    }

    /// The profile, without what only the whole run tells.
    pub(super) fn profile(&self) -> StageProfile {
        let of = |number: fn(&Sample) -> u64| Quantiles::of(self.done().map(|(task, sample)| (task, number(sample))));
        let sum = |number: fn(&Sample) -> u64| {
            self.done()
                .map(|(_, sample)| number(sample))
                .fold(0, u64::saturating_add)
        };
        let quantiles = StageQuantiles {
            elapsed_us: of(|sample| sample.elapsed_us),
            queue_delay_ms: of(|sample| sample.queue_delay_ms),
            cpu_us: of(|sample| sample.cpu_us),
            wasm_us: of(|sample| sample.wasm_us),
            rows_in: of(|sample| sample.rows_in),
            rows_out: of(|sample| sample.rows_out),
            bytes_in: of(|sample| sample.bytes_in),
            bytes_out: of(|sample| sample.bytes_out),
            shuffle_bytes_in: of(|sample| sample.shuffle_bytes_in),
            shuffle_bytes_out: of(|sample| sample.shuffle_bytes_out),
            spilled_bytes: of(|sample| sample.spilled_bytes),
            peak_memory_bytes: of(|sample| sample.peak_memory_bytes),
        };
        let sink = self.sink.clone().map(|sink| SinkProfile {
            files: sum(|sample| u64::from(sample.files)),
            small_files: sum(|sample| u64::from(sample.small_files)),
            bytes: sum(|sample| sample.file_bytes),
            ..sink
        });
        let conservation = Conservation {
            rows_taken: sum(|sample| sample.shuffle_rows_in),
            rows_unread: sum(|sample| sample.unread_rows),
            rows_in: quantiles.rows_in.sum,
            rows_dropped: sum(|sample| sample.dropped_rows),
            rows_refused: sum(|sample| sample.refused_rows),
            rows_out: quantiles.rows_out.sum,
            rows_committed: sink.as_ref().and_then(|sink| sink.rows_committed),
            inside: self.inside(),
            ..Conservation::default()
        };
        StageProfile {
            id: self.id,
            name: self.name.clone(),
            transforms: self.transforms.clone(),
            phase: self.phase,
            tasks: self.samples.len() as u32,
            done: self.done().count() as u32,
            started_at: self.started_at,
            finished_at: self.finished_at,
            reopened: self.reopened,
            attempts: self.attempts.clone(),
            functions: functions(&self.functions, quantiles.elapsed_us.sum),
            quantiles,
            sink,
            operators: linked(&self.operators),
            conservation,
            ..StageProfile::default()
        }
    }

    /// Whether what each task read is what it wrote and dropped.
    fn inside(&self) -> Verdict {
        let has = |effect| self.operators.values().any(|operator| operator.effect == effect);
        if self.operators.is_empty() || self.unknown_operators || has(RowEffect::Changes) || self.finished_at.is_none()
        {
            return Verdict::NotApplicable;
        }
        let limited = has(RowEffect::Limits);
        let adds_up = |sample: &Sample| {
            let gone = sample.rows_out.saturating_add(sample.dropped_rows);
            // Behind a limit rows may be read that nobody takes.
            sample.rows_in == gone || (limited && sample.rows_in > gone)
        };
        match self.done().all(|(_, sample)| adds_up(sample)) {
            true => Verdict::Holds,
            false => Verdict::Broken,
        }
    }
}

impl StageProfile {
    /// Says whether rows add up, given what was written for the stage (when that is complete) and whether some of it
    /// was for each task, and how many of its inputs were not opened.
    pub(super) fn conserve(&mut self, offered: Option<(u64, bool)>, unopened: u64) {
        let rows = &mut self.conservation;
        if let Some((offered, broadcast)) = offered {
            rows.rows_offered = offered;
            let known = rows.rows_taken.saturating_add(rows.rows_unread);
            rows.exchange = match known.cmp(&offered) {
                std::cmp::Ordering::Equal => Verdict::Holds,
                // Nobody knows how many rows there are in what was not opened but those that wrote them.
                std::cmp::Ordering::Less if unopened > 0 => {
                    rows.rows_unread = offered - rows.rows_taken;
                    Verdict::Holds
                }
                // Tasks may read a broadcast once for several partitions, or once for each.
                _ if broadcast => Verdict::NotApplicable,
                _ => Verdict::Broken,
            };
        }
        if let Some(committed) = rows.rows_committed {
            rows.commit = match committed == rows.rows_out {
                true => Verdict::Holds,
                false => Verdict::Broken,
            };
        }
    }
}

impl AttemptCounts {
    /// Adds those of another stage.
    pub(super) fn add(&mut self, other: &Self) {
        let add = |sum: &mut u32, number: u32| *sum = sum.saturating_add(number);
        add(&mut self.dispatched, other.dispatched);
        add(&mut self.queued, other.queued);
        add(&mut self.running, other.running);
        add(&mut self.succeeded, other.succeeded);
        add(&mut self.failed, other.failed);
        add(&mut self.given_up, other.given_up);
        add(&mut self.retries, other.retries);
        add(&mut self.speculative, other.speculative);
        add(&mut self.speculative_wins, other.speculative_wins);
        for (code, count) in &other.failures {
            add(self.failures.entry(code.clone()).or_default(), *count);
        }
    }
}

/// Rows that the filters and limits of a task dropped.
fn dropped_rows(operators: &[OperatorMetrics]) -> u64 {
    let mut dropped = 0_u64;
    for (place, operator) in operators.iter().enumerate() {
        if matches!(operator.effect, RowEffect::Filters | RowEffect::Limits) {
            let taken = inputs(operators, place)
                .map(|input| input.rows)
                .fold(0, u64::saturating_add);
            dropped = dropped.saturating_add(taken.saturating_sub(operator.rows));
        }
    }
    dropped
}

/// The operators that one takes its rows from.
fn inputs(operators: &[OperatorMetrics], place: usize) -> impl Iterator<Item = &OperatorMetrics> {
    let depth = operators[place].depth;
    let below = operators[place + 1..]
        .iter()
        .take_while(move |operator| operator.depth > depth);
    below.filter(move |operator| operator.depth == depth + 1)
}

fn add_operator(sum: &mut OperatorProfile, id: u32, operator: &OperatorMetrics) {
    let add = |sum: &mut u64, number: u64| *sum = sum.saturating_add(number);
    if sum.tasks == 0 {
        sum.id = id;
        sum.name.clone_from(&operator.name);
        sum.depth = operator.depth;
        sum.functions.clone_from(&operator.functions);
        sum.effect = operator.effect;
    }
    sum.tasks = sum.tasks.saturating_add(1);
    add(&mut sum.rows, operator.rows);
    add(&mut sum.bytes, operator.bytes);
    add(&mut sum.cpu_us, operator.cpu_us);
    add(&mut sum.wasm_us, operator.wasm_us);
    add(&mut sum.spilled_bytes, operator.spilled_bytes);
    sum.peak_memory_bytes = sum.peak_memory_bytes.max(operator.peak_memory_bytes);
}

/// Operators with those that take their rows, and what they took.
fn linked(operators: &BTreeMap<u32, OperatorProfile>) -> Vec<OperatorProfile> {
    let mut linked: Vec<OperatorProfile> = operators.values().cloned().collect();
    // The operators from the root down to the latest one.
    let mut path: Vec<usize> = vec![];
    let mut leaf = vec![true; linked.len()];
    for place in 0..linked.len() {
        let depth = linked[place].depth;
        while path.last().is_some_and(|above| linked[*above].depth >= depth) {
            path.pop();
        }
        if let Some(above) = path.last().copied() {
            linked[place].parent = Some(linked[above].id);
            linked[above].rows_in = linked[above].rows_in.saturating_add(linked[place].rows);
            leaf[above] = false;
        }
        path.push(place);
    }
    for (operator, leaf) in linked.iter_mut().zip(leaf) {
        if leaf {
            operator.rows_in = operator.rows;
        }
    }
    linked
}

/// Adds what functions took in one attempt.
pub(super) fn merge_functions(sums: &mut BTreeMap<String, FunctionMetrics>, more: &[FunctionMetrics]) {
    for function in more {
        let full = sums.len() >= MAX_FUNCTIONS;
        let sum = match sums.entry(function.name.clone()) {
            Entry::Vacant(_) if full => continue,
            entry => entry.or_default(),
        };
        sum.calls = sum.calls.saturating_add(function.calls);
        sum.wasm_us = sum.wasm_us.saturating_add(function.wasm_us);
    }
}

/// What functions took of `task_us`, the costliest first.
pub(super) fn functions(sums: &BTreeMap<String, FunctionMetrics>, task_us: u64) -> Vec<FunctionProfile> {
    let mut profiles: Vec<FunctionProfile> = sums
        .iter()
        .map(|(name, sum)| FunctionProfile {
            name: name.clone(),
            calls: sum.calls,
            wasm_us: sum.wasm_us,
            time_share: share(sum.wasm_us, task_us),
        })
        .collect();
    profiles.sort_by_key(|function| std::cmp::Reverse(function.wasm_us));
    profiles
}
