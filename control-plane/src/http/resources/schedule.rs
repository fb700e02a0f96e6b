//! Schedules: when runs of pipelines are made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{Namespace, RunId};

use super::pipeline::etag;
use super::{RunReason, Time, settings};
use crate::store::{CatchUp, ConcurrencyPolicy, ScheduleDefinition, ScheduleRow};

/// What a schedule is to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Its name: 1 to 63 lower-case letters, digits, `-`, `_` and `.`, the first of them a letter or a digit; not
    /// `preview`. Where the address has it, it can be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    pub name: Option<String>,
    /// What it is for, at most 2000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// The pipeline that it makes runs of.
    pub pipeline: String,
    /// The version of the pipeline; the latest at the time of the run when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// Minute, hour, day of the month, month and day of the week, such as `30 6 * * MON-FRI`; or `@hourly`, `@daily`,
    /// `@weekly`, `@monthly`, `@yearly`.
    #[schema(max_length = 200, example = "30 6 * * MON-FRI")]
    pub cron: String,
    /// The IANA time zone of `cron`; `UTC` when it is left out. Where a clock goes forward, a time of day that it skips
    /// comes right after the gap; where it goes back, one that it shows twice comes once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200, example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// What to do while a run of it is under way; `allow` when it is left out.
    #[serde(default)]
    pub concurrency_policy: ConcurrencyPolicy,
    /// What becomes of times at which no server was there; `none` when it is left out.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// After how many seconds a time is given up, at most 31536000. When it is left out: a minute without catch-up,
    /// never with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub start_deadline_s: Option<u64>,
    /// Runs that succeeded and are kept, at most 10000; all when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    pub successful_run_history_limit: Option<u32>,
    /// Runs that failed or were cancelled and are kept, at most 10000; all when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 10_000)]
    pub failed_run_history_limit: Option<u32>,
    /// Whether it makes no runs.
    #[serde(default)]
    pub suspend: bool,
    /// Values of parameters, over those of the pipeline.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Labels of the runs, over those of the pipeline.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Settings of the runs, over those of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<settings::RunSettings>)]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Schedule {
    /// The tenant.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The pipeline that it makes runs of.
    pub pipeline: String,
    /// The version of the pipeline; the latest when there is none.
    pub version: Option<u32>,
    /// When.
    pub cron: String,
    /// The time zone of `cron`.
    pub time_zone: String,
    /// What to do while a run of it is under way.
    pub concurrency_policy: ConcurrencyPolicy,
    /// What becomes of times at which no server was there.
    pub catch_up: CatchUp,
    /// After how many seconds a time is given up.
    pub start_deadline_s: Option<u64>,
    /// Runs that succeeded and are kept; all when there is no limit.
    pub successful_run_history_limit: Option<u32>,
    /// Runs that failed or were cancelled and are kept; all when there is no limit.
    pub failed_run_history_limit: Option<u32>,
    /// Values of parameters, over those of the pipeline.
    pub parameters: BTreeMap<String, String>,
    /// Labels of the runs, over those of the pipeline.
    pub labels: BTreeMap<String, String>,
    /// Settings of the runs, over those of the pipeline.
    #[schema(value_type = settings::RunSettings)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Whether it makes runs.
    pub state: ScheduleState,
    /// Why its latest time got no run, or not yet.
    pub reason: Option<RunReason>,
    /// The next of its times.
    pub next_at: Option<Time>,
    /// The latest of its times that was dealt with.
    pub last_at: Option<Time>,
    /// The latest run that it made by itself.
    #[schema(value_type = Option<String>)]
    pub last_run: Option<RunId>,
    /// The latest of its times that got no run.
    pub skipped_at: Option<Time>,
    /// Times that got no run.
    pub skipped: u64,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Time,
    /// Who changed it last.
    pub updated_by: String,
    /// Changes whenever people change the schedule, not when it makes runs. The same as the header, without quotes.
    pub etag: String,
    /// Where to go on.
    pub links: ScheduleLinks,
}

/// Whether a schedule makes runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleState {
    /// It makes runs.
    Scheduled,
    /// Its time has come, and its run could not be made yet: see `reason`.
    Failing,
    /// Somebody suspended it.
    Suspended,
    /// No time is left.
    Completed,
}

/// Where to go on, as paths of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ScheduleLinks {
    /// The schedule.
    #[serde(rename = "self")]
    pub this: String,
    /// The pipeline.
    pub pipeline: String,
    /// The runs that it made.
    pub runs: String,
}

/// Schedules in the order of their names.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchedulePage {
    /// The schedules.
    pub items: Vec<Schedule>,
    /// What to give as `cursor` for the next ones; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The next times of a cron expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SchedulePreview {
    /// The expression in words, in English.
    pub description: String,
    /// The next times, at most ten.
    pub times: Vec<Time>,
}

/// The schedule that made a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunSchedule {
    /// The schedule's name.
    pub name: String,
    /// The time that the run is for; nothing when somebody asked for it.
    pub at: Option<Time>,
}

impl From<&weir_model::ScheduleRef> for RunSchedule {
    fn from(schedule: &weir_model::ScheduleRef) -> Self {
        Self {
            name: schedule.name.clone(),
            at: schedule.at.map(Time),
        }
    }
}

impl From<ScheduleRequest> for ScheduleDefinition {
    fn from(request: ScheduleRequest) -> Self {
        Self {
            description: request.description,
            version: request.version,
            cron: request.cron,
            time_zone: request.time_zone.unwrap_or_else(|| "UTC".to_owned()),
            concurrency_policy: request.concurrency_policy,
            catch_up: request.catch_up,
            start_deadline_s: request.start_deadline_s,
            successful_run_history_limit: request.successful_run_history_limit,
            failed_run_history_limit: request.failed_run_history_limit,
            suspend: request.suspend,
            parameters: request.parameters,
            labels: request.labels,
            settings: request.settings.unwrap_or_default(),
        }
    }
}

impl From<ScheduleRow> for Schedule {
    fn from(row: ScheduleRow) -> Self {
        let (definition, status) = (row.definition, row.status);
        let state = match row.next_at {
            _ if definition.suspend => ScheduleState::Suspended,
            None => ScheduleState::Completed,
            Some(_) if status.refusals > 0 => ScheduleState::Failing,
            Some(_) => ScheduleState::Scheduled,
        };
        let this = format!("/api/v1/schedules/{}", row.name);
        Self {
            links: ScheduleLinks {
                this,
                pipeline: format!("/api/v1/pipelines/{}", row.pipeline),
                runs: format!("/api/v1/runs?schedule={}", row.name),
            },
            namespace: row.namespace,
            name: row.name,
            description: definition.description,
            pipeline: row.pipeline,
            version: definition.version,
            cron: definition.cron,
            time_zone: definition.time_zone,
            concurrency_policy: definition.concurrency_policy,
            catch_up: definition.catch_up,
            start_deadline_s: definition.start_deadline_s,
            successful_run_history_limit: definition.successful_run_history_limit,
            failed_run_history_limit: definition.failed_run_history_limit,
            parameters: definition.parameters,
            labels: definition.labels,
            settings: definition.settings,
            state,
            reason: status.reason.map(RunReason::from),
            next_at: row.next_at.map(Time),
            last_at: status.last_at.map(Time),
            last_run: status.last_run,
            skipped_at: status.skipped_at.map(Time),
            skipped: status.skipped,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            updated_at: row.updated_at.into(),
            updated_by: row.updated_by,
            etag: etag(row.generation),
        }
    }
}
