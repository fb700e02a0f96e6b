//! Tasks.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use weir_model::{AttemptRow, Failure, FailureKind, OperatorMetrics, TaskMetric, TaskMetrics};

use super::{Attempt, AttemptState, Metric};

/// A task with the attempt that says how it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// The stage of the task.
    pub stage: u32,
    /// The task's number in its stage.
    pub task: u32,
    /// How it goes: the state of `attempt`.
    pub state: AttemptState,
    /// Attempts of it.
    pub attempts: u32,
    /// Those of them that failed.
    pub attempts_failed: u32,
    /// The attempt that is under way; else the one whose output was accepted; else the latest.
    pub attempt: Attempt,
}

impl Task {
    /// A task by that attempt.
    pub fn new(attempt: &AttemptRow, attempts: u32, failed: u32) -> Self {
        let attempt = Attempt::from(attempt);
        Self {
            stage: attempt.stage,
            task: attempt.task,
            state: attempt.state,
            attempts,
            attempts_failed: failed,
            attempt,
        }
    }
}

/// Tasks of a run.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskPage {
    /// The tasks.
    pub items: Vec<Task>,
    /// Tasks that the query asks for, those of other pages included.
    pub total: u64,
    /// What to give as `cursor` for those that follow; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A task with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TaskDetail {
    /// The task.
    pub task: Task,
    /// Its attempts, in the order in which they were dispatched; of very many, the latest.
    pub attempts: Vec<AttemptDetail>,
}

/// An attempt with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptDetail {
    /// The attempt.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// How it failed, if it did.
    pub error: Option<AttemptFailure>,
    /// What its operators did, each before its inputs.
    pub operators: Vec<AttemptOperator>,
    /// What its user functions counted, by `function.metric`.
    pub metrics: BTreeMap<String, Metric>,
    /// Lines that its user functions and logging transforms wrote, those that were dropped included.
    pub log_lines: u64,
}

impl AttemptDetail {
    /// An attempt, its failure and its measurements.
    pub fn new(attempt: &AttemptRow, failure: Option<&Failure>, metrics: Option<&TaskMetrics>) -> Self {
        let operators = metrics.map_or(&[][..], |metrics| &metrics.operators);
        let user = metrics.into_iter().flat_map(|metrics| &metrics.user);
        Self {
            attempt: attempt.into(),
            error: failure.map(AttemptFailure::from),
            operators: operators.iter().map(AttemptOperator::from).collect(),
            metrics: user.map(|(name, metric)| (name.clone(), metric.into())).collect(),
            log_lines: metrics.map_or(0, |metrics| metrics.logs.len() as u64 + metrics.dropped_log_lines),
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptFailure {
    /// Whose fault it was.
    pub kind: AttemptFailureKind,
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// The transform, if that is known.
    pub transform: Option<String>,
    /// The user's function, if it was in one.
    pub function: Option<String>,
    /// The first row that it was at, if that is known.
    pub first_row: Option<u64>,
    /// One past the last row that it was at, if that is known.
    pub end_row: Option<u64>,
}

/// Whose fault a failure was, and so what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptFailureKind {
    /// The user's code, data or query: the run fails.
    User,
    /// The platform's: the task is tried again.
    Platform,
    /// Objects of an input stage were gone: their tasks run again.
    ShuffleLost,
    /// It was told to stop.
    Cancelled,
}

impl From<&Failure> for AttemptFailure {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: match failure.kind {
                FailureKind::User => AttemptFailureKind::User,
                FailureKind::Platform => AttemptFailureKind::Platform,
                FailureKind::ShuffleLost => AttemptFailureKind::ShuffleLost,
                FailureKind::Cancelled => AttemptFailureKind::Cancelled,
            },
            code: failure.code.clone(),
            message: failure.message.clone(),
            transform: failure.transform.clone(),
            function: failure.function.clone(),
            first_row: failure.rows.map(|(first, _)| first),
            end_row: failure.rows.map(|(_, end)| end),
        }
    }
}

/// What an operator did in an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttemptOperator {
    /// Its place in the stage's plan, from the root at zero.
    pub id: u32,
    /// The operator, such as `HashJoinExec`.
    pub name: String,
    /// Its depth; the root is at zero.
    pub depth: u32,
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
    /// The most memory that it said to hold, in bytes; few operators say it.
    pub peak_memory_bytes: u64,
}

impl From<&OperatorMetrics> for AttemptOperator {
    fn from(operator: &OperatorMetrics) -> Self {
        Self {
            id: operator.id,
            name: operator.name.clone(),
            depth: operator.depth,
            rows: operator.rows,
            bytes: operator.bytes,
            cpu_us: operator.cpu_us,
            wasm_us: operator.wasm_us,
            spilled_bytes: operator.spilled_bytes,
            peak_memory_bytes: operator.peak_memory_bytes,
        }
    }
}

/// A number of tasks that they can be chosen by; a stage has quantiles of each, under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskRange {
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

impl From<TaskRange> for TaskMetric {
    fn from(range: TaskRange) -> Self {
        match range {
            TaskRange::ElapsedUs => Self::ElapsedUs,
            TaskRange::QueueDelayMs => Self::QueueDelayMs,
            TaskRange::CpuUs => Self::CpuUs,
            TaskRange::WasmUs => Self::WasmUs,
            TaskRange::RowsIn => Self::RowsIn,
            TaskRange::RowsOut => Self::RowsOut,
            TaskRange::BytesIn => Self::BytesIn,
            TaskRange::BytesOut => Self::BytesOut,
            TaskRange::ShuffleBytesIn => Self::ShuffleBytesIn,
            TaskRange::ShuffleBytesOut => Self::ShuffleBytesOut,
            TaskRange::SpilledBytes => Self::SpilledBytes,
            TaskRange::PeakMemoryBytes => Self::PeakMemoryBytes,
        }
    }
}

/// How tasks are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskOrder {
    /// By what.
    pub key: TaskOrderKey,
    /// Whether the largest come first.
    pub descending: bool,
}

/// What tasks are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskOrderKey {
    /// Stage and index.
    Task,
    /// State.
    State,
    /// When the attempt was dispatched.
    DispatchedAt,
    /// When a worker took it.
    StartedAt,
    /// When it ended.
    FinishedAt,
    /// The worker.
    Worker,
    /// Attempts.
    Attempts,
    /// Attempts that failed.
    AttemptsFailed,
    /// A number.
    Metric(TaskMetric),
}

impl TaskOrderKey {
    /// Which of two tasks comes first; each is its attempt, and how many there were and failed.
    pub fn compare(self, a: (&AttemptRow, u32, u32), b: (&AttemptRow, u32, u32)) -> Ordering {
        let ((one, tries, failed), (other, other_tries, other_failed)) = (a, b);
        match self {
            Self::Task => one.task.cmp(&other.task),
            Self::State => AttemptState::from(one.state).cmp(&other.state.into()),
            Self::DispatchedAt => one.dispatched_at.cmp(&other.dispatched_at),
            Self::StartedAt => one.started_at.cmp(&other.started_at),
            Self::FinishedAt => one.finished_at.cmp(&other.finished_at),
            Self::Worker => one.worker.cmp(&other.worker),
            Self::Attempts => tries.cmp(&other_tries),
            Self::AttemptsFailed => failed.cmp(&other_failed),
            Self::Metric(metric) => metric.of(one).cmp(&metric.of(other)),
        }
    }
}

/// The text is no order of tasks.
#[derive(Debug, thiserror::Error)]
#[error(
    "`sort` is `task`, `state`, `dispatched_at`, `started_at`, `finished_at`, `worker`, `attempts`, `attempts_failed` or \
     a metric such as `elapsed_us`, with a `-` before it for the largest first"
)]
pub struct InvalidTaskOrder;

impl FromStr for TaskOrder {
    type Err = InvalidTaskOrder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (descending, word) = match text.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, text),
        };
        let metric = || {
            let word = serde_json::Value::String(word.to_owned());
            serde_json::from_value(word).map_err(|_| InvalidTaskOrder)
        };
        let key = match word {
            "task" => TaskOrderKey::Task,
            "state" => TaskOrderKey::State,
            "dispatched_at" => TaskOrderKey::DispatchedAt,
            "started_at" => TaskOrderKey::StartedAt,
            "finished_at" => TaskOrderKey::FinishedAt,
            "worker" => TaskOrderKey::Worker,
            "attempts" => TaskOrderKey::Attempts,
            "attempts_failed" => TaskOrderKey::AttemptsFailed,
            _ => TaskOrderKey::Metric(metric()?),
        };
        Ok(Self { key, descending })
    }
}

impl TryFrom<String> for TaskOrder {
    type Error = InvalidTaskOrder;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words() {
        let order = |text: &str| {
            text.parse::<TaskOrder>()
                .ok()
                .map(|order| (order.key, order.descending))
        };
        assert_eq!(
            order("-elapsed_us"),
            Some((TaskOrderKey::Metric(TaskMetric::ElapsedUs), true))
        );
        assert_eq!(order("worker"), Some((TaskOrderKey::Worker, false)));
        for text in ["", "-", "--task", "ElapsedUs", "elapsed"] {
            assert_eq!(order(text), None, "{text}");
        }
    }
}
