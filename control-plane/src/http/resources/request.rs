//! What is submitted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use weir_model::Digest;

use super::settings;

/// A job to run. Exactly one of `pipeline` and `sql` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunRequest {
    /// The job's name, 1 to 200 bytes; `pipeline` or `sql` when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// A Beam pipeline: its YAML as a string, or the same document as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = pipeline_document)]
    pub pipeline: Option<serde_json::Value>,
    /// A SQL job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<SqlJob>,
    /// The name of the pipeline's file, for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Values of the pipeline template's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// SHA-256 digests of the Wasm components, by the path that the job uses for them. They are uploaded before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub modules: BTreeMap<String, Digest>,
    /// The URL that relative paths of the job start from, such as `s3://bucket/folder`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Tuning, over the server's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<settings::RunSettings>)]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
    /// Words to find and group runs by: at most 64, keys of at most 63 bytes and values of at most 255.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Either form of a pipeline.
fn pipeline_document() -> Schema {
    let of = |kind| ObjectBuilder::new().schema_type(kind);
    OneOfBuilder::new()
        .item(of(Type::String))
        .item(of(Type::Object))
        .item(of(Type::Null))
        .description(Some(
            "A Beam pipeline: its YAML as a string, or the same document as a JSON object.",
        ))
        .into()
}

/// One SQL statement with what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SqlJob {
    /// The statement whose rows are the result, or which copies them to files.
    pub statement: String,
    /// Statements before it that define views or tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
    /// Files that are readable as tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<Table>,
}

/// A file, glob or folder that SQL can read by a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The table's name.
    pub name: String,
    /// Its path or URL; the format follows from the extension.
    pub path: String,
}
