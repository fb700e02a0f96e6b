//! Named definitions, and the schedules that make runs of them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use weir_model::{Digest, Namespace, Reason, RunId, Timestamp};

use super::{Error, Subject};

/// A named definition, without its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineRow {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name among the tenant's.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find and group pipelines by.
    pub labels: BTreeMap<String, String>,
    /// The latest version, from one.
    pub version: u32,
    /// Grows with every change. It goes on when a deleted pipeline is made again.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who changed it last.
    pub updated_by: String,
}

/// A version of a definition. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineVersionRow {
    /// The tenant.
    pub namespace: Namespace,
    /// The pipeline's name.
    pub pipeline: String,
    /// The version, from one.
    pub version: u32,
    /// A [`Template`](crate::pipelines::Template) as JSON.
    pub template: String,
    /// Of the template.
    pub digest: Digest,
    /// What is new in it.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// What a pipeline is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipelineChange {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find and group pipelines by.
    pub labels: BTreeMap<String, String>,
    /// A new version; without one, the latest stays.
    pub version: Option<NewVersion>,
    /// When.
    pub at: Timestamp,
    /// Who changes it.
    pub by: String,
}

/// A version that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    /// A [`Template`](crate::pipelines::Template) as JSON.
    pub template: String,
    /// Of the template.
    pub digest: Digest,
    /// What is new in it.
    pub note: Option<String>,
}

/// How a schedule makes runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleDefinition {
    /// What it is for.
    pub description: Option<String>,
    /// The version of the pipeline; the latest when there is none.
    pub version: Option<u32>,
    /// When, as five fields or a word such as `@daily`.
    pub cron: String,
    /// The IANA time zone of `cron`.
    pub time_zone: String,
    /// What to do while a run of it is under way.
    pub concurrency_policy: ConcurrencyPolicy,
    /// What becomes of times that were missed.
    pub catch_up: CatchUp,
    /// After how many seconds a time is given up.
    pub start_deadline_s: Option<u64>,
    /// Runs that succeeded and are kept.
    pub successful_run_history_limit: Option<u32>,
    /// Runs that failed or were cancelled and are kept.
    pub failed_run_history_limit: Option<u32>,
    /// Whether it makes no runs.
    pub suspend: bool,
    /// Values over those of the pipeline's parameters.
    pub parameters: BTreeMap<String, String>,
    /// Labels of the runs, over those of the pipeline.
    pub labels: BTreeMap<String, String>,
    /// Settings of the runs, over those of the pipeline.
    pub settings: serde_json::Map<String, serde_json::Value>,
}

impl Default for ScheduleDefinition {
    fn default() -> Self {
        Self {
            description: None,
            version: None,
            cron: String::new(),
            time_zone: "UTC".to_owned(),
            concurrency_policy: ConcurrencyPolicy::default(),
            catch_up: CatchUp::default(),
            start_deadline_s: None,
            successful_run_history_limit: None,
            failed_run_history_limit: None,
            suspend: false,
            parameters: BTreeMap::new(),
            labels: BTreeMap::new(),
            settings: serde_json::Map::new(),
        }
    }
}

/// What a schedule does at its time while a run of it is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConcurrencyPolicy {
    /// Makes another run.
    #[default]
    Allow,
    /// Leaves the time out.
    Forbid,
    /// Cancels the one under way, and makes another run when that is over.
    Replace,
}

/// What becomes of times at which no server was there to make a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out.
    #[default]
    None,
    /// The latest of them gets a run.
    Latest,
    /// Each of them gets a run, the latest hundred at most.
    All,
}

/// What a schedule has done so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleStatus {
    /// The latest of its times that was dealt with.
    pub last_at: Option<Timestamp>,
    /// The latest run that it made.
    pub last_run: Option<RunId>,
    /// The latest of its times that got no run.
    pub skipped_at: Option<Timestamp>,
    /// Times that got no run.
    pub skipped: u64,
    /// Why its latest time got no run (yet).
    pub reason: Option<Reason>,
    /// The time for which a run under way is being replaced.
    pub replacing_at: Option<Timestamp>,
    /// When a run was last tried to be made that was refused, and how often in a row.
    pub refused_at: Option<Timestamp>,
    /// How often in a row.
    pub refusals: u32,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleRow {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name among the tenant's.
    pub name: String,
    /// The pipeline that it makes runs of.
    pub pipeline: String,
    /// How it makes runs.
    pub definition: ScheduleDefinition,
    /// What it has done so far.
    pub status: ScheduleStatus,
    /// The next of its times; nothing while it is suspended, and when none is left.
    pub next_at: Option<Timestamp>,
    /// Grows with every change by people.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who changed it last.
    pub updated_by: String,
}

/// What a schedule is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleChange {
    /// The tenant.
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// The pipeline that it makes runs of.
    pub pipeline: String,
    /// How it makes runs.
    pub definition: ScheduleDefinition,
    /// The next of its times.
    pub next_at: Option<Timestamp>,
    /// When.
    pub at: Timestamp,
    /// Who changes it.
    pub by: String,
}

/// A time of a schedule was dealt with, wholly or in part.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleProgress {
    /// The tenant.
    pub namespace: Namespace,
    /// The schedule.
    pub name: String,
    /// The schedule as it was then.
    pub generation: u64,
    /// The next of its times as it was then.
    pub due_at: Timestamp,
    /// The next of its times from now on.
    pub next_at: Option<Timestamp>,
    /// What it has done so far.
    pub status: ScheduleStatus,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub enum PipelineWrite {
    /// Makes a pipeline with its first version; of a name that was deleted, with the next one.
    PipelineCreate(PipelineChange),
    /// Changes a pipeline that is still of a generation.
    PipelineUpdate(PipelineChange, u64),
    /// Deletes a pipeline with its versions, if no schedule is left that makes runs of it.
    PipelineDelete {
        /// The tenant.
        namespace: Namespace,
        /// Its name.
        name: String,
        /// Only when it is still of this generation.
        generation: Option<u64>,
        /// When.
        at: Timestamp,
        /// Who deletes it.
        by: String,
    },
    /// Makes a schedule of a pipeline that is there.
    ScheduleCreate(ScheduleChange),
    /// Changes a schedule that is still of a generation.
    ScheduleUpdate(ScheduleChange, u64),
    /// Deletes a schedule. Its runs stay.
    ScheduleDelete {
        /// The tenant.
        namespace: Namespace,
        /// Its name.
        name: String,
        /// Only when it is still of this generation.
        generation: Option<u64>,
    },
    /// Notes what a schedule has done, if nobody else has done so.
    ScheduleProgress(ScheduleProgress),
}

impl PipelineWrite {
    /// Whose things it changes, and which.
    pub(super) fn subject(&self) -> (&Namespace, Subject) {
        match self {
            Self::PipelineCreate(PipelineChange { namespace, .. })
            | Self::PipelineUpdate(PipelineChange { namespace, .. }, _)
            | Self::PipelineDelete { namespace, .. } => (namespace, Subject::Pipelines),
            Self::ScheduleCreate(ScheduleChange { namespace, .. })
            | Self::ScheduleUpdate(ScheduleChange { namespace, .. }, _)
            | Self::ScheduleDelete { namespace, .. }
            | Self::ScheduleProgress(ScheduleProgress { namespace, .. }) => (namespace, Subject::Schedules),
        }
    }
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It was done.
    Done,
    /// There is one of this name already.
    Exists,
    /// There is none of this name.
    Absent,
    /// It is not of the generation that was given any more.
    Changed,
    /// A schedule makes runs of the pipeline; or the pipeline that a schedule wants is not there.
    Refused,
}

/// Where pipelines and schedules are kept.
#[async_trait]
pub trait PipelineStore: Send + Sync + 'static {
    /// Makes, changes or deletes something: all of it or nothing.
    async fn pipelines_write(&self, write: PipelineWrite) -> Result<Written, Error>;

    /// A pipeline of a tenant.
    async fn pipeline_get(&self, namespace: &Namespace, name: &str) -> Result<Option<PipelineRow>, Error>;

    /// Pipelines of a tenant in the order of their names: at most `limit` that come after `after`.
    async fn pipeline_list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<PipelineRow>, Error>;

    /// Versions of a pipeline, the latest first: at most `limit` that are older than `before`.
    async fn pipeline_versions(
        &self,
        namespace: &Namespace,
        name: &str,
        before: Option<u32>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>, Error>;

    /// Versions of all pipelines of all tenants in some order: at most `limit` that come after `after`.
    async fn pipeline_versions_all(
        &self,
        after: Option<&PipelineVersionRow>,
        limit: u32,
    ) -> Result<Vec<PipelineVersionRow>, Error>;

    /// A schedule of a tenant.
    async fn schedule_get(&self, namespace: &Namespace, name: &str) -> Result<Option<ScheduleRow>, Error>;

    /// Schedules of a tenant in the order of their names, of all pipelines or of one: at most `limit` that come after
    /// `after`.
    async fn schedule_list(
        &self,
        namespace: &Namespace,
        pipeline: Option<&str>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, Error>;

    /// Schedules of all tenants, those that are suspended included, in the order of their tenants and names: at most
    /// `limit` that come after `after`.
    async fn schedules_all(&self, after: Option<&ScheduleRow>, limit: u32) -> Result<Vec<ScheduleRow>, Error>;

    /// Schedules of all tenants whose next time has come by `now`, the longest due first: at most `limit` that come after
    /// `after`.
    async fn schedules_due(
        &self,
        now: Timestamp,
        after: Option<&ScheduleRow>,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, Error>;
}
