//! What a user hands in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Namespace, RunId, RunSettings, Timestamp};

/// A request to run a job, complete: nothing of the submitter's machine is needed to plan it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The tenant.
    #[serde(default)]
    pub namespace: Namespace,
    /// The job's name, for lists and pages.
    pub name: String,
    /// What to run.
    pub job: Job,
    /// Wasm components in storage (see [`layout::module_key`](crate::layout::module_key)), by the path or name that
    /// the job uses for them.
    #[serde(default)]
    pub modules: BTreeMap<String, Digest>,
    /// The folder that relative paths of the job start from, as an absolute path or URL.
    pub base: String,
    /// Tuning.
    #[serde(default)]
    pub settings: RunSettings,
    /// Who submitted it, and what else is known about it.
    #[serde(default)]
    pub metadata: Metadata,
}

/// What is known about a submission beside what to run. Nothing of it changes what the run does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The submitter's own words for the run, to find and group runs by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who submitted it, for people.
    #[serde(alias = "submitted_by", skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The run that this one tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    /// Runs before this one that its restart policy tried again.
    #[serde(skip_serializing_if = "Restarts::is_none")]
    pub restarts: Restarts,
    /// The definition that it was made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<PipelineRef>,
    /// The schedule that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleRef>,
    /// W3C `traceparent` of the request that submitted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// How often a submission was tried again by its restart policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Restarts {
    /// After runs that had been planned.
    pub after_runs: u32,
    /// After runs that could not be planned.
    pub after_submissions: u32,
}

impl Restarts {
    /// Whether it was not tried again.
    pub fn is_none(&self) -> bool {
        self.total() == 0
    }

    /// All of them.
    pub fn total(&self) -> u32 {
        self.after_runs.saturating_add(self.after_submissions)
    }
}

/// A version of a named definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRef {
    /// The pipeline's name in the run's namespace.
    pub name: String,
    /// The version, from one.
    pub version: u32,
}

/// A schedule, and one of its times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRef {
    /// The schedule's name in the run's namespace.
    pub name: String,
    /// The time that the run is for; nothing when somebody asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Job {
    /// A Beam YAML pipeline.
    Pipeline {
        /// The text, before parameters are put in.
        yaml: String,
        /// The file it came from, for messages.
        file: String,
        /// Values of the template's parameters.
        #[serde(default)]
        params: BTreeMap<String, String>,
    },
    /// One SQL statement.
    Sql {
        /// The statement whose rows are the result.
        statement: String,
        /// Statements before it that define views or tables.
        #[serde(default)]
        setup: Vec<String>,
        /// Files that are readable as tables.
        #[serde(default)]
        tables: Vec<TableRef>,
    },
}

/// A file, glob or folder that SQL can read by a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRef {
    /// The table's name.
    pub name: String,
    /// A path or URL; the format follows from the extension (`parquet`, `csv`, `json`, `jsonl`, `ndjson`).
    pub path: String,
}
