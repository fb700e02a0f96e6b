//! Attempts of tasks.

use serde::{Deserialize, Serialize};
use weir_model::AttemptRow;

use super::Time;

/// One attempt of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attempt {
    /// The stage of the task.
    pub stage: u32,
    /// The task's number in its stage.
    pub task: u32,
    /// The attempt, from zero; grows with every try of the task.
    pub attempt: u32,
    /// Whether it is a copy of a slow attempt.
    pub speculative: bool,
    /// How it goes.
    pub state: AttemptState,
    /// Who ran it, once that is known.
    pub worker: Option<String>,
    /// When its message was decided.
    pub dispatched_at: Time,
    /// When it could be taken: later than it was decided, if it had to wait for a backoff.
    pub ready_at: Time,
    /// When a worker took it.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// The code of the failure, if it failed.
    pub failure: Option<String>,
    /// The place in the run's log of the event that tells how it went.
    pub outcome_seq: Option<u64>,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes spilled to local disk.
    pub spilled_bytes: u64,
    /// The most memory held at once, in bytes.
    pub peak_memory_bytes: u64,
    /// Wall time on the worker, in microseconds.
    pub elapsed_us: u64,
    /// Wall time inside Wasm calls, in microseconds.
    pub wasm_us: u64,
    /// CPU time of its own thread, in microseconds; zero where it cannot be measured.
    pub cpu_us: u64,
    /// Of the bytes read, those from shuffle objects.
    pub shuffle_bytes_in: u64,
    /// Of the bytes written, those to shuffle objects.
    pub shuffle_bytes_out: u64,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// No worker is known to have taken it.
    Queued,
    /// A worker has it.
    Running,
    /// Its output was accepted.
    Succeeded,
    /// It failed, or gave no sign of life for too long.
    Failed,
    /// Another attempt of its task took its place, or the run ended before it did.
    GivenUp,
}

impl From<weir_model::AttemptState> for AttemptState {
    fn from(state: weir_model::AttemptState) -> Self {
        match state {
            weir_model::AttemptState::Queued => Self::Queued,
            weir_model::AttemptState::Running => Self::Running,
            weir_model::AttemptState::Succeeded => Self::Succeeded,
            weir_model::AttemptState::Failed => Self::Failed,
            weir_model::AttemptState::GivenUp => Self::GivenUp,
        }
    }
}

impl From<AttemptState> for weir_model::AttemptState {
    fn from(state: AttemptState) -> Self {
        match state {
            AttemptState::Queued => Self::Queued,
            AttemptState::Running => Self::Running,
            AttemptState::Succeeded => Self::Succeeded,
            AttemptState::Failed => Self::Failed,
            AttemptState::GivenUp => Self::GivenUp,
        }
    }
}

impl From<&AttemptRow> for Attempt {
    fn from(row: &AttemptRow) -> Self {
        Self {
            stage: row.task.stage.0,
            task: row.task.index,
            attempt: row.attempt,
            speculative: row.speculative,
            state: row.state.into(),
            worker: row.worker.map(|worker| worker.to_string()),
            dispatched_at: row.dispatched_at.into(),
            ready_at: row.ready_at.into(),
            started_at: row.started_at.map(Time),
            finished_at: row.finished_at.map(Time),
            failure: row.failure.clone(),
            outcome_seq: row.outcome_seq,
            rows_in: row.rows_in,
            rows_out: row.rows_out,
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            spilled_bytes: row.spilled_bytes,
            peak_memory_bytes: row.peak_memory_bytes,
            elapsed_us: row.elapsed_us,
            wasm_us: row.wasm_us,
            cpu_us: row.cpu_us,
            shuffle_bytes_in: row.shuffle_bytes_in,
            shuffle_bytes_out: row.shuffle_bytes_out,
        }
    }
}

/// Attempts of a run, in the order in which they were dispatched.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptPage {
    /// The attempts.
    pub items: Vec<Attempt>,
    /// Attempts of the run that the query asks for, those of other pages included.
    pub total: u64,
    /// What to give as `after` for those that follow.
    pub next_cursor: String,
    /// Whether everything that is there up to now has been given.
    pub complete: bool,
}
