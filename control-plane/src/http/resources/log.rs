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
    /// Lines that were looked at for the page.
    pub searched: u64,
}

/// Which lines are wanted; all, where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Those whose source or text has this, which is in lower case.
    pub search: Option<String>,
    /// Those of this stage.
    pub stage: Option<u32>,
    /// Those of this task of the stage.
    pub task: Option<u32>,
    /// Those that are at least so serious.
    pub severity: Option<LogSeverity>,
}

impl LogFilter {
    /// Whether a line is wanted.
    pub fn matches(&self, line: &LogEntry) -> bool {
        let of_task = || {
            let (stage, task) = line.task.split_once('.').unwrap_or_default();
            let is = |wanted: Option<u32>, found: &str| wanted.is_none_or(|wanted| found.parse() == Ok(wanted));
            is(self.stage, stage) && is(self.task, task)
        };
        let has = |text: &str| {
            let found = |field: &str| field.to_lowercase().contains(text);
            found(&line.source) || found(&line.message)
        };
        self.severity.is_none_or(|least| line.severity >= least)
            && ((self.stage, self.task) == (None, None) || of_task())
            && self.search.as_deref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_wanted_when_all_fits() {
        let line = LogEntry {
            at: Timestamp(1).into(),
            task: "2.13".to_owned(),
            attempt: 0,
            severity: LogSeverity::Warn,
            source: "tokenizer".to_owned(),
            message: "Grüße: THE line".to_owned(),
        };
        let filter = |search: &str, stage, task, severity| LogFilter {
            search: Some(search.to_owned()).filter(|search| !search.is_empty()),
            stage,
            task,
            severity,
        };
        for wanted in [
            LogFilter::default(),
            filter("the line", None, None, None),
            filter("grüsse", None, None, None),
            filter("token", Some(2), Some(13), Some(LogSeverity::Warn)),
            filter("", Some(2), None, Some(LogSeverity::Debug)),
        ] {
            let has = wanted.search.as_deref() != Some("grüsse");
            assert_eq!(wanted.matches(&line), has, "{wanted:?}");
        }
        for other in [
            filter("lines", None, None, None),
            filter("", Some(1), Some(13), None),
            filter("", Some(2), Some(1), None),
            filter("", None, None, Some(LogSeverity::Error)),
        ] {
            assert!(!other.matches(&line), "{other:?}");
        }
    }
}
