//! What the API takes and gives, as JSON.
//!
//! These are the API's own types, apart from the model's: the model may change with the scheduler, the API only grows.
//! The command line prints them too, so that a script sees the same whether a run was made here or by a server.

mod attempt;
mod audit;
mod event;
mod finding;
mod key;
mod log;
mod module;
mod namespace;
mod pipeline;
mod quota;
mod request;
mod rows;
mod run;
mod schedule;
mod session;
mod settings;
mod sql;
mod stage;
mod stream;
mod task;
mod time;
mod usage;
mod worker;

pub use attempt::{Attempt, AttemptPage, AttemptState};
pub use audit::{AuditEntry, AuditPage};
pub(super) use event::size;
pub use event::{Event, EventPage};
pub use finding::{Evidence, EvidenceUnit, Finding, FindingList, FindingSeverity};
pub use key::{CreatedKey, Key, KeyPage, KeyRequest, KeyState};
pub use log::{LogEntry, LogFilter, LogPage, LogSeverity};
pub use module::{ListedModule, Module, ModuleFunction, ModuleOutput, ModulePage, Upload, UploadRequest};
pub use namespace::{Namespace, NamespacePage, NamespaceRequest, NamespaceSettings};
pub(super) use pipeline::etag;
pub use pipeline::{
    ListedPipeline, ListedPipelineVersion, Pipeline, PipelineLinks, PipelinePage, PipelineRequest, PipelineRunRequest,
    PipelineVersion, PipelineVersionPage, RunPipeline,
};
pub use quota::{Quota, QuotaLimits, QuotaUsage};
pub use request::{RunRequest, SqlJob, Table};
pub use rows::{Column, OutputLink, OutputLinkPage, RowPage, RunOutput, RunOutputs};
pub use run::{
    Durations, HistoryState, JobKind, Links, ListedRun, Metric, Output, Progress, RequestedState, Run, RunMetrics,
    RunPage, RunReason, RunResult, RunState, Stage, StageState,
};
pub use schedule::{
    RunSchedule, Schedule, ScheduleLinks, SchedulePage, SchedulePreview, ScheduleRequest, ScheduleState,
};
pub use session::{
    Authentication, EndedSessions, ListedSession, NamespaceAccess, Session, SessionPage, SessionRequest,
};
pub use sql::{SqlCheck, SqlCheckRequest, SqlError, SqlRole, SqlStage, SqlStatement};
pub use stage::{
    AttemptCounts, Conservation, Quantiles, StageFunction, StageInput, StageList, StageOperator, StageProfile,
    StageQuantiles, StageSink, Verdict,
};
pub use stream::{StreamChanged, StreamEnd, StreamEndReason, StreamResource, StreamRows, StreamRun, StreamRunPatch};
pub use task::{
    AttemptDetail, AttemptFailure, AttemptFailureKind, AttemptOperator, InvalidTaskOrder, Task, TaskDetail, TaskOrder,
    TaskOrderKey, TaskPage, TaskRange,
};
pub use time::Time;
pub use usage::{BilledItem, BilledUnit, Cost, CostLine, ModuleLoads, Resources, StorageRequests, Usage};
pub use worker::{Scaling, ScalingBacklog, Worker, WorkerPage, WorkerState, WorkerTask};

/// What readiness found.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Readiness {
    /// Whether everything that is needed answers.
    pub ready: bool,
    /// What was asked.
    pub checks: Vec<ReadinessCheck>,
}

/// One part that was asked.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ReadinessCheck {
    /// The part: `store`, `storage`, `task_queue`, …
    pub name: String,
    /// Whether it answered in time.
    pub ok: bool,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// That the process is alive.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Health {
    /// Always `ok`.
    pub status: String,
    /// The version of this build.
    pub version: String,
}
