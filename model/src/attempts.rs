//! The attempts of a run, one row each: what timelines and task lists show.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{Event, EventRecord, StageId, TaskId, TaskMetrics, Timestamp, WorkerId};

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptState {
    /// Its message was decided; no worker is known to have taken it.
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

/// One attempt of a task. Of its measurements there are those of its last report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// The task.
    pub task: TaskId,
    /// The attempt, from zero; grows with every try of the task.
    pub attempt: u32,
    /// Whether it is a copy of a slow attempt.
    pub speculative: bool,
    /// How it goes.
    pub state: AttemptState,
    /// Who ran it, once that is known.
    pub worker: Option<WorkerId>,
    /// When its message was decided.
    pub dispatched_at: Timestamp,
    /// When it could be taken: later than it was decided, if it had to wait for a backoff.
    pub ready_at: Timestamp,
    /// When a worker took it, as the control plane heard of it.
    pub started_at: Option<Timestamp>,
    /// When it ended, as the control plane heard of it.
    pub finished_at: Option<Timestamp>,
    /// The code of the failure, if it failed.
    pub failure: Option<String>,
    /// The place in the log of the event that tells how it went: its failure, its operators, its log lines.
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
    /// CPU time of the attempt's own thread, in microseconds; zero where it cannot be measured.
    pub cpu_us: u64,
    /// Of the bytes read, those from shuffle objects.
    pub shuffle_bytes_in: u64,
    /// Of the bytes written, those to shuffle objects.
    pub shuffle_bytes_out: u64,
}

/// The attempts of a run, in the order in which they were dispatched: a fold over its events. The place of a row
/// never changes.
#[derive(Clone, Debug, Default)]
pub struct AttemptTable {
    rows: Vec<AttemptRow>,
    places: HashMap<(TaskId, u32), usize>,
    /// Of every task, its attempts that have not ended.
    open: HashMap<TaskId, Vec<usize>>,
    last_seq: u64,
}

impl AttemptTable {
    /// The rows.
    pub fn rows(&self) -> &[AttemptRow] {
        &self.rows
    }

    /// The place of the latest event that was folded in.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Folds an event in. Events come in order; one that was folded in already changes nothing.
    pub fn apply(&mut self, record: &EventRecord) {
        if record.seq <= self.last_seq {
            return;
        }
        self.last_seq = record.seq;
        let at = record.at;
        match &record.event {
            Event::TaskDispatched {
                task,
                attempt,
                speculative,
                not_before,
                ..
            } => {
                let ready_at = not_before.map_or(at, |time| time.max(at));
                self.dispatched(*task, *attempt, *speculative, at, ready_at);
            }
            Event::AttemptStarted {
                task, attempt, worker, ..
            } => self.update(*task, *attempt, |row| {
                row.state = AttemptState::Running;
                row.worker = Some(*worker);
                row.started_at = Some(at);
            }),
            Event::TaskAccepted {
                task,
                attempt,
                worker,
                output,
                ..
            } => {
                self.end(*task, *attempt, AttemptState::Succeeded, at);
                self.update(*task, *attempt, |row| {
                    row.worker = Some(*worker);
                    row.outcome_seq = Some(record.seq);
                    row.measured(&output.metrics);
                });
                self.give_up(*task, at);
            }
            Event::AttemptFailed {
                task,
                attempt,
                failure,
                metrics,
                ..
            } => {
                self.end(*task, *attempt, AttemptState::Failed, at);
                self.update(*task, *attempt, |row| {
                    row.failure = Some(failure.code.clone());
                    row.outcome_seq = Some(record.seq);
                    row.measured(metrics);
                });
            }
            Event::Finished { .. } => {
                let left: Vec<TaskId> = self.open.keys().copied().collect();
                for task in left {
                    self.give_up(task, at);
                }
            }
            _ => {}
        }
    }

    fn dispatched(&mut self, task: TaskId, attempt: u32, speculative: bool, at: Timestamp, ready_at: Timestamp) {
        if !speculative {
            self.give_up(task, at);
        }
        let place = self.rows.len();
        self.rows.push(AttemptRow {
            ready_at,
            ..AttemptRow::dispatched(task, attempt, speculative, at)
        });
        self.places.insert((task, attempt), place);
        self.open.entry(task).or_default().push(place);
    }

    fn update(&mut self, task: TaskId, attempt: u32, change: impl FnOnce(&mut AttemptRow)) {
        if let Some(row) = self.places.get(&(task, attempt)).and_then(|at| self.rows.get_mut(*at)) {
            change(row);
        }
    }

    fn end(&mut self, task: TaskId, attempt: u32, state: AttemptState, at: Timestamp) {
        self.update(task, attempt, |row| {
            row.state = state;
            row.finished_at = Some(at);
        });
        if let (Some(place), Some(open)) = (self.places.get(&(task, attempt)), self.open.get_mut(&task)) {
            open.retain(|other| other != place);
        }
    }

    /// Ends the attempts of a task that are under way.
    fn give_up(&mut self, task: TaskId, at: Timestamp) {
        for place in self.open.remove(&task).unwrap_or_default() {
            if let Some(row) = self.rows.get_mut(place) {
                row.state = AttemptState::GivenUp;
                row.finished_at = Some(at);
            }
        }
    }
}

impl AttemptRow {
    /// An attempt whose message was just decided.
    pub fn dispatched(task: TaskId, attempt: u32, speculative: bool, at: Timestamp) -> Self {
        Self {
            task,
            attempt,
            speculative,
            state: AttemptState::Queued,
            worker: None,
            dispatched_at: at,
            ready_at: at,
            started_at: None,
            finished_at: None,
            failure: None,
            outcome_seq: None,
            rows_in: 0,
            rows_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            spilled_bytes: 0,
            peak_memory_bytes: 0,
            elapsed_us: 0,
            wasm_us: 0,
            cpu_us: 0,
            shuffle_bytes_in: 0,
            shuffle_bytes_out: 0,
        }
    }

    /// The stage.
    pub fn stage(&self) -> StageId {
        self.task.stage
    }

    fn measured(&mut self, metrics: &TaskMetrics) {
        self.rows_in = metrics.rows_in;
        self.rows_out = metrics.rows_out;
        self.bytes_in = metrics.bytes_in;
        self.bytes_out = metrics.bytes_out;
        self.spilled_bytes = metrics.spilled_bytes;
        self.peak_memory_bytes = metrics.peak_memory_bytes;
        self.elapsed_us = metrics.elapsed_us;
        self.wasm_us = metrics.wasm_us;
        self.cpu_us = metrics.cpu_us;
        self.shuffle_bytes_in = metrics.shuffle_bytes_in;
        self.shuffle_bytes_out = metrics.shuffle_bytes_out;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failure, FailureKind, RunId, RunOutcome, TaskOutput};

    const TASK: TaskId = TaskId {
        stage: StageId(1),
        index: 7,
    };

    fn id<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
        "01jz0000000000000000000000".parse().unwrap()
    }

    fn dispatched(attempt: u32, speculative: bool) -> Event {
        Event::TaskDispatched {
            task: TASK,
            stage_attempt: 0,
            attempt,
            speculative,
            not_before: None,
        }
    }

    fn started(attempt: u32) -> Event {
        Event::AttemptStarted {
            task: TASK,
            attempt,
            execution: id(),
            worker: id(),
        }
    }

    fn accepted(attempt: u32, rows_out: u64) -> Event {
        let metrics = TaskMetrics {
            rows_out,
            ..TaskMetrics::default()
        };
        Event::TaskAccepted {
            task: TASK,
            stage_attempt: 0,
            attempt,
            execution: id(),
            worker: id(),
            output: Box::new(TaskOutput {
                metrics,
                ..TaskOutput::default()
            }),
        }
    }

    fn folded(events: impl IntoIterator<Item = Event>) -> AttemptTable {
        let mut table = AttemptTable::default();
        for (seq, event) in (1..).zip(events) {
            let record = EventRecord {
                run: id::<RunId>(),
                seq,
                at: Timestamp(1_000 + seq),
                event,
            };
            table.apply(&record);
            table.apply(&record);
        }
        table
    }

    fn states(table: &AttemptTable) -> Vec<AttemptState> {
        table.rows().iter().map(|row| row.state).collect()
    }

    #[test]
    fn an_attempt_is_a_row_from_its_dispatch_to_its_end() {
        let failed = Event::AttemptFailed {
            task: TASK,
            attempt: 0,
            execution: None,
            failure: Failure::new(FailureKind::Platform, "attempt_lost", "it is gone"),
            metrics: Box::default(),
        };
        let table = folded([
            dispatched(0, false),
            started(0),
            failed,
            dispatched(1, false),
            started(1),
            accepted(1, 5),
        ]);
        assert_eq!(states(&table), [AttemptState::Failed, AttemptState::Succeeded]);
        let [first, second] = table.rows() else {
            panic!("{table:?}")
        };
        assert_eq!(first.failure.as_deref(), Some("attempt_lost"));
        assert_eq!(
            (first.dispatched_at, first.started_at, first.finished_at),
            (Timestamp(1_001), Some(Timestamp(1_002)), Some(Timestamp(1_003)))
        );
        assert_eq!((second.rows_out, second.finished_at), (5, Some(Timestamp(1_006))));
        assert_eq!((first.outcome_seq, second.outcome_seq), (Some(3), Some(6)));
    }

    #[test]
    fn what_another_attempt_takes_the_place_of_is_given_up() {
        let again = folded([dispatched(0, false), started(0), dispatched(1, false)]);
        assert_eq!(states(&again), [AttemptState::GivenUp, AttemptState::Queued]);
        let copied = folded([dispatched(0, false), started(0), dispatched(1, true), started(1)]);
        assert_eq!(states(&copied), [AttemptState::Running, AttemptState::Running]);
        let won = folded([
            dispatched(0, false),
            started(0),
            dispatched(1, true),
            started(1),
            accepted(1, 0),
        ]);
        assert_eq!(states(&won), [AttemptState::GivenUp, AttemptState::Succeeded]);
        let over = Event::Finished {
            outcome: RunOutcome::Cancelled,
            reason: None,
        };
        assert_eq!(states(&folded([dispatched(0, false), over])), [AttemptState::GivenUp]);
    }
}
