//! What a job is: the pipeline specification, the stage graph, the messages between control plane and workers, the
//! events of a run, and the pure state machine over them.
//!
//! **Invariants.** Everything here is plain data and pure functions: no IO, no clock, no threads, no DataFusion. Every
//! persisted or transmitted type is serde and stays readable by later builds. Time enters as [`Timestamp`] arguments.
//!
//! **Boundary.** Everything else depends on this crate; it depends on nothing of Weir.

mod attempts;
mod cost;
mod digest;
mod event;
mod failure;
pub mod findings;
mod graph;
pub mod history;
mod ids;
pub mod layout;
pub mod machine;
mod manifest;
mod message;
mod metrics;
mod output;
mod profile;
mod settings;
mod snapshot;
pub mod spec;
mod submission;
mod tasks;
mod trace;

pub use attempts::{AttemptRow, AttemptState, AttemptTable};
pub use cost::{CostEstimate, CostItem, CostLine, CostUnit, InvalidPriceTable, PriceTable, Usage};
pub use digest::{Digest, InvalidDigest};
pub use event::{Event, EventRecord};
pub use failure::{Failure, FailureKind, LostShuffle, Reason};
pub use graph::{CsvDialect, Exchange, PlanRef, SinkInfo, Stage, StageGraph, StageInput, StageOutput};
pub use ids::{AuditId, ExecutionId, InvalidId, KeyId, Namespace, RunId, StageId, TaskId, Timestamp, WorkerId};
pub use manifest::{InvalidManifest, Segment, StageManifest};
pub use message::{InputRef, ReportBody, RunningTask, TaskMessage, TaskReport, WorkerHeartbeat, WorkerMessage};
pub use metrics::{
    Allowance, FunctionMetrics, LogLevel, LogLine, MetricValue, ModuleLoads, OperatorMetrics, RowEffect,
    StorageRequests, TaskMetrics,
};
pub use output::{OutputFile, OutputManifest, PartitionSpan, ShuffleObject, Staged, TaskOutput, UploadedPart};
pub use profile::{
    AttemptCounts, Conservation, FunctionProfile, InputProfile, OperatorProfile, PhaseDurations, Profiler, Quantiles,
    RunProfile, SinkProfile, SlotUse, StageProfile, StageQuantiles, Verdict, WorkerMemory,
};
pub use settings::{CoalesceSettings, RestartPolicy, RestartType, RetrySettings, RunSettings, SpeculationSettings};
pub use snapshot::{RunOutcome, RunPhase, RunSnapshot, StagePhase, StageSnapshot};
pub use submission::{Job, Metadata, PipelineRef, Restarts, ScheduleRef, Submission, TableRef};
pub use tasks::{TaskMetric, TaskRow, TaskTable};
pub use trace::{InvalidTraceParent, TraceParent};
