//! Where objects lie in a run's storage. Keys are relative to the storage root and use `/`.
//!
//! Nobody lists storage to find results: every key here is derived from ids that a reader already has, or travels in
//! a report. The one list that people look at is that of the runs in the [history](history_index_prefix), whose keys sort
//! as it is read.

use crate::{Digest, ExecutionId, Namespace, RunId, StageId, TaskId};

/// A serialised stage plan, by content. It is the run's own, so that it can be deleted with the run.
pub fn plan_key(run: RunId, digest: &Digest) -> String {
    format!("runs/{run}/plans/{digest}")
}

/// The folder of the Wasm components of all namespaces.
pub const MODULES: &str = "modules";

/// The folder of a namespace's Wasm components. Nobody else reaches what is in it, whatever digests they know.
pub fn module_prefix(namespace: &Namespace) -> String {
    format!("{MODULES}/{namespace}")
}

/// A Wasm component of a namespace, by content.
pub fn module_key(namespace: &Namespace, digest: &Digest) -> String {
    format!("{MODULES}/{namespace}/{digest}.wasm")
}

/// What is known of a Wasm component, beside it: what it offers, and who uploaded it.
pub fn module_notes_key(namespace: &Namespace, digest: &Digest) -> String {
    format!("{MODULES}/{namespace}/{digest}.json")
}

/// The folder of Wasm components that were uploaded past the server, of all namespaces.
pub const UPLOADS: &str = "uploads";

/// A Wasm component that was uploaded past the server and is not checked yet.
pub fn upload_key(namespace: &Namespace, digest: &Digest) -> String {
    format!("{UPLOADS}/{namespace}/{digest}.wasm")
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

/// Present when the messages of a run are withdrawn that were decided after so many pauses. It stays for as long as the
/// run's other objects: messages that are decided later count one more.
pub fn pause_key(run: RunId, pauses: u32) -> String {
    format!("runs/{run}/paused/{pauses}")
}

/// The [`pause_key`]s of a run, as a prefix.
pub fn pause_prefix(run: RunId) -> String {
    format!("runs/{run}/paused")
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

/// Below it, one folder per namespace with the history of its runs.
pub const HISTORY: &str = "history";

/// The entries by which the runs of a namespace are listed without a database, the youngest first.
pub fn history_index_prefix(namespace: &Namespace) -> String {
    format!("{HISTORY}/{namespace}/index")
}

/// The entry of a run that is over.
pub fn history_index_key(namespace: &Namespace, run: RunId) -> String {
    format!("{}/{}", history_index_prefix(namespace), run.to_descending())
}

/// Everything that is kept of a run that is over, its entry aside. Apart from [`run_prefix`], since it stays when the
/// run's objects are deleted.
pub fn history_prefix(namespace: &Namespace, run: RunId) -> String {
    format!("{HISTORY}/{namespace}/runs/{run}")
}

/// What is known of a run that is over, and where the rest is. Whoever finds it finds every page that it names.
pub fn history_summary_key(namespace: &Namespace, run: RunId) -> String {
    format!("{}/summary", history_prefix(namespace, run))
}

/// Where the rows of a run's result lie, if it has one.
pub fn history_result_key(namespace: &Namespace, run: RunId) -> String {
    format!("{}/result", history_prefix(namespace, run))
}

/// A page of a run's history: of its `attempts`, `events` or `logs`, counted from zero.
pub fn history_page_key(namespace: &Namespace, run: RunId, kind: &str, page: usize) -> String {
    format!("{}/{kind}/{page:06}", history_prefix(namespace, run))
}

/// Where everything of a namespace is that is not of one run alone.
pub fn namespace_prefixes(namespace: &Namespace) -> [String; 3] {
    [
        module_prefix(namespace),
        format!("uploads/{namespace}"),
        format!("{HISTORY}/{namespace}"),
    ]
}
