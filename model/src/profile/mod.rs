//! Where the time, the rows and the memory of a run went: what people are shown of its stages, and what findings are
//! made of.

mod fold;
mod quantiles;
mod stage;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{RowEffect, StageId, StagePhase, Timestamp, Usage};

use fold::share;

pub use fold::Profiler;
pub use quantiles::Quantiles;

/// The profile of a run, so far or of all of it: a fold over its events by [`Profiler`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunProfile {
    /// How long its phases took.
    pub phases: PhaseDurations,
    /// Its attempts.
    pub attempts: AttemptCounts,
    /// How far the workers' slots were used.
    pub slots: SlotUse,
    /// How far the workers' memory was used.
    pub memory: WorkerMemory,
    /// What it used.
    pub usage: Usage,
    /// The user functions that took most of its time, the costliest first; bounded.
    pub functions: Vec<FunctionProfile>,
    /// Its stages, in order.
    pub stages: Vec<StageProfile>,
}

/// How long the phases of a run took, in milliseconds. They follow each other; one that is not over is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PhaseDurations {
    /// From the submission until a control plane began with it.
    pub queued_ms: Option<u64>,
    /// From then until the stages were known.
    pub planning_ms: Option<u64>,
    /// From then until a worker took the first task: workers are started, if there were none.
    pub cold_start_ms: Option<u64>,
    /// From then until the last stage was complete, or the run was stopped.
    pub running_ms: Option<u64>,
    /// From then until the end.
    pub committing_ms: Option<u64>,
    /// From the submission until the end.
    pub total_ms: Option<u64>,
}

/// Attempts, by how they went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptCounts {
    /// All of them.
    pub dispatched: u32,
    /// Those that no worker is known to have taken yet.
    pub queued: u32,
    /// Those that run.
    pub running: u32,
    /// Those whose output was accepted.
    pub succeeded: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that another took the place of, or that the end of the run ended.
    pub given_up: u32,
    /// Those that were made since an earlier one failed, was lost, or lost its output.
    pub retries: u32,
    /// Copies of slow attempts.
    pub speculative: u32,
    /// Copies that were done first.
    pub speculative_wins: u32,
    /// Failures by their code; bounded, further codes count as `other`.
    pub failures: BTreeMap<String, u32>,
}

/// How far the slots of the workers that ran tasks of a run were used by it. A worker counts from its first task until
/// the run's last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotUse {
    /// Slots of these workers.
    pub slots: u32,
    /// Time for which they were there and the run was not paused, summed over slots, in microseconds.
    pub available_us: u64,
    /// Time for which they had a task of this run, summed over slots, in microseconds.
    pub busy_us: u64,
}

impl SlotUse {
    /// The share of time in which slots were idle, from 0 to 1; absent when it is not known.
    pub fn idle_share(&self) -> Option<f64> {
        let idle = self.available_us.saturating_sub(self.busy_us);
        (self.available_us > 0).then(|| share(idle, self.available_us))
    }
}

/// How far the memory of the workers was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerMemory {
    /// Bytes that all attempts of a worker together may hold; zero when it is not known.
    pub limit_bytes: u64,
    /// The most that those of one worker held, as the attempts of this run saw it, in bytes.
    pub peak_bytes: u64,
}

/// What a user function took of a run, or of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionProfile {
    /// Its name.
    pub name: String,
    /// Calls: of a batch each, as a rule.
    pub calls: u64,
    /// Wall time inside it, in microseconds.
    pub wasm_us: u64,
    /// The share of all tasks' time, from 0 to 1.
    pub time_share: f64,
}

/// The profile of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageProfile {
    /// The stage.
    pub id: StageId,
    /// What it does.
    pub name: String,
    /// The pipeline's transforms that have work in it.
    pub transforms: Vec<String>,
    /// Where it is.
    pub phase: StagePhase,
    /// Tasks, once known.
    pub tasks: u32,
    /// Tasks that are done.
    pub done: u32,
    /// When its first task was dispatched.
    pub started_at: Option<Timestamp>,
    /// When it was complete.
    pub finished_at: Option<Timestamp>,
    /// Times that tasks ran again since what they had written was lost.
    pub reopened: u32,
    /// Its attempts.
    pub attempts: AttemptCounts,
    /// The share of the time of all tasks of the run, from 0 to 1.
    pub time_share: f64,
    /// Quantiles over its tasks: over the attempts that were accepted.
    pub quantiles: StageQuantiles,
    /// The exchanges that it reads.
    pub inputs: Vec<InputProfile>,
    /// The files that it writes, if it is a sink.
    pub sink: Option<SinkProfile>,
    /// Its operators, each before its inputs. They count all accepted attempts, those whose output was lost later
    /// included.
    pub operators: Vec<OperatorProfile>,
    /// Its user functions, the costliest first; bounded.
    pub functions: Vec<FunctionProfile>,
    /// Whether its rows add up.
    pub conservation: Conservation,
}

/// Quantiles over the tasks of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageQuantiles {
    /// Wall time on the worker, in microseconds.
    pub elapsed_us: Quantiles,
    /// From when the attempt could be taken until a worker was known to have it, in milliseconds.
    pub queue_delay_ms: Quantiles,
    /// CPU time of the attempt's own thread, in microseconds.
    pub cpu_us: Quantiles,
    /// Wall time inside Wasm calls, in microseconds.
    pub wasm_us: Quantiles,
    /// Rows read.
    pub rows_in: Quantiles,
    /// Rows written.
    pub rows_out: Quantiles,
    /// Bytes read, from files and shuffle objects.
    pub bytes_in: Quantiles,
    /// Bytes written, to files and shuffle objects.
    pub bytes_out: Quantiles,
    /// Bytes read from shuffle objects.
    pub shuffle_bytes_in: Quantiles,
    /// Bytes written to shuffle objects.
    pub shuffle_bytes_out: Quantiles,
    /// Bytes spilled to local disk.
    pub spilled_bytes: Quantiles,
    /// The most memory held at once, in bytes.
    pub peak_memory_bytes: Quantiles,
}

/// An exchange that a stage reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InputProfile {
    /// The stage that writes it.
    pub stage: StageId,
    /// Whether every task reads all of it.
    pub broadcast: bool,
    /// Rows that the accepted attempts of that stage wrote.
    pub rows: u64,
    /// Bytes that they wrote, as stored.
    pub bytes: u64,
}

/// The files of a sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkProfile {
    /// The transform.
    pub transform: String,
    /// The format.
    pub format: String,
    /// Files of accepted attempts.
    pub files: u64,
    /// Of these, those that are smaller than [`SMALL_FILE_BYTES`](crate::findings::SMALL_FILE_BYTES).
    pub small_files: u64,
    /// Bytes in all files.
    pub bytes: u64,
    /// Rows in what was committed, once it is.
    pub rows_committed: Option<u64>,
}

/// What an operator did in all tasks of its stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperatorProfile {
    /// Its place in the stage's plan, from the root at zero, each operator before its inputs.
    pub id: u32,
    /// The operator that takes its rows; absent for the root.
    pub parent: Option<u32>,
    /// Its depth; the root is at zero.
    pub depth: u32,
    /// The operator, such as `HashJoinExec`.
    pub name: String,
    /// What it does to the number of its rows.
    pub effect: RowEffect,
    /// Tasks that ran it.
    pub tasks: u32,
    /// Rows that it took from its inputs; those that it read, for a leaf.
    pub rows_in: u64,
    /// Rows that it gave out.
    pub rows: u64,
    /// Bytes of the batches that it gave out, when it counts them.
    pub bytes: u64,
    /// CPU time, in microseconds: the time in which it computed.
    pub cpu_us: u64,
    /// Wall time inside Wasm calls, in microseconds.
    pub wasm_us: u64,
    /// Bytes that it spilled.
    pub spilled_bytes: u64,
    /// The most memory that it said to hold in one task, in bytes; few operators say it.
    pub peak_memory_bytes: u64,
    /// User functions that it calls.
    pub functions: Vec<String>,
    /// The share of what the operators of the stage computed, from 0 to 1.
    pub stage_share: f64,
    /// The share of what the operators of the run computed, from 0 to 1.
    pub run_share: f64,
}

/// Whether the rows of a stage add up: those written for it are those that it read, and those that it read are those
/// that it wrote and those that it dropped as declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conservation {
    /// Rows that the stages before wrote for it; once for each task where every task reads all of them.
    pub rows_offered: u64,
    /// Of these, rows that it read.
    pub rows_taken: u64,
    /// Of these, rows that nobody asked for: behind a limit, or since the other side of a join was empty.
    pub rows_unread: u64,
    /// Rows that it read, from files and from other stages.
    pub rows_in: u64,
    /// Rows that filters and limits dropped.
    pub rows_dropped: u64,
    /// Rows that user functions refused: they are in the output for errors, where there is one.
    pub rows_refused: u64,
    /// Rows that it wrote.
    pub rows_out: u64,
    /// Rows that the commit made visible, when it is a sink of a run that succeeded.
    pub rows_committed: Option<u64>,
    /// Whether what was written for it is what it read.
    pub exchange: Verdict,
    /// Whether what it read is what it wrote and dropped. Not to be said of stages with joins, aggregations or flat
    /// maps: these make other rows of their rows.
    pub inside: Verdict,
    /// Whether what it wrote is what became visible.
    pub commit: Verdict,
}

impl Conservation {
    /// Whether rows were lost or doubled.
    pub fn is_broken(&self) -> bool {
        [self.exchange, self.inside, self.commit].contains(&Verdict::Broken)
    }
}

/// Whether a sum holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds, exactly.
    Holds,
    /// It does not: a bug.
    Broken,
    /// There is nothing to compare, or not yet.
    #[default]
    NotApplicable,
}
