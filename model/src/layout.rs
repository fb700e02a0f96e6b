//! Where objects lie in a run's storage. Keys are relative to the storage root and use `/`.
//!
//! Nobody lists storage to find results: every key here is derived from ids that a reader already has, or travels in
//! a report.

use crate::{Digest, ExecutionId, RunId, StageId, TaskId};

/// A serialised stage plan, by content. It is the run's own, so that it can be deleted with the run.
pub fn plan_key(run: RunId, digest: &Digest) -> String {
    format!("runs/{run}/plans/{digest}")
}

/// A Wasm component, by content.
pub fn module_key(digest: &Digest) -> String {
    format!("modules/{digest}.wasm")
}

/// A Wasm component that was uploaded past the server and is not checked yet.
pub fn upload_key(digest: &Digest) -> String {
    format!("uploads/{digest}.wasm")
}

/// Everything that a run owns and that is deleted with it.
pub fn run_prefix(run: RunId) -> String {
    format!("runs/{run}")
}

/// Present when the run was cancelled; workers look for it at each heartbeat.
pub fn cancel_key(run: RunId) -> String {
    format!("runs/{run}/cancelled")
}

/// Every shuffle object of a run, as a prefix: for garbage collection.
pub fn shuffles_prefix(run: RunId) -> String {
    format!("runs/{run}/shuffle")
}

/// Every shuffle object of a stage, as a prefix: for garbage collection.
pub fn shuffle_prefix(run: RunId, stage: StageId) -> String {
    format!("{}/{stage}", shuffles_prefix(run))
}

/// The shuffle object of one execution of a task.
pub fn shuffle_key(run: RunId, task: TaskId, execution: ExecutionId) -> String {
    format!("{}/{}-{execution}", shuffle_prefix(run, task.stage), task.index)
}

/// The [`StageManifest`](crate::StageManifest) of one attempt of a stage.
pub fn manifest_key(run: RunId, stage: StageId, stage_attempt: u32) -> String {
    format!("runs/{run}/stages/{stage}-{stage_attempt}.manifest")
}
