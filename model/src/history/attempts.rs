//! Attempts in pages of columns.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::columns::{ColumnReader, ColumnWriter, InvalidColumns};
use crate::{AttemptRow, AttemptState, StageId, TaskId, TaskMetric, TaskRow, Timestamp, WorkerId};

/// Attempts in a page; the last one of a run has fewer.
pub const ROWS_PER_PAGE: usize = 8_192;

/// Attempts of a run that follow one another, in the order in which they were dispatched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptPage {
    /// The attempts.
    pub rows: Vec<AttemptRow>,
    /// The tasks that an attempt of this page speaks for, in order of stage and index; see [`TaskRow`].
    pub tasks: Vec<PlacedTask>,
}

/// A task with the attempt of a page that says how it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedTask {
    /// The place of the attempt in the page.
    pub place: usize,
    /// Attempts of the task, those of other pages included.
    pub attempts: u32,
    /// Those of them that failed.
    pub failed: u32,
}

/// What is in a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptPageIndex {
    /// Attempts.
    pub rows: u64,
    /// Its stages, in order.
    pub stages: Vec<PageStage>,
    /// The least and the greatest value of each metric among the attempts that speak for their tasks.
    pub metrics: BTreeMap<TaskMetric, Bounds>,
}

/// What a page has of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageStage {
    /// The stage.
    pub stage: StageId,
    /// Attempts.
    pub rows: u64,
    /// Tasks that they speak for.
    pub tasks: u64,
    /// The least and the greatest index of their tasks.
    pub indexes: Bounds,
}

/// The least and the greatest of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Bounds {
    fn of(value: u64) -> Self {
        Self { min: value, max: value }
    }

    fn extend(&mut self, value: u64) {
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Whether one of the numbers may lie between these, both included.
    pub fn overlaps(&self, min: u64, max: u64) -> bool {
        self.min <= max && min <= self.max
    }
}

impl AttemptPage {
    /// All attempts of a run as pages.
    pub fn all(rows: &[AttemptRow]) -> impl Iterator<Item = Self> + '_ {
        let mut speakers: Vec<Option<(u32, u32)>> = vec![None; rows.len()];
        for task in TaskRow::of(rows) {
            speakers[task.place] = Some((task.attempts, task.failed));
        }
        let mut start = 0;
        rows.chunks(ROWS_PER_PAGE).map(move |chunk| {
            let speakers = &speakers[start..start + chunk.len()];
            start += chunk.len();
            Self::new(chunk.to_vec(), speakers)
        })
    }

    fn new(rows: Vec<AttemptRow>, speakers: &[Option<(u32, u32)>]) -> Self {
        let placed = speakers.iter().enumerate().filter_map(|(place, counts)| {
            let (attempts, failed) = (*counts)?;
            Some(PlacedTask {
                place,
                attempts,
                failed,
            })
        });
        let mut tasks: Vec<PlacedTask> = placed.collect();
        tasks.sort_by_key(|task| rows[task.place].task);
        Self { rows, tasks }
    }

    /// What is in it.
    pub fn index(&self) -> AttemptPageIndex {
        let mut stages: BTreeMap<StageId, PageStage> = BTreeMap::new();
        for row in &self.rows {
            let index = u64::from(row.task.index);
            let stage = stages.entry(row.stage()).or_insert(PageStage {
                stage: row.stage(),
                rows: 0,
                tasks: 0,
                indexes: Bounds::of(index),
            });
            stage.rows += 1;
            stage.indexes.extend(index);
        }
        let mut metrics: BTreeMap<TaskMetric, Bounds> = BTreeMap::new();
        for task in &self.tasks {
            let row = &self.rows[task.place];
            if let Some(stage) = stages.get_mut(&row.stage()) {
                stage.tasks += 1;
            }
            for metric in TaskMetric::ALL {
                let value = metric.of(row);
                metrics
                    .entry(metric)
                    .and_modify(|bounds| bounds.extend(value))
                    .or_insert(Bounds::of(value));
            }
        }
        AttemptPageIndex {
            rows: self.rows.len() as u64,
            stages: stages.into_values().collect(),
            metrics,
        }
    }

    /// The page as bytes, to be compressed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let rows = &self.rows;
        let mut counts: Vec<Option<&PlacedTask>> = vec![None; rows.len()];
        for task in &self.tasks {
            counts[task.place] = Some(task);
        }
        let mut page = ColumnWriter::new(rows.len());
        for (tag, column) in NUMBERS {
            page.numbers(tag, rows.iter().map(column));
        }
        page.numbers(
            tag::TASK_ATTEMPTS,
            counts.iter().map(|task| task.map_or(0, |task| task.attempts.into())),
        );
        page.numbers(
            tag::TASK_FAILED,
            counts.iter().map(|task| task.map_or(0, |task| task.failed.into())),
        );
        let workers: Vec<Option<String>> = rows.iter().map(|row| row.worker.map(|id| id.to_string())).collect();
        page.words(tag::WORKER, workers.iter().map(Option::as_deref));
        page.words(tag::FAILURE, rows.iter().map(|row| row.failure.as_deref()));
        page.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When the bytes are damaged, or come from a newer build.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidColumns> {
        let page = ColumnReader::new(bytes)?;
        let column = |tag| page.numbers(tag);
        let (stage, index, attempt) = (column(tag::STAGE)?, column(tag::INDEX)?, column(tag::ATTEMPT)?);
        let (state, speculative) = (column(tag::STATE)?, column(tag::SPECULATIVE)?);
        let (dispatched, started) = (column(tag::DISPATCHED)?, column(tag::STARTED)?);
        let (finished, outcome) = (column(tag::FINISHED)?, column(tag::OUTCOME_SEQ)?);
        let (rows_in, rows_out) = (column(tag::ROWS_IN)?, column(tag::ROWS_OUT)?);
        let (bytes_in, bytes_out) = (column(tag::BYTES_IN)?, column(tag::BYTES_OUT)?);
        let (spilled, memory) = (column(tag::SPILLED)?, column(tag::PEAK_MEMORY)?);
        let (elapsed, wasm) = (column(tag::ELAPSED)?, column(tag::WASM)?);
        let (ready, cpu) = (column(tag::READY)?, column(tag::CPU)?);
        let (shuffle_in, shuffle_out) = (column(tag::SHUFFLE_IN)?, column(tag::SHUFFLE_OUT)?);
        let (attempts, failed) = (column(tag::TASK_ATTEMPTS)?, column(tag::TASK_FAILED)?);
        let (workers, failures) = (page.words(tag::WORKER)?, page.words(tag::FAILURE)?);
        let mut rows = Vec::with_capacity(page.rows());
        let mut speakers = Vec::with_capacity(page.rows());
        for at in 0..page.rows() {
            let worker = workers[at].map(str::parse::<WorkerId>).transpose();
            let dispatched_at = Timestamp(dispatched[at]);
            let after = |value: u64| {
                value
                    .checked_sub(1)
                    .map(|ms| Timestamp(dispatched_at.0.wrapping_add(ms)))
            };
            rows.push(AttemptRow {
                task: TaskId {
                    stage: StageId(narrow(stage[at], tag::STAGE)?),
                    index: narrow(index[at], tag::INDEX)?,
                },
                attempt: narrow(attempt[at], tag::ATTEMPT)?,
                speculative: speculative[at] != 0,
                state: state_of(state[at])?,
                worker: worker.map_err(|_| InvalidColumns::Damaged { column: tag::WORKER })?,
                dispatched_at,
                ready_at: Timestamp(dispatched_at.0.wrapping_add(ready[at])),
                started_at: after(started[at]),
                finished_at: after(finished[at]),
                failure: failures[at].map(str::to_owned),
                outcome_seq: Some(outcome[at]).filter(|seq| *seq > 0),
                rows_in: rows_in[at],
                rows_out: rows_out[at],
                bytes_in: bytes_in[at],
                bytes_out: bytes_out[at],
                spilled_bytes: spilled[at],
                peak_memory_bytes: memory[at],
                elapsed_us: elapsed[at],
                wasm_us: wasm[at],
                cpu_us: cpu[at],
                shuffle_bytes_in: shuffle_in[at],
                shuffle_bytes_out: shuffle_out[at],
            });
            let counts = (
                narrow(attempts[at], tag::TASK_ATTEMPTS)?,
                narrow(failed[at], tag::TASK_FAILED)?,
            );
            speakers.push(Some(counts).filter(|(attempts, _)| *attempts > 0));
        }
        Ok(Self::new(rows, &speakers))
    }
}

/// The tags of the columns: never given to another column.
mod tag {
    pub(super) const STAGE: u8 = 1;
    pub(super) const INDEX: u8 = 2;
    pub(super) const ATTEMPT: u8 = 3;
    pub(super) const STATE: u8 = 4;
    pub(super) const SPECULATIVE: u8 = 5;
    pub(super) const WORKER: u8 = 6;
    pub(super) const DISPATCHED: u8 = 7;
    pub(super) const STARTED: u8 = 8;
    pub(super) const FINISHED: u8 = 9;
    pub(super) const FAILURE: u8 = 10;
    pub(super) const OUTCOME_SEQ: u8 = 11;
    pub(super) const ROWS_IN: u8 = 12;
    pub(super) const ROWS_OUT: u8 = 13;
    pub(super) const BYTES_IN: u8 = 14;
    pub(super) const BYTES_OUT: u8 = 15;
    pub(super) const SPILLED: u8 = 16;
    pub(super) const PEAK_MEMORY: u8 = 17;
    pub(super) const ELAPSED: u8 = 18;
    pub(super) const WASM: u8 = 19;
    pub(super) const TASK_ATTEMPTS: u8 = 20;
    pub(super) const TASK_FAILED: u8 = 21;
    pub(super) const READY: u8 = 22;
    pub(super) const CPU: u8 = 23;
    pub(super) const SHUFFLE_IN: u8 = 24;
    pub(super) const SHUFFLE_OUT: u8 = 25;
}

type Column = fn(&AttemptRow) -> u64;

/// Columns whose values are numbers of an attempt. Times are one more than the milliseconds since the dispatch, and zero
/// when there is none.
const NUMBERS: [(u8, Column); 21] = [
    (tag::STAGE, |row| row.task.stage.0.into()),
    (tag::INDEX, |row| row.task.index.into()),
    (tag::ATTEMPT, |row| row.attempt.into()),
    (tag::STATE, |row| match row.state {
        AttemptState::Queued => 0,
        AttemptState::Running => 1,
        AttemptState::Succeeded => 2,
        AttemptState::Failed => 3,
        AttemptState::GivenUp => 4,
    }),
    (tag::SPECULATIVE, |row| row.speculative.into()),
    (tag::DISPATCHED, |row| row.dispatched_at.0),
    (tag::STARTED, |row| since_dispatch(row, row.started_at)),
    (tag::FINISHED, |row| since_dispatch(row, row.finished_at)),
    (tag::OUTCOME_SEQ, |row| row.outcome_seq.unwrap_or(0)),
    (tag::ROWS_IN, |row| row.rows_in),
    (tag::ROWS_OUT, |row| row.rows_out),
    (tag::BYTES_IN, |row| row.bytes_in),
    (tag::BYTES_OUT, |row| row.bytes_out),
    (tag::SPILLED, |row| row.spilled_bytes),
    (tag::PEAK_MEMORY, |row| row.peak_memory_bytes),
    (tag::ELAPSED, |row| row.elapsed_us),
    (tag::WASM, |row| row.wasm_us),
    (tag::READY, |row| row.ready_at.0.wrapping_sub(row.dispatched_at.0)),
    (tag::CPU, |row| row.cpu_us),
    (tag::SHUFFLE_IN, |row| row.shuffle_bytes_in),
    (tag::SHUFFLE_OUT, |row| row.shuffle_bytes_out),
];

/// Clocks may go back between two control planes, so that the difference wraps around.
fn since_dispatch(row: &AttemptRow, at: Option<Timestamp>) -> u64 {
    at.map_or(0, |at| at.0.wrapping_sub(row.dispatched_at.0).wrapping_add(1))
}

fn state_of(number: u64) -> Result<AttemptState, InvalidColumns> {
    Ok(match number {
        0 => AttemptState::Queued,
        1 => AttemptState::Running,
        2 => AttemptState::Succeeded,
        3 => AttemptState::Failed,
        4 => AttemptState::GivenUp,
        _ => return Err(InvalidColumns::Damaged { column: tag::STATE }),
    })
}

fn narrow(number: u64, column: u8) -> Result<u32, InvalidColumns> {
    u32::try_from(number).map_err(|_| InvalidColumns::Damaged { column })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> impl Strategy<Value = AttemptRow> {
        let states = prop::sample::select(vec![
            AttemptState::Queued,
            AttemptState::Running,
            AttemptState::Succeeded,
            AttemptState::Failed,
            AttemptState::GivenUp,
        ]);
        // Times as they are, in milliseconds since 1970; the last value of an optional one would be no time at all.
        let time = || (0..u64::MAX / 2).prop_map(Timestamp);
        let ids = (0_u32..3, 0_u32..20, 0_u32..4, states, any::<bool>());
        let times = (time(), time(), prop::option::of(time()), prop::option::of(time()));
        let words = (
            prop::option::of(0_u128..3),
            prop::option::of("[a-z_]{1,9}"),
            prop::option::of(1..u64::MAX),
        );
        (ids, times, words, prop::array::uniform11(any::<u64>())).prop_map(|(ids, times, words, numbers)| {
            let (stage, index, attempt, state, speculative) = ids;
            let (dispatched_at, ready_at, started_at, finished_at) = times;
            let (worker, failure, outcome_seq) = words;
            AttemptRow {
                task: TaskId {
                    stage: StageId(stage),
                    index,
                },
                attempt,
                speculative,
                state,
                worker: worker.map(|random| WorkerId::from_parts(Timestamp(1), random)),
                dispatched_at,
                ready_at,
                started_at,
                finished_at,
                failure,
                outcome_seq,
                rows_in: numbers[0],
                rows_out: numbers[1],
                bytes_in: numbers[2],
                bytes_out: numbers[3],
                spilled_bytes: numbers[4],
                peak_memory_bytes: numbers[5],
                elapsed_us: numbers[6],
                wasm_us: numbers[7],
                cpu_us: numbers[8],
                shuffle_bytes_in: numbers[9],
                shuffle_bytes_out: numbers[10],
            }
        })
    }

    proptest! {
        #[test]
        fn pages_survive_their_bytes(rows in prop::collection::vec(row(), 0..100)) {
            let pages: Vec<AttemptPage> = AttemptPage::all(&rows).collect();
            let mut read = Vec::new();
            for page in pages {
                let bytes = page.to_bytes();
                let again = AttemptPage::from_bytes(&bytes).unwrap();
                prop_assert_eq!(&again, &page);
                read.extend(again.rows);
            }
            prop_assert_eq!(read, rows);
        }
    }

    #[test]
    fn every_task_is_in_one_page_and_its_index_says_where() {
        let attempt = |index, attempt, state| AttemptRow {
            state,
            elapsed_us: u64::from(index),
            ..AttemptRow::dispatched(
                TaskId {
                    stage: StageId(0),
                    index,
                },
                attempt,
                false,
                Timestamp(1),
            )
        };
        let many = ROWS_PER_PAGE as u32 + 10;
        let first = (0..many).map(|index| match index {
            5 => attempt(index, 0, AttemptState::Failed),
            _ => attempt(index, 0, AttemptState::Succeeded),
        });
        let rows: Vec<_> = first.chain([attempt(5, 1, AttemptState::Succeeded)]).collect();
        let pages: Vec<_> = AttemptPage::all(&rows).collect();
        let [first, second] = &pages[..] else {
            panic!("{} pages", pages.len())
        };
        assert_eq!(first.tasks.len() + second.tasks.len(), many as usize);
        let retried = second.tasks[0];
        assert_eq!(
            (second.rows[retried.place].task.index, retried.attempts, retried.failed),
            (5, 2, 1)
        );
        let index = second.index();
        assert_eq!((index.rows, index.stages[0].tasks), (11, 11));
        assert_eq!(
            index.stages[0].indexes,
            Bounds {
                min: 5,
                max: many as u64 - 1
            }
        );
        assert!(index.metrics[&TaskMetric::ElapsedUs].overlaps(5, 5));
        assert!(!index.metrics[&TaskMetric::ElapsedUs].overlaps(many.into(), u64::MAX));
    }
}
