//! Pipelines: named, versioned definitions of jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{Digest, Job, Namespace};

use super::{JobKind, RunRequest, SqlJob, Table, Time, settings};
use crate::pipelines::Template;
use crate::store::{PipelineRow, PipelineVersionRow};

/// What a pipeline is to be.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineRequest {
    /// Its name: 1 to 63 lower-case letters, digits, `-`, `_` and `.`, the first of them a letter or a digit. Where the
    /// address has it, it can be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9._-]*$")]
    pub name: Option<String>,
    /// What it is for, at most 2000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    /// Words to find and group pipelines by; those of its runs are in the definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What its runs run, without a `name`.
    pub definition: RunRequest,
    /// What is new in this version, at most 1000 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub note: Option<String>,
}

/// A pipeline with its latest version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Pipeline {
    /// The tenant.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find and group pipelines by.
    pub labels: BTreeMap<String, String>,
    /// The latest version, from one.
    pub version: u32,
    /// What kind of job it is.
    pub job: JobKind,
    /// What runs of the latest version run.
    pub definition: RunRequest,
    /// The SHA-256 digest of the latest version.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Time,
    /// Who changed it last.
    pub updated_by: String,
    /// Changes whenever anything else in this resource does. The same as the header, without quotes.
    pub etag: String,
    /// Where to go on.
    pub links: PipelineLinks,
}

/// A pipeline in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedPipeline {
    /// The tenant.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Words to find and group pipelines by.
    pub labels: BTreeMap<String, String>,
    /// The latest version, from one.
    pub version: u32,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// When it was last changed.
    pub updated_at: Time,
    /// Who changed it last.
    pub updated_by: String,
    /// Where to go on.
    pub links: PipelineLinks,
}

/// Where to go on, as paths of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineLinks {
    /// The pipeline.
    #[serde(rename = "self")]
    pub this: String,
    /// Its versions.
    pub versions: String,
    /// Its runs.
    pub runs: String,
}

/// Pipelines in the order of their names.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelinePage {
    /// The pipelines.
    pub items: Vec<ListedPipeline>,
    /// What to give as `cursor` for the next ones; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A version of a pipeline. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineVersion {
    /// The pipeline's name.
    pub pipeline: String,
    /// The version, from one.
    pub version: u32,
    /// What is new in it.
    pub note: Option<String>,
    /// What kind of job it is.
    pub job: JobKind,
    /// What its runs run.
    pub definition: RunRequest,
    /// The SHA-256 digest of the definition.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
}

/// A version of a pipeline in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ListedPipelineVersion {
    /// The version, from one.
    pub version: u32,
    /// What is new in it.
    pub note: Option<String>,
    /// The SHA-256 digest of the definition.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it was made.
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
}

/// Versions of a pipeline, the latest first.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PipelineVersionPage {
    /// The versions.
    pub items: Vec<ListedPipelineVersion>,
    /// What to give as `cursor` for older ones; left out when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A run of a pipeline to make.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineRunRequest {
    /// The version; the latest when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub version: Option<u32>,
    /// The run's name, 1 to 200 bytes; that of the pipeline when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// Values of parameters, over those of the definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Labels, over those of the definition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Settings, over those of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<settings::RunSettings>)]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The definition that a run was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RunPipeline {
    /// The pipeline's name.
    pub name: String,
    /// The version, from one.
    pub version: u32,
}

impl From<&weir_model::PipelineRef> for RunPipeline {
    fn from(pipeline: &weir_model::PipelineRef) -> Self {
        Self {
            name: pipeline.name.clone(),
            version: pipeline.version,
        }
    }
}

impl PipelineLinks {
    fn new(name: &str) -> Self {
        let this = format!("/api/v1/pipelines/{name}");
        Self {
            versions: format!("{this}/versions"),
            runs: format!("/api/v1/runs?pipeline={name}"),
            this,
        }
    }
}

impl Pipeline {
    /// A pipeline as the API shows it, with its latest version, whose template is given.
    pub fn new(row: PipelineRow, version: &PipelineVersionRow, template: Template) -> Self {
        Self {
            links: PipelineLinks::new(&row.name),
            namespace: row.namespace,
            name: row.name,
            description: row.description,
            labels: row.labels,
            version: row.version,
            job: job_kind(&template.job),
            definition: definition(template),
            digest: version.digest,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            updated_at: row.updated_at.into(),
            updated_by: row.updated_by,
            etag: etag(row.generation),
        }
    }
}

impl From<PipelineRow> for ListedPipeline {
    fn from(row: PipelineRow) -> Self {
        Self {
            links: PipelineLinks::new(&row.name),
            namespace: row.namespace,
            name: row.name,
            description: row.description,
            labels: row.labels,
            version: row.version,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            updated_at: row.updated_at.into(),
            updated_by: row.updated_by,
        }
    }
}

impl PipelineVersion {
    /// A version as the API shows it; `template` is its own.
    pub fn new(row: PipelineVersionRow, template: Template) -> Self {
        Self {
            pipeline: row.pipeline,
            version: row.version,
            note: row.note,
            job: job_kind(&template.job),
            definition: definition(template),
            digest: row.digest,
            created_at: row.created_at.into(),
            created_by: row.created_by,
        }
    }
}

impl From<PipelineVersionRow> for ListedPipelineVersion {
    fn from(row: PipelineVersionRow) -> Self {
        Self {
            version: row.version,
            note: row.note,
            digest: row.digest,
            created_at: row.created_at.into(),
            created_by: row.created_by,
        }
    }
}

/// The entity tag of something that counts its changes.
pub(crate) fn etag(generation: u64) -> String {
    format!("g{generation}")
}

fn job_kind(job: &Job) -> JobKind {
    match job {
        Job::Pipeline { .. } => JobKind::Pipeline,
        Job::Sql { .. } => JobKind::Sql,
    }
}

/// A template as it was sent.
fn definition(template: Template) -> RunRequest {
    let mut request = RunRequest {
        modules: template.modules,
        base: template.base,
        settings: Some(template.settings).filter(|settings| !settings.is_empty()),
        labels: template.labels,
        ..RunRequest::default()
    };
    match template.job {
        Job::Pipeline { yaml, file, params } => {
            request.pipeline = Some(yaml.into());
            request.file = Some(file);
            request.parameters = params;
        }
        Job::Sql {
            statement,
            setup,
            tables,
        } => {
            let tables = tables.into_iter().map(|table| Table {
                name: table.name,
                path: table.path,
            });
            request.sql = Some(SqlJob {
                statement,
                setup,
                tables: tables.collect(),
            });
        }
    }
    request
}
