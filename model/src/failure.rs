//! Why something failed, and whose fault it was.

use serde::{Deserialize, Serialize};

use crate::{StageId, TaskId};

/// Decides what happens after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The user's code, data or query is wrong: trying again gives the same. Fails the run at once.
    User,
    /// The platform failed: tried again with backoff, up to a limit.
    Platform,
    /// Objects of an input stage are gone: their makers run again.
    ShuffleLost,
    /// The attempt was told to stop.
    Cancelled,
}

/// A failure of an attempt, or of planning or committing a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose fault it was.
    pub kind: FailureKind,
    /// A stable word for programs, such as `wasm_trap` or `out_of_memory`.
    pub code: String,
    /// What happened and what to do next, for people.
    pub message: String,
    /// The pipeline transform, by its name in the specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// The user's function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The rows of the partition that were being processed: first and one past the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<(u64, u64)>,
    /// With [`FailureKind::ShuffleLost`]: what is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<LostShuffle>,
}

impl Failure {
    /// A failure that only carries a message.
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            transform: None,
            function: None,
            rows: None,
            lost: None,
        }
    }
}

/// Shuffle objects that a reader could not find.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LostShuffle {
    /// The stage that made them.
    pub stage: StageId,
    /// The attempt of that stage whose manifest the reader followed.
    pub stage_attempt: u32,
    /// The keys that are gone.
    pub objects: Vec<String>,
}

/// Why a run ended as it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether submitting the same again may succeed.
    pub retryable: bool,
    /// The task whose failure ended the run, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}
