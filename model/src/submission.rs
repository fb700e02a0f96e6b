//! What a user hands in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Digest, Namespace, RunSettings};

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
