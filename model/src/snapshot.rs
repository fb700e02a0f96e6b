//! What people are shown of a run: a fold over its events, small enough to send often.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Allowance, LogLine, MetricValue, OutputManifest, PhaseDurations, Reason, RunId, StageId, Timestamp, Usage,
};

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunPhase {
    /// The stages are not known yet.
    #[default]
    Planning,
    /// Stages run.
    Running,
    /// Nothing of it runs, until somebody lets it go on.
    Paused,
    /// The outputs are being made visible.
    Committing,
    /// It is being stopped: cancelled or failed, with clean-up to do.
    Stopping,
    /// It is over.
    Finished,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Its outputs are visible.
    Succeeded,
    /// It left nothing.
    Failed,
    /// It left nothing, as asked.
    Cancelled,
}

/// A run as people see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSnapshot {
    /// The run.
    pub run: RunId,
    /// The tenant.
    pub namespace: crate::Namespace,
    /// The job's name.
    pub name: String,
    /// Where it is.
    pub phase: RunPhase,
    /// How it ended, once it has.
    pub outcome: Option<RunOutcome>,
    /// Why it ended so, unless it succeeded.
    pub reason: Option<Reason>,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its stages were known.
    pub planned_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Since when nothing new of it is begun. What ran then may still run.
    #[serde(default)]
    pub paused_at: Option<Timestamp>,
    /// When it is to be tried again as a new run, once it is over.
    #[serde(default)]
    pub restart_at: Option<Timestamp>,
    /// When it is to be forgotten, once it is over.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// Its stages, in order.
    pub stages: Vec<StageSnapshot>,
    /// Its committed outputs.
    pub outputs: Vec<OutputManifest>,
    /// The latest log lines of accepted and failed attempts; bounded, oldest dropped first.
    pub logs: Vec<LogLine>,
    /// Log lines ever, those that `logs` no longer has included.
    #[serde(default)]
    pub log_lines: u64,
    /// What user functions counted in accepted attempts, by `function.metric`.
    #[serde(default)]
    pub metrics: BTreeMap<String, MetricValue>,
    /// How long its phases took.
    #[serde(default)]
    pub phases: PhaseDurations,
    /// What the attempts used that are over.
    #[serde(default)]
    pub usage: Usage,
    /// What its latest attempt was allowed.
    #[serde(default)]
    pub allowance: Allowance,
}

/// Where a stage is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StagePhase {
    /// Its inputs are not complete.
    #[default]
    Waiting,
    /// Its tasks run.
    Running,
    /// Its output is complete.
    Completed,
}

/// A stage as people see it. Totals are over accepted attempts, plus the latest progress of running ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageSnapshot {
    /// The stage.
    pub id: StageId,
    /// What it does.
    pub name: String,
    /// Where it is.
    pub phase: StagePhase,
    /// Tasks, once known.
    pub tasks: u32,
    /// Tasks with an attempt under way.
    pub running: u32,
    /// Tasks that are done.
    pub done: u32,
    /// Attempts that failed.
    pub failed_attempts: u32,
    /// Speculative copies of slow attempts, ever.
    #[serde(default)]
    pub speculative_attempts: u32,
    /// Speculative copies under way, each beside the attempt of a task that counts as running.
    #[serde(default)]
    pub speculative_running: u32,
    /// Speculative copies that were done first.
    #[serde(default)]
    pub speculative_wins: u32,
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
    pub started_at: Option<Timestamp>,
    /// When it was complete.
    pub finished_at: Option<Timestamp>,
}
