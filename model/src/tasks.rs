//! The tasks of a run, one row each: which of a task's attempts says how it goes, and what can be compared of it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::{AttemptRow, AttemptState, Event, EventRecord, StageId, TaskId};

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

/// The tasks of a run in order of stage and index, kept up to date event by event: beside an
/// [`AttemptTable`](crate::AttemptTable), whose rows the places are in. What one event costs does not depend on how many
/// tasks there are.
#[derive(Clone, Debug, Default)]
pub struct TaskTable {
    stages: BTreeMap<StageId, BTreeMap<u32, Known>>,
    /// Of each attempt the one of its task before it.
    previous: Vec<Option<usize>>,
    tasks: usize,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    row: TaskRow,
    /// The place of the task's latest attempt.
    latest: usize,
}

impl TaskTable {
    /// Folds an event in, of which the attempts tell already.
    pub fn apply(&mut self, record: &EventRecord, attempts: &[AttemptRow]) {
        while let Some(row) = attempts.get(self.previous.len()) {
            self.begun(row.task);
        }
        match &record.event {
            Event::TaskDispatched { task, .. }
            | Event::AttemptStarted { task, .. }
            | Event::TaskAccepted { task, .. }
            | Event::AttemptFailed { task, .. } => {
                let known = self
                    .stages
                    .get_mut(&task.stage)
                    .and_then(|stage| stage.get_mut(&task.index));
                if let Some(known) = known {
                    known.row = speaking(known.row.task, known.latest, &self.previous, attempts);
                }
            }
            Event::Finished { .. } => {
                for known in self.stages.values_mut().flat_map(BTreeMap::values_mut) {
                    known.row = speaking(known.row.task, known.latest, &self.previous, attempts);
                }
            }
            _ => {}
        }
    }

    /// Adds the next attempt, which is one of this task.
    fn begun(&mut self, task: TaskId) {
        let place = self.previous.len();
        let row = TaskRow {
            task,
            place,
            attempts: 1,
            failed: 0,
        };
        let stage = self.stages.entry(task.stage).or_default();
        let before = stage.insert(task.index, Known { row, latest: place });
        self.previous.push(before.map(|known| known.latest));
        self.tasks += usize::from(before.is_none());
    }

    /// How many tasks there are, or how many of a stage.
    pub fn count(&self, stage: Option<StageId>) -> usize {
        match stage {
            Some(stage) => self.stages.get(&stage).map_or(0, BTreeMap::len),
            None => self.tasks,
        }
    }

    /// A task.
    pub fn get(&self, task: TaskId) -> Option<&TaskRow> {
        let known = self.stages.get(&task.stage)?.get(&task.index)?;
        Some(&known.row)
    }

    /// All tasks in order, or those of a stage.
    pub fn rows(&self, stage: Option<StageId>) -> impl Iterator<Item = &TaskRow> {
        let stages = self
            .stages
            .iter()
            .filter(move |(id, _)| stage.is_none_or(|stage| **id == stage));
        stages.flat_map(|(_, tasks)| tasks.values().map(|known| &known.row))
    }

    /// Those in order, or those of a stage, that come after a task.
    pub fn rows_after(&self, stage: Option<StageId>, after: TaskId) -> impl Iterator<Item = &TaskRow> {
        let stages = self.stages.range(after.stage..);
        let stages = stages.filter(move |(id, _)| stage.is_none_or(|stage| **id == stage));
        stages.flat_map(move |(id, tasks)| {
            let from = match *id == after.stage {
                true => Bound::Excluded(after.index),
                false => Bound::Unbounded,
            };
            tasks.range((from, Bound::Unbounded)).map(|(_, known)| &known.row)
        })
    }

    /// Those in order, or those of a stage, that so many come before. Stages before that are passed over whole, and so are
    /// tasks of a stage of which all were begun with.
    pub fn rows_from(&self, stage: Option<StageId>, place: usize) -> impl Iterator<Item = &TaskRow> {
        let mut passed = place;
        let stages = self
            .stages
            .iter()
            .filter(move |(id, _)| stage.is_none_or(|stage| **id == stage));
        stages.flat_map(move |(_, tasks)| {
            let skipped = passed.min(tasks.len());
            passed -= skipped;
            let is_dense = tasks
                .last_key_value()
                .is_some_and(|(last, _)| *last as usize + 1 == tasks.len());
            // It comes nowhere near the limit where every index is taken.
            let (from, skipped) = if is_dense { (skipped as u32, 0) } else { (0, skipped) };
            tasks.range(from..).skip(skipped).map(|(_, known)| &known.row)
        })
    }
}

/// A task by its attempts, the latest of which is at a place.
fn speaking(task: TaskId, latest: usize, previous: &[Option<usize>], attempts: &[AttemptRow]) -> TaskRow {
    let mut speaking = TaskRow {
        task,
        place: latest,
        attempts: 0,
        failed: 0,
    };
    let mut place = Some(latest);
    while let Some(row) = place.and_then(|place| attempts.get(place)) {
        speaking.attempts = speaking.attempts.saturating_add(1);
        speaking.failed = speaking
            .failed
            .saturating_add(u32::from(row.state == AttemptState::Failed));
        let known = &attempts[speaking.place];
        if (rank(row), row.attempt) > (rank(known), known.attempt) {
            speaking.place = place.unwrap_or(latest);
        }
        place = place.and_then(|place| previous.get(place).copied().flatten());
    }
    speaking
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
    use crate::{AttemptTable, Failure, FailureKind, RunOutcome, Timestamp};

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

    /// Events in an order that no scheduler would choose: tasks of three stages, one of which is never whole, begin, fail,
    /// are copied and end.
    fn events(seed: u64, count: usize) -> Vec<Event> {
        let mut random = seed;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let mut attempts: HashMap<TaskId, u32> = HashMap::new();
        let id = || "01jz0000000000000000000000".parse().unwrap();
        let mut events = Vec::new();
        for _ in 0..count {
            let stage = next(3) as u32;
            // Of the last stage every other task.
            let index = next(20) as u32 * if stage == 2 { 2 } else { 1 };
            let task = TaskId {
                stage: StageId(stage),
                index,
            };
            let known = attempts.get(&task).copied().unwrap_or(0);
            if known == 0 || next(3) == 0 {
                attempts.insert(task, known + 1);
                events.push(Event::TaskDispatched {
                    task,
                    stage_attempt: 0,
                    attempt: known,
                    speculative: next(2) == 0,
                    not_before: None,
                });
                continue;
            }
            let attempt = next(known.into()) as u32;
            events.push(match next(3) {
                0 => Event::AttemptStarted {
                    task,
                    attempt,
                    execution: "01jz0000000000000000000000".parse().unwrap(),
                    worker: id(),
                },
                1 => Event::TaskAccepted {
                    task,
                    stage_attempt: 0,
                    attempt,
                    execution: "01jz0000000000000000000000".parse().unwrap(),
                    worker: id(),
                    output: Box::default(),
                },
                _ => Event::AttemptFailed {
                    task,
                    attempt,
                    execution: None,
                    failure: Failure::new(FailureKind::Platform, "attempt_lost", "it is gone"),
                    metrics: Box::default(),
                },
            });
        }
        events.push(Event::Finished {
            outcome: RunOutcome::Failed,
            reason: None,
        });
        events
    }

    #[test]
    fn a_table_that_is_kept_up_to_date_is_what_the_attempts_say() {
        for seed in 0..20 {
            let (mut attempts, mut tasks) = (AttemptTable::default(), TaskTable::default());
            for (seq, event) in (1..).zip(events(seed, 200)) {
                let record = EventRecord {
                    run: "01jz0000000000000000000000".parse().unwrap(),
                    seq,
                    at: Timestamp(seq),
                    event,
                };
                attempts.apply(&record);
                tasks.apply(&record, attempts.rows());
                let expected = TaskRow::of(attempts.rows());
                assert!(tasks.rows(None).eq(&expected), "seed {seed}, event {seq}");
            }
            check_parts(&tasks);
        }
    }

    /// Any part is found by its place, and by the task before it.
    fn check_parts(tasks: &TaskTable) {
        for stage in [None, Some(StageId(0)), Some(StageId(2)), Some(StageId(7))] {
            let all: Vec<TaskRow> = tasks.rows(stage).copied().collect();
            assert_eq!(tasks.count(stage), all.len());
            for place in 0..all.len() + 2 {
                let rest = all.get(place..).unwrap_or_default();
                assert!(tasks.rows_from(stage, place).eq(rest), "{stage:?} from {place}");
            }
            for (place, row) in all.iter().enumerate() {
                assert!(
                    tasks.rows_after(stage, row.task).eq(&all[place + 1..]),
                    "{stage:?} after {row:?}"
                );
                assert_eq!(tasks.get(row.task), Some(row));
            }
        }
        let beyond = TaskId {
            stage: StageId(1),
            index: u32::MAX,
        };
        assert!(tasks.rows_after(None, beyond).eq(tasks.rows(Some(StageId(2)))));
        assert_eq!(tasks.get(beyond), None);
    }
}
