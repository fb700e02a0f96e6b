//! Stages, with what was measured of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model as model;

use super::Stage;

/// A stage with quantiles over its tasks, and what its operators did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageProfile {
    /// The stage.
    #[serde(flatten)]
    pub stage: Stage,
    /// The pipeline's transforms that have work in it.
    pub transforms: Vec<String>,
    /// The exchanges that it reads.
    pub inputs: Vec<StageInput>,
    /// The files that it writes, if it is a sink.
    pub sink: Option<StageSink>,
    /// The share of the time of all tasks of the run, from 0 to 1.
    pub time_share: f64,
    /// Times that tasks ran again since what they had written was lost.
    pub reopened: u32,
    /// Its attempts.
    pub attempts: AttemptCounts,
    /// Quantiles over its tasks: over the attempts that were accepted.
    pub quantiles: StageQuantiles,
    /// Its operators, each before its inputs.
    pub operators: Vec<StageOperator>,
    /// Its user functions, the costliest first; the first some.
    pub functions: Vec<StageFunction>,
    /// Whether its rows add up.
    pub conservation: Conservation,
}

/// Stages of a run, in order.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageList {
    /// The stages.
    pub items: Vec<StageProfile>,
}

/// An exchange that a stage reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageInput {
    /// The stage that writes it.
    pub stage: u32,
    /// Whether every task reads all of it.
    pub broadcast: bool,
    /// Rows that were written for it.
    pub rows: u64,
    /// Bytes that were written for it.
    pub bytes: u64,
}

/// The files of a sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageSink {
    /// The transform.
    pub transform: String,
    /// The format.
    pub format: String,
    /// Files of accepted attempts.
    pub files: u64,
    /// Of these, small ones.
    pub small_files: u64,
    /// Bytes in all files.
    pub bytes: u64,
}

/// Attempts, by how they went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
    /// Failures by their code.
    pub failures: BTreeMap<String, u32>,
}

/// Quantiles over the tasks of a stage. Tasks can be listed by each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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

/// Quantiles of a number of which each task has one; each of them is one of these numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quantiles {
    /// The smallest.
    pub p0: u64,
    /// A quarter are at most this.
    pub p25: u64,
    /// The median.
    pub p50: u64,
    /// Three quarters are at most this.
    pub p75: u64,
    /// All but a twentieth are at most this.
    pub p95: u64,
    /// The largest.
    pub p100: u64,
    /// The sum of all.
    pub sum: u64,
    /// The task that has the largest.
    pub largest_task: u32,
}

/// What an operator did in all tasks of its stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageOperator {
    /// Its place in the stage's plan, from the root at zero, each operator before its inputs.
    pub id: u32,
    /// The operator that takes its rows; absent for the root.
    pub parent: Option<u32>,
    /// Its depth; the root is at zero.
    pub depth: u32,
    /// The operator, such as `HashJoinExec`.
    pub name: String,
    /// Tasks that ran it.
    pub tasks: u32,
    /// Rows that it took from its inputs; those that it read, for a leaf.
    pub rows_in: u64,
    /// Rows that it gave out.
    pub rows: u64,
    /// Bytes of the batches that it gave out, when it counts them.
    pub bytes: u64,
    /// CPU time, in microseconds.
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

/// What a user function took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StageFunction {
    /// Its name.
    pub name: String,
    /// Calls: of a batch each, as a rule.
    pub calls: u64,
    /// Wall time inside it, in microseconds.
    pub wasm_us: u64,
    /// The share of all tasks' time, from 0 to 1.
    pub time_share: f64,
}

/// Whether the rows of a stage add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Conservation {
    /// Rows that the stages before wrote for it; once for each task where every task reads all of them.
    pub rows_offered: u64,
    /// Of these, rows that it read.
    pub rows_taken: u64,
    /// Of these, rows that nobody asked for: behind a limit, for example.
    pub rows_unread: u64,
    /// Rows that it read, from files and from other stages.
    pub rows_in: u64,
    /// Rows that filters and limits dropped.
    pub rows_dropped: u64,
    /// Rows that user functions refused.
    pub rows_refused: u64,
    /// Rows that it wrote.
    pub rows_out: u64,
    /// Rows that the commit made visible, when it is a sink of a run that succeeded.
    pub rows_committed: Option<u64>,
    /// Whether what was written for it is what it read.
    pub exchange: Verdict,
    /// Whether what it read is what it wrote and dropped; not to be said of joins, aggregations and flat maps.
    pub inside: Verdict,
    /// Whether what it wrote is what became visible.
    pub commit: Verdict,
}

/// Whether a sum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds, exactly.
    Holds,
    /// It does not: a bug.
    Broken,
    /// There is nothing to compare, or not yet.
    NotApplicable,
}

impl StageProfile {
    /// A stage and what was measured of it.
    pub fn new(stage: Stage, profile: model::StageProfile) -> Self {
        Self {
            stage,
            transforms: profile.transforms,
            inputs: profile.inputs.into_iter().map(StageInput::from).collect(),
            sink: profile.sink.map(StageSink::from),
            time_share: profile.time_share,
            reopened: profile.reopened,
            attempts: profile.attempts.into(),
            quantiles: profile.quantiles.into(),
            operators: profile.operators.into_iter().map(StageOperator::from).collect(),
            functions: profile.functions.into_iter().map(StageFunction::from).collect(),
            conservation: profile.conservation.into(),
        }
    }
}

/// Types whose fields have the same names in the model.
macro_rules! from_model {
    ($name:ident from $model:ident { $($field:ident),* $(,)? }) => {
        impl From<model::$model> for $name {
            fn from(of: model::$model) -> Self {
                Self { $($field: of.$field.into()),* }
            }
        }
    };
}

from_model!(Quantiles from Quantiles { p0, p25, p50, p75, p95, p100, sum, largest_task });
from_model!(StageQuantiles from StageQuantiles {
    elapsed_us, queue_delay_ms, cpu_us, wasm_us, rows_in, rows_out, bytes_in, bytes_out, shuffle_bytes_in,
    shuffle_bytes_out, spilled_bytes, peak_memory_bytes,
});
from_model!(AttemptCounts from AttemptCounts {
    dispatched, queued, running, succeeded, failed, given_up, retries, speculative, speculative_wins, failures,
});
from_model!(StageSink from SinkProfile { transform, format, files, small_files, bytes });
from_model!(StageFunction from FunctionProfile { name, calls, wasm_us, time_share });
from_model!(StageOperator from OperatorProfile {
    id, parent, depth, name, tasks, rows_in, rows, bytes, cpu_us, wasm_us, spilled_bytes, peak_memory_bytes, functions,
    stage_share, run_share,
});
from_model!(Conservation from Conservation {
    rows_offered, rows_taken, rows_unread, rows_in, rows_dropped, rows_refused, rows_out, rows_committed, exchange,
    inside, commit,
});

impl From<model::InputProfile> for StageInput {
    fn from(input: model::InputProfile) -> Self {
        Self {
            stage: input.stage.0,
            broadcast: input.broadcast,
            rows: input.rows,
            bytes: input.bytes,
        }
    }
}

impl From<model::Verdict> for Verdict {
    fn from(verdict: model::Verdict) -> Self {
        match verdict {
            model::Verdict::Holds => Self::Holds,
            model::Verdict::Broken => Self::Broken,
            model::Verdict::NotApplicable => Self::NotApplicable,
        }
    }
}
