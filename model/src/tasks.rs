//! The tasks of a run, one row each: which of a task's attempts says how it goes, and what can be compared of it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{AttemptRow, AttemptState, TaskId};

/// Of one task, the attempt that says how it goes, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskRow {
    /// The task.
    pub task: TaskId,
    /// The place of the attempt: one that is under way if there is one; else the latest that succeeded, whose output is
    /// what readers see; else the latest.
    pub place: usize,
    /// Attempts of the task.
    pub attempts: u32,
    /// Those of them that failed.
    pub failed: u32,
}

impl TaskRow {
    /// The tasks of some attempts, in order of stage and index. All attempts of a task must be among them.
    pub fn of(attempts: &[AttemptRow]) -> Vec<Self> {
        let mut tasks: HashMap<TaskId, Self> = HashMap::new();
        for (place, row) in attempts.iter().enumerate() {
            let task = tasks.entry(row.task).or_insert(Self {
                task: row.task,
                place,
                attempts: 0,
                failed: 0,
            });
            task.attempts = task.attempts.saturating_add(1);
            task.failed = task.failed.saturating_add(u32::from(row.state == AttemptState::Failed));
            let known = &attempts[task.place];
            if (rank(row), row.attempt) >= (rank(known), known.attempt) {
                task.place = place;
            }
        }
        let mut tasks: Vec<Self> = tasks.into_values().collect();
        tasks.sort_unstable_by_key(|row| row.task);
        tasks
    }
}

/// How much an attempt says of its task.
fn rank(row: &AttemptRow) -> u8 {
    match row.state {
        AttemptState::Running => 3,
        AttemptState::Queued => 2,
        AttemptState::Succeeded => 1,
        AttemptState::Failed | AttemptState::GivenUp => 0,
    }
}

/// What tasks are compared by: the numbers that a stage's profile has quantiles of, by the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskMetric {
    /// Wall time on the worker, in microseconds.
    ElapsedUs,
    /// From when the attempt could be taken until a worker was known to have it, in milliseconds.
    QueueDelayMs,
    /// CPU time of the attempt's own thread, in microseconds.
    CpuUs,
    /// Wall time inside Wasm calls, in microseconds.
    WasmUs,
    /// Rows read.
    RowsIn,
    /// Rows written.
    RowsOut,
    /// Bytes read.
    BytesIn,
    /// Bytes written.
    BytesOut,
    /// Bytes read from shuffle objects.
    ShuffleBytesIn,
    /// Bytes written to shuffle objects.
    ShuffleBytesOut,
    /// Bytes spilled to local disk.
    SpilledBytes,
    /// The most memory held at once, in bytes.
    PeakMemoryBytes,
}

impl TaskMetric {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::ElapsedUs,
        Self::QueueDelayMs,
        Self::CpuUs,
        Self::WasmUs,
        Self::RowsIn,
        Self::RowsOut,
        Self::BytesIn,
        Self::BytesOut,
        Self::ShuffleBytesIn,
        Self::ShuffleBytesOut,
        Self::SpilledBytes,
        Self::PeakMemoryBytes,
    ];

    /// Its value for an attempt.
    pub fn of(self, row: &AttemptRow) -> u64 {
        match self {
            Self::ElapsedUs => row.elapsed_us,
            Self::QueueDelayMs => row.started_at.map_or(0, |at| at.ms_since(row.ready_at)),
            Self::CpuUs => row.cpu_us,
            Self::WasmUs => row.wasm_us,
            Self::RowsIn => row.rows_in,
            Self::RowsOut => row.rows_out,
            Self::BytesIn => row.bytes_in,
            Self::BytesOut => row.bytes_out,
            Self::SpilledBytes => row.spilled_bytes,
            Self::ShuffleBytesIn => row.shuffle_bytes_in,
            Self::ShuffleBytesOut => row.shuffle_bytes_out,
            Self::PeakMemoryBytes => row.peak_memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StageId, Timestamp};

    fn attempt(index: u32, attempt: u32, state: AttemptState) -> AttemptRow {
        let task = TaskId {
            stage: StageId(0),
            index,
        };
        AttemptRow {
            state,
            ..AttemptRow::dispatched(task, attempt, false, Timestamp(1))
        }
    }

    #[track_caller]
    fn check(states: &[AttemptState], shown: usize, failed: u32) {
        let rows: Vec<_> = (0..).zip(states).map(|(n, state)| attempt(7, n, *state)).collect();
        let tasks = TaskRow::of(&rows);
        let [task] = tasks[..] else { panic!("{tasks:?}") };
        assert_eq!(
            (task.place, task.attempts as usize, task.failed),
            (shown, rows.len(), failed)
        );
    }

    #[test]
    fn the_attempt_that_counts_speaks_for_its_task() {
        use AttemptState::*;
        check(&[Queued], 0, 0);
        check(&[Failed, Running], 1, 1);
        check(&[Running, Queued], 0, 0);
        check(&[GivenUp, Succeeded], 1, 0);
        check(&[Succeeded, GivenUp], 0, 0);
        // Its output was lost, and it ran again.
        check(&[Succeeded, Running], 1, 0);
        check(&[Succeeded, Succeeded], 1, 0);
        check(&[Failed, Failed], 1, 2);
        check(&[Failed, GivenUp], 1, 1);
    }

    #[test]
    fn tasks_come_in_order() {
        let rows = [
            attempt(2, 0, AttemptState::Running),
            attempt(0, 0, AttemptState::Failed),
            attempt(1, 0, AttemptState::Running),
            attempt(0, 1, AttemptState::Queued),
        ];
        let places: Vec<usize> = TaskRow::of(&rows).iter().map(|task| task.place).collect();
        assert_eq!(places, [3, 2, 0]);
    }
}
