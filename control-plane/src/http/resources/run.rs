//! Runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{
    Digest, Job, MetricValue, Namespace, OutputManifest, PhaseDurations, PriceTable, Reason, RunId, RunOutcome,
    RunPhase, RunSettings, RunSnapshot, StagePhase, StageSnapshot, Submission, TraceParent,
};
use weir_platform::clock;

use super::{Resources, RunPipeline, RunSchedule, Time, Usage, settings};
use crate::admission::is_queued;
use crate::store::RunRow;

/// A run with its stages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Run {
    /// Its id; ids sort by the time of submission.
    #[schema(value_type = String, example = "01jz0000000000000000000000")]
    pub id: RunId,
    /// The tenant.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// The job's name.
    pub name: String,
    /// The submitter's own words for it.
    pub labels: BTreeMap<String, String>,
    /// Who submitted it.
    pub created_by: Option<String>,
    /// The definition that it was made of.
    pub pipeline: Option<RunPipeline>,
    /// The schedule that made it.
    pub schedule: Option<RunSchedule>,
    /// The run that this one tries again.
    #[schema(value_type = Option<String>)]
    pub retry_of: Option<RunId>,
    /// The id of its trace, if it was submitted with one.
    pub trace_id: Option<String>,
    /// Changes whenever anything else in this resource does. The same as the header, without quotes.
    pub etag: String,
    /// Where it is.
    pub state: RunState,
    /// Where somebody asked it to go, while it is not there.
    pub requested_state: Option<RequestedState>,
    /// How it ended, once it has.
    pub result: Option<RunResult>,
    /// Why it ended so, unless it succeeded.
    pub reason: Option<RunReason>,
    /// When it was submitted.
    pub created_at: Time,
    /// When its stages were known.
    pub planned_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// Since when nothing new of it is begun.
    pub paused_at: Option<Time>,
    /// How often it was tried before by its restart policy.
    pub restarts: u32,
    /// When it is tried again as a new run by its restart policy.
    pub restart_at: Option<Time>,
    /// When it is forgotten by its restart policy.
    pub expires_at: Option<Time>,
    /// How long its phases took.
    pub durations: Durations,
    /// What kind of job it is.
    pub job: JobKind,
    /// The Wasm components that it uses, by the path that the job uses for them.
    #[schema(value_type = BTreeMap<String, String>)]
    pub modules: BTreeMap<String, Digest>,
    /// Its settings.
    #[schema(value_type = settings::RunSettings)]
    pub settings: RunSettings,
    /// What a task of it is allowed.
    pub resources: Resources,
    /// What it used, and about what that costs.
    pub usage: Usage,
    /// Totals over its stages.
    pub progress: Progress,
    /// Its stages, once they are planned.
    pub stages: Vec<Stage>,
    /// Its committed outputs.
    pub outputs: Vec<Output>,
    /// What user functions counted, by `function.metric`.
    pub metrics: BTreeMap<String, Metric>,
    /// Lines that its user functions and logging transforms wrote.
    pub log_lines: u64,
    /// Events of its log. Stages, tasks, attempts and findings stay as they are while it does not grow, but for the
    /// progress of running attempts.
    pub events: u64,
    /// Whether its history is in storage, once it is over.
    pub history: Option<HistoryState>,
    /// Where to go on.
    pub links: Links,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// No server has room for it yet.
    Queued,
    /// Its stages are not known yet.
    Planning,
    /// Its stages run.
    Running,
    /// Nothing of it runs until it is resumed.
    Paused,
    /// Its outputs are being made visible.
    Committing,
    /// It is being stopped.
    Stopping,
    /// It is over, see `result`.
    Finished,
}

/// Where somebody wants a run to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestedState {
    /// Stopped.
    Cancelled,
    /// Held up: what runs comes to its end.
    Paused,
    /// Going on.
    Running,
}

/// Whether the history of a run that is over is in storage, where it can be read without the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HistoryState {
    /// It is being written, again and again should that fail; until then the run is read from its log.
    Pending,
    /// It is there.
    Stored,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Its outputs are visible.
    Succeeded,
    /// It left nothing.
    Failed,
    /// It left nothing, as asked.
    Cancelled,
}

/// Why a run ended as it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunReason {
    /// A stable word for programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether submitting the same again may succeed.
    pub retryable: bool,
    /// The stage of the task whose failure ended the run, if one did.
    pub stage: Option<u32>,
    /// That task's position in its stage, from zero.
    pub task: Option<u32>,
}

/// How long the phases of a run took, in milliseconds. They follow each other; one that is not over is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Durations {
    /// From the submission until a server began with it.
    pub queued_ms: Option<u64>,
    /// From then until the stages were known.
    pub planning_ms: Option<u64>,
    /// From then until a worker took the first task.
    pub cold_start_ms: Option<u64>,
    /// From then until the last stage was complete, or the run was stopped.
    pub running_ms: Option<u64>,
    /// From then until the end.
    pub committing_ms: Option<u64>,
    /// From the submission until the end.
    pub total_ms: Option<u64>,
}

/// What a run runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A Beam pipeline.
    Pipeline,
    /// A SQL statement.
    Sql,
}

/// Totals over the stages of a run. Rows and bytes count accepted attempts, and what running ones have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// Stages, once they are planned.
    pub stages: u32,
    /// Stages whose inputs are not complete.
    pub stages_waiting: u32,
    /// Stages whose tasks run.
    pub stages_running: u32,
    /// Stages that are complete.
    pub stages_completed: u32,
    /// Stages that were not complete when the run ended.
    #[serde(default)]
    pub stages_stopped: u32,
    /// Tasks of the stages that have started.
    pub tasks: u32,
    /// Tasks that no worker has, and that are not done.
    pub tasks_waiting: u32,
    /// Tasks with an attempt under way.
    pub tasks_running: u32,
    /// Tasks that are done.
    pub tasks_done: u32,
    /// Attempts that failed.
    pub attempts_failed: u32,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes spilled.
    pub spilled_bytes: u64,
}

/// Where a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageState {
    /// Its inputs are not complete.
    Waiting,
    /// Its tasks run.
    Running,
    /// Its output is complete.
    Completed,
    /// The run ended before its output was complete.
    Stopped,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Stage {
    /// Its number.
    pub id: u32,
    /// What it does.
    pub name: String,
    /// Where it is.
    pub state: StageState,
    /// Tasks, once known.
    pub tasks: u32,
    /// Tasks with an attempt under way.
    pub tasks_running: u32,
    /// Tasks that are done.
    pub tasks_done: u32,
    /// Attempts that failed.
    pub attempts_failed: u32,
    /// Rows read.
    pub rows_in: u64,
    /// Rows written.
    pub rows_out: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Bytes spilled.
    pub spilled_bytes: u64,
    /// When its first task was dispatched.
    pub started_at: Option<Time>,
    /// When it was complete.
    pub finished_at: Option<Time>,
}

/// A committed output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Output {
    /// The transform that wrote it.
    pub transform: String,
    /// The files, by name, relative to the folder of the output.
    pub files: Vec<String>,
    /// Rows in all files.
    pub rows: u64,
    /// Bytes in all files.
    pub bytes: u64,
}

/// A metric of a user function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Metric {
    /// A sum.
    Counter {
        /// The sum.
        value: i64,
    },
    /// A summary of samples.
    Distribution {
        /// Number of samples.
        count: u64,
        /// Sum of the samples.
        sum: i64,
        /// The smallest sample.
        min: i64,
        /// The largest sample.
        max: i64,
    },
    /// The latest value.
    Gauge {
        /// The value.
        value: i64,
    },
}

/// What a run counted and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunMetrics {
    /// The run.
    #[schema(value_type = String)]
    pub run: RunId,
    /// What user functions counted in accepted attempts, by `function.metric`.
    pub user: BTreeMap<String, Metric>,
    /// How long its phases took.
    pub durations: Durations,
    /// Totals over its stages.
    pub progress: Progress,
    /// What it used, and about what that costs.
    pub usage: Usage,
}

impl From<Run> for RunMetrics {
    fn from(run: Run) -> Self {
        Self {
            run: run.id,
            user: run.metrics,
            durations: run.durations,
            progress: run.progress,
            usage: run.usage,
        }
    }
}

/// Where to go on, as paths of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Links {
    /// The run.
    #[serde(rename = "self")]
    pub this: String,
    /// What happened to it.
    pub events: String,
    /// What its functions wrote.
    pub logs: String,
    /// What it counted and used.
    pub metrics: String,
    /// What is worth a look in it.
    pub findings: String,
    /// The attempts of its tasks.
    pub attempts: String,
    /// Its page of the dashboard.
    pub dashboard: String,
}

/// A run in a list. Its counts may be some hundred milliseconds old.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedRun {
    /// Its id.
    #[schema(value_type = String, example = "01jz0000000000000000000000")]
    pub id: RunId,
    /// The tenant.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// The job's name.
    pub name: String,
    /// The definition that it was made of.
    pub pipeline: Option<RunPipeline>,
    /// The schedule that made it.
    pub schedule: Option<RunSchedule>,
    /// Who submitted it.
    pub created_by: Option<String>,
    /// The submitter's own words for it.
    pub labels: BTreeMap<String, String>,
    /// Where it is.
    pub state: RunState,
    /// Where somebody asked it to go, while it is not there.
    pub requested_state: Option<RequestedState>,
    /// How it ended, once it has.
    pub result: Option<RunResult>,
    /// Why it ended so, unless it succeeded.
    pub reason: Option<RunReason>,
    /// When it was submitted.
    pub created_at: Time,
    /// When it ended.
    pub finished_at: Option<Time>,
    /// Stages, once they are planned.
    pub stages: u32,
    /// Stages that are complete.
    pub stages_completed: u32,
    /// Tasks of the stages that have started.
    pub tasks: u32,
    /// Tasks that are done.
    pub tasks_done: u32,
    /// Where to go on.
    pub links: Links,
}

/// Runs, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunPage {
    /// The runs.
    pub items: Vec<ListedRun>,
    /// What to give as `cursor` for older ones; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Run {
    /// A run as the API shows it; `row` is that of the store, when there is one. What it used is estimated at `prices`.
    pub fn new(snapshot: &RunSnapshot, submission: &Submission, row: Option<&RunRow>, prices: &PriceTable) -> Self {
        let queued = row.is_some_and(queued);
        let mut stages: Vec<Stage> = snapshot.stages.iter().map(Stage::from).collect();
        if snapshot.phase == RunPhase::Finished {
            stages.iter_mut().for_each(Stage::end);
        }
        let metadata = &submission.metadata;
        let mut run = Self {
            id: snapshot.run,
            namespace: snapshot.namespace.clone(),
            name: snapshot.name.clone(),
            labels: metadata.labels.clone(),
            created_by: metadata.created_by.clone(),
            pipeline: metadata.pipeline.as_ref().map(RunPipeline::from),
            schedule: metadata.schedule.as_ref().map(RunSchedule::from),
            retry_of: metadata.retry_of,
            trace_id: Some(trace_id(snapshot.run, submission)),
            etag: String::new(),
            state: state(snapshot.phase, queued),
            requested_state: row.and_then(|row| requested(row, snapshot.phase)),
            result: snapshot.outcome.map(RunResult::from),
            reason: snapshot.reason.clone().map(RunReason::from),
            created_at: snapshot.created_at.into(),
            planned_at: snapshot.planned_at.map(Time),
            finished_at: snapshot.finished_at.map(Time),
            paused_at: snapshot.paused_at.map(Time),
            restarts: metadata.restarts.total(),
            restart_at: row.and_then(|row| row.summary.restart_at).map(Time),
            expires_at: snapshot.expires_at.map(Time),
            durations: match queued {
                true => Durations::default(),
                false => snapshot.phases.into(),
            },
            job: match submission.job {
                Job::Pipeline { .. } => JobKind::Pipeline,
                Job::Sql { .. } => JobKind::Sql,
            },
            modules: submission.modules.clone(),
            settings: submission.settings.clone(),
            resources: snapshot.allowance.into(),
            usage: Usage::new(&snapshot.usage, prices),
            progress: progress(&stages),
            stages,
            outputs: snapshot.outputs.iter().map(Output::from).collect(),
            metrics: snapshot
                .metrics
                .iter()
                .map(|(name, metric)| (name.clone(), metric.into()))
                .collect(),
            log_lines: snapshot.log_lines,
            events: row.map_or(0, |row| row.last_seq),
            history: (snapshot.phase == RunPhase::Finished).then(|| match row.is_some_and(|row| row.cleaned) {
                true => HistoryState::Stored,
                false => HistoryState::Pending,
            }),
            links: Links::new(snapshot.run),
        };
        run.etag = etag(&run);
        run
    }
}

/// A digest of everything else in the resource.
fn etag(run: &Run) -> String {
    // What cannot be written as JSON has no answer either; a constant is a valid tag for it.
    let digest = Digest::of(&serde_json::to_vec(run).unwrap_or_default());
    digest.as_bytes()[..12]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn trace_id(run: RunId, submission: &Submission) -> String {
    let trace = TraceParent::of_run(run, Some(submission)).trace_id;
    trace.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn requested(row: &RunRow, phase: RunPhase) -> Option<RequestedState> {
    let paused = row.pause_requested_by.is_some();
    match phase {
        RunPhase::Finished => None,
        _ if row.cancel_requested_by.is_some() => Some(RequestedState::Cancelled),
        RunPhase::Paused if !paused => Some(RequestedState::Running),
        RunPhase::Planning | RunPhase::Running if paused => Some(RequestedState::Paused),
        _ => None,
    }
}

impl From<PhaseDurations> for Durations {
    fn from(phases: PhaseDurations) -> Self {
        Self {
            queued_ms: phases.queued_ms,
            planning_ms: phases.planning_ms,
            cold_start_ms: phases.cold_start_ms,
            running_ms: phases.running_ms,
            committing_ms: phases.committing_ms,
            total_ms: phases.total_ms,
        }
    }
}

fn progress(stages: &[Stage]) -> Progress {
    let mut total = Progress::default();
    for stage in stages {
        total.stages = total.stages.saturating_add(1);
        let of = match stage.state {
            StageState::Waiting => &mut total.stages_waiting,
            StageState::Running => &mut total.stages_running,
            StageState::Completed => &mut total.stages_completed,
            StageState::Stopped => &mut total.stages_stopped,
        };
        *of = of.saturating_add(1);
        total.tasks = total.tasks.saturating_add(stage.tasks);
        let taken = stage.tasks_running.saturating_add(stage.tasks_done);
        total.tasks_waiting = total.tasks_waiting.saturating_add(stage.tasks.saturating_sub(taken));
        total.tasks_running = total.tasks_running.saturating_add(stage.tasks_running);
        total.tasks_done = total.tasks_done.saturating_add(stage.tasks_done);
        total.attempts_failed = total.attempts_failed.saturating_add(stage.attempts_failed);
        total.rows_in = total.rows_in.saturating_add(stage.rows_in);
        total.rows_out = total.rows_out.saturating_add(stage.rows_out);
        total.bytes_in = total.bytes_in.saturating_add(stage.bytes_in);
        total.bytes_out = total.bytes_out.saturating_add(stage.bytes_out);
        total.spilled_bytes = total.spilled_bytes.saturating_add(stage.spilled_bytes);
    }
    total
}

impl Links {
    fn new(run: RunId) -> Self {
        let this = format!("/api/v1/runs/{run}");
        Self {
            events: format!("{this}/events"),
            logs: format!("{this}/logs"),
            metrics: format!("{this}/metrics"),
            findings: format!("{this}/findings"),
            attempts: format!("{this}/attempts"),
            dashboard: format!("/runs/{run}"),
            this,
        }
    }
}

impl From<&RunRow> for ListedRun {
    fn from(row: &RunRow) -> Self {
        let summary = &row.summary;
        Self {
            id: row.run,
            namespace: row.namespace.clone(),
            name: row.name.clone(),
            pipeline: row.pipeline.as_ref().map(RunPipeline::from),
            schedule: row.schedule.as_ref().map(RunSchedule::from),
            created_by: row.created_by.clone(),
            labels: row.labels.clone(),
            state: state(summary.phase, queued(row)),
            requested_state: requested(row, summary.phase),
            result: summary.outcome.map(RunResult::from),
            reason: summary.reason.clone().map(RunReason::from),
            created_at: row.created_at.into(),
            finished_at: summary.finished_at.map(Time),
            stages: summary.stages,
            stages_completed: summary.stages_done,
            tasks: summary.tasks,
            tasks_done: summary.tasks_done,
            links: Links::new(row.run),
        }
    }
}

/// Whether nobody has begun with a run, nor does now: one that waits has an owner whose lease was over from the first.
fn queued(row: &RunRow) -> bool {
    is_queued(row) && (row.owner.is_none() || row.owned_until <= clock::now())
}

fn state(phase: RunPhase, queued: bool) -> RunState {
    match phase {
        RunPhase::Planning if queued => RunState::Queued,
        RunPhase::Planning => RunState::Planning,
        RunPhase::Running => RunState::Running,
        RunPhase::Paused => RunState::Paused,
        RunPhase::Committing => RunState::Committing,
        RunPhase::Stopping => RunState::Stopping,
        RunPhase::Finished => RunState::Finished,
    }
}

impl From<RunState> for RunPhase {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued | RunState::Planning => Self::Planning,
            RunState::Running => Self::Running,
            RunState::Paused => Self::Paused,
            RunState::Committing => Self::Committing,
            RunState::Stopping => Self::Stopping,
            RunState::Finished => Self::Finished,
        }
    }
}

impl From<RunResult> for RunOutcome {
    fn from(result: RunResult) -> Self {
        match result {
            RunResult::Succeeded => Self::Succeeded,
            RunResult::Failed => Self::Failed,
            RunResult::Cancelled => Self::Cancelled,
        }
    }
}

impl From<RunOutcome> for RunResult {
    fn from(outcome: RunOutcome) -> Self {
        match outcome {
            RunOutcome::Succeeded => Self::Succeeded,
            RunOutcome::Failed => Self::Failed,
            RunOutcome::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Reason> for RunReason {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code,
            message: reason.message,
            retryable: reason.retryable,
            stage: reason.task.map(|task| task.stage.0),
            task: reason.task.map(|task| task.index),
        }
    }
}

impl Stage {
    /// Its run is over.
    fn end(&mut self) {
        if self.state != StageState::Completed {
            self.state = StageState::Stopped;
        }
    }
}

impl From<&StageSnapshot> for Stage {
    fn from(stage: &StageSnapshot) -> Self {
        Self {
            id: stage.id.0,
            name: stage.name.clone(),
            state: match stage.phase {
                StagePhase::Waiting => StageState::Waiting,
                StagePhase::Running => StageState::Running,
                StagePhase::Completed => StageState::Completed,
            },
            tasks: stage.tasks,
            tasks_running: stage.running,
            tasks_done: stage.done,
            attempts_failed: stage.failed_attempts,
            rows_in: stage.rows_in,
            rows_out: stage.rows_out,
            bytes_in: stage.bytes_in,
            bytes_out: stage.bytes_out,
            spilled_bytes: stage.spilled_bytes,
            started_at: stage.started_at.map(Time),
            finished_at: stage.finished_at.map(Time),
        }
    }
}

impl From<&OutputManifest> for Output {
    fn from(output: &OutputManifest) -> Self {
        Self {
            transform: output.transform.clone(),
            files: output.files.clone(),
            rows: output.rows,
            bytes: output.bytes,
        }
    }
}

impl From<&MetricValue> for Metric {
    fn from(metric: &MetricValue) -> Self {
        match *metric {
            MetricValue::Counter { value } => Self::Counter { value },
            MetricValue::Distribution { count, sum, min, max } => Self::Distribution { count, sum, min, max },
            MetricValue::Gauge { value } => Self::Gauge { value },
        }
    }
}
