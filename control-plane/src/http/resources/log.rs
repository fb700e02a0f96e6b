//! What user functions and logging transforms wrote.

use serde::{Deserialize, Serialize};
use weir_model::{Event, EventRecord, LogLevel};

use super::Time;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogEntry {
    /// When the report that carried it was taken.
    pub at: Time,
    /// The task, as `stage.index`.
    pub task: String,
    /// The attempt of the task, from zero.
    pub attempt: u32,
    /// How serious.
    pub severity: LogSeverity,
    /// The function or transform.
    pub source: String,
    /// The text.
    pub message: String,
}

impl LogEntry {
    /// The lines that an event carries.
    pub fn of(record: &EventRecord) -> impl Iterator<Item = Self> + '_ {
        let carried = match &record.event {
            Event::TaskAccepted {
                task, attempt, output, ..
            } => Some((task, *attempt, &output.metrics.logs)),
            Event::AttemptFailed {
                task, attempt, metrics, ..
            } => Some((task, *attempt, &metrics.logs)),
            _ => None,
        };
        carried.into_iter().flat_map(move |(task, attempt, logs)| {
            logs.iter().map(move |line| Self {
                at: record.at.into(),
                task: task.to_string(),
                attempt,
                severity: line.level.into(),
                source: line.source.clone(),
                message: line.message.clone(),
            })
        })
    }
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogSeverity {
    /// For developers.
    Debug,
    /// Normal.
    Info,
    /// Unexpected, but handled.
    Warn,
    /// Wrong.
    Error,
}

impl From<LogLevel> for LogSeverity {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Debug => Self::Debug,
            LogLevel::Info => Self::Info,
            LogLevel::Warn => Self::Warn,
            LogLevel::Error => Self::Error,
        }
    }
}

/// Lines of a run, in the order in which their attempts ended.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LogPage {
    /// The lines; there may be none although more follow.
    pub items: Vec<LogEntry>,
    /// What to give as `after` to go on, now or when the run has gone on.
    pub next_cursor: String,
    /// Whether everything that is there up to now has been given.
    pub complete: bool,
}
