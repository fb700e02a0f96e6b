//! The history of runs in storage: what is written of a run when it is over, so that no page ever replays its log, and
//! every page can be served without the database.
//!
//! ```text
//! history/NAMESPACE/index/KEY             one small entry per run; keys sort as the list is read, the youngest first
//! history/NAMESPACE/runs/RUN/summary      what the run's page shows, and what is in each of the pages below
//! history/NAMESPACE/runs/RUN/result       where the rows of its result lie, when it has one
//! history/NAMESPACE/runs/RUN/attempts/N   attempts in columns, see [`weir_model::history`]
//! history/NAMESPACE/runs/RUN/events/N     the log as it is
//! history/NAMESPACE/runs/RUN/logs/N       lines that functions wrote
//! ```
//!
//! All of them are compressed (Zstandard); entries, summaries, results, events and lines are JSON in there.
//!
//! **Invariants.** A history follows from the log alone, so that it can be written again, by anybody, and is the same.
//! Pages and the result are written before the summary that names them, and the summary before the entry: whoever finds one finds the
//! rest. A run counts as cleaned up only when its history is complete; until then the log tells of it. Forgetting a run
//! deletes in the opposite order.

mod codec;
mod read;
mod write;

use serde::{Deserialize, Serialize};
use weir_model::history::{AttemptPageIndex, InvalidColumns};
use weir_model::{
    LogLine, Namespace, RunId, RunOutcome, RunProfile, RunSnapshot, ShuffleObject, StageGraph, StageOutput, Submission,
    TaskId, Timestamp, layout,
};
use weir_platform::{Storage, StorageError};

use crate::store::{self, RunRow};

pub use read::History;
pub(crate) use write::lines;
pub use write::{Ended, write};

/// The version of what is written. Raised when older builds would misread it; additions need no other version.
const VERSION: u32 = 1;

/// What is known of a run that is over, without its attempts, events and log lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of the format.
    pub version: u32,
    /// Its row.
    pub row: RunRow,
    /// Its end, without log lines.
    pub snapshot: RunSnapshot,
    /// What was to run.
    pub submission: Submission,
    /// Its stages, if they were planned.
    #[serde(default)]
    pub graph: Option<StageGraph>,
    /// Where its time, its rows and its memory went.
    #[serde(default)]
    pub profile: RunProfile,
    /// Its pages of attempts, in order.
    #[serde(default)]
    pub attempts: Vec<AttemptPageIndex>,
    /// Its pages of events, in order.
    #[serde(default)]
    pub events: Vec<LinePageIndex>,
    /// Its pages of log lines, in order.
    #[serde(default)]
    pub logs: Vec<LinePageIndex>,
    /// Its result, if it has one. Builds before this was written left it out, see [`Summary::misses_result`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultIndex>,
}

impl Summary {
    /// The run.
    pub fn run(&self) -> RunId {
        self.row.run
    }

    /// The place of the latest event.
    pub fn last_seq(&self) -> u64 {
        self.events.last().map_or(0, |page| page.last_seq)
    }

    /// Whether the run has a result of which the history does not say where it lies, so that only the log does.
    pub fn misses_result(&self) -> bool {
        let stages = self.graph.as_ref().map_or(&[][..], |graph| &graph.stages);
        self.result.is_none()
            && self.snapshot.outcome == Some(RunOutcome::Succeeded)
            && stages.iter().any(|stage| stage.output == StageOutput::Result)
    }
}

/// How much of a result there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultIndex {
    /// Objects with rows.
    pub objects: u64,
    /// Rows in all of them.
    pub rows: u64,
    /// Bytes in all of them.
    pub bytes: u64,
}

impl ResultIndex {
    fn of(objects: &[ShuffleObject]) -> Self {
        let spans = || objects.iter().flat_map(|object| &object.index);
        Self {
            objects: objects.len() as u64,
            rows: spans().map(|span| span.rows).fold(0, u64::saturating_add),
            bytes: spans().map(|span| span.length).fold(0, u64::saturating_add),
        }
    }
}

/// What is in a page of events or log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinePageIndex {
    /// The first event of the page, or the event that carries its first line.
    pub first_seq: u64,
    /// The last one.
    pub last_seq: u64,
    /// Events or lines in the page.
    pub lines: u64,
    /// Bytes before they are compressed.
    pub bytes: u64,
}

/// What is listed of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    version: u32,
    row: RunRow,
}

/// A log line with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlacedLine {
    /// The place of the event that carried it.
    pub seq: u64,
    /// Its place among the lines of that event, from zero.
    pub place: usize,
    /// When the report that carried it was taken.
    pub at: Timestamp,
    /// The task.
    pub task: TaskId,
    /// The attempt of the task.
    pub attempt: u32,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine,
}

/// A history cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An object is not what this build can read.
    #[error("the object `{key}` of the history cannot be read: it is damaged, or comes from a newer version of weir")]
    Unreadable {
        /// The object.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An object is larger than any that is written.
    #[error("the object `{key}` of the history is larger than {limit} bytes")]
    TooLarge {
        /// The object.
        key: String,
        /// The bound.
        limit: u64,
    },
    /// Weir has a bug: work on a page panicked.
    #[error("a page of the history cannot be worked on")]
    Panicked(#[source] tokio::task::JoinError),
}

impl Error {
    fn unreadable(key: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unreadable {
            key: key.to_owned(),
            source: source.into(),
        }
    }

    fn columns(key: &str, source: InvalidColumns) -> Self {
        Self::unreadable(key, source)
    }
}

/// Forgets the history of a run: what lists it first.
///
/// # Errors
/// When the storage fails; what is left can be deleted by the same call.
pub async fn delete(storage: &Storage, namespace: &Namespace, run: RunId) -> Result<(), StorageError> {
    storage.delete(vec![layout::history_index_key(namespace, run)]).await?;
    storage
        .delete(vec![layout::history_summary_key(namespace, run)])
        .await?;
    storage.delete_prefix(&layout::history_prefix(namespace, run)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a build of the first days wrote: it must be readable for ever.
    const ENTRY: &str = r#"{"version":1,"row":{"run":"01jz0000000000000000000000","namespace":"default","name":"sums",
        "created_at":1751328000000,"summary":{"phase":"finished","outcome":"succeeded","reason":null,
        "finished_at":1751328001000,"stages":2,"stages_done":2,"tasks":7,"tasks_done":7,"tasks_waiting":0,
        "tasks_running":0},"last_seq":40,"dispatched_seq":20,"cancel_requested_by":null,"cleaned":true,"owner":null,
        "owned_until":0}}"#;

    #[test]
    fn what_was_written_once_can_be_read() {
        let entry: Entry = serde_json::from_str(ENTRY).unwrap();
        assert_eq!(
            (entry.version, &*entry.row.name, entry.row.summary.tasks),
            (1, "sums", 7)
        );
        let snapshot = r#"{"run":"01jz0000000000000000000000","namespace":"default","name":"sums","phase":"finished",
            "outcome":"succeeded","reason":null,"created_at":1751328000000,"planned_at":null,
            "finished_at":1751328001000,"stages":[],"outputs":[],"logs":[]}"#;
        let submission = r#"{"name":"sums","job":{"kind":"sql","statement":"SELECT 1"},"base":"/"}"#;
        let row = ENTRY.split_once("\"row\":").unwrap().1.strip_suffix('}').unwrap();
        let summary = format!(r#"{{"version":1,"row":{row},"snapshot":{snapshot},"submission":{submission}}}"#);
        let summary: Summary = serde_json::from_str(&summary).unwrap();
        assert_eq!((summary.run(), summary.last_seq()), (entry.row.run, 0));
    }
}
