//! What user functions and logging transforms wrote.

use serde::{Deserialize, Serialize};
use weir_model::{EventRecord, LogLevel, LogLine, TaskId, Timestamp};

use super::Time;
use crate::history::{self, PlacedLine};

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
        history::lines(&record.event).map(|(task, attempt, line)| Self::new(record.at, task, attempt, line))
    }

    fn new(at: Timestamp, task: TaskId, attempt: u32, line: &LogLine) -> Self {
        Self {
            at: at.into(),
            task: task.to_string(),
            attempt,
            severity: line.level.into(),
            source: line.source.clone(),
            message: line.message.clone(),
        }
    }
}

impl From<&PlacedLine> for LogEntry {
    fn from(line: &PlacedLine) -> Self {
        Self::new(line.at, line.task, line.attempt, &line.line)
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
