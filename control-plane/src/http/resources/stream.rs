//! What the stream of changes carries.

use serde::{Deserialize, Serialize};

use super::Run;

/// The event `rows`: what differs in a list, such as the topics `runs` and `workers` are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamRows {
    /// The topic.
    pub topic: String,
    /// Whether `items` are all rows of the list, in the place of any known before; else they are those that are new or
    /// differ, by their `id`.
    pub complete: bool,
    /// Rows, as the list of the same name has them.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<serde_json::Value>,
    /// Ids of rows that are in the list no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

/// The event `run`: a run as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamRun {
    /// The topic, `run:` and the id.
    pub topic: String,
    /// The run.
    pub run: Run,
}

/// The event `run_patch`: what differs in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamRunPatch {
    /// The topic, `run:` and the id.
    pub topic: String,
    /// A JSON merge patch (RFC 7396) of the run, but for `stages`: those that differ are in it, each to be put in the
    /// place of the one with the same `id`.
    #[schema(value_type = Object)]
    pub patch: serde_json::Map<String, serde_json::Value>,
}

/// The event `resource`: something small as it is now, such as the topics `scaling` and `quota:NAMESPACE` are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamResource {
    /// The topic.
    pub topic: String,
    /// The resource, as a request for it gives it.
    #[schema(value_type = Object)]
    pub resource: serde_json::Value,
}

/// The event `changed`: something is different in what the topics `pipelines`, `schedules`, `audit` and `audit:service`
/// name. Ask for the part that you show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamChanged {
    /// The topic.
    pub topic: String,
}

/// The event `end`: nothing more comes of a topic. A stream whose topics have all ended is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StreamEnd {
    /// The topic.
    pub topic: String,
    /// Why.
    pub reason: StreamEndReason,
}

/// Why nothing more comes of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StreamEndReason {
    /// The run is over.
    Finished,
    /// The run was forgotten.
    Deleted,
}
